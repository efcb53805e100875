//! What was.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::body::{Path, Query};
use super::problem::Problem;
use crate::db::{self, CallRow, PeerRow};
use crate::hub::{Hub, now_ms};
use crate::who::Who;

const ROWS_MAX: i64 = 10_000;
const DAY_MS: i64 = 86_400_000;

/// From when to when.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Span {
    /// Milliseconds since 1970; a day ago if nothing is said.
    #[serde(default)]
    from: Option<i64>,
    /// Now if nothing is said.
    #[serde(default)]
    to: Option<i64>,
}

/// A peer's past, the oldest first; the first row may be from before the span: what it was then.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Past {
    rows: Vec<PeerRow>,
    /// Whether there are more.
    truncated: bool,
}

/// What became of a peer.
#[utoipa::path(get, path = "/api/history/peers/{server}/{driver}/{name}", tag = "history",
    params(("server" = String, Path), ("driver" = String, Path), ("name" = String, Path), Span),
    responses((status = 200, body = Past)))]
pub(super) async fn peer(
    State(hub): State<Arc<Hub>>,
    _: Who,
    Path((server, driver, name)): Path<(String, String, String)>,
    Query(span): Query<Span>,
) -> Result<Json<Past>, Problem> {
    let to = span.to.unwrap_or_else(now_ms);
    let from = span.from.unwrap_or(to - DAY_MS);
    let past = move |db: &mut rusqlite::Connection| {
        db::history::peer(db, &server, &driver, &name, [from, to], ROWS_MAX + 1)
    };
    let mut rows = hub.db.run(past).await?;
    let truncated = rows.len() as i64 > ROWS_MAX;
    rows.truncate(ROWS_MAX as usize);
    Ok(Json(Past { rows, truncated }))
}

/// Which calls.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Before {
    /// Those that began before; milliseconds since 1970.
    #[serde(default)]
    before: Option<i64>,
    /// At most so many, up to 1000.
    #[serde(default)]
    limit: Option<i64>,
}

/// Calls that are over, the latest first.
#[utoipa::path(get, path = "/api/history/calls", tag = "history", params(Before),
    responses((status = 200, body = [CallRow])))]
pub(super) async fn calls(
    State(hub): State<Arc<Hub>>,
    _: Who,
    Query(wanted): Query<Before>,
) -> Result<Json<Vec<CallRow>>, Problem> {
    let limit = wanted.limit.unwrap_or(200).clamp(1, 1000);
    let before = wanted.before.unwrap_or(i64::MAX);
    Ok(Json(hub.db.run(move |db| db::history::calls(db, before, limit)).await?))
}
