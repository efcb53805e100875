//! Security events: what `res_security_log` writes into the log, and AMI tells, of logins that
//! failed and logins that did not. Tools such as fail2ban read them.
//!
//! Any thread may report. Stasis hands the event to whoever listens on threads of theirs.

use std::ffi::{CStr, CString, c_char};
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{mem, ptr};

use asterisk_sys as sys;

use crate::text;

/// Text longer than this is cut: what a stranger sent is in it.
const MAX_TEXT_BYTES: usize = 128;

/// Who tried what, and from where.
///
/// Texts may come from a stranger: control characters and quotation marks are written as `\x0a`,
/// so that no text can look like another field of the log's line, and long ones are cut.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// What it was tried with, as `AMI` or `SIP`.
    pub service: &'a str,
    /// Which of our modules that is.
    pub module: &'a CStr,
    /// As whom; may be empty where that is not known yet.
    pub account: &'a str,
    /// Something that tells this session from others.
    pub session: &'a str,
    /// When that session began, if it is known.
    pub since: Option<SystemTime>,
    /// Our end of the connection.
    pub local: SocketAddr,
    /// Their end of it.
    pub remote: SocketAddr,
    /// How they talk to us.
    pub transport: Transport,
}

/// What a connection is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// Anybody on the way can read it.
    Tcp,
    /// Nobody can.
    Tls,
}

/// What became of the attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The address may not.
    FailedAcl {
        /// Which list of addresses says so.
        acl: &'a str,
    },
    /// There is no such account.
    InvalidAccount,
    /// The password was wrong.
    InvalidPassword,
    /// There are too many sessions, or attempts.
    SessionLimit,
    /// The account may not do this.
    RequestNotAllowed {
        /// What.
        request: &'a str,
        /// With what.
        parameters: &'a str,
    },
    /// It was let in.
    SuccessfulAuth {
        /// Whether with a password.
        using_password: bool,
    },
}

/// Tells Asterisk what happened.
pub fn report(event: Event<'_>, attempt: &Attempt<'_>) {
    let strings = Strings::of(event, attempt);
    let addresses = [socket_address(attempt.local), socket_address(attempt.remote)];
    let since = attempt.since.map(timeval);
    let common = |kind, version| sys::ast_security_event_common {
        event_type: kind,
        version,
        service: strings.service.as_ptr(),
        module: attempt.module.as_ptr(),
        account_id: strings.account.as_ptr(),
        session_id: strings.session.as_ptr(),
        session_tv: since.as_ref().map_or(ptr::null(), ptr::from_ref),
        local_addr: end(&addresses[0], attempt.transport),
        remote_addr: end(&addresses[1], attempt.transport),
    };
    match event {
        Event::FailedAcl { .. } => publish(&sys::ast_security_event_failed_acl {
            common: common(
                sys::AST_SECURITY_EVENT_FAILED_ACL,
                sys::AST_SECURITY_EVENT_FAILED_ACL_VERSION,
            ),
            acl_name: strings.first.as_ptr(),
        }),
        Event::InvalidAccount => publish(&sys::ast_security_event_inval_acct_id {
            common: common(
                sys::AST_SECURITY_EVENT_INVAL_ACCT_ID,
                sys::AST_SECURITY_EVENT_INVAL_ACCT_ID_VERSION,
            ),
        }),
        // The three others are for schemes with a challenge; security_events.c takes none.
        Event::InvalidPassword => publish(&sys::ast_security_event_inval_password {
            common: common(
                sys::AST_SECURITY_EVENT_INVAL_PASSWORD,
                sys::AST_SECURITY_EVENT_INVAL_PASSWORD_VERSION,
            ),
            challenge: ptr::null(),
            received_challenge: ptr::null(),
            received_hash: ptr::null(),
        }),
        Event::SessionLimit => publish(&sys::ast_security_event_session_limit {
            common: common(
                sys::AST_SECURITY_EVENT_SESSION_LIMIT,
                sys::AST_SECURITY_EVENT_SESSION_LIMIT_VERSION,
            ),
        }),
        Event::RequestNotAllowed { .. } => publish(&sys::ast_security_event_req_not_allowed {
            common: common(
                sys::AST_SECURITY_EVENT_REQ_NOT_ALLOWED,
                sys::AST_SECURITY_EVENT_REQ_NOT_ALLOWED_VERSION,
            ),
            request_type: strings.first.as_ptr(),
            request_params: strings.second.as_ptr(),
        }),
        Event::SuccessfulAuth { using_password } => {
            publish(&sys::ast_security_event_successful_auth {
                common: common(
                    sys::AST_SECURITY_EVENT_SUCCESSFUL_AUTH,
                    sys::AST_SECURITY_EVENT_SUCCESSFUL_AUTH_VERSION,
                ),
                using_password: using_password.into(),
            });
        }
    }
}

