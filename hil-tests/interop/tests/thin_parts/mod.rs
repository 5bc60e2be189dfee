//! What tests of the client for boards have in common: a board, a host, and their life.

pub(crate) mod board;
pub(crate) mod sharer;

use core::cell::RefCell;
use std::rc::Rc;

use rift::{InputEvent, Instant, Noise, Rectangle, Scancode};
use rift_smoltcp::HostDriver;
use wavry_interop::Wire;
use wavry_interop::board::Place;
use wavry_interop::frames::{Card, Frames};
use wavry_interop::parties::HostStorage;

use board::{Board, Seen};
use sharer::Sharer;

pub(crate) const WIDTH: u16 = 160;
pub(crate) const HEIGHT: u16 = 120;
pub(crate) const FRAME_LEN: usize = WIDTH as usize * HEIGHT as usize * 2;
pub(crate) const STEP_US: u64 = 500;
const HANG_US: u64 = 60_000_000;
/// What is shown as JPEG now and then: the first tile.
pub(crate) const PHOTO: Rectangle = Rectangle { x: 0, y: 0, width: 64, height: 64 };
pub(crate) const BOARD: Place = Place::new(0, 1);
pub(crate) const HOST: Place = Place::new(0, 2);

pub(crate) type Shared<T> = Rc<RefCell<T>>;
pub(crate) type Driver<F> = HostDriver<Card<F>, Box<HostStorage>, Noise>;

/// Draws, and types, until the board shows everything and everything has arrived.
pub(crate) fn live<F: Frames>(
    board: &mut Board,
    host: &mut (Driver<F>, Sharer),
    seen: &Seen,
    wire: &Shared<Wire>,
    now: &mut Instant,
    what: &str,
    beside: &mut dyn FnMut(Instant),
) {
    let typed: Vec<InputEvent> = (2..40)
        .flat_map(|code| [true, false].map(|pressed| (code, pressed)))
        .map(|(code, pressed)| InputEvent::Key { key: Scancode::new(code).expect("a key"), pressed })
        .collect();
    let (driver, sharer) = host;
    sharer.got.clear();
    let (begun, mut drawn, mut is_typed) = (*now, 0, false);
    loop {
        *now = now.plus_micros(STEP_US);
        wire.borrow_mut().advance(*now);
        // Only what is done while pictures show is for the host; those of a host that was killed show until it is missed.
        let is_watching = *seen.is_watching.borrow() && sharer.is_watched;
        if drawn < 30 && is_watching && now.micros_since(begun) > drawn * 40_000 {
            sharer.draw();
            drawn += 1;
        }
        if is_watching && !is_typed && drawn > 5 {
            seen.typed.borrow_mut().extend(&typed);
            is_typed = true;
        }
        if let Some(session) = driver.session() {
            sharer.work(*now, session);
        }
        let _ = driver.turn(*now, sharer);
        beside(*now);
        board.step(*now);
        if drawn == 30 && sharer.got == typed && *seen.pixels.borrow() == sharer.frame {
            eprintln!("{what}: {} ms", now.micros_since(begun) / 1000);
            return;
        }
        let wrong =
            seen.pixels.borrow().iter().zip(&sharer.frame).filter(|(one, other)| one != other).count();
        assert!(
            now.micros_since(begun) < HANG_US,
            "{what}: {drawn} drawn, {wrong} bytes differ, {} of {} events",
            sharer.got.len(),
            typed.len()
        );
    }
}
