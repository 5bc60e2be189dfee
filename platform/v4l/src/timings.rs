//! The signal at a device's input: what the card measures of it, and setting the card to it.

#![expect(unsafe_code, reason = "the kernel's structure of timings is a union")]

use std::os::fd::AsFd;

use v4l::v4l_sys as sys;
use v4l::v4l2::vidioc;

use crate::V4lError;
use crate::device::{Device, READ, WRITE, blank, ioctl, kernel_error, request};
use crate::state::{Signal, Timings};

const QUERY_DV_TIMINGS: vidioc::_IOC_TYPE = request::<sys::v4l2_dv_timings>(READ, 99);
const SET_DV_TIMINGS: vidioc::_IOC_TYPE = request::<sys::v4l2_dv_timings>(READ | WRITE, 87);

impl Device {
    /// What there is at the current input, by its timings if it has such, else by the input's status.
    pub(crate) fn signal(&self) -> Result<Signal, V4lError> {
        let mut timings: sys::v4l2_dv_timings = blank();
        match ioctl(self.as_fd(), QUERY_DV_TIMINGS, &mut timings) {
            Ok(()) => return Ok(measured(&timings).map_or(Signal::Unknown, Signal::Present)),
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOLINK) => return Ok(Signal::Absent),
                Some(libc::ENOLCK) => return Ok(Signal::NoLock),
                Some(libc::ERANGE) => return Ok(Signal::OutOfRange),
                Some(libc::ENODEV | libc::ENXIO) => {
                    return Err(kernel_error(self.path(), "ask the signal", error));
                }
                // Not every device has timings, and not every input of one that has.
                _ => {}
            },
        }
        let Some(input) = self.input() else { return Ok(Signal::Unknown) };
        let says = |flags: u32| input.status & flags != 0;
        Ok(if says(sys::V4L2_IN_ST_NO_POWER | sys::V4L2_IN_ST_NO_SIGNAL) {
            Signal::Absent
        } else if says(sys::V4L2_IN_ST_NO_SYNC | sys::V4L2_IN_ST_NO_CARRIER) {
            Signal::NoLock
        } else {
            Signal::Unknown
        })
    }

    /// Sets the card to the signal it has, which resets its format. Nothing to do where there are no timings.
    pub(crate) fn follow_signal(&self) -> Result<(), V4lError> {
        let mut timings: sys::v4l2_dv_timings = blank();
        if ioctl(self.as_fd(), QUERY_DV_TIMINGS, &mut timings).is_err() {
            return Ok(());
        }
        match ioctl(self.as_fd(), SET_DV_TIMINGS, &mut timings) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTTY | libc::ENODATA)) => Ok(()),
            outcome => outcome.map_err(|error| kernel_error(self.path(), "follow the signal", error)),
        }
    }
}

/// `None` for timings of a kind that the kernel did not know when this was written.
fn measured(timings: &sys::v4l2_dv_timings) -> Option<Timings> {
    if timings.type_ != sys::V4L2_DV_BT_656_1120 {
        return None;
    }
    // SAFETY: the type says which field the driver filled in, and any bits are valid integers.
    let lines = unsafe { timings.__bindgen_anon_1.bt };
    let sum = |parts: [u32; 4]| parts.into_iter().map(u64::from).sum::<u64>();
    let across = sum([lines.width, lines.hfrontporch, lines.hsync, lines.hbackporch]);
    let first = sum([lines.height, lines.vfrontporch, lines.vsync, lines.vbackporch]);
    let is_interlaced = lines.interlaced == sys::V4L2_DV_INTERLACED;
    let second = sum([0, lines.il_vfrontporch, lines.il_vsync, lines.il_vbackporch]);
    let down = if is_interlaced { first + second } else { first };
    let pixels_millihertz = u128::from(lines.pixelclock) * 1000;
    let rate = pixels_millihertz.checked_div(u128::from(across) * u128::from(down)).unwrap_or(0);
    Some(Timings {
        width: lines.width,
        height: lines.height,
        rate_millihertz: u32::try_from(rate).unwrap_or(0),
        is_interlaced,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_follows_from_the_pixel_clock() {
        let mut lines: sys::v4l2_bt_timings = blank();
        (lines.width, lines.hfrontporch, lines.hsync, lines.hbackporch) = (1920, 88, 44, 148);
        (lines.height, lines.vfrontporch, lines.vsync, lines.vbackporch) = (1080, 4, 5, 36);
        lines.pixelclock = 148_500_000;
        let mut timings: sys::v4l2_dv_timings = blank();
        timings.__bindgen_anon_1.bt = lines;
        let expected = Timings { width: 1920, height: 1080, rate_millihertz: 60_000, is_interlaced: false };
        assert_eq!(measured(&timings), Some(expected));
        timings.__bindgen_anon_1.bt = blank();
        assert_eq!(measured(&timings).map(|timings| timings.rate_millihertz), Some(0));
        timings.type_ = 7;
        assert_eq!(measured(&timings), None);
    }
}
