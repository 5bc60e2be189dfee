//! Devices: found, opened and asked what they are; and what every ioctl needs.

#![expect(unsafe_code, reason = "ioctls take pointers to C structures")]

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use v4l::v4l_sys as sys;
use v4l::v4l2::{self, vidioc};

use crate::format::{FourCc, Offer};
use crate::{Input, V4lError};

/// A capture device of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its node, `/dev/video0`.
    pub path: PathBuf,
    /// What its maker calls it.
    pub card: String,
    /// The kernel's driver.
    pub driver: String,
    /// The formats it has, also those not taken here.
    pub formats: Vec<FourCc>,
    /// What it can be switched to.
    pub inputs: Vec<Input>,
    /// How its present input can be set, in formats taken here; of a range of sizes there is the one nearest to how it is
    /// set.
    pub modes: Vec<Offer>,
}

impl DeviceInfo {
    /// The sizes that it can be set to, the largest first, each with the most pictures per 1000 s that any of its formats
    /// has there, where the driver tells that.
    #[must_use]
    pub fn sizes(&self) -> Vec<((u32, u32), Option<u32>)> {
        let mut sizes: Vec<((u32, u32), Option<u32>)> =
            self.modes.iter().map(|mode| ((mode.width, mode.height), mode.rate_millihertz)).collect();
        let area = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);
        // `None` is less than any rate.
        sizes.sort_unstable_by_key(|&(size, rate)| core::cmp::Reverse((area(size), size, rate)));
        sizes.dedup_by_key(|&mut (size, _)| size);
        sizes
    }
}

/// All capture devices by number, and the reason why one cannot be asked. Nodes that capture no pictures
/// (metadata, outputs, codecs) are left out.
#[must_use]
pub fn devices() -> Vec<Result<DeviceInfo, V4lError>> {
    let asked = nodes().into_iter().map(|path| Device::open(&path)?.info());
    asked.filter(|device| !matches!(device, Err(V4lError::NotCapture { .. }))).collect()
}

/// A path of the same node that does not depend on the order in which devices were found: by the socket it is plugged
/// into, which tells even two alike apart, else by what its maker wrote on it. `None` where the system makes no such
/// links.
#[must_use]
pub fn lasting_path(node: &Path) -> Option<PathBuf> {
    let node = fs::canonicalize(node).ok()?;
    let links = ["/dev/v4l/by-path", "/dev/v4l/by-id"];
    let entries = links.into_iter().filter_map(|links| fs::read_dir(links).ok()).flatten().flatten();
    let mut paths = entries.map(|entry| entry.path());
    paths.find(|path| fs::canonicalize(path).is_ok_and(|target| target == node))
}

/// All video nodes by number.
fn nodes() -> Vec<PathBuf> {
    let names = fs::read_dir("/dev").into_iter().flatten().flatten().map(|entry| entry.file_name());
    let number = |name: std::ffi::OsString| name.to_str()?.strip_prefix("video")?.parse::<u32>().ok();
    let mut numbers: Vec<u32> = names.filter_map(number).collect();
    numbers.sort_unstable();
    numbers.into_iter().map(|number| PathBuf::from(format!("/dev/video{number}"))).collect()
}

/// What tells devices apart whatever their numbers are: what they are called and where they are plugged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    card: String,
    bus: String,
}

/// An open capture device.
#[derive(Debug)]
pub(crate) struct Device {
    fd: OwnedFd,
    path: PathBuf,
    interface: Interface,
}

/// In which of two dialects a driver is asked. Newer ones, such as those of HDMI receivers on boards, speak the second
/// only; frames that lie in one buffer are all alike in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interface {
    /// `VIDEO_CAPTURE`.
    Single,
    /// `VIDEO_CAPTURE_MPLANE`.
    Multi,
}

impl Interface {
    pub(crate) const fn buffer_type(self) -> sys::v4l2_buf_type {
        match self {
            Self::Single => sys::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE,
            Self::Multi => sys::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE,
        }
    }
}

