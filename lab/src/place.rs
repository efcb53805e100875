//! Where a lab is: its number, its addresses on loopback, and its folders.
//!
//! A lab's number is claimed by a lock on a file in the cache folder that lab/setup made, so several labs at
//! once never meet: lab N has the addresses 127.N.0.x and the folder `lab/N` inside of the root that its
//! servers run in; a server of another release has its home in its own root, and a link to it there. (A lab of
//! namespaces has addresses of its own; see `network`.) What it logged is copied to `target/lab/NAME` when it ends;
//! while it runs, and after a crash, that is a link to the folder itself.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::error::{At as _, LabError, Result};
use crate::network::{self, Network};
use crate::process;
use crate::release::Release;

/// The demo's number: its servers are 127.0.0.11, 127.0.0.12 ...
pub const DEMO_NUMBER: u8 = 0;
/// Numbers above the demo's that a lab may take. 127.N.0.0/16 is loopback for all of them.
const NUMBERS: std::ops::RangeInclusive<u8> = 1..=64;
/// The last part of the first phone's address.
const FIRST_PHONE: u8 = 31;
/// Files larger than this are not copied out of a lab: no log, or nobody reads it.
const COPY_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// A claimed lab number with its addresses and folders.
#[derive(Debug)]
pub struct Place {
    number: u8,
    name: String,
    kept: PathBuf,
    next_phone: AtomicU8,
    /// None is loopback.
    network: Option<Network>,
    /// Holds the lock on the number for as long as it is open.
    _lock: File,
}

impl Place {
    /// Claims `number`, or the first free one, for a lab called `name`; ends what a crashed lab of that number
    /// left running, and empties its folder. With `namespaces` it gets a network of its own.
    pub(crate) fn claim(name: &str, number: Option<u8>, namespaces: bool) -> Result<Self> {
        must_be_set_up(Release::default())?;
        if !process::is_root() {
            return Err(LabError::NotRoot);
        }
        let locks = cache_folder().join("locks");
        fs::create_dir_all(&locks).at("make", &locks)?;
        let (number, lock) = match number {
            Some(number) => {
                (number, try_lock(&locks, number)?.ok_or(LabError::NumberTaken { number })?)
            }
            None => first_free(&locks)?,
        };
        let mut place = Self {
            number,
            name: name.to_owned(),
            kept: target_folder().join("lab").join(name),
            next_phone: AtomicU8::new(FIRST_PHONE),
            network: None,
            _lock: lock,
        };
        place.clean()?;
        network::remove_all(number)?;
        if namespaces {
            place.network = Some(Network::create(number)?);
        }
        Ok(place)
    }

    /// The lab's number.
    #[must_use]
    pub fn number(&self) -> u8 {
        self.number
    }

    /// The address 127.N.0.`host` of this lab.
    #[must_use]
    pub fn address(&self, host: u8) -> Ipv4Addr {
        match &self.network {
            Some(network) => network.address(host),
            None => Ipv4Addr::new(127, self.number, 0, host),
        }
    }

    /// The namespaces, if this lab has such.
    pub(crate) fn network(&self) -> Option<&Network> {
        self.network.as_ref()
    }

    /// Does something where sockets reach this lab's servers.
    pub(crate) fn enter<T>(&self, inside: impl FnOnce() -> T) -> Result<T> {
        match &self.network {
            Some(network) => network.enter(inside),
            None => Ok(inside()),
        }
    }

    /// Makes room for `name` with the address of `host`.
    pub(crate) fn add_host(&self, name: &str, host: u8) -> Result<()> {
        self.network.as_ref().map_or(Ok(()), |network| network.add(name, host))
    }

    /// Makes `command` run where `name` belongs.
    pub(crate) fn on_host(&self, name: &str, command: Command) -> Result<Command> {
        match &self.network {
            Some(network) => network.place(name, command),
            None => Ok(command),
        }
    }

    /// The next address that no phone of this lab has.
    pub(crate) fn phone_address(&self) -> Ipv4Addr {
        self.address(self.next_phone.fetch_add(1, Ordering::Relaxed))
    }

