//! A decoded message: an ordered multimap that borrows its bytes.

use std::fmt;

use crate::OwnedMessage;

/// Where a header is within its message, in bytes. A line without a name has `name_end == start`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) name_end: u32,
    pub(crate) value: u32,
    pub(crate) end: u32,
}

impl Span {
    fn name(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.name_end as usize]
    }

    fn value(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.value as usize..self.end as usize]
    }
}

/// One header of a message, or a line without a name.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Header<'a> {
    /// As sent. Empty for a line without a colon, or with nothing before it: old versions print
    /// the console's output so, and `GetConfig` says `No categories found`.
    pub name: &'a [u8],
    /// Less the one blank that Asterisk puts before it; other blanks are its own. The whole line
    /// if there is no name.
    pub value: &'a [u8],
}

/// An event or a response, borrowed from the buffer that it was decoded in.
///
/// # Examples
///
/// ```
/// use ami_proto::{Frame, Decoder};
///
/// let mut decoder = Decoder::without_greeting();
/// decoder.feed(b"Event: Hangup\r\nChanVariable: A=1\r\nChanVariable: B=2\r\nCause: 16\r\n\r\n")?;
/// let Some(Frame::Message(message)) = decoder.poll()? else { panic!("a whole message") };
/// assert_eq!(message.event(), Some(&b"Hangup"[..]));
/// assert_eq!(message.get("cause"), Some(&b"16"[..]));
/// let variables: Vec<_> = message.get_all("ChanVariable").collect();
/// assert_eq!(variables, [b"A=1", b"B=2"]);
/// # Ok::<(), ami_proto::FrameError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Message<'a> {
    bytes: &'a [u8],
    index: &'a [Span],
}

impl<'a> Message<'a> {
    pub(crate) fn new(bytes: &'a [u8], index: &'a [Span]) -> Self {
        Self { bytes, index }
    }

    pub(crate) fn parts(self) -> (&'a [u8], &'a [Span]) {
        (self.bytes, self.index)
    }

    /// The first value of this name, in whatever case.
    #[must_use]
    pub fn get(self, name: &str) -> Option<&'a [u8]> {
        self.get_all(name).next()
    }

    /// All values of this name, in whatever case, in their order.
    #[must_use]
    pub fn get_all<'n>(self, name: &'n str) -> Values<'a, 'n> {
        Values { bytes: self.bytes, spans: self.index.iter(), name: name.as_bytes() }
    }

    /// All headers in their order, and lines without a name among them.
    #[must_use]
    pub fn headers(self) -> Headers<'a> {
        Headers { bytes: self.bytes, spans: self.index.iter() }
    }

    /// How many headers and lines without a name there are.
    #[must_use]
    pub fn len(self) -> usize {
        self.index.len()
    }

    /// Whether there are none; a decoded message has one at least.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.index.is_empty()
    }

    /// Its length in bytes as it was sent.
    #[must_use]
    pub fn len_bytes(self) -> usize {
        self.bytes.len()
    }

    /// The event's name, if it is one. It is the first header: an `OriginateResponse` has a
    /// `Response` further down, and is none.
    #[must_use]
    pub fn event(self) -> Option<&'a [u8]> {
        self.first("Event")
    }

    /// `Success`, `Error`, `Goodbye` or (before Asterisk 14) `Follows`, if it is a response.
    #[must_use]
    pub fn response(self) -> Option<&'a [u8]> {
        self.first("Response")
    }

    /// The lines that the console would have printed: the `Output` headers, or what stands between
    /// `Response: Follows` and `--END COMMAND--` before Asterisk 14.
    pub fn output(self) -> impl Iterator<Item = &'a [u8]> {
        let follows = self.response().is_some_and(|is| is.eq_ignore_ascii_case(b"Follows"));
        self.headers().filter_map(move |Header { name, value }| {
            let is_output =
                if follows { name.is_empty() } else { name.eq_ignore_ascii_case(b"Output") };
            is_output.then_some(value)
        })
    }

    /// A copy that may be kept.
    #[must_use]
    pub fn to_owned(self) -> OwnedMessage {
        OwnedMessage::copy(self)
    }

    fn first(self, name: &str) -> Option<&'a [u8]> {
        let span = self.index.first()?;
        let is_it = span.name(self.bytes).eq_ignore_ascii_case(name.as_bytes());
        is_it.then(|| span.value(self.bytes))
    }
}

/// The same headers in the same order; how they were written does not count.
impl PartialEq for Message<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.headers().eq(other.headers())
    }
}

impl Eq for Message<'_> {}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.headers()).finish()
    }
}

impl fmt::Debug for Header<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name.escape_ascii(), self.value.escape_ascii())
    }
}

impl<'a> IntoIterator for Message<'a> {
    type Item = Header<'a>;
    type IntoIter = Headers<'a>;

    fn into_iter(self) -> Headers<'a> {
        self.headers()
    }
}

/// The headers of a message in their order.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    bytes: &'a [u8],
    spans: std::slice::Iter<'a, Span>,
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        let span = self.spans.next()?;
        Some(Header { name: span.name(self.bytes), value: span.value(self.bytes) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.spans.size_hint()
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// The values of one name in their order.
#[derive(Clone, Debug)]
pub struct Values<'a, 'n> {
    bytes: &'a [u8],
    spans: std::slice::Iter<'a, Span>,
    name: &'n [u8],
}

impl<'a> Iterator for Values<'a, '_> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (bytes, name) = (self.bytes, self.name);
        let span = self.spans.find(|span| span.name(bytes).eq_ignore_ascii_case(name))?;
        Some(span.value(bytes))
    }
}
