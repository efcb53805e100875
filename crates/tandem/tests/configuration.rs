//! Where the cache servers come from: `universal.conf` as the module reads it, `--servers`, and neither.

mod common;

use common::{Folder, Memcached, tandem, univar};

#[test]
fn the_same_file_that_the_module_reads_is_read_with_includes_and_templates() {
    let (folder, one, two) = (Folder::new(), Memcached::ready(), Memcached::ready());
    let sites = format!("[site](!)\nservers = {}\n", two.address());
    folder.file("sites.conf", sites);
    let text = format!(
        "; ours\n[general]\nservers => {} ; the first\n;-- not\nservers = x:0\n--;\n\
         #include \"sites*.conf\"\n#tryinclude none.conf\n[doors](site)\nprefixes = DOOR_\n",
        one.address()
    );
    let conf = folder.file("universal.conf", text);
    tandem(&format!("univar --config {conf} set DOOR_1 open")).run().exits(0).silently();
    tandem(&format!("univar --config {conf} set WINDOW_1 shut")).run().exits(0);
    univar(&[&two], "list").run().exits(0).stdout("DOOR_1\n");
    univar(&[&one], "list").run().exits(0).stdout("WINDOW_1\n");
    tandem(&format!("univar list --config {conf}")).run().exits(0).stdout("DOOR_1\nWINDOW_1\n");
}

#[test]
fn a_mistake_names_file_section_line_and_cure() {
    let folder = Folder::new();
    for (text, said) in [
        (
            "[general]\nservers = a:0\n",
            "universal.conf, section [general], line 2: server 'a:0' is not host:port: \
             the port is not a number from 1 to 65535",
        ),
        ("[general]\nservers = a\ncopies = 2\n", "line 3: 'copies = 2' is not possible with 1"),
        (
            "[general]\nservers = a\ndeadline = soon\nbogus = 1\n",
            "universal.conf, section [general], line 4: unknown option 'bogus'",
        ),
        ("servers = a\n", "universal.conf, line 1: this line stands above the first [section]"),
        ("[general\n", "universal.conf, line 1: the ']' is missing: write [name]"),
        ("[general]\nservers = a\n[x](nope)\n", "line 3: there is no section or template 'nope'"),
        ("[general]\n#exec /bin/echo\n", "universal.conf, line 2: #exec is not run here"),
        ("[general]\n#include gone.conf\n", "line 2: 'gone.conf' is included and not there"),
    ] {
        let conf = folder.file("universal.conf", text);
        let ran = tandem("univar get A --config").arg(&conf).run();
        ran.exits(2).stdout("").stderr_has(said).stderr_has(&conf);
    }
    tandem("univar get A --config /nonexistent.conf").run().exits(2).stderr_has("nonexistent.conf");
    tandem("univar get A --config /").run().exits(2);
    let evil = folder.file("universal.conf", "[general]\nservers = a\u{1b}[2J:0\n");
    let said = tandem("univar get A --config").arg(evil).run().exits(2).stderr();
    assert!(said.contains("\\x1b[2J") && !said.contains('\u{1b}'), "{said}");
    let odd = folder.file("universal.conf", "[general]\nservers = 127.0.0.1:1\nlost line\n");
    tandem("univar get A --config").arg(odd).run().exits(3).stderr_has("line 3: there is no '='");
}

#[test]
fn servers_go_through_the_same_checks() {
    for (arguments, said) in [
        ("--servers a:0", "server 'a:0' is not host:port"),
        ("--servers a --config b", "--config and --servers exclude each other"),
        ("--copies 1", "--copies goes with --servers"),
        ("--secret-file x", "--secret-file goes with --servers"),
        ("--servers a --copies 3", "copies"),
        ("--servers a --deadline 0", "1..=60000"),
    ] {
        tandem(&format!("univar get A {arguments}")).run().exits(2).stderr_has(said);
    }
    tandem("univar get A --servers").arg("a a").run().exits(2).stderr_has("listed twice");
    tandem("univar get A --servers").arg("").run().exits(2).stderr_has("empty");
    tandem("univar get A --secret hunter2").run().exits(2).stderr_has("--secret");
}

#[test]
fn options_may_stand_before_and_behind_the_subcommand() {
    let server = Memcached::ready();
    let address = server.address();
    tandem(&format!("univar --servers {address} set A 1")).run().exits(0);
    tandem(&format!("univar get --servers {address} A")).run().exits(0).stdout("1\n");
    tandem(&format!("univar get A --servers {address} --deadline 100")).run().exits(0);
}

#[test]
fn a_folder_in_the_place_of_the_file_and_no_file_at_all_are_told_with_their_whole_path() {
    let folder = Folder::new();
    let path = folder.path("").display().to_string();
    let run = tandem("univar get A --config").arg(&path).run().exits(2);
    run.stderr_has(&path).stderr_has("is a folder");
    let missing = folder.path("missing.conf").display().to_string();
    let run = tandem("univar get A --config").arg(&missing).run().exits(2);
    run.stderr_has(&format!("cannot use {missing}: No such file"));
}
