//! What is shown: the PBX, its feed, and what is left of both while Asterisk hangs.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::fake::{channel, peer};
use crate::rig::Rig;
use attendant::PeerState;

#[test]
fn the_pbx_is_shown_as_it_is() {
    let rig = Rig::new();
    *rig.fake.state.channels.lock().expect("unpoisoned") =
        vec![channel("PJSIP/200-1", "1", "Up", ["200", "201"])];
    *rig.fake.state.peers.lock().expect("unpoisoned") =
        vec![peer("PJSIP", "200", PeerState::Online, "sip:200@192.0.2.1")];
    let admin = rig.admin();
    let status = admin.get("/api/status").json();
    assert_eq!(status["system"]["version"], "22.10.1");
    assert_eq!(status["system"]["uptime_seconds"], 1_999_000);
    assert_eq!(status["universal"], false);
    let channels = admin.get("/api/channels").json();
    assert_eq!(channels["channels"][0]["name"], "PJSIP/200-1");
    assert_eq!(channels["channels"][0]["seconds"], 75);
    let peers = admin.get("/api/peers").json();
    assert_eq!(peers["peers"][0]["state"], "online");
    assert_eq!(peers["peers"][0]["contacts"][0], "sip:200@192.0.2.1");
    assert_eq!(admin.get("/api/modules").json()["modules"][0]["name"], "app_dial.so");
}

#[test]
fn many_who_ask_at_once_make_asterisk_look_few_times() {
    let rig = Rig::new();
    let admin = rig.admin();
    assert_eq!(admin.get("/api/session").status, 200);
    for path in ["/api/channels", "/plain"] {
        let before = rig.fake.state.looks.load(Ordering::SeqCst);
        let begun = Instant::now();
        std::thread::scope(|threads| {
            for _ in 0..20 {
                let admin = admin.clone();
                threads.spawn(move || assert_eq!(admin.get(path).status, 200));
            }
        });
        let looks = (rig.fake.state.looks.load(Ordering::SeqCst) - before) as u128;
        assert!(looks <= begun.elapsed().as_millis() / 200 + 1, "{path}: {looks} looks");
    }
}

#[test]
fn the_page_without_script_has_channels_in_their_order() {
    let rig = Rig::new();
    *rig.fake.state.channels.lock().expect("unpoisoned") = ["PJSIP/9-1", "IAX2/b-1", "PJSIP/1-1"]
        .map(|name| channel(name, "1", "Up", ["1", "2"]))
        .into();
    let page = rig.admin().get("/plain").body;
    let at = |name: &str| page.find(name).expect("it is there");
    assert!(at("IAX2/b-1") < at("PJSIP/1-1") && at("PJSIP/1-1") < at("PJSIP/9-1"), "{page}");
    let turned = channel("PJSIP/\u{202e}9-1", "1", "Up", ["1", "2"]);
    *rig.fake.state.channels.lock().expect("unpoisoned") = vec![turned];
    rig.wait_until("its marks are seen", || {
        let page = rig.admin().get("/plain").body;
        assert!(!page.contains('\u{202e}'), "{page}");
        page.contains(r"PJSIP/\u{202e}9-1")
    });
}

#[test]
fn who_follows_after_a_pause_sees_nothing_of_before() {
    let rig = Rig::new();
    let set_peer = |name: &str| {
        let one = peer("PJSIP", name, PeerState::Online, "");
        *rig.fake.state.peers.lock().expect("unpoisoned") = vec![one];
    };
    set_peer("before");
    let mut feed = rig.admin().follow("/api/events");
    feed.until("\"resource\":\"before\"");
    drop(feed);
    wait_until_quiet(&rig);
    set_peer("now");
    let first = rig.admin().follow("/api/events").until("\"resource\":\"now\"");
    assert!(!first.contains("\"resource\":\"before\""), "{first}");
}

#[test]
fn an_open_page_learns_that_the_module_of_variables_comes_and_goes() {
    let rig = Rig::new();
    let mut feed = rig.admin().follow("/api/events");
    feed.until("\"universal\":false");
    rig.fake.state.has_universal.store(true, Ordering::SeqCst);
    feed.until("\"universal\":true");
}

