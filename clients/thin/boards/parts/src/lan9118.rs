//! SMSC LAN9118 Ethernet controller (data sheet revision 1.5), reached over a 32-bit bus, for embassy-net.

use core::task::Context;

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_sync::waitqueue::AtomicWaker;

use crate::Registers;

const RX_DATA: usize = 0x00;
const TX_DATA: usize = 0x20;
const RX_STATUS: usize = 0x40;
const TX_STATUS: usize = 0x48;
const ID_REV: usize = 0x50;
const IRQ_CFG: usize = 0x54;
const INT_STS: usize = 0x58;
const INT_EN: usize = 0x5c;
const BYTE_TEST: usize = 0x64;
const FIFO_INT: usize = 0x68;
const RX_CFG: usize = 0x6c;
const TX_CFG: usize = 0x70;
const HW_CFG: usize = 0x74;
const RX_FIFO_INF: usize = 0x7c;
const TX_FIFO_INF: usize = 0x80;
const AFC_CFG: usize = 0xac;
const MAC_CMD: usize = 0xa4;
const MAC_DATA: usize = 0xa8;

const INT_RECEIVED: u32 = 1 << 3;
const INT_PHY: u32 = 1 << 18;
const BUSY: u32 = 1 << 31;
const READ: u32 = 1 << 30;

const MAC_CONTROL: u32 = 1;
const MAC_ADDRESS_HIGH: u32 = 2;
const MAC_ADDRESS_LOW: u32 = 3;
const MAC_PHY_ACCESS: u32 = 6;
const MAC_PHY_DATA: u32 = 7;
/// Of the only PHY, which has address 1.
const PHY_STATUS: u32 = 1;
const PHY_INTERRUPT_SOURCE: u32 = 29;
const PHY_INTERRUPT_MASK: u32 = 30;
const PHY_LINK_UP: u32 = 1 << 2;
/// Negotiation complete, link down.
const PHY_INTERRUPTS: u32 = 1 << 6 | 1 << 4;

/// Bytes of the longest frame, without its check sum.
const FRAME_LEN: usize = 1514;
/// A frame, its check sum and what fills the last word.
const BUFFER_LEN: usize = 1520;
/// Looks before the chip is taken for broken.
const PATIENCE: u32 = 1_000_000;

/// What is at the address is no LAN9118, or it does not come to life; with what it says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoChip(pub u32);

/// The controller. The interrupt is shared through [`Lan9118::on_interrupt`].
pub struct Lan9118<R> {
    registers: R,
    waker: &'static AtomicWaker,
    address: [u8; 6],
    is_up: bool,
    received: [u8; BUFFER_LEN],
    sent: [u8; BUFFER_LEN],
}

impl<R: Registers> Lan9118<R> {
    /// Resets the chip and switches it on. Its interrupt line is active high from then on, and low before: unmask it at
    /// the interrupt controller only after this.
    ///
    /// # Errors
    /// [`NoChip`].
    pub fn new(registers: R, waker: &'static AtomicWaker) -> Result<Self, NoChip> {
        let test = registers.read(BYTE_TEST);
        if test != 0x8765_4321 {
            return Err(NoChip(test));
        }
        let identity = registers.read(ID_REV);
        if identity >> 16 != 0x0118 {
            return Err(NoChip(identity));
        }
        registers.write(HW_CFG, 1);
        if !(0..PATIENCE).any(|_| registers.read(HW_CFG) & 1 == 0) {
            return Err(NoChip(identity));
        }
        // Must be one; 5 KiB of the FIFO for sending.
        registers.write(HW_CFG, 1 << 20 | 5 << 16);
        registers.write(AFC_CFG, 0x006e_3740);
        registers.write(INT_EN, 0);
        registers.write(INT_STS, u32::MAX);
        // Enabled, active high, push-pull; as soon as one frame is there.
        registers.write(IRQ_CFG, 1 << 8 | 1 << 4 | 1);
        registers.write(FIFO_INT, 0);
        registers.write(RX_CFG, 0);
        registers.write(TX_CFG, 2);
        let mut chip = Self {
            registers,
            waker,
            address: [0; 6],
            is_up: false,
            received: [0; BUFFER_LEN],
            sent: [0; BUFFER_LEN],
        };
        let (high, low) = (chip.mac_read(MAC_ADDRESS_HIGH), chip.mac_read(MAC_ADDRESS_LOW));
        chip.address[..4].copy_from_slice(&low.to_le_bytes());
        chip.address[4..].copy_from_slice(&high.to_le_bytes()[..2]);
        // Full duplex, sender and receiver on.
        let control = chip.mac_read(MAC_CONTROL);
        chip.mac_write(MAC_CONTROL, control | 1 << 20 | 1 << 3 | 1 << 2);
        chip.phy_write(PHY_INTERRUPT_MASK, PHY_INTERRUPTS);
        chip.look_at_link();
        Ok(chip)
    }

