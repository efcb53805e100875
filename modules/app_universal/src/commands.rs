//! The CLI: `univar ...` for variables and `universal ...` for the module.

use std::{
    ffi::{CStr, CString},
    fmt::Write as _,
    time::{Duration, Instant},
};

use asterisk::{
    Registry,
    cli::{Args, Command, Outcome, Output},
};
use sri::{PeerState, PeerView};
use univar::{Name, Op};
use universal::{Status, arguments};

use crate::{
    AppUniversal, publisher,
    requests::{self, Answer, Refusal},
    shared::{Current, lock},
};

/// The most lines that `univar show` prints.
const SHOW_LIMIT: usize = 500;
/// The most names that are looked at for that: with two copies a deleted one is kept for a day.
const LIST_LIMIT: usize = 10 * SHOW_LIMIT;
/// The most names that tab completion offers.
const COMPLETE_LIMIT: usize = 100;
/// How long tab completion may wait for the names.
const COMPLETE_DEADLINE: Duration = Duration::from_millis(100);
/// How long they serve for the next candidate.
const COMPLETE_AGE: Duration = Duration::from_secs(2);
/// How long listing the names may take.
const LIST_DEADLINE: Duration = Duration::from_millis(500);

pub(crate) fn register(registry: &mut Registry<AppUniversal>) {
    registry
        .command::<Get>()
        .command::<Set>()
        .command::<Delete>()
        .command::<Show>()
        .command::<ShowStatus>()
        .command::<ShowServers>()
        .command::<ShowRegistrations>()
        .command::<Republish>();
}

struct Get;

impl Command for Get {
    type Module = AppUniversal;
    const WORDS: &'static CStr = c"univar";
    const SUMMARY: &'static CStr = c"Print a universal variable";
    const USAGE: &'static CStr = c"Usage: univar NAME\n\
        \x20      Prints the value of the universal variable NAME.\n";

    fn run(module: &AppUniversal, args: Args<'_>, out: &mut Output) -> Outcome {
        let (Some(name), 1) = (args.get(0), args.len()) else { return Outcome::ShowUsage };
        let name = name.to_bytes();
        let answer = requests::get(&module.shared.current(), name);
        let Some(answer) = said(out, answer) else { return Outcome::Failure };
        let _ = write!(out, "Universal variable ");
        out.untrusted(name);
        match answer {
            Answer::Value(value) => {
                let _ = write!(out, " has a value of ");
                out.untrusted(&value);
                let _ = writeln!(out);
            }
            Answer::Missing => {
                let _ = writeln!(out, " is not set");
            }
            Answer::Unreachable => {
                let _ = writeln!(out, " cannot be read: {CANNOT_TELL}");
                explain(module, name, out);
            }
        }
        Outcome::Success
    }

    fn complete(module: &AppUniversal, args: Args<'_>, word: &CStr) -> Vec<CString> {
        names(module, args, word)
    }
}

struct Set;

impl Command for Set {
    type Module = AppUniversal;
    const WORDS: &'static CStr = c"univar set";
    const SUMMARY: &'static CStr = c"Set a universal variable";
    const USAGE: &'static CStr = c"Usage: univar set NAME VALUE [TTL]\n\
        \x20      Sets the universal variable NAME, for TTL seconds or for ever.\n\
        \x20      Put a value with blanks in double quotes.\n";

    fn run(module: &AppUniversal, args: Args<'_>, out: &mut Output) -> Outcome {
        let (Some(name), Some(value), 2 | 3) = (args.get(0), args.get(1), args.len()) else {
            return Outcome::ShowUsage;
        };
        let set = || {
            let ttl = arguments::ttl(args.get(2).map(CStr::to_bytes))?;
            requests::set(&module.shared.current(), name.to_bytes(), value.to_bytes(), ttl)
        };
        changed(module, out, name, set(), "set")
    }

    fn complete(module: &AppUniversal, args: Args<'_>, word: &CStr) -> Vec<CString> {
        names(module, args, word)
    }
}

struct Delete;

impl Command for Delete {
    type Module = AppUniversal;
    const WORDS: &'static CStr = c"univar del";
    const SUMMARY: &'static CStr = c"Delete a universal variable";
    const USAGE: &'static CStr = c"Usage: univar del NAME\n\
        \x20      Deletes the universal variable NAME.\n";

