//! The first word of each side.

use serde::{Deserialize, Serialize};

/// An agent's first frame.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The agent's version.
    pub version: String,
}

/// A hub's first frame.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// What the hub calls the server.
    pub server: String,
    /// For one that came with a token: its key from now on. It is told once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}
