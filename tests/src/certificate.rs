//! Certificates as a company has them: an authority of its own, and what it vouches for.

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// A certificate and who vouches for it, each in PEM.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The authority's own.
    pub authority: String,
    /// The one to show.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Certificate {
    /// One for a name or an address.
    ///
    /// # Errors
    ///
    /// If it is no name.
    pub fn of(name: &str) -> Result<Self> {
        let authority_key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&authority_key)?.pem();
        let issuer = Issuer::new(params, authority_key);
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([name.to_owned()])?.signed_by(&key, &issuer)?;
        Ok(Self { authority, certificate: certificate.pem(), key: key.serialize_pem() })
    }
}
