//! The ownership table of `docs/consistency.md` and the rules of two copies, byte by byte.

use std::time::Instant;

use super::*;
use crate::batch::Batch;
use crate::epoch::EpochId;
use crate::talk::{Heard, Talk};

const READY: &[u8] = b"VA 18 ktandem:epoch\r\nR 0123456789abcdef\r\n";
const HEALING: &[u8] = b"VA 18 ktandem:epoch\r\nH 0123456789abcdef\r\n";
const ABSENT: &[u8] = b"EN ktandem:epoch\r\n";
const MARKER: &str = "mg tandem:epoch k v\r\n";
/// The identifier in both.
const KNOWN: u64 = 0x0123_4567_89ab_cdef;
const LEASE: Duration = Duration::from_millis(61_500);

fn name() -> Name {
    Name::new("PEER_200").unwrap()
}

fn one_copy() -> Keeping {
    Keeping { copies: 1, secret: None, owner: b"A"[..].into() }
}

fn keep(name: &Name) -> Op<'_> {
    Op::Keep { name, value: b"serverA", ttl: LEASE }
}

fn known() -> Option<EpochId> {
    Some(EpochId::new(KNOWN))
}

/// Runs `op` with one copy: each pair is what must be asked (without the marker) and what is
/// answered.
fn outcome_of(op: Op<'_>, dialogue: &[(&str, &[u8])], marker: &[u8]) -> Outcome {
    let (keeping, clock) = (one_copy(), Clock::default());
    let mut task = Task::new(op, &keeping, &clock);
    for (question, answer) in dialogue {
        let mut batch = Batch::new(1_700_000_000, known());
        task.commands(0).for_each(|command| batch.push(command));
        let mut out = Vec::new();
        batch.ask(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), format!("{question}{MARKER}"));
        let reply = [*answer, marker].concat();
        let heard = batch.hear(&reply, Instant::now()).unwrap();
        assert_eq!(heard, (reply.len(), Heard::Answered));
        for answer in batch.into_answers() {
            task.hear(0, answer);
        }
        task.end_round(&clock);
    }
    assert!(task.is_over(), "{task:?}");
    task.into_outcome()
}

#[test]
fn a_hit_counts_whatever_the_marker_says() {
    for marker in [READY, HEALING, ABSENT] {
        let name = name();
        let dialogue = [("mg PEER_200 v\r\n", &b"VA 7\r\nserverA\r\n"[..])];
        let outcome = outcome_of(Op::Get { name: &name }, &dialogue, marker);
        assert_eq!(outcome, Outcome::Value(b"serverA".to_vec()));
    }
}

#[test]
fn a_miss_is_missing_only_if_the_marker_is_ready() {
    let name = name();
    let missed =
        |marker| outcome_of(Op::Get { name: &name }, &[("mg PEER_200 v\r\n", b"EN\r\n")], marker);
    assert_eq!(missed(READY), Outcome::Missing);
    assert_eq!(missed(HEALING), Outcome::Unreachable);
    assert_eq!(missed(ABSENT), Outcome::Unreachable);
    assert_eq!(missed(b"VA 5 ktandem:epoch\r\nhello\r\n"), Outcome::Unreachable);
}

#[test]
fn deletes_are_judged_like_reads() {
    let name = name();
    let delete = |answer, marker| {
        outcome_of(Op::Delete { name: &name }, &[("md PEER_200\r\n", answer)], marker)
    };
    assert_eq!(delete(b"HD\r\n", HEALING), Outcome::Done);
    assert_eq!(delete(b"NF\r\n", READY), Outcome::Missing);
    assert_eq!(delete(b"NF\r\n", HEALING), Outcome::Unreachable);
}

#[test]
fn take_writes_whoever_held_it() {
    let name = name();
    let op = Op::Take { name: &name, value: b"serverA", ttl: LEASE };
    let dialogue = [("ms PEER_200 7 T62\r\nserverA\r\n", &b"HD\r\n"[..])];
    assert_eq!(outcome_of(op, &dialogue, ABSENT), Outcome::Done);
}

#[test]
fn keep_writes_ours_again() {
    let name = name();
    let dialogue = [
        ("mg PEER_200 v t c\r\n", &b"VA 7 t-1 c18\r\nserverA\r\n"[..]),
        ("ms PEER_200 7 C18 T62\r\nserverA\r\n", b"HD\r\n"),
    ];
    assert_eq!(outcome_of(keep(&name), &dialogue, READY), Outcome::Done);
}

#[test]
fn keep_adds_where_nothing_is() {
    let name = name();
    let dialogue = [
        ("mg PEER_200 v t c\r\n", &b"EN\r\n"[..]),
        ("ms PEER_200 7 ME T62\r\nserverA\r\n", b"HD\r\n"),
    ];
    assert_eq!(outcome_of(keep(&name), &dialogue, READY), Outcome::Done);
    assert_eq!(outcome_of(keep(&name), &dialogue, HEALING), Outcome::Done);
}

