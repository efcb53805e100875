//! Server-sent events: the feed, the log, and a command's output.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use httpd::{Answer, Context, Next, StreamKey};
use serde::Serialize;

use crate::console::{Console, ConsoleError, RunState};
use crate::desk::{Asked, Desk};
use crate::livelog::Line;
use crate::reply;
use crate::users::{Role, User};
use crate::views::{self, FED, LATE_AFTER};
use crate::who::{Identity, OfSession};

/// So often at least a stream says something, so that both ends notice when the other is gone.
const PING_EVERY: Duration = Duration::from_secs(15);
/// What one user may follow at once: fewer than there are streams ([`httpd::Limits`]), so that
/// nobody has them all.
pub(crate) const STREAMS_PER_USER: usize = 16;
/// How many lines of the log go into one event.
const LINES_AN_EVENT: usize = 100;
/// How much of a command's output goes into one event.
const OUTPUT_AN_EVENT_BYTES: usize = 32 * 1024;
/// With how much nothing is added to what is sent at once. The last piece may go past it, also in
/// JSON, and all of it stays below what a stream may hold ([`httpd::Limits`]).
const TEXT_MAX_BYTES: usize = 32 * 1024;
/// How many lines somebody who begins to follow the log sees of what was before.
const LINES_BEFORE: u64 = 200;

/// Somebody who follows something.
pub(crate) struct Follow {
    who: Identity,
    from: IpAddr,
    what: What,
    /// When to say that we are here.
    ping_at: Instant,
}

enum What {
    /// By version.
    Feed { seen: [u64; FED.len()], is_late: bool },
    /// By the next line's number.
    Log(u64),
    /// By command: how much of its output was sent, and how it was said to be.
    Console(HashMap<u64, (usize, RunState)>),
    /// By how much of it was sent.
    Command { id: u64, sent: usize, is_over: bool },
}

#[derive(Serialize)]
struct Lines<'a> {
    lines: Vec<&'a Line>,
    missed: u64,
}

#[derive(Serialize)]
struct Output<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    text: &'a str,
}

/// For how long Asterisk has not answered; nothing if it does.
#[derive(Serialize)]
struct Late {
    seconds: Option<u64>,
}

impl Desk {
    /// Whether that user may follow something else.
    pub(crate) fn has_room(&self, user: &str) -> bool {
        let theirs = self.follows.values().filter(|follow| follow.who.user == user);
        theirs.count() < STREAMS_PER_USER
    }

    pub(crate) fn follow_feed(&mut self, context: &mut Context<'_>, asked: Asked<'_>) -> Answer {
        if self.feeders == 0 {
            self.shared.views.begin_following();
        }
        self.feeders += 1;
        // At once, and not with the next look: that may be half a second away.
        self.tick_feed(context);
        self.follow(context, asked, What::Feed { seen: [0; FED.len()], is_late: false })
    }

    pub(crate) fn follow_log(&mut self, context: &mut Context<'_>, asked: Asked<'_>) -> Answer {
        let settings = self.shared.settings();
        let socket = self.shared.pbx.control_socket();
        let from = last_event(&asked)
            .map_or(self.log.next_seq().saturating_sub(LINES_BEFORE), |last| {
                last.saturating_add(1)
            });
        self.log.follow(context, &socket, settings.verbose);
        self.follow(context, asked, What::Log(from.min(self.log.next_seq())))
    }

    pub(crate) fn follow_console(&mut self, context: &mut Context<'_>, asked: Asked<'_>) -> Answer {
        self.follow(context, asked, What::Console(HashMap::new()))
    }

    pub(crate) fn follow_command(
        &mut self,
        context: &mut Context<'_>,
        asked: Asked<'_>,
        id: u64,
    ) -> Answer {
        if self.console.view(id, context.now()).is_none() {
            return Answer::Now(reply::refusal(404, &ConsoleError::Unknown.to_string()));
        }
        let sent = last_event(&asked).and_then(|sent| usize::try_from(sent).ok()).unwrap_or(0);
        self.follow(context, asked, What::Command { id, sent, is_over: false })
    }

