//! An HTTP client that sends what it is told to, good or bad, and hides nothing of the answer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::tls::Identity;

/// How long a read or write may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Somebody who asks a web server: one connection for each request.
#[derive(Clone, Debug)]
pub struct Web {
    address: SocketAddr,
    from: Option<IpAddr>,
    identity: Option<Arc<Identity>>,
    headers: Vec<(String, String)>,
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP's.
    pub status: u16,
    headers: Vec<(String, String)>,
    /// What follows the head.
    pub body: String,
}

/// A stream of either kind.
pub trait Wire: Read + Write + Send {}

impl<T: Read + Write + Send> Wire for T {}

impl Web {
    /// Asks whoever listens there, as nobody.
    pub fn at(address: SocketAddr) -> Self {
        Self { address, from: None, identity: None, headers: Vec::new() }
    }

    /// Over TLS, of whoever has that identity.
    pub fn over_tls(mut self, identity: &Arc<Identity>) -> Self {
        self.identity = Some(Arc::clone(identity));
        self
    }

    /// From that address of this machine.
    pub fn from(mut self, address: IpAddr) -> Self {
        self.from = Some(address);
        self
    }

    /// With one header more.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Asks for something.
    ///
    /// # Errors
    ///
    /// If there is no answer.
    pub fn get(&self, path: &str) -> Result<Reply> {
        self.ask("GET", path, None)
    }

    /// Sends JSON.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn post(&self, path: &str, body: &Value) -> Result<Reply> {
        self.ask("POST", path, Some(&body.to_string()))
    }

    fn ask(&self, method: &str, path: &str, body: Option<&str>) -> Result<Reply> {
        let mut wire = self.connect()?;
        wire.write_all(self.request(method, path, body).as_bytes()).context("sending")?;
        Reply::read(&mut BufReader::new(wire))
    }

    /// The bytes of a request, after which the server is to close the connection.
    pub fn request(&self, method: &str, path: &str, body: Option<&str>) -> String {
        let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            text += &format!("Host: {}\r\n", self.address);
        }
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        if let Some(body) = body {
            let length = body.len();
            text += &format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
        }
        text + "\r\n" + body.unwrap_or_default()
    }

    /// A connection to say anything on.
    ///
    /// # Errors
    ///
    /// If nobody listens, or a handshake fails.
    pub fn connect(&self) -> Result<Box<dyn Wire>> {
        let socket = match self.from {
            None => TcpStream::connect_timeout(&self.address, PATIENCE),
            Some(from) => connect_from(from, self.address),
        };
        let socket = socket.with_context(|| format!("connecting to {}", self.address))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        match &self.identity {
            None => Ok(Box::new(socket)),
            Some(identity) => Ok(Box::new(identity.handshake(self.address.ip(), socket)?)),
        }
    }
}

impl Reply {
    /// Reads one answer, until its body's end or the connection's.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn read(wire: &mut impl BufRead) -> Result<Self> {
        let mut reply = Self::read_head(wire)?;
        let mut body = Vec::new();
        if reply.header("transfer-encoding").is_some() {
            read_chunks(wire, &mut body)?;
        } else if let Some(length) = reply.header("content-length") {
            body.resize(length.parse()?, 0);
            wire.read_exact(&mut body)?;
        } else {
            wire.read_to_end(&mut body)?;
        }
        reply.body = String::from_utf8(body)?;
        Ok(reply)
    }

    /// Reads a head alone: a stream may follow.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn read_head(wire: &mut impl BufRead) -> Result<Self> {
        let mut line = String::new();
        wire.read_line(&mut line).context("reading an answer")?;
        ensure!(line.starts_with("HTTP/1.1 "), "no answer: {line:?}");
        let status = line.split(' ').nth(1).unwrap_or_default().parse()?;
        let mut headers = Vec::new();
        loop {
            line.clear();
            wire.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(Self { status, headers, body: String::new() })
    }

    /// The first header of that name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    ///
    /// # Errors
    ///
    /// If it is none, or the answer is not 200.
    pub fn json(&self) -> Result<Value> {
        ensure!(self.status == 200, "{self:?}");
        serde_json::from_str(&self.body).with_context(|| self.body.clone())
    }
}

fn connect_from(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    socket.connect_timeout(&to.into(), PATIENCE)?;
    Ok(socket.into())
}

fn read_chunks(wire: &mut impl BufRead, body: &mut Vec<u8>) -> Result<()> {
    loop {
        let mut line = String::new();
        wire.read_line(&mut line)?;
        let length = usize::from_str_radix(line.trim(), 16).with_context(|| line.clone())?;
        let start = body.len();
        body.resize(start + length, 0);
        wire.read_exact(&mut body[start..])?;
        wire.read_exact(&mut [0; 2])?;
        if length == 0 {
            return Ok(());
        }
    }
}
