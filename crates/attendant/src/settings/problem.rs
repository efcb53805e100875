//! What is wrong with pbx_web.conf: where, what, and what to write instead.

use std::fmt;

use super::{files::PATH_MAX_BYTES, text::LINE_MAX_BYTES};

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
            // Before any section.
            line if self.section.is_empty() => write!(f, "{file}:{line}"),
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
        "{0:?} is no address; write one of this machine's, 0.0.0.0 for all of IPv4, or :: for all; \
         the port has a line of its own"
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
    /// A user without a hash. A module that did not load because of it has no command that prints one.
    #[error(
        "a user is written as NAME,HASH; take this line out, load the module, and `pbx_web passwd \
         NAME` in the CLI prints one to write in its place"
    )]
    BadUser,
    /// A name that would be confusing.
    #[error(
        "{0:?} is no name for a user; letters, digits, dot, dash, _ and @ are good, 64 at most"
    )]
    BadUserName(String),
    /// The hash is not one of argon2id, or has limits that would take a server down.
    #[error(
        "the password of {0} is not hashed as it should be; take this line out, load the module, \
         and `pbx_web passwd {0}` in the CLI prints one to write in its place"
    )]
    BadHash(String),
    /// No line of any kind: Asterisk only warns, and skips it.
    #[error("there is no = in this line, so Asterisk would skip it; write NAME = VALUE")]
    NoEquals,
    /// A value for nothing.
    #[error("nothing stands before the =, so Asterisk would skip this line; write NAME = VALUE")]
    NoName,
    /// Asterisk reads no further.
    #[error("there is a NUL in this line, and Asterisk would skip what follows; take it out")]
    Nul,
    /// Asterisk would skip it.
    #[error("this line has more than {LINE_MAX_BYTES} bytes, so Asterisk would skip it")]
    LongLine,
    /// `#` and something else. No more of it than letters: it may be a user's line that somebody took
    /// out, hash and all.
    #[error("#{0} is none; there are #include, #tryinclude and #exec, and a comment begins with ;")]
    UnknownDirective(String),
    /// `# text`.
    #[error(
        "a comment begins with ; and not with #, so Asterisk would skip this line with a warning"
    )]
    HashComment,
    /// A directive without what it is about.
    #[error("#{0} names no file, so Asterisk would skip it")]
    NoArgument(String),
    /// What Asterisk takes for a part of the name.
    #[error(
        "there is a byte order mark (U+FEFF) in this line, which Asterisk reads as text; \
         save the file without it"
    )]
    ByteOrderMark,
    /// Asterisk was told not to do it.
    #[error(
        "#exec is skipped, for execincludes of asterisk.conf is off; switch it on or use #include"
    )]
    NoExec,
    /// `[acl] permit = ...`.
    #[error("what stands behind the ] is not read; put it into a line of its own")]
    BehindSection,
    /// All the rest of the file is in it.
    #[error("this comment has no end, so nothing that follows is read; write --; where it ends")]
    OpenComment,
    /// Asterisk would take all that follows for a comment.
    #[error("--; ends no comment here, and Asterisk would not read what follows; take it out")]
    StrayEnd,
    /// `[acl`.
    #[error("there is no ] in this line, and Asterisk reads no more of the file")]
    NoBracket,
    /// `[acl](a`.
    #[error("there is no ) in this line, and Asterisk reads no more of the file")]
    NoParenthesis,
    /// `\` and a blank.
    #[error(
        "nothing that may be escaped stands behind the \\, and Asterisk reads no more of the file"
    )]
    BadEscape,
    /// `NAME = VALUE` in no section.
    #[error("this line stands before any [section], and Asterisk reads no more of the file")]
    NoSection,
    /// `[acl](a)` without an `[a]`.
    #[error(
        "there is no [{0}] before this line to take from, and Asterisk reads no more of the file"
    )]
    UnknownBase(String),
    /// `[acl](+)` without an `[acl]`.
    #[error(
        "there is no [{0}] before this line to add to (a template is none), and Asterisk reads no more of \
         the file"
    )]
    UnknownTarget(String),
    /// `[acl](+permit=::1)`.
    #[error("what stands behind the + is not understood here; write (+)")]
    Filter,
    /// A file includes itself, say.
    #[error("files include each other more than {0} deep, and Asterisk reads no more of this one")]
    TooDeep(usize),
    /// A file that is named and not there.
    #[error("there is no {0:?}, and Asterisk reads no more of this file")]
    Missing(std::path::PathBuf),
    /// A pattern that matches nothing.
    #[error(
        "no file is like {0:?}, and Asterisk reads no more of this one; #tryinclude needs none"
    )]
    NoMatch(std::path::PathBuf),
    /// A file that is there; Asterisk would skip it if it is one of several, or need not be there.
    #[error("{file:?} cannot be read: {error}; Asterisk may skip it")]
    Unreadable {
        /// The file, or the pattern.
        file: std::path::PathBuf,
        /// Why.
        error: String,
    },
    /// A pattern by which a file may be left out that nobody misses.
    #[error(
        "{0:?} is a pattern that is not understood here; write *, ? and [] in its last part alone, and \
         neither {{}} nor \\"
    )]
    BadPattern(std::path::PathBuf),
    /// Asterisk would cut it.
    #[error("{0:?} has more than {PATH_MAX_BYTES} bytes, so Asterisk would look for another file")]
    LongPath(std::path::PathBuf),
}

impl ProblemKind {
    /// Whether Asterisk reads no more of a file than this. To whoever included that file it does not tell,
    /// and goes on there. Only where it was asked for the file itself, everything is refused.
    pub(super) fn ends_reading(&self) -> bool {
        use ProblemKind as P;
        matches!(
            self,
            P::NoBracket
                | P::NoParenthesis
                | P::BadEscape
                | P::NoSection
                | P::UnknownBase(_)
                | P::UnknownTarget(_)
                | P::Missing(_)
                | P::NoMatch(_)
        )
    }
}
