//! What a device can be set to, and setting it.

#![expect(unsafe_code, reason = "the kernel's structures of formats are unions")]

use std::io;
use std::os::fd::AsFd as _;

use v4l::v4l_sys as sys;
use v4l::v4l2::vidioc;

use crate::V4lError;
use crate::device::{Device, Interface, blank, ioctl, kernel_error};
use crate::format::{Encoding, FourCc, Layout, Offer, Options, PLANES_MAX, choose};

/// How a device was set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Where pixels lie.
    pub(crate) layout: Layout,
    /// How many bytes each of a frame's buffers must have.
    pub(crate) lens: [usize; PLANES_MAX],
}

impl Device {
    /// Sets the best format and rate for `options` and says what the driver made of it.
    pub(crate) fn set_up(&self, options: &Options) -> Result<Setting, V4lError> {
        let current = self.current_size()?;
        let size = options.size.unwrap_or(current);
        let mut offers = self.offers(size);
        offers.retain(|offer| options.format.is_none_or(|format| offer.encoding.four_cc() == Some(format)));
        let Some(offer) = choose(&offers, size, options.rate_millihertz) else {
            return Err(self.no_format());
        };
        let setting = self.set_format(&offer)?;
        if let Some(rate) = options.rate_millihertz.or(offer.rate_millihertz) {
            // A capture card's rate is its signal's, and it says so by refusing.
            let _ = self.set_rate(rate);
        }
        Ok(setting)
    }

    fn no_format(&self) -> V4lError {
        let offered: Vec<String> = self.formats().iter().map(FourCc::to_string).collect();
        V4lError::NoFormat { path: self.path().to_owned(), offered: offered.join(" ") }
    }

    /// All its formats, also those not taken here.
    pub(crate) fn formats(&self) -> Vec<FourCc> {
        let format = |index| {
            let mut description: sys::v4l2_fmtdesc = blank();
            description.index = index;
            description.type_ = self.interface().buffer_type();
            ioctl(self.as_fd(), vidioc::VIDIOC_ENUM_FMT, &mut description).ok()?;
            Some(FourCc::from_code(description.pixelformat))
        };
        (0..ENTRIES_MAX).map_while(format).collect()
    }

    /// How its present input can be set, in formats taken here; nothing for a device that does not say.
    pub(crate) fn modes(&self) -> Vec<Offer> {
        self.current_size().map(|size| self.offers(size)).unwrap_or_default()
    }

    fn offers(&self, size: (u32, u32)) -> Vec<Offer> {
        let mut offers = Vec::new();
        for name in self.formats() {
            let Some(encoding) = Encoding::from_four_cc(name) else {
                continue;
            };
            for (width, height) in self.sizes(name, size) {
                let rate_millihertz = self.rate_max(name, (width, height));
                offers.push(Offer { encoding, width, height, rate_millihertz });
            }
        }
        offers
    }

    /// The sizes of a format; of a range the one nearest to `wanted`; `wanted` itself if the driver does not say.
    fn sizes(&self, name: FourCc, wanted: (u32, u32)) -> Vec<(u32, u32)> {
        let mut sizes = Vec::new();
        for index in 0..ENTRIES_MAX {
            let mut entry: sys::v4l2_frmsizeenum = blank();
            entry.index = index;
            entry.pixel_format = name.code();
            if ioctl(self.as_fd(), vidioc::VIDIOC_ENUM_FRAMESIZES, &mut entry).is_err() {
                break;
            }
            if entry.type_ == sys::v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE {
                // SAFETY: the type says which field the driver filled in, and any bits are valid integers.
                let size = unsafe { entry.__bindgen_anon_1.discrete };
                sizes.push((size.width, size.height));
            } else {
                // SAFETY: as above; both other types use this field.
                let range = unsafe { entry.__bindgen_anon_1.stepwise };
                let width = nearest(wanted.0, range.min_width, range.max_width, range.step_width);
                sizes.push((width, nearest(wanted.1, range.min_height, range.max_height, range.step_height)));
                break;
            }
        }
        if sizes.is_empty() {
            sizes.push(wanted);
        }
        sizes
    }

    fn rate_max(&self, name: FourCc, (width, height): (u32, u32)) -> Option<u32> {
        let rate = |index| {
            let mut entry: sys::v4l2_frmivalenum = blank();
            entry.index = index;
            entry.pixel_format = name.code();
            entry.width = width;
            entry.height = height;
            ioctl(self.as_fd(), vidioc::VIDIOC_ENUM_FRAMEINTERVALS, &mut entry).ok()?;
            let interval = if entry.type_ == sys::v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_DISCRETE {
                // SAFETY: the type says which field the driver filled in, and any bits are valid integers.
                unsafe { entry.__bindgen_anon_1.discrete }
            } else {
                // SAFETY: as above; both other types use this field.
                unsafe { entry.__bindgen_anon_1.stepwise }.min
            };
            Some(millihertz(interval))
        };
        (0..ENTRIES_MAX).map_while(rate).max()
    }

