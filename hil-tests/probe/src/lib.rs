//! Measures a session from outside, by pixels alone: it knows X screens and PNG files, and nothing of Wavry.
//!
//! - [`flash`]: a patch flips on the host's screen; how long until the same pixel flips on the viewer's?
//! - [`typing`]: a character appears on the host's screen; how long until a board shows it?
//! - [`compare`]: how alike are the host's screen and the picture a client left?

pub mod compare;
pub mod flash;
pub mod quantiles;
pub mod typing;

/// What went wrong, in words for a person.
pub type Problem = Box<dyn core::error::Error>;

/// What the program prints when it is asked for help.
pub const HELP: &str = "\
wavry-probe flash --host DISPLAY --viewer DISPLAY [--x X] [--y Y] [--seconds N] [--seed N]
    flips a patch on the host's screen and times its appearance on the viewer's
wavry-probe typing --host DISPLAY --memory FILE --offset N --stride N [--x X] [--y Y] [--samples N] [--seed N]
    writes characters on the host's screen and times their appearance in the memory that a board scans out, whose pixels
    of 16 bits begin at the offset
wavry-probe compare --host DISPLAY --png FILE
    how alike the host's screen and a picture are, in dB
wavry-probe rgb565 --host DISPLAY --png FILE
    how many pixels of a picture differ from the upper left corner of the host's screen in 5, 6, 5 bits; those near the
    pointer, where a viewer draws the cursor, apart
wavry-probe keys --host DISPLAY
    the evdev codes of the keys that are down there";
