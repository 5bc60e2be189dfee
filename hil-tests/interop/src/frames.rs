//! Ethernet frames between two stacks, and what boards' stacks want of a device.

use core::cell::RefCell;
use core::task::Context;
use std::collections::VecDeque;
use std::rc::Rc;

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState};
use rift::Instant;
use rift_sim::Random;
use smoltcp::phy::{Device, DeviceCapabilities, Medium};

/// Bytes of the longest frame.
const FRAME_LEN: usize = 1514;

/// Where frames go and come from.
pub trait Frames {
    /// The next frame that came.
    fn receive(&mut self) -> Option<Vec<u8>>;
    /// Sends a frame.
    fn send(&mut self, frame: Vec<u8>);
}

/// A cable in virtual time that loses frames and takes a while.
#[derive(Debug)]
pub struct Wire {
    random: Random,
    loss: f64,
    delay_us: u64,
    now: Instant,
    /// What is on its way to each end.
    under_way: [VecDeque<(Instant, Vec<u8>)>; 2],
}

impl Wire {
    /// A cable that loses this part of all frames each way, and its two ends.
    #[must_use]
    pub fn new(seed: u64, loss: f64, delay_us: u64) -> (Rc<RefCell<Self>>, [End; 2]) {
        let wire = Self {
            random: Random::new(seed),
            loss,
            delay_us,
            now: Instant::ZERO,
            under_way: [VecDeque::new(), VecDeque::new()],
        };
        let wire = Rc::new(RefCell::new(wire));
        let ends = [0, 1].map(|side| End { wire: Rc::clone(&wire), side });
        (wire, ends)
    }

    /// Lets time pass.
    pub fn advance(&mut self, now: Instant) {
        self.now = now;
    }
}

/// One end of a [`Wire`].
#[derive(Debug)]
pub struct End {
    wire: Rc<RefCell<Wire>>,
    side: usize,
}

/// The first end again, for a machine that was switched off and on.
#[must_use]
pub fn first_end(wire: &Rc<RefCell<Wire>>) -> End {
    End { wire: Rc::clone(wire), side: 0 }
}

/// The other one.
#[must_use]
pub fn other_end(wire: &Rc<RefCell<Wire>>) -> End {
    End { wire: Rc::clone(wire), side: 1 }
}

impl Frames for End {
    fn receive(&mut self) -> Option<Vec<u8>> {
        let mut wire = self.wire.borrow_mut();
        let now = wire.now;
        let queue = &mut wire.under_way[self.side];
        queue.pop_front_if(|(due, _)| *due <= now).map(|(_, frame)| frame)
    }

    fn send(&mut self, frame: Vec<u8>) {
        let wire = &mut *self.wire.borrow_mut();
        if !wire.random.chance(wire.loss) {
            let due = wire.now.plus_micros(wire.delay_us);
            wire.under_way[1 - self.side].push_back((due, frame));
        }
    }
}

/// Loses a part of all frames, each way.
#[derive(Debug)]
pub struct Lossy<F> {
    frames: F,
    random: Random,
    loss: f64,
}

impl<F> Lossy<F> {
    /// Over these frames.
    pub fn new(frames: F, seed: u64, loss: f64) -> Self {
        Self { frames, random: Random::new(seed), loss }
    }
}

impl<F: Frames> Frames for Lossy<F> {
    fn receive(&mut self) -> Option<Vec<u8>> {
        loop {
            let frame = self.frames.receive()?;
            if !self.random.chance(self.loss) {
                return Some(frame);
            }
        }
    }

    fn send(&mut self, frame: Vec<u8>) {
        if !self.random.chance(self.loss) {
            self.frames.send(frame);
        }
    }
}

/// A device of either stack.
#[derive(Debug)]
pub struct Card<F> {
    frames: F,
    address: [u8; 6],
}

impl<F> Card<F> {
    /// With this hardware address.
    pub const fn new(frames: F, address: [u8; 6]) -> Self {
        Self { frames, address }
    }
}

/// A frame that came.
#[derive(Debug)]
pub struct Incoming(Vec<u8>);

/// Room for a frame.
#[derive(Debug)]
pub struct Outgoing<'a, F>(&'a mut F);

impl smoltcp::phy::RxToken for Incoming {
    fn consume<R, C: FnOnce(&[u8]) -> R>(self, take: C) -> R {
        take(&self.0)
    }
}

impl embassy_net_driver::RxToken for Incoming {
    fn consume<R, C: FnOnce(&mut [u8]) -> R>(mut self, take: C) -> R {
        take(&mut self.0)
    }
}

impl<F: Frames> Outgoing<'_, F> {
    fn put<R>(self, len: usize, write: impl FnOnce(&mut [u8]) -> R) -> R {
        let mut frame = vec![0; len];
        let result = write(&mut frame);
        self.0.send(frame);
        result
    }
}

impl<F: Frames> smoltcp::phy::TxToken for Outgoing<'_, F> {
    fn consume<R, C: FnOnce(&mut [u8]) -> R>(self, len: usize, write: C) -> R {
        self.put(len, write)
    }
}

impl<F: Frames> embassy_net_driver::TxToken for Outgoing<'_, F> {
    fn consume<R, C: FnOnce(&mut [u8]) -> R>(self, len: usize, write: C) -> R {
        self.put(len, write)
    }
}

impl<F: Frames> Device for Card<F> {
    type RxToken<'a>
        = Incoming
    where
        F: 'a;
    type TxToken<'a>
        = Outgoing<'a, F>
    where
        F: 'a;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Incoming, Outgoing<'_, F>)> {
        let frame = self.frames.receive()?;
        Some((Incoming(frame), Outgoing(&mut self.frames)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Outgoing<'_, F>> {
        Some(Outgoing(&mut self.frames))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME_LEN;
        capabilities
    }
}

impl<F: Frames> Driver for Card<F> {
    type RxToken<'a>
        = Incoming
    where
        F: 'a;
    type TxToken<'a>
        = Outgoing<'a, F>
    where
        F: 'a;

    fn receive(&mut self, _: &mut Context<'_>) -> Option<(Incoming, Outgoing<'_, F>)> {
        let frame = self.frames.receive()?;
        Some((Incoming(frame), Outgoing(&mut self.frames)))
    }

    fn transmit(&mut self, _: &mut Context<'_>) -> Option<Outgoing<'_, F>> {
        Some(Outgoing(&mut self.frames))
    }

    fn link_state(&mut self, _: &mut Context<'_>) -> LinkState {
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = FRAME_LEN;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.address)
    }
}
