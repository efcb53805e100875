//! `pbx_web` in a real Asterisk: who comes in, what they see, and what they may do.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;
use tandem_lab::{LabBuilder, wait_for};
use tandem_tests::{Identity, Office, Reply, SOON, Web};

const MINUTE: Duration = Duration::from_secs(60);

/// A lab with server A alone, whose log has security events in it, to be changed before it starts.
fn lab(name: &str) -> LabBuilder {
    Office::lab(name).server("A", |server| {
        server.load("res_security_log").replace("logger.conf", "verbose(3)", "verbose(3),security")
    })
}

#[test]
fn it_is_off_until_there_is_a_user_and_then_lets_in_whoever_has_the_password() -> Result<()> {
    let lab = lab("web-login").start()?;
    let a = lab.a();
    let office = Office::found(a)?;
    assert!(a.cli("pbx_web show status")?.contains("Serves nothing: there is no user"));
    assert!(TcpStream::connect(office.address()).is_err(), "nobody listens");

    office.configure("", "permit = 127.0.0.0/8\n")?;
    let status = a.cli("pbx_web show status")?;
    let here = format!("Serves http://{}/\n", office.address());
    assert!(status.contains(&here) && status.contains("Users: 2\n"), "{status}");

    let web = office.web();
    assert_eq!(web.get("/api/status")?.status, 401);
    let home = web.get("/")?;
    assert_eq!((home.status, home.header("location")), (303, Some("/login")));
    let page = web.get("/login")?;
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").context("a policy")?;
    assert!(policy.starts_with("default-src 'none'"), "{policy}");

    let wrong = web.post("/api/session", &json!({ "user": "root", "password": "wrong" }))?;
    assert_eq!(wrong.status, 401);
    let (user, password) = (&office.admin().name, &office.admin().password);
    let login = web.post("/api/session", &json!({ "user": user, "password": password }))?;
    let session = login.json()?;
    assert_eq!(session["role"], "admin");
    let cookie = login.header("set-cookie").context("a cookie")?;
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let known = web.with("Cookie", cookie.split(';').next().unwrap_or_default());
    let status = known.get("/api/status")?.json()?;
    assert!(status["system"]["version"].as_str().is_some_and(|v| v.starts_with("22.")), "{status}");
    assert_eq!(status["system"]["system_name"], "A");
    assert_eq!(status["system"]["pid"], a.pid()?);
    assert_eq!(status["universal"], false);

    // A cookie alone changes nothing: another page could have it sent.
    let command = json!({ "command": "core show version" });
    assert_eq!(known.post("/api/console", &command)?.status, 403);
    let csrf = session["csrf"].as_str().context("a token")?;
    assert_eq!(known.with("X-CSRF-Token", csrf).post("/api/console", &command)?.status, 202);
    assert_eq!(lab.warnings()?.iter().filter(|line| !line.contains("wrong name")).count(), 0);
    Ok(())
}

