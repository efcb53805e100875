//! What the hub keeps: nothing that was told as done is lost, whatever happens to it or to its disk.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tandem_lab::{Api, Lab, wait_until};
use tandem_tests::hub::{MINUTE, PASSWORD, SOON, peer, settled, until, with_users};

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
    let login = json!({ "user": "vera", "password": PASSWORD });
    for _ in 0..7 {
        let answer = hub.anonymous().ask("POST", "/api/login", Some(&login))?;
        ensure!(answer.status != 429, "nobody was wrong: {answer:?}");
    }

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

#[test]
fn what_was_seen_a_moment_before_a_stop_is_in_the_past() -> Result<()> {
    let lab = Lab::builder("hub-stop").without_server("B").without_server("gateway").caches(0);
    let lab = lab.start()?;
    let hub = with_users(lab.hub().watches(lab.a(), &[]).start()?)?;
    let api = hub.log_in("vera", PASSWORD)?;
    settled(&api, &["A"])?;
    let desk = lab.phone("200").start()?;
    desk.register_at(lab.a(), MINUTE)?;
    until(&api, "200 is registered", SOON, |state| {
        peer(state, "A", "200")["registration"] == "registered"
    })?;
    hub.stop();
    hub.start()?;
    let api = hub.log_in("vera", PASSWORD)?;
    let past = api.get("/api/history/peers/A/PJSIP/200")?;
    let rows = past["rows"].as_array().into_iter().flatten();
    let words: Vec<&Value> = rows.map(|row| &row["registration"]).collect();
    let seen = ["unregistered", "registered", "unknown"];
    ensure!(words.len() >= 3 && words[..3] == seen, "{past:#}");
    Ok(())
}
