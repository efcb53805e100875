//! The classic commands that change: `set` and its kin, `delete`, `incr`, `decr`, `touch`.

use memcache_proto::KEY_MAX_BYTES;

use super::token::{Words, signed, unsigned, unsigned_32};
use super::{BAD_LINE, DATA_END, Env, Flow, Session, say, say_unless};
use crate::engine::{Changed, Delta, Mode, Outcome, Put};

/// A storage command's line.
#[derive(Clone, Copy, Debug)]
struct Update<'a> {
    key: &'a [u8],
    client_flags: u32,
    exptime: i64,
    /// memcached cuts it to 32 bits; here what is too long is too large.
    value_len: u64,
    compare: u64,
}

impl<'a> Update<'a> {
    fn read(words: &Words<'a>, with_cas: bool) -> Option<Self> {
        Some(Self {
            key: words.at(1),
            client_flags: unsigned_32(words.at(2))?,
            exptime: signed(words.at(3))?,
            value_len: u64::try_from(signed(words.at(4))?).ok()?,
            compare: if with_cas { unsigned(words.at(5))? } else { 0 },
        })
    }
}

impl Session {
    pub(super) fn update(
        &mut self,
        env: Env<'_>,
        words: &Words<'_>,
        after: &[u8],
        out: &mut Vec<u8>,
    ) -> Flow {
        let mode = match words.at(0) {
            b"set" => Mode::Set,
            b"add" => Mode::Add,
            b"replace" => Mode::Replace,
            b"append" => Mode::Append,
            b"prepend" => Mode::Prepend,
            _ => Mode::Cas,
        };
        let with_cas = mode == Mode::Cas;
        let least = if with_cas { 6 } else { 5 };
        if !(least..=least + 1).contains(&words.count()) {
            say(out, "ERROR");
            return Flow::Close;
        }
        let noreply = words.noreply();
        let Some(update) = Update::read(words, with_cas) else {
            say_unless(noreply, out, BAD_LINE);
            return Flow::Close;
        };
        let swallow = Flow::Swallow(update.value_len.saturating_add(DATA_END.len() as u64));
        if update.key.len() > KEY_MAX_BYTES {
            say_unless(noreply, out, BAD_LINE);
            return swallow;
        }
        let value_len = usize::try_from(update.value_len).unwrap_or(usize::MAX);
        if !env.shared.cache.fits(update.key.len(), update.client_flags, value_len) {
            env.counters.store_too_large.count();
            forget_if_set(env, mode, update.key);
            say_unless(noreply, out, "SERVER_ERROR object too large for cache");
            return swallow;
        }
        let whole = value_len + DATA_END.len();
        if after.len() < whole {
            if self.may_wait_for(env.shared, value_len) {
                return Flow::Need(whole);
            }
            env.counters.store_no_memory.count();
            say_unless(noreply, out, NO_MEMORY);
            return swallow;
        }
        self.end(env.shared);
        env.counters.cmd_set.count();
        if &after[value_len..whole] != DATA_END {
            say_unless(noreply, out, BAD_DATA);
            return Flow::Close;
        }
        let stored = store(env, &update, mode, &after[..value_len]);
        say_unless(noreply, out, stored);
        Flow::DoneWith(whole)
    }
}

pub(super) const NO_MEMORY: &str = "SERVER_ERROR out of memory storing object";
pub(super) const BAD_DATA: &str = "CLIENT_ERROR bad data chunk";

/// Whoever was refused a `set` for its size must not go on reading what it wanted to replace: it
/// would be refused again. What is refused for want of memory, though, leaves what is there: that
/// was acknowledged, and may fit another time. (memcached deletes it in both cases.)
fn forget_if_set(env: Env<'_>, mode: Mode, key: &[u8]) {
    if mode == Mode::Set {
        env.shared.cache.forget(key, env.now);
    }
}

fn store(env: Env<'_>, update: &Update<'_>, mode: Mode, value: &[u8]) -> &'static str {
    let put = Put {
        key: update.key,
        value,
        mode,
        client_flags: update.client_flags,
        expires: env.now.expiry(update.exptime),
        compare: update.compare,
        stale_will_do: false,
        cas: None,
        key_is_binary: false,
        vivify: None,
    };
    let stored = env.shared.cache.put(&put, env.now);
    count_stored(env, mode, stored);
    match stored {
        Outcome::Stored { .. } => "STORED",
        Outcome::Exists => "EXISTS",
        Outcome::NotFound => "NOT_FOUND",
        Outcome::NotStored => "NOT_STORED",
        Outcome::NoMemory => NO_MEMORY,
    }
}

