//! Asterisk's `.conf` syntax, read as Asterisk 22 reads it (`main/config.c`), for those who have no Asterisk.
//!
//! Sections, templates `(!)`, inheritance `(name)`, additions `(+)` and `+=`, `;` and `;-- --;` comments, `\;`,
//! `#include`, `#tryinclude` and `=>`. What Asterisk does with odd input is done here too, down to its limits of
//! 8190 bytes a line and 79 a section's name. Where it differs, it is stricter and says so:
//!
//! - `#exec` is refused: this reader runs nothing, so it cannot know what the file says.
//! - A mistake in an included file refuses the whole; Asterisk goes on with the half that it has read.
//! - `(+name=regex)` is refused; `(+TEMPLATES=include)` and `(+TEMPLATES=restrict)` work.
//! - Lines are counted in each file; Asterisk counts on through the files that one pattern found.
//!
//! Files are opened by a [`Files`], so nothing here does I/O; the real one is in `files`. This only reads:
//! comments and layout are gone. `extconfig.conf` (static realtime) is not looked at.

mod comment;
mod files;
mod reader;
#[cfg(test)]
mod tests;

use std::io;

use universal::settings::RawSection;

pub use files::Folder;

/// Deepest nesting of files, the first one counted in.
pub const FILES_DEEP_MAX: usize = 11;

/// Longest line, in bytes; a longer one is skipped, with a warning.
pub const LINE_MAX_BYTES: usize = 8190;

/// Longest name of a section, in bytes; the rest is cut.
pub const SECTION_MAX_BYTES: usize = 79;

/// One file that was opened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct File {
    /// What messages call it.
    pub name: String,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// Where included files come from.
pub trait Files {
    /// All files that `pattern` means, in order: it may be relative to Asterisk's configuration folder, and
    /// hold wildcards. None is no error.
    ///
    /// # Errors
    ///
    /// If one is there and cannot be read.
    fn open(&mut self, pattern: &str) -> io::Result<Vec<File>>;
}

/// A line of a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct At {
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, line {}", self.file, self.line)
    }
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfError {
    /// There is no such file.
    #[error("{0} is not there")]
    Missing(String),
    /// It is there, and cannot be read.
    #[error("{file} cannot be read: {error}")]
    Unreadable {
        /// The file's name, or the pattern.
        file: String,
        /// What the system said.
        error: io::Error,
    },
    /// A line that Asterisk would refuse, or this reader does.
    #[error("{at}: {mistake}")]
    Line {
        /// Where.
        at: At,
        /// What.
        mistake: Mistake,
    },
}

/// What is wrong with a line, so that the file cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Mistake {
    /// `[name`.
    #[error("the ']' is missing: write [name]")]
    NoBracket,
    /// `[name](template`.
    #[error("the ')' is missing: write [name](template)")]
    NoParenthesis,
    /// `[name](template)`, and no such template.
    #[error(
        "there is no section or template '{0}' above this line; names between '(' and ')' take no blanks"
    )]
    NoTemplate(String),
    /// `[name](+)`, and no such section.
    #[error("there is no section [{0}] above this line to add to")]
    NoSection(String),
    /// `[name](+filter)` with what this reader does not know.
    #[error("the filter '+{0}' is not supported here; write (+)")]
    Filter(String),
    /// `\` before nothing.
    #[error("a '\\' at the beginning must stand before a character")]
    Escape,
    /// `name = value` before any section.
    #[error("this line stands above the first [section]")]
    NoContext,
    /// `#exec`.
    #[error(
        "#exec is not run here; write its output to a file and #include that, or use --servers"
    )]
    Exec,
    /// `#include` of what is not there.
    #[error("'{0}' is included and not there; mend the name, or write #tryinclude")]
    NotIncluded(String),
    /// Files that include each other.
    #[error("files are included more than {FILES_DEEP_MAX} deep; does one include itself?")]
    TooDeep,
}

/// What Asterisk only warns of: the line, or a part of it, does not count.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Warning {
    /// Where.
    pub at: At,
    /// What.
    pub oddity: Oddity,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.at, self.oddity)
    }
}

/// What is odd about a line.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Oddity {
    /// No `=`.
    #[error("there is no '=' in this line, so it does not count")]
    NoEquals,
    /// `= value`.
    #[error("there is no name before the '=', so the line does not count")]
    NoName,
    /// `#something`.
    #[error("unknown directive '#{0}', so the line does not count (a comment begins with ';')")]
    Directive(String),
    /// `#include` alone.
    #[error("'#{0}' needs a file's name, so the line does not count")]
    NoFile(String),
    /// Longer than [`LINE_MAX_BYTES`].
    #[error("the line has more than {LINE_MAX_BYTES} bytes, so it does not count")]
    TooLong,
    /// `;--` without `--;`, or the other way round.
    #[error("a comment that begins or ends here has no other end: ';--' and '--;' go in pairs")]
    Unpaired,
}

/// What a file says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Parsed {
    /// Its sections in order, without templates, with what they inherit. Several may have one name.
    pub sections: Vec<RawSection>,
    /// What was skipped.
    pub warnings: Vec<Warning>,
}

/// Reads the file `name`, and what it includes.
///
/// # Errors
///
/// The first [`ConfError`].
pub fn read(name: &str, files: &mut dyn Files) -> Result<Parsed, ConfError> {
    reader::read(name, files)
}
