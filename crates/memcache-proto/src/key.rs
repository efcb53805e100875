//! Keys: what memcached accepts as one.

/// Longest key in bytes.
pub const KEY_MAX_BYTES: usize = 250;

/// A checked key: 1 to [`KEY_MAX_BYTES`] bytes, no blank and no control byte.
///
/// memcached reads what follows a bad key as a command, so only checked keys can be encoded.
///
/// # Examples
///
/// ```
/// use memcache_proto::{Key, KeyError};
///
/// assert_eq!(Key::new(b"PEER_200")?.as_bytes(), b"PEER_200");
/// assert_eq!(Key::new(b"a\r\nflush_all"), Err(KeyError::Forbidden { byte: b'\r', at: 1 }));
/// # Ok::<(), KeyError>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Key<'a>(&'a [u8]);

/// Why bytes are not a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyError {
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It is longer than [`KEY_MAX_BYTES`].
    #[error("it has {len} bytes, and at most {KEY_MAX_BYTES} are allowed")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// It holds a blank or a control byte.
    #[error("it has the byte 0x{byte:02x} at offset {at}")]
    Forbidden {
        /// The first such byte.
        byte: u8,
        /// Its offset, from 0.
        at: usize,
    },
}

impl<'a> Key<'a> {
    /// Checks `bytes`.
    ///
    /// # Errors
    ///
    /// [`KeyError`] says what is wrong, and where.
    pub fn new(bytes: &'a [u8]) -> Result<Self, KeyError> {
        if bytes.is_empty() {
            return Err(KeyError::Empty);
        }
        if bytes.len() > KEY_MAX_BYTES {
            return Err(KeyError::TooLong { len: bytes.len() });
        }
        match bytes.iter().position(|&byte| byte <= b' ' || byte == 0x7f) {
            Some(at) => Err(KeyError::Forbidden { byte: bytes[at], at }),
            None => Ok(Self(bytes)),
        }
    }

    /// The key's bytes.
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_are_memcacheds() {
        assert_eq!(Key::new(b""), Err(KeyError::Empty));
        assert!(Key::new(&[b'k'; 250]).is_ok());
        assert_eq!(Key::new(&[b'k'; 251]), Err(KeyError::TooLong { len: 251 }));
    }

    #[test]
    fn high_bytes_are_allowed_and_blanks_and_control_bytes_are_not() {
        for byte in 0..=u8::MAX {
            let allowed = byte > 0x20 && byte != 0x7f;
            assert_eq!(Key::new(&[b'k', byte]).is_ok(), allowed, "byte {byte:#x}");
        }
    }
}