pub(super) fn count_stored(env: Env<'_>, mode: Mode, stored: Outcome) {
    match (mode, stored) {
        (_, Outcome::NoMemory) => env.counters.store_no_memory.count(),
        (Mode::Cas, Outcome::Stored { .. }) => env.counters.cas_hits.count(),
        (Mode::Cas, Outcome::Exists) => env.counters.cas_badval.count(),
        (Mode::Cas, Outcome::NotFound) => env.counters.cas_misses.count(),
        _ => {}
    }
}

pub(super) fn delete(env: Env<'_>, words: &Words<'_>, out: &mut Vec<u8>) -> Flow {
    if !(2..=4).contains(&words.count()) {
        return say(out, "ERROR");
    }
    // Old clients send a time that had a meaning once; only 0 is allowed.
    let noreply = words.count() > 2 && words.noreply();
    let zero = words.at(2) == b"0";
    let valid = match words.count() {
        2 => true,
        3 => zero || noreply,
        _ => zero && noreply,
    };
    if !valid {
        const USAGE: &str = "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]";
        return say_unless(noreply, out, USAGE);
    }
    let key = words.at(1);
    if key.len() > KEY_MAX_BYTES {
        return say_unless(noreply, out, BAD_LINE);
    }
    let mut held = env.shared.cache.hold(key, env.now);
    if let Some(id) = held.find() {
        held.remove(id);
        env.counters.delete_hits.count();
        say_unless(noreply, out, "DELETED")
    } else {
        env.counters.delete_misses.count();
        say_unless(noreply, out, "NOT_FOUND")
    }
}

pub(super) fn arithmetic(env: Env<'_>, words: &Words<'_>, up: bool, out: &mut Vec<u8>) -> Flow {
    if !(3..=4).contains(&words.count()) {
        return say(out, "ERROR");
    }
    let noreply = words.noreply();
    let key = words.at(1);
    if key.len() > KEY_MAX_BYTES {
        return say_unless(noreply, out, BAD_LINE);
    }
    let Some(amount) = unsigned(words.at(2)) else {
        return say_unless(noreply, out, "CLIENT_ERROR invalid numeric delta argument");
    };
    let delta = Delta { amount, up, compare: 0, cas: None };
    let changed = env.shared.cache.hold(key, env.now).change(&delta);
    count_changed(env, up, changed);
    match changed {
        Changed::To { number, .. } => say_unless(noreply, out, &number.to_string()),
        Changed::NotFound | Changed::Exists => say_unless(noreply, out, "NOT_FOUND"),
        Changed::NotNumeric => say_unless(noreply, out, NOT_NUMERIC),
        Changed::NoMemory => say_unless(noreply, out, "SERVER_ERROR out of memory"),
    }
}

pub(super) const NOT_NUMERIC: &str = "CLIENT_ERROR cannot increment or decrement non-numeric value";

pub(super) fn count_changed(env: Env<'_>, up: bool, changed: Changed) {
    let counters = env.counters;
    match (changed, up) {
        (Changed::To { .. }, true) => counters.incr_hits.count(),
        (Changed::To { .. }, false) => counters.decr_hits.count(),
        (Changed::NotFound, true) => counters.incr_misses.count(),
        (Changed::NotFound, false) => counters.decr_misses.count(),
        _ => {}
    }
}

pub(super) fn touch(env: Env<'_>, words: &Words<'_>, out: &mut Vec<u8>) -> Flow {
    if !(3..=4).contains(&words.count()) {
        return say(out, "ERROR");
    }
    let noreply = words.noreply();
    let key = words.at(1);
    if key.len() > KEY_MAX_BYTES {
        return say_unless(noreply, out, BAD_LINE);
    }
    let Some(exptime) = signed(words.at(2)) else {
        return say_unless(noreply, out, "CLIENT_ERROR invalid exptime argument");
    };
    env.counters.cmd_touch.count();
    let mut held = env.shared.cache.hold(key, env.now);
    if let Some(id) = held.find() {
        held.set_expiry(id, env.now.expiry(exptime));
        held.read(id);
        env.counters.touch_hits.count();
        say_unless(noreply, out, "TOUCHED")
    } else {
        env.counters.touch_misses.count();
        say_unless(noreply, out, "NOT_FOUND")
    }
}
