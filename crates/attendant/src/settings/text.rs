//! The file's own text. Asterisk's reader only warns about some lines, and skips them: a `deny` without
//! its `=` would leave the access list more open than it was meant.
//!
//! Lines and comments are taken apart as `config_text_file_load` and `process_text_line` of Asterisk's
//! main/config.c do. What they refuse themselves is left to them.

use super::problem::{Place, Problem, ProblemKind};

/// Longest line: Asterisk reads into 8192 bytes, with the line's end and NUL.
pub(super) const LINE_MAX_BYTES: usize = 8190;

/// What stands in a file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Text {
    /// What Asterisk would skip.
    pub problems: Vec<Problem>,
    /// What `#include` and `#tryinclude` name: paths from Asterisk's configuration folder, or patterns.
    pub includes: Vec<String>,
    /// Each `#exec`, which Asterisk may have been told to skip: problems if so.
    pub execs: Vec<Problem>,
}

/// Looks for what Asterisk would skip in `file`, which is empty for pbx_web.conf itself.
#[must_use]
pub fn check_text(file: &str, bytes: &[u8]) -> Text {
    let mut text = Text::default();
    let (mut comments, mut section) = (Comments::default(), String::new());
    let problem = |section: &str, line: u32, kind: ProblemKind| {
        let place = Place { file: file.to_owned(), section: section.to_owned(), line };
        Problem { place, kind }
    };
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for (line, number) in bytes.split(|byte| *byte == b'\n').zip(1..) {
        let read = comments.without(line, number).and_then(|line| Line::of(&line));
        match read {
            Ok(Line::Section(name)) => section = name,
            Ok(Line::Include(name)) => text.includes.push(name),
            Ok(Line::Exec) => text.execs.push(problem(&section, number, ProblemKind::NoExec)),
            Ok(Line::Other) => {}
            Err(kind) => text.problems.push(problem(&section, number, kind)),
        }
    }
    if let Some(number) = comments.open.last() {
        text.problems.push(problem(&section, *number, ProblemKind::OpenComment));
    }
    text
}

/// A line that Asterisk reads.
enum Line {
    Section(String),
    Include(String),
    Exec,
    /// Nothing, `NAME = VALUE`, or what Asterisk refuses itself.
    Other,
}

impl Line {
    fn of(line: &[u8]) -> Result<Self, ProblemKind> {
        if line.contains(&0) {
            return Err(ProblemKind::Nul);
        }
        // As Asterisk strips it: of all that is no more than a blank.
        let line = String::from_utf8_lossy(line);
        let line = line.trim_matches(|c| c <= ' ');
        match line.as_bytes().first() {
            None => Ok(Self::Other),
            Some(b'[') => section(line),
            Some(b'#') => directive(line),
            Some(_) => variable(line),
        }
    }
}

/// `[NAME]` or `[NAME](OPTIONS)`; what else stands in that line is not read.
fn section(line: &str) -> Result<Line, ProblemKind> {
    let Some((name, rest)) = line[1..].split_once(']') else { return Ok(Line::Other) };
    let rest = match rest.strip_prefix('(') {
        Some(options) => options.split_once(')').map_or("", |(_, rest)| rest),
        None => rest,
    };
    if !rest.trim().is_empty() {
        return Err(ProblemKind::BehindSection);
    }
    Ok(Line::Section(name.to_owned()))
}

fn directive(line: &str) -> Result<Line, ProblemKind> {
    let (name, argument) = line[1..].split_once(|c| c <= ' ').unwrap_or((&line[1..], ""));
    let argument = argument.trim();
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    match () {
        () if !["include", "tryinclude", "exec"].iter().any(|known| is(known)) => {
            Err(ProblemKind::UnknownDirective(name.to_owned()))
        }
        () if argument.is_empty() => Err(ProblemKind::NoArgument(name.to_owned())),
        () if is("exec") => Ok(Line::Exec),
        () => Ok(Line::Include(without_quotes(argument).to_owned())),
    }
}

fn without_quotes(argument: &str) -> &str {
    let quotes = [('"', '"'), ('<', '>')];
    let inner =
        quotes.iter().find_map(|(begin, end)| argument.strip_prefix(*begin)?.strip_suffix(*end));
    inner.unwrap_or(argument)
}

/// `NAME = VALUE`, `NAME => VALUE`, `NAME += VALUE`. The first character may be escaped.
fn variable(line: &str) -> Result<Line, ProblemKind> {
    let unescaped = line.strip_prefix('\\').unwrap_or(line);
    let Some((name, _)) = unescaped.split_once('=') else { return Err(ProblemKind::NoEquals) };
    if name.trim_end_matches('+').trim().is_empty() {
        return Err(ProblemKind::NoName);
    }
    Ok(Line::Other)
}

/// Comments, which may be within each other and over many lines: `;-- ... --;`.
#[derive(Default)]
struct Comments {
    /// The lines where those begin that have not ended.
    open: Vec<u32>,
}

