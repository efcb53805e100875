use super::*;

/// Reads the simple part of Asterisk's format; templates and includes are Asterisk's own business.
fn read(text: &str) -> Result<Settings, Vec<Problem>> {
    let mut raw: Vec<RawSection> = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        if let Some(name) = line.trim().strip_prefix('[') {
            raw.push(RawSection { name: name.trim_end_matches(']').into(), lines: vec![] });
        } else if let Some((name, value)) = line.split_once('=') {
            raw.last_mut().unwrap().lines.push(RawLine {
                name: name.trim().into(),
                value: value.trim().into(),
                file: "universal.conf".into(),
                line: number,
                inherited: false,
            });
        }
    }
    check("universal.conf", &raw)
}

fn messages(text: &str) -> Vec<String> {
    read(text).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn a_registrar_and_a_gateway_are_read() {
    let settings = read(
        "[general]\nservers = c1 c2:11212\ndeadline = 20\n\
         [phones]\nprefix = PEERA_\nidentity = @192.0.2.11/\nlease = 30\ndrivers = PJSIP IAX2\n\
         [fleet]\nservers = [::1]:11211\nprefixes = PEERB_ PEERC_\ndial = IAX2/t{identity}{peer}\n",
    )
    .unwrap();
    let [general, phones, fleet] = &settings.sections[..] else { panic!("three sections") };
    assert_eq!(general.servers, ["c1:11211", "c2:11212"]);
    assert_eq!(phones.servers, general.servers, "servers are inherited");
    assert_eq!(phones.deadline, Duration::from_millis(20));
    let publish = phones.publish.as_ref().unwrap();
    assert_eq!(publish.prefix, "PEERA_");
    assert_eq!(publish.lease, Duration::from_secs(30));
    assert_eq!(publish.drivers, ["PJSIP", "IAX2"]);
    assert_eq!(fleet.servers, ["[::1]:11211"]);
    assert_eq!(fleet.owned_prefixes().collect::<Vec<_>>(), ["PEERB_", "PEERC_"]);
    assert!(fleet.dial.is_some());
}

#[test]
fn the_prefix_defaults_to_that_of_the_original_page() {
    let settings = read("[general]\nservers = c1\n[phones]\nidentity = @a/\n").unwrap();
    assert_eq!(settings.sections[1].publish.as_ref().unwrap().prefix, "PEER_");
}

#[test]
fn every_mistake_is_named_with_its_line() {
    let messages = messages(
        "[general]\nservers = a:0 b b\ndeadline = soon\n\
         [phones]\nprefx = X_\nprefix = P_\n[more]\ncopies = 3\nprefixes = Q_\ndial = IAX2/{exten}\n",
    );
    for expected in [
        "universal.conf, section [general], line 2: server 'a:0' is not host:port",
        "universal.conf, section [general], line 2: server 'b' is listed twice",
        "universal.conf, section [general], line 3: 'deadline = soon' must be a whole number",
        "universal.conf, section [phones], line 5: unknown option 'prefx'",
        "universal.conf, section [phones], line 6: 'prefix' needs an identity",
        "universal.conf, section [more], line 8: 'copies = 3' is not possible",
        "universal.conf, section [more], line 10: the dial template has '{exten}'",
    ] {
        assert!(messages.iter().any(|m| m.starts_with(expected)), "{expected}\n{messages:#?}");
    }
    assert_eq!(messages.len(), 7, "{messages:#?}");
}

#[test]
fn duplicate_prefixes_are_refused() {
    let text = "[general]\nservers = c\n[a]\nprefix = P_\nidentity = @a/\n[b]\nprefix = P_\nidentity = @b/\n";
    assert_eq!(
        messages(text),
        ["universal.conf, section [b], line 7: prefix 'P_' is already used in section [a]; \
          every prefix belongs to one section"]
    );
}

#[test]
fn a_server_may_list_its_own_prefix_among_all_prefixes() {
    let text =
        "[general]\nservers = c\n[a]\nprefix = A_\nidentity = @a/\n[fleet]\nprefixes = A_ B_\n";
    assert!(read(text).is_ok());
    let elsewhere = format!("{text}servers = d\n");
    assert_eq!(
        messages(&elsewhere),
        ["universal.conf, section [fleet], line 7: prefix 'A_' is in section [a] too, with other \
          servers, copies or secret; give both the same"]
    );
}

#[test]
fn without_servers_the_one_on_this_machine_is_meant() {
    let settings = read("[general]\n").unwrap();
    assert_eq!(settings.sections[0].servers, [DEFAULT_SERVER]);
    assert_eq!(settings.sections[0].copies, 1);
    assert_eq!(read("").unwrap(), settings);
}

#[test]
fn two_servers_keep_two_copies_unless_it_is_said_otherwise() {
    let text = "[general]\nservers = a b c\n[one]\ncopies = 1\n[two]\nservers = d\n";
    let settings = read(text).unwrap();
    let copies: Vec<_> = settings.sections.iter().map(|section| section.copies).collect();
    assert_eq!(copies, [2, 1, 1]);
    assert_eq!(
        messages("[general]\nservers = a\ncopies = 2\n"),
        ["universal.conf, section [general], line 3: 'copies = 2' is not possible with 1 cache \
          server(s); write 1, or 2 with two servers or more"]
    );
}

#[test]
fn a_secret_is_inherited_and_shown_to_nobody() {
    let settings = read("[general]\nsecret = 0123456789ab\n[more]\n").unwrap();
    assert_eq!(settings.sections[1].secret, Some(Secret::new("0123456789ab")));
    assert!(!format!("{settings:?}").contains("0123456789ab"));
    assert_eq!(
        messages("[general]\nsecret = hunter2\n"),
        ["universal.conf, section [general], line 2: the secret is too short; it takes 12 bytes \
          or more, the same on all servers"]
    );
}

#[test]
fn the_owner_is_the_first_identity_unless_it_is_given() {
    let text = "[general]\n[a]\nprefix = A_\nidentity = @a/\n";
    assert_eq!(read(text).unwrap().owner(), Some("@a/"));
    let given = text.replace("[general]\n", "[general]\nowner = alpha\n");
    assert_eq!(read(&given).unwrap().owner(), Some("alpha"));
    assert_eq!(read("[general]\n").unwrap().owner(), None);
    let elsewhere = messages("[general]\n[a]\nidentity = @a/\nowner = alpha\n");
    assert!(elsewhere[0].contains("line 4: 'owner' belongs into [general]"), "{elsewhere:?}");
}

#[test]
fn a_switch_has_patterns_and_needs_to_know_where_to_look_and_how_to_call() {
    let fleet =
        "[general]\nservers = c\n[fleet]\nprefixes = A_ B_\ndial = IAX2/t{identity}{peer}\n";
    let settings = read(&format!("{fleet}match = _2XX 500\n")).unwrap();
    let switch = settings.sections[1].switch.as_ref().unwrap();
    assert_eq!(switch.patterns, [c"_2XX".to_owned(), c"500".to_owned()]);
    assert_eq!(switch.ring, Duration::from_secs(20));
    let settings = read(&format!("{fleet}match = _2XX\nring = 45\n")).unwrap();
    assert_eq!(settings.sections[1].switch.as_ref().unwrap().ring, Duration::from_secs(45));
    assert_eq!(read(fleet).unwrap().sections[1].switch, None);

    let wrong =
        messages(&format!("{fleet}match = _. _2XX\nring = 0\n[x]\nmatch = _3XX\n[y]\nring = 5\n"));
    for expected in [
        "universal.conf, section [fleet], line 6: '_.' is no pattern for extensions: it would take",
        "universal.conf, section [fleet], line 7: 'ring = 0' must be a whole number from 1 to 3600",
        "universal.conf, section [x], line 9: 'match' is for a section with prefixes= and dial=",
        "universal.conf, section [y], line 11: 'ring' is for a section with match=",
    ] {
        assert!(wrong.iter().any(|m| m.starts_with(expected)), "{expected}\n{wrong:#?}");
    }
    assert_eq!(wrong.len(), 4, "{wrong:#?}");
}

#[test]
fn an_option_twice_in_a_section_is_refused_but_a_template_may_be_overridden() {
    assert_eq!(
        messages("[general]\nservers = c\nlease = 5\nlease = 6\n"),
        [
            "universal.conf, section [general], line 4: 'lease' is given twice in this section; keep one"
        ]
    );
    let line = |name: &str, value: &str, line, inherited| RawLine {
        name: name.into(),
        value: value.into(),
        file: "universal.conf".into(),
        line,
        inherited,
    };
    let general = RawSection { name: GENERAL.into(), lines: vec![line("servers", "c", 2, false)] };
    let lines = vec![
        line("lease", "5", 6, true),
        line("lease", "6", 11, false),
        line("identity", "@a/", 12, false),
    ];
    let phones = RawSection { name: "phones".into(), lines };
    let settings = check("universal.conf", &[general, phones]).unwrap();
    assert_eq!(settings.sections[1].publish.as_ref().unwrap().lease, Duration::from_secs(6));
}

#[test]
fn prefixes_that_cannot_begin_a_name_are_refused() {
    for bad in ["tandem:x", &"x".repeat(129)] {
        let text = format!("[general]\nservers = c\n[a]\nprefix = {bad}\nidentity = @a/\n");
        assert!(messages(&text)[0].contains("cannot begin a name"), "{bad}");
    }
}

#[test]
fn a_section_that_stands_there_twice_is_refused() {
    assert_eq!(
        messages("[general]\nservers = c\n[a]\nlease = 5\n[a]\nlease = 6\n"),
        ["universal.conf, section [a], line 6: section [a] is there already; keep one, or write \
          [a](+) to add to it"]
    );
}
