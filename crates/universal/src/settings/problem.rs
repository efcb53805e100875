//! What can be wrong with `universal.conf`, where, and how to mend it.

use std::fmt;

use univar::{AddressError, OWNER_MAX_BYTES};

use super::{MAX_IDENTITY_BYTES, MAX_PREFIX_BYTES, SECRET_MIN_BYTES};
use crate::{TemplateError, pattern};

/// A place in a configuration file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// The file's name.
    pub file: String,
    /// The section.
    pub section: String,
    /// The line, from 1; 0 if the section has no lines.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, section [{}]", self.file, self.section)?;
        if self.line > 0 { write!(f, ", line {}", self.line) } else { Ok(()) }
    }
}

/// One mistake in `universal.conf`.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{place}: {kind}")]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What, and how to mend it.
    pub kind: ProblemKind,
}

/// What is wrong at a [`Place`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProblemKind {
    /// No such option.
    #[error(
        "unknown option '{0}'; known are servers, copies, secret, owner, deadline, prefix, identity, lease, drivers, prefixes, dial, match and ring"
    )]
    UnknownOption(String),
    /// A section that stands in the file twice.
    #[error("section [{0}] is there already; keep one, or write [{0}](+) to add to it")]
    RepeatedSection(String),
    /// Given twice in one section.
    #[error("'{0}' is given twice in this section; keep one")]
    Repeated(String),
    /// Empty where something is needed.
    #[error("'{0}' is empty; give it a value or remove the line")]
    Empty(String),
    /// Not a whole number in its range.
    #[error("'{option} = {value}' must be a whole number from {from} to {to} ({unit})")]
    Number {
        /// The option.
        option: &'static str,
        /// What was written.
        value: String,
        /// The least.
        from: u64,
        /// The most.
        to: u64,
        /// What it counts.
        unit: &'static str,
    },
    /// `copies` other than 1 or 2, or without servers enough.
    #[error(
        "'copies = {copies}' is not possible with {servers} cache server(s); write 1, or 2 with two servers or more"
    )]
    Copies {
        /// What was written.
        copies: String,
        /// How many servers there are.
        servers: usize,
    },
    /// A secret that can be guessed.
    #[error(
        "the secret is too short; it takes {SECRET_MIN_BYTES} bytes or more, the same on all servers"
    )]
    ShortSecret,
    /// `owner` outside of `[general]`, or too long.
    #[error("'owner' belongs into [general], and takes at most {OWNER_MAX_BYTES} bytes")]
    Owner,
    /// A server that is no `host:port`.
    #[error("server '{server}' is not host:port: {reason}. Servers are separated by blanks")]
    BadServer {
        /// What was written.
        server: String,
        /// What is wrong with it.
        reason: AddressError,
    },
    /// A server twice in one list.
    #[error("server '{0}' is listed twice")]
    RepeatedServer(String),
    /// A prefix that cannot begin a key.
    #[error(
        "prefix '{0}' cannot begin a name: it takes 1 to {MAX_PREFIX_BYTES} bytes with no blanks or control bytes, and not 'tandem:'"
    )]
    BadPrefix(String),
    /// Two sections publish under one prefix, or one list has it twice.
    #[error(
        "prefix '{prefix}' is already used in section [{other}]; every prefix belongs to one section"
    )]
    DuplicatePrefix {
        /// The prefix.
        prefix: String,
        /// The section that had it first.
        other: String,
    },
    /// One prefix leads to different cache servers.
    #[error(
        "prefix '{prefix}' is in section [{other}] too, with other servers, copies or secret; give both the same"
    )]
    PrefixElsewhere {
        /// The prefix.
        prefix: String,
        /// The section that publishes under it.
        other: String,
    },
    /// Publishing options without an identity.
    #[error(
        "'{0}' needs an identity: what other servers find in the record; write identity = @this.server/"
    )]
    NoIdentity(&'static str),
    /// A dial template that nothing uses.
    #[error("'dial' is for a section with prefixes=: what LOCATE() looks under")]
    DialWithoutPrefixes,
    /// A switch that knows nobody, or cannot call whom it knows.
    #[error("'match' is for a section with prefixes= and dial=: where to look, and how to call")]
    MatchWithoutDial,
    /// An option of a switch that is none.
    #[error("'ring' is for a section with match=: how long a phone that its switch calls rings")]
    RingWithoutMatch,
    /// A pattern that cannot be one.
    #[error("'{pattern}' is no pattern for extensions: {reason}")]
    BadPattern {
        /// What was written.
        pattern: String,
        /// What is wrong with it.
        reason: pattern::PatternError,
    },
    /// Bytes that are no text.
    #[error("'{0}' is not UTF-8; save the file as UTF-8")]
    NotUtf8(String),
    /// An identity that cannot be stored.
    #[error("the identity takes at most {MAX_IDENTITY_BYTES} bytes")]
    LongIdentity,
    /// A template with a mistake.
    #[error("{0}")]
    Dial(#[from] TemplateError),
}
