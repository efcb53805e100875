//! `watch`: changes as they happen, and nothing that is none.

mod common;

use common::{Memcached, univar};

#[test]
fn changes_are_printed_as_they_happen() {
    let server = Memcached::ready();
    univar(&[&server], "set W_A 1").run().exits(0);
    univar(&[&server], "set OTHER 1").run().exits(0);
    let mut watch = univar(&[&server], "watch W_ --now --interval 50").start();
    assert_eq!(watch.line(), "set W_A=1");
    univar(&[&server], "set W_A 2").run().exits(0);
    assert_eq!(watch.line(), "set W_A=2");
    univar(&[&server], "set OTHER 2").run().exits(0);
    univar(&[&server], "set W_B 3").run().exits(0);
    assert_eq!(watch.line(), "set W_B=3");
    univar(&[&server], "del W_A").run().exits(0);
    assert_eq!(watch.line(), "del W_A");
}

#[test]
fn without_now_only_what_comes_is_printed_and_json_has_it_all() {
    let server = Memcached::ready();
    univar(&[&server], "set OLD 1").run().exits(0);
    let mut watch = univar(&[&server], "watch --json --interval 50").start();
    // It tells nobody when it has begun: change until it sees one.
    let changer = std::thread::spawn({
        let address = server.address();
        move || {
            for number in 0..200 {
                let servers = format!("univar set NEW {number} --servers {address}");
                common::tandem(&servers).run().exits(0);
            }
        }
    });
    let line = watch.line();
    assert!(line.starts_with("{\"event\":\"set\",\"name\":\"NEW\",\"value\":"), "{line}");
    changer.join().unwrap();
    univar(&[&server], "del OLD").run().exits(0);
    while watch.line() != "{\"event\":\"del\",\"name\":\"OLD\"}" {}
}

#[test]
fn one_name_is_watched_exactly() {
    let server = Memcached::ready();
    univar(&[&server], "set A 1").run().exits(0);
    univar(&[&server], "set AA 1").run().exits(0);
    let mut watch = univar(&[&server], "watch A --exact --now --interval 50").start();
    assert_eq!(watch.line(), "set A=1");
    univar(&[&server], "set AA 2").run().exits(0);
    univar(&[&server], "set A 2").run().exits(0);
    assert_eq!(watch.line(), "set A=2");
    univar(&[&server], "watch --exact").run().exits(2);
    univar(&[&server], "watch --interval 1").run().exits(2).stderr_has("50..=3600000");
}

#[test]
fn a_server_that_cannot_be_reached_deletes_nothing_and_is_told_once() {
    let mut server = Memcached::ready();
    univar(&[&server], "set A 1").run().exits(0);
    let mut watch = univar(&[&server], "watch --now --interval 50").start();
    assert_eq!(watch.line(), "set A=1");
    server.restart();
    // Its content is lost, and that is no deletion before it is healed; the watch heals it itself.
    assert_eq!(watch.line(), "del A");
    assert!(server.ask("mg tandem:epoch v\r\n").starts_with("VA 18"));
    univar(&[&server], "set A 2").run().exits(0);
    assert_eq!(watch.line(), "set A=2");
    let said = watch.kill();
    assert_eq!(said.matches("is new or has lost its content").count(), 1, "{said}");
    assert_eq!(said.matches("all cache servers can tell again").count(), 1, "{said}");
}

#[test]
fn a_closed_pipe_ends_it_even_if_nothing_changes() {
    let server = Memcached::ready();
    univar(&[&server], "set A 1").run().exits(0);
    let mut watch = univar(&[&server], "watch --now").start();
    assert_eq!(watch.line(), "set A=1");
    watch.close();
    assert_eq!(watch.end(), Some(0));
    assert_eq!(watch.kill(), "");
}
