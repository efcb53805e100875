//! Writes down what a real Asterisk 22 says on its manager interface: `recording.ami`, from which the simulated
//! servers speak.
//!
//! Two phones register at a server of the lab, one calls the other and hangs up, and one takes its registration
//! back. While the call is up, all that the hub asks is asked. Each section `@ NAME` is what came then, byte for
//! byte but for line ends and the `ActionID` of our own; `@ pause MS` stands where the server was silent.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tandem_lab::{AMI_SECRET, Lab, ServerConfig, phone_secret};

use super::recording::{CALLED, CALLER};

/// What makes `./bench` record.
pub(crate) const RECORD: &str = "record-ami";
/// A server that has these two phones and no other.
const SERVER: &str = "office";
/// Bound of what takes a moment on loopback.
const SOON: Duration = Duration::from_secs(20);
/// No more is coming.
const QUIET: Duration = Duration::from_millis(700);
/// Events that are closer to each other are of one burst.
const PAUSE_MS: u128 = 20;
/// The hub's user: what the documentation tells people to write.
const USER: &str =
    "\n[tandem]\nsecret = @AMI_SECRET@\nread = system,call\nwrite = system,call,reporting\n";
/// What the hub asks, with the headers that it sends.
const ACTIONS: [(&str, &str); 16] = [
    ("ListCommands", ""),
    ("CoreSettings", ""),
    ("CoreStatus", ""),
    ("CoreShowChannels", ""),
    ("PJSIPShowEndpoints", ""),
    ("PJSIPShowContacts", ""),
    ("IAXpeerlist", ""),
    ("SIPpeers", ""),
    ("DeviceStateList", ""),
    ("VoicemailUsersList", ""),
    ("PJSIPShowRegistrationsOutbound", ""),
    ("IAXregistry", ""),
    ("SIPshowregistry", ""),
    ("PJSIPShowEndpoint", "Endpoint: 70411\r\n"),
    ("MailboxCount", "Mailbox: 70411@default\r\n"),
    ("Ping", ""),
];

/// Records into a file.
///
/// # Errors
///
/// If the lab does not do what is expected of it.
pub(crate) fn record(path: &Path) -> Result<()> {
    let lab = Lab::builder("bench-hub-record")
        .without_server("A")
        .without_server("B")
        .without_server("gateway")
        .caches(0)
        .server(SERVER, |config| {
            [CALLER, CALLED].into_iter().fold(config.load("res_manager_devicestate"), phone)
        })
        .start()?;
    let desk = lab.phone(CALLED).answers(false).start()?;
    let caller = lab.phone(CALLER).start()?;
    let mut client = Client {
        stream: lab.server(SERVER)?.ami_stream(SOON)?,
        text: String::new(),
        asked: 0,
        last: Instant::now(),
    };
    client.stream.set_read_timeout(Some(Duration::from_millis(5)))?;

    client.section("greeting");
    client.quiet()?;
    client.ask("Challenge", "AuthType: MD5\r\n")?;
    let login = format!("Username: tandem\r\nSecret: {AMI_SECRET}\r\nEvents: system,call\r\n");
    client.ask("Login", &login)?;
    for (phone, section) in [(&desk, "registration"), (&caller, "registration of the other")] {
        client.section(section);
        phone.register_at(lab.server(SERVER)?, Duration::from_secs(600))?;
        client.quiet()?;
    }
    client.section("call begins");
    caller.dial(lab.server(SERVER)?, CALLED)?;
    client.until("ChannelStateDesc: Ringing\n", 1)?;
    client.quiet()?;
    desk.answer()?;
    client.until("Event: BridgeEnter", 2)?;
    client.quiet()?;
    for (action, headers) in ACTIONS {
        client.ask(action, headers)?;
    }
    client.section("call ends");
    caller.hang_up()?;
    client.until("Event: Hangup\n", 2)?;
    client.quiet()?;
    client.section("unregistration");
    desk.unregister_at(lab.server(SERVER)?)?;
    client.quiet()?;
    fs::write(path, client.text).with_context(|| format!("write {}", path.display()))
}

/// A phone that is asked whether it is there, and has a mailbox.
fn phone(config: ServerConfig, number: &str) -> ServerConfig {
    let secret = phone_secret(number);
    let config = match number {
        CALLER => config.append("manager.conf", USER),
        _ => config,
    };
    config
        .append(
            "pjsip.conf",
            &format!(
                "\n[{number}](phone)\nauth = {number}\naors = {number}\n\
                 callerid = Phone {number} <{number}>\nmailboxes = {number}@default\n\
                 [{number}](phone-auth)\nusername = {number}\npassword = {secret}\n\
                 [{number}](phone-aor)\nqualify_frequency = 60\n"
            ),
        )
        .append("voicemail.conf", &format!("{number} => 1234,Phone {number}\n"))
}

struct Client {
    stream: TcpStream,
    text: String,
    asked: u32,
    /// When something came last.
    last: Instant,
}

impl Client {
    fn section(&mut self, name: &str) {
        let blank = if self.text.is_empty() || self.text.ends_with("\n\n") { "" } else { "\n" };
        self.text.push_str(blank);
        self.text.push_str(&format!("@ {name}\n\n"));
    }

    /// Where the section began.
    fn last_section(&self) -> usize {
        let sections = self.text.match_indices("@ ").map(|(at, _)| at);
        let sections = sections.filter(|&at| !self.text[at..].starts_with("@ pause"));
        sections.last().unwrap_or(0)
    }

    /// Whether nothing has come in it.
    fn is_empty(&self) -> bool {
        self.text[self.last_section()..].trim_end().lines().count() < 2
    }

    /// Takes what comes until nothing does.
    fn quiet(&mut self) -> Result<()> {
        self.take(None)
    }

    /// Takes what comes until something has come so often in this section.
    fn until(&mut self, what: &str, count: usize) -> Result<()> {
        self.take(Some((what, count)))
    }

    fn ask(&mut self, action: &str, headers: &str) -> Result<()> {
        self.section(action);
        let mark = self.text.len();
        self.asked += 1;
        let id = format!("record-{}", self.asked);
        let said = format!("Action: {action}\r\nActionID: {id}\r\n{headers}\r\n");
        self.stream.write_all(said.as_bytes())?;
        self.until("Response: ", 1)?;
        self.quiet()?;
        let said = self.text.split_off(mark).replace(&format!("ActionID: {id}\n"), "");
        self.text.push_str(&said);
        Ok(())
    }

    fn take(&mut self, wanted: Option<(&str, usize)>) -> Result<()> {
        let from = self.last_section();
        let began = Instant::now();
        let mut buf = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buf) {
                Ok(0) => bail!("the server has closed the connection"),
                Ok(len) => {
                    let silent_ms = self.last.elapsed().as_millis();
                    let is_between = self.text.ends_with("\n\n") && !self.is_empty();
                    if silent_ms >= PAUSE_MS && is_between {
                        self.text.push_str(&format!("@ pause {silent_ms}\n\n"));
                    }
                    self.text.push_str(&String::from_utf8_lossy(&buf[..len]).replace('\r', ""));
                    self.last = Instant::now();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            match wanted {
                None if self.last.max(began).elapsed() > QUIET => return Ok(()),
                Some((what, count)) if self.text[from..].matches(what).count() >= count => {
                    return Ok(());
                }
                _ if began.elapsed() > SOON => bail!("nothing came within {SOON:?}"),
                _ => {}
            }
        }
    }
}