#[test]
fn the_sample_is_read_without_a_mistake_and_serves_nobody() -> Result<()> {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/pbx_web.conf.sample");
    let lab = lab("web-sample").start()?;
    let a = lab.a();
    a.write_file("pbx_web.conf", &std::fs::read_to_string(sample)?)?;
    let _office = Office::found(a)?;
    assert!(a.cli("pbx_web show status")?.contains("Serves nothing: there is no user"));
    assert_eq!(lab.warnings()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn a_mistake_in_the_file_or_a_port_that_is_taken_keeps_it_from_loading_and_says_why() -> Result<()>
{
    let lab = lab("web-decline").start()?;
    let a = lab.a();
    let office = Office::open(a)?;
    office.unload()?;
    let good = a.read_file("pbx_web.conf")?;
    office.write(&good.replace("[acl]", "[acls]"))?;
    assert!(office.load().is_err());
    a.wait_log("[acls]: there is no section of that name", SOON)?;
    a.wait_log("pbx_web: not loaded: pbx_web.conf has 1 mistake(s)", SOON)?;

    office.write(&good)?;
    let squatter = TcpListener::bind(office.address())?;
    assert!(office.load().is_err());
    a.wait_log("cannot be listened at: Address already in use", SOON)?;
    drop(squatter);
    office.load()?;
    assert_eq!(office.as_viewer().get("/api/status")?.status, 200);

    // What the next start would fail at is refused now, though TLS needs that start.
    office.write(&good.replace("[users]", "tlsenable = yes\ntlscertfile = /nope.pem\n[users]"))?;
    assert!(office.reload().is_err());
    a.wait_log("TLS of pbx_web.conf: ", SOON)?;
    office.write(&good)?;
    office.reload()?;
    assert!(!a.log_text()?.contains("tls of pbx_web.conf is another now"), "nothing was changed");

    // Nor does a file that is gone, or cannot be read, lock everybody out.
    let path = a.home().join("etc/pbx_web.conf");
    std::fs::remove_file(&path)?;
    assert!(office.reload().is_err());
    a.wait_log("/etc/pbx_web.conf any more; put it back", SOON)?;
    std::fs::create_dir(&path)?;
    assert!(office.reload().is_err());
    a.wait_log("pbx_web.conf cannot be read: it is no regular file", SOON)?;
    assert_eq!(office.as_viewer().get("/api/status")?.status, 200);
    office.unload()?;
    assert!(office.load().is_err(), "nor is it taken for one that is not there");
    std::fs::remove_dir(&path)?;
    office.load()?;
    assert!(a.cli("pbx_web show status")?.contains("Serves nothing: there is no user"));
    office.reload()?;
    office.write(&good)?;
    office.reload()?;
    assert_eq!(office.as_viewer().get("/api/status")?.status, 200);

    // Without users there is nobody to let in, and it is not hidden.
    office.write("[general]\n")?;
    office.reload()?;
    assert!(office.as_viewer().get("/api/status").is_err());
    assert!(a.cli("pbx_web show status")?.contains("Lets nobody in: there is no user"));
    a.wait_log("there is no user in pbx_web.conf any more", SOON)?;
    Ok(())
}

#[test]
fn a_call_its_phones_and_the_modules_are_on_the_pages() -> Result<()> {
    let lab = lab("web-call").start()?;
    let a = lab.a();
    let office = Office::open(a)?;
    let viewer = office.as_viewer();
    let desk = lab.phone("200").start()?;
    desk.register_at(a, MINUTE)?;
    let caller = lab.phone("202").start()?;
    caller.register_at(a, MINUTE)?;
    assert_eq!(viewer.get("/api/channels")?.json()?, json!({ "channels": [] }));

    // The feed tells at once.
    let mut wire = viewer.connect()?;
    wire.write_all(viewer.request("GET", "/api/events", None).as_bytes())?;
    let mut feed = BufReader::new(wire);
    assert_eq!(Reply::read_head(&mut feed)?.header("content-type"), Some("text/event-stream"));
    caller.dial(a, "200")?;
    desk.wait_established(SOON)?;
    let begun = Instant::now();
    let is_bridged = |line: &str| line.matches("\"state\":\"Up\"").count() == 2;
    // Something is said every 15 s, so this ends.
    let mut in_time = feed.lines().take_while(|_| begun.elapsed() < SOON);
    in_time
        .find(|line| line.as_ref().is_ok_and(|line| is_bridged(line)))
        .context("both are up")??;

    let channels = wait_for("both channels are in a bridge", SOON, &a.log(), || {
        let now = viewer.get("/api/channels").ok().and_then(|reply| reply.json().ok());
        let all = now.and_then(|now| now["channels"].as_array().cloned()).unwrap_or_default();
        Ok((all.len() == 2 && all.iter().all(|one| one["bridge_id"] != "")).then_some(all))
    })?;
    let leg = |number: &str| {
        let name = format!("PJSIP/{number}-");
        channels.iter().find(|one| one["name"].as_str().is_some_and(|is| is.starts_with(&name)))
    };
    let (from, to) = (leg("202").context("a caller")?, leg("200").context("a callee")?);
    assert_eq!(from["application"], "Dial");
    assert_eq!(from["extension"], "200");
    assert_eq!(from["linked_id"], to["linked_id"]);
    assert_eq!(from["bridge_id"], to["bridge_id"]);

    let peers = viewer.get("/api/peers")?.json()?;
    let all = peers["peers"].as_array().context("peers")?;
    let peer =
        |tech: &str, name: &str| all.iter().find(|p| p["tech"] == tech && p["resource"] == name);
    let desk_peer = peer("PJSIP", "200").context("a desk phone")?;
    assert_eq!(
        (&desk_peer["state"], &desk_peer["channels"][0]),
        (&json!("online"), &to["unique_id"])
    );
    let contact = desk_peer["contacts"][0].as_str().unwrap_or_default();
    assert!(contact.contains(&desk.address().to_string()), "{contact}");
    assert_eq!(peer("IAX2", "201").context("an IAX2 peer")?["contacts"], json!([]));

    let modules = viewer.get("/api/modules")?.json()?;
    let all = modules["modules"].as_array().context("modules")?;
    let own = all.iter().find(|module| module["name"] == "pbx_web.so").context("our own")?;
    assert_eq!((&own["status"], &own["support"]), (&json!("Running"), &json!("extended")));
    Ok(())
}

#[test]
fn an_administrator_runs_commands_and_reads_the_log_and_a_viewer_does_not() -> Result<()> {
    // What is said on consoles is what the page shows.
    let lab = lab("web-console")
        .server("A", |server| {
            server.append("logger.conf", "console => notice,warning,error,verbose\n")
        })
        .start()?;
    let a = lab.a();
    let office = Office::open(a)?;
    let output = office.run("core show version")?;
    assert!(output.starts_with("Asterisk 22."), "{output}");
    let complete = office.as_admin().get("/api/console/complete?line=core%20show%20upt")?.json()?;
    assert_eq!(complete["candidates"], json!(["uptime"]));
    // What it does is on Asterisk's own console, too.
    a.wait_log("root from 127.0.0.1 runs: core show version", SOON)?;

    let viewer = office.as_viewer();
    let refused = viewer.post("/api/console", &json!({ "command": "core stop now" }))?;
    assert_eq!(refused.status, 403);
    for path in ["/api/console", "/api/log", "/api/log/events", "/api/console/complete?line=x"] {
        assert_eq!(viewer.get(path)?.status, 403, "{path}");
    }
    a.wait_log("SecurityEvent=\"RequestNotAllowed\"", SOON)?;
    assert!(a.cli("core show uptime")?.contains("System uptime"), "it still runs");

    let admin = office.as_admin();
    let mut wire = admin.connect()?;
    wire.write_all(admin.request("GET", "/api/log/events", None).as_bytes())?;
    let mut log = BufReader::new(wire);
    assert_eq!(Reply::read_head(&mut log)?.status, 200);
    let lines = log.lines();
    // Whoever follows hears what comes from when Asterisk's console is there: say it until then.
    let heard = |line: &str| line.contains("Reloading module 'pbx_config.so'");
    std::thread::scope(|scope| -> Result<()> {
        let listener = scope.spawn(move || {
            let begun = Instant::now();
            // Something is said every 15 s, so this ends.
            let mut in_time = lines.take_while(|_| begun.elapsed() < SOON);
            in_time.find_map(|line| line.ok().filter(|line| heard(line))).context("a line")
        });
        wait_for("the line is heard", SOON, &a.log(), || {
            a.cli("module reload pbx_config.so")?;
            Ok(listener.is_finished().then_some(()))
        })?;
        let line = listener.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        assert!(line.starts_with("data: "), "{line}");
        Ok(())
    })
}

#[test]
fn the_access_list_is_asked_first_in_its_order_and_a_reload_changes_it() -> Result<()> {
    let lab = lab("web-acl").start()?;
    let a = lab.a();
    let office = Office::open(a)?;
    let from = |last: u8| office.as_viewer().from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
    let is_let_in = |web: &Web| web.get("/api/status").is_ok_and(|reply| reply.status == 200);
    assert!(is_let_in(&from(5)) && is_let_in(&from(1)));

    office.configure("", "permit = 127.0.0.1\ndeny = 127.0.0.0/8\npermit = 0.0.0.0/0\n")?;
    assert!(is_let_in(&from(1)), "the first that matches decides");
    assert!(!is_let_in(&from(5)), "and not the last, as in Asterisk's own lists");
    a.wait_log("SecurityEvent=\"FailedACL\"", SOON)?;
    let log = a.log_text()?;
    let line = log.lines().find(|line| line.contains("FailedACL")).unwrap_or_default();
    assert!(line.contains("RemoteAddress=\"IPV4/TCP/127.0.0.5/"), "{line}");
    assert!(
        line.contains("ACLName=\"pbx_web.conf\"") && line.contains("Module=\"pbx_web\""),
        "{line}"
    );

    // A mistake in the file changes nothing, and says where it is.
    let before = a.cli("pbx_web show status")?;
    assert!(office.configure("", "permit = 127.0.0.0/33\n").is_err());
    a.wait_log("[acl]: \"127.0.0.0/33\" is no address and no network", SOON)?;
    let but_age = |status: &str| -> Vec<String> {
        let lines = status.lines().filter(|line| !line.starts_with("Since "));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(but_age(&a.cli("pbx_web show status")?), but_age(&before));
    assert!(is_let_in(&from(1)) && !is_let_in(&from(5)));
    // Nor does one that Asterisk's reader would only skip, here or in another file.
    assert!(office.configure("", "deny 127.0.0.1\npermit = 0.0.0.0/0\n").is_err());
    a.wait_log("[acl]: there is no = in this line", SOON)?;
    a.write_file("more.conf", "deny 127.0.0.1\n")?;
    assert!(office.configure("", "#include more.conf\npermit = 0.0.0.0/0\n").is_err());
    a.wait_log("more.conf:1 [acl]: there is no = in this line", SOON)?;
    assert!(office.configure("", "#exec /bin/true\npermit = 0.0.0.0/0\n").is_err());
    a.wait_log("[acl]: #exec is skipped", SOON)?;
    assert!(is_let_in(&from(1)) && !is_let_in(&from(5)));

    // A port needs a new start, and says so.
    office.configure("port = 8012", "permit = 127.0.0.5\n")?;
    a.wait_log("port of pbx_web.conf is another now, which needs a new start", SOON)?;
    assert!(!is_let_in(&from(1)) && is_let_in(&from(5)));

    // Nor is it hidden that nobody is let in.
    office.configure("", "deny = 127.0.0.5\n")?;
    a.wait_log("[acl] has no permit, so nobody is let in", SOON)?;
    assert!(!is_let_in(&from(1)) && !is_let_in(&from(5)));
    Ok(())
}

#[test]
fn a_rule_that_asterisk_would_drop_with_the_rest_of_an_included_file_is_not_lost() -> Result<()> {
    let lab = lab("web-dropped").start()?;
    let a = lab.a();
    let office = Office::open(a)?;
    let is_let_in = |last: u8| {
        let web = office.as_viewer().from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
        web.get("/api/status").is_ok_and(|reply| reply.status == 200)
    };
    let include = |file: &str| format!("#include {file}\npermit = 127.0.0.0/8\n");
    a.write_file("blocked.conf", "deny = 127.0.0.5\ndeny = 127.0.0.6\n")?;
    office.configure("", &include("blocked.conf"))?;
    assert!(is_let_in(4) && !is_let_in(5) && !is_let_in(6));

    // Asterisk tells whoever included it of none of these.
    for (bad, said) in [
        ("#include more-blocked.conf", "etc/more-blocked.conf\", and Asterisk reads no more"),
        ("[acl", "blocked.conf:2 [acl]: there is no ]"),
        ("[acl](", "blocked.conf:2 [acl]: there is no )"),
        ("[acl](nobase)", "blocked.conf:2 [acl]: there is no [nobase]"),
        ("[nobody](+)", "there is no [nobody] before this line to add to (a template is none)"),
        ("\\ deny = 127.0.0.7", "blocked.conf:2 [acl]: nothing that may be escaped"),
        ("#include blocked.conf", "files include each other more than 10 deep"),
        ("#tryinclude .", "etc/.\" cannot be read: it is no regular file"),
    ] {
        a.write_file("blocked.conf", &format!("deny = 127.0.0.5\n{bad}\ndeny = 127.0.0.6\n"))?;
        assert!(office.reload().is_err(), "{bad}");
        a.wait_log(said, SOON)?;
        assert!(is_let_in(4) && !is_let_in(5) && !is_let_in(6), "{bad}");
    }

    // Nor does a file of a pattern that no line comes from go unseen.
    let folder = a.home().join("etc/b.d");
    std::fs::create_dir(&folder)?;
    a.write_file("b.d/1.conf", "deny = 127.0.0.5\n")?;
    a.write_file("b.d/2.conf", "deny = 127.0.0.6\n")?;
    office.configure("", &include("b.d/*.conf"))?;
    assert!(is_let_in(4) && !is_let_in(5) && !is_let_in(6));
    a.write_file("b.d/2.conf", "deny 127.0.0.6\n")?;
    assert!(office.reload().is_err());
    a.wait_log("b.d/2.conf:1 [acl]: there is no = in this line", SOON)?;
    a.write_file("b.d/2.conf", ";\ndeny = 127.0.0.6/33\n")?;
    assert!(office.reload().is_err());
    a.wait_log("b.d/2.conf:2 [acl]: \"127.0.0.6/33\" is no address and no network", SOON)?;
    std::fs::remove_file(folder.join("2.conf"))?;
    std::os::unix::fs::symlink("gone", folder.join("2.conf"))?;
    assert!(office.reload().is_err());
    a.wait_log("b.d/2.conf\" cannot be read: No such file", SOON)?;
    assert!(office.configure("", &include("{b.d,c.d}/1.conf")).is_err());
    a.wait_log("is a pattern that is not understood here", SOON)?;
    assert!(is_let_in(4) && !is_let_in(5) && !is_let_in(6));
    Ok(())
}

#[test]
fn wrong_passwords_are_in_the_security_log_and_have_to_wait() -> Result<()> {
    let lab = lab("web-guess").start()?;
    let a = lab.a();
    let office = Office::open(a)?;
    let guess = |password: &str| -> Result<Reply> {
        office.admin().claims(office.web(), password).get("/api/status")
    };
    assert_eq!(guess("not it")?.status, 401);
    a.wait_log("SecurityEvent=\"InvalidPassword\"", SOON)?;
    let log = a.log_text()?;
    let line = log.lines().find(|line| line.contains("InvalidPassword")).unwrap_or_default();
    let local = format!("LocalAddress=\"IPV4/TCP/{}/8011\"", a.address());
    for part in
        ["Service=\"pbx_web\"", "AccountID=\"root\"", "RemoteAddress=\"IPV4/TCP/127.0.0.1/", &local]
    {
        assert!(line.contains(part), "no {part} in {line}");
    }
    assert!(!log.contains("not it"), "a password is nobody's business");
    let nobody =
        office.web().post("/api/session", &json!({ "user": "x\",Y=\"", "password": "z" }))?;
    assert_eq!(nobody.status, 401);
    a.wait_log("SecurityEvent=\"InvalidAccountID\"", SOON)?;
    assert!(!a.log_text()?.contains("AccountID=\"x\",Y=\""), "no name can forge a field");

    // So long that it has to wait still when it is asked again, however slow the machine is.
    let waits = wait_for("a guesser has to wait for long", 2 * SOON, &a.log(), || {
        let is_long = |reply: &Reply| {
            reply.header("retry-after").is_some_and(|wait| wait.parse().is_ok_and(|s: u64| s >= 3))
        };
        Ok(guess("nor this").ok().filter(is_long))
    })?;
    assert_eq!(waits.status, 429, "{waits:?}");
    a.wait_log("SecurityEvent=\"SessionLimit\"", SOON)?;
    // So has whoever knows it, from there; from elsewhere they come in.
    assert_eq!(office.as_admin().get("/api/status")?.status, 429);
    let elsewhere = office.as_admin().from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9)));
    assert_eq!(elsewhere.get("/api/status")?.status, 200);
    a.wait_log("SecurityEvent=\"SuccessfulAuth\"", SOON)?;
    Ok(())
}

