//! What a server refuses by itself, before or instead of the caller, and how that looks.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::response::Response;

/// Something that the server refuses by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Refusal<'a> {
    /// What it is answered with, whatever the answer's own says.
    pub status: u16,
    /// What is wrong, for people.
    pub text: &'a str,
    /// What was asked for, as in [`crate::Request::path`]; `None` if the request does not say so in
    /// a way that can be read.
    pub path: Option<&'a str>,
}

/// Makes an answer of a refusal.
pub type Refuse = fn(&Refusal<'_>) -> Response;

impl Refusal<'_> {
    /// A line of plain text.
    #[must_use]
    pub fn as_text(&self) -> Response {
        Response::text(self.status, self.text)
    }

    /// The answer that `refuse` makes of it; of one that panics nothing is taken.
    pub(crate) fn answer(&self, refuse: Refuse) -> Response {
        let made = catch_unwind(AssertUnwindSafe(|| refuse(self)));
        let mut response = made.unwrap_or_else(|_| self.as_text());
        response.status = self.status;
        response
    }
}

/// What the server itself has to say of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decline {
    pub(crate) status: u16,
    pub(crate) text: &'static str,
    /// In seconds.
    pub(crate) retry_after: Option<&'static str>,
    /// Whether the connection ends with it.
    pub(crate) is_last: bool,
}

pub(crate) const LATE: Decline = Decline {
    status: 504,
    text: "the answer did not come in time; what was begun may still be done",
    retry_after: None,
    is_last: true,
};

pub(crate) const BROKEN: Decline = Decline {
    status: 500,
    text: "this request met a mistake in the server",
    retry_after: None,
    is_last: false,
};

pub(crate) const BUSY: Decline = Decline {
    status: 503,
    text: "too much is being asked at once; try again",
    retry_after: Some("1"),
    is_last: false,
};

/// Not 503: it is the asker who can mend it, by ending one.
pub(crate) const TOO_MANY_STREAMS: Decline = Decline {
    status: 429,
    text: "your address follows too many streams already; end one and try again",
    retry_after: Some("5"),
    is_last: false,
};
