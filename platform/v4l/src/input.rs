//! The sockets of a device: which there are, and which is looked at.

use std::os::fd::AsFd;

use v4l::v4l_sys as sys;
use v4l::v4l2::vidioc;

use crate::V4lError;
use crate::device::{Device, blank, ioctl, kernel_error, text};

/// A socket of a device, or whatever else it can be switched to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its number.
    pub index: u32,
    /// What its driver calls it.
    pub name: String,
}

impl Device {
    /// All inputs; none for a device that has no such notion.
    pub(crate) fn inputs(&self) -> Vec<Input> {
        let input = |index| {
            let mut input: sys::v4l2_input = blank();
            input.index = index;
            ioctl(self.as_fd(), vidioc::VIDIOC_ENUMINPUT, &mut input).ok()?;
            Some(Input { index, name: text(&input.name) })
        };
        (0..INPUTS_MAX).map_while(input).collect()
    }

    /// The input the device is switched to; `None` if it has no such notion.
    pub(crate) fn input(&self) -> Option<sys::v4l2_input> {
        let mut index: core::ffi::c_int = 0;
        ioctl(self.as_fd(), vidioc::VIDIOC_G_INPUT, &mut index).ok()?;
        let mut input: sys::v4l2_input = blank();
        input.index = u32::try_from(index).ok()?;
        ioctl(self.as_fd(), vidioc::VIDIOC_ENUMINPUT, &mut input).ok()?;
        Some(input)
    }

    /// Switches to an input; not while there are buffers.
    pub(crate) fn set_input(&self, index: u32) -> Result<(), V4lError> {
        let mut wanted = core::ffi::c_int::try_from(index).unwrap_or(core::ffi::c_int::MAX);
        ioctl(self.as_fd(), vidioc::VIDIOC_S_INPUT, &mut wanted)
            .map_err(|error| kernel_error(self.path(), "switch the input", error))
    }
}

/// More sockets than any card has, should a driver never end its list.
const INPUTS_MAX: u32 = 32;
