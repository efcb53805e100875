//! What one Asterisk server is configured with: text files, written out when the lab starts.
//!
//! The files in `lab/conf` are the least that makes a server start without a warning; a server adds its
//! endpoints, peers and dialplan. In all of them, and in text given by a story, these words stand for what is
//! known only when the lab has its number: `@NAME@` and `@ADDRESS@` (the server's own), `@ADDRESS_A@`,
//! `@ADDRESS_B@`, `@ADDRESS_GATEWAY@`, `@CACHE1@` to `@CACHE3@` (with port), `@TRUNK_SECRET@`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::memcached::MEMCACHED_PORT;
use crate::place::Place;
use crate::release::Release;

/// The secret of the IAX2 user `tandem`, by which servers call each other.
pub const TRUNK_SECRET: &str = "trunk-secret";
/// The secret of the manager user `lab`.
pub const AMI_SECRET: &str = "lab-secret";

/// The last parts of the servers' and caches' addresses.
const HOST_A: u8 = 11;
const HOST_B: u8 = 12;
const HOST_GATEWAY: u8 = 13;
/// Cache 1 is the next one.
const HOST_CACHES: u8 = 20;
/// The proxy in front of cache 1 is the next one.
const HOST_PROXIES: u8 = 24;

/// Files that every server has.
const COMMON: &[(&str, &str)] = &[
    ("acl.conf", include_str!("../conf/acl.conf")),
    ("asterisk.conf", include_str!("../conf/asterisk.conf")),
    ("ccss.conf", include_str!("../conf/ccss.conf")),
    ("cdr.conf", include_str!("../conf/cdr.conf")),
    ("cel.conf", include_str!("../conf/cel.conf")),
    ("extensions.conf", include_str!("../conf/extensions.conf")),
    ("features.conf", include_str!("../conf/features.conf")),
    ("iax.conf", include_str!("../conf/iax.conf")),
    ("indications.conf", include_str!("../conf/indications.conf")),
    ("logger.conf", include_str!("../conf/logger.conf")),
    ("manager.conf", include_str!("../conf/manager.conf")),
    ("modules.conf", include_str!("../conf/modules.conf")),
    ("pjproject.conf", include_str!("../conf/pjproject.conf")),
    ("pjsip.conf", include_str!("../conf/pjsip.conf")),
    ("rtp.conf", include_str!("../conf/rtp.conf")),
    ("udptl.conf", include_str!("../conf/udptl.conf")),
    ("voicemail.conf", include_str!("../conf/voicemail.conf")),
];

/// The password of a phone: the same on every server.
#[must_use]
pub fn phone_secret(number: &str) -> String {
    format!("secret-{number}")
}

/// The configuration of a server that is still to be started.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    pub(crate) name: String,
    pub(crate) release: Release,
    pub(crate) host: u8,
    pub(crate) files: BTreeMap<String, String>,
    /// An `app_universal.so` to copy beside Debian's modules, and its XML help.
    pub(crate) module: Option<PathBuf>,
    pub(crate) documentation: Option<PathBuf>,
    /// Whether its manager interface is on.
    pub(crate) has_manager: bool,
    /// What its environment has beside ours.
    pub(crate) environment: BTreeMap<String, String>,
    /// Whether it reaches the caches through proxies.
    pub(crate) through_proxies: bool,
}

impl ServerConfig {
    /// A server that starts, and that knows nobody.
    #[must_use]
    pub fn bare(name: &str, host: u8) -> Self {
        let files = COMMON.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect();
        Self {
            name: name.to_owned(),
            release: Release::default(),
            host,
            files,
            module: None,
            documentation: None,
            has_manager: true,
            environment: BTreeMap::new(),
            through_proxies: false,
        }
    }

    /// Server A or B of the default lab: phones 200 to 209 may register by SIP, 201 to 209 by IAX2, and calls
    /// come in over the trunk.
    pub(crate) fn registrar(name: &str, host: u8) -> Self {
        let mut config = Self::bare(name, host)
            .universal_conf(include_str!("../conf/universal-registrar.conf"))
            .trunk_user();
        for number in 200..210 {
            let number = number.to_string();
            config = config.pjsip_endpoint(&number, &phone_secret(&number));
            if number != "200" {
                config = config.iax_peer(&number, &phone_secret(&number));
            }
        }
        config
    }