    fn run(module: &AppUniversal, args: Args<'_>, out: &mut Output) -> Outcome {
        let (Some(name), 1) = (args.get(0), args.len()) else { return Outcome::ShowUsage };
        let deleted = requests::delete(&module.shared.current(), name.to_bytes());
        changed(module, out, name, deleted, "deleted")
    }

    fn complete(module: &AppUniversal, args: Args<'_>, word: &CStr) -> Vec<CString> {
        names(module, args, word)
    }
}

struct Show;

impl Command for Show {
    type Module = AppUniversal;
    const WORDS: &'static CStr = c"univar show";
    const SUMMARY: &'static CStr = c"List universal variables";
    const USAGE: &'static CStr = c"Usage: univar show [PREFIX]\n\
        \x20      Lists the universal variables whose names begin with PREFIX, or all,\n\
        \x20      with their values; at most 500.\n";

    fn run(module: &AppUniversal, args: Args<'_>, out: &mut Output) -> Outcome {
        if args.len() > 1 {
            return Outcome::ShowUsage;
        }
        let prefix = args.get(0).unwrap_or_default().to_bytes();
        let current = module.shared.current();
        let found = current.store.names(prefix, LIST_LIMIT, LIST_DEADLINE);
        let is_all = list(&current, &found.names, out);
        if found.truncated || !is_all {
            let _ = writeln!(out, "There are more; give a longer PREFIX");
        }
        for server in found.unlisted {
            let _ =
                writeln!(out, "Cache server {server} could not be listed; names may be missing");
        }
        Outcome::Success
    }
}

/// Prints those that are there, at most [`SHOW_LIMIT`], and says whether that was all.
fn list(current: &Current, names: &[Name], out: &mut Output) -> bool {
    let (mut shown, mut unread, mut is_all) = (0, 0, true);
    for names in names.chunks(SHOW_LIMIT) {
        let ops: Vec<_> = names.iter().map(|name| Op::Get { name }).collect();
        for (name, outcome) in names.iter().zip(current.store.run_within(&ops, LIST_DEADLINE)) {
            match Answer::from_read(outcome) {
                // One that was deleted, or whose time is over.
                Ok(Answer::Missing) => {}
                Ok(Answer::Value(_)) if shown == SHOW_LIMIT => is_all = false,
                Ok(Answer::Value(value)) => {
                    out.untrusted(format!("{:<40} ", name.to_string()).as_bytes());
                    out.untrusted(&value);
                    let _ = writeln!(out);
                    shown += 1;
                }
                Ok(Answer::Unreachable) | Err(_) => unread += 1,
            }
        }
        // Cache servers that do not answer would take the deadline again and again.
        if !is_all || unread > 0 {
            is_all &= names.len() < SHOW_LIMIT;
            break;
        }
    }
    let _ = writeln!(out, "{shown} universal variable(s)");
    if unread > 0 {
        let _ = writeln!(out, "{unread} more could not be read; see universal show servers");
    }
    is_all
}

struct ShowStatus;

impl Command for ShowStatus {
    type Module = AppUniversal;
    const WORDS: &'static CStr = c"universal show status";
    const SUMMARY: &'static CStr = c"Show how universal variables and registrations are";
    const USAGE: &'static CStr = c"Usage: universal show status\n\
        \x20      Shows the sections of universal.conf in force, and how many\n\
        \x20      registrations of this server are published.\n";

    fn run(module: &AppUniversal, args: Args<'_>, out: &mut Output) -> Outcome {
        if !args.is_empty() {
            return Outcome::ShowUsage;
        }
        let _ = writeln!(out, "app_universal {}", env!("CARGO_PKG_VERSION"));
        for section in &module.shared.current().settings.sections {
            let _ = writeln!(
                out,
                "[{}] servers {}, deadline {} ms",
                section.name,
                section.servers.join(" "),
                section.deadline.as_millis()
            );
            if let Some(publish) = &section.publish {
                let _ = writeln!(
                    out,
                    "    publishes {} as {}<peer> = {}, lease {} s",
                    if publish.drivers.is_empty() {
                        "all drivers".into()
                    } else {
                        publish.drivers.join(" ")
                    },
                    publish.prefix,
                    publish.identity,
                    publish.lease.as_secs()
                );
            }
            if !section.prefixes.is_empty() {
                let _ = writeln!(out, "    locates under {}", section.prefixes.join(" "));
            }
            if let Some(switch) = &section.switch {
                let patterns: Vec<_> =
                    switch.patterns.iter().map(|p| p.to_string_lossy()).collect();
                let (name, ring) = (&section.name, switch.ring.as_secs());
                let patterns = patterns.join(" ");
                let _ = writeln!(
                    out,
                    "    switch => Universal/{name} takes {patterns}, rings {ring} s"
                );
            }
        }
        let counts = count_states(module);
        let _ = writeln!(
            out,
            "Registrations: {} published, {} waiting, {} owned by another server, {} not publishable",
            counts[0], counts[1], counts[2], counts[3]
        );
        let pjsip = if module.drivers.sees_pjsip() { "watched" } else { "not loaded" };
        let _ = writeln!(out, "Contacts of res_pjsip: {pjsip}");
        Outcome::Success
    }
}

