//! Nobody has the phone any more.

use anyhow::{Context as _, Result, ensure};
use tandem_lab::wait_until;

use crate::scene::{CALLER_HZ, SOON, Scene};

pub(super) fn tell(scene: &mut Scene<'_>) -> Result<()> {
    let lab = scene.lab;
    let gateway = lab.gateway();
    for (server, name) in [(lab.a(), "PEERA_200"), (lab.b(), "PEERB_200")] {
        scene.desk.unregister_at(server)?;
        scene.misses(gateway, name, SOON)?;
    }
    ensure!(gateway.new_messages("200")?.is_empty(), "there is a message before the call");

    scene.say.tell("300 dials 200, and speaks after the greeting:");
    let mark = gateway.log_mark()?;
    scene.caller.dial(gateway, "200")?;
    scene.caller.wait_established(SOON).context("voicemail answers")?;
    // The greeting and the instructions take their time.
    wait_until("300's voice is being recorded", SOON * 3, &gateway.log(), || {
        gateway
            .message_in_the_making("200")?
            .map_or(Ok(false), |message| message.has_tone(CALLER_HZ))
    })?;
    scene.caller.hang_up()?;
    scene.caller.wait_closed(SOON)?;
    wait_until("the message is in the mailbox", SOON, &gateway.log(), || {
        Ok(!gateway.new_messages("200")?.is_empty())
    })?;
    scene.say.calls_since(gateway, mark)?;

    let messages = gateway.new_messages("200")?;
    let [message] = messages.as_slice() else {
        anyhow::bail!("there should be one message: {messages:?}")
    };
    ensure!(message.has_tone(CALLER_HZ)?, "300's voice is not in {}", message.path.display());
    scene.say.holds(&format!("300's voice is in {}", message.path.display()));
    Ok(())
}
