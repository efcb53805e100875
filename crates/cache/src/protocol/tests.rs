//! A session without a socket: what comes of bytes, however they are cut.

use std::sync::mpsc::channel;

use proptest::prelude::*;

use super::*;
use crate::Settings;
use crate::clock::Clock;

const NOW: Now = Now { second: 1000, unix: 1_700_000_000 };

struct Bench {
    shared: Shared,
    session: Session,
}

impl Bench {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::default();
        change(&mut settings);
        let shared = Shared::new(settings, Clock::start(), channel().0);
        Self { shared, session: Session::default() }
    }

    /// Says `input`, cut into pieces of `piece` bytes; gives the answers, and whether the
    /// connection is still open.
    fn say_cut(&mut self, input: &[u8], piece: usize, now: Now) -> (Vec<u8>, bool) {
        let counters = self.shared.counters(0);
        let (mut out, mut kept, mut all) = (Vec::new(), Vec::new(), Vec::new());
        for piece in input.chunks(piece.max(1)) {
            kept.extend_from_slice(piece);
            loop {
                let env = Env { shared: &self.shared, counters: &counters, now };
                let (used, step) = self.session.run(env, &kept, &mut out);
                kept.drain(..used);
                all.append(&mut out);
                match step {
                    Step::More { need } => {
                        assert!(need > kept.len(), "more is needed than there is");
                        break;
                    }
                    Step::Full => {}
                    Step::Close | Step::Watch { .. } => return (all, false),
                }
            }
        }
        (all, true)
    }

    fn say(&mut self, input: &str) -> String {
        self.say_at(input, NOW.second)
    }

    fn say_at(&mut self, input: &str, second: u32) -> String {
        let now = Now { second, unix: NOW.unix + i64::from(second) - i64::from(NOW.second) };
        let (answers, _) = self.say_cut(input.as_bytes(), usize::MAX, now);
        String::from_utf8(answers).unwrap()
    }
}

#[test]
fn an_item_lives_for_its_seconds_and_no_longer() {
    let mut bench = Bench::new();
    bench.say("set a 0 10 1\r\n1\r\nset b 0 0 1\r\n1\r\n");
    assert_eq!(bench.say_at("mg a v t\r\n", 1009), "VA 1 t1\r\n1\r\n");
    assert_eq!(bench.say_at("mg a v t\r\nmg b\r\n", 1010), "EN\r\nHD\r\n");
}

#[test]
fn a_date_is_counted_from_the_wall_clock() {
    let mut bench = Bench::new();
    let text = format!("set a 0 {} 1\r\n1\r\nmg a t\r\n", NOW.unix + 60);
    assert_eq!(bench.say(&text), "STORED\r\nHD t60\r\n");
    let text = format!("set a 0 {} 1\r\n1\r\nmg a t\r\n", NOW.unix - 1);
    assert_eq!(bench.say(&text), "STORED\r\nEN\r\n");
}

#[test]
fn a_flush_to_come_takes_what_is_there_when_it_comes() {
    let mut bench = Bench::new();
    bench.say("set a 0 0 1\r\n1\r\nflush_all 10\r\n");
    bench.say_at("set b 0 0 1\r\n1\r\n", 1009);
    let at = |second| Now { second, ..NOW };
    assert!(bench.shared.cache.tick(at(1009)).is_none());
    assert_eq!(bench.say_at("get a\r\n", 1009), "VALUE a 0 1\r\n1\r\nEND\r\n");
    assert!(bench.shared.cache.tick(at(1010)).is_some());
    assert_eq!(bench.say_at("get a b\r\nset c 0 0 1\r\n1\r\n", 1010), "END\r\nSTORED\r\n");
    assert!(bench.shared.cache.tick(at(1011)).is_none(), "once");
    assert_eq!(bench.say_at("mg c\r\n", 1011), "HD\r\n");
}

