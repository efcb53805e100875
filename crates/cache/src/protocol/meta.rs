//! The meta commands: `mg`, `ms`, `md`, `ma`, `me`. Answers are memcached 1.6.18's, byte for byte;
//! flags that are newer (`E`, `x`, `C` with `mg`, `s` and `N` with `ms`) are as memcached documents
//! them today.

use memcache_proto::KEY_MAX_BYTES;

use super::meta_flags::{
    KEY_BUFFER, KeyBuffer, META_WORDS_MAX, MetaFlags, check_opaque, repeat, repeat_all,
};
use super::token::{Words, push_number, unsigned};
use super::update::{BAD_DATA, NO_MEMORY, NOT_NUMERIC, count_changed, count_stored};
use super::{BAD_LINE, DATA_END, Env, Flow, Session, base64, say};
use crate::clock::NEVER;
use crate::engine::{Changed, Delta, Held, Mark, Mode, NodeId, Outcome, Put};

/// A command that has been understood.
struct Meta<'a> {
    env: Env<'a>,
    words: &'a Words<'a>,
    flags: MetaFlags,
    key: &'a [u8],
}

/// What commands say, each in its own way.
struct Says {
    too_many: &'static str,
    /// Of any flag that cannot be read; if not, what is wrong with it.
    bad_flag: Option<&'static str>,
}

const GET_SAYS: Says = Says { too_many: "CLIENT_ERROR options flags are too long", bad_flag: None };
const SET_SAYS: Says = Says { too_many: "CLIENT_ERROR options flags too long", bad_flag: None };
const OTHERS_SAY: Says =
    Says { bad_flag: Some("CLIENT_ERROR invalid or duplicate flag"), ..SET_SAYS };

impl<'a> Meta<'a> {
    /// Reads the words from `flags_from` on as flags.
    fn understand(
        env: Env<'a>,
        words: &'a Words<'a>,
        flags_from: usize,
        says: &Says,
        buffer: &'a mut KeyBuffer,
    ) -> Result<Self, &'static str> {
        if words.count() < 2 {
            return Err("ERROR");
        }
        let word = words.at(1);
        if word.len() > KEY_MAX_BYTES {
            return Err(BAD_LINE);
        }
        if words.count() > META_WORDS_MAX {
            return Err(says.too_many);
        }
        let said = |text| says.bad_flag.unwrap_or(text);
        let flags = MetaFlags::read(words, flags_from, env.now).map_err(said)?;
        let key = flags.key(word, buffer).map_err(said)?;
        check_opaque(words)?;
        Ok(Self { env, words, flags, key })
    }

    /// The end of an answer that has no value: what the client wants to be told again.
    fn end_with_repeats(&self, out: &mut Vec<u8>) {
        repeat_all(self.words, self.key, self.flags.key_is_binary, out);
        out.extend_from_slice(b"\r\n");
    }
}

pub(super) fn get(env: Env<'_>, words: &Words<'_>, out: &mut Vec<u8>) -> Flow {
    match Meta::understand(env, words, 2, &GET_SAYS, &mut { KEY_BUFFER }) {
        Ok(meta) => meta.get(out),
        Err(text) => say(out, text),
    }
}