    /// The gateway of the default lab: callers 300 and 301, mailboxes 200 to 209, and no phones of the fleet.
    pub(crate) fn gateway() -> Self {
        let mut config = Self::bare("gateway", HOST_GATEWAY)
            .universal_conf(include_str!("../conf/universal-gateway.conf"))
            .extensions(include_str!("../conf/extensions-gateway.conf"))
            .trunk_user();
        for number in ["300", "301"] {
            config = config.pjsip_endpoint(number, &phone_secret(number));
        }
        for number in 200..210 {
            config = config.append("voicemail.conf", &format!("{number} => 1234,Phone {number}\n"));
        }
        config
    }

    pub(crate) fn registrar_a() -> Self {
        Self::registrar("A", HOST_A)
    }

    pub(crate) fn registrar_b() -> Self {
        Self::registrar("B", HOST_B)
    }

    /// The server's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes it a server of this release, with chan_sip if that has it. `app_universal` is not for another than
    /// the first.
    #[must_use]
    pub fn release(mut self, release: Release) -> Self {
        self.release = release;
        for module in release.lacks() {
            self = self.replace("modules.conf", &format!("load => {module}.so\n"), "");
        }
        match release {
            Release::Asterisk22 => self,
            Release::Asterisk16 => self
                .replace("pjsip.conf", "auth_type = digest", "auth_type = userpass")
                .file("sip.conf", include_str!("../conf/sip.conf"))
                .load("chan_sip"),
        }
    }

    /// Replaces a configuration file, or adds one.
    #[must_use]
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.files.insert(name.to_owned(), text.to_owned());
        self
    }

    /// Adds to the end of a configuration file.
    #[must_use]
    pub fn append(mut self, name: &str, text: &str) -> Self {
        let file = self.files.entry(name.to_owned()).or_default();
        if !file.is_empty() && !file.ends_with('\n') {
            file.push('\n');
        }
        file.push_str(text);
        self
    }

    /// Replaces each `from` in a configuration file by `to`.
    ///
    /// # Panics
    ///
    /// If there is none: what was to be changed has another name by now.
    #[must_use]
    pub fn replace(mut self, name: &str, from: &str, to: &str) -> Self {
        let file = self.files.get_mut(name).filter(|text| text.contains(from));
        let file = file.unwrap_or_else(|| panic!("there is no '{from}' in {name}"));
        *file = file.replace(from, to);
        self
    }

    /// Replaces the dialplan.
    #[must_use]
    pub fn extensions(self, text: &str) -> Self {
        self.file("extensions.conf", text)
    }

    /// Replaces `universal.conf`.
    #[must_use]
    pub fn universal_conf(self, text: &str) -> Self {
        self.file("universal.conf", text)
    }

    /// A phone that may register by SIP with digest authentication, five times at once; its calls begin in the
    /// context `from-phones`.
    #[must_use]
    pub fn pjsip_endpoint(self, number: &str, secret: &str) -> Self {
        self.append(
            "pjsip.conf",
            &format!(
                "\n[{number}](phone)\nauth = {number}\naors = {number}\ncallerid = {number} <{number}>\n\
                 [{number}](phone-auth)\nusername = {number}\npassword = {secret}\n\
                 [{number}](phone-aor)\n"
            ),
        )
    }

    /// `count` phones with numbers from `first` that may register by SIP with no authentication: for load.
    #[must_use]
    pub fn pjsip_many(self, first: u32, count: u32) -> Self {
        let mut text = String::new();
        for number in first..first + count {
            // Writing to a String cannot fail.
            let _infallible =
                write!(text, "\n[{number}](phone)\naors = {number}\n[{number}](phone-aor)\n");
        }
        self.append("pjsip.conf", &text)
    }

    /// A phone that may register by IAX2; its calls begin in the context `from-phones`.
    #[must_use]
    pub fn iax_peer(self, number: &str, secret: &str) -> Self {
        self.append(
            "iax.conf",
            &format!(
                "\n[{number}](iax-phone)\nsecret = {secret}\ncallerid = {number} <{number}>\n"
            ),
        )
    }

    /// A phone that may register at chan_sip; its calls begin in the context `from-phones`.
    #[must_use]
    pub fn sip_peer(self, number: &str, secret: &str) -> Self {
        self.append(
            "sip.conf",
            &format!(
                "\n[{number}](sip-phone)\nsecret = {secret}\ncallerid = {number} <{number}>\n"
            ),
        )
    }

    /// Lets other servers call in as `IAX2/tandem:SECRET@ADDRESS/NUMBER`, into the context `from-tandem`.
    #[must_use]
    pub fn trunk_user(self) -> Self {
        self.append(
            "iax.conf",
            "\n[tandem]\ntype = user\nsecret = @TRUNK_SECRET@\ncontext = from-tandem\n\
             requirecalltoken = no\ndisallow = all\nallow = ulaw\n",
        )
    }

    /// With no manager interface, and so without the events that Asterisk makes for it; [`crate::Asterisk::ami`]
    /// fails then.
    #[must_use]
    pub fn without_manager(mut self) -> Self {
        self.has_manager = false;
        self.file("manager.conf", "[general]\nenabled = no\n")
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Loads one more of Asterisk's modules, as "res_agi".
    #[must_use]
    pub fn load(self, module: &str) -> Self {
        self.append("modules.conf", &format!("load => {module}.so\n"))
    }

    /// Puts this file beside Asterisk's modules as `app_universal.so`, and loads it.
    #[must_use]
    pub fn module(mut self, path: impl Into<PathBuf>) -> Self {
        self.module = Some(path.into());
        self.load("app_universal")
    }

    /// As [`ServerConfig::module`] without loading it at start: for tests of loading.
    #[must_use]
    pub fn module_unloaded(mut self, path: impl Into<PathBuf>) -> Self {
        self.module = Some(path.into());
        self
    }

    /// XML help that is in place before the module is loaded.
    #[must_use]
    pub fn documentation(mut self, path: impl Into<PathBuf>) -> Self {
        self.documentation = Some(path.into());
        self
    }

    /// Fills in what is known only of a running lab.
    pub(crate) fn fill_in(&self, text: &str, place: &Place, home: &str) -> String {
        let cache = |number: u8| {
            let address = match self.through_proxies {
                true => proxy_address(place, number),
                false => cache_address(place, number),
            };
            format!("{address}:{MEMCACHED_PORT}")
        };
        let address = |host: u8| -> Ipv4Addr { place.address(host) };
        text.replace("@HOME@", home)
            .replace("@NAME@", &self.name)
            .replace("@ADDRESS@", &address(self.host).to_string())
            .replace("@ADDRESS_A@", &address(HOST_A).to_string())
            .replace("@ADDRESS_B@", &address(HOST_B).to_string())
            .replace("@ADDRESS_GATEWAY@", &address(HOST_GATEWAY).to_string())
            .replace("@CACHE1@", &cache(1))
            .replace("@CACHE2@", &cache(2))
            .replace("@CACHE3@", &cache(3))
            .replace("@TRUNK_SECRET@", TRUNK_SECRET)
            .replace("@AMI_SECRET@", AMI_SECRET)
    }
}

