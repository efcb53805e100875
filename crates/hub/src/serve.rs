//! Beginning and ending.

use std::fs::{File, TryLockError};
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agent::{Ami, watch};
use axum_server::tls_rustls::RustlsConfig;
use fleet::{Link, Text, Via};
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpSocket;
use tokio::sync::{mpsc, oneshot};
use universal::settings::Settings;

use crate::config::{Config, ServerConfig};
use crate::db::{self, Db, DbError};
use crate::door::Door;
use crate::history::{self, Past};
use crate::hub::Hub;
use crate::line::{Place, carry};
use crate::tls::{self, TlsError};
use crate::variables::Variables;

/// Requests that are under way may end within that time when the hub stops.
const STOP_WITHIN: Duration = Duration::from_secs(2);
/// Connections that the kernel keeps until they are taken. With the standard library's 128 a flood makes others wait
/// for a second, until their kernel tries again.
const BACKLOG: u32 = 1024;
/// How long a connection may take for a request's head, and may be silent.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// How long it may take to be heard once it is asked whether it is there: a slow wire has to bring first what is
/// on its way.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Requests at once on a connection.
const STREAMS_MAX: u32 = 64;
const ASKS_MAX: usize = 64;

/// Why the hub does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// Another hub has the folder: each would write its own history, and count wrong passwords by itself.
    #[error("{0}: another hub runs on that folder: end it first, or give this one its own `data`")]
    Taken(PathBuf),
    /// The folder's lock.
    #[error("{0}: {1}")]
    Lock(PathBuf, std::io::Error),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Somebody else listens there, or the address is none of this machine's.
    #[error("cannot listen at {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// The caches' configuration.
    #[error(transparent)]
    Variables(#[from] univar::ConfigError),
    /// A rule of `acl` is none.
    #[error(transparent)]
    Acl(#[from] acl::RuleError),
    /// There is no way to a server.
    #[error("server {0:?}: ami: {1}")]
    Ami(String, String),
    /// It ran, and broke.
    #[error("serving ended: {0}")]
    Serve(std::io::Error),
}

/// Serves until `stop` is over. `ready` is told where, once it listens.
///
/// # Errors
///
/// [`HubError`] names the place and the cure.
pub async fn serve(
    config: Config,
    settings: Option<Settings>,
    ready: impl FnOnce(&str),
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), HubError> {
    let db = Db::open(&config.database())?;
    let _lock = lock(&config.data)?;
    if db.now(|db| db::users::list(db))?.is_empty() {
        tracing::warn!(
            "nobody can log in yet: tandem user add NAME --role administrator makes the first user"
        );
    }
    let tls = if config.is_tls() { Some(tls::prepare(&config)?) } else { None };
    let fingerprint = tls.as_ref().and_then(|(_, fingerprint)| *fingerprint);
    let variables = settings.map(Variables::start).transpose()?.map(Arc::new);
    let acl = config.acl()?;
    let listener = listen(config.listen);
    let listener = listener.map_err(|error| HubError::Listen(config.listen, error))?;
    let mut config = config;
    // The port may have been left to the system.
    config.listen = listener.local_addr().map_err(HubError::Serve)?;
    let (past, to_write) = Past::new();
    let hub = Arc::new(Hub::new(config, acl, fingerprint, db, variables, past));

    let mut tasks = tokio::task::JoinSet::new();
    for server in hub.config.servers.clone() {
        hub.add_server(&server.name);
        if let Some(line) = ami_line(&hub, server)? {
            tasks.spawn(line);
        }
    }
    let agents = hub.db.run(|db| crate::db::agents::list(db)).await?;
    agents
        .iter()
        .filter(|agent| agent.enrolled_ms.is_some())
        .for_each(|agent| hub.add_server(&agent.server));
    let (over, until_over) = oneshot::channel();
    let history = tokio::spawn(history::keep(Arc::clone(&hub), to_write, until_over));

    let service = crate::api::router(Arc::clone(&hub));
    let service = service.into_make_service_with_connect_info::<SocketAddr>();
    let handle = axum_server::Handle::new();
    let stopping = handle.clone();
    tasks.spawn(async move {
        stop.await;
        stopping.graceful_shutdown(Some(STOP_WITHIN));
        // It ends with the server, which ends now.
        std::future::pending().await
    });
    ready(&hub.config.url());
    let served = match tls {
        Some((config, _)) => {
            let server = axum_server::from_tcp_rustls(listener, RustlsConfig::from_config(config));
            let server = server.map_err(HubError::Serve)?;
            let mut server = server.map(|tls| tls.acceptor(Door::new(&hub)));
            bound(server.http_builder());
            let server = server.first_request_timeout(FIRST_REQUEST_TIMEOUT);
            server.handle(handle).serve(service).await
        }
        None => {
            let server = axum_server::from_tcp(listener).map_err(HubError::Serve)?;
            let mut server = server.acceptor(Door::new(&hub));
            bound(server.http_builder());
            server.first_request_timeout(FIRST_REQUEST_TIMEOUT).handle(handle).serve(service).await
        }
    };
    // What nobody watches any more is the last that history hears of.
    tasks.shutdown().await;
    drop(over);
    history.await.map_err(|_| DbError::Ending)?;
    served.map_err(HubError::Serve)
}

fn listen(at: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    socket.listen(BACKLOG)?.into_std()
}

/// Holds the folder for as long as the file is open.
fn lock(data: &Path) -> Result<File, HubError> {
    let path = data.join("hub.lock");
    let failed = |error| HubError::Lock(path.clone(), error);
    let file = File::options().create(true).append(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(HubError::Taken(data.into())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Nobody holds a connection by saying nothing.
fn bound<E>(http: &mut Builder<E>) {
    http.http1().timer(TokioTimer::new()).header_read_timeout(FIRST_REQUEST_TIMEOUT);
    let mut http2 = http.http2();
    http2.timer(TokioTimer::new()).keep_alive_interval(FIRST_REQUEST_TIMEOUT);
    http2.keep_alive_timeout(ANSWER_TIMEOUT);
    http2.max_concurrent_streams(STREAMS_MAX);
}

/// Watches a server from here, if it is to be.
fn ami_line(
    hub: &Arc<Hub>,
    server: ServerConfig,
) -> Result<Option<impl Future<Output = ()> + Send + 'static>, HubError> {
    let Some(config) = &server.ami else { return Ok(None) };
    let failed = |error: String| HubError::Ami(server.name.clone(), error);
    let ami = Ami::new(config).map_err(|error| failed(error.to_string()))?;
    let place = Place::take(hub, &server.name, ami.address(), false);
    let mut place = place.map_err(|_| failed("it is there twice".into()))?;
    Ok(Some(async move {
        let address = Some(Text::from(ami.address().as_str()));
        let link = Link { via: Via::Ami, address, ..Link::default() };
        let (to_line, mut reports) = mpsc::channel(agent::REPORTS_MAX);
        let (asks, mut from_line) = mpsc::channel(ASKS_MAX);
        // Neither ends before the other; if one did, the place would be free.
        tokio::select! {
            () = carry(&mut place, link, &mut reports, &asks) => {}
            () = watch(&ami, &server.allow, &mut from_line, &to_line) => {}
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_hub_has_a_folder_until_it_ends() {
        let folder = std::env::temp_dir().join(format!("tandem-hub-lock-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let first = lock(&folder).expect("it is free");
        assert!(matches!(lock(&folder), Err(HubError::Taken(of)) if of == folder));
        drop(first);
        assert!(lock(&folder).is_ok());
        std::fs::remove_dir_all(&folder).expect("it is there");
    }
}
