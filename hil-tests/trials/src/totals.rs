//! What many scenarios came to.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;

use crate::scenario::Fault;

/// Sums over scenarios.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Scenarios.
    pub scenarios: u64,
    /// Sessions of clients that were let in.
    pub sessions: u64,
    /// Virtual time.
    pub simulated: Duration,
    /// Datagrams that clients and hosts sent.
    pub datagrams: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Pictures shown.
    pub pictures: u64,
    /// Input events that hosts took.
    pub inputs: u64,
    /// How often each kind of fault came: packets hit, packets injected, or breaks.
    pub faults: BTreeMap<Fault, u64>,
    /// Breaks after which it was looked how long the session needed.
    pub returns: u64,
    /// The sum of those times, until the first picture.
    pub return_sum: Duration,
    /// The longest of them.
    pub return_max: Duration,
    /// One number for everything sent and received: the same seeds give the same.
    pub trace: u64,
}

impl Totals {
    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        self.scenarios += other.scenarios;
        self.sessions += other.sessions;
        self.simulated += other.simulated;
        self.datagrams += other.datagrams;
        self.bytes += other.bytes;
        self.pictures += other.pictures;
        self.inputs += other.inputs;
        for (&fault, count) in &other.faults {
            *self.faults.entry(fault).or_default() += count;
        }
        self.returns += other.returns;
        self.return_sum += other.return_sum;
        self.return_max = self.return_max.max(other.return_max);
        // In any order, for seeds run side by side.
        self.trace ^= other.trace;
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} scenarios, {} sessions, {:.2} simulated hours, {} datagrams, {:.1} MB",
            self.scenarios,
            self.sessions,
            self.simulated.as_secs_f64() / 3600.0,
            self.datagrams,
            self.bytes as f64 / 1e6
        )?;
        writeln!(f, "{} pictures shown, {} input events taken", self.pictures, self.inputs)?;
        let mean = self.return_sum.as_secs_f64() * 1e3 / self.returns.max(1) as f64;
        let most = self.return_max.as_secs_f64() * 1e3;
        writeln!(
            f,
            "after {} breaks a picture came in {mean:.0} ms on average, {most:.0} ms at most",
            self.returns
        )?;
        let faults = self.faults.iter().map(|(fault, count)| format!("{} {count}", fault.word()));
        writeln!(f, "faults: {}", faults.collect::<Vec<_>>().join(", "))?;
        write!(f, "trace {:016x}", self.trace)
    }
}
