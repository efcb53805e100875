//! What the I/O thread, the workers and the module share. Every lock is held for moments only, but
//! for the workers' turns at passwords.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use httpd::Peer;

use crate::control::{self, Asking, ControlError};
use crate::pbx::{Level, Pbx, Security, SecurityEvent};
use crate::random;
use crate::remembered::{Claim, Remembered};
use crate::sessions::{Session, Sessions};
use crate::settings::Settings;
use crate::text;
use crate::throttle::{Throttle, Wait};
use crate::users::{Role, User};
use crate::views::Views;

/// Events of one kind that the security log is told in [`EVENT_TIME`]; a flood is counted, not told.
const EVENTS_MAX: u32 = 20;
const EVENT_TIME: Duration = Duration::from_secs(10);

/// How often it is said that passwords of many addresses are not looked at.
const CROWD_TIME: Duration = Duration::from_secs(60);

/// Workers that may wait for Asterisk's CLI at once: with those who look, fewer than there are ([`httpd::Limits`]).
pub(crate) const ASKS_MAX: usize = 2;

/// Shared by all threads.
pub(crate) struct Shared {
    pub(crate) pbx: Arc<dyn Pbx>,
    pub(crate) views: Views,
    is_stopped: AtomicBool,
    /// Workers that wait for the CLI.
    asks: AtomicUsize,
    current: Mutex<Arc<Settings>>,
    sessions: Mutex<Sessions>,
    throttle: Mutex<Throttle>,
    remembered: Mutex<Remembered>,
    /// Held by the worker that looks at a program's password.
    looks: Mutex<()>,
    events: Mutex<[Told; KINDS.len()]>,
    /// When it was said last that many addresses send wrong passwords.
    crowd_told: Mutex<Option<Instant>>,
}

const KINDS: [Security; 6] = [
    Security::FailedAcl,
    Security::InvalidAccount,
    Security::InvalidPassword,
    Security::LoadLimit,
    Security::SuccessfulAuth,
    Security::NotAllowed,
];

/// How often an event of one kind was told of late.
#[derive(Clone, Copy, Default)]
struct Told {
    since: Option<Instant>,
    count: u32,
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum LoginError {
    /// Which of the two is not said.
    #[error("the name or the password is wrong")]
    Wrong,
    /// Not even looked at.
    #[error("too many wrong passwords; try again in {} s", .0.as_secs().max(1))]
    Throttled(Duration),
    /// Not looked at either, and not for what they did.
    #[error(
        "too many wrong passwords from many addresses; try again in {} s", .0.as_secs().max(1)
    )]
    Crowded(Duration),
    /// Nor this, for want of memory.
    #[error(transparent)]
    NoMemory(#[from] password::NoMemory),
}

impl Shared {
    pub(crate) fn new(settings: Settings, pbx: Arc<dyn Pbx>) -> Result<Self, getrandom::Error> {
        Ok(Self {
            pbx,
            views: Views::default(),
            is_stopped: AtomicBool::new(false),
            asks: AtomicUsize::new(0),
            current: Mutex::new(Arc::new(settings)),
            sessions: Mutex::default(),
            throttle: Mutex::default(),
            remembered: Mutex::new(Remembered::new(random::key()?)),
            looks: Mutex::default(),
            events: Mutex::default(),
            crowd_told: Mutex::default(),
        })
    }