/// One of Asterisk's descriptors of events.
///
/// # Safety
///
/// It begins with an `ast_security_event_common`, whose type and version are its own, and all its
/// pointers are null or alive.
unsafe trait Descriptor {}

// SAFETY: all are made in `report` alone, which sees to it.
unsafe impl Descriptor for sys::ast_security_event_failed_acl {}
// SAFETY: as above.
unsafe impl Descriptor for sys::ast_security_event_inval_acct_id {}
// SAFETY: as above.
unsafe impl Descriptor for sys::ast_security_event_inval_password {}
// SAFETY: as above.
unsafe impl Descriptor for sys::ast_security_event_session_limit {}
// SAFETY: as above.
unsafe impl Descriptor for sys::ast_security_event_req_not_allowed {}
// SAFETY: as above.
unsafe impl Descriptor for sys::ast_security_event_successful_auth {}

fn publish<D: Descriptor>(descriptor: &D) {
    // SAFETY: a descriptor that begins with the common part and is as long as its type says; all
    // of it is copied before the call returns (security_events.c, `handle_security_event`). What
    // goes wrong is logged there.
    unsafe { sys::ast_security_event_report(ptr::from_ref(descriptor).cast()) };
}

/// The texts of an event, fit for the log.
struct Strings {
    service: CString,
    account: CString,
    session: CString,
    /// What only this kind of event has.
    first: CString,
    second: CString,
}

impl Strings {
    fn of(event: Event<'_>, attempt: &Attempt<'_>) -> Self {
        let (first, second) = match event {
            Event::FailedAcl { acl } => (acl, ""),
            Event::RequestNotAllowed { request, parameters } => (request, parameters),
            _ => ("", ""),
        };
        Self {
            service: fit(attempt.service),
            account: fit(attempt.account),
            session: fit(attempt.session),
            first: fit(first),
            second: fit(second),
        }
    }
}

/// res_security_log writes `Name="text"` with nothing escaped.
fn fit(text: &str) -> CString {
    let short = &text[..text.floor_char_boundary(MAX_TEXT_BYTES)];
    text::lossy(text::escape(short.as_bytes()).replace('"', "\\x22"))
}

fn end(address: &sys::ast_sockaddr, transport: Transport) -> sys::ast_security_event_ip_addr {
    let transport = match transport {
        Transport::Tcp => sys::AST_TRANSPORT_TCP,
        Transport::Tls => sys::AST_TRANSPORT_TLS,
    };
    sys::ast_security_event_ip_addr { addr: address, transport }
}

fn timeval(time: SystemTime) -> sys::timeval {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    sys::timeval {
        tv_sec: since.as_secs().try_into().unwrap_or(0),
        tv_usec: since.subsec_micros().into(),
    }
}

/// As netsock2.c keeps an address: what `accept` returns, and how long it is.
fn socket_address(address: SocketAddr) -> sys::ast_sockaddr {
    // SAFETY: zero is a valid value of every field: numbers.
    let mut raw: sys::ast_sockaddr = unsafe { mem::zeroed() };
    let storage: *mut c_char = (&raw mut raw.ss).cast();
    let length = match address {
        SocketAddr::V4(v4) => {
            let inside = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: `sockaddr_storage` is large enough for every kind of address, and aligned.
            unsafe { storage.cast::<libc::sockaddr_in>().write(inside) };
            mem::size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            let inside = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: as above.
            unsafe { storage.cast::<libc::sockaddr_in6>().write(inside) };
            mem::size_of::<libc::sockaddr_in6>()
        }
    };
    raw.len = length.try_into().unwrap_or(0);
    raw
}

const _: () =
    assert!(mem::size_of::<sys::sockaddr_storage>() == mem::size_of::<libc::sockaddr_storage>());
