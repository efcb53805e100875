//! A lab: which servers and caches there are, their start and their end.

use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use crate::browser::Browser;
use crate::config::{self, ServerConfig};
use crate::error::{At as _, LabError, Result};
use crate::hub::HubBuilder;
use crate::iax_phone::IaxPhone;
use crate::memcached::{Cache, CacheOptions, MEMCACHED_PORT};
use crate::network::{HOST_LOAD, Network};
use crate::phone::PhoneBuilder;
use crate::place::{self, Place};
use crate::proxy::Proxy;
use crate::server::Asterisk;
use crate::sipp::{CallMany, RegisterMany};

/// What a lab is going to be. By default: servers A, B and gateway, and two caches.
#[derive(Debug)]
#[must_use = "a lab begins with start()"]
pub struct LabBuilder {
    name: String,
    number: Option<u8>,
    servers: Vec<ServerConfig>,
    caches: u8,
    cache_options: CacheOptions,
    proxies: bool,
    namespaces: bool,
    module: Option<PathBuf>,
    documentation: Option<PathBuf>,
}

impl LabBuilder {
    /// Takes this number instead of the first free one; [`crate::DEMO_NUMBER`] is the demo's.
    pub fn number(mut self, number: u8) -> Self {
        self.number = Some(number);
        self
    }

    /// Changes the configuration of one of the servers; one that is not there yet is added as a bare one, with
    /// the next address.
    pub fn server(mut self, name: &str, change: impl FnOnce(ServerConfig) -> ServerConfig) -> Self {
        let at = self.servers.iter().position(|server| server.name == name);
        let (at, server) = match at {
            Some(at) => (at, self.servers.remove(at)),
            None => {
                let host = self.servers.iter().map(|server| server.host).max().unwrap_or(10) + 1;
                (self.servers.len(), ServerConfig::bare(name, host))
            }
        };
        self.servers.insert(at, change(server));
        self
    }

    /// Leaves a server out.
    pub fn without_server(mut self, name: &str) -> Self {
        self.servers.retain(|server| server.name != name);
        self
    }

    /// How many caches run, up to three; two if nothing is said.
    pub fn caches(mut self, count: u8) -> Self {
        self.caches = count.min(3);
        self
    }

    /// How the caches are started.
    pub fn cache_options(mut self, options: CacheOptions) -> Self {
        self.cache_options = options;
        self
    }

    /// Puts a [`Proxy`] between the servers and each cache: `@CACHE1@` is then its address.
    pub fn through_proxies(mut self) -> Self {
        self.proxies = true;
        self
    }

    /// Puts each server and cache into a network namespace of its own, so that [`Lab::cut`] can part them. There
    /// are no phones in such a lab but who sends from [`Lab::udp_socket`].
    pub fn in_namespaces(mut self) -> Self {
        self.namespaces = true;
        self
    }

    /// Loads this `app_universal.so` into every server; [`Lab::built_module`] finds it.
    pub fn module(mut self, path: impl Into<PathBuf>) -> Self {
        self.module = Some(path.into());
        self
    }

    /// XML help for the module, in place before it is loaded.
    pub fn documentation(mut self, path: impl Into<PathBuf>) -> Self {
        self.documentation = Some(path.into());
        self
    }

