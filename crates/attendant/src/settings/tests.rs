//! The file's lines, good and bad.

use proptest::prelude::*;

use super::*;

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA\
                    $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Reads a file as it is written, for tests: Asterisk's reader does it in the module.
fn lines(text: &str) -> Vec<RawLine> {
    let (mut section, mut lines) = (String::new(), Vec::new());
    for (line, number) in text.lines().map(str::trim).zip(1..) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if let Some((name, value)) = line.split_once('=') {
            let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
            let section = section.clone();
            lines.push(RawLine { section, name, value, file: String::new(), line: number });
        }
    }
    lines
}

fn good(text: &str) -> Settings {
    check(&lines(text)).expect("good settings")
}

fn problems(text: &str) -> Vec<String> {
    check(&lines(text)).expect_err("problems").iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_said_is_loopback_and_off() {
    let settings = good("");
    assert_eq!(settings.address(), "127.0.0.1:8011".parse().expect("an address"));
    assert!(!settings.is_on());
}

#[test]
fn with_rules_it_listens_everywhere_unless_told_where() {
    assert_eq!(good("[acl]\npermit = 10.0.0.0/8").bind, Ipv6Addr::UNSPECIFIED);
    let bound = good("[general]\nbind = 10.0.0.1\n[acl]\npermit = 10.0.0.0/8");
    assert_eq!(bound.address(), "10.0.0.1:8011".parse().expect("an address"));
}

#[test]
fn an_address_of_ipv6_may_be_in_brackets() {
    assert_eq!(good("[general]\nbind = [::1]"), good("[general]\nbind = ::1"));
}

#[test]
fn a_list_that_only_denies_is_worth_a_warning_wherever_it_listens() {
    let users = format!("[users]\nviewer = a,{HASH}\n");
    let warns = |text: &str| {
        let warnings = good(&format!("{users}{text}")).warnings();
        warnings.iter().any(|warning| warning.contains("[acl] has no permit"))
    };
    assert!(warns("[acl]\ndeny = 10.0.0.1"));
    assert!(warns("[general]\nbind = ::1\n[acl]\ndeny = 10.0.0.1\ndeny = ::/0"));
    assert!(!warns("[acl]\ndeny = 10.0.0.1\npermit = ::1") && !warns(""));
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_name() {
    let said = problems("[acl]\n\u{feff}deny = 10.0.0.1");
    assert!(said.len() == 1 && said[0].contains("a byte order mark"), "{said:?}");
}

#[test]
fn rules_keep_their_order_and_the_first_decides() {
    let settings = good("[acl]\ndeny = 10.0.0.1\npermit = 10.0.0.0/8");
    let permits = |address: &str| settings.acl.permits(address.parse().expect("an address"));
    assert!(!permits("10.0.0.1") && permits("10.0.0.2") && !permits("192.0.2.1"));
    assert!(!permits("::ffff:10.0.0.1") && permits("::ffff:10.0.0.2"));
}

#[test]
fn users_have_a_role_and_a_hash() {
    let settings = good(&format!("[users]\nadminuser = admin,{HASH}\nviewer = anna , {HASH}"));
    assert!(settings.is_on());
    assert_eq!(settings.users.get("admin").map(|user| user.role), Some(Role::Admin));
    assert_eq!(settings.users.get("anna").map(|user| user.role), Some(Role::Viewer));
    assert_eq!(settings.users.get("anna").map(|user| &*user.hash), Some(HASH));
}

#[test]
fn everything_can_be_said() {
    let settings = good(
        "[general]\nport = 8443\nbind = ::1\ntlsenable = yes\ntlscertfile = /a.pem\n\
         tlsprivatekey = /b.pem\nhostnames = PBX.example., pbx2 [2001:db8::1]\ncommands = 2\n\
         verbose = 5",
    );
    assert_eq!(settings.address(), "[::1]:8443".parse().expect("an address"));
    let key = Some("/b.pem".into());
    assert_eq!(settings.tls, Some(TlsFiles { certificate: "/a.pem".into(), key }));
    assert_eq!(settings.hostnames, ["pbx.example", "pbx2", "2001:db8::1"]);
    assert_eq!((settings.commands, settings.verbose), (2, 5));
}

#[test]
fn each_mistake_says_where_it_is_and_what_to_write() {
    for (text, wanted) in [
        ("[general]\nport = 0", "pbx_web.conf:2 [general]: \"0\" is no port; write a number"),
        ("[general]\nport = x", "is no port"),
        ("[general]\nport = 1\nport = 2", "pbx_web.conf:3 [general]: port is there twice"),
        ("[general]\nbind = eth0", "is no address; write one of this machine's"),
        ("[general]\nbind = [::1]:8011", "the port has a line of its own"),
        ("[general]\nbind = [127.0.0.1]", "is no address"),
        ("[general]\nbind = [::]", "write who may connect"),
        ("[general]\nbind = 0.0.0.0", "write who may connect"),
        ("[general]\nbind = ::", "write who may connect"),
        ("[general]\nbind = ::ffff:0.0.0.0", "write who may connect"),
        ("[general]\nprot = 1", "prot is not known here; there are port, bind"),
        ("[general]\ntlsenable = maybe", "neither yes nor no"),
        ("[general]\ntlsenable = yes", "needs tlscertfile"),
        (
            "[general]\ntlsenable = no\ntlscertfile =",
            "pbx_web.conf:3 [general]: tlscertfile is empty; write the path of a PEM file",
        ),
        ("[general]\ntlsprivatekey =", "tlsprivatekey is empty"),
        ("[general]\nhostnames = pbx ..", "\"..\" is no host name"),
        ("[general]\ncommands = 0", "is no number from 1 to 16"),
        ("[general]\nhostnames = http://pbx/", "is no host name"),
        ("[general]\nhostnames = pbx:8011", "is no host name"),
        ("[usres]\nviewer = a,b", "there is no section of that name"),
        ("[users]\nadminuser = admin", "load the module, and `pbx_web passwd NAME`"),
        ("[users]\nadminuser = admin,secret", "load the module, and `pbx_web passwd admin`"),
        (
            "[users]\nadminuser = $argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA",
            "written as NAME,HASH",
        ),
        ("[users]\nadminuser = a b,secret", "is no name for a user"),
        ("[users]\noperator = a,b", "there are adminuser and viewer"),
        ("[acl]\nallow = 10.0.0.1", "there are permit and deny"),
        ("[acl]\npermit = 10.0.0.1/8", "write 10.0.0.0/8 for the network"),
        ("[acl]\npermit = 10.0.0.0/255.0.0.0", "is no address and no network"),
    ] {
        let said = problems(text);
        assert!(said.len() == 1 && said[0].contains(wanted), "{text:?} says {said:?}");
    }
}

#[test]
fn every_mistake_is_reported_and_not_only_the_first() {
    assert_eq!(problems("[general]\nport = 0\nbind = x\n[acl]\npermit = y").len(), 3);
}

#[test]
fn a_hash_is_never_in_a_message() {
    let said = problems(&format!("[users]\nadminuser = admin,{HASH}x$"));
    assert!(!said[0].contains("argon2"), "{said:?}");
}

#[test]
fn a_user_is_there_once() {
    let said = problems(&format!("[users]\nadminuser = a,{HASH}\nviewer = a,{HASH}"));
    assert!(said[0].contains("a is there twice"), "{said:?}");
}

#[test]
fn what_needs_a_restart_is_named_and_the_rest_does_not() {
    let before = good("");
    let after = good(&format!(
        "[general]\nport = 1\nbind = ::1\ntlsenable = yes\ntlscertfile = /a\ncommands = 9\n\
         [users]\nviewer = a,{HASH}\n[acl]\npermit = ::1"
    ));
    assert_eq!(after.needs_restart(&before), ["port", "bind", "tls"]);
    assert!(good("[general]\ncommands = 9\n").needs_restart(&before).is_empty());
}

#[test]
fn without_a_rule_nobody_but_this_machine_is_let_in() {
    let user = format!("[users]\nviewer = a,{HASH}\n");
    let admits =
        |settings: &Settings, address: &str| settings.admits(address.parse().expect("an address"));
    let open = good(&user);
    for address in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
        assert!(admits(&open, address), "{address}");
    }
    for address in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"] {
        assert!(!admits(&open, address), "{address}");
    }
    let listed = good(&format!("{user}[acl]\npermit = 192.0.2.1"));
    assert!(admits(&listed, "192.0.2.1") && !admits(&listed, "127.0.0.1"));
    assert!(!admits(&good("[acl]\npermit = 192.0.2.1"), "192.0.2.1"), "there is no user");
}

