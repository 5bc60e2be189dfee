//! Who takes part.

use super::play::PERIOD_US;

/// A way to the client and back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    /// The round trip, in µs.
    pub(crate) rtt_us: u64,
    /// The part of a period that a picture takes to leave, in thousandths.
    pub(crate) spread_permille: u64,
}

impl Path {
    /// How long a picture takes to leave, in µs.
    pub(super) const fn spread_us(&self) -> u64 {
        PERIOD_US * self.spread_permille / 1000
    }
}

/// What repair packets are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Code {
    /// There are none.
    None,
    /// One for so many packets.
    Xor(u64),
    /// Equations behind a picture, over it and so many before; over one picture a Reed–Solomon code.
    Window {
        /// Pictures before this one.
        back: u64,
    },
}

impl Code {
    /// Pictures before this one that are covered.
    pub(super) const fn back(&self) -> u64 {
        match self {
            Self::Window { back } => *back,
            Self::None | Self::Xor(_) => 0,
        }
    }
}

/// What the client asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    /// Nothing.
    No,
    /// The packets that are missing.
    Again,
    /// More parity, as much as it lacks; and where there is no time to ask again, `more` times that and `plus` beyond.
    Parity {
        /// Of what is lacking.
        more: f64,
        /// Packets.
        plus: u64,
    },
}

/// One contender.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scheme {
    /// Its stable name.
    pub(crate) name: &'static str,
    /// Its code.
    pub(crate) code: Code,
    /// Repair packets of a picture on average.
    pub(crate) parity: f64,
    /// What it asks for.
    pub(crate) ask: Ask,
}
