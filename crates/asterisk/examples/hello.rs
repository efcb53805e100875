//! A small module with one of each: `Hello()` in the dialplan, `${GREETING(name)}`,
//! `switch => Hello/name`, `hello show` on the console, AMI's `HelloCount`, ears for endpoints and for registrations, and a thread of
//! its own.
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
use asterisk::sorcery::{Event, Watch};
use asterisk::stasis::{EndpointMessage, Subscription};
use asterisk::switch::{self, Call, Match, Switch};
use asterisk::thread::Thread;
use asterisk::{Channel, LoadError, Module, Registry};

/// How often the thread looks whether there is anything to attach to.
const TICK: Duration = Duration::from_millis(100);

/// The module's state: what all of its callbacks share.
///
/// Fields are dropped in this order, and each drop waits until its callback is done.
struct Hello {
    _ticker: Thread,
    _endpoints: Subscription,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Counters {
    greeted: AtomicU64,
    ticks: AtomicU64,
    endpoints: AtomicU64,
    registrations: AtomicU64,
}

impl Module for Hello {
    const NAME: &'static CStr = c"hello";
    const DESCRIPTION: &'static CStr = c"Greets";
    const RELOADABLE: bool = true;

    fn load(registry: &mut Registry<Self>) -> Result<Self, LoadError> {
        registry
            .application::<Greet>()
            .function::<Greeting>()
            .switch::<Door>()
            .command::<Show>()
            .action::<Count>();

        let counters = Arc::new(Counters::default());
        let counted = Arc::clone(&counters);
        let endpoints = Subscription::to_endpoints(move |message| {
            if let EndpointMessage::Status { endpoint, details } = message {
                counted.endpoints.fetch_add(1, Ordering::Relaxed);
                let status = details.string(c"peer_status").unwrap_or(c"?");
                asterisk::verbose!(3, "{:?} is {status:?}", endpoint.resource());
            }
        });
        let counted = Arc::clone(&counters);
        let contacts = Watch::new(c"res_pjsip", c"contact", move |event| {
            if let Event::Created(contact) | Event::Updated(contact) = event {
                counted.registrations.fetch_add(1, Ordering::Relaxed);
                let contact = contact.to_object(&[c"endpoint", c"uri"]);
                let endpoint = contact.field(c"endpoint").unwrap_or(c"?");
                asterisk::verbose!(3, "{endpoint:?} has registered");
            }
        });
        let contacts = contacts.map_err(LoadError::decline)?;
        let counted = Arc::clone(&counters);
        let ticker = Thread::spawn(c"hello-ticker", move |stop| {
            while !stop.wait(TICK) {
                contacts.attach();
                counted.ticks.fetch_add(1, Ordering::Relaxed);
            }
        });
        Ok(Self {
            _ticker: ticker.map_err(LoadError::decline)?,
            _endpoints: endpoints.map_err(LoadError::decline)?,
            counters,
        })
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
        module.counters.greeted.fetch_add(1, Ordering::Relaxed);
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

/// `switch => Hello/name` has the extension `hello`, which sets `GREETING`. With `Hello/panic` it
/// shows what becomes of a panic.
struct Door;

impl Switch for Door {
    type Module = Hello;
    const NAME: &'static CStr = c"Hello";
    const DESCRIPTION: &'static CStr = c"Greets whoever calls hello";

    fn matches(_module: &Hello, _data: &CStr, extension: &CStr, how: Match) -> bool {
        assert_ne!(extension, c"panic", "somebody wanted to see a panic under the dialplan's lock");
        switch::any_matches([c"hello"], extension, how)
    }

    fn run(_module: &Hello, channel: &mut Channel<'_>, call: &Call) -> Then {
        assert_ne!(&*call.data, c"panic", "somebody wanted to see a switch panic");
        // It fails only for a name that is none.
        let _ = channel.set_variable(c"GREETING", &greeting(&call.data));
        Then::Continue
    }
}

/// `hello show [greeted|...]`
struct Show;

impl Command for Show {
    type Module = Hello;
    const WORDS: &'static CStr = c"hello show";
    const SUMMARY: &'static CStr = c"Show what the hello module has done";
    const USAGE: &'static CStr =
        c"Usage: hello show [greeted|ticks|endpoints|registrations]\n       Shows one counter, or all.\n";

    fn run(module: &Hello, args: Args<'_>, out: &mut Output) -> Outcome {
        let counters = module.counters.by_name();
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

    fn complete(module: &Hello, args: Args<'_>, _word: &CStr) -> Vec<CString> {
        let names = module.counters.by_name().map(|(name, _)| name.to_owned());
        if args.is_empty() { names.into() } else { Vec::new() }
    }
}

/// AMI: `Action: HelloCount`, with `Name:` to greet.
struct Count;

impl Action for Count {
    type Module = Hello;
    const NAME: &'static CStr = c"HelloCount";
    const AUTHORITY: Authority = Authority::SYSTEM.or(Authority::REPORTING);

    fn run(module: &Hello, request: &Request<'_>) -> Response {
        let greeted = module.counters.greeted.load(Ordering::Relaxed).to_string();
        let name = request.header("Name").unwrap_or(b"nobody");
        Response::success("Counted")
            .header("Greeted", greeted.as_bytes())
            .and_then(|response| response.header_encoded("Name", name))
            .unwrap_or_else(|error| Response::error(&error.to_string()))
    }
}

impl Counters {
    fn by_name(&self) -> [(&'static CStr, &AtomicU64); 4] {
        [
            (c"greeted", &self.greeted),
            (c"ticks", &self.ticks),
            (c"endpoints", &self.endpoints),
            (c"registrations", &self.registrations),
        ]
    }
}

fn greeting(name: &CStr) -> CString {
    let mut greeting = b"Hello, ".to_vec();
    greeting.extend(name.to_bytes());
    CString::new(greeting).unwrap_or_default()
}
