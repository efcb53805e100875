use std::collections::BTreeMap;

use super::*;

struct Memory(BTreeMap<&'static str, &'static str>);

impl Files for Memory {
    fn open(&mut self, pattern: &str) -> io::Result<Vec<File>> {
        let file = |name: &str, text: &str| File { name: name.into(), bytes: text.into() };
        Ok(match pattern.strip_suffix('*') {
            Some(start) => {
                let all = self.0.iter().filter(|(name, _)| name.starts_with(start));
                all.map(|(name, text)| file(name, text)).collect()
            }
            None => self.0.get(pattern).map(|text| file(pattern, text)).into_iter().collect(),
        })
    }
}

fn read_all(files: &[(&'static str, &'static str)]) -> Result<Parsed, ConfError> {
    read(files[0].0, &mut Memory(files.iter().copied().collect()))
}

fn read_one(text: &'static str) -> Result<Parsed, ConfError> {
    read_all(&[("u.conf", text)])
}

fn mistake(text: &'static str) -> String {
    read_one(text).unwrap_err().to_string()
}

/// `[section] name=value ...`, where `*` is before what was inherited.
fn told(parsed: &Parsed) -> Vec<String> {
    let section = |section: &RawSection| {
        let lines = section.lines.iter().map(|line| {
            let star = if line.inherited { "*" } else { "" };
            format!(" {star}{}={}", line.name, line.value)
        });
        format!("[{}]{}", section.name, lines.collect::<String>())
    };
    parsed.sections.iter().map(section).collect()
}

#[track_caller]
fn reads(text: &'static str, sections: &[&str]) {
    assert_eq!(told(&read_one(text).unwrap()), sections, "{text}");
}

#[test]
fn sections_and_their_lines_are_read_with_file_and_line() {
    let parsed = read_one(
        "\u{feff}; hello\n[general]\r\nservers = a:1 b:2  ; two\r\n\n[x] trailing\ny=>z\n",
    )
    .unwrap();
    assert_eq!(told(&parsed), ["[general] servers=a:1 b:2", "[x] y=z"]);
    let line = &parsed.sections[1].lines[0];
    assert_eq!((line.file.as_str(), line.line), ("u.conf", 6));
    assert_eq!(parsed.warnings, []);
}

#[test]
fn only_the_first_equals_sign_and_an_arrow_right_behind_it_count() {
    reads("[a]\nx = y = z\nx ==> y\nx = > y\nx=\n", &["[a] x=y = z x==> y x=> y x="]);
    reads("[a]\n\\#x = 1\n\\[y] = 2\n\\=x = 3\n", &["[a] #x=1 [y]=2 =x=3"]);
    reads("[a]\nx = \"y z\" \n", &["[a] x=\"y z\""]);
}

#[test]
fn templates_are_not_listed_and_what_they_say_comes_first() {
    reads(
        "[t](!)\nlease = 5\n[u](!,t)\ndeadline = 9\n[a](u)\nlease = 6\n[b](t,u)\n",
        &["[a] *lease=5 *deadline=9 lease=6", "[b] *lease=5 *lease=5 *deadline=9"],
    );
}

#[test]
fn a_section_may_inherit_from_one_that_is_no_template_in_any_case_of_letters() {
    reads("[One]\nx=1\n[two](ONE)\n", &["[One] x=1", "[two] *x=1"]);
}

#[test]
fn an_addition_goes_to_the_first_section_of_that_name() {
    reads("[a]\nx=1\n[b]\ny=2\n[A](+)\nz=3\n", &["[a] x=1 z=3", "[b] y=2"]);
    reads("[t](!)\nx=1\n[t](+TEMPLATES=include)\ny=2\n[a](t)\n", &["[a] *x=1 *y=2"]);
    reads("[t](!)\nx=1\n[a]\n[a](+,t)\ny=2\n", &["[a] *x=1 y=2"]);
    assert_eq!(
        mistake("[t](!)\n[t](+)\n"),
        "u.conf, line 2: there is no section [t] above this line to add to"
    );
    assert!(mistake("[a]\n[a](+x=y.*)\n").contains("the filter '+x=y.*' is not supported here"));
}

#[test]
fn plus_equals_appends_to_the_last_value() {
    reads("[a]\nx = 1\nx += 2\nx+=3\ny += 4\n", &["[a] x=1 23 y=4"]);
    reads("[t](!)\nx = 1\n[a](t)\nx += 2\n", &["[a] x=1 2"]);
}

