//! The console on the demo's servers: a hub, and phones that give it something to show.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::Result;
use tandem_lab::{Agent, Api, Hub, Lab};

use crate::scene::HOUR;

/// Whom the demo's hub knows: it listens on loopback, and ends with the demo.
pub(crate) const USER: &str = "demo";
pub(crate) const PASSWORD: &str = "tandem-demo";

/// A hub that watches all servers: A through its agent, the others through AMI alone.
pub(crate) struct Console {
    pub(crate) hub: Hub,
    _agent: Agent,
}

impl Console {
    pub(crate) fn start(lab: &Lab) -> Result<Self> {
        let hub = lab.hub().reads_caches_of(lab.gateway());
        let hub = hub.section("[[server]]\nname = \"A\"\ntrunks = [\"IAX2/tandem\"]\n");
        // chan_iax2 names a channel that it opens by the address, and one that comes in by the user.
        let hub = hub.watches(lab.b(), &["IAX2/tandem"]).watches(lab.gateway(), &["IAX2/127.*"]);
        let hub = hub.start()?;
        hub.add_user(USER, "administrator", PASSWORD)?;
        let agent = hub.agent(lab.a())?;
        Ok(Self { hub, _agent: agent })
    }

    pub(crate) fn log_in(&self) -> Result<Api> {
        Ok(self.hub.log_in(USER, PASSWORD)?)
    }

    /// Where it is, and how to log in.
    pub(crate) fn invitation(&self) -> String {
        format!("{}   user: {USER}   password: {PASSWORD}", self.hub.url())
    }
}

/// How long two phones talk, and how long they do not.
const TALK: Duration = Duration::from_secs(12);
const PAUSE: Duration = Duration::from_secs(4);

/// Phones that call each other, and one that comes and goes, until `stopped` is dropped at its other end:
/// 301 on the gateway calls 203 on A, which calls 204 beside it, and 205 is on B now and then.
pub(crate) fn live(lab: &Lab, stopped: &Receiver<()>) -> Result<()> {
    let (outer, caller) = (lab.phone("301").start()?, lab.phone("203").start()?);
    let (called, hasty) = (lab.phone("204").start()?, lab.phone("205").start()?);
    outer.add_account(lab.gateway())?;
    for phone in [&caller, &called] {
        phone.register_at(lab.a(), HOUR)?;
    }
    let goes_on = |time| stopped.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
    for turn in 0.. {
        // Whoever plays with the servers may have killed one of them: then there is less to see.
        let _unseen = outer.dial(lab.gateway(), "203");
        let _unseen = caller.dial(lab.a(), "204");
        let _unseen = match turn % 2 {
            0 => hasty.register_at(lab.b(), HOUR),
            _ => hasty.unregister_at(lab.b()),
        };
        if !goes_on(TALK) {
            break;
        }
        for phone in [&outer, &caller] {
            let _unseen = phone.hang_up();
        }
        if !goes_on(PAUSE) {
            break;
        }
    }
    Ok(())
}
