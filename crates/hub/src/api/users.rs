//! Users, for administrators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::body::{Body, Path};
use super::login::hashing;
use super::problem::{Problem, Words};
use crate::db::{NotChanged, Role, User, users};
use crate::hub::{Hub, now_ms};
use crate::who::Administrator;

/// A new user.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    name: String,
    password: String,
    role: Role,
}

/// What to change; what is not said stays.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UserChange {
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    role: Option<Role>,
    /// `false`: no one-time code is asked for any more, for who lost the authenticator.
    #[serde(default)]
    totp: Option<bool>,
}

/// All users.
#[utoipa::path(get, path = "/api/users", tag = "users", responses((status = 200, body = [User])))]
pub(super) async fn list(
    State(hub): State<Arc<Hub>>,
    _: Administrator,
) -> Result<Json<Vec<User>>, Problem> {
    Ok(Json(hub.db.run(|db| users::list(db)).await?))
}

/// Add a user.
#[utoipa::path(post, path = "/api/users", tag = "users", request_body = NewUser,
    responses((status = 201), (status = 409, body = Words), (status = 422, body = Words)))]
pub(super) async fn add(
    State(hub): State<Arc<Hub>>,
    Administrator(who): Administrator,
    Body(new): Body<NewUser>,
) -> Result<StatusCode, Problem> {
    users::check_name(&new.name).map_err(|error| Problem::invalid(error.to_string(), ""))?;
    let hash = hash(&hub, new.password).await?;
    let mut entry = who.entry("user add", new.name.clone());
    entry.detail = Some(format!("as {}", new.role.word()));
    let added = hub.change(entry, move |db, _| {
        let added = users::add(db, now_ms(), &new.name, new.role, &hash)?;
        Ok(added.then_some(()).ok_or_else(|| {
            let error = format!("there is a user {:?} already", new.name);
            Problem::conflict(error, "choose another name")
        }))
    });
    added.await??;
    Ok(StatusCode::CREATED)
}

async fn hash(hub: &Hub, shown: String) -> Result<String, Problem> {
    let hash = hashing(hub, move || password::hash(&shown)).await?;
    hash.map_err(|error| Problem::invalid(error.to_string(), "choose another"))
}

/// Change a user's password, role, or codes. A new password ends all the user's sessions.
#[utoipa::path(patch, path = "/api/users/{name}", tag = "users", params(("name" = String, Path)),
    request_body = UserChange,
    responses((status = 204), (status = 404, body = Words), (status = 409, body = Words)))]
pub(super) async fn change(
    State(hub): State<Arc<Hub>>,
    Administrator(who): Administrator,
    Path(name): Path<String>,
    Body(change): Body<UserChange>,
) -> Result<StatusCode, Problem> {
    if change.totp == Some(true) {
        let cure = "the users themselves turn it on, on the page Account";
        return Err(Problem::invalid("codes cannot be turned on for somebody else", cure));
    }
    // All that may be wrong is found before anything is changed.
    let new_hash = match change.password {
        Some(shown) => Some(hash(&hub, shown).await?),
        None => None,
    };
    let kept = who.session.as_ref().filter(|_| who.name == name).map(|session| session.hash);
    let named = name.clone();
    let changed = hub.change(who.entry("user change", name.clone()), move |db, entry| {
        let mut changed = Vec::new();
        if let Some(role) = change.role {
            if let Err(why) = users::set_role(db, &named, role)? {
                return Ok(Err(why));
            }
            changed.push(format!("role {}", role.word()));
        }
        if let Some(hash) = new_hash {
            let kept = kept.as_ref().map(|hash| &hash[..]);
            if let Err(why) = users::set_password(db, &named, &hash, kept)? {
                return Ok(Err(why));
            }
            changed.push("password".into());
        }
        if change.totp == Some(false) {
            if let Err(why) = users::set_totp(db, &named, None)? {
                return Ok(Err(why));
            }
            changed.push("totp off".into());
        }
        entry.detail = Some(changed.join(", "));
        Ok(Ok(()))
    });
    changed.await?.map_err(|why| not_changed(why, &name))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Remove a user, and end all the user's sessions.
#[utoipa::path(delete, path = "/api/users/{name}", tag = "users", params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = Words), (status = 409, body = Words)))]
pub(super) async fn remove(
    State(hub): State<Arc<Hub>>,
    Administrator(who): Administrator,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let named = name.clone();
    let entry = who.entry("user remove", name.clone());
    let removed = hub.change(entry, move |db, _| users::remove(db, &named)).await?;
    removed.map_err(|why| not_changed(why, &name))?;
    Ok(StatusCode::NO_CONTENT)
}

fn not_changed(why: NotChanged, name: &str) -> Problem {
    match why {
        NotChanged::NotThere => Problem::no_such("user", name),
        NotChanged::LastAdministrator => Problem::conflict(
            format!("{name:?} is the last administrator"),
            "make somebody else an administrator first",
        ),
    }
}