    /// The lab's folder, as seen from outside of the root.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.folder_of(Release::default())
    }

    /// Its folder in the root of this release.
    fn folder_of(&self, release: Release) -> PathBuf {
        release.root().join("lab").join(self.number.to_string())
    }

    /// Where the logs are for people: a link while the lab runs, a copy afterwards.
    #[must_use]
    pub fn logs(&self) -> &Path {
        &self.kept
    }

    /// The file in which ids of started processes are written down.
    pub(crate) fn pids(&self) -> PathBuf {
        self.folder().with_extension("pids")
    }

    /// Makes a folder for `part` of the lab and gives its path from outside of the root.
    pub(crate) fn make_folder(&self, part: &str) -> Result<PathBuf> {
        let folder = self.folder().join(part);
        fs::create_dir_all(&folder).at("make", &folder)?;
        Ok(folder)
    }

    /// Makes the home of a server of this release in its root, and gives its path from outside.
    pub(crate) fn make_home(&self, release: Release, name: &str) -> Result<PathBuf> {
        if release == Release::default() {
            return self.make_folder(name);
        }
        must_be_set_up(release)?;
        let home = self.folder_of(release).join(name);
        fs::create_dir_all(&home).at("make", &home)?;
        symlink(&home, self.folder().join(name)).at("link", &home)?;
        Ok(home)
    }

    fn clean(&self) -> Result<()> {
        let folder = self.folder();
        process::end_left_over(&self.pids())?;
        self.remove_all()?;
        fs::create_dir_all(&folder).at("make", &folder)?;
        // Programs that run as nobody write their logs into folders below this one.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).at("open up", &folder)?;

        remove(&self.kept)?;
        let above = target_folder().join("lab");
        fs::create_dir_all(&above).at("make", &above)?;
        symlink(&folder, &self.kept).at("link", &self.kept)
    }

    /// Puts a copy of what is worth reading in the place of the link.
    fn keep_logs(&self) -> Result<()> {
        remove(&self.kept)?;
        for release in Release::ALL {
            let folder = self.folder_of(release);
            if folder.exists() {
                copy_files(&folder, &self.kept)?;
            }
        }
        Ok(())
    }

    fn remove_all(&self) -> Result<()> {
        for release in Release::ALL {
            remove(&self.folder_of(release))?;
        }
        remove(&self.pids())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = self.keep_logs() {
            eprintln!("lab {}: the logs stay at {}: {error}", self.name, self.folder().display());
            return;
        }
        // Left for the next lab of this number if it cannot be removed.
        let _cleaned = self.remove_all();
    }
}

fn must_be_set_up(release: Release) -> Result<()> {
    let root = release.root();
    let program = root.join("usr/sbin/asterisk");
    match root.join("lab-recipe").exists() && program.exists() {
        true => Ok(()),
        false => Err(LabError::NotSetUp { missing: program }),
    }
}

/// The cache folder of lab/setup; lab/env.sh has the same rule.
#[must_use]
pub fn cache_folder() -> PathBuf {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("TANDEM_CACHE").unwrap_or_else(|| {
        set("XDG_CACHE_HOME")
            .unwrap_or_else(|| set("HOME").unwrap_or_default().join(".cache"))
            .join("tandem")
    })
}

/// The folder that cargo builds into.
pub(crate) fn target_folder() -> PathBuf {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => checkout.join(folder),
        None => checkout.join("target"),
    }
}

fn first_free(locks: &Path) -> Result<(u8, File)> {
    for number in NUMBERS {
        if let Some(lock) = try_lock(locks, number)? {
            return Ok((number, lock));
        }
    }
    Err(LabError::NoFreeNumber)
}

/// The lock of `number`, unless another has it.
fn try_lock(locks: &Path, number: u8) -> Result<Option<File>> {
    let path = locks.join(format!("lab-{number}"));
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .at("open", &path)?;
    // SAFETY: the descriptor is open for as long as `file` lives; flock(2) touches no memory.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(Some(file));
    }
    let error = io::Error::last_os_error();
    if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error).at("lock", path) }
}

/// Removes a file, a link or a folder; nothing there is fine.
fn remove(path: &Path) -> Result<()> {
    let done = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("remove", path),
        _ => Ok(()),
    }
}

/// Copies the plain files below `from`; links, sockets and very large files are left out.
fn copy_files(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).at("make", to)?;
    for entry in fs::read_dir(from).at("read", from)? {
        let entry = entry.at("read", from)?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let found = entry.metadata().at("look at", &source)?;
        if found.is_dir() {
            copy_files(&source, &target)?;
        } else if found.is_file() && found.len() <= COPY_MAX_BYTES {
            fs::copy(&source, &target).at("copy", &source)?;
        }
    }
    // A folder of links alone (modules) leaves nothing to read.
    let _not_empty = fs::remove_dir(to);
    Ok(())
}
