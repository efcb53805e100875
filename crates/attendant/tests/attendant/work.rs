//! What is done: commands that end and that do not, completion, the log.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::rig::Rig;
use attendant::{LEFT_MAX, LINES_MAX, OUTPUT_MAX_BYTES, Pbx as _};

#[test]
fn a_command_runs_and_its_output_is_kept() {
    let rig = Rig::new();
    let run = rig.run(&rig.admin(), "core show uptime");
    assert_eq!(run["output"], "System uptime: 3 weeks, 2 days, 4 hours\nLast reload: 7 minutes\n");
    assert_eq!((&run["user"], &run["failure"]), (&"admin".into(), &serde_json::Value::Null));
    assert_eq!(rig.run(&rig.admin(), "fake colours")["output"], "green and plain\nverbose\n");
    let commands = rig.admin().get("/api/console").json();
    assert_eq!(commands["commands"][0]["command"], "fake colours", "the newest first");
    let log = rig.fake.state.log.lock().expect("unpoisoned").join("\n");
    assert!(log.contains("admin from 127.0.0.1 runs: core show uptime"), "{log}");
}

#[test]
fn the_whole_command_is_in_the_log() {
    let rig = Rig::new();
    let command = format!("dialplan set global X {} end", "x".repeat(450));
    rig.begin(&rig.admin(), &command);
    let log = rig.fake.state.log.lock().expect("unpoisoned").join("\n");
    assert!(log.contains(&format!("admin from 127.0.0.1 runs: {command}")), "{log}");
}

#[test]
fn a_command_is_followed_to_its_end() {
    let rig = Rig::new();
    let id = rig.begin(&rig.admin(), "core show uptime");
    let events = rig.admin().follow(&format!("/api/console/{id}/events")).end();
    assert!(events.contains("event: output\nid: 63\ndata: {\"text\":\"System uptime"), "{events}");
    assert!(events.contains("event: done\n"), "{events}");
    let again = rig.admin().with("Last-Event-ID: 40");
    let rest = again.follow(&format!("/api/console/{id}/events")).end();
    assert!(rest.contains("data: {\"text\":\"Last reload: 7 minutes\\n\"}"), "{rest}");
}

#[test]
fn all_commands_can_be_followed_in_one_stream() {
    let rig = Rig::new();
    let admin = rig.admin();
    let mut events = admin.follow("/api/console/events");
    events.until("\r\n\r\n");
    let first = rig.begin(&admin, "fake forever");
    events.until("Waiting for something");
    rig.begin(&admin, "core show uptime");
    let told = events.until("\"took_ms\":");
    assert!(told.contains("\"command\":\"core show uptime\""), "{told}");
    assert_eq!(admin.send("DELETE", &format!("/api/console/{first}"), "").status, 204);
    events.until("\"left\":true");
    rig.fake.state.release();
    events.until("\"running\":false,\"left\":true");
    let again = admin.follow("/api/console/events").until("Last reload");
    assert!(again.contains("fake forever"), "whoever comes later sees what was: {again}");
}

#[test]
fn what_is_no_command_is_refused_with_a_reason() {
    let rig = Rig::new();
    let admin = rig.admin();
    let long = "x".repeat(497);
    for (command, wanted) in [
        ("", "write a command"),
        ("quit", "there is no console to leave"),
        ("!rm -rf /", "shell commands are not run"),
        ("core show\\u0000uptime", "one line"),
        (long.as_str(), "at most 496 bytes"),
    ] {
        let reply = admin.post("/api/console", &format!("{{\"command\":\"{command}\"}}"));
        assert!(reply.status == 422 && reply.body.contains(wanted), "{command}: {reply:?}");
    }
}

