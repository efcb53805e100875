//! Meta flags: single letters, some with a token right behind them, as in `v c T60`.
//!
//! Read and written by both sides alike. A flag that is not known here is kept as it is: memcached
//! adds some with every release.

use std::fmt;

use crate::Error;
use crate::line::{parse_number, push_number};

/// A list of flags that borrows its text.
///
/// # Examples
///
/// ```
/// use memcache_proto::Flags;
///
/// let flags = Flags::parse(b"v c18 T60")?;
/// assert!(flags.has(b'v'));
/// assert_eq!(flags.number(b'c'), Some(18));
/// assert_eq!(flags.token(b'T'), Some(&b"60"[..]));
/// # Ok::<(), memcache_proto::Error>(())
/// ```
#[derive(Clone, Copy, Default)]
pub struct Flags<'a>(&'a [u8]);

/// One flag.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Flag<'a> {
    /// Which.
    pub letter: u8,
    /// What stands right behind it; may be empty.
    pub token: &'a [u8],
}

impl<'a> Flags<'a> {
    /// No flags.
    pub const NONE: Flags<'static> = Flags(b"");

    /// `v`: return the value.
    pub const VALUE: Flags<'static> = Flags(b"v");

    /// `v c`: return the value and its CAS number.
    pub const VALUE_AND_CAS: Flags<'static> = Flags(b"v c");

    /// Reads flags separated by blanks.
    ///
    /// # Errors
    ///
    /// [`Error::BadFlag`] if one does not begin with a letter, or holds a control byte.
    pub fn parse(text: &'a [u8]) -> Result<Self, Error> {
        let flags = Self(text.trim_ascii());
        let control = text.iter().any(|&byte| byte < b' ' || byte == 0x7f);
        if control || flags.iter().any(|flag| !flag.letter.is_ascii_alphabetic()) {
            return Err(Error::BadFlag);
        }
        Ok(flags)
    }

    /// The flags, in their order.
    pub fn iter(self) -> impl Iterator<Item = Flag<'a>> {
        self.0.split(|&byte| byte == b' ').filter_map(|text| {
            let (&letter, token) = text.split_first()?;
            Some(Flag { letter, token })
        })
    }

    /// Whether there is a flag `letter`.
    #[must_use]
    pub fn has(self, letter: u8) -> bool {
        self.token(letter).is_some()
    }

    /// The token of the first flag `letter`.
    #[must_use]
    pub fn token(self, letter: u8) -> Option<&'a [u8]> {
        self.iter().find(|flag| flag.letter == letter).map(|flag| flag.token)
    }

    /// The token of the first flag `letter`, if it is a number.
    #[must_use]
    pub fn number(self, letter: u8) -> Option<u64> {
        self.token(letter).and_then(parse_number)
    }

    /// How `ms` stores: its `M` flag, or [`SetMode::Set`]. `None` if the mode is not known.
    #[must_use]
    pub fn set_mode(self) -> Option<SetMode> {
        match self.token(b'M') {
            None | Some(b"S" | b"s") => Some(SetMode::Set),
            Some(b"E" | b"e") => Some(SetMode::Add),
            Some(b"R" | b"r") => Some(SetMode::Replace),
            Some(b"A" | b"a") => Some(SetMode::Append),
            Some(b"P" | b"p") => Some(SetMode::Prepend),
            Some(_) => None,
        }
    }

    /// Which way `ma` counts: its `M` flag, or up. `None` if the mode is not known.
    #[must_use]
    pub fn arithmetic_mode(self) -> Option<ArithmeticMode> {
        match self.token(b'M') {
            None | Some(b"I" | b"i" | b"+") => Some(ArithmeticMode::Increment),
            Some(b"D" | b"d" | b"-") => Some(ArithmeticMode::Decrement),
            Some(_) => None,
        }
    }

    /// Appends the flags, each with a blank before it.
    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        if !self.0.is_empty() {
            out.push(b' ');
            out.extend_from_slice(self.0);
        }
    }
}

impl PartialEq for Flags<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Flags<'_> {}

impl fmt::Debug for Flags<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flags(\"{}\")", self.0.escape_ascii())
    }
}

/// How `ms` stores.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SetMode {
    /// Whatever was there.
    Set,
    /// Only if nothing is there.
    Add,
    /// Only if something is there.
    Replace,
    /// Behind what is there.
    Append,
    /// Before what is there.
    Prepend,
}

/// Which way `ma` counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ArithmeticMode {
    /// Up; 2^64 wraps to 0.
    Increment,
    /// Down; stops at 0.
    Decrement,
}

