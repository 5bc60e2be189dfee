//! Why a command of the rig did not succeed, and with which exit code that is told.

use core::fmt;

/// Exit code of a command whose work failed.
pub const FAILED: u8 = 1;
/// Exit code of a command that could not begin: wrong arguments, or the machine lacks something only its owner can add.
pub const UNUSABLE: u8 = 2;

/// What was tried, on what, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The whole message, without a trailing newline.
    pub message: String,
    /// The process' exit code: [`FAILED`] or [`UNUSABLE`].
    pub exit: u8,
}

impl Failure {
    /// The work itself failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit: FAILED }
    }

    /// The command cannot begin.
    pub fn unusable(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit: UNUSABLE }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for Failure {}
