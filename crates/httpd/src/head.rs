//! A request's head: what it says, and whether it may say so.
//!
//! What is refused here is refused because two readers of one stream might disagree where a
//! request ends (request smuggling; RFC 9112, 11.2): lengths that contradict each other or are
//! written in another way than digits, a length beside `Transfer-Encoding`, `Transfer-Encoding` at
//! all (411 invites the client to send a length), folded fields, blanks before a colon.

use crate::headers::Headers;
use crate::limits::{HEADERS_MAX, Limits};
use crate::request::Method;
use crate::target;

/// Why a request is refused before anybody has seen it. The client erred in all of them; the
/// connection ends with the answer, for where the next request would begin is not certain.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// Not HTTP.
    #[error("this is not an HTTP/1.1 request")]
    Malformed,
    /// HTTP of another kind.
    #[error("this server speaks HTTP/1.1 and HTTP/1.0")]
    Version,
    /// A method that nothing here knows.
    #[error("this server does not know that method")]
    UnknownMethod,
    /// Longer than [`Limits::head_bytes`].
    #[error("the request's header fields are too long")]
    HeadTooLong,
    /// More than [`HEADERS_MAX`].
    #[error("the request has more than {HEADERS_MAX} header fields")]
    TooManyFields,
    /// Longer than [`Limits::target_bytes`].
    #[error("the request's target is too long")]
    TargetTooLong,
    /// Neither a path nor a URL, or badly encoded.
    #[error("the request's target is no path and no URL")]
    BadTarget,
    /// HTTP/1.1 without one `Host`.
    #[error("the request must have one Host field that is a host")]
    BadHost,
    /// A length that is no number, or several.
    #[error("the request must have at most one Content-Length, and that a number")]
    BadLength,
    /// A length and an encoding that has its own, or an encoding in HTTP/1.0.
    #[error("the request has Transfer-Encoding where it cannot have it")]
    TwoLengths,
    /// An encoding that would tell the length.
    #[error("send the request with a Content-Length instead of Transfer-Encoding")]
    LengthRequired,
    /// Longer than [`Limits::body_bytes`].
    #[error("the request's body is too long")]
    BodyTooLong,
    /// Something else than `100-continue`.
    #[error("the request expects something that this server does not do")]
    Expectation,
    /// It took longer than it may.
    #[error("the request did not come in time")]
    TooSlow,
}

impl HeadError {
    /// The status to answer with.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed
            | Self::BadTarget
            | Self::BadHost
            | Self::BadLength
            | Self::TwoLengths => 400,
            Self::TooSlow => 408,
            Self::LengthRequired => 411,
            Self::BodyTooLong => 413,
            Self::TargetTooLong => 414,
            Self::Expectation => 417,
            Self::HeadTooLong | Self::TooManyFields => 431,
            Self::UnknownMethod => 501,
            Self::Version => 505,
        }
    }
}

/// A head that may not be.
#[derive(Debug)]
pub(crate) struct Bad {
    pub(crate) error: HeadError,
    /// What it was about, if it says so.
    pub(crate) path: Option<String>,
}

impl From<HeadError> for Bad {
    fn from(error: HeadError) -> Self {
        Self { error, path: None }
    }
}

/// A head that may be.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) host: Option<String>,
    pub(crate) headers: Headers,
    pub(crate) body_bytes: usize,
    pub(crate) is_http_1_0: bool,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
}

/// Reads a head that [`crate::scan`] found the end of.
pub(crate) fn parse(head: &[u8], limits: &Limits) -> Result<Head, Bad> {
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut raw = httparse::Request::new(&mut fields);
    match raw.parse(head) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(HeadError::Malformed.into()),
        Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooManyFields.into()),
        Err(httparse::Error::Version) => return Err(HeadError::Version.into()),
        Err(_) => return Err(HeadError::Malformed.into()),
    }
    let (Some(method), Some(target), Some(version)) = (raw.method, raw.path, raw.version) else {
        return Err(HeadError::Malformed.into());
    };
    let is_http_1_0 = version == 0;
    let method = Method::of(method).ok_or(HeadError::UnknownMethod)?;
    if target.len() > limits.target_bytes {
        return Err(HeadError::TargetTooLong.into());
    }
    let target = target::parse(target).ok_or(HeadError::BadTarget)?;
    if target.path == "*" && method != Method::Options {
        return Err(HeadError::BadTarget.into());
    }
    let headers = Headers::new(head, raw.headers);
    let about = |error| Bad { error, path: Some(target.path.clone()) };
    let host = host(&headers, target.host, is_http_1_0).map_err(about)?;
    let body_bytes = body_bytes(&headers, is_http_1_0, limits).map_err(about)?;
    let expects_continue = expects_continue(&headers, is_http_1_0).map_err(about)?;
    let keep_alive = !headers.has_token("connection", "close")
        && (!is_http_1_0 || headers.has_token("connection", "keep-alive"));
    Ok(Head {
        method,
        path: target.path,
        query: target.query,
        host,
        headers,
        body_bytes,
        is_http_1_0,
        keep_alive,
        expects_continue,
    })
}

/// The host meant: an absolute target's comes before the field's (RFC 9112, 3.2.2), which must be
/// there all the same.
fn host(
    headers: &Headers,
    of_target: Option<String>,
    is_http_1_0: bool,
) -> Result<Option<String>, HeadError> {
    let mut fields = headers.all("host");
    let first = fields.next();
    if fields.next().is_some() || (first.is_none() && !is_http_1_0) {
        return Err(HeadError::BadHost);
    }
    let field = match first {
        None => None,
        Some(bytes) => {
            let text = str::from_utf8(bytes).map_err(|_| HeadError::BadHost)?;
            target::is_host(text).then(|| Some(text.to_owned())).ok_or(HeadError::BadHost)?
        }
    };
    match of_target {
        Some(host) if !target::is_host(&host) => Err(HeadError::BadHost),
        Some(host) => Ok(Some(host)),
        None => Ok(field),
    }
}

fn body_bytes(headers: &Headers, is_http_1_0: bool, limits: &Limits) -> Result<usize, HeadError> {
    /// More digits than any body that could be taken has.
    const DIGITS_MAX: usize = 15;
    let mut lengths = headers.all("content-length");
    let length = lengths.next();
    if lengths.next().is_some() {
        return Err(HeadError::BadLength);
    }
    if headers.all("transfer-encoding").next().is_some() {
        let refusal = if length.is_some() || is_http_1_0 {
            HeadError::TwoLengths
        } else {
            HeadError::LengthRequired
        };
        return Err(refusal);
    }
    let Some(length) = length else { return Ok(0) };
    if length.is_empty() || !length.iter().all(u8::is_ascii_digit) {
        return Err(HeadError::BadLength);
    }
    if length.len() > DIGITS_MAX {
        return Err(HeadError::BodyTooLong);
    }
    let number = length.iter().fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    match usize::try_from(number) {
        Ok(number) if number <= limits.body_bytes => Ok(number),
        _ => Err(HeadError::BodyTooLong),
    }
}

fn expects_continue(headers: &Headers, is_http_1_0: bool) -> Result<bool, HeadError> {
    let mut expected = false;
    for value in headers.all("expect") {
        if !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(HeadError::Expectation);
        }
        expected = !is_http_1_0;
    }
    Ok(expected)
}
