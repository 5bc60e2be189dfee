//! Injects what viewers do.
//!
//! A sink that takes an event without waiting is given it at once, on the network's thread: that saves waking another.
//! Everything else goes through a thread of its own, so that a slow sink never holds up the network. Permissions are
//! checked again here. What was pressed is let go when the one who steers leaves, when the queue overflows, and when the
//! server ends.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rift::{Gamepad, InputEvent, Permissions, Rumble};
use rift_hal::InputSink;
use rift_hid::{HidError, HidSink};
use rift_mio::Waker;
use rift_uinput::{UinputError, UinputSink};
use rift_x11::X11Sink;
use rustix::event::{PollFd, PollFlags, poll};
use tracing::{debug, info, warn};

use crate::guard::Guard;
use crate::power::Switch;
use crate::source::Spec;

/// Events that may wait for the sink: two seconds of a 500 Hz mouse.
const QUEUE_LEN: usize = 1024;
/// The name of devices made through the kernel.
const DEVICE_NAME: &str = "Wavry";

/// Where input goes, as `--input` names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Way {
    /// XTEST for an X screen or an application, the kernel's devices otherwise.
    #[default]
    Auto,
    /// XTEST.
    Xtest,
    /// Devices made through the kernel.
    Uinput,
    /// A USB port that plays a keyboard and pointers to another machine: the one behind a capture card.
    Usb,
    /// Nowhere.
    None,
}

