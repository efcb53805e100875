//! Counting up and down, on a value that is a number's digits.

use super::cache::Held;
use super::node::{Mark, NodeId};

/// How far to count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delta {
    pub(crate) amount: u64,
    /// Up, where 2^64 wraps to 0; else down, which stops at 0.
    pub(crate) up: bool,
    /// The CAS that the item must have; 0 for none.
    pub(crate) compare: u64,
    /// The CAS that the item gets, if not the next one.
    pub(crate) cas: Option<u64>,
}

/// What became of a [`Delta`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Changed {
    To {
        id: NodeId,
        number: u64,
    },
    NotFound,
    NotNumeric,
    /// It has another CAS.
    Exists,
    NoMemory,
}

impl Held<'_> {
    /// Counts. As with memcached a number that gets shorter keeps the value's length, with blanks
    /// behind it.
    pub(crate) fn change(&mut self, delta: &Delta) -> Changed {
        let Some(id) = self.find() else { return Changed::NotFound };
        let node = self.node(id);
        if node.value_len() == 0 {
            return Changed::NotNumeric;
        }
        if delta.compare != 0 && delta.compare != node.cas {
            return Changed::Exists;
        }
        let Some(number) = parse_number(node.value()) else { return Changed::NotNumeric };
        let number = if delta.up {
            number.wrapping_add(delta.amount)
        } else {
            number.saturating_sub(delta.amount)
        };
        let (expires, value_len) = (node.expires(), node.value_len());
        let digits = number.to_string();
        if digits.len() <= value_len {
            let (start, rest) = self.node_mut(id).value_mut().split_at_mut(digits.len());
            start.copy_from_slice(digits.as_bytes());
            rest.fill(b' ');
            self.shard.touch(id, self.now.second);
        } else {
            let payload_len = self.key.len() + digits.len();
            let set = self.rewrite(id, payload_len, |node| node.set_value(digits.as_bytes()));
            if set.is_err() {
                return Changed::NoMemory;
            }
        }
        self.stored(id, expires, delta.cas);
        Changed::To { id, number }
    }

    /// Adds the key, which is not there, with a number.
    pub(crate) fn insert_number(
        &mut self,
        number: u64,
        expires: u32,
        cas: Option<u64>,
        key_is_binary: bool,
    ) -> Option<NodeId> {
        let id = self.insert(number.to_string().as_bytes()).ok()?;
        if key_is_binary {
            self.node_mut(id).mark(Mark::KeyIsBinary);
        }
        self.stored(id, expires, cas);
        Some(id)
    }
}

/// Reads a number as memcached does, which leaves it to `strtoull`: white space and a sign may
/// stand before it, white space and then anything behind it.
pub(crate) fn parse_number(text: &[u8]) -> Option<u64> {
    let start = text.iter().position(|&byte| !is_space(byte))?;
    let (negative, digits) = match text[start..].split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, &text[start..]),
    };
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    if end == 0 || digits.get(end).is_some_and(|&byte| byte != 0 && !is_space(byte)) {
        return None;
    }
    let number = digits[..end].iter().try_fold(0_u64, |number, digit| {
        number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })?;
    match negative {
        false => Some(number),
        // Its complement; one that is large is refused.
        true => Some(number.wrapping_neg()).filter(|&number| number.cast_signed() >= 0),
    }
}

/// As C's `isspace`.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_strtoull_reads_them() {
        assert_eq!(parse_number(b"12"), Some(12));
        assert_eq!(parse_number(b" \t+12 x"), Some(12));
        assert_eq!(parse_number(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_number(b"-0"), Some(0));
        for bad in [&b""[..], b" ", b"x", b"12x", b"-1", b"18446744073709551616", b"--1", b"+"] {
            assert_eq!(parse_number(bad), None, "{}", bad.escape_ascii());
        }
    }
}
