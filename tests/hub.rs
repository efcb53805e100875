//! The hub beside real servers: what it shows, what it does, and whom it lets.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tandem_lab::{Api, Hub, Lab, wait_until};
use totp_rs::{Builder, Secret};

const MINUTE: Duration = Duration::from_secs(60);
/// Bound of what takes a moment on loopback.
const SOON: Duration = Duration::from_secs(20);
/// Bound of what waits for a retry, or for a silence to be noticed.
const LATER: Duration = Duration::from_secs(60);
const PASSWORD: &str = "correct horse battery";

fn lab(name: &str) -> Result<Lab> {
    let load = |config: tandem_lab::ServerConfig| {
        let config = config.load("res_manager_devicestate");
        config.append("voicemail.conf", "200 => 1234,Phone 200\n")
    };
    let lab = Lab::builder(name).without_server("gateway").server("A", load).server("B", load);
    Ok(lab.start()?)
}

/// A hub with a user of each role.
fn with_users(hub: Hub) -> Result<Hub> {
    for (name, role) in [("vera", "viewer"), ("otto", "operator"), ("ada", "administrator")] {
        hub.add_user(name, role, PASSWORD)?;
    }
    Ok(hub)
}

fn server<'v>(state: &'v Value, name: &str) -> &'v Value {
    let servers = state["servers"].as_array().into_iter().flatten();
    servers.into_iter().find(|server| server["name"] == name).unwrap_or(&Value::Null)
}

fn peer<'v>(state: &'v Value, at: &str, name: &str) -> &'v Value {
    let peers = server(state, at)["peers"].as_array().into_iter().flatten();
    peers.into_iter().find(|peer| peer["name"] == name).unwrap_or(&Value::Null)
}

/// Follows what the hub shows, until it is as wanted.
fn until(api: &Api, what: &str, within: Duration, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
    let end = Instant::now() + within;
    let mut state = api.get("/api/state")?;
    let events = api.events(state["seq"].as_u64().context("a sequence")?)?;
    while !is_so(&state) {
        let left = end.saturating_duration_since(Instant::now());
        let any = events.wait(what, left, |name, _| name != "tick");
        any.with_context(|| format!("what is shown: {state:#}"))?;
        state = api.get("/api/state")?;
    }
    Ok(state)
}

/// Everything, once all that these servers list is known.
fn settled(api: &Api, servers: &[&str]) -> Result<Value> {
    until(api, "all is known", SOON, |state| {
        servers.iter().all(|name| !server(state, name)["info"]["reconciled_ms"].is_null())
    })
}

fn has_call(state: &Value, at: &str, call_state: &str) -> bool {
    let calls = server(state, at)["calls"].as_array().into_iter().flatten();
    calls.into_iter().any(|call| call["state"] == call_state)
}

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
    what_was_is_kept(&viewer, &call)?;
    calls_are_begun_and_sent_elsewhere(&lab, &operator)
}

