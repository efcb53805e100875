//! One of the two caches dies, comes back empty, hangs and goes on, while a call is up.

use anyhow::{Context as _, Result, ensure};
use tandem_lab::{Asterisk, Dialplan, Lab};

use crate::lookup::Answer;
use crate::scene::{CALLER_HZ, DESK_HZ, HOUR, SOON, Scene, seconds};
use crate::set::identity;
use crate::watch::Watch;

const NAME: &str = "note";

pub(super) fn tell(scene: &mut Scene<'_>) -> Result<()> {
    let lab = scene.lab;
    scene.caches_are_ready()?;
    scene.desk.register_at(lab.a(), HOUR)?;
    scene.finds(lab.gateway(), "PEERA_200", lab.a())?;
    let mut a = Dialplan::on(lab.a())?;
    sets(&mut a, "written before")?;

    scene.say.tell("300 calls 200, and they talk through all that follows:");
    scene.caller.dial(lab.gateway(), "200")?;
    scene.caller.wait_established(SOON)?;
    scene.desk.wait_established(SOON)?;
    scene.caller.wait_tone(DESK_HZ, SOON)?;
    scene.desk.wait_tone(CALLER_HZ, SOON)?;

    // No answer but the right one is allowed, not even "cannot tell".
    let phone = Watch::begin(lab.gateway(), "PEERA_200", &[Answer::Value(identity(lab.a()))])?;
    let nobody = Watch::begin(lab.gateway(), "PEERA_209", &[Answer::Missing])?;

    scene.say.tell("The first cache is killed. A variable is changed on A, and read on B:");
    lab.cache(1).kill();
    sets(&mut a, "written with one cache")?;
    reads(scene, lab.b(), "written with one cache")?;
    is_noticed(lab, "down")?;
    scene.say.console(lab.gateway(), "universal show servers")?;

    scene
        .say
        .tell("It is started again, empty, and is filled from the other one, which then hangs:");
    lab.cache(1).start()?;
    scene.caches_are_ready()?;
    lab.cache(2).freeze()?;
    reads(scene, lab.b(), "written with one cache")?;
    sets(&mut a, "written while one hangs")?;
    is_noticed(lab, "down")?;

    scene.say.tell("It goes on, and gets what it missed; then the first one is killed again:");
    lab.cache(2).thaw()?;
    scene.caches_are_ready()?;
    lab.cache(1).kill();
    reads(scene, lab.b(), "written while one hangs")?;
    scene.finds(lab.gateway(), "PEERA_200", lab.a())?;
    lab.cache(1).start()?;
    scene.caches_are_ready()?;

    for (watch, name) in [(phone, "PEERA_200"), (nobody, "PEERA_209")] {
        let seen = watch.end().with_context(|| format!("the watch over {name}"))?;
        scene.say.holds(&format!(
            "{name} was looked up {} times meanwhile; each answer was right, the slowest took {}",
            seen.looks,
            seconds(seen.longest_gap)
        ));
    }
    let channels = lab.gateway().cli("core show channels count")?;
    ensure!(channels.contains("1 active call"), "the call is gone: {channels}");
    scene.caller.hang_up()?;
    scene.caller.wait_closed(SOON)?;
    scene.desk.wait_closed(SOON)?;
    scene.say.holds("and the call was up all the time");
    Ok(())
}

fn sets(server: &mut Dialplan<'_>, value: &str) -> Result<()> {
    let status = server.run(&[&format!("SetUniVar({NAME}={value})")], "${UNIVARSTATUS}")?;
    ensure!(status == "OK", "setting it was answered {status}");
    Ok(())
}

fn reads(scene: &Scene<'_>, server: &Asterisk, value: &str) -> Result<()> {
    let printed = scene.say.console(server, &format!("univar {NAME}"))?;
    ensure!(
        printed.trim_end() == format!("Universal variable {NAME} has a value of {value}"),
        "{} printed '{printed}'",
        server.name()
    );
    Ok(())
}

/// Every server knows that one of the caches is not to be asked.
fn is_noticed(lab: &Lab, state: &str) -> Result<()> {
    for server in lab.servers() {
        let what = format!("{} sees that a cache is {state}", server.name());
        tandem_lab::wait_until(&what, SOON, &server.log(), || {
            Ok(server.cli("universal show servers")?.contains(&format!(" {state} ")))
        })?;
    }
    Ok(())
}
