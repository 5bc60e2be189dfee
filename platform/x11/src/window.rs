//! A window that shows frames: its own, or inside a foreign one.
//!
//! Inside a foreign window, keys and the focus are heard at the foreign window, which has them by the window
//! manager's will; selecting them there as well takes nothing from its owner. The picture, the pointer and its
//! buttons belong to the child.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;

use rift::{Button, InputEvent, Rectangle};
use rift_hal::{Cursor, Display, DisplayEvent, Frame, Pollable};
use x11rb::connection::{Connection, RequestConnection};
use x11rb::protocol::xproto::{
    AtomEnum, ButtonPressEvent, ChangeWindowAttributesAux, ClientMessageEvent, ConfigureWindowAux,
    ConnectionExt, CreateGCAux, CreateWindowAux, EventMask, FocusInEvent, Gcontext, InputFocus, NotifyDetail,
    NotifyMode, PropMode, Screen, Window, WindowClass,
};
use x11rb::protocol::{Event, shm};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

use crate::Error;
use crate::connection::{check_pixels, connect, shares_memory};
use crate::keys::Keyboard;
use crate::overlay::Overlay;
use crate::picture::{Picture, Target};
use crate::pointer::Pointer;
use crate::wake::Wake;

/// Wheel units of one click (evdev's high-resolution unit).
const NOTCH: i16 = 120;

x11rb::atom_manager! {
    /// Names agreed with window managers.
    Atoms: AtomsCookie {
        WM_PROTOCOLS,
        WM_DELETE_WINDOW,
        UTF8_STRING,
        _NET_WM_NAME,
        _NET_SUPPORTED,
        _NET_SUPPORTING_WM_CHECK,
        _NET_WM_STATE,
        _NET_WM_STATE_FULLSCREEN,
    }
}

/// Shows frames in an X window and gives what is done at it.
///
/// Frames may be I420, NV12 or BGRX. Keys come with their scancodes, whatever the layout; a key held down
/// comes once.
pub struct X11Display {
    connection: RustConnection,
    screen: Screen,
    atoms: Atoms,
    /// Where the picture is and the pointer is heard.
    window: Window,
    /// The window the window manager knows, where keys and the focus are heard.
    top: Window,
    gc: Gcontext,
    size: (u16, u16),
    picture: Picture,
    keyboard: Keyboard,
    pointer: Pointer,
    overlay: Overlay,
    events: VecDeque<DisplayEvent>,
    focused: bool,
    gone: bool,
    /// The place and size before a fullscreen that no window manager made.
    restore: Option<(i32, i32, u32, u32)>,
    put_opcode: Option<u8>,
    wake: Wake,
}

impl X11Display {
    /// A window of its own on `display` (`None` = the environment's `DISPLAY`), `width` × `height` pixels.
    ///
    /// # Errors
    /// No server, no XKB extension, or pixels that are not 32 bits of blue, green and red.
    pub fn open(display: Option<&str>, title: &str, width: u16, height: u16) -> Result<Self, Error> {
        let (connection, screen) = connect(display)?;
        let (width, height) = (width.max(1), height.max(1));
        let events = picture_events() | top_events();
        let window = create_window(&connection, &screen, screen.root, (width, height), events)?;
        let this = Self::new(connection, screen, window, window, (width, height))?;
        let atoms = &this.atoms;
        let (connection, replace) = (&this.connection, PropMode::REPLACE);
        let class = b"wavry\0Wavry\0";
        let name = title.as_bytes();
        connection.change_property8(replace, window, AtomEnum::WM_CLASS, AtomEnum::STRING, class)?;
        connection.change_property8(replace, window, AtomEnum::WM_NAME, AtomEnum::STRING, name)?;
        connection.change_property8(replace, window, atoms._NET_WM_NAME, atoms.UTF8_STRING, name)?;
        let protocols = [atoms.WM_DELETE_WINDOW];
        connection.change_property32(replace, window, atoms.WM_PROTOCOLS, AtomEnum::ATOM, &protocols)?;
        connection.map_window(window)?.check()?;
        Ok(this)
    }

    /// A window inside the window `parent` of another client of `display`; it fills it and follows its size.
    ///
    /// # Errors
    /// As [`Self::open`], and when there is no such window.
    pub fn attach(display: Option<&str>, parent: u32) -> Result<Self, Error> {
        let (connection, screen) = connect(display)?;
        let top = ChangeWindowAttributesAux::new().event_mask(top_events());
        connection.change_window_attributes(parent, &top)?.check()?;
        let geometry = connection.get_geometry(parent)?.reply()?;
        let size = (geometry.width, geometry.height);
        let window = create_window(&connection, &screen, parent, size, picture_events())?;
        let mut this = Self::new(connection, screen, window, parent, size)?;
        this.connection.map_window(window)?.check()?;
        this.focus_without_manager()?;
        if this.connection.get_input_focus()?.reply()?.focus == parent {
            this.set_focused(true);
        }
        Ok(this)
    }

