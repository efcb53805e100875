//! Agents: how they enrol, whom they believe, and what they bring when they come and go.

use std::os::unix::fs::PermissionsExt;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tandem_lab::{
    AMI_SECRET, Api, Asterisk, Hub, Lab, Release, ServerConfig, phone_secret, wait_until,
};
use tandem_tests::certificate::Certificate;
use tandem_tests::hub::{
    LATER, MINUTE, PASSWORD, SOON, lab, peer, server, settled, text, until, with_users,
};

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
    let said = agent.state().with_extension("second.log");
    let second = std::process::Command::new(tandem_lab::program()?)
        .args(["agent", "run", "--config"])
        .arg(agent.config())
        .stderr(std::fs::File::create(&said)?)
        .spawn()?;
    let _second = Ended(second);
    wait_until("it is refused, and says why", SOON, &said, || {
        let said = text(&said);
        let line = said.lines().find(|line| line.contains("refuses"));
        Ok(line.is_some_and(|line| line.contains("an agent of the name A is connected from")))
    })?;
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

/// AMI prints a caller's number as the phone said it (`ast_manager_build_channel_state_string`), and of a SIP
/// phone it may have a carriage return in it.
#[test]
fn no_number_of_a_caller_ends_an_agents_link() -> Result<()> {
    let odd = "exten => 950,1,Set(CALLERID(num)=${URIDECODE(2%0D00)})\n \
               same => n,Answer()\n same => n,Wait(600)\n";
    let lab = Lab::builder("agent-odd").without_server("B").without_server("gateway").caches(0);
    let lab = lab.server("A", |config| config.append("extensions.conf", odd)).start()?;
    let hub = with_users(lab.hub().start()?)?;
    let agent = hub.agent(lab.a())?;
    let api = hub.log_in("vera", PASSWORD)?;
    settled(&api, &["A"])?;
    let caller = lab.phone("202").start()?;
    caller.register_at(lab.a(), MINUTE)?;
    caller.dial(lab.a(), "950")?;
    let is_shown = |state: &Value| {
        let calls = server(state, "A")["calls"].as_array().into_iter().flatten();
        let mut legs = calls.flat_map(|call| call["legs"].as_array().into_iter().flatten());
        legs.any(|leg| leg["party"]["number"] == "2\u{fffd}00")
    };
    until(&api, "it is told as it happens", SOON, is_shown)?;
    agent.kill();
    until(&api, "the agent is gone", SOON, |state| server(state, "A")["link"]["state"] == "down")?;
    agent.start()?;
    until(&api, "it is listed when the agent is back", SOON, |state| {
        let server = server(state, "A");
        server["info"]["parts"]["calls"]["is"] == "live" && is_shown(state)
    })?;
    let ended = text(hub.log()).lines().filter(|line| line.contains("A is gone")).count();
    assert_eq!(ended, 1, "only when it was killed: {}", text(hub.log()));
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
    let last = if pin.ends_with("0\"") { "1\"" } else { "0\"" };
    let other = format!("{}{last}", &pin[..pin.len() - 2]);
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

#[test]
fn a_server_that_is_watched_from_the_hub_stays_so_when_its_agent_of_old_is_removed() -> Result<()> {
    let lab = lab("hub-was-agent")?;
    let hub = with_users(lab.hub().start()?)?;
    let agent = hub.agent(lab.a())?;
    let api = hub.log_in("ada", PASSWORD)?;
    settled(&api, &["A"])?;
    let late = api.post("/api/agents", &json!({ "server": "A" }))?;
    hub.stop();
    hub.configure(|config| {
        let address = lab.a().address();
        format!(
            "{config}[[server]]\nname = \"A\"\nami = {{ address = \"{address}:5038\", user = \"lab\", \
             secret = \"{AMI_SECRET}\" }}\n"
        )
    })?;
    hub.start()?;
    let api = hub.log_in("ada", PASSWORD)?;
    settled(&api, &["A"])?;
    assert_eq!(api.ask("DELETE", "/api/agents/A", None)?.status, 204);
    // It goes on, and hears what happens.
    let desk = lab.phone("200").start()?;
    desk.register_at(lab.a(), MINUTE)?;
    let state = until(&api, "200 is registered", SOON, |state| {
        peer(state, "A", "200")["registration"] == "registered"
    })?;
    assert_eq!(server(&state, "A")["link"]["via"], "ami");
    let token = late["token"].as_str().context("a token")?;
    let error = agent.enrol(&hub.url(), token).expect_err("it needs no agent");
    ensure!(error.to_string().contains("the token is not known"), "{error}");
    Ok(())
}

/// Asterisk 16 has AMI over TLS, and so has 22: `tlsenable` of `manager.conf`.
fn speak_tls(server: &Asterisk, shown: &Certificate) -> Result<()> {
    let pem = server.home_inside() + "/etc/ami.pem";
    server.write_file("ami.pem", &format!("{}{}", shown.certificate, shown.key))?;
    let tls = format!(
        "\n[general](+)\ntlsenable = yes\ntlsbindaddr = {}:5039\ntlscertfile = {pem}\ntlsprivatekey = {pem}\n",
        server.address(),
    );
    server.write_file("manager.conf", &(server.read_file("manager.conf")? + &tls))?;
    server.cli("manager reload")?;
    Ok(())
}

#[test]
fn an_agent_beside_asterisk_16_watches_it_over_tls() -> Result<()> {
    let old = |config: ServerConfig| {
        let config = config.release(Release::Asterisk16).load("res_manager_devicestate");
        config.sip_peer("203", &phone_secret("203"))
    };
    let lab = Lab::builder("agent-16").without_server("B").without_server("gateway").caches(0);
    let lab = lab.server("A", old).start()?;
    let asterisk = Certificate::of(&lab.a().address().to_string())?;
    speak_tls(lab.a(), &asterisk)?;
    lab.a().write_file("authority.pem", &asterisk.authority)?;
    let authority = lab.a().home().join("etc/authority.pem");

    // The hub has a certificate of the company's.
    let folder = lab.a().home().join("etc");
    let address = lab.hub().address().to_string();
    let shown = Certificate::of(&address)?;
    for (name, text) in [
        ("hub.pem", &shown.certificate),
        ("hub.key", &shown.key),
        ("hub-authority.pem", &shown.authority),
    ] {
        lab.a().write_file(name, text)?;
    }
    let at = |name: &str| folder.join(name).display().to_string();
    std::fs::set_permissions(at("hub.key"), PermissionsExt::from_mode(0o600))?;
    let tls = format!("[tls]\ncertificate = {:?}\nkey = {:?}\n", at("hub.pem"), at("hub.key"));
    let hub = with_users(lab.hub().section(&tls).start()?)?;
    let api = hub.log_in_trusting("vera", PASSWORD, &shown.authority)?;
    let agent = hub.agent_with(lab.a(), |config| {
        let config = config.replace(":5038\"", ":5039\"\ntls = true");
        let config = config.replace("[allow]", &format!("ca = {:?}\n[allow]", authority.display()));
        format!("hub_ca = {:?}\n{config}", at("hub-authority.pem"))
    })?;
    let state = settled(&api, &["A"])?;
    let info = &server(&state, "A")["info"];
    ensure!(info["version"].as_str().is_some_and(|it| it.starts_with("16")), "{info:#}");
    assert_eq!(info["parts"]["sip"]["is"], "live");
    ensure!(!text(agent.log()).contains("fingerprint"), "{}", text(agent.log()));

    let desk = lab.phone("203").at_chan_sip().start()?;
    desk.register_at(lab.a(), MINUTE)?;
    until(&api, "a phone of chan_sip", SOON, |state| {
        let peers = server(state, "A")["peers"].as_array().into_iter().flatten();
        let mut sip = peers.filter(|peer| peer["driver"] == "SIP" && peer["name"] == "203");
        sip.any(|peer| peer["registration"] == "registered")
    })?;
    let modules = api.get("/api/servers/A/modules")?;
    let mut modules = modules.as_array().into_iter().flatten();
    ensure!(modules.any(|module| module["name"] == "chan_sip.so"));
    Ok(())
}

#[test]
fn the_one_certificate_of_an_asterisk_may_be_named_by_its_fingerprint() -> Result<()> {
    let lab = Lab::builder("ami-tls").without_server("B").without_server("gateway").caches(0);
    let lab = lab.start()?;
    speak_tls(lab.a(), &Certificate::of("pbx.example.com")?)?;
    let section = |pin: &str| {
        let at = lab.a().address();
        format!(
            "[[server]]\nname = \"A\"\nami = {{ address = \"{at}:5039\", tls = true, fingerprint = \"{pin}\", \
             user = \"lab\", secret = \"{AMI_SECRET}\" }}\n"
        )
    };
    let wrong = "00".repeat(32);
    let hub = with_users(lab.hub().section(&section(&wrong)).start()?)?;
    let api = hub.log_in("vera", PASSWORD)?;
    let error = |state: &Value| server(state, "A")["link"]["error"].as_str().map(str::to_owned);
    let state = until(&api, "it is not believed", SOON, |state| error(state).is_some())?;
    let told = error(&state).context("an error")?;
    let (_, real) =
        told.split_once("its certificate has the fingerprint ").context(told.clone())?;
    let is_of_it = |c: &char| c.is_ascii_hexdigit() || *c == ':';
    let real: String = real.chars().take_while(is_of_it).collect();
    hub.stop();
    hub.configure(|config| config.replace(&wrong, real.trim_end_matches(':')))?;
    hub.start()?;
    settled(&hub.log_in("vera", PASSWORD)?, &["A"])?;
    Ok(())
}
