//! `hub.toml`.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use acl::{Acl, RuleError};
use agent::AmiConfig;
use link::Rules;
use serde::Deserialize;

/// Where the configuration is, if nothing is said.
pub const DEFAULT_PATH: &str = "/etc/tandem/hub.toml";

/// `hub.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address and port; this machine's own alone, until it says otherwise. Beyond this machine
    /// there is TLS, always.
    #[serde(default = "loopback")]
    pub listen: SocketAddr,
    /// How agents and browsers name this machine, for the command that enrols an agent, and in the
    /// certificate that is made: `hub.example.com`.
    #[serde(default)]
    pub name: Option<String>,
    /// The folder for what must be kept: the database, a certificate of our own.
    #[serde(default = "data")]
    pub data: PathBuf,
    /// The caches' configuration, for the pages on universal variables and registrations.
    #[serde(default)]
    pub universal_conf: Option<PathBuf>,
    /// Who may connect: `permit ADDRESS` and `deny ADDRESS` in order, the first that matches
    /// decides; with any rule, all others are denied. Agents too.
    #[serde(default)]
    pub acl: Vec<String>,
    /// TLS on this machine's own addresses, too; and a certificate, else one is made.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// How long history is kept, in days.
    #[serde(default = "history_days")]
    pub history_days: u32,
    /// The servers that are not known by their agent's enrolment alone.
    #[serde(default, rename = "server")]
    pub servers: Vec<ServerConfig>,
}

/// `[tls]`: both, or neither for a certificate that the hub makes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Certificates (PEM), the server's first.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// The first one's key (PEM).
    #[serde(default)]
    pub key: Option<PathBuf>,
}

/// `[[server]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// As people call it.
    pub name: String,
    /// Which of its peers are trunks: `PJSIP/provider`, or `IAX2/to-*`.
    #[serde(default)]
    pub trunks: Vec<String>,
    /// How to reach it without an agent.
    #[serde(default)]
    pub ami: Option<AmiConfig>,
    /// What may be done to it, if it has no agent; an agent has rules of its own.
    #[serde(default)]
    pub allow: Rules,
}

/// Why a configuration is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It cannot be read, is not what it should be, or others may read its secret.
    #[error(transparent)]
    File(#[from] agent::config::ConfigError),
    /// A certificate without a key, or the other way round.
    #[error(
        "{path}: [tls]: `certificate` and `key` go together; without both, the hub makes its own"
    )]
    HalfTls {
        /// Which.
        path: PathBuf,
    },
    /// Not how anybody would find it.
    #[error(
        "{path}: `name`: {name:?} is no host name: write hub.example.com, or an address, and nothing around it"
    )]
    Name {
        /// Which.
        path: PathBuf,
        /// What was written.
        name: String,
    },
    /// A rule of `acl` is none.
    #[error("{path}: `acl`: {error}")]
    Acl {
        /// Which.
        path: PathBuf,
        /// Why.
        error: RuleError,
    },
    /// A server's name is used twice, or is none.
    #[error("{path}: server {name:?}: {why}")]
    Server {
        /// Which file.
        path: PathBuf,
        /// Which server.
        name: String,
        /// Why.
        why: String,
    },
}

/// Longest name of a server, in bytes.
pub const NAME_MAX_BYTES: usize = 64;

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8088))
}

fn data() -> PathBuf {
    "/var/lib/tandem".into()
}

fn history_days() -> u32 {
    90
}

/// Whether a server may be called so: it goes into addresses and file names.
#[must_use]
pub fn is_server_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    // With a dash it would be an option on a command line.
    (1..=NAME_MAX_BYTES).contains(&name.len())
        && !name.starts_with(['.', '-'])
        && name.chars().all(is_plain)
}

fn is_host_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_name = !name.is_empty() && name.chars().all(is_plain);
    is_name || name.parse::<Ipv6Addr>().is_ok()
}

