//! AMI's server side: a thread for each simulated server, which greets, lets in whoever comes, and answers.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ami_proto::{Decoder, Frame};
use anyhow::{Context as _, Result};

use super::recording::Recording;
use super::server::SERVERS;
use super::server::Server;
use super::traffic::CALLS;

/// Everything that is simulated.
#[derive(Debug)]
pub(super) struct Simulation {
    pub(super) recording: Recording,
    pub(super) servers: Vec<Server>,
    /// When servers begin to speak: the hub's connections are accepted by the kernel before.
    opened: OnceLock<Instant>,
}

/// How often is looked whether servers may speak.
const LOOK_EVERY: Duration = Duration::from_millis(1);

impl Simulation {
    /// Listens at these addresses, in the order of the servers.
    ///
    /// # Errors
    ///
    /// If an address is taken.
    pub(super) fn start(address: impl Fn(usize) -> Ipv4Addr, port: u16) -> Result<Arc<Self>> {
        let servers = (0..SERVERS).map(|at| Server::new(at, CALLS)).collect();
        let simulation =
            Arc::new(Self { recording: Recording::new(), servers, opened: OnceLock::new() });
        for at in 0..SERVERS {
            let address = address(at);
            let listener = TcpListener::bind((address, port))
                .with_context(|| format!("listen at {address}:{port}"))?;
            let simulation = Arc::clone(&simulation);
            // It ends with the bench: a session of the hub's lasts until then.
            let _lasting: JoinHandle<io::Result<()>> =
                thread::spawn(move || simulation.serve(at, &listener));
        }
        Ok(simulation)
    }

    /// Lets the servers speak, from now on.
    pub(super) fn open(&self) -> Instant {
        *self.opened.get_or_init(Instant::now)
    }

    fn serve(&self, at: usize, listener: &TcpListener) -> io::Result<()> {
        loop {
            let (stream, _) = listener.accept()?;
            while self.opened.get().is_none() {
                thread::sleep(LOOK_EVERY);
            }
            let ended = self.session(at, stream);
            self.servers[at].state().writer = None;
            if let Err(error) = ended {
                eprintln!("simulated server {at}: {error}");
            }
        }
    }

    fn session(&self, at: usize, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.write_all(self.recording.greeting().as_bytes())?;
        let mut decoder = Decoder::without_greeting();
        let mut buf = vec![0; 16 * 1024];
        loop {
            let len = stream.read(&mut buf)?;
            if len == 0 {
                return Ok(());
            }
            decoder.feed(&buf[..len]).map_err(io::Error::other)?;
            while let Some(Frame::Message(message)) = decoder.poll().map_err(io::Error::other)? {
                let text = |name| String::from_utf8_lossy(message.get(name).unwrap_or_default());
                let (action, id) = (text("Action"), text("ActionID"));
                let mut state = self.servers[at].state();
                let answer = state.answer(&self.recording, &action, &id, &text("Endpoint"));
                // Events follow in the order in which they happen: one after the other writes.
                if action.eq_ignore_ascii_case("Login") {
                    state.writer = Some(stream.try_clone()?);
                }
                stream.write_all(&answer)?;
            }
        }
    }
}
