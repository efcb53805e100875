//! Who owns: taking, standing back, withdrawing, and what happens while a claim is under way.

mod common;

use common::{Bench, ms, phones};
use sri::{
    How, Kind, Outcome, PeerState, RETRY_FIRST, RETRY_MAX, TAKE_STALE_AFTER, Unpublishable,
    YIELD_STEP,
};

#[test]
fn a_refresh_takes_again() {
    let mut bench = Bench::new(phones());
    bench.register("200", 3600).expect(Kind::Take, Outcome::Done).nothing();
    bench.at(5_000).register("200", 3600).expect(Kind::Take, Outcome::Done).nothing();
}

#[test]
fn a_restored_registration_only_keeps() {
    let mut bench = Bench::new(phones());
    bench.restore("200", 3600).expect(Kind::Keep, Outcome::Done).nothing();
    bench.at(1_000).restore("200", 3600).nothing();
    assert_eq!(bench.states(), [PeerState::Held]);
}

#[test]
fn who_finds_anothers_record_stands_back_until_the_phone_registers_here() {
    let mut bench = Bench::new(phones());
    bench.register("200", 3600).expect(Kind::Take, Outcome::Done);
    bench.skip().expect(Kind::Keep, Outcome::Foreign);
    assert_eq!(bench.states(), [PeerState::StoodBack]);

    bench.republish().restore("200", 3600).nothing();
    bench.at(600_000).nothing();
    assert_eq!(bench.states(), [PeerState::StoodBack]);

    bench.register("200", 3600).expect(Kind::Take, Outcome::Done);
    assert_eq!(bench.states(), [PeerState::Held]);
}

#[test]
fn a_phone_that_leaves_after_we_stood_back_is_not_withdrawn() {
    let mut bench = Bench::new(phones());
    bench.restore("200", 3600).expect(Kind::Keep, Outcome::Foreign);
    bench.unregister("200").nothing();
    assert_eq!(bench.states(), []);
    assert_eq!(bench.next(), None);
}

#[test]
fn an_undelivered_take_is_retried_as_a_take_and_turns_into_a_keep_when_it_is_stale() {
    let mut bench = Bench::new(phones());
    bench.register("200", 3600);
    let mut wait = RETRY_FIRST;
    let mut takes = 0;
    loop {
        let claims = bench.poll();
        assert_eq!(claims.len(), 1);
        bench.answer(&claims[0], Outcome::Unreachable);
        assert_eq!(bench.next().unwrap(), bench.now - bench.start + wait, "the wait doubles");
        if claims[0].kind == Kind::Keep {
            break;
        }
        assert!(bench.now - bench.start < TAKE_STALE_AFTER);
        takes += 1;
        wait = (wait * 2).min(RETRY_MAX);
        bench.skip();
    }
    assert_eq!(takes, 8, "at 0, .2, .6, 1.4, 3, 5, 7 and 9 seconds");
    assert_eq!(bench.now - bench.start, ms(11_000));
    bench.skip().expect(Kind::Keep, Outcome::Foreign);
    assert_eq!(bench.states(), [PeerState::StoodBack]);
}

#[test]
fn a_take_is_stale_after_its_lease_if_that_is_shorter() {
    let mut rules = phones();
    rules[0].lease = ms(3_000);
    let mut bench = Bench::new(rules);
    bench.register("200", 3600);
    bench.at(2_999).expect(Kind::Take, Outcome::Unreachable);
    bench.at(3_199).expect(Kind::Keep, Outcome::Done);
}

#[test]
fn a_server_that_came_back_gets_what_waited_at_once() {
    let mut bench = Bench::new(phones());
    bench.register("200", 3600).expect(Kind::Take, Outcome::Unreachable);
    bench.skip().expect(Kind::Take, Outcome::Unreachable);
    bench.nothing().republish().expect(Kind::Take, Outcome::Unreachable);
    assert_eq!(bench.next().unwrap(), bench.now - bench.start + RETRY_FIRST, "from the beginning");
}

