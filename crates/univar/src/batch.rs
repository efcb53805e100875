//! Commands to bytes and back, for one cache server.
//!
//! Pure: what is to be asked of one server goes in, [`Talk`] says what to send and takes what came,
//! [`Answer`]s come out. Each batch ends with the epoch marker, so that its misses can be judged:
//! memcached answers in order, hence content that was lost before a miss is a marker lost before
//! it was read. What the answers mean for an operation is `task`'s.

use std::time::{Duration, Instant};

use memcache_proto::{FlagBuf, Flags, Key, Request, Response, SetMode};

use crate::Name;
use crate::epoch::{EpochId, MARKER_KEY, Marker};
use crate::talk::{Heard, Talk, TalkError};

/// Most commands in one batch, so that neither side's buffers grow without bound.
pub(crate) const BATCH_COMMANDS_MAX: usize = 1000;

/// A batch is closed when it has this many bytes; one command may go over it.
pub(crate) const BATCH_BYTES: usize = 256 * 1024;

/// memcached reads a larger number of seconds as a date.
const RELATIVE_TTL_MAX_S: u64 = 30 * 24 * 60 * 60;

/// memcached keeps a date in 31 bits; what would end later never ends.
const DATE_MAX_S: u64 = i32::MAX as u64;

/// One command on one name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Command<'a> {
    pub(crate) name: &'a Name,
    pub(crate) verb: Verb<'a>,
}

/// What to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verb<'a> {
    /// Read the value alone.
    Read,
    /// Read the value, what is left of its life, and the number that guards a write.
    Look,
    /// Write.
    Write {
        data: &'a [u8],
        /// `None` is for ever.
        ttl: Option<Duration>,
        guard: Guard,
    },
    /// Remove the item.
    Remove { guard: Guard },
}

impl Verb<'_> {
    pub(crate) fn is_read(self) -> bool {
        matches!(self, Self::Read | Self::Look)
    }
}

/// What must hold for a write to happen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Guard {
    /// Nothing.
    Free,
    /// No item is there.
    Absent,
    /// The item is the one that was looked at.
    Cas(u64),
}

/// What came of a command.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum Reply {
    /// No answer, or one that says nothing (the server has no room, for one).
    #[default]
    Silence,
    /// What was read. Without [`Verb::Look`], the rest is 0 and `None`.
    Hit {
        data: Vec<u8>,
        cas: u64,
        /// Seconds; `None` is for ever.
        left_s: Option<u64>,
    },
    /// Nothing to read or to remove.
    Miss,
    /// Written or removed.
    Done,
    /// The guard did not hold.
    Conflict,
    /// The server takes no values of this size. memcached removes the old one then.
    TooLarge,
}

/// A reply, and what the marker behind it says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    /// A miss is certain.
    pub(crate) miss_counts: bool,
    /// This node has published what it holds for the server's present content.
    pub(crate) published: bool,
}

/// All that one server is asked in one round.
///
/// Commands are asked in order, so many at a time, and answered in order; a marker comes behind
/// them and judges them: `judged <= answers.len() <= asked <= commands.len()`.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    commands: Vec<Command<'a>>,
    asked: usize,
    answers: Vec<Answer>,
    judged: usize,
    marker: Option<Marker>,
    /// The epoch for which this node has published what it holds.
    known: Option<EpochId>,
    unix_now_s: u64,
    flags: FlagBuf,
    /// The first thing that the server said it could not do.
    complaint: Option<Box<[u8]>>,
}

impl<'a> Batch<'a> {
    /// A batch without commands. `unix_now_s` is for times to live that memcached would read as a
    /// date; `known` is the epoch that the last probe found.
    pub(crate) fn new(unix_now_s: u64, known: Option<EpochId>) -> Self {
        Self {
            commands: Vec::new(),
            asked: 0,
            answers: Vec::new(),
            judged: 0,
            marker: None,
            known,
            unix_now_s,
            flags: FlagBuf::new(),
            complaint: None,
        }
    }

    /// Adds a command; its answer stands at the same place in [`Batch::into_answers`].
    pub(crate) fn push(&mut self, command: Command<'a>) {
        self.commands.push(command);
    }

    /// What came, in the order of the commands.
    pub(crate) fn into_answers(mut self) -> Vec<Answer> {
        self.answers.resize_with(self.commands.len(), Answer::default);
        self.answers
    }

    /// The marker that was read last.
    pub(crate) fn marker(&self) -> Option<Marker> {
        self.marker
    }

    /// What the server said if it could not do what it was asked.
    pub(crate) fn complaint(&self) -> Option<&[u8]> {
        self.complaint.as_deref()
    }

    /// Appends the next command.
    fn encode_next(&mut self, out: &mut Vec<u8>) {
        let command = &self.commands[self.asked];
        let key =
            Key::new(command.name.as_bytes()).expect("a name keeps memcached's rules for keys");
        let flags = &mut self.flags;
        flags.clear();
        let request = match command.verb {
            Verb::Read => Request::Get { key, flags: Flags::VALUE },
            Verb::Look => {
                let flags = flags.flag(b'v').flag(b't').flag(b'c').as_flags();
                Request::Get { key, flags }
            }
            Verb::Write { data, ttl, guard } => {
                match guard {
                    Guard::Free => &mut *flags,
                    Guard::Absent => flags.mode(SetMode::Add),
                    Guard::Cas(cas) => flags.number(b'C', cas),
                };
                let flags = push_ttl(flags, ttl, self.unix_now_s).as_flags();
                Request::Set { key, flags, data }
            }
            Verb::Remove { guard: Guard::Cas(cas) } => {
                Request::Delete { key, flags: flags.number(b'C', cas).as_flags() }
            }
            Verb::Remove { .. } => Request::Delete { key, flags: Flags::NONE },
        };
        request.encode(out);
        self.asked += 1;
    }

