//! A phone that registers on its primary and its backup server at the same time.

use anyhow::{Result, ensure};

use crate::lookup::{Answer, Lookup};
use crate::scene::{HOUR, SOON, Scene};
use crate::set::identity;

pub(super) fn tell(scene: &mut Scene<'_>) -> Result<()> {
    let lab = scene.lab;
    scene.say.tell("200 is on A already; now it registers on B as well:");
    scene.desk.register_at(lab.b(), HOUR)?;
    scene.finds(lab.gateway(), "PEERA_200", lab.a())?;
    scene.finds(lab.gateway(), "PEERB_200", lab.b())?;

    scene.say.tell("It leaves B:");
    scene.desk.unregister_at(lab.b())?;
    scene.misses(lab.gateway(), "PEERB_200", SOON)?;
    let on_a = Lookup::through(lab.gateway())?.get("PEERA_200")?;
    ensure!(on_a == Answer::Value(identity(lab.a())), "PEERA_200 should stay, and is {on_a:?}");
    scene.finds(lab.gateway(), "PEERA_200", lab.a())?;

    scene.say.tell("And it comes back to B, and leaves A:");
    scene.desk.register_at(lab.b(), HOUR)?;
    scene.desk.unregister_at(lab.a())?;
    scene.misses(lab.gateway(), "PEERA_200", SOON)?;
    scene.finds(lab.gateway(), "PEERB_200", lab.b())?;

    scene.desk.register_at(lab.a(), HOUR)?;
    scene.finds(lab.gateway(), "PEERA_200", lab.a())?;
    Ok(())
}