impl Meta<'_> {
    fn get(&self, out: &mut Vec<u8>) -> Flow {
        let (env, flags) = (self.env, &self.flags);
        let mut held = env.shared.cache.hold(self.key, env.now);
        let found = held.find();
        let created = match (found, flags.vivify) {
            // Its life is set where `N` stands among the flags: a `t` before it sees none, as there.
            (None, Some(_)) => held.insert_empty(NEVER, flags.cas, flags.key_is_binary),
            _ => None,
        };
        let id = found.or(created);
        count_read(env, flags.expires.is_some(), id.is_some());
        let Some(id) = id else {
            if !flags.quiet {
                out.extend_from_slice(b"EN");
                self.end_with_repeats(out);
            }
            return Flow::Done;
        };
        self.push_hit(&mut held, id, created.is_some(), out);
        if !flags.no_bump {
            held.read(id);
        }
        Flow::Done
    }

    fn push_hit(&self, held: &mut Held<'_>, id: NodeId, created: bool, out: &mut Vec<u8>) {
        let flags = &self.flags;
        let with_value = flags.value && flags.compare != Some(held.node(id).cas);
        push_status(with_value.then(|| held.node(id).value_len()), out);
        let mut won = created;
        for word in self.words.from(2) {
            match word[0] {
                b'T' => held.set_expiry(id, flags.expires.unwrap_or(NEVER)),
                b'N' if created => held.set_expiry(id, flags.vivify.unwrap_or(NEVER)),
                b'R' => won |= wins_recache(held, id, flags, created),
                _ => push_asked(self.env, held, id, word, out),
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
}

/// memcached counts a hit with `T` as a touch, and a miss with it as a read.
fn count_read(env: Env<'_>, touch: bool, hit: bool) {
    let counters = env.counters;
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
        let mut buffer = KEY_BUFFER;
        let meta = Meta::understand(env, words, 3, &SET_SAYS, &mut buffer);
        let (meta, mode) = match meta.and_then(|meta| meta.mode().map(|mode| (meta, mode))) {
            Ok(understood) => understood,
            Err(text) => {
                say(out, text);
                return swallow;
            }
        };
        let (flags, key) = (&meta.flags, meta.key);
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
            say(out, NO_MEMORY);
            return swallow;
        }
        self.end(env.shared);
        env.counters.cmd_set.count();
        if &after[value_len..whole] != DATA_END {
            say(out, BAD_DATA);
            return Flow::Close;
        }
        meta.store(mode, &after[..value_len], out);
        Flow::DoneWith(whole)
    }
}

