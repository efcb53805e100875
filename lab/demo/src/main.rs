//! The demo: three real Asterisk servers, two memcached, real phones and a hub on loopback, and a story told with them.
//!
//! - `set`: which servers there are and how they are configured;
//! - `story`: the steps, a file each;
//! - `scene`: what steps have in common: the phones, and the few verbs that the story is told in;
//! - `lookup`, `watch`: what a universal variable is now, and that it stays so;
//! - `narrator`: what people see;
//! - `console`: the hub, and phones that give it something to show;
//! - `prompt`: what they may try when the story is over;
//! - `pictures`: the console's pages as pictures, for the documentation.
//!
//! `./demo` in the root makes the machine ready, builds this and runs it. However this process ends, no other
//! one is left: what it started dies with it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tandem_lab::Lab;

use crate::narrator::Narrator;
use crate::prompt::Typed;
use crate::scene::Scene;

mod console;
mod lookup;
mod narrator;
mod pictures;
mod prompt;
mod scene;
mod set;
mod signals;
mod story;
mod watch;

/// How long the story may take to notice that its servers are gone.
const LEAVE_WITHIN: Duration = Duration::from_secs(3);

/// What may happen to the demo.
pub(crate) enum Event {
    /// Ctrl-C, SIGTERM or a closed terminal.
    Stopped,
    /// The story, and what people tried afterwards, is over; whether every step held.
    Over(Result<bool>),
}

fn main() -> ExitCode {
    let Some(how) = arguments() else {
        eprintln!("usage: ./demo [--check | --pictures]");
        return ExitCode::from(2);
    };
    let (happens, events) = mpsc::channel();
    // Before any other thread begins, for they inherit what is blocked.
    signals::watch(happens.clone());

    let (typed, lines) = mpsc::channel();
    let lab = Arc::new(OnceLock::new());
    let (place, typist) = (Arc::clone(&lab), typed.clone());
    thread::spawn(move || {
        let story = AssertUnwindSafe(|| perform(&place, how, &typist, &lines));
        let over = catch_unwind(story).unwrap_or_else(|_| Err(anyhow!("the story panicked")));
        drop(place);
        // Nobody listens any more if we are too late.
        let _late = happens.send(Event::Over(over));
    });

    let over = match events.recv() {
        Ok(Event::Over(over)) => over,
        Ok(Event::Stopped) | Err(_) => {
            println!("\nstopping");
            leave(&lab, &typed);
            // What is only being started ends with us.
            if lab.get().is_none() {
                return ExitCode::from(signals::EXIT_CODE);
            }
            // The logs stay in the lab's folder if the story does not notice in time.
            match events.recv_timeout(LEAVE_WITHIN) {
                Ok(Event::Over(Ok(true))) => Ok(true),
                _ => return ExitCode::from(signals::EXIT_CODE),
            }
        }
    };
    // The last one who looks at the lab ends it.
    drop(lab);
    match over {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What the demo is for, this time.
#[derive(Clone, Copy, Eq, PartialEq)]
enum How {
    /// To be watched, and tried afterwards.
    Told,
    /// To see whether every step holds.
    Checked,
    /// To take pictures of the console.
    Pictured,
}

/// Nothing if it is not known what was asked.
fn arguments() -> Option<How> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Some(How::Told),
        ["--check"] => Some(How::Checked),
        ["--pictures"] => Some(How::Pictured),
        _ => None,
    }
}

/// Starts the lab, tells the story, and lets people try things. Gives whether every step held.
fn perform(
    place: &OnceLock<Lab>,
    how: How,
    typed: &Sender<Typed>,
    lines: &Receiver<Typed>,
) -> Result<bool> {
    let narrator = Narrator::new(how != How::Told);
    let lab = narrator.start(|| {
        let lab = set::build()?;
        Ok(place.get_or_init(|| lab))
    })?;
    narrator.keep_in(&lab.place().folder().join("story.log"))?;
    let mut scene = Scene::new(lab, &narrator)?;
    let held = story::tell(&mut scene);
    match how {
        How::Told if held => prompt::run(&scene, typed, lines),
        How::Pictured if held => pictures::take(&scene)?,
        _ => {}
    }
    Ok(held)
}

/// Ends everything although the story still looks at it, and so the story.
fn leave(lab: &OnceLock<Lab>, typed: &Sender<Typed>) {
    if let Some(lab) = lab.get() {
        lab.end();
    }
    // Nobody waits for a line if the story has just ended.
    let _ended = typed.send(None);
}
