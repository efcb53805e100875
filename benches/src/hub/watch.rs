//! Who follows the hub's events as a script does, and what of the load has arrived there, and when.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::BufRead;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::Value;

use super::traffic::{BRIDGED, GONE, KNOWN, LEFT, RINGING, Sent, UP, What, now_ms};

/// Lines that came: when, and what.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    lines: Arc<Mutex<Vec<(f64, String)>>>,
}

impl Watch {
    /// Follows a stream of events until it ends.
    pub(super) fn start(stream: impl BufRead + Send + 'static) -> Self {
        let watch = Self::default();
        let lines = Arc::clone(&watch.lines);
        thread::spawn(move || {
            let mut name = String::new();
            for line in stream.lines() {
                let Ok(line) = line else { return };
                let at_ms = now_ms();
                if let Some(event) = line.strip_prefix("event: ") {
                    event.clone_into(&mut name);
                } else if let Some(data) = line.strip_prefix("data: ")
                    && name == "changes"
                {
                    let data = data.to_owned();
                    lines.lock().unwrap_or_else(PoisonError::into_inner).push((at_ms, data));
                }
            }
        });
        watch
    }

    /// What has come since this was last asked: when, and the changes.
    pub(super) fn take(&self) -> Vec<(f64, Value)> {
        let lines = std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner));
        let parsed = lines.into_iter().map(|(at_ms, line)| {
            let mut all: Value = serde_json::from_str(&line).unwrap_or_default();
            (at_ms, all["changes"].take())
        });
        parsed.collect()
    }

    /// Goes on until `is_enough` of all changes, and says when that was.
    ///
    /// # Errors
    ///
    /// If it is not within that time.
    pub(super) fn until(
        &self,
        what: &str,
        within: Duration,
        mut is_enough: impl FnMut(f64, &Value) -> bool,
    ) -> Result<()> {
        let end = Instant::now() + within;
        while Instant::now() < end {
            for (at_ms, changes) in self.take() {
                for change in changes.as_array().into_iter().flatten() {
                    if is_enough(at_ms, change) {
                        return Ok(());
                    }
                }
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("{what}: not within {within:?}")
    }
}

/// When an event was written, and how long it took from there, both in milliseconds.
pub(super) type Delay = (f64, f64);

/// How long each event took to arrive.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    pub(super) delays: Vec<Delay>,
    /// Events of which nothing was ever seen.
    pub(super) lost: usize,
}

/// What is still to be seen of one thing, the oldest first.
#[derive(Debug, Default)]
struct Awaited<'s>(VecDeque<&'s Sent>);

impl Awaited<'_> {
    /// Takes all up to the last that `is_seen`.
    fn seen(&mut self, at_ms: f64, arrived: &mut Arrived, is_seen: impl Fn(&What) -> bool) {
        let last = self.0.iter().rposition(|sent| sent.at_ms <= at_ms && is_seen(&sent.what));
        for sent in self.0.drain(..last.map_or(0, |last| last + 1)) {
            arrived.delays.push((sent.at_ms, at_ms - sent.at_ms));
        }
    }
}

/// What of each thing an event may tell.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Kind {
    Contact,
    Device,
    Call,
}

/// Finds each event in what a client was told.
pub(super) fn arrivals(sent: &[Sent], told: &[(f64, Value)], names: &[String]) -> Arrived {
    let mut awaited: HashMap<(&str, &str, Kind), Awaited<'_>> = HashMap::new();
    for sent in sent {
        let (id, kind) = match &sent.what {
            What::RoundTrip { number, .. } | What::Registration { number, .. } => {
                (number, Kind::Contact)
            }
            What::Device { number, .. } => (number, Kind::Device),
            What::Leg { call, .. } => (call, Kind::Call),
        };
        let key = (names[sent.server].as_str(), id.as_str(), kind);
        awaited.entry(key).or_default().0.push_back(sent);
    }
    let (mut arrived, mut legs) = (Arrived::default(), Legs::default());
    for (at_ms, changes) in told {
        for change in changes.as_array().into_iter().flatten() {
            let (server, value) = (text(&change["server"]), &change["value"]);
            match text(&change["what"]) {
                "peer" => {
                    let name = text(&value["name"]);
                    for kind in [Kind::Contact, Kind::Device] {
                        if let Some(awaited) = awaited.get_mut(&(server, name, kind)) {
                            awaited.seen(*at_ms, &mut arrived, |what| is_in_peer(what, value));
                        }
                    }
                }
                "call" => {
                    let id = text(&value["id"]);
                    if let Some(awaited) = awaited.get_mut(&(server, id, Kind::Call)) {
                        legs.see(server, value);
                        awaited.seen(*at_ms, &mut arrived, |what| legs.are_that_far(server, what));
                    }
                }
                "call_gone" => {
                    if let Some(awaited) = awaited.get_mut(&(server, text(value), Kind::Call)) {
                        awaited.seen(*at_ms, &mut arrived, |_| true);
                    }
                }
                _ => {}
            }
        }
    }
    arrived.lost = awaited.values().map(|awaited| awaited.0.len()).sum();
    arrived
}

