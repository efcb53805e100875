//! The I/O thread's part: probing all cache servers at once, and what follows.
//!
//! The decisions are [`crate::epoch`]'s; here they meet the servers' health and become events.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::epoch::EpochId;
use crate::lane::{Lane, drive};
use crate::probe::Probe;
use crate::server::{Server, lock};
use crate::status::{Event, EventKind};

/// How long a probe may take: well within the interval, and longer than any healthy server needs.
pub(crate) const PROBE_DEADLINE: Duration = Duration::from_millis(200);

/// Probes all `servers` at once and does what their markers ask for.
pub(crate) fn maintain(servers: &[Arc<Server>]) -> Vec<Event> {
    let start = Instant::now();
    let deadline = start + PROBE_DEADLINE;
    let mut lanes = Vec::with_capacity(servers.len());
    for server in servers {
        server.look();
        server.drop_old(start);
        let watch = lock(&server.upkeep).watch.clone();
        lanes.push(Lane::patient(server, Probe::new(watch, random_id()), deadline));
    }
    drive(&mut lanes);
    let mut events = Vec::new();
    for lane in lanes {
        conclude(lane, &mut events);
    }
    events
}

fn conclude(lane: Lane<'_, Probe>, events: &mut Vec<Event>) {
    let server = lane.server;
    let mut upkeep = lock(&server.upkeep);
    let mut report = |kind| events.push(Event { server: Arc::clone(server.name()), kind });
    if !lane.succeeded {
        upkeep.watch.contact_lost();
        server.probe_failed();
        if upkeep.reported_up != Some(false) {
            report(EventKind::Down);
        }
        upkeep.reported_up = Some(false);
        return;
    }
    let found = lane.talk.found();
    server.probed(found.marker, found.watch.known_id());
    upkeep.watch = found.watch;
    if upkeep.reported_up != Some(true) {
        report(EventKind::Up);
    }
    upkeep.reported_up = Some(true);
    if found.publish {
        report(EventKind::Lost);
    }
    if found.healed {
        report(EventKind::Healed);
    }
}

/// An identifier that no other node makes at the same time.
fn random_id() -> EpochId {
    let mut bytes = [0; 8];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    match read {
        Ok(()) => EpochId::new(u64::from_ne_bytes(bytes)),
        // The standard library's seed is from the kernel too, by another way.
        Err(_) => EpochId::new(RandomState::new().hash_one(Instant::now())),
    }
}