/// Why there is no sink.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// XTEST.
    #[error("input by XTEST: {0}")]
    X11(#[from] rift_x11::Error),
    /// The kernel's devices.
    #[error("input through the kernel: {0}")]
    Uinput(#[from] UinputError),
    /// The USB device.
    #[error("input by USB: {0}")]
    Usb(#[from] HidError),
    /// The system gave no thread.
    #[error("input: no thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// A sink of any kind.
pub enum Sink {
    /// XTEST.
    X11(Box<X11Sink>),
    /// The kernel's devices.
    Uinput(Box<UinputSink>),
    /// Another machine's USB port.
    Usb(Box<HidSink>),
}

impl Sink {
    /// Opens the sink for a source. `None`: nobody steers.
    ///
    /// # Errors
    /// [`InputError`], when the way was asked for by name. [`Way::Auto`] goes without, and says so.
    pub fn open(way: Way, source: &Spec, display: Option<&str>) -> Result<Option<Self>, InputError> {
        match (way, source) {
            (Way::None, _) => Ok(None),
            (Way::Xtest, _) => Self::xtest(display).map(Some),
            (Way::Uinput, _) => Self::uinput().map(Some),
            (Way::Usb, _) => Ok(Some(Self::Usb(Box::new(HidSink::create(None)?)))),
            (Way::Auto, Spec::X11(_) | Spec::App(_)) => Ok(or_without(Self::xtest(display))),
            (Way::Auto, Spec::V4l(_) | Spec::Test | Spec::TestCoded) => Ok(or_without(Self::uinput())),
        }
    }

    fn xtest(display: Option<&str>) -> Result<Self, InputError> {
        Ok(Self::X11(Box::new(X11Sink::open(display)?)))
    }

    fn uinput() -> Result<Self, InputError> {
        Ok(Self::Uinput(Box::new(UinputSink::create(DEVICE_NAME)?)))
    }

    /// Injects; what cannot be injected is told by kind only, because the errors name keys and characters.
    fn inject(&mut self, event: &InputEvent) {
        let is_done = match self {
            Self::X11(sink) => sink.inject(event).is_ok(),
            Self::Uinput(sink) => sink.inject(event).is_ok(),
            Self::Usb(sink) => sink.inject(event).is_ok(),
        };
        if !is_done {
            debug!("an input event could not be injected");
        }
    }

    /// Whether it takes this event now without waiting for anybody.
    fn is_ready_for(&self, event: &InputEvent) -> bool {
        match self {
            Self::X11(sink) => sink.is_ready_for(event),
            // The kernel takes events as they come.
            Self::Uinput(_) => true,
            // The other machine takes a report every few milliseconds.
            Self::Usb(_) => false,
        }
    }

    fn flush(&mut self) {
        let outcome = match self {
            Self::X11(sink) => sink.flush().map_err(InputError::from),
            Self::Uinput(sink) => sink.flush().map_err(InputError::from),
            Self::Usb(sink) => sink.flush().map_err(InputError::from),
        };
        if let Err(error) = outcome {
            warn!(%error, "input was not flushed");
        }
    }

    fn release_all(&mut self) {
        let outcome = match self {
            Self::X11(sink) => sink.release_all().map_err(InputError::from),
            Self::Uinput(sink) => sink.release_all().map_err(InputError::from),
            Self::Usb(sink) => sink.release_all().map_err(InputError::from),
        };
        if let Err(error) = outcome {
            warn!(%error, "not everything was released");
        }
    }
}

fn or_without(sink: Result<Sink, InputError>) -> Option<Sink> {
    sink.inspect_err(|error| warn!(%error, "nobody can steer")).ok()
}

/// What the sink's thread is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// An event of a viewer with these permissions.
    Inject(InputEvent, Permissions),
    /// Lets everything go.
    ReleaseAll,
}

/// The sink behind its last guard.
struct Guarded {
    sink: Sink,
    guard: Guard,
    switch: Switch,
}

/// The sink, and how much of what its thread was told is not done yet.
struct Shared {
    sink: Mutex<Guarded>,
    open: Arc<AtomicUsize>,
}

impl Shared {
    /// Injects an event on the caller's thread. `false`, and nothing done: it would have to wait for the sink, or for
    /// commands before it.
    fn inject_at_once(&self, event: &InputEvent, permissions: Permissions) -> bool {
        if self.open.load(Ordering::Acquire) > 0 {
            return false;
        }
        let Ok(mut sink) = self.sink.try_lock() else { return false };
        let is_ready = sink.sink.is_ready_for(event);
        if is_ready {
            carry_out(&mut sink, Command::Inject(*event, permissions));
            sink.sink.flush();
        }
        is_ready
    }
}

/// What programs want of the gamepads' motors: the newest wish for each.
type Wishes = [Option<Rumble>; Gamepad::COUNT as usize];

/// A thread that takes such wishes; a program that has one waits for it. It ends when this is dropped.
struct RumbleThread {
    wishes: Arc<Mutex<Wishes>>,
    quit: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl RumbleThread {
    fn start(shared: Arc<Shared>, fd: OwnedFd, waker: Waker) -> std::io::Result<Self> {
        let (quit, quitting) = UnixStream::pair()?;
        let wishes = Arc::<Mutex<Wishes>>::default();
        let found = Arc::clone(&wishes);
        let thread = thread::Builder::new().name("rumble".into()).spawn(move || {
            loop {
                let mut fds = [PollFd::new(&quitting, PollFlags::IN), PollFd::new(&fd, PollFlags::IN)];
                let is_ready = poll(&mut fds, None).is_ok();
                if !fds[0].revents().is_empty() {
                    return;
                }
                if is_ready && take_wishes(&shared, &found) {
                    waker.wake();
                }
            }
        })?;
        Ok(Self { wishes, quit: Some(quit), thread: Some(thread) })
    }
}

impl Drop for RumbleThread {
    fn drop(&mut self) {
        self.quit = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// Takes all wishes there are; whether there were any.
fn take_wishes(shared: &Shared, found: &Mutex<Wishes>) -> bool {
    let mut sink = shared.sink.lock().unwrap_or_else(PoisonError::into_inner);
    let Sink::Uinput(sink) = &mut sink.sink else { return false };
    let mut has_any = false;
    while let Ok(Some(rumble)) = sink.poll_rumble() {
        found.lock().unwrap_or_else(PoisonError::into_inner)[usize::from(rumble.gamepad.index())] =
            Some(rumble);
        has_any = true;
    }
    has_any
}

/// The way to the sink. Dropping it releases everything and ends the sink's thread.
pub struct Injector {
    shared: Option<Arc<Shared>>,
    /// Commands given and not carried out yet: no event may overtake them.
    open: Arc<AtomicUsize>,
    commands: Option<SyncSender<Command>>,
    thread: Option<JoinHandle<()>>,
    /// Events were dropped: before the next one everything is let go.
    is_behind: bool,
    rumble: Option<RumbleThread>,
}

impl Injector {
    /// Starts the sink's thread; without a sink all input is dropped. `switch` has the keys that are not for the sink.
    ///
    /// # Errors
    /// The system gave no thread.
    pub fn start(sink: Option<Sink>, switch: Switch) -> Result<Self, InputError> {
        let open = Arc::<AtomicUsize>::default();
        let Some(sink) = sink else {
            return Ok(Self {
                shared: None,
                open,
                commands: None,
                thread: None,
                is_behind: false,
                rumble: None,
            });
        };
        let (commands, orders) = sync_channel(QUEUE_LEN);
        let shared = Arc::new(Shared {
            sink: Mutex::new(Guarded { sink, guard: Guard::default(), switch }),
            open: open.clone(),
        });
        let served = shared.clone();
        let thread = thread::Builder::new().name("input".into()).spawn(move || serve(&served, &orders))?;
        Ok(Self {
            shared: Some(shared),
            open,
            commands: Some(commands),
            thread: Some(thread),
            is_behind: false,
            rumble: None,
        })
    }

    /// An injector whose commands are looked at instead of carried out.
    #[cfg(test)]
    pub(crate) fn observed(len: usize) -> (Self, Receiver<Command>) {
        let (commands, orders) = sync_channel(len);
        let open = Arc::default();
        let injector = Self {
            shared: None,
            open,
            commands: Some(commands),
            thread: None,
            is_behind: false,
            rumble: None,
        };
        (injector, orders)
    }

    /// Takes what programs want of gamepads' motors from now on, and wakes the network for it. Nothing to do for a sink
    /// without gamepads.
    ///
    /// # Errors
    /// The system gave no thread or descriptor.
    pub fn heed_rumble(&mut self, waker: Waker) -> Result<(), InputError> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let fd = match &shared.sink.lock().unwrap_or_else(PoisonError::into_inner).sink {
            Sink::X11(_) | Sink::Usb(_) => return Ok(()),
            Sink::Uinput(sink) => sink.rumble_fd().try_clone_to_owned()?,
        };
        self.rumble = Some(RumbleThread::start(Arc::clone(shared), fd, waker)?);
        Ok(())
    }

    /// What programs have wanted of gamepads' motors since this was last asked.
    pub fn take_rumbles(&mut self) -> impl Iterator<Item = Rumble> + use<> {
        let wishes = self.rumble.as_ref().map(|rumble| {
            core::mem::take(&mut *rumble.wishes.lock().unwrap_or_else(PoisonError::into_inner))
        });
        wishes.unwrap_or_default().into_iter().flatten()
    }

    /// Whether anybody can steer.
    #[must_use]
    pub const fn has_sink(&self) -> bool {
        self.commands.is_some()
    }

    /// Injects an event of a viewer with these permissions, at once or soon. Never waits: when the sink is far behind,
    /// the event is lost and all that is held is let go.
    pub fn inject(&mut self, event: InputEvent, permissions: Permissions) {
        let is_done = !self.is_behind
            && self.shared.as_ref().is_some_and(|shared| shared.inject_at_once(&event, permissions));
        if !is_done {
            self.send(Command::Inject(event, permissions));
        }
    }

    /// Lets everything go.
    pub fn release_all(&mut self) {
        self.send(Command::ReleaseAll);
    }

    fn send(&mut self, command: Command) {
        if self.is_behind && !self.try_send(Command::ReleaseAll) {
            return;
        }
        self.is_behind = !self.try_send(command);
        if self.is_behind {
            warn!("the input sink is stuck: input is lost");
        }
    }

    /// Whether there was room, or nobody to need it.
    fn try_send(&mut self, command: Command) -> bool {
        let Some(commands) = &self.commands else { return true };
        self.open.fetch_add(1, Ordering::AcqRel);
        let Err(error) = commands.try_send(command) else { return true };
        self.open.fetch_sub(1, Ordering::AcqRel);
        if matches!(error, TrySendError::Disconnected(_)) {
            self.commands = None;
        }
        self.commands.is_none()
    }
}

impl core::fmt::Debug for Injector {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Injector").field("has_sink", &self.has_sink()).finish_non_exhaustive()
    }
}

impl Drop for Injector {
    fn drop(&mut self) {
        self.commands = None;
        self.rumble = None;
        if let Some(thread) = self.thread.take() {
            // A sink that panicked has said so.
            let _ = thread.join();
        }
    }
}

fn serve(shared: &Shared, commands: &Receiver<Command>) {
    let sink = || shared.sink.lock().unwrap_or_else(PoisonError::into_inner);
    while let Ok(command) = commands.recv() {
        let mut sink = sink();
        carry_out(&mut sink, command);
        let mut done = 1;
        while let Ok(command) = commands.try_recv() {
            carry_out(&mut sink, command);
            done += 1;
        }
        sink.sink.flush();
        drop(sink);
        shared.open.fetch_sub(done, Ordering::AcqRel);
    }
    sink().sink.release_all();
    info!("input released");
}

fn carry_out(guarded: &mut Guarded, command: Command) {
    let Guarded { sink, guard, switch } = guarded;
    match command {
        Command::Inject(event, permissions) if guard.lets(permissions, &event) => {
            if !switch.takes(&event) {
                sink.inject(&event);
            }
        }
        Command::Inject(..) => debug!("an input event without permission was dropped"),
        Command::ReleaseAll => {
            guard.clear();
            sink.release_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overflowing_queue_loses_input_and_then_lets_everything_go() {
        let (mut injector, orders) = Injector::observed(2);
        let event = InputEvent::Text('a');
        let all = Permissions::all();
        for _ in 0..3 {
            injector.inject(event, all);
        }
        assert_eq!(orders.try_iter().collect::<Vec<_>>(), [Command::Inject(event, all); 2]);
        injector.inject(event, all);
        let after = orders.try_iter().collect::<Vec<_>>();
        assert_eq!(after, [Command::ReleaseAll, Command::Inject(event, all)]);
    }
}
