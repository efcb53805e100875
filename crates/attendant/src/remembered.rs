//! Names and passwords that were found right: programs send them with every request, and checking
//! one costs 20 MiB and 50 ms. What is kept is a hash under a key of this run's.

use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::users::Role;

/// How long a right one is taken for right without another look.
const KEPT_FOR: Duration = Duration::from_secs(300);
/// How many are kept; one more takes the oldest's place.
const KEPT_MAX: usize = 64;

type Tag = [u8; 32];

/// Right names and passwords.
pub(crate) struct Remembered {
    key: Tag,
    kept: Vec<Kept>,
}

struct Kept {
    tag: Tag,
    role: Role,
    until: Instant,
}

impl Remembered {
    /// `key` is this run's.
    pub(crate) fn new(key: Tag) -> Self {
        Self { key, kept: Vec::new() }
    }

    /// What the user may do, if that was found right of late.
    pub(crate) fn find(&self, user: &str, password: &str, now: Instant) -> Option<Role> {
        let mac = self.mac(user, password)?;
        let valid = self.kept.iter().filter(|kept| kept.until > now);
        // Each comparison takes as long, wherever they differ.
        let is_same = |kept: &&Kept| mac.clone().verify_slice(&kept.tag).is_ok();
        valid.filter(is_same).map(|kept| kept.role).next()
    }

    /// It was found right.
    pub(crate) fn insert(&mut self, user: &str, password: &str, role: Role, now: Instant) {
        let Some(mac) = self.mac(user, password) else { return };
        let tag = mac.finalize().into_bytes().into();
        self.kept.retain(|kept| kept.until > now && kept.tag != tag);
        if self.kept.len() >= KEPT_MAX {
            self.kept.remove(0);
        }
        self.kept.push(Kept { tag, role, until: now + KEPT_FOR });
    }

    /// Users may have changed.
    pub(crate) fn forget(&mut self) {
        self.kept.clear();
    }

    fn mac(&self, user: &str, password: &str) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(user.as_bytes());
        mac.update(&[0]);
        mac.update(password.as_bytes());
        Some(mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_right_is_known_for_a_while_and_nothing_else_is() {
        let (mut remembered, now) = (Remembered::new([7; 32]), Instant::now());
        remembered.insert("anna", "secret", Role::Viewer, now);
        assert_eq!(remembered.find("anna", "secret", now), Some(Role::Viewer));
        assert_eq!(remembered.find("anna", "secre", now), None);
        assert_eq!(remembered.find("ann", "asecret", now), None);
        assert_eq!(remembered.find("anna", "secret", now + KEPT_FOR), None);
        remembered.forget();
        assert_eq!(remembered.find("anna", "secret", now), None);
    }

    #[test]
    fn few_are_kept_and_none_as_it_is() {
        let (mut remembered, now) = (Remembered::new([7; 32]), Instant::now());
        for number in 0..KEPT_MAX + 3 {
            remembered.insert("anna", &number.to_string(), Role::Viewer, now);
        }
        assert_eq!(remembered.kept.len(), KEPT_MAX);
        assert_eq!(remembered.find("anna", "0", now), None, "the oldest went");
    }
}
