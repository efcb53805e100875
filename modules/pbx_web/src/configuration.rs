//! `pbx_web.conf`: read by Asterisk, checked by the attendant.

use std::{
    ffi::{CStr, CString},
    fs, io,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

use asterisk::{
    config::{self, Config, ConfigError},
    system,
    tls::{Context, SetupError},
};
use attendant::{Files, Problem, RawLine, Settings, TlsFiles};

const FILE: &CStr = c"pbx_web.conf";

/// Why `pbx_web.conf` cannot be used. Each single mistake has been logged already.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("there is no {} any more; put it back, or one without a user to let nobody in", .0.display())]
    Missing(PathBuf),
    #[error("{} cannot be read: {source}; the user that Asterisk runs as has to be able to", .path.display())]
    Unreadable { path: PathBuf, source: io::Error },
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
pub(crate) fn read_if_there() -> Result<Settings, Error> {
    match read() {
        Err(Error::Missing(_)) => attendant::check(&[]).map_err(|problems| report(&problems)),
        other => other,
    }
}

/// Reads the file.
pub(crate) fn read() -> Result<Settings, Error> {
    let path = system::config_folder().join(attendant::FILE);
    // To Asterisk's reader what it may not read is missing, too.
    let is_there = match read_file(&path) {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(source) => return Err(Error::Unreadable { path, source }),
    };
    let mut lines = match Config::load(FILE, crate::NAME) {
        // Also from a database, which extconfig.conf may name.
        Ok(config) => lines(&config),
        Err(ConfigError::Missing(_)) if !is_there => return Err(Error::Missing(path)),
        Err(_) => return Err(Error::Invalid),
    };
    let does_exec = system::does_exec_includes();
    let skipped = attendant::check_files(&Disk, &system::config_folder(), does_exec, &mut lines);
    match attendant::check(&lines) {
        Ok(settings) if skipped.is_empty() => Ok(settings),
        Ok(_) => Err(report(&skipped)),
        Err(problems) => Err(report(&[skipped, problems].concat())),
    }
}

/// The files themselves, for what Asterisk's reader only warned about.
struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        read_file(path)
    }

    fn matching(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        config::matching(&CString::new(pattern.as_os_str().as_bytes())?)
    }
}

/// Nothing but a file is read, as Asterisk does it: a pipe would be waited for.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    fs::read(path)
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
