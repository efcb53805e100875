//! Who gets in, and how far: passwords, sessions, roles, access lists, names and origins.

use std::time::{Duration, Instant};

use crate::rig::{PASSWORD, PATIENCE, Reply, Rig, admin_line};
use attendant::{Role, Security, new_user};

#[test]
fn nobody_gets_anything_but_the_door() {
    let rig = Rig::new();
    let nobody = rig.nobody();
    for path in [
        "session",
        "status",
        "modules",
        "channels",
        "peers",
        "registrations",
        "variables",
        "events",
        "console",
        "console/1",
        "console/1/events",
        "console/complete",
        "log",
        "log/events",
    ] {
        assert_eq!(nobody.get(&format!("/api/{path}")).status, 401, "{path}");
    }
    for path in ["/", "/plain"] {
        let reply = nobody.get(path);
        assert_eq!((reply.status, reply.field("Location")), (303, "/login"), "{path}");
    }
    for path in ["/login", "/app.css", "/app.js", "/icon.svg"] {
        assert_eq!(nobody.get(path).status, 200, "{path}");
    }
    assert_eq!(nobody.get("/api/nothing").status, 404);
}

#[test]
fn programs_come_with_a_name_and_a_password() {
    let rig = Rig::new();
    let reply = rig.admin().get("/api/session");
    assert_eq!((reply.status, &reply.json()["role"]), (200, &"admin".into()));
    assert!(reply.field("Set-Cookie").is_empty(), "a program has no session");
    assert_eq!(rig.program("admin", "wrong password").get("/api/status").status, 401);
    assert_eq!(rig.program("nobody", PASSWORD).get("/api/status").status, 401);
    assert_eq!(rig.fake.state.events(Security::SuccessfulAuth), 1);
    assert_eq!(rig.fake.state.events(Security::InvalidPassword), 1);
    assert_eq!(rig.fake.state.events(Security::InvalidAccount), 1);
    assert!(rig.nobody().get("/api/status").field("WWW-Authenticate").starts_with("Basic"));
    for field in [
        "Sec-Fetch-Mode: cors",
        "sec-fetch-site: same-origin",
        "Upgrade-Insecure-Requests: 1",
        "Accept: text/html,application/xhtml+xml,*/*;q=0.8",
    ] {
        let reply = rig.nobody().with(field).get("/api/status");
        assert_eq!((reply.status, reply.field("WWW-Authenticate")), (401, ""), "{field}");
    }
    let wrong = rig.program("nobody", PASSWORD);
    assert!(wrong.get("/api/status").field("WWW-Authenticate").starts_with("Basic"));
    let browser = wrong.with("Upgrade-Insecure-Requests: 1");
    assert!(browser.get("/api/status").field("WWW-Authenticate").is_empty(), "nor asked again");
    let other = rig.nobody().with("Accept: application/json, */*").get("/api/status");
    assert!(!other.field("WWW-Authenticate").is_empty());
}

#[test]
fn a_right_password_is_looked_at_once_and_then_remembered() {
    let rig = Rig::new();
    for _ in 0..50 {
        assert_eq!(rig.admin().get("/api/session").status, 200);
    }
    assert_eq!(rig.fake.state.events(Security::SuccessfulAuth), 1);
}

#[test]
fn a_program_may_begin_with_many_requests_at_once() {
    let rig = Rig::new();
    std::thread::scope(|threads| {
        for _ in 0..20 {
            let admin = rig.admin();
            threads.spawn(move || assert_eq!(admin.get("/api/session").status, 200));
        }
    });
    assert!(rig.fake.state.events(Security::SuccessfulAuth) <= 3, "one for each worker at most");
    assert_eq!(rig.fake.state.events(Security::LoadLimit), 0);
}

#[test]
fn browsers_have_a_session_and_changes_need_its_word() {
    let rig = Rig::new();
    let (browser, csrf) = rig.browser("admin");
    assert_eq!(browser.get("/api/status").status, 200);
    let command = "{\"command\":\"core show uptime\"}";
    assert_eq!(browser.post("/api/console", command).status, 403, "without the word");
    let wrong = browser.with("X-CSRF-Token: AAAAAAAAAAAAAAAAAAAAAA");
    assert_eq!(wrong.post("/api/console", command).status, 403);
    let right = browser.with(&format!("X-CSRF-Token: {csrf}"));
    assert_eq!(right.post("/api/console", command).status, 202);
    assert_eq!(right.send("DELETE", "/api/session", "").status, 204);
    assert_eq!(browser.get("/api/status").status, 401, "it is over");
}