#[test]
fn ten_megabytes_of_output_are_cut_with_a_clear_mark() {
    let rig = Rig::new();
    let admin = rig.admin();
    let id = rig.begin(&admin, "fake big");
    let path = format!("/api/console/{id}");
    // Others are served while it prints.
    rig.wait_until("it has ended", || {
        assert_eq!(admin.get("/api/session").status, 200);
        admin.get("/api/console").json()["commands"][0]["running"] == false
    });
    let run = admin.get(&path).json();
    assert_eq!(run["output_bytes"], OUTPUT_MAX_BYTES);
    assert_eq!(run["dropped_bytes"], 10 * 1024 * 1024 - OUTPUT_MAX_BYTES);
    let events = admin.follow(&format!("{path}/events")).end();
    assert!(events.len() > OUTPUT_MAX_BYTES && events.contains("event: done"));
}

#[test]
fn a_command_that_never_ends_holds_nothing_up_and_can_be_left() {
    let rig = Rig::with("[general]\ncommands = 2");
    let admin = rig.admin();
    let first = rig.begin(&admin, "fake forever");
    let mut follower = admin.follow(&format!("/api/console/{first}/events"));
    follower.until("Waiting for something");
    rig.begin(&admin, "fake forever");
    let refused = admin.post("/api/console", "{\"command\":\"core show uptime\"}");
    assert!(
        refused.status == 429 && refused.body.contains("2 commands are running"),
        "{refused:?}"
    );
    assert_eq!(admin.send("DELETE", &format!("/api/console/{first}"), "").status, 204);
    assert!(follower.end().contains("event: done"), "whoever follows it is told");
    let left = admin.get(&format!("/api/console/{first}")).json();
    assert_eq!((&left["running"], &left["left"]), (&true.into(), &true.into()));
    assert_eq!(rig.run(&admin, "core show uptime")["failure"], serde_json::Value::Null);
    assert_eq!(admin.send("DELETE", "/api/console/99", "").status, 404);
}

#[test]
fn commands_that_were_left_are_bounded_too() {
    let rig = Rig::with("[general]\ncommands = 1");
    let admin = rig.admin();
    for _ in 0..LEFT_MAX {
        let path = format!("/api/console/{}", rig.begin(&admin, "fake forever"));
        // One that Asterisk has not taken yet just ends.
        rig.wait_until("it runs", || admin.get(&path).json()["output_bytes"] != 0);
        assert_eq!(admin.send("DELETE", &path, "").status, 204);
    }
    let refused = admin.post("/api/console", "{\"command\":\"core show uptime\"}");
    assert!(refused.status == 429 && refused.body.contains("that were left"), "{refused:?}");
    rig.fake.state.release();
    rig.wait_until("they have ended", || {
        let commands = admin.get("/api/console").json();
        let all = commands["commands"].as_array().expect("a list");
        all.iter().all(|command| command["running"] == false)
    });
    rig.run(&admin, "core show uptime");
}

#[test]
fn completion_is_asterisks_own() {
    let rig = Rig::new();
    let candidates = |line: &str| {
        let reply = rig.admin().get(&format!("/api/console/complete?line={line}"));
        reply.json()["candidates"].clone()
    };
    assert_eq!(candidates("core+show+cha"), serde_json::json!(["channels", "channeltypes"]));
    assert_eq!(candidates("core+show+u"), serde_json::json!(["uptime"]));
    assert_eq!(candidates("core+"), serde_json::json!(["reload", "restart", "show", "stop"]));
    assert_eq!(candidates("nothing+like+it"), serde_json::json!([]));
    assert_eq!(candidates(&"x".repeat(400)), serde_json::json!([]), "too long to ask");
}

