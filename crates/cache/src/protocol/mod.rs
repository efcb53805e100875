//! memcached's protocols, without sockets: bytes in, answers out.
//!
//! [`Session`] is what one connection remembers between its commands. Classic commands that store
//! are in `update`, those that read in `get`, meta commands in `meta` and what they share in
//! `meta_flags`, all others in `admin`; `stats` has a file of its own outside.
//!
//! When framing is lost, because a storage command does not say how long its value is or the value
//! does not end where it said, the answer is memcached's and then the connection is closed:
//! memcached goes on and reads what is left of the value as commands.

mod admin;
pub(crate) mod base64;
mod dump;
mod get;
mod meta;
mod meta_flags;
mod token;
mod update;

use memcache_proto::LINE_MAX_BYTES;
use memchr::memchr;

use crate::clock::Now;
use crate::counters::Counters;
use crate::engine::Place;
use crate::stats::Shared;
use token::Words;

/// A line that reads several keys may be this long; every other only [`LINE_MAX_BYTES`].
/// memcached knows no limit.
const GET_LINE_MAX_BYTES: usize = 1024 * 1024;

/// Answers that may wait to be sent, before the next command or key is looked at. One answer may
/// be longer, by an item.
pub(crate) const ANSWERS_MAX_BYTES: usize = 256 * 1024;

/// Values up to this size are read without asking whether there is memory for them.
const SMALL_VALUE_BYTES: usize = 64 * 1024;

/// What a command works with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Env<'a> {
    pub(crate) shared: &'a Shared,
    /// The thread's own.
    pub(crate) counters: &'a Counters,
    pub(crate) now: Now,
}

/// What one connection remembers between its commands.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// Bytes of a refused value that are still to come.
    swallow: u64,
    /// Where to go on in a `get` whose answer became too long to wait.
    resume: Option<usize>,
    /// Where to go on in a list of all items.
    dump: Option<Place>,
    /// What is set aside of [`Shared::unfinished_bytes`].
    set_aside_bytes: usize,
}

/// Why [`Session::run`] came back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// More input is needed: so much in all, or as much as there is.
    More { need: usize },
    /// The answers are to be sent before there are more.
    Full,
    /// The answers are to be sent, and the connection closed.
    Close,
    /// The connection is for the change feed from now on, for keys that begin so.
    Watch { prefix: Vec<u8> },
}

/// What became of a line.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Flow {
    /// It is done.
    Done,
    /// It is done, with so many bytes behind it.
    DoneWith(usize),
    /// It needs so many bytes behind it.
    Need(usize),
    /// It is done, and so many bytes behind it are not to be read as commands.
    Swallow(u64),
    /// It is not done, and goes on when its answers have been sent.
    Paused,
    Close,
    Watch(Vec<u8>),
}

impl Session {
    /// Carries out commands from `input` and appends answers to `out`. Says how much of the input
    /// is done with; it is to be called again with the rest.
    pub(crate) fn run(&mut self, env: Env<'_>, input: &[u8], out: &mut Vec<u8>) -> (usize, Step) {
        let mut at = 0;
        loop {
            if out.len() >= ANSWERS_MAX_BYTES {
                return (at, Step::Full);
            }
            if self.dump.is_some() {
                self.go_on_dumping(env, out);
                continue;
            }
            let rest = &input[at..];
            if self.swallow > 0 {
                let bytes = self.swallow.min(rest.len() as u64);
                self.swallow -= bytes;
                at += bytes as usize;
                if self.swallow > 0 {
                    return (at, Step::More { need: 1 });
                }
                continue;
            }
            let end = memchr(b'\n', rest);
            if !may_be_command(&rest[..end.unwrap_or(rest.len())]) {
                return (at, Step::Close);
            }
            let Some(end) = end else { return (at, Step::More { need: rest.len() + 1 }) };
            let flow = self.line(env, command_text(&rest[..end]), &rest[end + 1..], out);
            at += end + 1;
            match flow {
                Flow::Done => {}
                Flow::DoneWith(bytes) => at += bytes,
                Flow::Swallow(bytes) => self.swallow = bytes,
                Flow::Need(bytes) => {
                    let need = end + 1 + bytes;
                    return (at - end - 1, Step::More { need });
                }
                Flow::Paused => return (at - end - 1, Step::Full),
                Flow::Close => return (at, Step::Close),
                Flow::Watch(prefix) => return (at, Step::Watch { prefix }),
            }
        }
    }

