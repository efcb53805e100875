//! `pbx_web` comes and goes under load, beside app_universal, and no call notices.

use std::io::Read as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use tandem_lab::{Asterisk, wait_for, wait_until};
use tandem_tests::{Office, SOON, Web, lab_with_module, wait_ready};

const MINUTE: Duration = Duration::from_secs(60);
const ROUNDS: usize = 100;
const LOADS: usize = 100;
/// A password takes 19 MiB while it is looked at: one that stayed would be seen.
const GROWTH_BOUND_BYTES: u64 = 2_000_000;
/// What is asked of it all the while.
const PATHS: [&str; 4] = ["/api/modules", "/api/channels", "/api/peers", "/api/status"];
/// Answers that come in between one unload and the next, so that each meets a server at work.
const ANSWERS: usize = 20;

#[test]
fn it_is_unloaded_while_requests_run_and_leaves_nothing_and_no_call_notices() -> Result<()> {
    let lab = Office::lab("web-unload").start()?;
    let a = lab.a();
    let office = Office::open(a)?;
    let desk = lab.phone("200").tone_hz(440).start()?;
    desk.register_at(a, MINUTE)?;
    let caller = lab.phone("202").tone_hz(660).start()?;
    caller.register_at(a, MINUTE)?;
    caller.dial(a, "200")?;
    caller.wait_established(SOON)?;
    desk.wait_established(SOON)?;
    office.unload()?;
    let before = held(a)?;
    office.load()?;

    let (is_over, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    let result = thread::scope(|scope| {
        for path in PATHS {
            let (web, is_over, answers) = (office.as_admin(), &is_over, &answers);
            scope.spawn(move || ask_on(&web, path, is_over, answers));
        }
        let (web, is_over_too) = (office.as_admin(), &is_over);
        scope.spawn(move || follow_on(&web, is_over_too));
        let (web, is_over_too) = (office.as_admin(), &is_over);
        scope.spawn(move || command_on(&web, is_over_too));
        let rounds = unload_and_load(&office, a, &answers);
        is_over.store(true, Ordering::Relaxed);
        rounds
    });
    result?;
    let channels = a.cli("core show channels count")?;
    assert!(channels.contains("2 active channels"), "{channels}");
    caller.wait_tone(440, SOON)?;
    desk.wait_tone(660, SOON)?;
    office.unload()?;
    assert!(!a.maps_contains("pbx_web")?);
    // Consoles that it had opened are closed by threads of Asterisk's.
    wait_until("it holds no more than before", SOON, &a.log(), || {
        Ok(held(a).is_ok_and(|now| now.0 <= before.0 && now.1 <= before.1))
    })?;
    Ok(())
}

/// How many descriptors and threads the server has.
fn held(a: &Asterisk) -> Result<(usize, usize)> {
    let count = |what: &str| -> Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/{what}", a.pid()?))?.count())
    };
    Ok((count("fd")?, count("task")?))
}

fn unload_and_load(office: &Office<'_>, a: &Asterisk, answers: &AtomicUsize) -> Result<()> {
    for _ in 0..ROUNDS {
        let before = answers.load(Ordering::Relaxed);
        // A new server has to look at a password again, in a build that is not optimized.
        wait_until("it answers many", 2 * SOON, &a.log(), || {
            Ok(answers.load(Ordering::Relaxed) >= before + ANSWERS)
        })?;
        // The loader's lock is held around it, which a worker may be waiting for.
        office.reload()?;
        office.unload()?;
        assert!(!a.maps_contains("pbx_web")?, "all of it is gone");
        office.load()?;
    }
    Ok(())
}

/// Asks again and again. While there is no server there is no answer; any other is a right one.
fn ask_on(web: &Web, path: &str, is_over: &AtomicBool, answers: &AtomicUsize) {
    while !is_over.load(Ordering::Relaxed) {
        let Ok(reply) = web.get(path) else { continue };
        // A new server's workers have a password to look at first.
        assert!(matches!(reply.status, 200 | 503), "{reply:?}");
        if reply.status == 200 {
            reply.json().expect("JSON");
            answers.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Runs commands again and again, and does not wait for them.
fn command_on(web: &Web, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let Ok(reply) = web.post("/api/console", &json!({ "command": "module show" })) else {
            continue;
        };
        // So many run at once.
        assert!(matches!(reply.status, 202 | 429 | 503), "{reply:?}");
    }
}

/// Follows the log and the feed again and again.
fn follow_on(web: &Web, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let streams: Vec<_> = ["/api/events", "/api/log/events"]
            .iter()
            .filter_map(|path| {
                let mut wire = web.connect().ok()?;
                wire.write_all(web.request("GET", path, None).as_bytes()).ok()?;
                Some(wire)
            })
            .collect();
        for mut stream in streams {
            let mut buffer = [0; 4096];
            while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
            }
        }
    }
}

