//! Lines to sections: Asterisk's `process_text_line`, and the files that lines include.

use universal::settings::{RawLine, RawSection};

use super::comment::Depth;
use super::{
    At, ConfError, FILES_DEEP_MAX, File, Files, LINE_MAX_BYTES, Mistake, Oddity, Parsed,
    SECTION_MAX_BYTES, Warning,
};

pub(super) fn read(name: &str, files: &mut dyn Files) -> Result<Parsed, ConfError> {
    let mut reader = Reader { files, sections: Vec::new(), current: None, warnings: Vec::new() };
    if !reader.files_of(name, 1)? {
        return Err(ConfError::Missing(name.to_owned()));
    }
    let sections = reader.sections.into_iter().filter(|section| !section.template);
    let sections = sections.map(Section::finish).collect();
    Ok(Parsed { sections, warnings: reader.warnings })
}

struct Reader<'f> {
    files: &'f mut dyn Files,
    sections: Vec<Section>,
    /// The section that was opened last, in whatever file: where an included file begins.
    current: Option<usize>,
    warnings: Vec<Warning>,
}

/// A section or a template, as bytes.
struct Section {
    name: Vec<u8>,
    template: bool,
    lines: Vec<Line>,
}

#[derive(Clone)]
struct Line {
    name: Vec<u8>,
    value: Vec<u8>,
    at: At,
    inherited: bool,
}

impl Section {
    fn finish(self) -> RawSection {
        let lines = self.lines.into_iter().map(|line| RawLine {
            name: lossy(&line.name),
            value: lossy(&line.value),
            file: line.at.file,
            line: line.at.line,
            inherited: line.inherited,
        });
        RawSection { name: lossy(&self.name), lines: lines.collect() }
    }
}