    /// Starts everything, all servers at once, and returns when all are ready.
    ///
    /// # Errors
    ///
    /// If the machine has not been made ready, or anything does not start.
    pub fn start(self) -> Result<Lab> {
        let place = Arc::new(Place::claim(&self.name, self.number, self.namespaces)?);
        let mut lab = Lab { servers: Vec::new(), proxies: Vec::new(), caches: Vec::new(), place };
        for number in 1..=self.caches {
            let cache = Cache::start_new(&lab.place, number, self.cache_options)?;
            if self.proxies {
                let listens = (config::proxy_address(&lab.place, number), MEMCACHED_PORT);
                lab.proxies.push(Proxy::start(listens.into(), cache.address())?);
            }
            lab.caches.push(cache);
        }
        for mut server in self.servers {
            server.through_proxies = self.proxies;
            if let Some(module) = &self.module {
                server = server.module(module);
            }
            if let Some(xml) = &self.documentation {
                server = server.documentation(xml);
            }
            lab.servers.push(Asterisk::prepare(&lab.place, &server)?);
        }
        thread::scope(|scope| {
            let starts: Vec<_> =
                lab.servers.iter().map(|server| scope.spawn(|| server.start())).collect();
            for start in starts {
                start.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            }
            Ok(())
        })?;
        Ok(lab)
    }
}

/// Running servers and caches. Dropping it ends them all and keeps their logs.
#[derive(Debug)]
pub struct Lab {
    servers: Vec<Asterisk>,
    proxies: Vec<Proxy>,
    caches: Vec<Cache>,
    place: Arc<Place>,
}

impl Lab {
    /// The default lab, without the module, under a name that its logs are kept by.
    ///
    /// # Errors
    ///
    /// As [`LabBuilder::start`].
    pub fn start(name: &str) -> Result<Self> {
        Self::builder(name).start()
    }

    /// A lab to be changed before it starts.
    pub fn builder(name: &str) -> LabBuilder {
        LabBuilder {
            name: name.to_owned(),
            number: None,
            servers: vec![
                ServerConfig::registrar_a(),
                ServerConfig::registrar_b(),
                ServerConfig::gateway(),
            ],
            caches: 2,
            cache_options: CacheOptions::default(),
            proxies: false,
            namespaces: false,
            module: None,
            documentation: None,
        }
    }

    /// The `app_universal.so` that cargo has built beside this very program.
    ///
    /// # Errors
    ///
    /// [`LabError::NotSetUp`] if it has not been built.
    pub fn built_module() -> Result<PathBuf> {
        let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
        let path = place::target_folder().join(profile).join("libapp_universal.so");
        if path.exists() { Ok(path) } else { Err(LabError::NotSetUp { missing: path }) }
    }

    /// The folder that cargo builds into, in which logs are kept too.
    #[must_use]
    pub fn target_folder() -> PathBuf {
        place::target_folder()
    }

    /// The server of this name.
    ///
    /// # Errors
    ///
    /// [`LabError::NoSuch`].
    pub fn server(&self, name: &str) -> Result<&Asterisk> {
        let found = self.servers.iter().find(|server| server.name() == name);
        found.ok_or_else(|| LabError::NoSuch { thing: "server", name: name.to_owned() })
    }

    /// All servers.
    #[must_use]
    pub fn servers(&self) -> &[Asterisk] {
        &self.servers
    }

    /// Server A.
    ///
    /// # Panics
    ///
    /// If it was left out.
    #[must_use]
    pub fn a(&self) -> &Asterisk {
        self.server("A").expect("server A was left out of this lab")
    }

    /// Server B.
    ///
    /// # Panics
    ///
    /// If it was left out.
    #[must_use]
    pub fn b(&self) -> &Asterisk {
        self.server("B").expect("server B was left out of this lab")
    }

    /// The gateway.
    ///
    /// # Panics
    ///
    /// If it was left out.
    #[must_use]
    pub fn gateway(&self) -> &Asterisk {
        self.server("gateway").expect("the gateway was left out of this lab")
    }

    /// A cache server by its number, from 1.
    ///
    /// # Panics
    ///
    /// If this lab has no such cache.
    #[must_use]
    pub fn cache(&self, number: usize) -> &Cache {
        &self.caches[number - 1]
    }

    /// All caches.
    #[must_use]
    pub fn caches(&self) -> &[Cache] {
        &self.caches
    }

