//! The files' own text, in the order in which Asterisk's reader comes by: pbx_web.conf, and what it includes.
//!
//! Asterisk only warns about some lines, and skips them. Of an included file with a line that it cannot read
//! it drops the rest, and does not tell whoever included it. Here both are mistakes; only what Asterisk
//! refuses in pbx_web.conf itself is left to it.
//!
//! What a program prints (`#exec`) is read by Asterisk alone.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::RawLine;
use super::problem::{Place, Problem, ProblemKind};
use super::text::{Include, Line, Reader};

/// How deep files may include each other (config.c, `MAX_INCLUDE_LEVEL`).
const DEPTH_MAX: usize = 10;
/// Longest path: Asterisk has 256 bytes for it, with the NUL.
pub(super) const PATH_MAX_BYTES: usize = 255;
/// What is left of a longer name of a section (config.c, `struct ast_category`).
const SECTION_MAX_BYTES: usize = 79;

/// The machine's files.
pub trait Files {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// If it is not there, cannot be read, or is no regular file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Those that Asterisk would include by a pattern, in its order.
    ///
    /// # Errors
    ///
    /// If a folder cannot be looked into that is there.
    fn matching(&self, pattern: &Path) -> io::Result<Vec<PathBuf>>;
}

/// Looks for what Asterisk would skip, or drop, in `pbx_web.conf` in `folder` and all that it includes.
/// `lines` are what it read, whose numbers are set right, and `does_exec` is whether it does `#exec`.
#[must_use]
pub fn check_files(
    files: &impl Files,
    folder: &Path,
    does_exec: bool,
    lines: &mut [RawLine],
) -> Vec<Problem> {
    let mut walk = Walk {
        files,
        folder,
        does_exec,
        depth: 1,
        sections: Vec::new(),
        current: None,
        seen: HashSet::new(),
        counted_from: HashMap::new(),
        problems: Vec::new(),
        is_over: false,
    };
    // Without it all comes from a database (extconfig.conf).
    if let Ok(text) = files.read(&folder.join(super::FILE)) {
        walk.file(&mut Load::default(), Path::new(""), &text);
    }
    walk.others(lines);
    for line in lines {
        let from = walk.counted_from.get(Path::new(&line.file)).unwrap_or(&0);
        line.line = line.line.saturating_sub(*from);
    }
    walk.problems
}

/// Where Asterisk's reader is, and what it knows by then.
struct Walk<'a, F> {
    files: &'a F,
    folder: &'a Path,
    does_exec: bool,
    /// How many files are being read, each of which includes the next.
    depth: usize,
    sections: Vec<Section>,
    /// The section that an included file begins in.
    current: Option<usize>,
    /// What has been read.
    seen: HashSet<PathBuf>,
    /// How many lines Asterisk counts before a file's first, in those that match a pattern.
    counted_from: HashMap<PathBuf, u32>,
    problems: Vec<Problem>,
    /// Whether there is no use in going on.
    is_over: bool,
}

struct Section {
    name: Vec<u8>,
    is_template: bool,
}

/// What lasts for one file, or for all those of one pattern.
#[derive(Default)]
struct Load {
    reader: Reader,
    /// The section that its lines belong to: others' do not change it.
    section: Option<usize>,
    /// How many lines there were in the files before.
    lines: u32,
}

