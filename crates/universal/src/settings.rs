//! `universal.conf`: from the lines that Asterisk's config API read to checked settings.
//!
//! Every mistake is reported, not only the first, and each names its file, section and line. A file
//! with a mistake in it is not used at all: half of a configuration is worse than the old one.

use std::collections::{BTreeMap, HashSet};
use std::ffi::CString;
use std::time::Duration;

use univar::{Address, OWNER_MAX_BYTES, Secret, SectionConfig};

use crate::{Template, pattern};

mod problem;

pub use problem::{Place, Problem, ProblemKind};

/// Where every other section inherits from.
pub const GENERAL: &str = "general";

const DEFAULT_DEADLINE: Duration = Duration::from_millis(50);
const DEADLINE_MS: std::ops::RangeInclusive<u64> = 1..=10_000;
const DEFAULT_LEASE: Duration = Duration::from_secs(60);
const LEASE_SECONDS: std::ops::RangeInclusive<u64> = 5..=86_400;
const DEFAULT_RING: Duration = Duration::from_secs(20);
const RING_SECONDS: std::ops::RangeInclusive<u64> = 1..=3600;
const DEFAULT_PREFIX: &str = "PEER_";
/// The cache server where none is named: one on the same machine, as `tandem cache` is.
pub const DEFAULT_SERVER: &str = "127.0.0.1:11211";
/// The most copies that can be kept of each variable.
const COPIES_MAX: usize = 2;
/// A shorter secret can be guessed.
const SECRET_MIN_BYTES: usize = 12;
const MAX_PREFIX_BYTES: usize = 128;
/// The longest identity.
pub const MAX_IDENTITY_BYTES: usize = 1024;

/// One section as Asterisk read it, templates already applied.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RawSection {
    /// What stands between the brackets.
    pub name: String,
    /// Its lines in order.
    pub lines: Vec<RawLine>,
}

/// One `name = value`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RawLine {
    /// Left of the `=`.
    pub name: String,
    /// Right of it.
    pub value: String,
    /// The file that it stands in (`#include`).
    pub file: String,
    /// Its line there, from 1.
    pub line: u32,
    /// Whether it came from a template.
    pub inherited: bool,
}

/// The whole of `universal.conf`, checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// `[general]` first, then the others in the file's order.
    pub sections: Vec<Section>,
    /// `owner`: this node's name in what it writes, if one is given.
    pub owner: Option<String>,
}

impl Settings {
    /// This node's name in what it writes: as given, else the first identity that is published.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        let identities =
            || self.sections.iter().filter_map(|s| Some(s.publish.as_ref()?.identity.as_str()));
        self.owner.as_deref().or_else(|| identities().next())
    }

    /// What a [`univar::Store`] needs of it, for a node that writes as `owner`.
    #[must_use]
    pub fn store_config(&self, owner: String) -> univar::Config {
        // A prefix that two sections name has the same servers in both ([`check`]).
        let mut claimed = HashSet::new();
        let sections = self.sections.iter().map(|section| SectionConfig {
            name: section.name.clone(),
            prefixes: section
                .owned_prefixes()
                .filter(|prefix| claimed.insert(prefix.to_string()))
                .map(|prefix| prefix.as_bytes().to_vec())
                .collect(),
            servers: section.servers.clone(),
            deadline: section.deadline,
            copies: section.copies,
            secret: section.secret.clone(),
        });
        univar::Config { sections: sections.collect(), owner }
    }
}

/// One section, with what it inherits from `[general]` filled in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Section {
    /// What stands between the brackets.
    pub name: String,
    /// The cache servers, `host:port`.
    pub servers: Vec<String>,
    /// How many of them hold each variable: 1 or 2.
    pub copies: usize,
    /// What proves that a record was written by one of us.
    pub secret: Option<Secret>,
    /// The longest that an application may hold a channel.
    pub deadline: Duration,
    /// What is published here, if anything.
    pub publish: Option<Publish>,
    /// `prefixes`: all servers' prefixes, in order of preference.
    pub prefixes: Vec<String>,
    /// `dial`: how a peer found under one of `prefixes` is called.
    pub dial: Option<Template>,
    /// `match` and `ring`: what `switch => Universal/<section>` is for.
    pub switch: Option<Switch>,
}

