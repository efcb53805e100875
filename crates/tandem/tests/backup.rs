//! `export` and `import`: what goes in comes out, and half a file changes nothing.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use common::{Folder, Memcached, univar};

fn export(servers: &[&Memcached]) -> Vec<String> {
    univar(servers, "export").run().exits(0).silently().lines()
}

#[test]
fn an_export_into_an_empty_cluster_gives_the_same() {
    let (a, b) = (Memcached::ready(), Memcached::ready());
    univar(&[&a, &b], "set TEXT").arg("zażółć \"gęślą\"\n").run().exits(0);
    univar(&[&a, &b], "set EMPTY").arg("").run().exits(0);
    let bytes: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
    univar(&[&a, &b], "set BINARY -").stdin(&bytes).run().exits(0);
    univar(&[&a, &b], "set SHORT x --ttl 1000").run().exits(0);
    univar(&[&a, &b], "set PEER_1 y").run().exits(0);
    let exported = export(&[&a, &b]);
    assert_eq!(exported.len(), 7);
    assert!(exported[0].starts_with("{\"tandem\":\"univar\",\"version\":1,\"exported\":"));
    assert_eq!(exported[6], "{\"end\":true,\"count\":5,\"complete\":true}");

    // More servers than before: names are placed anew.
    let (c, d, e) = (Memcached::ready(), Memcached::ready(), Memcached::ready());
    let file = exported.join("\n") + "\n";
    univar(&[&c, &d, &e], "import -")
        .stdin(file.as_bytes())
        .run()
        .exits(0)
        .stdout("imported 5, already there 0, expired 0, failed 0\n");
    let again = export(&[&c, &d, &e]);
    let without_ttl = |lines: &[String]| -> Vec<String> {
        let lines = lines[1..].iter();
        lines.map(|line| line.split(",\"ttl\":").next().unwrap().to_owned()).collect()
    };
    assert_eq!(without_ttl(&again), without_ttl(&exported));
    let left: u64 = univar(&[&c, &d, &e], "ttl SHORT").run().exits(0).lines()[0].parse().unwrap();
    assert!((900..=1000).contains(&left), "{left}");
    let peers = univar(&[&c, &d, &e], "export PEER_").run().exits(0).lines();
    assert_eq!(peers.len(), 3);
}

#[test]
fn ten_thousand_are_imported_in_batches() {
    let (a, b) = (Memcached::ready(), Memcached::ready());
    let mut file =
        String::from("{\"tandem\":\"univar\",\"version\":1,\"exported\":1,\"prefix\":\"\"}\n");
    for number in 0..10_000 {
        file += &format!("{{\"name\":\"N{number:05}\",\"value\":\"value {number}\"}}\n");
    }
    file += "{\"end\":true,\"count\":10000,\"complete\":true}\n";
    let folder = Folder::new();
    let path = folder.file("ten-thousand", &file);
    univar(&[&a, &b], "import --dry-run")
        .arg(&path)
        .run()
        .exits(0)
        .stdout("would import 10000, expired 0\n");
    univar(&[&a, &b], "list").run().exits(0).stdout("");
    univar(&[&a, &b], "import")
        .arg(&path)
        .run()
        .exits(0)
        .stdout("imported 10000, already there 0, expired 0, failed 0\n");
    assert_eq!(export(&[&a, &b])[1..], file.lines().collect::<Vec<_>>()[1..]);
}

#[test]
fn with_add_what_is_there_stays() {
    let server = Memcached::ready();
    univar(&[&server], "set A old").run().exits(0);
    univar(&[&server], "set B old").run().exits(0);
    let file = export(&[&server]).join("\n") + "\n";
    univar(&[&server], "set A new").run().exits(0);
    univar(&[&server], "del B").run().exits(0);
    univar(&[&server], "import --add -")
        .stdin(file.as_bytes())
        .run()
        .exits(0)
        .stdout("imported 1, already there 1, expired 0, failed 0\n");
    univar(&[&server], "get A B").run().exits(0).stdout("A=new\nB=old\n");
    univar(&[&server], "import -").stdin(file.as_bytes()).run().exits(0);
    univar(&[&server], "get A").run().exits(0).stdout("old\n");
}

#[test]
fn what_would_have_ended_since_is_left_out() {
    let server = Memcached::ready();
    let file = "{\"tandem\":\"univar\",\"version\":1,\"exported\":1000,\"prefix\":\"\"}\n\
        {\"name\":\"LEASE\",\"value\":\"x\",\"ttl\":60}\n\
        {\"name\":\"STAYS\",\"value\":\"y\"}\n\
        {\"end\":true,\"count\":2,\"complete\":true}\n";
    univar(&[&server], "import -")
        .stdin(file.as_bytes())
        .run()
        .exits(0)
        .stdout("imported 1, already there 0, expired 1, failed 0\n");
    univar(&[&server], "list").run().exits(0).stdout("STAYS\n");
    univar(&[&server], "import --restart-ttl -").stdin(file.as_bytes()).run().exits(0);
    univar(&[&server], "list").run().exits(0).stdout("LEASE\nSTAYS\n");
}

