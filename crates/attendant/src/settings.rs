//! `pbx_web.conf`: from the lines that Asterisk's reader gives to checked settings.
//!
//! Every mistake is reported, not only the first, and each says where it is and what to write. A
//! file with a mistake in it is not used at all: an access list without one of its rules may let
//! in whom it should keep out. What Asterisk's reader skips or drops [`check_files`] finds.
//!
//! Asterisk's reader takes `;` for a comment and cuts at the first `=`; hashes have the one never
//! and the other only in the value, so they need no quotes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use acl::Acl;

use crate::users::{Role, User, Users};

mod files;
mod problem;
mod text;

pub use files::{Files, check_files};
pub use problem::{Place, Problem, ProblemKind};

/// The file that all this stands in.
pub const FILE: &str = "pbx_web.conf";
/// Where it listens if nothing is said; the port of the page of 2005.
pub const DEFAULT_PORT: u16 = 8011;
/// CLI commands that may run at once, if nothing is said.
pub const DEFAULT_COMMANDS: usize = 4;
/// The most that may be said.
const COMMANDS_MAX: u64 = 16;
/// The verbosity of the live log, if nothing is said.
const DEFAULT_VERBOSE: u8 = 3;
const VERBOSE_MAX: u64 = 10;

/// One line as Asterisk read it, templates applied.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RawLine {
    /// What stands between the brackets.
    pub section: String,
    /// Left of the `=`.
    pub name: String,
    /// Right of it.
    pub value: String,
    /// The file it stands in if that is another one (`#include`).
    pub file: String,
    /// Its line there, from 1; 0 if it is not known.
    pub line: u32,
}

/// The whole of `pbx_web.conf`, checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// `port`.
    pub port: u16,
    /// `bind`; where nothing is said, loopback without an access list and everywhere with one (`::`,
    /// which is 0.0.0.0 where the kernel has no IPv6).
    pub bind: IpAddr,
    /// The files of `tlsenable`.
    pub tls: Option<TlsFiles>,
    /// `hostnames`, in lower case.
    pub hostnames: Vec<String>,
    /// `commands`: CLI commands that may run at once.
    pub commands: usize,
    /// `verbose`: of the live log.
    pub verbose: u8,
    /// `[users]`. Without one there is nothing to serve.
    pub users: Users,
    /// `[acl]`.
    pub acl: Acl,
}

/// What TLS is made with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsFiles {
    /// `tlscertfile`.
    pub certificate: PathBuf,
    /// `tlsprivatekey`; else the key is in the same file.
    pub key: Option<PathBuf>,
}

impl Settings {
    /// Where to listen.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.bind, self.port)
    }

    /// Whether there is anything to serve: it is off until it has a user.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.users.is_empty()
    }

    /// Whether that address may connect. A server that listens everywhere may have lost its last
    /// rule by a reload: without one only this machine is let in, wherever it listens.
    #[must_use]
    pub fn admits(&self, address: IpAddr) -> bool {
        let has_rules = !self.acl.rules().is_empty();
        let is_let_in = match has_rules {
            true => self.acl.permits(address),
            false => address.to_canonical().is_loopback(),
        };
        self.is_on() && is_let_in
    }

    /// These, but where to listen, and how, as `started` has it: what runs after a reload.
    pub(crate) fn with_start_of(&self, started: &Self) -> Self {
        let (port, bind, tls) = (started.port, started.bind, started.tls.clone());
        Self { port, bind, tls, ..self.clone() }
    }

    /// What only a restart of the server brings into force, compared with `running`.
    #[must_use]
    pub fn needs_restart(&self, running: &Self) -> Vec<&'static str> {
        let differs = [
            ("port", self.port != running.port),
            ("bind", self.bind != running.bind),
            ("tls", self.tls != running.tls),
        ];
        differs.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect()
    }

    /// What is allowed and yet worth a line in the log.
    #[must_use]
    pub fn warnings(&self) -> Vec<&'static str> {
        let mut warnings = Vec::new();
        let is_afar = !self.bind.to_canonical().is_loopback();
        if is_afar && self.acl.rules().is_empty() {
            warnings.push("[acl] has no rule any more, so nobody but this machine is let in");
        }
        if !self.acl.rules().is_empty() && !self.acl.rules().iter().any(|rule| rule.permits) {
            warnings.push(
                "[acl] has no permit, so nobody is let in, not even this machine; write who may \
                 connect",
            );
        }
        if is_afar && self.tls.is_none() {
            warnings.push("passwords are sent in the clear; set tlsenable=yes and tlscertfile");
        }
        if is_afar && self.hostnames.is_empty() {
            warnings.push(
                "hostnames= is empty, so browsers reach these pages by the server's address only",
            );
        }
        warnings
    }
}

