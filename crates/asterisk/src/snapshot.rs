//! All channels at one moment, and how many calls there are.
//!
//! From Stasis' cache of channels, never from a channel itself: no channel's lock is taken, so
//! nothing here waits for one that hangs, and none waits for us. The cache is as new as what
//! Asterisk last published, which for what is shown here is a moment ago.
//!
//! Any thread may call.

use std::ffi::{CString, c_char};
use std::num::NonZero;
use std::time::SystemTime;

use asterisk_sys as sys;

use crate::ao2::{self, Ref};
use crate::system::wall_clock;
use crate::text;

/// A channel at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ChannelSnapshot {
    /// `PJSIP/200-00000001`. A transfer may give it to another channel.
    pub name: CString,
    /// The channel's `UNIQUEID`.
    pub unique_id: CString,
    /// The `UNIQUEID` of the first channel of the same call: those who share it belong together.
    pub linked_id: CString,
    /// The driver's technology: `PJSIP`, `IAX2`, `Local`.
    pub tech: CString,
    /// What its line is doing.
    pub state: ChannelState,
    /// Who is at its end.
    pub caller: Party,
    /// Whom its end talks to.
    pub connected: Party,
    /// `[context]` in the dialplan.
    pub context: CString,
    /// Extension in the dialplan.
    pub extension: CString,
    /// Priority in the dialplan.
    pub priority: i32,
    /// The application that runs; empty if none does.
    pub application: CString,
    /// What that application was given.
    pub data: CString,
    /// The id of the bridge that it is in; empty if it is in none.
    pub bridge: CString,
    /// Its account, for billing.
    pub account: CString,
    /// The protocol's own name for the call, such as SIP's Call-ID; empty if it has none.
    pub protocol_id: CString,
    /// When it was made, by the wall clock as it was then.
    pub created: SystemTime,
    /// Whether it is a detail of Asterisk's own, such as one that plays a file into a bridge.
    pub internal: bool,
}

/// Who somebody is: both may be empty.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Party {
    /// A number.
    pub number: CString,
    /// A name.
    pub name: CString,
}

/// What a channel's line is doing (channelstate.h).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ChannelState {
    /// Nothing, and free.
    Down,
    /// Nothing, and taken.
    Reserved,
    /// Lifted.
    OffHook,
    /// Digits have been dialled.
    Dialing,
    /// The other end is ringing. Also what a new channel begins with.
    Ring,
    /// This end is ringing.
    Ringing,
    /// Somebody talks.
    Up,
    /// Busy.
    Busy,
    /// Digits have been dialled while it was lifted.
    DialingOffHook,
    /// A call was seen, and will ring.
    PreRing,
    /// One that Asterisk has learnt since.
    Other(u32),
}

impl ChannelState {
    fn of(raw: sys::ast_channel_state) -> Self {
        match raw {
            sys::AST_STATE_DOWN => Self::Down,
            sys::AST_STATE_RESERVED => Self::Reserved,
            sys::AST_STATE_OFFHOOK => Self::OffHook,
            sys::AST_STATE_DIALING => Self::Dialing,
            sys::AST_STATE_RING => Self::Ring,
            sys::AST_STATE_RINGING => Self::Ringing,
            sys::AST_STATE_UP => Self::Up,
            sys::AST_STATE_BUSY => Self::Busy,
            sys::AST_STATE_DIALING_OFFHOOK => Self::DialingOffHook,
            sys::AST_STATE_PRERING => Self::PreRing,
            other => Self::Other(other),
        }
    }

    /// As `core show channels` writes it (channel.c, `ast_state2str`).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Down => "Down",
            Self::Reserved => "Rsrvd",
            Self::OffHook => "OffHook",
            Self::Dialing => "Dialing",
            Self::Ring => "Ring",
            Self::Ringing => "Ringing",
            Self::Up => "Up",
            Self::Busy => "Busy",
            Self::DialingOffHook => "Dialing Offhook",
            Self::PreRing => "Pre-ring",
            Self::Other(_) => "Unknown",
        }
    }
}

