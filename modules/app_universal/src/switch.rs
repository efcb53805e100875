//! `switch => Universal/section`: phones of other servers, dialable with no dialplan.
//!
//! Which extensions it takes is a matter of the section's `match=` alone, for it is asked with the
//! whole dialplan locked: no look-up, no I/O, and no lock that anybody holds over either. The
//! look-up is in `run`, on the channel's thread, and takes the section's `deadline` at most.
//!
//! No call comes back to this server. A record with an identity of our own is dropped: what is
//! registered here is known here, and is dialled as a device. Two servers that both see the other's
//! record would still send a call to and fro; so over IAX2 a call carries the peer that it was sent
//! for ([`SENT_FOR`]), and is not sent on for the same peer. docs/dialplan.md says what that leaves.

use std::{
    ffi::{CStr, CString},
    time::{Duration, Instant},
};

use asterisk::{
    Channel, Registry,
    application::{self, Then},
    channel::{Cause, Spot},
    switch::{self, Call, Match, Switch},
};
use sri::PeerState;
use universal::{
    Status, arguments, pattern,
    settings::{self, Section, Settings},
};

use crate::{
    AppUniversal,
    locate::locate,
    requests::{self, Refusal},
    shared::{Current, Shared, lock},
};

/// What a call that one server sends to another carries (chan_iax2's `IAXVAR`): the peer it is for.
const SENT_FOR: &CStr = c"IAXVAR(TANDEM_SENT_FOR)";

/// How often a line that names no section is complained of.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// The driver whose peers may have several contacts.
const PJSIP: &str = "PJSIP";

pub(crate) fn register(registry: &mut Registry<AppUniversal>) {
    registry.switch::<Universal>();
}

struct Universal;

impl Switch for Universal {
    type Module = AppUniversal;
    const NAME: &'static CStr = c"Universal";
    const DESCRIPTION: &'static CStr = c"Phones that are registered on any server";

    fn matches(module: &AppUniversal, data: &CStr, extension: &CStr, how: Match) -> bool {
        // What a caller dials goes into a dial string.
        let is_peer = match extension.to_bytes() {
            b"" => how != Match::Exactly,
            some => pattern::is_peer(some),
        };
        let settings = module.shared.settings();
        let Some((_, served)) = section(&settings, data) else {
            complain(module, data);
            return false;
        };
        is_peer && switch::any_matches(served.patterns.iter().map(|p| &**p), extension, how)
    }

    fn run(module: &AppUniversal, channel: &mut Channel<'_>, call: &Call) -> Then {
        let plan = plan(&module.shared, channel, call);
        let (status, then) = match plan {
            Ok(Plan::Dial { places, ring }) => {
                requests::report(Some(channel), Status::Ok);
                return dial(channel, call, &places, ring);
            }
            Ok(Plan::Missing) => (Status::Missing, missing(channel, call)),
            Ok(Plan::Unreachable) => {
                asterisk::warning!(
                    "Universal at {}: no cache server can say for certain who has the peer; the \
                     call ends (see universal show servers)",
                    channel.spot()
                );
                (Status::Unreachable, failed(channel))
            }
            Err(refusal) => {
                asterisk::warning!("Universal at {}: {refusal}", channel.spot());
                (Status::Invalid, failed(channel))
            }
        };
        requests::report(Some(channel), status);
        then
    }
}

/// The section that the line names, if it is one for a switch.
fn section<'a>(settings: &'a Settings, data: &CStr) -> Option<(&'a Section, &'a settings::Switch)> {
    let mut sections = settings.sections.iter();
    let section = sections.find(|section| section.name.as_bytes() == data.to_bytes())?;
    Some((section, section.switch.as_ref()?))
}

/// Says that a line of the dialplan is for nothing: not each time, for it is asked with each call.
fn complain(module: &AppUniversal, data: &CStr) {
    let mut last = lock(&module.complained_at);
    let due = last.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY);
    if due {
        *last = Some(Instant::now());
    }
    // A log may be slow.
    drop(last);
    if due {
        let name = data.to_string_lossy();
        asterisk::warning!(
            "switch => Universal/{name}: universal.conf has no section [{name}] with match="
        );
    }
}

/// What becomes of a call.
enum Plan {
    Dial { places: Vec<Vec<u8>>, ring: Duration },
    Missing,
    Unreachable,
}

