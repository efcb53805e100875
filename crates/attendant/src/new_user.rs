//! New users of pbx_web's: the line for its file, and the password if it is made here.

use crate::random;
use crate::users::{self, Role};

/// What cannot be a password of pbx_web's, or a user.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NewUserError {
    /// The name would be confusing.
    #[error("a user's name has letters, digits, dot, dash, _ and @, 64 at most")]
    BadName,
    /// The password.
    #[error(transparent)]
    Password(#[from] password::PasswordError),
    /// No password could be made.
    #[error("no password could be made: the system gives no random numbers")]
    NoRandom,
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
/// [`NewUserError`].
pub fn new_user(name: &str, role: Role, password: Option<&str>) -> Result<NewUser, NewUserError> {
    if !users::is_name(name) {
        return Err(NewUserError::BadName);
    }
    let made = match password {
        Some(_) => None,
        None => Some(random::password().map_err(|_| NewUserError::NoRandom)?),
    };
    let hash = password::hash(password.or(made.as_deref()).unwrap_or_default())?;
    let key = match role {
        Role::Admin => "adminuser",
        Role::Viewer => "viewer",
    };
    Ok(NewUser { line: format!("{key} = {name},{hash}"), password: made })
}

#[cfg(test)]
mod tests {
    use password::{PasswordError, is_hash, is_right};

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
        assert_eq!(is_right("correct horse", Some(hash_of(&new.line))), Ok(true));
        assert_eq!(is_right("correct hors", Some(hash_of(&new.line))), Ok(false));
        assert!(!new.line.contains(';'), "Asterisk's reader would take it for a comment");
    }

    #[test]
    fn a_password_that_is_made_is_long_and_another_each_time() {
        let made = |name| {
            let new = new_user(name, Role::Admin, None).expect("a user");
            let password = new.password.expect("a password");
            assert_eq!(is_right(&password, Some(hash_of(&new.line))), Ok(true));
            password
        };
        let (one, two) = (made("a"), made("b"));
        assert!(one.len() >= 20 && one != two, "{one} {two}");
    }

    #[test]
    fn what_is_no_password_or_no_name_is_refused() {
        let error = |name: &str, password: &str| {
            new_user(name, Role::Admin, Some(password)).expect_err("bad")
        };
        assert_eq!(error("a", "123456789"), PasswordError::TooShort.into());
        assert_eq!(error("a,b", "long enough it is"), NewUserError::BadName);
        assert_eq!(error("", "long enough it is"), NewUserError::BadName);
    }
}