#[test]
fn over_tls_it_is_the_server_of_the_certificate_and_a_reload_brings_another() -> Result<()> {
    let lab = lab("web-tls").start()?;
    let a = lab.a();
    let mut office = Office::found(a)?;
    let first = Arc::new(Identity::make(IpAddr::V4(a.address()))?);
    let write = |identity: &Identity| -> Result<()> {
        let key = identity.pem().find("-----BEGIN PRIVATE").context("a key")?;
        a.write_file("web.crt", &identity.pem()[..key])?;
        Ok(a.write_file("web.key", &identity.pem()[key..])?)
    };
    write(&first)?;
    let tls = "tlsenable = yes\ntlscertfile = web.crt\ntlsprivatekey = web.key";
    office.configure(tls, "permit = 127.0.0.0/8\n")?;
    office.over_tls(&first);
    let (user, password) = (office.viewer().name.clone(), office.viewer().password.clone());
    let login =
        office.web().post("/api/session", &json!({ "user": user, "password": password }))?;
    assert_eq!(login.json()?["role"], "viewer");
    assert!(
        login.header("set-cookie").is_some_and(|cookie| cookie.contains("Secure")),
        "{login:?}"
    );
    assert_eq!(office.as_viewer().get("/api/peers")?.status, 200);
    a.wait_log("RemoteAddress=\"IPV4/TLS/127.0.0.1/", SOON)?;
    assert!(
        a.cli("pbx_web show status")?.contains(&format!("Serves https://{}/", office.address()))
    );

    // Who does not speak it gets no answer, and holds nobody up.
    let mut plain = TcpStream::connect(office.address())?;
    plain.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let mut said = Vec::new();
    let _broken_off = plain.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
    assert_eq!(
        first_bytes(&office, &OLD_HELLO)?[..],
        [0x15, 3, 1, 0, 2, 2, 70],
        "protocol_version"
    );
    assert_eq!(first_bytes(&office, &[0x16, 3, 1, 0xff, 0xff, 0])?[0], 0x15, "too long a record");
    let _waits_with_its_handshake = TcpStream::connect(office.address())?;
    assert_eq!(office.as_viewer().get("/api/status")?.status, 200);

    let second = Arc::new(Identity::make(IpAddr::V4(a.address()))?);
    assert!(second.connect(office.address()).is_err(), "it is the first one still");
    write(&second)?;
    office.reload()?;
    assert!(first.connect(office.address()).is_err(), "it is another now");
    office.over_tls(&second);
    assert_eq!(office.as_viewer().get("/api/status")?.status, 200);

    // One that cannot be read changes nothing.
    a.write_file("web.crt", "no certificate\n")?;
    assert!(office.reload().is_err());
    assert_eq!(office.as_viewer().get("/api/status")?.status, 200);
    Ok(())
}

