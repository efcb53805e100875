//! The model of two copies: the real decision code over random histories of operations and faults,
//! and a checker of the promises of `docs/consistency.md`, "Two copies".
//!
//! Real are `task`, `batch`, `envelope`, `clock`, `probe`, `epoch`, and the parts of `server`,
//! `maintain` and `heal` that decide. Simulated are time, the network, memcached and the few lines
//! of shell between them. A history is its [`script::Script`]; a failure prints the smallest that
//! proptest finds, with its seed. `TANDEM_MODEL_CASES` runs more of them.
//!
//! Each rule is switched off once (`switch_off`), and the same histories must then break a promise:
//! a checker that cannot fail proves nothing.

mod cache;
mod check;
mod history;
mod linear;
mod node;
mod run;
mod script;
mod wire;
mod world;

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

use check::{Rule, violations};
use script::{Class, scripts};

/// Simulated time, in microseconds since the beginning.
pub(crate) type Us = u64;
pub(crate) const MS: Us = 1_000;
pub(crate) const S: Us = 1_000_000;
/// A client gives up after this.
pub(crate) const DEADLINE: Us = 50 * MS;

/// The rule that is switched off.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Off {
    Nothing,
    /// Who reads writes the newest to the copy that is older.
    WriteBack,
    /// A delete leaves a tombstone.
    Tombstones,
    /// A miss counts only if the marker says so.
    Marker,
    /// Who adds or counts writes one copy after the other.
    Turns,
    /// What follows from what was there gives way.
    Ranks,
    /// The newest counts.
    Newest,
    /// A cache server that missed a write is healed.
    Owing,
    /// Healing ends only when everything was compared.
    Comparing,
}

impl Off {
    fn rule(self) -> Option<&'static str> {
        Some(match self {
            Self::Nothing => return None,
            Self::WriteBack => "repair",
            Self::Tombstones => "tombstones",
            Self::Marker => "epoch",
            Self::Turns => "turns",
            Self::Ranks => "ranks",
            Self::Newest => "newest",
            Self::Owing => "owing",
            Self::Comparing => "comparing",
        })
    }
}

const CASES: u32 = 150;
/// A rule that is switched off must be noticed within so many histories.
const CASES_OFF: usize = 1500;

#[test]
fn random_histories_keep_every_promise() {
    let cases = std::env::var("TANDEM_MODEL_CASES").ok().and_then(|n| n.parse().ok());
    let cases = cases.unwrap_or(CASES);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&scripts(), |script| {
        let broken = violations(&world::run(&script, Off::Nothing));
        prop_assert!(broken.is_empty(), "{:#?}", &broken[..broken.len().min(5)]);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// The promises that are broken in a fixed row of histories. Ends early when `rule` is among them.
fn broken_without(off: Off, rule: Rule) -> BTreeMap<Rule, usize> {
    let mut runner = TestRunner::deterministic();
    let mut rules = BTreeMap::new();
    for _ in 0..CASES_OFF {
        let script = scripts().new_tree(&mut runner).expect("a script").current();
        for violation in violations(&world::run(&script, off)) {
            *rules.entry(violation.rule).or_default() += 1;
        }
        if rules.contains_key(&rule) {
            let sound = violations(&world::run(&script, Off::Nothing));
            assert!(
                sound.is_empty(),
                "broken with every rule in force: {script:?}\n{:?}",
                sound[0]
            );
            break;
        }
    }
    rules
}

macro_rules! must_be_noticed {
    ($($test:ident: $off:ident breaks $rule:expr;)*) => {$(
        #[test]
        fn $test() {
            let rules = broken_without(Off::$off, $rule);
            assert!(rules.contains_key(&$rule), "without {:?}: {rules:?}", Off::$off);
        }
    )*};
}

must_be_noticed! {
    reads_that_do_not_mend_are_noticed: WriteBack breaks Rule::Order(Class::Variable);
    deletes_that_leave_no_trace_are_noticed: Tombstones breaks Rule::Order(Class::Variable);
    a_marker_that_is_ignored_is_noticed: Marker breaks Rule::Order(Class::Lock);
    counting_at_both_copies_at_once_is_noticed: Turns breaks Rule::Order(Class::Counter);
    writes_that_do_not_give_way_are_noticed: Ranks breaks Rule::Order(Class::Lock);
    a_first_copy_that_always_counts_is_noticed: Newest breaks Rule::Order(Class::Variable);
    missed_writes_that_nobody_mends_are_noticed: Owing breaks Rule::Order(Class::Variable);
    healing_that_compares_nothing_is_noticed: Comparing breaks Rule::Order(Class::Variable);
}