/// How a section serves the dialplan as a switch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Switch {
    /// `match`: the extensions that it takes, as they are written in extensions.conf.
    pub patterns: Vec<CString>,
    /// `ring`: how long a phone rings.
    pub ring: Duration,
}

/// How the peers registered on this server are published.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Publish {
    /// Before the peer's name in the key.
    pub prefix: String,
    /// The record's value.
    pub identity: String,
    /// The longest that a record outlives this server.
    pub lease: Duration,
    /// The channel drivers whose peers are published here; all, if empty.
    pub drivers: Vec<String>,
}

impl Section {
    /// The prefixes that lead a variable's name to this section.
    pub fn owned_prefixes(&self) -> impl Iterator<Item = &str> {
        let own = self.publish.iter().map(|publish| publish.prefix.as_str());
        own.chain(self.prefixes.iter().map(String::as_str))
    }
}

/// Checks what Asterisk read from `file`.
///
/// # Errors
///
/// Every [`Problem`], in the file's order; at least one.
pub fn check(file: &str, raw: &[RawSection]) -> Result<Settings, Vec<Problem>> {
    let mut problems = Vec::new();
    let empty = RawSection { name: GENERAL.into(), ..RawSection::default() };
    let general = raw.iter().find(|section| section.name == GENERAL).unwrap_or(&empty);
    let general_options = Options::read(file, general, &mut problems);

    let mut sections = vec![section(&general_options, None, &mut problems)];
    for (index, again) in raw.iter().enumerate() {
        if raw[..index].iter().any(|earlier| earlier.name == again.name) {
            let line = again.lines.iter().find(|line| !line.inherited).map_or(0, |line| line.line);
            let place = Place { file: file.into(), section: again.name.clone(), line };
            let kind = ProblemKind::RepeatedSection(again.name.clone());
            problems.push(Problem { place, kind });
        }
    }
    for raw in raw.iter().filter(|section| section.name != GENERAL) {
        let options = Options::read(file, raw, &mut problems);
        sections.push(section(&options, Some(&general_options), &mut problems));
    }
    check_prefixes(file, raw, &sections, &mut problems);
    // What is inherited was looked at once for each heir.
    let mut seen = Vec::new();
    problems.retain(|problem| {
        !seen.contains(problem) && {
            seen.push(problem.clone());
            true
        }
    });
    let owner = general_options.get("owner").map(str::to_owned);
    if problems.is_empty() { Ok(Settings { sections, owner }) } else { Err(problems) }
}

/// The lines of one section by option.
struct Options<'a> {
    file: &'a str,
    section: &'a str,
    lines: BTreeMap<&'a str, &'a RawLine>,
}

const KNOWN: [&str; 13] = [
    "servers", "copies", "secret", "owner", "deadline", "prefix", "identity", "lease", "drivers",
    "prefixes", "dial", "match", "ring",
];

impl<'a> Options<'a> {
    fn read(file: &'a str, raw: &'a RawSection, problems: &mut Vec<Problem>) -> Self {
        let mut options = Self { file, section: &raw.name, lines: BTreeMap::new() };
        for line in &raw.lines {
            let place = place(&raw.name, line);
            if !KNOWN.contains(&line.name.as_str()) {
                let kind = ProblemKind::UnknownOption(line.name.clone());
                problems.push(Problem { place, kind });
            } else if line.value.contains(char::REPLACEMENT_CHARACTER) {
                problems.push(Problem { place, kind: ProblemKind::NotUtf8(line.name.clone()) });
            } else if line.value.trim().is_empty() {
                problems.push(Problem { place, kind: ProblemKind::Empty(line.name.clone()) });
            } else if let Some(earlier) = options.lines.insert(&line.name, line) {
                // A template's line may be overridden: the section's own comes later and counts.
                if !earlier.inherited {
                    let kind = ProblemKind::Repeated(line.name.clone());
                    problems.push(Problem { place, kind });
                }
            }
        }
        options
    }

