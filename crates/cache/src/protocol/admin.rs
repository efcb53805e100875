//! The commands for operators, and what is left: `stats`, `flush_all`, `lru_crawler`, `watch`,
//! `version`, `quit` and their kin.

use super::token::{Words, signed, unsigned, unsigned_32};
use super::{BAD_LINE, Env, Flow, Session, dump, say, say_unless};
use crate::clock::PAST;

/// Slab classes that memcached could have; all items here are in class 1.
const CLASSES_END: u32 = 64;

impl Session {
    pub(super) fn admin(&mut self, env: Env<'_>, words: &Words<'_>, out: &mut Vec<u8>) -> Flow {
        match words.at(0) {
            b"version" => say(out, &format!("VERSION {}", crate::VERSION)),
            b"quit" => Flow::Close,
            b"stats" => stats(env, words, out),
            b"flush_all" => flush_all(env, words, out),
            b"verbosity" => verbosity(words, out),
            b"lru_crawler" => self.lru_crawler(words, out),
            b"watch" => watch(words, out),
            b"cache_memlimit" => memory_limit(env, words, out),
            b"shutdown" => say(out, "ERROR: shutdown not enabled"),
            b"slabs" if words.count() == 4 && words.at(1) == b"reassign" => {
                say(out, "CLIENT_ERROR slab reassignment disabled")
            }
            // Whoever speaks HTTP is a browser that was led astray.
            _ if words.from(0).last().is_some_and(|word| word.starts_with(b"HTTP/")) => Flow::Close,
            _ => say(out, "ERROR"),
        }
    }

    /// What has ended is taken out within a second, so there is nothing to crawl for; but lists
    /// are given.
    fn lru_crawler(&mut self, words: &Words<'_>, out: &mut Vec<u8>) -> Flow {
        match (words.count(), words.at(1)) {
            (2, b"enable" | b"disable") => say(out, "OK"),
            (3, b"crawl") => match class_list(words.at(2)) {
                None => say(out, "BADCLASS invalid class id"),
                Some(_) => say(out, "OK"),
            },
            (3, b"metadump") => match class_list(words.at(2)) {
                None => say(out, "BADCLASS invalid class id"),
                Some(true) => {
                    self.start_dumping();
                    Flow::Done
                }
                Some(false) => say(out, "NOTSTARTED no items to crawl"),
            },
            (3, b"tocrawl") if unsigned_32(words.at(2)).is_none() => say(out, BAD_LINE),
            (3, b"tocrawl") => say(out, "OK"),
            (3, b"sleep") => match unsigned_32(words.at(2)) {
                None => say(out, BAD_LINE),
                Some(1_000_001..) => say(out, "CLIENT_ERROR sleep must be one second or less"),
                Some(_) => say(out, "OK"),
            },
            _ => say(out, "ERROR"),
        }
    }
}

/// Whether our one class is among those listed; `None` if one of them cannot be.
fn class_list(text: &[u8]) -> Option<bool> {
    if text == b"all" || text == b"hash" {
        return Some(true);
    }
    let mut ours = false;
    for class in text.split(|&byte| byte == b',').filter(|class| !class.is_empty()) {
        let class = unsigned_32(class).filter(|class| (1..CLASSES_END).contains(class))?;
        ours |= class == 1;
    }
    Some(ours)
}

fn stats(env: Env<'_>, words: &Words<'_>, out: &mut Vec<u8>) -> Flow {
    let stats = env.shared;
    match words.at(1) {
        b"" => stats.push_general(env.now, out),
        b"reset" => {
            stats.reset();
            return say(out, "RESET");
        }
        b"settings" => stats.push_settings(out),
        b"items" => stats.push_items(out),
        b"slabs" => stats.push_slabs(out),
        b"sizes" => out.extend_from_slice(b"STAT sizes_status disabled\r\n"),
        b"conns" => {}
        b"cachedump" => return cachedump(env, words, out),
        _ => return say(out, "ERROR"),
    }
    say(out, "END")
}

fn cachedump(env: Env<'_>, words: &Words<'_>, out: &mut Vec<u8>) -> Flow {
    if words.count() < 4 {
        return say(out, "CLIENT_ERROR bad command line");
    }
    match (unsigned_32(words.at(2)), unsigned_32(words.at(3))) {
        (Some(CLASSES_END..), Some(_)) => say(out, "CLIENT_ERROR Illegal slab id"),
        (Some(1), Some(limit)) => {
            dump::push_cachedump(env, u64::from(limit), out);
            Flow::Done
        }
        (Some(_), Some(_)) => say(out, "END"),
        _ => say(out, BAD_LINE),
    }
}

fn flush_all(env: Env<'_>, words: &Words<'_>, out: &mut Vec<u8>) -> Flow {
    if words.count() > 3 {
        return say(out, "ERROR");
    }
    let noreply = words.noreply();
    env.counters.cmd_flush.count();
    let mut exptime = 0;
    if words.count() != if noreply { 2 } else { 1 } {
        match signed(words.at(1)) {
            Some(given) => exptime = given,
            None => {
                return say_unless(noreply, out, "CLIENT_ERROR invalid exptime argument");
            }
        }
    }
    let second = env.now.expiry(exptime.max(0));
    if second <= env.now.second.max(PAST) {
        env.shared.drop_later(env.shared.cache.flush());
    } else {
        env.shared.cache.flush_at(second);
    }
    say_unless(noreply, out, "OK")
}

/// There is no log to be more verbose in.
fn verbosity(words: &Words<'_>, out: &mut Vec<u8>) -> Flow {
    let noreply = words.noreply();
    match words.count() {
        2..=3 if unsigned(words.at(1)).is_some() => say_unless(noreply, out, "OK"),
        2..=3 => say_unless(noreply, out, BAD_LINE),
        _ => say(out, "ERROR"),
    }
}

fn memory_limit(env: Env<'_>, words: &Words<'_>, out: &mut Vec<u8>) -> Flow {
    const MEGABYTE: usize = 1024 * 1024;
    if !(2..=3).contains(&words.count()) {
        return say(out, "ERROR");
    }
    let noreply = words.noreply();
    let text = match unsigned_32(words.at(1)) {
        None => "ERROR",
        Some(..8) => "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m",
        Some(1_000_000_001..) => "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes",
        Some(megabytes) => {
            env.shared.set_memory_limit(MEGABYTE.saturating_mul(megabytes as usize));
            "OK"
        }
    };
    say_unless(noreply, out, text)
}

/// memcached's own `watch` logs commands, without values; ours tells of values.
fn watch(words: &Words<'_>, out: &mut Vec<u8>) -> Flow {
    match (words.at(1), words.count()) {
        (b"tandem", 2..=3) => Flow::Watch(words.at(2).to_vec()),
        _ => say(out, "ERROR"),
    }
}
