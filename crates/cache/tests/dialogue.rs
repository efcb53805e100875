//! The same dialogues with ours and with memcached 1.6.18: every byte of the answers, CAS numbers
//! too. What differs on purpose is in `differences.rs`.

mod common;

use common::Pair;

/// Says each of them to both, in their order.
#[track_caller]
fn same(dialogues: &[&str]) {
    let pair = Pair::start();
    for dialogue in dialogues {
        pair.same(dialogue.as_bytes());
    }
}

#[test]
fn classic_storage_commands_answer_alike() {
    same(&[
        "set a 0 0 1\r\n1\r\nget a\r\ngets a b\r\n",
        "set a 4294967295 0 0\r\n\r\nget a\r\n",
        "add a 0 0 1\r\n2\r\nadd b 7 0 1\r\n2\r\ngets a b\r\n",
        "replace nothing 0 0 1\r\n2\r\nreplace b 9 0 2\r\n33\r\ngets b\r\n",
        "append b 1 0 2\r\n44\r\nprepend b 1 0 2\r\n22\r\ngets b\r\nappend no 0 0 1\r\n1\r\n",
        "prepend no 0 0 1\r\n1\r\nget no\r\n",
        "cas b 0 0 1 999\r\nx\r\ncas no 0 0 1 1\r\nx\r\ncas b 0 0 1 0\r\nx\r\n",
        "set c 1 0 1\r\nc\r\ngets c\r\n",
        "set c 0 0 5 noreply\r\nhello\r\nget c\r\n",
        "add c 0 0 5 noreply\r\nworld\r\nget c\r\nreplace c 0 0 1 noreply\r\nx\r\nget c\r\n",
        "append c 0 0 1 noreply\r\ny\r\nprepend c 0 0 1 noreply\r\nw\r\nget c\r\n",
        "cas c 0 0 1 1 noreply\r\nx\r\nget c\r\n",
        "set a\tb 0 0 1\r\n1\r\nget a\tb\r\nset \u{e9} 0 0 2\r\n\u{e9}\r\nget \u{e9}\r\n",
        "set  blanks  0  0  1 \r\n1\r\n get  blanks \r\n",
        "set lf 0 0 1\n1\r\nget lf\n",
        "set plus +1 +0 +1\r\n1\r\nget plus\r\n",
    ]);
}

#[test]
fn a_compare_and_swap_goes_through_once() {
    let pair = Pair::start();
    pair.same(
        b"set c 1 0 1\r\nc\r\ngets c\r\ncas c 2 0 3 1\r\nnew\r\ncas c 2 0 3 1\r\nold\r\ngets c\r\n",
    );
}

#[test]
fn deletes_and_counters_answer_alike() {
    same(&[
        "set a 0 0 1\r\n1\r\ndelete a\r\ndelete a\r\nget a\r\n",
        "set a 0 0 1\r\n1\r\ndelete a 0\r\nset a 0 0 1\r\n1\r\ndelete a noreply\r\nget a\r\n",
        "delete a 5\r\ndelete a 0 noreply\r\ndelete a 5 noreply\r\ndelete a 0 0 0\r\ndelete\r\n",
        "incr n 1\r\nset n 5 0 2\r\n10\r\nincr n 1\r\nincr n 89\r\ngets n\r\ndecr n 99\r\ngets n\r\n",
        "decr n 5\r\ngets n\r\nincr n 18446744073709551615\r\ngets n\r\nincr n 18446744073709551615\r\n",
        "incr n x\r\nincr n -1\r\nincr n\r\nincr n 1 2 3\r\nincr n 18446744073709551616\r\n",
        "set t 0 0 1\r\nx\r\nincr t 1\r\nset t 0 0 0\r\n\r\nincr t 1\r\nset t 0 0 4\r\n12 x\r\nincr t 1\r\n",
        "set t 0 0 20\r\n18446744073709551615\r\nincr t 1\r\nincr t 1\r\nget t\r\n",
        "incr t 5 noreply\r\ndecr t 1 noreply\r\nincr none 1 noreply\r\nget t\r\n",
    ]);
}

