//! `./bench univar`: what one GetUniVar costs, beside the plainest client there is and beside what a user would
//! take instead.
//!
//! Every loop is a real dialplan on a real Asterisk, and each is measured less the same loop with `Set(X=const)`
//! in the line's place. Asterisk is on the client's core, all that answers it on the servers' core; so is the C
//! client it is compared with.

mod fastagi;
mod raw;
mod rivals;
mod syscalls;

use anyhow::{Result, ensure};
use tandem_lab::{Asterisk, Lab, MEMCACHED_PORT, ServerConfig};

use crate::Options;
use crate::child::Running;
use crate::cpu::{self, Core};
use crate::dialplan::{self, LINES, Loop, Runner, VALUE};
use crate::report::{Goal, Pairs, Report};
use crate::stats::Side;
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
/// On the first cache server, on the second, and on both: sections of `universal.conf` say so.
const KEY: &str = "ONE_KEY";
const SECOND_KEY: &str = "ONE_OTHER";
const FAR_KEY: &str = "TWO_KEY";
const BOTH_KEY: &str = "BOTH_KEY";
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

/// A loop whose system calls are counted.
struct Traced {
    what: Loop,
    /// What its line asks for first.
    key: &'static str,
    figure: &'static str,
    goal: f64,
}

struct Bench {
    set: Loop,
    get: Loop,
    two: Loop,
    traced: [Traced; 4],
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
        let set = Loop::set();
        let get = Loop::new("get", &format!("GetUniVar(X={KEY})"), 60);
        let two = Loop::new("two", &format!("GetUniVar(X={KEY},Y={SECOND_KEY})"), 60);
        let far = format!("GetUniVar(X={KEY},Y={FAR_KEY})");
        let both = format!("GetUniVar(X={BOTH_KEY})");
        let traced = |name, line: &str, key, figure, goal| {
            let what = Loop::new(name, line, TRACED_ROUNDS);
            Traced { what, key, figure, goal }
        };
        let traced = [
            traced("traced", &get.line, KEY, "univar_syscalls_per_get", 2.0),
            traced("traced2", &two.line, KEY, "univar_syscalls_per_get_two_variables", 2.0),
            traced("far", &far, KEY, "univar_syscalls_per_get_two_servers", 4.0),
            traced("both", &both, BOTH_KEY, "univar_syscalls_per_get_two_copies", 4.0),
        ];
        let url = rivals::nginx_url(address(HOST_NGINX), KEY);
        let agi = format!("agi://{}/{KEY}", address(HOST_FASTAGI));
        let rivals = [
            (Loop::new("odbc", &format!("Set(X=${{ODBC_UNIVAR({KEY})}})"), 20), 3.0),
            (Loop::new("curl", &format!("Set(X=${{CURL({url})}})"), 15), 5.0),
            (Loop::new("fastagi", &format!("AGI({agi})"), 8), 5.0),
        ];
        let mut all = vec![set.clone(), get.clone(), two.clone()];
        all.extend(traced.iter().map(|traced| traced.what.clone()));
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
            for key in [KEY, SECOND_KEY, FAR_KEY, BOTH_KEY] {
                cache.set(key, VALUE, 0)?;
            }
            cpu::pin_process(cache.pid()?, servers)?;
        }
        let server = lab.server(SERVER)?;
        cpu::pin_process(server.pid()?, client)?;
        dialplan::wait_ready(server)?;
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
        let wanted = self.traced.iter().filter(|traced| options.wants(traced.figure));
        for Traced { what, key, figure, goal } in wanted {
            // Connections are opened by the first look-up of all, which does not count; nor does
            // that two copies are given their envelopes.
            runner.nanoseconds_a_line(what)?;
            let pid = self.server()?.pid()?;
            let trace = Trace::start(pid, self.servers, report.folder(), figure)?;
            runner.nanoseconds_a_line(what)?;
            // The first lines may open connections, if a server has none that is idle.
            let counted = trace.count(key, LINES as usize, MEMCACHED_PORT)?;
            let enough = ((TRACED_ROUNDS - 1) * LINES) as usize;
            ensure!(counted.commands >= enough, "strace saw only {}", counted.note());
            let goal = Goal::Exactly(*goal);
            report.value(figure, "calls", goal, counted.per_command(), &counted.note())?;
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
    fn cost(&mut self, what: &Loop) -> Result<f64> {
        self.runner.cost(what, &self.set)
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

/// A server with all loops, both stores and each key's section. One copy of each variable, but where two are
/// what is measured. Its deadline is so long that a look-up under strace, or one that lost its time slice to a
/// neighbour, is not broken off; with two copies it is twice as long, for half of it is what a connection waits, and
/// connections that wait alike are used by all sections as they are.
fn configure(config: ServerConfig, loops: &[Loop], postgres: std::net::Ipv4Addr) -> ServerConfig {
    let config = dialplan::server(config, loops)
        .universal_conf(
            "[general]\nservers = @CACHE1@ @CACHE2@\ncopies = 1\ndeadline = 1000\n\
             [one]\nservers = @CACHE1@\nprefixes = ONE_\n\
             [two]\nservers = @CACHE2@\nprefixes = TWO_\n\
             [both]\ncopies = 2\ndeadline = 2000\nprefixes = BOTH_\n",
        )
        .load("res_curl")
        .load("func_curl")
        .load("res_speech")
        .load("res_agi");
    let driver = format!("/usr/lib/{}-linux-gnu/odbc/psqlodbca.so", std::env::consts::ARCH);
    rivals::with_odbc(config, &driver, postgres)
}
