//! The hub beside real servers: what it shows, and what it does.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tandem_lab::{Api, Hub, Lab, Phone, wait_until};
use tandem_tests::hub::{
    LATER, MINUTE, PASSWORD, SOON, has_call, lab, peer, server, settled, text, until, with_users,
};

#[test]
fn a_server_watched_through_ami_is_shown_live_and_done_to() -> Result<()> {
    let lab = lab("hub")?;
    let hub = lab.hub().watches(lab.a(), &[]).watches(lab.b(), &["PJSIP/204"]).start()?;
    let hub = with_users(hub)?;
    let (viewer, operator) = (hub.log_in("vera", PASSWORD)?, hub.log_in("otto", PASSWORD)?);
    let state = settled(&viewer, &["A", "B"])?;
    let info = &server(&state, "A")["info"];
    ensure!(info["version"].as_str().is_some_and(|it| it.starts_with("22")), "{info:#}");
    assert_eq!(info["parts"]["pjsip"]["is"], "live");
    assert_eq!(server(&state, "A")["link"]["via"], "ami");
    assert_eq!(server(&state, "A")["link"]["state"], "up");
    assert_eq!(peer(&state, "A", "200")["registration"], "unregistered");
    assert_eq!(peer(&state, "B", "204")["trunk"], true);

    let desk = lab.phone("200").answers(false).start()?;
    let caller = lab.phone("202").start()?;
    desk.register_at(lab.a(), MINUTE)?;
    caller.register_at(lab.a(), MINUTE)?;
    until(&viewer, "200 is registered", SOON, |state| {
        peer(state, "A", "200")["registration"] == "registered"
    })?;

    caller.dial(lab.a(), "200")?;
    desk.wait_ringing(SOON)?;
    until(&viewer, "the call rings, and the phone", SOON, |state| {
        has_call(state, "A", "ringing") && peer(state, "A", "200")["device"] == "ringing"
    })?;
    desk.answer()?;
    caller.wait_established(SOON)?;
    let state = until(&viewer, "the call is up", SOON, |state| has_call(state, "A", "up"))?;
    let call = server(&state, "A")["calls"][0].clone();
    assert_eq!(call["direction"], "internal");
    assert_eq!(call["from"]["peer"], "PJSIP/202");

    viewers_are_refused(&viewer, &call)?;
    let channel = json!({ "channel": call["legs"][0]["channel"] });
    operator.post("/api/servers/A/hangup", &channel)?;
    caller.wait_closed(SOON)?;
    until(&viewer, "the call is gone", SOON, |state| {
        server(state, "A")["calls"].as_array().is_some_and(Vec::is_empty)
    })?;
    what_was_done_is_written_down(&hub, &call)?;
    what_was_is_kept(&hub, &viewer, &call)?;
    modules_are_listed(&viewer)?;
    a_phone_is_asked_whether_it_is_there(&hub, &operator, &desk)?;
    calls_are_begun_and_sent_elsewhere(&lab, &operator, &caller)
}

fn modules_are_listed(viewer: &Api) -> Result<()> {
    let modules = viewer.get("/api/servers/A/modules")?;
    let all = modules.as_array().into_iter().flatten();
    let pjsip = all.clone().find(|module| module["name"] == "chan_pjsip.so");
    let pjsip = pjsip.with_context(|| format!("{modules:#}"))?;
    assert_eq!((&pjsip["running"], &pjsip["support"]), (&json!(true), &json!("core")));
    assert_eq!(pjsip["description"], "PJSIP Channel Driver");
    ensure!(all.count() > 50, "{modules:#}");
    assert_eq!(viewer.ask("GET", "/api/servers/C/modules", None)?.status, 404);
    Ok(())
}

