//! A module that looks around: what Asterisk says of itself, its modules, channels, endpoints and
//! their contacts; it reports a security event, and answers over TLS without ever blocking.
//!
//! `look ...` on the console shows each. It is what `tests/wrapper.rs` looks through.

use std::ffi::CStr;
use std::fmt::Write as _;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use asterisk::cli::{Args, Command, Outcome, Output};
use asterisk::security::{self, Attempt, Event, Transport};
use asterisk::thread::{Stop, Thread};
use asterisk::tls::{Context, Settings, Stream, TlsError};
use asterisk::{LoadError, Module, Registry, contact, endpoint, loader, snapshot, system};

/// How often the server looks whether there is anything to do: it is an example, and has no `poll`.
const TICK: Duration = Duration::from_millis(5);

/// How long a command that hangs does so at most.
const HANG_MOST: Duration = Duration::from_secs(60);

/// How much `look flood` prints.
const FLOOD_BYTES: usize = 10 * 1024 * 1024;
const FLOOD_LINE_BYTES: usize = 1024;

#[derive(Default)]
struct Look {
    server: Mutex<Option<Thread>>,
    watch: Mutex<Option<Thread>>,
    /// Whether commands that hang may go on.
    released: Mutex<bool>,
    changed: Condvar,
}

impl Module for Look {
    const NAME: &'static CStr = c"look";
    const DESCRIPTION: &'static CStr = c"Looks around";

    fn load(registry: &mut Registry<Self>) -> Result<Self, LoadError> {
        registry
            .command::<AtSystem>()
            .command::<AtModules>()
            .command::<AtChannels>()
            .command::<AtEndpoints>()
            .command::<Report>()
            .command::<Serve>()
            .command::<Watch>()
            .command::<Hang>()
            .command::<Release>()
            .command::<Flood>();
        Ok(Self::default())
    }
}

asterisk::module!(Look);

/// `look system`
struct AtSystem;

impl Command for AtSystem {
    type Module = Look;
    const WORDS: &'static CStr = c"look system";
    const SUMMARY: &'static CStr = c"Show what Asterisk says of itself";
    const USAGE: &'static CStr = c"Usage: look system\n";

    fn run(_module: &Look, _args: Args<'_>, out: &mut Output) -> Outcome {
        let since = |at: SystemTime| at.elapsed().unwrap_or_default().as_secs();
        let _ = writeln!(out, "version: {}", system::version().to_string_lossy());
        let _ = writeln!(out, "up: {} s", since(system::started()));
        let _ = writeln!(out, "reloaded: {} s", since(system::last_reload()));
        let _ = writeln!(out, "booted: {}", system::is_fully_booted());
        let _ = writeln!(out, "ending: {}", system::is_shutting_down());
        let _ = writeln!(out, "socket: {}", system::control_socket().display());
        let _ = writeln!(out, "configuration: {}", system::config_folder().display());
        let _ = writeln!(out, "channels: {}", snapshot::active_channels());
        let calls = (snapshot::active_calls(), snapshot::processed_calls());
        let _ = writeln!(out, "calls: {} now, {} in all", calls.0, calls.1);
        let most = snapshot::max_calls().map_or("any".to_owned(), |most| most.to_string());
        let _ = writeln!(out, "at most: {most}");
        Outcome::Success
    }
}

/// `look modules`
struct AtModules;

impl Command for AtModules {
    type Module = Look;
    const WORDS: &'static CStr = c"look modules";
    const SUMMARY: &'static CStr = c"Show Asterisk's modules";
    const USAGE: &'static CStr = c"Usage: look modules\n";

    fn run(_module: &Look, _args: Args<'_>, out: &mut Output) -> Outcome {
        let Some(modules) = loader::modules::<Look>() else { return Outcome::Failure };
        for module in modules {
            let state = if module.running { "runs" } else { "does not run" };
            let (name, description) = (module.name, module.description);
            let (name, description) = (name.to_string_lossy(), description.to_string_lossy());
            let (uses, support) = (module.uses, module.support);
            let _ = writeln!(out, "{name} {state}, used by {uses}, {support:?}: {description}");
        }
        Outcome::Success
    }
}

/// `look watch`
struct Watch;

