//! Two copies of each variable and a secret: what the shell sees, with one cache server gone or emptied.

mod common;

use std::os::unix::fs::PermissionsExt as _;

use common::{Folder, Memcached, Tandem, tandem};

const SECRET: &str = "twelve bytes and more";

fn cluster(count: usize) -> Vec<Memcached> {
    (0..count).map(|_| Memcached::ready()).collect()
}

/// `tandem univar` with two copies.
fn two(servers: &[Memcached], arguments: &str) -> Tandem {
    let list: Vec<String> = servers.iter().map(Memcached::address).collect();
    tandem("univar --copies 2 --servers").arg(list.join(" ")).args(arguments)
}

#[test]
fn everything_works_as_with_one_copy() {
    let servers = cluster(3);
    two(&servers, "set A 1").run().exits(0).silently();
    two(&servers, "get A").run().exits(0).stdout("1\n");
    two(&servers, "set --add A 2").run().exits(1);
    two(&servers, "inc N 5").run().exits(0).stdout("5\n");
    two(&servers, "ttl A 100").run().exits(0);
    let left: u64 = two(&servers, "ttl A").run().exits(0).lines()[0].parse().unwrap();
    assert!((95..=100).contains(&left), "{left}");
    two(&servers, "list --values").run().exits(0).stdout("A=1\nN=5\n").silently();
    two(&servers, "del A").run().exits(0);
    two(&servers, "get A").run().exits(1);
    // The trace of what was deleted is listed by memcached, and not by us.
    two(&servers, "list").run().exits(0).stdout("N\n").silently();
    two(&servers, "export").run().exits(0).stdout_has("\"count\":1,\"complete\":true");
}

#[test]
fn with_one_server_dead_nothing_is_lost_and_lists_are_complete() {
    let mut servers = cluster(3);
    for number in 0..30 {
        two(&servers, &format!("set N{number} v")).run().exits(0);
    }
    servers[1].kill();
    let lines = two(&servers, "list --values").run().exits(0).lines();
    assert_eq!(lines.len(), 30);
    two(&servers, "set N3 new").run().exits(0);
    two(&servers, "get N3").run().exits(0).stdout("new\n");
    two(&servers, "get GONE").run().exits(1);
    let lines = two(&servers, "export").run().exits(0).lines();
    assert_eq!(lines.len(), 32);
    servers[2].kill();
    two(&servers, "list").run().exits(3).stderr_has(&servers[1].address());
}

#[test]
fn asking_does_not_begin_a_new_epoch_on_a_server_that_is_well() {
    let mut servers = cluster(2);
    servers[1].kill();
    two(&servers, "get A").run();
    two(&servers, "list").run();
    servers[1].restart();
    servers[1].make_ready();
    for command in ["get A", "list", "set A 1", "get A", "export"] {
        two(&servers, command).run();
        for server in &servers {
            assert_eq!(server.ask("mg tandem:epoch v\r\nmn\r\n"), "VA 18");
            let marker = server.line_after("mg tandem:epoch v\r\n");
            assert_eq!(marker, "R 00000000000000aa", "after {command}");
        }
    }
}

#[test]
fn waiting_heals_a_server_that_lost_everything() {
    let mut servers = cluster(2);
    for number in 0..300 {
        servers[0].ask(&format!("ms tandem_no_{number} 1\r\nx\r\n"));
    }
    two(&servers, "set A 1").run().exits(0);
    servers[0].restart();
    two(&servers, "--wait=15 get A").run().exits(0).stdout("1\n");
    servers[1].kill();
    // The copy that was lost is there again.
    two(&servers, "get A").run().exits(0).stdout("1\n");
    servers[0].kill();
    two(&servers, "get A").run().exits(3);
}