#[test]
fn a_second_flush_replaces_one_to_come() {
    let mut bench = Bench::new();
    bench.say("flush_all 10\r\nflush_all\r\nset a 0 0 1\r\n1\r\n");
    assert!(bench.shared.cache.tick(Now { second: 1020, ..NOW }).is_none());
    assert_eq!(bench.say_at("mg a\r\n", 1020), "HD\r\n");
}

#[test]
fn what_nobody_asks_for_is_taken_out_in_its_second() {
    let mut bench = Bench::new();
    bench.say("set a 0 10 1\r\n1\r\n");
    bench.shared.cache.tick(Now { second: 1009, ..NOW });
    assert_eq!(bench.shared.cache.sizes().items, 1);
    bench.shared.cache.tick(Now { second: 1010, ..NOW });
    let sizes = bench.shared.cache.sizes();
    assert_eq!((sizes.items, sizes.bytes, sizes.counts.expired_unfetched), (0, 0, 1));
}

#[test]
fn values_that_are_refused_are_not_read_as_commands() {
    let mut bench = Bench::new();
    let long = "k".repeat(251);
    let text = format!("set {long} 0 0 9\r\nflush_all\r\nmn\r\n");
    assert_eq!(bench.say(&text), "CLIENT_ERROR bad command line format\r\nMN\r\n");
    let text = format!("ms {long} 9 T0\r\nflush_all\r\nmn\r\n");
    assert_eq!(bench.say(&text), "CLIENT_ERROR bad command line format\r\nMN\r\n");
}

#[test]
fn a_connection_whose_framing_is_lost_is_closed_after_memcacheds_answer() {
    let bad = "CLIENT_ERROR bad command line format\r\n";
    for (text, answer) in [
        ("set a 0 0\r\nflush_all\r\n", "ERROR\r\n"),
        ("set a b 0 0 5\r\nflush_all\r\n", bad),
        ("set a 0 0 x\r\nflush_all\r\n", bad),
        ("set a 0 0 -1\r\nflush_all\r\n", bad),
        ("set a 0 0 x noreply\r\nflush_all\r\n", ""),
        ("cas a 0 0 1 x\r\nflush_all\r\n", bad),
        ("ms a\r\nflush_all\r\n", bad),
        ("ms a S1\r\nflush_all\r\n", bad),
        ("ms\r\nflush_all\r\n", "ERROR\r\n"),
        ("set a 0 0 2\r\n1234flush_all\r\n", "CLIENT_ERROR bad data chunk\r\n"),
        ("ms a 2 q\r\n1234flush_all\r\n", "CLIENT_ERROR bad data chunk\r\n"),
        ("\u{80}\r\n", "ERROR\r\n"),
    ] {
        let (answers, open) = Bench::new().say_cut(text.as_bytes(), usize::MAX, NOW);
        assert_eq!(String::from_utf8(answers).unwrap(), answer, "{text}");
        assert_eq!(open, text.starts_with('\u{80}'), "{text}");
    }
    let (_, open) = Bench::new().say_cut(&[0x80, 0, 0, 0], usize::MAX, NOW);
    assert!(!open, "the binary protocol is not spoken");
}

#[test]
fn numbers_are_not_cut_to_32_bits() {
    let mut bench = Bench::new();
    let text = "set a 0 4294967297 1\r\n1\r\nmg a t\r\n";
    let left = 4_294_967_297 - NOW.unix;
    assert_eq!(bench.say(text), format!("STORED\r\nHD t{left}\r\n"));
    let text = "set a 0 0 4294967296\r\n";
    assert_eq!(bench.say(text), "SERVER_ERROR object too large for cache\r\n");
}