fn what_was_is_kept(viewer: &Api, call: &Value) -> Result<()> {
    let end = Instant::now() + SOON;
    loop {
        let calls = viewer.get("/api/history/calls")?;
        let peers = viewer.get("/api/history/peers/A/PJSIP/200")?;
        let words = peers["rows"].as_array().into_iter().flatten();
        let words: Vec<&Value> = words.map(|row| &row["registration"]).collect();
        let is_kept = calls[0]["linkedid"] == call["id"] && calls[0]["answered"] == true;
        let is_kept = is_kept && calls[0]["to"][2] == "PJSIP/200";
        if is_kept && words == ["unregistered", "registered"] {
            return Ok(());
        }
        // It is written twice a second.
        ensure!(Instant::now() < end, "{calls:#} {peers:#}");
    }
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

fn calls_are_begun_and_sent_elsewhere(lab: &Lab, operator: &Api) -> Result<()> {
    let (one, other) = (lab.phone("203").start()?, lab.phone("204").start()?);
    one.register_at(lab.a(), MINUTE)?;
    other.register_at(lab.a(), MINUTE)?;
    let whom = json!({ "peer": "PJSIP/203", "extension": "204" });
    operator.post("/api/servers/A/originate", &whom)?;
    other.wait_established(SOON)?;
    until(operator, "both speak", SOON, |state| has_call(state, "A", "up"))?;
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
fn an_agent_enrols_once_watches_and_may_go_and_come() -> Result<()> {
    let lab = lab("hub-agent")?;
    let hub = with_users(lab.hub().start()?)?;
    let agent = hub.agent(lab.a())?;
    let api = hub.log_in("ada", PASSWORD)?;
    let state = settled(&api, &["A"])?;
    assert_eq!(server(&state, "A")["link"]["via"], "agent");
    assert_eq!(server(&state, "A")["link"]["state"], "up");
    until(&api, "how busy it is, and how quick", SOON, |state| {
        let link = &server(state, "A")["link"];
        link["load_milli"].is_u64() && link["cpus"].is_u64() && link["round_trip_us"].is_u64()
    })?;

    let desk = lab.phone("200").start()?;
    desk.register_at(lab.a(), MINUTE)?;
    until(&api, "200 is registered", SOON, |state| {
        peer(state, "A", "200")["registration"] == "registered"
    })?;

    agent.kill();
    let state = until(&api, "the agent is gone", SOON, |state| {
        server(state, "A")["link"]["state"] == "down"
    })?;
    assert_eq!(server(&state, "A")["info"]["parts"]["pjsip"]["is"], "as_of", "nothing looks live");
    desk.unregister_at(lab.a())?;
    agent.start()?;
    until(&api, "what happened meanwhile is seen", LATER, |state| {
        peer(state, "A", "200")["registration"] == "unregistered"
    })?;

    lab.a().kill();
    until(&api, "Asterisk is gone, and the agent is not", SOON, |state| {
        let link = &server(state, "A")["link"];
        link["state"] == "up" && link["error"].is_string()
    })?;
    lab.a().start()?;
    until(&api, "Asterisk is back", LATER, |state| {
        server(state, "A")["info"]["connected"] == true
    })?;

    hub.kill();
    hub.start()?;
    let api = hub.log_in("ada", PASSWORD)?;
    until(&api, "the agent came back by itself", LATER, |state| {
        let server = server(state, "A");
        server["link"]["state"] == "up" && !server["info"]["reconciled_ms"].is_null()
    })?;

    what_nobody_saw_is_not_in_the_past(&api)?;
    only_one_of_a_name_and_only_who_has_enrolled(&lab, &hub, &agent)?;
    another_takes_its_place(&lab, &hub, &agent, &api)?;
    let seq = api.get("/api/state")?["seq"].as_u64().context("a sequence")?;
    let events = api.events(seq)?;
    let removed = api.ask("DELETE", "/api/agents/A", None)?;
    assert_eq!(removed.status, 204);
    events.wait("a page is told to begin anew", SOON, |name, _| name == "gap")?;
    let state = api.get("/api/state")?;
    assert_eq!(server(&state, "A"), &Value::Null);
    Ok(())
}

/// The phone was registered, its agent went, it unregistered meanwhile, and the agent came back.
fn what_nobody_saw_is_not_in_the_past(api: &Api) -> Result<()> {
    let past = api.get("/api/history/peers/A/PJSIP/200")?;
    let words = past["rows"].as_array().into_iter().flatten();
    let words: Vec<&Value> = words.map(|row| &row["registration"]).collect();
    let wanted = ["unregistered", "registered", "unknown", "unregistered"];
    ensure!(words.len() >= 4 && words[..4] == wanted, "{past:#}");
    Ok(())
}

/// Enrolled anew, as on a new machine: the agent that was there goes.
fn another_takes_its_place(
    lab: &Lab,
    hub: &Hub,
    first: &tandem_lab::Agent,
    api: &Api,
) -> Result<()> {
    let key = std::fs::read_to_string(first.state())?;
    let second = hub.agent(lab.a())?;
    ensure!(std::fs::read_to_string(second.state())? != key, "it has a key of its own");
    wait_until("the first is told that its key is not good any more", SOON, first.log(), || {
        Ok(text(first.log()).contains("the key is not known"))
    })?;
    until(api, "the second is there", LATER, |state| {
        let server = server(state, "A");
        server["link"]["state"] == "up" && server["info"]["connected"] == true
    })?;
    Ok(())
}

fn only_one_of_a_name_and_only_who_has_enrolled(
    lab: &Lab,
    hub: &Hub,
    agent: &tandem_lab::Agent,
) -> Result<()> {
    let error = agent.enrol(&hub.url(), "made-up").expect_err("nobody made that token");
    ensure!(error.to_string().contains("the token is not known"), "{error}");
    let used = std::fs::read_to_string(agent.state())?;
    // The same key, on another machine.
    let second = std::process::Command::new(tandem_lab::program()?)
        .args(["agent", "run", "--config"])
        .arg(agent.config())
        .stderr(std::process::Stdio::piped())
        .spawn()?;
    let mut second = Ended(second);
    let stderr = second.0.stderr.take().context("its standard error")?;
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stderr));
    let line = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("refuses")));
    let line = line.context("it says why")??;
    ensure!(line.contains("an agent of the name A is connected from"), "{line}");
    assert_eq!(std::fs::read_to_string(agent.state())?, used);
    ensure!(lab.warnings()?.iter().all(|line| !line.contains("manager")), "{:?}", lab.warnings());
    Ok(())
}