impl Device {
    /// Opens a node that captures pictures into memory mapped buffers.
    pub(crate) fn open(path: &Path) -> Result<Self, V4lError> {
        let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path);
        let file = file.map_err(|source| {
            if source.kind() == ErrorKind::NotFound {
                V4lError::Missing(path.to_owned())
            } else if source.kind() == ErrorKind::PermissionDenied {
                V4lError::NotPermitted(path.to_owned())
            } else {
                kernel_error(path, "open the node", source)
            }
        })?;
        let mut device = Self { fd: file.into(), path: path.to_owned(), interface: Interface::Single };
        let capabilities = device.capabilities()?;
        let lacks = |flag: u32| capabilities.device_caps & flag == 0;
        if lacks(sys::V4L2_CAP_VIDEO_CAPTURE) {
            device.interface = Interface::Multi;
        }
        let why = if lacks(sys::V4L2_CAP_VIDEO_CAPTURE) && lacks(sys::V4L2_CAP_VIDEO_CAPTURE_MPLANE) {
            "it is no capture device"
        } else if lacks(sys::V4L2_CAP_STREAMING) {
            "it cannot stream into mapped memory"
        } else {
            return Ok(device);
        };
        Err(V4lError::NotCapture { path: path.to_owned(), why })
    }

    /// Opens `path`, or, once it is known which device that was, that one wherever its number is now: numbers change
    /// when devices come and go, and a wrong one would show another machine's screen. A path that is no number, such
    /// as a link below `/dev/v4l/by-id`, was chosen to name the device and is taken at its word.
    pub(crate) fn find(path: &Path, known: Option<&Name>) -> Result<Self, V4lError> {
        let at_path = Self::open(path);
        let is_number = nodes().iter().any(|node| node == path) || at_path.is_err();
        let Some(known) = known.filter(|_| is_number) else { return at_path };
        let is_known = |device: &Self| device.name() == *known;
        if at_path.as_ref().is_ok_and(is_known) {
            return at_path;
        }
        let others = nodes().into_iter().filter(|other| other != path);
        match (others.filter_map(|other| Self::open(&other).ok()).find(is_known), at_path) {
            (Some(moved), _) => Ok(moved),
            (None, Ok(device)) => Err(V4lError::Other { path: path.to_owned(), card: device.name().card }),
            (None, Err(V4lError::NotCapture { .. })) => {
                Err(V4lError::Other { path: path.to_owned(), card: "thing that captures nothing".to_owned() })
            }
            (None, Err(error)) => Err(error),
        }
    }

    pub(crate) fn name(&self) -> Name {
        let name = |capabilities: sys::v4l2_capability| Name {
            card: text(&capabilities.card),
            bus: text(&capabilities.bus_info),
        };
        self.capabilities().map(name).unwrap_or_else(|_| Name { card: String::new(), bus: String::new() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What it is and what it has.
    pub(crate) fn info(&self) -> Result<DeviceInfo, V4lError> {
        let capabilities = self.capabilities()?;
        Ok(DeviceInfo {
            path: self.path.clone(),
            card: text(&capabilities.card),
            driver: text(&capabilities.driver),
            formats: self.formats(),
            inputs: self.inputs(),
            modes: self.modes(),
        })
    }

    fn capabilities(&self) -> Result<sys::v4l2_capability, V4lError> {
        let mut capabilities: sys::v4l2_capability = blank();
        match ioctl(self.as_fd(), vidioc::VIDIOC_QUERYCAP, &mut capabilities) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOTTY) => {
                return Err(V4lError::NotCapture { path: self.path.clone(), why: "it is no video device" });
            }
            Err(error) => return Err(kernel_error(&self.path, "ask the capabilities", error)),
        }
        if capabilities.capabilities & sys::V4L2_CAP_DEVICE_CAPS == 0 {
            // An old driver has one node only and says here what that can.
            capabilities.device_caps = capabilities.capabilities;
        }
        Ok(capabilities)
    }

    pub(crate) const fn interface(&self) -> Interface {
        self.interface
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// C structures of plain integers, and unions of such, that mean something when all their bits are 0.
///
/// # Safety
/// All-zero bits must be a valid value, and so must be whatever the kernel writes into one.
pub(crate) unsafe trait Plain {}

macro_rules! plain {
    ($($name:ty),* $(,)?) => {
        $(
            // SAFETY: integers, arrays of them and unions of those; a pointer among them is never followed here, and
            // whoever sets one for the kernel to follow has what it points to.
            unsafe impl Plain for $name {}
        )*
    };
}

plain!(
    sys::v4l2_buffer,
    sys::v4l2_capability,
    sys::v4l2_bt_timings,
    sys::v4l2_captureparm,
    sys::v4l2_control,
    sys::v4l2_dv_timings,
    sys::v4l2_event,
    sys::v4l2_event_subscription,
    sys::v4l2_exportbuffer,
    sys::v4l2_fmtdesc,
    sys::v4l2_format,
    sys::v4l2_frmivalenum,
    sys::v4l2_frmsizeenum,
    sys::v4l2_input,
    sys::v4l2_pix_format,
    sys::v4l2_plane,
    sys::v4l2_requestbuffers,
    sys::v4l2_streamparm,
    core::ffi::c_int,
);

/// One whose bits are all 0.
pub(crate) const fn blank<T: Plain>() -> T {
    // SAFETY: what `Plain` promises.
    unsafe { core::mem::zeroed() }
}

/// The argument of a request is filled by the kernel.
pub(crate) const READ: vidioc::_IOC_TYPE = 2;
/// The argument of a request is read by the kernel.
pub(crate) const WRITE: vidioc::_IOC_TYPE = 1;

/// The number of a Video4Linux request that takes a `T`, as the kernel composes it (`asm-generic/ioctl.h`).
pub(crate) const fn request<T: Plain>(
    direction: vidioc::_IOC_TYPE,
    number: vidioc::_IOC_TYPE,
) -> vidioc::_IOC_TYPE {
    direction << 30 | (size_of::<T>() as vidioc::_IOC_TYPE) << 16 | (b'V' as vidioc::_IOC_TYPE) << 8 | number
}

/// One ioctl, again if a signal interrupts it.
pub(crate) fn ioctl<T: Plain>(
    fd: BorrowedFd<'_>,
    request: vidioc::_IOC_TYPE,
    argument: &mut T,
) -> io::Result<()> {
    let encoded = usize::try_from(request >> 16 & 0x3fff).unwrap_or(0);
    assert_eq!(encoded, size_of::<T>(), "the request's number says how much the kernel reads and writes");
    loop {
        let pointer = core::ptr::from_mut(argument).cast();
        // SAFETY: the pointer is to as many writable bytes as the request moves, and `Plain` allows any of them.
        match unsafe { v4l2::ioctl(fd.as_raw_fd(), request, pointer) } {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// What an error of the kernel means for this device.
pub(crate) fn kernel_error(path: &Path, action: &'static str, source: io::Error) -> V4lError {
    match source.raw_os_error() {
        Some(libc::ENODEV | libc::ENXIO) => V4lError::Gone(path.to_owned()),
        Some(libc::EBUSY) => V4lError::Busy(path.to_owned()),
        _ => V4lError::Kernel { action, path: path.to_owned(), source },
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use rift_hal::PixelFormat;

    use super::*;
    use crate::format::Encoding;

    #[test]
    fn sizes_are_the_largest_first_each_once_with_its_best_rate() {
        let mode =
            |encoding, width, height, rate_millihertz| Offer { encoding, width, height, rate_millihertz };
        let modes = vec![
            mode(Encoding::Pixels(PixelFormat::Yuyv), 640, 480, None),
            mode(Encoding::Pixels(PixelFormat::Yuyv), 1920, 1080, Some(5_000)),
            mode(Encoding::Jpeg, 1920, 1080, Some(60_000)),
            mode(Encoding::Jpeg, 1280, 720, Some(30_000)),
        ];
        let device = DeviceInfo {
            path: "/dev/video0".into(),
            card: "card".to_owned(),
            driver: "driver".to_owned(),
            formats: Vec::new(),
            inputs: Vec::new(),
            modes,
        };
        let expected = [((1920, 1080), Some(60_000)), ((1280, 720), Some(30_000)), ((640, 480), None)];
        assert_eq!(device.sizes(), expected);
    }

    #[test]
    fn names_end_at_their_zero_byte() {
        assert_eq!(text(b"vivid\0\xff\xff"), "vivid");
        assert_eq!(text(b"full"), "full");
    }
}
