//! The content in a file, from a clean stop to the next start.
//!
//! A file is written under another name, made durable and then moved into place, so there is a
//! whole one or none. It is checked to its last byte before any of it is used. What was loaded is
//! moved aside (`.loaded`) before the first command is answered: a crash later on must not bring
//! content back that was changed or deleted since. Two caches with one file would each take what
//! is the other's, so whoever has it holds a lock beside it ([`Hold`]).
//!
//! All numbers are little endian. The file is [`MAGIC`], the last CAS number (8 bytes), the number
//! of items (8), the items, and the FNV-1a checksum (8) of all before it. An item is the length of
//! its key (1), 1 if the key is binary (1), client flags (4), the date of its end in seconds since
//! 1970, 0 for none (8), CAS (8), the length of its value (4), key and value.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::clock::{NEVER, Now};
use crate::engine::{Cache, KeptItem, Mode, Outcome, Put};

/// The first bytes of a snapshot; the number is the format's.
const MAGIC: &[u8; 16] = b"tandem-cache  1\n";

/// No value is longer: what claims to be is broken.
const VALUE_MAX_BYTES: u32 = 1 << 30;

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The file cannot be read.
    #[error(
        "cannot read the snapshot {}: mend that, or move the file away to start empty",
        path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write the snapshot {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another cache that runs has it.
    #[error(
        "another cache has the snapshot {}: give each a file of its own, or stop the other one",
        path.display()
    )]
    Held {
        /// The file.
        path: PathBuf,
    },
    /// What is there is a pipe, a device, a folder or a link.
    #[error("{} is no regular file: name another one for the snapshot", path.display())]
    NotAFile {
        /// What.
        path: PathBuf,
    },
    /// The file is something else.
    #[error(
        "{} is not a snapshot that this version can read: name another file, or move it away",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was damaged.
    #[error(
        "the snapshot {} is damaged, and nothing of it was used: move it away to start empty",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The memory is too small for the content, and nothing may be evicted.
    #[error(
        "the snapshot {} does not fit into the memory: allow more, or allow evictions, or move \
         it away to start empty",
        path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

/// What [`walk`] finds.
enum Fault {
    Io(io::Error),
    Foreign,
    Damaged,
    TooLarge,
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::UnexpectedEof => Self::Damaged,
            _ => Self::Io(error),
        }
    }
}

/// A snapshot that is this cache's, and no other's, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Hold {
    path: PathBuf,
    /// The lock goes with it, and with the process. The file stays: who removed it could remove
    /// the next one's.
    _lock: File,
}

impl Hold {
    /// Takes the snapshot, which need not be there yet.
    pub(crate) fn new(path: &Path) -> Result<Self, SnapshotError> {
        let path = path.to_owned();
        // Opening a pipe would wait for who writes to it, and a link would be replaced.
        match fs::symlink_metadata(&path) {
            Ok(found) if !found.is_file() => return Err(SnapshotError::NotAFile { path }),
            Err(source) if source.kind() != ErrorKind::NotFound => {
                return Err(SnapshotError::Read { path, source });
            }
            _ => {}
        }
        let mut options = OpenOptions::new();
        let lock = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let lock_path = beside(&path, ".lock");
        let lock = match lock.open(&lock_path) {
            Ok(lock) => lock,
            Err(source) => return Err(SnapshotError::Write { path: lock_path, source }),
        };
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(SnapshotError::Held { path }),
            Err(TryLockError::Error(source)) => {
                Err(SnapshotError::Write { path: lock_path, source })
            }
        }
    }
}

/// Fills an empty cache from the file, if there is one, and moves it aside. Items whose keys are in
/// `not_kept` are left out.
pub(crate) fn load(
    hold: &Hold,
    cache: &Cache,
    not_kept: &[Vec<u8>],
    now: Now,
) -> Result<(), SnapshotError> {
    let path = &*hold.path;
    try_writing(path)?;
    let error = |fault| {
        let path = path.to_owned();
        match fault {
            Fault::Io(source) => SnapshotError::Read { path, source },
            Fault::Foreign => SnapshotError::Foreign { path },
            Fault::Damaged => SnapshotError::Damaged { path },
            Fault::TooLarge => SnapshotError::TooLarge { path },
        }
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(missing) if missing.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(error(Fault::Io(source))),
    };
    walk(&file, now, |_| Ok(())).map_err(error)?;
    let take_over = |item: &KeptItem<'_>| match not_kept.iter().any(|key| key == item.key) {
        true => Ok(()),
        false => keep(cache, item, now),
    };
    let last_cas = walk(&file, now, take_over).map_err(error)?;
    cache.raise_cas(last_cas);
    let move_aside = || {
        fs::rename(path, beside(path, ".loaded"))?;
        sync_folder(path)
    };
    move_aside().map_err(|source| error(Fault::Io(source)))
}

/// Who stops a cache has no use for the news that its content cannot be written: so it is tried at
/// the start.
fn try_writing(path: &Path) -> Result<(), SnapshotError> {
    let new = beside(path, ".new");
    create(&new)
        .and_then(|_| fs::remove_file(&new))
        .map_err(|source| SnapshotError::Write { path: path.to_owned(), source })
}

