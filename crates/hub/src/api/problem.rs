//! Why a request is not done, and what to do.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::db::{DbError, Role};
use crate::line::ActError;

/// An error, as every part of the API says it.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    words: Words,
    wait: Option<Duration>,
}

/// What went wrong.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Words {
    /// What, and where.
    error: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    cure: Option<String>,
    /// What a login lacks: `code`.
    #[serde(skip_serializing_if = "Option::is_none")]
    needs: Option<Needs>,
}

/// What a login lacks.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum Needs {
    /// A one-time code.
    Code,
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        error: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        let cure = Some(cure.into()).filter(|cure| !cure.is_empty());
        let words = Words { error: error.into(), cure, needs: None };
        Self { status, words, wait: None }
    }

    pub(crate) fn invalid(error: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, error, cure)
    }

    pub(crate) fn nobody() -> Self {
        let error = "you are not logged in, or the session has ended";
        Self::new(StatusCode::UNAUTHORIZED, error, "log in, or send a good token")
    }

    pub(crate) fn no_user() -> Self {
        let error = "a token has no password and no codes of its own";
        Self::new(StatusCode::FORBIDDEN, error, "log in as the user")
    }

    pub(crate) fn wrong_login() -> Self {
        let error = "the user or the password is wrong";
        let cure = "an administrator can give you a new password, as can `tandem user passwd`";
        Self::new(StatusCode::UNAUTHORIZED, error, cure)
    }

    pub(crate) fn needs_code(error: &str) -> Self {
        let cure = "enter the six digits that your authenticator shows now; each is good once";
        let mut problem = Self::new(StatusCode::UNAUTHORIZED, error, cure);
        problem.words.needs = Some(Needs::Code);
        problem
    }

    pub(crate) fn throttled(wait: Duration) -> Self {
        // A second that has begun is a whole one, or the next try comes too early.
        let wait = Duration::from_secs(wait.as_secs() + 1);
        let cure = format!("wait {} s", wait.as_secs());
        let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "too many wrong tries", cure);
        problem.wait = Some(wait);
        problem
    }

    pub(crate) fn too_many_logins() -> Self {
        let error = "too many passwords are being checked at the moment";
        let mut problem =
            Self::new(StatusCode::SERVICE_UNAVAILABLE, error, "try again in a moment");
        problem.wait = Some(Duration::from_secs(1));
        problem
    }

    pub(crate) fn too_many_followers(most: usize) -> Self {
        let error = format!("{most} follow under that name, and that is the most");
        let cure = "close pages, or give each program a token of its own";
        Self::new(StatusCode::TOO_MANY_REQUESTS, error, cure)
    }

    pub(crate) fn not_permitted(is: Role, needed: Role) -> Self {
        let error = format!("the role of {} may not do that", is.word());
        let cure = format!("ask an administrator for the role of {}", needed.word());
        Self::new(StatusCode::FORBIDDEN, error, cure)
    }

    pub(crate) fn no_csrf() -> Self {
        let error = "the request lacks the session's X-CSRF-Token";
        let cure = "take `csrf` from the answer to the login, or from /api/session";
        Self::new(StatusCode::FORBIDDEN, error, cure)
    }

    pub(crate) fn no_such(what: &str, name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no {what} {name:?}"), "")
    }

    pub(crate) fn no_such_place() -> Self {
        let cure = "/api/docs tells all there are";
        Self::new(StatusCode::NOT_FOUND, "there is nothing at this address", cure)
    }

    pub(crate) fn conflict(error: impl Into<String>, cure: &str) -> Self {
        Self::new(StatusCode::CONFLICT, error, cure)
    }

    /// Work on another thread has come to nothing: the process ends, or there is a fault of ours.
    pub(crate) fn ended(error: tokio::task::JoinError) -> Self {
        if !error.is_panic() {
            return DbError::Ending.into();
        }
        let cure = "its log says where; please tell whoever makes it";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "a fault of the hub's own", cure)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let error = format!("the request has more than {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, error, "")
    }

    pub(crate) fn late() -> Self {
        let error = "the request took too long to arrive, or to be answered";
        let cure = "it may have been done: look before you try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error, cure)
    }

    pub(crate) fn no_such_method() -> Self {
        let error = "that cannot be done at this address";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, error, "/api/docs tells what can")
    }

    /// The error alone, for the audit log.
    pub(crate) fn error(&self) -> &str {
        &self.words.error
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        tracing::error!("{error}");
        let cure = "the hub's database refuses; its log has the same words";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string(), cure)
    }
}

impl From<ActError> for Problem {
    fn from(error: ActError) -> Self {
        let (status, cure) = match &error {
            ActError::NotConnected(_) => {
                (StatusCode::CONFLICT, "the page Servers says why, and since when")
            }
            ActError::Refused(_) => (StatusCode::FORBIDDEN, ""),
            ActError::NotPermitted => {
                (StatusCode::FORBIDDEN, "manager.conf: `read` and `write` of that user")
            }
            ActError::Asterisk(_) => {
                (StatusCode::CONFLICT, "it may be over already, or never have been there")
            }
            ActError::Unknown(_) | ActError::Late => {
                (StatusCode::GATEWAY_TIMEOUT, "look whether it was, before you try again")
            }
            ActError::TooMany(_) => (StatusCode::SERVICE_UNAVAILABLE, "try again in a moment"),
        };
        Self::new(status, error.to_string(), cure)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.words)).into_response();
        if let Some(wait) = self.wait {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs()));
        }
        response
    }
}