#[test]
fn after_a_loss_the_newest_registers_go_first_and_restored_ones_last() {
    let mut bench = Bench::new(phones());
    bench.register("old", 3600).expect(Kind::Take, Outcome::Done);
    bench.restore("confirmed", 3600).expect(Kind::Keep, Outcome::Done);
    bench.at(21_000);
    for claim in bench.poll() {
        bench.answer(&claim, Outcome::Done);
    }
    bench.register("new", 3600).expect(Kind::Take, Outcome::Done);
    bench.restore("restored", 3600);

    let sent = |bench: &mut Bench| {
        let mut keys: Vec<_> = Vec::new();
        for claim in bench.poll() {
            assert_eq!(claim.kind, Kind::Keep);
            bench.answer(&claim, Outcome::Done);
            keys.push(String::from_utf8(claim.key).unwrap());
        }
        keys.sort();
        keys
    };
    bench.republish();
    assert_eq!(sent(&mut bench), ["PEER_new"]);
    bench.at(21_300).republish();
    assert_eq!(sent(&mut bench), ["PEER_new"], "asked for again");
    bench.at(21_000 + YIELD_STEP.as_millis() as u64);
    assert_eq!(sent(&mut bench), ["PEER_confirmed", "PEER_old"], "not put off by the second call");
    bench.at(21_000 + 2 * YIELD_STEP.as_millis() as u64);
    assert_eq!(sent(&mut bench), ["PEER_restored"]);
}

#[test]
fn a_withdrawal_is_retried_until_the_record_is_gone_by_itself() {
    let mut bench = Bench::new(phones());
    bench.register("200", 3600).expect(Kind::Take, Outcome::Done);
    bench.at(1_000).unregister("200");
    let mut last = bench.now;
    while bench.next().is_some() {
        bench.skip();
        last = bench.now;
        let claim = bench.claim(Kind::Withdraw);
        assert_eq!(claim.value, b"serverA", "tells what is ours");
        bench.answer(&claim, Outcome::Unreachable);
    }
    let after = last - bench.start;
    assert!(after <= ms(61_000), "the record ended at 61 s: {after:?}");
    assert!(after > ms(61_000) - RETRY_MAX, "and not given up before: {after:?}");
    assert_eq!(bench.states(), []);
}

#[test]
fn a_withdrawal_ends_when_it_is_done_or_the_record_is_anothers() {
    for outcome in [Outcome::Done, Outcome::Foreign, Outcome::Invalid] {
        let mut bench = Bench::new(phones());
        bench.register("200", 3600).expect(Kind::Take, Outcome::Done);
        bench.unregister("200").expect(Kind::Withdraw, outcome);
        assert_eq!(bench.next(), None, "after {outcome:?}");
        assert_eq!(bench.states(), []);
    }
}

#[test]
fn a_phone_that_comes_back_while_it_is_withdrawn_takes_again() {
    let mut bench = Bench::new(phones());
    bench.register("200", 3600).expect(Kind::Take, Outcome::Done);
    let withdraw = bench.unregister("200").claim(Kind::Withdraw);
    assert_eq!(bench.states(), [PeerState::Withdrawing]);
    bench.at(10).register("200", 3600).nothing();
    bench.at(20).answer(&withdraw, Outcome::Done);
    bench.expect(Kind::Take, Outcome::Done);
    assert_eq!(bench.states(), [PeerState::Held]);
}

#[test]
fn a_register_during_a_claim_is_sent_after_its_answer_whatever_that_is() {
    for outcome in [Outcome::Done, Outcome::Foreign, Outcome::Unreachable, Outcome::Invalid] {
        let mut bench = Bench::new(phones());
        let keep = bench.restore("200", 3600).claim(Kind::Keep);
        bench.at(10).register("200", 3600).nothing();
        bench.at(20).answer(&keep, outcome).expect(Kind::Take, Outcome::Done);
        assert_eq!(bench.states(), [PeerState::Held], "after {outcome:?}");
    }
}

#[test]
fn a_removal_during_a_take_withdraws_after_its_answer() {
    for outcome in [Outcome::Done, Outcome::Unreachable] {
        let mut bench = Bench::new(phones());
        let take = bench.register("200", 3600).claim(Kind::Take);
        bench.at(10).unregister("200").nothing();
        bench.at(20).answer(&take, outcome).expect(Kind::Withdraw, Outcome::Done);
        assert_eq!(bench.next(), None, "after {outcome:?}");
    }
}