/// Published, waiting, stood back, unpublishable.
fn count_states(module: &AppUniversal) -> [usize; 4] {
    let mut counts = [0; 4];
    for peer in module.shared.registrar().peers() {
        counts[match peer.state {
            PeerState::Held => 0,
            PeerState::Pending | PeerState::Withdrawing => 1,
            PeerState::StoodBack => 2,
            PeerState::Unpublished(_) => 3,
        }] += 1;
    }
    counts
}

struct ShowServers;

impl Command for ShowServers {
    type Module = AppUniversal;
    const WORDS: &'static CStr = c"universal show servers";
    const SUMMARY: &'static CStr = c"Show the cache servers";
    const USAGE: &'static CStr = c"Usage: universal show servers\n\
        \x20      Shows each cache server: its address, how it is and for how long, open\n\
        \x20      connections, reads, writes, errors, records refused for want of a proof\n\
        \x20      (secret=) and the last error.\n\
        \x20      ready: its misses count. healing: it is new, or may have lost content,\n\
        \x20      and is being filled. lost: the same, not begun. slow: it answers too\n\
        \x20      late for a channel to wait. down: it does not answer. unresolved: its\n\
        \x20      host name has no address yet.\n";

    fn run(module: &AppUniversal, args: Args<'_>, out: &mut Output) -> Outcome {
        if !args.is_empty() {
            return Outcome::ShowUsage;
        }
        let _ = writeln!(
            out,
            "{:<28} {:<24} {:<10} {:>8} {:>5} {:>10} {:>10} {:>7} {:>7}  Last error",
            "Server", "Address", "State", "Since", "Conns", "Reads", "Writes", "Errors", "Refused"
        );
        for server in module.shared.current().store.servers() {
            let address = server.address.map_or_else(|| "-".into(), |address| address.to_string());
            let _ = writeln!(
                out,
                "{:<28} {:<24} {:<10} {:>7}s {:>5} {:>10} {:>10} {:>7} {:>7}  {}",
                server.name,
                address,
                server.state,
                server.since.as_secs(),
                server.connections,
                server.gets,
                server.sets,
                server.errors,
                server.refused,
                server.last_error.as_deref().unwrap_or("-")
            );
        }
        Outcome::Success
    }
}

struct ShowRegistrations;

impl Command for ShowRegistrations {
    type Module = AppUniversal;
    const WORDS: &'static CStr = c"universal show registrations";
    const SUMMARY: &'static CStr = c"Show what is registered here and published";
    const USAGE: &'static CStr = c"Usage: universal show registrations\n\
        \x20      Shows each peer that is registered on this server, its name in the\n\
        \x20      cache, how its record stands, its contacts, and the seconds until the\n\
        \x20      registration ends and until the record is renewed.\n";

    fn run(module: &AppUniversal, args: Args<'_>, out: &mut Output) -> Outcome {
        if !args.is_empty() {
            return Outcome::ShowUsage;
        }
        // Written into memory first: the registrar is locked, and a console may be slow.
        let mut text = format!(
            "{:<24} {:<32} {:<14} {:>8} {:>8} {:>8}\n",
            "Peer", "Variable", "State", "Contacts", "Expires", "Renewed"
        );
        let now = Instant::now();
        let mut count = 0;
        for peer in module.shared.registrar().peers() {
            row(&mut text, &peer, now);
            count += 1;
        }
        let _ = writeln!(text, "{count} registration(s)");
        let _ = out.write_str(&text);
        Outcome::Success
    }
}

