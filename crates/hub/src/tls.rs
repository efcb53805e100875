//! The hub's certificate: the one that is given, or one that it makes once and keeps.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent::tls::Fingerprint;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::Config;

/// Why there is no certificate to show.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The file is not what it should be.
    #[error("{path}: {what} could be read from it: {why}")]
    File {
        /// Which.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// Everybody may read the key.
    #[error("`key`: others may read {0}: chmod o= {0}")]
    Readable(PathBuf),
    /// Key and certificate do not belong together, or are of a kind that is not known.
    #[error("{0} and its key are of no use together: {1}")]
    Pair(PathBuf, rustls::Error),
    /// None could be made.
    #[error("no certificate could be made: {0}")]
    Make(#[from] rcgen::Error),
    /// It could not be kept.
    #[error("{0}: {1}")]
    Keep(PathBuf, std::io::Error),
}

/// What is shown to whoever connects; and the fingerprint, if nobody vouches for it but ourselves.
pub(crate) fn prepare(
    config: &Config,
) -> Result<(Arc<ServerConfig>, Option<Fingerprint>), TlsError> {
    let given = config.tls.clone().unwrap_or_default();
    if let (Some(certificate), Some(key)) = (given.certificate, given.key) {
        if agent::config::is_read_by_others(&key).unwrap_or_default() {
            return Err(TlsError::Readable(key));
        }
        return Ok((server(&certificate, &key)?.0, None));
    }
    let (certificate, key) = (config.data.join("hub.crt"), config.data.join("hub.key"));
    if !(certificate.exists() && key.exists()) {
        make(config, &certificate, &key)?;
    }
    let (server, shown) = server(&certificate, &key)?;
    Ok((server, Some(Fingerprint::of(&shown))))
}

fn server(
    certificate: &Path,
    key: &Path,
) -> Result<(Arc<ServerConfig>, CertificateDer<'static>), TlsError> {
    let failed = |path: &Path, what: &'static str| {
        let path = path.to_path_buf();
        move |why: String| TlsError::File { path, what, why }
    };
    let no_certificate = failed(certificate, "no certificate");
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let chain = match chain {
        Ok(chain) if !chain.is_empty() => chain,
        Ok(_) => return Err(no_certificate("it has none".into())),
        Err(error) => return Err(no_certificate(error.to_string())),
    };
    let first = chain[0].clone();
    let secret = PrivateKeyDer::from_pem_file(key);
    let secret = secret.map_err(|error| failed(key, "no key")(error.to_string()))?;
    let pair = |error| TlsError::Pair(certificate.into(), error);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(pair)?.with_no_client_auth();
    let mut config = builder.with_single_cert(chain, secret).map_err(pair)?;
    // Live pages hold a connection each, and browsers make six to a host with HTTP/1.1.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((Arc::new(config), first))
}

/// For ten years: who trusts it does so by its fingerprint, and a new one would lock every agent out.
fn make(config: &Config, certificate: &Path, key: &Path) -> Result<(), TlsError> {
    const YEARS: i32 = 10;
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    names.extend(config.name.clone());
    if !config.listen.ip().is_unspecified() {
        names.push(config.listen.ip().to_string());
    }
    names.sort();
    names.dedup();
    let mut params = rcgen::CertificateParams::new(names)?;
    let common = config.name.clone().unwrap_or_else(|| "Tandem hub".into());
    params.distinguished_name.push(rcgen::DnType::CommonName, common);
    params.not_before = time::OffsetDateTime::now_utc();
    params.not_after = params.not_before + YEARS * time::Duration::days(365);
    let pair = rcgen::KeyPair::generate()?;
    let signed = params.self_signed(&pair)?;
    keep(key, 0o600, &pair.serialize_pem())?;
    keep(certificate, 0o644, &signed.pem())
}

/// For whoever owns the folder: an invitation may make it as root, before the hub has begun.
fn keep(path: &Path, mode: u32, text: &str) -> Result<(), TlsError> {
    let new = path.with_added_extension("new");
    let write = || {
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(mode).open(&new)?;
        let folder = std::fs::metadata(path.parent().unwrap_or(Path::new(".")))?;
        if folder.uid() != file.metadata()?.uid() {
            std::os::unix::fs::fchown(&file, Some(folder.uid()), Some(folder.gid()))?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    write().map_err(|error| TlsError::Keep(path.into(), error))
}
