//! Secrets that we hand out: sessions, tokens, keys. Only their hashes are kept.

use sha2::{Digest as _, Sha256};

/// SHA-256 of a secret. Nothing slower is needed: nobody can guess 256 random bits.
pub(crate) type Hash = [u8; 32];

/// The system gave no random numbers.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandom;

/// A new secret, in hexadecimal: it goes into addresses, headers and command lines as it is. (In base64 one of 64
/// would begin with a dash, and be an option to "tandem agent enrol".)
pub(crate) fn new() -> Result<String, NoRandom> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| NoRandom)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

pub(crate) fn hash(secret: &str) -> Hash {
    Sha256::digest(secret.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn a_secret_is_256_bits_that_no_command_line_takes_for_an_option() {
        let made: HashSet<String> = (0..500).map(|_| super::new().unwrap()).collect();
        assert_eq!(made.len(), 500, "each is new");
        for secret in made {
            assert_eq!(secret.len(), 64, "{secret}");
            assert!(secret.bytes().all(|byte| byte.is_ascii_hexdigit()), "{secret}");
        }
    }
}
