//! X displays as a benchmark sees them: two virtual ones, what is drawn on one and what appears on the other.
//!
//! The benchmark is a plain X client of both. It shares no code with the programs it measures.

mod eye;
mod text;
mod virtual_screen;
mod window;

pub(crate) use eye::{Eye, Image};
pub(crate) use text::{BLACK, COLOURED, Font};
pub(crate) use virtual_screen::VirtualScreen;
pub(crate) use window::{Canvas, fill_screen, focus, park_pointer};

/// Width of both screens, pixels.
pub(crate) const WIDTH: u16 = 1920;
/// Height of both screens, pixels.
pub(crate) const HEIGHT: u16 = 1080;
