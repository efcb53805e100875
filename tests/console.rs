//! The console, as a person uses it: real servers, real phones, a real browser.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tandem_lab::{Browser, Hub, Lab, ServerConfig, wait_until};
use tandem_tests::hub::{MINUTE, PASSWORD, SOON, with_users, wrong_code};
use totp_rs::{Builder, Secret};

/// HTML, quotes, an emoji, and a mark that turns the direction of what follows it.
const ODD_NAME: &str = "<b>Ann</b> 'q' 😀 \u{202e}evil";

/// Goes to the end of the context `from-phones`.
const VOICEMAIL: &str =
    "exten => 900,1,Answer()\n same => n,VoiceMail(200@default,s)\n same => n,Hangup()\n";

fn lab(name: &str) -> Result<(Lab, Hub)> {
    let change = |config: ServerConfig| {
        let config = config.load("res_manager_devicestate");
        let config = config.append("voicemail.conf", "200 => 1234,Phone 200\n");
        let config = config.append("extensions.conf", VOICEMAIL);
        let config = config.append("pjsip.conf", "\n[200](+)\nmailboxes = 200@default\n");
        config.append("pjsip.conf", &format!("\n[204](+)\ncallerid = {ODD_NAME} <204>\n"))
    };
    let lab = Lab::builder(name).without_server("gateway").server("A", change).start()?;
    let hub = lab.hub().watches(lab.a(), &[]).watches(lab.b(), &[]);
    let hub = hub.reads_caches_of(lab.a()).start()?;
    Ok((lab, with_users(hub)?))
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
    browser.click("button", "Details of A")?;
    browser.step(&json!({ "do": "click", "text": "Modules", "exact": true }))?;
    browser.see("table", "Modules of A")?;
    browser.see("row", "chan_pjsip.so PJSIP Channel Driver yes")?;

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
    // On a telephone too, for whoever hears it read as well.
    browser.step(&json!({ "do": "size", "width": 390, "height": 844 }))?;
    browser.see("table", "Users")?;
    browser.see("cell", "viewer")?;
    browser.click("button", "Edit vera")?;
    browser.see("dialog", "Edit vera")?;
    browser.click("button", "Cancel")?;
    let complaints = browser.complaints()?;
    ensure!(complaints.is_empty(), "{complaints:#?}");
    Ok(())
}

#[test]
fn what_is_looked_for_is_found_and_saved() -> Result<()> {
    let (lab, hub) = lab("console-filter")?;
    let browser = lab.browser()?;
    browser.log_in(&hub.url(), "vera", PASSWORD)?;
    browser.see("grid", "Peers")?;
    let caller = lab.phone("202").start()?;
    caller.register_at(lab.a(), MINUTE)?;
    caller.dial(lab.a(), "900")?;
    caller.wait_established(SOON)?;

    browser.open(&format!("{}/wallboard", hub.url()))?;
    browser.see("heading", "Wallboard")?;
    browser.see("table", "Calls")?;
    browser.see("row", "202")?;
    let server = lab.a();
    wait_until("202's voice is being recorded", SOON, &server.log(), || {
        server.message_in_the_making("200")?.map_or(Ok(false), |message| message.has_tone(440))
    })?;
    caller.hang_up()?;
    caller.wait_closed(SOON)?;

    browser.open(&hub.url())?;
    browser.see("grid", "Peers")?;
    browser.click("button", "Filter by voicemail")?;
    let new = json!({ "do": "click", "role": "checkbox", "name": "New messages", "exact": false });
    browser.step(&new)?;
    let rows = json!({ "do": "see", "role": "status", "name": "Rows" });
    browser.step(&rows)?;
    browser.see_text("1 of ")?;
    row(&browser, "200", "Unregistered")?;
    let message = json!({ "do": "see", "role": "row", "matches": "\\b200\\b.* 1 0$" });
    browser.step(&message)?;
    let url = browser.step(&json!({ "do": "url" }))?;
    ensure!(url.as_str().is_some_and(|url| url.contains("voicemail=new")), "{url}");
    // The address bar has it all, for whoever it is sent to.
    browser.step(&json!({ "do": "reload" }))?;
    browser.see_text("1 of ")?;

    let saved = browser.step(&json!({ "do": "download", "role": "button", "name": "Save CSV" }))?;
    ensure!(saved["name"].as_str().is_some_and(|name| name.ends_with(".csv")), "{saved}");
    let table = saved["text"].as_str().unwrap_or_default();
    let lines: Vec<&str> = table.trim_start_matches('\u{feff}').lines().collect();
    ensure!(lines.len() == 2 && lines[0].contains("Name") && lines[1].contains("200"), "{table}");

    browser.open(&format!("{}/servers", hub.url()))?;
    browser.click("button", "Details of A")?;
    browser.see("row", "200@default 1 0")?;
    browser.open(&hub.url())?;
    browser.see("grid", "Peers")?;
    browser.step(&json!({ "do": "click", "role": "row", "matches": "\\b202\\b.*PJSIP" }))?;
    browser.see("complementary", "Details of PJSIP/202")?;
    browser.step(&json!({ "do": "reload" }))?;
    browser.see("complementary", "Details of PJSIP/202")?;
    browser.click("button", "Close the details")?;
    browser.see("columnheader", "User agent")?;
    browser.click("button", "Columns")?;
    browser.step(&json!({ "do": "click", "role": "checkbox", "name": "User agent" }))?;
    browser.see_gone("columnheader", "User agent")?;
    let complaints = browser.complaints()?;
    ensure!(complaints.is_empty(), "{complaints:#?}");
    Ok(())
}

