//! One simulated memcached: the few meta commands that are used, byte by byte, and its clock, which
//! counts whole seconds from a moment of its own.

use std::collections::BTreeMap;

use memcache_proto::{FlagBuf, Flags, Request, Response, SetMode};

use super::{S, Us};

#[derive(Clone, Debug)]
struct Item {
    data: Vec<u8>,
    cas: u64,
    /// Gone when the clock shows this.
    ends_s: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Cache {
    items: BTreeMap<Vec<u8>, Item>,
    last_cas: u64,
    /// When in a second its clock ticks.
    phase: Us,
}

impl Cache {
    pub(crate) fn new(phase: Us) -> Self {
        Self { items: BTreeMap::new(), last_cas: 0, phase: phase % S }
    }

    pub(crate) fn lose_everything(&mut self) {
        (self.items, self.last_cas) = (BTreeMap::new(), 0);
    }

    /// All keys, with the second in which each ends.
    pub(crate) fn keys(&mut self, now: Us) -> Vec<(Vec<u8>, Option<u64>)> {
        self.expire(now);
        self.items.iter().map(|(key, item)| (key.clone(), item.ends_s)).collect()
    }

    pub(crate) fn data(&mut self, now: Us, key: &[u8]) -> Option<&[u8]> {
        self.expire(now);
        self.items.get(key).map(|item| &*item.data)
    }

    /// Carries out one command and says the answer.
    pub(crate) fn run(&mut self, now: Us, command: &[u8]) -> Vec<u8> {
        let clock_s = self.expire(now);
        let (request, _) = Request::decode(command).unwrap().unwrap();
        let mut out = Vec::new();
        match request {
            Request::Get { key, flags } => self.get(clock_s, key.as_bytes(), flags, &mut out),
            Request::Set { key, flags, data } => {
                self.set(clock_s, key.as_bytes(), flags, data).encode(&mut out);
            }
            Request::Delete { key, flags } => {
                self.delete(key.as_bytes(), flags).encode(&mut out);
            }
            other => panic!("the model's cache server does not know {other:?}"),
        }
        out
    }

    /// There is no memory for what a command writes, if it writes: says so, and deletes what was there,
    /// whatever the guard.
    pub(crate) fn refuse(&mut self, command: &[u8]) -> Option<Vec<u8>> {
        let (request, _) = Request::decode(command).unwrap().unwrap();
        let Request::Set { key, .. } = request else { return None };
        self.items.remove(key.as_bytes());
        let mut out = Vec::new();
        Response::ServerError(b"out of memory storing object").encode(&mut out);
        Some(out)
    }

    fn get(&self, clock_s: u64, key: &[u8], asked: Flags<'_>, out: &mut Vec<u8>) {
        let mut flags = FlagBuf::new();
        if asked.has(b'k') {
            flags.text(b'k', key).unwrap();
        }
        let Some(item) = self.items.get(key) else {
            return Response::Miss { flags: flags.as_flags() }.encode(out);
        };
        if asked.has(b't') {
            match item.ends_s {
                Some(end) => flags.number(b't', end - clock_s),
                None => flags.text(b't', b"-1").unwrap(),
            };
        }
        if asked.has(b'c') {
            flags.number(b'c', item.cas);
        }
        Response::Value { flags: flags.as_flags(), data: &item.data }.encode(out);
    }

    fn set(&mut self, clock_s: u64, key: &[u8], flags: Flags<'_>, data: &[u8]) -> Response<'_> {
        let flags_none = Flags::NONE;
        let there = self.items.get(key);
        if flags.set_mode() == Some(SetMode::Add) && there.is_some() {
            return Response::NotStored { flags: flags_none };
        }
        match (flags.number(b'C'), there) {
            (Some(_), None) => return Response::NotFound { flags: flags_none },
            (Some(cas), Some(item)) if item.cas != cas => {
                return Response::Exists { flags: flags_none };
            }
            _ => {}
        }
        self.last_cas += 1;
        let ends_s = match flags.token(b'T') {
            None => None,
            Some(b"-1") => Some(clock_s),
            Some(_) => flags.number(b'T').map(|ttl| clock_s + ttl),
        };
        let item = Item { data: data.to_vec(), cas: self.last_cas, ends_s };
        self.items.insert(key.to_vec(), item);
        Response::Done { flags: flags_none }
    }

    fn delete(&mut self, key: &[u8], flags: Flags<'_>) -> Response<'static> {
        let flags_none = Flags::NONE;
        match self.items.get(key) {
            None => Response::NotFound { flags: flags_none },
            Some(item) if flags.number(b'C').is_some_and(|cas| cas != item.cas) => {
                Response::Exists { flags: flags_none }
            }
            Some(_) => {
                self.items.remove(key);
                Response::Done { flags: flags_none }
            }
        }
    }

    /// What the clock shows. What has ended by then is gone.
    fn expire(&mut self, now: Us) -> u64 {
        let clock_s = (now + S - self.phase) / S;
        self.items.retain(|_, item| item.ends_s.is_none_or(|end| end > clock_s));
        clock_s
    }
}
