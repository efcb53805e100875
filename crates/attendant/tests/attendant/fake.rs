//! An Asterisk that is none, for tests and for looking at the pages.
//!
//! Its control socket does what `listener` and `netconsole` of Asterisk's main/asterisk.c (22.10.1)
//! do: a greeting line, commands that end with NUL, `cli quit after COMMAND` as the first one ends
//! the connection, reads of 512 bytes, a console mute until `logger mute` toggles it, 128
//! connections, two of which wait to be taken (`listen`). Its commands are made up, but for those whose output is read: `_command
//! matchesarray`, `univar show` and `universal show registrations` print what the real ones print.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use attendant::{Channel, Level, Module, Pbx, Peer, PeerState, Security, SecurityEvent, System};

/// Of `AST_MAX_CONNECTS`.
const CONNECTS_MAX: usize = 128;
/// Of `ast_makesocket`.
const BACKLOG: i32 = 2;
/// Of `inbuf` in `netconsole`.
const READ_BYTES: usize = 512;

/// What it is like, and what it was told.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) channels: Mutex<Vec<Channel>>,
    pub(crate) peers: Mutex<Vec<Peer>>,
    pub(crate) has_universal: AtomicBool,
    /// Whether app_universal's commands wait, as they do while something is unloaded.
    pub(crate) is_universal_stuck: AtomicBool,
    /// Whether the list of modules waits, as it does while one is loaded.
    pub(crate) are_modules_stuck: AtomicBool,
    /// Whether the peers wait, as they do while a database of contacts hangs.
    pub(crate) are_peers_stuck: AtomicBool,
    /// How many ask for the modules.
    pub(crate) module_askers: AtomicUsize,
    pub(crate) security: Mutex<Vec<(Security, String)>>,
    pub(crate) log: Mutex<Vec<String>>,
    /// Held while no console is taken.
    pub(crate) taking: Mutex<()>,
    /// Consoles that are connected.
    pub(crate) consoles: AtomicUsize,
    /// How often the channels were asked for.
    pub(crate) looks: AtomicUsize,
    unmuted: Mutex<HashMap<usize, UnixStream>>,
    is_released: Mutex<bool>,
    released: Condvar,
}

/// The whole of it.
pub(crate) struct Fake {
    pub(crate) state: Arc<State>,
    socket: PathBuf,
    begun: Instant,
}

impl Fake {
    /// With a control socket in `folder`.
    pub(crate) fn new(folder: &Path) -> Arc<Self> {
        let socket = folder.join("asterisk.ctl");
        let _ = std::fs::remove_file(&socket);
        let listener = listener(&socket).expect("a control socket");
        let state = Arc::new(State::default());
        let listening = state.clone();
        std::thread::spawn(move || listen(&listener, &listening));
        Arc::new(Self { state, socket, begun: Instant::now() })
    }
}

impl State {
    /// A line of the log, to all consoles that are not mute.
    pub(crate) fn say(&self, line: &[u8]) {
        for console in self.unmuted.lock().expect("unpoisoned").values_mut() {
            let _ = console.write_all(&[line, b"\n"].concat());
        }
    }

    /// Consoles that listen to the log are ended.
    pub(crate) fn end_listeners(&self) {
        for console in self.unmuted.lock().expect("unpoisoned").values() {
            let _ = console.shutdown(std::net::Shutdown::Both);
        }
    }

    /// How many consoles listen to the log.
    pub(crate) fn listeners(&self) -> usize {
        self.unmuted.lock().expect("unpoisoned").len()
    }

    /// Commands that never end do.
    pub(crate) fn release(&self) {
        *self.is_released.lock().expect("unpoisoned") = true;
        self.released.notify_all();
    }

    fn never_end(&self) {
        let released = self.is_released.lock().expect("unpoisoned");
        drop(self.released.wait_while(released, |released| !*released).expect("unpoisoned"));
    }

    pub(crate) fn events(&self, what: Security) -> usize {
        let events = self.security.lock().expect("unpoisoned");
        events.iter().filter(|(is, _)| *is == what).count()
    }
}

fn listener(path: &Path) -> rustix::io::Result<UnixListener> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
    let socket = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

