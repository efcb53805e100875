//! The ownership table of `docs/consistency.md`, byte by byte.

use proptest::prelude::*;

use super::*;

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

fn keep(name: &Name) -> Op<'_> {
    Op::Keep { name, value: b"serverA", ttl: LEASE }
}

/// Runs `op`: each pair is what must be asked (without the marker) and what is answered.
fn outcome_of(op: Op<'_>, dialogue: &[(&str, &[u8])], marker: &[u8]) -> Outcome {
    let mut exchange = Exchange::new(1_700_000_000, Some(EpochId::new(KNOWN)));
    exchange.push(op);
    for (question, answer) in dialogue {
        let mut out = Vec::new();
        exchange.ask(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), format!("{question}{MARKER}"));
        let reply = [*answer, marker].concat();
        let heard = exchange.hear(&reply, Instant::now()).unwrap();
        assert_eq!(heard, (reply.len(), Heard::Answered));
    }
    let mut out = Vec::new();
    exchange.ask(&mut out);
    assert!(out.is_empty(), "nothing more to ask");
    exchange.into_outcomes().remove(0)
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
        ("mg PEER_200 v c\r\n", &b"VA 7 c18\r\nserverA\r\n"[..]),
        ("ms PEER_200 7 C18 T62\r\nserverA\r\n", b"HD\r\n"),
    ];
    assert_eq!(outcome_of(keep(&name), &dialogue, READY), Outcome::Done);
}

#[test]
fn keep_adds_where_nothing_is() {
    let name = name();
    let dialogue = [
        ("mg PEER_200 v c\r\n", &b"EN\r\n"[..]),
        ("ms PEER_200 7 ME T62\r\nserverA\r\n", b"HD\r\n"),
    ];
    assert_eq!(outcome_of(keep(&name), &dialogue, READY), Outcome::Done);
    assert_eq!(outcome_of(keep(&name), &dialogue, HEALING), Outcome::Done);
}

#[test]
fn keep_fills_no_gap_in_an_epoch_that_this_node_has_not_published_for() {
    let name = name();
    let look = [("mg PEER_200 v c\r\n", &b"EN\r\n"[..])];
    let another = b"VA 18 ktandem:epoch\r\nR 00000000000000ff\r\n";
    for marker in [ABSENT, another] {
        assert_eq!(outcome_of(keep(&name), &look, marker), Outcome::Unreachable);
    }
}

#[test]
fn keep_leaves_anothers_record_alone() {
    let name = name();
    let dialogue = [("mg PEER_200 v c\r\n", &b"VA 7 c18\r\nserverB\r\n"[..])];
    assert_eq!(outcome_of(keep(&name), &dialogue, READY), Outcome::Foreign);
}

#[test]
fn keep_looks_again_when_somebody_wrote_meanwhile() {
    let name = name();
    let look = "mg PEER_200 v c\r\n";
    let dialogue = [
        (look, &b"VA 7 c18\r\nserverA\r\n"[..]),
        ("ms PEER_200 7 C18 T62\r\nserverA\r\n", b"EX\r\n"),
        (look, b"EN\r\n"),
        ("ms PEER_200 7 ME T62\r\nserverA\r\n", b"NS\r\n"),
        (look, b"VA 7 c20\r\nserverB\r\n"),
    ];
    assert_eq!(outcome_of(keep(&name), &dialogue, READY), Outcome::Foreign);
}

#[test]
fn keep_gives_up_when_somebody_always_writes_meanwhile() {
    let name = name();
    let round = [
        ("mg PEER_200 v c\r\n", &b"VA 7 c18\r\nserverA\r\n"[..]),
        ("ms PEER_200 7 C18 T62\r\nserverA\r\n", b"EX\r\n"),
    ];
    let dialogue = round.repeat(usize::from(ROUNDS_MAX) + 1);
    assert_eq!(outcome_of(keep(&name), &dialogue, READY), Outcome::Unreachable);
}

#[test]
fn withdraw_removes_only_ours() {
    let name = name();
    let op = Op::Withdraw { name: &name, value: b"serverA" };
    let look = "mg PEER_200 v c\r\n";
    let ours = [(look, &b"VA 7 c18\r\nserverA\r\n"[..]), ("md PEER_200 C18\r\n", b"HD\r\n")];
    assert_eq!(outcome_of(op, &ours, READY), Outcome::Done);
    let anothers = [(look, &b"VA 7 c18\r\nserverB\r\n"[..])];
    assert_eq!(outcome_of(op, &anothers, READY), Outcome::Foreign);
    let absent = [(look, &b"EN\r\n"[..])];
    assert_eq!(outcome_of(op, &absent, HEALING), Outcome::Done);
    let overtaken = [
        (look, &b"VA 7 c18\r\nserverA\r\n"[..]),
        ("md PEER_200 C18\r\n", b"EX\r\n"),
        (look, b"VA 7 c19\r\nserverB\r\n"),
    ];
    assert_eq!(outcome_of(op, &overtaken, READY), Outcome::Foreign);
}