#[test]
fn expiry_answers_alike() {
    same(&[
        "set a 0 -1 1\r\n1\r\nget a\r\nadd a 0 0 1\r\n2\r\nget a\r\n",
        "set a 0 2592000 1\r\n1\r\nget a\r\nset a 0 2592001 1\r\n1\r\nget a\r\n",
        "set a 0 100 1\r\n1\r\nmg a t\r\ntouch a 200\r\nmg a t\r\ngat 300 a\r\nmg a t\r\n",
        "gats 0 a b\r\nmg a t\r\ntouch b 1\r\ntouch a x\r\ngat x a\r\ngat 0\r\ntouch a\r\n",
        "touch a 0 noreply\r\nmg a t\r\ntouch a -1\r\nget a\r\n",
        "set a 0 0 1\r\n1\r\ngat -1 a\r\nget a\r\n",
        "set a 0 0 1\r\n1\r\nflush_all\r\nget a\r\nset a 0 0 1\r\n1\r\nget a\r\nflush_all 0\r\nget a\r\n",
        "flush_all noreply\r\nflush_all 0 noreply\r\nflush_all x\r\nflush_all 0 0 0\r\nflush_all 100 2\r\n",
        "set b 0 0 1\r\n1\r\ngets b\r\n",
    ]);
}

#[test]
fn many_keys_are_read_in_one_command() {
    let pair = Pair::start();
    let mut get = b"get".to_vec();
    for number in 0..1000 {
        pair_set(&pair, number);
        get.extend_from_slice(format!(" key{number}").as_bytes());
    }
    get.extend_from_slice(b"\r\n");
    assert!(get.len() > 4096, "longer than what other commands may be");
    pair.same(&get);
}

fn pair_set(pair: &Pair, number: usize) {
    if number.is_multiple_of(100) {
        let sets: String = (number..number + 50)
            .map(|number| format!("set key{number} {number} 0 4 noreply\r\ndata\r\n"))
            .collect();
        pair.same(sets.as_bytes());
    }
}

#[test]
fn meta_get_answers_alike() {
    same(&[
        "mg a\r\nmg a v\r\nmg a v q\r\nmg a k Oabc\r\nmg a q k Oabc\r\nmg\r\nmg \r\n",
        "set a 5 0 3\r\nabc\r\nmg a\r\nmg a v\r\nmg a s v t f c k O123 q\r\nmg a k O1 f v\r\n",
        "mg a h l t\r\nmg a h\r\nmg a u h\r\nset a 0 100 1\r\n1\r\nmg a u h t\r\nmg a h\r\nmg a h\r\n",
        "mg a T30 t\r\nmg a t T60 t\r\nmg a T0 t\r\nmg a T-1 v\r\nmg a v\r\n",
        "mg viv N30 v t c s\r\nmg viv N30 v t\r\nmg viv v\r\nms viv 2\r\nhi\r\nmg viv v c\r\n",
        "mg v2 N0 t\r\nmg v2 t k\r\nmg v3 N30 T60 t\r\nmg v4 T60 N30 t\r\n",
        "set r 0 20 1\r\n1\r\nmg r R10 t\r\nmg r R30 t\r\nmg r R30 t\r\nms r 1 T90\r\n1\r\nmg r R30 t\r\n",
        "mg YWJj b k v\r\nms YWJj 2 b k\r\nxx\r\nmg YWJj b k v\r\nmg abc k v\r\nmg YWJj b k N3\r\n",
        "mg YWJ b\r\nmg a Z\r\nmg a v v\r\nmg a vx vy\r\nmg a Tx\r\nmg a N\r\nmg a R1x\r\n",
        "mg a Oabcdefghijabcdefghijabcdefghija\r\nmg a Oabcdefghijabcdefghijabcdefghijab\r\n",
        "mg a \u{7f}\r\nmg a Fx\r\nmg a Fx Tx\r\nmg a Tx Fx\r\nmg a Mxx\r\nmg a Jx\r\nmg a Dx\r\n",
        "mg a P L v\r\nmg a 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5\r\n",
        "mn\r\nmx\r\nm\r\n",
    ]);
}

