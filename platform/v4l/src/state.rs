//! What a capture device is doing and what to do about it: a state machine that touches no device and reads no clock.
//!
//! Its owner tells it what happened (`handle_*`), does what [`CaptureMachine::poll_step`] says, and calls again when
//! [`CaptureMachine::poll_timeout`] is over. It never gives up: every state has a next step at a known time.
//!
//! Invariant: the owner holds a stream only while the machine knows of one, and a step is given out only when what it
//! needs is held.

use rift::Instant;

/// What is known of a capture device and of the signal at its input.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CaptureState {
    /// The device is not there: unplugged, or its driver is not loaded.
    NoDevice,
    /// Nothing is plugged into the input, or the machine behind it is off or asleep.
    NoSignal,
    /// There is a signal that the card cannot lock to: it is changing, or the cable is bad.
    NoLock,
    /// There is a signal that is beyond what the card can take.
    OutOfRange,
    /// The card is being set to its signal, or its first frame is awaited.
    Negotiating,
    /// Frames arrive.
    Streaming,
    /// The signal is there and frames have ceased to arrive.
    Stalled,
    /// The device refuses: another program has it, a right is missing, or it fails again and again. It is retried.
    Failed,
}

/// What a card has measured at its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timings {
    /// Pixels across.
    pub width: u32,
    /// Pixels down, of a whole frame.
    pub height: u32,
    /// Frames per 1000 s; 0 if the card measures none.
    pub rate_millihertz: u32,
    /// Whether odd and even lines take turns.
    pub is_interlaced: bool,
}

impl Timings {
    /// Whether a stream that was set up for the one takes the other: the same picture at nearly the same rate. Cards
    /// measure, so their figures wander; half a percent holds 59.94 and 60 apart from 50 and 75.
    #[must_use]
    pub const fn is_like(&self, other: &Self) -> bool {
        let off = self.rate_millihertz.abs_diff(other.rate_millihertz);
        self.width == other.width
            && self.height == other.height
            && self.is_interlaced == other.is_interlaced
            && off <= self.rate_millihertz / 200
    }
}

/// What a device says of its signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// A signal of these timings.
    Present(Timings),
    /// The device has no means to tell: a camera, or a card without timings.
    Unknown,
    /// None.
    Absent,
    /// One that cannot be locked to.
    NoLock,
    /// One beyond what can be taken.
    OutOfRange,
}

impl Signal {
    fn is_like(self, other: Self) -> bool {
        match (self, other) {
            (Self::Present(one), Self::Present(other)) => one.is_like(&other),
            _ => self == other,
        }
    }
}

/// How a call to a device failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The device is gone.
    Gone,
    /// Somebody else has it, or a right or a format is missing: trying again at once is no use.
    Refused,
    /// Anything else: a stream made afresh may work.
    Broken,
}

/// What the machine's owner is to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Open the device; answer with [`CaptureMachine::handle_opened`].
    Open,
    /// Ask for the signal; answer with [`CaptureMachine::handle_signal`], or
    /// [`CaptureMachine::handle_fault`] if the question failed.
    Query,
    /// End the stream if there is one, set the device to its signal and stream; answer with
    /// [`CaptureMachine::handle_started`].
    Start,
    /// End the stream; no answer.
    Stop,
    /// End the stream and close the device; no answer.
    Close,
}

/// What its owner holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Nothing,
    Device,
    Stream,
}

/// See the module's head.
#[derive(Clone, Debug)]
pub struct CaptureMachine {
    state: CaptureState,
    since: Instant,
    held: Held,
    next: (Instant, Step),
    /// When the signal of a stream is asked for although nothing happened.
    check_at: Instant,
    /// Whether the device says by itself that its signal has changed.
    has_events: bool,
    signal: Signal,
    /// The signal that the stream was set up for.
    streamed: Signal,
    started_at: Instant,
    /// The last frame, or the start of the stream before the first.
    alive_at: Instant,
    has_frames: bool,
    /// Attempts to open, in a row.
    absences: u32,
    /// In a row, without a steady stream between them.
    failures: u32,
    /// In a row, without a frame between them.
    restarts: u32,
}

