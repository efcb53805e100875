//! What the meta commands have in common: their flags, their keys, and what they repeat.

use super::BAD_LINE;
use super::base64;
use super::token::{Words, signed, unsigned, unsigned_32};
use crate::clock::Now;

/// An opaque token, its letter included, may be this long.
const OPAQUE_MAX_BYTES: usize = 32;

/// A meta command may have so many words.
pub(super) const META_WORDS_MAX: usize = 19;

/// Room for a key in base64, decoded.
pub(super) type KeyBuffer = [u8; 192];

/// An empty one: each use of the name is another.
pub(super) const KEY_BUFFER: KeyBuffer = [0; 192];

/// All flags of a command; each command looks at those that it knows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MetaFlags {
    /// `b`
    pub(super) key_is_binary: bool,
    /// `v`
    pub(super) value: bool,
    /// `u`
    pub(super) no_bump: bool,
    /// `q`
    pub(super) quiet: bool,
    /// `I`
    pub(super) invalidate: bool,
    /// `x`
    pub(super) remove_value: bool,
    /// `T`
    pub(super) expires: Option<u32>,
    /// `N`
    pub(super) vivify: Option<u32>,
    /// `R`
    pub(super) recache: Option<u32>,
    /// `F`
    pub(super) client_flags: u32,
    /// `C`
    pub(super) compare: Option<u64>,
    /// `E`
    pub(super) cas: Option<u64>,
    /// `M`
    pub(super) mode: Option<u8>,
    /// `J`
    pub(super) initial: u64,
    /// `D`
    pub(super) amount: Option<u64>,
}

const BAD_TOKEN: &str = "CLIENT_ERROR bad token in command line format";

impl MetaFlags {
    /// Reads the words from `from` on as flags.
    ///
    /// # Errors
    ///
    /// What to answer. As memcached: of several bad tokens the last one says it.
    pub(super) fn read(words: &Words<'_>, from: usize, now: Now) -> Result<Self, &'static str> {
        let mut flags = Self::default();
        let mut seen = 0_u128;
        let mut error = None;
        for word in words.from(from) {
            let letter = word[0];
            if letter >= 127 || seen & 1 << letter != 0 {
                return Err("CLIENT_ERROR duplicate flag");
            }
            seen |= 1 << letter;
            if let Err(text) = flags.set(letter, word, now) {
                match text {
                    Bad::Flag => return Err("CLIENT_ERROR invalid flag"),
                    Bad::Token(text) => error = Some(text),
                    Bad::ClientFlags => error = Some(error.unwrap_or(BAD_LINE)),
                }
            }
        }
        error.map_or(Ok(flags), Err)
    }

    fn set(&mut self, letter: u8, word: &[u8], now: Now) -> Result<(), Bad> {
        let token = &word[1..];
        let time = || signed(token).map(|time| now.expiry(time)).ok_or(Bad::Token(BAD_TOKEN));
        let number = |text| unsigned(token).ok_or(Bad::Token(text));
        match letter {
            b'b' => self.key_is_binary = true,
            b'v' => self.value = true,
            b'u' => self.no_bump = true,
            b'q' => self.quiet = true,
            b'I' => self.invalidate = true,
            b'x' => self.remove_value = true,
            b'T' => self.expires = Some(time()?),
            b'N' => self.vivify = Some(time()?),
            b'R' => self.recache = Some(time()?),
            b'F' => self.client_flags = unsigned_32(token).ok_or(Bad::ClientFlags)?,
            b'C' => self.compare = Some(number(BAD_TOKEN)?),
            b'E' => self.cas = Some(number(BAD_TOKEN)?),
            b'J' => self.initial = number("CLIENT_ERROR invalid numeric initial value")?,
            b'D' => self.amount = Some(number("CLIENT_ERROR invalid numeric delta value")?),
            b'M' => match token {
                [mode] => self.mode = Some(*mode),
                _ => return Err(Bad::Token("CLIENT_ERROR incorrect length for M token")),
            },
            b'O' | b'P' | b'L' | b'k' | b's' | b't' | b'c' | b'f' | b'l' | b'h' => {}
            _ => return Err(Bad::Flag),
        }
        Ok(())
    }

    /// The key that `word` stands for.
    pub(super) fn key<'a>(
        &self,
        word: &'a [u8],
        buffer: &'a mut KeyBuffer,
    ) -> Result<&'a [u8], &'static str> {
        if self.key_is_binary {
            base64::decode(word, buffer).ok_or("CLIENT_ERROR error decoding key")
        } else {
            Ok(word)
        }
    }
}

enum Bad {
    /// It is not known.
    Flag,
    Token(&'static str),
    /// memcached says nothing particular of them.
    ClientFlags,
}

/// Refuses opaque tokens that are too long.
///
/// # Errors
///
/// What to answer.
pub(super) fn check_opaque(words: &Words<'_>) -> Result<(), &'static str> {
    let long = |word: &&[u8]| word[0] == b'O' && word.len() > OPAQUE_MAX_BYTES;
    if words.from(2).iter().any(long) {
        return Err("CLIENT_ERROR opaque token too long");
    }
    Ok(())
}

/// Appends the opaque token or the key, if `word` asks for it.
pub(super) fn repeat(word: &[u8], key: &[u8], key_is_binary: bool, out: &mut Vec<u8>) {
    match word[0] {
        b'O' => {
            out.push(b' ');
            out.extend_from_slice(word);
        }
        b'k' => {
            out.extend_from_slice(b" k");
            if key_is_binary {
                base64::encode(key, out);
                out.extend_from_slice(b" b");
            } else {
                out.extend_from_slice(key);
            }
        }
        _ => {}
    }
}

/// Appends opaque token and key where they are asked for.
pub(super) fn repeat_all(words: &Words<'_>, key: &[u8], key_is_binary: bool, out: &mut Vec<u8>) {
    for word in words.from(2) {
        repeat(word, key, key_is_binary, out);
    }
}
