//! chan_pjsip: contacts, as sorcery keeps them.

use std::{
    collections::HashSet,
    ffi::CStr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use asterisk::{
    contact,
    sorcery::{self, Event, Object, Watch},
};
use sri::How;

use crate::shared::{Shared, lock};

/// The driver's name, as Asterisk's endpoints have it.
pub(super) const DRIVER: &str = "PJSIP";

/// The watch over res_pjsip's contacts. res_pjsip may be absent, or come later.
#[derive(Default)]
pub(super) struct Pjsip {
    watch: Mutex<State>,
    attached: AtomicBool,
}

#[derive(Default)]
enum State {
    #[default]
    Detached,
    Watching(Watch),
    /// The module is unloaded: never attach again.
    Closed,
}

impl Pjsip {
    /// Attaches if it is not attached; says whether it is now and was not before.
    pub(super) fn attach(&self, shared: &Arc<Shared>) -> bool {
        let mut state = lock(&self.watch);
        if let State::Detached = *state {
            let shared = Arc::clone(shared);
            let callback = move |event: Event<'_>| report(&shared, &event);
            match Watch::new(c"res_pjsip", c"contact", callback) {
                Ok(watch) => *state = State::Watching(watch),
                Err(error) => asterisk::error!("PJSIP registrations are not seen: {error}"),
            }
        }
        let State::Watching(watch) = &*state else { return false };
        let attached = watch.attach();
        !self.attached.swap(attached, Ordering::Relaxed) && attached
    }

    pub(super) fn is_attached(&self) -> bool {
        self.attached.load(Ordering::Relaxed)
    }

    /// When it returns, no report is under way, and none will be.
    pub(super) fn close(&self) {
        let state = std::mem::replace(&mut *lock(&self.watch), State::Closed);
        self.attached.store(false, Ordering::Relaxed);
        // Outside the lock, for it waits for reports.
        drop(state);
    }
}

/// What is asked of a contact.
const FIELDS: [&CStr; 3] = [c"endpoint", c"expiration_time", c"reg_server"];

/// A contact that is registered here.
type Registered = (String, String, Option<Instant>);

/// Reports all contacts that there are. It removes none that it does not find, for a database that
/// cannot be read looks like an empty one; removals and expiries are heard of one by one.
pub(super) fn report_all(shared: &Shared) {
    let (found, now) = (contacts(), Instant::now());
    for (endpoint, id, expires) in &found {
        shared.registrar().registered(now, DRIVER, endpoint, id, *expires, How::Restored);
    }
    // One that was removed between the reading and the reporting was reported too late.
    let left = contacts();
    if left.is_empty() {
        return;
    }
    let left: HashSet<_> = left.into_iter().map(|(_, id, _)| id).collect();
    for (endpoint, id, _) in found.iter().filter(|(_, id, _)| !left.contains(id)) {
        shared.registrar().unregistered(Instant::now(), DRIVER, endpoint, id);
    }
}

/// All contacts of this server; none if res_pjsip is not loaded.
fn contacts() -> Vec<Registered> {
    let objects = sorcery::all(c"res_pjsip", c"contact", &FIELDS).unwrap_or_default();
    objects.iter().filter_map(registered).collect()
}

/// Runs on a thread of Asterisk's: no I/O.
fn report(shared: &Shared, event: &Event<'_>) {
    let now = Instant::now();
    match event {
        Event::Created(contact) | Event::Updated(contact) => {
            let Some((endpoint, id, expires)) = registered(&contact.to_object(&FIELDS)) else {
                return;
            };
            shared.registrar().registered(now, DRIVER, &endpoint, &id, expires, How::Register);
        }
        Event::Deleted(contact) => {
            let Some((endpoint, id, _)) = registered(&contact.to_object(&FIELDS)) else { return };
            shared.registrar().unregistered(now, DRIVER, &endpoint, &id);
        }
        Event::Loaded => return,
    }
    match event {
        Event::Updated(_) => shared.bell.refreshes(),
        _ => shared.bell.registrations(),
    }
}

/// Endpoint, contact and end; `None` for a contact of another server in a shared database.
fn registered(contact: &Object) -> Option<Registered> {
    if !contact::is_of_this_server(contact) {
        return None;
    }
    let field = |name| contact.field(name).map(|text| text.to_string_lossy().into_owned());
    let endpoint = field(c"endpoint").filter(|endpoint| !endpoint.is_empty())?;
    let expires = field(c"expiration_time").and_then(|seconds| seconds.parse().ok());
    Some((endpoint, contact.id.to_string_lossy().into_owned(), expires.and_then(instant)))
}

/// Seconds since 1970 on the clock of ours that never jumps; `None` for 0, which is "for ever".
fn instant(seconds: u64) -> Option<Instant> {
    let end = UNIX_EPOCH + Duration::from_secs(Some(seconds).filter(|&seconds| seconds > 0)?);
    let (now, wall) = (Instant::now(), SystemTime::now());
    match end.duration_since(wall) {
        Ok(left) => Some(now + left),
        Err(past) => Some(now.checked_sub(past.duration()).unwrap_or(now)),
    }
}
