//! The groups of scenarios, each in a lab of its own: what befalls caches, what befalls the lines to them, a loss of
//! everything, and a network that falls apart.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use tandem_lab::{Cache, CacheOptions, Lab, LabBuilder, Line};

use crate::check::{Report, check};
use crate::client::{Client, DIALPLAN};
use crate::history::{Down, Fault, Header, History, Publisher, Record, Recorder, VERSION};
use crate::noise::Befallen;
use crate::pace::{Pace, Stop};
use crate::rig::{Course, FIRST_PHONE, PHONES, PHONES_APART, Rig, folder, wait};
use crate::workload::{Workload, filler};

/// The lease that the lab's configuration has.
const LEASE_S: u64 = 6;
/// The memory of a cache that is to be full, in MiB.
const SMALL_MIB: u32 = 2;
/// Writes until it has to be full, and evicting.
const FILLERS_MAX: u64 = 60_000;
/// Each server writes one so often: quickly, and without keeping the machine from all else.
const FILLER_EVERY: Duration = Duration::from_millis(2);
/// Evictions that count as such.
const EVICTIONS: u64 = 200;
/// How long a server may take to tell its operator of evictions.
const TOLD_WITHIN: Duration = Duration::from_secs(15);
/// After a partition, how long all have to become the same.
const CONVERGED_AFTER: Duration = Duration::from_millis(10_100);
/// From the begin of load until most phones have been registered for a while.
const PHONES_WITHIN: Duration = Duration::from_secs(6);
/// Where Debian's libfaketime has the library for programs with threads, below a folder of libraries.
const FAKETIME: &str = "faketime/libfaketimeMT.so.1";

/// What is to be run, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// A minute instead of all.
    pub short: bool,
    /// Copies of each name.
    pub copies: u8,
    /// What random choices are made from.
    pub seed: u64,
    /// Operations in a second.
    pub rate: u64,
    /// The deadline of all operations, in milliseconds.
    pub deadline_ms: u64,
    /// The module; the one built beside this program if none is given.
    pub module: Option<PathBuf>,
    /// The rule of the module that is switched off.
    pub switched_off: Option<String>,
    /// Scenarios with one of these names, or where there is none of that name, whose names contain it; all if this
    /// is empty.
    pub only: Vec<String>,
}

impl Default for Plan {
    /// All of it, with the module that cargo has built.
    fn default() -> Self {
        Self {
            short: false,
            copies: 2,
            seed: 1,
            rate: 700,
            deadline_ms: 300,
            module: None,
            switched_off: None,
            only: Vec::new(),
        }
    }
}

impl Plan {
    fn seconds(&self, full: u64, short: u64) -> Duration {
        Duration::from_secs(if self.short { short } else { full })
    }