#[test]
fn meta_set_answers_alike() {
    same(&[
        "ms a 1\r\n1\r\nms a 1 c k O5\r\n1\r\nms a 1 q\r\n2\r\nmg a v c\r\nms a 1 S100 T0 F7\r\n1\r\nmn\r\n",
        "ms a 1 T30 F7\r\n1\r\nmg a t f v\r\nms a 0\r\n\r\nmg a v s\r\n",
        "ms a 1 ME\r\n1\r\nms b 1 ME c\r\n1\r\nms b 2 MA c\r\n23\r\nms b 1 MP c\r\n0\r\nmg b v c\r\n",
        "ms no 1 MA\r\n1\r\nms no 1 MP\r\n1\r\nms no 1 MR\r\n1\r\nms b 1 MR\r\n1\r\nms b 1 MS c\r\n1\r\n",
        "ms b 1 MZ\r\n1\r\nms b 1 Mxx\r\n1\r\nms b 1 M\r\n1\r\nmg b v c\r\n",
        "ms b 1 C999 c\r\n1\r\nms no 1 C1 c k\r\n1\r\nms b 1 C0\r\n1\r\nms b 1 Cx\r\n1\r\n",
        "ms b 1 MA C999\r\n1\r\nms b 1 ME C999\r\n1\r\nms b 1 MR C999\r\n1\r\nms no 1 ME C5 c\r\n1\r\n",
        "ms b 1 I C1 c\r\nz\r\nmg b v c t\r\nmg b v c\r\nms b 1 c\r\ny\r\nmg b v c\r\n",
        "ms q1 1 q\r\n1\r\nms q1 1 ME q\r\n1\r\nms q1 1 C999 q\r\n1\r\nms nix 1 C999 q\r\n1\r\nmn\r\n",
        "ms b 1 Z\r\n1\r\nms b 1 c c\r\n1\r\nms b 1 Tx\r\n1\r\nms b 1 Fx\r\n1\r\n",
        "ms b 1 Oabcdefghijabcdefghijabcdefghijab\r\n1\r\nms YQ== 1 b k c\r\n1\r\nmg a v c k\r\n",
        "ms YQ 1 b\r\n1\r\nmg a v\r\nmg b v\r\n",
        "ms b 1 F4294967295\r\n1\r\nmg b f\r\n",
    ]);
}

#[test]
fn meta_delete_answers_alike() {
    same(&[
        "md a\r\nmd a k O1\r\nmd a q\r\nms a 1 T50\r\n1\r\nmd a q k\r\nmd a q\r\nmd\r\n",
        "ms a 1 T50\r\n1\r\nmd a C999\r\nmd a I T30 k O7\r\nmg a v t c\r\nmg a v t\r\n",
        "md a I\r\nmg a c\r\nmg a c\r\nms a 1 I C2\r\nx\r\nmg a v c t\r\nmd a I q\r\nmd a\r\nmg a\r\n",
        "ms a 1 c\r\n1\r\nmd a C9 q\r\nmd a v v\r\nmd a Z\r\nmd YQ== b k\r\nmd YQ b\r\n",
        "md a Oabcdefghijabcdefghijabcdefghijab\r\n",
    ]);
}

#[test]
fn meta_arithmetic_answers_alike() {
    same(&[
        "ma n\r\nma n q\r\nma n k O1\r\nma n N0 J13 v\r\nma n v\r\nma n D10 v c t k O3\r\n",
        "ma n MD D5 v\r\nma n M- v\r\nma n M+ v\r\nma n MI v\r\nma n MX v\r\nma n MD D99 v\r\nmg n v s\r\n",
        "ma n T30 t v\r\nma n t T60\r\nma n q\r\nma n v q\r\nma m N90 q t\r\nma m N90 t v\r\n",
        "ma n C999\r\nma n C999 q k\r\nma n C0 c\r\nma n Dx\r\nma n Jx\r\nma n Nx\r\nma\r\n",
        "set t 0 0 1\r\nx\r\nma t\r\nma t v q\r\nset t 0 0 0\r\n\r\nma t\r\n",
        "ma bg== b v k\r\nma YQ b\r\nma new N0 c v\r\nma new2 N30 J18446744073709551615 v t\r\nma new2 v t\r\n",
        "ma n Oabcdefghijabcdefghijabcdefghijab\r\n",
    ]);
}