#[test]
fn all_who_follow_the_log_share_one_console_and_nobody_is_none() {
    let rig = Rig::new();
    let state = &rig.fake.state;
    let mut one = rig.admin().follow("/api/log/events");
    one.until("\r\n\r\n");
    rig.wait_until("it listens", || state.listeners() == 1);
    let mut two = rig.admin().follow("/api/log/events");
    two.until("\r\n\r\n");
    state.say(b"\x1b[1;31mERROR\x1b[0m[1]: it <burns>");
    for follower in [&mut one, &mut two] {
        follower.until("ERROR[1]: it <burns>");
    }
    assert_eq!(state.consoles.load(Ordering::SeqCst), 1);
    assert!(rig.admin().get("/api/log").body.contains("it <burns>"));
    drop(one);
    drop(two);
    // Who has gone is noticed when something is sent.
    rig.wait_until("the console is closed", || {
        state.say(b"more");
        state.consoles.load(Ordering::SeqCst) == 0
    });
    state.say(b"nobody hears it");
    let mut three = rig.admin().follow("/api/log/events");
    rig.wait_until("it listens again", || state.listeners() == 1);
    state.say(b"after the pause");
    let said = three.until("after the pause");
    let mark = said.find("(nobody followed the log until here)").expect("a mark");
    assert!(said.find("it <burns>").is_some_and(|before| before < mark), "{said}");
    assert!(!said.contains("nobody hears it"), "{said}");
}

#[test]
fn the_largest_number_of_a_line_is_a_number_like_any_other() {
    let rig = Rig::new();
    let late = rig.admin().with(&format!("Last-Event-ID: {}", u64::MAX));
    let mut follower = late.follow("/api/log/events");
    follower.until("\r\n\r\n");
    rig.wait_until("it listens", || rig.fake.state.listeners() == 1);
    rig.fake.state.say(b"here it is");
    follower.until("here it is");
}

#[test]
fn a_log_that_breaks_off_is_followed_again() {
    let rig = Rig::new();
    let mut follower = rig.admin().follow("/api/log/events");
    follower.until("\r\n\r\n");
    rig.wait_until("it listens", || rig.fake.state.listeners() == 1);
    rig.fake.state.end_listeners();
    follower.until("connection to Asterisk's log ended");
    rig.wait_until("the old one is gone", || rig.fake.state.listeners() == 0);
    rig.wait_until("it listens again", || rig.fake.state.listeners() == 1);
    rig.fake.state.say(b"back again");
    follower.until("back again");
}

/// A connection that waits to be taken; `None` if no more may wait.
fn waits_at(path: &std::path::Path) -> Option<std::os::fd::OwnedFd> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
    let socket = socket.expect("a socket");
    let address = SocketAddrUnix::new(path).expect("an address");
    rustix::net::connect(&socket, &address).ok().map(|()| socket)
}

#[test]
fn a_command_is_begun_when_asterisk_takes_it_though_nothing_else_happens() {
    let rig = Rig::new();
    let admin = rig.admin();
    // From here on its password is remembered, and no worker has anything to do.
    assert_eq!(admin.get("/api/session").status, 200);
    let taking = rig.fake.state.taking.lock();
    // As many as may wait there, so that the command is not taken. One of them may be taken a little later.
    let (socket, begun) = (rig.fake.control_socket(), Instant::now());
    let crowd = std::cell::RefCell::new(Vec::new());
    rig.wait_until("all places are taken", || {
        crowd.borrow_mut().extend(waits_at(&socket));
        begun.elapsed() > Duration::from_millis(100)
    });
    let id = rig.begin(&admin, "core show uptime");
    drop((taking, crowd));
    rig.wait_until("it has ended", || {
        admin.get(&format!("/api/console/{id}")).json()["running"] == false
    });
    let run = admin.get(&format!("/api/console/{id}")).json();
    assert!(run["output"].as_str().is_some_and(|text| text.contains("uptime")), "{run}");
}

#[test]
fn a_log_that_is_too_fast_for_a_reader_tells_how_much_they_missed() {
    let rig = Rig::new();
    let admin = rig.admin();
    let mut follower = admin.follow("/api/log/events");
    follower.until("\r\n\r\n");
    rig.wait_until("it listens", || rig.fake.state.listeners() == 1);
    let lines = 3 * LINES_MAX;
    for number in 0..lines {
        rig.fake.state.say(format!("line {number}.").as_bytes());
    }
    follower.until(&format!("line {}.", lines - 1));
    let reply = admin.get("/api/log?after=0").json();
    assert_eq!(reply["missed"], lines - LINES_MAX - 1, "those that are not kept any more");
    assert_eq!(reply["lines"][0]["text"], format!("line {}.", lines - LINES_MAX));
}

