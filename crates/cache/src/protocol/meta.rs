//! The meta commands: `mg`, `ms`, `md`, `ma`, `me`. Answers are memcached 1.6.18's, byte for byte;
//! flags that are newer (`E`, `x`, `C` with `mg`, `s` and `N` with `ms`) are as memcached documents
//! them today.

use memcache_proto::KEY_MAX_BYTES;

use super::meta_flags::{META_WORDS_MAX, MetaFlags, check_opaque, repeat, repeat_all};
use super::token::{Words, push_number, unsigned};
use super::update::{BAD_DATA, NO_MEMORY, NOT_NUMERIC, count_changed, count_stored};
use super::{BAD_LINE, DATA_END, Env, Flow, Session, base64, say};
use crate::clock::NEVER;
use crate::engine::{Changed, Delta, Held, Mark, Mode, NodeId, Outcome, Put};

/// A command's flags and key, or what to answer.
macro_rules! understand {
    ($words:expr, $env:expr, $buffer:ident, $out:expr, $too_many:expr, $bad_flag:expr) => {{
        if $words.count() < 2 {
            return say($out, "ERROR");
        }
        let understood = flags_and_key($words, $env, &mut $buffer, $too_many, $bad_flag);
        match understood {
            Ok(understood) => understood,
            Err(text) => return say($out, text),
        }
    }};
}

