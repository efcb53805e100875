//! Pictures of the console's pages, for `docs/screenshots`: of these servers, with phones that call each other.

use std::path::Path;
use std::sync::mpsc;
use std::thread;

use anyhow::{Context as _, Result};
use serde_json::json;
use tandem_lab::Browser;

use crate::console::{self, PASSWORD, USER};
use crate::scene::Scene;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/screenshots");
const DESKTOP: [u32; 2] = [1440, 900];
const PHONE: [u32; 2] = [390, 844];

struct Picture {
    name: &'static str,
    path: &'static str,
    /// A role and a name that say that the page is there.
    shows: (&'static str, &'static str),
    /// What is done there before it is taken, as the browser's driver has it.
    steps: &'static [&'static str],
    size: [u32; 2],
    scheme: &'static str,
}

const fn desktop(
    name: &'static str,
    path: &'static str,
    shows: (&'static str, &'static str),
) -> Picture {
    Picture { name, path, shows, steps: &[], size: DESKTOP, scheme: "light" }
}

const PEER: &[&str] = &[
    r#"{ "do": "click", "role": "row", "matches": "^(?=.*\\b203\\b)(?=.*In use)" }"#,
    r#"{ "do": "see", "role": "complementary", "name": "Details of PJSIP/203" }"#,
];
const SERVER: &[&str] = &[
    r#"{ "do": "click", "role": "button", "name": "Details of A" }"#,
    r#"{ "do": "click", "text": "Modules", "exact": true }"#,
    r#"{ "do": "see", "role": "table", "name": "Modules of A" }"#,
];

const PICTURES: [Picture; 16] = [
    desktop("peers", "/peers", ("row", "Registered")),
    Picture { scheme: "dark", ..desktop("peers-dark", "/peers", ("row", "Registered")) },
    Picture { size: PHONE, ..desktop("peers-phone", "/peers", ("row", "Registered")) },
    Picture { steps: PEER, ..desktop("peer", "/peers", ("row", "In use")) },
    desktop("calls", "/calls", ("row", "Internal")),
    desktop("past-calls", "/calls/past", ("table", "Past calls")),
    desktop("servers", "/servers", ("table", "Servers")),
    Picture { steps: SERVER, ..desktop("server", "/servers", ("table", "Servers")) },
    desktop("variables", "/variables", ("table", "Universal variables")),
    desktop("registrations", "/variables/registrations", ("table", "Shared registrations")),
    desktop("account", "/account", ("region", "Two-step login")),
    desktop("users", "/admin/users", ("table", "Users")),
    desktop("tokens", "/admin/tokens", ("table", "API tokens")),
    desktop("agents", "/admin/agents", ("table", "Agents")),
    desktop("audit", "/admin/audit", ("table", "Audit log")),
    Picture { scheme: "dark", ..desktop("wallboard", "/wallboard", ("table", "Calls")) },
];

/// Takes all of them.
pub(crate) fn take(scene: &Scene<'_>) -> Result<()> {
    let (stop, stopped) = mpsc::channel();
    thread::scope(|threads| {
        threads.spawn(move || console::live(scene.lab, &stopped));
        let taken = take_while_phones_call(scene);
        drop(stop);
        taken
    })
}

fn take_while_phones_call(scene: &Scene<'_>) -> Result<()> {
    let console = scene.console.as_ref().context("the story has started the hub")?;
    let hub = &console.hub;
    // The story has left no variable, and nobody has a token yet.
    let greeting = json!({ "value": "Good morning" });
    let api = console.log_in()?;
    api.ask("PUT", "/api/variables/GREETING", Some(&greeting))?;
    api.post("/api/tokens", &json!({ "name": "prometheus", "role": "viewer" }))?;
    std::fs::create_dir_all(FOLDER)?;
    let browser = scene.lab.browser()?;
    browser.log_in(&hub.url(), USER, PASSWORD)?;
    for picture in &PICTURES {
        take_one(&browser, &hub.url(), picture).context(picture.name)?;
        println!("docs/screenshots/{}.png", picture.name);
    }
    Ok(())
}

fn take_one(browser: &Browser, url: &str, picture: &Picture) -> Result<()> {
    let [width, height] = picture.size;
    browser.step(&json!({ "do": "size", "width": width, "height": height }))?;
    browser.step(&json!({ "do": "scheme", "scheme": picture.scheme }))?;
    browser.open(&format!("{url}{}", picture.path))?;
    let (role, name) = picture.shows;
    browser.see(role, name)?;
    for step in picture.steps {
        browser.step(&serde_json::from_str(step)?)?;
    }
    let path = Path::new(FOLDER).join(format!("{}.png", picture.name));
    browser.step(&json!({ "do": "screenshot", "path": path }))?;
    Ok(())
}
