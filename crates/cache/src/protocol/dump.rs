//! Lists of all items: `lru_crawler metadump`, and `stats cachedump`.

use super::{Env, Session};
use crate::clock::NEVER;
use crate::engine::{Mark, Node, Place};

/// Nodes that are looked at before the shard is unlocked again.
const ITEMS_AT_ONCE: usize = 128;

/// What `stats cachedump` answers at most, as memcached.
const CACHEDUMP_MAX_BYTES: usize = 2 * 1024 * 1024;

impl Session {
    pub(super) fn start_dumping(&mut self) {
        self.dump = Some(Place::default());
    }

    pub(super) fn go_on_dumping(&mut self, env: Env<'_>, out: &mut Vec<u8>) {
        let Some(place) = self.dump.take() else { return };
        let visit = |node: &Node| push_metadump_line(env, node, out);
        self.dump = env.shared.cache.visit_some(place, ITEMS_AT_ONCE, env.now, visit);
        if self.dump.is_none() {
            out.extend_from_slice(b"END\r\n");
        }
    }
}

/// As memcached writes it: the key is URI-encoded, and the line ends with LF alone.
fn push_metadump_line(env: Env<'_>, node: &Node, out: &mut Vec<u8>) {
    out.extend_from_slice(b"key=");
    for &byte in node.key() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    let expires = match node.expires() {
        NEVER => -1,
        expires => env.now.date(expires),
    };
    let fetched = if node.has(Mark::Fetched) { "yes" } else { "no" };
    let (used_at, cas, size) = (env.now.date(node.used_at), node.cas, node.charge_bytes());
    let text = format!(" exp={expires} la={used_at} cas={cas} fetch={fetched} cls=1 size={size}\n");
    out.extend_from_slice(text.as_bytes());
}

/// `stats cachedump`: the first `limit` items; 0 for as many as fit.
pub(super) fn push_cachedump(env: Env<'_>, limit: u64, out: &mut Vec<u8>) {
    let mut left = if limit == 0 { u64::MAX } else { limit };
    let full = out.len() + CACHEDUMP_MAX_BYTES;
    let mut place = Some(Place::default());
    while let Some(from) = place.filter(|_| left > 0 && out.len() < full) {
        place = env.shared.cache.visit_some(from, ITEMS_AT_ONCE, env.now, |node| {
            if left == 0 || out.len() >= full || node.has(Mark::KeyIsBinary) {
                return;
            }
            left -= 1;
            out.extend_from_slice(b"ITEM ");
            out.extend_from_slice(node.key());
            let expires = match node.expires() {
                NEVER => 0,
                expires => env.now.date(expires),
            };
            let text = format!(" [{} b; {expires} s]\r\n", node.value_len());
            out.extend_from_slice(text.as_bytes());
        });
    }
    out.extend_from_slice(b"END\r\n");
}
