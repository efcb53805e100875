//! What the PBX looks like, as JSON: made on workers, kept for moments, and compared for the feed.
//!
//! Whoever asks for the same within [`FRESH`] gets the same answer, so that neither a page of many
//! tabs nor a program in a loop makes Asterisk's locks busy. While Asterisk does not tell, what was
//! known before is given, with its age.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::looks::{Looks, THINGS};
use crate::pages::{self, Figures};
use crate::pbx::{Channel, Module, Pbx, Peer, System};
use crate::shared::lock;
use crate::universal;

/// For how long an answer is given again.
const FRESH: Duration = Duration::from_millis(200);
/// While somebody follows, the PBX is looked at so often.
const FEED_PERIOD: Duration = Duration::from_millis(500);
/// And never more than this part of the time: a large PBX is looked at less often.
const FEED_SHARE: u32 = 10;
/// But as often as that, at least: a look that had to wait is none that costs much.
const FEED_PAUSE_MAX: Duration = Duration::from_secs(10);
/// Who follows is told when what they have is older.
pub(crate) const LATE_AFTER: Duration = Duration::from_secs(15);

/// What can be looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum View {
    Status,
    Modules,
    Channels,
    Peers,
}

/// Those that the feed sends. Peers go last: they may be in a database, which may hang.
pub(crate) const FED: [View; 3] = [View::Status, View::Channels, View::Peers];

/// Beside the views the page without script is looked for.
const FIGURES: usize = 4;
const _: () = assert!(FIGURES + 1 == THINGS);

/// The newest answers.
#[derive(Default)]
pub(crate) struct Views {
    inner: Mutex<Inner>,
    looks: Looks,
}

#[derive(Default)]
struct Inner {
    kept: [Option<Seen<Arc<[u8]>>>; 4],
    /// Of the page without script.
    figures: Option<Seen<Arc<Figures>>>,
    feed: Feed,
}

/// What was seen, and when.
#[derive(Clone)]
struct Seen<T> {
    at: Instant,
    what: T,
}

/// What somebody is told, and how old it is if Asterisk did not tell anything newer.
pub(crate) struct Told<T> {
    pub(crate) what: T,
    pub(crate) age: Option<Duration>,
}

impl<T> Seen<T> {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < FRESH
    }

    fn told(self) -> Told<T> {
        Told { what: self.what, age: None }
    }

    fn told_as_old(self, now: Instant) -> Told<T> {
        let age = (!self.is_fresh(now)).then(|| now.saturating_duration_since(self.at));
        Told { what: self.what, age }
    }
}

/// What the feed has sent.
#[derive(Default)]
struct Feed {
    status: (System, bool),
    channels: Vec<Channel>,
    peers: Vec<Peer>,
    sent: [Fed; FED.len()],
    /// When all of it was so.
    at: Option<Instant>,
    due: Option<Instant>,
    is_running: bool,
}

/// One view in the feed, and how often it has changed.
#[derive(Clone, Default)]
pub(crate) struct Fed {
    pub(crate) version: u64,
    pub(crate) json: Arc<[u8]>,
}

#[derive(Serialize)]
struct Status<'a> {
    system: &'a System,
    /// Whether app_universal is there.
    universal: bool,
    version: &'static str,
}

#[derive(Serialize)]
struct Modules {
    modules: Vec<Module>,
}

#[derive(Serialize)]
struct Channels<'a> {
    channels: &'a [Channel],
}

#[derive(Serialize)]
struct Peers<'a> {
    peers: &'a [Peer],
}

impl Views {
    /// The answer, if there is one that is new enough.
    pub(crate) fn fresh(&self, view: View, now: Instant) -> Option<Arc<[u8]>> {
        self.known(view).filter(|seen| seen.is_fresh(now)).map(|seen| seen.what)
    }

    fn known(&self, view: View) -> Option<Seen<Arc<[u8]>>> {
        lock(&self.inner).kept[view as usize].clone()
    }

