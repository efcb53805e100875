//! What Asterisk reads of files, skips, and drops.

use proptest::prelude::*;

use super::super::text::LINE_MAX_BYTES;
use super::*;

/// The folder of the configuration.
const FOLDER: &str = "/conf";

/// Files by their names in the folder; one without a text cannot be read.
struct Drawer<'a>(&'a [(&'a str, Option<&'a [u8]>)]);

impl Files for Drawer<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let is_it = |file: &&(&str, _)| Path::new(FOLDER).join(file.0) == path;
        match self.0.iter().find(is_it) {
            Some((_, Some(text))) => Ok(text.to_vec()),
            Some((_, None)) => Err(io::ErrorKind::PermissionDenied.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Of one star.
    fn matching(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        let pattern = pattern.to_string_lossy();
        let (begin, end) = pattern.split_once('*').expect("a star");
        let paths = self.0.iter().map(|(name, _)| format!("{FOLDER}/{name}"));
        Ok(paths
            .filter(|path| path.starts_with(begin) && path.ends_with(end))
            .map(PathBuf::from)
            .collect())
    }
}

fn said_of(files: &[(&str, Option<&[u8]>)]) -> Vec<String> {
    let problems = check_files(&Drawer(files), Path::new(FOLDER), true, &mut []);
    problems.iter().map(ToString::to_string).collect()
}

fn problems(text: &str) -> Vec<String> {
    said_of(&[("pbx_web.conf", Some(text.as_bytes()))])
}

/// What is said if pbx_web.conf has an `[acl]` that includes that.
fn problems_within(text: &str) -> Vec<String> {
    said_of(&[
        ("pbx_web.conf", Some(b"[acl]\n#include more.conf\npermit = ::/0")),
        ("more.conf", Some(text.as_bytes())),
    ])
}

#[track_caller]
fn is_said(said: &[String], wanted: &str) {
    assert!(said.len() == 1 && said[0].contains(wanted), "{wanted:?} is not {said:.300?}");
}

#[test]
fn what_asterisk_reads_is_no_problem() {
    for good in [
        "",
        "; deny 198.51.100.7",
        "[acl]\r\npermit = ::1\r\n  permit=>127.0.0.1\r\n",
        "\u{feff}[general] ; here it begins\n\tport=8011 ;; the page",
        "[a](!)\n[acl](a) ; more\n[acl](+)\npermit += 10.0.0.1",
        "[acl]\npermit = ::1 ;-- deny\n deny 10.0.0.1\n ;-- again\n --; deny\n--;\ndeny = ::2",
        "[acl];--a--;\n;-- a --; deny = ::1",
        "[acl]\n;--- no more than a line\ndeny = ::1",
        "[acl]\n; said --; here\ndeny = ::1",
        "[general]\nhostnames = a\\;--b",
        "[acl]\n\\deny = ::1",
        "#TryInclude \"*.more\"\n#tryinclude <none.conf>\n#exec /bin/true",
    ] {
        assert_eq!(problems(good), [""; 0], "{good:?}");
        assert_eq!(problems_within(good), [""; 0], "{good:?}");
    }
    assert_eq!(problems(include_str!("../../../../../samples/pbx_web.conf.sample")), [""; 0]);
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
        ("[acl]\n#inlcude more.conf", "pbx_web.conf:2 [acl]: #inlcude is none; there are #include"),
        ("#include ; more.conf", "#include names no file"),
        ("#tryinclude \"", "#tryinclude names no file"),
        ("[acl] deny = ::1", "pbx_web.conf:1: what stands behind the ] is not read"),
        ("[acl](!) deny = ::1", "what stands behind the ] is not read"),
        ("[acl]\n[acl](+deny=::1)", "pbx_web.conf:2 [acl]: what stands behind the + is not"),
        (long.as_str(), "pbx_web.conf:2 [acl]: this line has more than 8190 bytes"),
        ("[acl]\n\n;-- all\ndeny = ::1\n", "pbx_web.conf:3 [acl]: this comment has no end"),
        ("[acl]\ndeny = ::1 --; said", "pbx_web.conf:2 [acl]: --; ends no comment here"),
        ("[acl]\ndeny = ::1\0::2", "NUL"),
        // To Asterisk this comment does not end.
        ("[acl]\n;-- \0 --;\ndeny = ::1", "NUL"),
        ("[acl]\n# by hand", "pbx_web.conf:2 [acl]: a comment begins with ; and not with #"),
        ("[acl]\n#", "a comment begins with ;"),
        ("\u{feff}\u{feff}[acl]", "pbx_web.conf:1: there is a byte order mark (U+FEFF)"),
    ] {
        is_said(&problems(bad), wanted);
    }
    let longest = format!("[acl]\ndeny = {}", ":".repeat(LINE_MAX_BYTES - "deny = ".len()));
    assert_eq!(problems(&longest), [""; 0]);
}

