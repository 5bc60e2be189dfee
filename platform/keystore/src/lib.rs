//! Where a program keeps who it is: one key file, private to its owner.
//!
//! The file is text: a header line, then the 32 secret bytes of a static X25519 key in lower-case hexadecimal.
//! It is written beside its place and moved there whole, so a reader sees an old key, a new key or none, and two
//! programs that start at once agree on one. A file that group or others can read is refused, never mended:
//! whoever could read it may have. Secrets pass through buffers that are zeroized.
//!
//! Other secrets of 32 bytes are kept the same way, and what a client remembers of hosts in files of [`memory`]. [`link`] is
//! what a person carries from a host to a client.
//!
//! What the key is used for, and which keys are trusted, is not known here.

#![forbid(unsafe_code)]

mod file;
pub mod link;
pub mod memory;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use rift::Identity;
use zeroize::Zeroizing;

pub use file::{change_text, directory, lock_beside, read_text, replace};

/// The first line of every key file.
pub const HEADER: &str = "wavry identity 1 (secret, keep it to yourself)";

/// The key file's name in the state directory.
pub const FILE_NAME: &str = "identity";

/// The first line of every file of another secret.
pub const SECRET_HEADER: &str = "wavry secret 1 (keep it to yourself)";

/// The name, in the state directory, of the secret that a host makes its tokens from.
pub const SECRET_FILE_NAME: &str = "secret";

/// Why a key could not be read, made or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeystoreError {
    /// Neither `XDG_STATE_HOME` nor `HOME` is set to an absolute path.
    #[error("no place to keep state: set XDG_STATE_HOME or HOME to an absolute path")]
    NoHome,
    /// There is no key file.
    #[error("there is no identity at {0}: make one with `wavry keygen --out {0}`")]
    Missing(PathBuf),
    /// A file is there already and was not to be replaced.
    #[error(
        "{0} is there already: --force replaces it, and whoever trusted the old identity must be told the new one"
    )]
    Exists(PathBuf),
    /// Others may have read the secret.
    #[error(
        "{path} can be read or written by others (mode {mode:04o}): if nobody did, run `chmod 600 {path}`"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not a key file.
    #[error(
        "{path} is no Wavry identity ({what}): restore it from a copy or make another with `wavry keygen --force`"
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried: `read`, `write`, `lock`, `make the directory`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: {0}")]
    Entropy(getrandom::Error),
}

/// The directory of Wavry's state: `$XDG_STATE_HOME/wavry`, else `$HOME/.local/state/wavry`. It may not exist yet.
///
/// # Errors
/// [`KeystoreError::NoHome`].
pub fn state_dir() -> Result<PathBuf, KeystoreError> {
    state_dir_of(std::env::var_os("XDG_STATE_HOME"), std::env::var_os("HOME")).ok_or(KeystoreError::NoHome)
}

/// The state directory under these values of `XDG_STATE_HOME` and `HOME`. As the XDG base directory
/// specification says, a value that is empty or relative is ignored.
#[must_use]
pub fn state_dir_of(state_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |value: Option<OsString>| value.map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(state_home)
        .or_else(|| absolute(home).map(|home| home.join(".local/state")))
        .map(|base| base.join("wavry"))
}

/// Where the key is kept unless somebody says otherwise: the file [`FILE_NAME`] in [`state_dir`].
///
/// # Errors
/// [`KeystoreError::NoHome`].
pub fn default_path() -> Result<PathBuf, KeystoreError> {
    Ok(state_dir()?.join(FILE_NAME))
}

/// Reads the key file at `path`.
///
/// # Errors
/// [`KeystoreError::Missing`], [`KeystoreError::Exposed`], [`KeystoreError::Malformed`], [`KeystoreError::Io`].
pub fn load(path: &Path) -> Result<Identity, KeystoreError> {
    Ok(Identity::from_secret(*read(path, HEADER)?))
}

/// Makes a new key from the operating system's entropy and keeps it at `path`, mode 0600; missing directories
/// are made with mode 0700. A file that is there is replaced only if `force` is set.
///
/// # Errors
/// [`KeystoreError::Exists`], [`KeystoreError::Io`], [`KeystoreError::Entropy`]. Nothing has changed then.
pub fn create(path: &Path, force: bool) -> Result<Identity, KeystoreError> {
    Ok(Identity::from_secret(*make(path, HEADER, force)?))
}

/// Reads the key at `path`, or makes one if there is none. Of two programs that do so at once, one makes the
/// key and both get it.
///
/// # Errors
/// Those of [`load`] and [`create`], except that a missing file is none.
pub fn load_or_create(path: &Path) -> Result<Identity, KeystoreError> {
    Ok(Identity::from_secret(*read_or_make(path, HEADER)?))
}

/// Reads the secret at `path` that is no key, or makes one if there is none, as [`load_or_create`].
///
/// # Errors
/// Those of [`load_or_create`].
pub fn load_or_create_secret(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
    read_or_make(path, SECRET_HEADER)
}

fn read_or_make(path: &Path, header: &str) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
    match read(path, header) {
        Err(KeystoreError::Missing(_)) => {}
        outcome => return outcome,
    }
    match make(path, header, false) {
        Err(KeystoreError::Exists(_)) => read(path, header),
        outcome => outcome,
    }
}

fn read(path: &Path, header: &str) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
    let mut buffer = Zeroizing::new([0; TEXT_LEN_MAX + 1]);
    let text = file::read_private(path, &mut buffer[..])?;
    let malformed = |what| KeystoreError::Malformed { path: path.to_owned(), what };
    let text = core::str::from_utf8(text).map_err(|_| malformed("it is not text"))?;
    let mut lines = text.lines();
    if lines.next() != Some(header) {
        return Err(malformed("its first line is not that of an identity"));
    }
    let digits = lines.next().unwrap_or("");
    let mut secret = Zeroizing::new([0; 32]);
    if digits.len() != secret.len() * 2 || lines.next().is_some() {
        return Err(malformed("it has not exactly 64 hexadecimal digits"));
    }
    if !file::read_hexadecimal(digits, &mut secret[..]) {
        return Err(malformed("it has a character that is no hexadecimal digit"));
    }
    Ok(secret)
}

fn make(path: &Path, header: &str, force: bool) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *secret).map_err(KeystoreError::Entropy)?;
    let mut text = Zeroizing::new([b'\n'; TEXT_LEN_MAX]);
    let text = &mut text[..text_len(header)];
    text[..header.len()].copy_from_slice(header.as_bytes());
    file::write_hexadecimal(&secret[..], &mut text[header.len() + 1..]);
    if force { replace(path, text) } else { file::place_new(path, text) }?;
    Ok(secret)
}

/// A header, 64 digits, a line end after each.
const fn text_len(header: &str) -> usize {
    header.len() + 1 + 64 + 1
}

const TEXT_LEN_MAX: usize = text_len(HEADER);
const _: () = assert!(text_len(SECRET_HEADER) <= TEXT_LEN_MAX);
