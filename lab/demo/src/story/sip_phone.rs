//! A SIP phone registers.

use anyhow::Result;

use crate::scene::{HOUR, Scene};

pub(super) fn tell(scene: &mut Scene<'_>) -> Result<()> {
    let lab = scene.lab;
    scene
        .say
        .tell("The caches have just been started. Until they have proved that they are complete,");
    scene.say.tell("what is not in them is UNREACHABLE, not MISSING. That takes a few seconds.");
    scene.caches_are_ready()?;

    scene.say.tell("Phone 200 registers on A for an hour. B and the gateway are asked:");
    scene.desk.register_at(lab.a(), HOUR)?;
    for server in [lab.b(), lab.gateway()] {
        scene.finds(server, "PEERA_200", lab.a())?;
    }
    scene.say.console(lab.a(), "universal show registrations")?;
    Ok(())
}