    fn follow(&mut self, context: &Context<'_>, asked: Asked<'_>, what: What) -> Answer {
        self.last_key += 1;
        let key = StreamKey(self.last_key);
        let ping_at = context.now() + PING_EVERY;
        let (who, from) = (asked.who, asked.peer.remote.ip());
        self.follows.insert(key, Follow { who, from, what, ping_at });
        Answer::Stream(reply::events(), key)
    }

    pub(crate) fn unfollow(&mut self, context: &Context<'_>, key: StreamKey) {
        match self.follows.remove(&key).map(|follow| follow.what) {
            Some(What::Feed { .. }) => self.feeders = self.feeders.saturating_sub(1),
            Some(What::Log(_)) => self.log.unfollow(context),
            Some(What::Console(_) | What::Command { .. }) | None => {}
        }
    }

    /// What follows in a stream.
    pub(crate) fn next_events(&mut self, context: &mut Context<'_>, key: StreamKey) -> Next {
        let Some(mut follow) = self.follows.remove(&key) else { return Next::End };
        let next = if self.may_still(&follow, context.now()) {
            self.events(context, &mut follow)
        } else {
            Next::End
        };
        // Put back in any case: `stream_over` takes it out.
        self.follows.insert(key, follow);
        next
    }

    /// Whether they have not been logged out since, or changed in the configuration.
    fn may_still(&self, follow: &Follow, now: Instant) -> bool {
        let who = &follow.who;
        if !self.shared.admits(follow.from) {
            return false;
        }
        let settings = self.shared.settings();
        let is_same = |user: &User| user.role == who.role && user.hash == who.hash;
        // Looked at every few seconds: a page that was left open is to become idle nevertheless, but for a viewer's,
        // which can only look: a screen on a wall does nothing else.
        let is_in = |session: &OfSession| match who.role {
            Role::Viewer => self.shared.sessions().find(&session.token, now).is_some(),
            Role::Admin => self.shared.sessions().is_on(&session.token, now),
        };
        settings.users.get(&who.user).is_some_and(is_same) && who.session.as_ref().is_none_or(is_in)
    }

    fn events(&mut self, context: &mut Context<'_>, follow: &mut Follow) -> Next {
        let now = context.now();
        let mut text = String::new();
        match &mut follow.what {
            What::Feed { seen, is_late } => {
                self.feed_events(seen, &mut text);
                self.late_event(is_late, now, &mut text);
            }
            What::Log(next) => self.log_events(next, &mut text),
            What::Console(told) => console_events(&self.console, told, now, &mut text),
            What::Command { is_over: true, .. } => return Next::End,
            What::Command { id, sent, is_over } => {
                *is_over = self.command_events(*id, sent, now, &mut text);
            }
        }
        if text.is_empty() && now >= follow.ping_at {
            text.push_str(": still here\n\n");
        }
        if text.is_empty() {
            return Next::Wait(follow.ping_at.min(now + LATE_AFTER));
        }
        follow.ping_at = now + PING_EVERY;
        Next::Data(text.into_bytes())
    }

    fn feed_events(&self, seen: &mut [u64; FED.len()], text: &mut String) {
        for ((view, fed), seen) in FED.into_iter().zip(self.shared.views.fed()).zip(seen) {
            if fed.version != *seen {
                *seen = fed.version;
                event(text, view.event(), None, &fed.json);
            }
        }
    }

    /// Tells it when what was told before is old, for Asterisk does not answer, and when it is not any more.
    fn late_event(&self, was_late: &mut bool, now: Instant, text: &mut String) {
        let late = self.shared.views.late(now);
        if late.is_some() != *was_late {
            *was_late = late.is_some();
            event(
                text,
                "late",
                None,
                &views::json(&Late { seconds: late.map(|late| late.as_secs()) }),
            );
        }
    }

    fn log_events(&self, next: &mut u64, text: &mut String) {
        let (lines, missed) = self.log.since(*next, LINES_AN_EVENT);
        let lines: Vec<_> = lines.collect();
        if let Some(last) = lines.last() {
            *next = last.seq + 1;
            event(text, "lines", Some(last.seq), &views::json(&Lines { lines, missed }));
        }
    }

