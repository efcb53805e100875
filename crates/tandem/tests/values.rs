//! `get`, `set`, `del`, `inc` and `ttl`: values of all kinds, names of all kinds, every exit code.

mod common;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use common::{Memcached, tandem, univar};

const VALUE_MAX_BYTES: usize = 1024 * 1024 - 512;

#[test]
fn what_is_set_is_got_and_what_is_deleted_is_missing() {
    let server = Memcached::ready();
    univar(&[&server], "set PEER_200 @192.0.2.11/").run().exits(0).stdout("").silently();
    univar(&[&server], "get PEER_200").run().exits(0).stdout("@192.0.2.11/\n").silently();
    univar(&[&server], "get -n PEER_200").run().exits(0).stdout("@192.0.2.11/");
    assert_eq!(server.ask("mg PEER_200 v\r\n"), "VA 12", "the bare value, for any client");
    univar(&[&server], "del PEER_200").run().exits(0).stdout("");
    univar(&[&server], "get PEER_200")
        .run()
        .exits(1)
        .stdout("")
        .stderr_has("PEER_200 is not there");
    univar(&[&server], "del PEER_200").run().exits(1).stderr_has("PEER_200 is not there");
}

#[test]
fn several_names_are_one_line_each_and_the_worst_counts() {
    let (one, two) = (Memcached::ready(), Memcached::ready());
    for number in 0..8 {
        univar(&[&one, &two], &format!("set N{number} v{number}")).run().exits(0);
    }
    let all = "get N0 N1 N2 N3 N4 N5 N6 N7";
    univar(&[&one, &two], all)
        .run()
        .exits(0)
        .stdout("N0=v0\nN1=v1\nN2=v2\nN3=v3\nN4=v4\nN5=v5\nN6=v6\nN7=v7\n");
    univar(&[&one, &two], "get N1 GONE N2").run().exits(1).stdout("N1=v1\nN2=v2\n");
    univar(&[&one, &two], "del N1 GONE N2").run().exits(1).stderr_has("GONE is not there");
    univar(&[&one, &two], "get N1").run().exits(1);
    univar(&[&one, &two], "get -n N3 N4").run().exits(2).stderr_has("--raw prints one value");
}

#[test]
fn json_tells_status_and_value_and_time_left() {
    let server = Memcached::ready();
    univar(&[&server], "set A żółw --ttl 100").run().exits(0);
    univar(&[&server], "set B -").stdin(b"\xff\x00").run().exits(0);
    univar(&[&server], "get --json A B C").run().exits(1).stdout(
        "{\"name\":\"A\",\"status\":\"OK\",\"value\":\"żółw\"}\n\
         {\"name\":\"B\",\"status\":\"OK\",\"value\":\"/wA=\",\"encoding\":\"base64\"}\n\
         {\"name\":\"C\",\"status\":\"MISSING\"}\n",
    );
    let ran = univar(&[&server], "get --json --ttl A B").run().exits(0);
    let lines: Vec<serde_json::Value> =
        ran.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!((95..=100).contains(&lines[0]["ttl"].as_u64().unwrap()), "{lines:?}");
    assert!(lines[1].as_object().unwrap()["ttl"].is_null());
    univar(&[&server], "get --ttl A").run().exits(2).stderr_has("--json");
}

#[test]
fn values_are_any_bytes_up_to_the_limit() {
    let server = Memcached::ready();
    let every: Vec<u8> = (0..=255).cycle().take(VALUE_MAX_BYTES).collect();
    univar(&[&server], "set BIG -").stdin(&every).run().exits(0).silently();
    univar(&[&server], "get -n BIG").run().exits(0).stdout(&every);
    let more = [&every[..], b"x"].concat();
    univar(&[&server], "set BIG -")
        .stdin(&more)
        .run()
        .exits(2)
        .stderr_has("more than 1048064 bytes");
    univar(&[&server], "get -n BIG").run().exits(0).stdout(&every);
    univar(&[&server], "set EMPTY").arg("").run().exits(0);
    univar(&[&server], "get EMPTY").run().exits(0).stdout("\n");
    univar(&[&server], "set NEGATIVE -5").run().exits(0);
    univar(&[&server], "set --ttl 50 DASHES").arg("--ttl").run().exits(2);
    univar(&[&server], "set --ttl 50 DASHES -- --ttl").run().exits(0);
    univar(&[&server], "get NEGATIVE DASHES").run().exits(0).stdout("NEGATIVE=-5\nDASHES=--ttl\n");
}