#[test]
fn universal_variables_are_there_if_the_module_is() {
    let rig = Rig::new();
    let admin = rig.admin();
    assert_eq!(admin.get("/api/registrations").status, 404);
    assert_eq!(admin.get("/api/variables").status, 404);
    rig.fake.state.has_universal.store(true, Ordering::SeqCst);
    let registrations = admin.get("/api/registrations").json();
    assert_eq!(registrations["registrations"][0]["variable"], "PEERA_200");
    let variables = admin.get("/api/variables").json();
    assert_eq!(variables["variables"][0]["value"], "serverA");
    let injected = admin.get("/api/variables?prefix=x%22+%22core+stop+now");
    assert_eq!(injected.status, 422, "a prefix is no way to a command");
}

#[test]
fn a_query_that_is_not_understood_is_refused_and_says_what_may_be_there() {
    let rig = Rig::new();
    rig.fake.state.has_universal.store(true, Ordering::SeqCst);
    let admin = rig.admin();
    for (path, name) in
        [("/api/variables", "prefix"), ("/api/console/complete", "line"), ("/api/log", "after")]
    {
        let broken = ["%zz", "%", "%00", "%ff", "1&%zz", "1&x=2", "1&after", "1&prefix=1&line=1"];
        let queries = broken.map(|value| format!("{name}={value}"));
        for query in queries.iter().map(String::as_str).chain(["prefx=X", "%ff", "=", "x"]) {
            let reply = admin.get(&format!("{path}?{query}"));
            assert_eq!(reply.status, 400, "{path}?{query}");
            let may_be = format!("may be {name}=TEXT");
            let error = reply.json()["error"].to_string();
            assert!(error.contains(&may_be), "{path}?{query} says {error}");
        }
        let twice = admin.get(&format!("{path}?{name}=1&{name}=1"));
        assert!(twice.status == 400 && twice.body.contains("is there twice"), "{twice:?}");
        for query in ["", &format!("{name}=1"), &format!("&{name}=%31&")] {
            assert_eq!(admin.get(&format!("{path}?{query}")).status, 200, "{path}?{query}");
        }
    }
    let reply = admin.get("/api/log?after=x");
    assert!(reply.status == 400 && reply.body.contains("the number of a line"), "{reply:?}");
}

#[test]
fn the_feed_sends_what_changes_and_nothing_else() {
    let rig = Rig::new();
    let mut feed = rig.admin().follow("/api/events");
    let first = feed.until("event: peers");
    assert!(first.contains("event: status") && first.contains("event: channels"), "{first}");
    *rig.fake.state.peers.lock().expect("unpoisoned") =
        vec![peer("PJSIP", "200", PeerState::Online, "")];
    let next = feed.until("\"resource\":\"200\"");
    assert!(!next.contains("event: channels") && !next.contains("event: status"), "{next}");
    *rig.fake.state.channels.lock().expect("unpoisoned") =
        vec![channel("PJSIP/200-1", "1", "Up", ["200", "201"])];
    feed.until("PJSIP/200-1");
}

#[test]
fn without_followers_asterisk_is_not_looked_at() {
    let rig = Rig::new();
    let mut feed = rig.admin().follow("/api/events");
    feed.until("event: peers");
    let looks = || rig.fake.state.looks.load(Ordering::SeqCst);
    let before = looks();
    rig.wait_until("it looks again", || looks() > before + 1);
    drop(feed);
    wait_until_quiet(&rig);
}

/// Whoever has gone is noticed with the next thing that is sent, or at once; then it is quiet.
fn wait_until_quiet(rig: &Rig) {
    let looks = || rig.fake.state.looks.load(Ordering::SeqCst);
    let quiet_for = |time: Duration| {
        let (begun, before) = (Instant::now(), looks());
        rig.wait_until("time has passed", || begun.elapsed() > time || looks() != before);
        looks() == before
    };
    rig.wait_until("it is quiet", || quiet_for(Duration::from_millis(1500)));
}

#[test]
fn nobody_takes_all_streams() {
    let rig = Rig::new();
    // From several addresses, for one has not more either.
    let viewer = rig.viewer();
    let mut streams: Vec<_> = (0..16)
        .map(|number| {
            let mut stream = viewer.from(1 + number % 2).follow("/api/events");
            stream.until("event: ");
            stream
        })
        .collect();
    let refused = viewer.get("/api/events");
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!(refused.json()["error"].as_str().is_some_and(|why| why.contains("close pages")));
    rig.admin().follow("/api/log/events").until("event-stream");
    streams.pop();
    // Who has gone is noticed with the next thing that is sent, or at once.
    rig.wait_until("there is room again", || {
        let mut text = [0; 12];
        let mut stream = viewer.begin("GET", "/api/events", "");
        std::io::Read::read_exact(&mut stream, &mut text).expect("an answer");
        text.ends_with(b"200")
    });
}

