//! A file that is to be sent: what it is, and its bytes as long as it stays that.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rift::FileName;
use sha2::{Digest as _, Sha256};

use crate::STEP_LEN;
use crate::inbox::Offer;

/// Why a file cannot be offered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutgoingError {
    /// It cannot be read.
    #[error("cannot read {0:?}: {1}")]
    Read(PathBuf, io::Error),
    /// A directory, a device or a pipe.
    #[error("{0:?} is no plain file; a directory can be sent as an archive")]
    NotAFile(PathBuf),
    /// No host would take it under its name.
    #[error(
        "{0:?} cannot be sent under its name: one has at most 200 bytes, none of / \\ : * ? \" < > |, and neither a dot nor a \
         space at its ends. Rename it, or send a copy"
    )]
    Name(PathBuf),
    /// It was written while it was read.
    #[error("{0:?} changed while it was read; try again when nobody writes it")]
    Changed(PathBuf),
}

/// By what a change is noticed: device, inode, length, and the times of the last change of content and of anything.
type Stamp = (u64, u64, u64, (i64, i64), (i64, i64));

fn stamp(file: &File) -> io::Result<Stamp> {
    let data = file.metadata()?;
    let (modified, changed) = ((data.mtime(), data.mtime_nsec()), (data.ctime(), data.ctime_nsec()));
    Ok((data.dev(), data.ino(), data.len(), modified, changed))
}

/// A file that is being hashed.
#[derive(Debug)]
pub struct Reading {
    path: PathBuf,
    name: String,
    file: File,
    stamp: Stamp,
    at: u64,
    hash: Sha256,
}

impl Reading {
    /// Opens a file. Symbolic links are followed: it is this user's own word.
    ///
    /// # Errors
    /// [`OutgoingError`].
    pub fn open(path: &Path) -> Result<Self, OutgoingError> {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.filter(|name| FileName::new(name).is_some());
        let name = name.ok_or_else(|| OutgoingError::Name(path.to_owned()))?.to_owned();
        let failed = |error| OutgoingError::Read(path.to_owned(), error);
        // Opening a pipe would wait for its writer.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(OutgoingError::NotAFile(path.to_owned()));
        }
        let file = File::open(path).map_err(failed)?;
        let stamp = stamp(&file).map_err(failed)?;
        Ok(Self { path: path.to_owned(), name, file, stamp, at: 0, hash: Sha256::new() })
    }

    /// Bytes that are hashed, of how many.
    #[must_use]
    pub const fn progress(&self) -> (u64, u64) {
        (self.at, self.stamp.2)
    }

    /// Hashes a step, at most 1 MiB. Gives the file once all of it is hashed.
    ///
    /// # Errors
    /// It cannot be read, or has changed.
    pub fn step(mut self) -> Result<Result<OutgoingFile, Self>, OutgoingError> {
        let size = self.stamp.2;
        let left = usize::try_from(size - self.at).unwrap_or(STEP_LEN);
        let mut bytes = vec![0; left.min(STEP_LEN)];
        match self.file.read_exact(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(OutgoingError::Changed(self.path));
            }
            outcome => outcome.map_err(|error| OutgoingError::Read(self.path.clone(), error))?,
        }
        self.hash.update(&bytes);
        self.at += bytes.len() as u64;
        if self.at < size {
            return Ok(Err(self));
        }
        let name = FileName::new(&self.name).expect("it was looked at when the file was opened");
        let offer = Offer::new(size, self.hash.finalize().into(), name);
        let file = OutgoingFile { offer, file: self.file, stamp: self.stamp };
        if file.is_unchanged() { Ok(Ok(file)) } else { Err(OutgoingError::Changed(self.path)) }
    }
}

/// A file that may be offered.
#[derive(Debug)]
pub struct OutgoingFile {
    offer: Offer,
    file: File,
    stamp: Stamp,
}

impl OutgoingFile {
    /// Hashes all of a file.
    ///
    /// # Errors
    /// [`OutgoingError`].
    pub fn read(path: &Path) -> Result<Self, OutgoingError> {
        let mut reading = Reading::open(path)?;
        loop {
            match reading.step()? {
                Ok(file) => return Ok(file),
                Err(rest) => reading = rest,
            }
        }
    }

    /// What is offered.
    #[must_use]
    pub const fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Fills `out` with the bytes from `offset` on. Returns whether they are still those that were offered, as far as the
    /// system tells.
    pub(crate) fn read_at(&self, offset: u64, out: &mut [u8]) -> bool {
        self.file.read_exact_at(out, offset).is_ok() && self.is_unchanged()
    }

    fn is_unchanged(&self) -> bool {
        stamp(&self.file).is_ok_and(|stamp| stamp == self.stamp)
    }
}
