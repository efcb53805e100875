//! Where an Asterisk's manager interface is, and how to log in there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ami_proto::{ActionError, Config, LoginMethod};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::config::is_read_by_others;
use crate::tls::{self, Fingerprint, Trust, TrustError};

/// As it is written in a configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AmiConfig {
    /// `host:port`; the port is 5038, or 5039 with TLS, if none is said.
    #[serde(default = "localhost")]
    pub address: String,
    /// The user, of `manager.conf`.
    pub user: String,
    /// Its secret.
    #[serde(default)]
    pub secret: Option<String>,
    /// A file that holds nothing but the secret.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// Whether the connection is encrypted: `tlsenable` of `manager.conf`.
    #[serde(default)]
    pub tls: bool,
    /// Authorities to believe; else the system's.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// The one certificate to believe.
    #[serde(default)]
    pub fingerprint: Option<Fingerprint>,
}

/// Where AMI listens, if nothing else is said there.
pub(crate) const PORT: u16 = 5038;
/// The same for AMI over TLS.
pub(crate) const TLS_PORT: u16 = 5039;
/// How long a connection may take, its handshake too.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// From an action to its answer, or from one item of a list to the next. None of ours keeps Asterisk, so one that hangs
/// is known to within half a minute: a silence, an action that began in it, a ping.
const ACTION_TIMEOUT: Duration = Duration::from_secs(10);
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// What is told of it: peers and devices (`system`), and calls and mailboxes (`call`).
const EVENTS: &str = "system,call";

/// Why it is no way to an Asterisk. Whoever wrote the configuration erred.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AmiError {
    /// Not `host:port`.
    #[error("`address`: {0:?} is not HOST or HOST:PORT")]
    Address(String),
    /// Neither of both, or both.
    #[error("either `secret` or `secret_file` is needed, and not both")]
    Secret,
    /// The file cannot be read.
    #[error("`secret_file`: {path}: {error}")]
    SecretFile {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Everybody may read the file.
    #[error("`secret_file`: others may read {0}: chmod o= {0}")]
    Readable(PathBuf),
    /// Asterisk would not read the user or the secret as they are.
    #[error("`user` or `secret`: {0}")]
    Login(#[from] ActionError),
    /// One of them has no meaning then.
    #[error("`ca` and `fingerprint` are for `tls = true`, and not both")]
    NoTls,
    /// Nobody to trust.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// A way to an Asterisk.
#[derive(Clone)]
pub struct Ami {
    host: String,
    port: u16,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    pub(crate) login: Config,
}

/// A connection, encrypted or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

fn localhost() -> String {
    "127.0.0.1".into()
}

impl Ami {
    /// What the configuration says; the secret's file is read now.
    ///
    /// # Errors
    ///
    /// [`AmiError`] names the setting.
    pub fn new(config: &AmiConfig) -> Result<Self, AmiError> {
        let default = if config.tls { TLS_PORT } else { PORT };
        let (host, port) = split(&config.address, default)
            .ok_or_else(|| AmiError::Address(config.address.clone()))?;
        let secret = match (&config.secret, &config.secret_file) {
            (Some(secret), None) => secret.clone(),
            (None, Some(path)) => {
                let failed = |error| AmiError::SecretFile { path: path.clone(), error };
                if is_read_by_others(path).map_err(failed)? {
                    return Err(AmiError::Readable(path.clone()));
                }
                std::fs::read_to_string(path).map_err(failed)?.trim_end().into()
            }
            _ => return Err(AmiError::Secret),
        };
        let trust = match (&config.ca, config.fingerprint) {
            (None, None) => Trust::System,
            (Some(path), None) if config.tls => Trust::Authorities(path.clone()),
            (None, Some(pin)) if config.tls => Trust::Pinned(pin),
            _ => return Err(AmiError::NoTls),
        };
        let tls = if config.tls {
            let name = ServerName::try_from(host.clone());
            let name = name.map_err(|_| AmiError::Address(config.address.clone()))?;
            Some((tls::client(&trust)?, name))
        } else {
            None
        };
        let method = if config.tls { LoginMethod::Plain } else { LoginMethod::Challenge };
        let login = Config::new(&config.user, &secret, unique()?)?;
        let login = login.login_method(method).events(EVENTS)?;
        let login = login.action_timeout(ACTION_TIMEOUT).ping(PING_INTERVAL, PING_TIMEOUT);
        Ok(Self { host, port, tls, login })
    }

    /// Where it is, for people.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// A new connection.
    pub(crate) async fn connect(&self) -> std::io::Result<Box<dyn Stream>> {
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, async {
            let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
            stream.set_nodelay(true)?;
            Ok::<Box<dyn Stream>, std::io::Error>(match &self.tls {
                None => Box::new(stream),
                Some((config, name)) => {
                    let connector = TlsConnector::from(Arc::clone(config));
                    Box::new(connector.connect(name.clone(), stream).await?)
                }
            })
        });
        connected.await.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?
    }
}

/// The secret is not shown.
impl std::fmt::Debug for Ami {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Ami").field(&self.address()).finish()
    }
}

/// `host`, `host:port`, `[2001:db8::1]:port` or an address alone.
pub(crate) fn split(address: &str, default: u16) -> Option<(String, u16)> {
    if let Ok(ip) = address.trim_matches(['[', ']']).parse::<std::net::IpAddr>() {
        return Some((ip.to_string(), default));
    }
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok().filter(|&port| port > 0)?),
        None => (address, default),
    };
    let host = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
    let is_host = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '/');
    is_host.then(|| (host.to_owned(), port))
}

/// What the ids of our actions begin with: other sessions of that server must have another.
fn unique() -> Result<String, ActionError> {
    let number = getrandom::u64().map_err(|_| ActionError::BadIdPrefix)?;
    Ok(format!("tandem-{number:016x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_written_in_all_the_usual_ways() {
        let is = |text: &str| split(text, 5038).map(|(host, port)| format!("{host} {port}"));
        assert_eq!(is("pbx").as_deref(), Some("pbx 5038"));
        assert_eq!(is("pbx:1").as_deref(), Some("pbx 1"));
        assert_eq!(is("127.0.0.1").as_deref(), Some("127.0.0.1 5038"));
        assert_eq!(is("::1").as_deref(), Some("::1 5038"));
        assert_eq!(is("[::1]").as_deref(), Some("::1 5038"));
        assert_eq!(is("[::1]:7").as_deref(), Some("::1 7"));
        for bad in ["", ":5038", "pbx:", "pbx:0", "pbx:x", "pbx:99999", "http://pbx", "p bx"] {
            assert_eq!(is(bad), None, "{bad:?}");
        }
    }
}
