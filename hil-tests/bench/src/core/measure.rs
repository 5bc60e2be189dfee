//! Clocks, medians, and contenders that take turns.

use std::thread;

use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// One thing to be timed: runs a block of operations and returns nanoseconds per operation.
pub(super) type Contender<'a> = (&'static str, Box<dyn FnMut() -> Option<f64> + 'a>);

/// The median of a contender's blocks; `None` when any block failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) median: Option<f64>,
}

/// Lets the contenders run `blocks` blocks each, in turns whose order rotates, after one block each to warm up.
pub(super) fn interleave(blocks: usize, contenders: &mut [Contender<'_>]) -> Vec<Figure> {
    let count = contenders.len();
    let mut samples = vec![Vec::with_capacity(blocks); count];
    let mut failed = vec![false; count];
    for block in 0..=blocks {
        for turn in 0..count {
            let index = (turn + block) % count;
            match contenders[index].1() {
                Some(_) if block == 0 => {}
                Some(value) => samples[index].push(value),
                None => failed[index] = true,
            }
        }
    }
    let median = |index: usize| if failed[index] { None } else { quantile(&samples[index], 0.5) };
    contenders.iter().enumerate().map(|(index, (name, _))| Figure { name, median: median(index) }).collect()
}

/// Nanoseconds of processor time per operation of `count` calls.
pub(crate) fn nanos_each(count: usize, mut operation: impl FnMut()) -> f64 {
    let start = processor_nanos();
    for _ in 0..count {
        operation();
    }
    (processor_nanos() - start) / count as f64
}

/// Processor time of this thread, in nanoseconds: what it waits for others to leave the processor does not count.
pub(crate) fn processor_nanos() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// The value below which this share of the samples lies (nearest rank); `None` without samples.
pub(crate) fn quantile(samples: &[f64], share: f64) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// An end's processor. Both ends of a real session have their own.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Sender = 0,
    Receiver = 1,
}

impl End {
    /// Binds this thread, and those that it starts from now on, to this end's processor, where there is such a one.
    pub(super) fn take_place(self) {
        let mut processors = CpuSet::new();
        processors.set(self as usize);
        // It can only fail where there is no such processor.
        let _ = sched_setaffinity(None, &processors);
    }
}

/// Gives this thread both ends' processors back: who counts them finds more than one.
pub(super) fn leave_place() {
    let mut processors = CpuSet::new();
    [End::Sender, End::Receiver].into_iter().for_each(|end| processors.set(end as usize));
    let _ = sched_setaffinity(None, &processors);
}

/// Acts on a thread of its own, whose processors are nobody else's concern.
pub(super) fn apart<T: Send>(act: impl FnOnce() -> Option<T> + Send) -> Option<T> {
    thread::scope(|scope| scope.spawn(act).join().ok().flatten())
}
