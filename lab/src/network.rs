//! A network of namespaces, in the place of loopback: each server and cache in its own, with a router between
//! them, so that any two can be cut off from each other.
//!
//! Lab N's router is the namespace `tandem-N`, and `tandem-N-NAME` is what NAME runs in; addresses are 198.18.N.x,
//! which are set aside for such things. The lab itself stays where it is: it opens its sockets inside of the
//! router ([`Network::enter`]), and a socket stays where it was opened. The router drops packets between two that
//! are cut off without telling either, as a broken line would. Nothing outside of these namespaces is touched.

use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{At as _, LabError, Result};

/// Where iproute2 keeps namespaces that have a name.
const NAMESPACES: &str = "/run/netns";
/// The last part of the router's address.
const ROUTER: u8 = 1;
/// The last part of an address in the router for those who send from there.
pub(crate) const HOST_LOAD: u8 = 30;

/// The namespaces of one lab. Dropping it removes them.
#[derive(Debug)]
pub(crate) struct Network {
    number: u8,
    router: File,
}

impl Network {
    /// Makes the router's namespace; what an earlier lab of this number left is removed.
    pub(crate) fn create(number: u8) -> Result<Self> {
        remove_all(number)?;
        let router = router_name(number);
        ip(&[&format!("netns add {router}")])?;
        let path = Path::new(NAMESPACES).join(&router);
        let network = Self { number, router: File::open(&path).at("open", &path)? };
        ip(&[
            &format!("-n {router} link set lo up"),
            &format!("-n {router} addr add {}/32 dev lo", network.address(ROUTER)),
            &format!("-n {router} addr add {}/32 dev lo", network.address(HOST_LOAD)),
        ])?;
        network
            .enter(|| fs::write("/proc/sys/net/ipv4/ip_forward", "1"))?
            .at("let forward", path)?;
        Ok(network)
    }

    /// The address of a host by its last part.
    pub(crate) fn address(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.number, host)
    }

    /// Makes a namespace called `name` with the address of `host`, joined to the router.
    pub(crate) fn add(&self, name: &str, host: u8) -> Result<()> {
        let (router, space) = (router_name(self.number), format!("tandem-{}-{name}", self.number));
        let (address, gateway) = (self.address(host), self.address(ROUTER));
        ip(&[
            &format!("netns add {space}"),
            &format!("-n {space} link set lo up"),
            &format!("link add up0 netns {space} type veth peer name to{host} netns {router}"),
            &format!("-n {space} addr add {address}/32 dev up0"),
            &format!("-n {space} link set up0 up"),
            &format!("-n {router} link set to{host} up"),
            &format!("-n {router} route add {address}/32 dev to{host}"),
            &format!("-n {space} route add {gateway}/32 dev up0 scope link"),
            &format!("-n {space} route add default via {gateway} dev up0 src {address}"),
        ])
    }

    /// Drops all packets between two hosts from now on.
    pub(crate) fn cut(&self, one: Ipv4Addr, other: Ipv4Addr) -> Result<()> {
        self.rules("add", one, other)
    }

    /// Takes [`Network::cut`] back.
    pub(crate) fn join(&self, one: Ipv4Addr, other: Ipv4Addr) -> Result<()> {
        self.rules("del", one, other)
    }

    fn rules(&self, what: &str, one: Ipv4Addr, other: Ipv4Addr) -> Result<()> {
        let router = router_name(self.number);
        ip(&[
            &format!("-n {router} rule {what} from {one} to {other} blackhole"),
            &format!("-n {router} rule {what} from {other} to {one} blackhole"),
        ])
    }

    /// Does something with this thread inside of the router: sockets that it opens belong there.
    pub(crate) fn enter<T>(&self, inside: impl FnOnce() -> T) -> Result<T> {
        let home = File::open("/proc/thread-self/ns/net").at("open", "/proc/thread-self/ns/net")?;
        set_namespace(&self.router).at("enter", router_name(self.number))?;
        let done = inside();
        set_namespace(&home).at("leave", router_name(self.number))?;
        Ok(done)
    }

    /// Makes `command` run in the namespace of `name`.
    pub(crate) fn place(&self, name: &str, mut command: Command) -> Result<Command> {
        let path = Path::new(NAMESPACES).join(format!("tandem-{}-{name}", self.number));
        let space = File::open(&path).at("open", &path)?;
        let hook = move || set_namespace(&space);
        // SAFETY: the hook runs between fork and exec and makes one system call; it allocates nothing, for an
        // io::Error of a raw code does not.
        unsafe { command.pre_exec(hook) };
        Ok(command)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // What is left goes when the next lab takes the number.
        let _removed = remove_all(self.number);
    }
}

fn router_name(number: u8) -> String {
    format!("tandem-{number}")
}

/// Removes the namespaces of a lab that is no more; there may be none.
pub(crate) fn remove_all(number: u8) -> Result<()> {
    let Ok(entries) = fs::read_dir(NAMESPACES) else { return Ok(()) };
    let (router, others) = (router_name(number), format!("tandem-{number}-"));
    for entry in entries {
        let name = entry.at("read", NAMESPACES)?.file_name().to_string_lossy().into_owned();
        if name == router || name.starts_with(&others) {
            ip(&[&format!("netns del {name}")])?;
        }
    }
    Ok(())
}

fn set_namespace(space: &File) -> io::Result<()> {
    // SAFETY: setns(2) takes an open descriptor, which `space` holds, and changes the calling thread alone.
    if unsafe { libc::setns(space.as_raw_fd(), libc::CLONE_NEWNET) } == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

/// Runs `ip` for each of `lines`.
fn ip(lines: &[&str]) -> Result<()> {
    for line in lines {
        let said = Command::new("ip").args(line.split(' ')).stdin(Stdio::null()).output();
        let said = said.at("start", "ip")?;
        if !said.status.success() {
            return Err(LabError::Refused {
                program: "ip".to_owned(),
                request: (*line).to_owned(),
                answer: String::from_utf8_lossy(&said.stderr).trim().to_owned(),
                log: NAMESPACES.into(),
            });
        }
    }
    Ok(())
}