#[test]
fn names_with_odd_bytes_work_and_impossible_ones_are_refused_before_anything_is_done() {
    let server = Memcached::ready();
    let odd = OsStr::from_bytes(b"\xff\xc3\xb3%\"'$");
    univar(&[&server], "set").arg(odd).arg("odd").run().exits(0);
    univar(&[&server], "get").arg(odd).run().exits(0).stdout("odd\n");
    univar(&[&server], "list").run().exits(0).stdout([odd.as_bytes(), b"\n"].concat());
    univar(&[&server], "get --json").arg(odd).run().exits(0).stdout(
        "{\"name\":\"/8OzJSInJA==\",\"name_encoding\":\"base64\",\"status\":\"OK\",\"value\":\"odd\"}\n",
    );
    univar(&[&server], "set A 1").run().exits(0);
    for bad in ["two words", "line\nend", "", "tandem:epoch", &"x".repeat(251)] {
        univar(&[&server], "del A").arg(bad).run().exits(2).stderr_has("name");
        univar(&[&server], "set").arg(bad).arg("1").run().exits(2);
    }
    let esc = univar(&[&server], "get").arg("a\u{1b}[2J").run().exits(2);
    assert!(!esc.stderr().contains('\u{1b}'), "nothing raw on standard error");
    univar(&[&server], "get A").run().exits(0).stdout("1\n");
}

#[test]
fn add_is_a_lock_and_its_exit_code_tells() {
    let server = Memcached::ready();
    univar(&[&server], "set --add LOCK me --ttl 60").run().exits(0);
    univar(&[&server], "set --add LOCK you").run().exits(1).stderr_has("LOCK is there already");
    univar(&[&server], "get LOCK").run().exits(0).stdout("me\n");
}

#[test]
fn counting_prints_the_number_and_refuses_what_is_none() {
    let server = Memcached::ready();
    univar(&[&server], "inc CALLS").run().exits(0).stdout("1\n");
    univar(&[&server], "inc CALLS 41").run().exits(0).stdout("42\n");
    univar(&[&server], "inc CALLS -50").run().exits(0).stdout("-8\n");
    univar(&[&server], "get CALLS").run().exits(0).stdout("-8\n");
    univar(&[&server], "set WORD hello").run().exits(0);
    univar(&[&server], "inc WORD").run().exits(2).stdout("").stderr_has("no").stderr_has("number");
    univar(&[&server], "inc CALLS much").run().exits(2);
}

#[test]
fn a_life_can_be_asked_for_and_changed() {
    let server = Memcached::ready();
    univar(&[&server], "set A 1").run().exits(0);
    univar(&[&server], "ttl A").run().exits(0).stdout("never\n");
    univar(&[&server], "ttl A 100").run().exits(0).stdout("");
    let left: u64 = univar(&[&server], "ttl A").run().exits(0).lines()[0].parse().unwrap();
    assert!((95..=100).contains(&left), "{left}");
    univar(&[&server], "ttl A never").run().exits(0);
    univar(&[&server], "ttl A").run().exits(0).stdout("never\n");
    univar(&[&server], "ttl GONE").run().exits(1).stdout("");
    for bad in ["0", "-1", "soon", "1.5"] {
        univar(&[&server], "ttl A").arg(bad).run().exits(2);
    }
    univar(&[&server], "set A 1 --ttl 0").run().exits(2).stderr_has("--ttl");
}

#[test]
fn usage_mistakes_are_two_and_help_is_none() {
    tandem("").run().exits(2);
    tandem("univar").run().exits(2);
    tandem("univar get").run().exits(2).stderr_has("NAME");
    tandem("univar fetch A").run().exits(2);
    tandem("bogus").run().exits(2);
    tandem("--version").run().exits(0).stdout_has("tandem ");
    for command in ["get", "set", "del", "inc", "ttl", "list", "watch", "export", "import"] {
        let ran = tandem("univar").arg(command).arg("--help").run().exits(0);
        ran.stdout_has("Exit codes:").stdout_has("--servers");
    }
    tandem("registrations --help").run().exits(0).stdout_has("Exit codes:");
}
