//! `get`, `gets`, `gat` and `gats`.

use memcache_proto::KEY_MAX_BYTES;

use super::token::{next_word, push_number, signed};
use super::{ANSWERS_MAX_BYTES, BAD_LINE, Env, Flow, Session, say};
use crate::engine::Node;

/// Which of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    cas: bool,
    touch: bool,
}

impl Kind {
    pub(super) const PLAIN: Self = Self { cas: false, touch: false };
    pub(super) const CAS: Self = Self { cas: true, touch: false };
    pub(super) const TOUCH: Self = Self { cas: false, touch: true };
    pub(super) const TOUCH_CAS: Self = Self { cas: true, touch: true };
}

impl Session {
    /// A line may have any number of keys, so it is not split in advance; and when the answers
    /// have become many, it goes on where it was after they have been sent.
    pub(super) fn get(&mut self, env: Env<'_>, line: &[u8], kind: Kind, out: &mut Vec<u8>) -> Flow {
        let skip_word = |at| next_word(line, at).map_or(line.len(), |(_, end)| end);
        let mut at = skip_word(0);
        let Some((start, end)) = next_word(line, at) else { return say(out, "ERROR") };
        let mut expires = None;
        if kind.touch {
            let Some(exptime) = signed(&line[start..end]) else {
                return say(out, "CLIENT_ERROR invalid exptime argument");
            };
            expires = Some(env.now.expiry(exptime));
            at = end;
        }
        match self.resume.take() {
            Some(place) => at = place,
            None if has_long_key(line, at) => return say(out, BAD_LINE),
            None => {}
        }
        while let Some((start, end)) = next_word(line, at) {
            if out.len() >= ANSWERS_MAX_BYTES {
                self.resume = Some(at);
                return Flow::Paused;
            }
            read(env, &line[start..end], kind, expires, out);
            at = end;
        }
        say(out, "END")
    }
}

fn has_long_key(line: &[u8], mut at: usize) -> bool {
    if line.len() - at <= KEY_MAX_BYTES {
        return false;
    }
    while let Some((start, end)) = next_word(line, at) {
        if end - start > KEY_MAX_BYTES {
            return true;
        }
        at = end;
    }
    false
}

fn read(env: Env<'_>, key: &[u8], kind: Kind, expires: Option<u32>, out: &mut Vec<u8>) {
    let counters = env.counters;
    if kind.touch {
        counters.cmd_touch.count();
    } else {
        counters.cmd_get.count();
    }
    let mut held = env.shared.cache.hold(key, env.now);
    let Some(id) = held.find() else {
        if kind.touch {
            counters.touch_misses.count();
        } else {
            counters.get_misses.count();
        }
        return;
    };
    if kind.touch {
        counters.touch_hits.count();
    } else {
        counters.get_hits.count();
    }
    if let Some(expires) = expires {
        held.set_expiry(id, expires);
    }
    held.read(id);
    push_item(held.node(id), kind.cas, out);
}

fn push_item(node: &Node, with_cas: bool, out: &mut Vec<u8>) {
    out.reserve(node.key().len() + node.value_len() + 64);
    out.extend_from_slice(b"VALUE ");
    out.extend_from_slice(node.key());
    out.push(b' ');
    push_number(out, u64::from(node.client_flags));
    out.push(b' ');
    push_number(out, node.value_len() as u64);
    if with_cas {
        out.push(b' ');
        push_number(out, node.cas);
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(node.value());
    out.extend_from_slice(b"\r\n");
}
