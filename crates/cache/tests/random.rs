//! Random commands, said to ours and to memcached 1.6.18, one after the other: every answer must be
//! the same, CAS numbers too.
//!
//! Each answer is awaited before the next command is said, for memcached stores a number that got
//! shorter in another way while an answer with the item has not been sent.

mod common;

use common::{Memcached, Pair, ours, same_but_for_a_second};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "n", "PEER_200", "k\u{e9}y"])
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof!["[0-9]{1,3}", "[a-z]{0,5}", Just("18446744073709551615".to_owned())]
}

/// Times that are the same whenever they are looked at.
const TIMES: [&str; 3] = ["0", "1000", "-1"];

fn time() -> impl Strategy<Value = &'static str> {
    prop::sample::select(TIMES.to_vec())
}

/// CAS numbers count up from the last case's: these are all wrong, or 0.
fn cas() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["0", "1", "18446744073709551615"])
}

fn flags(of: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::subsequence(of, 0..=of.len().min(5))
        .prop_shuffle()
        .prop_map(|flags| flags.into_iter().fold(String::new(), |text, flag| text + " " + flag))
}

const GET: &[&str] =
    &["v", "t", "k", "s", "f", "q", "u", "h", "Oxy", "c", "N1000", "R2000", "R10", "T1000", "T0"];
const SET: &[&str] = &["T1000", "T0", "F7", "k", "c", "q", "Oz", "I", "C1", "C0", "ME", "S1"];
const SET_OTHER: &[&str] = &["MA", "T1000", "c", "q", "C5", "k"];
const DELETE: &[&str] = &["q", "k", "I", "T1000", "Oz", "C1", "T0"];
/// Without `T`: memcached forgets it where the number gets longer.
const COUNT: &[&str] = &["v", "t", "c", "q", "k", "D5", "MD", "N1000", "J20", "C1"];

fn command() -> impl Strategy<Value = String> {
    let verb = prop::sample::select(vec!["set", "add", "replace", "append", "prepend"]);
    let noreply = prop::sample::select(vec!["", "", " noreply"]);
    prop_oneof![
        4 => (verb, key(), 0..3_u32, time(), value(), noreply.clone()).prop_map(
            |(verb, key, flags, time, value, noreply)| {
                format!("{verb} {key} {flags} {time} {}{noreply}\r\n{value}\r\n", value.len())
            }
        ),
        1 => (key(), cas(), value()).prop_map(|(key, cas, value)| {
            format!("cas {key} 0 0 {} {cas}\r\n{value}\r\n", value.len())
        }),
        2 => (key(), key()).prop_map(|(one, two)| format!("gets {one} {two} {one}\r\n")),
        1 => (time(), key()).prop_map(|(time, key)| format!("gat {time} {key}\r\n")),
        1 => (key(), time()).prop_map(|(key, time)| format!("touch {key} {time}\r\n")),
        1 => (key(), noreply).prop_map(|(key, noreply)| format!("delete {key}{noreply}\r\n")),
        2 => ("(incr|decr)", key(), 0..200_u32)
            .prop_map(|(verb, key, by)| format!("{verb} {key} {by}\r\n")),
        4 => (key(), flags(GET)).prop_map(|(key, flags)| format!("mg {key}{flags}\r\n")),
        3 => (key(), value(), flags(SET)).prop_map(|(key, value, flags)| {
            format!("ms {key} {}{flags}\r\n{value}\r\n", value.len())
        }),
        1 => (key(), value(), flags(SET_OTHER)).prop_map(|(key, value, flags)| {
            format!("ms {key} {}{flags}\r\n{value}\r\n", value.len())
        }),
        2 => (key(), flags(DELETE)).prop_map(|(key, flags)| format!("md {key}{flags}\r\n")),
        2 => (key(), flags(COUNT)).prop_map(|(key, flags)| format!("ma {key}{flags}\r\n")),
    ]
}

#[test]
fn every_answer_is_memcacheds() {
    // A thread of memcached's own that has hold of an item makes it count in another way, too.
    let theirs = Memcached::start(&["-o", "no_lru_crawler,no_lru_maintainer"]);
    let pair = Pair { ours: ours(|_| {}), theirs };
    let config = ProptestConfig {
        cases: 100,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let commands = prop::collection::vec(command(), 1..60);
    let result = TestRunner::new(config).run(&commands, |commands| {
        let mut clients = pair.clients();
        for client in &mut clients {
            client.text("flush_all\r\n");
        }
        let mut said = String::new();
        for command in commands {
            said.push_str(&command);
            let [ours, theirs] = clients.each_mut().map(|client| client.ask(command.as_bytes()));
            prop_assert!(
                same_but_for_a_second(&ours, &theirs),
                "ours {}, theirs {}, to the last of {}",
                ours.escape_ascii(),
                theirs.escape_ascii(),
                said
            );
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
