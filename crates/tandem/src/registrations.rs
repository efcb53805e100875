//! `tandem registrations`: which phone is registered where, as the cache servers have it.
//!
//! A registration's record is `<prefix><peer>` = `identity` (`docs/consistency.md`); the prefixes are those of
//! `universal.conf`, `prefix` and `prefixes`.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use univar::Name;
use universal::settings::Section;

use crate::exit::Exit;
use crate::out::{Out, complain};
use crate::session::{Listing, Record, Session, complain_unread};
use crate::source::Source;
use crate::text;
use crate::univar::{incomplete, part_of_name};

/// The prefix of a universal.conf that does not say one.
const DEFAULT_PREFIX: &str = "PEER_";

/// Lists the phones that are registered, on all servers: peer, identity, section, seconds left, cache server.
///
/// The names' prefixes are those of universal.conf. A list that may not be complete ends with exit code 3; one without
/// the --peer that was asked for, with 1 if the peer is certainly not registered.
#[derive(Debug, Args)]
#[command(after_help = crate::exit::HELP)]
pub(crate) struct Registrations {
    /// Only this peer.
    #[arg(long, value_name = "PEER")]
    peer: Option<String>,
    /// Only peers of this server: its identity, with or without the '@' before and the '/' after it.
    #[arg(long, value_name = "IDENTITY")]
    server: Option<String>,
    /// A prefix of names to look under, instead of those of universal.conf; may be given several times.
    ///
    /// Default without either, as with --servers: PEER_.
    #[arg(long, value_name = "PREFIX")]
    prefix: Vec<String>,
    /// Prints a line of JSON for each.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

/// One registration.
#[derive(Serialize)]
struct Row {
    peer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_encoding: Option<&'static str>,
    identity: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity_encoding: Option<&'static str>,
    section: String,
    prefix: String,
    seconds_left: Option<u64>,
    cache: String,
}

/// A name that is a registration's, and what it says.
struct Place<'s> {
    prefix: String,
    section: &'s str,
}

impl Registrations {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        // What can be no name's part is no peer that is missing, but a mistake.
        for (what, text) in self
            .prefix
            .iter()
            .map(|text| ("prefix", text))
            .chain(self.peer.iter().map(|text| ("peer", text)))
        {
            part_of_name(what, text.as_bytes())?;
        }
        let session = Session::open(&self.source)?;
        let prefixes = self.prefixes(&session);
        let texts: Vec<&[u8]> = prefixes.iter().map(String::as_bytes).collect();
        let Listing { names, gaps } = session.list(&texts);
        let names: Vec<Name> = names
            .into_iter()
            .filter(|name| self.place(&session, &prefixes, name).is_some())
            .collect();
        let mut rows = Vec::new();
        let unread = session.read(&names, true, &mut |name, record| {
            if let Some(place) = self.place(&session, &prefixes, name)
                && self.wants(&record)
            {
                rows.push(row(&session, &place, name, &record));
            }
            Ok(())
        })?;
        rows.sort_by(|a, b| (&a.peer, &a.prefix).cmp(&(&b.peer, &b.prefix)));
        self.print(&rows)?;
        complain_unread(&session, &unread);
        let exit = incomplete(&gaps, &unread);
        match &self.peer {
            Some(peer) if rows.is_empty() && exit == Exit::Done => {
                complain!("{} is not registered", text::escaped(peer.as_bytes()));
                Ok(Exit::Missing)
            }
            _ => Ok(exit),
        }
    }

    /// The prefixes to look under, the longest first.
    fn prefixes(&self, session: &Session) -> Vec<String> {
        let mut prefixes = self.prefix.clone();
        if prefixes.is_empty() {
            let sections = session.settings().sections.iter();
            prefixes.extend(sections.flat_map(Section::owned_prefixes).map(str::to_owned));
        }
        if prefixes.is_empty() {
            if self.source.verbose {
                complain!("no prefix is given; the names are looked for under {DEFAULT_PREFIX}");
            }
            prefixes.push(DEFAULT_PREFIX.to_owned());
        }
        prefixes.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        prefixes.dedup();
        prefixes
    }

    /// The prefix that a name has, if it is one of a peer that is wanted.
    fn place<'s>(
        &self,
        session: &'s Session,
        prefixes: &[String],
        name: &Name,
    ) -> Option<Place<'s>> {
        let bytes = name.as_bytes();
        let prefix = prefixes.iter().find(|prefix| bytes.starts_with(prefix.as_bytes()))?;
        let peer = &bytes[prefix.len()..];
        let wanted = self.peer.as_ref().is_none_or(|wanted| wanted.as_bytes() == peer);
        let section = session.section_of(bytes).0.name.as_str();
        (wanted && !peer.is_empty()).then(|| Place { prefix: prefix.clone(), section })
    }

    fn wants(&self, record: &Record) -> bool {
        let Some(wanted) = &self.server else { return true };
        let bare = |text: &'_ [u8]| -> Vec<u8> {
            let text = text.strip_prefix(b"@").unwrap_or(text);
            text.strip_suffix(b"/").unwrap_or(text).to_vec()
        };
        bare(&record.value) == bare(wanted.as_bytes())
    }

    fn print(&self, rows: &[Row]) -> anyhow::Result<()> {
        let mut out = Out::new();
        if self.json {
            for row in rows {
                out.json(row)?;
            }
            return out.flush();
        }
        let head = ["Peer", "Identity", "Section", "Left", "Cache server"].map(str::to_owned);
        let lines: Vec<[String; 5]> = std::iter::once(head).chain(rows.iter().map(cells)).collect();
        let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max();
        let widths: Vec<usize> = (0..4).map(|at| width(at).unwrap_or(0)).collect();
        for [peer, identity, section, left, cache] in &lines {
            let [a, b, c, d] = widths[..] else { continue };
            out.line(format_args!("{peer:a$}  {identity:b$}  {section:c$}  {left:>d$}  {cache}"))?;
        }
        out.flush()
    }
}

fn row(session: &Session, place: &Place<'_>, name: &Name, record: &Record) -> Row {
    let (peer, peer_encoding) = text::encode(&name.as_bytes()[place.prefix.len()..]);
    let (identity, identity_encoding) = text::encode(&record.value);
    Row {
        peer,
        peer_encoding,
        identity,
        identity_encoding,
        section: place.section.to_owned(),
        prefix: place.prefix.clone(),
        seconds_left: record.life.flatten().as_ref().map(Duration::as_secs),
        cache: session.server_of(name),
    }
}

/// A table holds no control characters, be it for a terminal or not: a line is a registration.
fn cells(row: &Row) -> [String; 5] {
    let safe = |text: &str| text::escaped(text.as_bytes());
    let left = row.seconds_left.map_or_else(|| "never".to_owned(), |left| left.to_string());
    [safe(&row.peer), safe(&row.identity), safe(&row.section), left, row.cache.clone()]
}
