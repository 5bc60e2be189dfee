//! Measures a session from outside, by pixels alone: it knows X screens and PNG files, and nothing of Wavry.
//!
//! - [`flash`]: a patch flips on the host's screen; how long until the same pixel flips on the viewer's?
//! - [`compare`]: how alike are the host's screen and the picture a client left?

pub mod compare;
pub mod flash;
pub mod quantiles;

/// What went wrong, in words for a person.
pub type Problem = Box<dyn core::error::Error>;
