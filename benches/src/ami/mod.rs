//! `./bench ami`: from received bytes to messages whose headers can be read, beside the clients that there are.
//!
//! All sides get the same bytes in pieces of the same size, on the same core, and look up the same two headers of
//! each event. No socket is between: it would cost all sides the same and hide what differs. Before anything is
//! timed, both Rust sides must have read the same headers.

mod python;
mod rust;
mod stream;

use std::fs;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::Options;
use crate::cpu;
use crate::report::{Goal, Pairs, Report};
use crate::stats::{self, Side};
use python::PythonClient;

/// What is decoded in one pass: more than a core's caches hold.
const STREAM_BYTES: usize = 8 * 1024 * 1024;
/// What a read of a busy connection gives.
const PIECE_BYTES: usize = 16 * 1024;
/// Passes of one run of ours, so that it takes about as long as one of theirs.
const OUR_PASSES: usize = 5;
/// Both are to be at least this many times slower.
const GOAL: Goal = Goal::AtLeast(3.0);

/// Decodes a stream in pieces of so many bytes, and says how many events there were.
type Ours = fn(&[u8], usize) -> Result<usize>;

/// Measures all figures of the bench.
///
/// # Errors
///
/// If a client reads the bytes differently, or Python's are not there.
pub(crate) fn run(options: &Options) -> Result<()> {
    let report = Report::new("ami")?;
    cpu::pin_thread(0, options.client)?;
    let stream = stream::stream(STREAM_BYTES);
    let events = rust::compare(&stream, PIECE_BYTES)?;
    println!("  {} bytes, {events} events, pieces of {PIECE_BYTES} bytes", stream.len());
    let lent_or_kept: [(&str, Ours); 2] =
        [("ami_faster_than_rust", rust::ours), ("ami_kept_faster_than_rust", rust::ours_kept)];
    for (name, ours) in lent_or_kept {
        if options.wants(name) {
            let theirs = || {
                let from = Instant::now();
                let found = rust::theirs(&stream, PIECE_BYTES)?;
                Ok((from.elapsed().as_secs_f64() * 1e9, found))
            };
            figure(&report, options, name, &stream, events, ours, theirs)?;
        }
    }
    let path = report.folder().join("stream");
    fs::write(&path, &stream)?;
    for (name, client) in [
        ("ami_faster_than_python", "pyfreepbx"),
        ("ami_faster_than_basicami", "basicami"),
        ("ami_faster_than_panoramisk", "panoramisk"),
    ] {
        if options.wants(name) {
            let mut client = PythonClient::start(client, &path, PIECE_BYTES, options.client)?;
            // It compiles and fills its caches before it counts.
            client.pass()?;
            figure(&report, options, name, &stream, events, rust::ours, || client.pass())?;
        }
    }
    fs::remove_file(&path)?;
    println!("  runs: {}", report.folder().display());
    Ok(())
}

/// Nanoseconds for each byte of ours and of theirs; `theirs` takes the whole stream once, and tells how long it
/// took in nanoseconds and how many events it had.
fn figure(
    report: &Report,
    options: &Options,
    name: &str,
    stream: &[u8],
    events: usize,
    ours: Ours,
    mut theirs: impl FnMut() -> Result<(f64, usize)>,
) -> Result<()> {
    let bytes = stream.len() as f64;
    let mut table = report.table(name, "pair,place,side,nanoseconds_per_byte")?;
    let pairs = Pairs::run(options.pairs, &mut table, |side| {
        let (nanoseconds, found) = match side {
            Side::Theirs => theirs()?,
            Side::Ours => {
                let from = Instant::now();
                let mut found = 0;
                for _ in 0..OUR_PASSES {
                    found = ours(stream, PIECE_BYTES)?;
                }
                (from.elapsed().as_secs_f64() * 1e9 / OUR_PASSES as f64, found)
            }
        };
        ensure!(found == events, "{side:?} found {found} events, and there are {events}");
        Ok(nanoseconds / bytes)
    })?;
    let megabytes = |runs: &[f64]| 1e3 / stats::median(runs).middle;
    let note = format!(
        "ours {:.0} MB/s, theirs {:.0} MB/s (medians), {} pairs",
        megabytes(pairs.ours()),
        megabytes(pairs.theirs()),
        options.pairs
    );
    report.median(name, "ratio", GOAL, pairs.theirs_over_ours(), &note)
}
