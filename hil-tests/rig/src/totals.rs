//! What test programs say, counted: passed, failed, skipped.
//!
//! The harness prints one `test result:` line per program. A test that found no device passes and prints a line that
//! begins with `skip`; run with `--show-output` those lines surface, and are counted as skipped instead of passed.

use core::fmt;

/// Sums over all test programs of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Tests that did their work and found nothing wrong.
    pub passed: u64,
    /// Tests that failed.
    pub failed: u64,
    /// Tests that are marked to be ignored, or that said why they could not run here.
    pub skipped: u64,
    /// Between `successes:` and what follows it.
    quiet: bool,
    /// This test has already said that it was skipped.
    told: bool,
    /// Skips of the program that is running: its result line will call them passed.
    pending: u64,
}

impl Totals {
    /// Takes the sums of another run along.
    pub const fn include(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Takes one line of output, without its newline; `true` = worth showing.
    ///
    /// What passing tests printed is hushed, their skips excepted.
    pub fn read(&mut self, line: &str) -> bool {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.quiet = false;
            self.passed += count(counts, "passed").saturating_sub(self.pending);
            self.failed += count(counts, "failed");
            self.skipped += count(counts, "ignored") + self.pending;
            self.pending = 0;
            return true;
        }
        if line == "successes:" {
            self.quiet = true;
        } else if line == "failures:" {
            self.quiet = false;
        }
        self.told &= !line.starts_with("---- ");
        let skip = self.quiet && line.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("skip"));
        if skip && !self.told {
            self.told = true;
            self.pending += 1;
        }
        skip || !self.quiet
    }
}

/// The number before `word` in `ok. 3 passed; 0 failed; …`.
fn count(counts: &str, word: &str) -> u64 {
    let before = counts.split(word).next().filter(|before| before.len() < counts.len());
    before.and_then(|before| before.split_whitespace().last()).and_then(|n| n.parse().ok()).unwrap_or(0)
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}