#[test]
fn newer_flags_are_as_memcached_documents_them() {
    let mut bench = Bench::new();
    assert_eq!(bench.say("ms a 1 E77 c\r\n1\r\nmg a c\r\n"), "HD c77\r\nHD c77\r\n");
    assert_eq!(bench.say("mg a v C77 t\r\nmg a v C1\r\n"), "HD t-1\r\nVA 1\r\n1\r\n");
    assert_eq!(bench.say("ms a 2 MA s c E80\r\n23\r\n"), "HD s3 c80\r\n");
    assert_eq!(
        bench.say("ms log 2 MA N30 s\r\nxy\r\nmg log t v\r\n"),
        "HD s2\r\nVA 2 t30\r\nxy\r\n"
    );
    assert_eq!(bench.say("md a x E90\r\nmg a v c f\r\n"), "HD\r\nVA 0 c90 f0\r\n\r\n");
    assert_eq!(bench.say("md a x I T30\r\nmg a v t\r\n"), "HD\r\nVA 0 t30 X W\r\n\r\n");
    assert_eq!(
        bench.say("ma n N0 E5 c\r\nma n E9 c\r\nmg v N9 E6 c\r\n"),
        "HD c5\r\nHD c9\r\nHD c6 W\r\n"
    );
}

#[test]
fn a_binary_key_stays_binary_wherever_it_is_made() {
    let mut bench = Bench::new();
    // "a b"
    assert_eq!(bench.say("mg YSBi b k N30\r\nmg YSBi b k\r\n"), "HD kYSBi b W\r\nHD kYSBi b Z\r\n");
    assert_eq!(bench.say("ma YyBk b N0\r\nmg YyBk b k\r\n"), "HD\r\nHD kYyBk b\r\n");
    assert!(bench.say("me YSBi b\r\n").starts_with("ME YSBi "));
    assert!(bench.say("lru_crawler metadump all\r\n").contains("key=a%20b "));
    assert_eq!(bench.say("stats cachedump 1 0\r\n"), "END\r\n");
}

#[test]
fn without_evictions_what_does_not_fit_is_refused_and_the_rest_stays() {
    let mut bench = Bench::with(|settings| {
        settings.evict = false;
        settings.memory_bytes = 2 * 1024 * 1024;
        settings.item_max_bytes = 1024 * 1024;
    });
    let value = "v".repeat(100_000);
    let set = |name: usize| format!("set k{name} 0 0 100000\r\n{value}\r\n");
    let answers: String = (0..30).map(|name| bench.say(&set(name))).collect();
    let stored = answers.matches("STORED").count();
    assert_eq!(stored, 20, "{answers}");
    assert_eq!(answers.matches("SERVER_ERROR out of memory storing object").count(), 10);
    assert_eq!(bench.say("mg k0\r\nmg k19\r\nmg k20\r\n"), "HD\r\nHD\r\nEN\r\n");
    assert_eq!(bench.say(&set(0)), "STORED\r\n", "what takes no more room is stored");
    assert_eq!(bench.say(&format!("append k0 0 0 100000\r\n{value}\r\n")), "NOT_STORED\r\n");
    assert_eq!(bench.shared.cache.sizes().counts.evictions, 0);
}

#[test]
fn what_is_refused_for_want_of_memory_leaves_what_was_there() {
    let mut bench = Bench::with(|settings| {
        settings.evict = false;
        settings.memory_bytes = 2 * 1024 * 1024;
        settings.item_max_bytes = 1024 * 1024;
    });
    assert_eq!(bench.say("set a 5 0 3\r\nold\r\n"), "STORED\r\n");
    let value = "v".repeat(100_000);
    let fill = |name: usize| format!("set k{name} 0 0 100000\r\n{value}\r\n");
    let refused = "SERVER_ERROR out of memory storing object\r\n";
    assert!((0..30).any(|name| bench.say(&fill(name)) == refused), "it is full");
    for command in ["set a 0 0 100000", "ms a 100000", "replace a 0 0 100000", "ms a 100000 C1"] {
        assert_eq!(bench.say(&format!("{command}\r\n{value}\r\n")), refused, "{command}");
        assert_eq!(bench.say("mg a v f c\r\n"), "VA 3 f5 c1\r\nold\r\n", "after {command}");
    }
}

