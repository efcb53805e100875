//! How long records live and when they are written again, to the millisecond.

mod common;

use std::time::Duration;

use common::{Bench, CONTACT, LEASE, ms, phones};
use sri::{EXPIRY_SLACK, How, Kind, MIN_RENEWAL, Outcome, PeerState};

#[test]
fn a_long_registration_is_a_lease_renewed_by_a_third() {
    let mut bench = Bench::new(phones());
    let claim = bench.register("200", 3600).claim(Kind::Take);
    assert_eq!(claim.key, b"PEER_200");
    assert_eq!(claim.value, b"serverA");
    assert_eq!(claim.ttl, Duration::from_secs(61));
    bench.at(30).answer(&claim, Outcome::Done);

    let mut last = Duration::ZERO;
    for _ in 0..20 {
        let next = bench.next().unwrap();
        assert!(next - last <= LEASE / 3 && next - last >= LEASE / 4, "{last:?} {next:?}");
        last = next;
        let claim = bench.skip().claim(Kind::Keep);
        assert_eq!(claim.ttl, Duration::from_secs(61));
        bench.answer(&claim, Outcome::Done);
    }
}

#[test]
fn a_renewal_counts_from_when_the_write_was_sent_not_from_its_answer() {
    let mut slow = Bench::new(phones());
    let claim = slow.register("200", 3600).claim(Kind::Take);
    slow.at(5_000).answer(&claim, Outcome::Done);
    let mut fast = Bench::new(phones());
    fast.register("200", 3600).expect(Kind::Take, Outcome::Done);
    assert_eq!(slow.next(), fast.next());
}

#[test]
fn a_short_registration_lives_no_longer_than_the_time_left() {
    let mut bench = Bench::new(phones());
    let claim = bench.register("200", 30).claim(Kind::Take);
    assert_eq!(claim.ttl, Duration::from_secs(31));
    bench.answer(&claim, Outcome::Done);
    let next = bench.next().unwrap();
    assert!(next <= ms(10_000) && next >= ms(7_500), "a third of what is left: {next:?}");

    let left = ms(30_000) - next;
    let claim = bench.skip().claim(Kind::Keep);
    let whole = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    assert_eq!(claim.ttl, Duration::from_secs(whole + 1));
}

#[test]
fn a_registration_that_runs_out_is_renewed_once_a_second_at_most_and_then_withdrawn() {
    let mut bench = Bench::new(phones());
    bench.register("200", 60).expect(Kind::Take, Outcome::Done);
    let end = bench.start + ms(60_000) + EXPIRY_SLACK;
    let mut last = bench.now;
    loop {
        let claims = bench.skip().poll();
        assert_eq!(claims.len(), 1);
        bench.answer(&claims[0], Outcome::Done);
        if claims[0].kind == Kind::Withdraw {
            break;
        }
        assert!(bench.now - last >= MIN_RENEWAL);
        last = bench.now;
    }
    assert_eq!(bench.now, end, "given up when its time and the slack were over");
    assert_eq!(bench.next(), None);
    assert_eq!(bench.registrar.peers().count(), 0);
}

#[test]
fn the_contact_that_lives_longest_counts() {
    let mut bench = Bench::new(phones());
    bench.contact("PJSIP", "200", "sip:desk", 20, How::Register);
    bench.contact("PJSIP", "200", "sip:sofa", 40, How::Register);
    let claim = bench.claim(Kind::Take);
    assert_eq!(claim.ttl, Duration::from_secs(41));
    bench.answer(&claim, Outcome::Done);

    bench.registrar.unregistered(bench.now, "PJSIP", "200", "sip:sofa");
    assert_eq!(bench.states(), [PeerState::Held], "one contact is left");
    let left = ms(20_000) - bench.next().unwrap();
    let claim = bench.skip().claim(Kind::Keep);
    assert_eq!(claim.ttl.as_secs(), left.as_secs() + u64::from(left.subsec_nanos() > 0) + 1);

    bench.answer(&claim, Outcome::Done);
    bench.registrar.unregistered(bench.now, "PJSIP", "200", "sip:desk");
    bench.expect(Kind::Withdraw, Outcome::Done);
    assert_eq!(bench.next(), None);
}

#[test]
fn a_contact_without_an_end_lives_until_it_is_said_to_be_gone() {
    let mut bench = Bench::new(phones());
    bench.registrar.registered(bench.now, "PJSIP", "200", CONTACT, None, How::Register);
    bench.contact("PJSIP", "200", "sip:sofa", 5, How::Register);
    let claim = bench.claim(Kind::Take);
    assert_eq!(claim.ttl, Duration::from_secs(61));
    bench.answer(&claim, Outcome::Done);
    for _ in 0..200 {
        for claim in bench.skip().poll() {
            assert_eq!(claim.kind, Kind::Keep);
            bench.answer(&claim, Outcome::Done);
        }
    }
    bench.registrar.gone(bench.now, "PJSIP", "200");
    bench.expect(Kind::Withdraw, Outcome::Done);
}

#[test]
fn one_phone_of_two_drivers_lives_while_either_does() {
    let mut bench = Bench::new(phones());
    bench.contact("PJSIP", "200", "sip:desk", 3600, How::Register);
    bench.contact("IAX2", "200", "127.0.0.1:4569", 3600, How::Register);
    bench.expect(Kind::Take, Outcome::Done);
    assert_eq!(bench.states(), [PeerState::Held, PeerState::Held], "seen once for each driver");

    bench.registrar.gone(bench.now, "pjsip", "200");
    bench.nothing();
    bench.registrar.gone(bench.now, "iax2", "200");
    bench.expect(Kind::Withdraw, Outcome::Done);
}
