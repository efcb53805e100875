//! The way to the hub: dialled from here, so that a server needs no open port.
//!
//! A WebSocket over TLS. Without TLS only to this machine's own addresses, for a hub behind a proxy
//! there.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use link::{Ask, Hello, KEY_SCHEME, Report, SUBPROTOCOL, TOKEN_SCHEME, Welcome};
use rustls::pki_types::ServerName;
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::{Serialize, Serializer};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::ami::{Ami, Stream};
use crate::backoff::Backoff;
use crate::config::{Config, Enrolment};
use crate::tls::{self, Fingerprint, Trust, TrustError};
use crate::watch::{REPORTS_MAX, watch};

/// From the first packet to the hub's welcome.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// A connection that lasted so long is none of those that fail again and again.
const LASTING: Duration = Duration::from_secs(30);
/// How often the hub is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(10);
/// After how long without a word from it, it is not.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How often it is told how busy this machine is.
const LOAD_EVERY: Duration = Duration::from_secs(15);
/// How long the hub may take nothing.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Questions of the hub's that may wait for Asterisk's connection.
const ASKS_MAX: usize = 128;
/// Longest refusal of a hub's that is passed on to people, in bytes.
const REFUSAL_MAX_BYTES: usize = 1000;

/// `https://HOST[:PORT]`, as for a browser.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HubUrl {
    tls: bool,
    host: String,
    port: u16,
}

/// What an administrator is given to enrol an agent with: a secret, and the fingerprint of the hub's
/// certificate if the hub made it itself.
#[derive(Clone, Eq, PartialEq)]
pub struct Token {
    secret: String,
    fingerprint: Option<Fingerprint>,
}

/// Why there is no way to the hub.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// Not a hub's address.
    #[error("{0:?} is not https://HOST or https://HOST:PORT")]
    Url(String),
    /// It would send the key over the network for all to read.
    #[error("http:// is for a hub on this machine; elsewhere it must be https://")]
    Plain,
    /// Nobody to trust.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The network, or the TLS handshake.
    #[error("no connection to the hub at {0}: {1}")]
    Io(HubUrl, std::io::Error),
    /// Somebody is there who is no hub, or a hub of another version.
    #[error("{0} is no hub, or none of this version: {1}")]
    NoHub(HubUrl, String),
    /// The hub says no.
    #[error("the hub at {0} refuses: {1}")]
    Refused(HubUrl, String),
    /// It was there.
    #[error("the connection to the hub at {0} ended: {1}")]
    Ended(HubUrl, String),
}

/// Changes a one-time token for an enrolment.
///
/// # Errors
///
/// [`RemoteError`]; a token that was not accepted is still good if the hub was not reached.
pub async fn enrol(config: &Config, hub: &HubUrl, token: &Token) -> Result<Enrolment, RemoteError> {
    let fingerprint = token.fingerprint;
    let authorization = format!("{TOKEN_SCHEME} {}", token.secret);
    let (_socket, welcome) = connect(hub, &trust(config, fingerprint), &authorization).await?;
    let key = welcome.key.ok_or_else(|| no_hub(hub, "it gave no key"))?;
    Ok(Enrolment { hub: hub.clone(), server: welcome.server, key, fingerprint })
}

/// Watches Asterisk for the hub, for ever.
///
/// # Errors
///
/// Only those that waiting does not cure: whom to trust is not known, or the hub's address is none.
pub async fn run(
    config: &Config,
    ami: &Ami,
    enrolment: &Enrolment,
) -> Result<std::convert::Infallible, RemoteError> {
    let trust = trust(config, enrolment.fingerprint);
    let authorization = format!("{KEY_SCHEME} {}", enrolment.key);
    let mut backoff = Backoff::default();
    loop {
        let error = match connect(&enrolment.hub, &trust, &authorization).await {
            Ok((socket, welcome)) => {
                tracing::info!("the hub at {} knows us as {}", enrolment.hub, welcome.server);
                let began = Instant::now();
                let why = serve(socket, config, ami).await;
                if began.elapsed() > LASTING {
                    backoff.reset();
                }
                RemoteError::Ended(enrolment.hub.clone(), why)
            }
            Err(error @ (RemoteError::Plain | RemoteError::Trust(_) | RemoteError::Url(_))) => {
                return Err(error);
            }
            Err(error) => error,
        };
        let pause = backoff.pause();
        tracing::warn!("{error}; again in {} s", pause.as_secs());
        sleep(pause).await;
    }
}

