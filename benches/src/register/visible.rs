//! How soon another server can read a new registration: one process plays the phone and asks the other server,
//! so one clock measures both.
//!
//! It counts from the moment that the phone has its 200 OK until an answer of server B's manager interface has
//! the record. B is asked again and again, so a look at it is part of the time; how long one takes is said.

use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tandem_lab::Ami;

use super::{Bench, PER_SECOND, REFRESHED, register, without_events};
use crate::report::{Goal, Report};
use crate::stats::{percentile, percentile_bound};

/// New registrations that are looked for.
const SAMPLES: usize = 4_000;
/// One in so many registrations is one of them; the others are refreshes.
const SAMPLE_EVERY: usize = 6;
/// How long a record may take before the bench gives up.
const SEEN_WITHIN: Duration = Duration::from_secs(5);

/// One registration that was found.
struct Seen {
    milliseconds: f64,
    looks: u32,
    last_look_ms: f64,
}

/// Measures `register_visible_*`, and gives how many phones are registered now.
///
/// # Errors
///
/// If a phone is refused, or its record never seen.
pub(super) fn run(bench: &mut Bench, report: &Report) -> Result<usize> {
    let mut table = report.table("register_visible", "sample,milliseconds,looks,last_look_ms")?;
    let ami = without_events(bench.lab.b())?;
    let (orders, inbox) = mpsc::channel::<(String, Instant)>();
    let reader = thread::spawn(move || look_for_all(ami, &inbox));
    let first = REFRESHED;
    let mut refreshed = 0;
    let steps = (0..SAMPLES * SAMPLE_EVERY).map(|step| {
        if step % SAMPLE_EVERY == SAMPLE_EVERY - 1 {
            return register(first + step / SAMPLE_EVERY);
        }
        refreshed = (refreshed + 1) % REFRESHED;
        register(refreshed)
    });
    let numbers: Vec<String> =
        (first..first + SAMPLES).map(|phone| bench.fleet.number(phone).to_owned()).collect();
    bench.fleet.take_at_rate(Instant::now(), PER_SECOND, steps, |phone, answered_at| {
        let Some(number) = phone.checked_sub(first).and_then(|at| numbers.get(at)) else {
            return Ok(());
        };
        orders.send((format!("PEERA_{number}"), answered_at)).context("the reader has given up")
    })?;
    drop(orders);
    let seen = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    for (sample, Seen { milliseconds, looks, last_look_ms }) in seen.iter().enumerate() {
        table.row(&[&sample, milliseconds, looks, last_look_ms])?;
    }
    tell(report, &seen)?;
    Ok(first + SAMPLES)
}

fn tell(report: &Report, seen: &[Seen]) -> Result<()> {
    let times: Vec<f64> = seen.iter().map(|seen| seen.milliseconds).collect();
    let looks: Vec<f64> = seen.iter().map(|seen| seen.last_look_ms).collect();
    let at_once = seen.iter().filter(|seen| seen.looks == 1).count();
    for (name, share, goal) in [
        ("register_visible_p50_ms", 0.5, Goal::None),
        ("register_visible_p99_ms", 0.99, Goal::AtMost(5.0)),
        ("register_visible_p999_ms", 0.999, Goal::None),
    ] {
        let note = format!(
            "the 95 % bound of the percentile; it is {:.3} of {} samples, {at_once} seen at the first look, which \
             takes {:.3} itself",
            percentile(&times, share),
            times.len(),
            percentile(&looks, 0.5),
        );
        report.value(name, "ms", goal, percentile_bound(&times, share), &note)?;
    }
    Ok(())
}

fn look_for_all(mut ami: Ami, inbox: &Receiver<(String, Instant)>) -> Result<Vec<Seen>> {
    inbox.iter().map(|(name, answered_at)| look_for(&mut ami, &name, answered_at)).collect()
}

fn look_for(ami: &mut Ami, name: &str, answered_at: Instant) -> Result<Seen> {
    let mut looks = 0;
    loop {
        looks += 1;
        let from = Instant::now();
        let answer = ami.ask(&[("Action", "UniVarGet"), ("Name", name)])?;
        let now = Instant::now();
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        if answer.value("Status") == "OK" {
            return Ok(Seen {
                milliseconds: milliseconds(now - answered_at),
                looks,
                last_look_ms: milliseconds(now - from),
            });
        }
        if now - answered_at > SEEN_WITHIN {
            bail!("{name} was not seen within {SEEN_WITHIN:?}: {}", answer.value("Status"));
        }
    }
}