#[test]
fn a_cli_that_is_stuck_holds_nothing_else_up() {
    let rig = Rig::new();
    rig.fake.state.has_universal.store(true, Ordering::SeqCst);
    rig.fake.state.is_universal_stuck.store(true, Ordering::SeqCst);
    let admin = rig.admin();
    assert_eq!(admin.get("/api/status").status, 200);
    let waiting: Vec<_> = (0..2).map(|_| admin.begin("GET", "/api/variables", "")).collect();
    rig.wait_until("two wait", || rig.fake.state.consoles.load(Ordering::SeqCst) == 2);
    let reply = admin.get("/api/variables");
    assert!(reply.status == 503 && reply.body.contains("others wait"), "{reply:?}");
    assert_eq!(admin.get("/api/modules").status, 200, "a worker is left for that");
    rig.fake.state.release();
    drop(waiting);
}

#[test]
fn a_loader_that_is_busy_keeps_one_worker_and_nobody_out() {
    let rig = Rig::new();
    let state = &rig.fake.state;
    state.are_modules_stuck.store(true, Ordering::SeqCst);
    let admin = rig.admin();
    assert_eq!(admin.get("/api/session").status, 200);
    // As many as there are workers, and more.
    let waiting: Vec<_> = (0..5).map(|_| admin.begin("GET", "/api/modules", "")).collect();
    rig.wait_until("one asks", || state.module_askers.load(Ordering::SeqCst) == 1);
    rig.browser("viewer");
    let reply = admin.get("/api/modules");
    assert_eq!((reply.status, reply.field("Retry-After")), (503, "1"), "{reply:?}");
    assert!(reply.json()["error"].as_str().is_some_and(|why| why.contains("try again")));
    for path in ["/api/status", "/plain"] {
        assert_eq!(admin.get(path).status, 200, "{path}");
    }
    assert_eq!(state.module_askers.load(Ordering::SeqCst), 1, "nobody else waits there");
    state.release();
    rig.wait_until("it goes on", || admin.get("/api/modules").status == 200);
    drop(waiting);
}

#[test]
fn calls_are_on_the_page_while_a_database_of_contacts_hangs() {
    let rig = Rig::new();
    let state = &rig.fake.state;
    *state.channels.lock().expect("unpoisoned") =
        vec![channel("PJSIP/200-1", "1", "Up", ["200", "201"])];
    *state.peers.lock().expect("unpoisoned") = vec![peer("PJSIP", "200", PeerState::Online, "")];
    state.are_peers_stuck.store(true, Ordering::SeqCst);
    let admin = rig.admin();
    let mut feed = admin.follow("/api/events");
    let told = feed.until("PJSIP/200-1");
    assert!(told.contains("event: status") && !told.contains("event: peers"), "{told}");
    assert_eq!(admin.get("/api/channels").status, 200);
    state.are_peers_stuck.store(false, Ordering::SeqCst);
    state.release();
    feed.until("event: peers");
}

#[test]
fn what_was_known_before_is_told_with_its_age_while_asterisk_does_not_answer() {
    let rig = Rig::new();
    let (state, admin) = (&rig.fake.state, rig.admin());
    let known = admin.get("/api/modules");
    assert_eq!((known.status, known.field("Age")), (200, ""));
    state.are_modules_stuck.store(true, Ordering::SeqCst);
    // Only what is old is asked for again.
    let begun = Instant::now();
    rig.wait_until("it is old", || begun.elapsed() > Duration::from_millis(300));
    let _waiting = admin.begin("GET", "/api/modules", "");
    rig.wait_until("one asks", || state.module_askers.load(Ordering::SeqCst) == 1);
    let reply = admin.get("/api/modules");
    assert_eq!((reply.status, &reply.body), (200, &known.body));
    assert!(reply.field("Age").parse::<u64>().is_ok(), "{reply:?}");
}