impl Command for Watch {
    type Module = Look;
    const WORDS: &'static CStr = c"look watch";
    const SUMMARY: &'static CStr = c"Look at all modules again and again, on a thread of our own";
    const USAGE: &'static CStr = c"Usage: look watch\n";

    fn run(module: &Look, _args: Args<'_>, _out: &mut Output) -> Outcome {
        let body = |stop: &Stop| while !stop.wait(TICK) && loader::modules::<Look>().is_some() {};
        match Thread::spawn(c"look-watch", body) {
            Ok(thread) => {
                *module.watch.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
                Outcome::Success
            }
            Err(_) => Outcome::Failure,
        }
    }
}

/// `look channels`
struct AtChannels;

impl Command for AtChannels {
    type Module = Look;
    const WORDS: &'static CStr = c"look channels";
    const SUMMARY: &'static CStr = c"Show all channels";
    const USAGE: &'static CStr = c"Usage: look channels\n";

    fn run(_module: &Look, _args: Args<'_>, out: &mut Output) -> Outcome {
        for channel in snapshot::channels() {
            out.untrusted(format!("{channel:?}").as_bytes());
            let _ = writeln!(out);
        }
        Outcome::Success
    }
}

/// `look endpoints`
struct AtEndpoints;

impl Command for AtEndpoints {
    type Module = Look;
    const WORDS: &'static CStr = c"look endpoints";
    const SUMMARY: &'static CStr = c"Show all endpoints, and where they are";
    const USAGE: &'static CStr = c"Usage: look endpoints\n";

    fn run(_module: &Look, _args: Args<'_>, out: &mut Output) -> Outcome {
        for endpoint in endpoint::all_of_all() {
            out.untrusted(format!("{endpoint:?}").as_bytes());
            let _ = writeln!(out);
        }
        for contact in contact::all() {
            out.untrusted(format!("{contact:?}").as_bytes());
            let _ = writeln!(out);
        }
        Outcome::Success
    }
}

/// `look report EVENT ACCOUNT LOCAL REMOTE`
struct Report;

impl Command for Report {
    type Module = Look;
    const WORDS: &'static CStr = c"look report";
    const SUMMARY: &'static CStr = c"Report a security event";
    const USAGE: &'static CStr = c"Usage: look report EVENT ACCOUNT LOCAL REMOTE\n";

    fn run(_module: &Look, args: Args<'_>, _out: &mut Output) -> Outcome {
        let word = |index| args.get(index).and_then(|word| word.to_str().ok());
        let address = |index| word(index).and_then(|word| word.parse::<SocketAddr>().ok());
        let (Some(account), Some(local), Some(remote)) = (word(1), address(2), address(3)) else {
            return Outcome::ShowUsage;
        };
        let event = match word(0) {
            Some("acl") => Event::FailedAcl { acl: "look" },
            Some("account") => Event::InvalidAccount,
            Some("password") => Event::InvalidPassword,
            Some("limit") => Event::SessionLimit,
            Some("request") => Event::RequestNotAllowed { request: "look", parameters: "out" },
            Some("success") => Event::SuccessfulAuth { using_password: true },
            _ => return Outcome::ShowUsage,
        };
        let attempt = Attempt {
            service: "LOOK",
            module: Look::NAME,
            account,
            session: "1",
            since: Some(SystemTime::now()),
            local,
            remote,
            transport: Transport::Tls,
        };
        security::report(event, &attempt);
        Outcome::Success
    }
}

/// `look hang`
struct Hang;

impl Command for Hang {
    type Module = Look;
    const WORDS: &'static CStr = c"look hang";
    const SUMMARY: &'static CStr = c"Do not end until `look release`, or for a minute";
    const USAGE: &'static CStr = c"Usage: look hang\n";

    fn run(module: &Look, _args: Args<'_>, out: &mut Output) -> Outcome {
        let _ = writeln!(out, "hanging");
        let released = module.released.lock().unwrap_or_else(PoisonError::into_inner);
        let hangs = |released: &mut bool| !*released;
        let _ended = module.changed.wait_timeout_while(released, HANG_MOST, hangs);
        Outcome::Success
    }
}

/// `look release`
struct Release;

