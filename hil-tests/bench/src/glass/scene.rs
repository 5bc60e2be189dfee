//! What is drawn on the host's screen.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{ConnectionExt as _, EventMask, Pixmap, Rectangle};

use crate::clock::{Chance, now, pause_until};
use crate::failure::Failure;
use crate::x::{BLACK, COLOURED, Canvas, Font, HEIGHT, VirtualScreen, WIDTH};

const PAPER: u32 = 0x00ff_ffff;
const DESK: u32 = 0x0038_4858;
const PATCH: Rectangle = Rectangle { x: 1220, y: 340, width: 600, height: 400 };
const PATCH_COLOURS: [u32; 2] = [0x0020_50a0, 0x00f0_b030];
const TEXT: Rectangle = Rectangle { x: 40, y: 40, width: 1140, height: 988 };
const SCREEN: Rectangle = Rectangle { x: 0, y: 0, width: WIDTH, height: HEIGHT };
/// In the middle of a page: black on one, white on the other.
const MARK: Rectangle = Rectangle { x: 952, y: 532, width: 16, height: 16 };
const MARK_COLOURS: [u32; 2] = [0x0000_0000, 0x00ff_ffff];
/// The patch that both cases of it share, and the mark, are looked at in the middle.
const PATCH_PROBE: (i16, i16) = (1520, 540);
const MARK_PROBE: (i16, i16) = (960, 540);
const SCROLL_PERIOD: Duration = Duration::from_nanos(1_000_000_000 / 60);

/// What is on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// A patch changes its colour on a desktop where nothing else moves.
    Flat,
    /// The whole screen, full of text, turns over to another page.
    Page,
    /// The patch changes beside text that scrolls a line, 60 times a second.
    Scroll,
}

impl Case {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Flat, Self::Page, Self::Scroll];

    /// Its stable name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Page => "page",
            Self::Scroll => "scroll",
        }
    }

    /// Where its text is.
    pub(crate) const fn text_area(self) -> Rectangle {
        match self {
            Self::Flat | Self::Scroll => TEXT,
            Self::Page => SCREEN,
        }
    }
}

/// A change on the host's screen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flip {
    /// Just before the request was made.
    pub(crate) at: Instant,
    /// The probe's colour until then, 0xRRGGBB.
    pub(crate) old: u32,
    /// The probe's colour from then on.
    pub(crate) new: u32,
}

/// The host's screen.
pub(crate) struct Scene {
    canvas: Canvas,
    desktop: Pixmap,
    pages: [Pixmap; 2],
    case: Case,
    /// Which of two colours or pages is shown.
    side: usize,
    scroller: Scroller,
}

impl Scene {
    /// Covers the screen and prepares both pages.
    pub(crate) fn open(screen: &VirtualScreen) -> Result<Self, Failure> {
        let canvas = Canvas::open(screen, DESK, EventMask::NO_EVENT)?;
        let font = Font::open(&canvas.connection, canvas.gc, PAPER)?;
        let mut chance = Chance::new(0x7e87);
        let desktop = pixmap(&canvas)?;
        paper(&canvas, desktop, SCREEN, DESK)?;
        write(&canvas, font, desktop, TEXT, COLOURED, &mut chance)?;
        let mut pages = [0; 2];
        for (page, colour) in pages.iter_mut().zip(MARK_COLOURS) {
            *page = pixmap(&canvas)?;
            write(&canvas, font, *page, SCREEN, BLACK, &mut chance)?;
            paper(&canvas, *page, MARK, colour)?;
        }
        canvas.settle()?;
        let scroller = Scroller::start(screen, canvas.window)?;
        let mut this = Self { canvas, desktop, pages, case: Case::Flat, side: 0, scroller };
        this.show(Case::Flat)?;
        Ok(this)
    }

    /// Draws a case from its beginning.
    pub(crate) fn show(&mut self, case: Case) -> Result<(), Failure> {
        self.scroller.scroll(false);
        self.case = case;
        self.copy(self.desktop)?;
        self.flip()?;
        self.canvas.settle()?;
        self.scroller.scroll(case == Case::Scroll);
        Ok(())
    }

    /// Changes what the probe sees.
    pub(crate) fn flip(&mut self) -> Result<Flip, Failure> {
        let before = self.side;
        self.side = 1 - before;
        let at = now();
        let colours = match self.case {
            Case::Flat | Case::Scroll => {
                self.canvas.fill(PATCH, PATCH_COLOURS[self.side])?;
                PATCH_COLOURS
            }
            Case::Page => {
                self.copy(self.pages[self.side])?;
                MARK_COLOURS
            }
        };
        Ok(Flip { at, old: colours[before], new: colours[self.side] })
    }

