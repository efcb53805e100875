//! Wrong passwords make the next try wait: by where it comes from, and in all.
//!
//! Not by user: whoever knows an administrator's name could keep them out. Many addresses at once
//! are slowed down by a count over all; addresses that somebody has come in from are not in it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use acl::network_of;
use password::Tries;

/// How many addresses are remembered.
const KEPT_MAX: usize = 4096;
/// Wrong tries from all addresses together in [`ALL_TIME`]; the next one waits.
const ALL_FREE: usize = 60;
const ALL_TIME: Duration = Duration::from_secs(60);
/// How many addresses that somebody came in from are remembered.
const GOOD_MAX: usize = 256;

/// Why a try is not heard, and for how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wait {
    /// Its address sent wrong ones.
    Address(Duration),
    /// Many addresses did. This one may have sent none.
    All(Duration),
}

/// Wrong tries of late.
#[derive(Debug)]
pub(crate) struct Throttle {
    by_address: Tries<IpAddr>,
    /// Of all together, the oldest first.
    all: VecDeque<(Instant, IpAddr)>,
    good: VecDeque<IpAddr>,
}

impl Default for Throttle {
    fn default() -> Self {
        let by_address = Tries::new(KEPT_MAX);
        Self { by_address, all: VecDeque::new(), good: VecDeque::new() }
    }
}

impl Throttle {
    /// How long a try of that address would wait now, if at all.
    pub(crate) fn wait(&self, from: IpAddr, now: Instant) -> Option<Wait> {
        let from = network_of(from);
        let is_left = |until: Instant| {
            let wait = until.saturating_duration_since(now);
            (!wait.is_zero()).then_some(wait)
        };
        if let Some(wait) = self.by_address.next(&from).and_then(is_left) {
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
        self.by_address.begin(from, now);
        None
    }

    /// The password was not looked at: this try was none.
    pub(crate) fn take_back(&mut self, from: IpAddr) {
        let from = network_of(from);
        self.by_address.take_back(&from);
        if let Some(its) = self.all.iter().rposition(|(_, other)| *other == from) {
            self.all.remove(its);
        }
    }

    /// The password was right: this try is taken back. Those before are not, or whoever has one
    /// account could try others' for ever.
    pub(crate) fn right(&mut self, from: IpAddr) {
        self.take_back(from);
        let from = network_of(from);
        if !self.good.contains(&from) {
            if self.good.len() >= GOOD_MAX {
                self.good.pop_front();
            }
            self.good.push_back(from);
        }
    }
}

#[cfg(test)]
mod tests {
    use password::FREE;

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
    fn what_is_not_looked_at_was_no_try_and_makes_nobody_known() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..3 * FREE {
            assert_eq!(wait(&mut throttle, address(1), now), 0);
            throttle.take_back(address(1));
        }
        assert!(throttle.all.is_empty() && throttle.good.is_empty(), "{throttle:?}");
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
        assert!(throttle.all.len() <= ALL_FREE);
    }
}