impl Command for Release {
    type Module = Look;
    const WORDS: &'static CStr = c"look release";
    const SUMMARY: &'static CStr = c"Let `look hang` end";
    const USAGE: &'static CStr = c"Usage: look release\n";

    fn run(module: &Look, _args: Args<'_>, _out: &mut Output) -> Outcome {
        *module.released.lock().unwrap_or_else(PoisonError::into_inner) = true;
        module.changed.notify_all();
        Outcome::Success
    }
}

/// `look flood`
struct Flood;

impl Command for Flood {
    type Module = Look;
    const WORDS: &'static CStr = c"look flood";
    const SUMMARY: &'static CStr = c"Print ten megabytes";
    const USAGE: &'static CStr = c"Usage: look flood\n";

    fn run(_module: &Look, _args: Args<'_>, out: &mut Output) -> Outcome {
        let line = [b"x".repeat(FLOOD_LINE_BYTES - 1).as_slice(), b"\n"].concat();
        for _ in 0..FLOOD_BYTES / FLOOD_LINE_BYTES {
            out.bytes(&line);
        }
        Outcome::Success
    }
}

/// `look serve ADDRESS CERTIFICATE`
struct Serve;

impl Command for Serve {
    type Module = Look;
    const WORDS: &'static CStr = c"look serve";
    const SUMMARY: &'static CStr = c"Send back over TLS what is sent, in capitals";
    const USAGE: &'static CStr = c"Usage: look serve ADDRESS CERTIFICATE\n";

    fn run(module: &Look, args: Args<'_>, out: &mut Output) -> Outcome {
        let (Some(address), Some(file)) = (args.get(0), args.get(1)) else {
            return Outcome::ShowUsage;
        };
        match serve(address, file) {
            Ok(server) => {
                *module.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
                Outcome::Success
            }
            Err(error) => {
                let _ = writeln!(out, "{error}");
                Outcome::Failure
            }
        }
    }
}

fn serve(address: &CStr, file: &CStr) -> Result<Thread, Box<dyn std::error::Error>> {
    let settings = Settings { certificate: file, private_key: None, ciphers: None };
    let context = Context::server(&settings)?;
    let listener = TcpListener::bind(address.to_str()?)?;
    listener.set_nonblocking(true)?;
    let body = move |stop: &Stop| {
        while !stop.wait(TICK) {
            let Ok((socket, _)) = listener.accept() else { continue };
            if let Err(error) = answer(&context, socket, stop) {
                asterisk::notice!("the other side of TLS: {error}");
            }
        }
    };
    Ok(Thread::spawn(c"look-tls", body)?)
}

/// One at a time; `bye` ends it from this side.
fn answer(context: &Context, socket: TcpStream, stop: &Stop) -> Result<(), TlsError> {
    socket.set_nonblocking(true).map_err(TlsError::Io)?;
    let mut stream = context.accept(socket)?;
    patiently(stop, || stream.handshake())?;
    let mut buffer = [0; 4096];
    loop {
        let read = match patiently(stop, || stream.read(&mut buffer)) {
            Err(TlsError::Closed) => return patiently(stop, || stream.shutdown()),
            other => other?,
        };
        let is_last = buffer[..read].starts_with(b"bye");
        buffer[..read].make_ascii_uppercase();
        all(&mut stream, &buffer[..read], stop)?;
        if is_last {
            return patiently(stop, || stream.shutdown());
        }
    }
}

fn all(stream: &mut Stream<TcpStream>, mut left: &[u8], stop: &Stop) -> Result<(), TlsError> {
    while !left.is_empty() {
        let written = patiently(stop, || stream.write(left))?;
        left = &left[written..];
    }
    Ok(())
}

/// Does it again and again until it need not wait.
fn patiently<T>(stop: &Stop, mut body: impl FnMut() -> Result<T, TlsError>) -> Result<T, TlsError> {
    loop {
        match body() {
            Err(TlsError::WantRead | TlsError::WantWrite) if !stop.wait(TICK) => {}
            Err(TlsError::WantRead | TlsError::WantWrite) => {
                return Err(TlsError::Io(io::ErrorKind::Interrupted.into()));
            }
            other => return other,
        }
    }
}
