//! A checker that cannot fail is worth nothing: without a rule of the code the same suite has to find violations.
//!
//! `./test cluster` builds the module with the feature `switch-off` and runs this; TANDEM_SWITCH_OFF_MODULE says
//! where it is.
//!
//! Three rules are left to the model in `crates/univar`, for no single fault shows them: `looking` matters where a clock
//! is wrong and a cache fails, `comparing` where a cache cannot be compared with the other in the heal window,
//! `shorter_life` where copies are mended from each other again and again.

use anyhow::{Context as _, Result};
use tandem_cluster::check::{Report, Rule};
use tandem_cluster::{Plan, run};

fn run_without(rule: &str, only: &[&str]) -> Result<Vec<Report>> {
    let module = std::env::var_os("TANDEM_SWITCH_OFF_MODULE")
        .context("TANDEM_SWITCH_OFF_MODULE is not set: this is run by ./test cluster")?;
    let plan = Plan {
        short: true,
        module: Some(module.into()),
        switched_off: Some(rule.to_owned()),
        only: only.iter().map(|&name| name.to_owned()).collect(),
        ..Plan::default()
    };
    run(&plan, &|scenario| println!("without {rule}: {scenario}"))
}

fn found(reports: &[Report]) -> Vec<Rule> {
    for report in reports {
        println!("{report}");
    }
    reports.iter().flat_map(|report| &report.violations).map(|violation| violation.rule).collect()
}

#[test]
fn without_repair_acknowledged_writes_are_lost() -> Result<()> {
    let found = found(&run_without("repair", &["killed", "stopped"])?);
    assert!(found.contains(&Rule::LostWrite), "{found:?}");
    Ok(())
}

#[test]
fn without_tombstones_deleted_values_come_back() -> Result<()> {
    let found = found(&run_without("tombstones", &["stopped"])?);
    assert!(found.contains(&Rule::LostDelete), "{found:?}");
    Ok(())
}

#[test]
fn without_the_epoch_registered_phones_are_missing() -> Result<()> {
    let found = found(&run_without("epoch", &["all emptied"])?);
    assert!(found.contains(&Rule::PhoneMissing), "{found:?}");
    Ok(())
}

#[test]
fn without_turns_two_are_told_the_same() -> Result<()> {
    let found = found(&run_without("turns", &["no fault"])?);
    let doubled = |rule: &Rule| matches!(rule, Rule::AddedTwice | Rule::Counter);
    assert!(found.iter().any(doubled), "{found:?}");
    Ok(())
}

#[test]
fn without_the_newest_copy_a_stopped_cache_answers_with_what_it_had() -> Result<()> {
    let found = found(&run_without("newest", &["stopped"])?);
    assert!(found.contains(&Rule::LostWrite), "{found:?}");
    Ok(())
}

#[test]
fn without_owing_what_one_cache_missed_is_lost_with_the_other() -> Result<()> {
    let found = found(&run_without("owing", &["stopped", "stopped again"])?);
    assert!(found.contains(&Rule::LostWrite), "{found:?}");
    Ok(())
}

#[test]
fn with_every_rule_in_force_the_same_module_keeps_the_promise() -> Result<()> {
    assert_eq!(found(&run_without("nothing", &["stopped"])?), []);
    Ok(())
}