impl CaptureMachine {
    /// Nothing is open yet; the first step is to open the device.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            state: CaptureState::NoDevice,
            since: now,
            held: Held::Nothing,
            next: (now, Step::Open),
            check_at: Instant::FAR_FUTURE,
            has_events: false,
            signal: Signal::Unknown,
            streamed: Signal::Unknown,
            started_at: now,
            alive_at: now,
            has_frames: false,
            absences: 0,
            failures: 0,
            restarts: 0,
        }
    }

    /// The clock has started: what was told so far happened at its epoch and counts as having happened now.
    pub fn start_clock(&mut self, now: Instant) {
        let late = now.as_micros();
        for at in
            [&mut self.since, &mut self.next.0, &mut self.check_at, &mut self.started_at, &mut self.alive_at]
        {
            *at = at.plus_micros(late);
        }
    }

    /// What is known now.
    #[must_use]
    pub const fn state(&self) -> CaptureState {
        self.state
    }

    /// Since when it has been so.
    #[must_use]
    pub const fn since(&self) -> Instant {
        self.since
    }

    /// What the card last said of its signal.
    #[must_use]
    pub const fn signal(&self) -> Signal {
        self.signal
    }

    /// When [`Self::poll_step`] is to be asked again at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        if self.held == Held::Stream { self.next.0.min(self.check_at) } else { self.next.0 }
    }

    /// What is to be done now, once.
    pub fn poll_step(&mut self, now: Instant) -> Option<Step> {
        let (at, step) = self.next;
        if at > now {
            let is_due = self.held == Held::Stream && self.check_at <= now;
            self.check_at = if is_due { self.next_check(now) } else { self.check_at };
            return is_due.then_some(Step::Query);
        }
        // Whoever does not answer is asked again.
        self.next = (now.plus_micros(BACK_OFF_MAX_US), step);
        match step {
            Step::Stop => {
                self.held = Held::Device;
                self.next = (now.plus_micros(SIGNAL_POLL_US), Step::Query);
            }
            Step::Close => {
                self.held = Held::Nothing;
                // One that only is to be begun afresh has waited already.
                let wait = if self.state == CaptureState::NoDevice { BACK_OFF_US } else { 0 };
                self.next = (now.plus_micros(wait), Step::Open);
            }
            Step::Open | Step::Query | Step::Start => {}
        }
        Some(step)
    }

    /// The device was opened, and `has_events` says whether it reports changes of its signal; or it was not.
    pub fn handle_opened(&mut self, now: Instant, outcome: Result<bool, Fault>) {
        match outcome {
            Ok(has_events) => {
                self.has_events = has_events;
                self.held = Held::Device;
                self.absences = 0;
                if self.state == CaptureState::NoDevice {
                    self.enter(now, CaptureState::Negotiating);
                }
                self.next = (now, Step::Query);
            }
            Err(fault) => {
                self.absences = self.absences.saturating_add(1);
                let state = if fault == Fault::Gone { CaptureState::NoDevice } else { CaptureState::Failed };
                self.enter(now, state);
                self.next = (now.plus_micros(back_off(self.absences)), Step::Open);
            }
        }
    }

    /// The device has said what its signal is.
    pub fn handle_signal(&mut self, now: Instant, signal: Signal) {
        if self.held == Held::Nothing {
            return;
        }
        self.signal = signal;
        let state = match signal {
            Signal::Present(_) | Signal::Unknown => return self.on_signal(now),
            Signal::Absent => CaptureState::NoSignal,
            Signal::NoLock => CaptureState::NoLock,
            Signal::OutOfRange => CaptureState::OutOfRange,
        };
        self.enter(now, state);
        self.failures = 0;
        self.restarts = 0;
        self.next = match self.held {
            Held::Stream => (now, Step::Stop),
            Held::Device | Held::Nothing => (now.plus_micros(SIGNAL_POLL_US), Step::Query),
        };
    }

    /// The device has said that something about its signal is new.
    pub fn handle_source_change(&mut self, now: Instant) {
        if self.held != Held::Nothing && self.next.1 != Step::Close {
            self.next = (now, Step::Query);
        }
    }

    /// Something that may be the device has appeared.
    pub fn handle_arrival(&mut self, now: Instant) {
        if self.held == Held::Nothing && self.next.1 == Step::Open {
            self.absences = 0;
            self.next = (now, Step::Open);
        }
    }

    /// The device is to be opened afresh, because its owner wants something of it that no stream bears.
    pub fn reopen(&mut self, now: Instant) {
        if self.held != Held::Nothing && self.next.1 != Step::Close {
            self.enter(now, CaptureState::Negotiating);
            self.next = (now, Step::Close);
        }
    }

    /// The stream was started, or could not be.
    pub fn handle_started(&mut self, now: Instant, outcome: Result<(), Fault>) {
        match outcome {
            Ok(()) => {
                self.held = Held::Stream;
                self.streamed = self.signal;
                (self.started_at, self.alive_at, self.has_frames) = (now, now, false);
                self.check_at = self.next_check(now);
                self.next = (now.plus_micros(FIRST_FRAME_US), Step::Query);
                if self.state != CaptureState::Stalled {
                    self.enter(now, CaptureState::Negotiating);
                }
            }
            Err(fault) => self.handle_fault(now, fault),
        }
    }

    /// A call to the device failed. If there was a stream, its owner has ended it.
    pub fn handle_fault(&mut self, now: Instant, fault: Fault) {
        if self.held == Held::Nothing {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        self.held = Held::Device;
        if fault == Fault::Gone {
            self.enter(now, CaptureState::NoDevice);
            self.next = (now, Step::Close);
            return;
        }
        let is_hopeless = fault == Fault::Refused || self.failures >= FAILURES_MAX;
        self.enter(now, if is_hopeless { CaptureState::Failed } else { CaptureState::Negotiating });
        // Now and then everything is begun from the open on: what a driver keeps by handle is then gone.
        let step = if self.failures.is_multiple_of(FAILURES_MAX) { Step::Close } else { Step::Query };
        let wait = if self.failures == 1 { 0 } else { back_off(self.failures) };
        self.next = (now.plus_micros(wait), step);
    }

    /// A whole frame arrived.
    pub fn handle_frame(&mut self, now: Instant) {
        if self.held != Held::Stream {
            return;
        }
        self.alive_at = now;
        self.has_frames = true;
        self.restarts = 0;
        if now.micros_since(self.started_at) >= STEADY_US {
            self.failures = 0;
        }
        // What is due now concerns a signal that may not be this frame's any more.
        if self.next.0 > now {
            self.enter(now, CaptureState::Streaming);
            self.next = (now.plus_micros(STALL_US), Step::Query);
        }
    }

    fn on_signal(&mut self, now: Instant) {
        if self.held != Held::Stream || !self.streamed.is_like(self.signal) {
            if self.held == Held::Stream
                || !matches!(self.state, CaptureState::Stalled | CaptureState::Failed)
            {
                self.enter(now, CaptureState::Negotiating);
            }
            self.next = (now, Step::Start);
            return;
        }
        let patience = if self.has_frames { STALL_US } else { FIRST_FRAME_US };
        let deadline = self.alive_at.plus_micros(patience);
        if now < deadline {
            self.next = (deadline, Step::Query);
            return;
        }
        if self.state == CaptureState::Stalled && self.next.0 > now && self.next.1 != Step::Query {
            return;
        }
        // The stream stays while it waits: frames may come back by themselves. Each renewal gives it longer, because
        // some cards need seconds for their first frame.
        self.enter(now, CaptureState::Stalled);
        self.restarts += 1;
        let step = if self.restarts.is_multiple_of(RESTARTS_MAX) { Step::Close } else { Step::Start };
        let wait = RENEWAL_US << self.restarts.min(RENEWAL_DOUBLINGS);
        let wait = if self.restarts == 1 { 0 } else { wait };
        self.next = (now.plus_micros(wait), step);
    }

    fn next_check(&self, now: Instant) -> Instant {
        now.plus_micros(if self.has_events { CHECK_US } else { CHECK_WITHOUT_EVENTS_US })
    }

    fn enter(&mut self, now: Instant, state: CaptureState) {
        if self.state != state {
            (self.state, self.since) = (state, now);
        }
    }
}

