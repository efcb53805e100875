//! An IAX2 phone registers.

use anyhow::Result;

use crate::scene::Scene;

pub(super) fn tell(scene: &mut Scene<'_>) -> Result<()> {
    let lab = scene.lab;
    scene.say.tell("Phone 201 registers on B. A and the gateway are asked:");
    scene.radio.register_at(lab.b())?;
    for server in [lab.a(), lab.gateway()] {
        scene.finds(server, "PEERB_201", lab.b())?;
    }
    Ok(())
}
