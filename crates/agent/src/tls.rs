//! Whom to believe at the other end of a TLS connection.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use serde::de::{Deserialize, Deserializer, Error as _};
use sha2::{Digest as _, Sha256};

/// Which certificates are accepted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Trust {
    /// Those that the system's authorities vouch for, of the name that was asked for.
    #[default]
    System,
    /// Those that the authorities of this file (PEM) vouch for.
    Authorities(PathBuf),
    /// This one alone, whatever its name: one that its owner made.
    Pinned(Fingerprint),
}

/// SHA-256 of a certificate (DER), as `openssl x509 -noout -fingerprint -sha256` prints it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fingerprint([u8; 32]);

/// Why a connection cannot be made safe. Whoever wrote the configuration erred, or the system lacks
/// its certificates.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The file cannot be read, or has no certificate in it.
    #[error("{path}: no certificate could be read from it: {why}")]
    Authorities {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The system has none.
    #[error(
        "the system has no certificates of authorities: install ca-certificates, or name a file"
    )]
    NoSystem,
    /// Not 64 hexadecimal digits.
    #[error("a fingerprint is 64 hexadecimal digits, with or without colons")]
    NoFingerprint,
}

impl Fingerprint {
    /// Of this certificate.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Fingerprint {
    type Err = TrustError;

    fn from_str(text: &str) -> Result<Self, TrustError> {
        let digits: Option<Vec<u8>> = (text.chars().filter(|&c| c != ':'))
            .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect();
        let digits = digits.filter(|digits| digits.len() == 64).ok_or(TrustError::NoFingerprint)?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        Ok(Self(bytes))
    }
}

impl serde::Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// How connections are made that trust so.
///
/// # Errors
///
/// [`TrustError`], if there is nobody to trust.
pub fn client(trust: &Trust) -> Result<Arc<ClientConfig>, TrustError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("ring has what these versions need");
    let config = match trust {
        Trust::System => builder.with_root_certificates(system()?),
        Trust::Authorities(path) => builder.with_root_certificates(from_file(path)?),
        Trust::Pinned(pin) => {
            let verifier = Pinned { pin: *pin, provider };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    Ok(Arc::new(config.with_no_client_auth()))
}

fn system() -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    let (added, _) =
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 { Err(TrustError::NoSystem) } else { Ok(roots) }
}

fn from_file(path: &Path) -> Result<RootCertStore, TrustError> {
    let failed = |why: String| TrustError::Authorities { path: path.into(), why };
    let mut roots = RootCertStore::empty();
    for certificate in
        CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))?
    {
        let certificate = certificate.map_err(|error| failed(error.to_string()))?;
        roots.add(certificate).map_err(|error| failed(error.to_string()))?;
    }
    if roots.is_empty() { Err(failed("it has none".into())) } else { Ok(roots) }
}

/// Accepts one certificate, if its owner proves to have the key.
#[derive(Debug)]
struct Pinned {
    pin: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = Fingerprint::of(end_entity);
        if shown == self.pin {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::Error::General(format!(
            "its certificate has the fingerprint {shown}, and {} is expected",
            self.pin
        )))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_openssl_prints_it() {
        let certificate = CertificateDer::from(b"any bytes".to_vec());
        let print = Fingerprint::of(&certificate);
        assert_eq!(print.to_string().parse::<Fingerprint>().expect("its own form"), print);
        let hex = print.to_string().to_uppercase();
        let pairs: Vec<&str> = (0..64).step_by(2).map(|at| &hex[at..at + 2]).collect();
        assert_eq!(pairs.join(":").parse::<Fingerprint>().expect("openssl's form"), print);
        for bad in ["", "ab", &hex[1..], &format!("{hex}0"), &hex.replace('A', "g")] {
            assert!(bad.parse::<Fingerprint>().is_err() || bad == hex, "{bad:?}");
        }
    }
}