/// Its AOR is qualified once an hour by itself: when it registers, and not again in this test.
fn a_phone_is_asked_whether_it_is_there(hub: &Hub, operator: &Api, desk: &Phone) -> Result<()> {
    let shown = |state: &Value| peer(state, "A", desk.number()).clone();
    let took = |state: &Value| shown(state)["round_trip_us"].as_u64();
    let first = took(&until(operator, "it answered", SOON, |state| took(state).is_some())?);
    let whom = json!({ "driver": "PJSIP", "name": desk.number() });
    // Two answers may take as long, to the microsecond.
    wait_until("it answered again", SOON, hub.log(), || {
        operator.post("/api/servers/A/qualify", &whom)?;
        Ok(took(&operator.get("/api/state")?) != first)
    })?;
    desk.kill();
    operator.post("/api/servers/A/qualify", &whom)?;
    until(operator, "it is gone", SOON, |state| shown(state)["registration"] == "unreachable")?;
    let iax2 = json!({ "driver": "IAX2", "name": "201" });
    assert_eq!(operator.ask("POST", "/api/servers/A/qualify", Some(&iax2))?.status, 403);
    Ok(())
}

/// It is written twice a second.
fn what_was_is_kept(hub: &Hub, viewer: &Api, call: &Value) -> Result<()> {
    wait_until("the call and the phone are in the past", SOON, hub.log(), || {
        let calls = viewer.get("/api/history/calls")?;
        let peers = viewer.get("/api/history/peers/A/PJSIP/200")?;
        let words = peers["rows"].as_array().into_iter().flatten();
        let words: Vec<&Value> = words.map(|row| &row["registration"]).collect();
        let is_kept = calls[0]["linkedid"] == call["id"] && calls[0]["answered"] == true;
        let is_kept = is_kept && calls[0]["to"][2] == "PJSIP/200";
        Ok(is_kept && words == ["unregistered", "registered"])
    })?;
    Ok(())
}

#[test]
fn variables_are_an_operators_to_write_and_registrations_are_nobodys() -> Result<()> {
    let lab =
        Lab::builder("hub-variables").without_server("B").without_server("gateway").start()?;
    let hub = with_users(lab.hub().reads_caches_of(lab.a()).start()?)?;
    let operator = hub.log_in("otto", PASSWORD)?;
    let put = |name: &str, body: &Value| {
        operator.ask("PUT", &format!("/api/variables/{name}"), Some(body))
    };
    let value = json!({ "value": "@127.9.9.9/", "ttl_s": 60 });
    wait_until("the caches are ready", SOON, hub.log(), || {
        Ok(put("GREETING", &value)?.status == 204)
    })?;
    let found = operator.get("/api/variables")?;
    assert_eq!(found["variables"][0]["name"], "GREETING");
    for (method, body) in [("PUT", Some(&value)), ("DELETE", None)] {
        let answer = operator.ask(method, "/api/variables/PEERA_200", body)?;
        assert_eq!(answer.status, 409, "{answer:?}");
        let error = answer.body["error"].as_str().unwrap_or_default();
        ensure!(error.contains("registration"), "{error}");
    }
    assert_eq!(operator.get("/api/registrations")?["registrations"], json!([]));
    for ttl_s in [json!(0), json!(u64::MAX)] {
        let answer = put("GREETING", &json!({ "value": "x", "ttl_s": ttl_s }))?;
        assert_eq!(answer.status, 422, "{answer:?}");
    }
    Ok(())
}

fn viewers_are_refused(viewer: &Api, call: &Value) -> Result<()> {
    let channel = json!({ "channel": call["legs"][0]["channel"] });
    let answer = viewer.ask("POST", "/api/servers/A/hangup", Some(&channel))?;
    assert_eq!(answer.status, 403);
    ensure!(answer.body["error"].as_str().is_some_and(|it| it.contains("viewer")), "{answer:?}");
    for path in ["/api/users", "/api/tokens", "/api/agents", "/api/audit"] {
        assert_eq!(viewer.ask("GET", path, None)?.status, 403, "{path}");
    }
    let forged = viewer.without_csrf().ask("POST", "/api/logout", Some(&json!({})))?;
    assert_eq!(forged.status, 403, "another page's request, with the browser's cookie");
    Ok(())
}