    /// Gives back what was set aside. To be called when the connection ends.
    pub(crate) fn end(&mut self, shared: &Shared) {
        shared.give_back(std::mem::take(&mut self.set_aside_bytes));
    }

    /// Whether a value of this size may be waited for. The memory for all those that are not
    /// complete is bounded.
    fn may_wait_for(&mut self, shared: &Shared, bytes: usize) -> bool {
        if bytes <= SMALL_VALUE_BYTES || self.set_aside_bytes >= bytes {
            return true;
        }
        let set_aside = shared.set_aside(bytes);
        if set_aside {
            self.set_aside_bytes = bytes;
        }
        set_aside
    }

    fn line(&mut self, env: Env<'_>, line: &[u8], after: &[u8], out: &mut Vec<u8>) -> Flow {
        let words = Words::split(line);
        match words.at(0) {
            [b'm', kind] => match kind {
                b'g' => meta::get(env, &words, out),
                b's' => self.meta_set(env, &words, after, out),
                b'd' => meta::delete(env, &words, out),
                b'a' => meta::arithmetic(env, &words, out),
                b'n' => say(out, "MN"),
                b'e' => meta::debug(env, &words, out),
                _ => say(out, "ERROR"),
            },
            b"get" | b"bget" => self.get(env, line, get::Kind::PLAIN, out),
            b"gets" => self.get(env, line, get::Kind::CAS, out),
            b"gat" => self.get(env, line, get::Kind::TOUCH, out),
            b"gats" => self.get(env, line, get::Kind::TOUCH_CAS, out),
            b"set" | b"add" | b"replace" | b"append" | b"prepend" | b"cas" => {
                self.update(env, &words, after, out)
            }
            b"delete" => update::delete(env, &words, out),
            b"incr" => update::arithmetic(env, &words, true, out),
            b"decr" => update::arithmetic(env, &words, false, out),
            b"touch" => update::touch(env, &words, out),
            _ => self.admin(env, &words, out),
        }
    }
}

/// The line without its end, up to the first NUL.
fn command_text(line: &[u8]) -> &[u8] {
    let line = match line {
        [text @ .., b'\r'] if !text.is_empty() => text,
        line => line,
    };
    memchr(0, line).map_or(line, |end| &line[..end])
}

/// Whether a line, or what has no line end yet, may be a command.
fn may_be_command(line: &[u8]) -> bool {
    /// The first byte of memcached's binary protocol, which is not spoken here.
    const BINARY: u8 = 0x80;
    if line.first() == Some(&BINARY) {
        return false;
    }
    if line.len() <= LINE_MAX_BYTES {
        return true;
    }
    let reads = [&b"get "[..], b"gets ", b"gat ", b"gats "];
    line.len() <= GET_LINE_MAX_BYTES && reads.iter().any(|word| line.starts_with(word))
}

/// Answers with a line.
fn say(out: &mut Vec<u8>, text: &str) -> Flow {
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
    Flow::Done
}

/// Answers with a line, unless no answer is wanted.
fn say_unless(noreply: bool, out: &mut Vec<u8>, text: &str) -> Flow {
    if noreply { Flow::Done } else { say(out, text) }
}

/// What memcached says of a line that it cannot read.
const BAD_LINE: &str = "CLIENT_ERROR bad command line format";

/// The bytes behind the announced length of a value.
const DATA_END: &[u8] = b"\r\n";

#[cfg(test)]
mod tests;
