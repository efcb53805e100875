//! Watching one Asterisk: sessions, one after the other, for as long as somebody listens.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ami_proto::{ActionId, Event, Loss, Message, OwnedMessage, Session};
use link::{Answer, Ask, Report, Rules, told};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::{sleep, sleep_until, timeout};

use crate::ami::{Ami, Stream};
use crate::backoff::Backoff;

/// Reports that may wait for whoever listens. When it is full Asterisk is not read either, and drops
/// us after its `writetimeout`; then everything is asked again.
pub const REPORTS_MAX: usize = 4096;
/// Longest message that is passed on, in bytes: the longest that Asterisk has, the answer to
/// `ListCommands`, has about 12,000.
const PASSED_ON_MAX_BYTES: usize = 256 * 1024;
/// How long Asterisk may take none of our bytes.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
const READ_BYTES: usize = 64 * 1024;

/// Why a session ended.
enum End {
    /// Nobody listens any more.
    Unheard,
    /// The connection could not be made, or broke.
    Io(&'static str, std::io::Error),
    /// The session says why.
    Lost(Loss),
    /// Nothing that Asterisk would say.
    TooLong(usize),
}

/// Watches an Asterisk until nobody listens to `reports` or asks on `asks` any more.
///
/// Every attempt to get a session that fails is told with its reason, and another is made after a
/// pause.
pub async fn watch(ami: &Ami, rules: &Rules, asks: &mut Receiver<Ask>, reports: &Sender<Report>) {
    let mut backoff = Backoff::default();
    loop {
        let end = one_session(ami, rules, asks, reports, &mut backoff).await;
        let why = match end {
            End::Unheard => return,
            End::Lost(loss @ (Loss::WrongPassword | Loss::AlreadyLoggedIn)) => {
                backoff.slow_down();
                lost(loss, ami)
            }
            End::Lost(loss) => lost(loss, ami),
            End::Io(what, error) => format!("{what} {}: {error}", ami.address()),
            End::TooLong(len) => {
                format!("{} said a message of {len} bytes, which is no AMI", ami.address())
            }
        };
        tracing::warn!("{why}");
        if reports.send(Report::Down { why }).await.is_err() {
            return;
        }
        if !wait(backoff.pause(), asks, reports).await {
            return;
        }
    }
}

fn lost(loss: Loss, ami: &Ami) -> String {
    let cure = match loss {
        Loss::WrongPassword => " (manager.conf: the user's section, `secret`, `permit` and `deny`)",
        Loss::AlreadyLoggedIn => " (manager.conf: `allowmultiplelogin`, or a user of its own)",
        Loss::NotServed => " (manager.conf: `authlimit`, `permit` and `deny`)",
        Loss::LoginTimedOut => " (does it hang?)",
        _ => "",
    };
    format!("{}: {loss}{cure}", ami.address())
}

/// Whether there is still somebody who listens after the pause.
async fn wait(pause: Duration, asks: &mut Receiver<Ask>, reports: &Sender<Report>) -> bool {
    let pause = sleep(pause);
    tokio::pin!(pause);
    loop {
        let ask = tokio::select! {
            () = &mut pause => return true,
            () = reports.closed() => return false,
            ask = asks.recv() => ask,
        };
        let Some(ask) = ask else { return false };
        if reports.send(unanswered(ask.id)).await.is_err() {
            return false;
        }
    }
}

/// There is no session: it was not asked.
fn unanswered(id: u64) -> Report {
    let why = "the agent has no session with Asterisk at the moment".into();
    Report::Answer { id, answer: Answer::Refused { why } }
}

async fn one_session(
    ami: &Ami,
    rules: &Rules,
    asks: &mut Receiver<Ask>,
    reports: &Sender<Report>,
    backoff: &mut Backoff,
) -> End {
    let stream = tokio::select! {
        connected = ami.connect() => match connected {
            Ok(stream) => stream,
            Err(error) => return End::Io("no connection to", error),
        },
        () = reports.closed() => return End::Unheard,
    };
    let session = Session::new(ami.login.clone(), Instant::now());
    Watch { session, stream, rules, reports, asked: HashMap::new() }.run(asks, backoff).await
}

/// A session and who is told of it.
struct Watch<'a> {
    session: Session,
    stream: Box<dyn Stream>,
    rules: &'a Rules,
    reports: &'a Sender<Report>,
    asked: HashMap<ActionId, u64>,
}