#[test]
fn what_asterisk_does_not_take_at_once_is_begun_when_it_does() {
    let rig = Rig::with("[general]\ncommands = 16");
    let admin = rig.admin();
    let taking = rig.fake.state.taking.lock();
    let ids: Vec<u64> = (0..8).map(|_| rig.begin(&admin, "core show uptime")).collect();
    let left = rig.begin(&admin, "core show uptime");
    assert_eq!(admin.send("DELETE", &format!("/api/console/{left}"), "").status, 204);
    let left = admin.get(&format!("/api/console/{left}")).json();
    assert_eq!(left["failure"], "it was left before it began");
    let mut log = admin.follow("/api/log/events");
    log.until("\r\n\r\n");
    std::thread::scope(|threads| {
        let complete = threads.spawn(|| admin.get("/api/console/complete?line=core+show+u"));
        // Long enough to be refused and to wait.
        let begun = Instant::now();
        rig.wait_until("time has passed", || begun.elapsed() > Duration::from_millis(100));
        drop(taking);
        let reply = complete.join().expect("no panic");
        assert_eq!(reply.status, 200, "{reply:?}");
    });
    for id in ids {
        let path = format!("/api/console/{id}");
        rig.wait_until("it has ended", || admin.get(&path).json()["running"] == false);
        let run = admin.get(&path).json();
        assert!(run["output"].as_str().is_some_and(|text| text.contains("uptime")), "{run}");
    }
    rig.wait_until("it listens", || rig.fake.state.listeners() == 1);
    rig.fake.state.say(b"here it is");
    let said = log.until("here it is");
    assert!(!said.contains("trying again"), "{said}");
}

#[test]
fn an_asterisk_without_a_control_socket_is_said_to_have_none() {
    let rig = Rig::new();
    std::fs::remove_file(attendant::Pbx::control_socket(&*rig.fake)).expect("removed");
    let admin = rig.admin();
    let reply = admin.post("/api/console", "{\"command\":\"core show uptime\"}");
    assert!(reply.status == 503 && reply.body.contains("control socket"), "{reply:?}");
    let mut log = admin.follow("/api/log/events");
    log.until("control socket cannot be reached");
}

#[test]
fn a_full_asterisk_is_said_to_be_full() {
    let rig = Rig::new();
    let path = attendant::Pbx::control_socket(&*rig.fake);
    let consoles: Vec<_> = (0..128)
        .map(|_| std::os::unix::net::UnixStream::connect(&path).expect("a console"))
        .collect();
    rig.wait_until("all are taken", || rig.fake.state.consoles.load(Ordering::SeqCst) == 128);
    let run = rig.run(&rig.admin(), "core show uptime");
    assert!(run["failure"].as_str().is_some_and(|why| why.contains("no more consoles")), "{run}");
    rig.fake.state.has_universal.store(true, Ordering::SeqCst);
    let reply = rig.admin().get("/api/variables");
    assert!(reply.status == 503 && reply.body.contains("no more consoles"), "{reply:?}");
    drop(consoles);
}

#[test]
fn it_stops_at_once_whatever_runs() {
    let mut rig = Rig::new();
    let admin = rig.admin();
    rig.begin(&admin, "fake forever");
    rig.fake.state.has_universal.store(true, Ordering::SeqCst);
    rig.fake.state.is_universal_stuck.store(true, Ordering::SeqCst);
    let waiting = admin.begin("GET", "/api/variables", "");
    rig.wait_until("both run", || rig.fake.state.consoles.load(Ordering::SeqCst) == 2);
    let mut feed = admin.follow("/api/events");
    feed.until("event: peers");
    let mut log = admin.follow("/api/log/events");
    log.until("\r\n\r\n");
    let begun = Instant::now();
    rig.stop();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    drop(waiting);
    feed.end();
    log.end();
    assert_eq!(std::sync::Arc::strong_count(&rig.fake), 1, "nothing of it is left");
}
