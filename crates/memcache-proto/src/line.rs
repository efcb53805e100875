//! Lines, words, numbers and data blocks: what all messages are made of.

use crate::{DATA_MAX_BYTES, Error, LINE_MAX_BYTES};

/// A line from the front of a buffer.
pub(crate) struct Line<'a> {
    /// Without its end.
    pub(crate) text: &'a [u8],
    /// With its end.
    pub(crate) len: usize,
    /// Whether it ended with CR LF, and not with LF alone.
    pub(crate) crlf: bool,
}

/// Takes a line, or `None` if it has no end yet.
pub(crate) fn take_line(buf: &[u8]) -> Result<Option<Line<'_>>, Error> {
    let window = &buf[..buf.len().min(LINE_MAX_BYTES)];
    let Some(end) = window.iter().position(|&byte| byte == b'\n') else {
        return if buf.len() >= LINE_MAX_BYTES { Err(Error::LineTooLong) } else { Ok(None) };
    };
    let text = &window[..end];
    Ok(Some(match text.strip_suffix(b"\r") {
        Some(text) => Line { text, len: end + 1, crlf: true },
        None => Line { text, len: end + 1, crlf: false },
    }))
}

/// Splits the first word off; what remains may begin with blanks.
pub(crate) fn take_word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = text.iter().position(|&byte| byte != b' ')?;
    let text = &text[start..];
    let end = text.iter().position(|&byte| byte == b' ').unwrap_or(text.len());
    Some(text.split_at(end))
}

/// Reads the digits of a number and nothing else.
pub(crate) fn parse_number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// Appends a number's digits.
pub(crate) fn push_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0_u8; 20];
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

/// Reads a data block's announced length.
pub(crate) fn parse_data_len(word: &[u8]) -> Result<usize, Error> {
    let len = parse_number(word).ok_or(Error::BadNumber)?;
    match usize::try_from(len) {
        Ok(short) if short <= DATA_MAX_BYTES => Ok(short),
        _ => Err(Error::DataTooLong { len }),
    }
}

/// Takes a data block of `len` bytes and its line end from the front of `buf`.
pub(crate) fn take_data(buf: &[u8], len: usize) -> Result<Option<&[u8]>, Error> {
    let end = &buf[buf.len().min(len)..];
    match end {
        [b'\r', b'\n', ..] => Ok(Some(&buf[..len])),
        [] | [b'\r'] => Ok(None),
        _ => Err(Error::BadDataEnd),
    }
}
