//! Wrong passwords make the next try wait: by who is tried, and by where it comes from.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use acl::network_of;
use password::Tries;

/// How many are remembered.
const KEPT_MAX: usize = 10_000;

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Key {
    User(String),
    Address(IpAddr),
}

/// How many users are remembered with an address that they came in from.
const GOOD_MAX: usize = 1000;

/// Wrong tries of late.
#[derive(Debug)]
pub(crate) struct Throttle {
    tries: Tries<Key>,
    /// Who came in from where, the oldest first: whoever knows a name cannot keep its user out there.
    good: VecDeque<[Key; 2]>,
}

impl Default for Throttle {
    fn default() -> Self {
        Self { tries: Tries::new(KEPT_MAX), good: VecDeque::new() }
    }
}

impl Throttle {
    /// How long to wait before this try is heard, if at all. One that is heard counts as wrong until
    /// [`Self::right`] says otherwise, so that many at once are no way around.
    pub(crate) fn begin(&mut self, now: Instant, user: &str, from: IpAddr) -> Option<Duration> {
        let keys = keys(user, from);
        let [_, address] = &keys;
        let counted = if self.good.contains(&keys) { std::slice::from_ref(address) } else { &keys };
        let next = counted.iter().filter_map(|key| self.tries.next(key)).max();
        if let Some(wait) = next.and_then(|next| next.checked_duration_since(now))
            && !wait.is_zero()
        {
            return Some(wait);
        }
        for key in keys {
            self.tries.begin(key, now);
        }
        None
    }

    /// The password was right: the user's wrong ones are forgotten. Those of the address are not,
    /// or whoever has one account could try others' for ever; this one is taken back.
    pub(crate) fn right(&mut self, user: &str, from: IpAddr) {
        let keys = keys(user, from);
        let [user, address] = &keys;
        self.tries.forget(user);
        self.tries.take_back(address);
        if !self.good.contains(&keys) {
            if self.good.len() >= GOOD_MAX {
                self.good.pop_front();
            }
            self.good.push_back(keys);
        }
    }

    /// The password was right, and more is asked for: this try is taken back, and no other. Wrong codes go on
    /// counting, or a password alone would be enough to try all of them.
    pub(crate) fn incomplete(&mut self, user: &str, from: IpAddr) {
        for key in keys(user, from) {
            self.tries.take_back(&key);
        }
    }
}

fn keys(user: &str, from: IpAddr) -> [Key; 2] {
    [Key::User(user.to_owned()), Key::Address(network_of(from))]
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
    fn whoever_knows_a_name_keeps_its_user_out_nowhere_that_they_came_in_from() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        assert_eq!(wait_of(&mut throttle, now, "ann", HERE), 0);
        throttle.right("ann", HERE);
        for number in 0..20 {
            wait_of(&mut throttle, now, "ann", IpAddr::from([127, 0, 1, number]));
        }
        assert_eq!(wait_of(&mut throttle, now, "ann", THERE), 1);
        for _ in 0..5 {
            assert_eq!(wait_of(&mut throttle, now, "ann", HERE), 0);
        }
        assert_eq!(wait_of(&mut throttle, now, "ann", HERE), 1, "and guesses nothing from there");
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
}
