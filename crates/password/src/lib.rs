//! Passwords: argon2id (RFC 9106), with the second parameter set recommended by OWASP, which takes
//! 19 MiB for each try. That memory does not stay with the process. Wrong tries make the next one wait.

#![forbid(unsafe_code)]

mod tries;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};

pub use tries::{FORGET_AFTER, FREE, LONGEST, Tries};

/// Shortest password, in characters.
pub const MIN_CHARS: usize = 10;
/// Longest password, in bytes: more would only cost time.
pub const MAX_BYTES: usize = 1024;
/// A salt's length (RFC 9106 recommends it).
const SALT_BYTES: usize = 16;
/// Beyond what glibc may ever come to keep for itself (`M_MMAP_THRESHOLD`: 32 MiB at most), in KiB.
const MAPPED_BLOCKS: usize = 33 * 1024;
/// The most memory that a kept hash may ask for at each try, in KiB.
const MEMORY_MAX_KIB: u32 = 64 * 1024;
/// The most passes over it.
const PASSES_MAX: u32 = 10;
/// The most lanes.
const LANES_MAX: u32 = 4;

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
    #[error("the password could not be hashed: the system gives no random numbers or no memory")]
    Failed,
}

/// The system gave no memory to look at a password with, right or wrong. Later it may.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the system gives no memory to look at a password with")]
pub struct NoMemory;

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
    Ok(hashed(password).ok_or(PasswordError::Failed)?.to_string())
}

fn hashed(password: &str) -> Option<PasswordHash> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).ok()?;
    let salt = Salt::new(&salt).ok()?;
    let (version, params) = (Version::default(), Params::DEFAULT);
    Some(PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(version.into()),
        params: ParamsString::try_from(&params).ok()?,
        salt: Some(salt),
        hash: compute(password, &salt, version, params, Params::DEFAULT_OUTPUT_LEN).ok()?,
    })
}

/// Whether it is a hash that can be checked, and at a bearable price.
#[must_use]
pub fn is_hash(text: &str) -> bool {
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
///
/// # Errors
///
/// [`NoMemory`]: it may be right or wrong.
pub fn is_right(password: &str, hash: Option<&str>) -> Result<bool, NoMemory> {
    if password.len() > MAX_BYTES {
        return Ok(false);
    }
    let Ok(parsed) = PasswordHash::new(hash.unwrap_or(NOBODYS)) else { return Ok(false) };
    Ok(matches(password, &parsed)? && hash.is_some())
}

fn matches(password: &str, hash: &PasswordHash) -> Result<bool, NoMemory> {
    let (Some(salt), Some(expected)) = (&hash.salt, &hash.hash) else { return Ok(false) };
    let Ok(params) = Params::try_from(hash) else { return Ok(false) };
    let Ok(version) = hash.version.map_or(Ok(Version::default()), Version::try_from) else {
        return Ok(false);
    };
    let is = compute(password, salt, version, params, expected.len())?;
    // Compares in a time that does not depend on where they differ.
    Ok(is.is_some_and(|is| is == *expected))
}

/// What the password comes to; `None` if that cannot be computed.
///
/// The memory is asked for in a piece so large that the C library maps it for itself and gives it
/// back to the system at once. A smaller one it would keep when it is freed, one for each thread
/// that ever looked at a password, and take larger pieces from there on for the whole process.
fn compute(
    password: &str,
    salt: &[u8],
    version: Version,
    params: Params,
    length: usize,
) -> Result<Option<Output>, NoMemory> {
    let blocks = params.block_count();
    let mut memory: Vec<Block> = Vec::new();
    memory.try_reserve_exact(blocks.max(MAPPED_BLOCKS)).map_err(|_| NoMemory)?;
    // The rest is never touched, and so takes nothing.
    memory.resize(blocks, Block::new());
    let mut output = [0; Output::MAX_LENGTH];
    let Some(output) = output.get_mut(..length) else { return Ok(None) };
    let argon2 = Argon2::new(Algorithm::Argon2id, version, params);
    let done =
        argon2.hash_password_into_with_memory(password.as_bytes(), salt, output, &mut memory);
    Ok(done.ok().and_then(|()| Output::new(output).ok()))
}

#[cfg(test)]
mod tests {
    use argon2::{PasswordHasher as _, PasswordVerifier as _};

    use super::*;

    #[test]
    fn a_password_is_known_again_and_no_other_is() {
        let kept = hash("correct horse").expect("a good one");
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert!(is_hash(&kept));
        assert_eq!(is_right("correct horse", Some(&kept)), Ok(true));
        assert_eq!(is_right("correct hors", Some(&kept)), Ok(false));
        assert_eq!(is_right("correct horse", Some("damaged")), Ok(false));
        assert_ne!(hash("correct horse").expect("a good one"), kept, "each has a salt of its own");
    }

    #[test]
    fn others_who_know_argon2_find_the_same() {
        let ours = hashed("correct horse").expect("a hash");
        assert!(Argon2::default().verify_password(b"correct horse", &ours).is_ok());
        assert!(Argon2::default().verify_password(b"another one", &ours).is_err());
        let params = Params::new(64, 3, 2, Some(24)).expect("good ones");
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x10, params);
        let theirs = argon2.hash_password(b"correct horse").expect("a hash").to_string();
        assert!(is_hash(&theirs), "{theirs}");
        assert_eq!(is_right("correct horse", Some(&theirs)), Ok(true));
        assert_eq!(is_right("another one", Some(&theirs)), Ok(false));
    }

    #[test]
    fn nobody_has_no_password_and_takes_as_long_to_say_so() {
        assert!(is_hash(NOBODYS), "or nothing would be computed");
        assert_eq!(is_right("", None), Ok(false));
        assert_eq!(is_right("anything at all", None), Ok(false));
    }

    #[test]
    fn what_is_too_short_or_too_long_is_refused() {
        assert_eq!(hash("123456789"), Err(PasswordError::TooShort));
        assert_eq!(hash(&"x".repeat(1025)), Err(PasswordError::TooLong));
        assert!(hash("äöüäöüäöüä").is_ok(), "characters count, and not bytes");
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