fn is_in_peer(what: &What, peer: &Value) -> bool {
    match what {
        What::RoundTrip { us, .. } => peer["round_trip_us"].as_u64() == Some(u64::from(*us)),
        What::Registration { is, .. } => peer["registration"] == is.word(),
        What::Device { is, .. } => peer["device"] == *is,
        What::Leg { .. } => false,
    }
}

/// How far each leg was when it was last seen.
#[derive(Debug, Default)]
struct Legs {
    ranks: HashMap<(String, String), u8>,
    seen_of: HashMap<(String, String), HashSet<String>>,
}

impl Legs {
    fn see(&mut self, server: &str, call: &Value) {
        let legs = call["legs"].as_array().into_iter().flatten();
        let legs: HashMap<&str, &Value> = legs.map(|leg| (text(&leg["channel"]), leg)).collect();
        let key = (server.to_owned(), text(&call["id"]).to_owned());
        let seen = self.seen_of.entry(key).or_default();
        seen.extend(legs.keys().map(|&channel| channel.to_owned()));
        for channel in seen.iter() {
            let rank = self.ranks.entry((server.to_owned(), channel.clone())).or_default();
            let now = match legs.get(channel.as_str()) {
                None => GONE,
                Some(leg) if leg["bridge"].is_string() => BRIDGED,
                Some(_) if *rank == BRIDGED => LEFT,
                Some(leg) => match leg["state"].as_u64() {
                    Some(6) => UP,
                    Some(5) => RINGING,
                    _ => KNOWN,
                },
            };
            *rank = now.max(*rank);
        }
    }

    fn are_that_far(&self, server: &str, what: &What) -> bool {
        let What::Leg { channel, rank, .. } = what else { return false };
        let seen = self.ranks.get(&(server.to_owned(), channel.clone()));
        seen.is_some_and(|seen| seen >= rank)
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names() -> Vec<String> {
        vec!["pbx01".to_owned()]
    }

    fn sent(at_ms: f64, what: What) -> Sent {
        Sent { at_ms, server: 0, what }
    }

    fn round_trip(at_ms: f64, us: u32) -> Sent {
        sent(at_ms, What::RoundTrip { number: "200".to_owned(), us, is_marked: false })
    }

    fn leg(at_ms: f64, channel: &str, rank: u8) -> Sent {
        sent(at_ms, What::Leg { call: "1.1".to_owned(), channel: channel.to_owned(), rank })
    }

    fn told(at_ms: f64, what: &str, value: &Value) -> (f64, Value) {
        (at_ms, json!([{ "seq": 1, "server": "pbx01", "what": what, "value": value }]))
    }

    #[test]
    fn an_event_that_was_overtaken_arrives_with_the_one_that_did_it() {
        let sent = [round_trip(10.0, 7), round_trip(20.0, 8), round_trip(90.0, 9)];
        let told = [
            told(70.0, "peer", &json!({ "name": "200", "round_trip_us": 8 })),
            told(80.0, "peer", &json!({ "name": "201", "round_trip_us": 9 })),
        ];
        let arrived = arrivals(&sent, &told, &names());
        assert_eq!(arrived.delays, [(10.0, 60.0), (20.0, 50.0)]);
        assert_eq!(arrived.lost, 1, "the last is shown nowhere");
    }

    #[test]
    fn what_is_shown_before_an_event_was_written_is_not_of_that_event() {
        let told = [told(70.0, "peer", &json!({ "name": "200", "round_trip_us": 8 }))];
        assert_eq!(arrivals(&[round_trip(71.0, 8)], &told, &names()).lost, 1);
    }

    #[test]
    fn legs_arrive_as_far_as_they_are_shown_and_all_with_the_end_of_the_call() {
        let sent = [
            leg(1.0, "a", KNOWN),
            leg(2.0, "b", KNOWN),
            leg(3.0, "b", RINGING),
            leg(4.0, "b", UP),
            leg(50.0, "a", GONE),
            leg(51.0, "b", GONE),
        ];
        let legs = json!([
            { "channel": "a", "state": 4, "bridge": null },
            { "channel": "b", "state": 5, "bridge": null },
        ]);
        let alone = json!([{ "channel": "b", "state": 6, "bridge": null }]);
        let told = [
            told(10.0, "call", &json!({ "id": "1.1", "legs": legs })),
            told(60.0, "call", &json!({ "id": "1.1", "legs": alone })),
            told(70.0, "call_gone", &json!("1.1")),
        ];
        let arrived = arrivals(&sent, &told, &names());
        let delays: Vec<f64> = arrived.delays.iter().map(|(_, delay)| *delay).collect();
        assert_eq!(delays, [9.0, 8.0, 7.0, 56.0, 10.0, 19.0]);
        assert_eq!(arrived.lost, 0);
    }
}
