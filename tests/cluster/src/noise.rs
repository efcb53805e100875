//! Whether the machine was too busy to blame anybody: a record of the times at which this process, or a cache that
//! nothing had befallen, was not run for a while.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tandem_lab::Cache;

use crate::history::{Nanos, Record, Recorder, Stall};
use crate::pace::Stop;

/// How often it is looked.
const TICK: Duration = Duration::from_millis(5);
/// What is late by so much was not run.
const LATE: Duration = Duration::from_millis(15);
/// How long a cache may take all in all.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// What a fault has befallen now.
#[derive(Debug, Default)]
pub(crate) struct Befallen(Mutex<String>);

impl Befallen {
    /// This, or nothing if it is empty.
    pub(crate) fn set(&self, what: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).replace_range(.., what);
    }

    fn is(&self, what: &str) -> bool {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) == what
    }
}

/// Watches, and writes down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise<'a> {
    recorder: &'a Recorder,
    befallen: &'a Befallen,
}

impl<'a> Noise<'a> {
    pub(crate) fn new(recorder: &'a Recorder, befallen: &'a Befallen) -> Self {
        Self { recorder, befallen }
    }

    /// Whether this process is run.
    pub(crate) fn watch_the_clock(self, stop: &Stop) {
        let mut last = self.recorder.now();
        while stop.goes_on_after(TICK) {
            let now = self.recorder.now();
            self.note(last, now, TICK + LATE);
            last = now;
        }
    }

    /// Whether a cache is run: asked for nothing, past all proxies.
    pub(crate) fn watch(self, cache: &Cache, stop: &Stop) {
        let mut stream: Option<TcpStream> = None;
        while stop.goes_on_after(TICK) {
            if self.befallen.is(cache.name()) {
                stream = None;
                continue;
            }
            if stream.is_none() {
                stream = cache.connect().ok();
            }
            let begin = self.recorder.now();
            if stream.as_mut().is_some_and(|stream| ask(stream).is_none()) {
                stream = None;
            }
            if !self.befallen.is(cache.name()) {
                self.note(begin, self.recorder.now(), LATE);
            }
        }
    }

    fn note(self, begin: Nanos, end: Nanos, within: Duration) {
        if Duration::from_nanos(end - begin) >= within {
            self.recorder.write(&Record::Stall(Stall { b: begin, e: end }));
        }
    }
}

/// memcached's answer to nothing.
fn ask(stream: &mut TcpStream) -> Option<()> {
    stream.set_read_timeout(Some(ANSWER_WITHIN)).ok()?;
    stream.write_all(b"mn\r\n").ok()?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).ok()
}
