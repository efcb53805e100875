//! The model: the real decision code over random histories of phones, faults and readers, and a
//! checker of the promises of `docs/consistency.md`.
//!
//! Real are `sri::Registrar` and `univar::epoch::Watch`. Simulated are time, the network, memcached
//! and the few lines of shell between them. A history is its [`Script`]; a failure prints the
//! smallest that proptest finds, with its seed. `TANDEM_MODEL_CASES` runs more of them.
//!
//! Each rule is switched off once, in the shell, and the same histories must then break a promise:
//! a checker that cannot fail proves nothing.

#[path = "model/cache.rs"]
mod cache;
#[path = "model/check.rs"]
mod check;
#[path = "model/check_variables.rs"]
mod check_variables;
#[path = "model/history.rs"]
mod history;
#[path = "model/node.rs"]
mod node;
#[path = "model/ownership.rs"]
mod ownership;
#[path = "model/phones.rs"]
mod phones;
#[path = "model/script.rs"]
mod script;
#[path = "model/wire.rs"]
mod wire;
#[path = "model/world.rs"]
mod world;

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

use check::{Rule, certainty, violations};
use script::scripts;

/// Simulated time, in microseconds since the beginning.
pub(crate) type Us = u64;
pub(crate) const MS: Us = 1_000;
pub(crate) const S: Us = 1_000_000;
/// A client gives up after this.
pub(crate) const WITHIN_DEADLINE: Us = 50 * MS;

/// The rule that is switched off.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Off {
    Nothing,
    /// A batch asks for the marker last.
    MarkerLast,
    /// A miss without `R` does not count.
    Marker,
    /// A Keep leaves another's record alone.
    KeepYields,
    /// Who finds another's record stands back.
    StandingBack,
    /// A Withdraw removes only what is ours.
    WithdrawLooks,
    /// Records are renewed.
    Renewal,
    /// A restored registration is not a REGISTER.
    RestoredKeeps,
    /// A Take that could not be delivered for long becomes a Keep.
    TakesGrowStale,
    /// After a loss all is published again.
    Republication,
    /// Who knows best publishes first.
    Yielding,
    /// A Keep fills a gap only in content that the node has published for.
    GapsNeedTheMarker,
    /// A write that was given up is not sent again.
    WritesEndInTime,
    /// Every read asks the cache server.
    ReadsAsk,
    /// A record lives for its lease.
    Lease,
}

const CASES: u32 = 150;
/// A rule that is switched off must be noticed within so many histories.
const CASES_OFF: usize = 400;

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

/// The cases where no promise is made must stay few, or the checker checks nothing.
#[test]
fn it_is_certain_nearly_always_whose_a_phone_is() {
    let mut runner = TestRunner::deterministic();
    let (mut certain, mut all) = (0, 0);
    for _ in 0..60 {
        let script = scripts().new_tree(&mut runner).expect("a script").current();
        let (some, of) = certainty(&world::run(&script, Off::Nothing));
        (certain, all) = (certain + some, all + of);
    }
    assert!(all > 10_000 && certain * 100 > all * 90, "{certain} of {all}");
}

/// The promises that are broken in a fixed row of histories, all of which are sound with every rule
/// in force. Ends early when `rule` is among them.
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
    ($($test:ident: $off:ident breaks $rule:ident;)*) => {$(
        #[test]
        fn $test() {
            let rules = broken_without(Off::$off, Rule::$rule);
            assert!(rules.contains_key(&Rule::$rule), "without {:?}: {rules:?}", Off::$off);
        }
    )*};
}

must_be_noticed! {
    a_marker_that_is_read_first_is_noticed: MarkerLast breaks P2;
    a_marker_that_is_ignored_is_noticed: Marker breaks P2;
    a_keep_that_takes_over_is_noticed: KeepYields breaks P7;
    a_node_that_never_stands_back_is_noticed: StandingBack breaks P7;
    a_withdrawal_that_does_not_look_is_noticed: WithdrawLooks breaks P7;
    records_that_are_not_renewed_are_noticed: Renewal breaks P6;
    restored_registrations_that_take_are_noticed: RestoredKeeps breaks P7;
    takes_that_never_grow_stale_are_noticed: TakesGrowStale breaks P7;
    content_that_is_not_published_again_is_noticed: Republication breaks P4;
    nodes_that_publish_in_any_order_are_noticed: Yielding breaks P7;
    gaps_filled_without_the_marker_are_noticed: GapsNeedTheMarker breaks P7;
    writes_that_happen_late_are_noticed: WritesEndInTime breaks P3;
    reads_from_memory_are_noticed: ReadsAsk breaks P1;
    records_that_outlive_their_lease_are_noticed: Lease breaks P5;
}
