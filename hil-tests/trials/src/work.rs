//! What a run costs, as the kernel tells it.

use core::time::Duration;
use std::fs;

/// How long this thread has been on a processor; zero where the kernel does not tell.
#[must_use]
pub fn done() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split_whitespace().next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// The most memory this process ever had, in MiB; zero where the kernel does not tell.
#[must_use]
pub fn memory_mb() -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}
