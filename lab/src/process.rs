//! A child process that cannot outlive us.
//!
//! Each child is in a process group of its own, so that Ctrl-C reaches only us and we end the rest in order. The
//! kernel kills it when we die ([`libc::PR_SET_PDEATHSIG`]), [`Process`] kills it on drop, and its id is written
//! down so that the next lab of the same number can end what was left all the same ([`end_left_over`]).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use crate::error::{At as _, LabError, Result};
use crate::wait::wait_until;

/// How long a process that was killed may take to be gone.
const KILL_WITHIN: Duration = Duration::from_secs(5);

/// A running program.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Set once it has been waited for; its number may belong to another then.
    status: Option<ExitStatus>,
    program: String,
    log: PathBuf,
}

impl Process {
    /// Starts `command` under the name `program`: what it prints is added to `log`, its id to `pids`.
    pub(crate) fn spawn(
        mut command: Command,
        program: &str,
        log: &Path,
        pids: &Path,
    ) -> Result<Self> {
        let out = OpenOptions::new().create(true).append(true).open(log).at("open", log)?;
        let err = out.try_clone().at("open", log)?;
        command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        let child = spawn_on_lasting_thread(die_with_parent(command)).at("start", program)?;
        let process =
            Self { child, status: None, program: program.to_owned(), log: log.to_owned() };
        note_pid(pids, process.pid())?;
        Ok(process)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended. It is not waited for here: until it is, its number stays its own, so that a signal
    /// to it or its group can never reach a stranger.
    pub(crate) fn has_ended(&self) -> bool {
        // SAFETY: siginfo_t is plain data for which all zeroes is a value.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: waitid(2) writes to `info`, which is live; the child is ours.
        let status = unsafe {
            libc::waitid(
                libc::P_PID,
                self.pid(),
                &raw mut info,
                libc::WEXITED | libc::WNOHANG | libc::WNOWAIT,
            )
        };
        // SAFETY: waitid succeeded, so it has filled in the id, with 0 for "none yet".
        status == 0 && unsafe { info.si_pid() } != 0
    }

    /// An error if it has ended, for use while waiting for it to do something.
    pub(crate) fn must_run(&mut self) -> Result<()> {
        if self.status.is_none() && !self.has_ended() {
            return Ok(());
        }
        let status = self.reap().at("wait for", self.program.as_str())?;
        Err(LabError::Ended { program: self.program.clone(), status, log: self.log.clone() })
    }

    /// Waits for its end, having ended its whole group.
    fn reap(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        send_group(self.pid(), libc::SIGKILL);
        let status = self.child.wait()?;
        self.status = Some(status);
        Ok(status)
    }

    pub(crate) fn signal(&self, signal: libc::c_int) {
        if self.status.is_none() {
            send(self.pid(), signal);
        }
    }

    /// Whether it ended by itself within the time given.
    pub(crate) fn ends_within(&self, within: Duration) -> bool {
        let what = format!("{} has ended", self.program);
        wait_until(&what, within, &self.log, || Ok(self.has_ended())).is_ok()
    }

    /// SIGTERM, and SIGKILL if that did not help within the time given.
    pub(crate) fn terminate(self, within: Duration) {
        self.signal(libc::SIGTERM);
        self.ends_within(within);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing can be done about an error here, and there is none for a child of ours.
        let _status = self.reap();
    }
}

/// Starts a child that dies with us, for whoever speaks with it.
pub(crate) fn spawn_child(command: Command) -> io::Result<Child> {
    spawn_on_lasting_thread(die_with_parent(command))
}

/// The kernel sends the parent-death signal when the _thread_ that started the child ends, and a test's thread
/// ends before the test's process does. So all children are started by one thread that stays.
fn spawn_on_lasting_thread(command: Command) -> io::Result<Child> {
    type Order = (Command, Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();

    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in inbox {
                // Who asked has gone: the child is dropped, and nobody waits for it.
                let _gone = reply.send(command.spawn());
            }
        });
        orders
    });
    let (reply, answer) = mpsc::channel();
    spawner.send((command, reply)).map_err(io::Error::other)?;
    answer.recv().map_err(io::Error::other)?
}

fn die_with_parent(mut command: Command) -> Command {
    let parent = std::process::id();
    let hook = move || {
        // SAFETY: prctl(2) with PR_SET_PDEATHSIG takes one more argument, a signal, and is async-signal-safe.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: getppid(2) cannot fail and is async-signal-safe.
        let now = unsafe { libc::getppid() };
        // The parent may have died before the signal was asked for.
        if now.cast_unsigned() == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    };
    // SAFETY: the hook runs between fork and exec and makes only the two async-signal-safe calls above; it
    // allocates nothing, for io::Error of a raw code or a kind does not.
    unsafe { command.pre_exec(hook) };
    command
}

