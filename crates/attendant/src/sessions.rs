//! Who is logged in: in memory only, bounded in number and in time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::random;
use crate::settings::Settings;
use crate::users::Role;

/// A session that nothing was asked in for so long is over.
pub const IDLE_MAX: Duration = Duration::from_secs(60 * 60);
/// A session is over after so long, whatever was asked.
pub const AGE_MAX: Duration = Duration::from_secs(12 * 60 * 60);
/// One more takes the place of the one that was idle longest.
pub const SESSIONS_MAX: usize = 256;
/// Sessions of one user; one more takes the place of theirs that was idle longest.
pub const SESSIONS_PER_USER: usize = 16;

/// Somebody who is logged in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Session {
    pub(crate) user: String,
    pub(crate) role: Role,
    /// What a change has to bring along.
    pub(crate) csrf: String,
    /// Of the password that they came with.
    pub(crate) hash: String,
    begun: Instant,
    used: Instant,
}

/// All sessions, by what the cookie says.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    by_token: HashMap<String, Session>,
}

impl Sessions {
    /// Begins one and returns its token.
    pub(crate) fn begin(
        &mut self,
        user: &str,
        (role, hash): (Role, &str),
        now: Instant,
    ) -> Result<(String, Session), getrandom::Error> {
        let (token, csrf) = (random::token()?, random::token()?);
        self.by_token.retain(|_, session| session.is_valid(now));
        if self.by_token.values().filter(|session| session.user == user).count()
            >= SESSIONS_PER_USER
        {
            self.end_oldest(|session| session.user == user);
        }
        if self.by_token.len() >= SESSIONS_MAX {
            self.end_oldest(|_| true);
        }
        let session =
            Session { user: user.into(), role, csrf, hash: hash.into(), begun: now, used: now };
        self.by_token.insert(token.clone(), session.clone());
        Ok((token, session))
    }

    /// The session of a token, used now.
    pub(crate) fn find(&mut self, token: &str, now: Instant) -> Option<&Session> {
        if !self.by_token.get(token)?.is_valid(now) {
            self.by_token.remove(token);
        }
        let session = self.by_token.get_mut(token)?;
        session.used = now;
        Some(session)
    }

    /// Whether that session is still one. To ask for that does not use it.
    pub(crate) fn is_on(&self, token: &str, now: Instant) -> bool {
        self.by_token.get(token).is_some_and(|session| session.is_valid(now))
    }

    /// Ends one.
    pub(crate) fn end(&mut self, token: &str) {
        self.by_token.remove(token);
    }

    /// Ends those of users who are gone, or have another role or password now.
    pub(crate) fn keep(&mut self, settings: &Settings) {
        self.by_token.retain(|_, session| {
            let user = settings.users.get(&session.user);
            user.is_some_and(|user| user.role == session.role && user.hash == session.hash)
        });
    }

    fn end_oldest(&mut self, of: impl Fn(&Session) -> bool) {
        let candidates = self.by_token.iter().filter(|(_, session)| of(session));
        let oldest = candidates.min_by_key(|(_, session)| session.used);
        if let Some(token) = oldest.map(|(token, _)| token.clone()) {
            self.by_token.remove(&token);
        }
    }
}

impl Session {
    fn is_valid(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) < IDLE_MAX
            && now.saturating_duration_since(self.begun) < AGE_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: (Role, &str) = (Role::Viewer, "hash");

    #[test]
    fn a_session_is_found_by_its_token_and_no_other() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let (token, session) = sessions.begin("anna", WHO, now).expect("a session");
        assert!(token.len() >= 21 && token != session.csrf);
        assert_eq!(sessions.find(&token, now), Some(&session));
        assert_eq!(sessions.find("", now), None);
        assert_eq!(sessions.find(&session.csrf, now), None);
        sessions.end(&token);
        assert_eq!(sessions.find(&token, now), None);
    }

    #[test]
    fn a_session_ends_when_it_is_idle_and_when_it_is_old() {
        let (mut sessions, mut now) = (Sessions::default(), Instant::now());
        let begun = now;
        let (token, _) = sessions.begin("anna", WHO, now).expect("a session");
        while now - begun + IDLE_MAX / 2 < AGE_MAX {
            now += IDLE_MAX / 2;
            assert!(sessions.find(&token, now).is_some(), "it is used");
        }
        assert!(sessions.find(&token, begun + AGE_MAX).is_none(), "and yet it has an end");
        let (token, _) = sessions.begin("anna", WHO, now).expect("a session");
        assert!(sessions.find(&token, now + IDLE_MAX).is_none());
    }

    #[test]
    fn who_only_looks_on_is_idle() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let (token, _) = sessions.begin("anna", WHO, now).expect("a session");
        let second = Duration::from_secs(1);
        for at in [now, now + IDLE_MAX / 2, now + IDLE_MAX - second] {
            assert!(sessions.is_on(&token, at));
        }
        assert!(!sessions.is_on(&token, now + IDLE_MAX));
        assert!(!sessions.is_on("", now));
    }

    #[test]
    fn there_is_a_bound_for_each_and_for_all() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let (other, _) = sessions.begin("bob", WHO, now).expect("a session");
        let (first, _) = sessions.begin("anna", WHO, now).expect("a session");
        for number in 0..SESSIONS_PER_USER {
            let at = now + Duration::from_millis(number as u64 + 1);
            sessions.begin("anna", WHO, at).expect("a session");
        }
        assert!(sessions.find(&first, now).is_none(), "her oldest is over");
        assert!(sessions.find(&other, now).is_some(), "his is not");
        for number in 0..SESSIONS_MAX * 2 {
            sessions.begin(&number.to_string(), WHO, now).expect("a session");
        }
        assert_eq!(sessions.by_token.len(), SESSIONS_MAX);
    }
}
