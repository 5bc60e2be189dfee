//! The card: the controls of the kernel's `vivid`, by number, and its plug.

use core::sync::atomic::{AtomicI32, Ordering};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use rift_v4l::{Options, V4lSource, set_control};

/// The card's node at first.
const NODE: &str = "/dev/video0";
/// Where the kernel lists video nodes, and what it calls the card's and that of the second card beside it.
const CLASS: &str = "/sys/class/video4linux";
const NAME: &str = "vivid-000-vid-cap";
const SECOND_NAME: &str = "vivid-001-vid-cap";

/// Controls of vivid (`drivers/media/test-drivers/vivid/vivid-ctrls.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Control {
    /// What the card shows, see [`show`].
    Pattern = 0x00f0_f000,
    /// What is written over the pattern; 2 = nothing.
    OsdTextMode = 0x00f0_f001,
    /// What a timestamp tells; 1 = the start of exposure. The end lies in the future.
    TimestampSource = 0x00f0_f018,
    /// What is at the input, see [`SignalMode`].
    SignalMode = 0x00f0_f03e,
    /// The timings of [`SignalMode::Selected`], an index of the driver's list.
    Timings = 0x00f0_f03f,
    /// How many of a hundred frames are lost.
    DroppedBuffers = 0x00f0_f040,
    /// Takes the node away until nobody has it open.
    Disconnect = 0x00f0_f041,
    /// Marks a frame as faulty.
    BufferError = 0x00f0_f042,
    /// Refuses the next request for buffers.
    RequestError = 0x00f0_f043,
    /// Refuses the next buffer that is given back.
    QueueError = 0x00f0_f044,
    /// Refuses the next start of a stream.
    StreamError = 0x00f0_f045,
    /// Breaks the stream.
    FatalError = 0x00f0_f046,
}

/// Values of [`Control::SignalMode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum SignalMode {
    /// What the card is set to.
    Current = 0,
    /// Nothing.
    None = 1,
    /// Something that cannot be locked to.
    NoLock = 2,
    /// Something beyond the card.
    OutOfRange = 3,
    /// What [`Control::Timings`] says.
    Selected = 4,
}

/// Where the card is now, whatever its number; where it was at first while it is out.
#[must_use]
pub fn node() -> PathBuf {
    find(NAME).unwrap_or_else(|| PathBuf::from(NODE))
}

/// Where the second card is: the one that speaks of planes.
///
/// # Errors
/// There is none.
pub fn second_node() -> anyhow::Result<PathBuf> {
    find(SECOND_NAME).context("there is no second card")
}

fn find(name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(CLASS).into_iter().flatten().flatten();
    let is_card = |entry: &fs::DirEntry| {
        fs::read_to_string(entry.path().join("name")).is_ok_and(|found| found.trim_end() == name)
    };
    entries.into_iter().find(is_card).map(|entry| Path::new("/dev").join(entry.file_name()))
}

/// Sets a control through a handle of its own.
///
/// # Errors
/// The card is not there or refuses.
pub fn set(control: Control, value: i32) -> anyhow::Result<()> {
    set_at(&node(), control, value)
}

fn set_at(node: &Path, control: Control, value: i32) -> anyhow::Result<()> {
    // Numbers of controls are the enum's own.
    set_control(node, control as u32, value).with_context(|| format!("setting {control:?} to {value}"))
}

/// Makes the pattern the same in every frame, and timestamps lie in the past. To be done after every [`plug_in`].
///
/// # Errors
/// As [`set`].
pub fn prepare() -> anyhow::Result<()> {
    prepare_at(&node())
}

/// The same of the card at this node.
///
/// # Errors
/// As [`set`].
pub fn prepare_at(node: &Path) -> anyhow::Result<()> {
    set_at(node, Control::Pattern, PATTERN.load(Ordering::Relaxed))?;
    set_at(node, Control::OsdTextMode, 2)?;
    set_at(node, Control::TimestampSource, 1)
}

/// From the next [`prepare`] on the card shows the pattern of this index of its list: 0 are eight bars, 20 is a ramp
/// from black to white.
pub fn show(pattern: i32) {
    PATTERN.store(pattern, Ordering::Relaxed);
}

static PATTERN: AtomicI32 = AtomicI32::new(0);

/// Takes the card out.
///
/// # Errors
/// Its driver is not loaded, or it is out.
pub fn pull_out() -> anyhow::Result<()> {
    plug("unbind")
}

/// Puts the card in; it takes the lowest free number.
///
/// # Errors
/// Its driver is not loaded, or it is in.
pub fn plug_in() -> anyhow::Result<()> {
    plug("bind")
}

fn plug(verb: &str) -> anyhow::Result<()> {
    let path = format!("/sys/bus/platform/drivers/vivid/{verb}");
    fs::write(&path, "vivid.0").with_context(|| format!("writing to {path}"))
}

/// Takes the card out so that its number stays taken, as by a program that has not noticed yet.
///
/// # Errors
/// As [`pull_out`].
pub fn pull_out_while_held() -> anyhow::Result<()> {
    let handle = File::open(node()).context("opening the card")?;
    *HANDLE.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
    pull_out()
}

/// Puts the card in, where it finds its old number taken; only then the number is free again.
///
/// # Errors
/// As [`plug_in`].
pub fn plug_in_elsewhere() -> anyhow::Result<()> {
    let outcome = plug_in();
    HANDLE.lock().unwrap_or_else(PoisonError::into_inner).take();
    outcome
}

/// Streams from the card as another program would. For when nobody else does.
///
/// # Errors
/// The card is not there or in use.
pub fn occupy() -> anyhow::Result<()> {
    let source = V4lSource::open(&node(), &Options::default()).context("occupying the card")?;
    *OCCUPANT.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
    Ok(())
}

/// Ends what [`occupy`] began.
///
/// # Errors
/// None.
pub fn release() -> anyhow::Result<()> {
    OCCUPANT.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok(())
}

static HANDLE: Mutex<Option<File>> = Mutex::new(None);
static OCCUPANT: Mutex<Option<V4lSource>> = Mutex::new(None);