impl Watch<'_> {
    async fn run(mut self, asks: &mut Receiver<Ask>, backoff: &mut Backoff) -> End {
        let mut buf = vec![0; READ_BYTES];
        loop {
            if let Err(end) = self.settle(backoff).await {
                return end;
            }
            let at = self.session.poll_timeout().unwrap_or_else(Instant::now);
            tokio::select! {
                read = self.stream.read(&mut buf) => match read {
                    Ok(0) => self.session.handle_closed(Instant::now()),
                    Ok(len) => self.session.handle_input(Instant::now(), &buf[..len]),
                    Err(_) => self.session.handle_closed(Instant::now()),
                },
                ask = asks.recv() => match ask {
                    Some(ask) => {
                        if let Some(report) = self.ask(ask) && self.reports.send(report).await.is_err() {
                            return End::Unheard;
                        }
                    }
                    None => return End::Unheard,
                },
                () = sleep_until(at.into()) => self.session.handle_timeout(Instant::now()),
                () = self.reports.closed() => return End::Unheard,
            }
        }
    }

    /// Tells what happened, and sends what is to be sent.
    async fn settle(&mut self, backoff: &mut Backoff) -> Result<(), End> {
        let version = String::from_utf8_lossy(self.session.version()).into_owned();
        while let Some(event) = self.session.poll_event() {
            let report = match event {
                Event::LoggedIn => {
                    backoff.reset();
                    Report::Up { ami_version: version.clone() }
                }
                Event::Event(message) | Event::FullyBooted(message) => {
                    let Some(message) = told(bounded(message)?) else { continue };
                    Report::Event { message }
                }
                Event::ListItem { action, message } => {
                    let Some(&id) = self.asked.get(&action) else { continue };
                    let Some(message) = told(bounded(message)?) else { continue };
                    Report::Answer { id, answer: Answer::Item { message } }
                }
                Event::Response { action, message } | Event::ListEnd { action, message, .. } => {
                    let Some(id) = self.asked.remove(&action) else { continue };
                    Report::Answer { id, answer: Answer::Done { message: passed_on(message)? } }
                }
                Event::Failed { action, failure, message } => {
                    let Some(id) = self.asked.remove(&action) else { continue };
                    let message = message.map(passed_on).transpose()?;
                    Report::Answer { id, answer: Answer::Failed { failure, message } }
                }
                Event::Lost(loss) => return Err(End::Lost(loss)),
                _ => continue,
            };
            self.reports.send(report).await.map_err(|_| End::Unheard)?;
        }
        while let Some(bytes) = self.session.poll_transmit() {
            let written = timeout(WRITE_TIMEOUT, self.stream.write_all(bytes)).await;
            let written = written.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
            written.map_err(|error| End::Io("cannot write to", error))?;
        }
        Ok(())
    }

    /// Sends it, or says at once why not.
    fn ask(&mut self, ask: Ask) -> Option<Report> {
        let refused =
            |why: String| Some(Report::Answer { id: ask.id, answer: Answer::Refused { why } });
        if !self.session.is_ready() {
            return Some(unanswered(ask.id));
        }
        let action = match ask.request.action(self.rules) {
            Ok(action) => action,
            Err(refusal) => return refused(refusal.to_string()),
        };
        match self.session.send(Instant::now(), &action) {
            Ok(action) => {
                self.asked.insert(action, ask.id);
                None
            }
            Err(error) => refused(error.to_string()),
        }
    }
}

fn passed_on(message: Message<'_>) -> Result<OwnedMessage, End> {
    bounded(message).map(Message::to_owned)
}

fn bounded(message: Message<'_>) -> Result<Message<'_>, End> {
    match message.len_bytes() {
        len if len > PASSED_ON_MAX_BYTES => Err(End::TooLong(len)),
        _ => Ok(message),
    }
}
