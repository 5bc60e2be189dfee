//! The directory where files arrive, and one of them on its way into it.

use core::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;

use rift::{FileName, FileReason, PublicKey};
use rustix::fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use crate::STEP_LEN;

/// Parts kept of files that did not come whole. When there are more, the ones longest untouched go.
pub const PARTS_MAX: usize = 32;
/// Bytes that stay free on the inbox's disk, whatever is offered: its machine has other things to do as well.
pub const ROOM_LEFT: u64 = 64 << 20;
/// Names tried for one file before it is given up.
const NAMES_MAX: u32 = 1000;
/// What the names of parts begin with. No file can be offered under a name with a dot in front (SPEC §14.5).
const PART_PREFIX: &str = ".wavry-part-";

/// What is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Bytes of the file.
    pub size: u64,
    /// Their SHA-256.
    pub digest: [u8; 32],
    name: String,
}

impl Offer {
    /// A file of `size` bytes.
    #[must_use]
    pub fn new(size: u64, digest: [u8; 32], name: FileName<'_>) -> Self {
        Self { size, digest, name: name.as_str().to_owned() }
    }

    /// What it is called where it comes from; safe to be the name of a file in any directory.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A directory where files arrive.
#[derive(Debug)]
pub struct Inbox {
    directory: Arc<OwnedFd>,
    size_max: u64,
}

impl Inbox {
    /// Files of up to `size_max` bytes arrive in `path`. The directory is made, for this user alone, if it is not there; those
    /// above it are not.
    ///
    /// # Errors
    /// It cannot be made or opened, or nothing can be written into it.
    pub fn open(path: &Path, size_max: u64) -> io::Result<Self> {
        match std::fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = fs::open(path, flags, Mode::empty())?;
        fs::accessat(&directory, ".", fs::Access::WRITE_OK | fs::Access::EXEC_OK, AtFlags::EACCESS)?;
        Ok(Self { directory: Arc::new(directory), size_max })
    }

    /// Makes room for what `owner` offers: a new file (SPEC §14.5), or the part of this very file that came before.
    /// [`Incoming::check`] must then be called until it says where the file is wanted from.
    ///
    /// # Errors
    /// `TooLarge`: it is larger than may be, or than there is room for. `Busy`: another process is receiving it.
    /// `Failed`: the disk does not let it be.
    pub fn accept(&self, owner: &PublicKey, offer: Offer) -> Result<Incoming, FileReason> {
        if offer.size > self.size_max {
            return Err(FileReason::TooLarge);
        }
        let part = part_name(owner, &offer);
        let file = match self.create(&part) {
            Err(Errno::EXIST) => self.find(&part),
            created => created,
        };
        let file = File::from(file.map_err(reason)?);
        match fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Err(FileReason::Busy),
            outcome => outcome.map_err(reason)?,
        }
        let mut present = file.metadata().map_err(|_| FileReason::Failed)?.len();
        if present > offer.size {
            file.set_len(0).map_err(|_| FileReason::Failed)?;
            present = 0;
        }
        let directory = Arc::clone(&self.directory);
        let incoming = Incoming { directory, part, file, offer, present, at: 0, hash: Sha256::new() };
        if !self.has_room(incoming.offer.size - present).map_err(reason)? {
            incoming.forget();
            return Err(FileReason::TooLarge);
        }
        Ok(incoming)
    }

    /// A part that is not there yet.
    fn create(&self, part: &str) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(&self.directory, part, flags, Mode::RUSR | Mode::WUSR)?;
        self.prune(part)?;
        Ok(file)
    }

    /// One that is. What is no plain file of this user's alone, reached by no other name, was put there by somebody else:
    /// it is neither written nor removed.
    fn find(&self, part: &str) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = fs::openat(&self.directory, part, flags, Mode::empty())?;
        let stat = fs::fstat(&file)?;
        let is_ours = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && stat.st_nlink == 1
            && stat.st_uid == rustix::process::geteuid().as_raw()
            && stat.st_mode & 0o077 == 0;
        if is_ours { Ok(file) } else { Err(Errno::PERM) }
    }

    fn has_room(&self, bytes: u64) -> Result<bool, Errno> {
        let disk = fs::fstatvfs(&self.directory)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        Ok(bytes.saturating_add(ROOM_LEFT) <= free)
    }

    /// Removes the oldest parts that are too many. Those being received are locked, and stay; so does `newest`.
    fn prune(&self, newest: &str) -> Result<(), Errno> {
        let mut parts = Vec::new();
        for entry in fs::Dir::read_from(&self.directory)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if !name.starts_with(PART_PREFIX) || name == newest {
                continue;
            }
            if let Ok(stat) = fs::statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                parts.push((stat.st_mtime, stat.st_mtime_nsec, name.to_owned()));
            }
        }
        parts.sort();
        let surplus = (parts.len() + 1).saturating_sub(PARTS_MAX);
        for (.., name) in parts.into_iter().take(surplus) {
            let is_idle = |file: &OwnedFd| fs::flock(file, FlockOperation::NonBlockingLockExclusive).is_ok();
            if self.find(&name).is_ok_and(|file| is_idle(&file)) {
                fs::unlinkat(&self.directory, name, AtFlags::empty())?;
            }
        }
        Ok(())
    }
}