    /// Says whether that was all.
    fn command_events(&self, id: u64, sent: &mut usize, now: Instant, text: &mut String) -> bool {
        let Some((output, is_running)) = self.console.output(id, *sent) else { return true };
        let piece = &output[..output.floor_char_boundary(OUTPUT_AN_EVENT_BYTES)];
        if !piece.is_empty() {
            *sent += piece.len();
            event(
                text,
                "output",
                Some(*sent as u64),
                &views::json(&Output { id: None, text: piece }),
            );
        }
        let is_over = !is_running && piece.len() == output.len();
        if is_over && let Some(view) = self.console.view(id, now) {
            event(text, "done", None, &views::json(&view));
        }
        is_over
    }

    /// Looks at the PBX while somebody follows; returns when to look again.
    pub(crate) fn tick_feed(&mut self, context: &Context<'_>) -> Option<Instant> {
        if self.feeders == 0 {
            return None;
        }
        let now = context.now();
        if self.shared.views.begin_feed(now) {
            let (shared, waker) = (self.shared.clone(), context.waker());
            let looked = context.submit(move || {
                // Woken in any case: only then is it asked when to look next.
                shared.views.look_for_feed(&*shared.pbx);
                waker.wake();
            });
            if looked.is_err() {
                self.shared.views.put_off_feed(now);
            }
        }
        Some(self.shared.views.feed_due(now))
    }

    /// Tries to get the log again, if it broke; returns when to try next.
    pub(crate) fn tick_log(&mut self, context: &mut Context<'_>) -> Option<Instant> {
        let socket = self.shared.pbx.control_socket();
        let verbose = self.shared.settings().verbose;
        self.log.tick(context, &socket, verbose);
        self.log.deadline()
    }
}

/// Commands that are new or changed, and what they print: a piece of each at a time.
fn console_events(
    console: &Console,
    told: &mut HashMap<u64, (usize, RunState)>,
    now: Instant,
    text: &mut String,
) {
    let tell = |id: u64, text: &mut String| {
        if let Some(view) = console.view(id, now) {
            event(text, "command", None, &views::json(&view));
        }
    };
    for (id, state) in console.states() {
        // The others are told of the next time.
        if text.len() >= TEXT_MAX_BYTES {
            break;
        }
        let (sent, was) = told.entry(id).or_insert_with(|| {
            tell(id, text);
            (0, state)
        });
        let (output, _) = console.output(id, *sent).unwrap_or_default();
        let piece = &output[..output.floor_char_boundary(OUTPUT_AN_EVENT_BYTES)];
        if !piece.is_empty() {
            *sent += piece.len();
            event(text, "output", None, &views::json(&Output { id: Some(id), text: piece }));
        }
        if *was != state && piece.len() == output.len() {
            *was = state;
            tell(id, text);
        }
    }
    // Those that are forgotten.
    told.retain(|id, _| console.states().any(|(is, _)| is == *id));
}

/// What a browser that lost the connection had last.
fn last_event(asked: &Asked<'_>) -> Option<u64> {
    str::from_utf8(asked.request.headers.only("last-event-id")?).ok()?.parse().ok()
}

/// Appends an event. JSON has no line ends in it.
fn event(text: &mut String, name: &str, id: Option<u64>, json: &[u8]) {
    let _ = writeln!(text, "event: {name}");
    if let Some(id) = id {
        let _ = writeln!(text, "id: {id}");
    }
    let _ = write!(text, "data: {}\n\n", String::from_utf8_lossy(json));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::{ENDED_MAX, OUTPUT_MAX_BYTES};

    #[test]
    fn output_of_many_commands_comes_in_pieces_that_are_bounded() {
        let now = Instant::now();
        let console = Console::of_ended(ENDED_MAX, now);
        let (mut told, mut all, mut text) = (HashMap::new(), 0, String::new());
        loop {
            text.clear();
            console_events(&console, &mut told, now, &mut text);
            if text.is_empty() {
                break;
            }
            let most = httpd::Limits::default().stream_bytes;
            assert!(text.len() < most, "{} bytes at once", text.len());
            all += text.matches('x').count();
        }
        assert!(all >= ENDED_MAX * OUTPUT_MAX_BYTES, "nothing is left out: {all}");
        assert_eq!(told.len(), ENDED_MAX);
    }
}
