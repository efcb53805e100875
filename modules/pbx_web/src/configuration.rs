//! `pbx_web.conf`: read by Asterisk, checked by the attendant.

use std::{
    ffi::{CStr, CString},
    os::unix::ffi::OsStringExt as _,
    path::Path,
};

use asterisk::{
    config::{Config, ConfigError},
    system,
    tls::{Context, SetupError},
};
use attendant::{Problem, RawLine, Settings, TlsFiles};

const FILE: &CStr = c"pbx_web.conf";

/// Why `pbx_web.conf` cannot be used. Each single mistake has been logged already.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("pbx_web.conf cannot be parsed; see the messages above")]
    Invalid,
    #[error("pbx_web.conf has {0} mistake(s); see the messages above. Nothing of it is used")]
    Mistakes(usize),
    #[error("tlscertfile or tlsprivatekey in pbx_web.conf has a NUL byte in it")]
    Path,
    #[error("TLS of pbx_web.conf: {0}")]
    Tls(#[from] SetupError),
}

/// Reads the file. Without one everything is off.
pub(crate) fn read() -> Result<Settings, Error> {
    let lines = match Config::load(FILE, crate::NAME) {
        Ok(config) => lines(&config),
        Err(ConfigError::Missing(_)) => Vec::new(),
        Err(_) => return Err(Error::Invalid),
    };
    attendant::check(&lines).map_err(|problems| report(&problems))
}

fn lines(config: &Config) -> Vec<RawLine> {
    let mut lines = Vec::new();
    for category in config.categories() {
        let section = category.name().to_string_lossy();
        lines.extend(category.variables().map(|variable| RawLine {
            section: section.clone().into_owned(),
            name: variable.name.to_string_lossy().into_owned(),
            value: variable.value.to_string_lossy().into_owned(),
            file: variable.file.to_string_lossy().into_owned(),
            line: variable.line,
        }));
    }
    lines
}

fn report(problems: &[Problem]) -> Error {
    for problem in problems {
        asterisk::error!("{problem}");
    }
    Error::Mistakes(problems.len())
}

/// Reads certificate and key, which may be named from Asterisk's configuration folder.
pub(crate) fn certificate(files: &TlsFiles) -> Result<Context, Error> {
    let certificate = inside(&files.certificate)?;
    let key = files.key.as_deref().map(inside).transpose()?;
    Ok(Context::server(&asterisk::tls::Settings {
        certificate: &certificate,
        private_key: key.as_deref(),
        ciphers: None,
    })?)
}

fn inside(path: &Path) -> Result<CString, Error> {
    let whole = system::config_folder().join(path).into_os_string();
    CString::new(whole.into_vec()).map_err(|_| Error::Path)
}