/// Checks what Asterisk read.
///
/// # Errors
///
/// Every [`Problem`], in the file's order; at least one.
pub fn check(lines: &[RawLine]) -> Result<Settings, Vec<Problem>> {
    let mut reader = Reader::default();
    for line in lines {
        let read = match line.section.as_str() {
            _ if line.name.starts_with('\u{feff}') => Err(ProblemKind::ByteOrderMark),
            "general" => reader.general(line),
            "users" => reader.user(line),
            "acl" => reader.rule(line),
            _ => Err(ProblemKind::UnknownSection),
        };
        if let Err(kind) = read {
            reader.problems.push(Problem { place: place(line), kind });
        }
    }
    reader.finish()
}

fn place(line: &RawLine) -> Place {
    Place { file: line.file.clone(), section: line.section.clone(), line: line.line }
}

/// What has been read so far.
#[derive(Default)]
struct Reader {
    problems: Vec<Problem>,
    seen: Vec<String>,
    port: Option<u16>,
    bind: Option<(IpAddr, Place)>,
    tls: Option<Place>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    hostnames: Vec<String>,
    commands: Option<u64>,
    verbose: Option<u64>,
    users: Users,
    rules: Vec<acl::Rule>,
}

impl Reader {
    fn general(&mut self, line: &RawLine) -> Result<(), ProblemKind> {
        let (name, value) = (line.name.to_ascii_lowercase(), line.value.trim());
        if self.seen.contains(&name) {
            return Err(ProblemKind::Repeated(name));
        }
        match name.as_str() {
            "port" => {
                let port = value.parse().ok().filter(|port| *port != 0);
                self.port = Some(port.ok_or_else(|| ProblemKind::BadPort(value.into()))?);
            }
            "bind" | "bindaddr" => {
                let bind = address(value).ok_or_else(|| ProblemKind::BadBind(value.into()))?;
                self.bind = Some((bind, place(line)));
            }
            "tlsenable" => self.tls = is_yes(value)?.then(|| place(line)),
            "tlscertfile" => self.certificate = Some(path(&name, value)?),
            "tlsprivatekey" => self.key = Some(path(&name, value)?),
            "hostnames" => self.hostnames = hostnames(value)?,
            "commands" => self.commands = Some(number(value, 1, COMMANDS_MAX)?),
            "verbose" => self.verbose = Some(number(value, 0, VERBOSE_MAX)?),
            _ => {
                let known = "port, bind, tlsenable, tlscertfile, tlsprivatekey, hostnames, \
                             commands and verbose";
                return Err(ProblemKind::UnknownKey { name: line.name.clone(), known });
            }
        }
        self.seen.push(name);
        Ok(())
    }

    fn user(&mut self, line: &RawLine) -> Result<(), ProblemKind> {
        let role = match line.name.to_ascii_lowercase().as_str() {
            "adminuser" => Role::Admin,
            "viewer" => Role::Viewer,
            _ => {
                let known = "adminuser and viewer";
                return Err(ProblemKind::UnknownKey { name: line.name.clone(), known });
            }
        };
        let (name, hash) = line.value.split_once(',').ok_or(ProblemKind::BadUser)?;
        let (name, hash) = (name.trim(), hash.trim());
        // A hash has commas of its own.
        if name.starts_with('$') {
            return Err(ProblemKind::BadUser);
        }
        if !crate::users::is_name(name) {
            return Err(ProblemKind::BadUserName(name.into()));
        }
        if !password::is_hash(hash) {
            return Err(ProblemKind::BadHash(name.into()));
        }
        let user = User { role, hash: hash.into() };
        if self.users.insert(name, user) {
            return Err(ProblemKind::Repeated(name.into()));
        }
        Ok(())
    }

