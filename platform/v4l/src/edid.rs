//! What a card tells the machine at its input that it is: the display's data by which sources choose a mode.
//!
//! Blocks of 128 bytes as VESA's E-EDID 1.3 and CTA-861 define them; those that come from outside are checked before a
//! card gets them.

#![expect(unsafe_code, reason = "the kernel takes the blocks by a pointer")]

use core::str::FromStr;
use std::fs;
use std::os::fd::AsFd as _;
use std::path::Path;

use v4l::v4l_sys as sys;
use v4l::v4l2::vidioc;

use crate::V4lError;
use crate::device::{Device, Plain, READ, WRITE, blank, ioctl, kernel_error, request};

const BLOCK_LEN: usize = 128;
/// More blocks than any source reads over the cable's slow bus.
const BLOCKS_MAX: usize = 4;
const HEADER: [u8; 8] = [0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0];

/// A display's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edid(Vec<u8>);

/// Why bytes are no display's data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EdidError {
    /// Not one to four blocks of 128 bytes, or not as many as the first block says.
    #[error(
        "display data are 1 to {BLOCKS_MAX} blocks of 128 bytes, as many as the first one says; these are {0} bytes"
    )]
    Length(usize),
    /// It does not begin as such data do.
    #[error("this is no display data: it does not begin with 00 ff ff ff ff ff ff 00")]
    Header,
    /// A block does not sum to zero.
    #[error("block {0} of the display data is damaged: its bytes do not sum to 0")]
    Checksum(usize),
    /// The file cannot be read.
    #[error("cannot read {0}: {1}")]
    File(String, String),
}

impl Edid {
    /// 1920 × 1080 at 60 Hz preferred, 720p60 and 640 × 480 besides.
    #[must_use]
    pub fn full_hd() -> Self {
        Self::made(&Mode { clock_10khz: 14_850, across: [1920, 280, 88, 44], down: [1080, 45, 4, 5] }, false)
    }

    /// 3840 × 2160 at 30 Hz preferred, 1080p60, 720p60 and 640 × 480 besides.
    #[must_use]
    pub fn ultra_hd() -> Self {
        Self::made(&Mode { clock_10khz: 29_700, across: [3840, 560, 176, 88], down: [2160, 90, 8, 10] }, true)
    }

    /// From whole blocks.
    ///
    /// # Errors
    /// [`EdidError`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, EdidError> {
        let blocks = bytes.len() / BLOCK_LEN;
        let is_whole = bytes.len().is_multiple_of(BLOCK_LEN) && (1..=BLOCKS_MAX).contains(&blocks);
        if !is_whole || usize::from(bytes[EXTENSIONS]) + 1 != blocks {
            return Err(EdidError::Length(bytes.len()));
        }
        if bytes[..HEADER.len()] != HEADER {
            return Err(EdidError::Header);
        }
        let sum = |block: &[u8]| block.iter().fold(0_u8, |sum, &byte| sum.wrapping_add(byte));
        match bytes.chunks_exact(BLOCK_LEN).position(|block| sum(block) != 0) {
            Some(block) => Err(EdidError::Checksum(block)),
            None => Ok(Self(bytes)),
        }
    }

    /// Its blocks.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether both tell of the same display. Drivers put the card's own place among HDMI devices into it, which is no
    /// difference.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.without_address() == other.without_address()
    }

    fn without_address(&self) -> Vec<u8> {
        let mut bytes = self.0.clone();
        for block in bytes.chunks_exact_mut(BLOCK_LEN).skip(1) {
            if let Some(at) = block.windows(VENDOR.len()).position(|window| window == VENDOR)
                && let Some(address) = block.get_mut(at + VENDOR.len()..at + VENDOR.len() + 2)
            {
                address.fill(0);
                block[BLOCK_LEN - 1] = 0;
            }
        }
        bytes
    }

    fn made(preferred: &Mode, is_ultra: bool) -> Self {
        let mut base = [0; BLOCK_LEN];
        base[..8].copy_from_slice(&HEADER);
        // "WVY" in letters of five bits, a product number, no serial number, made in 2024, version 1.3.
        base[8..20].copy_from_slice(&[0x5e, 0xd9, 1, u8::from(is_ultra), 0, 0, 0, 0, 1, 34, 1, 3]);
        // A digital input; 52 by 29 cm; gamma 2.2; RGB, preferred mode first, sRGB.
        base[20..25].copy_from_slice(&[0x80, 52, 29, 120, 0x0e]);
        // The colours of sRGB.
        base[25..35].copy_from_slice(&[0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54]);
        // 640 × 480, 800 × 600 and 1024 × 768 at 60 Hz; no other standard timings.
        base[35..38].copy_from_slice(&[0x21, 0x08, 0]);
        base[38..54].fill(1);
        base[54..72].copy_from_slice(&preferred.descriptor());
        base[72..90].copy_from_slice(&HD.descriptor());
        base[90..108].copy_from_slice(b"\0\0\0\xfc\0Wavry\n       ");
        // 24 to 75 Hz, 15 to 140 kHz, 300 MHz.
        base[108..126]
            .copy_from_slice(&[0, 0, 0, 0xfd, 0, 24, 75, 15, 140, 30, 0, 0x0a, 32, 32, 32, 32, 32, 32]);
        base[EXTENSIONS] = 1;
        let mut more = [0; BLOCK_LEN];
        // CTA-861 revision 3; RGB only, so that no card has to guess a colour matrix.
        let modes: &[u8] = &[16, 4, 1, 34, 31, 19];
        let mut len = 4;
        more[..4].copy_from_slice(&[2, 3, 0, 0]);
        more[len] = 0x40 | modes.len() as u8;
        more[len + 1..][..modes.len()].copy_from_slice(modes);
        len += 1 + modes.len();
        // HDMI: address 1.0.0.0, clock up to 300 or 165 MHz, and for ultra HD its 30 Hz mode.
        let vendor: &[u8] = if is_ultra {
            &[0x6c, 0x03, 0x0c, 0x00, 0x10, 0x00, 0x00, 60, 0x20, 0x00, 0x20, 0x01, 0x00]
        } else {
            &[0x67, 0x03, 0x0c, 0x00, 0x10, 0x00, 0x00, 33]
        };
        more[len..][..vendor.len()].copy_from_slice(vendor);
        len += vendor.len();
        more[2] = len as u8;
        let summed = [base, more].map(|mut block| {
            let sum = block.iter().fold(0_u8, |sum, &byte| sum.wrapping_add(byte));
            block[BLOCK_LEN - 1] = sum.wrapping_neg();
            block
        });
        Self(summed.concat())
    }
}