#[test]
fn what_is_no_command_answers_alike() {
    let long = "k".repeat(251);
    same(&[
        "\r\n",
        "x\r\n",
        "foo bar\r\n",
        " \r\n",
        "GET a\r\nget\r\ngets\r\ngat\r\ngats\r\ngetx a\r\n",
        "incr\r\ndecr\r\ntouch\r\nverbosity\r\nverbosity 1\r\nverbosity x\r\nverbosity 1 noreply\r\n",
        "verbosity 1 2 3\r\nshutdown\r\nslabs\r\nlru\r\nstats foo\r\n",
        "watch foo\r\n",
        "cache_memlimit\r\ncache_memlimit 1\r\ncache_memlimit x\r\ncache_memlimit 100 noreply\r\n",
        "lru_crawler\r\nlru_crawler crawl 99\r\nlru_crawler tocrawl x\r\n",
        "lru_crawler tocrawl 5\r\nlru_crawler sleep 2000000\r\nlru_crawler sleep 100\r\n",
        "lru_crawler foo\r\nlru_crawler sleep x\r\n",
        "stats cachedump\r\nstats cachedump 1\r\nstats cachedump x 1\r\nstats cachedump 64 1\r\n",
        "stats cachedump 2 0\r\nstats sizes\r\nstats reset\r\nstats items\r\n",
        "GET / HTTP/1.1\r\n",
        "quit\r\nget a\r\n",
        "a\0b\r\nget a\0b\r\n",
        &format!("get {long}\r\n"),
        &format!("get a {long} b\r\n"),
        &format!("gats 0 {long}\r\nmg {long} v\r\nmd {long}\r\n"),
        &format!("ma {long}\r\nincr {long} 1\r\ntouch {long} 0\r\ndelete {long}\r\nme {long}\r\n"),
        &format!("get {}\r\n", &long[1..]),
        "mg a b\r\nmg == b\r\n",
    ]);
}

#[test]
fn what_is_too_large_is_swallowed_alike() {
    let value = "v".repeat(2_000_000);
    same(&[
        &format!("set a 0 0 1\r\n1\r\nset a 0 0 2000000\r\n{value}\r\nget a\r\n"),
        &format!("set a 0 0 1\r\n1\r\nadd a 0 0 2000000\r\n{value}\r\nget a\r\n"),
        &format!("set a 0 0 1\r\n1\r\nms a 2000000\r\n{value}\r\nget a\r\n"),
        &format!("set a 0 0 2000000 noreply\r\n{value}\r\nget a\r\n"),
        &format!("ms a 2000000 q\r\n{value}\r\nmn\r\n"),
    ]);
}

#[test]
fn a_value_as_long_as_may_be_is_stored_and_read_alike() {
    let pair = Pair::start();
    // memcached's limit is for the item with its header, the key and the line's end.
    let most = 1024 * 1024 - 48 - 8 - 1 - 2 - "big".len();
    let mut text = format!("set big 0 0 {most}\r\n").into_bytes();
    text.resize(text.len() + most, b'x');
    text.extend_from_slice(b"\r\nget big\r\nappend big 0 0 1\r\ny\r\nmg big s\r\n");
    pair.same(&text);
    let over = format!("set big 0 0 {}\r\n{}\r\nmg big\r\n", most + 1, "x".repeat(most + 1));
    pair.same(over.as_bytes());
}

#[test]
fn an_answer_that_is_too_long_for_any_buffer_comes_whole() {
    let pair = Pair::start();
    let value = "v".repeat(300_000);
    let mut text = String::new();
    for number in 0..20 {
        text.push_str(&format!("set big{number} 0 0 300000\r\n{value}\r\n"));
    }
    pair.same(text.as_bytes());
    let keys: String = (0..20).map(|number| format!(" big{number} none")).collect();
    pair.same(format!("get{keys}\r\nget{keys}\r\n").as_bytes());
}
