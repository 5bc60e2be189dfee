//! The capture machine in virtual time, with a card that exists only here.

use rift::Instant;
use rift_v4l::{CaptureMachine, CaptureState, Fault, Signal, Step, Timings};

const FULL_HD: Signal =
    Signal::Present(Timings { width: 1920, height: 1080, rate_millihertz: 60_000, is_interlaced: false });
const HD: Signal =
    Signal::Present(Timings { width: 1280, height: 720, rate_millihertz: 60_000, is_interlaced: false });
const FRAME_US: u64 = 16_667;

/// A card, its owner, and a clock.
struct World {
    now: Instant,
    machine: CaptureMachine,
    steps: Vec<Step>,
    is_open: bool,
    /// What the stream was set up for.
    stream: Option<Signal>,
    frame_at: Instant,
    has_events: bool,
    /// What opening fails with.
    absence: Option<Fault>,
    /// What starting fails with, and how often yet.
    refusals: Vec<Fault>,
    signal: Signal,
    gives_frames: bool,
}

impl World {
    fn new(signal: Signal) -> Self {
        Self {
            now: Instant::ZERO,
            machine: CaptureMachine::new(Instant::ZERO),
            steps: Vec::new(),
            is_open: false,
            stream: None,
            frame_at: Instant::ZERO,
            has_events: true,
            absence: None,
            refusals: Vec::new(),
            signal,
            gives_frames: true,
        }
    }

    fn streaming() -> Self {
        let mut world = Self::new(FULL_HD);
        world.run_ms(500);
        assert_eq!(world.machine.state(), CaptureState::Streaming);
        world.steps.clear();
        world
    }

    fn change(&mut self, signal: Signal) {
        self.signal = signal;
        if self.has_events {
            self.machine.handle_source_change(self.now);
        }
    }

    fn lose(&mut self, fault: Fault) {
        self.stream = None;
        self.machine.handle_fault(self.now, fault);
    }

    fn run_ms(&mut self, ms: u64) {
        let end = self.now.plus_micros(ms * 1000);
        while self.now < end {
            self.turn();
            let frame_at = if self.stream.is_some() && self.gives_frames { self.frame_at } else { end };
            let next = self.machine.poll_timeout().min(frame_at).min(end);
            assert!(next > self.now || next == end, "the machine asks for no time to pass at {:?}", self.now);
            self.now = next;
        }
    }

    /// Runs until the state is this one; returns after how many ms. Never more than `limit_ms`.
    fn until(&mut self, state: CaptureState, limit_ms: u64) -> u64 {
        for passed in 0..=limit_ms {
            if self.machine.state() == state {
                return passed;
            }
            self.run_ms(1);
        }
        panic!("still {:?} after {limit_ms} ms, steps {:?}", self.machine.state(), self.steps);
    }

    fn turn(&mut self) {
        for _ in 0..20 {
            let Some(step) = self.machine.poll_step(self.now) else {
                if self.stream == Some(self.signal) && self.gives_frames && self.frame_at <= self.now {
                    self.machine.handle_frame(self.now);
                }
                if self.frame_at <= self.now {
                    self.frame_at = self.now.plus_micros(FRAME_US);
                }
                return;
            };
            self.steps.push(step);
            self.perform(step);
        }
        panic!("the machine never rests: {:?}", self.steps);
    }

    fn perform(&mut self, step: Step) {
        let now = self.now;
        match step {
            Step::Open => {
                assert!(!self.is_open, "opened twice");
                self.is_open = self.absence.is_none();
                self.machine.handle_opened(now, self.absence.map_or(Ok(self.has_events), Err));
            }
            Step::Query => {
                assert!(self.is_open, "asked without a device");
                self.machine.handle_signal(now, self.signal);
            }
            Step::Start => {
                assert!(self.is_open, "started without a device");
                let outcome = self.refusals.pop().map_or(Ok(()), Err);
                self.stream = outcome.is_ok().then_some(self.signal);
                self.frame_at = now.plus_micros(FRAME_US);
                self.machine.handle_started(now, outcome);
            }
            Step::Stop => {
                assert!(self.stream.take().is_some(), "stopped without a stream");
            }
            Step::Close => {
                assert!(self.is_open, "closed without a device");
                (self.stream, self.is_open) = (None, false);
            }
        }
    }
}

