//! Why something could not be measured, for a person to read.

use core::fmt;

/// What was tried, on what, and how it went.
pub(crate) type Failure = Box<dyn core::error::Error + Send + Sync>;

/// Says what was being tried when something failed.
pub(crate) trait Context<T> {
    /// `words` come before the error's own, with a colon.
    fn context(self, words: impl fmt::Display) -> Result<T, Failure>;
}

impl<T, E: Into<Failure>> Context<T> for Result<T, E> {
    fn context(self, words: impl fmt::Display) -> Result<T, Failure> {
        self.map_err(|error| format!("{words}: {}", error.into()).into())
    }
}
