//! Changes, as they happen: server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse as _, Response};
use fleet::{Change, Gap, Time};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::body::Query;
use super::problem::{Problem, Words};
use crate::hub::{Hub, lock, now};
use crate::who::Who;

/// Changes are gathered for that long: a page cannot show more.
const GATHER: Duration = Duration::from_millis(100);
/// How many pages of one user, or connections of one token, follow at once.
const FOLLOWERS_MAX: usize = 32;
/// A page that hears nothing for longer knows that the hub is gone.
const TICK: Duration = Duration::from_secs(5);
/// With how much of JSON an event takes no more changes; they follow at once. An event is heard when it is whole,
/// and over a slow wire that takes seconds.
const EVENT_FULL_BYTES: usize = 32 * 1024;
/// Changes that are looked at for one: more would have no room.
const CHANGES_MAX: usize = 200;

/// From where on.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Since {
    /// The sequence of the last change that is known; `Last-Event-ID` counts more.
    #[serde(default)]
    since: Option<u64>,
}

/// A page that follows.
struct Follower {
    hub: Arc<Hub>,
    who: Who,
    _place: Place,
    changed: watch::Receiver<u64>,
    seq: u64,
    told_at: Instant,
    ticked_at: Instant,
    is_over: bool,
}

/// One of so many that somebody may follow with.
struct Place {
    hub: Arc<Hub>,
    of: String,
}

impl Place {
    fn take(hub: &Arc<Hub>, of: &str) -> Option<Self> {
        let mut all = lock(&hub.followers);
        let own = all.get(of).copied().unwrap_or_default();
        if own >= FOLLOWERS_MAX {
            return None;
        }
        all.insert(of.to_owned(), own + 1);
        Some(Self { hub: Arc::clone(hub), of: of.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = lock(&self.hub.followers);
        if let Some(own) = all.get_mut(&self.of) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                all.remove(&self.of);
            }
        }
    }
}

#[derive(Serialize)]
struct Tick {
    now_ms: Time,
}

#[derive(Serialize)]
struct Bye {
    why: &'static str,
}

/// What changes, as it happens: events `changes` (`{now_ms, changes: [Change]}`, with the sequence as
/// id), `tick` (`{now_ms}`, every five seconds), `gap` (take `/api/state` again) and `bye` (the
/// session has ended).
#[utoipa::path(get, path = "/api/events", tag = "fleet", params(Since),
    responses((status = 200, content_type = "text/event-stream", body = String),
              (status = 401, body = Words),
              (status = 429, body = Words, description = "as many follow under that name as may")))]
pub(super) async fn events(
    State(hub): State<Arc<Hub>>,
    who: Who,
    Query(since): Query<Since>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let place =
        Place::take(&hub, &who.name).ok_or_else(|| Problem::too_many_followers(FOLLOWERS_MAX))?;
    let last = headers.get("Last-Event-ID").and_then(|id| id.to_str().ok()?.parse().ok());
    let changed = hub.follow();
    let seq = last.or(since.since).unwrap_or_else(|| hub.fleet(|fleet| fleet.seq()));
    let now = Instant::now();
    let follower = Follower {
        hub,
        who,
        _place: place,
        changed,
        seq,
        told_at: now.checked_sub(GATHER).unwrap_or(now),
        ticked_at: now.checked_sub(TICK).unwrap_or(now),
        is_over: false,
    };
    let events = stream::unfold(follower, async |mut follower| {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    let mut response = Sse::new(events).into_response();
    // A proxy that gathers what it passes on would make it late.
    response.headers_mut().insert("X-Accel-Buffering", axum::http::HeaderValue::from_static("no"));
    Ok(response)
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        if self.is_over {
            return None;
        }
        loop {
            if self.ticked_at + TICK <= Instant::now() {
                return Some(self.tick().await);
            }
            if *self.changed.borrow_and_update() != self.seq {
                // A tick waits no longer for it.
                sleep_until(self.told_at + GATHER).await;
                self.changed.borrow_and_update();
                let seq = self.seq;
                match self.hub.fleet(|fleet| fleet.changes_since(seq, CHANGES_MAX)) {
                    Err(Gap) => return Some(self.last("gap", &serde_json::json!({}))),
                    Ok(changes) => {
                        if let Some(event) = self.changes(changes) {
                            return Some(event);
                        }
                    }
                }
            }
            tokio::select! {
                changed = self.changed.changed() => if changed.is_err() {
                    return None;
                },
                () = sleep_until(self.ticked_at + TICK) => {}
            }
        }
    }

    fn changes(&mut self, changes: Vec<Change>) -> Option<Event> {
        let (json, last) = as_many_as_fit(&changes)?;
        self.seq = last;
        if Some(last) == changes.last().map(|change| change.seq) && changes.len() < CHANGES_MAX {
            self.told_at = Instant::now();
        }
        let data = format!("{{\"now_ms\":{},\"changes\":[{json}]}}", now().ms);
        Some(Event::default().event("changes").data(data).id(last.to_string()))
    }

    async fn tick(&mut self) -> Event {
        self.ticked_at = Instant::now();
        if !self.who.is_still_good(&self.hub).await {
            return self.last("bye", &Bye { why: "session" });
        }
        said("tick", &Tick { now_ms: now() })
    }

    fn last(&mut self, name: &str, data: &impl Serialize) -> Event {
        self.is_over = true;
        said(name, data)
    }
}

/// The first of them as the items of an array of JSON, one at least, and which is the last.
fn as_many_as_fit(changes: &[Change]) -> Option<(String, u64)> {
    let (mut json, mut last) = (String::new(), None);
    for change in changes {
        if json.len() >= EVENT_FULL_BYTES {
            break;
        }
        if last.is_some() {
            json.push(',');
        }
        json += &serde_json::to_string(change).expect("it has a form in JSON");
        last = Some(change.seq);
    }
    last.map(|last| (json, last))
}

fn said(name: &str, data: &impl Serialize) -> Event {
    let event = Event::default().event(name).json_data(data);
    event.expect("it has a form in JSON")
}

#[cfg(test)]
mod tests {
    use fleet::What;

    use super::*;

    #[test]
    fn an_event_has_one_change_at_least_and_no_more_than_a_slow_wire_bears() {
        let change =
            |seq, id: &str| Change { seq, server: "a".into(), what: What::CallGone(id.into()) };
        assert_eq!(as_many_as_fit(&[]), None);
        let many: Vec<Change> = (1..=1000).map(|seq| change(seq, &"x".repeat(200))).collect();
        let (mut from, mut told) = (0, Vec::new());
        while let Some((json, last)) = as_many_as_fit(&many[from..]) {
            assert!(json.len() < EVENT_FULL_BYTES + 1024, "{} bytes", json.len());
            let items: Vec<serde_json::Value> =
                serde_json::from_str(&format!("[{json}]")).expect("JSON");
            told.extend(items.iter().map(|item| item["seq"].as_u64().expect("a number")));
            assert_eq!(told.last(), Some(&last));
            from = usize::try_from(last).expect("small");
        }
        assert_eq!(told, (1..=1000).collect::<Vec<_>>(), "each once, in order");
    }
}
