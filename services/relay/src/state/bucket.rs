//! How much may pass in a time.

use rift::Instant;

/// So much of a rate may pass at once, in µs of it: the pictures of three frames at 60 Hz.
const BURST_US: u64 = 50_000;
/// At least this may: a batch of full datagrams.
const BURST_BYTES_MIN: u32 = 64 * 1500;

/// Bytes that may still pass; filled by time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    left: u32,
    bytes_per_s: u32,
    filled_at: Instant,
}

impl Bucket {
    /// Full, for so many bits per second.
    pub(super) fn new(bitrate_bps: u32, now: Instant) -> Self {
        let mut bucket = Self { left: 0, bytes_per_s: (bitrate_bps / 8).max(1), filled_at: now };
        bucket.left = bucket.most();
        bucket
    }

    /// Bytes per second.
    pub(super) const fn rate(&self) -> u32 {
        self.bytes_per_s
    }

    /// Bytes that may pass at once.
    pub(super) fn most(&self) -> u32 {
        let of_rate = u64::from(self.bytes_per_s) * BURST_US / 1_000_000;
        u32::try_from(of_rate).unwrap_or(u32::MAX).max(BURST_BYTES_MIN)
    }

    /// Takes `len` bytes if they are there; what is not there whole is not taken.
    pub(super) fn take(&mut self, now: Instant, len: usize) -> bool {
        let fresh = now.micros_since(self.filled_at).saturating_mul(self.bytes_per_s.into()) / 1_000_000;
        if fresh > 0 {
            let fresh = u32::try_from(fresh).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(fresh).min(self.most());
            self.filled_at = now;
        }
        let left = u32::try_from(len).ok().and_then(|len| self.left.checked_sub(len));
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }
}
