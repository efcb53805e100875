//! The I/O thread's part: probing all cache servers at once, and what follows.
//!
//! The decisions are [`crate::epoch`]'s; here they meet the servers' health and become events.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::epoch::{EpochId, Marker};
use crate::lane::{Lane, drive};
use crate::probe::{Duty, Found, Probe};
use crate::server::{Server, lock};
use crate::status::{Event, EventKind};
use crate::switch_off;

/// How long a probe may take: well within the interval, and longer than any healthy server needs.
pub(crate) const PROBE_DEADLINE: Duration = Duration::from_millis(200);

/// So many probes in a row without an answer make a server one that is down.
const UNANSWERED_MAX: u32 = 2;

/// A node begins no second epoch on a server within this time, if the first is still being healed.
const EPOCH_MIN: Duration = Duration::from_secs(4);

/// The same where it has no room for what it would be healed with: that does not change with a try.
const EPOCH_MIN_FULL: Duration = Duration::from_secs(60);

/// Refused records are reported no more often than this.
const REFUSED_INTERVAL: Duration = Duration::from_secs(60);

/// Probes all `servers` at once and does what their markers ask for.
pub(crate) fn maintain(servers: &[Arc<Server>]) -> Vec<Event> {
    let start = Instant::now();
    let deadline = start + PROBE_DEADLINE;
    let mut lanes = Vec::with_capacity(servers.len());
    let mut owed = Vec::with_capacity(servers.len());
    for server in servers {
        server.drop_old(start);
        let (probe, by_now) = begin(server, random_id(), start);
        lanes.push(Lane::patient(server, probe, deadline));
        owed.push(by_now);
    }
    drive(&mut lanes);
    let now = Instant::now();
    let mut events = Vec::new();
    for (lane, owed) in lanes.into_iter().zip(owed) {
        let found = lane.succeeded.then(|| lane.talk.found());
        conclude(lane.server, found, (start, now), owed, &mut events);
    }
    for server in servers {
        report_refused(server, start, &mut events);
    }
    events
}

/// The probe of a server, and how often it was owed a write by now. `new_id` is used if the marker
/// is gone.
pub(crate) fn begin(server: &Server, new_id: EpochId, start: Instant) -> (Probe, u64) {
    server.look();
    let upkeep = lock(&server.upkeep);
    if upkeep.reported_up == Some(false) {
        // What was written meanwhile, it may not have.
        server.owe_quietly();
    }
    let (by_now, unsettled) = server.owed();
    let replicated = server.is_replicated() && !switch_off::comparing();
    let epoch_min = if server.lacks_room() { EPOCH_MIN_FULL } else { EPOCH_MIN };
    let duty = Duty {
        owed: unsettled,
        slow_after: Some(start + server.quick_limit()),
        has_just_begun: upkeep.began_at.is_some_and(|at| start.duration_since(at) < epoch_min),
        replicated,
        complete_for: upkeep.complete_for,
    };
    (Probe::new(upkeep.watch.clone(), new_id, duty), by_now)
}

/// Takes in what a probe found, if it was answered, that ran from `start` to `now`.
pub(crate) fn conclude(
    server: &Server,
    found: Option<Found>,
    (start, now): (Instant, Instant),
    owed: u64,
    events: &mut Vec<Event>,
) {
    let mut upkeep = lock(&server.upkeep);
    let mut report = |kind| events.push(Event { server: Arc::clone(server.name()), kind });
    let Some(found) = found else {
        upkeep.watch.contact_lost();
        server.probe_failed();
        upkeep.unanswered += 1;
        if server.timed_out() && upkeep.unanswered < UNANSWERED_MAX {
            // Nobody asks it until it answers; but on a busy machine that is no news yet.
            return;
        }
        if upkeep.reported_up != Some(false) {
            report(EventKind::Down);
        }
        upkeep.reported_up = Some(false);
        return;
    };
    upkeep.unanswered = 0;
    let took = found.answered_at.map_or(Duration::ZERO, |at| at.duration_since(start));
    server.probed(found.marker, found.watch.known_id(), took);
    if !found.owed {
        server.settle(owed);
    }
    if found.began {
        upkeep.began_at = Some(now);
    }
    upkeep.watch = found.watch;
    upkeep.healing_since = match (upkeep.healing_since, found.marker) {
        (Some((id, since)), Marker::Healing(now)) if id == now => Some((id, since)),
        (_, Marker::Healing(id)) => Some((id, now)),
        _ => None,
    };
    if upkeep.reported_up != Some(true) {
        report(EventKind::Up);
    }
    upkeep.reported_up = Some(true);
    if found.publish {
        report(EventKind::Lost);
    }
    if found.healed {
        upkeep.said_incomplete = false;
        report(EventKind::Healed);
    }
}

/// Says that records were refused, once in a while.
fn report_refused(server: &Server, now: Instant, events: &mut Vec<Event>) {
    let (refused, _) = server.refusals();
    let mut upkeep = lock(&server.upkeep);
    let (reported, due) = match upkeep.refused_reported {
        Some((count, at)) => (count, now.duration_since(at) >= REFUSED_INTERVAL),
        None => (0, true),
    };
    if refused > reported && due {
        upkeep.refused_reported = Some((refused, now));
        let kind = EventKind::Refused { records: refused - reported };
        events.push(Event { server: Arc::clone(server.name()), kind });
    }
}

/// An identifier that no other node makes at the same time.
pub(crate) fn random_id() -> EpochId {
    let mut bytes = [0; 8];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    match read {
        Ok(()) => EpochId::new(u64::from_ne_bytes(bytes)),
        // The standard library's seed is from the kernel too, by another way.
        Err(_) => EpochId::new(RandomState::new().hash_one(Instant::now())),
    }
}
