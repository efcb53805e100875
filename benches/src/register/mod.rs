//! `./bench register`: what publishing registrations costs a server, and how soon the others see them.
//!
//! Server A has 10,000 phones that register with digest authentication; server B only reads. A is on one core
//! alone; B, the caches and this program, which plays the phones, are on the other.

mod cost;
mod fleet;
mod renewal;
mod sip;
mod visible;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use tandem_lab::{Ami, Asterisk, Lab, ServerConfig, phone_secret};

use crate::Options;
use crate::cpu::{self, Core};
use crate::report::Report;
use crate::stats::Side;
use fleet::{Act, Fleet, Step};

/// The lab's number: no two benches may run at once.
const LAB_NUMBER: u8 = 62;
/// The fleet's address in the lab.
const HOST_FLEET: u8 = 30;
/// All phones that A knows.
const PHONES: u32 = 10_000;
const FIRST_NUMBER: u32 = 10_000;
/// Registered from the start, and refreshed again and again.
const REFRESHED: usize = 2_000;
/// Registrations in a second.
const PER_SECOND: u32 = 300;
/// How long loading, publishing or withdrawing may take.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
/// How long a server's work may go on after its caches have all.
const CALM: Duration = Duration::from_millis(300);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Measures all figures of the bench.
///
/// # Errors
///
/// If anything does not start, or a phone is refused.
pub(crate) fn run(options: &Options) -> Result<()> {
    let report = Report::new("register")?;
    let mut bench = Bench::start(options.client, options.servers)?;
    bench.fleet.take_all((0..REFRESHED).map(register))?;
    bench.wait_published(REFRESHED)?;
    let mut registered = REFRESHED;
    if options.wants("register_cpu_ratio") {
        cost::run(&mut bench, &report, options.pairs)?;
    }
    if options.wants("register_visible") {
        bench.set_side(Side::Ours)?;
        registered = visible::run(&mut bench, &report)?;
    }
    if options.wants("renewal_core_share") {
        bench.fleet.take_all((registered..PHONES as usize).map(register))?;
        renewal::run(&mut bench, &report, options.pairs)?;
    }
    let mut warnings = bench.lab.warnings()?;
    // Thousands of phones that register at once, before a figure begins, fill Asterisk's queues.
    warnings.retain(|warning| !warning.contains("taskprocessor.c: "));
    ensure!(warnings.is_empty(), "Asterisk complained: {}", warnings.join("\n"));
    println!("  runs: {}", report.folder().display());
    Ok(())
}

fn register(phone: usize) -> Step {
    Step { phone, act: Act::Register }
}

fn leave(phone: usize) -> Step {
    Step { phone, act: Act::Leave }
}

struct Bench {
    fleet: Fleet,
    /// A session with A that gets no events.
    manager: Ami,
    /// Whether A has the module loaded.
    side: Side,
    lab: Lab,
}

impl Bench {
    fn start(client: Core, servers: Core) -> Result<Self> {
        let lab = Lab::builder("bench-register")
            .number(LAB_NUMBER)
            .without_server("gateway")
            .server("A", |config| quiet(many_phones(config)))
            .server("B", quiet)
            .module(Lab::built_module()?)
            .documentation(crate::documentation())
            .start()?;
        cpu::pin_process(lab.a().pid()?, client)?;
        cpu::pin_process(lab.b().pid()?, servers)?;
        for cache in [1, 2] {
            cpu::pin_process(lab.cache(cache).pid()?, servers)?;
        }
        // This thread, and all that it starts from here on.
        cpu::pin_thread(0, servers)?;
        for server in [lab.a(), lab.b()] {
            tandem_lab::wait_until(
                "both cache servers are ready",
                SETTLED_WITHIN,
                &server.log(),
                || Ok(server.cli("universal show servers")?.matches("ready").count() >= 2),
            )?;
        }
        let from = Ipv4Addr::new(127, LAB_NUMBER, 0, HOST_FLEET);
        let fleet = Fleet::new(from, lab.a().address(), FIRST_NUMBER, PHONES)?;
        let manager = without_events(lab.a())?;
        Ok(Self { fleet, manager, side: Side::Ours, lab })
    }

    /// Loads the module into A, or unloads it, and waits until that has no consequences any more.
    fn set_side(&mut self, side: Side) -> Result<()> {
        if side != self.side {
            let load_type = if side == Side::Ours { "load" } else { "unload" };
            self.manager.action(&[
                ("Action", "ModuleLoad"),
                ("Module", "app_universal.so"),
                ("LoadType", load_type),
            ])?;
            self.side = side;
        }
        Ok(())
    }

    /// Waits until the caches have as many records as there are registrations (or none, without the module), and
    /// everybody is calm again.
    fn wait_published(&self, registered: usize) -> Result<()> {
        let wanted = if self.side == Side::Ours { registered } else { 0 };
        let end = Instant::now() + SETTLED_WITHIN;
        loop {
            let records = self.records()?;
            if records == wanted {
                break;
            }
            if Instant::now() > end {
                bail!("the caches have {records} records and not {wanted}");
            }
            std::thread::sleep(LOOK_EVERY);
        }
        std::thread::sleep(CALM);
        Ok(())
    }

    /// Records in both caches, without the epoch's.
    fn records(&self) -> Result<usize> {
        let mut records = 0;
        for cache in [1, 2] {
            let stats = self.lab.cache(cache).command("stats")?;
            let items = stats.iter().find_map(|line| line.strip_prefix("STAT curr_items "));
            let items: usize = items.unwrap_or_default().trim().parse()?;
            records += items.saturating_sub(1);
        }
        Ok(records)
    }
}

fn without_events(server: &Asterisk) -> Result<Ami> {
    let mut ami = server.ami()?;
    ami.action(&[("Action", "Events"), ("EventMask", "off")])?;
    Ok(ami)
}

fn many_phones(mut config: ServerConfig) -> ServerConfig {
    for number in FIRST_NUMBER..FIRST_NUMBER + PHONES {
        let number = number.to_string();
        config = config.pjsip_endpoint(&number, &phone_secret(&number));
    }
    config
}

/// Logs only what matters, and has the default lease. With one copy, the caches' items are the records.
fn quiet(config: ServerConfig) -> ServerConfig {
    config
        .append("asterisk.conf", "verbose = 0\n")
        .file(
            "logger.conf",
            "[general]\ndateformat = %F %T.%3q\n[logfiles]\nfull => notice,warning,error\n\
             trouble => warning,error\n",
        )
        .universal_conf(
            "[general]\nservers = @CACHE1@ @CACHE2@\ncopies = 1\n\
             [phones]\nprefix = PEER@NAME@_\nidentity = @@ADDRESS@/\n",
        )
}
