//! The two things that are asked of the operating system and that the standard library does not
//! know: how many files may be open, and how much processor time was used.

use std::io;
use std::mem;
use std::time::Duration;

/// What a process has used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessorTime {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

/// What this process has used so far, if the system tells.
pub(crate) fn processor_time() -> Option<ProcessorTime> {
    // SAFETY: rusage is plain numbers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    // SAFETY: getrusage(2) writes one rusage to where it is told, and that is ours.
    if unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) } != 0 {
        return None;
    }
    let time = |time: libc::timeval| {
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Duration::from_secs(seconds)
            + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
    };
    Some(ProcessorTime { user: time(usage.ru_utime), system: time(usage.ru_stime) })
}

/// Lets this process have `wanted` files open, if it may raise its limit so far. Gives the limit
/// that holds then.
///
/// # Errors
///
/// What the system says.
pub(crate) fn allow_open_files(wanted: u64) -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit(2) writes one rlimit to where it is told, and that is ours.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur >= wanted {
        return Ok(limit.rlim_cur);
    }
    limit.rlim_cur = wanted.min(limit.rlim_max);
    // SAFETY: setrlimit(2) reads one rlimit from where it is told, and that is ours.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
}
