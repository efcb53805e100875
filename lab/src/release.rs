//! Which Asterisk a server of the lab is.

use std::path::PathBuf;

use crate::place::cache_folder;

/// A release that lab/setup has made a root of.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Release {
    /// Of Debian forky; the one that `app_universal` is built for.
    #[default]
    Asterisk22,
    /// Of Debian bullseye, for tests only: it has chan_sip.
    Asterisk16,
}

impl Release {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Asterisk22, Self::Asterisk16];

    /// What it says of itself begins with this: `22`.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self {
            Self::Asterisk22 => "22",
            Self::Asterisk16 => "16",
        }
    }

    /// The root folder that its servers run in.
    pub(crate) fn root(self) -> PathBuf {
        cache_folder().join(match self {
            Self::Asterisk22 => "root",
            Self::Asterisk16 => "root16",
        })
    }

    /// Modules of `conf/modules.conf` that it has not got yet.
    pub(crate) fn lacks(self) -> &'static [&'static str] {
        match self {
            Self::Asterisk22 => &[],
            Self::Asterisk16 => &["app_if", "func_uuid"],
        }
    }
}