fn flags_and_key<'a>(
    words: &Words<'a>,
    env: Env<'_>,
    buffer: &'a mut [u8; 192],
    too_many: &'static str,
    bad_flag: Option<&'static str>,
) -> Result<(MetaFlags, &'a [u8]), &'static str> {
    let word = words.at(1);
    if word.len() > KEY_MAX_BYTES {
        return Err(BAD_LINE);
    }
    if words.count() > META_WORDS_MAX {
        return Err(too_many);
    }
    let said = |text| bad_flag.unwrap_or(text);
    let flags = MetaFlags::read(words, 2, env.now).map_err(said)?;
    let key = flags.key(word, buffer).map_err(said)?;
    check_opaque(words)?;
    Ok((flags, key))
}

const TOO_MANY_FOR_GET: &str = "CLIENT_ERROR options flags are too long";
const TOO_MANY: &str = "CLIENT_ERROR options flags too long";
const BAD_FLAG: &str = "CLIENT_ERROR invalid or duplicate flag";

pub(super) fn get(env: Env<'_>, words: &Words<'_>, out: &mut Vec<u8>) -> Flow {
    let mut buffer = [0; 192];
    let (flags, key) = understand!(words, env, buffer, out, TOO_MANY_FOR_GET, None);
    let mut held = env.shared.cache.hold(key, env.now);
    let found = held.find();
    let created = match (found, flags.vivify) {
        // Its life is set where `N` stands among the flags: a `t` before it sees none, as there.
        (None, Some(_)) => held.insert_empty(NEVER, flags.cas, flags.key_is_binary),
        _ => None,
    };
    let id = found.or(created);
    count_read(env, words, flags.expires.is_some(), id.is_some());
    let Some(id) = id else {
        if !flags.quiet {
            out.extend_from_slice(b"EN");
            repeat_all(words, key, flags.key_is_binary, out);
            out.extend_from_slice(b"\r\n");
        }
        return Flow::Done;
    };
    push_hit(env, &mut held, id, &flags, created.is_some(), words, out);
    if !flags.no_bump {
        held.read(id);
    }
    Flow::Done
}

/// memcached counts a hit with `T` as a touch, and a miss with it as a read.
fn count_read(env: Env<'_>, words: &Words<'_>, touch: bool, hit: bool) {
    let counters = env.counters;
    debug_assert!(words.count() >= 2, "the key has been looked for");
    match (hit, touch) {
        (true, true) => {
            counters.cmd_touch.count();
            counters.touch_hits.count();
        }
        (true, false) => {
            counters.cmd_get.count();
            counters.get_hits.count();
        }
        (false, _) => {
            counters.cmd_get.count();
            counters.get_misses.count();
        }
    }
}

fn push_hit(
    env: Env<'_>,
    held: &mut Held<'_>,
    id: NodeId,
    flags: &MetaFlags,
    created: bool,
    words: &Words<'_>,
    out: &mut Vec<u8>,
) {
    let with_value = flags.value && flags.compare != Some(held.node(id).cas);
    push_status(with_value.then(|| held.node(id).value_len()), out);
    let mut won = created;
    for word in words.from(2) {
        match word[0] {
            b'T' => held.set_expiry(id, flags.expires.unwrap_or(NEVER)),
            b'N' if created => held.set_expiry(id, flags.vivify.unwrap_or(NEVER)),
            b'R' => won |= wins_recache(held, id, flags, created),
            _ => push_asked(env, held, id, word, out),
        }
    }
    let node = held.node_mut(id);
    // Who is told that another has won does not win.
    if node.has(Mark::TokenSent) {
        out.extend_from_slice(b" Z");
    }
    if node.has(Mark::Stale) {
        out.extend_from_slice(b" X");
        won |= !node.has(Mark::TokenSent);
    }
    if won {
        out.extend_from_slice(b" W");
        node.mark(Mark::TokenSent);
    }
    out.extend_from_slice(b"\r\n");
    if with_value {
        out.extend_from_slice(node.value());
        out.extend_from_slice(b"\r\n");
    }
}

fn wins_recache(held: &Held<'_>, id: NodeId, flags: &MetaFlags, created: bool) -> bool {
    let node = held.node(id);
    let expires = node.expires();
    !node.has(Mark::TokenSent)
        && !created
        && expires != NEVER
        && flags.recache.is_some_and(|recache| expires < recache)
}

/// Appends what one flag asks for.
fn push_asked(env: Env<'_>, held: &Held<'_>, id: NodeId, word: &[u8], out: &mut Vec<u8>) {
    let node = held.node(id);
    let letter = word[0];
    let number = match letter {
        b's' => node.value_len() as u64,
        b'c' => node.cas,
        b'f' => u64::from(node.client_flags),
        b'l' => u64::from(env.now.second - node.used_at.min(env.now.second)),
        b'h' => u64::from(node.has(Mark::Fetched)),
        b't' if node.expires() == NEVER => {
            out.extend_from_slice(b" t-1");
            return;
        }
        b't' => u64::from(node.expires().saturating_sub(env.now.second)),
        _ => return repeat(word, node.key(), node.has(Mark::KeyIsBinary), out),
    };
    out.extend_from_slice(&[b' ', letter]);
    push_number(out, number);
}

fn push_status(value_len: Option<usize>, out: &mut Vec<u8>) {
    match value_len {
        Some(len) => {
            out.extend_from_slice(b"VA ");
            push_number(out, len as u64);
        }
        None => out.extend_from_slice(b"HD"),
    }
}

impl Session {
    pub(super) fn meta_set(
        &mut self,
        env: Env<'_>,
        words: &Words<'_>,
        after: &[u8],
        out: &mut Vec<u8>,
    ) -> Flow {
        if words.count() < 2 {
            say(out, "ERROR");
            return Flow::Close;
        }
        let len = unsigned(words.at(2)).filter(|_| words.count() > 2 && words.at(2)[0] != b'-');
        let Some(len) = len else {
            say(out, BAD_LINE);
            return Flow::Close;
        };
        let swallow = Flow::Swallow(len.saturating_add(DATA_END.len() as u64));
        let mut buffer = [0; 192];
        let (flags, key, mode) = match set_flags(words, env, &mut buffer) {
            Ok(understood) => understood,
            Err(text) => {
                say(out, text);
                return swallow;
            }
        };
        let value_len = usize::try_from(len).unwrap_or(usize::MAX);
        if !env.shared.cache.fits(key.len(), flags.client_flags, value_len) {
            env.counters.store_too_large.count();
            env.shared.cache.forget(key, env.now);
            say(out, "SERVER_ERROR object too large for cache");
            return swallow;
        }
        let whole = value_len + DATA_END.len();
        if after.len() < whole {
            if self.may_wait_for(env.shared, value_len) {
                return Flow::Need(whole);
            }
            env.counters.store_no_memory.count();
            env.shared.cache.forget(key, env.now);
            say(out, NO_MEMORY);
            return swallow;
        }
        self.end(env.shared);
        env.counters.cmd_set.count();
        if &after[value_len..whole] != DATA_END {
            say(out, BAD_DATA);
            return Flow::Close;
        }
        store(env, words, &flags, mode, key, &after[..value_len], out);
        Flow::DoneWith(whole)
    }
}

fn set_flags<'a>(
    words: &Words<'a>,
    env: Env<'_>,
    buffer: &'a mut [u8; 192],
) -> Result<(MetaFlags, &'a [u8], Mode), &'static str> {
    let word = words.at(1);
    if word.len() > KEY_MAX_BYTES {
        return Err(BAD_LINE);
    }
    if words.count() > META_WORDS_MAX {
        return Err(TOO_MANY);
    }
    let flags = MetaFlags::read(words, 3, env.now)?;
    let key = flags.key(word, buffer)?;
    check_opaque(words)?;
    let mode = match flags.mode {
        None | Some(b'S') => Mode::Set,
        Some(b'E') => Mode::Add,
        Some(b'A') => Mode::Append,
        Some(b'P') => Mode::Prepend,
        Some(b'R') => Mode::Replace,
        Some(_) => return Err("CLIENT_ERROR invalid mode for ms M token"),
    };
    let compares = flags.compare.is_some() && matches!(mode, Mode::Set | Mode::Replace);
    Ok((flags, key, if compares { Mode::Cas } else { mode }))
}

fn store(
    env: Env<'_>,
    words: &Words<'_>,
    flags: &MetaFlags,
    mode: Mode,
    key: &[u8],
    value: &[u8],
    out: &mut Vec<u8>,
) {
    let put = Put {
        key,
        value,
        mode,
        client_flags: flags.client_flags,
        expires: flags.expires.unwrap_or(NEVER),
        compare: flags.compare.unwrap_or(0),
        stale_will_do: flags.invalidate && mode == Mode::Cas,
        cas: flags.cas,
        key_is_binary: flags.key_is_binary,
        vivify: flags.vivify,
    };
    let stored = env.shared.cache.put(&put, env.now);
    count_stored(env, mode, stored);
    let (status, cas, len) = match stored {
        Outcome::Stored { .. } if flags.quiet => return,
        Outcome::Stored { cas, value_len } => (&b"HD"[..], cas, value_len),
        Outcome::Exists => (&b"EX"[..], 0, value.len()),
        Outcome::NotFound => (&b"NF"[..], 0, value.len()),
        Outcome::NotStored => (&b"NS"[..], 0, value.len()),
        Outcome::NoMemory => {
            env.shared.cache.forget(key, env.now);
            say(out, NO_MEMORY);
            return;
        }
    };
    out.extend_from_slice(status);
    for word in words.from(3) {
        match word[0] {
            b'c' => {
                out.extend_from_slice(b" c");
                push_number(out, cas);
            }
            b's' => {
                out.extend_from_slice(b" s");
                push_number(out, len as u64);
            }
            _ => repeat(word, key, flags.key_is_binary, out),
        }
    }
    out.extend_from_slice(b"\r\n");
}

pub(super) fn delete(env: Env<'_>, words: &Words<'_>, out: &mut Vec<u8>) -> Flow {
    let mut buffer = [0; 192];
    let (flags, key) = understand!(words, env, buffer, out, TOO_MANY, Some(BAD_FLAG));
    let mut held = env.shared.cache.hold(key, env.now);
    let status = match held.find() {
        None => {
            env.counters.delete_misses.count();
            b"NF"
        }
        Some(id) if flags.compare.is_some_and(|cas| cas != held.node(id).cas) => {
            env.counters.delete_misses.count();
            b"EX"
        }
        Some(id) => {
            if flags.remove_value {
                held.clear(id, flags.client_flags, flags.expires.unwrap_or(NEVER), flags.cas);
            }
            if flags.invalidate {
                invalidate(env, &mut held, id, &flags);
            } else {
                env.counters.delete_hits.count();
                if !flags.remove_value {
                    held.remove(id);
                }
            }
            if flags.quiet {
                return Flow::Done;
            }
            b"HD"
        }
    };
    out.extend_from_slice(status);
    repeat_all(words, key, flags.key_is_binary, out);
    out.extend_from_slice(b"\r\n");
    Flow::Done
}

/// Marks an item, so that one of those who read it next fetches a new value.
fn invalidate(env: Env<'_>, held: &mut Held<'_>, id: NodeId, flags: &MetaFlags) {
    if let Some(expires) = flags.expires {
        held.set_expiry(id, expires);
    }
    let cas = flags.cas.unwrap_or_else(|| env.shared.cache.next_cas());
    let node = held.node_mut(id);
    node.mark(Mark::Stale);
    node.unmark(Mark::TokenSent);
    node.cas = cas;
}

pub(super) fn arithmetic(env: Env<'_>, words: &Words<'_>, out: &mut Vec<u8>) -> Flow {
    let mut buffer = [0; 192];
    let (flags, key) = understand!(words, env, buffer, out, TOO_MANY, Some(BAD_FLAG));
    let up = match flags.mode {
        None | Some(b'I' | b'+') => true,
        Some(b'D' | b'-') => false,
        Some(_) => return say(out, "CLIENT_ERROR invalid mode for ma M token"),
    };
    let amount = flags.amount.unwrap_or(1);
    let delta = Delta { amount, up, compare: flags.compare.unwrap_or(0), cas: flags.cas };
    let mut held = env.shared.cache.hold(key, env.now);
    let changed = held.change(&delta);
    let (id, number, created) = match (changed, flags.vivify) {
        (Changed::To { id, number }, _) => (id, number, false),
        (Changed::NotFound, Some(_)) => {
            match held.insert_number(flags.initial, NEVER, flags.cas, flags.key_is_binary) {
                Some(id) => (id, flags.initial, true),
                None => return say(out, "SERVER_ERROR Out of memory allocating new item"),
            }
        }
        (Changed::NotFound | Changed::Exists, _) => {
            count_changed(env, up, changed);
            let status = if changed == Changed::Exists { b"EX" } else { b"NF" };
            out.extend_from_slice(status);
            repeat_all(words, key, flags.key_is_binary, out);
            out.extend_from_slice(b"\r\n");
            return Flow::Done;
        }
        (Changed::NotNumeric, _) => return say(out, NOT_NUMERIC),
        (Changed::NoMemory, _) => return say(out, "SERVER_ERROR out of memory"),
    };
    if !created {
        count_changed(env, up, changed);
    }
    // memcached answers what it had to create even if it was asked to be quiet.
    let keep = (flags.quiet && !created).then_some(out.len());
    push_number_reply(env, &mut held, id, number, created, &flags, words, key, out);
    if let Some(len) = keep {
        out.truncate(len);
    }
    Flow::Done
}

#[expect(clippy::too_many_arguments, reason = "it is the second half of one command")]
fn push_number_reply(
    env: Env<'_>,
    held: &mut Held<'_>,
    id: NodeId,
    number: u64,
    created: bool,
    flags: &MetaFlags,
    words: &Words<'_>,
    key: &[u8],
    out: &mut Vec<u8>,
) {
    let digits = number.to_string();
    push_status(flags.value.then_some(digits.len()), out);
    for word in words.from(2) {
        match word[0] {
            b'T' => held.set_expiry(id, flags.expires.unwrap_or(NEVER)),
            b'N' if created => held.set_expiry(id, flags.vivify.unwrap_or(NEVER)),
            b't' | b'c' => push_asked(env, held, id, word, out),
            _ => repeat(word, key, flags.key_is_binary, out),
        }
    }
    out.extend_from_slice(b"\r\n");
    if flags.value {
        out.extend_from_slice(digits.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// `me`: what is known of an item, for people.
pub(super) fn debug(env: Env<'_>, words: &Words<'_>, out: &mut Vec<u8>) -> Flow {
    let word = words.at(1);
    if words.count() < 2 || word.len() > KEY_MAX_BYTES {
        return say(out, BAD_LINE);
    }
    let mut buffer = [0; 192];
    let flags = MetaFlags { key_is_binary: words.at(2) == b"b", ..MetaFlags::default() };
    let Ok(key) = flags.key(word, &mut buffer) else { return say(out, BAD_LINE) };
    env.counters.cmd_meta.count();
    let mut held = env.shared.cache.hold(key, env.now);
    let Some(id) = held.find() else { return say(out, "EN") };
    let node = held.node(id);
    out.extend_from_slice(b"ME ");
    if node.has(Mark::KeyIsBinary) {
        base64::encode(node.key(), out);
    } else {
        out.extend_from_slice(node.key());
    }
    let left = match node.expires() {
        NEVER => -1,
        expires => i64::from(expires) - i64::from(env.now.second),
    };
    let text = format!(
        " exp={left} la={} cas={} fetch={} cls=1 size={}",
        env.now.second - node.used_at.min(env.now.second),
        node.cas,
        if node.has(Mark::Fetched) { "yes" } else { "no" },
        node.charge_bytes(),
    );
    say(out, &text)
}