    /// Those of `names` that are to be run.
    fn wanted(&self, names: &[&'static str]) -> Vec<&'static str> {
        let all = || GROUPS.iter().flat_map(|group| group.scenarios);
        let wanted = |name: &&&str| {
            self.only.is_empty()
                || self.only.iter().any(|part| match all().any(|whole| whole == part) {
                    true => *name == part,
                    false => name.contains(part.as_str()),
                })
        };
        names.iter().filter(wanted).copied().collect()
    }
}

/// A group: its name, its scenarios, and what runs one of them.
struct Group {
    name: &'static str,
    scenarios: &'static [&'static str],
    /// Those of the short form.
    short: &'static [&'static str],
    lab: fn(LabBuilder) -> LabBuilder,
    caches: u8,
    /// All kinds of names; else those that are only read, written and deleted.
    whole: bool,
    /// At the end it has to become the same everywhere.
    converges: bool,
    run: fn(&Rig<'_>, &Plan, &str) -> Result<()>,
}

const GROUPS: &[Group] = &[
    Group {
        name: "caches",
        scenarios: &[
            "no fault",
            "killed",
            "stopped",
            "emptied",
            "old content",
            "killed again",
            "stopped again",
            "clock ahead",
            "clock behind",
            "evicting",
        ],
        short: &["killed", "stopped", "clock ahead"],
        lab: |lab| lab.cache_options(restartable()),
        caches: 2,
        whole: true,
        converges: false,
        run: befall_caches,
    },
    Group {
        name: "lines",
        scenarios: &["slow, 100 ms", "slow, 2 s", "half replies", "garbage", "refused"],
        short: &["garbage"],
        lab: LabBuilder::through_proxies,
        caches: 3,
        whole: true,
        converges: false,
        run: befall_lines,
    },
    Group {
        name: "everything",
        scenarios: &["all emptied"],
        short: &[],
        lab: |lab| lab,
        caches: 2,
        whole: false,
        converges: false,
        run: lose_everything,
    },
    Group {
        name: "partition",
        scenarios: &["partition"],
        short: &[],
        lab: LabBuilder::in_namespaces,
        caches: 2,
        whole: false,
        converges: true,
        run: befall_network,
    },
];

fn restartable() -> CacheOptions {
    CacheOptions { restartable: true, ..CacheOptions::default() }
}

/// Runs all groups that have something to run, and gives what the checks found.
///
/// # Errors
///
/// If a lab does not start, a fault could not be made, or healing does not end.
pub fn run(plan: &Plan, say: &(dyn Fn(&str) + Sync)) -> Result<Vec<Report>> {
    let mut reports = Vec::new();
    for group in GROUPS {
        let scenarios = plan.wanted(if plan.short && plan.only.is_empty() {
            group.short
        } else {
            group.scenarios
        });
        if !scenarios.is_empty() {
            let report = run_group(group, &scenarios, plan, say);
            reports.push(report.with_context(|| format!("the group '{}'", group.name))?);
        }
    }
    Ok(reports)
}

fn run_group(
    group: &Group,
    scenarios: &[&'static str],
    plan: &Plan,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Report> {
    let lab = start_lab(group, plan)?;
    let header = header(group, scenarios, plan, &lab);
    fs::create_dir_all(folder())?;
    let suffix =
        plan.switched_off.as_deref().map_or(String::new(), |rule| format!("-without-{rule}"));
    let path = folder().join(format!("{}{suffix}.jsonl", group.name));
    let mut records = Vec::new();
    for publisher in &header.publishers {
        let first = FIRST_PHONE + if publisher.server == "A" { 0 } else { PHONES_APART };
        records.extend((first..first + PHONES).map(|n| format!("{}{n}", publisher.prefix)));
    }
    // Nobody ever registers as this.
    records.push("PEERA_7999".to_owned());
    let functions = lab.a().cli("core show function UNIVAR_INC")?.contains("-= Info about");
    let recorder = Recorder::create(&path, header)?;
    let functions = functions && group.whole;
    let workload = Workload { records, whole: group.whole, functions };
    let rig = Rig {
        lab: &lab,
        recorder: &recorder,
        workload: &workload,
        seed: plan.seed,
        rate: plan.rate,
        befallen: Befallen::default(),
        say,
    };
    rig.wait_ready()?;
    rig.write_first();
    under_load(&rig, || {
        scenarios.iter().try_for_each(|scenario| (group.run)(&rig, plan, scenario))
    })?;
    if group.converges {
        wait(CONVERGED_AFTER);
    }
    rig.read_all();
    recorder.finish()?;
    drop(lab);
    let report = check(&History::read(&path)?);
    Ok(report)
}

/// Does something while names are read and written and phones register.
fn under_load(rig: &Rig<'_>, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let (stop, failed) = (Stop::default(), Mutex::new(Vec::new()));
    let worked = thread::scope(|scope| {
        let worked = rig.load(scope, &stop, &failed).and_then(|()| work());
        stop.stop();
        worked
    });
    worked?;
    let failed = failed.into_inner().unwrap_or_default();
    ensure!(failed.is_empty(), "{}", failed.join("; "));
    Ok(())
}

fn start_lab(group: &Group, plan: &Plan) -> Result<Lab> {
    let mut lab = (group.lab)(Lab::builder(&format!("cluster-{}", group.name)));
    lab = lab.caches(group.caches).module(match &plan.module {
        Some(module) => module.clone(),
        None => Lab::built_module()?,
    });
    lab = lab.documentation(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../modules/app_universal/app_universal-en_US.xml"),
    );
    for name in ["A", "B", "gateway"] {
        lab = lab.server(name, |server| {
            let options = format!("deadline = {}\ncopies = {}", plan.deadline_ms, plan.copies);
            let mut server = server
                .replace("universal.conf", "deadline = 1000", &options)
                .append("extensions.conf", DIALPLAN)
                // AMI's Getvar may then call functions that change something.
                .replace("asterisk.conf", "live_dangerously = no", "live_dangerously = yes");
            if group.caches == 3 {
                server = server.replace("universal.conf", "@CACHE2@", "@CACHE2@ @CACHE3@");
            }
            if let Some(rule) = &plan.switched_off {
                server = server.environment("TANDEM_SWITCH_OFF", rule);
            }
            match name {
                "A" => server.pjsip_many(FIRST_PHONE, PHONES),
                "B" => server.pjsip_many(FIRST_PHONE + PHONES_APART, PHONES),
                _ => server,
            }
        });
    }
    Ok(lab.start()?)
}

fn header(group: &Group, scenarios: &[&str], plan: &Plan, lab: &Lab) -> Header {
    let publisher = |name: &str, address: std::net::Ipv4Addr| Publisher {
        server: name.to_owned(),
        prefix: format!("PEER{name}_"),
        identity: format!("@{address}/"),
    };
    Header {
        version: VERSION,
        group: group.name.to_owned(),
        began_unix_ms: since_1970().as_millis().try_into().unwrap_or(u64::MAX),
        seed: plan.seed,
        copies: plan.copies,
        deadline_ms: plan.deadline_ms,
        lease_s: LEASE_S,
        switched_off: plan.switched_off.clone(),
        servers: lab.servers().iter().map(|server| server.name().to_owned()).collect(),
        publishers: vec![publisher("A", lab.a().address()), publisher("B", lab.b().address())],
        plan: scenarios
            .iter()
            .flat_map(|&name| recorded(name))
            .map(|name| name.to_owned())
            .collect(),
    }
}

/// The names that a scenario has in a history: before old content can come back it has to be saved, and before
/// memory is short it has to be made so.
fn recorded(scenario: &str) -> Vec<&str> {
    match scenario {
        "old content" => vec![SAVED, scenario],
        "evicting" => vec![SMALL, scenario],
        _ => vec![scenario],
    }
}

/// A cache server is stopped with its content and goes on at once.
const SAVED: &str = "restarted with content";
/// A cache server is started again with little memory.
const SMALL: &str = "emptied, and small";

fn befall_caches(rig: &Rig<'_>, plan: &Plan, name: &str) -> Result<()> {
    let (one, two) = (rig.lab.cache(1), rig.lab.cache(2));
    match name {
        "no fault" => {
            course(rig, name, Fault::None, one, plan.seconds(10, 2), || Ok(()), || Ok(()))
        }
        "killed" => killed(rig, plan, name, one),
        "killed again" => killed(rig, plan, name, two),
        "stopped" => stopped(rig, plan, name, two),
        "stopped again" => stopped(rig, plan, name, one),
        "emptied" => {
            let empty = || Ok(one.restart_empty()?);
            course(rig, name, Fault::Emptied, one, Duration::ZERO, empty, || Ok(()))
        }
        "old content" => old_content(rig, plan, name, two),
        "evicting" => evicting(rig, plan, name, one),
        "clock ahead" => clock(rig, plan, name, "+3600"),
        "clock behind" => clock(rig, plan, name, "-3600"),
        _ => bail!("no such scenario"),
    }
}

/// A fault of a cache, or of the line to it.
fn course(
    rig: &Rig<'_>,
    name: &str,
    fault: Fault,
    cache: &Cache,
    hold: Duration,
    mut begin: impl FnMut() -> Result<()>,
    mut end: impl FnMut() -> Result<()>,
) -> Result<()> {
    let (begin, end) = (&mut begin, &mut end);
    rig.course(Course { name, fault, on: cache.name(), hold, begin, end })?;
    Ok(())
}

fn killed(rig: &Rig<'_>, plan: &Plan, name: &str, cache: &Cache) -> Result<()> {
    let kill = || {
        cache.kill();
        Ok(())
    };
    course(rig, name, Fault::Killed, cache, plan.seconds(10, 3), kill, || Ok(cache.start()?))
}

fn stopped(rig: &Rig<'_>, plan: &Plan, name: &str, cache: &Cache) -> Result<()> {
    let (freeze, thaw) = (|| Ok(cache.freeze()?), || Ok(cache.thaw()?));
    course(rig, name, Fault::Stopped, cache, plan.seconds(30, 5), freeze, thaw)
}

/// It is stopped in an orderly way and goes on with what it held; later it crashes, and is started with what it
/// held at that first time, as a virtual machine that is set back to a snapshot.
fn old_content(rig: &Rig<'_>, plan: &Plan, name: &str, cache: &Cache) -> Result<()> {
    let save = || {
        cache.stop_saving()?;
        cache.keep_saved()?;
        Ok(())
    };
    let go_on = || {
        cache.start()?;
        ensure!(cache.stat("curr_items")? > 0, "it came back empty");
        Ok(())
    };
    course(rig, SAVED, Fault::OldContent, cache, Duration::ZERO, save, go_on)?;
    wait(plan.seconds(10, 3));
    let crash = || {
        cache.kill();
        Ok(())
    };
    let set_back = || {
        cache.restore_kept()?;
        cache.start()?;
        ensure!(cache.stat("curr_items")? > 0, "it came back empty");
        Ok(())
    };
    course(rig, name, Fault::OldContent, cache, plan.seconds(5, 2), crash, set_back)
}

/// It is given little memory, and then more is written than fits.
fn evicting(rig: &Rig<'_>, plan: &Plan, name: &str, cache: &Cache) -> Result<()> {
    let small = || {
        cache.set_options(CacheOptions { memory_mib: SMALL_MIB, evicts: true, restartable: false });
        Ok(cache.restart_empty()?)
    };
    course(rig, SMALL, Fault::Emptied, cache, Duration::ZERO, small, || Ok(()))?;

    let marks: Vec<usize> =
        rig.lab.servers().iter().map(|server| server.log_mark()).collect::<Result<_, _>>()?;
    let mut told = || {
        let give_up = Instant::now() + TOLD_WITHIN;
        loop {
            let mut all = true;
            for (server, &mark) in rig.lab.servers().iter().zip(&marks) {
                all &= server.log_since(mark)?.to_lowercase().contains("evict");
            }
            if all || Instant::now() > give_up {
                return Ok(all);
            }
            wait(Duration::from_millis(200));
        }
    };
    let mut fill = || fill(rig, cache);
    let mut end = || {
        cache.set_options(restartable());
        Ok(cache.restart_empty()?)
    };
    let (begin, end, hold) = (&mut fill, &mut end, plan.seconds(10, 2));
    let course = Course { name, fault: Fault::Evicting, on: cache.name(), hold, begin, end };
    rig.course_told(course, Some(&mut told))?;
    Ok(())
}

fn fill(rig: &Rig<'_>, cache: &Cache) -> Result<()> {
    let (done, servers) = (Stop::default(), rig.lab.servers());
    let step = servers.len();
    thread::scope(|scope| {
        for (from, server) in servers.iter().enumerate() {
            let (recorder, done) = (rig.recorder, &done);
            scope.spawn(move || {
                let mut client = Client::new(server, recorder, false);
                let mut pace = Pace::new(FILLER_EVERY);
                for number in (from as u64..FILLERS_MAX).step_by(step) {
                    if !done.goes_on_at(pace.next()) {
                        return;
                    }
                    client.perform(&filler(number));
                }
            });
        }
        let give_up = Instant::now() + Duration::from_secs(120);
        let full = loop {
            let evictions = cache.stat("evictions");
            match evictions {
                Ok(evictions) if evictions >= EVICTIONS => break Ok(()),
                Err(error) => break Err(error.into()),
                Ok(_) if Instant::now() > give_up => {
                    break Err(anyhow::anyhow!("it does not evict"));
                }
                Ok(_) => wait(Duration::from_millis(50)),
            }
        };
        done.stop();
        full
    })
}

/// The gateway is started with a clock that is off by so many seconds, and later with the right one.
fn clock(rig: &Rig<'_>, plan: &Plan, name: &str, offset: &str) -> Result<()> {
    let gateway = rig.lab.gateway();
    let restart = |offset: Option<&str>| -> Result<()> {
        let begin = rig.recorder.now();
        // Not an orderly stop: this is about the clock.
        gateway.kill();
        match offset {
            Some(offset) => {
                gateway.preload(&faketime_library()?)?;
                gateway.set_environment("FAKETIME", Some(offset));
                gateway.set_environment("FAKETIME_DONT_FAKE_MONOTONIC", Some("1"));
            }
            None => {
                for name in ["LD_PRELOAD", "FAKETIME", "FAKETIME_DONT_FAKE_MONOTONIC"] {
                    gateway.set_environment(name, None);
                }
            }
        }
        gateway.start()?;
        let off = clock_of(gateway)? - now_seconds();
        let wanted: i64 = offset.unwrap_or("0").parse()?;
        ensure!((off - wanted).abs() < 60, "its clock is off by {off} s");
        let end = rig.recorder.now();
        rig.recorder.write(&Record::Down(Down { s: gateway.name().to_owned(), b: begin, e: end }));
        Ok(())
    };
    let (mut begin, mut end) = (|| restart(Some(offset)), || restart(None));
    let (begin, end, hold) = (&mut begin, &mut end, plan.seconds(10, 4));
    rig.course(Course { name, fault: Fault::Clock, on: "gateway", hold, begin, end })?;
    Ok(())
}

/// Seconds since 1970 by a server's clock.
fn clock_of(server: &tandem_lab::Asterisk) -> Result<i64> {
    let mut ami = server.ami()?;
    let answer = ami.action(&[("Action", "Getvar"), ("Variable", "STRFTIME(,,%s)")])?;
    Ok(answer.value("Value").parse()?)
}

fn since_1970() -> Duration {
    // A clock before 1970 is as wrong as any.
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

fn now_seconds() -> i64 {
    i64::try_from(since_1970().as_secs()).unwrap_or(i64::MAX)
}

fn faketime_library() -> Result<PathBuf> {
    for entry in fs::read_dir("/usr/lib")? {
        let path = entry?.path().join(FAKETIME);
        if path.exists() {
            return Ok(path);
        }
    }
    bail!("there is no {}: lab/setup test", Path::new(FAKETIME).display());
}

fn befall_lines(rig: &Rig<'_>, plan: &Plan, name: &str) -> Result<()> {
    let (line, number, fault) = match name {
        "slow, 100 ms" => (Line::Slow(Duration::from_millis(100)), 1, Fault::Slow),
        "slow, 2 s" => (Line::Slow(Duration::from_secs(2)), 2, Fault::Slow),
        "half replies" => (Line::HalfReply, 3, Fault::HalfReply),
        "garbage" => (Line::Garbage, 1, Fault::Garbage),
        "refused" => (Line::Refused, 2, Fault::Refused),
        _ => bail!("no such scenario"),
    };
    let proxy = rig.lab.proxy(number);
    let set = |line| {
        proxy.set(line);
        Ok(())
    };
    let (begin, end) = (|| set(line), || set(Line::Good));
    course(rig, name, fault, rig.lab.cache(number), plan.seconds(10, 4), begin, end)
}

/// Both caches lose everything at once: two faults, of which only the registrations are promised to come back.
fn lose_everything(rig: &Rig<'_>, _plan: &Plan, name: &str) -> Result<()> {
    wait(PHONES_WITHIN);
    let mut begin = || Ok(rig.lab.caches().iter().try_for_each(Cache::restart_empty)?);
    let mut end = || Ok(());
    let (begin, end, hold) = (&mut begin, &mut end, Duration::ZERO);
    rig.course(Course { name, fault: Fault::AllEmptied, on: "caches", hold, begin, end })?;
    Ok(())
}

/// A reaches cache 1 alone and B cache 2 alone; the gateway reaches both.
fn befall_network(rig: &Rig<'_>, plan: &Plan, name: &str) -> Result<()> {
    let lab = rig.lab;
    let (a, b) = (lab.a().address(), lab.b().address());
    let address = |number| match lab.cache(number).address().ip() {
        std::net::IpAddr::V4(address) => address,
        std::net::IpAddr::V6(_) => a,
    };
    let parted = [(a, address(2)), (b, address(1)), (a, b)];
    let mut begin = || Ok(parted.iter().try_for_each(|&(one, other)| lab.cut(one, other))?);
    let mut end = || Ok(parted.iter().try_for_each(|&(one, other)| lab.join(one, other))?);
    let (begin, end, hold) = (&mut begin, &mut end, plan.seconds(20, 6));
    rig.course(Course { name, fault: Fault::Partition, on: "network", hold, begin, end })?;
    Ok(())
}
