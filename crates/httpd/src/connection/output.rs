//! What is to be sent, and how long its reader may take.

use std::time::Instant;

use crate::limits::{Limits, WRITE_STEP_BYTES};

/// With more than this unsent, the next request waits: who does not read answers asks for none.
const ROOM_BYTES: usize = 64 * 1024;
/// A buffer that was larger is given back when it is empty.
const KEPT_BYTES: usize = 16 * 1024;

/// Bytes in order. While there are any, their reader has a deadline.
#[derive(Debug, Default)]
pub(super) struct Output {
    buffer: Vec<u8>,
    sent: usize,
    /// Of them since the deadline was set.
    step: usize,
    deadline: Option<Instant>,
    /// When some of it was last taken; before that, when it began.
    moved: Option<Instant>,
}

impl Output {
    pub(super) fn len(&self) -> usize {
        self.buffer.len() - self.sent
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn has_room(&self) -> bool {
        self.len() < ROOM_BYTES
    }

    pub(super) fn pending(&self) -> &[u8] {
        &self.buffer[self.sent..]
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Since when its reader has taken nothing; `None` if there is nothing to take.
    pub(super) fn stalled_since(&self) -> Option<Instant> {
        self.moved.filter(|_| !self.is_empty())
    }

    /// Before bytes are appended to [`Self::buffer`].
    pub(super) fn begin(&mut self, now: Instant, limits: &Limits) {
        if self.deadline.is_none() {
            self.deadline = Some(now + limits.write_time);
            self.step = 0;
            self.moved = Some(now);
        }
        // What was sent would else be kept for as long as there is more.
        if self.sent > 0 && self.sent >= self.len() {
            self.buffer.drain(..self.sent);
            self.sent = 0;
        }
    }

    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    pub(super) fn sent(&mut self, bytes: usize, now: Instant, limits: &Limits) {
        self.sent = (self.sent + bytes).min(self.buffer.len());
        self.step += bytes;
        self.moved = Some(now);
        if self.is_empty() {
            self.buffer.clear();
            self.buffer.shrink_to(KEPT_BYTES);
            (self.sent, self.deadline) = (0, None);
        } else if self.step >= WRITE_STEP_BYTES {
            self.step = 0;
            self.deadline = Some(now + limits.write_time);
        }
    }
}