/// The last part of the address of a cache server by its number, from 1.
pub(crate) fn cache_host(number: u8) -> u8 {
    HOST_CACHES + number
}

/// The address of a cache server by its number, from 1.
pub(crate) fn cache_address(place: &Place, number: u8) -> Ipv4Addr {
    place.address(cache_host(number))
}

/// The address of the proxy in front of a cache server.
pub(crate) fn proxy_address(place: &Place, number: u8) -> Ipv4Addr {
    place.address(HOST_PROXIES + number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_added_to_keeps_what_it_had() {
        let config =
            ServerConfig::bare("A", 11).append("new.conf", "one").append("new.conf", "two");
        assert_eq!(config.files["new.conf"], "one\ntwo");
    }

    #[test]
    fn a_sip_phone_has_an_endpoint_an_auth_and_an_aor() {
        let config = ServerConfig::bare("A", 11).pjsip_endpoint("200", "x");
        let pjsip = &config.files["pjsip.conf"];
        for section in ["[200](phone)\n", "[200](phone-auth)\n", "[200](phone-aor)\n"] {
            assert_eq!(pjsip.matches(section).count(), 1, "{section}");
        }
        assert!(pjsip.contains("password = x\n"));
    }

    #[test]
    fn many_phones_have_each_an_endpoint_and_an_aor() {
        let config = ServerConfig::bare("A", 11).pjsip_many(5000, 3);
        let pjsip = &config.files["pjsip.conf"];
        assert_eq!(pjsip.matches("](phone)\n").count(), 3);
        assert_eq!(pjsip.matches("](phone-aor)\n").count(), 3);
        assert!(pjsip.contains("[5002](phone)") && !pjsip.contains("[5003]"));
    }
}
