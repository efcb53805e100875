//! `universal.conf`: read by Asterisk, checked by `universal`, made into a store and the
//! registrar's rules.

use std::{sync::Arc, time::Instant};

use asterisk::config::{Config, ConfigError};
use sri::{Registrar, Rules};
use univar::Store;
use universal::settings::{self, Problem, RawLine, RawSection, Settings};

use crate::shared::{Bell, Current, Shared};

const FILE: &std::ffi::CStr = c"universal.conf";
const FILE_NAME: &str = "universal.conf";

/// Why `universal.conf` cannot be used. Each single mistake has been logged already.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "universal.conf is not in Asterisk's configuration folder; copy samples/universal.conf.sample there and edit it"
    )]
    Missing,
    #[error("universal.conf cannot be parsed; see the messages above")]
    Invalid,
    #[error("universal.conf has {0} mistake(s); see the messages above. Nothing of it is used")]
    Mistakes(usize),
    #[error("universal.conf: {0}")]
    Store(#[from] univar::ConfigError),
}

/// Reads the file for the first time.
pub(crate) fn load() -> Result<Shared, Error> {
    let settings = read()?;
    let bell = Arc::new(Bell::default());
    let registrar = Registrar::new(rules(&settings));
    let store = store(&settings, None, &bell)?;
    Ok(Shared::new(Current { settings: Arc::new(settings), store }, registrar, bell))
}

/// Reads it again. With a mistake in it, the old settings stay.
pub(crate) fn reload(shared: &Shared) -> Result<(), Error> {
    let settings = read()?;
    let old = shared.current();
    let store = store(&settings, Some(&old.store), &shared.bell)?;
    let rules = rules(&settings);
    shared.replace(Instant::now(), rules, Current { settings: Arc::new(settings), store });
    shared.bell.servers();
    Ok(())
}

fn read() -> Result<Settings, Error> {
    let config = Config::load(FILE, crate::NAME).map_err(|error| match error {
        ConfigError::Missing(_) => Error::Missing,
        _ => Error::Invalid,
    })?;
    let sections: Vec<_> = config.categories().map(|category| raw(&category)).collect();
    settings::check(FILE_NAME, &sections).map_err(|problems| report(&problems))
}

fn report(problems: &[Problem]) -> Error {
    for problem in problems {
        asterisk::error!("{problem}");
    }
    Error::Mistakes(problems.len())
}

fn raw(category: &asterisk::config::Category<'_>) -> RawSection {
    let lines = category.variables().map(|variable| RawLine {
        name: variable.name.to_string_lossy().into_owned(),
        value: variable.value.to_string_lossy().into_owned(),
        // Asterisk names only included files.
        file: Some(variable.file.to_string_lossy())
            .filter(|file| !file.is_empty())
            .map_or_else(|| FILE_NAME.into(), |file| file.into_owned()),
        line: variable.line,
        inherited: variable.inherited,
    });
    RawSection { name: category.name().to_string_lossy().into_owned(), lines: lines.collect() }
}

fn rules(settings: &Settings) -> Vec<Rules> {
    let published = settings.sections.iter().filter_map(|section| {
        let publish = section.publish.as_ref()?;
        Some(Rules {
            section: section.name.clone(),
            prefix: publish.prefix.clone(),
            identity: publish.identity.clone().into(),
            lease: publish.lease,
            drivers: publish.drivers.clone(),
        })
    });
    published.collect()
}

fn store(
    settings: &Settings,
    previous: Option<&Store>,
    bell: &Arc<Bell>,
) -> Result<Store, univar::ConfigError> {
    let owner = settings.owner().map_or_else(host_name, str::to_owned);
    let bell = Arc::clone(bell);
    Store::new(&settings.store_config(owner), previous, Arc::new(move || bell.servers()))
}

/// Whoever publishes nothing has no better name. Two who wrote under one could give two values one
/// version; so it is no other's.
fn host_name() -> String {
    let name = asterisk::system::host_name().unwrap_or_default();
    format!("{}/{}", name.to_string_lossy(), std::process::id())
}