impl FromStr for Edid {
    type Err = EdidError;

    /// `1080p60`, `4k30`, or the path of a file that holds the blocks.
    fn from_str(text: &str) -> Result<Self, EdidError> {
        match text {
            "1080p60" => Ok(Self::full_hd()),
            "4k30" => Ok(Self::ultra_hd()),
            path => {
                let read = fs::read(path);
                Self::from_bytes(read.map_err(|error| EdidError::File(path.to_owned(), error.to_string()))?)
            }
        }
    }
}

/// What HDMI's data begin with; the address of two bytes follows.
const VENDOR: [u8; 3] = [0x03, 0x0c, 0x00];
/// Where the first block says how many follow.
const EXTENSIONS: usize = 126;

/// A mode: visible, blank, front porch and sync, across and down.
struct Mode {
    clock_10khz: u16,
    across: [u16; 4],
    down: [u16; 4],
}

/// 1280 × 720 at 60 Hz.
const HD: Mode = Mode { clock_10khz: 7_425, across: [1280, 370, 110, 40], down: [720, 30, 5, 5] };

impl Mode {
    /// A detailed timing descriptor, sync pulses positive (E-EDID 1.3, 3.10.2).
    fn descriptor(&self) -> [u8; 18] {
        let [width, blank_across, front_across, sync_across] = self.across;
        let [height, blank_down, front_down, sync_down] = self.down;
        let low = |value: u16| value as u8;
        let high = |one: u16, other: u16| ((one >> 8) << 4) as u8 | (other >> 8) as u8;
        let [clock_low, clock_high] = self.clock_10khz.to_le_bytes();
        [
            clock_low,
            clock_high,
            low(width),
            low(blank_across),
            high(width, blank_across),
            low(height),
            low(blank_down),
            high(height, blank_down),
            low(front_across),
            low(sync_across),
            ((front_down & 15) << 4 | sync_down & 15) as u8,
            ((front_across >> 8) << 6 | (sync_across >> 8) << 4 | (front_down >> 4) << 2 | sync_down >> 4)
                as u8,
            // 520 by 290 mm, no borders.
            8,
            34,
            0x21,
            0,
            0,
            0x1e,
        ]
    }
}

/// What the card at `path` tells sources at this input; `None` if it tells nothing or does not say.
///
/// # Errors
/// Any [`V4lError`].
pub fn edid(path: &Path, input: u32) -> Result<Option<Edid>, V4lError> {
    Device::open(path)?.edid(input)
}