fn trust(config: &Config, fingerprint: Option<Fingerprint>) -> Trust {
    match (fingerprint, &config.hub_ca) {
        (Some(pin), _) => Trust::Pinned(pin),
        (None, Some(path)) => Trust::Authorities(path.clone()),
        (None, None) => Trust::System,
    }
}

type Socket = WebSocketStream<Box<dyn Stream>>;

async fn connect(
    hub: &HubUrl,
    trust: &Trust,
    authorization: &str,
) -> Result<(Socket, Welcome), RemoteError> {
    if !hub.tls && !hub.is_on_this_machine() {
        return Err(RemoteError::Plain);
    }
    let late = |_| {
        let error = std::io::Error::from(std::io::ErrorKind::TimedOut);
        Err(RemoteError::Io(hub.clone(), error))
    };
    timeout(CONNECT_TIMEOUT, connect_unbounded(hub, trust, authorization))
        .await
        .unwrap_or_else(late)
}

async fn connect_unbounded(
    hub: &HubUrl,
    trust: &Trust,
    authorization: &str,
) -> Result<(Socket, Welcome), RemoteError> {
    let io = |error| RemoteError::Io(hub.clone(), error);
    let stream = TcpStream::connect((hub.host.as_str(), hub.port)).await.map_err(io)?;
    stream.set_nodelay(true).map_err(io)?;
    let stream: Box<dyn Stream> = if hub.tls {
        let name = ServerName::try_from(hub.host.clone());
        let name = name.map_err(|_| RemoteError::Url(hub.to_string()))?;
        let connected = TlsConnector::from(tls::client(trust)?).connect(name, stream).await;
        Box::new(connected.map_err(|error| match is_no_tls(&error) {
            true => no_hub(hub, "it does not speak TLS; is it http://, on this machine?"),
            false => io(error),
        })?)
    } else {
        Box::new(stream)
    };
    let mut socket = upgrade(hub, stream, authorization).await?;
    let hello = Hello { version: env!("CARGO_PKG_VERSION").into() };
    let sent = socket.send(Message::text(link::encode(&hello))).await;
    sent.map_err(|error| no_hub(hub, error))?;
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(frame))) => {
                let welcome = link::decode(&frame).map_err(|error| no_hub(hub, error))?;
                return Ok((socket, welcome));
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(other)) => return Err(no_hub(hub, format!("it said {other:?}"))),
            Some(Err(error)) => return Err(no_hub(hub, error)),
            None => return Err(no_hub(hub, "it closed the connection")),
        }
    }
}

fn is_no_tls(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidMessage(_)))
}

fn no_hub(hub: &HubUrl, why: impl ToString) -> RemoteError {
    RemoteError::NoHub(hub.clone(), why.to_string())
}

async fn upgrade(
    hub: &HubUrl,
    stream: Box<dyn Stream>,
    authorization: &str,
) -> Result<Socket, RemoteError> {
    let scheme = if hub.tls { "wss" } else { "ws" };
    let url = format!("{scheme}://{}{}", hub.authority(), link::AGENT_PATH);
    let mut request = url.into_client_request().map_err(|_| RemoteError::Url(hub.to_string()))?;
    let headers = request.headers_mut();
    let authorization = HeaderValue::from_str(authorization)
        .map_err(|_| RemoteError::Refused(hub.clone(), "the token is damaged".into()))?;
    headers.insert(AUTHORIZATION, authorization);
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    let mut limits = WebSocketConfig::default();
    limits.max_message_size = Some(link::FRAME_MAX_BYTES);
    limits.max_frame_size = Some(link::FRAME_MAX_BYTES);
    match client_async_with_config(request, stream, Some(limits)).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => {
            let status = response.status();
            let body = response.body().as_deref().unwrap_or_default();
            let body = String::from_utf8_lossy(&body[..body.len().min(REFUSAL_MAX_BYTES)]);
            let why = if body.trim().is_empty() { status.to_string() } else { body.trim().into() };
            Err(match status.as_u16() {
                401 | 403 | 409 | 410 | 429 => RemoteError::Refused(hub.clone(), why),
                _ => no_hub(hub, why),
            })
        }
        Err(Error::Io(error)) => Err(RemoteError::Io(hub.clone(), error)),
        Err(Error::Protocol(_)) if !hub.tls => {
            Err(no_hub(hub, "it does not speak plain HTTP; is it https://?"))
        }
        Err(error) => Err(no_hub(hub, error)),
    }
}

