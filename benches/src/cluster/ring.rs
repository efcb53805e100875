//! How evenly names fall on the cache servers: a computation, so it has no noise.

use anyhow::{Context as _, Result};
use univar::{Address, Ring};

use crate::report::{Goal, Report};

/// How many names there are of each kind.
const NAMES: usize = 100_000;
/// Numbers of cache servers.
const SERVERS: std::ops::RangeInclusive<usize> = 2..=10;

/// How cache servers may be called: where a name is placed depends on that.
const CALLED: [fn(usize) -> String; 4] = [
    |number| format!("10.0.0.{number}"),
    |number| format!("192.168.10.{}", 20 + number),
    |number| format!("cache{number}.example.org"),
    |number| format!("127.0.0.1:{}", 11_300 + number),
];

/// How names may look.
const NAMED: [fn(usize) -> String; 2] = [
    |number| format!("PEERA_{}", 200 + number),
    |number| format!("queue/{:05}/agent", number * 7 % NAMES),
];

/// The largest load over the mean one.
#[derive(Clone, Debug)]
struct Worst {
    ratio: f64,
    case: String,
}

/// Prints the figure, for who keeps one copy and for who keeps two.
///
/// # Errors
///
/// If it cannot be kept.
pub(super) fn run(report: &Report) -> Result<()> {
    let mut table = report.table("ring_imbalance", "servers,called,names,copies,ratio")?;
    let mut worst: [Option<Worst>; 2] = [None, None];
    let mut cases = 0;
    for servers in SERVERS {
        for called in CALLED {
            let addresses: Vec<Address> = (1..=servers)
                .map(|number| Address::parse(&called(number)))
                .collect::<Result<_, _>>()?;
            let ring = Ring::new(&addresses);
            for named in NAMED {
                cases += 1;
                let ratios = imbalance(&ring, servers, named);
                for (copies, (ratio, worst)) in ratios.into_iter().zip(&mut worst).enumerate() {
                    table.row(&[&servers, &called(1), &named(0), &(copies + 1), &ratio])?;
                    if worst.as_ref().is_none_or(|worst| ratio > worst.ratio) {
                        let case = format!("{servers} servers {} ..., {} ...", called(1), named(0));
                        *worst = Some(Worst { ratio, case });
                    }
                }
            }
        }
    }
    let [one, two] = worst;
    let one = one.context("there was no ring")?;
    let two = two.context("there was no ring")?;
    let note = |worst: &Worst| {
        format!("{}; the worst of {cases} rings and sets of {NAMES} names", worst.case)
    };
    let goal = Goal::AtMost(1.25);
    report.value("ring_imbalance", "ratio", goal, one.ratio, &note(&one))?;
    report.value("ring_imbalance_two_copies", "ratio", goal, two.ratio, &note(&two))
}

/// The largest load over the mean: of first copies, and of both copies.
fn imbalance(ring: &Ring, servers: usize, named: fn(usize) -> String) -> [f64; 2] {
    let (mut first_copies, mut both_copies) = (vec![0_usize; servers], vec![0_usize; servers]);
    for number in 0..NAMES {
        let (first, second) = ring.place_both(named(number).as_bytes());
        first_copies[first] += 1;
        both_copies[first] += 1;
        both_copies[second] += 1;
    }
    [first_copies, both_copies].map(|loads| {
        let largest = loads.iter().max().copied().unwrap_or_default();
        largest as f64 * servers as f64 / loads.iter().sum::<usize>() as f64
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_copies_on_two_servers_are_perfectly_even() {
        let addresses = ["a", "b"].map(|text| Address::parse(text).unwrap());
        let [one, two] = imbalance(&Ring::new(&addresses), 2, NAMED[0]);
        assert!(one > 1.0 && one < 2.0, "{one}");
        assert_eq!(two, 1.0);
    }

    #[test]
    fn every_name_is_another() {
        for named in NAMED {
            let names: std::collections::HashSet<_> = (0..NAMES).map(named).collect();
            assert_eq!(names.len(), NAMES);
        }
    }
}