    /// Asks the PBX, unless somebody else just has. What was known before if it does not answer
    /// somebody who asked already; `None` if nothing was. For workers.
    pub(crate) fn look(&self, view: View, pbx: &dyn Pbx) -> Option<Told<Arc<[u8]>>> {
        let Some(_looking) = self.looks.begin(view as usize) else {
            return self.known(view).map(|seen| seen.told_as_old(Instant::now()));
        };
        if let Some(seen) = self.known(view).filter(|seen| seen.is_fresh(Instant::now())) {
            return Some(seen.told());
        }
        // What is told may be as old as the question.
        let at = Instant::now();
        let what: Arc<[u8]> = match view {
            View::Status => status(&pbx.system(), has_universal(pbx)),
            View::Modules => json(&Modules { modules: pbx.modules() }),
            View::Channels => json(&Channels { channels: &channels(pbx) }),
            View::Peers => json(&Peers { peers: &peers(pbx) }),
        };
        let seen = Seen { at, what };
        lock(&self.inner).kept[view as usize] = Some(seen.clone());
        Some(seen.told())
    }

    /// The same for the page without script.
    pub(crate) fn figures(&self, pbx: &dyn Pbx) -> Option<Told<Arc<Figures>>> {
        let known = || lock(&self.inner).figures.clone();
        let Some(_looking) = self.looks.begin(FIGURES) else {
            return known().map(|seen| seen.told_as_old(Instant::now()));
        };
        if let Some(seen) = known().filter(|seen| seen.is_fresh(Instant::now())) {
            return Some(seen.told());
        }
        let at = Instant::now();
        let seen = Seen { at, what: Arc::new(pages::figures(pbx)) };
        lock(&self.inner).figures = Some(seen.clone());
        Some(seen.told())
    }

    /// Somebody follows after nobody did: what was seen before is old, and the feed looks at once.
    pub(crate) fn begin_following(&self) {
        let feed = &mut lock(&self.inner).feed;
        (feed.sent, feed.due, feed.at) = (Default::default(), None, Some(Instant::now()));
    }

    /// For how long Asterisk has not told all that who follows is to see, if that is too long.
    pub(crate) fn late(&self, now: Instant) -> Option<Duration> {
        let at = lock(&self.inner).feed.at?;
        Some(now.saturating_duration_since(at)).filter(|late| *late > LATE_AFTER)
    }

    /// Whether the feed is to look now; if so, nobody else is told so until it has.
    pub(crate) fn begin_feed(&self, now: Instant) -> bool {
        let feed = &mut lock(&self.inner).feed;
        let is_due = !feed.is_running && feed.due.is_none_or(|due| due <= now);
        feed.is_running |= is_due;
        is_due
    }

    /// When the feed looks next.
    pub(crate) fn feed_due(&self, now: Instant) -> Instant {
        let feed = &lock(&self.inner).feed;
        let due = feed.due.unwrap_or(now);
        if feed.is_running { due.max(now + FEED_PERIOD) } else { due }
    }

    /// It could not be begun: try later.
    pub(crate) fn put_off_feed(&self, now: Instant) {
        let feed = &mut lock(&self.inner).feed;
        (feed.is_running, feed.due) = (false, Some(now + FEED_PERIOD));
    }

    /// Looks at everything, for workers.
    pub(crate) fn look_for_feed(&self, pbx: &dyn Pbx) {
        let _again = LookAgain(self);
        let begun = Instant::now();
        let is_whole = FED.map(|view| self.look_at(view, pbx)).into_iter().all(|is_seen| is_seen);
        let feed = &mut lock(&self.inner).feed;
        if is_whole {
            feed.at = Some(begun);
        }
        let pause = (begun.elapsed() * FEED_SHARE).clamp(FEED_PERIOD, FEED_PAUSE_MAX);
        (feed.is_running, feed.due) = (false, Some(Instant::now() + pause));
    }

