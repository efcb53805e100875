//! A message that may be kept, or made: what the peer of a test says.

use std::fmt;

use crate::error::HeaderError;
use crate::message::{Message, Span};

/// What ended the console's output before Asterisk 14.
pub(crate) const END_COMMAND: &[u8] = b"--END COMMAND--";

/// An event or a response with bytes of its own.
///
/// # Examples
///
/// ```
/// use ami_proto::OwnedMessage;
///
/// let mut message = OwnedMessage::default();
/// message.push("Event", "PeerStatus")?;
/// message.push("Peer", "PJSIP/200")?;
/// assert!(message.push("Cause", "x\r\nEvent: Shutdown").is_err());
///
/// let mut out = Vec::new();
/// message.encode(&mut out);
/// assert_eq!(out, b"Event: PeerStatus\r\nPeer: PJSIP/200\r\n\r\n");
/// # Ok::<(), ami_proto::HeaderError>(())
/// ```
#[derive(Clone, Default)]
pub struct OwnedMessage {
    bytes: Vec<u8>,
    index: Vec<Span>,
}

impl OwnedMessage {
    pub(crate) fn copy(message: Message<'_>) -> Self {
        let (bytes, index) = message.parts();
        Self { bytes: bytes.to_vec(), index: index.to_vec() }
    }

    /// To read it.
    #[must_use]
    pub fn as_message(&self) -> Message<'_> {
        Message::new(&self.bytes, &self.index)
    }

    /// The first value of this name, in whatever case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.as_message().get(name)
    }

    /// Adds a header at the end.
    ///
    /// # Errors
    ///
    /// If the name or the value would not be read as what it is.
    pub fn push(
        &mut self,
        name: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<(), HeaderError> {
        let (name, value) = (name.as_ref(), value.as_ref());
        check_name(name)?;
        check_no_line_end(value)?;
        self.add(name, value);
        Ok(())
    }

    /// Adds a line without a name at the end.
    ///
    /// # Errors
    ///
    /// [`HeaderError::NotText`] if it is blank or begins with a name; the console's output may
    /// have such lines, but only a response that says `Follows` may hold them, and ends them.
    pub fn push_text(&mut self, line: impl AsRef<[u8]>) -> Result<(), HeaderError> {
        let line = line.as_ref();
        check_no_line_end(line)?;
        let is_text = line.first() == Some(&b':') || !line.contains(&b':');
        if !self.follows() && (line.is_empty() || !is_text) {
            return Err(HeaderError::NotText);
        }
        self.add(b"", line);
        Ok(())
    }

    /// Appends it to `out` as Asterisk would print it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for header in self.as_message() {
            if !header.name.is_empty() {
                out.extend_from_slice(header.name);
                out.extend_from_slice(b": ");
            }
            out.extend_from_slice(header.value);
            out.extend_from_slice(b"\r\n");
        }
        if self.follows() {
            out.extend_from_slice(END_COMMAND);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }

    fn follows(&self) -> bool {
        self.as_message().response().is_some_and(|is| is.eq_ignore_ascii_case(b"Follows"))
    }

    fn add(&mut self, name: &[u8], value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        let name_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        let end = self.bytes.len();
        let [start, name_end, end] = [start, name_end, end]
            .map(|at| u32::try_from(at).expect("a message that is made has not four gigabytes"));
        self.index.push(Span { start, name_end, value: name_end, end });
    }
}

impl PartialEq for OwnedMessage {
    fn eq(&self, other: &Self) -> bool {
        self.as_message() == other.as_message()
    }
}

impl Eq for OwnedMessage {}

impl fmt::Debug for OwnedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_message().fmt(f)
    }
}

/// What would end a header within it.
pub(crate) fn check_no_line_end(text: &[u8]) -> Result<(), HeaderError> {
    match text.iter().position(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        Some(at) => Err(HeaderError::LineEnd { byte: text[at], at }),
        None => Ok(()),
    }
}

pub(crate) fn check_name(name: &[u8]) -> Result<(), HeaderError> {
    check_no_line_end(name)?;
    if name.is_empty() {
        return Err(HeaderError::NoName);
    }
    if name.contains(&b':') {
        return Err(HeaderError::ColonInName);
    }
    Ok(())
}