#[test]
fn a_hundred_loads_with_a_login_each_do_not_make_asterisk_grow() -> Result<()> {
    let lab = Office::lab("web-growth").start()?;
    let a = lab.a();
    let office = Office::open(a)?;
    let mut settled = 0;
    for round in 0..LOADS {
        assert_eq!(office.as_viewer().get("/api/status")?.status, 200);
        assert_eq!(office.as_viewer().get("/api/peers")?.status, 200);
        office.unload()?;
        // The first ones fill caches of Asterisk's, and of its allocator's.
        if round == LOADS / 4 {
            settled = a.rss_bytes()?;
        }
        office.load()?;
    }
    office.unload()?;
    let growth = a.rss_bytes()?.saturating_sub(settled);
    assert!(growth < GROWTH_BOUND_BYTES, "{growth} bytes more");
    Ok(())
}

#[test]
fn nothing_of_it_stays_with_a_thread_of_asterisks_that_lives_on() -> Result<()> {
    let lab = Office::lab("web-threads").start()?;
    let a = lab.a();
    let office = Office::open(a)?;
    // All on one thread of Asterisk's, which is there until the end.
    let mut ami = a.ami()?;
    let mut say = |command: &str| ami.action(&[("Action", "Command"), ("Command", command)]);
    say("pbx_web passwd eve viewer")?;
    say("pbx_web show status")?;
    let mut module = |what: &str| {
        ami.action(&[("Action", "ModuleLoad"), ("Module", "pbx_web.so"), ("LoadType", what)])
    };
    for what in ["reload", "unload", "load"] {
        module(what)?;
    }
    assert_eq!(office.as_viewer().get("/api/modules")?.status, 200);
    office.write("[general]\n[nonsense]\na = b\n")?;
    let refused = module("reload");
    assert!(refused.is_err(), "{refused:?}");
    module("unload")?;
    assert!(a.cli("module show like pbx_web")?.contains("0 modules loaded"));
    assert!(!a.maps_contains("pbx_web")?);
    assert!(module("load").is_err(), "and it is there still, and answers");
    Ok(())
}

#[test]
fn asterisk_ends_at_once_while_requests_run() -> Result<()> {
    let lab = Office::lab("web-stop").start()?;
    let a = lab.a();
    let office = Office::open(a)?;
    let (is_over, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| -> Result<()> {
        for path in PATHS {
            let (web, is_over, answers) = (office.as_admin(), &is_over, &answers);
            scope.spawn(move || ask_on(&web, path, is_over, answers));
        }
        let (web, is_over_too) = (office.as_admin(), &is_over);
        scope.spawn(move || follow_on(&web, is_over_too));
        let asked = wait_until("it answers many", 2 * SOON, &a.log(), || {
            Ok(answers.load(Ordering::Relaxed) >= ANSWERS)
        });
        // An error if it needs help, which is after five seconds.
        let stopped = asked.and_then(|()| a.stop());
        is_over.store(true, Ordering::Relaxed);
        Ok(stopped?)
    })?;
    assert!(
        a.log_text()?.contains("Executing last minute cleanups"),
        "it came to its end by itself"
    );
    Ok(())
}

#[test]
fn registrations_and_variables_are_there_with_app_universal_and_not_without() -> Result<()> {
    let lab =
        lab_with_module("web-universal")?.without_server("B").without_server("gateway").start()?;
    let a = lab.a();
    wait_ready(a)?;
    let office = Office::open(a)?;
    let viewer = office.as_viewer();
    assert_eq!(viewer.get("/api/status")?.json()?["universal"], true);
    let desk = lab.phone("200").start()?;
    desk.register_at(a, MINUTE)?;
    a.cli("univar set GREETING hello")?;

    let ask = |path: &str| -> Result<Value> { viewer.get(path)?.json() };
    let registered = wait_for("the registration is published", SOON, &a.log(), || {
        let now = ask("/api/registrations").unwrap_or_default();
        Ok(Some(now["registrations"][0].clone()).filter(|one| one["state"] == "published"))
    })?;
    assert_eq!((&registered["peer"], &registered["contacts"]), (&json!("PJSIP/200"), &json!(1)));
    let variables = ask("/api/variables?prefix=GREET")?;
    assert_eq!(variables["variables"], json!([{ "name": "GREETING", "value": "hello" }]));

    tandem_tests::unload(a)?;
    wait_until("its absence is noticed", SOON, &a.log(), || {
        Ok(viewer.get("/api/registrations").is_ok_and(|reply| reply.status == 404))
    })?;
    Ok(())
}
