//! One prefix for all servers: a phone is where it registered last.

use std::time::Duration;

use anyhow::{Result, ensure};
use tandem_lab::{Asterisk, wait_until};

use crate::lookup::Answer;
use crate::scene::{HOUR, SOON, Scene, seconds};
use crate::set::{LEASE, identity};
use crate::watch::Watch;

const MOVED_HZ: u32 = 880;
/// A renews twice or more in each lease.
const WATCHED_FOR: Duration = LEASE.saturating_mul(3);
/// A change of the prefixes in each server's `universal.conf`.
const SHARED: &[(&str, &str, &str)] = &[
    ("A", "prefix = PEERA_", "prefix = PEER_"),
    ("B", "prefix = PEERB_", "prefix = PEER_"),
    ("gateway", "prefixes = PEERA_ PEERB_", "prefixes = PEER_"),
];

pub(super) fn tell(scene: &mut Scene<'_>) -> Result<()> {
    let lab = scene.lab;
    scene.say.tell(
        "universal.conf is changed on all three and read again, with no call or record lost:",
    );
    for &(server, own, shared) in SHARED {
        configure(scene, lab.server(server)?, own, shared)?;
    }
    scene
        .say
        .tell("204 registers on A. Its plug is pulled, it is carried to B, and registers there;");
    scene.say.tell("A goes on believing that it has it for an hour:");
    let before = lab.phone("204").start()?;
    before.register_at(lab.a(), HOUR)?;
    scene.finds(lab.gateway(), "PEER_204", lab.a())?;
    before.kill();
    let moved = lab.phone("204").tone_hz(MOVED_HZ).start()?;
    moved.register_at(lab.b(), HOUR)?;
    let took = scene.finds(lab.gateway(), "PEER_204", lab.b())?;
    scene
        .say
        .holds(&format!("the record was B's {} after the phone had its answer", seconds(took)));
    stays(scene)?;
    scene.say.console(lab.a(), "universal show registrations")?;

    scene.say.tell("300 calls it by LOCATE():");
    scene.calls("*204", &moved, MOVED_HZ)?;
    moved.unregister_at(lab.b())?;
    // A stood back: it does not fill the gap with a registration that was overtaken.
    scene.misses(lab.gateway(), "PEER_204", SOON)?;

    for &(server, own, shared) in SHARED {
        configure(scene, lab.server(server)?, shared, own)?;
    }
    for (name, owner) in [("PEERA_203", lab.a()), ("PEERB_201", lab.b())] {
        scene.finds(lab.gateway(), name, owner)?;
    }
    Ok(())
}

fn stays(scene: &Scene<'_>) -> Result<()> {
    let lab = scene.lab;
    let always = [Answer::Value(identity(lab.b()))];
    let watch = Watch::begin(lab.gateway(), "PEER_204", &always)?;
    wait_until("three leases have passed", WATCHED_FOR + SOON, &lab.a().log(), || {
        Ok(watch.took() >= WATCHED_FOR || watch.is_over())
    })?;
    let seen = watch.end()?;
    ensure!(lab.a().cli("pjsip show contacts")?.contains(" 204/sip:"), "A still has the contact");
    scene.say.holds(&format!(
        "for {}, three of A's leases, all of {} look-ups found it on B",
        seconds(seen.took),
        seen.looks
    ));
    Ok(())
}

fn configure(scene: &Scene<'_>, server: &Asterisk, from: &str, to: &str) -> Result<()> {
    let conf = server.read_file("universal.conf")?;
    ensure!(conf.contains(from), "'{from}' is not in the universal.conf of {}", server.name());
    server.write_file("universal.conf", &conf.replace(from, to))?;
    scene.say.console(server, "module reload app_universal")?;
    let section = to.split_once("= ").map_or(to, |(_, prefixes)| prefixes);
    server.wait_cli("universal show status", section, SOON)?;
    Ok(())
}
