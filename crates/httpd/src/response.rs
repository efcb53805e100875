//! What is answered.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

/// An answer's content.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Body {
    /// Part of the program.
    Static(&'static [u8]),
    /// Made for this answer.
    Owned(Vec<u8>),
    /// Shared with others.
    Shared(Arc<[u8]>),
}

impl Body {
    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Static(bytes) => bytes,
            Self::Owned(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// An answer. Length, date and connection are added when it is sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Response {
    /// 200, 404, ...
    pub status: u16,
    /// Its fields.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// Its content.
    pub body: Body,
    /// Whether the connection ends with it.
    pub is_last: bool,
}

impl Response {
    /// An answer without content.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Body::Static(b""), is_last: false }
    }

    /// A line of plain text for people.
    #[must_use]
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        let mut text = text.into();
        text.push('\n');
        Self::new(status).with_body("text/plain; charset=utf-8", Body::Owned(text.into_bytes()))
    }

    /// With that content, of that type.
    #[must_use]
    pub fn with_body(mut self, content_type: &'static str, body: Body) -> Self {
        self.body = body;
        self.with_header("Content-Type", content_type)
    }

    /// With one more field. Bytes that cannot be in a field's value become blanks.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        let mut value = value.into();
        if value.chars().any(char::is_control) {
            value = value.replace(char::is_control, " ").into();
        }
        self.headers.push((name, value));
        self
    }

    /// And the connection ends with it.
    #[must_use]
    pub fn last(mut self) -> Self {
        self.is_last = true;
        self
    }

    /// Appends status line and fields, up to and with the empty line.
    pub(crate) fn write_head(&self, out: &mut Vec<u8>, date: &str, framing: &Framing) {
        let mut head = String::with_capacity(256);
        let _ = write!(head, "HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        let _ = write!(head, "Date: {date}\r\n");
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if let Some(length) = framing.length
            && !matches!(self.status, 100..=199 | 204 | 304)
        {
            let _ = write!(head, "Content-Length: {length}\r\n");
        }
        if !framing.keep_alive {
            head.push_str("Connection: close\r\n");
        } else if framing.is_http_1_0 {
            head.push_str("Connection: keep-alive\r\n");
        }
        head.push_str("\r\n");
        out.extend_from_slice(head.as_bytes());
    }
}

/// How an answer's end is told.
pub(crate) struct Framing {
    /// `None`: by the connection's end.
    pub(crate) length: Option<usize>,
    pub(crate) keep_alive: bool,
    pub(crate) is_http_1_0: bool,
}

/// What a status says to people.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        303 => "See Other",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
