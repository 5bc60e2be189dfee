//! Files that are private and whole: read with care, written beside their place and moved there.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::KeystoreError;

/// Makes `path` and what is missing above it, each with mode 0700. One that is there already is left as it is.
///
/// # Errors
/// [`KeystoreError::Io`].
pub fn directory(path: &Path) -> Result<(), KeystoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("make the directory", path))
}

/// Puts `contents` at `path` in place of whatever was there, mode 0600: written to a file beside it, synced,
/// moved, the directory synced. After a crash the old file is there, or the new one, whole. Directories that are
/// missing are made.
///
/// # Errors
/// [`KeystoreError::Io`]; the old file is then still there.
pub fn replace(path: &Path, contents: &[u8]) -> Result<(), KeystoreError> {
    let written = Beside::write(path, contents)?;
    std::fs::rename(&written.path, path).map_err(failed("write", path))?;
    sync_parent(path)
}

/// The text at `path`; `None` where there is no file.
///
/// # Errors
/// [`KeystoreError::Io`], also when it is no UTF-8.
pub fn read_text(path: &Path) -> Result<Option<String>, KeystoreError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// Waits until no program of this machine holds what belongs to `path`, and holds it until the result is dropped: a file beside
/// it, with the ending `lock`. Directories that are missing are made.
///
/// # Errors
/// [`KeystoreError::Io`].
pub fn lock_beside(path: &Path) -> Result<File, KeystoreError> {
    if let Some(parent) = path.parent() {
        directory(parent)?;
    }
    let beside = path.with_extension("lock");
    let mut options = OpenOptions::new();
    let lock =
        options.write(true).create(true).truncate(false).open(&beside).map_err(failed("lock", &beside))?;
    lock.lock().map_err(failed("lock", &beside))?;
    Ok(lock)
}

/// Changes the text at `path` as [`replace`] does, one change at a time whichever program makes it, under
/// [`lock_beside`]. `change` gets what [`read_text`] gives and returns the new text and an
/// answer of its own. Directories that are missing are made.
///
/// # Errors
/// What `change` says, and [`KeystoreError::Io`]; the file is then as before.
pub fn change_text<T, E: From<KeystoreError>>(
    path: &Path,
    change: impl FnOnce(Option<String>) -> Result<(String, T), E>,
) -> Result<T, E> {
    let _lock = lock_beside(path)?;
    let (text, answer) = change(read_text(path)?)?;
    replace(path, text.as_bytes())?;
    Ok(answer)
}

/// As [`replace`], but never over a file that is there: a link is made to the finished one, and of two
/// programs that try only one succeeds.
pub(crate) fn place_new(path: &Path, contents: &[u8]) -> Result<(), KeystoreError> {
    let written = Beside::write(path, contents)?;
    std::fs::hard_link(&written.path, path).map_err(|error| {
        let taken = error.kind() == ErrorKind::AlreadyExists;
        if taken { KeystoreError::Exists(path.to_owned()) } else { failed("write", path)(error) }
    })?;
    sync_parent(path)
}

/// Reads the file at `path` into `buffer` and returns what it holds: at most `buffer.len()` bytes of it.
/// The permissions are asked of the opened file, not of the name.
pub(crate) fn read_private<'a>(path: &Path, buffer: &'a mut [u8]) -> Result<&'a [u8], KeystoreError> {
    let mut file = File::open(path).map_err(|error| {
        let missing = error.kind() == ErrorKind::NotFound;
        if missing { KeystoreError::Missing(path.to_owned()) } else { failed("read", path)(error) }
    })?;
    let metadata = file.metadata().map_err(failed("read", path))?;
    if !metadata.is_file() {
        return Err(KeystoreError::Malformed { path: path.to_owned(), what: "it is not a plain file" });
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeystoreError::Exposed { path: path.to_owned(), mode });
    }
    let mut len = 0;
    while len < buffer.len() {
        match file.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(failed("read", path)(error)),
        }
    }
    Ok(&buffer[..len])
}

/// A finished file beside its place; its name goes when this is dropped, wherever the file has moved by then.
struct Beside {
    path: PathBuf,
}

impl Beside {
    fn write(target: &Path, contents: &[u8]) -> Result<Self, KeystoreError> {
        if let Some(parent) = target.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            directory(parent)?;
        }
        let mut salt = [0; 8];
        getrandom::fill(&mut salt).map_err(KeystoreError::Entropy)?;
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{:016x}.new", u64::from_ne_bytes(salt)));
        let path = target.with_file_name(name);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed("write", target))?;
        let beside = Self { path };
        file.write_all(contents).and_then(|()| file.sync_all()).map_err(failed("write", target))?;
        Ok(beside)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // After a rename the name is gone already, and there is nobody to tell of anything else.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn sync_parent(path: &Path) -> Result<(), KeystoreError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|directory| directory.sync_all()).map_err(failed("write", path))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> KeystoreError {
    let path = path.to_owned();
    move |source| KeystoreError::Io { action, path, source }
}

/// Writes `bytes` as lower-case hexadecimal digits to the front of `out`, which has room for two of each.
pub(crate) fn write_hexadecimal(bytes: &[u8], out: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

/// Reads two hexadecimal digits for each of `bytes`. `false` when `digits` is no such text.
pub(crate) fn read_hexadecimal(digits: &str, bytes: &mut [u8]) -> bool {
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    digits.len() == 2 * bytes.len()
        && bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)).all(|(byte, pair)| {
            let pair = (value(pair[0]), value(pair[1]));
            if let (Some(high), Some(low)) = pair {
                *byte = high << 4 | low;
            }
            matches!(pair, (Some(_), Some(_)))
        })
}
