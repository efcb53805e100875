//! Users, for administrators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::body::{Body, Path};
use super::login::hashing;
use super::problem::{Problem, Words};
use crate::db::{self, Outcome, Role, User, users};
use crate::hub::{Hub, now_ms};
use crate::password;
use crate::who::Administrator;

/// A new user.
#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct NewUser {
    name: String,
    password: String,
    role: Role,
}

/// What to change; what is not said stays.
#[derive(Deserialize, utoipa::ToSchema)]
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
    let (name, role) = (new.name.clone(), new.role);
    if !hub.db.run(move |db| users::add(db, now_ms(), &name, role, &hash)).await? {
        let error = format!("there is a user {:?} already", new.name);
        return Err(Problem::conflict(error, "choose another name"));
    }
    let detail = Some(format!("as {}", role.word()));
    hub.audit(&who, "user add", None, new.name, Outcome::Done, detail).await?;
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
    let mut changed = Vec::new();
    if let Some(role) = change.role {
        let named = name.clone();
        let kept = hub.db.run(move |db| users::set_role(db, &named, role)).await?;
        found(kept, &name)?;
        changed.push(format!("role {}", role.word()));
    }
    if let Some(hash) = new_hash {
        let named = name.clone();
        let kept = who.session.as_ref().filter(|_| who.name == name).map(|session| session.hash);
        let set = move |db: &mut rusqlite::Connection| {
            users::set_password(db, &named, &hash, kept.as_ref().map(|hash| &hash[..]))
        };
        let is_there = hub.db.run(set).await?;
        found(if is_there { db::Kept::Done } else { db::Kept::NotThere }, &name)?;
        changed.push("password".into());
    }
    if change.totp == Some(false) {
        let named = name.clone();
        let is_there = hub.db.run(move |db| users::set_totp(db, &named, None)).await?;
        found(if is_there { db::Kept::Done } else { db::Kept::NotThere }, &name)?;
        changed.push("totp off".into());
    }
    let detail = Some(changed.join(", "));
    hub.audit(&who, "user change", None, name, Outcome::Done, detail).await?;
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
    found(hub.db.run(move |db| users::remove(db, &named)).await?, &name)?;
    hub.audit(&who, "user remove", None, name, Outcome::Done, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn found(kept: db::Kept, name: &str) -> Result<(), Problem> {
    match kept {
        db::Kept::Done => Ok(()),
        db::Kept::NotThere => Err(Problem::no_such("user", name)),
        db::Kept::LastAdministrator => Err(Problem::conflict(
            format!("{name:?} is the last administrator"),
            "make somebody else an administrator first",
        )),
    }
}