/// All channels, in no order.
pub fn channels() -> Vec<ChannelSnapshot> {
    let mut found = Vec::new();
    // SAFETY: no arguments.
    let cache = unsafe { sys::ast_channel_cache_all() };
    // SAFETY: null, or a container with a reference for us (stasis_channels.c: `ao2_bump`).
    let Some(cache) = (unsafe { Ref::take(cache) }) else { return found };
    ao2::for_each(&cache, |snapshot| {
        let snapshot: *const sys::ast_channel_snapshot = snapshot.cast_const().cast();
        // SAFETY: the cache holds snapshots, alive for this call. They never change.
        found.push(copy(unsafe { &*snapshot }));
    });
    found
}

/// How many channels there are. Takes a lock of the list of channels', and none of a channel's.
pub fn active_channels() -> u32 {
    // SAFETY: counts what is in a list, which is locked for it.
    unsafe { sys::ast_active_channels() }.try_into().unwrap_or(0)
}

/// The most calls that there may be (`maxcalls` in asterisk.conf); `None` if any number may.
pub fn max_calls() -> Option<NonZero<u32>> {
    let most = &raw const sys::ast_option_maxcalls;
    // SAFETY: a plain `int` of Asterisk's, which C reads without a lock too (options.h).
    let most = unsafe { most.read_volatile() };
    NonZero::new(most.try_into().unwrap_or(0))
}

/// How many calls have entered the dialplan and not left it.
pub fn active_calls() -> u32 {
    // SAFETY: reads a number.
    unsafe { sys::ast_active_calls() }.try_into().unwrap_or(0)
}

/// How many calls have entered the dialplan since Asterisk was started.
pub fn processed_calls() -> u32 {
    // SAFETY: reads a number, which wraps around as C's `int` does.
    unsafe { sys::ast_processed_calls() }.cast_unsigned()
}

/// "It is guaranteed that the segments of this snapshot will always exist" (stasis_channels.h).
fn copy(snapshot: &sys::ast_channel_snapshot) -> ChannelSnapshot {
    // SAFETY: a segment is there, and lives as long as its snapshot; so do the others.
    let base = unsafe { &*snapshot.base };
    // SAFETY: as above.
    let peer = unsafe { &*snapshot.peer };
    // SAFETY: as above.
    let caller = unsafe { &*snapshot.caller };
    // SAFETY: as above.
    let number = unsafe { (*snapshot.connected).number };
    // SAFETY: as above; the string lies beyond the structure, and was allocated with it
    // (stasis_channels.c, `channel_snapshot_connected_create`).
    let name = unsafe { &raw const (*snapshot.connected).name };
    // SAFETY: as above (`channel_snapshot_bridge_create`).
    let bridge = unsafe { &raw const (*snapshot.bridge).id };
    // SAFETY: as above.
    let dialplan = unsafe { &*snapshot.dialplan };
    // SAFETY: a segment's strings are NUL-terminated or null, and live as long as it does.
    let own = |string: *const c_char| -> CString { unsafe { text::borrow(string) }.to_owned() };
    ChannelSnapshot {
        name: own(base.name),
        unique_id: own(base.uniqueid),
        linked_id: own(peer.linkedid),
        tech: own(base.type_),
        state: ChannelState::of(snapshot.state),
        caller: Party { number: own(caller.number), name: own(caller.name) },
        connected: Party { number: own(number), name: own(name.cast()) },
        context: own(dialplan.context),
        extension: own(dialplan.exten),
        priority: dialplan.priority,
        application: own(dialplan.appl),
        data: own(dialplan.data),
        bridge: own(bridge.cast()),
        account: own(base.accountcode),
        protocol_id: own(base.protocol_id),
        created: wall_clock(base.creationtime),
        internal: base.tech_properties & sys::AST_CHAN_TP_INTERNAL as i32 != 0,
    }
}