#[test]
fn a_removal_during_a_keep_that_finds_anothers_record_withdraws_nothing() {
    let mut bench = Bench::new(phones());
    let keep = bench.restore("200", 3600).claim(Kind::Keep);
    bench.at(10).unregister("200").answer(&keep, Outcome::Foreign).nothing();
    assert_eq!(bench.states(), []);
}

#[test]
fn a_loss_during_a_claim_has_the_record_said_again() {
    let mut bench = Bench::new(phones());
    let take = bench.register("200", 3600).claim(Kind::Take);
    bench.at(10).republish().nothing();
    bench.at(20).answer(&take, Outcome::Done).expect(Kind::Take, Outcome::Done);
    bench.nothing();
}

#[test]
fn a_clean_stop_withdraws_all_but_what_is_stood_back() {
    let mut bench = Bench::new(phones());
    bench.register("mine", 3600).expect(Kind::Take, Outcome::Done);
    bench.restore("theirs", 3600).expect(Kind::Keep, Outcome::Foreign);
    bench.registrar.withdraw_all(bench.now);
    let claim = bench.claim(Kind::Withdraw);
    assert_eq!(claim.key, b"PEER_mine");
    assert_eq!(bench.registrar.in_flight(), 1);
    bench.answer(&claim, Outcome::Done);
    assert_eq!((bench.next(), bench.registrar.in_flight()), (None, 0));
}

#[test]
fn a_refused_claim_is_shown_and_tried_again_at_the_next_renewal() {
    let mut bench = Bench::new(phones());
    bench.register("200", 3600).expect(Kind::Take, Outcome::Invalid);
    assert_eq!(bench.states(), [PeerState::Unpublished(Unpublishable::Refused)]);
    let next = bench.next().unwrap();
    assert!(next >= ms(15_000) && next <= ms(20_000), "{next:?}");
    bench.skip().expect(Kind::Keep, Outcome::Done);
    assert_eq!(bench.states(), [PeerState::Held]);
}

#[test]
fn an_answer_to_an_unknown_claim_is_ignored() {
    let mut bench = Bench::new(phones());
    let take = bench.register("200", 3600).claim(Kind::Take);
    bench.registrar.done(bench.now, take.id + 7, Outcome::Foreign);
    bench.answer(&take, Outcome::Done).answer(&take, Outcome::Foreign);
    assert_eq!(bench.states(), [PeerState::Held]);
}

#[test]
fn a_sync_adds_as_restored_and_removes_what_is_gone() {
    let mut bench = Bench::new(phones());
    bench.register("stays", 3600).expect(Kind::Take, Outcome::Done);
    bench.register("goes", 3600).expect(Kind::Take, Outcome::Done);
    bench.contact("IAX2", "other", "127.0.0.1:4569", 3600, How::Register);
    bench.expect(Kind::Take, Outcome::Done);

    let end = Some(bench.now + ms(100_000));
    let there = [("stays", common::CONTACT, end), ("new", common::CONTACT, end)];
    bench.registrar.sync(bench.now, "pjsip", there);
    let claims = bench.poll();
    let sent: Vec<_> = claims.iter().map(|c| (c.kind, c.key.as_slice())).collect();
    assert_eq!(sent.len(), 2);
    assert!(sent.contains(&(Kind::Keep, b"PEER_new")));
    assert!(sent.contains(&(Kind::Withdraw, b"PEER_goes")));
    let expires = bench.registrar.peers().find(|p| p.endpoint == "stays").unwrap().expires;
    assert_eq!(expires, end, "the driver's word on the time counts");
}

#[test]
fn a_sync_does_not_undo_what_came_after_the_driver_was_asked() {
    let mut bench = Bench::new(phones());
    let asked = bench.now;
    bench.at(50).register("200", 3600);
    bench.registrar.sync(asked, "PJSIP", Vec::<(&str, &str, _)>::new());
    bench.expect(Kind::Take, Outcome::Done);
}
