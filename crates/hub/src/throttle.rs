//! Wrong passwords make the next try wait: by who is tried, and by where it comes from.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Tries that are free.
const FREE: u32 = 5;
/// Longest wait.
const LONGEST: Duration = Duration::from_secs(300);
/// After how long without a wrong try it begins anew.
const FORGET_AFTER: Duration = Duration::from_secs(3600);
/// How many are remembered; past that the oldest are not, so that nobody fills the memory.
const KEPT_MAX: usize = 10_000;

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Key {
    User(String),
    Address(IpAddr),
}

impl Key {
    /// One customer has a whole /64 of IPv6.
    fn address(from: IpAddr) -> Self {
        Self::Address(match from.to_canonical() {
            IpAddr::V6(v6) => (v6.to_bits() & !u128::from(u64::MAX)).to_be_bytes().into(),
            v4 => v4,
        })
    }
}

#[derive(Clone, Copy, Debug)]
struct Tries {
    wrong: u32,
    last: Instant,
    /// When the one before that was: a right one leaves no trace.
    before: Instant,
}

impl Tries {
    /// When the next one is heard.
    fn next(self) -> Instant {
        let wait = match self.wrong.checked_sub(FREE) {
            None => Duration::ZERO,
            Some(over) => Duration::from_secs(1 << over.min(9)).min(LONGEST),
        };
        self.last + wait
    }
}

/// Wrong tries of late.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    tries: HashMap<Key, Tries>,
}

impl Throttle {
    /// How long to wait before this try is heard, if at all. One that is heard counts as wrong until
    /// [`Self::right`] says otherwise, so that many at once are no way around.
    pub(crate) fn begin(&mut self, now: Instant, user: &str, from: IpAddr) -> Option<Duration> {
        let keys = [Key::User(user.to_owned()), Key::address(from)];
        let next =
            keys.iter().filter_map(|key| self.tries.get(key)).map(|tries| tries.next()).max();
        if let Some(wait) = next.and_then(|next| next.checked_duration_since(now))
            && !wait.is_zero()
        {
            return Some(wait);
        }
        if self.tries.len() >= KEPT_MAX {
            self.forget(now);
        }
        for key in keys {
            let tries = self.tries.entry(key).or_insert(Tries { wrong: 0, last: now, before: now });
            if now.duration_since(tries.last) > FORGET_AFTER {
                tries.wrong = 0;
            }
            tries.before = tries.last;
            (tries.wrong, tries.last) = (tries.wrong.saturating_add(1), now);
        }
        None
    }

    /// The password was right: the user's wrong ones are forgotten. Those of the address are not,
    /// or whoever has one account could try others' for ever; this one is taken back.
    pub(crate) fn right(&mut self, user: &str, from: IpAddr) {
        self.tries.remove(&Key::User(user.to_owned()));
        if let Some(tries) = self.tries.get_mut(&Key::address(from)) {
            (tries.wrong, tries.last) = (tries.wrong.saturating_sub(1), tries.before);
        }
    }

    /// The password was right, and more is asked for: this try is taken back, and no other. Wrong codes go on
    /// counting, or a password alone would be enough to try all of them.
    pub(crate) fn incomplete(&mut self, user: &str, from: IpAddr) {
        for key in [Key::User(user.to_owned()), Key::address(from)] {
            if let Some(tries) = self.tries.get_mut(&key) {
                (tries.wrong, tries.last) = (tries.wrong.saturating_sub(1), tries.before);
            }
        }
    }

    fn forget(&mut self, now: Instant) {
        self.tries.retain(|_, tries| now.duration_since(tries.last) <= FORGET_AFTER);
        if self.tries.len() >= KEPT_MAX {
            let mut last: Vec<Instant> = self.tries.values().map(|tries| tries.last).collect();
            last.sort_unstable();
            let middle = last[last.len() / 2];
            self.tries.retain(|_, tries| tries.last > middle);
        }
    }
}

/// How many of somebody's refused requests are written down in a minute: nobody is to fill the audit log.
const REFUSALS_A_MINUTE: u32 = 30;

/// Who was refused, in the minute that it is.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    began: Option<Instant>,
    by: HashMap<String, u32>,
}