    /// To be called from the interrupt: silences the chip until the driver has looked.
    pub fn on_interrupt(registers: &R, waker: &AtomicWaker) {
        registers.write(INT_EN, 0);
        waker.wake();
    }

    /// Its hardware address, from its EEPROM.
    #[must_use]
    pub const fn address(&self) -> [u8; 6] {
        self.address
    }

    fn look_at_link(&mut self) {
        let _ = self.phy_read(PHY_INTERRUPT_SOURCE);
        self.registers.write(INT_STS, INT_PHY);
        // A link that was lost shows down once, whatever it is now.
        let _ = self.phy_read(PHY_STATUS);
        self.is_up = self.phy_read(PHY_STATUS) & PHY_LINK_UP != 0;
    }

    fn mac_wait(&self) {
        let _ = (0..PATIENCE).any(|_| self.registers.read(MAC_CMD) & BUSY == 0);
    }

    fn mac_read(&self, register: u32) -> u32 {
        self.registers.write(MAC_CMD, BUSY | READ | register);
        self.mac_wait();
        self.registers.read(MAC_DATA)
    }

    fn mac_write(&self, register: u32, value: u32) {
        self.registers.write(MAC_DATA, value);
        self.registers.write(MAC_CMD, BUSY | register);
        self.mac_wait();
    }

    fn phy_access(&self, register: u32, write: u32) {
        self.mac_write(MAC_PHY_ACCESS, 1 << 11 | register << 6 | write << 1 | 1);
        let _ = (0..PATIENCE).any(|_| self.mac_read(MAC_PHY_ACCESS) & 1 == 0);
    }

    fn phy_read(&self, register: u32) -> u32 {
        self.phy_access(register, 0);
        self.mac_read(MAC_PHY_DATA)
    }

    fn phy_write(&self, register: u32, value: u32) {
        self.mac_write(MAC_PHY_DATA, value);
        self.phy_access(register, 1);
    }

    fn has_frame(&self) -> bool {
        self.registers.read(RX_FIFO_INF) >> 16 & 0xff != 0
    }

    /// Whether a frame of any length can be sent now.
    fn has_room(&self) -> bool {
        for _ in 0..self.registers.read(TX_FIFO_INF) >> 16 & 0xff {
            // What became of a frame is of no interest: who waits for it asks again.
            self.registers.read(TX_STATUS);
        }
        self.registers.read(TX_FIFO_INF) & 0xffff >= (FRAME_LEN + 16) as u32
    }

    /// Takes the next frame out of the FIFO; its length in `received`.
    fn take(&mut self) -> usize {
        let status = self.registers.read(RX_STATUS);
        let with_sum = (status >> 16 & 0x3fff) as usize;
        let mut place = self.received.chunks_exact_mut(4);
        for _ in 0..with_sum.div_ceil(4) {
            let word = self.registers.read(RX_DATA);
            // A frame too long for an Ethernet has to be read out all the same.
            if let Some(place) = place.next() {
                place.copy_from_slice(&word.to_le_bytes());
            }
        }
        const ERROR: u32 = 1 << 15;
        if status & ERROR != 0 || with_sum > FRAME_LEN + 4 { 0 } else { with_sum.saturating_sub(4) }
    }
}