    fn get(&self, option: &str) -> Option<&'a str> {
        self.lines.get(option).map(|line| line.value.trim())
    }

    fn problem(&self, option: &str, kind: ProblemKind) -> Problem {
        let at = self.lines.get(option).or_else(|| self.lines.values().next());
        let nowhere = Place { file: self.file.into(), section: self.section.into(), line: 0 };
        Problem { place: at.map_or(nowhere, |line| place(self.section, line)), kind }
    }
}

fn place(section: &str, line: &RawLine) -> Place {
    Place { file: line.file.clone(), section: section.into(), line: line.line }
}

fn section(
    options: &Options<'_>,
    general: Option<&Options<'_>>,
    problems: &mut Vec<Problem>,
) -> Section {
    let inherited = |option: &str| match general {
        Some(general) if options.get(option).is_none() => general,
        _ => options,
    };
    if options.get("owner").is_some_and(|owner| general.is_some() || owner.len() > OWNER_MAX_BYTES)
    {
        problems.push(options.problem("owner", ProblemKind::Owner));
    }
    if options.get("dial").is_some() && options.get("prefixes").is_none() {
        problems.push(options.problem("dial", ProblemKind::DialWithoutPrefixes));
    }
    let dial = options.get("dial").map(Template::parse).transpose().unwrap_or_else(|error| {
        problems.push(options.problem("dial", error.into()));
        None
    });
    let deadline = number(inherited("deadline"), "deadline", DEADLINE_MS, "milliseconds", problems);
    let lease = number(inherited("lease"), "lease", LEASE_SECONDS, "seconds", problems);
    let lease = lease.map_or(DEFAULT_LEASE, Duration::from_secs);
    let servers = servers(inherited("servers"), problems);
    Section {
        name: options.section.into(),
        copies: copies(inherited("copies"), servers.len(), problems),
        secret: secret(inherited("secret"), problems),
        servers,
        deadline: deadline.map_or(DEFAULT_DEADLINE, Duration::from_millis),
        publish: publish(options, lease, problems),
        prefixes: words(options, "prefixes"),
        dial,
        switch: switch(options, problems),
    }
}

fn switch(options: &Options<'_>, problems: &mut Vec<Problem>) -> Option<Switch> {
    let ring = number(options, "ring", RING_SECONDS, "seconds", problems);
    if options.get("match").is_none() {
        if options.get("ring").is_some() {
            problems.push(options.problem("ring", ProblemKind::RingWithoutMatch));
        }
        return None;
    }
    if options.get("prefixes").is_none() || options.get("dial").is_none() {
        problems.push(options.problem("match", ProblemKind::MatchWithoutDial));
    }
    let mut patterns = Vec::new();
    for word in words(options, "match") {
        match pattern::check(&word) {
            Ok(checked) => patterns.push(checked),
            Err(reason) => {
                let kind = ProblemKind::BadPattern { pattern: word, reason };
                problems.push(options.problem("match", kind));
            }
        }
    }
    Some(Switch { patterns, ring: ring.map_or(DEFAULT_RING, Duration::from_secs) })
}

fn number(
    options: &Options<'_>,
    option: &'static str,
    range: std::ops::RangeInclusive<u64>,
    unit: &'static str,
    problems: &mut Vec<Problem>,
) -> Option<u64> {
    let text = options.get(option)?;
    let number = text.parse().ok().filter(|number| range.contains(number));
    if number.is_none() {
        let (value, from, to) = (text.into(), *range.start(), *range.end());
        let kind = ProblemKind::Number { option, value, from, to, unit };
        problems.push(options.problem(option, kind));
    }
    number
}

fn words(options: &Options<'_>, option: &str) -> Vec<String> {
    let list = options.get(option).unwrap_or_default();
    list.split_ascii_whitespace().map(str::to_owned).collect()
}

fn servers(options: &Options<'_>, problems: &mut Vec<Problem>) -> Vec<String> {
    let mut servers: Vec<String> = Vec::new();
    for word in words(options, "servers") {
        let kind = match Address::parse(&word).map(|address| address.to_string()) {
            Ok(server) if !servers.contains(&server) => {
                servers.push(server);
                continue;
            }
            Ok(_) => ProblemKind::RepeatedServer(word),
            Err(reason) => ProblemKind::BadServer { server: word, reason },
        };
        problems.push(options.problem("servers", kind));
    }
    if options.get("servers").is_none() {
        servers.push(DEFAULT_SERVER.into());
    }
    servers
}

