//! The console, as a person uses it: real servers, real phones, a real browser.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use tandem_lab::{Browser, Hub, Lab, ServerConfig};

const MINUTE: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(20);
const PASSWORD: &str = "correct horse battery";

/// HTML, quotes, an emoji, and a mark that turns the direction of what follows it.
const ODD_NAME: &str = "<b>Ann</b> 'q' 😀 \u{202e}evil";

fn lab(name: &str) -> Result<(Lab, Hub)> {
    let change = |config: ServerConfig| {
        let config = config.load("res_manager_devicestate");
        let config = config.append("voicemail.conf", "200 => 1234,Phone 200\n");
        config.append("pjsip.conf", &format!("\n[204](+)\ncallerid = {ODD_NAME} <204>\n"))
    };
    let lab = Lab::builder(name).without_server("gateway").server("A", change).start()?;
    let hub = lab.hub().watches(lab.a(), &[]).watches(lab.b(), &[]);
    let hub = hub.reads_caches_of(lab.a()).start()?;
    for (user, role) in [("vera", "viewer"), ("otto", "operator"), ("ada", "administrator")] {
        hub.add_user(user, role, PASSWORD)?;
    }
    Ok((lab, hub))
}

#[test]
fn an_operator_sees_a_phone_come_and_go_and_ends_a_call() -> Result<()> {
    let (lab, hub) = lab("console")?;
    let browser = lab.browser()?;
    browser.try_log_in(&hub.url(), "otto", "wrong wrong wrong")?;
    browser.see("alert", "")?;
    browser.log_in(&hub.url(), "otto", PASSWORD)?;
    browser.see("grid", "Peers")?;
    browser.see_text("Live")?;

    let desk = lab.phone("200").answers(false).start()?;
    let caller = lab.phone("202").start()?;
    desk.register_at(lab.a(), MINUTE)?;
    caller.register_at(lab.a(), MINUTE)?;
    filtered(&browser, &hub, "q=200&server=A")?;
    row(&browser, "200", "Registered")?;

    caller.dial(lab.a(), "200")?;
    desk.wait_ringing(SOON)?;
    row(&browser, "200", "Ringing")?;
    desk.answer()?;
    caller.wait_established(SOON)?;
    row(&browser, "200", "In use")?;

    browser.click("link", "Calls")?;
    browser.see("treegrid", "Calls")?;
    browser.see("row", "Internal")?;
    let ring = json!({ "do": "click", "role": "button", "name": "Hang up", "exact": false });
    browser.step(&ring)?;
    browser.see("dialog", "Hang up this call?")?;
    browser.step(&json!({
        "do": "click", "role": "button", "name": "Hang up",
        "within": { "role": "dialog", "name": "Hang up this call?" }
    }))?;
    caller.wait_closed(SOON)?;
    browser.see_gone("row", "Internal")?;

    desk.unregister_at(lab.a())?;
    filtered(&browser, &hub, "q=200&server=A")?;
    row(&browser, "200", "Unregistered")?;
    let complaints = browser.complaints()?;
    ensure!(complaints.is_empty(), "{complaints:#?}");
    Ok(())
}

fn filtered(browser: &Browser, hub: &Hub, query: &str) -> Result<()> {
    browser.open(&format!("{}/?{query}", hub.url()))?;
    browser.see("grid", "Peers")?;
    Ok(())
}

/// Waits until the row of a phone has this word in it.
fn row(browser: &Browser, name: &str, word: &str) -> Result<()> {
    let pattern = format!("^(?=.*\\b{name}\\b)(?=.*\\b{word}\\b)");
    browser.step(&json!({ "do": "see", "role": "row", "matches": pattern }))?;
    Ok(())
}

#[test]
fn a_viewer_is_refused_and_odd_names_are_only_text() -> Result<()> {
    let (lab, hub) = lab("console-viewer")?;
    let browser = lab.browser()?;
    browser.log_in(&hub.url(), "vera", PASSWORD)?;
    filtered(&browser, &hub, "q=204&server=A")?;
    row(&browser, "204", "Unregistered")?;
    let bold = browser.step(&json!({ "do": "evaluate", "script":
        "[...document.querySelectorAll('b')].filter((b) => b.textContent === 'Ann').length" }))?;
    ensure!(bold == 0, "the caller's name was taken for HTML");
    browser.see_text("<b>Ann</b>")?;
    let raw = browser.step(&json!({ "do": "evaluate", "script":
        "document.body.textContent.includes('\\u202e')" }))?;
    ensure!(raw == false, "the mark is shown, and does not act");

    let caller = lab.phone("202").start()?;
    let desk = lab.phone("200").start()?;
    desk.register_at(lab.a(), MINUTE)?;
    caller.register_at(lab.a(), MINUTE)?;
    caller.dial(lab.a(), "200")?;
    caller.wait_established(SOON)?;
    browser.click("link", "Calls")?;
    browser.see("row", "Internal")?;
    let hang_up = json!({ "do": "attribute", "role": "button", "name": "Hang up", "exact": false,
                          "attribute": "aria-disabled" });
    let buttons = json!({ "do": "count", "role": "button", "name": "Hang up", "exact": false });
    let is_absent = browser.step(&buttons)? == 0;
    ensure!(is_absent || browser.step(&hang_up)? == "true", "a viewer is offered to hang up");
    ensure!(
        browser.step(&json!({ "do": "count", "role": "link", "name": "Administration" }))? == 0
    );

    // Whatever the page offers, the hub refuses.
    let refused = browser.step(&json!({ "do": "evaluate", "script":
        "fetch('/api/session').then((answer) => answer.json()).then((session) =>
            fetch('/api/servers/A/hangup', { method: 'POST', body: '{\"channel\":\"x\"}',
                headers: { 'content-type': 'application/json', 'x-csrf-token': session.csrf } }))
            .then((answer) => answer.status)" }))?;
    ensure!(refused == 403, "{refused}");
    Ok(())
}

#[test]
fn what_is_not_known_any_more_is_said_and_what_comes_back_is_shown() -> Result<()> {
    let (lab, hub) = lab("console-link")?;
    let browser = lab.browser()?;
    browser.log_in(&hub.url(), "ada", PASSWORD)?;
    browser.see("grid", "Peers")?;
    browser.see_text("Live")?;
    lab.b().kill();
    browser.click("link", "Servers")?;
    browser.see("img", "Calls: as of")?;

    hub.kill();
    browser.see("status", "Link to the hub")?;
    let desk = lab.phone("200").start()?;
    desk.register_at(lab.a(), MINUTE)?;
    hub.start()?;
    browser.see_gone("status", "Link to the hub")?;
    filtered(&browser, &hub, "q=200&server=A")?;
    row(&browser, "200", "Registered")?;

    browser.click("link", "Variables")?;
    browser.click("button", "Add variable…")?;
    browser.fill("Name", "GREETING")?;
    browser.fill("Value", "Good morning")?;
    browser.click("button", "Save")?;
    browser.see("table", "Universal variables")?;
    browser.see("row", "GREETING")?;

    browser.click("link", "Administration")?;
    browser.see("table", "Users")?;
    let complaints = browser.complaints()?;
    ensure!(complaints.is_empty(), "{complaints:#?}");
    Ok(())
}