impl<R> core::fmt::Debug for Lan9118<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Lan9118")
            .field("address", &self.address)
            .field("is_up", &self.is_up)
            .finish_non_exhaustive()
    }
}

/// A frame that came.
#[derive(Debug)]
pub struct Incoming<'a>(&'a mut [u8]);

/// Room for a frame.
#[derive(Debug)]
pub struct Outgoing<'a, R> {
    registers: &'a R,
    buffer: &'a mut [u8; BUFFER_LEN],
}

impl RxToken for Incoming<'_> {
    fn consume<T, F: FnOnce(&mut [u8]) -> T>(self, take: F) -> T {
        take(self.0)
    }
}

impl<R: Registers> TxToken for Outgoing<'_, R> {
    fn consume<T, F: FnOnce(&mut [u8]) -> T>(self, len: usize, write: F) -> T {
        let len = len.min(FRAME_LEN);
        let result = write(&mut self.buffer[..len]);
        let length = len as u32;
        // First and last segment of one frame.
        self.registers.write(TX_DATA, 1 << 13 | 1 << 12 | length);
        self.registers.write(TX_DATA, length);
        for word in self.buffer[..len.next_multiple_of(4)].chunks_exact(4) {
            let word = word.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte));
            self.registers.write(TX_DATA, word);
        }
        result
    }
}

