//! Names of universal variables.
//!
//! A name is memcached's key, byte for byte, so memcached's limits are ours. They are checked
//! here, once, and never again below: a key with a blank or a line end in it would make
//! memcached read what follows as a command.
//!
//! Names that begin with [`RESERVED_PREFIX`] belong to Tandem itself (see [`crate::epoch`]).

use std::borrow::Borrow;
use std::fmt;

/// Longest name, in bytes: memcached's own limit.
pub const NAME_MAX_BYTES: usize = 250;

/// Names that begin so are Tandem's own and are refused everywhere else.
pub const RESERVED_PREFIX: &[u8] = b"tandem:";

/// A checked name: 1 to [`NAME_MAX_BYTES`] bytes, no blank, no control byte, not reserved.
///
/// Bytes of 0x80 and above are allowed; a name need not be UTF-8.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Name(Box<[u8]>);

impl Name {
    /// Checks `bytes` and takes a copy.
    ///
    /// # Errors
    ///
    /// [`NameError`] says what is wrong with it, and where.
    ///
    /// # Examples
    ///
    /// ```
    /// use univar::{Name, NameError};
    ///
    /// assert_eq!(Name::new("PEER_200")?.as_bytes(), b"PEER_200");
    /// assert_eq!(Name::new("two words"), Err(NameError::Forbidden { byte: b' ', at: 3 }));
    /// # Ok::<(), NameError>(())
    /// ```
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, NameError> {
        let bytes = bytes.as_ref();
        check(bytes)?;
        Ok(Self(bytes.into()))
    }

    /// The name as memcached sees it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Name {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name(\"{}\")", self.0.escape_ascii())
    }
}

/// Why bytes are not a name. The messages are meant for whoever wrote the dialplan.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NameError {
    /// There is nothing in it.
    #[error("the name is empty")]
    Empty,
    /// It is longer than [`NAME_MAX_BYTES`].
    #[error("the name has {len} bytes; at most {NAME_MAX_BYTES} fit")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// It holds a blank or a control byte.
    #[error("the name has {} at position {}, which is not allowed in a name", Spelled(*.byte), .at + 1)]
    Forbidden {
        /// The first such byte.
        byte: u8,
        /// Its offset, from 0.
        at: usize,
    },
    /// It begins with [`RESERVED_PREFIX`].
    #[error("names that begin with \"tandem:\" are reserved")]
    Reserved,
}

/// A byte as a person would say it.
struct Spelled(u8);

impl fmt::Display for Spelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("a NUL byte"),
            b'\t' => f.write_str("a tab"),
            b'\n' => f.write_str("a line feed"),
            b'\r' => f.write_str("a carriage return"),
            b' ' => f.write_str("a blank"),
            byte => write!(f, "the control byte 0x{byte:02x}"),
        }
    }
}

fn check(bytes: &[u8]) -> Result<(), NameError> {
    if bytes.is_empty() {
        return Err(NameError::Empty);
    }
    if bytes.len() > NAME_MAX_BYTES {
        return Err(NameError::TooLong { len: bytes.len() });
    }
    if let Some(at) = bytes.iter().position(|&byte| byte <= b' ' || byte == 0x7f) {
        return Err(NameError::Forbidden { byte: bytes[at], at });
    }
    if bytes.starts_with(RESERVED_PREFIX) {
        return Err(NameError::Reserved);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_at_both_limits_are_accepted() {
        assert!(Name::new("a").is_ok());
        assert!(Name::new([b'x'; NAME_MAX_BYTES]).is_ok());
        assert_eq!(Name::new(""), Err(NameError::Empty));
        assert_eq!(Name::new([b'x'; 251]), Err(NameError::TooLong { len: 251 }));
    }

    #[test]
    fn every_blank_and_control_byte_is_refused_where_it_stands_and_no_other_byte_is() {
        for byte in 0..=u8::MAX {
            let name = [b'a', byte, b'b'];
            let forbidden = byte <= 0x20 || byte == 0x7f;
            let want = if forbidden { Err(NameError::Forbidden { byte, at: 1 }) } else { Ok(()) };
            assert_eq!(Name::new(name).map(|_| ()), want, "byte {byte:#x}");
        }
    }

    #[test]
    fn an_injected_command_is_refused() {
        let name = b"x v\r\nmd PEER_200";
        assert_eq!(Name::new(name), Err(NameError::Forbidden { byte: b' ', at: 1 }));
        let name = b"x\r\nmd";
        assert_eq!(Name::new(name), Err(NameError::Forbidden { byte: b'\r', at: 1 }));
    }

    #[test]
    fn our_own_names_are_reserved_and_only_they() {
        assert_eq!(Name::new("tandem:epoch"), Err(NameError::Reserved));
        assert_eq!(Name::new("tandem:"), Err(NameError::Reserved));
        assert!(Name::new("tandem").is_ok());
        assert!(Name::new("Tandem:x").is_ok());
    }

    #[test]
    fn messages_say_what_and_where() {
        let said = |name: &[u8]| Name::new(name).unwrap_err().to_string();
        assert_eq!(
            said(b"a b"),
            "the name has a blank at position 2, which is not allowed in a name"
        );
        assert_eq!(
            said(b"a\x01"),
            "the name has the control byte 0x01 at position 2, which is not allowed in a name"
        );
        assert_eq!(said(&[b'x'; 300]), "the name has 300 bytes; at most 250 fit");
    }
}
