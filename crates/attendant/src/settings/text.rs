//! A line of a file's own text, taken apart as `config_text_file_load` and `process_text_line` of Asterisk's
//! main/config.c do. Some they only warn about, and skip: a `deny` without its `=` would leave the access
//! list more open than it was meant. At others they read no more of the file.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};

use super::problem::ProblemKind;

/// Longest line: Asterisk reads into 8192 bytes, with the line's end and NUL.
pub(super) const LINE_MAX_BYTES: usize = 8190;

/// What of an unknown directive may be said, in bytes.
const DIRECTIVE_MAX_BYTES: usize = 16;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A line that Asterisk reads.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Line {
    /// Blanks and comments.
    Nothing,
    /// `[NAME]`, and what stands in parentheses behind it.
    Section {
        name: Vec<u8>,
        options: Option<Vec<u8>>,
    },
    Include(Include),
    Exec,
    /// `NAME = VALUE`.
    Variable,
}

/// What `#include` and `#tryinclude` name: a path from Asterisk's configuration folder, or a pattern.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Include {
    pub(super) name: OsString,
    /// `#tryinclude`.
    pub(super) may_be_missing: bool,
}

impl Line {
    /// Takes a line without comments apart.
    fn of(line: &[u8]) -> Result<Self, ProblemKind> {
        let line = stripped(line);
        match line.first() {
            None => Ok(Self::Nothing),
            Some(b'[') => section(line),
            Some(b'#') => directive(line),
            // With a = it is a name as any other, which is looked at where values are.
            Some(_) if line.starts_with(BYTE_ORDER_MARK) && !line.contains(&b'=') => {
                Err(ProblemKind::ByteOrderMark)
            }
            Some(_) => variable(line),
        }
    }
}

/// As Asterisk does it: of all that is no more than a blank.
fn stripped(line: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| *byte > b' ';
    let begin = line.iter().position(is_text).unwrap_or(line.len());
    let end = line.iter().rposition(is_text).map_or(begin, |last| last + 1);
    &line[begin..end]
}

fn split_at(line: &[u8], is_end: impl Fn(u8) -> bool) -> Option<(&[u8], &[u8])> {
    let at = line.iter().position(|byte| is_end(*byte))?;
    Some((&line[..at], &line[at + 1..]))
}

/// `[NAME]` or `[NAME](OPTIONS)`; what else stands in that line is not read.
fn section(line: &[u8]) -> Result<Line, ProblemKind> {
    let (name, rest) = split_at(&line[1..], |b| b == b']').ok_or(ProblemKind::NoBracket)?;
    let (options, rest) = match rest.strip_prefix(b"(") {
        Some(rest) => {
            let (options, rest) =
                split_at(rest, |b| b == b')').ok_or(ProblemKind::NoParenthesis)?;
            (Some(options.to_owned()), rest)
        }
        None => (None, rest),
    };
    if !stripped(rest).is_empty() {
        return Err(ProblemKind::BehindSection);
    }
    Ok(Line::Section { name: name.to_owned(), options })
}

fn directive(line: &[u8]) -> Result<Line, ProblemKind> {
    let (name, argument) = split_at(&line[1..], |b| b <= b' ').unwrap_or((&line[1..], b""));
    let argument = without_quotes(stripped(argument));
    let known = ["include", "tryinclude", "exec"];
    let Some(known) = known.into_iter().find(|one| name.eq_ignore_ascii_case(one.as_bytes()))
    else {
        let letters = name.iter().take_while(|byte| byte.is_ascii_alphabetic());
        let name: String = letters.take(DIRECTIVE_MAX_BYTES).map(|b| char::from(*b)).collect();
        return Err(match name.is_empty() {
            true => ProblemKind::HashComment,
            false => ProblemKind::UnknownDirective(name),
        });
    };
    if argument.is_empty() {
        return Err(ProblemKind::NoArgument(known.to_owned()));
    }
    if known == "exec" {
        return Ok(Line::Exec);
    }
    let name = OsString::from_vec(argument.to_owned());
    Ok(Line::Include(Include { name, may_be_missing: known == "tryinclude" }))
}

