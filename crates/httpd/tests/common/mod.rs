//! A server with a service that does what its paths say, and clients that see what comes.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use httpd::{
    Again, Answer, Body, Context, Interest, JoinOnDrop, Limits, Next, Peer, PlainWrap, Ready,
    Refusal, Request, Response, Server, Service, Start, StreamKey, Wrap,
};
use rustix::net::{AddressFamily, SocketType, sockopt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub(crate) mod shy;

/// The answer to `/big`: more than the buffers of two sockets.
pub(crate) const BIG_BYTES: usize = 64 * 1024 * 1024;
/// The answer to `/slab`: more than those buffers too, but several of them do fit into memory.
pub(crate) const SLAB_BYTES: usize = 16 * 1024 * 1024;
/// Nothing here takes as long, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the service does and is to do.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) requests: AtomicUsize,
    pub(crate) held: AtomicUsize,
    pub(crate) deny: AtomicBool,
    pub(crate) streams_over: AtomicUsize,
    pub(crate) stream_ends: AtomicBool,
    pub(crate) stream_floods: AtomicBool,
    pub(crate) threads: AtomicUsize,
    released: Mutex<bool>,
    changed: Condvar,
    said: Mutex<String>,
    watched: Mutex<Option<UnixStream>>,
    heard: Mutex<Vec<u8>>,
}

impl State {
    pub(crate) fn release(&self) {
        *self.released.lock().expect("unpoisoned") = true;
        self.changed.notify_all();
    }

    fn hold(&self) {
        self.held.fetch_add(1, Ordering::SeqCst);
        let released = self.released.lock().expect("unpoisoned");
        let waited = self.changed.wait_timeout_while(released, PATIENCE, |released| !*released);
        assert!(*waited.expect("unpoisoned").0, "nobody released it");
    }

    pub(crate) fn say(&self, text: &str) {
        self.said.lock().expect("unpoisoned").push_str(text);
    }

    pub(crate) fn watched(&self) -> UnixStream {
        let watched = self.watched.lock().expect("unpoisoned");
        watched.as_ref().expect("a watched one").try_clone().expect("a clone")
    }

    pub(crate) fn heard(&self) -> Vec<u8> {
        self.heard.lock().expect("unpoisoned").clone()
    }
}

struct Doing {
    state: Arc<State>,
    watched: Option<UnixStream>,
}

impl Service for Doing {
    fn admits(&mut self, _peer: &Peer) -> bool {
        !self.state.deny.load(Ordering::SeqCst)
    }

    fn request(&mut self, context: &mut Context<'_>, _peer: &Peer, request: Request) -> Answer {
        self.state.requests.fetch_add(1, Ordering::SeqCst);
        let (state, path) = (self.state.clone(), request.path.clone());
        let respond = move || Again::Respond(Response::text(200, path));
        match request.path.as_str() {
            "/work" => Answer::Work(Box::new(respond)),
            "/hold" => Answer::Work(Box::new(move || {
                state.hold();
                respond()
            })),
            "/again" if request.attempt == 0 => {
                Answer::Work(Box::new(move || Again::Request(request)))
            }
            "/panic" => panic!("as asked"),
            "/panic-work" => Answer::Work(Box::new(|| panic!("as asked"))),
            "/stream" => Answer::Stream(Response::new(200), StreamKey(1)),
            "/big" => {
                Answer::Now(Response::new(200).with_body("a/b", Body::Owned(vec![b'x'; BIG_BYTES])))
            }
            "/slab" => {
                let slab = Body::Owned(vec![b'x'; SLAB_BYTES]);
                Answer::Now(Response::new(200).with_body("a/b", slab))
            }
            "/watch" => {
                let (ours, theirs) = UnixStream::pair().expect("a pair");
                ours.set_nonblocking(true).expect("a socket");
                let interest = Interest { read: true, write: false };
                context.watch(ours.as_fd(), 7, interest).expect("watched");
                self.watched = Some(ours);
                *state.watched.lock().expect("unpoisoned") = Some(theirs);
                Answer::Now(Response::text(200, "watching"))
            }
            _ => Answer::Now(Response::text(200, request.path)),
        }
    }

    fn refusal(refusal: &Refusal<'_>) -> Response {
        refusal.as_text().with_header("About", refusal.path.unwrap_or("?").to_owned())
    }

    fn stream(&mut self, context: &mut Context<'_>, _key: StreamKey) -> Next {
        if self.state.stream_floods.load(Ordering::SeqCst) {
            return Next::Data(vec![b'x'; 10_000]);
        }
        let said = std::mem::take(&mut *self.state.said.lock().expect("unpoisoned"));
        match said.is_empty() {
            false => Next::Data(said.into_bytes()),
            true if self.state.stream_ends.load(Ordering::SeqCst) => Next::End,
            true => Next::Wait(context.now() + PATIENCE),
        }
    }

