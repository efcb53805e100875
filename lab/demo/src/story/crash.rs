//! A server dies, and comes back.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::lookup::{Answer, Lookup};
use crate::scene::{HOUR, SOON, Scene, seconds};
use crate::set::{GIVEN_UP_AFTER, GRACE, LEASE, identity};

/// From dialling to the answer by way of B: A is given up, and the rest is a call like any other.
const ANSWERED_WITHIN: Duration = GIVEN_UP_AFTER.saturating_add(Duration::from_secs(1));

pub(super) fn tell(scene: &mut Scene<'_>) -> Result<()> {
    let lab = scene.lab;
    scene
        .say
        .tell("203 registers on A for an hour and its plug is pulled: it will never speak again.");
    let mute = lab.phone("203").start()?;
    mute.register_at(lab.a(), HOUR)?;
    scene.finds(lab.gateway(), "PEERA_203", lab.a())?;
    // What was written before, as 200's contact, is saved then too.
    lab.a().wait_database_saved("/registrar/contact/203", SOON)?;
    mute.kill();

    scene.say.tell("A is killed (SIGKILL). 300 dials 200 at once, while A's record still stands:");
    let killed = Instant::now();
    lab.a().kill();
    let stands = Lookup::through(lab.gateway())?.get("PEERA_200")?;
    ensure!(stands == Answer::Value(identity(lab.a())), "A's record has gone already: {stands:?}");
    let answered = scene.calls_the_desk("200")?;
    ensure!(
        answered <= ANSWERED_WITHIN,
        "200 answered after {}, later than {}",
        seconds(answered),
        seconds(ANSWERED_WITHIN)
    );
    records_go(scene, killed)?;
    records_come_back(scene)
}

fn records_go(scene: &Scene<'_>, killed: Instant) -> Result<()> {
    let lab = scene.lab;
    let within = (killed + LEASE + GRACE).saturating_duration_since(Instant::now());
    scene.misses(lab.gateway(), "PEERA_200", within)?;
    scene.say.holds(&format!(
        "A's record was gone {} after A died; the lease and its grace are {}, the phone registered for an hour",
        seconds(killed.elapsed()),
        seconds(LEASE + GRACE)
    ));
    scene.finds(lab.gateway(), "PEERB_200", lab.b())?;
    Ok(())
}

fn records_come_back(scene: &Scene<'_>) -> Result<()> {
    let lab = scene.lab;
    scene.say.tell("A is started again. What it knows of its phones is what AstDB kept:");
    let mark = lab.a().log_mark()?;
    let started = Instant::now();
    lab.a().start()?;
    for name in ["PEERA_203", "PEERA_200"] {
        scene.finds(lab.gateway(), name, lab.a())?;
    }
    let took = started.elapsed();
    let log = lab.a().log_since(mark)?;
    let registered = log.lines().find(|line| line.contains("Added contact"));
    ensure!(registered.is_none(), "somebody registered: {registered:?}");
    scene.say.holds(&format!(
        "both were found {} after A was started, and nobody had registered",
        seconds(took)
    ));
    scene.calls_the_desk("200").context("through A, which is back").map(drop)
}