#[test]
fn an_envelope_is_never_given_out_or_overwritten_by_a_keep() {
    let name = name();
    let envelope = [("mg PEER_200 v\r\n", &b"VA 7\r\n\0TD1Vxx\r\n"[..])];
    let outcome = outcome_of(Op::Get { name: &name }, &envelope, READY);
    assert_eq!(outcome, Outcome::Invalid(Invalid::Envelope));
    let envelope = [("mg PEER_200 v c\r\n", &b"VA 7 c1\r\n\0TD1Vxx\r\n"[..])];
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

#[test]
fn a_time_to_live_is_what_was_said() {
    let text = |ttl| {
        let mut flags = FlagBuf::new();
        format!("{:?}", push_ttl(&mut flags, ttl, 1_700_000_000).as_flags())
    };
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(text(None), "Flags(\"\")");
    assert_eq!(text(seconds(0)), "Flags(\"T-1\")");
    assert_eq!(text(Some(Duration::from_millis(1))), "Flags(\"T1\")");
    assert_eq!(text(seconds(2_592_000)), "Flags(\"T2592000\")");
    assert_eq!(text(seconds(2_592_001)), "Flags(\"T1702592001\")");
    assert_eq!(text(seconds(1_000_000_000)), "Flags(\"\")", "later than memcached can count");
    assert_eq!(text(Some(Duration::MAX)), "Flags(\"\")");
}

#[test]
fn answers_in_any_pieces_give_the_same_outcomes() {
    let (one, other) = (name(), Name::new("other").unwrap());
    let reply = [b"VA 9\r\nserver\r\nA\r\nEN\r\n", READY].concat();
    for cut in 0..reply.len() {
        let mut exchange = Exchange::new(0, None);
        exchange.push(Op::Get { name: &one });
        exchange.push(Op::Get { name: &other });
        exchange.ask(&mut Vec::new());
        let (used, heard) = exchange.hear(&reply[..cut], Instant::now()).unwrap();
        assert_eq!(heard, Heard::More);
        let (rest, heard) = exchange.hear(&reply[used..], Instant::now()).unwrap();
        assert_eq!((used + rest, heard), (reply.len(), Heard::Answered));
        let want = [Outcome::Value(b"server\r\nA".to_vec()), Outcome::Missing];
        assert_eq!(exchange.into_outcomes(), want);
    }
}

#[test]
fn an_answer_to_another_question_is_an_error() {
    let name = name();
    for reply in [&b"HD\r\n"[..], b"NS\r\n", b"MN\r\n", b"CLIENT_ERROR x\r\n", b"ERROR\r\n"] {
        let mut exchange = Exchange::new(0, None);
        exchange.push(Op::Get { name: &name });
        exchange.ask(&mut Vec::new());
        assert_eq!(exchange.hear(reply, Instant::now()), Err(TalkError::Unexpected));
    }
    let mut exchange = Exchange::new(0, None);
    exchange.push(Op::Get { name: &name });
    exchange.ask(&mut Vec::new());
    let shifted = b"EN\r\nVA 18\r\nR 0123456789abcdef\r\n";
    let heard = exchange.hear(shifted, Instant::now());
    assert_eq!(heard, Err(TalkError::Unexpected), "a value in the marker's place");
}

#[test]
fn a_large_batch_is_asked_in_parts_and_each_has_its_marker() {
    let names: Vec<Name> = (0..2500).map(|n| Name::new(format!("n{n}")).unwrap()).collect();
    let mut exchange = Exchange::new(0, None);
    names.iter().for_each(|name| exchange.push(Op::Get { name }));
    for part in [1000, 1000, 500] {
        let mut out = Vec::new();
        exchange.ask(&mut out);
        assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), part + 1);
        let reply = [b"EN\r\n".repeat(part), READY.to_vec()].concat();
        assert_eq!(exchange.hear(&reply, Instant::now()), Ok((reply.len(), Heard::Answered)));
    }
    assert!(exchange.into_outcomes().iter().all(|outcome| *outcome == Outcome::Missing));
}

#[test]
fn what_was_asked_on_a_dead_connection_is_asked_again_in_the_same_order() {
    let (one, other) = (name(), Name::new("other").unwrap());
    let mut exchange = Exchange::new(0, None);
    exchange.push(Op::Get { name: &one });
    exchange.push(Op::Delete { name: &other });
    let (mut first, mut second) = (Vec::new(), Vec::new());
    exchange.ask(&mut first);
    exchange.ask_again();
    exchange.ask(&mut second);
    assert_eq!(first, second);
}

proptest! {
    /// Whatever a server says, in whatever pieces: nothing panics, and nothing is missing unless
    /// a ready marker said so last.
    #[test]
    fn no_answer_whatever_makes_a_miss_count_without_a_ready_marker(
        words in proptest::collection::vec(0..8_usize, 0..12),
        piece in 1..50_usize,
        which in 0..6,
    ) {
        let parts: [&[u8]; 8] = [
            b"EN\r\n", b"HD\r\n", b"NF\r\n", b"NS\r\n", b"VA 1 c5\r\nx\r\n",
            READY, HEALING, ABSENT,
        ];
        let (name, value, ttl) = (name(), b"x".as_slice(), LEASE);
        let op = match which {
            0 => Op::Get { name: &name },
            1 => Op::Set { name: &name, value, ttl: None },
            2 => Op::Delete { name: &name },
            3 => Op::Take { name: &name, value, ttl },
            4 => Op::Keep { name: &name, value, ttl },
            _ => Op::Withdraw { name: &name, value },
        };
        let reply = words.iter().map(|&word| parts[word]).collect::<Vec<_>>().concat();
        let mut exchange = Exchange::new(0, None);
        exchange.push(op);
        exchange.ask(&mut Vec::new());
        let (mut at, mut end) = (0, 0);
        while end < reply.len() {
            end = reply.len().min(end + piece);
            match exchange.hear(&reply[at..end], Instant::now()) {
                Ok((used, Heard::More)) => at += used,
                Ok((used, _)) => {
                    at += used;
                    exchange.ask(&mut Vec::new());
                }
                Err(_) => break,
            }
        }
        if exchange.into_outcomes()[0] == Outcome::Missing {
            prop_assert!(words.contains(&5));
        }
    }
}
