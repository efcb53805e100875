//! `./bench univar`: what one GetUniVar costs, beside the plainest client there is and beside what a user would
//! take instead.
//!
//! Every loop is a real dialplan on a real Asterisk, and each is measured less the same loop with `Set(X=const)`
//! in the line's place. Asterisk is on the client's core, all that answers it on the servers' core; so is the C
//! client it is compared with.

mod dialplan;
mod fastagi;
mod raw;
mod rivals;
mod syscalls;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tandem_lab::{Asterisk, Lab, MEMCACHED_PORT, ServerConfig};

use crate::Options;
use crate::child::Running;
use crate::cpu::{self, Core};
use crate::report::{Goal, Pairs, Report};
use crate::stats::Side;
use dialplan::{LINES, Loop, Runner, VALUE};
use fastagi::FastAgi;
use raw::RawClient;
use rivals::Scratch;
use syscalls::Trace;

/// The lab's number: ODBC's folder is named by it, and no two benches may run at once.
const LAB_NUMBER: u8 = 61;
/// The one Asterisk server.
const SERVER: &str = "bench";
/// The rivals' and the FastAGI server's addresses in the lab.
const HOST_POSTGRES: u8 = 41;
const HOST_NGINX: u8 = 42;
const HOST_FASTAGI: u8 = 43;
/// On the first cache server, and on the second: sections of `universal.conf` say so.
const KEY: &str = "ONE_KEY";
const SECOND_KEY: &str = "ONE_OTHER";
const FAR_KEY: &str = "TWO_KEY";
/// How long a cache server may take until its misses count.
const READY_WITHIN: Duration = Duration::from_secs(15);
/// Rounds of the loop that is traced.
const TRACED_ROUNDS: u32 = 10;

/// Where unixODBC looks for its files. It must be in the environment before Asterisk is started.
pub(crate) fn odbc_folder() -> String {
    format!("/lab/{LAB_NUMBER}/{SERVER}/etc")
}

/// Measures all figures of the bench.
///
/// # Errors
///
/// If anything does not start, or a loop does not read what it should.
pub(crate) fn run(options: &Options) -> Result<()> {
    let report = Report::new("univar")?;
    let bench = Bench::start(&report, options.client, options.servers)?;
    bench.syscalls(&report, options)?;
    let mut timing = Timing {
        runner: Runner::new(bench.server()?)?,
        set: bench.set.clone(),
        get: bench.get.clone(),
        report: &report,
        options,
    };
    bench.over_raw(&mut timing)?;
    timing.two_over_one(&bench.two)?;
    let (before, requests_before) = rivals::nginx_accepted(bench.nginx_address())?;
    for (rival, goal) in &bench.rivals {
        timing.faster_than(rival, *goal)?;
    }
    let (after, requests_after) = rivals::nginx_accepted(bench.nginx_address())?;
    println!(
        "  CURL() made {} connections for {} reads: one for each channel, kept for its next reads",
        after - before,
        requests_after - requests_before
    );
    let warnings = bench.lab.warnings()?;
    ensure!(warnings.is_empty(), "Asterisk complained: {}", warnings.join("\n"));
    println!("  runs: {}", report.folder().display());
    Ok(())
}

