//! How much may pass in a time.

use rift::Instant;

/// So much of a rate may pass at once, in µs of it: the pictures of three frames at 60 Hz.
const BURST_US: u64 = 50_000;
/// At least this may: a batch of full datagrams.
const BURST_BYTES_MIN: u64 = 64 * 1500;

/// Bytes that may still pass; filled by time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    left: u64,
    most: u64,
    bytes_per_s: u64,
    filled_at: Instant,
}

impl Bucket {
    /// Full, for so many bits per second.
    pub(super) fn new(bitrate_bps: u32, now: Instant) -> Self {
        let bytes_per_s = u64::from(bitrate_bps / 8).max(1);
        let most = (bytes_per_s * BURST_US / 1_000_000).max(BURST_BYTES_MIN);
        Self { left: most, most, bytes_per_s, filled_at: now }
    }

    /// Bytes per second.
    pub(super) const fn rate(&self) -> u64 {
        self.bytes_per_s
    }

    /// Bytes that may pass at once.
    pub(super) const fn most(&self) -> u64 {
        self.most
    }

    /// Takes `len` bytes if they are there; what is not there whole is not taken.
    pub(super) fn take(&mut self, now: Instant, len: usize) -> bool {
        let fresh = now.micros_since(self.filled_at).saturating_mul(self.bytes_per_s) / 1_000_000;
        if fresh > 0 {
            self.left = self.left.saturating_add(fresh).min(self.most);
            self.filled_at = now;
        }
        let is_left = self.left >= len as u64;
        if is_left {
            self.left -= len as u64;
        }
        is_left
    }
}