/// An address of IPv6 as it is in a URL is the address all the same.
fn without_brackets(name: String) -> String {
    let within = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    within.filter(|within| within.parse::<Ipv6Addr>().is_ok()).map(str::to_owned).unwrap_or(name)
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the file, and the line or the setting.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let has_secret = |config: &Self| {
            let mut servers = config.servers.iter();
            servers.any(|server| server.ami.as_ref().is_some_and(|ami| ami.secret.is_some()))
        };
        let mut config: Self = agent::config::read_toml(path, has_secret)?;
        config.name = config.name.map(without_brackets);
        let tls = config.tls.clone().unwrap_or_default();
        if tls.certificate.is_some() != tls.key.is_some() {
            return Err(ConfigError::HalfTls { path: path.into() });
        }
        if let Some(name) = config.name.as_ref().filter(|name| !is_host_name(name)) {
            return Err(ConfigError::Name { path: path.into(), name: name.clone() });
        }
        config.acl().map_err(|error| ConfigError::Acl { path: path.into(), error })?;
        config.check_servers(path)?;
        Ok(config)
    }

    /// Who may connect.
    ///
    /// # Errors
    ///
    /// The first rule that is none.
    pub fn acl(&self) -> Result<Acl, RuleError> {
        Acl::parse(self.acl.iter().map(String::as_str))
    }

    /// Whether it is spoken with over TLS: always, but for this machine alone.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls.is_some() || !self.listen.ip().is_loopback()
    }

    /// How a browser on this machine, or an agent elsewhere, reaches it.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.is_tls() { "https" } else { "http" };
        let port = self.listen.port();
        match &self.name {
            Some(name) if name.parse::<Ipv6Addr>().is_ok() => format!("{scheme}://[{name}]:{port}"),
            Some(name) => format!("{scheme}://{name}:{port}"),
            None if self.listen.ip().is_unspecified() => format!("{scheme}://localhost:{port}"),
            None => format!("{scheme}://{}", self.listen),
        }
    }

    /// Where the database is.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.data.join("hub.db")
    }

    fn check_servers(&self, path: &Path) -> Result<(), ConfigError> {
        let bad = |name: &str, why: &str| ConfigError::Server {
            path: path.into(),
            name: name.into(),
            why: why.into(),
        };
        let mut names = std::collections::BTreeSet::new();
        for server in &self.servers {
            let name = server.name.as_str();
            if !is_server_name(name) {
                let why = "a name has letters, digits, `-`, `_` and `.`, at most 64 bytes, and neither `-` nor `.` first";
                return Err(bad(name, why));
            }
            if !names.insert(name) {
                return Err(bad(name, "it is there twice"));
            }
            if let Some(ami) = &server.ami {
                agent::Ami::new(ami).map_err(|error| bad(name, &format!("ami: {error}")))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_ipv6_is_one_with_brackets_and_without() {
        let path =
            std::env::temp_dir().join(format!("tandem-hub-name-{}.toml", std::process::id()));
        for name in ["2001:db8::1", "[2001:db8::1]"] {
            let text = format!("listen = \"[::]:8088\"\nname = \"{name}\"\n");
            std::fs::write(&path, text).expect("it may be written");
            let config = Config::read(&path).expect("a good one");
            assert_eq!(config.url(), "https://[2001:db8::1]:8088");
            assert_eq!(config.name.as_deref(), Some("2001:db8::1"), "as a certificate has it");
        }
        std::fs::remove_file(&path).expect("it is there");
        for name in ["[hub.example.com]", "[2001:db8::1", "https://hub", ""] {
            assert!(!is_host_name(&without_brackets(name.into())), "{name}");
        }
    }

    #[test]
    fn no_server_is_called_as_an_option_or_a_hidden_file_is() {
        for (name, is_good) in
            [("berlin-1", true), ("-v", false), (".ssh", false), ("", false), ("a b", false)]
        {
            assert_eq!(is_server_name(name), is_good, "{name:?}");
        }
    }
}
