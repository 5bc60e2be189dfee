//! ARM PrimeCell colour LCD controller PL111 (DDI 0293).

use crate::Registers;

const TIMING_0: usize = 0x00;
const TIMING_1: usize = 0x04;
const TIMING_2: usize = 0x08;
const UPPER_PANEL_BASE: usize = 0x10;
const CONTROL: usize = 0x18;

/// Enabled, 16 bits a pixel as 5:6:5, TFT, blue in the low bits, powered.
const CONTROL_565: u32 = 1 | 6 << 1 | 1 << 5 | 1 << 8 | 1 << 11;
/// Porches and sync widths: those of a usual 60 Hz panel; the fields for sizes are 0.
const PORCHES_0: u32 = 0x3f1f_3f00;
const PORCHES_2: u32 = 0x0400_1800;

/// A screen of `width` × `height` pixels, which lie at the bus address `pixels` from now on: two bytes each, little-endian,
/// red in the high bits, rows without gaps.
///
/// `width` is a multiple of 16 from 16 to 1024, `height` is 1 to 1024.
pub fn start(registers: &impl Registers, width: u16, height: u16, pixels: u32) {
    let (width, height) = (u32::from(width), u32::from(height));
    registers.write(CONTROL, 0);
    registers.write(TIMING_0, ((width / 16 - 1) & 0x3f) << 2 | PORCHES_0);
    registers.write(TIMING_1, (height - 1) & 0x3ff);
    registers.write(TIMING_2, ((width - 1) & 0x3ff) << 16 | PORCHES_2);
    registers.write(UPPER_PANEL_BASE, pixels);
    registers.write(CONTROL, CONTROL_565);
}

#[cfg(test)]
mod tests {
    use core::cell::RefCell;

    use super::*;

    struct Controller(RefCell<[u32; 8]>);

    impl Registers for Controller {
        fn read(&self, offset: usize) -> u32 {
            self.0.borrow()[offset / 4]
        }

        fn write(&self, offset: usize, value: u32) {
            let mut words = self.0.borrow_mut();
            assert!(words[6] & 1 == 0 || offset == CONTROL, "changed while it scans");
            words[offset / 4] = value;
        }
    }

    #[test]
    fn size_and_place_are_what_was_asked_for_before_it_is_switched_on() {
        let controller = Controller(RefCell::new([0; 8]));
        start(&controller, 800, 600, 0x6400_0000);
        assert_eq!((controller.read(TIMING_0) >> 2 & 0x3f) * 16 + 16, 800);
        assert_eq!(controller.read(TIMING_1) & 0x3ff, 599);
        assert_eq!(controller.read(UPPER_PANEL_BASE), 0x6400_0000);
        assert_eq!(controller.read(CONTROL) >> 1 & 7, 6);
    }
}