#[test]
fn device_with_a_signal_streams_at_once() {
    let mut world = World::new(FULL_HD);
    assert!(world.until(CaptureState::Streaming, 100) <= 20);
    assert_eq!(world.steps, [Step::Open, Step::Query, Step::Start]);
}

#[test]
fn device_that_appears_late_is_found() {
    let mut world = World::new(FULL_HD);
    world.absence = Some(Fault::Gone);
    world.run_ms(3_600_000);
    assert_eq!(world.machine.state(), CaptureState::NoDevice);
    assert_eq!(world.machine.since(), Instant::ZERO);
    assert!(world.steps.len() <= 7300, "twice a second, not {} times an hour", world.steps.len());
    world.absence = None;
    assert!(world.until(CaptureState::Streaming, 2000) <= 600);
}

#[test]
fn every_loss_of_signal_shows_at_once_and_the_picture_comes_back() {
    for (signal, state) in [
        (Signal::Absent, CaptureState::NoSignal),
        (Signal::NoLock, CaptureState::NoLock),
        (Signal::OutOfRange, CaptureState::OutOfRange),
    ] {
        let mut world = World::streaming();
        world.change(signal);
        assert_eq!(world.until(state, 100), 1, "{state:?}");
        let since = world.machine.since();
        world.run_ms(10_000);
        assert_eq!((world.machine.state(), world.machine.since()), (state, since));
        assert_eq!(world.stream, None, "noise is not captured");
        world.change(FULL_HD);
        assert!(world.until(CaptureState::Streaming, 2000) <= 250, "{state:?}");
    }
}

#[test]
fn device_without_events_is_asked() {
    let mut world = World::new(FULL_HD);
    world.has_events = false;
    world.until(CaptureState::Streaming, 100);
    world.run_ms(10_000);
    world.change(Signal::Absent);
    assert!(world.until(CaptureState::NoSignal, 1000) <= 510);
    world.change(HD);
    assert!(world.until(CaptureState::Streaming, 2000) <= 250);
    world.change(FULL_HD);
    world.run_ms(1000);
    assert_eq!(world.machine.state(), CaptureState::Streaming);
    assert_eq!(world.stream, Some(FULL_HD));
}

#[test]
fn new_timings_restart_the_stream_once() {
    let mut world = World::streaming();
    world.change(HD);
    world.run_ms(1000);
    assert_eq!(world.machine.state(), CaptureState::Streaming);
    assert_eq!(world.steps, [Step::Query, Step::Start]);
    assert_eq!(world.machine.signal(), HD);
}

#[test]
fn rate_that_wanders_is_the_same_signal() {
    let at = |rate_millihertz| {
        Signal::Present(Timings { width: 1920, height: 1080, rate_millihertz, is_interlaced: false })
    };
    let mut world = World::streaming();
    for rate in [59_940, 60_003, 60_000] {
        world.machine.handle_signal(world.now, at(rate));
        world.run_ms(50);
    }
    assert!(world.steps.is_empty(), "{:?}", world.steps);
    assert_eq!(world.machine.state(), CaptureState::Streaming);
    world.change(at(50_000));
    world.run_ms(200);
    assert_eq!(world.steps, [Step::Query, Step::Start]);
}

#[test]
fn event_that_changes_nothing_leaves_the_stream_alone() {
    let mut world = World::streaming();
    for _ in 0..10 {
        world.machine.handle_source_change(world.now);
        world.run_ms(50);
        assert_eq!(world.machine.state(), CaptureState::Streaming);
    }
    assert!(world.steps.iter().all(|step| *step == Step::Query), "{:?}", world.steps);
}

#[test]
fn silence_is_a_stall_within_a_second_and_frames_end_it() {
    let mut world = World::streaming();
    world.gives_frames = false;
    assert!(world.until(CaptureState::Stalled, 1000) <= 750);
    world.run_ms(30_000);
    assert_eq!(world.machine.state(), CaptureState::Stalled, "a renewed stream that is silent is as stalled");
    let renewals = world.steps.iter().filter(|step| **step == Step::Start).count();
    assert!((3..=8).contains(&renewals), "{:?}", world.steps);
    assert!(world.steps.contains(&Step::Close), "the device was opened afresh: {:?}", world.steps);
    world.gives_frames = true;
    assert!(world.until(CaptureState::Streaming, 2000) <= 1000);
}

