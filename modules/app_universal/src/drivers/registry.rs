//! What chan_iax2 and chan_sip keep in AstDB: `IAX/Registry/201` = `127.0.0.12:4569:60`.
//!
//! A peer counts as registered while it has a row there and an endpoint that is not offline. A
//! row alone may be left over of a peer that a reload removed; an endpoint alone may belong to a
//! peer with a fixed address. After a restart the endpoint's state is "unknown" until the peer
//! registers again or answers a qualify (chan_iax2.c, `reg_source_db`), so only "offline" says no.

use std::{ffi::CStr, sync::atomic::AtomicBool, time::Instant};

use asterisk::{
    astdb,
    endpoint::{self, State},
};

/// These drivers keep one contact for each peer, and it needs no name of its own.
pub(super) const CONTACT: &str = "registry";

/// A driver that keeps its registrations in AstDB.
pub(super) struct Driver {
    /// Its name, as Asterisk's endpoints have it.
    pub(super) name: &'static str,
    tech: &'static CStr,
    family: &'static CStr,
    /// Whether no peer was registered when it was looked at last.
    pub(super) was_empty: AtomicBool,
}

pub(super) static DRIVERS: [Driver; 2] =
    [Driver::new("IAX2", c"IAX2", c"IAX/Registry"), Driver::new("SIP", c"SIP", c"SIP/Registry")];

impl Driver {
    const fn new(name: &'static str, tech: &'static CStr, family: &'static CStr) -> Self {
        Self { name, tech, family, was_empty: AtomicBool::new(false) }
    }

    /// The peers that are registered now. How long for is not to be had: the row's interval has
    /// no beginning.
    pub(super) fn registered(&self) -> Vec<(String, &'static str, Option<Instant>)> {
        let rows = astdb::tree(self.family).into_iter();
        rows.filter_map(|(key, _)| self.peer(&key)).map(|peer| (peer, CONTACT, None)).collect()
    }

    fn peer(&self, key: &CStr) -> Option<String> {
        let peer = key.to_bytes().rsplit(|&byte| byte == b'/').next()?;
        let resource = std::ffi::CString::new(peer).ok()?;
        let state = endpoint::latest(self.tech, &resource)?;
        (state != State::Offline).then(|| resource.to_string_lossy().into_owned())
    }
}