/// The load of this machine, if it tells.
fn host() -> Option<Report> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    let (whole, thousandths) = text.split_whitespace().next()?.split_once('.')?;
    let thousandths: u32 = format!("{thousandths:0<3}").get(..3)?.parse().ok()?;
    let load_milli = whole.parse::<u32>().ok()?.checked_mul(1000)?.checked_add(thousandths)?;
    let cpus = std::thread::available_parallelism().ok()?.get();
    Some(Report::Host { load_milli, cpus: u32::try_from(cpus).ok()? })
}

/// Carries asks and reports until the connection ends, and says why it did.
async fn serve(socket: Socket, config: &Config, ami: &Ami) -> String {
    let (to_watch, mut asks) = mpsc::channel(ASKS_MAX);
    let (reports, mut from_watch) = mpsc::channel(REPORTS_MAX);
    let watching = watch(ami, &config.allow, &mut asks, &reports);
    tokio::select! {
        () = watching => "nothing more to tell".into(),
        why = carry(socket, &to_watch, &mut from_watch) => why,
    }
}

async fn carry(
    mut socket: Socket,
    asks: &mpsc::Sender<Ask>,
    reports: &mut mpsc::Receiver<Report>,
) -> String {
    let mut heard = Instant::now();
    let (mut ping, mut load) = (interval(PING_EVERY), interval(LOAD_EVERY));
    let mut room = None;
    loop {
        let frame = tokio::select! {
            // A hub that asks much at once waits: it is not read before there is room for its next question.
            made = asks.reserve(), if room.is_none() => match made {
                Ok(made) => {
                    room = Some(made);
                    continue;
                }
                Err(_) => return "nothing more to tell".into(),
            },
            frame = socket.next(), if room.is_some() => match frame {
                Some(Ok(Message::Text(frame))) => {
                    heard = Instant::now();
                    let ask: Ask = match link::decode(&frame) {
                        Ok(ask) => ask,
                        Err(error) => return format!("it said what is not known here: {error}"),
                    };
                    if let Some(room) = room.take() {
                        room.send(ask);
                    }
                    continue;
                }
                Some(Ok(Message::Close(close))) => {
                    let why = close.map(|close| close.reason.to_string()).filter(|it| !it.is_empty());
                    return why.unwrap_or_else(|| "it closed it".into());
                }
                Some(Ok(_)) => {
                    heard = Instant::now();
                    continue;
                }
                Some(Err(error)) => return error.to_string(),
                None => return "it closed it".into(),
            },
            report = reports.recv() => match report {
                Some(report) => Message::text(link::encode(&report)),
                None => return "nothing more to tell".into(),
            },
            _ = ping.tick() => {
                if heard.elapsed() > SILENCE_MAX {
                    return format!("no word in {} s", SILENCE_MAX.as_secs());
                }
                Message::Ping(Default::default())
            }
            _ = load.tick() => match host() {
                Some(report) => Message::text(link::encode(&report)),
                None => continue,
            },
        };
        if let Err(why) = send(&mut socket, frame, reports).await {
            return why;
        }
    }
}

/// Sends a frame, and what else is there in the same packets. Each may take its time, for a list is long.
async fn send(
    socket: &mut Socket,
    first: Message,
    reports: &mut mpsc::Receiver<Report>,
) -> Result<(), String> {
    in_time(socket.feed(first)).await?;
    for _ in 0..REPORTS_MAX {
        let Ok(report) = reports.try_recv() else { break };
        in_time(socket.feed(Message::text(link::encode(&report)))).await?;
    }
    in_time(socket.flush()).await
}

