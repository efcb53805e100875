//! Universal variables and shared registrations, as the caches have them.
//!
//! The hub is one more node to the caches: it probes them and heals them like an Asterisk does.
//! Whatever asks here blocks, so it is asked on threads that may.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;
use univar::epoch::PROBE_INTERVAL;
use univar::{
    ConfigError, Invalid, Name, NameError, Op, Outcome, ServerState, ServerStatus, Store,
};
use universal::settings::{Section, Settings};

/// How long the caches may take for one question of a person's.
const DEADLINE: Duration = Duration::from_secs(2);
/// How often it is looked whether there is anything to heal.
const HEAL_INTERVAL: Duration = Duration::from_millis(250);
/// Operations at once: a value has up to 1 MB, and all answers are held.
const BATCH_OPS: usize = 256;
/// Longest value that is shown, in bytes; it is written whole all the same.
const SHOWN_MAX_BYTES: usize = 4096;
/// The prefix of a universal.conf that does not say one.
const DEFAULT_PREFIX: &str = "PEER_";

pub(crate) struct Variables {
    store: Arc<Store>,
    settings: Settings,
    is_ending: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// A universal variable.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Variable {
    name: String,
    /// As text, at most 4096 bytes of it; `null` if nobody can tell now.
    value: Option<String>,
    /// Its length.
    bytes: usize,
    /// How long it lives; `null` is for ever.
    ttl_s: Option<u64>,
    /// Whether bytes of it are no text, and shown as U+FFFD.
    binary: bool,
    /// Whether it is longer than what is shown.
    cut: bool,
}

/// A phone's registration.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SharedRegistration {
    peer: String,
    /// The identity that the record has: what to dial it with; `null` if nobody can tell now.
    server: Option<String>,
    prefix: String,
    name: String,
    /// How long the lease lasts, if nobody renews it.
    ttl_s: Option<u64>,
}

/// How a cache server is: [`univar::ServerState`], for the description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CacheState {
    Ready,
    Healing,
    Lost,
    Slow,
    Down,
    Unresolved,
}

impl From<ServerState> for CacheState {
    fn from(state: ServerState) -> Self {
        match state {
            ServerState::Unresolved => Self::Unresolved,
            ServerState::Down => Self::Down,
            ServerState::Lost => Self::Lost,
            ServerState::Healing => Self::Healing,
            ServerState::Slow => Self::Slow,
            ServerState::Ready => Self::Ready,
        }
    }
}

/// A cache server.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Cache {
    pub(crate) address: String,
    pub(crate) state: CacheState,
    since_s: u64,
    pub(crate) errors: u64,
    last_error: Option<String>,
    /// What is wrong and what to do, if anything is.
    doubt: Option<String>,
}

/// What a list found.
#[derive(Debug)]
pub(crate) struct Found<T> {
    pub(crate) rows: Vec<T>,
    /// Whether there are more.
    pub(crate) truncated: bool,
    /// Why some may be missing.
    pub(crate) gaps: Vec<String>,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VariableError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("there is no universal variable {0}")]
    Missing(String),
    /// Whoever changed it would send a phone's calls elsewhere, by the trunk's login.
    #[error("{0} is a phone's registration: only the server that has the phone writes it")]
    Registration(String),
    #[error("{0}")]
    Invalid(Invalid),
    #[error("the cache servers cannot tell: {0}")]
    Unreachable(String),
}

impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Variables").finish_non_exhaustive()
    }
}

impl Variables {
    /// Begins to watch the caches.
    pub(crate) fn start(settings: Settings) -> Result<Self, ConfigError> {
        let owner = format!("hub/{}", std::process::id());
        let store = Arc::new(Store::new(&settings.store_config(owner), None, Arc::new(|| {}))?);
        let is_ending = Arc::new(AtomicBool::new(false));
        let watch = (Arc::clone(&store), Arc::clone(&is_ending));
        let heal = (Arc::clone(&store), Arc::clone(&is_ending));
        let threads = vec![
            std::thread::spawn(move || {
                let (store, is_ending) = watch;
                while !is_ending.load(Ordering::Relaxed) {
                    store.resolve();
                    for event in store.maintain() {
                        tracing::info!("cache server {}: {:?}", event.server, event.kind);
                    }
                    std::thread::park_timeout(PROBE_INTERVAL);
                }
            }),
            std::thread::spawn(move || {
                let (store, is_ending) = heal;
                univar::step_back();
                let pause = |time| {
                    std::thread::park_timeout(time);
                    is_ending.load(Ordering::Relaxed)
                };
                while !pause(HEAL_INTERVAL) {
                    let _events = store.heal(&pause);
                }
            }),
        ];
        Ok(Self { store, settings, is_ending, threads })
    }

    pub(crate) fn caches(&self) -> Vec<Cache> {
        let rows = self.store.servers().into_iter().map(|server| Cache {
            address: server.name.to_string(),
            state: server.state.into(),
            since_s: server.since.as_secs(),
            errors: server.errors,
            doubt: server.doubt(),
            last_error: server.last_error,
        });
        rows.collect()
    }