#[test]
fn the_same_section_twice_is_two_sections() {
    reads("[a]\nx=1\n[a]\nx=2\n", &["[a] x=1", "[a] x=2"]);
}

#[test]
fn included_lines_go_on_where_the_including_file_is_and_come_back_to_it() {
    let parsed = read_all(&[
        ("u.conf", "[a]\n#include \"in.conf\"\nback = 1\n#tryinclude <none.conf>\n"),
        ("in.conf", "inner = 1\n[b]\nother = 2\n"),
    ]);
    let parsed = parsed.unwrap();
    assert_eq!(told(&parsed), ["[a] inner=1 back=1", "[b] other=2"]);
    assert_eq!(parsed.sections[0].lines[0].file, "in.conf");
    assert_eq!(parsed.sections[1].lines[0].line, 3);
}

#[test]
fn a_second_included_file_goes_on_in_the_section_that_was_opened_last() {
    let files = [
        ("u.conf", "[a]\n#include d/*\n#include y.conf\nback = 1\n"),
        ("d/1", "[b]\n"),
        ("d/2", "x = 1\n"),
        ("y.conf", "y = 1\n"),
    ];
    assert_eq!(told(&read_all(&files).unwrap()), ["[a] back=1", "[b] x=1 y=1"]);
}

#[test]
fn what_asterisk_refuses_is_refused_with_its_place() {
    for (text, said) in [
        ("[a\n", "u.conf, line 1: the ']' is missing: write [name]"),
        ("\n[a](t\n", "u.conf, line 2: the ')' is missing: write [name](template)"),
        ("x = 1\n", "u.conf, line 1: this line stands above the first [section]"),
        ("[a]\n\\ = 1\n", "u.conf, line 2: a '\\' at the beginning must stand before a character"),
        (
            "[a]\n#include none.conf\n",
            "u.conf, line 2: 'none.conf' is included and not there; mend the name, or write #tryinclude",
        ),
    ] {
        assert_eq!(mistake(text), said);
    }
    assert!(mistake("[t](!)\n[a]( t)\n").contains("no section or template ' t' above this line"));
    assert!(mistake("[a]\n#exec /bin/true\n").contains("#exec is not run here"));
    assert!(mistake("#include u.conf\n").contains("more than 11 deep"));
    let missing = read("u.conf", &mut Memory(BTreeMap::new())).unwrap_err();
    assert_eq!(missing.to_string(), "u.conf is not there");
}

#[test]
fn what_asterisk_skips_is_skipped_with_a_warning() {
    let parsed = read_one("[a]\nhello\n = 1\n#bogus x\n#include\nx = 1 ;-- never ends\ny = 2\n");
    let parsed = parsed.unwrap();
    assert_eq!(told(&parsed), ["[a] x=1"]);
    let told: Vec<String> = parsed.warnings.iter().map(ToString::to_string).collect();
    let expected = [
        "u.conf, line 2: there is no '='",
        "u.conf, line 3: there is no name",
        "u.conf, line 4: unknown directive '#bogus'",
        "u.conf, line 5: '#include' needs",
        "u.conf, line 6: a comment that begins",
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}");
    }
}

#[test]
fn a_line_of_8190_bytes_counts_and_a_longer_one_does_not() {
    for (len, counts) in [(LINE_MAX_BYTES, true), (LINE_MAX_BYTES + 1, false)] {
        let text = format!("[a]\n{:len$}\nz=2\n", "x=1");
        let parsed = read_one(Box::leak(text.into_boxed_str())).unwrap();
        let expected = if counts { "[a] x=1 z=2" } else { "[a] z=2" };
        assert_eq!(told(&parsed), [expected]);
        assert_eq!(parsed.warnings.is_empty(), counts);
    }
}

#[test]
fn nothing_that_is_read_makes_it_panic() {
    // Every text of four of the characters that mean something.
    let letters = b"[](!+,;-=\\#>x \n";
    let mut files = Memory(BTreeMap::new());
    for mut number in 0..letters.len().pow(4) {
        let mut text = String::from("[x]\n");
        for _ in 0..4 {
            text.push(letters[number % letters.len()].into());
            number /= letters.len();
        }
        struct One<'a>(&'a str, &'a mut Memory);
        impl Files for One<'_> {
            fn open(&mut self, pattern: &str) -> io::Result<Vec<File>> {
                match pattern {
                    "top" => Ok(vec![File { name: "top".into(), bytes: self.0.into() }]),
                    _ => self.1.open(pattern),
                }
            }
        }
        let _ = read("top", &mut One(&text, &mut files));
    }
}
