//! A phone whose registration is shorter than the story, and that refreshes it in time. chan_pjsip tells nobody
//! of a refresh, so this is what a cache entry with the registration's own time would fail at.

use std::time::Duration;

use anyhow::{Result, ensure};
use tandem_lab::wait_until;

use crate::lookup::Answer;
use crate::scene::{Scene, seconds};
use crate::set::identity;
use crate::watch::Watch;

const REGISTRATION: Duration = Duration::from_secs(10);
/// It must have been refreshed often enough for any forgotten end to show.
const WATCHED_FOR: Duration = Duration::from_secs(30);

pub(super) fn begin(scene: &mut Scene<'_>) -> Result<()> {
    let lab = scene.lab;
    let phone = lab.phone("202").start()?;
    phone.register_at(lab.b(), REGISTRATION)?;
    scene.finds(lab.gateway(), "PEERB_202", lab.b())?;
    let always = [Answer::Value(identity(lab.b()))];
    scene.hasty = Some((phone, Watch::begin(lab.gateway(), "PEERB_202", &always)?));
    Ok(())
}

pub(super) fn end(scene: &mut Scene<'_>) -> Result<()> {
    let Some((phone, watch)) = scene.hasty.take() else { anyhow::bail!("there is no watch") };
    let log = scene.lab.gateway().log();
    wait_until("the watch has been long enough", WATCHED_FOR, &log, || {
        Ok(watch.took() >= WATCHED_FOR || watch.is_over())
    })?;
    let seen = watch.end()?;
    ensure!(phone.is_registered_at(scene.lab.b())?, "202 is still registered");
    scene.say.holds(&format!(
        "in {} the gateway asked {} times where 202 is, never more than {} apart; it was always told",
        seconds(seen.took),
        seen.looks,
        seconds(seen.longest_gap)
    ));
    phone.unregister_at(scene.lab.b())?;
    Ok(())
}