#[test]
fn a_cookie_is_for_us_alone() {
    let rig = Rig::new();
    let form = format!("user=admin&password={PASSWORD}");
    let door = rig.nobody().with("Content-Type: application/x-www-form-urlencoded");
    let reply = door.send("POST", "/login", &form);
    assert_eq!((reply.status, reply.field("Location")), (303, "/"));
    let cookie = reply.field("Set-Cookie");
    for part in ["pbx_web_", "; HttpOnly", "; SameSite=Strict", "; Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let browser = rig.nobody().with(&format!("Cookie: {}", cookie.split(';').next().expect("it")));
    let page = browser.get("/plain");
    assert!(page.body.contains("22.10.1"), "{}", page.body);
    let csrf =
        page.body.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    let form = browser.with("Content-Type: application/x-www-form-urlencoded");
    assert_eq!(form.send("POST", "/logout", "csrf=x").status, 403);
    let out = form.send("POST", "/logout", &format!("csrf={}", csrf.expect("a word")));
    assert_eq!((out.status, out.field("Location")), (303, "/login"));
    assert_eq!(browser.get("/plain").status, 303);
    let again = door.send("POST", "/login", "user=admin&password=wrong+password");
    assert!(again.status == 401 && again.body.contains("role=\"alert\""), "{again:?}");
}

/// Sends wrong passwords until the next one has to wait so long that whoever asks then, however
/// slow the machine, has to wait still.
#[track_caller]
fn guess_until_it_takes_long(guess: impl Fn() -> Reply) {
    let begun = Instant::now();
    loop {
        let reply = guess();
        if reply.field("Retry-After").parse::<u64>().is_ok_and(|wait| wait >= 3) {
            return assert_eq!(reply.status, 429);
        }
        assert!(matches!(reply.status, 401 | 429), "{reply:?}");
        assert!(begun.elapsed() < PATIENCE, "it never waits");
        std::thread::yield_now();
    }
}

#[test]
fn wrong_passwords_at_speed_are_not_even_looked_at() {
    let rig = Rig::new();
    let wrong = || rig.nobody().post("/api/session", "{\"user\":\"admin\",\"password\":\"wrong\"}");
    assert!((0..5).all(|_| wrong().status == 401), "some are free");
    guess_until_it_takes_long(wrong);
    let reply = rig.program("admin", PASSWORD).get("/api/status");
    assert_eq!(reply.status, 429, "the right one has to wait as well, or it could be guessed");
    assert!(reply.field("Retry-After").parse::<u64>().is_ok_and(|wait| wait > 0));
    assert!(rig.fake.state.events(Security::LoadLimit) > 0);
    let log = rig.fake.state.log.lock().expect("unpoisoned").join("\n");
    assert!(log.contains("127.0.0.1 (\"admin\") sent a wrong name or password"), "{log}");
}

#[test]
fn a_password_that_was_right_of_late_is_no_way_around_the_wait() {
    let rig = Rig::new();
    let admin = rig.admin();
    assert_eq!(admin.get("/api/session").status, 200);
    let wrong = rig.program("admin", "wrong password");
    guess_until_it_takes_long(|| wrong.get("/api/session"));
    assert_eq!(admin.get("/api/session").status, 429, "and could be guessed at speed otherwise");
}

#[test]
fn many_who_log_in_at_once_are_all_let_in() {
    let rig = Rig::new();
    let credentials = format!("{{\"user\":\"admin\",\"password\":\"{PASSWORD}\"}}");
    std::thread::scope(|threads| {
        for _ in 0..12 {
            let (nobody, credentials) = (rig.nobody(), &credentials);
            threads.spawn(move || {
                assert_eq!(nobody.post("/api/session", credentials).status, 200);
            });
        }
    });
    assert_eq!(rig.fake.state.events(Security::LoadLimit), 0);
}

#[test]
fn another_password_ends_what_the_old_one_opened() {
    let rig = Rig::new();
    let (browser, _) = rig.browser("admin");
    let paths = ["/api/log/events", "/api/console/events"];
    let mut streams = Vec::new();
    for client in [rig.admin(), browser] {
        for path in paths {
            let mut stream = client.follow(path);
            stream.until("\r\n\r\n");
            streams.push(stream);
        }
    }
    let begun = Instant::now();
    let other = new_user("admin", Role::Admin, Some("another one it is")).expect("a user").line;
    rig.reload(&format!("[users]\n{other}\n"));
    for stream in streams {
        stream.end();
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "at once, not with the next ping");
}

#[test]
fn a_flood_of_wrong_passwords_does_not_flood_the_log() {
    let rig = Rig::new();
    for _ in 0..100 {
        rig.nobody().post("/api/session", "{\"user\":\"x\\n[forged]\",\"password\":\"y\"}");
    }
    let log = rig.fake.state.log.lock().expect("unpoisoned");
    assert!(log.len() <= 2 * 20, "{} lines", log.len());
    assert!(log.iter().all(|line| !line.contains('\n')), "a line of somebody else's");
}

#[test]
fn a_viewer_sees_and_runs_nothing() {
    let rig = Rig::new();
    let viewer = rig.viewer();
    for path in ["status", "modules", "channels", "peers"] {
        assert_eq!(viewer.get(&format!("/api/{path}")).status, 200, "{path}");
    }
    let command = "{\"command\":\"core show uptime\"}";
    assert_eq!(viewer.post("/api/console", command).status, 403);
    for path in [
        "console",
        "console/1",
        "console/1/events",
        "console/complete?line=co",
        "log",
        "log/events",
    ] {
        assert_eq!(viewer.get(&format!("/api/{path}")).status, 403, "{path}");
    }
    assert_eq!(rig.fake.state.consoles.load(std::sync::atomic::Ordering::SeqCst), 0);
    assert!(rig.fake.state.events(Security::NotAllowed) > 0);
}

#[test]
fn who_is_not_on_the_list_is_not_listened_to() {
    let rig = Rig::with("[acl]\npermit = 192.0.2.0/24\n[general]\nbind = 127.0.0.1");
    let mut stream = rig.nobody().begin("GET", "/login", "");
    let mut all = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stream, &mut all);
    assert_eq!(all, b"");
    rig.wait_until("it is reported", || rig.fake.state.events(Security::FailedAcl) == 1);
}

