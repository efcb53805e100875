//! Actions of the Asterisk Manager Interface.
//!
//! An action runs on the session's thread; Asterisk holds a module reference around it
//! (manager.c, `process_message`: `ast_module_running_ref`). A request's line is cut at 1024
//! bytes before anybody sees it. Help comes from the XML documentation.
//!
//! AMI is lines, so a CR or LF in a value would make headers, or events, out of data. The
//! builder refuses control bytes ([`Response::header`]), percent-encodes them
//! ([`Response::header_encoded`]), or makes blanks of them (messages, and the request's ActionID
//! that is sent back); there is no other way in.

use std::ffi::{CStr, CString, c_char, c_int};
use std::marker::PhantomData;
use std::ops::BitOr;
use std::ptr;

use asterisk_sys as sys;

use crate::guard::guard;
use crate::module::Instance;
use crate::registry::Registration;
use crate::text;

/// An AMI action.
pub trait Action: 'static {
    /// The module it belongs to.
    type Module: Instance;
    /// Its name; Asterisk ignores case.
    const NAME: &'static CStr;
    /// Who may: a user whose `write` permissions include one of these. Empty: anybody.
    const AUTHORITY: Authority;

    /// Answers one request.
    fn run(module: &Self::Module, request: &Request<'_>) -> Response;
}

/// A set of AMI's permissions (`EVENT_FLAG_*`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Authority(u32);

impl Authority {
    /// Anybody who is logged in.
    pub const NONE: Self = Self(0);
    /// `system`
    pub const SYSTEM: Self = Self(sys::EVENT_FLAG_SYSTEM);
    /// `call`
    pub const CALL: Self = Self(sys::EVENT_FLAG_CALL);
    /// `command`
    pub const COMMAND: Self = Self(sys::EVENT_FLAG_COMMAND);
    /// `config`
    pub const CONFIG: Self = Self(sys::EVENT_FLAG_CONFIG);
    /// `reporting`
    pub const REPORTING: Self = Self(sys::EVENT_FLAG_REPORTING);

    /// Either of two. For constants, where `|` cannot be used.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOr for Authority {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.or(other)
    }
}

/// A request: its headers, in order.
pub struct Request<'a>(&'a sys::message);

impl<'a> Request<'a> {
    /// The value of the first header of that name, in any case; `None` if there is none.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| v)
    }

    /// All headers: name and value.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let count = (self.0.hdrcount as usize).min(self.0.headers.len());
        self.0.headers[..count].iter().filter_map(|&line| {
            // SAFETY: NUL-terminated lines of the session's, which live as long as the call.
            split_header(unsafe { text::borrow(line) })
        })
    }
}

fn split_header(line: &CStr) -> Option<(&[u8], &[u8])> {
    let line = line.to_bytes();
    let colon = line.iter().position(|&byte| byte == b':')?;
    Some((&line[..colon], line[colon + 1..].trim_ascii_start()))
}

/// A header that AMI cannot carry.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The name is empty, or has more than letters, digits and `-`.
    #[error("a header's name is letters, digits and '-'")]
    BadName,
    /// The value has a byte that would end the line, or the string.
    #[error("a header's value cannot have control bytes")]
    ControlByte,
}

/// An answer to a request. It is sent when the action returns, all at once.
#[derive(Clone, Debug)]
pub struct Response {
    result: &'static str,
    message: Vec<u8>,
    headers: Vec<u8>,
}

impl Response {
    /// `Response: Success`. In `message` control bytes become blanks.
    pub fn success(message: &str) -> Self {
        Self::new("Success", message)
    }

    /// `Response: Error`. In `message` control bytes become blanks.
    pub fn error(message: &str) -> Self {
        Self::new("Error", message)
    }

    fn new(result: &'static str, message: &str) -> Self {
        Self { result, message: blanked(message.as_bytes()), headers: Vec::new() }
    }

