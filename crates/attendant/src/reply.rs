//! Answers, with the fields that all of them have, and what kind of request they answer.

use std::sync::Arc;

use httpd::{Body, Request, Response};
use serde::Serialize;

/// What pages may do: run our script, wear our style, ask us. Nothing else, and nobody frames them.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; \
                      form-action 'self'";

#[derive(Serialize)]
struct Refusal<'a> {
    error: &'a str,
}

/// JSON that is there already.
pub(crate) fn json(status: u16, json: Arc<[u8]>) -> Response {
    guarded(Response::new(status).with_body("application/json", Body::Shared(json)))
}

/// JSON of something.
pub(crate) fn value(status: u16, value: &impl Serialize) -> Response {
    json(status, crate::views::json(value))
}

/// What is wrong, for programs and people.
pub(crate) fn refusal(status: u16, error: &str) -> Response {
    value(status, &Refusal { error })
}

/// Whether a request says that it has JSON.
pub(crate) fn is_json(request: &Request) -> bool {
    let content_type = request.headers.only("content-type").unwrap_or_default();
    let content_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    content_type.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

/// A page.
pub(crate) fn page(status: u16, html: String) -> Response {
    guarded(
        Response::new(status).with_body("text/html; charset=utf-8", Body::Owned(html.into_bytes())),
    )
}

/// Part of the program. Asked for anew each time: another version may answer the next time.
pub(crate) fn asset(content_type: &'static str, bytes: &'static [u8]) -> Response {
    let response = Response::new(200).with_body(content_type, Body::Static(bytes));
    guarded_as(response, "no-cache")
}

/// Go there.
pub(crate) fn see_other(place: &'static str) -> Response {
    guarded(Response::new(303).with_header("Location", place))
}

/// The beginning of server-sent events.
pub(crate) fn events() -> Response {
    guarded(Response::new(200).with_header("Content-Type", "text/event-stream"))
}

/// With what keeps an answer from being kept, framed, sniffed or read by other pages.
pub(crate) fn guarded(response: Response) -> Response {
    guarded_as(response, "no-store")
}

fn guarded_as(response: Response, cache: &'static str) -> Response {
    response
        .with_header("Cache-Control", cache)
        .with_header("Content-Security-Policy", POLICY)
        .with_header("X-Content-Type-Options", "nosniff")
        .with_header("X-Frame-Options", "DENY")
        // Not `no-referrer`: with that, browsers say `Origin: null` when they send the form to log in.
        .with_header("Referrer-Policy", "same-origin")
        .with_header("Cross-Origin-Resource-Policy", "same-origin")
        .with_header("Cross-Origin-Opener-Policy", "same-origin")
}
