//! The envelope: a record with its version, its writer and, with a secret, the proof of it, in one
//! atomic item.
//!
//! The layout is that of `docs/consistency.md`. Pure, and knows nothing of copies: which of two
//! records counts is [`Record::is_newer_than`]'s only decision; what follows is `task`'s.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{Name, Secret};

/// What an envelope begins with. No value from a dialplan begins so: NUL is refused there.
pub const ENVELOPE_MAGIC: [u8; 4] = *b"\0TD1";

/// Longest name of a node, in bytes, that a record carries.
pub const OWNER_MAX_BYTES: usize = 64;

/// How long what is gone is remembered, be it deleted or its life over: longer than the longest
/// absence of a server that is promised for. It may come back with an older value, which must not
/// count again.
pub(crate) const TRAIL: Duration = Duration::from_secs(24 * 60 * 60);

/// All that an envelope adds to a value, at most.
pub(crate) const OVERHEAD_MAX_BYTES: usize = HEAD_BYTES + OWNER_MAX_BYTES + 1 + MAC_BYTES;

/// Magic, kind, version and the owner's length.
const HEAD_BYTES: usize = 14;

const MAC_BYTES: usize = 16;

/// When a record was written: a hybrid logical clock, 48 bits of milliseconds since 1970 and 16
/// of a counter.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Version(pub(crate) u64);

/// What a record says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// The value follows, and stays.
    Value,
    /// The value follows. Its life ends [`TRAIL`] before the item's: what is left of the item
    /// then is a tombstone.
    Ending,
    /// A counter follows (see `count`), and stays.
    Count,
    /// A counter follows, whose life ends as that of [`Kind::Ending`].
    EndingCount,
    /// The name was deleted.
    Tombstone,
}

impl Kind {
    /// Whether its life ends before that of the item.
    pub(crate) fn ends(self) -> bool {
        matches!(self, Self::Ending | Self::EndingCount)
    }

    /// Whether its value is a counter.
    pub(crate) fn counts(self) -> bool {
        matches!(self, Self::Count | Self::EndingCount)
    }

    fn letter(self) -> u8 {
        match self {
            Self::Value => b'V',
            Self::Ending => b'E',
            Self::Count => b'C',
            Self::EndingCount => b'F',
            Self::Tombstone => b'T',
        }
    }
}

/// An envelope that was opened and found good.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Record {
    data: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) version: Version,
    value_at: usize,
}

/// Why an item is no record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    /// It is no envelope: a bare value, which another client wrote.
    Bare,
    /// It begins like one and is none.
    Malformed,
    /// It does not carry the proof that our secret asks for.
    Forged,
}

impl Record {
    /// Opens an item.
    ///
    /// # Errors
    ///
    /// [`Refusal`], with the item.
    pub(crate) fn open(
        data: Vec<u8>,
        name: &Name,
        secret: Option<&Secret>,
    ) -> Result<Self, (Refusal, Vec<u8>)> {
        if !data.starts_with(&ENVELOPE_MAGIC) {
            return Err((Refusal::Bare, data));
        }
        let Some((kind, version, owner_end, value_at)) = parse(&data) else {
            return Err((Refusal::Malformed, data));
        };
        let mac = &data[owner_end + 1..value_at];
        // A proof that we cannot check proves nothing, and is in nobody's way.
        if let Some(secret) = secret {
            let proof = proof(secret, name, &data[..owner_end], &data[value_at..]);
            if mac.len() != MAC_BYTES || proof.verify_truncated_left(mac).is_err() {
                return Err((Refusal::Forged, data));
            }
        }
        Ok(Self { data, kind, version, value_at })
    }

    /// The value; empty in a tombstone.
    pub(crate) fn value(&self) -> &[u8] {
        &self.data[self.value_at..]
    }

    /// The value, without a copy.
    pub(crate) fn into_value(mut self) -> Vec<u8> {
        self.data.drain(..self.value_at);
        self.data
    }

