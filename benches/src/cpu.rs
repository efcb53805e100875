//! Which core runs what, and how much processor time a process has used.
//!
//! Every process and thread that takes part in a figure is on a core that the bench chose: the client's core for
//! what asks, the servers' core for what answers. A thread inherits its core from the thread that started it, so
//! a process is pinned once, by [`pin_process`], before it is measured.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::mem;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// A new thread may appear between listing a process's threads and pinning the one that starts it.
const PIN_ROUNDS: usize = 20;

/// A core by its number.
pub(crate) type Core = usize;

/// The core that clients run on, and the one that servers run on.
///
/// # Errors
///
/// If this process may use only one: no figure across cores can be measured then.
pub(crate) fn client_and_server() -> Result<(Core, Core)> {
    let cores = allowed()?;
    match cores[..] {
        [client, server, ..] => Ok((client, server)),
        _ => bail!("two cores are needed, and this process may use {}", cores.len()),
    }
}

fn allowed() -> Result<Vec<Core>> {
    let status = fs::read_to_string("/proc/self/status").context("read /proc/self/status")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.and_then(|list| parse_list(list.trim()))
        .context("no Cpus_allowed_list in /proc/self/status")
}

/// `0-2,5` as the kernel writes it.
fn parse_list(list: &str) -> Option<Vec<Core>> {
    let mut cores = Vec::new();
    for part in list.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        cores.extend(from.parse::<Core>().ok()?..=to.parse().ok()?);
    }
    Some(cores)
}

/// Puts every thread of a process on one core.
///
/// # Errors
///
/// If the process is gone, or keeps starting threads.
pub(crate) fn pin_process(pid: u32, core: Core) -> Result<()> {
    let mut pinned = BTreeSet::new();
    for _ in 0..PIN_ROUNDS {
        let threads = threads(pid)?;
        if threads.is_subset(&pinned) {
            return Ok(());
        }
        for &thread in threads.difference(&pinned) {
            match pin_thread(thread, core) {
                // It has ended since.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                other => other.with_context(|| format!("pin thread {thread} of {pid}"))?,
            }
        }
        pinned.extend(threads);
    }
    bail!("process {pid} keeps starting threads")
}

fn threads(pid: u32) -> Result<BTreeSet<u32>> {
    let folder = format!("/proc/{pid}/task");
    let mut threads = BTreeSet::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("read {folder}"))? {
        let name = entry?.file_name();
        threads.extend(name.to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(threads)
}

/// Puts one thread, or the calling one if `thread` is 0, on one core. Makes no allocation, so that it may be
/// called between fork and exec.
pub(crate) fn pin_thread(thread: u32, core: Core) -> io::Result<()> {
    // SAFETY: cpu_set_t is plain data for which all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: `core` is below CPU_SETSIZE, for the kernel named it; the set is ours.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: sched_setaffinity(2) reads as many bytes of the set as it is told.
    let status = unsafe {
        libc::sched_setaffinity(thread.cast_signed(), mem::size_of_val(&set), &raw const set)
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Starts a thread of ours that is on one core from its first step.
pub(crate) fn spawn<T: Send + 'static>(
    core: Core,
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<io::Result<T>> {
    thread::spawn(move || {
        pin_thread(0, core)?;
        Ok(work())
    })
}

/// The processor time of a process, user and system, its ended threads too: utime + stime of proc(5), but in
/// nanoseconds and not in clock ticks.
///
/// # Errors
///
/// If the process is gone.
pub(crate) fn time_used(pid: u32) -> Result<Duration> {
    let mut clock: libc::clockid_t = 0;
    // SAFETY: clock_getcpuclockid(3) writes to `clock`, which is live.
    let error = unsafe { libc::clock_getcpuclockid(pid.cast_signed(), &raw mut clock) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error))
            .with_context(|| format!("find process {pid}"));
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime(2) writes to `time`, which is live.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Err(io::Error::last_os_error()).with_context(|| format!("read the clock of {pid}"));
    }
    Ok(Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0)))
}

/// What a core has done since the machine started.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CoreTime {
    busy: f64,
    all: f64,
}

impl CoreTime {
    /// As `/proc/stat` has it.
    ///
    /// # Errors
    ///
    /// If it has no such core.
    pub(crate) fn of(core: Core) -> Result<Self> {
        let stat = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
        let name = format!("cpu{core} ");
        let line = stat.lines().find_map(|line| line.strip_prefix(&name));
        line.and_then(Self::parse).with_context(|| format!("no core {core} in /proc/stat"))
    }

    /// `user nice system idle iowait irq softirq steal guest guest_nice`, guests' time being in the first two.
    fn parse(line: &str) -> Option<Self> {
        let times: Option<Vec<f64>> =
            line.split_whitespace().take(8).map(|time| time.parse().ok()).collect();
        let times = times.filter(|times| times.len() == 8)?;
        let all: f64 = times.iter().sum();
        Some(Self { busy: all - times[3] - times[4], all })
    }

    /// The share of time since `before` in which somebody used it.
    pub(crate) fn busy_since(self, before: Self) -> f64 {
        (self.busy - before.busy) / (self.all - before.all).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_list_of_cores_has_numbers_and_ranges() {
        assert_eq!(parse_list("0-2,5"), Some(vec![0, 1, 2, 5]));
        assert_eq!(parse_list("7"), Some(vec![7]));
        assert_eq!(parse_list("x"), None);
    }

    #[test]
    fn a_core_is_busy_while_it_is_neither_idle_nor_waits() {
        let before = CoreTime::parse("10 0 10 100 0 0 0 0 0 0").unwrap();
        let after = CoreTime::parse("30 0 20 160 10 0 0 0 5 0").unwrap();
        assert_eq!(after.busy_since(before), 0.3);
        assert_eq!(CoreTime::parse("10 0 10"), None);
    }

    #[test]
    fn a_pinned_process_is_on_its_core_with_all_its_threads() {
        let core = allowed().unwrap()[0];
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        pin_process(child.id(), core).unwrap();
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(status.contains(&format!("Cpus_allowed_list:\t{core}\n")), "{status}");
    }

    #[test]
    fn time_used_grows_with_work_and_not_with_sleep() {
        let before = time_used(std::process::id()).unwrap();
        let mut sum = 0_u64;
        while time_used(std::process::id()).unwrap() < before + Duration::from_millis(5) {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(sum > 0);
    }
}