    fn current_size(&self) -> Result<(u32, u32), V4lError> {
        let mut format: sys::v4l2_format = blank();
        format.type_ = self.interface().buffer_type();
        ioctl(self.as_fd(), vidioc::VIDIOC_G_FMT, &mut format)
            .map_err(|error| kernel_error(self.path(), "ask the format", error))?;
        // SAFETY: the driver fills in this field for both buffer types: it begins with width and height, as the other
        // one does, and any bits are valid integers.
        let pixels = unsafe { format.fmt.pix };
        Ok((pixels.width, pixels.height))
    }

    /// Stride and size are left at 0, so the driver picks them; what it answers is what holds.
    fn set_format(&self, offer: &Offer) -> Result<Setting, V4lError> {
        let mut format: sys::v4l2_format = blank();
        format.type_ = self.interface().buffer_type();
        // Both structures begin with these four, so one is filled in for both.
        let mut wanted: sys::v4l2_pix_format = blank();
        wanted.width = offer.width;
        wanted.height = offer.height;
        wanted.pixelformat = offer.encoding.four_cc().map_or(0, FourCc::code);
        wanted.field = sys::v4l2_field_V4L2_FIELD_ANY;
        format.fmt.pix = wanted;
        ioctl(self.as_fd(), vidioc::VIDIOC_S_FMT, &mut format)
            .map_err(|error| kernel_error(self.path(), "set the format", error))?;
        // SAFETY: as for the size; what follows these four is read below, by the buffer type.
        let pixels = unsafe { format.fmt.pix };
        let encoding =
            Encoding::from_four_cc(FourCc::from_code(pixels.pixelformat)).ok_or_else(|| self.no_format())?;
        let size = (pixels.width, pixels.height);
        let one = |stride: u32| Layout::contiguous(encoding, size, stride as usize);
        if self.interface() == Interface::Single {
            let layout = one(pixels.bytesperline);
            return Ok(Setting { layout, lens: [pixels.sizeimage as usize, 0, 0] });
        }
        // SAFETY: the driver fills in this field for this buffer type, and any bits are valid integers.
        let pixels = unsafe { format.fmt.pix_mp };
        // The structure is packed, so its parts are copied out, not referred to.
        let planes = pixels.plane_fmt;
        let mut layout = one({ planes[0] }.bytesperline);
        if usize::from(pixels.num_planes) != layout.buffers() {
            let why = "it spreads a frame over other buffers than its format says";
            return Err(V4lError::NotCapture { path: self.path().to_owned(), why });
        }
        let mut lens = [0; PLANES_MAX];
        for buffer in 0..layout.buffers() {
            let plane = planes[buffer];
            lens[buffer] = plane.sizeimage as usize;
            layout.strides[buffer] =
                if layout.buffers() > 1 { plane.bytesperline as usize } else { layout.strides[buffer] };
        }
        Ok(Setting { layout, lens })
    }

    fn set_rate(&self, rate_millihertz: u32) -> io::Result<()> {
        let mut parameters: sys::v4l2_streamparm = blank();
        parameters.type_ = self.interface().buffer_type();
        let mut capture: sys::v4l2_captureparm = blank();
        capture.timeperframe = sys::v4l2_fract { numerator: 1000, denominator: rate_millihertz };
        parameters.parm.capture = capture;
        ioctl(self.as_fd(), vidioc::VIDIOC_S_PARM, &mut parameters)
    }
}

fn nearest(wanted: u32, min: u32, max: u32, step: u32) -> u32 {
    let inside = wanted.clamp(min, max.max(min));
    inside - (inside - min) % step.max(1)
}

fn millihertz(interval: sys::v4l2_fract) -> u32 {
    let rate = u64::from(interval.denominator) * 1000 / u64::from(interval.numerator.max(1));
    u32::try_from(rate).unwrap_or(u32::MAX)
}

/// No driver lists more; one that never ends is cut off here.
const ENTRIES_MAX: u32 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_in_a_range_is_the_nearest_step() {
        assert_eq!(nearest(1000, 16, 1920, 16), 992);
        assert_eq!(nearest(1, 16, 1920, 2), 16);
        assert_eq!(nearest(9000, 16, 1920, 0), 1920);
        assert_eq!(nearest(5, 10, 0, 1), 10);
    }

    #[test]
    fn interval_becomes_a_rate() {
        let fraction = |numerator, denominator| sys::v4l2_fract { numerator, denominator };
        assert_eq!(millihertz(fraction(1, 60)), 60_000);
        assert_eq!(millihertz(fraction(1001, 60_000)), 59_940);
        assert_eq!(millihertz(fraction(0, u32::MAX)), u32::MAX);
    }
}
