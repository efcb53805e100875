//! The patterns of `match=`: which extensions a switch takes, and which peers it dials.
//!
//! They mean what they mean in extensions.conf, for Asterisk itself compares them. Here is only
//! refused what it would take without a word, or what would be dangerous.

use std::ffi::CString;

/// The longest pattern and the longest extension: one less than `AST_MAX_EXTENSION` (channel.h).
const MAX_BYTES: usize = 79;

/// Why a text is no pattern for a switch.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// It takes Asterisk's own extensions too.
    #[error(
        "it would take Asterisk's own extensions, such as h and i; write what it begins with, as _X."
    )]
    Everything,
    /// A `[` that is never closed.
    #[error("a '[' has no ']'")]
    Unclosed,
    /// `.` or `!` before the end.
    #[error("'.' and '!' stand at the end")]
    NotLast,
    /// A byte that is not for numbers.
    #[error("it takes letters, digits, '[' to ']' and '+', '*', '#', '-', '_', '.', '!'")]
    BadByte,
    /// Too long for Asterisk.
    #[error("it takes at most {MAX_BYTES} bytes")]
    Long,
}

/// Whether a text is a pattern, or an extension, that a switch may have.
///
/// # Errors
///
/// [`PatternError`].
///
/// ```
/// use universal::pattern;
/// assert!(pattern::check("_2[0-4]X").is_ok());
/// assert_eq!(pattern::check("_."), Err(pattern::PatternError::Everything));
/// ```
pub fn check(text: &str) -> Result<CString, PatternError> {
    if text.len() > MAX_BYTES {
        return Err(PatternError::Long);
    }
    if let Some(pattern) = text.strip_prefix('_') {
        check_pattern(pattern)?;
    } else if !is_peer(text.as_bytes()) {
        return Err(PatternError::BadByte);
    }
    // There is no NUL in it: see above.
    CString::new(text).map_err(|_| PatternError::BadByte)
}

fn check_pattern(pattern: &str) -> Result<(), PatternError> {
    if pattern.trim_start_matches('-').is_empty()
        || pattern.trim_start_matches('-').starts_with(['.', '!'])
    {
        return Err(PatternError::Everything);
    }
    let mut rest = pattern;
    while let Some(byte) = rest.bytes().next() {
        let taken = match byte {
            b'[' => {
                let end = rest.find(']').ok_or(PatternError::Unclosed)?;
                if !is_peer(&rest.as_bytes()[1..end]) {
                    return Err(PatternError::BadByte);
                }
                end + 1
            }
            b'.' | b'!' if rest.len() > 1 => return Err(PatternError::NotLast),
            b'.' | b'!' => 1,
            _ if is_peer(&[byte]) => 1,
            _ => return Err(PatternError::BadByte),
        };
        rest = &rest[taken..];
    }
    Ok(())
}

/// Whether an extension can be a peer that is put into a dial string by a machine: what a caller
/// dials is in there, and `&`, `,`, `@`, `/` and others would make it call somebody else, or with
/// other options.
#[must_use]
pub fn is_peer(extension: &[u8]) -> bool {
    !extension.is_empty()
        && extension.len() <= MAX_BYTES
        && extension.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+*#-_.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_names_and_patterns_are_taken() {
        for good in ["500", "alice", "*97", "+4930", "_2XX", "_9.", "_NXX!", "_[2-4]X", "_0[a-c1]Z"]
        {
            assert_eq!(check(good).map(|c| c.into_bytes()), Ok(good.into()), "{good}");
        }
    }

    #[test]
    fn what_would_surprise_is_refused() {
        for (bad, why) in [
            ("_.", PatternError::Everything),
            ("_!", PatternError::Everything),
            ("_-.", PatternError::Everything),
            ("_", PatternError::Everything),
            ("_2[0-4", PatternError::Unclosed),
            ("_2.X", PatternError::NotLast),
            ("_2XX/300", PatternError::BadByte),
            ("200,300", PatternError::BadByte),
            ("_2[]X", PatternError::BadByte),
        ] {
            assert_eq!(check(bad), Err(why), "{bad}");
        }
        assert_eq!(check(&"1".repeat(80)), Err(PatternError::Long));
    }

    #[test]
    fn a_peer_cannot_change_what_is_dialled() {
        assert!(is_peer(b"200") && is_peer(b"a.b_c-d+1"));
        for bad in ["", "200&SIP/1", "200,30", "200@x", "2/3", "2:3", "${X}", "2 3", "2(3)", "2^3"]
        {
            assert!(!is_peer(bad.as_bytes()), "{bad}");
        }
    }
}