    /// The variables whose names begin so; registrations are not among them.
    pub(crate) fn list(&self, prefix: &str, limit: usize) -> Found<Variable> {
        let prefixes = self.registration_prefixes();
        let is_variable = |name: &Name| {
            !prefixes.iter().any(|prefix| name.as_bytes().starts_with(prefix.as_bytes()))
        };
        let found = self.names(prefix.as_bytes(), is_variable, limit);
        let rows = self.read(&found.rows, |name, value, ttl_s| {
            let text = String::from_utf8_lossy(value);
            let shown = &text[..text.floor_char_boundary(SHOWN_MAX_BYTES)];
            Variable {
                name: name.to_string(),
                bytes: value.len(),
                ttl_s,
                binary: matches!(text, std::borrow::Cow::Owned(_)),
                cut: shown.len() < text.len(),
                value: Some(shown.to_owned()),
            }
        });
        let rows = rows.into_iter().map(|row| {
            row.unwrap_or_else(|name| Variable {
                name: name.to_string(),
                value: None,
                bytes: 0,
                ttl_s: None,
                binary: false,
                cut: false,
            })
        });
        Found { rows: rows.collect(), ..found.without_rows() }
    }

    /// All registrations, of all servers.
    pub(crate) fn registrations(&self, limit: usize) -> Found<SharedRegistration> {
        let prefixes = self.registration_prefixes();
        let mut all = Found { rows: Vec::new(), truncated: false, gaps: Vec::new() };
        let mut seen = std::collections::BTreeSet::new();
        for prefix in &prefixes {
            let found = self.names(prefix.as_bytes(), |name| seen.insert(name.clone()), limit);
            let row = |name: &Name, server: Option<String>, ttl_s| {
                let name = name.to_string();
                let peer = name.strip_prefix(prefix.as_str()).unwrap_or(&name).to_owned();
                SharedRegistration { peer, server, prefix: prefix.clone(), name, ttl_s }
            };
            let rows = self.read(&found.rows, |name, value, ttl_s| {
                row(name, Some(String::from_utf8_lossy(value).into_owned()), ttl_s)
            });
            let rows = rows.into_iter();
            all.rows.extend(rows.map(|read| read.unwrap_or_else(|name| row(&name, None, None))));
            all.truncated |= found.truncated;
            all.gaps.extend(found.gaps);
        }
        all.gaps.sort();
        all.gaps.dedup();
        all
    }

    pub(crate) fn set(
        &self,
        name: &str,
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<(), VariableError> {
        let name = self.variable(name)?;
        self.done(&name, Op::Set { name: &name, value, ttl })
    }

    pub(crate) fn delete(&self, name: &str) -> Result<(), VariableError> {
        let name = self.variable(name)?;
        self.done(&name, Op::Delete { name: &name })
    }

    /// A variable that is anybody's to change.
    fn variable(&self, name: &str) -> Result<Name, VariableError> {
        if self.registration_prefixes().iter().any(|prefix| name.starts_with(prefix)) {
            return Err(VariableError::Registration(name.into()));
        }
        Ok(Name::new(name)?)
    }

    fn done(&self, name: &Name, op: Op<'_>) -> Result<(), VariableError> {
        match self.store.run_within(&[op], DEADLINE).pop() {
            Some(Outcome::Done) => Ok(()),
            Some(Outcome::Missing) => Err(VariableError::Missing(name.to_string())),
            Some(Outcome::Invalid(why)) => Err(VariableError::Invalid(why)),
            _ => Err(VariableError::Unreachable(self.store.doubts(name).join("; "))),
        }
    }

    fn names(
        &self,
        prefix: &[u8],
        mut is_wanted: impl FnMut(&Name) -> bool,
        limit: usize,
    ) -> Found<Name> {
        let found = self.store.names(prefix, usize::MAX, DEADLINE);
        let mut rows: Vec<Name> = found.names.into_iter().filter(|name| is_wanted(name)).collect();
        let truncated = rows.len() > limit;
        rows.truncate(limit);
        let unlisted =
            found.unlisted.iter().map(|name| format!("cache server {name} was not listed"));
        let doubts =
            self.store.servers().into_iter().filter_map(|server| ServerStatus::doubt(&server));
        Found { rows, truncated, gaps: doubts.chain(unlisted).collect() }
    }

    /// Reads names; those of which nobody can tell come back as they are. What is gone is left out.
    fn read<T>(
        &self,
        names: &[Name],
        row: impl Fn(&Name, &[u8], Option<u64>) -> T,
    ) -> Vec<Result<T, Name>> {
        let mut rows = Vec::new();
        for names in names.chunks(BATCH_OPS) {
            let gets = names.iter().map(|name| Op::Get { name });
            let ops: Vec<Op<'_>> = gets.chain(names.iter().map(|name| Op::Life { name })).collect();
            let mut values = self.store.run_within(&ops, DEADLINE);
            let lives = values.split_off(names.len());
            for ((name, value), life) in names.iter().zip(values).zip(lives) {
                match (value, life) {
                    (Outcome::Value(value), Outcome::Life(life)) => {
                        rows.push(Ok(row(name, &value, life.map(|life| life.as_secs()))));
                    }
                    (Outcome::Missing, _) | (_, Outcome::Missing) => {}
                    _ => rows.push(Err(name.clone())),
                }
            }
        }
        rows
    }

    /// The prefixes of registrations' names.
    fn registration_prefixes(&self) -> Vec<String> {
        let owned = self.settings.sections.iter().flat_map(Section::owned_prefixes);
        let mut prefixes: Vec<String> = owned.map(str::to_owned).collect();
        if prefixes.is_empty() {
            prefixes.push(DEFAULT_PREFIX.into());
        }
        // The longest first: a name is of the longest that fits.
        prefixes.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        prefixes.dedup();
        prefixes
    }
}

impl<T> Found<T> {
    fn without_rows<U>(self) -> Found<U> {
        Found { rows: Vec::new(), truncated: self.truncated, gaps: self.gaps }
    }
}

impl Drop for Variables {
    fn drop(&mut self) {
        self.is_ending.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("a thread that watches the caches has panicked");
            }
        }
    }
}
