//! How a session logs in, and how long it waits.

use std::fmt;
use std::time::Duration;

use md5::{Digest as _, Md5};

use crate::error::ActionError;
use crate::{
    ACTION_TIMEOUT, Action, ID_PREFIX_MAX_BYTES, LOGIN_TIMEOUT, PING_INTERVAL, PING_TIMEOUT,
    TIMEOUT_MAX,
};

/// How the secret is proven.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LoginMethod {
    /// The MD5 of a challenge and the secret: it is not sent, but whoever listens can try
    /// passwords on it. One round trip more.
    #[default]
    Challenge,
    /// The secret itself, for connections that are encrypted.
    Plain,
}

/// What a [`crate::Session`] needs to know.
///
/// # Examples
///
/// ```
/// use ami_proto::{Config, LoginMethod};
/// use std::time::Duration;
///
/// let config = Config::new("tandem", "s3cret", "hub-7f3a")?
///     .login_method(LoginMethod::Plain)
///     .events("system,call,reporting")?
///     .action_timeout(Duration::from_secs(5));
/// assert!(!format!("{config:?}").contains("s3cret"));
/// # Ok::<(), ami_proto::ActionError>(())
/// ```
#[derive(Clone)]
pub struct Config {
    username: Vec<u8>,
    secret: Vec<u8>,
    events: Option<Vec<u8>>,
    method: LoginMethod,
    pub(crate) id_prefix: Vec<u8>,
    pub(crate) login_timeout: Duration,
    pub(crate) action_timeout: Duration,
    pub(crate) ping_interval: Duration,
    pub(crate) ping_timeout: Duration,
}

impl Config {
    /// A user of `manager.conf`, and what all action ids begin with: something that no other
    /// session of that server has, for an `OriginateResponse` is told to all of them.
    ///
    /// # Errors
    ///
    /// If Asterisk would not read the user or the secret as they are, or the prefix is none.
    pub fn new(
        username: impl AsRef<[u8]>,
        secret: impl AsRef<[u8]>,
        id_prefix: impl AsRef<[u8]>,
    ) -> Result<Self, ActionError> {
        let (username, secret, id_prefix) =
            (username.as_ref(), secret.as_ref(), id_prefix.as_ref());
        // Tried now, so that logging in cannot fail for it.
        Action::new("Login")?.header("Username", username)?.header("Secret", secret)?;
        let fits = (1..=ID_PREFIX_MAX_BYTES).contains(&id_prefix.len());
        if !fits || !id_prefix.iter().all(u8::is_ascii_graphic) {
            return Err(ActionError::BadIdPrefix);
        }
        Ok(Self {
            username: username.to_vec(),
            secret: secret.to_vec(),
            events: None,
            method: LoginMethod::default(),
            id_prefix: id_prefix.to_vec(),
            login_timeout: LOGIN_TIMEOUT,
            action_timeout: ACTION_TIMEOUT,
            ping_interval: PING_INTERVAL,
            ping_timeout: PING_TIMEOUT,
        })
    }

    /// How the secret is proven.
    #[must_use]
    pub fn login_method(self, method: LoginMethod) -> Self {
        Self { method, ..self }
    }

    /// Which events are wanted: `off`, `on`, or classes with commas between. If nothing is said,
    /// all that the user may read.
    ///
    /// # Errors
    ///
    /// If it is not a header's value.
    pub fn events(self, mask: impl AsRef<[u8]>) -> Result<Self, ActionError> {
        Action::new("Login")?.header("Events", &mask)?;
        Ok(Self { events: Some(mask.as_ref().to_vec()), ..self })
    }

    /// From the connection to the accepted login; [`LOGIN_TIMEOUT`] if nothing is said.
    #[must_use]
    pub fn login_timeout(self, login_timeout: Duration) -> Self {
        Self { login_timeout: login_timeout.min(TIMEOUT_MAX), ..self }
    }

    /// How long an action waits for its answer, or a list for its next item; [`ACTION_TIMEOUT`]
    /// if nothing is said.
    #[must_use]
    pub fn action_timeout(self, action_timeout: Duration) -> Self {
        Self { action_timeout: action_timeout.min(TIMEOUT_MAX), ..self }
    }

    /// After how long without a message a ping is sent, and how long its answer may take;
    /// [`PING_INTERVAL`] and [`PING_TIMEOUT`] if nothing is said.
    #[must_use]
    pub fn ping(self, ping_interval: Duration, ping_timeout: Duration) -> Self {
        let [ping_interval, ping_timeout] =
            [ping_interval, ping_timeout].map(|t| t.min(TIMEOUT_MAX));
        Self { ping_interval, ping_timeout, ..self }
    }

    /// The first action, and whether it asks for a challenge.
    pub(crate) fn first_action(&self) -> Result<(Action, bool), ActionError> {
        match self.method {
            LoginMethod::Plain => {
                let login = self.login()?.header("Secret", &self.secret)?;
                Ok((self.with_events(login)?, false))
            }
            LoginMethod::Challenge => {
                // With the user, so that one who is logged in already is refused now.
                let ask = Action::new("Challenge")?.header("AuthType", "MD5")?;
                Ok((ask.header("Username", &self.username)?, true))
            }
        }
    }

    /// The login that proves the secret by this challenge.
    pub(crate) fn answer(&self, challenge: &[u8]) -> Result<Action, ActionError> {
        let digest = Md5::new().chain_update(challenge).chain_update(&self.secret).finalize();
        let key: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let login = self.login()?.header("AuthType", "MD5")?.header("Key", key)?;
        self.with_events(login)
    }

    fn login(&self) -> Result<Action, ActionError> {
        Action::new("Login")?.header("Username", &self.username)
    }

    fn with_events(&self, login: Action) -> Result<Action, ActionError> {
        match &self.events {
            Some(mask) => login.header("Events", mask),
            None => Ok(login),
        }
    }
}

/// The secret is not shown.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("username", &format_args!("{}", self.username.escape_ascii()))
            .field("method", &self.method)
            .field("id_prefix", &format_args!("{}", self.id_prefix.escape_ascii()))
            .finish_non_exhaustive()
    }
}
