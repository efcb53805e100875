//! The servers of the demo: A and B, which phones register on, and the gateway, whose dialplan is the one of
//! `docs/dialplan.md`, word for word.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use tandem_lab::{Asterisk, DEMO_NUMBER, Lab, ServerConfig, TRUNK_SECRET};

/// The name that logs are kept by, in `target/lab`.
const NAME: &str = "demo";
/// `deadline` in the demo's `universal.conf`.
const DEADLINE: Duration = Duration::from_millis(200);
/// `lease` in the lab's `universal.conf`.
pub(crate) const LEASE: Duration = Duration::from_secs(6);
/// What a record may live on top of its lease (docs/consistency.md, P5).
pub(crate) const GRACE: Duration = Duration::from_secs(2);
/// After how long a server that does not answer is given up by a caller's server, which is when `Dial` goes on.
/// chan_iax2 waits twice the time that `autokill` says.
pub(crate) const GIVEN_UP_AFTER: Duration = Duration::from_secs(2);
/// Every server's name for the trunk, in the documentation and here.
const DOCUMENTED_USER: &str = "user:secret";
const DOCUMENTED_BEGIN: &str = "```ini\n[find]\n";
const DOCUMENTED_END: &str = "```";
const DOCUMENTATION: &str = include_str!("../../../docs/dialplan.md");

/// Starts the lab.
pub(crate) fn build() -> Result<Lab> {
    let help = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../modules/app_universal/app_universal-en_US.xml");
    let autokill_ms = GIVEN_UP_AFTER.as_millis() / 2;
    let lab = Lab::builder(NAME)
        .number(DEMO_NUMBER)
        .module(Lab::built_module()?)
        .documentation(help)
        .server("A", quick)
        .server("B", quick)
        .server("gateway", |server| {
            quick(server)
                .extensions(&gateway_dialplan())
                .append("iax.conf", &format!("[general](+)\nautokill = {autokill_ms}\n"))
        })
        .start()?;
    Ok(lab)
}

/// Tests share a small machine with each other, and so have a longer deadline; the demo is alone.
fn quick(server: ServerConfig) -> ServerConfig {
    let deadline = format!("deadline = {}", DEADLINE.as_millis());
    let server = server.replace("universal.conf", "deadline = 1000", &deadline);
    // The console shows which phones ring and which are in use.
    server.load("res_manager_devicestate")
}

/// What a phone that is registered there is published as.
pub(crate) fn identity(server: &Asterisk) -> String {
    format!("@{}/", server.address())
}

fn gateway_dialplan() -> String {
    let find = documented_dialplan().replace(DOCUMENTED_USER, &format!("tandem:{TRUNK_SECRET}"));
    format!(
        "[from-phones]\n\
         include => find\n\
         ; *2XX: all servers that have the phone, at once.\n\
         exten => _*2XX,1,Dial(${{LOCATE(${{EXTEN:1}})}},20)\n\n\
         [find]\n{find}"
    )
}

/// The lines of the section `[find]` in the documentation.
fn documented_dialplan() -> &'static str {
    let (_, after) = DOCUMENTATION.split_once(DOCUMENTED_BEGIN).unwrap_or_default();
    after.split_once(DOCUMENTED_END).unwrap_or_default().0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_a_gateways_dialplan() {
        let find = documented_dialplan();
        assert!(find.starts_with("exten => _2XX,1,GetUniVar("), "{find}");
        assert!(find.contains(DOCUMENTED_USER) && find.contains("VoiceMail("), "{find}");
        assert!(!gateway_dialplan().contains(DOCUMENTED_USER));
    }
}
