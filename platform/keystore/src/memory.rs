//! What a client remembers of a host it has pinned: the counter of its last call and the token for the next (SPEC §4.12,
//! §4.14). One small file for each host, private; what cannot be read is as good as nothing, because a call without a
//! token works, and a clock makes counters.

use std::path::{Path, PathBuf};

use rift::{AddressToken, PublicKey};

use crate::{KeystoreError, file};

/// The directory of these files in the state directory.
pub const DIRECTORY: &str = "hosts";

const HEADER: &str = "wavry host 1";

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostMemory {
    /// The counter of the last call.
    pub counter: u64,
    /// The token for the next one.
    pub token: Option<AddressToken>,
}

impl HostMemory {
    /// Where the memory of `host` is kept under the state directory `state`.
    #[must_use]
    pub fn path(state: &Path, host: &PublicKey) -> PathBuf {
        state.join(DIRECTORY).join(host.to_string())
    }

    /// What is kept at `path`: nothing when there is nothing, or nothing legible.
    #[must_use]
    pub fn load(path: &Path) -> Self {
        let mut buffer = [0; 256];
        let text =
            file::read_private(path, &mut buffer).ok().and_then(|text| core::str::from_utf8(text).ok());
        text.and_then(Self::parse).unwrap_or_default()
    }

    /// Keeps it at `path`, mode 0600.
    ///
    /// # Errors
    /// [`KeystoreError::Io`], [`KeystoreError::Entropy`]; what was there is then still there.
    pub fn keep(&self, path: &Path) -> Result<(), KeystoreError> {
        let mut token = [0; 48];
        if let Some(known) = &self.token {
            file::write_hexadecimal(known.as_bytes(), &mut token);
        }
        let token = self.token.and(core::str::from_utf8(&token).ok()).unwrap_or("-");
        file::replace(path, format!("{HEADER}\n{}\n{token}\n", self.counter).as_bytes())
    }

    /// The counter of the next call at this time, in microseconds of Unix time: larger than all before, whatever the clock
    /// has been set to.
    #[must_use]
    pub const fn next_counter(&self, unix_us: u64) -> u64 {
        let after = self.counter.saturating_add(1);
        if unix_us > after { unix_us } else { after }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next() != Some(HEADER) {
            return None;
        }
        let counter = lines.next()?.parse().ok()?;
        let mut bytes = [0; 24];
        let token = file::read_hexadecimal(lines.next()?, &mut bytes);
        Some(Self { counter, token: token.then(|| AddressToken::from_bytes(bytes)) })
    }
}
