//! `./bench cluster`: what two copies of each variable are worth, and what they cost.
//!
//! Two real memcached are killed, stopped and started empty under a real `univar::Store` that is driven as the
//! module drives it ([`node`]), while many threads read ([`reads`]). What a second copy costs is measured in a real
//! dialplan ([`price`]). The Store and all that reads are on the client's core, the caches on the servers' core.

mod fault;
mod heal;
mod node;
mod price;
mod reads;
mod ring;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use tandem_lab::Lab;

use crate::Options;
use crate::cpu;
use crate::report::Report;
use fault::Fault;

/// The lab's number: no two benches may run at once.
const LAB_NUMBER: u8 = 63;
/// How long anything may take: a cache server is complete some four seconds after its start.
const WITHIN: Duration = Duration::from_secs(30);

/// Measures all figures of the bench.
///
/// # Errors
///
/// If anything does not start, or does not become whole again.
pub(crate) fn run(options: &Options) -> Result<()> {
    let report = Report::new("cluster")?;
    // Us, and all that we start but the threads that ask.
    cpu::pin_thread(0, options.servers)?;
    if options.wants("ring_imbalance") || options.wants("ring_imbalance_two_copies") {
        ring::run(&report)?;
    }
    fault::run(Fault::Dead, &report, options)?;
    fault::run(Fault::Hung, &report, options)?;
    heal::run(&report, options)?;
    price::run(&report, options)?;
    println!("  runs: {}", report.folder().display());
    Ok(())
}

/// Two cache servers, and no Asterisk.
struct Caches {
    lab: Lab,
}

impl Caches {
    fn start(options: &Options) -> Result<Self> {
        let lab = Lab::builder("bench-cluster")
            .number(LAB_NUMBER)
            .without_server("A")
            .without_server("B")
            .without_server("gateway")
            .start()?;
        for cache in [1, 2] {
            cpu::pin_process(lab.cache(cache).pid()?, options.servers)?;
        }
        Ok(Self { lab })
    }

    fn addresses(&self) -> [SocketAddr; 2] {
        [1, 2].map(|cache| self.lab.cache(cache).address())
    }
}

/// Waits until it holds.
fn wait(what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
    let log = Path::new("the caches' logs");
    Ok(tandem_lab::wait_until(what, WITHIN, log, || Ok(holds()))?)
}