/// Builds [`Flags`]. One buffer serves any number of requests: [`FlagBuf::clear`] it between.
///
/// # Examples
///
/// ```
/// use memcache_proto::{FlagBuf, SetMode};
///
/// let mut buf = FlagBuf::new();
/// buf.mode(SetMode::Add).number(b'T', 60);
/// assert_eq!(buf.as_flags().number(b'T'), Some(60));
/// ```
#[derive(Clone, Debug, Default)]
pub struct FlagBuf(Vec<u8>);

impl FlagBuf {
    /// No flags yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all flags.
    pub fn clear(&mut self) -> &mut Self {
        self.0.clear();
        self
    }

    /// Adds a flag without a token.
    ///
    /// # Panics
    ///
    /// If `letter` is none: flags are constants of the caller.
    pub fn flag(&mut self, letter: u8) -> &mut Self {
        assert!(letter.is_ascii_alphabetic(), "a flag is a letter");
        if !self.0.is_empty() {
            self.0.push(b' ');
        }
        self.0.push(letter);
        self
    }

    /// Adds a flag with a number.
    pub fn number(&mut self, letter: u8, number: u64) -> &mut Self {
        self.flag(letter);
        push_number(&mut self.0, number);
        self
    }

    /// Adds a flag with a token.
    ///
    /// # Errors
    ///
    /// [`Error::BadFlag`] if the token has a blank or control byte in it; nothing is added.
    pub fn text(&mut self, letter: u8, token: &[u8]) -> Result<&mut Self, Error> {
        if token.iter().any(|&byte| byte <= b' ' || byte == 0x7f) {
            return Err(Error::BadFlag);
        }
        self.flag(letter).0.extend_from_slice(token);
        Ok(self)
    }

    /// Adds `ms`'s mode; [`SetMode::Set`] needs no flag.
    pub fn mode(&mut self, mode: SetMode) -> &mut Self {
        let letter = match mode {
            SetMode::Set => return self,
            SetMode::Add => b'E',
            SetMode::Replace => b'R',
            SetMode::Append => b'A',
            SetMode::Prepend => b'P',
        };
        self.flag(b'M').0.push(letter);
        self
    }

    /// Adds `ma`'s mode; [`ArithmeticMode::Increment`] needs no flag.
    pub fn arithmetic(&mut self, mode: ArithmeticMode) -> &mut Self {
        if mode == ArithmeticMode::Decrement {
            self.flag(b'M').0.push(b'D');
        }
        self
    }

    /// The flags.
    #[must_use]
    pub fn as_flags(&self) -> Flags<'_> {
        Flags(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_is_read_back() {
        let mut buf = FlagBuf::new();
        buf.flag(b'v').number(b'C', u64::MAX).text(b'O', b"x9").unwrap().mode(SetMode::Append);
        let flags = buf.as_flags();
        assert_eq!(flags.number(b'C'), Some(u64::MAX));
        assert_eq!(flags.token(b'O'), Some(&b"x9"[..]));
        assert_eq!(flags.set_mode(), Some(SetMode::Append));
        assert!(!flags.has(b't'));
    }

    #[test]
    fn a_token_cannot_smuggle_a_command() {
        let mut buf = FlagBuf::new();
        assert_eq!(buf.text(b'O', b"1\r\nflush_all").err(), Some(Error::BadFlag));
        assert_eq!(buf.text(b'O', b"1 q").err(), Some(Error::BadFlag));
        assert_eq!(buf.as_flags(), Flags::NONE);
    }

    #[test]
    fn only_letters_begin_a_flag() {
        assert_eq!(Flags::parse(b"v 1"), Err(Error::BadFlag));
        assert_eq!(Flags::parse(b"v\rk"), Err(Error::BadFlag));
        assert_eq!(Flags::parse(b"  v  k ").unwrap().iter().count(), 2);
    }

    #[test]
    fn both_commands_read_the_mode_their_own_way() {
        let mode = |text| Flags::parse(text).unwrap();
        assert_eq!(mode(b"").set_mode(), Some(SetMode::Set));
        assert_eq!(mode(b"Me").set_mode(), Some(SetMode::Add));
        assert_eq!(mode(b"MX").set_mode(), None);
        assert_eq!(mode(b"M-").arithmetic_mode(), Some(ArithmeticMode::Decrement));
        assert_eq!(mode(b"").arithmetic_mode(), Some(ArithmeticMode::Increment));
    }
}
