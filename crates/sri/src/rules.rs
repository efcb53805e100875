//! What the configuration says about registrations, and the key that follows from it.
//!
//! A key is the section's prefix and the endpoint's name, byte for byte. memcached takes a bad key's
//! value for a command, so a key that is not valid is never made. Reading `universal.conf` is the
//! module's part.

use std::time::Duration;

/// memcached's limit.
pub const MAX_KEY_BYTES: usize = 250;
/// Names of Tandem's own items in a cache server begin so.
pub const RESERVED_PREFIX: &[u8] = b"tandem:";

/// One section of `universal.conf` that has a prefix.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rules {
    /// The section's name.
    pub section: String,
    /// What a key begins with.
    pub prefix: String,
    /// The records' value: this node's name, as gateways will dial it.
    pub identity: Vec<u8>,
    /// How long a record lives that is not renewed. Counted in whole seconds, at least one.
    pub lease: Duration,
    /// The channel drivers whose phones are published here (`PJSIP`, `IAX2`), in any case; all
    /// drivers, if empty.
    pub drivers: Vec<String>,
}

impl Rules {
    pub(crate) fn covers(&self, driver: &str) -> bool {
        self.drivers.is_empty() || self.drivers.iter().any(|d| d.eq_ignore_ascii_case(driver))
    }

    /// The lease as it is kept: memcached counts whole seconds.
    pub(crate) fn whole_lease(&self) -> Duration {
        Duration::from_secs(self.lease.as_secs().max(1))
    }

    pub(crate) fn key(&self, endpoint: &str) -> Result<Vec<u8>, Unpublishable> {
        if endpoint.is_empty() {
            return Err(Unpublishable::NoEndpoint);
        }
        if self.identity.is_empty() {
            return Err(Unpublishable::NoIdentity);
        }
        let key = [self.prefix.as_bytes(), endpoint.as_bytes()].concat();
        if key.len() > MAX_KEY_BYTES {
            return Err(Unpublishable::KeyTooLong { bytes: key.len() });
        }
        if let Some(at) = key.iter().position(|&b| b <= b' ' || b == 0x7f) {
            return Err(Unpublishable::BadByte { at });
        }
        if key.starts_with(RESERVED_PREFIX) {
            return Err(Unpublishable::Reserved);
        }
        Ok(key)
    }
}

/// Why a registration has no record, and gets none until the configuration is another.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Unpublishable {
    /// The driver reported a phone with no name.
    #[error("the endpoint has no name")]
    NoEndpoint,
    /// The section says not who we are.
    #[error("the section has no identity")]
    NoIdentity,
    /// Prefix and endpoint together are longer than memcached allows.
    #[error("the key has {bytes} bytes, more than {MAX_KEY_BYTES}")]
    KeyTooLong {
        /// Prefix and endpoint together.
        bytes: usize,
    },
    /// A blank or a control byte in the key.
    #[error("the key has a blank or a control byte at {at}")]
    BadByte {
        /// Where in the key, from 0.
        at: usize,
    },
    /// The key begins with [`RESERVED_PREFIX`].
    #[error("keys that begin with 'tandem:' are Tandem's own")]
    Reserved,
    /// The last claim ended with [`crate::Outcome::Invalid`]. It is tried again a third of a lease
    /// later, for the other side's configuration may have been mended.
    #[error("the cache server's records do not fit this section's configuration")]
    Refused,
}
