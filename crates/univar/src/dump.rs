//! Listing one cache server's names through `lru_crawler metadump`.
//!
//! Pure. memcached runs one dump at a time and says `BUSY` to the rest; trying again is for the
//! caller.

use std::time::Instant;

use memcache_proto::{LineReply, Request};

use crate::Name;
use crate::talk::{Heard, Talk, TalkError};

/// A dump of the names that begin with a prefix.
#[derive(Clone, Debug)]
pub(crate) struct Dump<'a> {
    prefix: &'a [u8],
    limit: usize,
    unix_now_s: u64,
    asked: bool,
    /// The names so far, in memcached's order.
    pub(crate) names: Vec<Name>,
    /// How it ended, if it has.
    pub(crate) end: Option<DumpEnd>,
}

/// How a dump ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum DumpEnd {
    /// Everything was seen.
    Complete,
    /// There were more names than wanted.
    Limit,
    /// Another dump is under way.
    Busy,
    /// The server does not do dumps.
    Refused,
}

impl<'a> Dump<'a> {
    /// A dump of at most `limit` names that begin with `prefix`.
    pub(crate) fn new(prefix: &'a [u8], limit: usize, unix_now_s: u64) -> Self {
        Self { prefix, limit, unix_now_s, asked: false, names: Vec::new(), end: None }
    }

    fn take(&mut self, line: LineReply<'_>) -> Result<(), TalkError> {
        self.end = match line {
            LineReply::Item { key, expires, .. } => {
                let over = expires.is_some_and(|at| at <= self.unix_now_s);
                let wanted = key.starts_with(self.prefix) && !over;
                match Name::new(&key) {
                    Ok(_) if wanted && self.names.len() == self.limit => Some(DumpEnd::Limit),
                    Ok(name) if wanted => {
                        self.names.push(name);
                        None
                    }
                    // The epoch marker, which is ours and no variable.
                    _ => None,
                }
            }
            LineReply::Begun => None,
            LineReply::End => Some(DumpEnd::Complete),
            LineReply::Busy => Some(DumpEnd::Busy),
            LineReply::Refused(_) => Some(DumpEnd::Refused),
            _ => return Err(TalkError::Unexpected),
        };
        Ok(())
    }
}

impl Talk for Dump<'_> {
    fn ask(&mut self, out: &mut Vec<u8>) {
        if !self.asked {
            self.asked = true;
            Request::Metadump.encode(out);
        }
    }

    fn hear(&mut self, buf: &[u8], _now: Instant) -> Result<(usize, Heard), TalkError> {
        let mut used = 0;
        while let Some((line, len)) = LineReply::decode(&buf[used..])? {
            used += len;
            self.take(line)?;
            if self.end.is_some() {
                return Ok((used, Heard::Enough));
            }
        }
        Ok((used, Heard::More))
    }

    fn ask_again(&mut self) {
        self.asked = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump(limit: usize, text: &[u8]) -> (Vec<String>, Option<DumpEnd>) {
        let mut dump = Dump::new(b"PEER_", limit, 1000);
        dump.hear(text, Instant::now()).unwrap();
        (dump.names.iter().map(Name::to_string).collect(), dump.end)
    }

    #[test]
    fn live_names_with_the_prefix_are_listed() {
        let text = b"key=PEER_1 exp=-1 x\nkey=PEER_2 exp=1000 x\nkey=PEER_3 exp=1001 x\n\
            key=OTHER exp=-1 x\nkey=tandem%3Aepoch exp=-1 x\nEND\r\n";
        let names = vec!["PEER_1".to_owned(), "PEER_3".to_owned()];
        assert_eq!(dump(10, text), (names, Some(DumpEnd::Complete)));
    }

    #[test]
    fn a_list_of_a_newer_memcached_begins_with_a_word_and_foreign_keys_are_passed_over() {
        let text = b"OK\r\nkey=PEER_%20%0A exp=-1 x\nkey=PEER_1 exp=-1 x\nEND\r\n";
        assert_eq!(dump(10, text), (vec!["PEER_1".to_owned()], Some(DumpEnd::Complete)));
    }

    #[test]
    fn a_list_that_is_too_long_is_cut_and_says_so() {
        let text = b"key=PEER_1 exp=-1 x\nkey=PEER_2 exp=-1 x\nEND\r\n";
        assert_eq!(dump(1, text), (vec!["PEER_1".to_owned()], Some(DumpEnd::Limit)));
        assert_eq!(dump(2, text).1, Some(DumpEnd::Complete));
    }

    #[test]
    fn busy_and_refused_are_told_apart() {
        assert_eq!(dump(1, b"BUSY currently processing\r\n").1, Some(DumpEnd::Busy));
        assert_eq!(dump(1, b"ERROR lru crawler disabled\r\n").1, Some(DumpEnd::Refused));
    }
}
