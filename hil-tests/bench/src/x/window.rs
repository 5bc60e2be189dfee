//! Windows: one that covers a screen and is drawn upon, and those of the programs that are measured.

use core::time::Duration;

use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{
    ConfigureWindowAux, ConnectionExt as _, CreateGCAux, CreateWindowAux, EventMask, Gcontext, InputFocus,
    MapState, Rectangle, StackMode, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::{COPY_DEPTH_FROM_PARENT, COPY_FROM_PARENT, CURRENT_TIME};

use super::{HEIGHT, VirtualScreen, WIDTH};
use crate::clock::wait_until;
use crate::failure::{Context as _, Failure};

/// How long a program may take to show its window.
const WINDOW_LIMIT: Duration = Duration::from_secs(10);
/// A window at least this large is a viewer's, not a helper's.
const WIDTH_MIN: u16 = 200;

/// A window over the whole screen, and the means to draw upon it.
#[derive(Debug)]
pub(crate) struct Canvas {
    /// The connection that owns the window.
    pub(crate) connection: RustConnection,
    /// The window.
    pub(crate) window: Window,
    /// A context without graphics exposures.
    pub(crate) gc: Gcontext,
}

impl Canvas {
    /// Covers the screen with a window of one colour that hears these events, and parks the pointer in the corner.
    pub(crate) fn open(screen: &VirtualScreen, colour: u32, events: EventMask) -> Result<Self, Failure> {
        let connection = screen.connect()?;
        let root = connection.setup().roots.first().ok_or("the display has no screen")?.root;
        let (window, gc) = (connection.generate_id()?, connection.generate_id()?);
        let look = CreateWindowAux::new().background_pixel(colour).override_redirect(1).event_mask(events);
        let class = WindowClass::INPUT_OUTPUT;
        connection.create_window(
            COPY_DEPTH_FROM_PARENT,
            window,
            root,
            0,
            0,
            WIDTH,
            HEIGHT,
            0,
            class,
            COPY_FROM_PARENT,
            &look,
        )?;
        connection.create_gc(gc, window, &CreateGCAux::new().graphics_exposures(0))?;
        connection.map_window(window)?.check().context("cannot cover the screen")?;
        park_pointer(&connection)?;
        Ok(Self { connection, window, gc })
    }

    /// Fills a rectangle, and sends that off at once.
    pub(crate) fn fill(&self, area: Rectangle, colour: u32) -> Result<(), Failure> {
        self.connection
            .change_gc(self.gc, &x11rb::protocol::xproto::ChangeGCAux::new().foreground(colour))?;
        self.connection.poly_fill_rectangle(self.window, self.gc, &[area])?;
        self.connection.flush()?;
        Ok(())
    }

    /// Waits until the server has done all that was asked of it.
    pub(crate) fn settle(&self) -> Result<(), Failure> {
        self.connection.get_input_focus()?.reply()?;
        Ok(())
    }
}

/// Puts the pointer where its picture covers no pixel that is looked at: a virtual screen draws it into its image.
pub(crate) fn park_pointer(connection: &RustConnection) -> Result<(), Failure> {
    let root = connection.setup().roots.first().ok_or("the display has no screen")?.root;
    let (x, y) = (i16::try_from(WIDTH - 1)?, i16::try_from(HEIGHT - 1)?);
    connection.warp_pointer(x11rb::NONE, root, 0, 0, 0, 0, x, y)?.check()?;
    Ok(())
}

/// Waits for a viewer's window, makes it cover the screen if it does not (there is no window manager to ask), and
/// returns it.
pub(crate) fn fill_screen(connection: &RustConnection) -> Result<Window, Failure> {
    let root = connection.setup().roots.first().ok_or("the display has no screen")?.root;
    let found = wait_until(WINDOW_LIMIT, || largest_window(connection, root).ok().flatten());
    let window = found.ok_or("the viewer shows no window")?;
    let place = connection.get_geometry(window)?.reply()?;
    if (place.x, place.y, place.width, place.height) != (0, 0, WIDTH, HEIGHT) {
        let wanted = ConfigureWindowAux::new().x(0).y(0).width(u32::from(WIDTH)).height(u32::from(HEIGHT));
        let wanted = wanted.border_width(0).stack_mode(StackMode::ABOVE);
        connection.configure_window(window, &wanted)?.check()?;
    }
    Ok(window)
}

/// Gives a window the keyboard.
pub(crate) fn focus(connection: &RustConnection, window: Window) -> Result<(), Failure> {
    connection
        .set_input_focus(InputFocus::PARENT, window, CURRENT_TIME)?
        .check()
        .context("cannot focus a window")
}

/// The largest visible child of the root.
fn largest_window(connection: &RustConnection, root: Window) -> Result<Option<Window>, Failure> {
    let mut largest = None;
    for window in connection.query_tree(root)?.reply()?.children {
        // A window may go away between two questions.
        let Ok(attributes) = connection.get_window_attributes(window)?.reply() else { continue };
        let Ok(place) = connection.get_geometry(window)?.reply() else { continue };
        let area = u32::from(place.width) * u32::from(place.height);
        let viewer = attributes.map_state == MapState::VIEWABLE && place.width >= WIDTH_MIN;
        if viewer && largest.is_none_or(|(_, most)| area > most) {
            largest = Some((window, area));
        }
    }
    Ok(largest.map(|(window, _)| window))
}
