//! The audit log, for administrators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::body::Query;
use super::problem::Problem;
use crate::db::{self, Entry};
use crate::hub::Hub;
use crate::who::Administrator;

/// Which lines.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Before {
    /// Those with smaller numbers.
    #[serde(default)]
    before: Option<i64>,
    /// At most so many, up to 1000.
    #[serde(default)]
    limit: Option<i64>,
}

/// Lines of the log.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Lines {
    /// The latest first.
    entries: Vec<Entry>,
}

/// Who changed what.
#[utoipa::path(get, path = "/api/audit", tag = "audit", params(Before),
    responses((status = 200, body = Lines)))]
pub(super) async fn list(
    State(hub): State<Arc<Hub>>,
    _: Administrator,
    Query(wanted): Query<Before>,
) -> Result<Json<Lines>, Problem> {
    let (before, limit) = (wanted.before.unwrap_or(i64::MAX), wanted.limit.unwrap_or(200));
    let entries = hub.db.run(move |db| db::audit::list(db, before, limit.clamp(1, 1000))).await?;
    Ok(Json(Lines { entries }))
}