    /// The pixel that flips.
    pub(crate) const fn probe(&self) -> (i16, i16) {
        match self.case {
            Case::Flat | Case::Scroll => PATCH_PROBE,
            Case::Page => MARK_PROBE,
        }
    }

    /// Stops what scrolls for as long as the guard lives. When this returns, the last line is on the screen.
    pub(crate) fn hold_still(&self) -> Hold {
        self.scroller.hold()
    }

    fn copy(&self, from: Pixmap) -> Result<(), Failure> {
        let Canvas { connection, window, gc } = &self.canvas;
        connection.copy_area(from, *window, *gc, 0, 0, 0, 0, WIDTH, HEIGHT)?;
        connection.flush()?;
        Ok(())
    }
}

/// Keeps the text still while it lives.
#[derive(Debug)]
pub(crate) struct Hold {
    held: Arc<AtomicBool>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.held.store(false, Ordering::Release);
    }
}

/// Scrolls text by a line, 60 times a second, on a thread and a connection of its own.
struct Scroller {
    state: Arc<State>,
    held: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    scrolling: AtomicBool,
    ended: AtomicBool,
    /// Held while a line is drawn.
    drawing: Mutex<()>,
}

impl Scroller {
    fn start(screen: &VirtualScreen, window: u32) -> Result<Self, Failure> {
        let connection = screen.connect()?;
        let gc = connection.generate_id()?;
        let look = x11rb::protocol::xproto::CreateGCAux::new().graphics_exposures(0);
        connection.create_gc(gc, window, &look)?.check()?;
        let font = Font::open(&connection, gc, PAPER)?;
        let canvas = Canvas { connection, window, gc };
        let state = Arc::new(State::default());
        let held = Arc::new(AtomicBool::new(false));
        let (seen, holds) = (Arc::clone(&state), Arc::clone(&held));
        let thread = std::thread::spawn(move || {
            if let Err(failure) = scroll(&canvas, font, &seen, &holds) {
                eprintln!("bench glass: the text stopped scrolling: {failure}");
            }
        });
        Ok(Self { state, held, thread: Some(thread) })
    }

    fn scroll(&self, on: bool) {
        self.state.scrolling.store(on, Ordering::Release);
        drop(self.between_lines());
    }

    fn hold(&self) -> Hold {
        self.held.store(true, Ordering::Release);
        drop(self.between_lines());
        Hold { held: Arc::clone(&self.held) }
    }

    /// No line is being drawn while the guard lives.
    fn between_lines(&self) -> MutexGuard<'_, ()> {
        self.state.drawing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Scroller {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn scroll(canvas: &Canvas, font: Font, state: &State, held: &AtomicBool) -> Result<(), Failure> {
    let Canvas { connection, window, gc } = canvas;
    let line = i16::try_from(Font::HEIGHT)?;
    let mut chance = Chance::new(0x5c07);
    let mut next = now();
    while !state.ended.load(Ordering::Acquire) {
        next = (next + SCROLL_PERIOD).max(now());
        pause_until(next);
        let _drawing = state.drawing.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.scrolling.load(Ordering::Acquire) || held.load(Ordering::Acquire) {
            continue;
        }
        let Rectangle { x, y, width, height } = TEXT;
        let rest = height - Font::HEIGHT;
        connection.copy_area(*window, *window, *gc, x, y + line, x, y, width, rest)?;
        let bottom = y + i16::try_from(rest)?;
        font.write_line(
            connection,
            *window,
            (x, bottom),
            usize::from(width / Font::WIDTH),
            COLOURED,
            &mut chance,
        )?;
        canvas.settle()?;
    }
    Ok(())
}

fn pixmap(canvas: &Canvas) -> Result<Pixmap, Failure> {
    let pixmap = canvas.connection.generate_id()?;
    canvas.connection.create_pixmap(24, pixmap, canvas.window, WIDTH, HEIGHT)?.check()?;
    Ok(pixmap)
}

fn paper(canvas: &Canvas, on: Pixmap, area: Rectangle, colour: u32) -> Result<(), Failure> {
    let look = x11rb::protocol::xproto::ChangeGCAux::new().foreground(colour);
    canvas.connection.change_gc(canvas.gc, &look)?;
    canvas.connection.poly_fill_rectangle(on, canvas.gc, &[area])?;
    Ok(())
}

/// Fills an area with paper and lines.
fn write(
    canvas: &Canvas,
    font: Font,
    on: Pixmap,
    area: Rectangle,
    inks: &[u32],
    chance: &mut Chance,
) -> Result<(), Failure> {
    paper(canvas, on, area, PAPER)?;
    let letters = usize::from(area.width / Font::WIDTH);
    let mut y = area.y;
    for _ in 0..area.height / Font::HEIGHT {
        font.write_line(&canvas.connection, on, (area.x, y), letters, inks, chance)?;
        y += i16::try_from(Font::HEIGHT)?;
    }
    Ok(())
}
