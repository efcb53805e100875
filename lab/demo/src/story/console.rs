//! A hub watches all servers, and its console shows them.

use std::time::Instant;

use anyhow::{Context as _, Result};
use tandem_lab::Api;

use crate::console::Console;
use crate::scene::{HOUR, SOON, Scene};

pub(super) fn tell(scene: &mut Scene<'_>) -> Result<()> {
    let lab = scene.lab;
    scene.say.tell("A hub starts. A's agent enrols with it and dials out; B and the gateway are watched through");
    scene.say.tell("AMI alone.");
    let console = Console::start(lab)?;
    let api = console.log_in()?;
    until(&api, "the hub knows all three servers", |state| {
        let servers = state["servers"].as_array().into_iter().flatten();
        servers.filter(|server| !server["info"]["reconciled_ms"].is_null()).count() == 3
    })?;
    scene.say.holds("all peers, calls and mailboxes of three servers are known");

    scene.desk.register_at(lab.a(), HOUR)?;
    until(&api, "200 is shown as registered on A", |state| {
        let peers = state["servers"][0]["peers"].as_array().into_iter().flatten();
        peers.into_iter().any(|peer| peer["name"] == "200" && peer["registration"] == "registered")
    })?;
    scene.finds(lab.gateway(), "PEERA_200", lab.a())?;
    scene.caller.dial(lab.gateway(), "200")?;
    scene.caller.wait_established(SOON).context("300 calls 200")?;
    until(&api, "the call is shown, as leaving the gateway and coming into A", |state| {
        let is = |at: usize, direction: &str| {
            let calls = state["servers"][at]["calls"].as_array().into_iter().flatten();
            calls.into_iter().any(|call| call["state"] == "up" && call["direction"] == direction)
        };
        is(0, "in") && is(2, "out")
    })?;
    scene.say.holds("the call of 300 to 200 is shown on both servers, each with its arrow");
    let channel = api.get("/api/state")?["servers"][0]["calls"][0]["legs"][0]["channel"].clone();
    api.post("/api/servers/A/hangup", &serde_json::json!({ "channel": channel }))?;
    scene.caller.wait_closed(SOON)?;
    scene.say.holds("it was hung up through the hub, and A's agent");
    scene.console = Some(console);
    Ok(())
}

/// Follows what the hub shows, until it is as wanted.
fn until(api: &Api, what: &str, is_so: impl Fn(&serde_json::Value) -> bool) -> Result<()> {
    let end = Instant::now() + SOON * 2;
    let mut state = api.get("/api/state")?;
    let events = api.events(state["seq"].as_u64().context("a sequence")?)?;
    while !is_so(&state) {
        let left = end.saturating_duration_since(Instant::now());
        let changed = events.wait(what, left, |name, _| name == "changes");
        changed.with_context(|| format!("the hub shows {state}"))?;
        state = api.get("/api/state")?;
    }
    Ok(())
}
