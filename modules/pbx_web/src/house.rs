//! The server as it runs: when it begins, what a reload changes, and its end.

use std::{
    any::Any,
    borrow::Cow,
    ffi::CStr,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use asterisk::thread::{self, Stop, Thread};
use attendant::{Attendant, BeginError, Settings};
use httpd::{PlainWrap, Wrap};

use crate::{configuration, pbx::Asterisk, secured::Certificate};

/// The server, or why there is none.
pub(crate) struct House {
    /// As they were read last.
    settings: Settings,
    running: Option<Running>,
}

struct Running {
    attendant: Attendant,
    /// None is plain.
    certificate: Option<Certificate>,
    since: Instant,
}

/// Why a server does not begin, or does not change.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Configuration(#[from] configuration::Error),
    #[error(transparent)]
    Begin(#[from] BeginError),
}

/// The server for `pbx_web show status`.
pub(crate) struct Status<'a> {
    /// In force if it runs, else as they were read last.
    pub(crate) settings: Cow<'a, Settings>,
    pub(crate) addresses: &'a [SocketAddr],
    pub(crate) is_secure: bool,
    /// How long it has run; `None` if it does not.
    pub(crate) age: Option<Duration>,
}

impl House {
    /// Begins, if there is anybody who may come in.
    pub(crate) fn new(settings: Settings) -> Result<Self, Error> {
        let running = begin(&settings)?;
        Ok(Self { settings, running })
    }

    /// Brings new settings into force, all that can be without a new start. After an error nothing
    /// has changed.
    ///
    /// It never waits for the server's threads: one of them may be waiting for the loader, whose
    /// lock is held around a reload.
    pub(crate) fn reload(&mut self, settings: Settings) -> Result<(), Error> {
        match &self.running {
            None => self.running = begin(&settings)?,
            Some(running) => {
                // Also where TLS needs a new start: that would fail then.
                let files = settings.tls.as_ref();
                let context = files.map(configuration::certificate).transpose()?;
                let replaced = running.certificate.as_ref().zip(context);
                let has_replaced = replaced.is_some();
                if let Some((certificate, context)) = replaced {
                    certificate.replace(context);
                }
                let needs_restart = running.attendant.reload(settings.clone());
                if !settings.is_on() {
                    asterisk::warning!(
                        "there is no user in pbx_web.conf any more, so nobody is let in; pbx_web \
                         passwd NAME in the CLI prints the line of one"
                    );
                }
                warn(&running.attendant.in_force());
                for name in needs_restart {
                    // Another certificate is in force already.
                    if name != "tls" || !has_replaced {
                        asterisk::warning!(
                            "{name} of pbx_web.conf is another now, which needs a new start: \
                             module unload pbx_web.so, module load pbx_web.so"
                        );
                    }
                }
            }
        }
        self.settings = settings;
        Ok(())
    }

    /// Whether there was a user when the file was read last.
    pub(crate) fn is_on(&self) -> bool {
        self.settings.is_on()
    }

    /// Ends the server, as Asterisk itself ends.
    pub(crate) fn close(&mut self) {
        IS_ENDING.store(true, Ordering::Relaxed);
        self.running = None;
    }

    pub(crate) fn status(&self) -> Status<'_> {
        let running = self.running.as_ref();
        Status {
            settings: running.map_or(Cow::Borrowed(&self.settings), |running| {
                Cow::Owned(running.attendant.in_force())
            }),
            addresses: running.map_or(&[], |running| running.attendant.addresses()),
            is_secure: running.is_some_and(|running| running.certificate.is_some()),
            age: running.map(|running| running.since.elapsed()),
        }
    }
}

fn begin(settings: &Settings) -> Result<Option<Running>, Error> {
    if !settings.is_on() {
        asterisk::notice!(
            "there is no user in pbx_web.conf, so nothing is served; pbx_web passwd NAME in the CLI \
             prints the line of one"
        );
        return Ok(None);
    }
    warn(settings);
    let files = settings.tls.as_ref();
    let certificate = files.map(configuration::certificate).transpose()?.map(Certificate::new);
    let wrap: Box<dyn Wrap> = match &certificate {
        Some(certificate) => Box::new(certificate.clone()),
        None => Box::new(PlainWrap),
    };
    let pbx = Arc::new(Asterisk::default());
    let attendant = Attendant::begin(settings.clone(), pbx, wrap, &spawn)?;
    let scheme = if certificate.is_some() { "https" } else { "http" };
    for address in attendant.addresses() {
        asterisk::verbose!(2, "pbx_web serves {scheme}://{address}/");
    }
    Ok(Some(Running { attendant, certificate, since: Instant::now() }))
}

fn warn(settings: &Settings) {
    for warning in settings.warnings() {
        asterisk::warning!("pbx_web.conf: {warning}");
    }
}

/// Whether Asterisk is ending, with us loaded.
static IS_ENDING: AtomicBool = AtomicBool::new(false);
/// How long it waits for a thread of ours then: one may wait for a lock that is never given back.
const END_WITHIN: Duration = Duration::from_secs(2);

/// A thread of the server's, which ends with this.
struct Hand(Option<Thread>);

impl Drop for Hand {
    fn drop(&mut self) {
        let Some(thread) = self.0.take() else { return };
        if IS_ENDING.load(Ordering::Relaxed) {
            thread.stop_or_leave(END_WITHIN);
        }
    }
}

/// Threads of the module's own: Asterisk must be able to unmap what runs on them. A page can wait, and
/// a call cannot.
fn spawn(name: &'static CStr, body: Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn Any + Send>> {
    let body = move |_: &Stop| {
        thread::give_up_real_time();
        body();
    };
    Ok(Box::new(Hand(Some(Thread::spawn(name, body)?))))
}
