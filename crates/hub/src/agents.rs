//! The door for agents: a WebSocket that each dials.
//!
//! An agent shows its key, or once a token. What it may do is tell; what it is asked to do it decides
//! itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use fleet::{Link, LinkState, Text, Via};
use futures_util::future::{Either, select};
use link::{Hello, KEY_SCHEME, Report, SUBPROTOCOL, TOKEN_SCHEME, Welcome};
use tokio::sync::mpsc;
use tokio::time::{interval, timeout};

use crate::db::{self, Entry};
use crate::hub::{Hub, now, now_ms};
use crate::line::{Place, carry};
use crate::secret;
use crate::who::Who;

/// How long an agent may take for its first word.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
const PING_EVERY: Duration = Duration::from_secs(10);
/// After how long without a word an agent is gone. Until then another of its name is refused.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How long it may take nothing.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
const ASKS_MAX: usize = 64;

pub(crate) async fn connect(
    State(hub): State<Arc<Hub>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some((scheme, secret)) = shown.and_then(|shown| shown.split_once(' ')) else {
        return refuse(StatusCode::UNAUTHORIZED, "an agent shows a key or a token");
    };
    // Not throttled, as logins are: nobody guesses 256 random bits, and all agents come in by this door.
    let hash = secret::hash(secret);
    let is_new = scheme.eq_ignore_ascii_case(TOKEN_SCHEME);
    let server = hub.db.run(move |db| match is_new {
        true => db::agents::of_token(db, now_ms(), &hash),
        false => db::agents::of_key(db, &hash),
    });
    let server = match server.await {
        Ok(Some(server)) if is_new || scheme.eq_ignore_ascii_case(KEY_SCHEME) => server,
        Ok(_) if is_new => {
            let why = "the token is not known: it is good once, and for a day; \
                       make another on the console's page Administration, or with `tandem agent invite`";
            return refuse(StatusCode::UNAUTHORIZED, why);
        }
        Ok(_) => {
            let why = "the key is not known: this agent was removed, or enrolled anew elsewhere; \
                       enrol it with a new token";
            return refuse(StatusCode::UNAUTHORIZED, why);
        }
        Err(error) => return refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    };
    let upgrade = upgrade.protocols([SUBPROTOCOL]).max_message_size(link::FRAME_MAX_BYTES);
    if hub.watches(&server) {
        let why = format!(
            "{server} is watched by the hub itself: take its `ami` out of hub.toml, and start the hub again"
        );
        return refuse(StatusCode::CONFLICT, &why);
    }
    if is_new {
        return upgrade.on_upgrade(move |socket| async move {
            let who = Who::unknown(&format!("agent:{server}"), address.ip());
            if let Err(why) = enrol(&hub, socket, &who, &server, hash).await {
                tracing::warn!("{address} did not enrol as {server}: {why}");
            }
        });
    }
    let place = match Place::take(&hub, &server, address.to_string(), true) {
        Ok(place) => place,
        Err(taken) => {
            let seconds = now().ms.saturating_sub(taken.since.ms) / 1000;
            let why = format!(
                "an agent of the name {server} is connected from {} for {seconds} s: if that one is \
                 gone, try again in {} s; if it is another machine, enrol each under a name of its own",
                taken.address,
                SILENCE_MAX.as_secs()
            );
            tracing::warn!("{address}: {why}");
            return refuse(StatusCode::CONFLICT, &why);
        }
    };
    upgrade.on_upgrade(move |socket| async move {
        tracing::info!("the agent of {server} is here, from {address}");
        let why = serve(&hub, socket, place, hash, address).await;
        tracing::warn!("the agent of {server} is gone: {why}");
    })
}

fn refuse(status: StatusCode, why: &str) -> Response {
    (status, why.to_owned()).into_response()
}

/// Changes the token for a key.
async fn enrol(
    hub: &Hub,
    mut socket: WebSocket,
    who: &Who,
    server: &str,
    token: secret::Hash,
) -> Result<(), String> {
    hello(&mut socket).await?;
    let key = secret::new().map_err(|error| error.to_string())?;
    let hash = secret::hash(&key);
    let enrolled = hub.db.run(move |db| db::agents::enrol(db, now_ms(), &token, &hash)).await;
    match enrolled.map_err(|error| error.to_string())? {
        Some(of) if of == server => {}
        _ => return Err("the token was used at the same time".into()),
    }
    // It has enrolled, whatever the log says: without its key it could not come in again.
    let entry = Entry { server: Some(server.into()), ..who.entry("agent enrol", server) };
    if let Err(error) = hub.note(entry).await {
        tracing::error!("{error}");
    }
    // Whoever had the key before has it no more.
    hub.hang_up(server);
    hub.add_server(server);
    let welcome = Welcome { server: server.into(), key: Some(key) };
    say(&mut socket, Message::text(link::encode(&welcome))).await?;
    tracing::info!("an agent has enrolled for {server}");
    say(&mut socket, Message::Close(None)).await
}

