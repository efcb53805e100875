//! A fleet of phones that register over UDP as phones do: a REGISTER, a challenge, and the REGISTER that answers
//! it. One socket and one thread send and receive for all of them.
//!
//! Phones keep no nonce: Asterisk's are good for 32 s, and a phone comes back after that. So every registration,
//! new or refreshed, is two requests.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tandem_lab::{SIP_PORT, phone_secret};

use super::sip::{Answer, Register};

/// When a request that was not answered is sent again (RFC 3261, T1), and how often.
const RESEND_AFTER: Duration = Duration::from_millis(500);
const RESENDS_MAX: u32 = 6;
/// How long a phone registers for.
const EXPIRES_SECS: u32 = 3600;
/// Requests under way when there is no rate.
const AT_ONCE: usize = 40;
/// How long all may take when there is no rate.
const ALL_WITHIN: Duration = Duration::from_secs(180);
/// The longest answer.
const ANSWER_MAX_BYTES: usize = 4096;
/// The socket's buffer: a burst of answers while the thread does something else.
const SOCKET_BYTES: libc::c_int = 4 * 1024 * 1024;

/// What a phone does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Act {
    /// Registers, be it for the first time or again.
    Register,
    /// Takes its registration back.
    Leave,
}

/// One phone's next step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) phone: usize,
    pub(crate) act: Act,
}

#[derive(Debug)]
struct Phone {
    number: String,
    secret: String,
    /// Grows with each request; within one Call-ID it must.
    cseq: u32,
}

#[derive(Debug)]
struct Pending {
    act: Act,
    cseq: u32,
    message: String,
    resend_at: Instant,
    resends: u32,
}

/// All phones, and what is under way.
#[derive(Debug)]
pub(crate) struct Fleet {
    socket: UdpSocket,
    from: SocketAddr,
    server: SocketAddr,
    phones: Vec<Phone>,
    pending: HashMap<usize, Pending>,
    /// Requests that had to be sent again: a run with many of them is no run.
    pub(crate) resent: u64,
}

impl Fleet {
    /// Phones with `count` numbers from `first`, at `from`, that register at `server`.
    ///
    /// # Errors
    ///
    /// If the address cannot be used.
    pub(crate) fn new(from: Ipv4Addr, server: Ipv4Addr, first: u32, count: u32) -> Result<Self> {
        let socket =
            UdpSocket::bind((from, SIP_PORT)).with_context(|| format!("bind to {from}"))?;
        enlarge(&socket)?;
        let phone = |number: u32| {
            let number = number.to_string();
            Phone { secret: phone_secret(&number), number, cseq: 0 }
        };
        Ok(Self {
            from: socket.local_addr()?,
            server: (server, SIP_PORT).into(),
            socket,
            phones: (first..first + count).map(phone).collect(),
            pending: HashMap::new(),
            resent: 0,
        })
    }

    pub(crate) fn number(&self, phone: usize) -> &str {
        &self.phones[phone].number
    }

    /// Takes all steps as fast as the server answers them.
    ///
    /// # Errors
    ///
    /// If one is refused or never answered.
    pub(crate) fn take_all(&mut self, steps: impl IntoIterator<Item = Step>) -> Result<()> {
        let end = Instant::now() + ALL_WITHIN;
        let mut steps = steps.into_iter().peekable();
        loop {
            while self.pending.len() < AT_ONCE
                && let Some(step) = steps.next()
            {
                self.begin(step)?;
            }
            if self.pending.is_empty() && steps.peek().is_none() {
                return Ok(());
            }
            if Instant::now() > end {
                bail!("not all phones were answered within {ALL_WITHIN:?}");
            }
            self.serve_until(Instant::now() + Duration::from_millis(5), &mut |_, _| Ok(()), true)?;
        }
    }

    /// Takes steps at a fixed rate, from `start` on, and tells of each one that is done, and when. Returns when
    /// all are answered.
    ///
    /// # Errors
    ///
    /// If one is refused or never answered.
    pub(crate) fn take_at_rate(
        &mut self,
        start: Instant,
        per_second: u32,
        steps: impl IntoIterator<Item = Step>,
        mut done: impl FnMut(usize, Instant) -> Result<()>,
    ) -> Result<()> {
        let gap = Duration::from_secs(1) / per_second;
        let mut next = start;
        for step in steps {
            self.serve_until(next, &mut done, false)?;
            self.begin(step)?;
            next += gap;
        }
        while !self.pending.is_empty() {
            self.serve_until(Instant::now() + gap, &mut done, true)?;
        }
        Ok(())
    }