    fn rule(&mut self, line: &RawLine) -> Result<(), ProblemKind> {
        if !["permit", "deny"].contains(&line.name.to_ascii_lowercase().as_str()) {
            let known = "permit and deny";
            return Err(ProblemKind::UnknownKey { name: line.name.clone(), known });
        }
        self.rules.push(format!("{} {}", line.name, line.value).parse()?);
        Ok(())
    }

    fn finish(mut self) -> Result<Settings, Vec<Problem>> {
        let is_open = self.rules.is_empty();
        let bind = match (self.bind, is_open) {
            (Some((bind, place)), true) if !bind.to_canonical().is_loopback() => {
                self.problems.push(Problem { place, kind: ProblemKind::OpenBind(bind) });
                bind
            }
            (Some((bind, _)), _) => bind,
            (None, true) => Ipv4Addr::LOCALHOST.into(),
            (None, false) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let tls = match (self.tls, self.certificate) {
            (Some(_), Some(certificate)) => Some(TlsFiles { certificate, key: self.key }),
            (Some(place), None) => {
                self.problems.push(Problem { place, kind: ProblemKind::NoCertificate });
                None
            }
            (None, _) => None,
        };
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        let commands = self.commands.and_then(|number| usize::try_from(number).ok());
        let verbose = self.verbose.and_then(|number| u8::try_from(number).ok());
        Ok(Settings {
            port: self.port.unwrap_or(DEFAULT_PORT),
            bind,
            tls,
            hostnames: self.hostnames,
            commands: commands.unwrap_or(DEFAULT_COMMANDS),
            verbose: verbose.unwrap_or(DEFAULT_VERBOSE),
            users: self.users,
            acl: Acl::from_iter(self.rules),
        })
    }
}

/// As `ast_true` and `ast_false` read it.
fn is_yes(value: &str) -> Result<bool, ProblemKind> {
    match value.to_ascii_lowercase().as_str() {
        "yes" | "true" | "y" | "t" | "1" | "on" => Ok(true),
        "no" | "false" | "n" | "f" | "0" | "off" => Ok(false),
        _ => Err(ProblemKind::BadSwitch(value.into())),
    }
}

/// An IPv6 one may be in brackets, as it is in addresses of pages.
fn address(value: &str) -> Option<IpAddr> {
    let bare = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bare {
        Some(bare) => bare.parse().ok().map(IpAddr::V6),
        None => value.parse().ok(),
    }
}

fn number(value: &str, least: u64, most: u64) -> Result<u64, ProblemKind> {
    let number = value.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| ProblemKind::BadNumber { value: value.into(), least, most })
}

/// An empty one would be the configuration folder itself.
fn path(name: &str, value: &str) -> Result<PathBuf, ProblemKind> {
    if value.is_empty() {
        return Err(ProblemKind::NoFile(name.into()));
    }
    Ok(value.into())
}

fn hostnames(value: &str) -> Result<Vec<String>, ProblemKind> {
    let names = value.split([',', ' ', '\t']).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
            let is_address = name.trim_matches(['[', ']']).parse::<Ipv6Addr>().is_ok();
            let is_good = name.bytes().all(is_good) && (is_address || !name.contains([':', '[']));
            // As it is in `Host`, where the dot of a whole name may be missing.
            let plain = name.trim_matches(['[', ']']).trim_end_matches('.');
            (is_good && !plain.is_empty())
                .then(|| plain.to_ascii_lowercase())
                .ok_or_else(|| ProblemKind::BadHostname(name.into()))
        })
        .collect()
}

#[cfg(test)]
mod tests;
