//! A small module with one of each: `Hello()` in the dialplan, `${GREETING(name)}`, `hello show`
//! on the console, AMI's `HelloCount`, and a thread of its own.
//!
//! `cargo build -p asterisk --example hello` makes `libhello.so`; put it into Asterisk's folder of
//! modules as `hello.so` and say `module load hello`.

use std::ffi::{CStr, CString};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use asterisk::application::{Application, Then};
use asterisk::cli::{Args, Command, Outcome, Output};
use asterisk::function::{Access, Function, FunctionError, Value};
use asterisk::manager::{Action, Authority, Request, Response};
use asterisk::thread::Thread;
use asterisk::{Channel, LoadError, Module, Registry};

/// How often the thread counts.
const TICK: Duration = Duration::from_millis(10);

/// The module's state: what all of its callbacks share.
struct Hello {
    greeted: AtomicU64,
    ticks: Arc<AtomicU64>,
    _ticker: Thread,
}

impl Module for Hello {
    const NAME: &'static CStr = c"hello";
    const DESCRIPTION: &'static CStr = c"Greets";
    const RELOADABLE: bool = true;

    fn load(registry: &mut Registry<Self>) -> Result<Self, LoadError> {
        registry.application::<Greet>().function::<Greeting>().command::<Show>().action::<Count>();

        let ticks = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&ticks);
        let ticker = Thread::spawn(c"hello-ticker", move |stop| {
            while !stop.wait(TICK) {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
        Ok(Self { greeted: AtomicU64::new(0), ticks, _ticker: ticker.map_err(LoadError::decline)? })
    }
}

asterisk::module!(Hello);

/// `Hello(name)` sets `GREETING`. `Hello(panic)` shows what becomes of a panic.
struct Greet;

impl Application for Greet {
    type Module = Hello;
    const NAME: &'static CStr = c"Hello";

    fn run(module: &Hello, channel: &mut Channel<'_>, data: &CStr) -> Then {
        assert_ne!(data, c"panic", "somebody wanted to see a panic");
        module.greeted.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = channel.set_variable(c"GREETING", &greeting(data)) {
            asterisk::warning!("Hello() at {}: {error}", channel.spot());
        }
        Then::Continue
    }
}

/// `${GREETING(name)}`
struct Greeting;

impl Function for Greeting {
    type Module = Hello;
    const NAME: &'static CStr = c"GREETING";
    const ACCESS: Access = Access::Read;

    fn read(
        _module: &Hello,
        _channel: Option<&mut Channel<'_>>,
        args: &CStr,
        value: &mut Value<'_>,
    ) -> Result<(), FunctionError> {
        Ok(value.set(greeting(args).to_bytes())?)
    }
}

/// `hello show [greeted|ticks]`
struct Show;

impl Command for Show {
    type Module = Hello;
    const WORDS: &'static CStr = c"hello show";
    const SUMMARY: &'static CStr = c"Show what the hello module has done";
    const USAGE: &'static CStr =
        c"Usage: hello show [greeted|ticks]\n       Shows one counter, or all.\n";

    fn run(module: &Hello, args: Args<'_>, out: &mut Output) -> Outcome {
        let counters = [(c"greeted", &module.greeted), (c"ticks", &*module.ticks)];
        let wanted = args.get(0);
        if args.len() > 1 || wanted.is_some_and(|wanted| !counters.iter().any(|c| c.0 == wanted)) {
            return Outcome::ShowUsage;
        }
        for (name, count) in counters {
            if wanted.is_none_or(|wanted| wanted == name) {
                let count = count.load(Ordering::Relaxed);
                let _ = writeln!(out, "{}: {count}", name.to_string_lossy());
            }
        }
        Outcome::Success
    }

    fn complete(_module: &Hello, args: Args<'_>, _word: &CStr) -> Vec<CString> {
        if args.is_empty() { vec![c"greeted".to_owned(), c"ticks".to_owned()] } else { Vec::new() }
    }
}

/// AMI: `Action: HelloCount`, with `Name:` to greet.
struct Count;

impl Action for Count {
    type Module = Hello;
    const NAME: &'static CStr = c"HelloCount";
    const AUTHORITY: Authority = Authority::SYSTEM.or(Authority::REPORTING);

    fn run(module: &Hello, request: &Request<'_>) -> Response {
        let greeted = module.greeted.load(Ordering::Relaxed).to_string();
        let name = request.header("Name").unwrap_or(b"nobody");
        Response::success("Counted")
            .header("Greeted", greeted.as_bytes())
            .and_then(|response| response.header_encoded("Name", name))
            .unwrap_or_else(|error| Response::error(&error.to_string()))
    }
}

fn greeting(name: &CStr) -> CString {
    let mut greeting = b"Hello, ".to_vec();
    greeting.extend(name.to_bytes());
    CString::new(greeting).unwrap_or_default()
}
