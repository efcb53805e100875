//! A running attendant beside an Asterisk that is none, and a client of few words.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use attendant::{Attendant, Pbx, RawLine, Role, Settings, check, new_user};
use base64::Engine as _;
use httpd::{JoinOnDrop, PlainWrap};
use serde_json::Value;

use crate::fake::Fake;

pub(crate) const PASSWORD: &str = "tandem-tandem";
/// Nothing here takes as long, or something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Rig {
    pub(crate) fake: Arc<Fake>,
    attendant: Option<Attendant>,
    folder: PathBuf,
    port: u16,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// What a client sends with each request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Client {
    address: Option<SocketAddr>,
    /// Another one of this machine's than usual.
    from: Option<Ipv4Addr>,
    fields: Vec<String>,
}

/// Lines of `[users]`; made once, for that takes its time.
fn users() -> &'static [String; 2] {
    static USERS: OnceLock<[String; 2]> = OnceLock::new();
    USERS.get_or_init(|| {
        [("admin", Role::Admin), ("viewer", Role::Viewer)]
            .map(|(name, role)| new_user(name, role, Some(PASSWORD)).expect("a user").line)
    })
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// With more lines of the file, users as they are.
    pub(crate) fn with(more: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let folder = format!("attendant-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        let fake = Fake::new(&folder);
        // Another may take the port between; then the next one is free.
        let attendant = (0..10).find_map(|_| {
            let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            let port = free.local_addr().expect("an address").port();
            drop(free);
            let settings = settings(port, more);
            let pbx: Arc<dyn Pbx> = fake.clone();
            Attendant::begin(settings, pbx, Box::new(PlainWrap), &JoinOnDrop::spawn).ok()
        });
        let attendant = attendant.expect("a free port");
        let port = attendant.addresses()[0].port();
        Self { fake, attendant: Some(attendant), folder, port }
    }

    pub(crate) fn attendant(&self) -> &Attendant {
        self.attendant.as_ref().expect("it runs")
    }

    pub(crate) fn reload(&self, more: &str) -> Vec<&'static str> {
        self.attendant().reload(settings(self.port, more))
    }

    pub(crate) fn stop(&mut self) {
        self.attendant = None;
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Nobody.
    pub(crate) fn nobody(&self) -> Client {
        let address = Some(self.attendant().addresses()[0]);
        Client { address, from: None, fields: vec![format!("Host: {}", self.host())] }
    }

    /// A program.
    pub(crate) fn program(&self, user: &str, password: &str) -> Client {
        let encoded =
            base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        self.nobody().with(&format!("Authorization: Basic {encoded}"))
    }

    pub(crate) fn admin(&self) -> Client {
        self.program("admin", PASSWORD)
    }

    pub(crate) fn viewer(&self) -> Client {
        self.program("viewer", PASSWORD)
    }

    /// A browser that has logged in: with its cookie, and what it needs for changes.
    pub(crate) fn browser(&self, user: &str) -> (Client, String) {
        let credentials = format!("{{\"user\":\"{user}\",\"password\":\"{PASSWORD}\"}}");
        let reply = self.nobody().post("/api/session", &credentials);
        assert_eq!(reply.status, 200, "{reply:?}");
        let cookie = reply.field("Set-Cookie").split(';').next().expect("a cookie").to_owned();
        let csrf = reply.json()["csrf"].as_str().expect("a word").to_owned();
        (self.nobody().with(&format!("Cookie: {cookie}")), csrf)
    }

    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "not so: {what}");
            std::thread::yield_now();
        }
    }

    /// Runs a command and waits for its end.
    pub(crate) fn run(&self, client: &Client, command: &str) -> Value {
        let id = self.begin(client, command);
        let path = format!("/api/console/{id}");
        self.wait_until(command, || client.get(&path).json()["running"] == false);
        client.get(&path).json()
    }

    pub(crate) fn begin(&self, client: &Client, command: &str) -> u64 {
        let body = serde_json::json!({ "command": command }).to_string();
        let reply = client.post("/api/console", &body);
        assert_eq!(reply.status, 202, "{reply:?}");
        reply.json()["id"].as_u64().expect("an id")
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.fake.state.release();
        self.attendant = None;
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// As Asterisk's reader would give them.
fn settings(port: u16, more: &str) -> Settings {
    let users = users().join("\n");
    let has_users = more.contains("[users]");
    let users = if has_users { String::new() } else { format!("[users]\n{users}\n") };
    let text = format!("{users}{more}\n[general]\nport = {port}");
    let (mut section, mut lines) = (String::new(), Vec::new());
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if let Some((name, value)) = line.split_once('=') {
            let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
            lines.push(RawLine { section: section.clone(), name, value, ..RawLine::default() });
        }
    }
    check(&lines).expect("good settings")
}

