//! A whole request.

use crate::headers::Headers;

/// What a request wants done. Others are answered with 501.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Method {
    /// Read.
    Get,
    /// Read, without the body.
    Head,
    /// Do.
    Post,
    /// Replace.
    Put,
    /// Change.
    Patch,
    /// Remove.
    Delete,
    /// Ask what there is.
    Options,
}

impl Method {
    pub(crate) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            _ => return None,
        })
    }

    /// Whether it changes nothing (RFC 9110, 9.2.1).
    #[must_use]
    pub fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options)
    }
}

/// A whole request, its body included.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// What is to be done.
    pub method: Method,
    /// To what: decoded, begins with `/` (or is `*`), without the query.
    pub path: String,
    /// What stands behind the `?`, as it came.
    pub query: String,
    /// The host that the client means, with its port: of an absolute target, else of `Host`.
    /// HTTP/1.0 may come without.
    pub host: Option<String>,
    /// Its fields.
    pub headers: Headers,
    /// Its body; empty if there is none.
    pub body: Vec<u8>,
    /// How often a job has handed it back ([`crate::Again`]).
    pub attempt: u32,
}
