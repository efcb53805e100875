//! A call, through the logic of the dialplan of 17 February 2005: GetUniVar, test, Dial, or the other server.

use anyhow::{Context as _, Result, ensure};

use crate::scene::{CALLER_HZ, SOON, Scene};

pub(super) fn tell(scene: &mut Scene<'_>) -> Result<()> {
    let gateway = scene.lab.gateway();
    scene.say.tell("300 on the gateway dials 200, which is on A:");
    scene.calls_the_desk("200")?;

    scene.say.tell("300 dials 201, which is on B and answers with an echo:");
    let mark = gateway.log_mark()?;
    scene.caller.dial(gateway, "201")?;
    scene.caller.wait_established(SOON).context("300 calls 201")?;
    scene.caller.wait_tone(CALLER_HZ, SOON)?;
    scene.caller.hang_up()?;
    scene.caller.wait_closed(SOON)?;
    scene.say.calls_since(gateway, mark)?;
    scene.say.holds("300 heard its own voice come back from 201");

    let warnings = scene.lab.warnings()?;
    ensure!(warnings.is_empty(), "a server is not content:\n{}", warnings.join("\n"));
    scene.say.holds("no server has logged a warning or an error");
    Ok(())
}