#[test]
fn who_comes_while_there_is_no_user_is_not_accused() {
    let rig = Rig::with("[acl]\npermit = 127.0.0.0/8");
    let admin = rig.admin();
    rig.reload("[users]\n[acl]\npermit = 127.0.0.0/8");
    for _ in 0..3 {
        let mut all = Vec::new();
        let _ = std::io::Read::read_to_end(&mut admin.begin("GET", "/login", ""), &mut all);
        assert_eq!(all, b"");
    }
    assert_eq!(rig.fake.state.events(Security::FailedAcl), 0);
}

#[test]
fn a_reload_changes_who_may_come_in_and_says_what_it_cannot_change() {
    let rig = Rig::new();
    let (browser, _) = rig.browser("viewer");
    let mut feed = browser.follow("/api/events");
    feed.until("event: peers");
    let program = rig.viewer();
    assert_eq!(program.get("/api/status").status, 200);
    assert!(rig.reload(&format!("[users]\n{}\n", admin_line())).is_empty());
    assert_eq!(browser.get("/api/status").status, 401, "the viewer is gone");
    assert_eq!(program.get("/api/status").status, 401);
    feed.end();
    assert_eq!(rig.admin().get("/api/status").status, 200);
    let mut feed = rig.admin().follow("/api/events");
    feed.until("event: peers");
    let needs = rig.reload("[general]\nbind = 127.0.0.2\n[acl]\npermit = 192.0.2.1");
    assert_eq!(needs, ["bind"]);
    assert_eq!(rig.attendant().in_force().bind, std::net::Ipv4Addr::LOCALHOST, "as it runs");
    feed.end();
    let mut stream = rig.admin().begin("GET", "/api/status", "");
    let mut all = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stream, &mut all);
    assert_eq!(all, b"", "the new list is in force");
}

