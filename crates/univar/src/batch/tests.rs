//! Bytes, in whole and in pieces.

use proptest::prelude::*;

use super::*;

const READY: &[u8] = b"VA 18 ktandem:epoch\r\nR 0123456789abcdef\r\n";
const HEALING: &[u8] = b"VA 18 ktandem:epoch\r\nH 0123456789abcdef\r\n";
const ABSENT: &[u8] = b"EN ktandem:epoch\r\n";

fn name() -> Name {
    Name::new("PEER_200").unwrap()
}

fn read(name: &Name) -> Command<'_> {
    Command { name, verb: Verb::Read }
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
        let mut batch = Batch::new(0, None);
        batch.push(read(&one));
        batch.push(read(&other));
        batch.ask(&mut Vec::new());
        let (used, heard) = batch.hear(&reply[..cut], Instant::now()).unwrap();
        assert_eq!(heard, Heard::More);
        let (rest, heard) = batch.hear(&reply[used..], Instant::now()).unwrap();
        assert_eq!((used + rest, heard), (reply.len(), Heard::Answered));
        let replies: Vec<_> = batch.into_answers().into_iter().map(|answer| answer.reply).collect();
        let data = b"server\r\nA".to_vec();
        assert_eq!(replies, [Reply::Hit { data, cas: 0, left_s: None }, Reply::Miss]);
    }
}

#[test]
fn an_answer_to_another_question_is_an_error() {
    let name = name();
    for reply in [&b"HD\r\n"[..], b"NS\r\n", b"MN\r\n", b"CLIENT_ERROR x\r\n", b"ERROR\r\n"] {
        let mut batch = Batch::new(0, None);
        batch.push(read(&name));
        batch.ask(&mut Vec::new());
        assert_eq!(batch.hear(reply, Instant::now()), Err(TalkError::Unexpected));
    }
    let mut batch = Batch::new(0, None);
    batch.push(read(&name));
    batch.ask(&mut Vec::new());
    let shifted = b"EN\r\nVA 18\r\nR 0123456789abcdef\r\n";
    let heard = batch.hear(shifted, Instant::now());
    assert_eq!(heard, Err(TalkError::Unexpected), "a value in the marker's place");
}

#[test]
fn a_large_batch_is_asked_in_parts_and_each_has_its_marker() {
    let names: Vec<Name> = (0..2500).map(|n| Name::new(format!("n{n}")).unwrap()).collect();
    let mut batch = Batch::new(0, None);
    names.iter().for_each(|name| batch.push(read(name)));
    for part in [1000, 1000, 500] {
        let mut out = Vec::new();
        batch.ask(&mut out);
        assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), part + 1);
        let reply = [b"EN\r\n".repeat(part), READY.to_vec()].concat();
        assert_eq!(batch.hear(&reply, Instant::now()), Ok((reply.len(), Heard::Answered)));
    }
    assert!(batch.into_answers().iter().all(|a| a.reply == Reply::Miss && a.miss_counts));
}

#[test]
fn what_was_asked_on_a_dead_connection_is_asked_again_in_the_same_order() {
    let (one, other) = (name(), Name::new("other").unwrap());
    let mut batch = Batch::new(0, None);
    batch.push(read(&one));
    batch.push(Command { name: &other, verb: Verb::Remove { guard: Guard::Free } });
    let (mut first, mut second) = (Vec::new(), Vec::new());
    batch.ask(&mut first);
    batch.ask_again();
    batch.ask(&mut second);
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
            b"EN\r\n", b"HD\r\n", b"NF\r\n", b"NS\r\n", b"VA 1 t-1 c5\r\nx\r\n",
            READY, HEALING, ABSENT,
        ];
        let (name, data, ttl) = (name(), b"x".as_slice(), None);
        let verb = match which {
            0 => Verb::Read,
            1 => Verb::Look,
            2 => Verb::Write { data, ttl, guard: Guard::Free },
            3 => Verb::Write { data, ttl, guard: Guard::Cas(1) },
            4 => Verb::Write { data, ttl, guard: Guard::Absent },
            _ => Verb::Remove { guard: Guard::Free },
        };
        let reply = words.iter().map(|&word| parts[word]).collect::<Vec<_>>().concat();
        let mut batch = Batch::new(0, None);
        batch.push(Command { name: &name, verb });
        batch.ask(&mut Vec::new());
        let (mut at, mut end) = (0, 0);
        while end < reply.len() {
            end = reply.len().min(end + piece);
            match batch.hear(&reply[at..end], Instant::now()) {
                Ok((used, Heard::More)) => at += used,
                Ok((used, _)) => {
                    at += used;
                    batch.ask(&mut Vec::new());
                }
                Err(_) => break,
            }
        }
        if batch.into_answers()[0].miss_counts {
            prop_assert!(words.contains(&5));
        }
    }
}
