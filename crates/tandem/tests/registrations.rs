//! `registrations`: who is registered where, from the prefixes of `universal.conf`.

mod common;

use common::{Folder, Memcached, free_port, tandem, univar};

fn gateway(folder: &Folder, servers: &str) -> String {
    let text = format!(
        "[general]\nservers = {servers}\ncopies = 1\n\
         [phones]\nprefix = PEERA_\nidentity = @192.0.2.11/\n\
         [fleet]\nprefixes = PEERA_ PEERB_\ndial = IAX2/u{{identity}}{{peer}}\n"
    );
    folder.file("universal.conf", text)
}

#[test]
fn every_peer_is_listed_with_its_server_section_time_and_cache() {
    let (folder, one, two) = (Folder::new(), Memcached::ready(), Memcached::ready());
    let conf = gateway(&folder, &format!("{} {}", one.address(), two.address()));
    for (name, value) in [
        ("PEERB_201", "@192.0.2.12/"),
        ("PEERA_200", "@192.0.2.11/"),
        ("PEERB_200", "@192.0.2.12/"),
    ] {
        univar(&[&one, &two], "set --ttl 60").arg(name).arg(value).run().exits(0);
    }
    univar(&[&one, &two], "set UNRELATED x").run().exits(0);
    let lines = tandem(&format!("registrations --config {conf}")).run().exits(0).silently().lines();
    let words: Vec<Vec<&str>> =
        lines.iter().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[0][..4], ["Peer", "Identity", "Section", "Left"]);
    assert_eq!(words.len(), 4);
    assert_eq!(words[1][..3], ["200", "@192.0.2.11/", "phones"]);
    assert_eq!(words[2][..3], ["200", "@192.0.2.12/", "fleet"]);
    assert_eq!(words[3][..3], ["201", "@192.0.2.12/", "fleet"]);
    assert!((50..=60).contains(&words[1][3].parse::<u64>().unwrap()));
    assert!(words[1][4] == one.address() || words[1][4] == two.address());

    let json = tandem(&format!("registrations --json --config {conf}")).run().exits(0).lines();
    let first: serde_json::Value = serde_json::from_str(&json[0]).unwrap();
    assert_eq!(first["peer"], "200");
    assert_eq!(first["identity"], "@192.0.2.11/");
    assert_eq!(first["section"], "phones");
    assert_eq!(first["prefix"], "PEERA_");
    assert!((50..=60).contains(&first["seconds_left"].as_u64().unwrap()));

    for filter in ["--peer 20", "--peer 200 --server 192.0.2.1"] {
        let run = tandem(&format!("registrations --json --config {conf} {filter}")).run().exits(1);
        run.stdout("").stderr_has("is not registered");
    }
    for (filter, count) in [
        ("--peer 200", 2),
        ("--server 192.0.2.12", 2),
        ("--server @192.0.2.11/", 1),
        ("--server 192.0.2.1", 0),
        ("--peer 200 --server 192.0.2.12", 1),
        ("--prefix PEERB_", 2),
        ("--prefix UNREL --prefix PEERB_", 3),
    ] {
        let run = tandem(&format!("registrations --json --config {conf} {filter}")).run().exits(0);
        assert_eq!(run.lines().len(), count, "{filter}");
    }
}

#[test]
fn without_a_file_the_original_pages_prefix_is_looked_under() {
    let server = Memcached::ready();
    univar(&[&server], "set PEER_7 @a/").run().exits(0);
    let run =
        tandem(&format!("registrations --json --servers {}", server.address())).run().exits(0);
    run.stdout_has("\"peer\":\"7\"").stdout_has("\"seconds_left\":null").silently();
    let run = tandem(&format!("registrations -v --servers {}", server.address())).run().exits(0);
    run.stderr_has("under PEER_");
}

#[test]
fn what_can_be_no_name_is_refused_before_any_server_is_asked() {
    let nobody = format!("127.0.0.1:{}", free_port());
    for (option, text) in [("--prefix", "x y"), ("--peer", "a b"), ("--peer", "a\nb")] {
        let run = tandem(&format!("registrations --servers {nobody} {option}")).arg(text);
        run.run().exits(2).stderr_has(option.trim_start_matches('-'));
    }
    let run = tandem(&format!("registrations --peer 999 --servers {nobody}")).run().exits(3);
    run.stderr_has(&nobody);
}

#[test]
fn a_list_with_a_hole_is_three_and_another_sections_dead_server_is_none() {
    let (folder, server) = (Folder::new(), Memcached::ready());
    let dead = format!("127.0.0.1:{}", free_port());
    let conf = gateway(&folder, &format!("{} {dead}", server.address()));
    tandem(&format!("registrations --config {conf}")).run().exits(3).stderr_has(&dead);
    let text = format!(
        "[general]\nservers = {dead}\n[fleet]\nservers = {}\nprefixes = PEERA_ PEERB_\n",
        server.address()
    );
    let conf = folder.file("universal.conf", text);
    tandem(&format!("registrations --config {conf}")).run().exits(0).silently();
    tandem(&format!("univar list PEERA_ --config {conf}")).run().exits(0).silently();
    tandem(&format!("univar list PEER --config {conf}")).run().exits(3).stderr_has(&dead);
}

#[test]
fn control_characters_never_reach_the_table() {
    let server = Memcached::ready();
    univar(&[&server], "set PEER_1").arg("\u{1b}[2J\n").run().exits(0);
    let run = tandem(&format!("registrations --servers {}", server.address())).run().exits(0);
    run.stdout_has("\\x1b[2J\\n");
}
