//! What `pbx_web` must bear in a real Asterisk: commands that never end, crowds, forged names. Calls go on.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tandem_lab::{Asterisk, Lab, wait_for, wait_until};
use tandem_tests::{Identity, Office, Reply, SOON, Web, Wire};

const MINUTE: Duration = Duration::from_secs(60);
/// `commands`, unless said otherwise.
const AT_ONCE: usize = 4;
/// How many answers of a megabyte are asked for at once.
const ANSWERS: usize = 8;
/// How many come at once and say nothing whole: three times as many as are let in, from many addresses, and fewer
/// than the files that a process may usually have open (1024).
const CROWD: usize = 800;
/// How many of them come from each address.
const FROM_ONE: usize = 50;

/// Loads the wrapper's example, which has commands that hang and flood.
fn load_look(a: &Asterisk) -> Result<()> {
    let look = Lab::built_module()?.with_file_name("examples").join("liblook.so");
    a.install_module("look.so", &look)?;
    let answer = a.cli("module load look.so")?;
    ensure!(answer.contains("Loaded"), "{answer}");
    Ok(())
}

#[test]
fn commands_that_never_end_hold_nothing_up_not_even_an_unload() -> Result<()> {
    let lab = Office::lab("web-hang").start()?;
    let a = lab.a();
    load_look(a)?;
    let office = Office::open(a)?;
    let admin = office.as_admin();
    let begin = || admin.post("/api/console", &json!({ "command": "look hang" }));
    for _ in 0..AT_ONCE {
        assert_eq!(begin()?.status, 202);
    }
    assert_eq!(begin()?.status, 429, "no more at once");
    wait_for("it is seen to run", SOON, &a.log(), || {
        let first = admin.get("/api/console/1").ok().and_then(|reply| reply.json().ok());
        Ok(first.filter(|one| one["running"] == true && one["output"] == "hanging\n"))
    })?;
    assert_eq!(admin.get("/api/status")?.status, 200, "all else goes on");

    // Asterisk cannot cancel one, but nobody has to wait for it.
    let left = delete(&admin, "/api/console/1")?;
    assert_eq!(left, 204);
    assert!(office.run("core show uptime")?.contains("System uptime"));
    assert_eq!(begin()?.status, 202);

    let begun = Instant::now();
    office.unload()?;
    assert!(begun.elapsed() < Duration::from_secs(5), "took {:?}", begun.elapsed());
    assert!(!a.maps_contains("pbx_web")?);
    assert!(a.maps_contains("look.so")?, "the commands still hang");
    a.cli("look release")?;
    Ok(())
}

fn delete(web: &Web, path: &str) -> Result<u16> {
    let mut wire = web.connect()?;
    wire.write_all(web.request("DELETE", path, None).as_bytes())?;
    let mut answer = String::new();
    wire.read_to_string(&mut answer)?;
    Ok(answer.split(' ').nth(1).context("a status")?.parse()?)
}

#[test]
fn ten_megabytes_of_output_are_cut_and_the_page_says_so() -> Result<()> {
    let lab = Office::lab("web-flood").start()?;
    let a = lab.a();
    load_look(a)?;
    let office = Office::open(a)?;
    let admin = office.as_admin();
    assert_eq!(admin.post("/api/console", &json!({ "command": "look flood" }))?.status, 202);
    let ended = wait_for("it has printed all", 2 * SOON, &a.log(), || {
        let now = admin.get("/api/console/1").ok().and_then(|reply| reply.json().ok());
        Ok(now.filter(|one| one["running"] == false))
    })?;
    let kept = ended["output"].as_str().unwrap_or_default().len();
    let (whole, most) = (10 * 1024 * 1024_u64, 1024 * 1024);
    assert!(kept > most / 2 && kept <= most, "{kept}");
    // Asterisk itself drops lines that it cannot hand over within 0.1 s, on a machine that is busy.
    let all = kept as u64 + ended["dropped_bytes"].as_u64().context("a number")?;
    assert!(all <= whole && all > whole / 10 * 9, "{all}");
    Ok(())
}

#[test]
fn whoever_reads_late_over_tls_gets_every_byte_and_nobody_waits_for_them() -> Result<()> {
    let lab = Office::lab("web-late").start()?;
    let a = lab.a();
    load_look(a)?;
    let mut office = Office::found(a)?;
    let identity = Arc::new(Identity::make(IpAddr::V4(a.address()))?);
    a.write_file("web.pem", identity.pem())?;
    office.configure("tlsenable = yes\ntlscertfile = web.pem", "permit = 127.0.0.0/8\n")?;
    office.over_tls(&identity);
    let printed = office.run("look flood")?;

    // More than the system takes of it before anybody reads.
    let admin = office.as_admin();
    let request = admin.request("GET", "/api/console/1", None).replace("Connection: close\r\n", "");
    let mut wire = admin.connect()?;
    for _ in 0..ANSWERS {
        wire.write_all(request.as_bytes())?;
    }
    for _ in 0..ANSWERS {
        assert_eq!(admin.get("/api/status")?.status, 200);
    }
    let mut late = BufReader::new(wire);
    for _ in 0..ANSWERS {
        assert!(Reply::read(&mut late)?.json()?["output"] == printed.as_str());
    }
    Ok(())
}

