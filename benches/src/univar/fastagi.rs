//! A fair FastAGI server: it does the same read as GetUniVar and sets one channel variable.
//!
//! A thread for each of [`THREADS`] connections at once, as a user's pool has, and a connection to memcached that
//! each thread keeps. It leaves the session as soon as the variable is set.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::cpu::{self, Core};

/// FastAGI's standard port.
pub(crate) const PORT: u16 = 4573;
/// Connections at once.
const THREADS: usize = 4;
/// How long Asterisk or memcached may be silent.
const SILENT_MAX: Duration = Duration::from_secs(5);
/// The longest line, and the longest answer of memcached.
const BYTES_MAX: usize = 4096;

/// A running server. Dropping it ends its threads.
#[derive(Debug)]
pub(crate) struct FastAgi {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl FastAgi {
    /// Listens on `address`, on `core`; it reads keys from `cache`.
    ///
    /// # Errors
    ///
    /// If it cannot listen.
    pub(crate) fn start(address: Ipv4Addr, cache: SocketAddr, core: Core) -> Result<Self> {
        let address = SocketAddr::from((address, PORT));
        let listener =
            TcpListener::bind(address).with_context(|| format!("listen on {address}"))?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for _ in 0..THREADS {
            let (listener, stop) = (listener.try_clone()?, Arc::clone(&stop));
            threads.push(thread::spawn(move || {
                if let Err(error) = serve(&listener, cache, core, &stop) {
                    eprintln!("FastAGI server: {error}");
                }
            }));
        }
        Ok(Self { address, stop, threads })
    }
}

impl Drop for FastAgi {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for _ in &self.threads {
            // It wakes one of them; one that has ended needs none.
            let _woken = TcpStream::connect_timeout(&self.address, SILENT_MAX);
        }
        for thread in self.threads.drain(..) {
            let _ended = thread.join();
        }
    }
}

fn serve(
    listener: &TcpListener,
    cache: SocketAddr,
    core: Core,
    stop: &AtomicBool,
) -> io::Result<()> {
    cpu::pin_thread(0, core)?;
    let mut cache = TcpStream::connect(cache)?;
    cache.set_nodelay(true)?;
    cache.set_read_timeout(Some(SILENT_MAX))?;
    loop {
        let (session, _) = listener.accept()?;
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        session.set_nodelay(true)?;
        session.set_read_timeout(Some(SILENT_MAX))?;
        // One that Asterisk breaks off is Asterisk's affair.
        if let Err(error) = answer(&session, &mut cache) {
            eprintln!("FastAGI session: {error}");
        }
    }
}

/// One session: the variables up to the empty line, the read, `SET VARIABLE` and its answer.
fn answer(session: &TcpStream, cache: &mut TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(session);
    let mut key = String::new();
    let mut line = String::new();
    loop {
        line.clear();
        if lines.by_ref().take(BYTES_MAX as u64).read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.trim_end().split_once(": ") {
            Some(("agi_network_script", script)) => key = script.to_owned(),
            None if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    let value = read(cache, &key)?;
    write_all(session, &format!("SET VARIABLE X \"{value}\"\n"))?;
    line.clear();
    lines.read_line(&mut line)?;
    if line.starts_with("200 ") { Ok(()) } else { Err(io::Error::other(line)) }
}

fn read(cache: &mut TcpStream, key: &str) -> io::Result<String> {
    cache.write_all(format!("mg {key} v\r\n").as_bytes())?;
    let mut reply = [0; BYTES_MAX];
    let count = cache.read(&mut reply)?;
    let reply = String::from_utf8_lossy(&reply[..count]);
    let value = reply.strip_prefix("VA ").and_then(|rest| rest.split("\r\n").nth(1));
    value.map(str::to_owned).ok_or_else(|| io::Error::other(format!("memcached said '{reply}'")))
}

fn write_all(mut stream: &TcpStream, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes())
}
