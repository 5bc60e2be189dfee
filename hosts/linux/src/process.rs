//! What the kernel says that this process has of the machine: for operators of a host that is to run for months.
//!
//! Looked up when somebody asks. Invariant: what cannot be read is left out, never told as 0.

use core::fmt::Write as _;
use std::fs;

use serde_json::{Value, json};

/// What this process has now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// Its memory, in bytes: all pages that are present, those mapped from files and from devices too.
    pub resident_bytes: Option<u64>,
    /// Its open descriptors.
    pub descriptors: Option<u64>,
}

impl Holdings {
    /// Looks it up.
    #[must_use]
    pub fn look() -> Self {
        let status = fs::read_to_string("/proc/self/status").ok();
        let entries = fs::read_dir("/proc/self/fd").ok();
        // The list itself is read by one more.
        let descriptors = entries.map(|entries| (entries.count() as u64).saturating_sub(1));
        Self { resident_bytes: status.as_deref().and_then(resident_bytes), descriptors }
    }

    /// As a JSON object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({ "resident_bytes": self.resident_bytes, "descriptors": self.descriptors })
    }

    /// In the text format that Prometheus reads, by the names that its own libraries use.
    #[must_use]
    pub fn exposition(&self) -> String {
        let mut text = String::new();
        let figures = [
            ("process_resident_memory_bytes", "Memory of the process.", self.resident_bytes),
            ("process_open_fds", "Open descriptors of the process.", self.descriptors),
        ];
        for (name, help, value) in figures {
            let Some(value) = value else { continue };
            // Writing to a string does not fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
        }
        text
    }
}

/// The line `VmRSS` of a process's status (`proc_pid_status(5)`), which counts in units of 1024 bytes.
fn resident_bytes(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    value.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_tells_memory_in_its_own_unit() {
        assert_eq!(resident_bytes("Name:\tx\nVmHWM:\t  99 kB\nVmRSS:\t   12345 kB\n"), Some(12_345 * 1024));
        for status in ["", "VmRSS:\t12345\n", "VmRSS:\t-1 kB\n", "VmRSS:\t99999999999999999999 kB\n"] {
            assert_eq!(resident_bytes(status), None, "{status:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let known = Holdings { resident_bytes: Some(4096), descriptors: None };
        let text = known.exposition();
        assert!(text.ends_with("\nprocess_resident_memory_bytes 4096\n") && !text.contains("fds"), "{text}");
        assert!(known.to_json()["descriptors"].is_null());
    }

    #[test]
    fn another_descriptor_is_counted() {
        let Some(before) = Holdings::look().descriptors else { panic!("Linux tells descriptors") };
        let held: Vec<fs::File> = (0..50).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        let after = Holdings::look().descriptors.unwrap();
        drop(held);
        // Other tests of this program open and close theirs meanwhile.
        assert!(after > before, "{before} before, {after} after");
        assert!(Holdings::look().resident_bytes.is_some_and(|bytes| bytes > 0));
    }
}
