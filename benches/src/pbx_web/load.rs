//! The load: connections that stay open, one request on its way on each.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// Bound of one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// Requests that are made before anything is measured: a password is looked at once.
const WARM_UP: usize = 200;

/// A client of one server.
#[derive(Debug)]
pub(crate) struct Load {
    address: SocketAddr,
    request: String,
    connections: Vec<BufReader<TcpStream>>,
    buffer: Vec<u8>,
}

impl Load {
    /// Connects, and asks until the server is warm.
    ///
    /// # Errors
    ///
    /// If it answers anything but 200.
    pub(crate) fn connect(
        address: SocketAddr,
        path: &str,
        (user, password): (&str, &str),
        connections: usize,
    ) -> Result<Self> {
        let pair = BASE64_STANDARD.encode(format!("{user}:{password}"));
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Basic {pair}\r\n\r\n"
        );
        let mut load = Self { address, request, connections: Vec::new(), buffer: Vec::new() };
        // The first alone: who has not been let in once must not come many at a time.
        load.connections.push(open(address)?);
        load.run(1)?;
        for _ in 1..connections {
            load.connections.push(open(address)?);
        }
        load.run(WARM_UP)?;
        Ok(load)
    }

    /// Makes at least so many requests.
    ///
    /// # Errors
    ///
    /// If one is answered with anything but 200.
    pub(crate) fn run(&mut self, requests: usize) -> Result<Duration> {
        let begun = Instant::now();
        for _ in 0..requests.div_ceil(self.connections.len()) {
            for connection in &mut self.connections {
                connection.get_mut().write_all(self.request.as_bytes())?;
            }
            for connection in &mut self.connections {
                if !answer(connection, &mut self.buffer)? {
                    // A server may give a connection so many requests and no more.
                    *connection = open(self.address)?;
                }
            }
        }
        Ok(begun.elapsed())
    }
}

fn open(address: SocketAddr) -> Result<BufReader<TcpStream>> {
    let socket = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(ANSWER_WITHIN))?;
    Ok(BufReader::new(socket))
}

/// Reads one answer; whether the connection stays open.
fn answer(connection: &mut BufReader<TcpStream>, buffer: &mut Vec<u8>) -> Result<bool> {
    let (mut length, mut stays, mut line) = (None, true, String::new());
    connection.read_line(&mut line).context("an answer")?;
    ensure!(line.starts_with("HTTP/1.1 200 "), "answered {line:?}");
    loop {
        line.clear();
        connection.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse::<usize>().ok(),
            "connection" => stays = !value.trim().eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    buffer.resize(length.context("an answer without its length")?, 0);
    connection.read_exact(buffer)?;
    Ok(stays)
}