/// A ClientHello of TLS 1.0 (RFC 2246), with one cipher: a record, the message, its version, a random number of
/// zeroes, no session, TLS_RSA_WITH_AES_128_CBC_SHA, no compression.
const OLD_HELLO: [u8; 50] = {
    let mut hello = [0; 50];
    let (start, end) = ([0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 1], [0, 0, 2, 0, 0x2f, 1, 0]);
    let mut at = 0;
    while at < start.len() {
        hello[at] = start[at];
        at += 1;
    }
    at = 0;
    while at < end.len() {
        hello[hello.len() - end.len() + at] = end[at];
        at += 1;
    }
    hello
};

/// What the server says to these bytes, until it closes the connection.
fn first_bytes(office: &Office<'_>, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut socket = TcpStream::connect(office.address())?;
    socket.set_read_timeout(Some(SOON))?;
    socket.write_all(bytes)?;
    let _may_be_gone = socket.shutdown(std::net::Shutdown::Write);
    let mut said = Vec::new();
    let _may_be_reset = socket.read_to_end(&mut said);
    Ok(said)
}

#[test]
fn it_is_looked_at_and_run_from_a_browser() -> Result<()> {
    let turned = "[bidi\u{202e}name]\ntype = endpoint\n";
    let lab =
        lab("web-browser").server("A", |server| server.append("pjsip.conf", turned)).start()?;
    let a = lab.a();
    let office = Office::open(a)?;
    let browser = lab.browser()?;
    let log_in = |user: &tandem_tests::User| -> Result<()> {
        browser.fill("Name", &user.name)?;
        browser.fill("Password", &user.password)?;
        Ok(browser.click("button", "Log in")?)
    };
    browser.open(&format!("http://{}/", office.address()))?;
    log_in(office.admin())?;
    browser.see("heading", "Status")?;
    browser.see("row", "chan_pjsip.so PJSIP Channel Driver")?;

    let desk = lab.phone("200").start()?;
    desk.register_at(a, MINUTE)?;
    let caller = lab.phone("202").start()?;
    caller.register_at(a, MINUTE)?;
    caller.dial(a, "200")?;
    caller.wait_established(SOON)?;
    let page = |name: &str| {
        browser.step(&json!({ "do": "click", "role": "link", "name": name, "exact": false }))
    };
    page("Calls")?;
    browser.see("row", "PJSIP/202-")?;
    caller.hang_up()?;
    browser.see_gone("row", "PJSIP/202-")?;
    page("Peers")?;
    browser.step(&json!({ "do": "see", "role": "row", "matches": "^200 PJSIP .*online" }))?;
    browser.see("row", r"bidi\u{202e}name PJSIP")?;

    page("Console")?;
    let write = |text: &str| {
        browser.step(&json!({ "do": "fill", "role": "combobox", "name": "command", "exact": false,
                              "value": text }))
    };
    write("core show upt")?;
    browser.step(&json!({ "do": "press", "key": "Tab" }))?;
    let completed = browser.step(&json!({ "do": "evaluate", "script":
        "new Promise((told) => {
            const end = performance.now() + 10_000;
            const look = () => {
                const is = document.getElementById('command').value.startsWith('core show uptime');
                if (is || performance.now() > end) told(is); else requestAnimationFrame(look);
            };
            look();
        })" }))?;
    assert_eq!(completed, true, "Asterisk's own completion");
    browser.step(&json!({ "do": "press", "key": "Enter" }))?;
    browser.see_text("System uptime:")?;
    write("core show turned\u{202e}about")?;
    browser.step(&json!({ "do": "press", "key": "Enter" }))?;
    browser.see_text(r"No such command 'core show turned\u{202e}about'")?;
    let has_lines = json!({ "do": "evaluate", "script":
        "document.querySelector('.run pre').textContent.trim().includes('\\n')" });
    assert_eq!(browser.step(&has_lines)?, true, "lines stay lines");
    page("Log")?;
    browser.see("heading", "Log")?;

    browser.click("button", "Log out")?;
    log_in(office.viewer())?;
    browser.see("heading", "Status")?;
    let consoles = json!({ "do": "count", "role": "link", "name": "Console" });
    assert_eq!(browser.step(&consoles)?, 0, "a viewer has none");
    let complaints = browser.complaints()?;
    assert!(complaints.is_empty(), "{complaints:#?}");
    Ok(())
}