struct Bench {
    set: Loop,
    get: Loop,
    two: Loop,
    /// Loops to be traced, each with its figure and goal.
    traced: [(Loop, &'static str, f64); 3],
    /// Each with how many times faster GetUniVar is to be.
    rivals: [(Loop, f64); 3],
    client: Core,
    servers: Core,
    // Dropped from here on in this order: Asterisk before what it is connected to.
    lab: Lab,
    _fastagi: FastAgi,
    _programs: [Running; 2],
    _scratch: Scratch,
}

impl Bench {
    fn start(report: &Report, client: Core, servers: Core) -> Result<Self> {
        let number = LAB_NUMBER;
        let address = |host| std::net::Ipv4Addr::new(127, number, 0, host);
        let line = |name, line: &str, rounds| Loop { name, line: line.to_owned(), rounds };
        let set = line("set", &format!("Set(X={VALUE})"), 200);
        let get = line("get", &format!("GetUniVar(X={KEY})"), 60);
        let two = line("two", &format!("GetUniVar(X={KEY},Y={SECOND_KEY})"), 60);
        let traced = |name, original: &str| line(name, original, TRACED_ROUNDS);
        let traced = [
            (traced("traced", &get.line), "univar_syscalls_per_get", 2.0),
            (traced("traced2", &two.line), "univar_syscalls_per_get_two_variables", 2.0),
            (
                traced("far", &format!("GetUniVar(X={KEY},Y={FAR_KEY})")),
                "univar_syscalls_per_get_two_servers",
                4.0,
            ),
        ];
        let url = rivals::nginx_url(address(HOST_NGINX), KEY);
        let agi = format!("agi://{}/{KEY}", address(HOST_FASTAGI));
        let rivals = [
            (line("odbc", &format!("Set(X=${{ODBC_UNIVAR({KEY})}})"), 20), 3.0),
            (line("curl", &format!("Set(X=${{CURL({url})}})"), 15), 5.0),
            (line("fastagi", &format!("AGI({agi})"), 8), 5.0),
        ];
        let mut all = vec![set.clone(), get.clone(), two.clone()];
        all.extend(traced.iter().map(|(traced, ..)| traced.clone()));
        all.extend(rivals.iter().map(|(rival, _)| rival.clone()));

        let scratch = Scratch::new()?;
        // Us, and the consoles that we start.
        cpu::pin_thread(0, servers)?;
        let log = |name: &str| report.folder().join(name);
        let key = (KEY, VALUE);
        let postgres = rivals::start_postgres(
            &scratch,
            address(HOST_POSTGRES),
            servers,
            key,
            &log("postgres.log"),
        )?;
        let nginx =
            rivals::start_nginx(&scratch, address(HOST_NGINX), servers, key, &log("nginx.log"))?;
        let lab = Lab::builder("bench-univar")
            .number(number)
            .without_server("A")
            .without_server("B")
            .without_server("gateway")
            .server(SERVER, |config| configure(config, &all, address(HOST_POSTGRES)))
            .module(Lab::built_module()?)
            .documentation(crate::documentation())
            .start()?;
        for cache in [1, 2] {
            let cache = lab.cache(cache);
            for key in [KEY, SECOND_KEY, FAR_KEY] {
                cache.set(key, VALUE, 0)?;
            }
            cpu::pin_process(cache.pid()?, servers)?;
        }
        let server = lab.server(SERVER)?;
        cpu::pin_process(server.pid()?, client)?;
        wait_ready(server)?;
        let fastagi = FastAgi::start(address(HOST_FASTAGI), lab.cache(1).address(), servers)?;
        let _programs = [postgres, nginx];
        Ok(Self {
            set,
            get,
            two,
            traced,
            rivals,
            client,
            servers,
            lab,
            _fastagi: fastagi,
            _programs,
            _scratch: scratch,
        })
    }

    fn server(&self) -> Result<&Asterisk> {
        Ok(self.lab.server(SERVER)?)
    }

    fn nginx_address(&self) -> std::net::Ipv4Addr {
        self.lab.place().address(HOST_NGINX)
    }

    /// Counted, not timed.
    fn syscalls(&self, report: &Report, options: &Options) -> Result<()> {
        let mut runner = Runner::new(self.server()?)?;
        for (traced, name, goal) in self.traced.iter().filter(|(_, name, _)| options.wants(name)) {
            // Connections are opened by the first look-up of all, which does not count.
            runner.nanoseconds_a_line(traced)?;
            let trace = Trace::start(self.server()?.pid()?, self.servers, report.folder(), name)?;
            runner.nanoseconds_a_line(traced)?;
            // The first lines may open connections, if a server has none that is idle.
            let counted = trace.count(KEY, LINES as usize, MEMCACHED_PORT)?;
            let enough = ((TRACED_ROUNDS - 1) * LINES) as usize;
            ensure!(counted.commands >= enough, "strace saw only {}", counted.note());
            report.value(
                name,
                "calls",
                Goal::Exactly(*goal),
                counted.per_command(),
                &counted.note(),
            )?;
        }
        Ok(())
    }

    fn over_raw(&self, timing: &mut Timing<'_>) -> Result<()> {
        let cache = self.lab.cache(1);
        let folder = timing.report.folder();
        let mut raw = RawClient::start(folder, cache.address(), KEY, self.client)?;
        timing.over_raw("univar_get_over_raw", Goal::AtMost(1.15), &mut raw)?;
        cpu::pin_process(cache.pid()?, self.client)?;
        timing.over_raw("univar_get_over_raw_one_core", Goal::None, &mut raw)?;
        cpu::pin_process(cache.pid()?, self.servers)
    }
}

struct Timing<'a> {
    runner: Runner<'a>,
    set: Loop,
    get: Loop,
    report: &'a Report,
    options: &'a Options,
}

impl Timing<'_> {
    /// Nanoseconds of a line beyond those of a line that only sets a constant.
    fn cost(&mut self, what: &Loop) -> Result<f64> {
        let whole = self.runner.nanoseconds_a_line(what)?;
        let set = self.runner.nanoseconds_a_line(&self.set)?;
        Ok(whole - set)
    }