impl Device {
    pub(crate) fn edid(&self, input: u32) -> Result<Option<Edid>, V4lError> {
        let mut bytes = vec![0; BLOCK_LEN * BLOCKS_MAX];
        let mut asked: sys::v4l2_edid = blank();
        asked.pad = input;
        asked.blocks = BLOCKS_MAX as u32;
        asked.edid = bytes.as_mut_ptr();
        match ioctl(self.as_fd(), GET, &mut asked) {
            Ok(()) => {}
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::ENODATA | libc::ENOTTY | libc::EINVAL)) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(kernel_error(self.path(), "ask the display data", error)),
        }
        bytes.truncate(usize::try_from(asked.blocks).unwrap_or(0).min(BLOCKS_MAX) * BLOCK_LEN);
        Ok(Edid::from_bytes(bytes).ok())
    }

    /// Has the card tell sources this, unless it does already: a source sees a change as its display unplugged and
    /// plugged in. Not while there are buffers.
    pub(crate) fn tell_edid(&self, input: u32, edid: &Edid) -> Result<(), V4lError> {
        if self.edid(input)?.is_some_and(|told| told.is_like(edid)) {
            return Ok(());
        }
        let mut bytes = edid.0.clone();
        let mut told: sys::v4l2_edid = blank();
        told.pad = input;
        told.blocks = u32::try_from(bytes.len() / BLOCK_LEN).unwrap_or(0);
        told.edid = bytes.as_mut_ptr();
        ioctl(self.as_fd(), SET, &mut told)
            .map_err(|error| kernel_error(self.path(), "set the display data", error))
    }
}

// SAFETY: integers and a pointer. The kernel follows the pointer for as many blocks as the structure says, and both
// functions above point to a buffer of their own that has them.
unsafe impl Plain for sys::v4l2_edid {}

const GET: vidioc::_IOC_TYPE = request::<sys::v4l2_edid>(READ | WRITE, 40);
const SET: vidioc::_IOC_TYPE = request::<sys::v4l2_edid>(READ | WRITE, 41);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_sound_and_name_their_mode_first() {
        for (edid, size, clock) in
            [(Edid::full_hd(), (1920, 1080), 14_850), (Edid::ultra_hd(), (3840, 2160), 29_700)]
        {
            assert_eq!(Edid::from_bytes(edid.as_bytes().to_vec()).as_ref(), Ok(&edid));
            let preferred = &edid.as_bytes()[54..72];
            let width = u16::from(preferred[2]) | u16::from(preferred[4] >> 4) << 8;
            let height = u16::from(preferred[5]) | u16::from(preferred[7] >> 4) << 8;
            assert_eq!((width, height), size);
            assert_eq!(u16::from_le_bytes([preferred[0], preferred[1]]), clock);
            let (more, end) = (&edid.as_bytes()[BLOCK_LEN..], usize::from(edid.as_bytes()[BLOCK_LEN + 2]));
            // Data blocks follow each other exactly up to where the header says they end.
            let mut at = 4;
            while at < end {
                at += 1 + usize::from(more[at] & 0x1f);
            }
            assert_eq!(at, end);
        }
        assert_eq!("1080p60".parse(), Ok(Edid::full_hd()));
    }

    #[test]
    fn address_that_a_driver_put_in_is_no_difference() {
        let mut bytes = Edid::full_hd().as_bytes().to_vec();
        let at = BLOCK_LEN + bytes[BLOCK_LEN..].windows(3).position(|window| window == VENDOR).unwrap() + 3;
        bytes[at] = 0x20;
        bytes[2 * BLOCK_LEN - 1] = bytes[2 * BLOCK_LEN - 1].wrapping_sub(0x10);
        let told = Edid::from_bytes(bytes).unwrap();
        assert!(told != Edid::full_hd() && told.is_like(&Edid::full_hd()));
        assert!(!told.is_like(&Edid::ultra_hd()));
    }

    #[test]
    fn damaged_data_are_refused_by_what_is_wrong() {
        let good = Edid::full_hd().as_bytes().to_vec();
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            Edid::from_bytes(bytes)
        };
        assert_eq!(with(0, 1), Err(EdidError::Header));
        assert_eq!(with(30, 0), Err(EdidError::Checksum(0)));
        assert_eq!(with(200, 9), Err(EdidError::Checksum(1)));
        assert_eq!(Edid::from_bytes(good[..128].to_vec()), Err(EdidError::Length(128)));
        assert_eq!(Edid::from_bytes(Vec::new()), Err(EdidError::Length(0)));
        assert!("/no/such/file".parse::<Edid>().unwrap_err().to_string().contains("/no/such/file"));
    }
}
