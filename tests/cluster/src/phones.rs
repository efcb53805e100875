//! Phones that register, refresh and leave, all on one socket: enough of SIP for chan_pjsip's registrar.
//!
//! A phone is registered for [`STAYS`] or longer, with a REGISTER every [`REFRESH`] of [`EXPIRES_SECONDS`], and away
//! for [`AWAY`], which is longer than a lease and its grace: so that its record's end can be seen.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use tandem_lab::SIP_PORT;

use crate::history::{Record, Recorder, Register};
use crate::pace::Stop;
use crate::random::Random;

const EXPIRES_SECONDS: u64 = 20;
const REFRESH: Duration = Duration::from_secs(5);
const STAYS: Duration = Duration::from_secs(12);
const AWAY: Duration = Duration::from_secs(11);
/// An answer is waited for so long, [`TRIES`] times.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
const TRIES: usize = 4;
/// Longer than any answer to a REGISTER.
const DATAGRAM_BYTES: usize = 8192;

/// One phone, on one server.
#[derive(Debug)]
struct Phone {
    server: String,
    address: Ipv4Addr,
    number: String,
    sequence: u32,
    /// Until when it stays registered, while it is.
    stays: Option<Instant>,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Phones<'a> {
    socket: UdpSocket,
    recorder: &'a Recorder,
    random: Random,
    phones: Vec<Phone>,
    /// What is next for which phone.
    due: BTreeMap<(Instant, usize), ()>,
}

impl<'a> Phones<'a> {
    pub(crate) fn new(socket: UdpSocket, recorder: &'a Recorder, random: Random) -> Self {
        Self { socket, recorder, random, phones: Vec::new(), due: BTreeMap::new() }
    }

    /// A phone more.
    pub(crate) fn add(&mut self, server: &str, address: Ipv4Addr, number: u32) {
        let at = self.phones.len();
        self.phones.push(Phone {
            server: server.to_owned(),
            address,
            number: number.to_string(),
            sequence: 0,
            stays: None,
        });
        let spread = Duration::from_millis(self.random.below(3000));
        self.due.insert((Instant::now() + spread, at), ());
    }

    /// Registers and leaves until told to stop; then all that are registered stay so.
    pub(crate) fn run(mut self, stop: &Stop) -> io::Result<()> {
        self.socket.set_read_timeout(Some(ANSWER_WITHIN))?;
        while let Some(((due, at), ())) = self.due.pop_first() {
            if !stop.goes_on_at(due) {
                break;
            }
            let next = self.turn(at)?;
            self.due.insert((Instant::now() + next, at), ());
        }
        Ok(())
    }

    /// What a phone does when its time has come; how long until the next time.
    fn turn(&mut self, at: usize) -> io::Result<Duration> {
        let now = Instant::now();
        match self.phones[at].stays {
            Some(until) if until <= now => {
                self.register(at, 0)?;
                self.phones[at].stays = None;
                Ok(AWAY + Duration::from_millis(self.random.below(2000)))
            }
            Some(_) => {
                self.register(at, EXPIRES_SECONDS)?;
                Ok(REFRESH)
            }
            None => {
                self.register(at, EXPIRES_SECONDS)?;
                let stays = STAYS + Duration::from_millis(self.random.below(30_000));
                self.phones[at].stays = Some(now + stays);
                Ok(REFRESH)
            }
        }
    }

    fn register(&mut self, at: usize, expires: u64) -> io::Result<()> {
        let phone = &mut self.phones[at];
        phone.sequence += 1;
        let (number, server, sequence) = (&phone.number, phone.address, phone.sequence);
        let local = self.socket.local_addr()?;
        let call = format!("{number}-{server}@tandem");
        let begin = self.recorder.now();
        let mut ok = false;
        for attempt in 0..TRIES {
            let request = format!(
                "REGISTER sip:{server} SIP/2.0\r\n\
                 Via: SIP/2.0/UDP {local};branch=z9hG4bK-{number}-{server}-{sequence}\r\n\
                 From: <sip:{number}@{server}>;tag={number}\r\n\
                 To: <sip:{number}@{server}>\r\n\
                 Call-ID: {call}\r\n\
                 CSeq: {sequence} REGISTER\r\n\
                 Contact: <sip:{number}@{local}>\r\n\
                 Max-Forwards: 70\r\n\
                 Expires: {expires}\r\n\
                 Content-Length: 0\r\n\r\n"
            );
            // A server that is away may refuse what was sent to it: that is an error of a later call.
            let sent =
                self.socket.send_to(request.as_bytes(), SocketAddr::from((server, SIP_PORT)));
            if sent.is_err() && attempt + 1 == TRIES {
                break;
            }
            if let Some(status) = answer(&self.socket, &call, sequence) {
                ok = status == 200;
                break;
            }
        }
        self.recorder.write(&Record::Register(Register {
            s: phone.server.clone(),
            n: number.clone(),
            expires,
            b: begin,
            e: self.recorder.now(),
            ok,
        }));
        Ok(())
    }
}

/// The final status of this request; others' answers are dropped.
fn answer(socket: &UdpSocket, call: &str, sequence: u32) -> Option<u16> {
    let end = Instant::now() + ANSWER_WITHIN;
    let mut datagram = vec![0; DATAGRAM_BYTES];
    while Instant::now() < end {
        let Ok(length) = socket.recv(&mut datagram) else { continue };
        let text = String::from_utf8_lossy(&datagram[..length]);
        let header = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            line.split_once(':').map(|(_, value)| value.trim().to_owned())
        };
        let ours = header("Call-ID").as_deref() == Some(call)
            && header("CSeq") == Some(format!("{sequence} REGISTER"));
        let status: u16 = text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        if ours && status >= 200 {
            return Some(status);
        }
    }
    None
}