    /// The proxy in front of a cache server, by the cache's number.
    ///
    /// # Panics
    ///
    /// If this lab was not started with [`LabBuilder::through_proxies`].
    #[must_use]
    pub fn proxy(&self, number: usize) -> &Proxy {
        &self.proxies[number - 1]
    }

    /// Lets no packet through between a server and another address from now on, as a broken line would.
    ///
    /// # Errors
    ///
    /// [`LabError::NoSuch`] if this lab was not started with [`LabBuilder::in_namespaces`].
    pub fn cut(&self, one: Ipv4Addr, other: Ipv4Addr) -> Result<()> {
        self.network()?.cut(one, other)
    }

    /// Takes [`Lab::cut`] back.
    ///
    /// # Errors
    ///
    /// As [`Lab::cut`].
    pub fn join(&self, one: Ipv4Addr, other: Ipv4Addr) -> Result<()> {
        self.network()?.join(one, other)
    }

    fn network(&self) -> Result<&Network> {
        let name = self.place.number().to_string();
        self.place.network().ok_or(LabError::NoSuch { thing: "network", name })
    }

    /// A socket from which phones of one's own can reach the servers, and they it.
    ///
    /// # Errors
    ///
    /// If it cannot be opened.
    pub fn udp_socket(&self) -> Result<UdpSocket> {
        let address = self.place.address(HOST_LOAD);
        self.place.enter(|| UdpSocket::bind((address, 0)))?.at("bind to", address.to_string())
    }

    /// A SIP phone with this number, to be started.
    pub fn phone(&self, number: &str) -> PhoneBuilder {
        PhoneBuilder::new(&self.place, number)
    }

    /// Starts a browser.
    ///
    /// # Errors
    ///
    /// If it does not start: `lab/setup test` installs it, and `web/build` its driver.
    pub fn browser(&self) -> Result<Browser> {
        Browser::start(&self.place)
    }

    /// A hub, to be started.
    pub fn hub(&self) -> HubBuilder {
        HubBuilder::new(&self.place)
    }

    /// Starts an IAX2 phone with this number; it is registered nowhere.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub fn iax_phone(&self, number: &str) -> Result<IaxPhone> {
        IaxPhone::start(&self.place, number)
    }

    /// Registers `count` phones with numbers from `first` at a server, which must have them
    /// ([`ServerConfig::pjsip_many`]).
    pub fn register_many<'lab>(
        &'lab self,
        server: &'lab Asterisk,
        first: u32,
        count: u32,
    ) -> RegisterMany<'lab> {
        RegisterMany::new(&self.place, server, first, count)
    }

    /// Makes `count` calls, `rate_per_second` of them begun in a second, from an endpoint without a password
    /// ([`ServerConfig::pjsip_many`]) to an extension that answers.
    pub fn call_many<'lab>(
        &'lab self,
        server: &'lab Asterisk,
        [caller, count, rate_per_second]: [u32; 3],
        extension: &'lab str,
    ) -> CallMany<'lab> {
        CallMany { place: &self.place, server, caller, extension, count, rate_per_second }
    }

    /// Where this lab is.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The folder where people find the logs, while it runs and afterwards.
    #[must_use]
    pub fn logs(&self) -> &Path {
        self.place.logs()
    }

    /// All warnings and errors that any server has logged, each behind its server's name.
    ///
    /// # Errors
    ///
    /// If a log cannot be read.
    pub fn warnings(&self) -> Result<Vec<String>> {
        let mut all = Vec::new();
        for server in &self.servers {
            let found = server.warnings()?;
            all.extend(found.into_iter().map(|line| format!("{}: {line}", server.name())));
        }
        Ok(all)
    }
}

impl Lab {
    /// Ends all servers and caches, as dropping it does: for who cannot drop it, because others still look at it.
    pub fn end(&self) {
        for server in &self.servers {
            server.begin_to_end();
        }
        for server in &self.servers {
            server.end();
        }
        for cache in &self.caches {
            cache.kill();
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.end();
    }
}
