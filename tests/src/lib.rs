//! What the end-to-end tests have in common: a lab with the module in it, and the dialplan as a
//! calculator. The tests themselves are the files beside this folder, one for each capability.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tandem_lab::{Ami, Asterisk, Lab, LabBuilder, wait_until};

/// Bound for anything that takes a moment on loopback.
pub const SOON: Duration = Duration::from_secs(10);

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

/// A dialplan that is written, run and asked for its variables.
#[derive(Debug)]
pub struct Dialplan<'lab> {
    server: &'lab Asterisk,
    ami: Ami,
}

impl<'lab> Dialplan<'lab> {
    /// On this server.
    ///
    /// # Errors
    ///
    /// If its AMI cannot be reached.
    pub fn on(server: &'lab Asterisk) -> Result<Self> {
        Ok(Self { server, ami: server.ami()? })
    }

    /// Runs `lines`, one application each, and returns `result` with its variables replaced, as
    /// it is after the last line.
    ///
    /// # Errors
    ///
    /// If it does not run to its end: an application that hangs the channel up is found so.
    pub fn run(&mut self, lines: &[&str], result: &str) -> Result<String> {
        let mut text = String::from("[run]\nexten => s,1,NoOp()\n");
        for line in lines {
            text.push_str(&format!(" same => n,{line}\n"));
        }
        text.push_str(&format!(" same => n,UserEvent(Ran,Result: ${{URIENCODE({result})}})\n"));
        self.server.write_file("run.conf", &text)?;
        let extensions = self.server.read_file("extensions.conf")?;
        if !extensions.contains("#include run.conf") {
            self.server
                .write_file("extensions.conf", &format!("{extensions}\n#include run.conf\n"))?;
        }
        self.server.cli("dialplan reload")?;
        let mark = self.ami.mark();
        self.server.cli("channel originate Local/s@run/n application Wait 1")?;
        let event = self
            .ami
            .wait_event_after(mark, "the dialplan ran to its end", SOON, |event| {
                event.is_event("UserEvent") && event.value("UserEvent") == "Ran"
            })
            .with_context(|| format!("dialplan on {}:\n{text}", self.server.name()))?;
        decode(event.value("Result"))
    }
}

fn decode(text: &str) -> Result<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let (byte, after) = match (byte, after) {
            (b'%', [high, low, after @ ..]) => {
                let digits = [*high, *low];
                (u8::from_str_radix(std::str::from_utf8(&digits)?, 16)?, after)
            }
            _ => (byte, after),
        };
        bytes.push(byte);
        rest = after;
    }
    Ok(String::from_utf8(bytes)?)
}
