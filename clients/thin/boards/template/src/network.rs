//! The network card.

use core::task::Context;

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};

/// HERE: a driver for embassy-net, from the chip's crate or of the board's own (`../parts/src/lan9118.rs`). Buffers that a
/// device reads and writes by itself (DMA) lie where it reaches them and no cache hides them.
pub struct Card;

/// A frame that never comes, and room for one that never leaves.
pub enum NoFrame {}

impl RxToken for NoFrame {
    fn consume<T, F: FnOnce(&mut [u8]) -> T>(self, _: F) -> T {
        match self {}
    }
}

impl TxToken for NoFrame {
    fn consume<T, F: FnOnce(&mut [u8]) -> T>(self, _: usize, _: F) -> T {
        match self {}
    }
}

impl Driver for Card {
    type RxToken<'a> = NoFrame;
    type TxToken<'a> = NoFrame;

    fn receive(&mut self, _: &mut Context<'_>) -> Option<(NoFrame, NoFrame)> {
        None
    }

    fn transmit(&mut self, _: &mut Context<'_>) -> Option<NoFrame> {
        None
    }

    /// HERE: whether the cable carries something; the context's waker is woken when that changes.
    fn link_state(&mut self, _: &mut Context<'_>) -> LinkState {
        LinkState::Down
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = 1514;
        capabilities
    }

    /// HERE: the card's address, or one of the board's own making from the chip's number (IEEE 802, "locally
    /// administered").
    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet([2, 0, 0, 0, 0, 1])
    }
}