    fn over_raw(&mut self, name: &str, goal: Goal, raw: &mut RawClient) -> Result<()> {
        if !self.options.wants(name) {
            return Ok(());
        }
        let mut table = self.table(name)?;
        let get = self.get.clone();
        let count = get.rounds * LINES;
        let pairs = Pairs::run(self.options.pairs, &mut table, |side| match side {
            Side::Ours => Ok(self.cost(&get)? / 1000.0),
            Side::Theirs => Ok(raw.nanoseconds(count)? / 1000.0),
        })?;
        self.report.median(name, "ratio", goal, pairs.ours_over_theirs(), &pairs.note("us"))
    }

    fn two_over_one(&mut self, two: &Loop) -> Result<()> {
        let name = "univar_two_over_one";
        if !self.options.wants(name) {
            return Ok(());
        }
        let pairs = self.compare(name, two, &self.get.clone())?;
        let goal = Goal::AtMost(1.2);
        self.report.median(name, "ratio", goal, pairs.ours_over_theirs(), &pairs.note("us"))
    }

    fn faster_than(&mut self, rival: &Loop, times: f64) -> Result<()> {
        let name = format!("univar_faster_than_{}", rival.name);
        if !self.options.wants(&name) {
            return Ok(());
        }
        let pairs = self.compare(&name, &self.get.clone(), rival)?;
        let goal = Goal::AtLeast(times);
        self.report.median(&name, "times", goal, pairs.theirs_over_ours(), &pairs.note("us"))
    }

    fn compare(&mut self, name: &str, ours: &Loop, theirs: &Loop) -> Result<Pairs> {
        let mut table = self.table(name)?;
        Pairs::run(self.options.pairs, &mut table, |side| {
            let what = if side == Side::Ours { ours } else { theirs };
            Ok(self.cost(what)? / 1000.0)
        })
    }

    fn table(&self, name: &str) -> Result<crate::report::Table> {
        self.report.table(name, "pair,place,side,microseconds")
    }
}

/// A server that logs no dialplan lines, with all loops, both stores and each key's section. Its deadline is so
/// long that a look-up under strace, or one that lost its time slice to a neighbour, is not broken off.
fn configure(config: ServerConfig, loops: &[Loop], postgres: std::net::Ipv4Addr) -> ServerConfig {
    let config = config
        .extensions(&dialplan::extensions(loops))
        .append("asterisk.conf", "verbose = 0\n")
        .file(
            "logger.conf",
            "[general]\ndateformat = %F %T.%3q\n[logfiles]\nfull => notice,warning,error\n\
             trouble => warning,error\n",
        )
        .universal_conf(
            "[general]\nservers = @CACHE1@ @CACHE2@\ndeadline = 1000\n\
             [one]\nservers = @CACHE1@\nprefixes = ONE_\n[two]\nservers = @CACHE2@\nprefixes = TWO_\n",
        )
        .without_manager()
        .load("res_curl")
        .load("func_curl")
        .load("res_speech")
        .load("res_agi");
    let driver = format!("/usr/lib/{}-linux-gnu/odbc/psqlodbca.so", std::env::consts::ARCH);
    rivals::with_odbc(config, &driver, postgres)
}

fn wait_ready(server: &Asterisk) -> Result<()> {
    let what = "both cache servers are ready";
    tandem_lab::wait_until(what, READY_WITHIN, &server.log(), || {
        Ok(server.cli("universal show servers")?.matches("ready").count() >= 2)
    })
    .context("universal show servers")
}
