//! The two servers: memcached, and this program itself as the embedded cache.

use std::fs;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tandem_cache::{Server, Settings};

use super::{CONNECTIONS, MEMORY_MIB, THREADS};
use crate::child::Running;
use crate::cpu::Core;

/// The first argument when the bench starts itself as the server.
pub(crate) const SERVE: &str = "--serve-cache";

/// How long either may take to listen.
const START_WITHIN: Duration = Duration::from_secs(10);

/// Which of the two.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    Ours,
    Memcached,
}

/// A server that runs.
pub(super) struct Started {
    running: Running,
    pub(super) address: SocketAddr,
}

/// Starts a server on `core`, empty.
///
/// # Errors
///
/// If it does not listen in time.
pub(super) fn start(which: Which, core: Core, logs: &Path) -> Result<Started> {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    let address = free.local_addr()?;
    drop(free);
    let (command, log) = match which {
        Which::Ours => {
            let mut command = Command::new(std::env::current_exe()?);
            // Kept open by our end of it: the server ends with its standard input.
            command.args([SERVE, &address.to_string()]).stdin(Stdio::piped());
            (command, "ours.log")
        }
        Which::Memcached => {
            let mut command = Command::new("memcached");
            command
                .args(["-l", &address.ip().to_string(), "-p", &address.port().to_string()])
                .args(["-U", "0", "-t", &THREADS.to_string(), "-m", &MEMORY_MIB.to_string()])
                .args(["-c", &(2 * CONNECTIONS).to_string(), "-u", "nobody"]);
            (command, "memcached.log")
        }
    };
    let mut running = Running::start(command, core, libc::SIGTERM, &logs.join(log))?;
    running.wait_ready(START_WITHIN, || TcpStream::connect(address).is_ok())?;
    Ok(Started { running, address })
}

impl Started {
    pub(super) fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// What of its memory is in use: VmRSS of proc(5).
    ///
    /// # Errors
    ///
    /// If it is gone.
    pub(super) fn resident_bytes(&self) -> Result<f64> {
        let path = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).context("no VmRSS")?;
        Ok(kib.trim().parse::<f64>()? * 1024.0)
    }
}

/// Is the embedded cache, until standard input ends.
///
/// # Errors
///
/// If it does not start.
pub(crate) fn serve(mut arguments: impl Iterator<Item = String>) -> Result<()> {
    let address = arguments.next().context("which address?")?;
    let server = Server::start(Settings {
        listen: vec![address.parse().with_context(|| format!("'{address}'"))?],
        threads: THREADS,
        memory_bytes: MEMORY_MIB * 1024 * 1024,
        connections_max: 2 * CONNECTIONS,
        ..Settings::default()
    })?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(server.stop()?)
}