/// A file of our own: it holds all values, and nobody else shall read it or say where it lies.
fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn keep(cache: &Cache, item: &KeptItem<'_>, now: Now) -> Result<(), Fault> {
    if item.expires != NEVER && item.expires <= now.second {
        return Ok(());
    }
    let put = Put {
        key: item.key,
        value: item.value,
        mode: Mode::Set,
        client_flags: item.client_flags,
        expires: item.expires,
        compare: 0,
        stale_will_do: false,
        cas: Some(item.cas),
        key_is_binary: item.key_is_binary,
        vivify: None,
    };
    match cache.put(&put, now) {
        Outcome::Stored { .. } => Ok(()),
        _ => Err(Fault::TooLarge),
    }
}

/// Reads the whole file; gives the last CAS number.
fn walk(
    mut file: &File,
    now: Now,
    mut visit: impl FnMut(&KeptItem<'_>) -> Result<(), Fault>,
) -> Result<u64, Fault> {
    io::Seek::rewind(&mut file)?;
    let mut input = Summed { inner: BufReader::with_capacity(1 << 20, file), sum: Sum::new() };
    let magic: [u8; 16] = match input.array() {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(Fault::Foreign),
        other => other?,
    };
    if magic != *MAGIC {
        return Err(Fault::Foreign);
    }
    let last_cas = u64::from_le_bytes(input.array()?);
    let items = u64::from_le_bytes(input.array()?);
    let mut text = Vec::new();
    for _ in 0..items {
        let [key_len, key_is_binary] = input.array()?;
        let client_flags = u32::from_le_bytes(input.array()?);
        let date = i64::from_le_bytes(input.array()?);
        let cas = u64::from_le_bytes(input.array()?);
        let value_len = u32::from_le_bytes(input.array()?);
        if key_len == 0 || value_len > VALUE_MAX_BYTES {
            return Err(Fault::Damaged);
        }
        // Not read into a buffer of the claimed size: a damaged length must not take memory.
        text.clear();
        let len = u64::from(key_len) + u64::from(value_len);
        if (&mut input).take(len).read_to_end(&mut text)? as u64 != len {
            return Err(Fault::Damaged);
        }
        let (key, value) = text.split_at(usize::from(key_len));
        let expires = if date == 0 { NEVER } else { now.expiry_of_date(date) };
        let key_is_binary = key_is_binary != 0;
        visit(&KeptItem { key, value, client_flags, expires, cas, key_is_binary })?;
    }
    let sum = input.sum.0;
    let kept = u64::from_le_bytes(input.array()?);
    let surplus = input.inner.read(&mut [0])?;
    if sum == kept && surplus == 0 { Ok(last_cas) } else { Err(Fault::Damaged) }
}

/// Writes all items to the file; what was loaded before is removed then.
pub(crate) fn save(hold: &Hold, cache: &Cache, now: Now) -> Result<(), SnapshotError> {
    let path = &*hold.path;
    let new = beside(path, ".new");
    let write = || {
        let mut output =
            Summed { inner: BufWriter::with_capacity(1 << 20, create(&new)?), sum: Sum::new() };
        write_items(&mut output, cache, now)?;
        let sum = output.sum.0;
        output.write_all(&sum.to_le_bytes())?;
        output.inner.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&new, path)?;
        sync_folder(path)?;
        match fs::remove_file(beside(path, ".loaded")) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    };
    write().map_err(|source| {
        // Half a snapshot is of no use to anybody. If there is none, that is as well.
        let _ = fs::remove_file(&new);
        SnapshotError::Write { path: path.to_owned(), source }
    })
}

fn write_items(output: &mut impl Write, cache: &Cache, now: Now) -> io::Result<()> {
    let mut items = 0_u64;
    cache.visit_by_use(now, |_| {
        items += 1;
        Ok::<_, io::Error>(())
    })?;
    output.write_all(MAGIC)?;
    output.write_all(&cache.last_cas().to_le_bytes())?;
    output.write_all(&items.to_le_bytes())?;
    cache.visit_by_use(now, |item| {
        let key_len = u8::try_from(item.key.len()).map_err(io::Error::other)?;
        let value_len = u32::try_from(item.value.len()).map_err(io::Error::other)?;
        let date = if item.expires == NEVER { 0 } else { now.date(item.expires) };
        output.write_all(&[key_len, u8::from(item.key_is_binary)])?;
        output.write_all(&item.client_flags.to_le_bytes())?;
        output.write_all(&date.to_le_bytes())?;
        output.write_all(&item.cas.to_le_bytes())?;
        output.write_all(&value_len.to_le_bytes())?;
        output.write_all(item.key)?;
        output.write_all(item.value)
    })
}

/// The file beside `path` with something added to its name.
fn beside(path: &Path, added: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(added);
    name.into()
}

/// Makes a rename durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// FNV-1a, 64 bits: it is there to notice damage, not malice.
#[derive(Clone, Copy)]
struct Sum(u64);

impl Sum {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// Sums up what passes.
struct Summed<T> {
    inner: T,
    sum: Sum,
}

impl<R: Read> Summed<R> {
    fn array<const LEN: usize>(&mut self) -> io::Result<[u8; LEN]> {
        let mut array = [0; LEN];
        self.read_exact(&mut array)?;
        Ok(array)
    }
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buffer)?;
        self.sum.add(&buffer[..len]);
        Ok(len)
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.inner.write(bytes)?;
        self.sum.add(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