#[test]
fn warnings_are_about_what_runs() {
    let started = good("[general]\ntlsenable = yes\ntlscertfile = /a\n[acl]\npermit = ::/0");
    let read = good("[general]\nport = 1\nhostnames = pbx\ncommands = 9");
    assert!(read.warnings().is_empty(), "it would listen on loopback");
    let runs = read.with_start_of(&started);
    assert_eq!((runs.address(), &runs.tls), (started.address(), &started.tls));
    assert_eq!((runs.commands, &runs.hostnames, &runs.acl), (9, &read.hostnames, &read.acl));
    let warnings = runs.warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("[acl] has no rule"), "{warnings:?}");
}

/// Lines that are nearly right get further than any.
fn word() -> impl Strategy<Value = String> {
    let known = [
        "general",
        "users",
        "acl",
        "port",
        "bind",
        "tlsenable",
        "hostnames",
        "adminuser",
        "viewer",
        "permit",
        "deny",
        "::",
        "10.0.0.0/8",
        "yes",
        HASH,
        "a,",
        ",",
    ];
    prop_oneof![
        6 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned),
        1 => (".{0,8}", Just(HASH)).prop_map(|(name, hash)| format!("{name},{hash}")),
        1 => any::<String>(),
    ]
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_or_refused_and_never_open_to_everybody(
        words in proptest::collection::vec((word(), word(), word()), 0..12),
    ) {
        let lines: Vec<RawLine> = words
            .into_iter()
            .map(|(section, name, value)| RawLine { section, name, value, ..RawLine::default() })
            .collect();
        match check(&lines) {
            Ok(settings) => prop_assert!(
                settings.bind.to_canonical().is_loopback() || !settings.acl.rules().is_empty()
            ),
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }
}
