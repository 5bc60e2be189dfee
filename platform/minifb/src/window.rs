//! The thread that owns the window, and what it shares with the application.

use core::cell::RefCell;
use core::time::Duration;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};

use minifb::{MouseButton, MouseMode, ScaleMode, Window, WindowOptions};
use raw_window_handle::{HasWindowHandle, RawWindowHandle};
use rift::{Button, InputEvent};
use rift_hal::DisplayEvent;
use rustix::event::{EventfdFlags, eventfd};

use crate::MinifbError;
use crate::keys::{Keyboard, Listener};
use crate::picture::{HostCursor, Letterbox, Picture, draw_cursor, draw_text, scale};

/// A window that only is there: another presenter attaches to it by [`Self::raw_window`] and draws.
///
/// It tells of focus, size and closing; keys and pointer are the presenter's.
#[derive(Debug)]
pub struct MinifbWindow {
    owner: Owner,
}

impl MinifbWindow {
    /// Opens a window of this size in pixels.
    ///
    /// # Errors
    /// [`MinifbError::Open`], [`MinifbError::Thread`].
    pub fn open(title: &str, width: u32, height: u32) -> Result<Self, MinifbError> {
        Ok(Self { owner: Owner::start(title, (width, height), Mode::Parent)? })
    }

    /// The window's X11 id; `None` where it is not an X11 window.
    #[must_use]
    pub const fn raw_window(&self) -> Option<u32> {
        self.owner.raw_window
    }

    /// The next thing that happened: [`DisplayEvent::Focus`], [`DisplayEvent::Resized`] or
    /// [`DisplayEvent::Closed`]. Never waits.
    pub fn poll_event(&mut self) -> Option<DisplayEvent> {
        self.owner.shared.lock().events.pop_front()
    }

    /// Its size in pixels now.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        self.owner.shared.lock().size
    }
}

/// Whether the thread draws and reads input, or only keeps the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Display,
    Parent,
}

/// What both sides see.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Readable when there are events.
    pub(crate) wake: OwnedFd,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// The newest picture not yet taken by the thread.
    pub(crate) pending: Option<Picture>,
    /// One to convert the next frame into.
    pub(crate) spare: Option<Picture>,
    pub(crate) cursor: HostCursor,
    pub(crate) overlay: String,
    /// Cursor or overlay are not yet drawn as they are here.
    pub(crate) decorated: bool,
    pub(crate) events: VecDeque<DisplayEvent>,
    pub(crate) size: (u32, u32),
    stop: bool,
    pub(crate) gone: bool,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A thread that panicked has left plain values behind, none of them half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the window's thread.
    pub(crate) fn notify(&self) {
        self.changed.notify_one();
    }

    /// Adds what happened. When full, motion and presses are dropped; what was pressed can always be released,
    /// because no more is released than was taken in before.
    fn tell(&self, happened: impl IntoIterator<Item = DisplayEvent>) {
        let mut state = self.lock();
        let mut told = false;
        for event in happened {
            let replaces = matches!(
                (&event, state.events.back()),
                (
                    DisplayEvent::Pointer(InputEvent::PointerAbsolute { .. }),
                    Some(DisplayEvent::Pointer(InputEvent::PointerAbsolute { .. })),
                )
            );
            if replaces {
                state.events.pop_back();
            }
            let may_be_lost = match event {
                DisplayEvent::Key(key) => key.pressed,
                DisplayEvent::Pointer(InputEvent::Button { pressed, .. }) => pressed,
                DisplayEvent::Pointer(_) => true,
                DisplayEvent::Focus(_) | DisplayEvent::Resized(..) | DisplayEvent::Closed | _ => false,
            };
            if state.events.len() < EVENTS_MAX || !may_be_lost {
                state.events.push_back(event);
                told = true;
            }
        }
        drop(state);
        if told {
            // It fails only when the counter is full, and then it is readable already.
            let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
        }
    }
}

/// The thread's handle; dropping it closes the window.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) raw_window: Option<u32>,
    thread: Option<JoinHandle<()>>,
}

impl Owner {
    pub(crate) fn start(title: &str, size: (u32, u32), mode: Mode) -> Result<Self, MinifbError> {
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC);
        let wake = wake.map_err(|error| MinifbError::Thread(error.into()))?;
        let state = Mutex::new(State { size, ..State::default() });
        let shared = Arc::new(Shared { state, changed: Condvar::new(), wake });
        let (opened, outcome) = mpsc::sync_channel(1);
        let thread = thread::Builder::new().name("window".into()).spawn({
            let (shared, title) = (Arc::clone(&shared), title.to_owned());
            move || {
                let _gone = Gone(&shared);
                // minifb's window must stay in the thread that made it.
                match open(&title, size) {
                    Ok(window) => {
                        let _ = opened.send(Ok(raw_window(&window)));
                        Loop::new(window, &shared, mode).run();
                    }
                    Err(error) => {
                        let _ = opened.send(Err(error));
                    }
                }
            }
        });
        let thread = Some(thread.map_err(MinifbError::Thread)?);
        let raw_window = outcome.recv().map_err(|_| MinifbError::Gone)??;
        Ok(Self { shared, raw_window, thread })
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.notify();
        if let Some(thread) = self.thread.take() {
            // A panic in it was printed when it happened.
            let _ = thread.join();
        }
    }
}

