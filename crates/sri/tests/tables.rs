//! Sections, reloads, keys that cannot be, and what ten thousand phones cost.

mod common;

use std::collections::BTreeMap;

use common::{Bench, LEASE, ms, phones, rules};
use sri::{How, Kind, Outcome, PeerState, Rules, Unpublishable};

#[test]
fn a_driver_in_two_sections_is_published_under_each() {
    let mut bench = Bench::new(vec![
        rules("near", "A_", "serverA", &["pjsip"]),
        rules("far", "B_", "gw.example", &["IAX2", "PjSip"]),
        rules("other", "C_", "serverA", &["SCCP"]),
    ]);
    let claims = bench.register("200", 3600).poll();
    let sent: Vec<_> = claims.iter().map(|c| (&c.key[..], &c.value[..])).collect();
    assert_eq!(sent, [(&b"A_200"[..], &b"serverA"[..]), (b"B_200", b"gw.example")]);
}

#[test]
fn a_peer_is_found_by_its_name_in_every_section_and_no_other_is() {
    let mut bench = Bench::new(vec![
        rules("near", "A_", "serverA", &["pjsip"]),
        rules("far", "B_", "gw.example", &["IAX2", "PjSip"]),
    ]);
    bench.register("200", 3600).register("2000", 3600);
    let found: Vec<_> = bench.registrar.peers_named("200").map(|peer| peer.key.to_vec()).collect();
    assert_eq!(found, [b"A_200", b"B_200"]);
    assert_eq!(bench.registrar.peers_named("20").count(), 0);
}

#[test]
fn a_key_that_cannot_be_is_never_sent_and_says_why() {
    let mut bench = Bench::new(phones());
    bench.register("two words", 3600).register("tab\there", 3600).register("", 3600);
    bench.register(&"x".repeat(245), 3600).register(&"x".repeat(246), 3600);
    let claims = bench.poll();
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].key.len(), 250);

    let why: BTreeMap<_, _> = bench
        .registrar
        .peers()
        .filter_map(|p| match p.state {
            PeerState::Unpublished(why) => Some((p.endpoint.to_owned(), why)),
            _ => None,
        })
        .collect();
    assert_eq!(why["two words"], Unpublishable::BadByte { at: 8 });
    assert_eq!(why["tab\there"], Unpublishable::BadByte { at: 8 });
    assert_eq!(why[""], Unpublishable::NoEndpoint);
    assert_eq!(why[&"x".repeat(246)], Unpublishable::KeyTooLong { bytes: 251 });

    bench.unregister("two words").nothing();
}

#[test]
fn our_own_items_cannot_be_overwritten_by_a_phones_name() {
    let mut bench = Bench::new(vec![rules("none", "", "serverA", &["PJSIP"])]);
    bench.register("tandem:epoch", 3600).nothing();
    assert_eq!(bench.states(), [PeerState::Unpublished(Unpublishable::Reserved)]);
}

fn held(bench: &mut Bench) {
    bench.register("200", 3600).expect(Kind::Take, Outcome::Done);
    bench.restore("300", 3600).expect(Kind::Keep, Outcome::Foreign);
    bench.at(1_000);
}

fn reload(bench: &mut Bench, rules: Vec<Rules>) -> Vec<(Kind, String, String)> {
    bench.registrar.set_rules(bench.now, rules);
    sent(bench)
}

fn sent(bench: &mut Bench) -> Vec<(Kind, String, String)> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let mut sent = Vec::new();
    loop {
        let claims = bench.poll();
        if claims.is_empty() {
            return sent;
        }
        for claim in claims {
            bench.answer(&claim, Outcome::Done);
            sent.push((claim.kind, text(claim.key), text(claim.value)));
        }
    }
}

fn line(kind: Kind, key: &str, value: &str) -> (Kind, String, String) {
    (kind, key.into(), value.into())
}

#[test]
fn a_reload_that_changes_nothing_keeps_and_leaves_alone_what_is_stood_back() {
    let mut bench = Bench::new(phones());
    held(&mut bench);
    assert_eq!(reload(&mut bench, phones()), [line(Kind::Keep, "PEER_200", "serverA")]);
    assert_eq!(bench.states(), [PeerState::Held, PeerState::StoodBack]);
}

#[test]
fn a_section_that_vanished_withdraws_its_records() {
    let mut bench = Bench::new(phones());
    held(&mut bench);
    assert_eq!(reload(&mut bench, vec![]), [line(Kind::Withdraw, "PEER_200", "serverA")]);
    assert_eq!(bench.registrar.peers().count(), 0);

    assert_eq!(
        reload(&mut bench, phones()),
        [line(Kind::Keep, "PEER_200", "serverA"), line(Kind::Keep, "PEER_300", "serverA")],
        "the phones were not forgotten"
    );
}

