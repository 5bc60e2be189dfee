//! A device's controls: brightness, gain, and what else its driver lets be set by number.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use v4l::v4l_sys as sys;
use v4l::v4l2::vidioc;

use crate::V4lError;
use crate::device::{Device, blank, ioctl, kernel_error};

/// Sets the control `id` (`V4L2_CID_…` of the kernel's documentation) of the device at `path` to `value`, through a
/// handle of its own: a stream goes on.
///
/// # Errors
/// Any [`V4lError`]; [`V4lError::Kernel`] for a control that the device does not have or a value out of its range.
pub fn set_control(path: &Path, id: u32, value: i32) -> Result<(), V4lError> {
    let device = Device::open(path)?;
    set(device.as_fd(), id, value).map_err(|error| kernel_error(path, "set a control", error))
}

/// The same, of an open device.
pub(crate) fn set(device: BorrowedFd<'_>, id: u32, value: i32) -> io::Result<()> {
    let mut control: sys::v4l2_control = blank();
    (control.id, control.value) = (id, value);
    ioctl(device, vidioc::VIDIOC_S_CTRL, &mut control)
}
