//! What the operator wrote: sections, their prefixes and their cache servers.
//!
//! Checked as a whole by [`Config::check`], which `Store::new` calls; parsing `universal.conf`
//! belongs to the module.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::task::COPIES_MAX;

/// memcached's port, where none is written.
pub const DEFAULT_PORT: u16 = 11211;

/// Most cache servers in one section.
pub const SERVERS_MAX: usize = 64;

/// Shortest deadline: below it the kernel's own timers decide.
pub const DEADLINE_MIN: Duration = Duration::from_millis(1);

/// Longest deadline: a caller waits no longer than this for a dialplan application.
pub const DEADLINE_MAX: Duration = Duration::from_secs(10);

/// All sections. The first is the general one: it has every name that no prefix claims.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Config {
    /// The sections, `[general]` first.
    pub sections: Vec<SectionConfig>,
    /// This node's name in what it writes with two copies or a secret; at most
    /// [`crate::OWNER_MAX_BYTES`] bytes of it.
    pub owner: String,
}

/// One section of `universal.conf`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SectionConfig {
    /// Its name, for messages.
    pub name: String,
    /// Names that begin so belong here. Of several that match, the longest decides.
    pub prefixes: Vec<Vec<u8>>,
    /// Cache servers, `host` or `host:port`, as written: placement goes by these very texts.
    pub servers: Vec<String>,
    /// How long one batch of operations may take, all in all.
    pub deadline: Duration,
    /// How many of the servers hold each name: 1 or 2.
    pub copies: usize,
    /// What proves that a record was written by one of us.
    pub secret: Option<Secret>,
}

/// A section's secret. It shows itself to nobody.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// A secret of these bytes.
    #[must_use]
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        Self(bytes.as_ref().into())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Why a configuration cannot be used. The messages are meant for the operator.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is not even a general section.
    #[error("no section is configured")]
    NoSection,
    /// A section has no cache server.
    #[error("section [{section}] has no servers")]
    NoServers {
        /// The section's name.
        section: String,
    },
    /// A section has more than [`SERVERS_MAX`] cache servers.
    #[error("section [{section}] has {count} servers; at most {SERVERS_MAX} work")]
    TooManyServers {
        /// The section's name.
        section: String,
        /// How many it has.
        count: usize,
    },
    /// A server's text is no `host` or `host:port`.
    #[error("section [{section}]: \"{server}\" is not host or host:port: {reason}")]
    BadServer {
        /// The section's name.
        section: String,
        /// The text.
        server: String,
        /// What is wrong.
        reason: AddressError,
    },
    /// A section lists a server twice.
    #[error("section [{section}] lists {server} twice")]
    DuplicateServer {
        /// The section's name.
        section: String,
        /// The server.
        server: String,
    },
    /// Two sections claim the same prefix, or an empty one.
    #[error("section [{section}]: the prefix \"{}\" is empty or belongs to another section", .prefix.escape_ascii())]
    BadPrefix {
        /// The later section's name.
        section: String,
        /// The prefix.
        prefix: Vec<u8>,
    },
    /// Copies other than 1 or 2, or more than there are servers.
    #[error("section [{section}]: copies = {copies} is not possible with {servers} server(s)")]
    BadCopies {
        /// The section's name.
        section: String,
        /// How many were asked for.
        copies: usize,
        /// How many servers there are.
        servers: usize,
    },
    /// A deadline is not between [`DEADLINE_MIN`] and [`DEADLINE_MAX`].
    #[error(
        "section [{section}]: a deadline of {deadline:?} is not between {DEADLINE_MIN:?} and {DEADLINE_MAX:?}"
    )]
    BadDeadline {
        /// The section's name.
        section: String,
        /// The deadline.
        deadline: Duration,
    },
}

impl Config {
    /// Checks everything that can be checked without a network.
    ///
    /// # Errors
    ///
    /// The first [`ConfigError`] that is found.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.sections.is_empty() {
            return Err(ConfigError::NoSection);
        }
        let mut prefixes = HashSet::new();
        for section in &self.sections {
            section.check()?;
            for prefix in &section.prefixes {
                if prefix.is_empty() || !prefixes.insert(prefix) {
                    return Err(ConfigError::BadPrefix {
                        section: section.name.clone(),
                        prefix: prefix.clone(),
                    });
                }
            }
        }
        Ok(())
    }
}

impl SectionConfig {
    /// The servers' addresses, in the order in which they are written.
    ///
    /// # Errors
    ///
    /// [`ConfigError::BadServer`] for the first that is none.
    pub fn addresses(&self) -> Result<Vec<Address>, ConfigError> {
        self.servers
            .iter()
            .map(|server| {
                Address::parse(server).map_err(|reason| ConfigError::BadServer {
                    section: self.name.clone(),
                    server: server.clone(),
                    reason,
                })
            })
            .collect()
    }

    fn check(&self) -> Result<(), ConfigError> {
        let section = || self.name.clone();
        if self.servers.is_empty() {
            return Err(ConfigError::NoServers { section: section() });
        }
        if self.servers.len() > SERVERS_MAX {
            let count = self.servers.len();
            return Err(ConfigError::TooManyServers { section: section(), count });
        }
        if !(DEADLINE_MIN..=DEADLINE_MAX).contains(&self.deadline) {
            let deadline = self.deadline;
            return Err(ConfigError::BadDeadline { section: section(), deadline });
        }
        let (copies, servers) = (self.copies, self.servers.len());
        if !(1..=COPIES_MAX).contains(&copies) || copies > servers {
            return Err(ConfigError::BadCopies { section: section(), copies, servers });
        }
        let mut seen = HashSet::new();
        for address in self.addresses()? {
            let server = address.to_string();
            if !seen.insert(address) {
                return Err(ConfigError::DuplicateServer { section: section(), server });
            }
        }
        Ok(())
    }
}