fn what_was_done_is_written_down(hub: &Hub, call: &Value) -> Result<()> {
    let administrator = hub.log_in("ada", PASSWORD)?;
    let entries = administrator.get("/api/audit")?["entries"].clone();
    let is_there = |outcome: &str, user: &str, action: &str, target: &Value| {
        entries.as_array().into_iter().flatten().any(|entry| {
            entry["outcome"] == outcome
                && entry["user"] == user
                && entry["action"] == action
                && entry["target"] == *target
        })
    };
    let channel = &call["legs"][0]["channel"];
    ensure!(is_there("done", "otto", "hangup", channel), "the operator's: {entries:#}");
    let refused = json!("POST /api/servers/A/hangup");
    ensure!(is_there("refused", "vera", "request", &refused), "the viewer's: {entries:#}");
    Ok(())
}

fn calls_are_begun_and_sent_elsewhere(lab: &Lab, operator: &Api, third: &Phone) -> Result<()> {
    let (one, other) = (lab.phone("203").start()?, lab.phone("204").start()?);
    one.register_at(lab.a(), MINUTE)?;
    other.register_at(lab.a(), MINUTE)?;
    let whom = json!({ "peer": "PJSIP/203", "extension": "204" });
    operator.post("/api/servers/A/originate", &whom)?;
    other.wait_established(SOON)?;
    let state = until(operator, "both speak", SOON, |state| has_call(state, "A", "up"))?;
    let legs = server(&state, "A")["calls"][0]["legs"].as_array().cloned().unwrap_or_default();
    let leg = legs.iter().find(|leg| leg["party"]["peer"] == "PJSIP/203");
    let channel = &leg.with_context(|| format!("{legs:#?}"))?["channel"];
    let there = json!({ "channel": channel, "extension": third.number() });
    operator.post("/api/servers/A/transfer", &there)?;
    third.wait_established(SOON)?;
    other.wait_closed(SOON)?;
    until(operator, "it speaks with another", SOON, |state| {
        let call = &server(state, "A")["calls"][0];
        call["state"] == "up" && call["to"]["peer"] == "PJSIP/202"
    })?;
    let foreign = json!({ "peer": "PJSIP/203", "extension": "204", "context": "nowhere" });
    let answer = operator.ask("POST", "/api/servers/A/originate", Some(&foreign))?;
    assert_eq!(answer.status, 403);
    let pattern = json!({ "channel": "/.*/" });
    let answer = operator.ask("POST", "/api/servers/A/hangup", Some(&pattern))?;
    assert_eq!(answer.status, 403, "Asterisk would end every call");
    let unknown = json!({ "channel": "PJSIP/nobody-1" });
    let answer = operator.ask("POST", "/api/servers/A/hangup", Some(&unknown))?;
    assert_eq!(
        (answer.status, &answer.body["error"]),
        (409, &json!("Asterisk says: No such channel"))
    );
    let answer = operator.ask("POST", "/api/servers/C/hangup", Some(&unknown))?;
    assert_eq!(answer.status, 404);
    Ok(())
}