async fn in_time(write: impl Future<Output = Result<(), Error>>) -> Result<(), String> {
    match timeout(WRITE_TIMEOUT, write).await {
        Ok(written) => written.map_err(|error| error.to_string()),
        Err(_) => Err(format!("it took nothing for {} s", WRITE_TIMEOUT.as_secs())),
    }
}

impl HubUrl {
    fn is_on_this_machine(&self) -> bool {
        let address = self.host.parse::<std::net::IpAddr>();
        address.map_or(self.host == "localhost", |address| address.is_loopback())
    }

    fn authority(&self) -> String {
        let v6 = self.host.contains(':');
        if v6 {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for HubUrl {
    type Err = RemoteError;

    fn from_str(text: &str) -> Result<Self, RemoteError> {
        let bad = || RemoteError::Url(text.into());
        let (scheme, rest) = text.trim().split_once("://").ok_or_else(bad)?;
        let (tls, default) = match scheme {
            "https" | "wss" => (true, 443),
            "http" | "ws" => (false, 80),
            _ => return Err(bad()),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = crate::ami::split(authority, default).ok_or_else(bad)?;
        Ok(Self { tls, host, port })
    }
}

impl fmt::Display for HubUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl Serialize for HubUrl {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HubUrl {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl FromStr for Token {
    type Err = TrustError;

    fn from_str(text: &str) -> Result<Self, TrustError> {
        let text = text.trim();
        match text.split_once('.') {
            None => Ok(Self { secret: text.into(), fingerprint: None }),
            Some((secret, print)) => {
                Ok(Self { secret: secret.into(), fingerprint: Some(print.parse()?) })
            }
        }
    }
}

/// The secret is not shown.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;

    /// What is said of somebody who answers so, and reads what comes.
    async fn said_of(scheme: &str, answer: &'static [u8]) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let answering = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("somebody comes");
            stream.write_all(answer).await.expect("they listen");
            let _read = stream.read_to_end(&mut Vec::new()).await;
        });
        let hub: HubUrl = format!("{scheme}://{address}").parse().expect("an address");
        let pin = "ab".repeat(32).parse().expect("a fingerprint");
        let error = connect(&hub, &Trust::Pinned(pin), "Enrol x").await.err().expect("no hub");
        answering.abort();
        error.to_string()
    }

    #[tokio::test]
    async fn whoever_took_the_wrong_scheme_is_told_the_other() {
        let said = said_of("https", b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        assert!(said.contains("http://"), "{said}");
        // An alert: this is TLS.
        let said = said_of("http", b"\x15\x03\x01\x00\x02\x02\x46").await;
        assert!(said.contains("https://?"), "{said}");
    }

    /// As when a packet was lost, and all that the hub asked meanwhile comes in one piece.
    #[tokio::test]
    async fn a_hub_that_asks_much_at_once_waits_and_nothing_is_lost() {
        const MANY: u64 = 5 * ASKS_MAX as u64;
        let (ours, hubs) = tokio::io::duplex(1024 * 1024);
        let mut hub = WebSocketStream::from_raw_socket(hubs, Role::Server, None).await;
        for id in 1..=MANY {
            let ask = Ask { id, request: link::Request::Modules };
            hub.feed(Message::text(link::encode(&ask))).await.expect("there is room");
        }
        hub.flush().await.expect("there is room");
        hub.close(None).await.expect("there is room");

        let ours: Box<dyn Stream> = Box::new(ours);
        let socket = WebSocketStream::from_raw_socket(ours, Role::Client, None).await;
        let (to_watch, mut asks) = mpsc::channel(ASKS_MAX);
        let (_reports, mut from_watch) = mpsc::channel(1);
        let carrying = tokio::spawn(async move { carry(socket, &to_watch, &mut from_watch).await });
        let mut heard = Vec::new();
        while let Some(ask) = asks.recv().await {
            heard.push(ask.id);
        }
        assert_eq!(heard, (1..=MANY).collect::<Vec<_>>());
        assert_eq!(carrying.await.expect("it ends"), "it closed it");
    }
}
