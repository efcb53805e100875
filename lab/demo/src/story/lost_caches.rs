//! Everything that the caches held is lost.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::lookup::Answer;
use crate::scene::{HOUR, SOON, Scene, seconds};
use crate::set::identity;
use crate::watch::Watch;

/// P4 of docs/consistency.md.
const FOUND_WITHIN: Duration = Duration::from_secs(5);
/// A number that nobody registered: its mailbox is where a wrong MISSING would lead.
const NOBODY: &str = "209";

pub(super) fn tell(scene: &mut Scene<'_>) -> Result<()> {
    let lab = scene.lab;
    let gateway = lab.gateway();
    scene.desk.register_at(lab.a(), HOUR)?;
    scene.desk.register_at(lab.b(), HOUR)?;
    let phones = [
        ("PEERA_200", lab.a()),
        ("PEERB_200", lab.b()),
        ("PEERB_201", lab.b()),
        ("PEERA_203", lab.a()),
    ];
    for (name, owner) in phones {
        scene.becomes(gateway, name, &Answer::Value(identity(owner)), SOON)?;
    }
    // From before the loss to the end of healing: found where it is, or not to be told; never anything else.
    let watches = phones
        .into_iter()
        .map(|(name, owner)| {
            let allowed = [Answer::Value(identity(owner)), Answer::Unreachable];
            Watch::begin(gateway, name, &allowed)
        })
        .collect::<Result<Vec<_>>>()?;
    let never_missing =
        Watch::begin(gateway, "PEERA_209", &[Answer::Missing, Answer::Unreachable])?;

    scene.say.tell("Both are killed. 300 dials 200, which is registered as ever:");
    lab.cache(1).kill();
    lab.cache(2).kill();
    is_told_to_call_later(scene, "200")?;
    scene.say.console(gateway, "univar PEERA_200")?;

    scene
        .say
        .tell("They are started again, with nothing in them. 300 dials 209, which is nowhere:");
    let started = Instant::now();
    lab.cache(1).start()?;
    lab.cache(2).start()?;
    is_told_to_call_later(scene, NOBODY)?;
    for (name, owner) in phones {
        let left = (started + FOUND_WITHIN).saturating_duration_since(Instant::now());
        scene.becomes(gateway, name, &Answer::Value(identity(owner)), left)?;
    }
    let found = started.elapsed();
    scene.finds(gateway, "PEERA_200", lab.a())?;
    scene
        .say
        .holds(&format!("all phones were found again {} after the caches began", seconds(found)));

    scene.misses(gateway, "PEERA_209", SOON)?;
    scene.say.holds(&format!(
        "and {} after, what is not there is MISSING again",
        seconds(started.elapsed())
    ));
    for watch in watches {
        let seen = watch.end()?;
        ensure!(seen.unreachable > 0, "a watch saw nothing of the loss: {seen:?}");
    }
    never_missing.end()?;
    scene.say.holds("no look-up of a phone ever said MISSING, or named another server");
    scene.calls_the_desk("200").map(drop)
}

/// The dialplan's branch for "cannot tell": not the mailbox.
fn is_told_to_call_later(scene: &Scene<'_>, number: &str) -> Result<()> {
    let gateway = scene.lab.gateway();
    let before = gateway.new_messages(number)?.len();
    let told = scene.is_turned_away(number)?;
    ensure!(told.contains("503"), "300 was told '{told}'");
    ensure!(gateway.new_messages(number)?.len() == before, "the call went to the mailbox");
    scene.say.holds(&format!("300 was told '{told}', and was not sent to the mailbox"));
    Ok(())
}
