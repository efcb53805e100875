//! Who asks, and what they may do.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{ConnectInfo, FromRef, FromRequestParts};
use axum::http::header::{AUTHORIZATION, COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};

use crate::api::Problem;
use crate::db::{self, Entry, Outcome, Role};
use crate::door::Place;
use crate::hub::{Hub, lock, now_ms};
use crate::secret::{self, Hash};

/// The cookie with a session's secret.
pub(crate) const COOKIE_NAME: &str = "tandem_session";
/// What a request that changes something carries, beside the cookie that a browser sends by itself.
pub(crate) const CSRF_HEADER: &str = "X-CSRF-Token";

/// Somebody who is known: a user with a session, or a program with a token.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    /// The user; of a token, `token:NAME`.
    pub(crate) name: String,
    pub(crate) role: Role,
    /// Of a user with a session.
    pub(crate) session: Option<Session>,
    /// Of a program.
    token: Option<Hash>,
    pub(crate) address: IpAddr,
}

#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) hash: Hash,
    pub(crate) csrf: String,
}

/// Somebody who may change what an operator may.
#[derive(Clone, Debug)]
pub(crate) struct Operator(pub(crate) Who);

/// Somebody who may change everything.
#[derive(Clone, Debug)]
pub(crate) struct Administrator(pub(crate) Who);

/// A user with a session, whatever the role: what only they themselves may change.
#[derive(Clone, Debug)]
pub(crate) struct Oneself {
    pub(crate) who: Who,
    pub(crate) session: Session,
}

impl Who {
    /// Who shows this; nobody if it is not, or no longer, good.
    async fn find(
        hub: &Hub,
        headers: &HeaderMap,
        address: IpAddr,
    ) -> Result<Option<Self>, Problem> {
        if let Some(shown) = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()) {
            let Some(("Bearer" | "bearer", secret)) = shown.split_once(' ') else {
                return Ok(None);
            };
            let hash = secret::hash(secret);
            let token = hub.db.run(move |db| db::tokens::of(db, now_ms(), &hash)).await?;
            return Ok(token.map(|(name, role)| Self {
                name: format!("token:{name}"),
                role,
                session: None,
                token: Some(hash),
                address,
            }));
        }
        let Some(secret) = cookie(headers) else { return Ok(None) };
        let hash = secret::hash(secret);
        let session = hub.db.run(move |db| db::sessions::of(db, now_ms(), &hash)).await?;
        Ok(session.map(|row| {
            let session = Some(Session { hash, csrf: row.csrf });
            Self { name: row.user, role: row.role, session, token: None, address }
        }))
    }

    /// A line of the audit log: something that they have done.
    pub(crate) fn entry(&self, action: &str, target: impl Into<String>) -> Entry {
        let (user, address) = (self.name.clone(), self.address.to_string());
        let (action, target, at_ms) = (action.into(), target.into(), now_ms());
        let (server, outcome, detail) = (None, Outcome::Done, None);
        Entry { id: 0, at_ms, user, address, action, server, target, outcome, detail }
    }

    /// Somebody who has shown nothing yet.
    pub(crate) fn unknown(name: &str, address: IpAddr) -> Self {
        Self { name: name.into(), role: Role::Viewer, session: None, token: None, address }
    }

    /// Whether they are still who they were, with at least that role. To ask is no use of a session, but for a
    /// viewer's, which can only look: a screen on a wall does nothing else.
    pub(crate) async fn is_still_good(&self, hub: &Hub) -> bool {
        let (session, token) = (self.session.as_ref().map(|session| session.hash), self.token);
        let only_looks = self.role == Role::Viewer;
        let found = hub.db.run(move |db| match (session, token) {
            (Some(hash), _) if only_looks => {
                Ok(db::sessions::of(db, now_ms(), &hash)?.map(|session| session.role))
            }
            (Some(hash), _) => db::sessions::role_of(db, now_ms(), &hash),
            (None, Some(hash)) => Ok(db::tokens::of(db, now_ms(), &hash)?.map(|(_, role)| role)),
            (None, None) => Ok(None),
        });
        // A database that cannot be read ends nobody's session.
        found.await.map_or(true, |role| role.is_some_and(|role| role >= self.role))
    }

    async fn at_least(self, hub: &Hub, role: Role, parts: &Parts) -> Result<Self, Problem> {
        if self.role >= role {
            return Ok(self);
        }
        if lock(&hub.refusals).is_noted(Instant::now(), &self.name) {
            let target = format!("{} {}", parts.method, parts.uri.path());
            let entry = self.entry("request", target);
            hub.note(Entry { outcome: Outcome::Refused, ..entry }).await?;
        }
        Err(Problem::not_permitted(self.role, role))
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE_NAME).map(|(_, value)| value)
}

/// As long whatever differs. Both are of one length, or it is no secret's business.
fn is_same(one: &str, other: &str) -> bool {
    let differing = one.bytes().zip(other.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && differing == 0
}

impl<S: Send + Sync> FromRequestParts<S> for Who
where
    Arc<Hub>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let hub = Arc::<Hub>::from_ref(state);
        let address = address(parts);
        let who = Self::find(&hub, &parts.headers, address).await?.ok_or_else(Problem::nobody)?;
        if let Some(place) = parts.extensions.get::<Arc<Place>>() {
            place.is_of_somebody();
        }
        let changes = !matches!(parts.method, Method::GET | Method::HEAD);
        if let Some(session) = who.session.as_ref().filter(|_| changes) {
            let shown = parts.headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok());
            if !shown.is_some_and(|shown| is_same(shown, &session.csrf)) {
                return Err(Problem::no_csrf());
            }
        }
        Ok(who)
    }
}

/// Where a request comes from.
pub(crate) fn address(parts: &Parts) -> IpAddr {
    let connection = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let address = connection.map(|ConnectInfo(address)| address.ip().to_canonical());
    address.expect("the server is made with the address of each connection")
}

impl<S: Send + Sync> FromRequestParts<S> for Operator
where
    Arc<Hub>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let who = Who::from_request_parts(parts, state).await?;
        Ok(Self(who.at_least(&Arc::<Hub>::from_ref(state), Role::Operator, parts).await?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Administrator
where
    Arc<Hub>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let who = Who::from_request_parts(parts, state).await?;
        Ok(Self(who.at_least(&Arc::<Hub>::from_ref(state), Role::Administrator, parts).await?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Oneself
where
    Arc<Hub>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let who = Who::from_request_parts(parts, state).await?;
        let session = who.session.clone().ok_or_else(Problem::no_user)?;
        Ok(Self { who, session })
    }
}
