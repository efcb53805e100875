//! A command line's words and numbers, as memcached reads them.

use crate::engine::{is_space, parse_number};

/// Words that are told apart; the rest of a line that has more is not looked at. As memcached.
pub(super) const WORDS_MAX: usize = 23;

/// A line's words: what stands between blanks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a> {
    list: [&'a [u8]; WORDS_MAX],
    count: usize,
}

impl<'a> Words<'a> {
    pub(super) fn split(line: &'a [u8]) -> Self {
        let mut words = Self { list: [b""; WORDS_MAX], count: 0 };
        let mut at = 0;
        while words.count < WORDS_MAX
            && let Some((start, end)) = next_word(line, at)
        {
            words.list[words.count] = &line[start..end];
            words.count += 1;
            at = end;
        }
        words
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The word at `at`, from 0 for the command; empty if there is none.
    pub(super) fn at(&self, at: usize) -> &'a [u8] {
        self.list.get(at).copied().unwrap_or_default()
    }

    /// All words from `at` on.
    pub(super) fn from(&self, at: usize) -> &[&'a [u8]] {
        self.list[..self.count].get(at..).unwrap_or_default()
    }

    /// Whether the last word says that no answer is wanted.
    pub(super) fn noreply(&self) -> bool {
        self.count > 0 && self.list[self.count - 1] == b"noreply"
    }
}

/// Where the next word begins and ends, from `at` on.
pub(super) fn next_word(line: &[u8], at: usize) -> Option<(usize, usize)> {
    let start = at + line.get(at..)?.iter().position(|&byte| byte != b' ')?;
    let len = line[start..].iter().position(|&byte| byte == b' ');
    Some((start, len.map_or(line.len(), |len| start + len)))
}

/// A 64-bit number, as `strtoull` reads it.
pub(super) fn unsigned(word: &[u8]) -> Option<u64> {
    parse_number(word)
}

/// A 32-bit number. memcached drops the upper half of one that is longer; here it is refused.
pub(super) fn unsigned_32(word: &[u8]) -> Option<u32> {
    parse_number(word).and_then(|number| u32::try_from(number).ok())
}

/// A number that may be negative. memcached drops all but 32 bits of one that is longer.
pub(super) fn signed(word: &[u8]) -> Option<i64> {
    let start = word.iter().position(|&byte| !is_space(byte))?;
    match word[start..].split_first()? {
        (b'-', rest) if rest.first().is_some_and(u8::is_ascii_digit) => {
            parse_number(rest).and_then(|number| 0_i64.checked_sub_unsigned(number))
        }
        _ => parse_number(word).and_then(|number| i64::try_from(number).ok()),
    }
}

/// Appends a number's digits.
pub(super) fn push_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_between_blanks_and_nothing_else() {
        let words = Words::split(b"  set a\tb  0 ");
        assert_eq!(words.from(0), [&b"set"[..], b"a\tb", b"0"]);
        assert_eq!(words.at(5), b"");
        assert!(words.from(3).is_empty());
    }

    #[test]
    fn a_line_with_more_words_than_are_looked_at_has_as_many() {
        let line = b"x ".repeat(40);
        assert_eq!(Words::split(&line).count(), WORDS_MAX);
    }

    #[test]
    fn signed_numbers_have_one_sign_and_64_bits() {
        assert_eq!(signed(b"-1"), Some(-1));
        assert_eq!(signed(b"+7"), Some(7));
        assert_eq!(signed(b"5000000000"), Some(5_000_000_000));
        for bad in [&b"--1"[..], b"-", b"", b"1x", b"-+1", b"9223372036854775808"] {
            assert_eq!(signed(bad), None, "{}", bad.escape_ascii());
        }
        assert_eq!(unsigned_32(b"4294967296"), None);
    }
}