    fn begin(&mut self, step: Step) -> Result<()> {
        if self.pending.contains_key(&step.phone) {
            bail!("phone {} has not been answered since its last turn", self.number(step.phone));
        }
        let pending = self.request(step.phone, step.act, None);
        self.send(&pending.message)?;
        self.pending.insert(step.phone, pending);
        Ok(())
    }

    fn request(&mut self, at: usize, act: Act, answer: Option<&Answer>) -> Pending {
        let phone = &mut self.phones[at];
        phone.cseq += 1;
        let challenge = answer.and_then(|answer| answer.challenge.as_ref());
        let message = Register {
            number: &phone.number,
            from: self.from,
            to: self.server,
            phone: at,
            cseq: phone.cseq,
            expires_secs: if act == Act::Register { EXPIRES_SECS } else { 0 },
            auth: challenge.map(|challenge| (challenge, phone.secret.as_str())),
        };
        let message = message.text();
        let resend_at = Instant::now() + RESEND_AFTER;
        Pending { act, cseq: phone.cseq, message, resend_at, resends: 0 }
    }

    fn send(&self, message: &str) -> Result<()> {
        self.socket.send_to(message.as_bytes(), self.server).context("send a REGISTER")?;
        Ok(())
    }

    /// Receives until `until`, or, if `once`, until something came.
    fn serve_until(
        &mut self,
        until: Instant,
        done: &mut dyn FnMut(usize, Instant) -> Result<()>,
        once: bool,
    ) -> Result<()> {
        let mut buffer = [0; ANSWER_MAX_BYTES];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return self.resend();
            }
            self.socket.set_read_timeout(Some(left))?;
            match self.socket.recv(&mut buffer) {
                Ok(count) => {
                    let now = Instant::now();
                    self.answered(&String::from_utf8_lossy(&buffer[..count]), now, done)?;
                    if once {
                        return Ok(());
                    }
                }
                Err(error) if is_nothing(&error) => {}
                Err(error) => return Err(error).context("receive an answer"),
            }
        }
    }

    fn answered(
        &mut self,
        message: &str,
        now: Instant,
        done: &mut dyn FnMut(usize, Instant) -> Result<()>,
    ) -> Result<()> {
        let Some(answer) = Answer::parse(message) else { return Ok(()) };
        let Some(pending) = self.pending.get(&answer.phone) else { return Ok(()) };
        // An answer to a request that was sent twice.
        if pending.cseq != answer.cseq {
            return Ok(());
        }
        match answer.status {
            100..200 => Ok(()),
            200 => {
                self.pending.remove(&answer.phone);
                done(answer.phone, now)
            }
            401 if answer.challenge.is_some() => {
                let next = self.request(answer.phone, pending.act, Some(&answer));
                self.send(&next.message)?;
                self.pending.insert(answer.phone, next);
                Ok(())
            }
            other => bail!("phone {} was answered {other}", self.number(answer.phone)),
        }
    }

    fn resend(&mut self) -> Result<()> {
        let now = Instant::now();
        for (phone, pending) in &mut self.pending {
            if pending.resend_at > now {
                continue;
            }
            if pending.resends == RESENDS_MAX {
                bail!("phone {} was never answered", self.phones[*phone].number);
            }
            pending.resends += 1;
            pending.resend_at = now + RESEND_AFTER * 2_u32.pow(pending.resends);
            self.socket.send_to(pending.message.as_bytes(), self.server)?;
            self.resent += 1;
        }
        Ok(())
    }
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn enlarge(socket: &UdpSocket) -> Result<()> {
    use std::os::fd::AsRawFd as _;
    let size = SOCKET_BYTES;
    // SAFETY: setsockopt(2) reads an int here, and `size` is one and live.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            (&raw const size).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()).context("enlarge a buffer") }
}