/// Makes `command` run inside `root`. Its program and folders are then names inside of it.
pub(crate) fn inside(root: &Path, mut command: Command) -> Result<Command> {
    let path = std::ffi::CString::new(root.as_os_str().as_encoded_bytes())
        .map_err(io::Error::other)
        .at("name", root)?;
    let hook = move || {
        // SAFETY: `path` is NUL-terminated and lives as long as the hook; chroot(2) is async-signal-safe.
        if unsafe { libc::chroot(path.as_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the literal is NUL-terminated; chdir(2) is async-signal-safe.
        if unsafe { libc::chdir(c"/".as_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    };
    // SAFETY: the hook only makes the two calls above and allocates nothing.
    unsafe { command.pre_exec(hook) };
    Ok(command)
}

/// Whether we are root.
pub(crate) fn is_root() -> bool {
    // SAFETY: geteuid(2) takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// The processes that one has started, and those that they have started.
pub(crate) fn descendants(of: u32) -> Result<Vec<u32>> {
    let folder = Path::new("/proc");
    let mut parents = Vec::new();
    for entry in fs::read_dir(folder).at("read", folder)? {
        let name = entry.at("read", folder)?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // One that has ended meanwhile has no parent.
        let status = fs::read_to_string(folder.join(name).join("status")).unwrap_or_default();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        parents.extend(parent.and_then(|pid| pid.trim().parse::<u32>().ok()).map(|of| (pid, of)));
    }
    let mut found = vec![of];
    let mut at = 0;
    while let Some(&of) = found.get(at) {
        found.extend(parents.iter().filter(|(_, parent)| *parent == of).map(|(pid, _)| *pid));
        at += 1;
    }
    Ok(found.split_off(1))
}

pub(crate) fn send(pid: u32, signal: libc::c_int) {
    // SAFETY: kill(2) takes plain numbers; the caller holds the child unreaped, so its id is still its own.
    unsafe { libc::kill(pid.cast_signed(), signal) };
}

fn send_group(pid: u32, signal: libc::c_int) {
    // SAFETY: kill(2) takes plain numbers; a group lives until its last member has gone, and where it has gone
    // its id belongs to a child that we have not waited for yet.
    unsafe { libc::kill(-pid.cast_signed(), signal) };
}

/// When process `pid` was started, in clock ticks since boot: with its id, who it is.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    start_time_in(&stat)
}

/// Field 22 of proc(5)'s stat. The name in field 2 may hold blanks and parentheses, so count from its end.
fn start_time_in(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

/// User and system time that process `pid` has used, in clock ticks: fields 14 and 15 of proc(5)'s stat.
pub(crate) fn cpu_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn note_pid(pids: &Path, pid: u32) -> Result<()> {
    let mut file: File =
        OpenOptions::new().create(true).append(true).open(pids).at("open", pids)?;
    writeln!(file, "{pid} {}", start_time(pid).unwrap_or_default()).at("write", pids)
}

/// Ends what a lab that crashed has left running: the processes written down in `pids`, if they are still the
/// same ones.
pub(crate) fn end_left_over(pids: &Path) -> Result<()> {
    let Ok(text) = fs::read_to_string(pids) else { return Ok(()) };
    for line in text.lines() {
        let Some((pid, started)) = line.split_once(' ') else { continue };
        let (Ok(pid), Ok(started)) = (pid.parse::<u32>(), started.parse::<u64>()) else { continue };
        if pid == 0 || start_time(pid) != Some(started) {
            continue;
        }
        send(pid, libc::SIGKILL);
        let what = format!("left-over process {pid} has ended");
        wait_until(&what, KILL_WITHIN, pids, || Ok(!is_alive(pid, started)))?;
    }
    Ok(())
}

/// Whether this very process still does anything: one that nobody has waited for yet does not.
pub(crate) fn is_alive(pid: u32, started: u64) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let zombie = stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'));
    start_time_in(&stat) == Some(started) && !zombie
}

/// Runs `command` to its end and gives what it wrote to standard output.
pub(crate) fn output(command: Command, program: &str, log: &Path) -> Result<String> {
    output_of(command, program, log, "")
}

/// The same of a command that reads `input`.
pub(crate) fn output_of(
    mut command: Command,
    program: &str,
    log: &Path,
    input: &str,
) -> Result<String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().at("start", program)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read has no use for it.
        let _unread = stdin.write_all(input.as_bytes());
    }
    let out = child.wait_with_output().at("wait for", program)?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    let answer = if let Some(signal) = out.status.signal() {
        format!("killed by signal {signal}")
    } else {
        let text = [out.stdout, out.stderr].concat();
        String::from_utf8_lossy(&text).trim().to_owned()
    };
    Err(LabError::Refused {
        program: program.to_owned(),
        request: format!("{:?}", command.get_args().collect::<Vec<_>>()),
        answer,
        log: log.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_is_found_behind_a_name_with_blanks_and_parentheses() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 1 2 3 4 50 60 7 8 20 0 1 0 123456 99 1";
        assert_eq!(start_time_in(stat), Some(123_456));
        assert_eq!(start_time_in("no such thing"), None);
    }

    #[test]
    fn a_process_that_was_left_over_is_ended_and_a_stranger_with_its_number_is_not() {
        let pids = std::env::temp_dir().join(format!("tandem-lab-pids-{}", std::process::id()));
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let started = start_time(child.id()).unwrap();

        fs::write(&pids, format!("{} {}\n", child.id(), started + 1)).unwrap();
        end_left_over(&pids).unwrap();
        assert!(is_alive(child.id(), started), "another start time is another process");

        fs::write(&pids, format!("{} {started}\n", child.id())).unwrap();
        end_left_over(&pids).unwrap();
        assert!(!is_alive(child.id(), started));
        child.wait().unwrap();
        fs::remove_file(&pids).unwrap();
    }

    #[test]
    fn a_dropped_process_is_gone_and_so_is_what_it_started() {
        let folder = std::env::temp_dir().join(format!("tandem-lab-drop-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (log, pids) = (folder.join("log"), folder.join("pids"));
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo $!; wait"]);
        let process = Process::spawn(command, "sh", &log, &pids).unwrap();
        let grandchild: u32 = crate::wait::wait_for(
            "the shell says its child's number",
            Duration::from_secs(5),
            &log,
            || Ok(fs::read_to_string(&log).ok().and_then(|text| text.trim().parse().ok())),
        )
        .unwrap();
        let started = start_time(grandchild).unwrap();

        drop(process);

        wait_until("the grandchild is gone", KILL_WITHIN, &log, || {
            Ok(!is_alive(grandchild, started))
        })
        .unwrap();
        fs::remove_dir_all(&folder).unwrap();
    }
}
