//! Who owns a record, by what the phone did: the newest REGISTER, where the promise says so.
//!
//! [`Owner::Open`] is where `docs/consistency.md` ("Where the newest REGISTER may lose") makes no
//! promise. Each such case names the sentence that it stands for.

use sri::TAKE_STALE_AFTER;

use super::check::{AT_ONCE, Check, SETTLES, empties, us};
use super::history::{Ended, Register, Stay};
use super::{S, Us, WITHIN_DEADLINE};

pub(crate) enum Owner<'a> {
    /// Nobody registered it yet.
    Nobody,
    Certain(&'a Register),
    Open,
}

/// How late a renewal may be that waits for a retry.
const RETRY: Us = 3 * S;

pub(crate) fn owner<'a>(check: &'a Check<'_>, key: &str, cache: usize, now: Us) -> Owner<'a> {
    let registers = check.history.registers.iter();
    let newest = registers.filter(|r| r.key == key && r.at <= now).max_by_key(|r| r.at);
    let Some(newest) = newest else { return Owner::Nobody };
    let case = Case { check, key, cache, now, newest };
    let rivals: Vec<usize> = (0..check.history.script.nodes)
        .filter(|&node| node != newest.node && case.is_rival(node))
        .collect();
    let open = rivals.iter().any(|&rival| {
        case.take_waits(newest) || case.rivals_take_waits(rival) || case.unnoticed(rival)
    }) || case.take_is_under_way();
    if open { Owner::Open } else { Owner::Certain(newest) }
}

struct Case<'a, 'h> {
    check: &'a Check<'h>,
    key: &'a str,
    cache: usize,
    now: Us,
    newest: &'a Register,
}

impl Case<'_, '_> {
    /// A node that had the phone, too, not long before the newest REGISTER or since.
    fn is_rival(&self, node: usize) -> bool {
        self.stays(node).any(|s| s.to + self.check.lease + RETRY >= self.newest.at)
    }

    fn stays(&self, node: usize) -> impl Iterator<Item = &Stay> {
        let here = move |s: &&Stay| s.node == node && s.key == self.key && s.from <= self.now;
        self.check.history.stays.iter().filter(here)
    }

    fn window(&self) -> Us {
        us(TAKE_STALE_AFTER).min(self.check.lease)
    }

    /// Nothing was promised before the Take could be delivered.
    fn take_is_under_way(&self) -> bool {
        let at = self.newest.at;
        let trouble = self.check.trouble(self.newest.node, self.cache, at, at + AT_ONCE);
        trouble.is_some_and(|f| self.now < f.to + SETTLES)
    }

    /// "A Take that cannot be delivered in time is a Keep": an older record stays.
    fn take_waits(&self, register: &Register) -> bool {
        let at = register.at;
        let trouble = self.check.trouble(register.node, self.cache, at, at + AT_ONCE);
        trouble.is_some_and(|f| f.to + RETRY > at + self.window())
    }

    /// "A Take that waits may overtake a newer one": that node's REGISTER, not delivered at once.
    fn rivals_take_waits(&self, rival: usize) -> bool {
        let registers = self.check.history.registers.iter();
        let mut theirs =
            registers.filter(|r| r.node == rival && r.key == self.key && r.at <= self.newest.at);
        theirs.any(|r| {
            // Two REGISTERs at one moment have no order.
            if r.at + WITHIN_DEADLINE > self.newest.at {
                return true;
            }
            let trouble = self.check.trouble(rival, self.cache, r.at, r.at + AT_ONCE);
            trouble.is_some_and(|f| {
                f.to.min(r.at + self.window()) + RETRY > self.newest.at
                    || self.check.history.latest(self.cache, r.at) + WITHIN_DEADLINE
                        > self.newest.at
            })
        })
    }

    /// "A node learns that it was overtaken when it renews": until then it fills gaps.
    fn unnoticed(&self, rival: usize) -> bool {
        let since = self.newest.at;
        let noticed = since + self.check.lease / 3 + RETRY;
        let stay = self.check.last_stay(self.key, self.newest.node, self.now);
        let broken = self
            .stays(self.newest.node)
            .any(|s| s.to >= since && s.ended != Ended::NotYet && s.to <= self.now);
        let ended = stay.is_none_or(|s| s.to <= self.now);
        // The record was gone before the other node had to look, or was not to be seen then.
        let short = broken && self.stays(self.newest.node).any(|s| s.to >= since && s.to < noticed);
        let hidden = self
            .check
            .faults()
            .any(|f| f.hinders(rival, self.cache) && f.from <= self.now && f.to >= since);
        // The other node was started since and has forgotten that it stood back.
        let forgot = self.check.history.restarts.iter().any(|(at, node)| {
            *node == rival && *at >= since.saturating_sub(RETRY) && *at <= self.now
        });
        let emptied = self.check.faults().find(|f| {
            f.from <= self.now
                && f.to >= since
                && empties(f, self.check.lease)
                && (f.kind.loses_content() || f.hinders(self.newest.node, self.cache))
                && f.cache == self.cache
        });
        let own_gap = broken || emptied.is_some_and(|f| f.kind.stops_node());
        let raced = emptied.is_some_and(|f| f.from < noticed && self.both_new(rival));
        let lapsed = emptied
            .is_some_and(|f| f.kind.stops_node() && f.node == self.newest.node && f.from < noticed);
        short || (broken || ended) && (hidden || forgot) || forgot && own_gap || raced || lapsed
    }

    /// "A phone that moved twice within two thirds of a lease": both nodes go first.
    fn both_new(&self, rival: usize) -> bool {
        let window = self.check.lease * 2 / 3 + RETRY + S;
        self.check.history.registers.iter().any(|r| {
            r.node == rival
                && r.key == self.key
                && r.at <= self.newest.at
                && r.at + window >= self.newest.at
        })
    }
}
