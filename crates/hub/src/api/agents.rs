//! Agents, for administrators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::body::{Body, Path};
use super::problem::{Problem, Words};
use crate::db::{self, AgentRow, Entry};
use crate::hub::{Hub, now_ms};
use crate::invite::{self, InviteError, Invited};
use crate::who::Administrator;

/// Which server's.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Invitation {
    server: String,
}

/// All agents.
#[utoipa::path(get, path = "/api/agents", tag = "agents", responses((status = 200, body = [AgentRow])))]
pub(super) async fn list(
    State(hub): State<Arc<Hub>>,
    _: Administrator,
) -> Result<Json<Vec<AgentRow>>, Problem> {
    Ok(Json(hub.db.run(|db| db::agents::list(db)).await?))
}

/// Make a token for the agent of a server. An agent that has a key already keeps it until another
/// enrols.
#[utoipa::path(post, path = "/api/agents", tag = "agents", request_body = Invitation,
    responses((status = 200, body = Invited), (status = 409, body = Words), (status = 422, body = Words)))]
pub(super) async fn invite(
    State(hub): State<Arc<Hub>>,
    Administrator(who): Administrator,
    Body(Invitation { server }): Body<Invitation>,
) -> Result<Json<Invited>, Problem> {
    let (of, fingerprint) = (Arc::clone(&hub), hub.fingerprint);
    let named = server.clone();
    let made =
        tokio::task::spawn_blocking(move || invite::make(&of.config, &of.db, fingerprint, &named));
    let made = made.await.map_err(Problem::ended)?;
    let invited = made.map_err(|error| match error {
        InviteError::Name(_) => Problem::invalid(error.to_string(), ""),
        InviteError::Watched(_) | InviteError::NoName => Problem::conflict(error.to_string(), ""),
        InviteError::Db(error) => error.into(),
        _ => Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string(), "try again"),
    })?;
    let entry = who.entry("agent invite", server.clone());
    hub.note(Entry { server: Some(server), ..entry }).await?;
    Ok(Json(invited))
}

/// Remove an agent: its key is good no more, and its connection ends.
#[utoipa::path(delete, path = "/api/agents/{server}", tag = "agents",
    params(("server" = String, Path)), responses((status = 204), (status = 404, body = Words)))]
pub(super) async fn remove(
    State(hub): State<Arc<Hub>>,
    Administrator(who): Administrator,
    Path(server): Path<String>,
) -> Result<StatusCode, Problem> {
    let named = server.clone();
    let entry = Entry { server: Some(named.clone()), ..who.entry("agent remove", named.clone()) };
    let removed = hub.change(entry, move |db, _| {
        let removed = db::agents::remove(db, &named)?;
        Ok(removed.then_some(()).ok_or_else(|| Problem::no_such("agent", &named)))
    });
    removed.await??;
    hub.hang_up(&server);
    if !hub.config.servers.iter().any(|it| it.name == server) {
        hub.fleet(|fleet| fleet.remove(&server));
        hub.past.tell_removed(now_ms(), &server);
    }
    Ok(StatusCode::NO_CONTENT)
}