    fn stream_over(&mut self, _context: &mut Context<'_>, _key: StreamKey) {
        self.state.streams_over.fetch_add(1, Ordering::SeqCst);
    }

    fn ready(&mut self, _context: &mut Context<'_>, key: u64, ready: Ready) {
        assert_eq!((key, ready.read), (7, true));
        let mut buffer = [0; 100];
        let watched = self.watched.as_mut().expect("a watched one");
        let read = watched.read(&mut buffer).expect("something");
        self.state.heard.lock().expect("unpoisoned").extend_from_slice(&buffer[..read]);
    }

    fn tick(&mut self, _context: &mut Context<'_>) -> Option<Instant> {
        None
    }
}

/// A running server.
pub(crate) struct Rig {
    pub(crate) state: Arc<State>,
    server: Option<Server>,
}

impl Rig {
    pub(crate) fn new(limits: Limits) -> Self {
        Self::wrapped(limits, Box::new(PlainWrap))
    }

    pub(crate) fn wrapped(limits: Limits, wrap: Box<dyn Wrap>) -> Self {
        let state = Arc::new(State::default());
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let start = Start {
            listeners: vec![listener],
            wrap,
            limits,
            service: Doing { state: state.clone(), watched: None },
            names: [c"io", c"worker"],
        };
        let threads = state.clone();
        let server = Server::start(start, &|name, body| {
            threads.threads.fetch_add(1, Ordering::SeqCst);
            let threads = threads.clone();
            JoinOnDrop::spawn(
                name,
                Box::new(move || {
                    body();
                    threads.threads.fetch_sub(1, Ordering::SeqCst);
                }),
            )
        });
        Self { state, server: Some(server.expect("a server")) }
    }

    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }

    pub(crate) fn stop(&mut self) {
        self.server.take().expect("it ran").stop();
    }

    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, is_so: impl Fn(&State) -> bool) {
        let begun = Instant::now();
        while !is_so(&self.state) {
            assert!(begun.elapsed() < PATIENCE, "not so: {what}");
            std::thread::yield_now();
        }
    }

    /// A client with an address of its own.
    pub(crate) fn connect_from(&self, address: &str) -> TcpStream {
        self.connect_with(address, None)
    }

    /// One that asks for `/slab`, again and again, and whose kernel takes next to nothing of it.
    pub(crate) fn connect_greedy(&self, address: &str) -> TcpStream {
        let before = self.state.requests.load(Ordering::SeqCst);
        let mut client = self.connect_with(address, Some(4096));
        client.write_all(&b"GET /slab HTTP/1.1\r\nHost: a\r\n\r\n".repeat(150)).expect("sent");
        self.wait_until("asked", |state| state.requests.load(Ordering::SeqCst) > before);
        client
    }

    fn connect_with(&self, address: &str, receive_bytes: Option<usize>) -> TcpStream {
        let from = SocketAddr::new(address.parse::<IpAddr>().expect("an address"), 0);
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None);
        let socket = socket.expect("a socket");
        sockopt::set_socket_reuseaddr(&socket, true).expect("an option");
        if let Some(bytes) = receive_bytes {
            sockopt::set_socket_recv_buffer_size(&socket, bytes).expect("an option");
        }
        rustix::net::bind(&socket, &from).expect("bound");
        rustix::net::connect(&socket, &self.server().addresses()[0]).expect("connected");
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        stream
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.state.release();
    }
}

pub(crate) fn connect(rig: &Rig) -> TcpStream {
    rig.connect_from("127.0.0.1")
}

pub(crate) fn exchange(client: &mut TcpStream, request: &[u8]) -> String {
    client.write_all(request).expect("sent");
    read_answer(client)
}

/// One answer, by its length.
#[track_caller]
pub(crate) fn read_answer(client: &mut TcpStream) -> String {
    let mut answer = read_head(client);
    let length = answer.split("Content-Length: ").nth(1).and_then(|rest| rest.split('\r').next());
    let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    answer.push_str(&read_exactly(client, length));
    answer
}

#[track_caller]
pub(crate) fn read_head(client: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match client.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&head)),
        }
    }
    String::from_utf8(head).expect("text")
}

#[track_caller]
pub(crate) fn read_exactly(client: &mut TcpStream, length: usize) -> String {
    let mut bytes = vec![0; length];
    client.read_exact(&mut bytes).expect("so much");
    String::from_utf8(bytes).expect("text")
}

/// What comes until the end, or until it is broken off.
pub(crate) fn read_all(client: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = client.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How many files this process may have open, having asked for `wanted`.
pub(crate) fn raise_open_files(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = wanted as u64;
    let most = limit.maximum.unwrap_or(u64::MAX).min(wanted);
    let now = limit.current.unwrap_or(u64::MAX);
    if now < most {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..limit });
    }
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(allowed).unwrap_or(usize::MAX)
}