#[test]
fn a_code_is_set_up_and_asked_for() -> Result<()> {
    let lab = Lab::builder("console-code").without_server("A").without_server("B");
    let lab = lab.without_server("gateway").caches(0).start()?;
    let hub = with_users(lab.hub().start()?)?;
    let browser = lab.browser()?;
    browser.log_in(&hub.url(), "otto", PASSWORD)?;
    browser.open(&format!("{}/account", hub.url()))?;
    browser.click("button", "Set up two-step login")?;
    browser.fill("Your password", PASSWORD)?;
    browser.click("button", "Go on")?;
    browser.see("img", "QR code of the secret")?;
    let secret = browser.step(&json!({ "do": "evaluate", "script":
        "document.querySelector('.secret code').textContent" }))?;
    let secret = Secret::try_from_base32(secret.as_str().context("a secret")?)?;
    let codes = Builder::new().with_secret(secret).with_account_name("otto").build()?;
    let code = |steps: u64| -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        Ok(codes.generate(now + steps * 30).to_string())
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    browser.fill("Code", &wrong_code(&codes, now))?;
    browser.click("button", "Turn on")?;
    browser.see("alert", "")?;
    browser.fill("Code", &code(0)?)?;
    browser.click("button", "Turn on")?;
    browser.see("button", "Turn off two-step login")?;

    browser.click("button", "Account and settings")?;
    browser.click("button", "Log out")?;
    browser.try_log_in(&hub.url(), "otto", PASSWORD)?;
    // Each is good once, and clocks may differ by a step.
    browser.fill("Code", &code(1)?)?;
    browser.click("button", "Log in")?;
    browser.see("navigation", "Pages")?;
    let complaints = browser.complaints()?;
    ensure!(complaints.is_empty(), "{complaints:#?}");
    Ok(())
}

#[test]
fn a_page_that_slept_is_right_when_it_wakes() -> Result<()> {
    let (lab, hub) = lab("console-sleep")?;
    let browser = lab.browser()?;
    browser.log_in(&hub.url(), "vera", PASSWORD)?;
    filtered(&browser, &hub, "q=200&server=A")?;
    row(&browser, "200", "Unregistered")?;
    browser.sleep()?;
    let desk = lab.phone("200").start()?;
    desk.register_at(lab.a(), MINUTE)?;
    // All that it could have been told is gone meanwhile.
    hub.kill();
    hub.start()?;
    browser.wake()?;
    row(&browser, "200", "Registered")?;
    browser.see_text("Live")?;
    Ok(())
}