    fn new(
        connection: RustConnection,
        screen: Screen,
        window: Window,
        top: Window,
        size: (u16, u16),
    ) -> Result<Self, Error> {
        check_pixels(&connection, &screen)?;
        let atoms = Atoms::new(&connection)?.reply()?;
        let gc = connection.generate_id()?;
        connection.create_gc(gc, window, &CreateGCAux::new().graphics_exposures(0))?.check()?;
        let shared = shares_memory(&connection)?;
        let shm = connection.extension_information(shm::X11_EXTENSION_NAME)?;
        Ok(Self {
            keyboard: Keyboard::new(&connection)?,
            pointer: Pointer::new(&connection, window)?,
            overlay: Overlay::new(&connection, window)?,
            picture: Picture::new(shared),
            wake: Wake::new(&connection)?,
            put_opcode: shm.map(|extension| extension.major_opcode),
            connection,
            screen,
            atoms,
            window,
            top,
            gc,
            size,
            events: VecDeque::new(),
            focused: false,
            gone: false,
            restore: None,
        })
    }

    /// The raw identifier of the window that shows the picture.
    #[must_use]
    pub const fn window(&self) -> u32 {
        self.window
    }

    /// The window's size in pixels.
    #[must_use]
    pub const fn size(&self) -> (u16, u16) {
        self.size
    }

    fn handle(&mut self, event: &Event) -> Result<(), Error> {
        if let Event::ShmCompletion(event) = event {
            self.picture.handle_completion(event.shmseg);
        } else if let Event::Error(error) = event {
            if Some(error.major_opcode) == self.put_opcode {
                self.picture.handle_refusal();
            }
        } else if matches!(
            event,
            Event::MappingNotify(_) | Event::XkbMapNotify(_) | Event::XkbNewKeyboardNotify(_)
        ) {
            self.keyboard.layout_changed();
        } else {
            self.handle_input(event)?;
            self.handle_window(event)?;
        }
        Ok(())
    }

    fn handle_input(&mut self, event: &Event) -> Result<(), Error> {
        if let Event::KeyPress(event) = event {
            let key = self.keyboard.press(&self.connection, event)?;
            self.events.extend(key.map(DisplayEvent::Key));
        } else if let Event::KeyRelease(event) = event {
            self.events.extend(self.keyboard.release(event).map(DisplayEvent::Key));
        } else if let Event::ButtonPress(event) = event {
            self.handle_button(event, true);
        } else if let Event::ButtonRelease(event) = event {
            self.handle_button(event, false);
        } else if let Event::MotionNotify(event) = event {
            self.handle_motion((event.event_x, event.event_y), event.sequence)?;
        } else if let Event::EnterNotify(event) = event {
            if event.detail != NotifyDetail::INFERIOR {
                self.pointer.set_inside(&self.connection, true, self.picture.layout())?;
                self.handle_motion((event.event_x, event.event_y), event.sequence)?;
            }
        } else if let Event::LeaveNotify(event) = event
            && event.detail != NotifyDetail::INFERIOR
        {
            self.pointer.set_inside(&self.connection, false, self.picture.layout())?;
        }
        Ok(())
    }

    fn handle_window(&mut self, event: &Event) -> Result<(), Error> {
        if let Event::ConfigureNotify(event) = event {
            if event.window == self.top {
                self.resize((event.width.max(1), event.height.max(1)))?;
            }
        } else if let Event::Expose(event) = event {
            if event.window == self.window && event.count == 0 {
                self.picture.put_again(&target(&self.connection, &self.screen, self.window, self.gc))?;
            }
        } else if let Event::MapNotify(event) = event {
            if event.window == self.top {
                self.focus_without_manager()?;
            }
        } else if let Event::FocusIn(event) = event {
            self.handle_focus(event, true);
        } else if let Event::FocusOut(event) = event {
            self.handle_focus(event, false);
        } else if let Event::ClientMessage(event) = event {
            let is_close = event.type_ == self.atoms.WM_PROTOCOLS
                && event.format == 32
                && event.data.as_data32()[0] == self.atoms.WM_DELETE_WINDOW;
            if is_close {
                self.events.push_back(DisplayEvent::Closed);
            }
        } else if let Event::DestroyNotify(event) = event
            && (event.window == self.top || event.window == self.window)
            && !core::mem::replace(&mut self.gone, true)
        {
            self.picture.handle_refusal();
            self.events.push_back(DisplayEvent::Closed);
        }
        Ok(())
    }

