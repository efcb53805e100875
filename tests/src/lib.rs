//! What the end-to-end tests have in common: a lab with the module in it. The tests themselves are
//! the files beside this folder, one for each capability.

pub mod certificate;
pub mod hub;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
pub use tandem_lab::Dialplan;
use tandem_lab::{Asterisk, Lab, LabBuilder, wait_until};

mod office;
mod tls;
mod web;

pub use office::{Office, User, WEB_PORT};
pub use tls::{Identity, TlsClient};
pub use web::{Reply, Web, Wire};

/// Bound for anything that takes a moment on loopback.
pub const SOON: Duration = Duration::from_secs(10);

/// An unload is refused while an application or a function runs, which is over in a moment.
const IN_USE_BOUND: Duration = Duration::from_secs(10);

/// A lab to be changed before it starts, with `app_universal` and its XML help on every server.
///
/// # Errors
///
/// If the module has not been built.
pub fn lab_with_module(name: &str) -> Result<LabBuilder> {
    let help = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../modules/app_universal/app_universal-en_US.xml");
    Ok(Lab::builder(name).module(Lab::built_module()?).documentation(help))
}

/// Waits until every cache server's misses count on `server`.
///
/// # Errors
///
/// If that takes longer than it may.
pub fn wait_ready(server: &Asterisk) -> Result<()> {
    wait_until("all cache servers are ready", Duration::from_secs(15), &server.log(), || {
        let table = server.cli("universal show servers")?;
        let mut rows = table.lines().skip(1).filter(|row| row.contains(':')).peekable();
        Ok(rows.peek().is_some() && rows.all(|row| row.contains(" ready ")))
    })?;
    Ok(())
}

/// Unloads the module, however often that is refused because a call is inside just now.
///
/// # Errors
///
/// If it is refused for longer than a moment.
pub fn unload(server: &Asterisk) -> Result<()> {
    let end = Instant::now() + IN_USE_BOUND;
    loop {
        let answer = server.cli("module unload app_universal.so")?;
        if answer.contains("Unloaded") {
            return Ok(());
        }
        ensure!(Instant::now() < end, "it is never unloaded: {answer}");
    }
}
