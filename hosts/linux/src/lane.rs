//! The ways in which one screen is coded: every viewer is given one of them.
//!
//! A lane has an encoder, orders, a pace and references of its own; picture numbers are drawn from one count, so that
//! a viewer may change lanes. A lane that nobody watches costs nothing.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
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
    /// The same as the one before the last, with photographs as JPEG.
    Photos888,
    /// The same with five, six and five bits.
    Photos565,
}

impl Lane {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::H264, Self::Tiles888, Self::Tiles565, Self::Photos888, Self::Photos565];

    /// The codec of its pictures.
    #[must_use]
    pub const fn codec(self) -> Codec {
        match self {
            Self::H264 => Codec::H264,
            Self::Tiles888 | Self::Tiles565 | Self::Photos888 | Self::Photos565 => Codec::Tiles,
        }
    }

    /// Its place among all.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::H264 => 0,
            Self::Tiles888 => 1,
            Self::Tiles565 => 2,
            Self::Photos888 => 3,
            Self::Photos565 => 4,
        }
    }

    /// The lane for a viewer: the first of its codecs that there is (SPEC §11.9). `None`: there is none for it.
    #[must_use]
    pub fn of(capabilities: &Capabilities) -> Option<Self> {
        capabilities.codecs.iter().find_map(|codec| match codec {
            Codec::H264 => Some(Self::H264),
            Codec::Tiles => Some(match (capabilities.colours.rgb888, capabilities.can(Codec::Jpeg)) {
                (true, false) => Self::Tiles888,
                (false, false) => Self::Tiles565,
                (true, true) => Self::Photos888,
                (false, true) => Self::Photos565,
            }),
            // Not a codec of whole pictures here.
            Codec::Jpeg | _ => None,
        })
    }
}

/// The orders of all lanes, and which input of a card they are made of.
#[derive(Debug)]
pub struct LaneOrders {
    lanes: [Orders; Lane::ALL.len()],
    /// What is shared has inputs.
    has_inputs: AtomicBool,
    /// The input that was asked for and not taken yet.
    input: AtomicU32,
}

/// No input was asked for.
const NO_INPUT: u32 = u32::MAX;

impl LaneOrders {
    /// All begin with this order.
    ///
    /// # Errors
    /// The kernel gave no event descriptor.
    pub fn new(order: Order) -> io::Result<Self> {
        Ok(Self {
            lanes: [
                Orders::new(order)?,
                Orders::new(order)?,
                Orders::new(order)?,
                Orders::new(order)?,
                Orders::new(order)?,
            ],
            has_inputs: AtomicBool::new(false),
            input: AtomicU32::new(NO_INPUT),
        })
    }

    /// Those of one lane.
    #[must_use]
    pub const fn of(&self, lane: Lane) -> &Orders {
        &self.lanes[lane.index()]
    }

    /// The card is to be switched to this input. `false`: what is shared has none.
    pub fn select_input(&self, index: u32) -> bool {
        let has_inputs = self.has_inputs.load(Ordering::Relaxed);
        if has_inputs {
            self.input.store(index, Ordering::Relaxed);
            self.lanes[0].wake();
        }
        has_inputs
    }

    /// Capture: what is shared has inputs.
    pub fn offer_inputs(&self) {
        self.has_inputs.store(true, Ordering::Relaxed);
    }

    /// Capture: the input that was asked for since the last time.
    #[must_use]
    pub fn take_input(&self) -> Option<u32> {
        Some(self.input.swap(NO_INPUT, Ordering::Relaxed)).filter(|&index| index != NO_INPUT)
    }

    /// Everything ends.
    pub fn stop(&self) {
        for orders in &self.lanes {
            orders.change(|order| order.stop = true);
        }
    }
}

#[cfg(test)]
mod tests {
    use rift::Colours;

    use super::*;

    #[test]
    fn input_is_asked_for_once_and_only_where_there_are_some() {
        let orders = LaneOrders::new(Order::idle(1_000_000, 16_667)).unwrap();
        assert!(!orders.select_input(1) && orders.take_input().is_none());
        orders.offer_inputs();
        assert!(orders.select_input(1) && orders.select_input(0), "the newest counts");
        assert_eq!((orders.take_input(), orders.take_input()), (Some(0), None));
    }

    /// SPEC §11.9.
    #[test]
    fn a_viewer_is_given_the_first_of_its_codecs_that_there_is() {
        let of = |codecs: &[Codec]| Lane::of(&Capabilities::of(codecs));
        assert_eq!(of(&[Codec::H264, Codec::Tiles]), Some(Lane::H264));
        assert_eq!(of(&[Codec::Tiles, Codec::H264]), Some(Lane::Tiles888));
        assert_eq!(of(&[Codec::Jpeg, Codec::Tiles, Codec::H264]), Some(Lane::Photos888));
        assert_eq!(of(&[Codec::Jpeg, Codec::H264]), Some(Lane::H264));
        assert_eq!(of(&[Codec::Jpeg]), None);
        let board = Capabilities { colours: Colours::RGB565, ..Capabilities::of(&[Codec::Tiles]) };
        assert_eq!(Lane::of(&board), Some(Lane::Tiles565));
        let codecs = Capabilities::of(&[Codec::Tiles, Codec::Jpeg]).codecs;
        assert_eq!(Lane::of(&Capabilities { codecs, ..board }), Some(Lane::Photos565));
    }
}