#[test]
fn waiting_compares_the_copies_where_a_server_came_back_with_what_it_had() {
    for late in [0, 1] {
        let mut servers = cluster(2);
        two(&servers, "set K old").run().exits(0).silently();
        two(&servers, "set GONE old").run().exits(0).silently();
        servers[late].stop();
        two(&servers, "set K new").run().exits(0).stderr_has("with --wait");
        two(&servers, "del GONE").run().exits(0).stderr_has("with --wait");
        servers[late].go_on();
        // What is asked for is read from both copies anyway, and mended.
        two(&servers, "get --wait NONE").run().exits(1);
        for server in &servers {
            let marker = server.line_after("mg tandem:epoch v\r\n");
            assert_eq!(marker, "R 00000000000000aa", "comparing needs no new epoch");
        }
        servers[1 - late].kill();
        two(&servers, "get K").run().exits(0).stdout("new\n");
        two(&servers, "get GONE").run().exits(1);
    }
}

#[test]
fn what_waiting_could_not_compare_is_said() {
    let servers = [Memcached::ready(), Memcached::with(&["-o", "no_lru_crawler"])];
    servers[1].make_ready();
    two(&servers, "set K 1").run().exits(0).silently();
    two(&servers, "--wait get K")
        .run()
        .exits(0)
        .stdout("1\n")
        .stderr_has(&format!("cache server {} cannot be listed", servers[1].address()))
        .stderr_has("not all copies could be compared");
}

#[test]
fn a_secret_comes_from_a_file_and_is_needed_and_never_shown() {
    let (folder, servers) = (Folder::new(), cluster(2));
    let secret = folder.file("secret", format!("{SECRET}\n"));
    let with = |arguments: &str| two(&servers, arguments).arg("--secret-file").arg(&secret);
    let told = with("set A 1 -v").run().exits(0).stderr();
    assert!(told.contains("can be read by others") && !told.contains(SECRET), "{told}");
    with("get A").run().exits(0).stdout("1\n");
    let other = folder.file("other", "another secret entirely");
    let run = two(&servers, "get A").arg("--secret-file").arg(&other).run().exits(3).stdout("");
    assert!(!run.stderr().contains("another secret"));
    let short = folder.file("short", "hunter2");
    let run = two(&servers, "get A").arg("--secret-file").arg(&short).run().exits(2);
    assert!(!run.stderr().contains("hunter2"), "{}", run.stderr());
    let list: Vec<String> = servers.iter().map(Memcached::address).collect();
    let text = format!("[general]\nservers = {}\nsecret = {SECRET}\nbogus = 1\n", list.join(" "));
    let conf = folder.file("universal.conf", text);
    let run = tandem("univar get A --config").arg(&conf).run().exits(2).stderr_has("bogus");
    assert!(!run.stderr().contains(SECRET), "{}", run.stderr());
    let text = format!("[general]\nservers = {}\n#include secret.conf\n", list.join(" "));
    let conf = folder.file("universal.conf", text);
    let part = folder.file("secret.conf", format!("secret = {SECRET}\n"));
    let run = tandem("univar get A --config").arg(&conf).run().exits(0).stdout("1\n");
    let run = run.stderr_has(&format!("{part}: the secret in it can be read by others: chmod o="));
    assert!(!run.stderr().contains(SECRET), "{}", run.stderr());
    std::fs::set_permissions(&part, std::fs::Permissions::from_mode(0o640)).unwrap();
    tandem("univar get A --config").arg(&conf).run().exits(0).silently();
    for owner in ["", "a\nb"] {
        let run = with("get A --owner").arg(owner).run().exits(2);
        run.stderr_has("--owner");
    }
}

#[test]
fn an_export_moves_from_one_copy_to_two_and_back() {
    let (old, new) = (Memcached::ready(), cluster(3));
    common::univar(&[&old], "set A 1").run().exits(0);
    common::univar(&[&old], "set B -").stdin(b"\0\xff").run().exits(0);
    let file = common::univar(&[&old], "export").run().exits(0).lines().join("\n") + "\n";
    two(&new, "import -").stdin(file.as_bytes()).run().exits(0).stdout_has("imported 2,");
    let again = two(&new, "export").run().exits(0).lines();
    assert_eq!(again[1..], file.lines().collect::<Vec<_>>()[1..]);
    common::univar(&[&new[0], &new[1], &new[2]], "get A").run().exits(2).stderr_has("envelope");
}
