//! Universal variables and shared registrations.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::body::{Body, Path, Query};
use super::problem::{Problem, Words};
use crate::db::{DbError, Entry, Outcome};
use crate::hub::Hub;
use crate::variables::{Cache, SharedRegistration, Variable, VariableError, Variables};
use crate::who::{Operator, Who};

/// Which variables.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// What their names begin with.
    #[serde(default)]
    prefix: String,
    /// At most so many, up to 5000.
    #[serde(default)]
    limit: Option<usize>,
}

/// Variables, and how the caches are.
#[derive(Default, Serialize, utoipa::ToSchema)]
pub(super) struct List {
    /// Whether the hub was told of the caches at all.
    configured: bool,
    variables: Vec<Variable>,
    /// Whether there are more.
    truncated: bool,
    /// Why some may be missing.
    gaps: Vec<String>,
    servers: Vec<Cache>,
}

/// Registrations.
#[derive(Default, Serialize, utoipa::ToSchema)]
pub(super) struct Registrations {
    /// Whether the hub was told of the caches at all.
    configured: bool,
    registrations: Vec<SharedRegistration>,
    /// Whether there are more.
    truncated: bool,
    /// Why some may be missing.
    gaps: Vec<String>,
}

/// What to write.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewValue {
    value: String,
    /// For how many seconds, up to ten years; for ever if nothing is said.
    #[serde(default)]
    ttl_s: Option<u64>,
}

/// What lasts longer, lasts for ever.
const TTL_MAX_S: u64 = 10 * 365 * 86_400;
const VARIABLES_MAX: usize = 5000;
const REGISTRATIONS_MAX: usize = 20_000;

/// Asks the caches, few at once: all values of an answer are held.
async fn ask<T: Send + 'static>(
    hub: &Hub,
    variables: &Arc<Variables>,
    act: impl FnOnce(&Variables) -> T + Send + 'static,
) -> Result<T, Problem> {
    let permit = Arc::clone(&hub.asking).acquire_owned().await.map_err(|_| DbError::Ending)?;
    let variables = Arc::clone(variables);
    let done = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        act(&variables)
    });
    done.await.map_err(Problem::ended)
}

fn configured(hub: &Hub) -> Result<&Arc<Variables>, Problem> {
    hub.variables.as_ref().ok_or_else(|| {
        let cure =
            "name a universal.conf in hub.toml: universal_conf = \"/etc/asterisk/universal.conf\"";
        Problem::conflict("the hub knows no cache servers", cure)
    })
}

/// Universal variables; registrations are not among them.
#[utoipa::path(get, path = "/api/variables", tag = "variables", params(Wanted),
    responses((status = 200, body = List)))]
pub(super) async fn list(
    State(hub): State<Arc<Hub>>,
    _: Who,
    Query(wanted): Query<Wanted>,
) -> Result<Json<List>, Problem> {
    let Some(variables) = &hub.variables else { return Ok(Json(List::default())) };
    let limit = wanted.limit.unwrap_or(VARIABLES_MAX).min(VARIABLES_MAX);
    let ask = ask(&hub, variables, move |variables| {
        let found = variables.list(&wanted.prefix, limit);
        List {
            configured: true,
            variables: found.rows,
            truncated: found.truncated,
            gaps: found.gaps,
            servers: variables.caches(),
        }
    });
    Ok(Json(ask.await?))
}

/// Which phone is registered where.
#[utoipa::path(get, path = "/api/registrations", tag = "variables",
    responses((status = 200, body = Registrations)))]
pub(super) async fn registrations(
    State(hub): State<Arc<Hub>>,
    _: Who,
) -> Result<Json<Registrations>, Problem> {
    let Some(variables) = &hub.variables else { return Ok(Json(Registrations::default())) };
    let ask = ask(&hub, variables, |variables| {
        let found = variables.registrations(REGISTRATIONS_MAX);
        Registrations {
            configured: true,
            registrations: found.rows,
            truncated: found.truncated,
            gaps: found.gaps,
        }
    });
    Ok(Json(ask.await?))
}

/// Write a variable. Registrations are their servers' to write.
#[utoipa::path(put, path = "/api/variables/{name}", tag = "variables", request_body = NewValue,
    params(("name" = String, Path)), responses((status = 204), (status = 409, body = Words),
        (status = 422, body = Words), (status = 503, body = Words)))]
pub(super) async fn put(
    State(hub): State<Arc<Hub>>,
    Operator(who): Operator,
    Path(name): Path<String>,
    Body(NewValue { value, ttl_s }): Body<NewValue>,
) -> Result<StatusCode, Problem> {
    if ttl_s.is_some_and(|ttl_s| !(1..=TTL_MAX_S).contains(&ttl_s)) {
        let cure = format!("say 1 to {TTL_MAX_S} seconds, or nothing for ever");
        return Err(Problem::invalid("that is no time to live for", cure));
    }
    let named = name.clone();
    let ttl = ttl_s.map(Duration::from_secs);
    let set = move |variables: &Variables| variables.set(&named, value.as_bytes(), ttl);
    change(&hub, who.entry("variable set", name), set).await
}

/// Delete a variable. Registrations are their servers' to delete.
#[utoipa::path(delete, path = "/api/variables/{name}", tag = "variables",
    params(("name" = String, Path)), responses((status = 204), (status = 404, body = Words),
        (status = 409, body = Words), (status = 503, body = Words)))]
pub(super) async fn delete(
    State(hub): State<Arc<Hub>>,
    Operator(who): Operator,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let named = name.clone();
    let delete = move |variables: &Variables| variables.delete(&named);
    change(&hub, who.entry("variable delete", name), delete).await
}

async fn change(
    hub: &Hub,
    entry: Entry,
    act: impl FnOnce(&Variables) -> Result<(), VariableError> + Send + 'static,
) -> Result<StatusCode, Problem> {
    let variables = configured(hub)?;
    let act = async { ask(hub, variables, act).await?.map_err(Problem::from) };
    let done = hub.written_down(entry, act, |done| match done {
        Ok(()) => (Outcome::Done, None),
        Err(problem) => (Outcome::Failed, Some(problem.error().into())),
    });
    done.await??;
    Ok(StatusCode::NO_CONTENT)
}

impl From<VariableError> for Problem {
    fn from(error: VariableError) -> Self {
        let (status, cure) = match &error {
            VariableError::Missing(_) => (StatusCode::NOT_FOUND, ""),
            VariableError::Registration(_) => (
                StatusCode::CONFLICT,
                "unregister the phone there; a record that is left over ends with its lease",
            ),
            VariableError::Unreachable(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "it may have been done; read it before you try again",
            ),
            _ => (StatusCode::UNPROCESSABLE_ENTITY, ""),
        };
        Self::new(status, error.to_string(), cure)
    }
}