/// Says that the thread has ended, however it ends.
struct Gone<'a>(&'a Shared);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        self.0.lock().gone = true;
        let _ = rustix::io::write(&self.0.wake, &1u64.to_ne_bytes());
    }
}

fn open(title: &str, (width, height): (u32, u32)) -> Result<Window, MinifbError> {
    let title = title.replace('\0', " ");
    let options =
        WindowOptions { resize: true, scale_mode: ScaleMode::UpperLeft, ..WindowOptions::default() };
    let mut window = Window::new(&title, width.max(1) as usize, height.max(1) as usize, options)
        .map_err(|error| MinifbError::Open(error.to_string()))?;
    // Otherwise every update sleeps to 250 a second.
    window.set_target_fps(0);
    Ok(window)
}

fn raw_window(window: &Window) -> Option<u32> {
    let handle = window.window_handle().ok()?.as_raw();
    if let RawWindowHandle::Xlib(handle) = handle {
        u32::try_from(handle.window).ok()
    } else if let RawWindowHandle::Xcb(handle) = handle {
        Some(handle.window.get())
    } else {
        None
    }
}

/// What the thread alone knows.
struct Loop<'a> {
    window: Window,
    shared: &'a Shared,
    mode: Mode,
    keyboard: Rc<RefCell<Keyboard>>,
    /// The picture as it came, with its cursor and overlay, and all of that scaled.
    picture: Picture,
    scaled: Picture,
    canvas: Picture,
    cursor: HostCursor,
    overlay: String,
    cursor_hidden: bool,
    focused: Option<bool>,
    size: (u32, u32),
    pointer: Option<(f32, f32)>,
    buttons: [bool; BUTTONS.len()],
    closed: bool,
}

impl<'a> Loop<'a> {
    fn new(mut window: Window, shared: &'a Shared, mode: Mode) -> Self {
        let keyboard = Rc::new(RefCell::new(Keyboard::default()));
        if mode == Mode::Display {
            window.set_input_callback(Box::new(Listener(Rc::clone(&keyboard))));
        }
        Self {
            window,
            shared,
            mode,
            keyboard,
            picture: Picture::default(),
            scaled: Picture::default(),
            canvas: Picture::default(),
            cursor: HostCursor::default(),
            overlay: String::new(),
            cursor_hidden: false,
            focused: None,
            size: (0, 0),
            pointer: None,
            buttons: [false; BUTTONS.len()],
            closed: false,
        }
    }