#[test]
fn the_least_recently_used_items_make_room() {
    let mut bench = Bench::with(|settings| {
        settings.memory_bytes = 2 * 1024 * 1024;
        settings.item_max_bytes = 1024 * 1024;
    });
    let value = "v".repeat(1000);
    for name in 0..5000 {
        let text = format!("set k{name} 0 0 1000\r\n{value}\r\nmg k0\r\n");
        assert_eq!(bench.say(&text), "STORED\r\nHD\r\n", "what is read again and again stays");
    }
    let sizes = bench.shared.cache.sizes();
    assert!(sizes.bytes <= 2 * 1024 * 1024, "{sizes:?}");
    assert!(sizes.items > 1500, "{sizes:?}");
    assert_eq!(sizes.items + sizes.counts.evictions, 5000);
    assert_eq!(bench.say("mg k1\r\nmg k4999\r\n"), "EN\r\nHD\r\n");
}

#[test]
fn a_large_item_may_push_out_items_of_other_shards() {
    let mut bench = Bench::with(|settings| {
        settings.memory_bytes = 2 * 1024 * 1024;
        settings.item_max_bytes = 1024 * 1024;
    });
    let value = "v".repeat(1_000_000);
    for name in 0..50 {
        let text = format!("set k{name} 0 0 1000000\r\n{value}\r\nmg k{name}\r\n");
        assert_eq!(bench.say(&text), "STORED\r\nHD\r\n");
    }
    assert!(bench.shared.cache.sizes().bytes <= 2 * 1024 * 1024);
}

#[test]
fn large_values_on_their_way_are_bounded_in_all() {
    let mut bench = Bench::with(|settings| settings.memory_bytes = 8 * 1024 * 1024);
    let begin = "set a 0 0 1000000\r\nand no more";
    let mut sessions = Vec::new();
    // Eight of the longest are always let through.
    for _ in 0..8 {
        assert_eq!(bench.say(begin), "");
        sessions.push(std::mem::take(&mut bench.session));
    }
    assert_eq!(bench.say(begin), "SERVER_ERROR out of memory storing object\r\n");
    bench.session = Session::default();
    sessions.remove(0).end(&bench.shared);
    assert_eq!(bench.say(begin), "");
}

/// Commands with all kinds of things wrong with them, on few keys.
fn command() -> impl Strategy<Value = Vec<u8>> {
    let key = prop::sample::select(vec!["a", "b", "YQ==", "n", ""]);
    let line = "(get|gets|gat 10|mg|md|ma|me|delete|incr|touch) ";
    let flags = " ?([vtckfshlqbIx]|[NTRCEJD][0-9]{1,2}|O[a-z]{0,3}|M[A-Z]|[ -~]{0,4})?";
    let read = (line, key.clone(), prop::collection::vec(flags, 0..4))
        .prop_map(|(line, key, flags)| format!("{line}{key}{}\r\n", flags.concat()).into_bytes());
    let value = prop::collection::vec(any::<u8>(), 0..40);
    let write = ("(set|add|replace|append|prepend)", key.clone(), value.clone(), -1..3_i32)
        .prop_map(|(command, key, value, wrong)| {
            let len = i32::try_from(value.len()).unwrap() + wrong.min(1);
            let line = format!("{command} {key} 0 0 {len}\r\n");
            [line.as_bytes(), &value, b"\r\n"].concat()
        });
    let meta = (key, value, prop::collection::vec(flags, 0..4)).prop_map(|(key, value, flags)| {
        let line = format!("ms {key} {}{}\r\n", value.len(), flags.concat());
        [line.as_bytes(), &value, b"\r\n"].concat()
    });
    prop_oneof![read, write, meta, prop::collection::vec(any::<u8>(), 0..20)]
}

proptest! {
    #[test]
    fn how_the_input_is_cut_makes_no_difference(
        commands in prop::collection::vec(command(), 1..12),
        piece in 1_usize..40,
    ) {
        let input = commands.concat();
        let whole = Bench::new().say_cut(&input, usize::MAX, NOW);
        let cut = Bench::new().say_cut(&input, piece, NOW);
        prop_assert_eq!(whole, cut);
    }

    #[test]
    fn any_bytes_are_survived(input in prop::collection::vec(any::<u8>(), 0..3000)) {
        Bench::new().say_cut(&input, 7, NOW);
    }
}
