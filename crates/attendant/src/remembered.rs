//! Names and passwords that were found right: programs send them with every request, and checking
//! one costs 20 MiB and 50 ms. What is kept is a hash under a key of this run's, of the network that
//! it came from, too: what one address knows is no answer for another.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use acl::network_of;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::users::User;

/// How long a right one is taken for right without another look.
const KEPT_FOR: Duration = Duration::from_secs(300);
/// How many are kept; one more takes the oldest's place.
const KEPT_MAX: usize = 64;

type Tag = [u8; 32];

/// Who somebody says they are.
#[derive(Clone, Copy)]
pub(crate) struct Claim<'a> {
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
    pub(crate) from: IpAddr,
}

/// Right names and passwords.
pub(crate) struct Remembered {
    key: Tag,
    kept: Vec<Kept>,
}

struct Kept {
    tag: Tag,
    /// What was right then.
    known: User,
    until: Instant,
}

impl Remembered {
    /// `key` is this run's.
    pub(crate) fn new(key: Tag) -> Self {
        Self { key, kept: Vec::new() }
    }

    /// The user as they were, if that was found right of late.
    pub(crate) fn find(&self, claim: Claim<'_>, now: Instant) -> Option<User> {
        let mac = self.mac(claim)?;
        let valid = self.kept.iter().filter(|kept| kept.until > now);
        // Each comparison takes as long, wherever they differ.
        let is_same = |kept: &&Kept| mac.clone().verify_slice(&kept.tag).is_ok();
        valid.filter(is_same).map(|kept| kept.known.clone()).next()
    }

    /// It was found right.
    pub(crate) fn insert(&mut self, claim: Claim<'_>, known: &User, now: Instant) {
        let Some(mac) = self.mac(claim) else { return };
        let tag = mac.finalize().into_bytes().into();
        self.kept.retain(|kept| kept.until > now && kept.tag != tag);
        if self.kept.len() >= KEPT_MAX {
            self.kept.remove(0);
        }
        self.kept.push(Kept { tag, known: known.clone(), until: now + KEPT_FOR });
    }

    /// Users may have changed.
    pub(crate) fn forget(&mut self) {
        self.kept.clear();
    }

    fn mac(&self, claim: Claim<'_>) -> Option<Hmac<Sha256>> {
        let network = match network_of(claim.from) {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(&network.octets());
        // Where the name ends: either may have any character.
        mac.update(&claim.user.len().to_be_bytes());
        mac.update(claim.user.as_bytes());
        mac.update(claim.password.as_bytes());
        Some(mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::Role;

    const ANNA: User = User { role: Role::Viewer, hash: String::new() };

    fn claim<'a>(user: &'a str, password: &'a str, from: &str) -> Claim<'a> {
        Claim { user, password, from: from.parse().expect("an address") }
    }

    #[test]
    fn what_was_right_is_known_for_a_while_and_nothing_else_is() {
        let (mut remembered, now) = (Remembered::new([7; 32]), Instant::now());
        let right = claim("anna", "secret", "192.0.2.1");
        remembered.insert(right, &ANNA, now);
        assert_eq!(remembered.find(right, now), Some(ANNA));
        assert_eq!(remembered.find(claim("anna", "secre", "192.0.2.1"), now), None);
        assert_eq!(remembered.find(claim("ann", "asecret", "192.0.2.1"), now), None);
        assert_eq!(remembered.find(right, now + KEPT_FOR), None);
        remembered.forget();
        assert_eq!(remembered.find(right, now), None);
    }

    #[test]
    fn what_one_address_knows_is_no_answer_for_another() {
        let (mut remembered, now) = (Remembered::new([7; 32]), Instant::now());
        remembered.insert(claim("anna", "secret", "192.0.2.1"), &ANNA, now);
        remembered.insert(claim("anna", "secret", "2001:db8::1"), &ANNA, now);
        for (from, is_known) in [
            ("::ffff:192.0.2.1", true),
            ("192.0.2.2", false),
            ("2001:db8::ffff", true),
            ("2001:db8:0:1::1", false),
        ] {
            let found = remembered.find(claim("anna", "secret", from), now);
            assert_eq!(found.is_some(), is_known, "{from}");
        }
    }

    #[test]
    fn few_are_kept_and_none_as_it_is() {
        let (mut remembered, now) = (Remembered::new([7; 32]), Instant::now());
        for number in 0..KEPT_MAX + 3 {
            remembered.insert(claim("anna", &number.to_string(), "::1"), &ANNA, now);
        }
        assert_eq!(remembered.kept.len(), KEPT_MAX);
        assert_eq!(remembered.find(claim("anna", "0", "::1"), now), None, "the oldest went");
    }
}