    fn run(mut self) {
        let pause = if self.mode == Mode::Display { DISPLAY_PAUSE } else { PARENT_PAUSE };
        loop {
            let mut state = self.shared.lock();
            if state.pending.is_none() && !state.decorated && !state.stop {
                let waited = self.shared.changed.wait_timeout(state, pause);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            if state.stop {
                return;
            }
            let fresh = state.pending.take();
            let decorated = core::mem::take(&mut state.decorated);
            if decorated {
                self.cursor.clone_from(&state.cursor);
                self.overlay.clone_from(&state.overlay);
            }
            let drawn = fresh.is_some();
            if let Some(picture) = fresh {
                state.spare = Some(core::mem::replace(&mut self.picture, picture));
            }
            drop(state);
            self.update(drawn, decorated);
            self.tell();
        }
    }

    /// Draws if there is something to draw, and lets minifb read its events either way.
    fn update(&mut self, drawn: bool, decorated: bool) {
        let size = self.window_size();
        let resized = size != (self.canvas.width, self.canvas.height);
        if self.mode == Mode::Parent || !(drawn || decorated || resized) {
            self.window.update();
            return;
        }
        if drawn || resized {
            self.scaled.resize(size.0, size.1);
            match self.letterbox() {
                Some(to) => scale(&self.picture, &mut self.scaled, to),
                None => self.scaled.pixels.fill(0),
            }
        }
        self.canvas.clone_from(&self.scaled);
        if let Some(to) = self.letterbox() {
            draw_cursor(&mut self.canvas, &self.cursor, (self.picture.width, self.picture.height), to);
        }
        draw_text(&mut self.canvas, &self.overlay);
        let hide = self.cursor.has_shape();
        if hide != self.cursor_hidden {
            self.cursor_hidden = hide;
            self.window.set_cursor_visibility(!hide);
        }
        // It fails only for a buffer that is too short, and this one has the size it is said to have.
        let _ = self.window.update_with_buffer(&self.canvas.pixels, size.0 as usize, size.1 as usize);
    }

    /// Says what changed since the last time.
    fn tell(&mut self) {
        let mut happened = Vec::new();
        let size = self.window_size();
        if size != self.size {
            self.size = size;
            self.shared.lock().size = size;
            happened.push(DisplayEvent::Resized(size.0, size.1));
        }
        if self.mode == Mode::Display {
            happened.extend(self.keyboard.borrow_mut().take().into_iter().map(DisplayEvent::Key));
            self.tell_pointer(&mut happened);
        }
        self.tell_focus(&mut happened);
        if !self.window.is_open() && !core::mem::replace(&mut self.closed, true) {
            happened.push(DisplayEvent::Closed);
        }
        if !happened.is_empty() {
            self.shared.tell(happened);
        }
    }

    /// The place first, then the buttons: a click is where the pointer is.
    fn tell_pointer(&mut self, happened: &mut Vec<DisplayEvent>) {
        if self.focused == Some(false) {
            return;
        }
        let place = self.window.get_unscaled_mouse_pos(MouseMode::Pass).filter(|&place| self.is_ours(place));
        if let (Some(place), Some(to)) = (place, self.letterbox())
            && self.pointer != Some(place)
        {
            self.pointer = Some(place);
            let (x, y) = to.to_picture(place.0, place.1);
            happened.push(DisplayEvent::Pointer(InputEvent::PointerAbsolute { x, y }));
        }
        for (held, (at_window, button)) in self.buttons.iter_mut().zip(BUTTONS) {
            let pressed = self.window.get_mouse_down(at_window);
            if pressed != *held {
                *held = pressed;
                happened.push(DisplayEvent::Pointer(InputEvent::Button { button, pressed }));
            }
        }
        if let Some((across, up)) = self.window.get_scroll_wheel() {
            // minifb counts to the left where hal counts to the right.
            let units = |counts: f32| (counts * UNITS_PER_COUNT).round() as i16;
            happened.push(DisplayEvent::Pointer(InputEvent::Wheel { dx: units(-across), dy: units(up) }));
        }
    }

    fn tell_focus(&mut self, happened: &mut Vec<DisplayEvent>) {
        let active = self.window.is_active();
        // Before it first has the focus, a window without a window manager still gets input.
        if active == self.focused.unwrap_or(false) {
            return;
        }
        self.focused = Some(active);
        if !active {
            happened.extend(self.keyboard.borrow_mut().release_all().into_iter().map(DisplayEvent::Key));
            for (held, (_, button)) in self.buttons.iter_mut().zip(BUTTONS) {
                if core::mem::take(held) {
                    happened.push(DisplayEvent::Pointer(InputEvent::Button { button, pressed: false }));
                }
            }
        }
        happened.push(DisplayEvent::Focus(active));
    }

    /// Whether a place is inside the window, or outside while a button that was pressed inside is held.
    fn is_ours(&self, (x, y): (f32, f32)) -> bool {
        let (width, height) = (self.size.0 as f32, self.size.1 as f32);
        let inside = x >= 0.0 && y >= 0.0 && x < width && y < height;
        inside || self.buttons.contains(&true)
    }

    fn letterbox(&self) -> Option<Letterbox> {
        Letterbox::fit((self.picture.width, self.picture.height), self.window_size())
    }

    fn window_size(&self) -> (u32, u32) {
        let (width, height) = self.window.get_size();
        (u32::try_from(width).unwrap_or(0), u32::try_from(height).unwrap_or(0))
    }
}

const BUTTONS: [(MouseButton, Button); 5] = [
    (MouseButton::Left, Button::LEFT),
    (MouseButton::Right, Button::RIGHT),
    (MouseButton::Middle, Button::MIDDLE),
    (MouseButton::Back, Button::SIDE),
    (MouseButton::Forward, Button::EXTRA),
];

/// In X11 a notch of the wheel is a press and a release of a button, and minifb counts both.
const UNITS_PER_COUNT: f32 = 60.0;

/// An application that has not asked for this many events is not listening.
const EVENTS_MAX: usize = 1024;

/// Between two questions: 1000 a second and never fewer than 500, so that no click of 8 ms is missed.
const DISPLAY_PAUSE: Duration = Duration::from_millis(1);

/// A parent is asked only whether it was resized or closed.
const PARENT_PAUSE: Duration = Duration::from_millis(8);
