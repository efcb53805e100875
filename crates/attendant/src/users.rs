//! Who may come in, and what for.

use std::collections::BTreeMap;

use serde::Serialize;

/// Longest name of a user.
const NAME_MAX_BYTES: usize = 64;

/// What a user may do.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// See how the PBX is.
    Viewer,
    /// Run CLI commands and read the log, too.
    Admin,
}

/// A user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct User {
    /// What they may do.
    pub role: Role,
    /// Their password's hash (PHC string).
    pub hash: String,
}

/// All users by name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Users(BTreeMap<String, User>);

impl Users {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The user of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&User> {
        self.0.get(name)
    }

    /// Adds one; says whether there was one of that name.
    pub(crate) fn insert(&mut self, name: &str, user: User) -> bool {
        self.0.insert(name.into(), user).is_some()
    }
}

/// Whether a user may be called so: it stands in files, logs and pages.
pub(crate) fn is_name(name: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b".-_@".contains(&byte);
    (1..=NAME_MAX_BYTES).contains(&name.len()) && name.bytes().all(is_good)
}
