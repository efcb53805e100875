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

/// What can be looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum View {
    Status,
    Modules,
    Channels,
    Peers,
}

/// Those that the feed sends.
pub(crate) const FED: [View; 3] = [View::Status, View::Channels, View::Peers];

/// Beside them the page without script and the feed are looked for.
const FIGURES: usize = 4;
const FEED: usize = 5;
const _: () = assert!(FEED + 1 == THINGS);

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
pub(crate) struct Seen<T> {
    at: Instant,
    pub(crate) what: T,
}

impl<T> Seen<T> {
    fn now(what: T) -> Self {
        Self { at: Instant::now(), what }
    }

    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < FRESH
    }

    /// How old it is, if it should be newer.
    pub(crate) fn age(&self, now: Instant) -> Option<Duration> {
        (!self.is_fresh(now)).then(|| now.saturating_duration_since(self.at))
    }
}

/// What the feed has sent.
#[derive(Default)]
struct Feed {
    system: System,
    has_universal: bool,
    channels: Vec<Channel>,
    peers: Vec<Peer>,
    sent: [Fed; FED.len()],
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
    pub(crate) fn look(&self, view: View, pbx: &dyn Pbx) -> Option<Seen<Arc<[u8]>>> {
        let Some(_looking) = self.looks.begin(view as usize) else { return self.known(view) };
        if let Some(seen) = self.known(view).filter(|seen| seen.is_fresh(Instant::now())) {
            return Some(seen);
        }
        let json: Arc<[u8]> = match view {
            View::Status => status(&pbx.system(), has_universal(pbx)),
            View::Modules => json(&Modules { modules: pbx.modules() }),
            View::Channels => json(&Channels { channels: &channels(pbx) }),
            View::Peers => json(&Peers { peers: &peers(pbx) }),
        };
        self.keep(view, &json);
        Some(Seen::now(json))
    }

    /// The same for the page without script.
    pub(crate) fn figures(&self, pbx: &dyn Pbx) -> Option<Seen<Arc<Figures>>> {
        let known = || lock(&self.inner).figures.clone();
        let Some(_looking) = self.looks.begin(FIGURES) else { return known() };
        if let Some(seen) = known().filter(|seen| seen.is_fresh(Instant::now())) {
            return Some(seen);
        }
        let seen = Seen::now(Arc::new(pages::figures(pbx)));
        lock(&self.inner).figures = Some(seen.clone());
        Some(seen)
    }

    fn keep(&self, view: View, json: &Arc<[u8]>) {
        lock(&self.inner).kept[view as usize] = Some(Seen::now(json.clone()));
    }

    /// Somebody follows after nobody did: what was seen before is old, and the feed looks at once.
    pub(crate) fn begin_following(&self) {
        let feed = &mut lock(&self.inner).feed;
        (feed.sent, feed.due) = (Default::default(), None);
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

    /// Looks at everything, for workers. What only grows with time is no change: pages count on by
    /// themselves.
    pub(crate) fn look_for_feed(&self, pbx: &dyn Pbx) {
        let _again = LookAgain(self);
        let Some(_looking) = self.looks.begin(FEED) else { return };
        let begun = Instant::now();
        let (system, has_universal) = (pbx.system(), has_universal(pbx));
        let (channels, peers) = (channels(pbx), peers(pbx));
        let json = [
            status(&system, has_universal),
            json(&Channels { channels: &channels }),
            json(&Peers { peers: &peers }),
        ];
        for (view, json) in FED.into_iter().zip(&json) {
            self.keep(view, json);
        }
        let (system, channels) = timeless(system, channels);
        let feed = &mut lock(&self.inner).feed;
        let is_new = feed.sent.iter().map(|fed| fed.version == 0);
        let has_changed = [
            (&feed.system, feed.has_universal) != (&system, has_universal),
            feed.channels != channels,
            feed.peers != peers,
        ];
        let changed: Vec<bool> = is_new.zip(has_changed).map(|(new, other)| new || other).collect();
        for ((fed, json), is_changed) in feed.sent.iter_mut().zip(json).zip(changed) {
            // Who begins to follow gets the newest, changed or not.
            *fed = Fed { version: fed.version + u64::from(is_changed), json };
        }
        (feed.system, feed.channels, feed.peers) = (system, channels, peers);
        feed.has_universal = has_universal;
        let pause = FEED_PERIOD.max(begun.elapsed() * FEED_SHARE);
        (feed.is_running, feed.due) = (false, Some(Instant::now() + pause));
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
fn timeless(mut system: System, mut channels: Vec<Channel>) -> (System, Vec<Channel>) {
    // A reload makes it smaller.
    let had_reload = system.since_reload < Duration::from_secs(2);
    system.uptime = Duration::ZERO;
    system.since_reload = if had_reload { Duration::from_secs(1) } else { Duration::ZERO };
    for channel in &mut channels {
        channel.duration = Duration::ZERO;
    }
    (system, channels)
}

/// As JSON. What is given here is text and numbers, which always can be.
pub(crate) fn json(value: &impl Serialize) -> Arc<[u8]> {
    serde_json::to_vec(value).unwrap_or_default().into()
}