#[test]
fn what_is_no_asterisk_is_said_and_what_hangs_is_noticed() -> Result<()> {
    let lab = Lab::builder("hub-faults").without_server("B").without_server("gateway").caches(0);
    let lab = lab.start()?;
    let address = lab.a().address();
    let section = |name: &str, address: &str, secret: &str| {
        let ami = format!("address = \"{address}\", user = \"lab\", secret = \"{secret}\"");
        format!("[[server]]\nname = \"{name}\"\nami = {{ {ami} }}\n")
    };
    let endless = Flood::listen(&address.to_string(), b'a')?;
    let hub = lab.hub().watches(lab.a(), &[]);
    let hub = hub.section(&section("wrong", &format!("{address}:5038"), "wrong"));
    let hub = hub.section(&section("nobody", &format!("{address}:9"), "x"));
    let hub = hub.section(&section("endless", &endless.address, "x"));
    let hub = with_users(hub.start()?)?;
    let api = hub.log_in("vera", PASSWORD)?;
    let says = |state: &Value, name: &str, words: &str| {
        let error = &server(state, name)["link"]["error"];
        error.as_str().is_some_and(|error| error.contains(words))
    };
    until(&api, "each is said", SOON, |state| {
        says(state, "wrong", "does not accept the user")
            && says(state, "wrong", "manager.conf")
            && says(state, "nobody", "no connection")
            && says(state, "endless", "talks no AMI")
            && server(state, "A")["info"]["connected"] == true
    })?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", hub.pid()?))?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("its memory")?;
    let kib: u64 = rss.trim().trim_end_matches(" kB").parse()?;
    ensure!(kib < 200_000, "what floods is not gathered: {kib} kB at most");

    lab.a().freeze()?;
    let state = until(&api, "it is noticed that it hangs", LATER, |state| {
        server(state, "A")["info"]["connected"] == false
    })?;
    assert_eq!(server(&state, "A")["info"]["parts"]["calls"]["is"], "as_of");
    lab.a().thaw()?;
    until(&api, "it goes on", LATER, |state| server(state, "A")["info"]["connected"] == true)?;

    let long_ago = api.events(1)?;
    long_ago.wait("who was away for long is told so", SOON, |name, _| name == "gap")?;
    Ok(())
}

/// Somebody who says one letter, for ever, to whoever comes.
struct Flood {
    address: String,
}

impl Flood {
    fn listen(host: &str, letter: u8) -> Result<Self> {
        let listener = std::net::TcpListener::bind((host, 0))?;
        let address = listener.local_addr()?.to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                while std::io::Write::write_all(&mut stream, &[letter; 65_536]).is_ok() {}
            }
        });
        Ok(Self { address })
    }
}

/// Its channel has much to say, again and again: more than all buffers between Asterisk and the hub hold.
fn talkative() -> String {
    const VARIABLES: usize = 10;
    const ROUNDS: usize = 3000;
    let mut dialplan = "exten => 950,1,Answer()\n".to_owned();
    for variable in 0..VARIABLES {
        dialplan += &format!(" same => n,Set(V{variable}={})\n", "x".repeat(900));
    }
    dialplan
        + &format!(
            " same => n,Set(I=0)\n same => n(again),Set(I=$[${{I}} + 1])\n \
             same => n,Set(CALLERID(name)=${{I}})\n same => n,GotoIf($[${{I}} < {ROUNDS}]?again)\n \
             same => n,Hangup()\n"
        )
}

#[test]
fn who_reads_too_slowly_is_told_everything_again() -> Result<()> {
    let change = |config: tandem_lab::ServerConfig| {
        let variables: Vec<String> = (0..10).map(|variable| format!("V{variable}")).collect();
        let told = format!("\n[general](+)\nchannelvars = {}\n", variables.join(","));
        config.append("extensions.conf", &talkative()).append("manager.conf", &told)
    };
    let lab = Lab::builder("hub-slow").without_server("B").without_server("gateway").caches(0);
    let lab = lab.server("A", change).start()?;
    let hub = with_users(lab.hub().watches(lab.a(), &[]).start()?)?;
    let api = hub.log_in("vera", PASSWORD)?;
    settled(&api, &["A"])?;
    hub.freeze();
    lab.a().cli("channel originate Local/950@from-phones application Wait 60")?;
    lab.a().wait_no_channels(LATER)?;
    let desk = lab.phone("200").start()?;
    desk.register_at(lab.a(), MINUTE)?;
    hub.thaw();
    wait_until("Asterisk has dropped it meanwhile", SOON, hub.log(), || {
        Ok(text(hub.log()).contains(&format!("{}:5038", lab.a().address())))
    })?;
    until(&api, "what happened meanwhile is seen", LATER, |state| {
        peer(state, "A", "200")["registration"] == "registered"
    })?;
    desk.unregister_at(lab.a())?;
    until(&api, "and what happens now", LATER, |state| {
        peer(state, "A", "200")["registration"] == "unregistered"
    })?;
    Ok(())
}