/// A process that is ended.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

#[test]
fn logins_are_throttled_and_sessions_end() -> Result<()> {
    let lab = Lab::builder("hub-login").without_server("A").without_server("B");
    let lab = lab.without_server("gateway").caches(0).start()?;
    let hub = with_users(lab.hub().start()?)?;
    let anonymous = hub.anonymous();
    for path in ["/api/state", "/api/events", "/api/variables", "/metrics", "/api/users"] {
        assert_eq!(anonymous.ask("GET", path, None)?.status, 401, "{path}");
    }
    assert_eq!(anonymous.get("/healthz")?, "ok\n");
    let described = anonymous.get("/api/openapi.json")?;
    ensure!(described["paths"]["/api/state"]["get"].is_object(), "{described}");

    let api = hub.log_in("ada", PASSWORD)?;
    let other = hub.log_in("ada", PASSWORD)?;
    let events = other.events(other.get("/api/state")?["seq"].as_u64().context("a sequence")?)?;
    let new = json!({ "old": PASSWORD, "new": "another long password" });
    assert_eq!(api.ask("POST", "/api/password", Some(&new))?.status, 204);
    assert_eq!(other.ask("GET", "/api/session", None)?.status, 401, "the other session has ended");
    events.wait("and its page is told", SOON, |name, _| name == "bye")?;
    assert_eq!(api.ask("GET", "/api/session", None)?.status, 200);

    tokens_have_a_role(&api)?;
    codes_are_asked_for_and_each_is_good_once(&hub)?;
    the_last_administrator_stays(&api)?;

    let wrong = json!({ "user": "vera", "password": "wrong wrong wrong" });
    let mut answers = Vec::new();
    // The first waits are short: on a slow machine they are over when the answer is there.
    while answers.last() != Some(&429) && answers.len() < 12 {
        answers.push(anonymous.ask("POST", "/api/login", Some(&wrong))?.status);
    }
    // Two wrong codes have come from here before.
    ensure!(answers.len() >= 4 && answers.last() == Some(&429), "{answers:?}");
    let right = json!({ "user": "vera", "password": PASSWORD });
    let answer = anonymous.ask("POST", "/api/login", Some(&right))?;
    assert_eq!(answer.status, 429, "a right one waits too, or it could be tried out");
    Ok(())
}