async fn hello(socket: &mut WebSocket) -> Result<Hello, String> {
    let word = async {
        loop {
            match socket.recv().await {
                Some(Ok(Message::Text(frame))) => {
                    return link::decode(&frame).map_err(|error| error.to_string());
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return Err("it said nothing".into()),
            }
        }
    };
    timeout(HELLO_TIMEOUT, word).await.unwrap_or_else(|_| Err("it said nothing".into()))
}

async fn say(socket: &mut WebSocket, message: Message) -> Result<(), String> {
    match timeout(WRITE_TIMEOUT, socket.send(message)).await {
        Ok(sent) => sent.map_err(|error| error.to_string()),
        Err(_) => Err(format!("it took nothing for {} s", WRITE_TIMEOUT.as_secs())),
    }
}

/// Carries the line until it ends, and says why it did.
async fn serve(
    hub: &Arc<Hub>,
    mut socket: WebSocket,
    mut place: Place,
    key: secret::Hash,
    address: SocketAddr,
) -> String {
    let server = &place.server().to_owned();
    let agent = match hello(&mut socket).await {
        Ok(hello) => hello,
        Err(why) => return why,
    };
    // It may have been removed, or replaced, since it was let in.
    match hub.db.run(move |db| db::agents::of_key(db, &key)).await {
        Ok(Some(of)) if of == *server => hub.add_server(server),
        Ok(_) => return "its key is not known any more".into(),
        Err(error) => return error.to_string(),
    }
    let welcome = Welcome { server: server.into(), key: None };
    if let Err(why) = say(&mut socket, Message::text(link::encode(&welcome))).await {
        return why;
    }
    note_seen(hub, server).await;
    let link = Link {
        via: Via::Agent,
        state: LinkState::Up,
        since_ms: Some(now()),
        error: None,
        address: Some(Text::from(address.to_string().as_str())),
        agent_version: Some(Text::from(agent.version.as_str())),
        ..Link::default()
    };
    let (to_line, mut reports) = mpsc::channel(agent::REPORTS_MAX);
    let (asks, from_line) = mpsc::channel(ASKS_MAX);
    let why = {
        let carry = std::pin::pin!(carry(&mut place, link, &mut reports, &asks));
        let pump = std::pin::pin!(pump(&mut socket, to_line, from_line));
        match select(carry, pump).await {
            Either::Left(((), _)) => "the hub is done with it".into(),
            Either::Right((why, carry)) => {
                // What has come is heard to the end.
                carry.await;
                why
            }
        }
    };
    note_seen(hub, server).await;
    why
}

async fn note_seen(hub: &Hub, server: &str) {
    let name = server.to_owned();
    if let Err(error) = hub.db.run(move |db| db::agents::seen(db, now_ms(), &name)).await {
        tracing::error!("{error}");
    }
}

async fn pump(
    socket: &mut WebSocket,
    reports: mpsc::Sender<Report>,
    mut asks: mpsc::Receiver<link::Ask>,
) -> String {
    let mut heard = Instant::now();
    let mut ping = interval(PING_EVERY);
    loop {
        let frame = tokio::select! {
            frame = socket.recv() => {
                heard = Instant::now();
                match frame {
                    Some(Ok(Message::Text(frame))) => match link::decode::<Report>(&frame) {
                        // When the line is slow this waits, and the agent, and Asterisk.
                        Ok(report) => match reports.send(report).await {
                            Ok(()) => continue,
                            Err(_) => return "the hub is done with it".into(),
                        },
                        Err(error) => return format!("it said what is not known here: {error}"),
                    },
                    Some(Ok(Message::Close(_))) | None => return "it closed the connection".into(),
                    Some(Ok(_)) => continue,
                    Some(Err(error)) => return error.to_string(),
                }
            }
            ask = asks.recv() => match ask {
                Some(ask) => Message::text(link::encode(&ask)),
                None => return "the hub is done with it".into(),
            },
            _ = ping.tick() => {
                if heard.elapsed() > SILENCE_MAX {
                    return format!("no word in {} s", SILENCE_MAX.as_secs());
                }
                Message::Ping(Vec::new().into())
            }
        };
        if let Err(why) = say(socket, frame).await {
            return why;
        }
    }
}