    fn handle_button(&mut self, event: &ButtonPressEvent, pressed: bool) {
        let wheel = |dx, dy| pressed.then_some(InputEvent::Wheel { dx, dy });
        let event = match event.detail {
            4 => wheel(0, NOTCH),
            5 => wheel(0, -NOTCH),
            6 => wheel(-NOTCH, 0),
            7 => wheel(NOTCH, 0),
            number => button(number).map(|button| InputEvent::Button { button, pressed }),
        };
        self.events.extend(event.map(DisplayEvent::Pointer));
    }

    /// A place the pointer is at. Places that nobody has asked for yet give way to newer ones.
    fn handle_motion(&mut self, place: (i16, i16), sequence: u16) -> Result<(), Error> {
        let moved = self.pointer.relative(&self.connection, self.size, place, sequence)?;
        let event = match moved {
            Some((0, 0)) => return Ok(()),
            Some((dx, dy)) => InputEvent::PointerRelative { dx, dy },
            None => {
                let Some(layout) = self.picture.layout() else { return Ok(()) };
                let (x, y) = layout.to_picture(place.0, place.1);
                if let Some(DisplayEvent::Pointer(InputEvent::PointerAbsolute { .. })) = self.events.back() {
                    self.events.pop_back();
                }
                InputEvent::PointerAbsolute { x, y }
            }
        };
        self.events.push_back(DisplayEvent::Pointer(event));
        Ok(())
    }

    /// Our own grab moves the focus in name only; somebody else's takes the keys away.
    fn handle_focus(&mut self, event: &FocusInEvent, focused: bool) {
        let in_name = matches!(event.detail, NotifyDetail::INFERIOR | NotifyDetail::POINTER);
        let by_grab = event.mode == NotifyMode::GRAB || event.mode == NotifyMode::UNGRAB;
        if event.event == self.top && !in_name && !(by_grab && self.pointer.is_grabbed()) {
            self.set_focused(focused);
        }
    }

    fn set_focused(&mut self, focused: bool) {
        if core::mem::replace(&mut self.focused, focused) != focused {
            self.keyboard.forget();
            self.events.push_back(DisplayEvent::Focus(focused));
        }
    }

    fn resize(&mut self, size: (u16, u16)) -> Result<(), Error> {
        if size == self.size {
            return Ok(());
        }
        self.size = size;
        if self.window != self.top {
            let fill = ConfigureWindowAux::new().width(u32::from(size.0)).height(u32::from(size.1));
            self.connection.configure_window(self.window, &fill)?.ignore_error();
        }
        self.picture.resize(&target(&self.connection, &self.screen, self.window, self.gc), size)?;
        self.pointer.update(&self.connection, self.picture.layout())?;
        self.connection.flush()?;
        self.events.push_back(DisplayEvent::Resized(size.0.into(), size.1.into()));
        Ok(())
    }

    /// Without a window manager nobody gives a new window the focus.
    fn focus_without_manager(&self) -> Result<(), Error> {
        if !self.root_has(self.atoms._NET_SUPPORTING_WM_CHECK, None)? {
            let focus = InputFocus::POINTER_ROOT;
            // A window that is not visible yet refuses; it is asked again when it is mapped.
            self.connection.set_input_focus(focus, self.top, x11rb::CURRENT_TIME)?.ignore_error();
        }
        Ok(())
    }

    /// Whether a property of the root window has anything in it, or this value.
    fn root_has(&self, property: u32, value: Option<u32>) -> Result<bool, Error> {
        let any = AtomEnum::ANY;
        let reply = self.connection.get_property(false, self.screen.root, property, any, 0, 1024)?.reply()?;
        let mut values = reply.value32().into_iter().flatten();
        Ok(value.map_or(reply.value_len > 0, |value| values.any(|other| other == value)))
    }

    fn ask_manager_fullscreen(&self, fullscreen: bool) -> Result<(), Error> {
        let data = [u32::from(fullscreen), self.atoms._NET_WM_STATE_FULLSCREEN, 0, 1, 0];
        let message = ClientMessageEvent::new(32, self.top, self.atoms._NET_WM_STATE, data);
        let mask = EventMask::SUBSTRUCTURE_REDIRECT | EventMask::SUBSTRUCTURE_NOTIFY;
        self.connection.send_event(false, self.screen.root, mask, message)?.ignore_error();
        Ok(())
    }

    /// Fills the screen by size alone, where there is no window manager to ask.
    fn fill_screen(&mut self, fullscreen: bool) -> Result<(), Error> {
        let place = if fullscreen {
            if self.restore.is_none() {
                let geometry = self.connection.get_geometry(self.top)?.reply()?;
                let size = (u32::from(geometry.width), u32::from(geometry.height));
                self.restore = Some((geometry.x.into(), geometry.y.into(), size.0, size.1));
            }
            let root = self.connection.get_geometry(self.screen.root)?.reply()?;
            Some((0, 0, u32::from(root.width), u32::from(root.height)))
        } else {
            self.restore.take()
        };
        if let Some((x, y, width, height)) = place {
            let place = ConfigureWindowAux::new().x(x).y(y).width(width).height(height);
            self.connection.configure_window(self.top, &place)?.ignore_error();
        }
        Ok(())
    }
}