    /// Workers wait for Asterisk no longer.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::SeqCst);
    }

    /// Asks the CLI, for workers. One of them at least is left for other things.
    pub(crate) fn ask(
        &self,
        command: &str,
        most_bytes: usize,
        within: Duration,
    ) -> Result<String, ControlError> {
        let _turn = Turn::take(&self.asks).ok_or(ControlError::Busy)?;
        let asking = Asking { socket: &self.pbx.control_socket(), is_stopped: &self.is_stopped };
        control::ask(asking, command, most_bytes, within)
    }

    /// The settings in force.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        lock(&self.current).clone()
    }

    /// New settings: users who are gone or changed are logged out.
    pub(crate) fn reload(&self, settings: Settings) {
        *lock(&self.current) = Arc::new(settings);
        lock(&self.remembered).forget();
        lock(&self.sessions).keep(&self.settings());
    }

    pub(crate) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        lock(&self.sessions)
    }

    /// The user whose name and password were found right of late, and still are. Nobody while their
    /// address has to wait: what is known at once could be guessed at once.
    pub(crate) fn remembered(&self, claim: Claim<'_>, now: Instant) -> Option<User> {
        if lock(&self.throttle).wait(claim.from, now).is_some() {
            return None;
        }
        lock(&self.remembered).find(claim, now)
    }

    /// Whether a password will be looked at now. Counts as a wrong one until it is found right.
    pub(crate) fn begin_login(
        &self,
        user: &str,
        peer: &Peer,
        now: Instant,
    ) -> Result<(), LoginError> {
        let wait = lock(&self.throttle).begin(peer.remote.ip(), now);
        match wait {
            None => Ok(()),
            Some(Wait::Address(wait)) => {
                self.report(Security::LoadLimit, user, peer, now);
                Err(LoginError::Throttled(wait))
            }
            Some(Wait::All(wait)) => {
                self.report_crowd(now);
                Err(LoginError::Crowded(wait))
            }
        }
    }

    /// Not with an address: who has to wait for others is not to be banned for them.
    fn report_crowd(&self, now: Instant) {
        let mut told = lock(&self.crowd_told);
        if told.is_some_and(|at| now.saturating_duration_since(at) < CROWD_TIME) {
            return;
        }
        *told = Some(now);
        drop(told);
        self.pbx.log(
            Level::Warning,
            "pbx_web: too many wrong passwords from many addresses; for now only those of addresses \
             that somebody came in from are looked at",
        );
    }

    /// Whether the password is right: for workers, after [`Self::begin_login`]. Remembers it.
    pub(crate) fn login(
        &self,
        user: &str,
        password: &str,
        peer: &Peer,
        now: Instant,
    ) -> Result<(Role, String), LoginError> {
        let settings = self.settings();
        let known = settings.users.get(user);
        let is_right = password::is_right(password, known.map(|known| known.hash.as_str()));
        let is_right =
            is_right.inspect_err(|_| lock(&self.throttle).take_back(peer.remote.ip()))?;
        let Some(known) = known.filter(|_| is_right) else {
            let is_unknown = settings.users.get(user).is_none();
            let what =
                if is_unknown { Security::InvalidAccount } else { Security::InvalidPassword };
            self.report(what, user, peer, now);
            return Err(LoginError::Wrong);
        };
        lock(&self.throttle).right(peer.remote.ip());
        // Held while the settings are looked at again: a reload first changes these, and then has
        // everything forgotten that was found right under the old ones.
        let mut remembered = lock(&self.remembered);
        if self.settings().users.get(user) != Some(known) {
            return Err(LoginError::Wrong);
        }
        let claim = Claim { user, password, from: peer.remote.ip() };
        remembered.insert(claim, known, now);
        drop(remembered);
        self.report(Security::SuccessfulAuth, user, peer, now);
        Ok((known.role, known.hash.clone()))
    }

    /// Whether a program may come in: for workers. It may begin with many requests at once, and
    /// none of them was wrong because others are being looked at.
    pub(crate) fn let_in(
        &self,
        user: &str,
        password: &str,
        peer: &Peer,
        now: Instant,
    ) -> Result<(), LoginError> {
        let _turn = lock(&self.looks);
        let claim = Claim { user, password, from: peer.remote.ip() };
        if self.remembered(claim, now).is_some() {
            return Ok(());
        }
        self.begin_login(user, peer, now)?;
        self.login(user, password, peer, now).map(drop)
    }

    /// Begins a session for somebody who was let in; `None` if they are not any more.
    pub(crate) fn begin_session(
        &self,
        user: &str,
        (role, hash): (Role, &str),
        now: Instant,
    ) -> Result<Option<(String, Session)>, getrandom::Error> {
        // As above.
        let mut sessions = lock(&self.sessions);
        let settings = self.settings();
        let is_still = |known: &User| known.role == role && known.hash == hash;
        if !settings.users.get(user).is_some_and(is_still) {
            return Ok(None);
        }
        sessions.begin(user, (role, hash), now).map(Some)
    }

    /// Whether that address may connect.
    pub(crate) fn admits(&self, address: IpAddr) -> bool {
        self.settings().admits(address)
    }

    /// Tells the security log, and Asterisk's own of what somebody should see.
    pub(crate) fn report(&self, what: Security, user: &str, peer: &Peer, now: Instant) {
        let count = self.count(what, now);
        if count > EVENTS_MAX {
            return;
        }
        let shown = text::for_log(user);
        let event = SecurityEvent {
            what,
            user: &shown,
            remote: peer.remote,
            local: peer.local,
            is_secure: peer.is_secure,
        };
        self.pbx.security(&event);
        let said = match what {
            Security::FailedAcl => "is not let in by [acl] of pbx_web.conf",
            Security::InvalidAccount | Security::InvalidPassword => "sent a wrong name or password",
            Security::LoadLimit => "sent too many wrong passwords and has to wait",
            Security::NotAllowed => "may not do what was asked",
            Security::SuccessfulAuth => return,
        };
        let name = if shown.is_empty() { String::new() } else { format!(" ({shown:?})") };
        let rest = if count == EVENTS_MAX { "; more of these are not logged for now" } else { "" };
        let line = format!("pbx_web: {}{name} {said}{rest}", peer.remote.ip());
        self.pbx.log(Level::Warning, &line);
    }

    fn count(&self, what: Security, now: Instant) -> u32 {
        let mut events = lock(&self.events);
        let kind = KINDS.iter().position(|kind| *kind == what).unwrap_or(0);
        let told = &mut events[kind];
        if told.since.is_none_or(|since| now.saturating_duration_since(since) >= EVENT_TIME) {
            *told = Told { since: Some(now), count: 0 };
        }
        told.count = told.count.saturating_add(1);
        told.count
    }
}

/// One of those that may wait for the CLI at once.
struct Turn<'a>(&'a AtomicUsize);

impl<'a> Turn<'a> {
    fn take(asks: &'a AtomicUsize) -> Option<Self> {
        let turn = Self(asks);
        // Given back at once if it is one too many.
        (asks.fetch_add(1, Ordering::SeqCst) < ASKS_MAX).then_some(turn)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A thread that panicked left nothing half done behind these locks.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