impl<F: Files> Walk<'_, F> {
    /// `path` is empty for pbx_web.conf itself.
    fn file(&mut self, load: &mut Load, path: &Path, text: &[u8]) {
        let is_new = self.seen.insert(path.to_owned());
        self.counted_from.insert(path.to_owned(), load.lines);
        for (line, number) in text.split(|byte| *byte == b'\n').zip(1..) {
            load.lines += 1;
            let read = load.reader.line(line, number);
            let read = read.and_then(|line| self.line(load, path, number, line));
            if let Err(kind) = read {
                let place = self.place(load, path, number);
                self.report(place, kind, is_new);
            }
            if self.is_over {
                return;
            }
        }
        if let Some(number) = load.reader.open_comment() {
            self.report(self.place(load, path, number), ProblemKind::OpenComment, is_new);
        }
    }

    fn line(
        &mut self,
        load: &mut Load,
        path: &Path,
        number: u32,
        line: Line,
    ) -> Result<(), ProblemKind> {
        match line {
            Line::Nothing => {}
            Line::Variable => {
                load.section.ok_or(ProblemKind::NoSection)?;
            }
            Line::Section { name, options } => {
                let (section, result) = self.section(&name, options.as_deref());
                load.section = Some(section);
                self.current = load.section;
                result?;
            }
            Line::Exec if !self.does_exec => return Err(ProblemKind::NoExec),
            Line::Exec => self.check_depth()?,
            Line::Include(include) => {
                self.check_depth()?;
                let place = self.place(load, path, number);
                self.include(&include, &place)?;
            }
        }
        Ok(())
    }

    /// The files may well include each other for ever.
    fn check_depth(&mut self) -> Result<(), ProblemKind> {
        self.is_over = self.depth > DEPTH_MAX;
        if self.is_over { Err(ProblemKind::TooDeep(DEPTH_MAX)) } else { Ok(()) }
    }

    /// `[NAME](OPTIONS)`: which section it is, and whether Asterisk reads on.
    fn section(&mut self, name: &[u8], options: Option<&[u8]>) -> (usize, Result<(), ProblemKind>) {
        let cut = name[..name.len().min(SECTION_MAX_BYTES)].to_owned();
        let mut new = Some(Section { name: cut, is_template: false });
        let mut target = 0;
        let mut result = Ok(());
        for option in options.into_iter().flat_map(|options| options.split(|b| *b == b',')) {
            match option {
                b"!" => match &mut new {
                    Some(new) => new.is_template = true,
                    None => self.sections[target].is_template = true,
                },
                b"+" => match self.find(name, false) {
                    Some(found) => {
                        target = found;
                        let was_template = new.take().is_some_and(|new| new.is_template);
                        self.sections[found].is_template |= was_template;
                    }
                    None => result = Err(ProblemKind::UnknownTarget(lossy(name))),
                },
                [b'+', ..] => result = Err(ProblemKind::Filter),
                base if self.find(base, true).is_none() => {
                    result = Err(ProblemKind::UnknownBase(lossy(base)));
                }
                _ => {}
            }
        }
        if let Some(new) = new {
            target = self.sections.len();
            self.sections.push(new);
        }
        (target, result)
    }

    /// As config.c, `category_get_sep`: to an empty name all are alike.
    fn find(&self, name: &[u8], may_be_template: bool) -> Option<usize> {
        self.sections.iter().position(|section| {
            let is_called = name.is_empty() || section.name.eq_ignore_ascii_case(name);
            is_called && (may_be_template || !section.is_template)
        })
    }

    fn include(&mut self, include: &Include, place: &Place) -> Result<(), ProblemKind> {
        let path = self.folder.join(&include.name);
        let is_pattern = has_any(&path, b"*?[{\\");
        let paths = if is_pattern { self.matching(&path)? } else { vec![path.clone()] };
        if paths.is_empty() && !include.may_be_missing {
            return Err(ProblemKind::NoMatch(path));
        }
        let mut load = Load { section: self.current, ..Load::default() };
        self.depth += 1;
        for path in paths {
            let may_be_missing = include.may_be_missing && !is_pattern;
            if let Err(kind) = self.included(&mut load, &path, is_pattern, may_be_missing) {
                self.report(place.clone(), kind, false);
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn included(
        &mut self,
        load: &mut Load,
        path: &Path,
        is_match: bool,
        may_be_missing: bool,
    ) -> Result<(), ProblemKind> {
        if path.as_os_str().len() > PATH_MAX_BYTES {
            return Err(ProblemKind::LongPath(path.to_owned()));
        }
        match self.files.read(path) {
            Ok(text) => self.file(load, path, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound && may_be_missing => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_match => {
                return Err(ProblemKind::Missing(path.to_owned()));
            }
            Err(error) => return Err(unreadable(path, &error)),
        }
        Ok(())
    }

    /// A folder that wildcards lead through, and one of `{a,b}`, may be left out without a word.
    fn matching(&self, pattern: &Path) -> Result<Vec<PathBuf>, ProblemKind> {
        let is_deep = pattern.parent().is_some_and(|folder| has_any(folder, b"*?["));
        if is_deep || has_any(pattern, b"{\\") {
            return Err(ProblemKind::BadPattern(pattern.to_owned()));
        }
        if pattern.as_os_str().len() > PATH_MAX_BYTES {
            return Err(ProblemKind::LongPath(pattern.to_owned()));
        }
        self.files.matching(pattern).map_err(|error| unreadable(pattern, &error))
    }

    /// Files that lines came from and nothing here led to: a database (extconfig.conf) includes them.
    fn others(&mut self, lines: &[RawLine]) {
        for line in lines.iter().filter(|line| !line.file.is_empty()) {
            let path = Path::new(&line.file);
            if self.is_over || self.seen.contains(path) {
                continue;
            }
            let Ok(text) = self.files.read(path) else { continue };
            self.depth = 2;
            self.current = Some(self.sections.len());
            let name = line.section.clone().into_bytes();
            self.sections.push(Section { name, is_template: false });
            let mut load = Load { section: self.current, ..Load::default() };
            self.file(&mut load, path, &text);
        }
    }

    fn place(&self, load: &Load, path: &Path, line: u32) -> Place {
        let section = load.section.map_or_else(String::new, |at| lossy(&self.sections[at].name));
        Place { file: path.to_string_lossy().into_owned(), section, line }
    }

    /// A file that is included twice has its mistakes once.
    fn report(&mut self, place: Place, kind: ProblemKind, is_new: bool) {
        let is_left_to_asterisk = place.file.is_empty() && kind.ends_reading();
        let problem = Problem { place, kind };
        if !is_left_to_asterisk && (is_new || !self.problems.contains(&problem)) {
            self.problems.push(problem);
        }
    }
}

fn unreadable(file: &Path, error: &io::Error) -> ProblemKind {
    ProblemKind::Unreadable { file: file.to_owned(), error: error.to_string() }
}

fn has_any(path: &Path, bytes: &[u8]) -> bool {
    path.as_os_str().as_bytes().iter().any(|byte| bytes.contains(byte))
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

#[cfg(test)]
mod tests;