impl Reader<'_> {
    /// Reads all files that `pattern` means. `false` if there is none.
    fn files_of(&mut self, pattern: &str, deep: usize) -> Result<bool, ConfError> {
        let opened = self.files.open(pattern);
        let opened =
            opened.map_err(|error| ConfError::Unreadable { file: pattern.to_owned(), error })?;
        // The files of one pattern are read as if they were one.
        let mut section = self.current;
        let mut depth = Depth::default();
        for (index, file) in opened.iter().enumerate() {
            self.file(file, index == 0, deep, &mut section, &mut depth)?;
        }
        Ok(!opened.is_empty())
    }

    fn file(
        &mut self,
        file: &File,
        first: bool,
        deep: usize,
        section: &mut Option<usize>,
        depth: &mut Depth,
    ) -> Result<(), ConfError> {
        let mut bytes = &file.bytes[..];
        if first {
            bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        }
        // The line that brought the reader into or out of a comment last.
        let mut turned = At { file: file.name.clone(), line: 1 };
        for (line, number) in bytes.split(|&byte| byte == b'\n').zip(1..) {
            let at = At { file: file.name.clone(), line: number };
            if line.len() > LINE_MAX_BYTES {
                self.warn(&at, Oddity::TooLong);
                continue;
            }
            let line = line.split(|&byte| byte == 0).next().unwrap_or_default();
            let before = *depth;
            let left = depth.strip(line.to_vec());
            if before != *depth {
                turned = at.clone();
            }
            let text = left.as_deref().map(strip).unwrap_or_default();
            if !text.is_empty() {
                self.line(text, &at, deep, section)?;
            }
        }
        if !depth.is_outside() {
            self.warn(&turned, Oddity::Unpaired);
        }
        Ok(())
    }

    fn line(
        &mut self,
        text: &[u8],
        at: &At,
        deep: usize,
        section: &mut Option<usize>,
    ) -> Result<(), ConfError> {
        let done = match text[0] {
            b'[' => self.header(&text[1..]).map(|opened| *section = Some(opened)),
            b'#' => return self.directive(&text[1..], at, deep),
            _ => match *section {
                Some(section) => self.variable(section, text, at),
                None => Err(Mistake::NoContext),
            },
        };
        done.map_err(|mistake| ConfError::Line { at: at.clone(), mistake })
    }

    /// `name](options)`. Gives the section.
    fn header(&mut self, text: &[u8]) -> Result<usize, Mistake> {
        let (name, after) = cut(text, b']').ok_or(Mistake::NoBracket)?;
        let name = &name[..name.len().min(SECTION_MAX_BYTES)];
        let mut fresh = Section { name: name.to_vec(), template: false, lines: Vec::new() };
        // Once it was found by `+`, that one is meant.
        let mut found: Option<usize> = None;
        if let Some(options) = after.strip_prefix(b"(") {
            let (options, _) = cut(options, b')').ok_or(Mistake::NoParenthesis)?;
            for option in options.split(|&byte| byte == b',') {
                let target = match found {
                    Some(at) => &mut self.sections[at],
                    None => &mut fresh,
                };
                if option == b"!" {
                    target.template = true;
                } else if let Some(filter) = option.strip_prefix(b"+") {
                    let at = self.find_to_add(name, filter)?;
                    let old = &mut self.sections[at];
                    if found.is_none() {
                        old.template |= fresh.template;
                        old.lines.append(&mut fresh.lines);
                    }
                    found = Some(at);
                } else {
                    let base =
                        self.find(option).ok_or_else(|| Mistake::NoTemplate(lossy(option)))?;
                    let heirlooms: Vec<Line> = self.sections[base].lines.clone();
                    let heirlooms =
                        heirlooms.into_iter().map(|line| Line { inherited: true, ..line });
                    match found {
                        Some(at) => self.sections[at].lines.extend(heirlooms),
                        None => fresh.lines.extend(heirlooms),
                    }
                }
            }
        }
        let at = found.unwrap_or_else(|| {
            self.sections.push(fresh);
            self.sections.len() - 1
        });
        self.current = Some(at);
        Ok(at)
    }

    /// A section or template of this name, or the first of all for an empty one.
    fn find(&self, name: &[u8]) -> Option<usize> {
        self.sections.iter().position(|section| section.is_called(name))
    }

    fn find_to_add(&self, name: &[u8], filter: &[u8]) -> Result<usize, Mistake> {
        let fits: fn(&Section) -> bool = match filter.to_ascii_lowercase().as_slice() {
            b"" => |section| !section.template,
            b"templates=include" => |_| true,
            b"templates=restrict" => |section| section.template,
            _ => return Err(Mistake::Filter(lossy(filter))),
        };
        let found =
            self.sections.iter().position(|section| section.is_called(name) && fits(section));
        found.ok_or_else(|| Mistake::NoSection(lossy(name)))
    }

    /// `include "file"`.
    fn directive(&mut self, text: &[u8], at: &At, deep: usize) -> Result<(), ConfError> {
        let end = text.iter().position(|&byte| byte <= b' ').unwrap_or(text.len());
        let word = text[..end].to_ascii_lowercase();
        let mistake = |mistake| Err(ConfError::Line { at: at.clone(), mistake });
        let must = match word.as_slice() {
            b"include" => true,
            b"tryinclude" => false,
            b"exec" => return mistake(Mistake::Exec),
            _ => {
                self.warn(at, Oddity::Directive(lossy(&text[..end])));
                return Ok(());
            }
        };
        let argument = unquote(strip(&text[end..]));
        if argument.is_empty() {
            self.warn(at, Oddity::NoFile(lossy(&word)));
            return Ok(());
        }
        if deep == FILES_DEEP_MAX {
            return mistake(Mistake::TooDeep);
        }
        let name = lossy(argument);
        if !self.files_of(&name, deep + 1)? && must {
            return mistake(Mistake::NotIncluded(name));
        }
        Ok(())
    }

    /// `name = value`, `name => value` or `name += value`.
    fn variable(&mut self, section: usize, text: &[u8], at: &At) -> Result<(), Mistake> {
        // A first character that is escaped is neither `[` nor `#` nor `=`.
        let (text, skip) = match text.strip_prefix(b"\\") {
            Some(rest) if rest.first().is_none_or(|&byte| byte <= b' ') => {
                return Err(Mistake::Escape);
            }
            Some(rest) => (rest, 1),
            None => (text, 0),
        };
        let Some(equals) = text[skip..].iter().position(|&byte| byte == b'=') else {
            self.warn(at, Oddity::NoEquals);
            return Ok(());
        };
        let equals = skip + equals;
        let after = &text[equals + 1..];
        if equals > skip && text[equals - 1] == b'+' {
            let name = strip(&text[..equals - 1]);
            if self.append(section, name, after) {
                return Ok(());
            }
            self.push(section, name, after, at);
        } else {
            let value = after.strip_prefix(b">").unwrap_or(after);
            self.push(section, strip(&text[..equals]), value, at);
        }
        Ok(())
    }

    /// Appends to the last line of this name. `false` if there is none.
    fn append(&mut self, section: usize, name: &[u8], more: &[u8]) -> bool {
        let lines = &mut self.sections[section].lines;
        let Some(old) = lines.iter().rfind(|line| line.name == name) else { return false };
        let old = old.value.clone();
        let whole = [&old[..], more].concat();
        let meant = lines.iter_mut().find(|line| {
            line.name.eq_ignore_ascii_case(name)
                && (old.is_empty() || line.value.eq_ignore_ascii_case(&old))
        });
        if let Some(line) = meant {
            line.name = name.to_vec();
            line.value = strip(&whole).to_vec();
            line.inherited = false;
        }
        true
    }

    fn push(&mut self, section: usize, name: &[u8], value: &[u8], at: &At) {
        if name.is_empty() {
            return self.warn(at, Oddity::NoName);
        }
        let (name, value) = (name.to_vec(), strip(value).to_vec());
        self.sections[section].lines.push(Line { name, value, at: at.clone(), inherited: false });
    }

    fn warn(&mut self, at: &At, oddity: Oddity) {
        self.warnings.push(Warning { at: at.clone(), oddity });
    }
}

impl Section {
    fn is_called(&self, name: &[u8]) -> bool {
        name.is_empty() || self.name.eq_ignore_ascii_case(name)
    }
}

/// Splits at the first `byte`, which is dropped.
fn cut(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&one| one == byte)?;
    Some((&text[..at], &text[at + 1..]))
}

/// Without what Asterisk takes for blanks: all bytes up to 32.
fn strip(text: &[u8]) -> &[u8] {
    let Some(start) = text.iter().position(|&byte| byte > b' ') else { return &[] };
    let end = text.iter().rposition(|&byte| byte > b' ').map_or(start, |last| last + 1);
    &text[start..end]
}

/// Without `"…"` or `<…>` around it.
fn unquote(text: &[u8]) -> &[u8] {
    match text {
        [b'"', middle @ .., b'"'] | [b'<', middle @ .., b'>'] => middle,
        _ => text,
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