#[test]
fn silence_because_the_signal_went_is_no_stall() {
    let mut world = World::streaming();
    world.has_events = false;
    (world.signal, world.gives_frames) = (Signal::Absent, false);
    world.until(CaptureState::NoSignal, 1000);
}

#[test]
fn slow_first_frame_is_waited_for() {
    let mut world = World::new(Signal::Unknown);
    world.gives_frames = false;
    world.run_ms(1900);
    assert_eq!(world.machine.state(), CaptureState::Negotiating);
    assert_eq!(world.steps, [Step::Open, Step::Query, Step::Start]);
    world.gives_frames = true;
    assert!(world.until(CaptureState::Streaming, 100) <= 20);
}

#[test]
fn broken_stream_is_started_afresh_at_once() {
    let mut world = World::streaming();
    world.lose(Fault::Broken);
    assert!(world.until(CaptureState::Streaming, 1000) <= 20);
    assert_eq!(world.steps, [Step::Query, Step::Start]);
}

#[test]
fn stream_that_breaks_again_and_again_has_failed_and_is_retried_with_patience() {
    let mut world = World::streaming();
    world.refusals = vec![Fault::Broken; 20];
    world.lose(Fault::Broken);
    assert!(world.until(CaptureState::Failed, 1000) <= 400);
    assert!(world.until(CaptureState::Streaming, 20_000) >= 5000, "half a second between attempts");
    assert!(world.steps.contains(&Step::Close), "{:?}", world.steps);
    world.run_ms(1000);
    world.steps.clear();
    world.lose(Fault::Broken);
    assert!(world.until(CaptureState::Streaming, 1000) <= 20, "a steady stream forgives");
}

#[test]
fn device_of_somebody_else_is_taken_when_it_is_free() {
    let mut world = World::new(FULL_HD);
    world.absence = Some(Fault::Refused);
    world.run_ms(5000);
    assert_eq!(world.machine.state(), CaptureState::Failed);
    world.absence = None;
    assert!(world.until(CaptureState::Streaming, 2000) <= 600);

    world.refusals = vec![Fault::Refused];
    world.lose(Fault::Broken);
    assert_eq!(world.until(CaptureState::Failed, 100), 1);
    assert!(world.until(CaptureState::Streaming, 2000) <= 600);
}

#[test]
fn unplugged_device_is_closed_and_found_again() {
    let mut world = World::streaming();
    world.absence = Some(Fault::Gone);
    world.lose(Fault::Gone);
    world.run_ms(60_000);
    assert_eq!(world.machine.state(), CaptureState::NoDevice);
    assert!(!world.is_open, "a handle would keep the driver");
    world.absence = None;
    assert!(world.until(CaptureState::Streaming, 2000) <= 600);
}

#[test]
fn clock_that_starts_late_makes_nothing_late() {
    let mut world = World::new(FULL_HD);
    world.turn();
    world.now = Instant::from_millis(86_400_000);
    world.machine.start_clock(world.now);
    world.frame_at = world.now.plus_micros(1_000_000);
    world.until(CaptureState::Streaming, 1010);
    assert_eq!(world.steps, [Step::Open, Step::Query, Step::Start]);
}

#[test]
fn any_order_of_happenings_ends_in_a_stream() {
    for seed in 1..=300_u64 {
        let mut state = seed;
        let mut draw = |bound: u64| {
            // xorshift64 (Marsaglia 2003).
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % bound
        };
        let mut world = World::new(FULL_HD);
        world.has_events = draw(2) == 0;
        for _ in 0..60 {
            match draw(9) {
                0 => world.change(Signal::Absent),
                1 => world.change(Signal::NoLock),
                2 => world.change(HD),
                3 => world.change(FULL_HD),
                4 => world.gives_frames = draw(2) == 0,
                5 => world.absence = [None, Some(Fault::Gone), Some(Fault::Refused)][draw(3) as usize],
                6 => world.refusals = vec![Fault::Broken; draw(5) as usize],
                7 if world.is_open => world.lose(Fault::Broken),
                8 if world.is_open => world.lose(Fault::Gone),
                _ => {}
            }
            world.run_ms(draw(900));
        }
        (world.absence, world.gives_frames) = (None, true);
        world.refusals.clear();
        world.change(HD);
        world.run_ms(2000);
        assert_eq!(world.machine.state(), CaptureState::Streaming, "seed {seed}");
        assert_eq!(world.stream, Some(HD), "seed {seed}");
    }
}