/// How long to wait after so many failures in a row, µs.
fn back_off(failures: u32) -> u64 {
    (BACK_OFF_US << failures.clamp(1, 16).saturating_sub(1)).min(BACK_OFF_MAX_US)
}

/// Between attempts to open or to stream: doubled each time, and short enough that a picture is back within a second
/// of its cause. An open that finds nothing costs microseconds.
const BACK_OFF_US: u64 = 50_000;
const BACK_OFF_MAX_US: u64 = 500_000;
/// Between questions for a signal that is not there. Some cards ask a chip over a slow bus for it.
const SIGNAL_POLL_US: u64 = 200_000;
/// Between questions for the signal of a stream that runs, as a safeguard, or because the device reports no changes.
const CHECK_US: u64 = 5_000_000;
const CHECK_WITHOUT_EVENTS_US: u64 = 500_000;
/// A stream without frames for so long has stalled. Cameras in the dark give five a second.
const STALL_US: u64 = 700_000;
/// How long a card may take for its first frame; cheap ones lock and measure first.
const FIRST_FRAME_US: u64 = 2_000_000;
/// A stream that runs for so long forgives earlier failures.
const STEADY_US: u64 = 300_000;
/// So many failures in a row are more than a mishap.
const FAILURES_MAX: u32 = 3;
/// A stalled stream is renewed so often before the device is opened afresh.
const RESTARTS_MAX: u32 = 3;
/// How long a renewed stream is given: doubled each time, 16 s at most.
const RENEWAL_US: u64 = 1_000_000;
const RENEWAL_DOUBLINGS: u32 = 4;
