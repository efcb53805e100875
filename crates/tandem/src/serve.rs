//! `tandem serve`: the hub, from start to signal.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use hub::config::{Config, DEFAULT_PATH};

use crate::exit::Exit;
use crate::out::complain;
use crate::source;
use crate::systemd::notify;

/// Runs the hub: every server's peers, calls and voicemail on one live page, and its API.
///
/// It stays in the foreground; SIGTERM and SIGINT (Ctrl-C) end it. Under systemd use Type=notify. Add a user first:
/// "tandem user add NAME --role administrator".
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The hub's configuration.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
}

impl Serve {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let config = Config::read(&self.config)?;
        let universal = config.universal_conf.as_deref();
        let settings = universal.map(source::read).transpose().context("`universal_conf`")?;
        log_to_stderr();
        let ready = |url: &str| {
            complain!("the hub is at {url}");
            notify("READY=1");
        };
        let serving = async {
            let stop = stop()?;
            let stop = async {
                stop.await;
                notify("STOPPING=1");
            };
            anyhow::Ok(hub::serve(config, settings, ready, stop).await?)
        };
        runtime()?.block_on(serving)?;
        Ok(Exit::Done)
    }
}

/// SIGTERM or SIGINT.
pub(crate) fn stop() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("no threads could be started")
}

/// What happens is told on standard error; systemd's journal adds the time.
pub(crate) fn log_to_stderr() {
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_max_level(tracing::Level::INFO);
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        log.without_time().with_ansi(false).init();
    } else {
        log.init();
    }
}