/// Decides. The store is given back here: a call may last for hours, and outlive the settings.
fn plan(shared: &Shared, channel: &mut Channel<'_>, call: &Call) -> Result<Plan, Refusal> {
    let current = shared.current();
    let (section, served) = section(&current.settings, &call.data).ok_or(Refusal::NoSwitch)?;
    let peer = call.extension.to_bytes();
    let mut places = here(shared, channel, peer);
    let mut status = Status::Missing;
    let came_for = channel.function(SENT_FOR);
    if came_for.as_ref().is_none_or(|came_for| came_for.to_bytes() != peer) {
        let mut located = locate(&current, [section], peer, None)?;
        located.found.retain(|found| !is_ours(&current, &found.identity));
        status = located.status();
        places.extend(located.found.into_iter().map(|found| found.dial));
    }
    Ok(match (places.is_empty(), status) {
        (false, _) => Plan::Dial { places, ring: served.ring },
        (true, Status::Missing) => Plan::Missing,
        (true, _) => Plan::Unreachable,
    })
}

/// Whether a record leads back to this server.
fn is_ours(current: &Current, identity: &[u8]) -> bool {
    let mut published = current.settings.sections.iter().filter_map(|s| s.publish.as_ref());
    published.any(|publish| publish.identity.as_bytes() == identity)
}

/// How to call a peer that is registered here: as a device, so not through any dialplan.
fn here(shared: &Shared, channel: &mut Channel<'_>, peer: &[u8]) -> Vec<Vec<u8>> {
    let mut drivers: Vec<String> = Vec::new();
    // Peers' names are UTF-8 (see drivers).
    let endpoint = std::str::from_utf8(peer).unwrap_or_default();
    for view in shared.registrar().peers_named(endpoint) {
        // One that was overtaken has registered elsewhere since.
        let is_here = !view.contacts.is_empty() && view.state != PeerState::StoodBack;
        if is_here && !drivers.iter().any(|driver| driver == view.driver) {
            drivers.push(view.driver.to_owned());
        }
    }
    let device = |driver: &str| [driver.as_bytes(), b"/", peer].concat();
    let places = drivers.iter().map(|driver| match driver.as_str() {
        PJSIP => contacts(channel, peer).unwrap_or_else(|| device(driver)),
        _ => device(driver),
    });
    places.collect()
}

/// All contacts of a PJSIP peer, for `PJSIP/200` alone rings one. `None` if there are none, or if a
/// phone registered one that would change what is dialled.
fn contacts(channel: &mut Channel<'_>, peer: &[u8]) -> Option<Vec<u8>> {
    let call = CString::new([b"PJSIP_DIAL_CONTACTS(", peer, b")"].concat()).ok()?;
    let places = channel.function(&call)?.into_bytes();
    let start = [PJSIP.as_bytes(), b"/", peer, b"/"].concat();
    let is_plain = |place: &[u8]| place.starts_with(&start) && !place.contains(&b',');
    places.split(|&byte| byte == b'&').all(is_plain).then_some(places)
}

fn dial(channel: &mut Channel<'_>, call: &Call, places: &[Vec<u8>], ring: Duration) -> Then {
    let data = format!(",{}", ring.as_secs());
    let data = [&places.join(&b'&'), data.as_bytes()].concat();
    if data.len() >= arguments::APPLICATION_BYTES {
        asterisk::warning!("Universal at {}: too many places to dial", channel.spot());
        return failed(channel);
    }
    // Identities with NUL are not dialable, and no extension has one.
    let Ok(data) = CString::new(data) else { return failed(channel) };
    let before = channel.function(SENT_FOR);
    mark(channel, before.as_deref().map(|_| &*call.extension));
    let then = application::execute(channel, c"Dial", &data);
    mark(channel, before.as_deref());
    then.unwrap_or_else(|error| {
        asterisk::warning!("Universal at {}: Dial: {error}", channel.spot());
        failed(channel)
    })
}

/// Without chan_iax2 there is nothing to mark, and no way to.
fn mark(channel: &mut Channel<'_>, peer: Option<&CStr>) {
    let Some(peer) = peer else { return };
    // chan_iax2 refuses nothing.
    let _ = channel.set_variable(SENT_FOR, peer);
}

/// Nobody has the peer: on to the extension's next priority, where voicemail may be. Without one
/// the call ends as one to a phone that is not registered.
fn missing(channel: &mut Channel<'_>, call: &Call) -> Then {
    say(channel, c"CHANUNAVAIL");
    let spot = channel.spot();
    let next = Spot { priority: spot.priority + 1, ..spot };
    if channel.finds(&next, call.caller_id.as_deref()) {
        return Then::Continue;
    }
    channel.set_hangup_cause(Cause::SubscriberAbsent);
    Then::HangUp
}

/// Nobody can tell: not on to the next priority, so that no voicemail takes the call by mistake.
fn failed(channel: &mut Channel<'_>) -> Then {
    say(channel, c"CONGESTION");
    channel.set_hangup_cause(Cause::Congestion);
    Then::Fail
}

/// As `Dial` would say it.
fn say(channel: &mut Channel<'_>, status: &CStr) {
    // It fails only for a name that is none.
    let _ = channel.set_variable(c"DIALSTATUS", status);
}