/// Nobody else's part of the same file has this name.
fn part_name(owner: &PublicKey, offer: &Offer) -> String {
    let hash = Sha256::new().chain_update(owner.as_bytes()).chain_update(offer.size.to_be_bytes());
    let hash = hash.chain_update(offer.digest).finalize();
    hash[..16].iter().fold(PART_PREFIX.to_owned(), |mut name, byte| {
        // Writing to a text cannot fail.
        let _ = write!(name, "{byte:02x}");
        name
    })
}

/// What a peer is told of what the system said.
fn reason(error: Errno) -> FileReason {
    match error {
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => FileReason::TooLarge,
        _ => FileReason::Failed,
    }
}

/// A file on its way. Dropped, it leaves its part behind, to be gone on with.
#[derive(Debug)]
pub struct Incoming {
    directory: Arc<OwnedFd>,
    part: String,
    file: File,
    offer: Offer,
    /// Bytes that were there when it was offered.
    present: u64,
    /// Bytes that are there and hashed.
    at: u64,
    hash: Sha256,
}

impl Incoming {
    /// What was offered.
    #[must_use]
    pub const fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Hashes a step of what was there already, at most 1 MiB. Returns the offset from which the file is wanted once all of
    /// that is hashed, `None` before.
    ///
    /// # Errors
    /// `Failed`: it cannot be read.
    pub fn check(&mut self) -> Result<Option<u64>, FileReason> {
        if !self.is_checked() {
            let left = usize::try_from(self.present - self.at).unwrap_or(STEP_LEN);
            let mut bytes = vec![0; left.min(STEP_LEN)];
            self.file.read_exact(&mut bytes).map_err(|_| FileReason::Failed)?;
            self.take(&bytes);
        }
        Ok(self.is_checked().then_some(self.at))
    }

    /// Whether all that was there is hashed.
    #[must_use]
    pub const fn is_checked(&self) -> bool {
        self.at >= self.present
    }

    /// Whether all bytes are there: then [`Self::finish`] is next.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.is_checked() && self.at == self.offer.size
    }

    /// Writes the next bytes.
    ///
    /// # Errors
    /// `Damaged`: they are more than were offered. `TooLarge`: the disk is full. `Failed`: they cannot be written, or are not
    /// wanted yet.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), FileReason> {
        if !self.is_checked() {
            return Err(FileReason::Failed);
        }
        if bytes.len() as u64 > self.offer.size - self.at {
            return Err(FileReason::Damaged);
        }
        self.file
            .write_all(bytes)
            .map_err(|error| Errno::from_io_error(&error).map_or(FileReason::Failed, reason))?;
        self.take(bytes);
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.at += bytes.len() as u64;
    }

    /// Gives the file its name, or one like it that is free: `photo (1).jpg`. Nothing is ever replaced, and what does not have
    /// the digest that was offered is removed (SPEC §14.5). Waits for the disk. Returns the name.
    ///
    /// # Errors
    /// `Damaged`: these are not the bytes that were offered, or not all of them. `Failed`: the disk does not let it be, or a
    /// thousand names are taken.
    pub fn finish(self) -> Result<String, FileReason> {
        if !self.is_whole() || self.hash.clone().finalize()[..] != self.offer.digest {
            self.forget();
            return Err(FileReason::Damaged);
        }
        self.file.sync_data().map_err(|_| FileReason::Failed)?;
        for number in 0..NAMES_MAX {
            let name = numbered(&self.offer.name, number);
            match self.give(&name) {
                Ok(()) => {
                    // A name that the disk forgets in a power cut is sent again at worst.
                    let _ = fs::fsync(&self.directory);
                    return Ok(name);
                }
                Err(Errno::EXIST) => {}
                Err(error) => return Err(reason(error)),
            }
        }
        Err(FileReason::Failed)
    }

    /// Gives it this name unless that is taken.
    fn give(&self, name: &str) -> Result<(), Errno> {
        let (from, to) = (&self.directory, &self.directory);
        match fs::renameat_with(from, self.part.as_str(), to, name, RenameFlags::NOREPLACE) {
            // Not every file system knows that; a second name is never one that is taken either.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                fs::linkat(from, self.part.as_str(), to, name, AtFlags::empty())?;
                fs::unlinkat(from, self.part.as_str(), AtFlags::empty())
            }
            outcome => outcome,
        }
    }

    /// Leaves nothing behind.
    pub fn forget(self) {
        // Where it cannot be removed it stays a part, which nobody takes for a file.
        let _ = fs::unlinkat(&self.directory, self.part.as_str(), AtFlags::empty());
    }

    /// Whether both would be written into the same part.
    pub(crate) fn is_same(&self, owner: &PublicKey, offer: &Offer) -> bool {
        self.part == part_name(owner, offer)
    }
}

/// The `number`-th name to be tried.
fn numbered(name: &str, number: u32) -> String {
    match (number, name.rfind('.').filter(|at| *at > 0)) {
        (0, _) => name.to_owned(),
        (_, Some(at)) => format!("{} ({number}){}", &name[..at], &name[at..]),
        (_, None) => format!("{name} ({number})"),
    }
}