#[test]
fn a_crowd_that_says_nothing_whole_keeps_nobody_out_and_no_call_notices() -> Result<()> {
    let lab = Office::lab("web-crowd").start()?;
    let a = lab.a();
    let office = Office::open(a)?;
    let desk = lab.phone("200").tone_hz(440).start()?;
    desk.register_at(a, MINUTE)?;
    let caller = lab.phone("202").start()?;
    caller.register_at(a, MINUTE)?;
    caller.dial(a, "200")?;
    caller.wait_established(SOON)?;

    let mut crowd: Vec<Box<dyn Wire>> = Vec::new();
    for number in 0..CROWD {
        let from = Ipv4Addr::new(127, 1, 0, u8::try_from(number / FROM_ONE)? + 100);
        let Ok(mut wire) = office.web().from(IpAddr::V4(from)).connect() else { continue };
        // Half a request each, as Slowloris sends it.
        let _may_be_closed_already = wire.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ");
        crowd.push(wire);
    }
    assert!(crowd.len() > CROWD / 2, "{} have come", crowd.len());
    let someone = office.as_viewer();
    let begun = Instant::now();
    assert_eq!(someone.get("/api/status")?.status, 200);
    assert!(begun.elapsed() < Duration::from_secs(5), "took {:?}", begun.elapsed());
    caller.wait_tone(440, SOON)?;
    assert!(a.cli("core show channels count")?.contains("2 active channels"));
    drop(crowd);
    assert_eq!(someone.get("/api/status")?.status, 200);
    Ok(())
}

#[test]
fn its_threads_are_not_real_time_where_asterisk_is() -> Result<()> {
    let lab = Office::lab("web-priority")
        .server("A", |server| {
            server.replace("asterisk.conf", "[options]", "[options]\nhighpriority = yes")
        })
        .start()?;
    let a = lab.a();
    let office = Office::open(a)?;
    assert_eq!(office.as_viewer().get("/api/status")?.status, 200);
    let (mut seen, mut others) = (Vec::new(), 0);
    for task in std::fs::read_dir(format!("/proc/{}/task", a.pid()?))? {
        // One of Asterisk's may have ended meanwhile.
        let Ok(stat) = std::fs::read_to_string(task?.path().join("stat")) else { continue };
        let (name, rest) = stat.rsplit_once(')').context("a name")?;
        // proc(5): the state is the third field, the policy the 41st; 2 is SCHED_RR.
        let policy = rest.split_whitespace().nth(41 - 3).context("a policy")?;
        if !name.contains("(pbx_web") {
            others += usize::from(policy == "2");
            continue;
        }
        assert_eq!(policy, "0", "{stat}");
        seen.push(name.rsplit('(').next().unwrap_or_default().to_owned());
    }
    if others == 0 {
        eprintln!("this machine lets nobody be real-time, so little is shown here");
    }
    seen.sort();
    let workers = ["pbx_web-work"; 5];
    assert_eq!(seen, [&["pbx_web"], &workers[..]].concat());
    Ok(())
}

#[test]
fn forged_names_and_pages_elsewhere_get_nothing_and_mapped_addresses_are_what_they_are()
-> Result<()> {
    let lab = Office::lab("web-forged").start()?;
    let a = lab.a();
    let office = Office::found(a)?;
    // An IPv4 address in an IPv6 one, as all are on a socket for both.
    let bind = format!("::ffff:{}", a.address());
    let acl = "deny = 127.0.0.5\npermit = 127.0.0.0/8\n";
    office.configure_at(&bind, "hostnames = pbx.example.org", acl)?;
    let from = |last: u8| office.as_viewer().from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
    assert_eq!(from(4).get("/api/status")?.status, 200);
    assert!(from(5).get("/api/status").is_err(), "the rule is about that address");

    let admin = || office.as_admin();
    assert_eq!(admin().with("Host", "pbx.example.org").get("/api/status")?.status, 200);
    assert_eq!(admin().with("Host", "evil.example.net").get("/api/status")?.status, 421);
    let here = format!("http://{}", office.address());
    let command = json!({ "command": "core show version" });
    let at = |origin: &str| admin().with("Origin", origin).post("/api/console", &command);
    assert_eq!(at("http://evil.example.net")?.status, 403);
    assert_eq!(at("null")?.status, 403);
    assert_eq!(at(&here)?.status, 202);
    Ok(())
}

#[test]
fn heads_that_are_none_are_refused_and_requests_in_one_go_are_answered_in_turn() -> Result<()> {
    let lab = Office::lab("web-heads").start()?;
    let a = lab.a();
    let office = Office::open(a)?;
    let say = |bytes: &[u8]| -> Result<String> {
        let mut wire = office.web().connect()?;
        wire.write_all(bytes)?;
        let mut said = Vec::new();
        let _may_be_reset = wire.read_to_end(&mut said);
        Ok(String::from_utf8_lossy(&said).into_owned())
    };
    let long = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(64 * 1024));
    let two_lengths =
        "POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab";
    for (bad, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("BREW / HTTP/1.1\r\nHost: x\r\n\r\n", "501"),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", "400"),
        (two_lengths, "400"),
        (long.as_str(), "431"),
        ("POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", "413"),
    ] {
        let said = say(bad.as_bytes())?;
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{bad:.60}: {said:.200}");
    }
    let one = format!("GET /login HTTP/1.1\r\nHost: {}\r\n\r\n", office.address());
    let last = office.web().request("GET", "/nothing", None);
    let said = say(format!("{one}{one}{last}").as_bytes())?;
    let statuses: Vec<_> =
        said.match_indices("HTTP/1.1 ").map(|(at, _)| &said[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "200", "404"]);
    wait_until("it goes on", SOON, &a.log(), || {
        Ok(office.as_viewer().get("/api/status").is_ok_and(|reply| reply.status == 200))
    })?;
    Ok(())
}
