//! What a picture costs: processor time of each end, bytes on the loopback device.

use core::time::Duration;
use std::fs;
use std::time::Instant;

use crate::clock::now;

/// Whose processor time is counted: the host's program, the viewer's, the host's X server, the viewer's X server.
pub(crate) const ENDS: usize = 4;

/// Processor time and bytes since a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meter {
    groups: [u32; ENDS],
    processor: [Duration; ENDS],
    bytes: Option<u64>,
    began: Instant,
}

/// What a stretch of a measurement cost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    /// Processor time, in the order of [`ENDS`].
    pub(crate) processor: [Duration; ENDS],
    /// Bytes that entered the loopback device, headers included; of the whole machine. `None` where that is unknown.
    pub(crate) bytes: Option<u64>,
    /// How long it took.
    pub(crate) time: Duration,
}

impl Meter {
    /// Begins to count, by process groups in the order of [`ENDS`].
    pub(crate) fn start(groups: [u32; ENDS]) -> Self {
        Self { groups, processor: groups.map(processor_time), bytes: loopback_bytes(), began: now() }
    }

    /// What it cost since the start.
    pub(crate) fn read(&self) -> Cost {
        let mut processor = self.groups.map(processor_time);
        for (time, before) in processor.iter_mut().zip(self.processor) {
            *time = time.saturating_sub(before);
        }
        let bytes = loopback_bytes().zip(self.bytes).map(|(after, before)| after.saturating_sub(before));
        Cost { processor, bytes, time: now() - self.began }
    }
}

impl core::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        for (sum, more) in self.processor.iter_mut().zip(other.processor) {
            *sum += more;
        }
        // The sum starts without bytes; afterwards one unknown part makes it unknown.
        self.bytes = if self.time.is_zero() {
            other.bytes
        } else {
            self.bytes.zip(other.bytes).map(|(one, more)| one + more)
        };
        self.time += other.time;
    }
}

/// How many tasks have wanted to run, on average over the last minute.
pub(crate) fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// Whether the kernel shares the processor between sessions first: then `nice` does nothing between two of them.
pub(crate) fn autogroup() -> Option<bool> {
    let value = fs::read_to_string("/proc/sys/kernel/sched_autogroup_enabled").ok()?;
    Some(value.trim() == "1")
}

/// User and system time of a process group, reaped children included.
fn processor_time(group: u32) -> Duration {
    let Ok(processes) = fs::read_dir("/proc") else { return Duration::ZERO };
    let ticks: u64 = processes
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|letter| letter.is_ascii_digit()))
        .filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok())
        .filter_map(|stat| ticks_of(&stat, group))
        .sum();
    Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100)
}

/// Clock ticks in one line of /proc/PID/stat (proc(5)), if the process is of this group.
fn ticks_of(stat: &str, group: u32) -> Option<u64> {
    // The name, in parentheses, may hold anything; behind it: state, parent, group, …
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let (group_at, times_at) = (2, 11..15);
    if fields.get(group_at)?.parse() != Ok(group) {
        return None;
    }
    fields.get(times_at)?.iter().map(|field| field.parse::<u64>().ok()).sum()
}

fn loopback_bytes() -> Option<u64> {
    fs::read_to_string("/sys/class/net/lo/statistics/rx_bytes").ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "12 (a) b 7) S 1 12 12 0 -1 4194560 1 2 3 4 10 20 3 4 20 0 1 0 5 6 7";
        assert_eq!(ticks_of(stat, 12), Some(37));
        assert_eq!(ticks_of(stat, 7), None, "another group's");
    }

    #[test]
    fn one_unknown_part_makes_the_sum_unknown() {
        let part = |bytes| Cost { bytes, time: Duration::from_secs(1), ..Cost::default() };
        let mut sum = Cost::default();
        sum += part(Some(3));
        sum += part(Some(4));
        assert_eq!(sum.bytes, Some(7));
        sum += part(None);
        assert_eq!(sum.bytes, None);
    }
}
