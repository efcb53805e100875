//! Passwords: argon2id (RFC 9106), with the second parameter set recommended by OWASP, which takes
//! 19 MiB for each try.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params, PasswordHasher as _, PasswordVerifier as _};

use crate::random;
use crate::users::{self, Role};

/// Shortest password, in characters.
pub const MIN_CHARS: usize = 10;
/// Longest password, in bytes: more would only cost time.
pub const MAX_BYTES: usize = 1024;
/// The most memory that a hash in the file may ask for at each try, in KiB.
const MEMORY_MAX_KIB: u32 = 64 * 1024;
/// The most passes over it.
const PASSES_MAX: u32 = 10;
/// The most lanes.
const LANES_MAX: u32 = 4;

/// What cannot be a password of pbx_web's, or a user.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// The name would be confusing.
    #[error("a user's name has letters, digits, dot, dash, _ and @, 64 at most")]
    BadName,
    /// It can be guessed.
    #[error("a password has at least {MIN_CHARS} characters")]
    TooShort,
    /// It is a file.
    #[error("a password has at most {MAX_BYTES} bytes")]
    TooLong,
    /// The system gave no random numbers, or no memory.
    #[error("the password could not be hashed: the system gives no random numbers or no memory")]
    Failed,
}

/// A user that was made: what to put into the file, and what to tell the person.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewUser {
    /// The line for `[users]`.
    pub line: String,
    /// The password, if it was made here: it is nowhere else.
    pub password: Option<String>,
}

/// Makes a user with a password, or with one that is made here: Asterisk's CLI echoes what is
/// typed and keeps it in its history, so the latter is better.
///
/// Takes some 50 ms and 19 MiB.
///
/// # Errors
///
/// [`PasswordError`].
pub fn new_user(name: &str, role: Role, password: Option<&str>) -> Result<NewUser, PasswordError> {
    if !users::is_name(name) {
        return Err(PasswordError::BadName);
    }
    let made = match password {
        Some(_) => None,
        None => Some(random::password().map_err(|_| PasswordError::Failed)?),
    };
    let hash = hash(password.or(made.as_deref()).unwrap_or_default())?;
    let key = match role {
        Role::Admin => "adminuser",
        Role::Viewer => "viewer",
    };
    Ok(NewUser { line: format!("{key} = {name},{hash}"), password: made })
}

/// The hash to keep, with its parameters and its salt (PHC string).
fn hash(password: &str) -> Result<String, PasswordError> {
    if password.chars().count() < MIN_CHARS {
        return Err(PasswordError::TooShort);
    }
    if password.len() > MAX_BYTES {
        return Err(PasswordError::TooLong);
    }
    let hash = Argon2::default().hash_password(password.as_bytes());
    Ok(hash.map_err(|_| PasswordError::Failed)?.to_string())
}

/// Whether it is a hash that can be checked, and at a bearable price.
pub(crate) fn is_hash(text: &str) -> bool {
    let Ok(hash) = PasswordHash::new(text) else { return false };
    let Ok(params) = Params::try_from(&hash) else { return false };
    hash.algorithm.as_str() == "argon2id"
        && hash.hash.is_some()
        && params.m_cost() <= MEMORY_MAX_KIB
        && params.t_cost() <= PASSES_MAX
        && params.p_cost() <= LANES_MAX
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

    fn hash_of(line: &str) -> &str {
        line.split_once(',').expect("a hash").1
    }

    #[test]
    fn a_new_user_is_a_line_of_the_file_and_the_password_is_right() {
        let new = new_user("anna", Role::Viewer, Some("correct horse")).expect("a user");
        assert!(new.line.starts_with("viewer = anna,$argon2id$v=19$m=19456,t=2,p=1$"), "{new:?}");
        assert_eq!(new.password, None);
        assert!(is_hash(hash_of(&new.line)));
        assert!(is_right("correct horse", Some(hash_of(&new.line))));
        assert!(!is_right("correct hors", Some(hash_of(&new.line))));
        assert!(!new.line.contains(';'), "Asterisk's reader would take it for a comment");
    }

    #[test]
    fn a_password_that_is_made_is_long_and_another_each_time() {
        let made = |name| {
            let new = new_user(name, Role::Admin, None).expect("a user");
            let password = new.password.expect("a password");
            assert!(is_right(&password, Some(hash_of(&new.line))));
            password
        };
        let (one, two) = (made("a"), made("b"));
        assert!(one.len() >= 20 && one != two, "{one} {two}");
    }

    #[test]
    fn nobody_has_no_password_and_takes_as_long_to_say_so() {
        assert!(is_hash(NOBODYS), "or nothing would be computed");
        assert!(!is_right("", None));
        assert!(!is_right("anything at all", None));
    }

    #[test]
    fn what_is_no_password_or_no_name_is_refused() {
        let error = |name: &str, password: &str| {
            new_user(name, Role::Admin, Some(password)).expect_err("bad")
        };
        assert_eq!(error("a", "123456789"), PasswordError::TooShort);
        assert_eq!(error("a", &"x".repeat(1025)), PasswordError::TooLong);
        assert_eq!(error("a,b", "long enough it is"), PasswordError::BadName);
        assert_eq!(error("", "long enough it is"), PasswordError::BadName);
    }

    #[test]
    fn hashes_that_would_take_the_machine_down_are_none() {
        for bad in [
            "$argon2id$v=19$m=4194304,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=19$m=19456,t=9999,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "$argon2i$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA",
            "plain",
            "",
        ] {
            assert!(!is_hash(bad), "{bad}");
        }
    }
}
