//! Everything as it is now.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use fleet::{Snapshot, Time};
use serde::Serialize;

use super::problem::Words;
use crate::hub::{Hub, now};
use crate::who::Who;

/// Everything, and the hub's time.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Now {
    /// The hub's clock, which all times go by.
    now_ms: Time,
    #[serde(flatten)]
    snapshot: Snapshot,
}

/// Everything as it is now; `/api/events?since=SEQ` goes on from its `seq`.
#[utoipa::path(get, path = "/api/state", tag = "fleet",
    responses((status = 200, body = Now), (status = 401, body = Words)))]
pub(super) async fn state(State(hub): State<Arc<Hub>>, _: Who) -> Json<Now> {
    let snapshot = hub.fleet(|fleet| fleet.snapshot());
    Json(Now { now_ms: now(), snapshot })
}