#[test]
fn a_line_that_is_too_long_does_not_matter_if_nothing_of_it_is_read() {
    let long = " ".repeat(LINE_MAX_BYTES);
    for comment in ["; deny = ::1", "  ;---", ";-- all of it --;", ";-- of --; ; two"] {
        let text = format!("[acl]\n{comment}{long}{comment}\ndeny = ::1");
        assert_eq!(problems(&text), [""; 0], "{comment}");
    }
    let within = format!("[acl]\n;--\n{long}deny = ::1\n--;\ndeny = ::1");
    assert_eq!(problems(&within), [""; 0]);
    for (begin, end) in [("deny = ::1 ;", ""), (";--", ""), (";--", "--; deny = ::1")] {
        let text = format!("[acl]\n{begin}{long}{end}");
        is_said(&problems(&text), "pbx_web.conf:2 [acl]: this line has more than 8190 bytes");
    }
    let ended = format!("[acl]\n;--\n{long}--;\ndeny = ::1\n--;");
    is_said(&problems(&ended), "pbx_web.conf:3 [acl]: this line has more than 8190 bytes");
}

#[test]
fn a_line_is_never_in_a_message() {
    for line in [
        "adminuser: admin secret",
        "#viewer=bob,$argon2id$secret",
        "#bob,secret",
        "# secret",
        "#secret$",
        "#adminuserisrootsecret",
        "\u{feff}# secret",
    ] {
        let said = problems(&format!("[users]\n{line}"));
        let is_in = |word: &str| said[0].contains(word);
        // Letters may be a directive's name.
        let is_letters = line == "#secret$";
        assert!(said.len() == 1 && (is_letters || !is_in("secret")), "{said:?}");
        assert!(!is_in("argon"), "{said:?}");
    }
}

#[test]
fn an_exec_that_is_not_done_is_told_with_its_place() {
    let files = Drawer(&[("pbx_web.conf", Some(b"[acl]\n#exec /bin/true\n;#exec /bin/false"))]);
    let said = check_files(&files, Path::new(FOLDER), false, &mut []);
    assert!(said.len() == 1, "{said:?}");
    assert!(said[0].to_string().starts_with("pbx_web.conf:2 [acl]: #exec"), "{said:?}");
}

#[test]
fn an_included_file_that_asterisk_reads_no_further_is_a_mistake() {
    for (bad, wanted) in [
        ("#include none.conf", "/conf/more.conf:1 [acl]: there is no \"/conf/none.conf\""),
        ("deny = ::1\n#include none/*.conf", "/conf/more.conf:2 [acl]: no file is like"),
        ("[acl", "/conf/more.conf:1 [acl]: there is no ]"),
        ("[acl](", "there is no )"),
        ("[acl](none)", "there is no [none] before this line to take from"),
        ("[a](!)\n[acl](a,)\n[acl](b)", "/conf/more.conf:3 [acl]: there is no [b]"),
        ("[none](+)", "there is no [none] before this line to add to (a template is none)"),
        ("[a](!)\n[a](+)", "there is no [a] before this line to add to (a template is none)"),
        ("\\ deny = ::1", "nothing that may be escaped stands behind the \\"),
        ("\\", "nothing that may be escaped stands behind the \\"),
    ] {
        is_said(&problems_within(&format!("{bad}\ndeny = ::2")), wanted);
        // Asterisk says so itself if that is the file that it was asked for.
        assert_eq!(problems(&format!("[x]\n{bad}")), [""; 0], "{bad}");
    }
    let begin = [
        ("pbx_web.conf", Some(&b"#include more.conf\n[acl]"[..])),
        ("more.conf", Some(b"deny = ::1")),
    ];
    is_said(&said_of(&begin), "/conf/more.conf:1: this line stands before any [section]");
}

