//! Tokens for programs, for administrators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::body::{Body, Path};
use super::problem::{Problem, Words};
use crate::db::{self, Role, TokenRow};
use crate::hub::{Hub, now_ms};
use crate::secret;
use crate::who::Administrator;

/// A new token.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    /// What it is for.
    name: String,
    role: Role,
    /// Until it ends, 1 to 3650; never if nothing is said.
    #[serde(default)]
    days: Option<u32>,
}

/// The token itself: it is shown this once.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Made {
    id: i64,
    token: String,
}

const DAY_MS: i64 = 86_400_000;
const DAYS_MAX: u32 = 3650;
const NAME_MAX_BYTES: usize = 64;

/// All tokens.
#[utoipa::path(get, path = "/api/tokens", tag = "tokens", responses((status = 200, body = [TokenRow])))]
pub(super) async fn list(
    State(hub): State<Arc<Hub>>,
    _: Administrator,
) -> Result<Json<Vec<TokenRow>>, Problem> {
    Ok(Json(hub.db.run(|db| db::tokens::list(db)).await?))
}

/// Make a token.
#[utoipa::path(post, path = "/api/tokens", tag = "tokens", request_body = NewToken,
    responses((status = 200, body = Made), (status = 422, body = Words)))]
pub(super) async fn add(
    State(hub): State<Arc<Hub>>,
    Administrator(who): Administrator,
    Body(new): Body<NewToken>,
) -> Result<Json<Made>, Problem> {
    if !(1..=NAME_MAX_BYTES).contains(&new.name.len()) || new.name.chars().any(char::is_control) {
        let cure = "say what it is for, in 1 to 64 bytes";
        return Err(Problem::invalid("that is no name for a token", cure));
    }
    if new.days.is_some_and(|days| !(1..=DAYS_MAX).contains(&days)) {
        let cure = format!("say 1 to {DAYS_MAX} days, or nothing for ever");
        return Err(Problem::invalid("a token is not good for so many days", cure));
    }
    let token = secret::new().map_err(|error| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string(), "try again")
    })?;
    let hash = secret::hash(&token);
    let expires = new.days.map(|days| now_ms() + i64::from(days) * DAY_MS);
    let added = hub.change(who.entry("token add", new.name.clone()), move |db, entry| {
        let id = db::tokens::add(db, now_ms(), &new.name, new.role, &hash, expires)?;
        entry.detail = Some(format!("number {id}, as {}", new.role.word()));
        Ok(Ok::<_, Problem>(id))
    });
    let id = added.await??;
    Ok(Json(Made { id, token }))
}

/// Remove a token.
#[utoipa::path(delete, path = "/api/tokens/{id}", tag = "tokens", params(("id" = i64, Path)),
    responses((status = 204), (status = 404, body = Words)))]
pub(super) async fn remove(
    State(hub): State<Arc<Hub>>,
    Administrator(who): Administrator,
    Path(id): Path<i64>,
) -> Result<StatusCode, Problem> {
    let removed = hub.change(who.entry("token remove", id.to_string()), move |db, _| {
        let removed = db::tokens::remove(db, id)?;
        Ok(removed.then_some(()).ok_or_else(|| Problem::no_such("token", &id.to_string())))
    });
    removed.await??;
    Ok(StatusCode::NO_CONTENT)
}