impl Refusals {
    /// Whether this one is written down.
    pub(crate) fn is_noted(&mut self, now: Instant, who: &str) -> bool {
        let is_over = |began| {
            now.duration_since(began) >= Duration::from_secs(60) || self.by.len() >= KEPT_MAX
        };
        if self.began.is_none_or(is_over) {
            (self.began, self.by) = (Some(now), HashMap::new());
        }
        let count = self.by.entry(who.to_owned()).or_default();
        *count += 1;
        *count <= REFUSALS_A_MINUTE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

    fn wait_of(throttle: &mut Throttle, now: Instant, user: &str, from: IpAddr) -> u64 {
        throttle.begin(now, user, from).map_or(0, |wait| wait.as_secs())
    }

    #[test]
    fn the_sixth_wrong_try_waits_and_each_further_one_twice_as_long() {
        let (mut throttle, mut now) = (Throttle::default(), Instant::now());
        for _ in 0..5 {
            assert_eq!(wait_of(&mut throttle, now, "ann", HERE), 0);
        }
        let mut waits = Vec::new();
        for _ in 0..11 {
            let wait = wait_of(&mut throttle, now, "ann", HERE);
            waits.push(wait);
            now += Duration::from_secs(wait);
            assert_eq!(wait_of(&mut throttle, now, "ann", HERE), 0);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        now += FORGET_AFTER + Duration::from_secs(1);
        assert_eq!(wait_of(&mut throttle, now, "ann", HERE), 0);
        assert_eq!(wait_of(&mut throttle, now, "ann", HERE), 0, "it began anew");
    }

    #[test]
    fn neither_another_name_nor_another_address_is_a_way_around() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for user in ["a", "b", "c", "d", "e"] {
            assert_eq!(wait_of(&mut throttle, now, user, HERE), 0);
        }
        assert_eq!(wait_of(&mut throttle, now, "f", HERE), 1, "many names from one address");
        assert_eq!(wait_of(&mut throttle, now, "f", THERE), 0);
        for _ in 0..4 {
            assert_eq!(wait_of(&mut throttle, now, "f", THERE), 0);
        }
        let third = IpAddr::from([127, 0, 0, 3]);
        assert_eq!(wait_of(&mut throttle, now, "f", third), 1, "one name from many addresses");
    }

    #[test]
    fn a_right_password_frees_the_user_and_not_the_address() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..4 {
            assert_eq!(wait_of(&mut throttle, now, "ann", HERE), 0);
        }
        assert_eq!(wait_of(&mut throttle, now, "eve", HERE), 0);
        throttle.right("eve", HERE);
        assert_eq!(wait_of(&mut throttle, now, "ann", HERE), 0);
        assert_eq!(wait_of(&mut throttle, now, "ann", HERE), 1, "eve's account did not help");
    }

    #[test]
    fn a_password_alone_is_no_way_to_try_all_codes() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        let mut waits = Vec::new();
        for number in 0..6 {
            // A wrong code, and then none: from anywhere.
            let from = IpAddr::from([127, 0, 1, number]);
            waits.push(wait_of(&mut throttle, now, "ann", from));
            if throttle.begin(now, "ann", from).is_none() {
                throttle.incomplete("ann", from);
            }
        }
        assert_eq!(waits, [0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn so_many_refusals_of_each_are_noted_in_a_minute() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        let noted = |refusals: &mut Refusals, now, who| {
            (0..100).filter(|_| refusals.is_noted(now, who)).count()
        };
        assert_eq!(noted(&mut refusals, now, "vera"), 30);
        assert_eq!(noted(&mut refusals, now, "otto"), 30);
        assert_eq!(noted(&mut refusals, now + Duration::from_secs(60), "vera"), 30);
    }

    #[test]
    fn memory_is_bounded() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for number in 0..KEPT_MAX * 2 {
            let from = IpAddr::from(u32::try_from(number).expect("small").to_be_bytes());
            let at = now + Duration::from_millis(number as u64);
            wait_of(&mut throttle, at, &number.to_string(), from);
        }
        assert!(throttle.tries.len() <= KEPT_MAX + 2);
    }
}
