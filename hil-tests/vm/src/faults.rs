//! The faults, each with what must be seen of it.

use rift_v4l::CaptureState;

use crate::card::{self, Control, SignalMode, prepare, set};

/// How a fault shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// This state, for as long as it lasts.
    State(CaptureState),
    /// The stream is interrupted and comes back by itself.
    Interruption,
    /// Frames are counted as lost.
    Lost,
    /// A frame is counted as faulty.
    Discarded,
    /// The picture has another size.
    Size(u32, u32),
}

/// Something that happens to a card.
#[derive(Debug)]
pub struct Fault {
    /// What people call it.
    pub name: &'static str,
    /// Makes it happen.
    pub begin: fn() -> anyhow::Result<()>,
    /// Ends it; nothing to do for what is over in a moment.
    pub end: Option<fn() -> anyhow::Result<()>>,
    /// What must be seen.
    pub shows: Shows,
    /// Whether the source is opened anew while it lasts, as by a host that starts then.
    pub starts: bool,
}

fn signal(mode: SignalMode) -> anyhow::Result<()> {
    set(Control::SignalMode, mode as i32)
}

fn good_signal() -> anyhow::Result<()> {
    signal(SignalMode::Current)
}

fn all_buffers() -> anyhow::Result<()> {
    set(Control::DroppedBuffers, 0)
}

fn select(timings: i32) -> anyhow::Result<()> {
    set(Control::Timings, timings)?;
    signal(SignalMode::Selected)
}

/// Indices of the driver's list of timings.
const FULL_HD: i32 = 16;
const HD: i32 = 9;
const VGA: i32 = 0;
/// The size of [`vga`].
pub const VGA_SIZE: (u32, u32) = (640, 480);

/// 1920 × 1080 at 60 Hz at the input.
///
/// # Errors
/// The card is not there or refuses.
pub fn full_hd() -> anyhow::Result<()> {
    select(FULL_HD)
}

/// 640 × 480 at 59.94 Hz at the input.
///
/// # Errors
/// As [`full_hd`].
pub fn vga() -> anyhow::Result<()> {
    select(VGA)
}

/// 1280 × 720 at 60 Hz at the input.
///
/// # Errors
/// As [`full_hd`].
pub fn hd() -> anyhow::Result<()> {
    select(HD)
}

/// Every fault, in the order in which they are injected. The last one leaves the card with another number.
pub const ALL: [Fault; 19] = [
    Fault {
        name: "no signal",
        begin: || signal(SignalMode::None),
        end: Some(good_signal),
        shows: Shows::State(CaptureState::NoSignal),
        starts: false,
    },
    Fault {
        name: "no lock",
        begin: || signal(SignalMode::NoLock),
        end: Some(good_signal),
        shows: Shows::State(CaptureState::NoLock),
        starts: false,
    },
    Fault {
        name: "signal out of range",
        begin: || signal(SignalMode::OutOfRange),
        end: Some(good_signal),
        shows: Shows::State(CaptureState::OutOfRange),
        starts: false,
    },
    Fault {
        name: "new timings: 1080p60",
        begin: full_hd,
        end: None,
        shows: Shows::Size(1920, 1080),
        starts: false,
    },
    Fault { name: "new timings: 720p60", begin: hd, end: None, shows: Shows::Size(1280, 720), starts: false },
    Fault {
        name: "50 % of buffers dropped",
        begin: || set(Control::DroppedBuffers, 50),
        end: Some(all_buffers),
        shows: Shows::Lost,
        starts: false,
    },
    Fault {
        name: "100 % of buffers dropped",
        begin: || set(Control::DroppedBuffers, 100),
        end: Some(all_buffers),
        shows: Shows::State(CaptureState::Stalled),
        starts: false,
    },
    Fault {
        name: "buffer flagged as faulty",
        begin: || set(Control::BufferError, 1),
        end: None,
        shows: Shows::Discarded,
        starts: false,
    },
    Fault {
        name: "QBUF fails",
        begin: || set(Control::QueueError, 1),
        end: None,
        shows: Shows::Interruption,
        starts: false,
    },
    Fault {
        name: "fatal streaming error",
        begin: || set(Control::FatalError, 1),
        end: None,
        shows: Shows::Interruption,
        starts: false,
    },
    Fault {
        name: "fatal error, then REQBUFS fails",
        begin: || set(Control::RequestError, 1).and_then(|()| set(Control::FatalError, 1)),
        end: None,
        shows: Shows::Interruption,
        starts: false,
    },
    Fault {
        name: "fatal error, then STREAMON fails",
        begin: || set(Control::StreamError, 1).and_then(|()| set(Control::FatalError, 1)),
        end: None,
        shows: Shows::Interruption,
        starts: false,
    },
    Fault {
        name: "mode change, then both fail",
        begin: || {
            set(Control::RequestError, 1)?;
            set(Control::StreamError, 1)?;
            full_hd()
        },
        end: Some(hd),
        shows: Shows::Size(1920, 1080),
        starts: false,
    },
    Fault {
        name: "device disconnects",
        begin: || set(Control::Disconnect, 1),
        end: None,
        shows: Shows::Interruption,
        starts: false,
    },
    Fault {
        name: "driver unbound and bound",
        begin: card::pull_out,
        end: Some(|| card::plug_in().and_then(|()| prepare())),
        shows: Shows::State(CaptureState::NoDevice),
        starts: false,
    },
    Fault {
        name: "no signal at the start",
        begin: || signal(SignalMode::None),
        end: Some(good_signal),
        shows: Shows::State(CaptureState::NoSignal),
        starts: true,
    },
    Fault {
        name: "another program has it at the start",
        begin: card::occupy,
        end: Some(card::release),
        shows: Shows::State(CaptureState::Failed),
        starts: true,
    },
    Fault {
        name: "no device at the start",
        begin: card::pull_out,
        end: Some(|| card::plug_in().and_then(|()| prepare())),
        shows: Shows::State(CaptureState::NoDevice),
        starts: true,
    },
    Fault {
        name: "unbound, back as another number",
        begin: card::pull_out_while_held,
        end: Some(|| card::plug_in_elsewhere().and_then(|()| prepare())),
        shows: Shows::State(CaptureState::NoDevice),
        starts: false,
    },
];