impl<R: Registers> Driver for Lan9118<R> {
    type RxToken<'a>
        = Incoming<'a>
    where
        R: 'a;
    type TxToken<'a>
        = Outgoing<'a, R>
    where
        R: 'a;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(Incoming<'_>, Outgoing<'_, R>)> {
        self.waker.register(context.waker());
        if !self.has_frame() {
            self.registers.write(INT_STS, INT_RECEIVED);
            self.registers.write(INT_EN, INT_RECEIVED | INT_PHY);
            if !self.has_frame() {
                return None;
            }
        }
        if !self.has_room() {
            context.waker().wake_by_ref();
            return None;
        }
        let len = self.take();
        let (received, registers, buffer) = (&mut self.received[..len], &self.registers, &mut self.sent);
        Some((Incoming(received), Outgoing { registers, buffer }))
    }

    fn transmit(&mut self, context: &mut Context<'_>) -> Option<Outgoing<'_, R>> {
        if !self.has_room() {
            context.waker().wake_by_ref();
            return None;
        }
        Some(Outgoing { registers: &self.registers, buffer: &mut self.sent })
    }

    fn link_state(&mut self, context: &mut Context<'_>) -> LinkState {
        self.waker.register(context.waker());
        if self.registers.read(INT_STS) & INT_PHY != 0 {
            self.look_at_link();
        }
        if self.is_up { LinkState::Up } else { LinkState::Down }
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

#[cfg(test)]
mod tests {
    extern crate std;
    use core::cell::{Cell, RefCell};
    use core::task::Waker;
    use std::collections::VecDeque;
    use std::vec::Vec;

    use super::*;

    /// As much of the chip as the driver sees.
    #[derive(Default)]
    struct Chip {
        incoming: RefCell<VecDeque<Vec<u8>>>,
        words: RefCell<VecDeque<u32>>,
        outgoing: RefCell<Vec<u32>>,
        command: Cell<u32>,
        data: Cell<u32>,
        phy_data: Cell<u32>,
        phy_register: Cell<u32>,
        is_up: Cell<bool>,
        interrupts: Cell<u32>,
        enabled: Cell<u32>,
    }

    impl Chip {
        fn plug(&self, is_up: bool) {
            self.is_up.set(is_up);
            self.interrupts.set(self.interrupts.get() | INT_PHY);
        }

        fn mac(&self) -> u32 {
            match self.command.get() & 0xff {
                MAC_ADDRESS_LOW => 0x1200_5452,
                MAC_ADDRESS_HIGH => 0x5634,
                MAC_PHY_DATA if self.phy_register.get() == PHY_STATUS => u32::from(self.is_up.get()) << 2,
                MAC_PHY_DATA => self.phy_data.get(),
                _ => 0,
            }
        }
    }

    impl Registers for Chip {
        fn read(&self, offset: usize) -> u32 {
            match offset {
                BYTE_TEST => 0x8765_4321,
                ID_REV => 0x0118_0001,
                RX_FIFO_INF => (self.incoming.borrow().len() as u32) << 16,
                RX_STATUS => {
                    let frame = self.incoming.borrow_mut().pop_front().expect("looked before");
                    let padded: Vec<u8> = frame.iter().copied().chain([0xee; 4]).chain([0; 3]).collect();
                    let words = padded
                        .chunks_exact(4)
                        .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
                    self.words.borrow_mut().extend(words.take((frame.len() + 4).div_ceil(4)));
                    (frame.len() as u32 + 4) << 16
                }
                RX_DATA => self.words.borrow_mut().pop_front().expect("not beyond the frame"),
                TX_FIFO_INF => 5120,
                MAC_DATA => self.mac(),
                INT_STS => self.interrupts.get(),
                _ => 0,
            }
        }

        fn write(&self, offset: usize, value: u32) {
            match offset {
                TX_DATA => self.outgoing.borrow_mut().push(value),
                MAC_DATA => self.data.set(value),
                MAC_CMD => {
                    self.command.set(value);
                    if value & READ == 0 && value & 0xff == MAC_PHY_ACCESS {
                        self.phy_register.set(self.data.get() >> 6 & 31);
                    }
                }
                INT_STS => self.interrupts.set(self.interrupts.get() & !value),
                INT_EN => self.enabled.set(value),
                _ => {}
            }
        }
    }

    static WAKER: AtomicWaker = AtomicWaker::new();

    #[test]
    fn frames_of_every_length_come_and_go_whole() {
        let registers = Chip::default();
        let mut chip = Lan9118::new(&registers, &WAKER).expect("it is one");
        assert_eq!(chip.address(), [0x52, 0x54, 0, 0x12, 0x34, 0x56]);
        let context = &mut Context::from_waker(Waker::noop());
        for len in [60, 61, 62, 63, 64, 1513, FRAME_LEN] {
            let frame: Vec<u8> = (0..len).map(|at| at as u8).collect();
            registers.incoming.borrow_mut().push_back(frame.clone());
            let (incoming, outgoing) = chip.receive(context).expect("it came");
            incoming.consume(|bytes| assert_eq!(bytes, frame));
            assert!(registers.words.borrow().is_empty(), "all of it was read out");
            outgoing.consume(len, |bytes| bytes.copy_from_slice(&frame));
            let sent: Vec<u32> = registers.outgoing.borrow_mut().drain(..).collect();
            assert_eq!(sent[..2], [0x3000 | len as u32, len as u32]);
            let bytes: Vec<u8> = sent[2..].iter().flat_map(|word| word.to_le_bytes()).collect();
            assert!(bytes.len() < len + 4 && bytes[..len] == frame);
        }
        assert!(chip.receive(context).is_none());
        assert_eq!(registers.enabled.get(), INT_RECEIVED | INT_PHY);
    }

    #[test]
    fn frame_too_long_is_read_out_and_not_given() {
        let registers = Chip::default();
        let mut chip = Lan9118::new(&registers, &WAKER).expect("it is one");
        registers.incoming.borrow_mut().push_back(std::vec![1; 3000]);
        let (incoming, _) = chip.receive(&mut Context::from_waker(Waker::noop())).expect("something came");
        incoming.consume(|bytes| assert!(bytes.is_empty()));
        assert!(registers.words.borrow().is_empty());
    }

    #[test]
    fn cable_is_noticed_when_it_is_pulled_and_plugged() {
        let registers = Chip::default();
        registers.is_up.set(true);
        let mut chip = Lan9118::new(&registers, &WAKER).expect("it is one");
        let context = &mut Context::from_waker(Waker::noop());
        for is_up in [true, false, true] {
            registers.plug(is_up);
            Lan9118::on_interrupt(&&registers, &WAKER);
            assert_eq!(registers.enabled.get(), 0);
            assert_eq!(chip.link_state(context) == LinkState::Up, is_up);
            assert_eq!(registers.interrupts.get(), 0);
        }
    }
}
