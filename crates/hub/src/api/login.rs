//! Logging in and out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};

use super::body::Body;
use super::problem::{Problem, Words};
use crate::db::sessions::NewSession;
use crate::db::users::Credentials;
use crate::db::{self, DbError, Entry, Outcome, Role};
use crate::hub::{Hub, lock, now_ms};
use crate::secret;
use crate::who::{COOKIE_NAME, Oneself, Who};

/// Who wants in.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    user: String,
    password: String,
    /// The one-time code, for users that have such.
    #[serde(default)]
    code: Option<String>,
}

/// Who is logged in.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct LoggedIn {
    user: String,
    role: Role,
    /// Whether one-time codes are asked for.
    totp: bool,
    /// To be sent as `X-CSRF-Token` with requests that change something.
    csrf: String,
}

/// Log in: a cookie follows.
#[utoipa::path(post, path = "/api/login", tag = "session", request_body = Login,
    responses((status = 200, body = LoggedIn),
              (status = 401, body = Words, description = "wrong; or `needs` says that a code is asked for"),
              (status = 429, body = Words, description = "too many wrong tries: `Retry-After`")))]
pub(super) async fn login(
    State(hub): State<Arc<Hub>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    Body(login): Body<Login>,
) -> Result<Response, Problem> {
    let from = address.ip().to_canonical();
    // Whatever can be nobody's name fills neither the throttle nor the log.
    if login.user.len() > db::users::NAME_MAX_BYTES || login.user.chars().any(char::is_control) {
        return Err(Problem::wrong_login());
    }
    if let Some(wait) = lock(&hub.throttle).begin(Instant::now(), &login.user, from) {
        return Err(Problem::throttled(wait));
    }
    let entry = Who::unknown(&login.user, from).entry("login", "");
    let (token, logged_in) = match begin(&hub, &login, entry.clone()).await {
        Ok(begun) => begun,
        Err(Refused::Wrong(problem)) => {
            let detail = Some(problem.error().into());
            hub.note(Entry { outcome: Outcome::Refused, detail, ..entry }).await?;
            return Err(problem);
        }
        Err(Refused::Undecided(problem)) => {
            lock(&hub.throttle).incomplete(&login.user, from);
            return Err(problem);
        }
    };
    lock(&hub.throttle).right(&login.user, from);
    let secure = if hub.config.is_tls() { "; Secure" } else { "" };
    let age = db::sessions::AGE_MAX.as_secs();
    let cookie =
        format!("{COOKIE_NAME}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age}{secure}");
    Ok(([(header::SET_COOKIE, cookie)], Json(logged_in)).into_response())
}

/// Why a login is not one.
enum Refused {
    /// Something that was shown is wrong.
    Wrong(Problem),
    /// Nothing was shown to be wrong: a code is missing, or it could not be looked at.
    Undecided(Problem),
}

impl<E: Into<Problem>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self::Undecided(error.into())
    }
}

/// Begins a session, and gives its secret.
async fn begin(hub: &Hub, login: &Login, entry: Entry) -> Result<(String, LoggedIn), Refused> {
    let checked = check(hub, login).await?;
    let no_random = |error: secret::NoRandom| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string(), "try again")
    };
    let (token, csrf) = (secret::new().map_err(no_random)?, secret::new().map_err(no_random)?);
    let new = NewSession {
        hash: secret::hash(&token),
        user: login.user.clone(),
        csrf: csrf.clone(),
        address: entry.address.clone(),
    };
    let (role, totp) = (checked.role, checked.totp.is_some());
    let begun = hub.change(entry, move |db, _| {
        let begun = db::sessions::begin(db, now_ms(), &new, &checked)?;
        // It may have been given another password while this one was checked.
        Ok(begun.then_some(()).ok_or_else(Problem::wrong_login))
    });
    begun.await?.map_err(Refused::Wrong)?;
    Ok((token, LoggedIn { user: login.user.clone(), role, totp, csrf }))
}

/// What all that was shown was checked against, if it is right.
async fn check(hub: &Hub, login: &Login) -> Result<Credentials, Refused> {
    let name = login.user.clone();
    let known = hub.db.run(move |db| db::users::credentials(db, &name)).await?;
    let (shown, hash) =
        (login.password.clone(), known.as_ref().map(|known| known.password.clone()));
    let is_right = is_right_password(hub, shown, hash).await?;
    let wrong = || Refused::Wrong(Problem::wrong_login());
    let known = known.filter(|_| is_right).ok_or_else(wrong)?;
    if let Some(secret) = &known.totp {
        let Some(code) = &login.code else {
            return Err(Problem::needs_code("a one-time code is asked for, too").into());
        };
        if !super::account::use_code(hub, &login.user, secret, code).await? {
            let problem = Problem::needs_code("the code is wrong, or was used already");
            return Err(Refused::Wrong(problem));
        }
    }
    Ok(known)
}

/// Whether it is the password that was hashed; without a hash it is not, after as long a time.
pub(super) async fn is_right_password(
    hub: &Hub,
    shown: String,
    hash: Option<String>,
) -> Result<bool, Problem> {
    let looked = hashing(hub, move || password::is_right(&shown, hash.as_deref())).await?;
    looked.map_err(|error| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            error.to_string(),
            "free some memory on the hub's machine",
        )
    })
}

/// Does it on a thread that may block, few at once: it takes memory.
pub(super) async fn hashing<T: Send + 'static>(
    hub: &Hub,
    act: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let Ok(place) = Arc::clone(&hub.to_hash).try_acquire_owned() else {
        return Err(Problem::too_many_logins());
    };
    let permit = Arc::clone(&hub.hashing).acquire_owned().await.map_err(|_| DbError::Ending)?;
    // Both go with the work, which goes on when whoever wanted it has gone.
    let work = tokio::task::spawn_blocking(move || {
        let _both = (place, permit);
        act()
    });
    work.await.map_err(Problem::ended)
}

/// Log out: the session ends.
#[utoipa::path(post, path = "/api/logout", tag = "session", responses((status = 204)))]
pub(super) async fn logout(
    State(hub): State<Arc<Hub>>,
    Oneself { session, .. }: Oneself,
) -> Result<Response, Problem> {
    hub.db.run(move |db| db::sessions::end(db, &session.hash)).await?;
    let cookie = format!("{COOKIE_NAME}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    let mut headers = HeaderMap::new();
    headers.insert(header::SET_COOKIE, cookie.parse().expect("it is one line"));
    Ok((StatusCode::NO_CONTENT, headers).into_response())
}

/// Who is logged in with this cookie.
#[utoipa::path(get, path = "/api/session", tag = "session",
    responses((status = 200, body = LoggedIn), (status = 401, body = Words)))]
pub(super) async fn session(
    State(hub): State<Arc<Hub>>,
    Oneself { who, session }: Oneself,
) -> Result<Json<LoggedIn>, Problem> {
    let name = who.name.clone();
    let known = hub.db.run(move |db| db::users::credentials(db, &name)).await?;
    let totp = known.is_some_and(|known| known.totp.is_some());
    Ok(Json(LoggedIn { user: who.name, role: who.role, totp, csrf: session.csrf }))
}