impl Meta<'_> {
    /// How `ms` stores.
    fn mode(&self) -> Result<Mode, &'static str> {
        let compares = self.flags.compare.is_some();
        match self.flags.mode {
            None | Some(b'S' | b'R') if compares => Ok(Mode::Cas),
            None | Some(b'S') => Ok(Mode::Set),
            Some(b'E') => Ok(Mode::Add),
            Some(b'A') => Ok(Mode::Append),
            Some(b'P') => Ok(Mode::Prepend),
            Some(b'R') => Ok(Mode::Replace),
            Some(_) => Err("CLIENT_ERROR invalid mode for ms M token"),
        }
    }

    fn store(&self, mode: Mode, value: &[u8], out: &mut Vec<u8>) {
        let (env, flags) = (self.env, &self.flags);
        let put = Put {
            key: self.key,
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
            Outcome::Stored { cas, value_len } => (b"HD", cas, value_len),
            Outcome::Exists => (b"EX", 0, value.len()),
            Outcome::NotFound => (b"NF", 0, value.len()),
            Outcome::NotStored => (b"NS", 0, value.len()),
            // What was there stays, as with `set`.
            Outcome::NoMemory => {
                say(out, NO_MEMORY);
                return;
            }
        };
        out.extend_from_slice(status);
        for word in self.words.from(3) {
            match word[0] {
                b'c' => {
                    out.extend_from_slice(b" c");
                    push_number(out, cas);
                }
                b's' => {
                    out.extend_from_slice(b" s");
                    push_number(out, len as u64);
                }
                _ => repeat(word, self.key, flags.key_is_binary, out),
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

pub(super) fn delete(env: Env<'_>, words: &Words<'_>, out: &mut Vec<u8>) -> Flow {
    match Meta::understand(env, words, 2, &OTHERS_SAY, &mut { KEY_BUFFER }) {
        Ok(meta) => meta.delete(out),
        Err(text) => say(out, text),
    }
}

pub(super) fn arithmetic(env: Env<'_>, words: &Words<'_>, out: &mut Vec<u8>) -> Flow {
    match Meta::understand(env, words, 2, &OTHERS_SAY, &mut { KEY_BUFFER }) {
        Ok(meta) => meta.arithmetic(out),
        Err(text) => say(out, text),
    }
}

impl Meta<'_> {
    fn delete(&self, out: &mut Vec<u8>) -> Flow {
        let (env, flags) = (self.env, &self.flags);
        let mut held = env.shared.cache.hold(self.key, env.now);
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
                self.remove(&mut held, id);
                if flags.quiet {
                    return Flow::Done;
                }
                b"HD"
            }
        };
        out.extend_from_slice(status);
        self.end_with_repeats(out);
        Flow::Done
    }

    /// Removes the item, its value alone, or only the trust in it.
    fn remove(&self, held: &mut Held<'_>, id: NodeId) {
        let flags = &self.flags;
        if flags.remove_value {
            held.clear(id, flags.client_flags, flags.expires.unwrap_or(NEVER), flags.cas);
        }
        if flags.invalidate {
            self.invalidate(held, id);
            return;
        }
        self.env.counters.delete_hits.count();
        if !flags.remove_value {
            held.remove(id);
        }
    }

    /// Marks an item, so that one of those who read it next fetches a new value.
    fn invalidate(&self, held: &mut Held<'_>, id: NodeId) {
        if let Some(expires) = self.flags.expires {
            held.set_expiry(id, expires);
        }
        let cas = self.flags.cas.unwrap_or_else(|| self.env.shared.cache.next_cas());
        let node = held.node_mut(id);
        node.mark(Mark::Stale);
        node.unmark(Mark::TokenSent);
        node.cas = cas;
    }

    fn arithmetic(&self, out: &mut Vec<u8>) -> Flow {
        let (env, flags) = (self.env, &self.flags);
        let up = match flags.mode {
            None | Some(b'I' | b'+') => true,
            Some(b'D' | b'-') => false,
            Some(_) => return say(out, "CLIENT_ERROR invalid mode for ma M token"),
        };
        let delta = Delta {
            amount: flags.amount.unwrap_or(1),
            up,
            compare: flags.compare.unwrap_or(0),
            cas: flags.cas,
        };
        let mut held = env.shared.cache.hold(self.key, env.now);
        let changed = held.change(&delta);
        if changed == Changed::NotFound && flags.vivify.is_some() {
            return self.insert_number(&mut held, out);
        }
        count_changed(env, up, changed);
        match changed {
            Changed::To { id, number } => {
                let len = out.len();
                self.push_number_reply(&mut held, id, number, false, out);
                if flags.quiet {
                    out.truncate(len);
                }
            }
            Changed::NotFound | Changed::Exists => {
                let status = if changed == Changed::Exists { b"EX" } else { b"NF" };
                out.extend_from_slice(status);
                self.end_with_repeats(out);
            }
            Changed::NotNumeric => return say(out, NOT_NUMERIC),
            Changed::NoMemory => return say(out, "SERVER_ERROR out of memory"),
        }
        Flow::Done
    }

    /// What is made is answered even where no answer is wanted, as memcached does.
    fn insert_number(&self, held: &mut Held<'_>, out: &mut Vec<u8>) -> Flow {
        let flags = &self.flags;
        let id = held.insert_number(flags.initial, NEVER, flags.cas, flags.key_is_binary);
        let Some(id) = id else {
            return say(out, "SERVER_ERROR Out of memory allocating new item");
        };
        self.push_number_reply(held, id, flags.initial, true, out);
        Flow::Done
    }

    fn push_number_reply(
        &self,
        held: &mut Held<'_>,
        id: NodeId,
        number: u64,
        created: bool,
        out: &mut Vec<u8>,
    ) {
        let flags = &self.flags;
        let digits = number.to_string();
        push_status(flags.value.then_some(digits.len()), out);
        for word in self.words.from(2) {
            match word[0] {
                b'T' => held.set_expiry(id, flags.expires.unwrap_or(NEVER)),
                b'N' if created => held.set_expiry(id, flags.vivify.unwrap_or(NEVER)),
                b't' | b'c' => push_asked(self.env, held, id, word, out),
                _ => repeat(word, self.key, flags.key_is_binary, out),
            }
        }
        out.extend_from_slice(b"\r\n");
        if flags.value {
            out.extend_from_slice(digits.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// `me`: what is known of an item, for people.
pub(super) fn debug(env: Env<'_>, words: &Words<'_>, out: &mut Vec<u8>) -> Flow {
    let word = words.at(1);
    if words.count() < 2 || word.len() > KEY_MAX_BYTES {
        return say(out, BAD_LINE);
    }
    let mut buffer = KEY_BUFFER;
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