#[test]
fn a_new_prefix_withdraws_under_the_old_key_and_keeps_under_the_new() {
    let mut bench = Bench::new(phones());
    held(&mut bench);
    let sent = reload(&mut bench, vec![rules("phones", "NEW_", "serverA", &["PJSIP"])]);
    assert_eq!(sent.len(), 3);
    assert!(sent.contains(&line(Kind::Withdraw, "PEER_200", "serverA")));
    assert!(sent.contains(&line(Kind::Keep, "NEW_200", "serverA")));
    assert!(sent.contains(&line(Kind::Keep, "NEW_300", "serverA")));
}

#[test]
fn a_new_identity_withdraws_the_old_record_before_it_writes_its_own() {
    let mut bench = Bench::new(phones());
    held(&mut bench);
    let new = vec![rules("phones", "PEER_", "serverB", &["PJSIP"])];
    bench.registrar.set_rules(bench.now, new);
    let withdraw = bench.claim(Kind::Withdraw);
    assert_eq!((&withdraw.key[..], &withdraw.value[..]), (&b"PEER_200"[..], &b"serverA"[..]));
    bench.nothing().answer(&withdraw, Outcome::Unreachable);
    bench.skip().expect(Kind::Withdraw, Outcome::Done);
    assert_eq!(sent(&mut bench), [line(Kind::Keep, "PEER_200", "serverB")]);
}

#[test]
fn a_register_after_a_new_identity_takes_at_once() {
    let mut bench = Bench::new(phones());
    held(&mut bench);
    let new = vec![rules("phones", "PEER_", "serverB", &["PJSIP"])];
    bench.registrar.set_rules(bench.now, new);
    bench.register("200", 3600);
    assert_eq!(sent(&mut bench), [line(Kind::Take, "PEER_200", "serverB")]);
}

#[test]
fn a_new_lease_counts_from_the_reload() {
    let mut bench = Bench::new(phones());
    held(&mut bench);
    let mut new = phones();
    new[0].lease = ms(9_900);
    bench.registrar.set_rules(bench.now, new);
    let claim = bench.claim(Kind::Keep);
    assert_eq!(claim.ttl, ms(10_000), "whole seconds of lease, and the margin");
    bench.answer(&claim, Outcome::Done);
    assert!(bench.next().unwrap() <= ms(1_000 + 3_000));
}

#[test]
fn two_sections_that_make_one_key_share_one_record() {
    let mut bench = Bench::new(vec![
        rules("first", "P_", "serverA", &["PJSIP"]),
        rules("second", "P_", "serverB", &["IAX2"]),
    ]);
    bench.contact("IAX2", "200", "x", 3600, How::Register);
    bench.contact("PJSIP", "200", "y", 3600, How::Register);
    assert_eq!(sent(&mut bench), [line(Kind::Take, "P_200", "serverA")]);
    bench.registrar.gone(bench.now, "IAX2", "200");
    bench.nothing();
    bench.registrar.gone(bench.now, "PJSIP", "200");
    assert_eq!(sent(&mut bench), [line(Kind::Withdraw, "P_200", "serverA")]);
}

const MANY: u64 = 10_000;

fn many() -> Bench {
    let mut bench = Bench::new(phones());
    for n in 0..MANY {
        bench.restore(&n.to_string(), 3600);
    }
    for claim in bench.poll() {
        bench.answer(&claim, Outcome::Done);
    }
    bench
}

#[test]
fn poll_looks_only_at_what_is_due() {
    let mut bench = many();
    let before = bench.registrar.examined();
    assert_eq!(before, MANY);
    for n in 0..1_000 {
        bench.at(n).nothing();
    }
    bench.at(5_000).register("77", 3600).expect(Kind::Take, Outcome::Done);
    assert_eq!(bench.registrar.examined(), before + 1, "one phone of ten thousand was due");
}

#[test]
fn a_poll_gives_no_more_than_it_is_asked_for_and_no_key_twice() {
    let mut bench = Bench::new(phones());
    for n in 0..10 {
        bench.register(&n.to_string(), 3600);
    }
    let mut out = Vec::new();
    for expected in [4, 8, 10, 10] {
        bench.registrar.poll(bench.now, 4, &mut out);
        assert_eq!(out.len(), expected);
    }
    let keys: std::collections::BTreeSet<_> = out.iter().map(|c| &c.key).collect();
    assert_eq!(keys.len(), 10);
    assert_eq!(bench.next(), Some(ms(3_601_000)), "only the contacts' ends are left");
}

#[test]
fn ten_thousand_phones_loaded_at_once_are_never_due_at_once_again() {
    let mut bench = many();
    let mut by_window: BTreeMap<u128, usize> = BTreeMap::new();
    while bench.next().unwrap() < ms(200_000) {
        bench.skip();
        for claim in bench.poll() {
            bench.answer(&claim, Outcome::Done);
            *by_window.entry((bench.now - bench.start).as_millis() / 100).or_default() += 1;
        }
    }
    let renewals: usize = by_window.values().sum();
    assert!(renewals as u128 >= u128::from(MANY) * 9 && renewals as u64 <= MANY * 13);
    let worst = by_window.values().max().unwrap();
    assert!(*worst <= 300, "in a tenth of a second: {worst}; the mean is under 60");
    assert!(by_window.keys().all(|w| *w >= LEASE.as_millis() / 400));
}
