//! Wrong passwords make the next try wait: by where it comes from, and in all.
//!
//! Not by user: whoever knows an administrator's name could keep them out. Many addresses at once
//! are slowed down by a count over all; addresses that somebody has come in from are not in it.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use httpd::network_of;

/// Tries of an address that are free.
const FREE: u32 = 5;
/// Longest wait of an address.
const LONGEST: Duration = Duration::from_secs(300);
/// After how long without a wrong try an address begins anew.
const FORGET_AFTER: Duration = Duration::from_secs(3600);
/// How many addresses are remembered; past that the oldest are not, so that nobody fills the
/// memory.
const KEPT_MAX: usize = 4096;
/// Wrong tries from all addresses together in [`ALL_TIME`]; the next one waits.
const ALL_FREE: usize = 60;
const ALL_TIME: Duration = Duration::from_secs(60);
/// How many addresses that somebody came in from are remembered.
const GOOD_MAX: usize = 256;

#[derive(Clone, Copy, Debug)]
struct Tries {
    wrong: u32,
    last: Instant,
    /// When the one before that was: a right one leaves no trace.
    before: Instant,
}

/// Why a try is not heard, and for how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wait {
    /// Its address sent wrong ones.
    Address(Duration),
    /// Many addresses did. This one may have sent none.
    All(Duration),
}

impl Tries {
    /// When the next one is heard, if not at once: tries that are under way may come here in
    /// another order than they came in.
    fn next(self) -> Option<Instant> {
        let over = self.wrong.checked_sub(FREE)?;
        Some(self.last + Duration::from_secs(1 << over.min(9)).min(LONGEST))
    }
}

/// Wrong tries of late.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    tries: HashMap<IpAddr, Tries>,
    /// Of all together, the oldest first.
    all: VecDeque<(Instant, IpAddr)>,
    good: VecDeque<IpAddr>,
}

impl Throttle {
    /// How long a try of that address would wait now, if at all.
    pub(crate) fn wait(&self, from: IpAddr, now: Instant) -> Option<Wait> {
        let from = network_of(from);
        let is_left = |until: Instant| {
            let wait = until.saturating_duration_since(now);
            (!wait.is_zero()).then_some(wait)
        };
        if let Some(wait) = self.tries.get(&from).and_then(|tries| is_left(tries.next()?)) {
            return Some(Wait::Address(wait));
        }
        if self.good.contains(&from) {
            return None;
        }
        let mut left = self.all.iter().filter_map(|(at, _)| is_left(*at + ALL_TIME));
        let first = left.next()?;
        (left.count() + 1 >= ALL_FREE).then_some(Wait::All(first))
    }

    /// How long to wait before this try is heard, if at all. One that is heard counts as wrong
    /// until [`Self::right`] says otherwise, so that many at once are no way around.
    pub(crate) fn begin(&mut self, from: IpAddr, now: Instant) -> Option<Wait> {
        if let Some(wait) = self.wait(from, now) {
            return Some(wait);
        }
        let from = network_of(from);
        if !self.good.contains(&from) {
            self.all.retain(|(at, _)| now.saturating_duration_since(*at) < ALL_TIME);
            self.all.push_back((now, from));
        }
        if self.tries.len() >= KEPT_MAX && !self.tries.contains_key(&from) {
            self.forget(now);
        }
        let tries = self.tries.entry(from).or_insert(Tries { wrong: 0, last: now, before: now });
        if now.saturating_duration_since(tries.last) > FORGET_AFTER {
            tries.wrong = 0;
        }
        tries.before = tries.last;
        (tries.wrong, tries.last) = (tries.wrong.saturating_add(1), now);
        None
    }

    /// The password was right: this try is taken back. Those before are not, or whoever has one
    /// account could try others' for ever.
    pub(crate) fn right(&mut self, from: IpAddr) {
        let from = network_of(from);
        if let Some(tries) = self.tries.get_mut(&from) {
            (tries.wrong, tries.last) = (tries.wrong.saturating_sub(1), tries.before);
            if tries.wrong == 0 {
                self.tries.remove(&from);
            }
        }
        if let Some(its) = self.all.iter().rposition(|(_, other)| *other == from) {
            self.all.remove(its);
        }
        if !self.good.contains(&from) {
            if self.good.len() >= GOOD_MAX {
                self.good.pop_front();
            }
            self.good.push_back(from);
        }
    }

