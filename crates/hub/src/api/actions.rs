//! What operators do to servers. Each is typed, allowed by the server's agent, and written down.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use fleet::{Driver, Freshness, PeerId, ServerView};
use link::Request;
use serde::{Deserialize, Serialize};

use super::body::{Body, Path};
use super::problem::{Problem, Words};
use crate::db::{Entry, Outcome};
use crate::hub::Hub;
use crate::line::{ActError, said};
use crate::who::{Operator, Who};

/// What Asterisk said.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Said {
    message: String,
}

/// Which channel to end.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Hangup {
    /// `PJSIP/200-00000001`
    channel: String,
}

/// Which channel to send where.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Transfer {
    /// `PJSIP/200-00000001`
    channel: String,
    /// `201`
    extension: String,
    /// One of those that the server's agent allows; else its first.
    #[serde(default)]
    context: Option<String>,
}

/// Whom to connect with whom.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Originate {
    /// Who is rung first: `PJSIP/200`
    peer: String,
    /// Whom they are connected with when they answer: `201`
    extension: String,
    /// One of those that the server's agent allows; else its first.
    #[serde(default)]
    context: Option<String>,
}

/// Which peer to ask whether it is there.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Qualify {
    /// `PJSIP` or `SIP`; Asterisk cannot ask a peer of IAX2 on demand.
    driver: String,
    name: String,
}

async fn act(
    hub: &Hub,
    who: &Who,
    server: &str,
    (action, target): (&str, String),
    request: Request,
) -> Result<Json<Said>, Problem> {
    if hub.fleet(|fleet| fleet.server(server).is_none()) {
        return Err(Problem::no_such("server", server));
    }
    let entry = Entry { server: Some(server.into()), ..who.entry(action, target) };
    let act = async { hub.act(server, request).await.map(|answer| said(&answer)) };
    let done = hub.written_down(entry, act, |done| match done {
        Ok(message) => (Outcome::Done, Some(message.clone()).filter(|it| !it.is_empty())),
        Err(error @ (ActError::Refused(_) | ActError::NotPermitted)) => {
            (Outcome::Refused, Some(error.to_string()))
        }
        Err(error) => (Outcome::Failed, Some(error.to_string())),
    });
    Ok(Json(Said { message: done.await?? }))
}

/// End a channel.
#[utoipa::path(post, path = "/api/servers/{server}/hangup", tag = "actions",
    params(("server" = String, Path)), request_body = Hangup,
    responses((status = 200, body = Said), (status = 403, body = Words), (status = 409, body = Words)))]
pub(super) async fn hangup(
    State(hub): State<Arc<Hub>>,
    Operator(who): Operator,
    Path(server): Path<String>,
    Body(Hangup { channel }): Body<Hangup>,
) -> Result<Json<Said>, Problem> {
    act(&hub, &who, &server, ("hangup", channel.clone()), Request::Hangup { channel }).await
}

/// Send a channel elsewhere.
#[utoipa::path(post, path = "/api/servers/{server}/transfer", tag = "actions",
    params(("server" = String, Path)), request_body = Transfer,
    responses((status = 200, body = Said), (status = 403, body = Words), (status = 409, body = Words)))]
pub(super) async fn transfer(
    State(hub): State<Arc<Hub>>,
    Operator(who): Operator,
    Path(server): Path<String>,
    Body(Transfer { channel, extension, context }): Body<Transfer>,
) -> Result<Json<Said>, Problem> {
    let target = format!("{channel} to {extension}");
    let request = Request::Transfer { channel, extension, context };
    act(&hub, &who, &server, ("transfer", target), request).await
}

/// Whether it is known that a server has no such peer: Asterisk itself says only that it was asked.
fn lacks(server: &ServerView, peer: &str) -> bool {
    let Some((driver, name)) = peer.split_once('/') else { return false };
    let parts = &server.info().parts;
    let known =
        [(Driver::Pjsip, parts.pjsip), (Driver::Iax2, parts.iax2), (Driver::Sip, parts.sip)];
    known.into_iter().filter(|(of, _)| of.word() == driver).any(|(driver, part)| {
        part == Freshness::Live && server.peer(&PeerId { driver, name: name.into() }).is_none()
    })
}

/// Ring a peer, and connect it with an extension when it answers. What comes of it is a call that is shown, or none.
#[utoipa::path(post, path = "/api/servers/{server}/originate", tag = "actions",
    params(("server" = String, Path)), request_body = Originate,
    responses((status = 200, body = Said), (status = 403, body = Words), (status = 409, body = Words)))]
pub(super) async fn originate(
    State(hub): State<Arc<Hub>>,
    Operator(who): Operator,
    Path(server): Path<String>,
    Body(Originate { peer, extension, context }): Body<Originate>,
) -> Result<Json<Said>, Problem> {
    if hub.fleet(|fleet| fleet.server(&server).is_some_and(|it| lacks(it, &peer))) {
        return Err(Problem::no_such("peer", &peer));
    }
    let target = format!("{peer} to {extension}");
    let request = Request::Originate { peer, extension, context };
    act(&hub, &who, &server, ("originate", target), request).await
}

/// Ask a peer whether it is there.
#[utoipa::path(post, path = "/api/servers/{server}/qualify", tag = "actions",
    params(("server" = String, Path)), request_body = Qualify,
    responses((status = 200, body = Said), (status = 403, body = Words), (status = 409, body = Words)))]
pub(super) async fn qualify(
    State(hub): State<Arc<Hub>>,
    Operator(who): Operator,
    Path(server): Path<String>,
    Body(Qualify { driver, name }): Body<Qualify>,
) -> Result<Json<Said>, Problem> {
    let target = format!("{driver}/{name}");
    let request = Request::Qualify { driver, name };
    act(&hub, &who, &server, ("qualify", target), request).await
}
