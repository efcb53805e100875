//! TLS as a stranger speaks it: what servers under test show is made here, and a client looks at it.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rcgen::CertifiedKey;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// How long a read or write may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A certificate that signs itself, for an address.
#[derive(Debug)]
pub struct Identity {
    der: CertificateDer<'static>,
    pem: String,
}

impl Identity {
    /// Makes one.
    ///
    /// # Errors
    ///
    /// If the system has no randomness.
    pub fn make(address: IpAddr) -> Result<Self> {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed([address.to_string()])?;
        let pem = format!("{}{}", cert.pem(), signing_key.serialize_pem());
        Ok(Self { der: cert.der().clone(), pem })
    }

    /// Certificate and key, as one PEM file.
    pub fn pem(&self) -> &str {
        &self.pem
    }
}

/// A client that believes one [`Identity`] only.
pub type TlsClient = StreamOwned<ClientConnection, TcpStream>;

impl Identity {
    /// Connects, and shakes hands.
    ///
    /// # Errors
    ///
    /// If nobody listens, or whoever does is somebody else.
    pub fn connect(&self, address: SocketAddr) -> Result<TlsClient> {
        let socket = TcpStream::connect_timeout(&address, PATIENCE).context("connecting")?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        self.handshake(address.ip(), socket)
    }

    /// Shakes hands over a connection with whoever says to be `address`.
    ///
    /// # Errors
    ///
    /// If it is somebody else, or breaks off.
    pub fn handshake(&self, address: IpAddr, mut socket: TcpStream) -> Result<TlsClient> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::IpAddress(address.into());
        let mut connection = ClientConnection::new(Arc::new(config), name)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket).context("shaking hands")?;
        }
        Ok(StreamOwned::new(connection, socket))
    }
}