fn row(text: &mut String, peer: &PeerView<'_>, now: Instant) {
    let seconds = |at: Option<Instant>| {
        at.map_or_else(|| "-".into(), |at| at.saturating_duration_since(now).as_secs().to_string())
    };
    let state = match peer.state {
        PeerState::Held => "published",
        PeerState::Pending => "waiting",
        PeerState::StoodBack => "another's",
        PeerState::Withdrawing => "withdrawing",
        PeerState::Unpublished(_) => "unpublishable",
    };
    let _ = write!(
        text,
        "{:<24} {:<32} {:<14} {:>8} {:>8} {:>8}",
        format!("{}/{}", peer.driver, peer.endpoint),
        String::from_utf8_lossy(peer.key),
        state,
        peer.contacts.len(),
        seconds(peer.expires),
        seconds(peer.next_renewal)
    );
    if let PeerState::Unpublished(why) = peer.state {
        let _ = write!(text, "  {why}");
    }
    text.push('\n');
}

struct Republish;

impl Command for Republish {
    type Module = AppUniversal;
    const WORDS: &'static CStr = c"universal republish";
    const SUMMARY: &'static CStr = c"Publish all registrations of this server again";
    const USAGE: &'static CStr = c"Usage: universal republish\n\
        \x20      Compares with the channel drivers and publishes every peer that is\n\
        \x20      registered on this server again. It takes no record from another server.\n";

    fn run(module: &AppUniversal, args: Args<'_>, out: &mut Output) -> Outcome {
        if !args.is_empty() {
            return Outcome::ShowUsage;
        }
        module.drivers.report_all();
        publisher::republish(&module.shared, |_| true);
        module.shared.bell.registrations();
        let count = module.shared.registrar().peers().count();
        let _ = writeln!(out, "{count} registration(s) are being published again");
        Outcome::Success
    }
}

const CANNOT_TELL: &str = "no cache server can say for certain (see universal show servers)";

/// The answer, or the refusal said to who asked.
fn said<T>(out: &mut Output, result: Result<T, Refusal>) -> Option<T> {
    if let Err(refusal) = &result {
        let _ = writeln!(out, "{refusal}");
    }
    result.ok()
}

/// Why nobody can tell, a line for each reason.
fn explain(module: &AppUniversal, name: &[u8], out: &mut Output) {
    let Ok(name) = Name::new(name) else { return };
    for reason in module.shared.current().store.doubts(&name) {
        out.untrusted(reason.as_bytes());
        let _ = writeln!(out);
    }
}

fn changed(
    module: &AppUniversal,
    out: &mut Output,
    name: &CStr,
    result: Result<Status, Refusal>,
    done: &str,
) -> Outcome {
    let Some(status) = said(out, result) else { return Outcome::Failure };
    let _ = write!(out, "Universal variable ");
    out.untrusted(name.to_bytes());
    match status {
        Status::Ok => {
            let _ = writeln!(out, " {done}");
        }
        Status::Missing => {
            let _ = writeln!(out, " is not set");
        }
        _ => {
            let _ = writeln!(out, " may or may not be {done}: {CANNOT_TELL}");
            explain(module, name.to_bytes(), out);
        }
    }
    Outcome::Success
}

/// Completes the first word after a command's own with the names that there are.
///
/// Asterisk asks for the first candidate, the second, ... each by a call of its own, and waits for
/// us with its list of commands locked: so the names are asked for once, and not for long.
fn names(module: &AppUniversal, args: Args<'_>, word: &CStr) -> Vec<CString> {
    if !args.is_empty() {
        return Vec::new();
    }
    let mut last = lock(&module.completion);
    let fresh =
        |last: &Completion| last.word == word.to_bytes() && last.at.elapsed() < COMPLETE_AGE;
    if let Some(last) = last.as_ref().filter(|last| fresh(last)) {
        return last.names.clone();
    }
    let current = module.shared.current();
    let found = current.store.names(word.to_bytes(), COMPLETE_LIMIT, COMPLETE_DEADLINE);
    let ops: Vec<_> = found.names.iter().map(|name| Op::Get { name }).collect();
    let is_there = current.store.run_within(&ops, COMPLETE_DEADLINE).into_iter();
    let names: Vec<_> = found
        .names
        .iter()
        .zip(is_there.map(|outcome| !matches!(outcome, univar::Outcome::Missing)))
        .filter_map(|(name, is_there)| CString::new(name.as_bytes()).ok().filter(|_| is_there))
        .collect();
    *last =
        Some(Completion { word: word.to_bytes().into(), at: Instant::now(), names: names.clone() });
    names
}

/// The names that tab completion found last.
pub(crate) struct Completion {
    word: Vec<u8>,
    at: Instant,
    names: Vec<CString>,
}