#[test]
fn a_cut_or_foreign_file_is_refused_before_anything_is_written() {
    let (full, empty) = (Memcached::ready(), Memcached::ready());
    univar(&[&full], "set A 1").run().exits(0);
    univar(&[&full], "set B 2").run().exits(0);
    let lines = export(&[&full]);
    let whole = lines.join("\n") + "\n";
    let cut = lines[..3].join("\n") + "\n";
    let within = &whole[..whole.len() - 20];
    let gap = [&lines[..1], &lines[2..]].concat().join("\n") + "\n";
    for (file, said) in [
        (cut.as_str(), "it was cut off"),
        (within, "it was cut off"),
        (gap.as_str(), "it says that it has 2 variables, and has 1"),
        ("", "not an export"),
        ("\0\x01garbage\n", "not an export"),
        ("key=A exp=-1\n", "not an export"),
    ] {
        univar(&[&empty], "import -").stdin(file.as_bytes()).run().exits(2).stderr_has(said);
    }
    let bad = whole.replacen("\"A\"", "\"A B\"", 1);
    univar(&[&empty], "import -")
        .stdin(bad.as_bytes())
        .run()
        .exits(2)
        .stderr_has("line 2: the name has a blank at position 2");
    univar(&[&empty], "import /nonexistent").run().exits(2).stderr_has("/nonexistent");
    univar(&[&empty], "list").run().exits(0).stdout("");
}

#[test]
fn what_could_not_be_written_is_told_and_the_exit_code_says_partly() {
    let (source, live, mut dead) = (Memcached::ready(), Memcached::ready(), Memcached::ready());
    for number in 0..30 {
        univar(&[&source], &format!("set N{number} v")).run().exits(0);
    }
    let file = export(&[&source]).join("\n") + "\n";
    dead.kill();
    let run = univar(&[&live, &dead], "import -").stdin(file.as_bytes()).run().exits(4);
    let run = run.stderr_has(": unreachable").stderr_has(&dead.address());
    let told = run.lines().remove(0);
    assert!(told.starts_with("imported ") && !told.ends_with("failed 0"), "{told}");
    univar(&[&dead], "import -").stdin(file.as_bytes()).run().exits(3).stdout_has("failed 30");
}

#[test]
fn an_incomplete_export_says_so_and_does_not_replace_a_good_file() {
    let (live, mut dead) = (Memcached::ready(), Memcached::ready());
    for number in 0..20 {
        univar(&[&live, &dead], &format!("set N{number} v")).run().exits(0);
    }
    let folder = Folder::new();
    let path = folder.path("backup");
    univar(&[&live, &dead], "export -o").arg(&path).run().exits(0).stdout("").silently();
    let good = fs::read_to_string(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!folder.path("backup.incomplete").exists());
    dead.kill();
    let run = univar(&[&live, &dead], "export -o").arg(&path).run().exits(4);
    run.stderr_has("backup.incomplete").stderr_has(&dead.address());
    assert_eq!(fs::read_to_string(&path).unwrap(), good);
    let part = fs::read_to_string(folder.path("backup.incomplete")).unwrap();
    assert!(part.ends_with("\"complete\":false}\n"), "{part}");
    let other = Memcached::ready();
    for dry in ["", "--dry-run"] {
        let part = folder.path("backup.incomplete");
        let run = univar(&[&other], "import").args(dry).arg(part).run().exits(4);
        run.stderr_has("the export was not complete");
    }
    univar(&[&dead], "export").run().exits(3);
    univar(&[&live], "export -o /nonexistent/x").run().exits(2).stderr_has("cannot write");
    univar(&[&live], "export -o /dev/null").run().exits(0);
    univar(&[&live], "export -o -").run().exits(0).stdout_has("\"complete\":true");
}

#[test]
fn an_export_that_cannot_be_written_leaves_nothing_behind_and_says_why_once() {
    let server = Memcached::ready();
    univar(&[&server], "set LARGE -").stdin(&[b'x'; 100_000]).run().exits(0);
    let folder = Folder::new();
    let file = folder.file("backup", "an old one");
    let servers = server.address();
    let run =
        common::tandem_on_a_full_disk(&format!("univar export --servers {servers} -o {file}"));
    run.run().exits(2).stderr_has("cannot write").stderr_has("File too large");
    assert!(!folder.path("backup.incomplete").exists());
    assert_eq!(fs::read_to_string(&file).unwrap(), "an old one");
    let full = "exec \"$0\" univar export --servers \"$1\" > /dev/full";
    let run = std::process::Command::new("sh")
        .args(["-c", full, env!("CARGO_BIN_EXE_tandem"), &servers])
        .output()
        .unwrap();
    let said = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(2), "{said}");
    assert_eq!(said.matches("No space left").count(), 1, "{said}");
}