#[test]
fn forged_hosts_and_origins_are_refused() {
    let rig = Rig::with("[general]\nhostnames = pbx.example pbx.example.org.");
    let admin = rig.admin();
    let port = rig.attendant().addresses()[0].port();
    for (host, wanted) in [
        (format!("127.0.0.1:{port}"), 200),
        (format!("localhost:{port}"), 200),
        ("pbx.example".to_owned(), 200),
        ("pbx.example.org".to_owned(), 200),
        ("pbx.example.org.".to_owned(), 200),
        ("evil.example".to_owned(), 421),
        (format!("pbx.example.evil.example:{port}"), 421),
        ("192.0.2.1".to_owned(), 421),
    ] {
        let reply = admin.with(&format!("Host: {host}")).get("/api/status");
        assert_eq!(reply.status, wanted, "{host}");
    }
    for (origin, wanted) in [
        (format!("http://{}", rig.host()), 202),
        ("http://evil.example".to_owned(), 403),
        (format!("https://{}", rig.host()), 202),
        ("https://evil.example".to_owned(), 403),
        ("http://127.0.0.1:1".to_owned(), 403),
        ("null".to_owned(), 403),
    ] {
        let client = admin.with(&format!("Origin: {origin}"));
        let reply = client.post("/api/console", "{\"command\":\"core show uptime\"}");
        assert_eq!(reply.status, wanted, "{origin}");
    }
    assert_eq!(admin.with("Sec-Fetch-Site: cross-site").get("/api/status").status, 403);
    assert_eq!(rig.nobody().with("Sec-Fetch-Site: cross-site").get("/login").status, 200, "a link");
}

#[test]
fn answers_tell_browsers_what_they_may_do_with_them() {
    let rig = Rig::new();
    for reply in [rig.nobody().get("/login"), rig.admin().get("/"), rig.admin().get("/api/status")]
    {
        assert!(reply.field("Content-Security-Policy").contains("default-src 'none'"), "{reply:?}");
        assert_eq!(reply.field("X-Content-Type-Options"), "nosniff");
        assert_eq!(reply.field("X-Frame-Options"), "DENY");
        assert_eq!(reply.field("Cache-Control"), "no-store");
    }
    for path in ["/login", "/"] {
        let page = rig.admin().get(path).body;
        assert!(
            !page.contains("style=") && !page.contains("onclick") && !page.contains("//cdn"),
            "{path}"
        );
    }
}

#[test]
fn errors_of_the_api_are_json() {
    let rig = Rig::new();
    let (admin, viewer) = (rig.admin(), rig.viewer());
    for (client, method, path, status) in [
        (rig.nobody(), "GET", "/api/status", 401),
        (viewer.clone(), "GET", "/api/log", 403),
        (admin.with("Origin: http://evil.example"), "GET", "/api/status", 403),
        (admin.clone(), "GET", "/api/nothing", 404),
        (admin.clone(), "GET", "/api/console/7", 404),
        (admin.clone(), "PUT", "/api/console", 405),
        (admin.clone(), "POST", "/api/console", 415),
        (admin.with("Host: evil.example"), "GET", "/api/status", 421),
        (admin.clone(), "GET", "/api/variables?prefix=a+b", 422),
        // The server's own.
        (admin, "POST", "/api/session", 413),
    ] {
        let body = if status == 413 { "x".repeat(64 * 1024 + 1) } else { String::new() };
        let reply = client.send(method, path, &body);
        assert_eq!(reply.status, status, "{method} {path}");
        assert_eq!(reply.field("Content-Type"), "application/json", "{method} {path}");
        assert!(reply.json()["error"].is_string(), "{reply:?}");
    }
    let page = rig.nobody().send("POST", "/login", &"x".repeat(64 * 1024 + 1));
    assert!(page.status == 413 && page.field("Content-Type").starts_with("text/plain"), "{page:?}");
    assert_eq!(page.field("X-Content-Type-Options"), "nosniff");
}

#[test]
fn methods_and_types_that_do_not_fit_are_said_to_be_so() {
    let rig = Rig::new();
    let admin = rig.admin();
    let reply = admin.send("PUT", "/api/console", "");
    assert_eq!((reply.status, reply.field("Allow")), (405, "GET, HEAD, POST"));
    assert_eq!(admin.send("POST", "/api/console", "{\"command\":\"x\"}").status, 415);
    for form in ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data"] {
        let form = admin.with(&format!("Content-Type: {form}"));
        assert_eq!(form.send("POST", "/api/console", "{\"command\":\"x\"}").status, 415);
        assert_eq!(form.send("POST", "/logout", "").status, 415, "another page's form");
    }
    assert_eq!(admin.post("/api/console", "{").status, 400);
    assert_eq!(admin.post("/api/console", "{}").status, 400);
}
