//! `list`, output to a terminal, closed pipes, and the words around it all.

mod common;

use std::process::{Command, Stdio};

use common::{Memcached, tandem, univar};

#[test]
fn names_are_listed_sorted_with_prefix_and_values() {
    let (one, two) = (Memcached::ready(), Memcached::ready());
    for (name, value) in [("PEER_2", "b"), ("PEER_1", "a"), ("OTHER", "c")] {
        univar(&[&one, &two], "set").arg(name).arg(value).run().exits(0);
    }
    univar(&[&one, &two], "list").run().exits(0).stdout("OTHER\nPEER_1\nPEER_2\n").silently();
    univar(&[&one, &two], "list PEER_").run().exits(0).stdout("PEER_1\nPEER_2\n");
    univar(&[&one, &two], "list PEER_ --values").run().exits(0).stdout("PEER_1=a\nPEER_2=b\n");
    univar(&[&one, &two], "list O --json").run().exits(0).stdout("{\"name\":\"OTHER\"}\n");
    univar(&[&one, &two], "list O --json --values --ttl")
        .run()
        .exits(0)
        .stdout("{\"name\":\"OTHER\",\"value\":\"c\",\"ttl\":null}\n");
    univar(&[&one, &two], "list NONE").run().exits(0).stdout("").silently();
    univar(&[&one, &two], "list").arg("a b").run().exits(2).stderr_has("prefix");
}

#[test]
fn a_terminal_gets_control_characters_escaped_and_a_pipe_gets_the_bytes() {
    let server = Memcached::ready();
    let value = b"\x1b]0;owned\x07\n\xff\xc2\x9b31m";
    univar(&[&server], "set EVIL -").stdin(value).run().exits(0);
    univar(&[&server], "get -n EVIL").run().exits(0).stdout(value);
    for command in ["get EVIL", "list --values", "get --json EVIL", "list --json --values"] {
        let binary = env!("CARGO_BIN_EXE_tandem");
        let line = format!("{binary} univar --servers {} {command}", server.address());
        // script(1) gives it a terminal.
        let ran = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .stdin(Stdio::null())
            .output()
            .expect("script is in every Debian");
        let told = String::from_utf8(ran.stdout).expect("escaped to text");
        let told = told.replace("\r\n", "\n");
        assert!(!told.trim_end().contains(|c: char| c.is_control()), "{command}: {told:?}");
        if !command.contains("json") {
            assert!(told.contains("\\x1b]0;owned\\x07\\n\\xff\\u{009b}31m"), "{command}: {told}");
        }
    }
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let server = Memcached::ready();
    let mut commands = String::new();
    for number in 0..20_000 {
        commands += &format!("ms SOME_RATHER_LONG_NAME_{number} 1 q\r\nx\r\n");
    }
    assert_eq!(server.ask(&(commands + "mn\r\n")), "MN");
    for command in ["list", "list --values", "export"] {
        let mut running = univar(&[&server], command).start();
        assert!(!running.line().is_empty());
        running.close();
        assert_eq!(running.end(), Some(0), "{command}");
        assert_eq!(running.kill(), "", "{command}");
    }
}

#[test]
fn completions_and_man_pages_are_made() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = tandem("completion").arg(shell).run().exits(0);
        ran.stdout_has("univar").stdout_has("registrations");
    }
    tandem("completion tcsh").run().exits(2);
    tandem("man").run().exits(0).stdout_has(".TH tandem 1").stdout_has("registrations");
    tandem("man univar get").run().exits(0).stdout_has("Exit codes");
    tandem("man bogus").run().exits(2);
    let folder = common::Folder::new();
    let path = folder.path("");
    tandem("man --output").arg(&path).run().exits(0);
    assert!(folder.path("tandem-univar-get.1").exists());
    tandem("--help").run().exits(0).stdout_has("Ties Asterisk servers together");
}