#[test]
fn an_agent_believes_the_hubs_own_certificate_and_no_other() -> Result<()> {
    let lab = Lab::builder("hub-tls").without_server("B").without_server("gateway").caches(0);
    let lab = lab.start()?;
    let hub = lab.hub().section("[tls]\n").start()?;
    let agent = hub.agent(lab.a())?;
    wait_until("the agent is let in", SOON, agent.log(), || {
        Ok(text(agent.log()).contains("knows us as A"))
    })?;
    agent.kill();

    let state = std::fs::read_to_string(agent.state())?;
    let pin =
        state.lines().find_map(|line| line.strip_prefix("fingerprint = \"")).context("a pin")?;
    let other = pin.replace(['0', '1', '2'], "3");
    std::fs::write(
        agent.state(),
        state.replace(pin.trim_end_matches('"'), other.trim_end_matches('"')),
    )?;
    agent.start()?;
    wait_until("the agent refuses", SOON, agent.log(), || {
        Ok(text(agent.log()).contains("its certificate has the fingerprint"))
    })?;
    Ok(())
}

fn text(log: &Path) -> String {
    std::fs::read_to_string(log).unwrap_or_default()
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

#[test]
fn a_full_disk_is_said_and_nothing_else_stops() -> Result<()> {
    let lab = Lab::builder("hub-disk").without_server("A").without_server("B");
    let lab = lab.without_server("gateway").caches(0).start()?;
    let hub = with_users(lab.hub().disk_kib(1024).start()?)?;
    let api = hub.log_in("ada", PASSWORD)?;
    let filler = hub.data().join("filler");
    let mut file = std::fs::File::create(&filler)?;
    while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
    drop(file);

    let token = |number: usize| json!({ "name": format!("{number:050}"), "role": "viewer" });
    let mut refused = None;
    // What has room in the log that is written ahead still fits.
    for number in 0..500 {
        let answer = api.ask("POST", "/api/tokens", Some(&token(number)))?;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.context("the disk is full, and nothing was refused")?;
    assert_eq!(refused.status, 503);
    let error = refused.body["error"].as_str().unwrap_or_default();
    ensure!(error.contains("the disk is full") && error.contains("hub.db"), "{error}");
    assert_eq!(api.ask("GET", "/api/state", None)?.status, 200, "what is live goes on");

    std::fs::remove_file(filler)?;
    assert_eq!(api.ask("POST", "/api/tokens", Some(&token(1000)))?.status, 200);
    hub.kill();
    hub.start()?;
    let api = hub.log_in("ada", PASSWORD)?;
    let tokens = api.get("/api/tokens")?;
    let last = tokens.as_array().and_then(|all| all.last()).context("a token")?;
    assert_eq!(last["name"], format!("{:050}", 1000), "what was told as done is there");
    Ok(())
}

#[test]
fn what_was_told_as_done_is_there_after_a_kill_at_any_moment() -> Result<()> {
    let lab = Lab::builder("hub-kill").without_server("A").without_server("B");
    let lab = lab.without_server("gateway").caches(0).start()?;
    let hub = with_users(lab.hub().start()?)?;
    let mut told = 0;
    for round in 0..5 {
        let api = hub.log_in("ada", PASSWORD)?;
        let writer = api.clone();
        let writing = std::thread::spawn(move || {
            // Until nobody answers any more.
            let token = |number| json!({ "name": format!("{round}-{number}"), "role": "viewer" });
            let is_done = |number: &u32| {
                let answer = writer.ask("POST", "/api/tokens", Some(&token(*number)));
                answer.is_ok_and(|answer| answer.status == 200)
            };
            (0u32..).take_while(is_done).count()
        });
        let count = |api: &Api| -> Result<usize> {
            Ok(api.get("/api/tokens")?.as_array().map_or(0, Vec::len))
        };
        wait_until("some are written", SOON, hub.log(), || {
            Ok(count(&api).is_ok_and(|there| there >= told + 5 + round))
        })?;
        hub.kill();
        told += writing.join().map_err(|_| anyhow::anyhow!("the writer panicked"))?;
        hub.start()?;
        let there = count(&hub.log_in("ada", PASSWORD)?)?;
        // One may have been written whose answer the kill ate.
        ensure!((told..=told + 1).contains(&there), "{told} were told as done, {there} are there");
        told = there;
    }
    Ok(())
}

fn tokens_have_a_role(api: &Api) -> Result<()> {
    let made = api.post("/api/tokens", &json!({ "name": "prometheus", "role": "viewer" }))?;
    let program = api.with_token(made["token"].as_str().context("a token")?);
    let metrics = program.get("/metrics")?;
    ensure!(metrics.as_str().is_some_and(|text| text.ends_with("# EOF\n")), "{metrics}");
    assert_eq!(program.ask("GET", "/api/users", None)?.status, 403);
    let seq = program.get("/api/state")?["seq"].as_u64().context("a sequence")?;
    let events = program.events(seq)?;
    assert_eq!(api.ask("DELETE", &format!("/api/tokens/{}", made["id"]), None)?.status, 204);
    assert_eq!(program.ask("GET", "/metrics", None)?.status, 401);
    events.wait("what it followed ends", SOON, |name, _| name == "bye")?;
    Ok(())
}

fn codes_are_asked_for_and_each_is_good_once(hub: &Hub) -> Result<()> {
    let api = hub.log_in("otto", PASSWORD)?;
    let offer = api.post("/api/totp", &json!({}))?;
    ensure!(offer["qr_svg"].as_str().is_some_and(|svg| svg.contains("<svg")), "{offer}");
    let secret = Secret::try_from_base32(offer["secret"].as_str().context("a secret")?)?;
    let codes = Builder::new().with_secret(secret).with_account_name("otto").build()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let code = |steps: u64| json!({ "code": codes.generate(now + steps * 30).to_string() });
    let wrong = api.ask("POST", "/api/totp/confirm", Some(&json!({ "code": "000000" })))?;
    assert_eq!(wrong.status, 422);
    assert_eq!(api.ask("POST", "/api/totp/confirm", Some(&code(0)))?.status, 204);
    assert_eq!(
        api.ask("POST", "/api/totp", Some(&json!({})))?.status,
        409,
        "not without the password"
    );

    let log_in = |code: &Value| {
        let login = json!({ "user": "otto", "password": PASSWORD, "code": code });
        hub.anonymous().ask("POST", "/api/login", Some(&login))
    };
    // As the console does, and more often than wrong passwords would be let.
    for _ in 0..8 {
        let answer = log_in(&Value::Null)?;
        assert_eq!((answer.status, &answer.body["needs"]), (401, &json!("code")));
    }
    assert_eq!(log_in(&code(0)["code"])?.status, 401, "it was used to turn them on");
    assert_eq!(log_in(&code(1)["code"])?.status, 200, "clocks may differ by a step");
    assert_eq!(log_in(&code(1)["code"])?.status, 401, "it is good once");
    let password = json!({ "password": PASSWORD });
    assert_eq!(api.ask("POST", "/api/totp/end", Some(&password))?.status, 204);
    assert_eq!(log_in(&Value::Null)?.status, 200);
    Ok(())
}

fn the_last_administrator_stays(api: &Api) -> Result<()> {
    let viewer = json!({ "role": "viewer" });
    assert_eq!(api.ask("PATCH", "/api/users/ada", Some(&viewer))?.status, 409);
    assert_eq!(api.ask("DELETE", "/api/users/ada", None)?.status, 409);
    assert_eq!(api.ask("PATCH", "/api/users/nobody", Some(&viewer))?.status, 404);
    let bad = api.ask("POST", "/api/users", Some(&json!({ "name": "x" })))?;
    assert_eq!(bad.status, 400);
    ensure!(bad.body["error"].as_str().is_some_and(|it| it.contains("password")), "{bad:?}");
    Ok(())
}
