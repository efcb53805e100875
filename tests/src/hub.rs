//! What the tests of the hub have in common: its users, and what it shows.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;
use tandem_lab::{Api, Hub, Lab, ServerConfig};
use totp_rs::Totp;

/// How long a phone registers for.
pub const MINUTE: Duration = Duration::from_secs(60);
/// Bound of what takes a moment on loopback.
pub const SOON: Duration = Duration::from_secs(20);
/// Bound of what waits for a retry, or for a silence to be noticed.
pub const LATER: Duration = Duration::from_secs(60);
/// Of every user.
pub const PASSWORD: &str = "correct horse battery";

/// Servers A and B, with device states and a mailbox of 200. A qualifies its phones when they register.
///
/// # Errors
///
/// If it does not start.
pub fn lab(name: &str) -> Result<Lab> {
    let load = |config: ServerConfig| {
        let config = config.load("res_manager_devicestate");
        config.append("voicemail.conf", "200 => 1234,Phone 200\n")
    };
    let qualify = |config: ServerConfig| {
        let aor = "[phone-aor](!)\ntype = aor\n";
        load(config).replace("pjsip.conf", aor, &format!("{aor}qualify_frequency = 3600\n"))
    };
    let lab = Lab::builder(name).without_server("gateway").server("A", qualify).server("B", load);
    Ok(lab.start()?)
}

/// A hub with a user of each role: `vera`, `otto` and `ada`.
///
/// # Errors
///
/// If the hub refuses.
pub fn with_users(hub: Hub) -> Result<Hub> {
    for (name, role) in [("vera", "viewer"), ("otto", "operator"), ("ada", "administrator")] {
        hub.add_user(name, role, PASSWORD)?;
    }
    Ok(hub)
}

/// What is shown of a server; null if nothing is.
#[must_use]
pub fn server<'v>(state: &'v Value, name: &str) -> &'v Value {
    let servers = state["servers"].as_array().into_iter().flatten();
    servers.into_iter().find(|server| server["name"] == name).unwrap_or(&Value::Null)
}

/// What is shown of a peer at a server; null if nothing is.
#[must_use]
pub fn peer<'v>(state: &'v Value, at: &str, name: &str) -> &'v Value {
    let peers = server(state, at)["peers"].as_array().into_iter().flatten();
    peers.into_iter().find(|peer| peer["name"] == name).unwrap_or(&Value::Null)
}

/// Follows what the hub shows, until it is as wanted.
///
/// # Errors
///
/// If it never is.
pub fn until(
    api: &Api,
    what: &str,
    within: Duration,
    is_so: impl Fn(&Value) -> bool,
) -> Result<Value> {
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
///
/// # Errors
///
/// If it never is.
pub fn settled(api: &Api, servers: &[&str]) -> Result<Value> {
    until(api, "all is known", SOON, |state| {
        servers.iter().all(|name| !server(state, name)["info"]["reconciled_ms"].is_null())
    })
}

/// Whether a call in that state is shown at a server.
#[must_use]
pub fn has_call(state: &Value, at: &str, call_state: &str) -> bool {
    let calls = server(state, at)["calls"].as_array().into_iter().flatten();
    calls.into_iter().any(|call| call["state"] == call_state)
}

/// A code that is none, whatever the clocks say.
#[must_use]
pub fn wrong_code(codes: &Totp, now_s: u64) -> String {
    const STEP_S: u64 = 30;
    let good: Vec<String> = (now_s - 2 * STEP_S..=now_s + 2 * STEP_S)
        .step_by(30)
        .map(|at| codes.generate(at).to_string())
        .collect();
    let mut codes = (0..1_000_000).map(|number| format!("{number:06}"));
    codes.find(|code| !good.contains(code)).expect("few are good")
}

/// What a log says so far.
#[must_use]
pub fn text(log: &Path) -> String {
    std::fs::read_to_string(log).unwrap_or_default()
}