    /// The whole item.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.data
    }

    /// Whether this one counts, of the two. Of two with one version the writers' names decide,
    /// then the bytes: so there is always one newest, the same for everybody.
    pub(crate) fn is_newer_than(&self, other: &Self) -> bool {
        (self.version, self.owner(), &self.data) > (other.version, other.owner(), &other.data)
    }

    /// Who wrote it.
    pub(crate) fn owner(&self) -> &[u8] {
        let len = usize::from(self.data[HEAD_BYTES - 1]);
        &self.data[HEAD_BYTES..HEAD_BYTES + len]
    }
}

/// Makes an envelope.
pub(crate) fn seal(
    kind: Kind,
    version: Version,
    owner: &[u8],
    value: &[u8],
    name: &Name,
    secret: Option<&Secret>,
) -> Vec<u8> {
    let owner = &owner[..owner.len().min(OWNER_MAX_BYTES)];
    let mut data = Vec::with_capacity(OVERHEAD_MAX_BYTES + value.len());
    data.extend_from_slice(&ENVELOPE_MAGIC);
    data.push(kind.letter());
    data.extend_from_slice(&version.0.to_be_bytes());
    data.push(owner.len() as u8);
    data.extend_from_slice(owner);
    match secret {
        Some(secret) => {
            let proof = proof(secret, name, &data, value).finalize().into_bytes();
            data.push(MAC_BYTES as u8);
            data.extend_from_slice(&proof[..MAC_BYTES]);
        }
        None => data.push(0),
    }
    data.extend_from_slice(value);
    data
}

/// Kind, version, where the owner ends and where the value begins.
fn parse(data: &[u8]) -> Option<(Kind, Version, usize, usize)> {
    let kind = match data.get(4)? {
        b'V' => Kind::Value,
        b'E' => Kind::Ending,
        b'C' => Kind::Count,
        b'F' => Kind::EndingCount,
        b'T' => Kind::Tombstone,
        _ => return None,
    };
    let version = u64::from_be_bytes(data.get(5..HEAD_BYTES - 1)?.try_into().ok()?);
    let owner_len = usize::from(*data.get(HEAD_BYTES - 1)?);
    let owner_end = HEAD_BYTES + owner_len;
    let mac_len = usize::from(*data.get(owner_end)?);
    let value_at = owner_end + 1 + mac_len;
    let fits = owner_len <= OWNER_MAX_BYTES
        && (mac_len == 0 || mac_len == MAC_BYTES)
        && value_at <= data.len()
        && (kind != Kind::Tombstone || value_at == data.len());
    fits.then_some((kind, Version(version), owner_end, value_at))
}

