//! What a real Asterisk says on its manager interface is what `ami-proto` expects.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ami_proto::{Action, Config, Event, Failure, LoginMethod, Loss, OwnedMessage, Session};
use anyhow::{Context as _, Result, bail, ensure};
use tandem_lab::{AMI_SECRET, Asterisk, Lab, Release};

/// Bound of anything here: all of it is loopback.
const SOON: Duration = Duration::from_secs(10);
/// How long a read waits before the session is told the time.
const READ_WITHIN: Duration = Duration::from_millis(50);

/// What became of an action.
#[derive(Debug, Default)]
struct Reply {
    messages: Vec<OwnedMessage>,
    /// As many as the list's end counted.
    items: Option<u32>,
    failure: Option<Failure>,
}

/// A session on a socket, as plain as can be.
struct Client {
    session: Session,
    stream: TcpStream,
    until: Instant,
}

impl Client {
    fn connect(server: &Asterisk, config: Config) -> Result<Self> {
        let stream = server.ami_stream(SOON)?;
        stream.set_read_timeout(Some(READ_WITHIN))?;
        let now = Instant::now();
        Ok(Self { session: Session::new(config, now), stream, until: now + SOON })
    }

    /// Hands each event to `take` until it has what it wants.
    fn until<T>(&mut self, mut take: impl FnMut(&Event<'_>) -> Option<T>) -> Result<T> {
        loop {
            while let Some(event) = self.session.poll_event() {
                if let Some(wanted) = take(&event) {
                    return Ok(wanted);
                }
                if let Event::Lost(loss) = event {
                    bail!("{loss}");
                }
            }
            while let Some(bytes) = self.session.poll_transmit() {
                self.stream.write_all(bytes)?;
            }
            ensure!(Instant::now() < self.until, "nothing came within {SOON:?}");
            let mut buf = [0; 4096];
            match self.stream.read(&mut buf) {
                Ok(0) => self.session.handle_closed(Instant::now()),
                Ok(len) => self.session.handle_input(Instant::now(), &buf[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.session.handle_timeout(Instant::now());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn ask(&mut self, action: &Action) -> Result<Reply> {
        let id = self.session.send(Instant::now(), action)?;
        let mut reply = Reply::default();
        self.until(|event| {
            let (action, message, end) = match *event {
                Event::Response { action, message } => (action, message, true),
                Event::ListStart { action, message } | Event::ListItem { action, message } => {
                    (action, message, false)
                }
                Event::ListEnd { action, message, items } => {
                    reply.items = Some(items);
                    (action, message, true)
                }
                Event::Failed { action, failure, message: Some(message) } => {
                    reply.failure = Some(failure);
                    (action, message, true)
                }
                _ => return None,
            };
            assert_eq!(action, id);
            reply.messages.push(message.to_owned());
            end.then_some(())
        })?;
        Ok(reply)
    }
}

fn config(secret: &str) -> Result<Config> {
    Ok(Config::new("lab", secret, "tandem-test")?)
}

fn one_server(name: &str, release: Release) -> Result<Lab> {
    let lab = Lab::builder(&format!("{name}-{}", release.version()))
        .without_server("B")
        .without_server("gateway")
        .server("A", |config| config.release(release))
        .start()?;
    Ok(lab)
}

#[test]
fn both_ways_to_log_in_work_and_a_wrong_secret_is_told_as_one() -> Result<()> {
    for (release, greeting) in [(Release::Asterisk22, "11."), (Release::Asterisk16, "5.")] {
        let lab = one_server("ami-login", release)?;
        for method in [LoginMethod::Challenge, LoginMethod::Plain] {
            let mut client = Client::connect(lab.a(), config(AMI_SECRET)?.login_method(method))?;
            client.until(|event| (*event == Event::LoggedIn).then_some(()))?;
            client.until(|event| matches!(event, Event::FullyBooted(_)).then_some(()))?;
            let version = String::from_utf8_lossy(client.session.version()).into_owned();
            ensure!(version.starts_with(greeting), "{release:?} speaks version {version}");

            client.session.log_off();
            let lost = |event: &Event<'_>| match *event {
                Event::Lost(loss) => Some(loss),
                _ => None,
            };
            assert_eq!(client.until(lost)?, Loss::LoggedOff);

            let mut client = Client::connect(lab.a(), config("not it")?.login_method(method))?;
            assert_eq!(client.until(lost)?, Loss::WrongPassword);
        }
    }
    Ok(())
}

#[test]
fn lists_commands_and_refusals_are_told_as_what_they_are() -> Result<()> {
    for release in Release::ALL {
        let lab = one_server("ami-actions", release)?;
        tells_lists_commands_and_refusals(&lab)?;
    }
    Ok(())
}

fn tells_lists_commands_and_refusals(lab: &Lab) -> Result<()> {
    let mut client = Client::connect(lab.a(), config(AMI_SECRET)?)?;
    client.until(|event| (*event == Event::LoggedIn).then_some(()))?;

    let list = client.ask(&Action::new("PJSIPShowEndpoints")?)?;
    let end = list.messages.last().context("an end")?;
    let counted = String::from_utf8_lossy(end.get("ListItems").context("a count")?).into_owned();
    assert_eq!(list.items.map(|items| items.to_string()), Some(counted));
    ensure!(list.messages.len() > 3, "the lab has some endpoints");
    assert_eq!(list.messages[1].get("Event"), Some(&b"EndpointList"[..]));

    let command = Action::new("Command")?.header("Command", "core show version")?;
    let output = client.ask(&command)?.messages[0].as_message().output().next().map(<[u8]>::to_vec);
    let version = format!("Asterisk {}.", lab.a().release().version());
    ensure!(output.is_some_and(|line| line.starts_with(version.as_bytes())), "one line of output");

    let unknown = client.ask(&Action::new("NoSuchAction")?)?;
    assert_eq!(unknown.failure, Some(Failure::UnknownAction));
    let refused = client.ask(&Action::new("Hangup")?.header("Channel", "no-such-channel")?)?;
    assert_eq!(refused.failure, Some(Failure::Refused));
    // The longest line that may be said is read to its end: the answer repeats none of it, but comes.
    let long = Action::new("Ping")?.header("X", "y".repeat(1024 - "X: \r\n".len()))?;
    assert_eq!(client.ask(&long)?.failure, None);
    let mut many = Action::new("Ping")?;
    for at in 0..126 {
        many = many.header(format!("X{at}"), "y")?;
    }
    assert_eq!(client.ask(&many)?.failure, None, "128 headers are read");
    Ok(())
}

#[test]
fn a_server_that_stops_says_so_before_it_closes() -> Result<()> {
    for release in Release::ALL {
        let lab = one_server("ami-stop", release)?;
        let mut client = Client::connect(lab.a(), config(AMI_SECRET)?)?;
        client.until(|event| (*event == Event::LoggedIn).then_some(()))?;
        lab.a().stop()?;
        let lost = client.until(|event| match *event {
            Event::Lost(loss) => Some(loss),
            _ => None,
        })?;
        assert_eq!(lost, Loss::ShuttingDown);
    }
    Ok(())
}