/// Two copies wherever there are two servers, unless it is said otherwise.
fn copies(options: &Options<'_>, servers: usize, problems: &mut Vec<Problem>) -> usize {
    let Some(text) = options.get("copies") else { return servers.clamp(1, COPIES_MAX) };
    match text.parse() {
        Ok(copies) if (1..=COPIES_MAX.min(servers.max(1))).contains(&copies) => copies,
        _ => {
            let kind = ProblemKind::Copies { copies: text.into(), servers };
            problems.push(options.problem("copies", kind));
            1
        }
    }
}

fn secret(options: &Options<'_>, problems: &mut Vec<Problem>) -> Option<Secret> {
    let secret = options.get("secret")?;
    if secret.len() < SECRET_MIN_BYTES {
        problems.push(options.problem("secret", ProblemKind::ShortSecret));
    }
    Some(Secret::new(secret))
}

fn publish(options: &Options<'_>, lease: Duration, problems: &mut Vec<Problem>) -> Option<Publish> {
    let Some(identity) = options.get("identity") else {
        for option in ["prefix", "drivers"] {
            if options.get(option).is_some() {
                problems.push(options.problem(option, ProblemKind::NoIdentity(option)));
            }
        }
        return None;
    };
    if identity.len() > MAX_IDENTITY_BYTES {
        problems.push(options.problem("identity", ProblemKind::LongIdentity));
    }
    Some(Publish {
        prefix: options.get("prefix").unwrap_or(DEFAULT_PREFIX).into(),
        identity: identity.into(),
        lease,
        drivers: words(options, "drivers"),
    })
}

/// Every prefix can begin a name, and belongs to one section.
fn check_prefixes(
    file: &str,
    raw: &[RawSection],
    sections: &[Section],
    problems: &mut Vec<Problem>,
) {
    let mut published: BTreeMap<&str, &Section> = BTreeMap::new();
    let mut listed: BTreeMap<&str, &Section> = BTreeMap::new();
    for section in sections {
        let raw_lines = raw.iter().find(|raw| raw.name == section.name);
        let mut note = |option: &str, kind| {
            let line = raw_lines.and_then(|raw| raw.lines.iter().rfind(|l| l.name == option));
            let nowhere = Place { file: file.into(), section: section.name.clone(), line: 0 };
            problems
                .push(Problem { place: line.map_or(nowhere, |l| place(&section.name, l)), kind });
        };
        let own = section.publish.iter().map(|publish| ("prefix", publish.prefix.as_str()));
        let others = section.prefixes.iter().map(|prefix| ("prefixes", prefix.as_str()));
        for (option, prefix) in own.chain(others) {
            if !is_prefix(prefix) {
                note(option, ProblemKind::BadPrefix(prefix.into()));
            }
            let (same, other) = match option {
                "prefix" => (&mut published, &listed),
                _ => (&mut listed, &published),
            };
            let kept_alike = |first: &&&Section| {
                (&first.servers, first.copies, &first.secret)
                    == (&section.servers, section.copies, &section.secret)
            };
            if let Some(first) = other.get(prefix).filter(|first| !kept_alike(first)) {
                let (prefix, other) = (prefix.into(), first.name.clone());
                note(option, ProblemKind::PrefixElsewhere { prefix, other });
            }
            if let Some(first) = same.insert(prefix, section) {
                let (prefix, other) = (prefix.into(), first.name.clone());
                note(option, ProblemKind::DuplicatePrefix { prefix, other });
            }
        }
    }
}

fn is_prefix(prefix: &str) -> bool {
    (1..=MAX_PREFIX_BYTES).contains(&prefix.len())
        && !prefix.bytes().any(|byte| byte <= b' ' || byte == 0x7f)
        && !prefix.starts_with("tandem:")
}

#[cfg(test)]
mod tests;
