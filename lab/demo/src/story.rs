//! The story: its steps in their order. Each is a file, and holds or fails as a whole.

use std::time::Instant;

use anyhow::Result;

use crate::scene::Scene;

mod back_up;
mod call;
mod console;
mod crash;
mod iax2_phone;
mod lost_caches;
mod moved_phone;
mod one_cache;
mod refreshes;
mod sip_phone;
mod variables;
mod voicemail;

struct Step {
    title: &'static str,
    tell: fn(&mut Scene<'_>) -> Result<()>,
}

const STORY: &[Step] = &[
    Step {
        title: "A SIP phone registers on A, and every server knows where it is",
        tell: sip_phone::tell,
    },
    Step { title: "So does an IAX2 phone on B", tell: iax2_phone::tell },
    Step {
        title: "A phone registers for 10 seconds at a time, and is watched from here on",
        tell: refreshes::begin,
    },
    Step {
        title: "A caller on the gateway is put through by the dialplan of 2005",
        tell: call::tell,
    },
    Step {
        title: "A phone is on A and B at once, as a Cisco 7960 is: each record has its own life",
        tell: back_up::tell,
    },
    Step {
        title: "A is killed: calls go through B, its records go in time, and come back with it",
        tell: crash::tell,
    },
    Step {
        title: "The phone unregisters: the next call leaves a message in its mailbox",
        tell: voicemail::tell,
    },
    Step {
        title: "A variable that is set on A is read, changed and deleted on B, whatever is in it",
        tell: variables::tell,
    },
    Step {
        title: "The phone that refreshes every few seconds was found all along",
        tell: refreshes::end,
    },
    Step {
        title: "With one prefix for all servers, a phone moves from A to B and A never takes it back",
        tell: moved_phone::tell,
    },
    Step {
        title: "One cache dies, comes back empty, hangs and goes on in mid-call: nothing is lost, nobody waits",
        tell: one_cache::tell,
    },
    Step {
        title: "Both caches lose everything: calls are told so, and phones are found within seconds",
        tell: lost_caches::tell,
    },
    Step {
        title: "The console shows every server's peers and calls as they are, and ends one",
        tell: console::tell,
    },
];

/// Tells all of it, up to the first step that does not hold. Gives whether all did.
pub(crate) fn tell(scene: &mut Scene<'_>) -> bool {
    let say = scene.say;
    let failed = STORY.iter().zip(1..).find_map(|(step, number)| {
        say.step(number, step.title);
        let begun = Instant::now();
        let held = (step.tell)(scene);
        say.over(number, step.title, begun, &held);
        held.is_err().then_some(number)
    });
    say.end(failed, STORY.len(), scene.lab);
    failed.is_none()
}
