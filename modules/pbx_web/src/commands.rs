//! The CLI: `pbx_web ...`.

use std::{
    ffi::{CStr, CString},
    fmt::Write as _,
};

use asterisk::{
    Registry,
    cli::{Args, Command, Outcome, Output},
};
use attendant::{Role, new_user};

use crate::{PbxWeb, house::Status};

pub(crate) fn register(registry: &mut Registry<PbxWeb>) {
    registry.command::<ShowStatus>().command::<Passwd>();
}

struct ShowStatus;

impl Command for ShowStatus {
    type Module = PbxWeb;
    const WORDS: &'static CStr = c"pbx_web show status";
    const SUMMARY: &'static CStr = c"Show where the web pages are, and for whom";
    const USAGE: &'static CStr = c"Usage: pbx_web show status\n\
        \x20      Shows where the web server listens, since when, and what of pbx_web.conf\n\
        \x20      is in force.\n";

    fn run(module: &PbxWeb, args: Args<'_>, out: &mut Output) -> Outcome {
        if !args.is_empty() {
            return Outcome::ShowUsage;
        }
        let house = module.house();
        let Status { settings, addresses, is_secure, age } = house.status();
        let _ = writeln!(out, "pbx_web {}", env!("CARGO_PKG_VERSION"));
        let scheme = if is_secure { "https" } else { "http" };
        for address in addresses {
            let _ = writeln!(out, "Serves {scheme}://{address}/");
        }
        let _ = match age {
            Some(age) if settings.is_on() => writeln!(out, "Since {} s", age.as_secs()),
            Some(_) => writeln!(out, "Lets nobody in: there is no user in pbx_web.conf any more"),
            None => writeln!(out, "Serves nothing: there is no user in pbx_web.conf"),
        };
        let _ = writeln!(out, "Users: {}", settings.users.len());
        let rules = settings.acl.rules().len();
        let _ = match rules {
            0 => writeln!(out, "Access list: none, so loopback only"),
            rules => writeln!(out, "Access list: {rules} rule(s); the first that matches decides"),
        };
        if !settings.hostnames.is_empty() {
            let _ = writeln!(out, "Host names: {}", settings.hostnames.join(" "));
        }
        let _ = writeln!(out, "CLI commands at once: {}", settings.commands);
        for warning in settings.warnings() {
            let _ = writeln!(out, "Beware: {warning}");
        }
        Outcome::Success
    }
}

struct Passwd;

impl Command for Passwd {
    type Module = PbxWeb;
    const WORDS: &'static CStr = c"pbx_web passwd";
    const SUMMARY: &'static CStr = c"Make a user of the web pages";
    const USAGE: &'static CStr = c"Usage: pbx_web passwd NAME [admin|viewer]\n\
        \x20      Prints the line for NAME in [users] of pbx_web.conf. A viewer sees how\n\
        \x20      Asterisk is; an admin runs CLI commands and reads the log, too.\n\
        \x20      The password is made, and printed this once.\n";

    fn run(_module: &PbxWeb, args: Args<'_>, out: &mut Output) -> Outcome {
        let word = |index| args.get(index).map(|word| word.to_str());
        let (Some(Ok(name)), 1..=2) = (word(0), args.len()) else { return Outcome::ShowUsage };
        let role = match word(1) {
            None | Some(Ok("admin")) => Role::Admin,
            Some(Ok("viewer")) => Role::Viewer,
            Some(_) => return Outcome::ShowUsage,
        };
        // None is taken from here: the console keeps what was typed in its history.
        match new_user(name, role, None) {
            Ok(user) => {
                if let Some(password) = &user.password {
                    let _ = writeln!(out, "The password of {name}, which is shown this once:");
                    let _ = writeln!(out, "    {password}");
                }
                let _ =
                    writeln!(out, "Put this line under [users] in pbx_web.conf, in the place of");
                let _ = writeln!(out, "one of that name, and say: module reload pbx_web.so");
                let _ = writeln!(out, "{}", user.line);
                Outcome::Success
            }
            Err(error) => {
                let _ = writeln!(out, "{error}");
                Outcome::Failure
            }
        }
    }

    fn complete(_module: &PbxWeb, args: Args<'_>, _word: &CStr) -> Vec<CString> {
        match args.len() {
            1 => [c"admin", c"viewer"].map(CStr::to_owned).into(),
            _ => Vec::new(),
        }
    }
}
