//! Many seeds, side by side.

use core::ops::ControlFlow;
use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicU64, Ordering};
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::thread;

use crate::scenario::Scenario;
use crate::totals::Totals;
use crate::world::World;

/// A seed with which something did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The seed.
    pub seed: u64,
    /// What the scenario was.
    pub scenario: String,
    /// What did not hold.
    pub violations: Vec<String>,
}

/// Plays the scenario of one seed.
///
/// # Errors
/// What did not hold. A panic of anything in it counts.
pub fn play(seed: u64) -> Result<Totals, Failed> {
    let scenario = Scenario::draw(seed);
    let described = scenario.describe();
    let played = catch_unwind(AssertUnwindSafe(|| World::new(scenario).play()));
    let (totals, violations) =
        played.unwrap_or_else(|_| (Totals::default(), vec!["a panic, told above".to_owned()]));
    if violations.is_empty() { Ok(totals) } else { Err(Failed { seed, scenario: described, violations }) }
}

/// Plays seeds from `first` on, on as many threads as told, as long as `goes_on` says so when it is asked for a seed's
/// turn. Failures go to `report` as they are found.
pub fn run(
    first: u64,
    threads: usize,
    goes_on: impl Fn(u64) -> ControlFlow<()> + Sync,
    report: impl Fn(&Failed) + Sync,
) -> (Totals, Vec<Failed>) {
    let next = AtomicU64::new(0);
    let sums = Mutex::new((Totals::default(), Vec::new()));
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    if goes_on(turn).is_break() {
                        return;
                    }
                    let played = play(first.wrapping_add(turn));
                    let mut sums = sums.lock().expect("nobody panics with the sums in hand");
                    match played {
                        Ok(totals) => sums.0.add(&totals),
                        Err(failed) => {
                            report(&failed);
                            sums.1.push(failed);
                        }
                    }
                }
            });
        }
    });
    let (totals, mut failed) = sums.into_inner().expect("nobody panicked with the sums in hand");
    failed.sort_by_key(|failed| failed.seed);
    (totals, failed)
}