/// A cache server's host and port as they are written; not yet resolved.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Address {
    host: String,
    port: u16,
}

/// Why a text is no [`Address`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AddressError {
    /// There is no host.
    #[error("the host is missing")]
    NoHost,
    /// The port is no number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    BadPort,
    /// An IPv6 address needs brackets, so that its port can be told.
    #[error("write an IPv6 address in brackets, like [::1]:11211")]
    Brackets,
}

impl Address {
    /// Reads `host`, `host:port`, `[v6]` or `[v6]:port`.
    ///
    /// # Errors
    ///
    /// [`AddressError`].
    ///
    /// # Examples
    ///
    /// ```
    /// let address = univar::Address::parse("cache1")?;
    /// assert_eq!(address.to_string(), "cache1:11211");
    /// # Ok::<(), univar::AddressError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, tail) = rest.split_once(']').ok_or(AddressError::Brackets)?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_| AddressError::Brackets)?;
                match tail.strip_prefix(':') {
                    Some(port) => (host, Some(port)),
                    None if tail.is_empty() => (host, None),
                    None => return Err(AddressError::Brackets),
                }
            }
            None => match text.split_once(':') {
                Some((_, port)) if port.contains(':') => return Err(AddressError::Brackets),
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        if host.is_empty() || host.bytes().any(|byte| byte <= b' ') {
            return Err(AddressError::NoHost);
        }
        let port = match port {
            Some(port) => port.parse().map_err(|_| AddressError::BadPort)?,
            None => DEFAULT_PORT,
        };
        if port == 0 {
            return Err(AddressError::BadPort);
        }
        Ok(Self { host: host.to_owned(), port })
    }

    /// The host, as written.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The socket's address, if the host is a number: then there is nothing to resolve.
    #[must_use]
    pub fn numeric(&self) -> Option<SocketAddr> {
        let host: IpAddr = self.host.parse().ok()?;
        Some(SocketAddr::new(host, self.port))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(name: &str, prefixes: &[&str], servers: &[&str]) -> SectionConfig {
        SectionConfig {
            name: name.into(),
            prefixes: prefixes.iter().map(|prefix| prefix.as_bytes().to_vec()).collect(),
            servers: servers.iter().map(|&server| server.to_owned()).collect(),
            deadline: Duration::from_millis(50),
            copies: 1,
            secret: None,
        }
    }

    fn error(sections: Vec<SectionConfig>) -> ConfigError {
        Config { sections, ..Config::default() }.check().unwrap_err()
    }

    #[test]
    fn addresses_are_read_as_they_are_written() {
        let said = |text| Address::parse(text).map(|address| address.to_string());
        assert_eq!(said("cache1").as_deref(), Ok("cache1:11211"));
        assert_eq!(said("cache1:11300").as_deref(), Ok("cache1:11300"));
        assert_eq!(said("10.0.0.1:11211").as_deref(), Ok("10.0.0.1:11211"));
        assert_eq!(said("[::1]:11300").as_deref(), Ok("[::1]:11300"));
        assert_eq!(said("[::1]").as_deref(), Ok("[::1]:11211"));
        assert_eq!(said("::1"), Err(AddressError::Brackets));
        assert_eq!(said("[::1"), Err(AddressError::Brackets));
        assert_eq!(said(":11211"), Err(AddressError::NoHost));
        assert_eq!(said("cache1:"), Err(AddressError::BadPort));
        assert_eq!(said("cache1:0"), Err(AddressError::BadPort));
        assert_eq!(said("cache1:65536"), Err(AddressError::BadPort));
    }

    #[test]
    fn only_numbers_need_no_resolving() {
        assert!(Address::parse("[::1]").unwrap().numeric().is_some());
        assert!(Address::parse("127.0.0.1").unwrap().numeric().is_some());
        assert!(Address::parse("localhost").unwrap().numeric().is_none());
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_sections_name() {
        assert_eq!(error(vec![]), ConfigError::NoSection);
        let none = error(vec![section("general", &[], &[])]);
        assert_eq!(none.to_string(), "section [general] has no servers");
        let twice = error(vec![section("general", &[], &["a", "a:11211"])]);
        assert_eq!(twice.to_string(), "section [general] lists a:11211 twice");
        let bad = error(vec![section("general", &[], &["a:x"])]);
        assert!(matches!(bad, ConfigError::BadServer { reason: AddressError::BadPort, .. }));
        let mut slow = section("general", &[], &["a"]);
        slow.deadline = Duration::from_secs(11);
        assert!(matches!(error(vec![slow]), ConfigError::BadDeadline { .. }));
    }

    #[test]
    fn a_prefix_belongs_to_one_section() {
        let general = section("general", &["A_"], &["a"]);
        let other = section("other", &["A_"], &["b"]);
        assert!(matches!(error(vec![general.clone(), other]), ConfigError::BadPrefix { .. }));
        let longer = section("other", &["A_B"], &["b"]);
        assert_eq!(Config { sections: vec![general, longer], ..Config::default() }.check(), Ok(()));
    }
}