impl Comments {
    /// What of a line is in no comment.
    fn without(&mut self, line: &[u8], number: u32) -> Result<Vec<u8>, ProblemKind> {
        if line.len() > LINE_MAX_BYTES {
            return Err(ProblemKind::LongLine);
        }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn problems(text: &str) -> Vec<String> {
        check_text("", text.as_bytes()).problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_asterisk_reads_is_no_problem() {
        for good in [
            "",
            "; deny 198.51.100.7",
            "[acl]\r\npermit = ::1\r\n  permit=>127.0.0.1\r\n",
            "\u{feff}[general] ; here it begins\n\tport=8011 ;; the page",
            "[a](!)\n[acl](a,+) ; more\npermit += 10.0.0.1",
            "[acl]\npermit = ::1 ;-- deny\n deny 10.0.0.1\n ;-- again\n --; deny\n--;\ndeny = ::2",
            "[acl];--a--;\n;-- a --; deny = ::1",
            "[acl]\n;--- no more than a line\ndeny = ::1",
            "[acl]\n; said --; here\ndeny = ::1",
            "[general]\nhostnames = a\\;--b",
            "#include more.conf\n#TryInclude \"*.more\"\n#exec /bin/true",
        ] {
            assert_eq!(problems(good), Vec::<String>::new(), "{good:?}");
        }
        assert_eq!(problems(include_str!("../../../../samples/pbx_web.conf.sample")), [""; 0]);
    }

    #[test]
    fn what_asterisk_would_skip_says_where_it_is_and_what_to_write() {
        let long = format!("[acl]\ndeny = {}::1", " ".repeat(LINE_MAX_BYTES));
        for (bad, wanted) in [
            ("[acl]\ndeny 198.51.100.7", "pbx_web.conf:2 [acl]: there is no = in this line"),
            ("[acl]\npermit = ::1 ;-- a --; ;\ndeny", "pbx_web.conf:3 [acl]: there is no ="),
            ("[acl]\n;-- a\n--; deny ::1", "pbx_web.conf:3 [acl]: there is no ="),
            ("[acl]\n= ::1", "nothing stands before the ="),
            ("[acl]\n += ::1", "nothing stands before the ="),
            (
                "[acl]\n#inlcude more.conf",
                "pbx_web.conf:2 [acl]: #inlcude is none; there are #include",
            ),
            ("#include ; more.conf", "#include names no file"),
            ("[acl] deny = ::1", "pbx_web.conf:1: what stands behind the ] is not read"),
            ("[acl](!) deny = ::1", "what stands behind the ] is not read"),
            (long.as_str(), "pbx_web.conf:2 [acl]: this line has more than 8190 bytes"),
            ("[acl]\n\n;-- all\ndeny = ::1\n", "pbx_web.conf:3 [acl]: this comment has no end"),
            ("[acl]\ndeny = ::1 --; said", "pbx_web.conf:2 [acl]: --; ends no comment here"),
            ("[acl]\ndeny = ::1\0::2", "NUL"),
        ] {
            let said = problems(bad);
            assert!(said.len() == 1 && said[0].contains(wanted), "{bad:.100?} says {said:?}");
        }
        let longest = format!("[acl]\ndeny = {}", ":".repeat(LINE_MAX_BYTES - "deny = ".len()));
        assert_eq!(problems(&longest), [""; 0]);
    }

    #[test]
    fn a_line_is_never_in_a_message() {
        let said = problems("[users]\nadminuser: admin secret");
        assert!(said.len() == 1 && !said[0].contains("secret"), "{said:?}");
    }

    #[test]
    fn what_is_included_is_told() {
        let text = "#include a.conf\n#tryinclude <b.conf>\n#exec \"c\"\n; #include d.conf\n#include \"e.conf\" ; f";
        assert_eq!(check_text("", text.as_bytes()).includes, ["a.conf", "b.conf", "e.conf"]);
    }

    #[test]
    fn each_exec_is_told_with_its_place() {
        let text = check_text("", b"[acl]\n#exec /bin/true\n;#exec /bin/false");
        assert!(text.problems.is_empty() && text.includes.is_empty(), "{text:?}");
        let said: Vec<_> = text.execs.iter().map(ToString::to_string).collect();
        assert!(said.len() == 1 && said[0].starts_with("pbx_web.conf:2 [acl]: #exec"), "{said:?}");
    }

    #[test]
    fn the_file_of_a_problem_is_named() {
        let said = check_text("/etc/more.conf", b"deny").problems;
        assert!(said[0].to_string().starts_with("/etc/more.conf:1: "), "{said:?}");
    }

    proptest! {
        #[test]
        fn whatever_stands_in_a_file_is_taken_apart(
            lines in proptest::collection::vec("[;\\-\\[\\]()#=+\\\\a \0]{0,12}|\\PC{0,8}", 0..8),
        ) {
            let text = check_text("", lines.join("\n").as_bytes());
            let last = lines.len().max(1);
            prop_assert!(text.problems.iter().all(|problem| problem.place.line as usize <= last));
        }
    }
}