/// The line of `[users]` that makes `admin`.
pub(crate) fn admin_line() -> &'static str {
    &users()[0]
}

impl Client {
    /// With one more field; a `Host` takes the place of the one before.
    pub(crate) fn with(&self, field: &str) -> Self {
        let mut client = self.clone();
        if field.starts_with("Host:") {
            client.fields.retain(|field| !field.starts_with("Host:"));
        }
        client.fields.push(field.to_owned());
        client
    }

    /// From `127.0.0.LAST`.
    pub(crate) fn from(&self, last: u8) -> Self {
        Self { from: Some(Ipv4Addr::new(127, 0, 0, last)), ..self.clone() }
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.send("GET", path, "")
    }

    pub(crate) fn post(&self, path: &str, json: &str) -> Reply {
        self.with("Content-Type: application/json").send("POST", path, json)
    }

    pub(crate) fn send(&self, method: &str, path: &str, body: &str) -> Reply {
        let mut stream = self.begin(method, path, body);
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("an answer");
        Reply::of(&String::from_utf8(all).expect("text"))
    }

    /// Sends a request that is the last one of its connection.
    pub(crate) fn begin(&self, method: &str, path: &str, body: &str) -> TcpStream {
        let address = self.address.expect("an address");
        let mut stream = match self.from {
            Some(from) => connect_from(from, address),
            None => TcpStream::connect(address).expect("connected"),
        };
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        let fields = self.fields.join("\r\n");
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{fields}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).expect("sent");
        stream
    }

    /// Follows a stream.
    pub(crate) fn follow(&self, path: &str) -> Events {
        Events { stream: self.begin("GET", path, ""), text: String::new() }
    }
}

fn connect_from(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&socket, &SocketAddr::from((from, 0))).expect("an address of this machine's");
    connect(&socket, &to).expect("connected");
    socket.into()
}

impl Reply {
    fn of(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A field's value, or nothing.
    pub(crate) fn field(&self, name: &str) -> &str {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields
            .filter(|(is, _)| is.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .next()
            .unwrap_or("")
    }
}

/// A stream of events.
pub(crate) struct Events {
    stream: TcpStream,
    text: String,
}

impl Events {
    /// Reads on until that has come; gives all that has.
    #[track_caller]
    pub(crate) fn until(&mut self, wanted: &str) -> String {
        let (begun, mut buffer) = (Instant::now(), [0; 65_536]);
        while !self.text.contains(wanted) {
            assert!(begun.elapsed() < PATIENCE, "no {wanted:?}: {}", self.tail());
            match self.stream.read(&mut buffer) {
                Ok(read @ 1..) => self.text.push_str(&String::from_utf8_lossy(&buffer[..read])),
                other => panic!("{other:?} before {wanted:?}: {}", self.tail()),
            }
        }
        std::mem::take(&mut self.text)
    }

    /// Reads on until it ends, which has to be soon: it says now and then that it is there.
    #[track_caller]
    pub(crate) fn end(mut self) -> String {
        let (begun, mut buffer) = (Instant::now(), [0; 65_536]);
        while let Ok(read @ 1..) = self.stream.read(&mut buffer) {
            self.text.push_str(&String::from_utf8_lossy(&buffer[..read]));
            assert!(begun.elapsed() < PATIENCE, "it goes on: {}", self.tail());
        }
        self.text
    }

    fn tail(&self) -> &str {
        &self.text[self.text.floor_char_boundary(self.text.len().saturating_sub(2000))..]
    }
}
