//! The demo: three real Asterisk servers, two memcached and real phones on loopback, and a story told with them.
//!
//! - `set`: which servers there are and how they are configured;
//! - `story`: the steps, a file each;
//! - `scene`: what steps have in common: the phones, and the few verbs that the story is told in;
//! - `lookup`, `watch`: what a universal variable is now, and that it stays so;
//! - `narrator`: what people see;
//! - `prompt`: what they may try when the story is over.
//!
//! `./demo` in the root makes the machine ready, builds this and runs it. However this process ends, no other
//! one is left: what it started dies with it.

use std::process::ExitCode;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use tandem_lab::Lab;

use crate::narrator::Narrator;

mod lookup;
mod narrator;
mod prompt;
mod scene;
mod set;
mod signals;
mod story;
mod watch;

/// How long the story may take to notice that it was stopped; the processes are gone by then.
const LEAVE_WITHIN: Duration = Duration::from_secs(3);

/// What may happen to the demo.
pub(crate) enum Event {
    /// Ctrl-C, SIGTERM or a closed terminal.
    Stopped,
    /// The story, and what people tried afterwards, is over; whether every step held.
    Over(Result<bool>),
}

fn main() -> ExitCode {
    let Some(checks) = arguments() else {
        eprintln!("usage: ./demo [--check]");
        return ExitCode::from(2);
    };
    let (happens, events) = mpsc::channel();
    // Before any other thread begins, for they inherit what is blocked.
    signals::watch(happens.clone());

    let lab = Arc::new(OnceLock::new());
    let told = Arc::clone(&lab);
    thread::spawn(move || {
        let over = perform(&told, checks);
        drop(told);
        // Nobody listens when we were stopped.
        let _stopped = happens.send(Event::Over(over));
    });

    match events.recv() {
        Ok(Event::Over(Ok(true))) => ExitCode::SUCCESS,
        Ok(Event::Over(Ok(false))) => ExitCode::FAILURE,
        Ok(Event::Over(Err(error))) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
        Ok(Event::Stopped) | Err(_) => {
            leave(&lab, &events);
            ExitCode::from(signals::EXIT_CODE)
        }
    }
}

/// Whether only to check; nothing if that is not what was asked.
fn arguments() -> Option<bool> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Some(false),
        ["--check"] => Some(true),
        _ => None,
    }
}

/// Starts the lab, tells the story, and lets people try things. The lab ends when the last who looks at it is
/// gone.
fn perform(place: &OnceLock<Lab>, checks: bool) -> Result<bool> {
    let narrator = Narrator::new(checks);
    let lab = narrator.start(|| {
        let lab = set::build()?;
        Ok(place.get_or_init(|| lab))
    })?;
    narrator.keep_in(&lab.place().folder().join("story.log"))?;
    let mut scene = scene::Scene::new(lab, &narrator)?;
    let held = story::tell(&mut scene);
    if held && !checks {
        prompt::run(&mut scene)?;
    }
    Ok(held)
}

/// Ends everything although the story still looks at it, and gives that a moment to notice.
fn leave(lab: &OnceLock<Lab>, events: &mpsc::Receiver<Event>) {
    println!("\nstopping");
    if let Some(lab) = lab.get() {
        lab.end();
    }
    // Its logs stay where they are, if it does not.
    let _late = events.recv_timeout(LEAVE_WITHIN);
}