#[test]
fn sections_are_known_across_files_in_the_order_of_reading() {
    let long = "a".repeat(SECTION_MAX_BYTES + 1);
    let within = format!("[{long}](!)\n[acl]({long})\n");
    is_said(&problems_within(&within), "aaa] before this line to take from");
    let files = [
        (
            "pbx_web.conf",
            Some(&b"[ACL]\n#include a.conf\n[x](own)\n[users](+)\n#include c.conf"[..]),
        ),
        ("a.conf", Some(b"deny = ::1\n[own](!)\n[users](own)\n#include b.conf\nviewer = a")),
        ("b.conf", Some(b"deny ::1\n[acl](own,+)\ndeny ::2")),
        ("c.conf", Some(b"deny")),
    ];
    let said = said_of(&files);
    let wanted = [
        "/conf/b.conf:1 [users]: there is no =",
        "/conf/b.conf:3 [ACL]: there is no =",
        "/conf/c.conf:1 [users]: there is no =",
    ];
    assert!(said.len() == wanted.len(), "{said:#?}");
    assert!(said.iter().zip(wanted).all(|(said, wanted)| said.starts_with(wanted)), "{said:#?}");
}

#[test]
fn every_file_of_a_pattern_is_looked_at() {
    let main = ("pbx_web.conf", Some(&b"[acl]\n#include b/*.conf\npermit = ::/0"[..]));
    let good = ("b/1.conf", Some(&b"deny = ::1"[..]));
    let with = |second: Option<&[u8]>| said_of(&[main, good, ("b/2.conf", second)]);
    assert_eq!(with(Some(b"deny = ::2")), [""; 0]);
    is_said(&with(Some(b"deny ::2")), "/conf/b/2.conf:1 [acl]: there is no =");
    is_said(&with(None), "pbx_web.conf:2 [acl]: \"/conf/b/2.conf\" cannot be read: permission");
    // Asterisk takes the mark away at the very beginning alone, and reads them like one file.
    is_said(
        &with(Some(b"\xef\xbb\xbf[acl]")),
        "/conf/b/2.conf:1 [acl]: there is a byte order mark",
    );
    let open = [main, ("b/1.conf", Some(&b";--"[..])), ("b/2.conf", Some(b"deny = ::2"))];
    is_said(&said_of(&open), "/conf/b/1.conf:1 [acl]: this comment has no end");
    let section = [main, ("b/1.conf", Some(&b"[users]"[..])), ("b/2.conf", Some(b"bob"))];
    is_said(&said_of(&section), "/conf/b/2.conf:1 [users]: there is no =");
}

#[test]
fn lines_of_a_pattern_have_the_numbers_of_their_files() {
    let files = Drawer(&[
        ("pbx_web.conf", Some(b"[acl]\n#include b/*.conf\ndeny = ::3")),
        ("b/1.conf", Some(b"; one\ndeny = ::1\n")),
        ("b/2.conf", Some(b"; another\ndeny = ::2")),
    ]);
    // As Asterisk counts: the end of a file is one more, unless it is in the last line.
    let of = |file: &str, line| RawLine { file: file.into(), line, ..RawLine::default() };
    let mut lines = [of("", 3), of("/conf/b/1.conf", 2), of("/conf/b/2.conf", 5)];
    assert!(check_files(&files, Path::new(FOLDER), true, &mut lines).is_empty());
    assert_eq!(lines.map(|line| line.line), [3, 2, 2]);
}

#[test]
fn a_pattern_that_may_leave_out_a_file_that_nobody_misses_is_none() {
    for pattern in ["*/a.conf", "b[12]/a.conf", "{a,b}.conf", "a\\*.conf"] {
        is_said(&problems(&format!("#include {pattern}")), "is a pattern that is not understood");
    }
}

#[test]
fn a_file_that_need_not_be_there_is_to_be_read_if_it_is() {
    let main = ("pbx_web.conf", Some(&b"[acl]\n#tryinclude more.conf\npermit = ::/0"[..]));
    assert_eq!(said_of(&[main]), [""; 0]);
    let said = said_of(&[main, ("more.conf", None)]);
    is_said(&said, "pbx_web.conf:2 [acl]: \"/conf/more.conf\" cannot be read: permission denied");
    is_said(
        &said_of(&[main, ("more.conf", Some(b"deny"))]),
        "/conf/more.conf:1 [acl]: there is no =",
    );
}

