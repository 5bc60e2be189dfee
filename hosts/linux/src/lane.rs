//! The ways in which one screen is coded: every viewer is given one of them.
//!
//! A lane has an encoder, orders, a pace and references of its own; picture numbers are drawn from one count, so that
//! a viewer may change lanes. A lane that nobody watches costs nothing.

use std::io;

use rift::{Capabilities, Codec};

use crate::orders::{Order, Orders};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// H.264 for whoever has a decoder.
    H264,
    /// Tiles with eight bits a colour.
    Tiles888,
    /// Tiles with five, six and five bits.
    Tiles565,
}

impl Lane {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::H264, Self::Tiles888, Self::Tiles565];

    /// The codec of its pictures.
    #[must_use]
    pub const fn codec(self) -> Codec {
        match self {
            Self::H264 => Codec::H264,
            Self::Tiles888 | Self::Tiles565 => Codec::Tiles,
        }
    }

    /// Its place among all.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::H264 => 0,
            Self::Tiles888 => 1,
            Self::Tiles565 => 2,
        }
    }

    /// The lane for a viewer: the first of its codecs that there is (SPEC §11.9). `None`: there is none for it.
    #[must_use]
    pub fn of(capabilities: &Capabilities) -> Option<Self> {
        capabilities.codecs.iter().find_map(|codec| match codec {
            Codec::H264 => Some(Self::H264),
            Codec::Tiles if capabilities.colours.rgb888 => Some(Self::Tiles888),
            Codec::Tiles => Some(Self::Tiles565),
            Codec::Jpeg | _ => None,
        })
    }
}

/// The orders of all lanes.
#[derive(Debug)]
pub struct LaneOrders([Orders; Lane::ALL.len()]);

impl LaneOrders {
    /// All begin with this order.
    ///
    /// # Errors
    /// The kernel gave no event descriptor.
    pub fn new(order: Order) -> io::Result<Self> {
        Ok(Self([Orders::new(order)?, Orders::new(order)?, Orders::new(order)?]))
    }

    /// Those of one lane.
    #[must_use]
    pub const fn of(&self, lane: Lane) -> &Orders {
        &self.0[lane.index()]
    }

    /// Everything ends.
    pub fn stop(&self) {
        for orders in &self.0 {
            orders.change(|order| order.stop = true);
        }
    }
}

#[cfg(test)]
mod tests {
    use rift::Colours;

    use super::*;

    /// SPEC §11.9.
    #[test]
    fn a_viewer_is_given_the_first_of_its_codecs_that_there_is() {
        let of = |codecs: &[Codec]| Lane::of(&Capabilities::of(codecs));
        assert_eq!(of(&[Codec::H264, Codec::Tiles]), Some(Lane::H264));
        assert_eq!(of(&[Codec::Jpeg, Codec::Tiles, Codec::H264]), Some(Lane::Tiles888));
        assert_eq!(of(&[Codec::Jpeg]), None);
        let board = Capabilities { colours: Colours::RGB565, ..Capabilities::of(&[Codec::Tiles]) };
        assert_eq!(Lane::of(&board), Some(Lane::Tiles565));
    }
}