impl Display for X11Display {
    type Error = Error;

    fn present(&mut self, frame: &Frame<'_>, changed: Option<Rectangle>) -> Result<(), Error> {
        self.wake.raise()?;
        while let Some(event) = self.connection.poll_for_event()? {
            self.handle(&event)?;
        }
        // The server may still be reading the buffer of the frame before the last.
        while self.picture.is_busy() && !self.gone {
            let event = self.connection.wait_for_event()?;
            self.handle(&event)?;
        }
        if self.gone {
            return Err(Error::Gone);
        }
        let target = target(&self.connection, &self.screen, self.window, self.gc);
        self.picture.show(&target, self.size, frame, changed)
    }

    fn poll_event(&mut self) -> Result<Option<DisplayEvent>, Error> {
        self.wake.lower()?;
        while self.events.is_empty() {
            let Some(event) = self.connection.poll_for_event()? else {
                self.connection.flush()?;
                return Ok(None);
            };
            self.handle(&event)?;
        }
        Ok(self.events.pop_front())
    }

    fn set_cursor(&mut self, cursor: &Cursor<'_>) -> Result<(), Error> {
        self.wake.raise()?;
        let layout = self.picture.layout();
        self.pointer.set(&self.connection, self.screen.root_depth, cursor, layout)?;
        self.connection.flush()?;
        Ok(())
    }

    fn set_overlay(&mut self, text: &str) -> Result<(), Error> {
        self.wake.raise()?;
        self.overlay.set(&self.connection, self.screen.root_depth, text)?;
        self.connection.flush()?;
        Ok(())
    }

    fn set_grab(&mut self, grab: bool) -> Result<bool, Error> {
        self.wake.raise()?;
        let done = match (grab, self.pointer.is_grabbed()) {
            (true, false) => self.pointer.grab(&self.connection, self.top, self.size)?,
            (false, true) => {
                self.pointer.ungrab(&self.connection)?;
                true
            }
            (true, true) | (false, false) => true,
        };
        self.pointer.update(&self.connection, self.picture.layout())?;
        self.connection.flush()?;
        Ok(done)
    }

    fn set_fullscreen(&mut self, fullscreen: bool) -> Result<bool, Error> {
        self.wake.raise()?;
        if self.root_has(self.atoms._NET_SUPPORTED, Some(self.atoms._NET_WM_STATE_FULLSCREEN))? {
            self.ask_manager_fullscreen(fullscreen)?;
        } else {
            self.fill_screen(fullscreen)?;
        }
        self.connection.flush()?;
        Ok(true)
    }
}

impl Pollable for X11Display {
    fn poll_fd(&self) -> BorrowedFd<'_> {
        self.wake.descriptor()
    }
}

fn target<'a>(connection: &'a RustConnection, screen: &Screen, window: Window, gc: Gcontext) -> Target<'a> {
    Target { connection, window, gc, depth: screen.root_depth }
}

/// What is heard where the picture is.
fn picture_events() -> EventMask {
    EventMask::EXPOSURE
        | EventMask::BUTTON_PRESS
        | EventMask::BUTTON_RELEASE
        | EventMask::POINTER_MOTION
        | EventMask::ENTER_WINDOW
        | EventMask::LEAVE_WINDOW
}

/// What is heard at the window that the window manager knows.
fn top_events() -> EventMask {
    EventMask::KEY_PRESS | EventMask::KEY_RELEASE | EventMask::FOCUS_CHANGE | EventMask::STRUCTURE_NOTIFY
}

/// A black window with the screen's own pixels, whatever its parent's are.
fn create_window(
    connection: &RustConnection,
    screen: &Screen,
    parent: Window,
    (width, height): (u16, u16),
    events: EventMask,
) -> Result<Window, Error> {
    let window = connection.generate_id()?;
    let aux = CreateWindowAux::new()
        .background_pixel(screen.black_pixel)
        .border_pixel(screen.black_pixel)
        .colormap(screen.default_colormap)
        .event_mask(events);
    let (class, visual, depth) = (WindowClass::INPUT_OUTPUT, screen.root_visual, screen.root_depth);
    connection.create_window(depth, window, parent, 0, 0, width, height, 0, class, visual, &aux)?.check()?;
    Ok(window)
}

/// The button of an X server's number; 4 to 7 are the wheel.
fn button(number: u8) -> Option<Button> {
    match number {
        1 => Some(Button::LEFT),
        2 => Some(Button::MIDDLE),
        3 => Some(Button::RIGHT),
        other => Button::new(other.checked_sub(5).filter(|index| *index >= 3)?),
    }
}