fn listen(listener: &UnixListener, state: &Arc<State>) {
    for (number, stream) in listener.incoming().enumerate() {
        let Ok(mut stream) = stream else { return };
        drop(state.taking.lock());
        if state.consoles.load(Ordering::SeqCst) >= CONNECTS_MAX {
            let _ = stream.write_all(b"No more connections allowed\n");
            continue;
        }
        state.consoles.fetch_add(1, Ordering::SeqCst);
        let state = state.clone();
        std::thread::spawn(move || {
            netconsole(stream, number, &state);
            state.unmuted.lock().expect("unpoisoned").remove(&number);
            state.consoles.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

fn netconsole(mut stream: UnixStream, number: usize, state: &State) {
    let _ = stream.write_all(b"fakehost/4711/22.10.1\n");
    let (mut input, mut buffer) = (Vec::new(), [0; READ_BYTES]);
    loop {
        let Ok(read @ 1..) = stream.read(&mut buffer[..READ_BYTES - input.len()]) else { return };
        input.extend_from_slice(&buffer[..read]);
        if let Some(once) = input.strip_prefix(b"cli quit after ") {
            for command in commands(once) {
                run(&command, &mut stream, number, state);
            }
            return;
        }
        let end = input.iter().rposition(|byte| *byte == 0).map_or(0, |last| last + 1);
        for command in commands(&input[..end]) {
            run(&command, &mut stream, number, state);
        }
        input.drain(..end);
        if input.len() == READ_BYTES {
            input.clear();
        }
    }
}

/// Those that NUL ends.
fn commands(input: &[u8]) -> Vec<String> {
    let end = input.iter().rposition(|byte| *byte == 0).unwrap_or(0);
    let all = input[..end].split(|byte| *byte == 0);
    all.map(|command| String::from_utf8_lossy(command).into_owned()).collect()
}

const KNOWN: [&str; 12] = [
    "core show channels",
    "core show channeltypes",
    "core show uptime",
    "core reload",
    "core restart now",
    "core stop now",
    "fake big",
    "fake colours",
    "fake forever",
    "pjsip show endpoints",
    "univar show",
    "universal show registrations",
];

fn run(command: &str, out: &mut UnixStream, number: usize, state: &State) {
    let mut say = |text: &[u8]| {
        let _ = out.write_all(text);
    };
    match command {
        "logger mute silent" => {
            let mut unmuted = state.unmuted.lock().expect("unpoisoned");
            if unmuted.remove(&number).is_none() {
                unmuted.insert(number, out.try_clone().expect("a clone"));
            }
        }
        "core show uptime" => say(b"System uptime: 3 weeks, 2 days, 4 hours\nLast reload: 7 minutes\n"),
        "core show channels" => {
            say(b"Channel              Location             State   Application(Data)\n");
            for channel in &*state.channels.lock().expect("unpoisoned") {
                let place = format!("{}@{}:{}", channel.extension, channel.context, channel.priority);
                let (application, data) = (&channel.application, &channel.application_data);
                say(format!("{:<20} {place:<20} {:<7} {application}({data})\n", channel.name, channel.state)
                    .as_bytes());
            }
            say(b"4 active channels\n2 active calls\n1,234 calls processed\n");
        }
        "fake big" => {
            // 10 MB.
            for _ in 0..10_240 {
                say(&[[b'x'; 1023].as_slice(), b"\n"].concat());
            }
        }
        "fake colours" => say(b"\x1b[1;32mgreen\x1b[0m and plain\n\xfdverbose\n"),
        "fake forever" => {
            say(b"Waiting for something that does not come\n");
            state.never_end();
        }
        "univar show" if state.is_universal_stuck.load(Ordering::SeqCst) => state.never_end(),
        "univar show" => say(variables().as_bytes()),
        "universal show registrations" => say(registrations().as_bytes()),
        _ => match command.strip_prefix("_command matchesarray ") {
            Some(rest) => say(matches(rest).as_bytes()),
            None if command.starts_with("core set verbose") => {}
            None => say(format!(
                "No such command '{command}' (type 'core show help {command}' for other possible commands)\n"
            )
            .as_bytes()),
        },
    }
}

/// As `handle_commandmatchesarray` prints them: the common part, each, and the mark of the end.
fn matches(arguments: &str) -> String {
    let line = arguments.split('"').nth(1).unwrap_or_default();
    let before = line.split(' ').count() - 1;
    let mut words: Vec<&str> = KNOWN
        .iter()
        .filter(|known| known.starts_with(line))
        .filter_map(|known| known.split(' ').nth(before))
        .collect();
    words.sort_unstable();
    words.dedup();
    let Some(first) = words.first() else { return "_EOF_".into() };
    let common = words.iter().fold(first.len(), |length, word| {
        first.bytes().zip(word.bytes()).take(length).take_while(|(a, b)| a == b).count()
    });
    format!("{} {} _EOF_", &first[..common], words.join(" "))
}

fn variables() -> String {
    let rows = [
        ("PEERA_200", "serverA"),
        ("PEERA_201", "serverA"),
        ("closed", "1"),
        ("queue.open", "08:00-17:30"),
    ];
    let rows: String = rows.iter().map(|(name, value)| format!("{name:<40} {value}\n")).collect();
    format!("{rows}{} universal variable(s)\n", 4)
}

fn registrations() -> String {
    let mut text = format!(
        "{:<24} {:<32} {:<14} {:>8} {:>8} {:>8}\n",
        "Peer", "Variable", "State", "Contacts", "Expires", "Renewed"
    );
    for (peer, variable, state, expires) in [
        ("PJSIP/200", "PEERA_200", "published", 3412),
        ("PJSIP/201", "PEERA_201", "published", 118),
        ("IAX2/210", "PEERA_210", "another's", 55),
    ] {
        text.push_str(&format!(
            "{peer:<24} {variable:<32} {state:<14} {:>8} {expires:>8} {:>8}\n",
            1, 20
        ));
    }
    text + "3 registration(s)\n"
}

impl Pbx for Fake {
    fn system(&self) -> System {
        let channels = self.state.channels.lock().expect("unpoisoned").len() as u64;
        System {
            version: "22.10.1".into(),
            system_name: "berlin".into(),
            host_name: "pbx1.example".into(),
            pid: 4711,
            uptime: Duration::from_secs(1_999_000) + self.begun.elapsed(),
            since_reload: Duration::from_secs(431) + self.begun.elapsed(),
            processed_calls: 1234,
            active_calls: channels / 2,
            active_channels: channels,
            max_calls: 0,
            fully_booted: true,
            shutting_down: false,
        }
    }

    fn modules(&self) -> Vec<Module> {
        self.state.module_askers.fetch_add(1, Ordering::SeqCst);
        if self.state.are_modules_stuck.load(Ordering::SeqCst) {
            self.state.never_end();
        }
        self.state.module_askers.fetch_sub(1, Ordering::SeqCst);
        let modules = [
            ("app_dial.so", "Dialing Application", "Running", "core"),
            (
                "app_universal.so",
                "Universal variables and shared registrations",
                "Running",
                "extended",
            ),
            ("chan_iax2.so", "Inter Asterisk eXchange (Ver 2)", "Running", "core"),
            ("chan_pjsip.so", "PJSIP Channel Driver", "Running", "core"),
            ("pbx_web.so", "A web server inside Asterisk", "Running", "extended"),
            ("res_calendar.so", "Asterisk Calendar integration", "Not Running", "extended"),
            ("res_pjsip.so", "Basic SIP resource", "Running", "core"),
        ];
        let modules =
            modules.into_iter().zip(0..).map(|((name, about, status, support), uses)| Module {
                name: name.into(),
                description: about.into(),
                use_count: uses,
                status: status.into(),
                support: support.into(),
            });
        modules.collect()
    }

    fn is_running(&self, module: &str) -> bool {
        module == "app_universal.so" && self.state.has_universal.load(Ordering::SeqCst)
    }

    fn channels(&self) -> Vec<Channel> {
        self.state.looks.fetch_add(1, Ordering::SeqCst);
        self.state.channels.lock().expect("unpoisoned").clone()
    }

    fn peers(&self) -> Vec<Peer> {
        if self.state.are_peers_stuck.load(Ordering::SeqCst) {
            self.state.never_end();
        }
        self.state.peers.lock().expect("unpoisoned").clone()
    }

    fn control_socket(&self) -> PathBuf {
        self.socket.clone()
    }

    fn security(&self, event: &SecurityEvent<'_>) {
        self.state.security.lock().expect("unpoisoned").push((event.what, event.user.to_owned()));
    }

    fn log(&self, _level: Level, message: &str) {
        self.state.log.lock().expect("unpoisoned").push(message.to_owned());
        self.state.say(message.as_bytes());
    }
}

/// A channel with what pages show.
pub(crate) fn channel(
    name: &str,
    call: &str,
    state: &str,
    [caller, connected]: [&str; 2],
) -> Channel {
    Channel {
        name: name.into(),
        unique_id: format!("1764428{call}.{}", name.len()),
        linked_id: format!("1764428{call}"),
        state: state.into(),
        caller_number: caller.into(),
        caller_name: if caller == "200" { "Anna Müller".into() } else { String::new() },
        connected_number: connected.into(),
        context: "phones".into(),
        extension: connected.into(),
        priority: 3,
        application: "Dial".into(),
        application_data: format!("PJSIP/{connected},20"),
        duration: Duration::from_secs(75),
        ..Channel::default()
    }
}

/// A peer.
pub(crate) fn peer(tech: &str, resource: &str, state: PeerState, contact: &str) -> Peer {
    let contacts = if contact.is_empty() { Vec::new() } else { vec![contact.to_owned()] };
    Peer { tech: tech.into(), resource: resource.into(), state, channels: Vec::new(), contacts }
}
