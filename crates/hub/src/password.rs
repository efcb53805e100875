//! Passwords: argon2id (RFC 9106), with the second parameter set recommended by OWASP, which takes
//! 19 MiB for each try.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};

/// Shortest password, in characters.
pub const MIN_CHARS: usize = 10;
/// Longest password, in bytes: more would only cost time.
pub const MAX_BYTES: usize = 1024;

/// Why it is no password.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// It can be guessed.
    #[error("a password has at least {MIN_CHARS} characters")]
    TooShort,
    /// It is a file.
    #[error("a password has at most {MAX_BYTES} bytes")]
    TooLong,
    /// The system gave no random numbers, or no memory.
    #[error("the password could not be hashed")]
    Failed,
}

/// The hash to keep, with its parameters and its salt (PHC string).
///
/// # Errors
///
/// [`PasswordError`] says what is wrong with it.
pub fn hash(password: &str) -> Result<String, PasswordError> {
    if password.chars().count() < MIN_CHARS {
        return Err(PasswordError::TooShort);
    }
    if password.len() > MAX_BYTES {
        return Err(PasswordError::TooLong);
    }
    let hash = Argon2::default().hash_password(password.as_bytes());
    Ok(hash.map_err(|_| PasswordError::Failed)?.to_string())
}

/// Of no password.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA\
                       $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Whether it is the password that was hashed. Without a hash it is not, after as long a time.
pub(crate) fn is_right(password: &str, hash: Option<&str>) -> bool {
    if password.len() > MAX_BYTES {
        return false;
    }
    let parsed = PasswordHash::new(hash.unwrap_or(NOBODYS));
    let matches =
        |hash: &PasswordHash| Argon2::default().verify_password(password.as_bytes(), hash).is_ok();
    parsed.is_ok_and(|parsed| matches(&parsed)) && hash.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_again_and_no_other_is() {
        let kept = hash("correct horse").expect("a good one");
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert!(is_right("correct horse", Some(&kept)));
        assert!(!is_right("correct hors", Some(&kept)));
        assert!(!is_right("correct horse", Some("damaged")));
        assert_ne!(hash("correct horse").expect("a good one"), kept, "each has a salt of its own");
    }

    #[test]
    fn nobody_has_no_password_and_takes_as_long_to_say_so() {
        assert!(PasswordHash::new(NOBODYS).is_ok(), "or nothing would be computed");
        assert!(!is_right("", None));
        assert!(!is_right("anything at all", None));
    }

    #[test]
    fn what_is_too_short_or_too_long_is_refused() {
        assert_eq!(hash("123456789"), Err(PasswordError::TooShort));
        assert_eq!(hash(&"x".repeat(1025)), Err(PasswordError::TooLong));
        assert!(hash("äöüäöüäöüä").is_ok(), "characters count, and not bytes");
    }
}