/// The key's length goes in too, so that no byte can move between the key and what follows.
fn proof(secret: &Secret, name: &Name, head: &[u8], value: &[u8]) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    let name = name.as_bytes();
    mac.update(&(name.len() as u16).to_be_bytes());
    mac.update(name);
    mac.update(head);
    mac.update(value);
    mac
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name() -> Name {
        Name::new("PEER_200").unwrap()
    }

    fn secret() -> Secret {
        Secret::new("open sesame")
    }

    fn open(data: &[u8], secret: Option<&Secret>) -> Result<Record, Refusal> {
        Record::open(data.to_vec(), &name(), secret).map_err(|(why, _)| why)
    }

    #[test]
    fn the_bytes_are_those_of_the_contract() {
        let data = seal(Kind::Value, Version(0x0102), b"A", b"@A/", &name(), None);
        assert_eq!(data, b"\0TD1V\0\0\0\0\0\0\x01\x02\x01A\x00@A/");
        let data = seal(Kind::Ending, Version(0x0102), b"A", b"@A/", &name(), None);
        assert_eq!(data, b"\0TD1E\0\0\0\0\0\0\x01\x02\x01A\x00@A/");
        let data = seal(Kind::Tombstone, Version(0x0102), b"A", b"", &name(), None);
        assert_eq!(data, b"\0TD1T\0\0\0\0\0\0\x01\x02\x01A\x00");
    }

    #[test]
    fn the_proof_is_hmac_sha256_over_key_head_and_value() {
        let data = seal(Kind::Value, Version(0x0102), b"A", b"@A/", &name(), Some(&secret()));
        // python3 -c 'import hmac; print(hmac.new(b"open sesame", b"\0\x08PEER_200" +
        //   b"\0TD1V\0\0\0\0\0\0\x01\x02\x01A" + b"@A/", "sha256").hexdigest()[:32])'
        let proof = b"fa603c7a90a1bc73d0b7b822b937da3e";
        assert_eq!(data[..15], *b"\0TD1V\0\0\0\0\0\0\x01\x02\x01A");
        assert_eq!(data[15], 16);
        let hex: String = data[16..32].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex.as_bytes(), proof);
        assert_eq!(data[32..], *b"@A/");
    }

    #[test]
    fn what_was_sealed_for_another_name_is_refused() {
        let data = seal(Kind::Value, Version(1), b"A", b"@A/", &name(), Some(&secret()));
        let other = Name::new("PEER_201").unwrap();
        let refused = Record::open(data, &other, Some(&secret())).map_err(|(why, _)| why);
        assert_eq!(refused, Err(Refusal::Forged));
    }

    #[test]
    fn without_the_proof_or_with_another_secrets_it_is_refused() {
        let bare = seal(Kind::Value, Version(1), b"A", b"@A/", &name(), None);
        assert_eq!(open(&bare, Some(&secret())), Err(Refusal::Forged));
        let other = Secret::new("x");
        let data = seal(Kind::Value, Version(1), b"A", b"@A/", &name(), Some(&other));
        assert_eq!(open(&data, Some(&secret())), Err(Refusal::Forged));
        assert_eq!(open(b"@A/", Some(&secret())), Err(Refusal::Bare));
    }

    #[test]
    fn the_newer_version_counts_and_then_the_owner() {
        let of = |version, owner: &[u8], value: &[u8]| {
            open(&seal(Kind::Value, Version(version), owner, value, &name(), None), None).unwrap()
        };
        assert!(of(2, b"A", b"x").is_newer_than(&of(1, b"B", b"y")));
        assert!(of(1, b"B", b"x").is_newer_than(&of(1, b"A", b"y")));
        assert!(!of(1, b"A", b"x").is_newer_than(&of(1, b"A", b"x")));
    }

    proptest! {
        #[test]
        fn what_is_sealed_is_opened(
            version: u64,
            owner in proptest::collection::vec(any::<u8>(), 0..80),
            value in proptest::collection::vec(any::<u8>(), 0..200),
            with_secret: bool,
        ) {
            let secret = with_secret.then(secret);
            let data =
                seal(Kind::Value, Version(version), &owner, &value, &name(), secret.as_ref());
            prop_assert!(data.len() <= OVERHEAD_MAX_BYTES + value.len());
            let record = open(&data, secret.as_ref()).unwrap();
            prop_assert_eq!(record.version, Version(version));
            prop_assert_eq!(record.owner(), &owner[..owner.len().min(OWNER_MAX_BYTES)]);
            prop_assert_eq!(record.into_value(), value);
        }

        #[test]
        fn a_changed_byte_is_noticed(at in 0_usize..35, bit in 0_u8..8) {
            let mut data = seal(Kind::Value, Version(9), b"A", b"@A/", &name(), Some(&secret()));
            data[at] ^= 1 << bit;
            prop_assert!(open(&data, Some(&secret())).is_err());
        }

        #[test]
        fn a_cut_envelope_is_no_record(len in 0_usize..16) {
            let data = seal(Kind::Value, Version(9), b"A", b"@A/", &name(), None);
            prop_assert!(open(&data[..len], None).is_err());
        }
    }
}
