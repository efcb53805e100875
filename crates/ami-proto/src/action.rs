//! What may be said to Asterisk.

use std::fmt;

use crate::error::{ActionError, HeaderError};
use crate::owned::{check_name, check_no_line_end};
use crate::{ACTION_HEADERS_MAX, ACTION_LINE_MAX_BYTES};

/// An action: its name and its headers in their order.
///
/// It cannot be built with a line end in it, nor so that Asterisk would cut or drop it.
///
/// # Examples
///
/// ```
/// use ami_proto::{Action, ActionError};
///
/// let action = Action::new("Redirect")?.header("Channel", "PJSIP/200-00000001")?;
/// assert!(matches!(action.header("Exten", "1\r\nAction: Reload"), Err(ActionError::Header(_))));
/// # Ok::<(), ActionError>(())
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct Action {
    /// Whole lines; the first is `Action: ...`.
    lines: Vec<u8>,
    headers: usize,
}

impl Action {
    /// An action of this name.
    ///
    /// # Errors
    ///
    /// If it would not be read as it is.
    pub fn new(name: impl AsRef<[u8]>) -> Result<Self, ActionError> {
        if name.as_ref().is_empty() {
            return Err(HeaderError::NoName.into());
        }
        let mut action = Self { lines: Vec::new(), headers: 0 };
        action.push(b"Action", name.as_ref())?;
        Ok(action)
    }

    /// Adds a header. A name may come more than once: `Variable` does.
    ///
    /// # Errors
    ///
    /// If Asterisk would read something else, or nothing at all: its limits are
    /// [`ACTION_LINE_MAX_BYTES`] and [`ACTION_HEADERS_MAX`].
    pub fn header(
        mut self,
        name: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<Self, ActionError> {
        let name = name.as_ref();
        if name.eq_ignore_ascii_case(b"ActionID") {
            return Err(ActionError::OwnActionId);
        }
        // One is left for the id.
        if self.headers + 1 >= ACTION_HEADERS_MAX {
            return Err(ActionError::TooManyHeaders);
        }
        self.push(name, value.as_ref())?;
        Ok(self)
    }

    /// Appends it to `out` with this id, which the session has made.
    pub(crate) fn encode(&self, out: &mut Vec<u8>, id: &[u8]) {
        // Second, so that an answer has it even if something later is not read.
        let first = memchr::memchr(b'\n', &self.lines).map_or(self.lines.len(), |end| end + 1);
        out.extend_from_slice(&self.lines[..first]);
        out.extend_from_slice(b"ActionID: ");
        out.extend_from_slice(id);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.lines[first..]);
        out.extend_from_slice(b"\r\n");
    }

    fn push(&mut self, name: &[u8], value: &[u8]) -> Result<(), ActionError> {
        check_name(name)?;
        check_no_line_end(value)?;
        // astman_get_header: ast_skip_blanks, which takes control bytes for blanks.
        if value.first().is_some_and(|&byte| byte <= b' ') {
            return Err(ActionError::LeadingBlank);
        }
        let len = name.len() + b": ".len() + value.len() + b"\r\n".len();
        if len > ACTION_LINE_MAX_BYTES {
            return Err(ActionError::LineTooLong { len });
        }
        for part in [name, b": ", value, b"\r\n"] {
            self.lines.extend_from_slice(part);
        }
        self.headers += 1;
        Ok(())
    }
}

/// Secrets are not shown.
impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        for line in self.lines.split_inclusive(|&byte| byte == b'\n') {
            let line = line.trim_ascii_end();
            let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
            let name = &line[..colon];
            let secret = [&b"Secret"[..], b"Key", b"Password"]
                .iter()
                .any(|secret| name.eq_ignore_ascii_case(secret));
            let shown = if secret { [name, b": (hidden)"].concat() } else { line.to_vec() };
            list.entry(&format_args!("{}", shown.escape_ascii()));
        }
        list.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(action: &Action) -> String {
        let mut out = Vec::new();
        action.encode(&mut out, b"t-1");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn headers_keep_their_order_and_the_id_is_second() {
        let action = Action::new("Originate")
            .and_then(|action| action.header("Channel", "PJSIP/200"))
            .and_then(|action| action.header("Variable", "B=2"))
            .and_then(|action| action.header("Variable", "A=1"))
            .unwrap();
        assert_eq!(
            encoded(&action),
            "Action: Originate\r\nActionID: t-1\r\nChannel: PJSIP/200\r\nVariable: B=2\r\n\
             Variable: A=1\r\n\r\n"
        );
    }

    #[test]
    fn nothing_can_end_a_header_within_it() {
        for byte in *b"\r\n\0" {
            let bad = [b'x', byte];
            let error = ActionError::Header(HeaderError::LineEnd { byte, at: 1 });
            assert_eq!(Action::new(bad), Err(error));
            assert_eq!(Action::new("A").unwrap().header(bad, "v"), Err(error));
            assert_eq!(Action::new("A").unwrap().header("N", bad), Err(error));
        }
        let colon = Action::new("A").unwrap().header("N: v", "v");
        assert_eq!(colon, Err(ActionError::Header(HeaderError::ColonInName)));
        let none = Action::new("A").unwrap().header("", "v");
        assert_eq!(none, Err(ActionError::Header(HeaderError::NoName)));
    }

    #[test]
    fn a_line_may_fill_asterisks_buffer_and_no_more() {
        let fits = "v".repeat(ACTION_LINE_MAX_BYTES - "Name: \r\n".len());
        let action = Action::new("A").unwrap().header("Name", &fits).unwrap();
        let longest = encoded(&action).split_inclusive('\n').map(str::len).max();
        assert_eq!(longest, Some(1024));
        let long = Action::new("A").unwrap().header("Name", fits + "v");
        assert_eq!(long, Err(ActionError::LineTooLong { len: 1025 }));
    }

    #[test]
    fn an_action_has_128_headers_with_its_id_and_no_more() {
        let mut action = Action::new("UpdateConfig").unwrap();
        for at in 0..126 {
            action = action.header(format!("Var-{at:06}"), "x").unwrap();
        }
        assert_eq!(encoded(&action).lines().count(), 128 + 1);
        assert_eq!(action.header("Var-000126", "x"), Err(ActionError::TooManyHeaders));
    }

    #[test]
    fn what_asterisk_would_change_is_refused() {
        let blank = Action::new("A").unwrap().header("Exten", " 200");
        assert_eq!(blank, Err(ActionError::LeadingBlank));
        assert!(Action::new("A").unwrap().header("Exten", "").is_ok());
        let id = Action::new("A").unwrap().header("actionid", "7");
        assert_eq!(id, Err(ActionError::OwnActionId));
    }

    #[test]
    fn a_secret_is_not_shown() {
        let action = Action::new("Login").unwrap().header("Secret", "hush").unwrap();
        assert_eq!(format!("{action:?}"), "[Action: Login, Secret: (hidden)]");
    }
}
