use std::io;
use std::path::PathBuf;

use crate::layers::Origin;
use crate::{DROP_INS_MAX, FILE_LEN_MAX};

/// Why the settings cannot be used. Each says what is wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A file cannot be read.
    #[error("cannot read the configuration {path}: {source}; let this user read it, or take it away")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A directory, a device or a pipe is where a file should be.
    #[error("the configuration {path} is no file: put one there, or take it away")]
    NotAFile {
        /// Where.
        path: PathBuf,
    },
    /// A file is too long to be one that somebody wrote.
    #[error("the configuration {path} has more than {FILE_LEN_MAX} bytes: is it the right file?")]
    Long {
        /// The file.
        path: PathBuf,
    },
    /// There are too many files.
    #[error("{path} has more than {DROP_INS_MAX} files: put several into one")]
    Many {
        /// The directory.
        path: PathBuf,
    },
    /// A file is no text.
    #[error("{path}:{line}: this is no UTF-8: write the file anew as text")]
    NotText {
        /// The file.
        path: PathBuf,
        /// The line with the first byte that is wrong, from 1.
        line: usize,
    },
    /// It is no TOML.
    #[error("{path}:{line}: this is no TOML: {what}; write KEY = VALUE, and texts in quotes")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// There is no such key.
    #[error("{at}: there is no setting `{key}`; did you mean `{nearest}`?")]
    Unknown {
        /// Where it was said.
        at: Origin,
        /// The key.
        key: String,
        /// The known one most like it.
        nearest: String,
    },
    /// A value is not right for its key.
    #[error("{at}: `{key}` is wrong: {what}")]
    Value {
        /// Where it was said.
        at: Origin,
        /// The key.
        key: String,
        /// What is wrong.
        what: String,
    },
    /// A key is said twice in one file, by two of its names.
    #[error("{at}: `{key}` was said at line {before} already: keep one of them")]
    Twice {
        /// Where it was said again.
        at: Origin,
        /// The key.
        key: String,
        /// The line before.
        before: usize,
    },
    /// Settings that are right by themselves are not together; in the parser's own words.
    #[error("the settings do not go together: {what}")]
    Together {
        /// What is wrong.
        what: String,
    },
    /// They cannot be shown.
    #[error("cannot show the settings: {0}")]
    Show(#[from] io::Error),
}
