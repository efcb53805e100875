//! Endpoints: what Asterisk's core knows of the phones and peers of all channel drivers.
//!
//! Any thread may call. The answers come out of a cache in memory.

use std::ffi::{CStr, CString, c_char};
use std::marker::PhantomData;
use std::slice;

use asterisk_sys as sys;

use crate::ao2::{self, Ref};
use crate::text;

/// Whether an endpoint can be reached, as its driver sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// The driver does not know, or cannot tell.
    Unknown,
    /// Not registered, or not reachable.
    Offline,
    /// Registered, or always there.
    Online,
}

impl State {
    fn of(raw: sys::ast_endpoint_state) -> Self {
        match raw {
            sys::AST_ENDPOINT_ONLINE => Self::Online,
            sys::AST_ENDPOINT_OFFLINE => Self::Offline,
            _ => Self::Unknown,
        }
    }
}

/// An endpoint at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    /// The driver's technology: `PJSIP`, `IAX2`, `SIP`.
    pub tech: CString,
    /// Its name in that driver.
    pub resource: CString,
    /// Whether it can be reached.
    pub state: State,
    /// The `UNIQUEID`s of its channels.
    pub channels: Vec<CString>,
}

/// An endpoint at one moment, lent by Asterisk.
#[derive(Clone, Copy)]
pub struct Snapshot<'a> {
    raw: *const sys::ast_endpoint_snapshot,
    lent: PhantomData<&'a sys::ast_endpoint_snapshot>,
}

impl<'a> Snapshot<'a> {
    /// # Safety
    ///
    /// `raw` is null, or a snapshot that lives for `'a`. Snapshots never change.
    pub(crate) unsafe fn lent(raw: *const sys::ast_endpoint_snapshot) -> Option<Self> {
        (!raw.is_null()).then_some(Self { raw, lent: PhantomData })
    }

    fn fields(&self) -> &'a sys::ast_endpoint_snapshot {
        // SAFETY: alive and unchanged for `'a`, see `lent`.
        unsafe { &*self.raw }
    }

    /// The driver's technology: `PJSIP`, `IAX2`, `SIP`.
    pub fn tech(&self) -> &'a CStr {
        // SAFETY: a string field: never null, NUL-terminated, lives as long as the snapshot.
        unsafe { text::borrow(self.fields().tech) }
    }

    /// Its name in that driver.
    pub fn resource(&self) -> &'a CStr {
        // SAFETY: as above.
        unsafe { text::borrow(self.fields().resource) }
    }

    /// Whether it can be reached.
    pub fn state(&self) -> State {
        State::of(self.fields().state)
    }

    /// The `UNIQUEID`s of its channels.
    pub fn channels(&self) -> impl Iterator<Item = &'a CStr> {
        let count = usize::try_from(self.fields().num_channels).unwrap_or(0);
        // SAFETY: a live snapshot, see `lent`. Not through `fields`, for they are beyond it.
        let first: *const *const c_char = unsafe { &raw const (*self.raw).channel_ids }.cast();
        // SAFETY: the snapshot was allocated with so many pointers at its end, all of them set,
        // which stay as they are (endpoints.c, `ast_endpoint_snapshot_create`).
        let ids = unsafe { slice::from_raw_parts(first, count) };
        // SAFETY: NUL-terminated strings that live as long as the snapshot.
        ids.iter().map(|&id| unsafe { text::borrow(id) })
    }

    /// A copy to keep.
    pub fn to_owned(&self) -> Endpoint {
        Endpoint {
            tech: self.tech().to_owned(),
            resource: self.resource().to_owned(),
            state: self.state(),
            channels: self.channels().map(CStr::to_owned).collect(),
        }
    }
}

/// The newest state of `tech/resource`; `None` if there is no such endpoint.
pub fn latest(tech: &CStr, resource: &CStr) -> Option<State> {
    // SAFETY: both are NUL-terminated and copied.
    let raw = unsafe { sys::ast_endpoint_latest_snapshot(tech.as_ptr(), resource.as_ptr()) };
    // SAFETY: null, or an ao2 object with a reference for us (stasis_endpoints.h).
    let snapshot = unsafe { Ref::take(raw) }?;
    // SAFETY: `snapshot` keeps it alive until we return.
    unsafe { Snapshot::lent(snapshot.as_ptr()) }.map(|snapshot| snapshot.state())
}

/// All endpoints of a technology (`c"IAX2"`), in no order.
pub fn all(tech: &CStr) -> Vec<Endpoint> {
    gather(|snapshot| snapshot.tech() == tech)
}

/// All endpoints of all technologies, in no order.
pub fn all_of_all() -> Vec<Endpoint> {
    gather(|_| true)
}

fn gather(wanted: impl Fn(&Snapshot<'_>) -> bool) -> Vec<Endpoint> {
    let mut found = Vec::new();
    // SAFETY: exists from Asterisk's start to its end.
    let cache = unsafe { sys::ast_endpoint_cache() };
    // SAFETY: as above.
    let kind = unsafe { sys::ast_endpoint_snapshot_type() };
    if cache.is_null() || kind.is_null() {
        return found;
    }
    // SAFETY: both are alive.
    let messages = unsafe { sys::stasis_cache_dump(cache, kind) };
    // SAFETY: null, or a container with a reference for us (stasis.h).
    let messages = unsafe { Ref::take(messages) };
    let Some(messages) = messages else { return found };
    ao2::for_each(&messages, |message| {
        // SAFETY: the container holds messages, each alive for this call.
        let data = unsafe { sys::stasis_message_data(message.cast()) };
        // SAFETY: a message of the type that we asked for carries a snapshot, which lives as
        // long as the message (stasis_endpoints.h, `ast_endpoint_snapshot_type`).
        if let Some(snapshot) = unsafe { Snapshot::lent(data.cast()) }
            && wanted(&snapshot)
        {
            found.push(snapshot.to_owned());
        }
    });
    found
}