    /// Adds a header with the value as it is.
    ///
    /// # Errors
    ///
    /// [`HeaderError`]; nothing is added then.
    pub fn header(mut self, name: &str, value: &[u8]) -> Result<Self, HeaderError> {
        if value.iter().any(u8::is_ascii_control) {
            return Err(HeaderError::ControlByte);
        }
        self.push(name, value)?;
        Ok(self)
    }

    /// Adds a header with control bytes and `%` percent-encoded: any value can be read back.
    ///
    /// # Errors
    ///
    /// [`HeaderError::BadName`]; nothing is added then.
    pub fn header_encoded(mut self, name: &str, value: &[u8]) -> Result<Self, HeaderError> {
        let mut encoded = Vec::with_capacity(value.len());
        for &byte in value {
            if byte.is_ascii_control() || byte == b'%' {
                encoded.extend(format!("%{byte:02X}").bytes());
            } else {
                encoded.push(byte);
            }
        }
        self.push(name, &encoded)?;
        Ok(self)
    }

    fn push(&mut self, name: &str, value: &[u8]) -> Result<(), HeaderError> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if name.is_empty() || !name.bytes().all(good) {
            return Err(HeaderError::BadName);
        }
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            self.headers.extend(part);
        }
        Ok(())
    }

    /// What goes over the wire.
    fn lines(self, action_id: Option<&[u8]>) -> CString {
        let mut lines = format!("Response: {}\r\n", self.result).into_bytes();
        if let Some(id) = action_id.filter(|id| !id.is_empty()) {
            // Over HTTP it comes percent-encoded, and may hold the end of a line.
            lines.extend([b"ActionID: ", blanked(id).as_slice(), b"\r\n"].concat());
        }
        lines.extend([b"Message: ", self.message.as_slice(), b"\r\n"].concat());
        lines.extend(&self.headers);
        lines.extend(b"\r\n");
        text::lossy(lines)
    }
}

/// With control bytes made blanks.
fn blanked(value: &[u8]) -> Vec<u8> {
    value.iter().map(|&byte| if byte.is_ascii_control() { b' ' } else { byte }).collect()
}

pub(crate) struct Registered<A>(PhantomData<fn(A)>);

impl<A: Action> Registered<A> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<A: Action> Registration for Registered<A> {
    fn kind(&self) -> &'static str {
        "AMI action"
    }

    fn name(&self) -> &'static CStr {
        A::NAME
    }

    fn register(&mut self, module: *mut sys::ast_module) -> bool {
        // SAFETY: Asterisk keeps the pointer to the name, which is static; no synopsis and no
        // description means XML help; the handle is this module's own.
        let status = unsafe {
            sys::ast_manager_register2(
                A::NAME.as_ptr(),
                A::AUTHORITY.0 as c_int,
                Some(execute::<A>),
                module,
                ptr::null(),
                ptr::null(),
            )
        };
        status == 0
    }

    /// After this no session starts the action any more: manager.c looks at `registered` and
    /// takes the module reference under one lock.
    fn unregister(&mut self) -> bool {
        // SAFETY: a NUL-terminated name.
        unsafe { sys::ast_manager_unregister(A::NAME.as_ptr()) };
        true
    }
}

/// Anything but 0 would end the session.
unsafe extern "C" fn execute<A: Action>(
    session: *mut sys::mansession,
    message: *const sys::message,
) -> c_int {
    let name = A::NAME.to_string_lossy();
    // SAFETY: manager.c calls with a message that lives until we return.
    let request = Request(unsafe { &*message });
    let failed = || Response::error("The action failed; see Asterisk's log");
    let response = guard(format_args!("AMI action {name}"), failed(), || {
        let Some(lent) = A::Module::slot().enter() else {
            return Response::error("The module is being unloaded");
        };
        A::run(lent.state, &request)
    });
    let lines: CString = response.lines(request.header("ActionID"));
    let lines: *const c_char = lines.as_ptr();
    // SAFETY: the session is alive until we return; the format takes one NUL-terminated string.
    unsafe { sys::astman_append(session, c"%s".as_ptr(), lines) };
    0
}