    fn forget(&mut self, now: Instant) {
        self.tries.retain(|_, tries| now.saturating_duration_since(tries.last) <= FORGET_AFTER);
        if self.tries.len() >= KEPT_MAX {
            let mut last: Vec<Instant> = self.tries.values().map(|tries| tries.last).collect();
            last.sort_unstable();
            let middle = last[last.len() / 2];
            self.tries.retain(|_, tries| tries.last > middle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::from((0x0a00_0000 + number).to_be_bytes())
    }

    fn wait(throttle: &mut Throttle, from: IpAddr, now: Instant) -> u64 {
        throttle.begin(from, now).map_or(0, |wait| match wait {
            Wait::Address(wait) | Wait::All(wait) => wait.as_secs(),
        })
    }

    #[test]
    fn the_sixth_wrong_try_waits_and_each_further_one_twice_as_long() {
        let (mut throttle, mut now) = (Throttle::default(), Instant::now());
        for _ in 0..FREE {
            assert_eq!(wait(&mut throttle, address(1), now), 0);
        }
        for wanted in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            assert_eq!(wait(&mut throttle, address(1), now), wanted);
            now += Duration::from_secs(wanted);
            assert_eq!(wait(&mut throttle, address(1), now), 0);
        }
        assert_eq!(wait(&mut throttle, address(2), now), 0, "others do not wait");
    }

    #[test]
    fn tries_under_way_do_not_wait_for_one_that_came_in_later() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        assert_eq!(throttle.begin(address(1), now + Duration::from_millis(1)), None);
        assert_eq!(throttle.begin(address(1), now), None);
        assert_eq!(throttle.wait(address(1), now), None);
    }

    #[test]
    fn many_addresses_are_no_way_around() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        assert_eq!(wait(&mut throttle, address(0), now), 0);
        throttle.right(address(0));
        for number in 1..=u32::try_from(ALL_FREE).expect("few") {
            assert_eq!(wait(&mut throttle, address(number), now), 0);
        }
        assert_eq!(throttle.begin(address(1000), now), Some(Wait::All(ALL_TIME)));
        assert_eq!(wait(&mut throttle, address(0), now), 0, "whoever has been in is not kept out");
        assert_eq!(wait(&mut throttle, address(1000), now + ALL_TIME), 0);
    }

    #[test]
    fn a_right_password_does_not_take_back_wrong_ones() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for _ in 1..FREE {
            assert_eq!(wait(&mut throttle, address(1), now), 0);
        }
        assert_eq!(wait(&mut throttle, address(1), now), 0);
        throttle.right(address(1));
        assert_eq!(wait(&mut throttle, address(1), now), 0);
        assert_eq!(wait(&mut throttle, address(1), now), 1);
    }

    #[test]
    fn a_right_password_leaves_no_trace() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..FREE {
            assert_eq!(wait(&mut throttle, address(1), now), 0);
        }
        let later = now + Duration::from_secs(1);
        assert_eq!(wait(&mut throttle, address(1), later), 0);
        throttle.right(address(1));
        assert_eq!(wait(&mut throttle, address(1), later), 0, "it is not waited for once more");
        for _ in 0..3 {
            assert_eq!(wait(&mut throttle, address(2), now), 0);
        }
        for _ in 0..3 {
            throttle.right(address(2));
        }
        assert!(throttle.all.iter().all(|(_, from)| *from != address(2)), "{throttle:?}");
    }

    #[test]
    fn to_ask_how_long_is_no_try() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..FREE {
            assert_eq!(throttle.wait(address(1), now), None);
            assert_eq!(wait(&mut throttle, address(1), now), 0);
        }
        for _ in 0..3 {
            let second = Duration::from_secs(1);
            assert_eq!(throttle.wait(address(1), now), Some(Wait::Address(second)));
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_a_mapped_one_is_ipv4() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        let from = |text: &str| text.parse::<IpAddr>().expect("an address");
        for last in 1..=FREE {
            assert_eq!(wait(&mut throttle, from(&format!("2001:db8::{last}")), now), 0);
        }
        assert_eq!(wait(&mut throttle, from("2001:db8::ffff"), now), 1);
        for _ in 0..FREE {
            assert_eq!(wait(&mut throttle, from("::ffff:192.0.2.1"), now), 0);
        }
        assert_eq!(wait(&mut throttle, from("192.0.2.1"), now), 1);
    }

    #[test]
    fn memory_is_bounded() {
        let (mut throttle, mut now) = (Throttle::default(), Instant::now());
        for number in 0..20_000 {
            now += Duration::from_secs(1);
            wait(&mut throttle, address(number), now);
        }
        assert!(throttle.tries.len() <= KEPT_MAX && throttle.all.len() <= ALL_FREE);
    }
}