    /// Takes the marker, which judges what came before it.
    fn judge(&mut self, marker: Marker) {
        let published = marker.id().is_some() && marker.id() == self.known;
        for answer in &mut self.answers[self.judged..] {
            answer.miss_counts = marker.a_miss_counts() || crate::switch_off::epoch();
            answer.published = published;
        }
        self.judged = self.answers.len();
        self.marker = Some(marker);
    }
}

impl Talk for Batch<'_> {
    fn ask(&mut self, out: &mut Vec<u8>) {
        let (start, before) = (out.len(), self.asked);
        while self.asked < self.commands.len()
            && self.asked - before < BATCH_COMMANDS_MAX
            && out.len() - start < BATCH_BYTES
        {
            self.encode_next(out);
        }
        if self.asked > before {
            ask_marker(out, false);
        }
    }

    fn hear(&mut self, buf: &[u8], _now: Instant) -> Result<(usize, Heard), TalkError> {
        let mut used = 0;
        while let Some((response, len)) = Response::decode(&buf[used..])? {
            used += len;
            if self.answers.len() == self.asked {
                self.judge(read_marker(&response)?.0);
                return Ok((used, Heard::Answered));
            }
            let verb = self.commands[self.answers.len()].verb;
            let reply = read_reply(verb, &response).ok_or_else(|| TalkError::of(&response))?;
            if let Response::ServerError(text) = response {
                self.complaint.get_or_insert_with(|| text.into());
            }
            self.answers.push(Answer { reply, ..Answer::default() });
        }
        Ok((used, Heard::More))
    }

    fn ask_again(&mut self) {
        self.asked = self.answers.len();
    }
}

/// Appends the question for the marker. Its key comes back with it: that proves that question
/// and answer are still in step.
pub(crate) fn ask_marker(out: &mut Vec<u8>, with_cas: bool) {
    out.extend_from_slice(b"mg ");
    out.extend_from_slice(MARKER_KEY);
    out.extend_from_slice(if with_cas { b" k v c\r\n" } else { b" k v\r\n" });
}

/// Reads the answer to [`ask_marker`]: the marker, and its CAS number if that was asked for.
pub(crate) fn read_marker(response: &Response<'_>) -> Result<(Marker, Option<u64>), TalkError> {
    match response {
        Response::Value { flags, data } if flags.token(b'k') == Some(MARKER_KEY) => {
            Ok((Marker::parse(data), flags.number(b'c')))
        }
        // Some releases of memcached say nothing but EN for a miss.
        Response::Miss { flags } if matches!(flags.token(b'k'), None | Some(MARKER_KEY)) => {
            Ok((Marker::Absent, None))
        }
        other => Err(TalkError::of(other)),
    }
}

/// `None`: no answer to this command.
fn read_reply(verb: Verb<'_>, response: &Response<'_>) -> Option<Reply> {
    Some(match (verb, response) {
        (_, Response::ServerError(text)) if text.starts_with(b"object too large") => {
            Reply::TooLarge
        }
        (_, Response::ServerError(_)) => Reply::Silence,
        (Verb::Read, Response::Value { data, .. }) => {
            Reply::Hit { data: data.to_vec(), cas: 0, left_s: None }
        }
        (Verb::Look, Response::Value { data, flags }) => {
            // -1 is for ever.
            Reply::Hit { data: data.to_vec(), cas: flags.number(b'c')?, left_s: flags.number(b't') }
        }
        (Verb::Read | Verb::Look, Response::Miss { .. })
        | (Verb::Remove { .. }, Response::NotFound { .. }) => Reply::Miss,
        (Verb::Write { .. } | Verb::Remove { .. }, Response::Done { .. }) => Reply::Done,
        (Verb::Write { guard: Guard::Absent, .. }, Response::NotStored { .. })
        | (
            Verb::Write { guard: Guard::Cas(_), .. },
            Response::Exists { .. } | Response::NotFound { .. },
        )
        | (Verb::Remove { guard: Guard::Cas(_) }, Response::Exists { .. }) => Reply::Conflict,
        _ => return None,
    })
}

/// Adds `T`, so that memcached does what was asked, though it knows only whole seconds, reads 0
/// as for ever, and a large number as a date.
fn push_ttl(flags: &mut FlagBuf, ttl: Option<Duration>, unix_now_s: u64) -> &mut FlagBuf {
    let Some(ttl) = ttl else { return flags };
    let seconds = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0));
    match seconds {
        0 => flags.text(b'T', b"-1").expect("a number has no blank in it"),
        1..=RELATIVE_TTL_MAX_S => flags.number(b'T', seconds),
        _ => match unix_now_s.saturating_add(seconds) {
            date @ ..=DATE_MAX_S => flags.number(b'T', date),
            _ => flags,
        },
    }
}

#[cfg(test)]
mod tests;
