//! The dialplan as a calculator: a few lines are written, run on a channel, and asked for their variables.

use std::time::Duration;

use crate::ami::Ami;
use crate::error::Result;
use crate::server::Asterisk;

/// How long a run may take.
const RUN_WITHIN: Duration = Duration::from_secs(10);
/// The file that holds the lines; the server's `extensions.conf` includes it.
const FILE: &str = "run.conf";

/// A dialplan on one server.
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

    /// Runs `lines`, one application each, and gives `result` with its variables replaced, as it is after the
    /// last line.
    ///
    /// # Errors
    ///
    /// [`crate::LabError::TimedOut`] if it does not run to its end: so an application that hangs up is found.
    pub fn run(&mut self, lines: &[&str], result: &str) -> Result<String> {
        self.write(lines, result)?;
        self.server.cli("dialplan reload")?;
        let mark = self.ami.mark();
        self.server.cli("channel originate Local/s@run/n application Wait 1")?;
        let what = format!("{} has run {FILE} to its end", self.server.name());
        let ran = self.ami.wait_event_after(mark, &what, RUN_WITHIN, |event| {
            event.is_event("UserEvent") && event.value("UserEvent") == "Ran"
        })?;
        Ok(decode(ran.value("Result")))
    }

    fn write(&self, lines: &[&str], result: &str) -> Result<()> {
        let mut text = String::from("[run]\nexten => s,1,NoOp()\n");
        for line in lines {
            text.push_str(&format!(" same => n,{line}\n"));
        }
        // An event's value is a line; a result may be anything.
        text.push_str(&format!(" same => n,UserEvent(Ran,Result: ${{URIENCODE({result})}})\n"));
        self.server.write_file(FILE, &text)?;
        let extensions = self.server.read_file("extensions.conf")?;
        let include = format!("#include {FILE}");
        if extensions.contains(&include) {
            return Ok(());
        }
        self.server.write_file("extensions.conf", &format!("{extensions}\n{include}\n"))
    }
}

/// Takes back what `URIENCODE` did.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| byte == b'%');
        let value = escaped.and_then(|hex| u8::from_str_radix(str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(value.unwrap_or(byte));
        rest = if value.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_uriencode_made_is_taken_back_and_a_bare_percent_sign_stays() {
        assert_eq!(decode("a%2Cb%20%C3%BC"), "a,b ü");
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("%zz%4"), "%zz%4");
    }
}