#[test]
fn keep_fills_no_gap_in_an_epoch_that_this_node_has_not_published_for() {
    let name = name();
    let look = [("mg PEER_200 v t c\r\n", &b"EN\r\n"[..])];
    let another = b"VA 18 ktandem:epoch\r\nR 00000000000000ff\r\n";
    for marker in [ABSENT, another] {
        assert_eq!(outcome_of(keep(&name), &look, marker), Outcome::Unreachable);
    }
}

#[test]
fn keep_leaves_anothers_record_alone() {
    let name = name();
    let dialogue = [("mg PEER_200 v t c\r\n", &b"VA 7 t-1 c18\r\nserverB\r\n"[..])];
    assert_eq!(outcome_of(keep(&name), &dialogue, READY), Outcome::Foreign);
}

#[test]
fn keep_looks_again_when_somebody_wrote_meanwhile() {
    let name = name();
    let look = "mg PEER_200 v t c\r\n";
    let dialogue = [
        (look, &b"VA 7 t-1 c18\r\nserverA\r\n"[..]),
        ("ms PEER_200 7 C18 T62\r\nserverA\r\n", b"EX\r\n"),
        (look, b"EN\r\n"),
        ("ms PEER_200 7 ME T62\r\nserverA\r\n", b"NS\r\n"),
        (look, b"VA 7 t-1 c20\r\nserverB\r\n"),
    ];
    assert_eq!(outcome_of(keep(&name), &dialogue, READY), Outcome::Foreign);
}

#[test]
fn keep_gives_up_when_somebody_always_writes_meanwhile() {
    let name = name();
    let round = [
        ("mg PEER_200 v t c\r\n", &b"VA 7 t-1 c18\r\nserverA\r\n"[..]),
        ("ms PEER_200 7 C18 T62\r\nserverA\r\n", b"EX\r\n"),
    ];
    let dialogue = round.repeat(usize::from(ROUNDS_MAX));
    assert_eq!(outcome_of(keep(&name), &dialogue, READY), Outcome::Unreachable);
}

#[test]
fn withdraw_removes_only_ours() {
    let name = name();
    let op = Op::Withdraw { name: &name, value: b"serverA" };
    let look = "mg PEER_200 v t c\r\n";
    let ours = [(look, &b"VA 7 t-1 c18\r\nserverA\r\n"[..]), ("md PEER_200 C18\r\n", b"HD\r\n")];
    assert_eq!(outcome_of(op, &ours, READY), Outcome::Done);
    let anothers = [(look, &b"VA 7 t-1 c18\r\nserverB\r\n"[..])];
    assert_eq!(outcome_of(op, &anothers, READY), Outcome::Foreign);
    let absent = [(look, &b"EN\r\n"[..])];
    assert_eq!(outcome_of(op, &absent, HEALING), Outcome::Done);
    let overtaken = [
        (look, &b"VA 7 t-1 c18\r\nserverA\r\n"[..]),
        ("md PEER_200 C18\r\n", b"EX\r\n"),
        (look, b"VA 7 t-1 c19\r\nserverB\r\n"),
    ];
    assert_eq!(outcome_of(op, &overtaken, READY), Outcome::Foreign);
}

#[test]
fn an_envelope_is_never_given_out_or_overwritten_by_a_keep() {
    let name = name();
    let envelope = [("mg PEER_200 v\r\n", &b"VA 7\r\n\0TD1Vxx\r\n"[..])];
    let outcome = outcome_of(Op::Get { name: &name }, &envelope, READY);
    assert_eq!(outcome, Outcome::Invalid(Invalid::Envelope));
    let envelope = [("mg PEER_200 v t c\r\n", &b"VA 7 t-1 c1\r\n\0TD1Vxx\r\n"[..])];
    assert_eq!(outcome_of(keep(&name), &envelope, READY), Outcome::Invalid(Invalid::Envelope));
}

#[test]
fn a_server_that_cannot_is_not_a_wrong_value_unless_it_is_too_large() {
    let name = name();
    let set = |answer| {
        let op = Op::Set { name: &name, value: b"x", ttl: None };
        outcome_of(op, &[("ms PEER_200 1\r\nx\r\n", answer)], READY)
    };
    assert_eq!(set(b"SERVER_ERROR out of memory storing object\r\n"), Outcome::Unreachable);
    let large = set(b"SERVER_ERROR object too large for cache\r\n");
    assert_eq!(large, Outcome::Invalid(Invalid::Refused));
}

#[test]
fn a_value_that_cannot_fit_is_not_even_sent() {
    let (name, value) = (name(), vec![0; VALUE_MAX_BYTES + 1]);
    let outcome = outcome_of(Op::Set { name: &name, value: &value, ttl: None }, &[], READY);
    assert_eq!(outcome, Outcome::Invalid(Invalid::TooLong { len: VALUE_MAX_BYTES + 1 }));
}
