//! The search against a plain one that tries all orders, on many small histories; and against larger ones that
//! were made in order, and then damaged.

use proptest::prelude::*;

use super::*;
use crate::check::Violation;
use crate::history::{History, Via};

fn op(k: Kind, value: Option<u32>, begin: Nanos, end: Nanos, o: Outcome) -> Op {
    let text = value.map(|value| format!("v{value}"));
    let reads = k == Kind::Get;
    Op {
        s: "A".into(),
        via: Via::Ami,
        k,
        n: "r".into(),
        v: text.clone().filter(|_| !reads),
        ttl: None,
        b: begin,
        e: end,
        o,
        r: text.filter(|_| reads),
    }
}

fn violations(ops: &[Op]) -> Vec<Violation> {
    let history = History::default();
    let context = Context { history: &history };
    let ops: Vec<(usize, &Op)> = ops.iter().enumerate().collect();
    let mut found = Vec::new();
    check(&context, &ops, &mut found);
    found
}

/// Whether there is an order, by trying all of them.
fn has_order(ops: &[Op]) -> bool {
    fn go(ops: &[Op], done: u32, value: Option<&str>) -> bool {
        let open = |at: usize| done & (1 << at) == 0;
        let certain = |op: &Op| op.o != Outcome::Unreachable;
        if (0..ops.len()).all(|at| !open(at) || !certain(&ops[at])) {
            return true;
        }
        for at in (0..ops.len()).filter(|&at| open(at)) {
            let op = &ops[at];
            // All that had ended before it began comes before it, the unanswered if at all.
            let too_early = (0..ops.len())
                .any(|other| open(other) && certain(&ops[other]) && ops[other].e < op.b);
            // An unanswered one not after an answered change that began when it had ended.
            let too_late = !certain(op)
                && (0..ops.len()).any(|other| {
                    let change = &ops[other];
                    !open(other)
                        && certain(change)
                        && change.o == Outcome::Ok
                        && change.k != Kind::Get
                        && op.e < change.b
                });
            if too_early || too_late {
                continue;
            }
            let next = match (op.k, op.o) {
                (Kind::Get, Outcome::Ok) if op.r.as_deref() != value => continue,
                (Kind::Get | Kind::Del, Outcome::Missing) if value.is_some() => continue,
                (Kind::Add, Outcome::Exists) if value.is_none() => continue,
                (Kind::Add, Outcome::Ok | Outcome::Unreachable) if value.is_some() => continue,
                (Kind::Get, _) | (_, Outcome::Missing | Outcome::Exists) => value,
                (Kind::Del, _) => None,
                _ => op.v.as_deref(),
            };
            if go(ops, done | 1 << at, next) {
                return true;
            }
        }
        false
    }
    go(ops, 0, None)
}

/// A few operations at any times with any answers: about half of such histories have no order.
fn any_ops() -> impl Strategy<Value = Vec<Op>> {
    let one = (0..9_u8, 0..4_u32, 0..24_u64, 0..10_u64);
    prop::collection::vec(one, 1..8).prop_map(|drawn| {
        let mut ops = Vec::new();
        for (number, (kind, value, begin, length)) in (0_u32..).zip(drawn) {
            let end = begin + length;
            ops.push(match kind {
                0 | 1 => op(Kind::Set, Some(number), begin, end, Outcome::Ok),
                2 => op(Kind::Set, Some(number), begin, end, Outcome::Unreachable),
                3 => op(Kind::Del, None, begin, end, Outcome::Ok),
                4 => op(Kind::Del, None, begin, end, Outcome::Unreachable),
                5 => op(Kind::Get, None, begin, end, Outcome::Missing),
                6 if value < 2 => op(Kind::Add, Some(number), begin, end, Outcome::Ok),
                6 if value < 3 => op(Kind::Add, Some(number), begin, end, Outcome::Unreachable),
                6 => op(Kind::Add, Some(number), begin, end, Outcome::Exists),
                _ => op(Kind::Get, Some(value), begin, end, Outcome::Ok),
            });
        }
        ops
    })
}

/// Operations that took effect one after the other, each at a moment of its own, and were under way around it.
fn ordered_ops() -> impl Strategy<Value = Vec<Op>> {
    let one = (0..10_u8, 0..200_u64, 0..200_u64);
    prop::collection::vec(one, 5..120).prop_map(|drawn| {
        let (mut ops, mut value) = (Vec::new(), None);
        for (number, (kind, before, after)) in (0_u32..).zip(drawn) {
            let moment = 1_000 + u64::from(number) * 50;
            let (begin, end) = (moment - before, moment + after);
            ops.push(match kind {
                0..=2 => {
                    value = Some(number);
                    // One in three is not answered, and happens.
                    let o = if kind == 0 { Outcome::Unreachable } else { Outcome::Ok };
                    op(Kind::Set, value, begin, end, o)
                }
                3 => {
                    value = None;
                    op(Kind::Del, None, begin, end, Outcome::Ok)
                }
                // Not answered, and does not happen.
                4 => op(Kind::Set, Some(number), begin, end, Outcome::Unreachable),
                5 => op(Kind::Del, None, begin, end, Outcome::Unreachable),
                6 if value.is_some() => op(Kind::Add, Some(number), begin, end, Outcome::Exists),
                6 => {
                    value = Some(number);
                    op(Kind::Add, value, begin, end, Outcome::Ok)
                }
                _ if value.is_none() => op(Kind::Get, None, begin, end, Outcome::Missing),
                _ => op(Kind::Get, value, begin, end, Outcome::Ok),
            });
        }
        ops
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn it_says_the_same_as_trying_all_orders(ops in any_ops()) {
        prop_assert_eq!(violations(&ops).is_empty(), has_order(&ops), "{:#?}", ops);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn histories_that_were_made_in_order_pass(ops in ordered_ops()) {
        let found = violations(&ops);
        prop_assert!(found.is_empty(), "{:#?}", found);
    }

    #[test]
    fn a_read_that_is_given_an_overwritten_value_is_found(ops in ordered_ops(), pick in any::<prop::sample::Index>()) {
        // A value whose write had ended when another answered change began, which had ended when the read began.
        let mut chances = Vec::new();
        for (at, read) in ops.iter().enumerate().filter(|(_, op)| op.k == Kind::Get) {
            for change in ops.iter().filter(|op| op.k != Kind::Get && op.o == Outcome::Ok && op.e < read.b) {
                for write in ops.iter().filter(|op| op.v.is_some() && op.o != Outcome::Exists && op.e < change.b) {
                    chances.push((at, write.v.clone()));
                }
            }
        }
        prop_assume!(!chances.is_empty());
        let (at, old) = pick.get(&chances).clone();
        let mut ops = ops;
        ops[at].r = old;
        ops[at].o = Outcome::Ok;
        prop_assert!(!violations(&ops).is_empty());
    }

    #[test]
    fn a_write_that_is_taken_out_of_the_history_is_found(ops in ordered_ops(), pick in any::<prop::sample::Index>()) {
        let read = |op: &Op| ops.iter().any(|other| other.k == Kind::Get && other.r.is_some() && other.r == op.v);
        let chances: Vec<usize> = ops.iter().enumerate().filter(|(_, op)| read(op)).map(|(at, _)| at).collect();
        prop_assume!(!chances.is_empty());
        let mut left = ops.clone();
        left.remove(*pick.get(&chances));
        prop_assert!(!violations(&left).is_empty());
    }
}