#[test]
fn files_include_each_other_ten_deep_and_no_deeper() {
    let names: Vec<_> = (0..=DEPTH_MAX + 1).map(|depth| format!("{depth}.conf")).collect();
    let chain = |length: usize| {
        let texts: Vec<_> =
            (1..=length).map(|next| format!("[acl]\n#tryinclude {next}.conf")).collect();
        let last =
            |depth: usize| if depth == 0 { super::super::FILE } else { names[depth].as_str() };
        let files = texts.iter().enumerate().map(|(at, text)| (last(at), Some(text.as_bytes())));
        said_of(&files.chain([(last(length), Some(&b"[acl]"[..]))]).collect::<Vec<_>>())
    };
    assert_eq!(chain(DEPTH_MAX), [""; 0]);
    is_said(&chain(DEPTH_MAX + 1), "/conf/10.conf:2 [acl]: files include each other more than 10");
    let said = problems_within("deny\n#include more.conf\n#include more.conf");
    assert!(said.len() == 2 && said[0].contains("no =") && said[1].contains("10 deep"), "{said:?}");
}

#[test]
fn a_path_that_asterisk_would_cut_is_a_mistake() {
    let name = "a".repeat(PATH_MAX_BYTES - FOLDER.len() - 1);
    let text = |name: &str| format!("[acl]\n#tryinclude {name}");
    assert_eq!(problems(&text(&name)), [""; 0]);
    is_said(&problems(&text(&format!("{name}a"))), "has more than 255 bytes");
    is_said(&problems(&text(&format!("{name}*"))), "has more than 255 bytes");
}

#[test]
fn a_name_that_is_no_utf8_is_still_looked_at() {
    use std::os::unix::ffi::OsStringExt as _;
    struct Latin;
    impl Files for Latin {
        fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
            let more = PathBuf::from(std::ffi::OsString::from_vec(b"/conf/m\xe9.conf".to_vec()));
            let is_more = path == more;
            Ok(if is_more { b"deny".to_vec() } else { b"[acl]\n#include m\xe9.conf".to_vec() })
        }
        fn matching(&self, _: &Path) -> io::Result<Vec<PathBuf>> {
            Ok(Vec::new())
        }
    }
    let said = check_files(&Latin, Path::new(FOLDER), true, &mut []);
    assert!(said.len() == 1 && said[0].kind == ProblemKind::NoEquals, "{said:?}");
}

#[test]
fn a_file_that_only_lines_tell_of_is_looked_at() {
    let files = Drawer(&[("more.conf", Some(b"deny = ::1\ndeny"))]);
    let line =
        |file: &str| RawLine { section: "acl".into(), file: file.into(), ..RawLine::default() };
    let mut lines =
        [line(""), line("/conf/more.conf"), line("/conf/more.conf"), line("/conf/gone")];
    let said = check_files(&files, Path::new(FOLDER), true, &mut lines);
    assert!(said.len() == 1, "{said:?}");
    assert!(said[0].to_string().starts_with("/conf/more.conf:2 [acl]: there is no ="), "{said:?}");
}

proptest! {
    #[test]
    fn whatever_stands_in_a_file_is_taken_apart(
        lines in proptest::collection::vec(
            "[;\\-\\[\\]()#=+\\\\a \0]{0,12}|\\PC{0,8}|#include (more|pbx_web|[ab*/]{0,3})\\.conf",
            0..8,
        ),
    ) {
        let text = lines.join("\n");
        let last = lines.len().max(2);
        for problem in
            [problems_kinds(&text, "[acl]\n#include more.conf"), problems_kinds("", &text)].concat()
        {
            prop_assert!(problem.place.line as usize <= last);
        }
    }
}

fn problems_kinds(more: &str, main: &str) -> Vec<Problem> {
    let files = [("pbx_web.conf", Some(main.as_bytes())), ("more.conf", Some(more.as_bytes()))];
    check_files(&Drawer(&files), Path::new(FOLDER), true, &mut [])
}