    /// Whether it could be seen. What only grows with time is no change: pages count on by themselves.
    fn look_at(&self, view: View, pbx: &dyn Pbx) -> bool {
        let Some(_looking) = self.looks.begin(view as usize) else { return false };
        let at = Instant::now();
        match view {
            View::Status => {
                let (system, has_universal) = (pbx.system(), has_universal(pbx));
                let json = status(&system, has_universal);
                self.publish(view, Seen { at, what: json }, |feed| {
                    is_other(&mut feed.status, (timeless_system(system), has_universal))
                });
            }
            View::Channels => {
                let channels = channels(pbx);
                let json = json(&Channels { channels: &channels });
                self.publish(view, Seen { at, what: json }, |feed| {
                    is_other(&mut feed.channels, timeless_channels(channels))
                });
            }
            View::Peers => {
                let peers = peers(pbx);
                let json = json(&Peers { peers: &peers });
                let seen = Seen { at, what: json };
                self.publish(view, seen, |feed| is_other(&mut feed.peers, peers));
            }
            View::Modules => {}
        }
        true
    }

    fn publish(
        &self,
        view: View,
        seen: Seen<Arc<[u8]>>,
        has_changed: impl FnOnce(&mut Feed) -> bool,
    ) {
        let inner = &mut *lock(&self.inner);
        let has_changed = has_changed(&mut inner.feed);
        for (_, fed) in FED.into_iter().zip(&mut inner.feed.sent).filter(|(fed, _)| *fed == view) {
            // Who begins to follow gets the newest, changed or not.
            let is_new = fed.version == 0;
            let version = fed.version + u64::from(is_new || has_changed);
            *fed = Fed { version, json: seen.what.clone() };
        }
        inner.kept[view as usize] = Some(seen);
    }

    /// What the feed has, if it has looked.
    pub(crate) fn fed(&self) -> [Fed; FED.len()] {
        lock(&self.inner).feed.sent.clone()
    }
}

/// Whatever becomes of a look, there is another one.
struct LookAgain<'a>(&'a Views);

impl Drop for LookAgain<'_> {
    fn drop(&mut self) {
        let feed = &mut lock(&self.0.inner).feed;
        if std::mem::take(&mut feed.is_running) {
            feed.due = Some(Instant::now() + FEED_PERIOD);
        }
    }
}

impl View {
    /// Its event's name in the feed.
    pub(crate) fn event(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Modules => "modules",
            Self::Channels => "channels",
            Self::Peers => "peers",
        }
    }
}

fn has_universal(pbx: &dyn Pbx) -> bool {
    pbx.is_running(universal::MODULE)
}

fn status(system: &System, universal: bool) -> Arc<[u8]> {
    json(&Status { system, universal, version: env!("CARGO_PKG_VERSION") })
}

fn channels(pbx: &dyn Pbx) -> Vec<Channel> {
    let mut channels = pbx.channels();
    channels.sort_by(|a, b| (&a.linked_id, &a.unique_id).cmp(&(&b.linked_id, &b.unique_id)));
    channels
}

fn peers(pbx: &dyn Pbx) -> Vec<Peer> {
    let mut peers = pbx.peers();
    peers.sort_by(|a, b| (&a.tech, &a.resource).cmp(&(&b.tech, &b.resource)));
    peers
}

/// Without what grows by itself.
fn timeless_system(mut system: System) -> System {
    // A reload makes it smaller.
    let had_reload = system.since_reload < Duration::from_secs(2);
    system.uptime = Duration::ZERO;
    system.since_reload = if had_reload { Duration::from_secs(1) } else { Duration::ZERO };
    system
}

fn timeless_channels(mut channels: Vec<Channel>) -> Vec<Channel> {
    for channel in &mut channels {
        channel.duration = Duration::ZERO;
    }
    channels
}

/// Puts the new one in its place, and says whether it was another.
fn is_other<T: PartialEq>(kept: &mut T, new: T) -> bool {
    std::mem::replace(kept, new) != *kept
}

/// As JSON. What is given here is text and numbers, which always can be.
pub(crate) fn json(value: &impl Serialize) -> Arc<[u8]> {
    serde_json::to_vec(value).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_follows_is_told_when_nothing_was_seen_for_long() {
        let (views, begun) = (Views::default(), Instant::now());
        let later = begun + 2 * LATE_AFTER;
        assert_eq!(views.late(later), None, "nobody follows");
        views.begin_following();
        assert_eq!(views.late(begun + LATE_AFTER / 2), None);
        assert!(views.late(later).is_some_and(|late| late > LATE_AFTER));
    }
}