fn without_quotes(argument: &[u8]) -> &[u8] {
    match argument {
        // One that begins and ends in the same byte.
        [b'"'] => b"",
        [b'"', inner @ .., b'"'] | [b'<', inner @ .., b'>'] => inner,
        _ => argument,
    }
}

/// `NAME = VALUE`, `NAME => VALUE`, `NAME += VALUE`. The first character may be escaped.
fn variable(line: &[u8]) -> Result<Line, ProblemKind> {
    let unescaped = line.strip_prefix(b"\\");
    // To C's `char` what is no ASCII is less than a blank, on most machines.
    if unescaped.is_some_and(|rest| rest.first().is_none_or(|b| *b <= b' ' || !b.is_ascii())) {
        return Err(ProblemKind::BadEscape);
    }
    let (name, _) =
        split_at(unescaped.unwrap_or(line), |b| b == b'=').ok_or(ProblemKind::NoEquals)?;
    if name.iter().all(|byte| *byte <= b' ' || *byte == b'+') {
        return Err(ProblemKind::NoName);
    }
    Ok(Line::Variable)
}

/// Lines of a file, or of several that one pattern includes: Asterisk reads those like one.
#[derive(Default)]
pub(super) struct Reader {
    comments: Comments,
    /// Whether there was a line already.
    has_begun: bool,
}

impl Reader {
    /// What Asterisk reads in the next line.
    pub(super) fn line(&mut self, line: &[u8], number: u32) -> Result<Line, ProblemKind> {
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        if line.contains(&0) {
            return Err(ProblemKind::Nul);
        }
        let text = match line.strip_prefix(BYTE_ORDER_MARK) {
            Some(text) if is_first => text,
            _ => line,
        };
        if line.len() > LINE_MAX_BYTES {
            return self.comments.skip(text, number);
        }
        Line::of(&self.comments.without(text, number)?)
    }

    /// At a file's end, where a comment begins that has none. It is not told again.
    pub(super) fn open_comment(&mut self) -> Option<u32> {
        std::mem::take(&mut self.comments.open).pop()
    }
}

/// Comments, which may be within each other and over many lines: `;-- ... --;`.
#[derive(Default)]
struct Comments {
    /// The lines where those begin that have not ended.
    open: Vec<u32>,
}

impl Comments {
    /// A line that is too long Asterisk skips, to its very end: that is as good as reading it, if it is
    /// all comment and neither begins one that goes on nor ends one.
    fn skip(&mut self, line: &[u8], number: u32) -> Result<Line, ProblemKind> {
        let before = self.open.clone();
        let text = self.without(line, number);
        let is_same = self.open == before;
        self.open = before;
        match text {
            Ok(text) if is_same && stripped(&text).is_empty() => Ok(Line::Nothing),
            _ => Err(ProblemKind::LongLine),
        }
    }

    /// What of a line is in no comment.
    fn without(&mut self, line: &[u8], number: u32) -> Result<Vec<u8>, ProblemKind> {
        let (mut text, mut from) = (Vec::new(), 0);
        while let Some(length) = memchr::memchr(b';', &line[from..]) {
            let at = from + length;
            let (before, after) = (&line[from..at], &line[at + 1..]);
            from = at + 1;
            if let Some(before) = before.strip_suffix(b"\\") {
                self.keep(&mut text, before);
                self.keep(&mut text, b";");
            } else if after.starts_with(b"--") && after.get(2) != Some(&b'-') {
                self.keep(&mut text, before);
                self.open.push(number);
                from = at + 3;
            } else if before.ends_with(b"--") {
                self.open.pop().ok_or(ProblemKind::StrayEnd)?;
            } else if self.open.is_empty() {
                text.extend_from_slice(before);
                return Ok(text);
            }
        }
        self.keep(&mut text, &line[from..]);
        Ok(text)
    }

    fn keep(&self, text: &mut Vec<u8>, piece: &[u8]) {
        if self.open.is_empty() {
            text.extend_from_slice(piece);
        }
    }
}
