//! What is wrong with pbx_web.conf: where, what, and what to write instead.

use std::fmt;

/// One mistake in the configuration.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{place}: {kind}")]
pub struct Problem {
    /// Where it is.
    pub place: Place,
    /// What it is.
    pub kind: ProblemKind,
}

/// Where a line stands.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Place {
    /// The file; empty for pbx_web.conf itself.
    pub file: String,
    /// What stands between the brackets.
    pub section: String,
    /// The line, from 1; 0 if it is not known.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = if self.file.is_empty() { super::FILE } else { &self.file };
        match self.line {
            0 => write!(f, "{file} [{}]", self.section),
            line => write!(f, "{file}:{line} [{}]", self.section),
        }
    }
}

/// What is wrong. Whoever wrote the configuration erred in all of them.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProblemKind {
    /// A section that is not known.
    #[error("there is no section of that name; there are [general], [users] and [acl]")]
    UnknownSection,
    /// A key that is not known there.
    #[error("{name} is not known here; there are {known}")]
    UnknownKey {
        /// As it is written.
        name: String,
        /// What is known.
        known: &'static str,
    },
    /// A key that is there twice.
    #[error("{0} is there twice; leave one")]
    Repeated(String),
    /// No port.
    #[error("{0:?} is no port; write a number from 1 to 65535")]
    BadPort(String),
    /// No address.
    #[error(
        "{0:?} is no address; write one of this machine's, 0.0.0.0 for all of IPv4, or :: for all"
    )]
    BadBind(String),
    /// No yes and no no.
    #[error("{0:?} is neither yes nor no")]
    BadSwitch(String),
    /// TLS without its files.
    #[error(
        "tlsenable=yes needs tlscertfile, and tlsprivatekey if the key is not in the same file"
    )]
    NoCertificate,
    /// A file without a name.
    #[error("{0} is empty; write the path of a PEM file, or take the line out")]
    NoFile(String),
    /// Not a number, or too large.
    #[error("{value:?} is no number from {least} to {most}")]
    BadNumber {
        /// As it is written.
        value: String,
        /// The smallest that may be.
        least: u64,
        /// The largest.
        most: u64,
    },
    /// A name that cannot be in `Host`.
    #[error("{0:?} is no host name; write names without scheme, port and path")]
    BadHostname(String),
    /// No rule.
    #[error(transparent)]
    BadRule(#[from] acl::RuleError),
    /// Open to everybody.
    #[error(
        "bind={0} without a rule in [acl] would let everybody try passwords; write who may connect, \
         or leave bind away"
    )]
    OpenBind(std::net::IpAddr),
    /// A user without a hash.
    #[error("a user is written as NAME,HASH; `pbx_web passwd NAME` in the CLI prints the line")]
    BadUser,
    /// A name that would be confusing.
    #[error(
        "{0:?} is no name for a user; letters, digits, dot, dash, _ and @ are good, 64 at most"
    )]
    BadUserName(String),
    /// The hash is not one of argon2id, or has limits that would take a server down.
    #[error(
        "the password of {0} is not hashed as it should be; `pbx_web passwd {0}` in the CLI prints \
         the line"
    )]
    BadHash(String),
}
