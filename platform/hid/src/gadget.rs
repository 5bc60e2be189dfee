//! The USB device as the kernel's configfs describes it (kernel documentation, `usb/gadget_configfs`).
//!
//! Whoever makes one takes it apart in reverse order; what an earlier run left behind is taken apart first.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::HidError;
use crate::report::Device;

/// Where configfs keeps gadgets.
pub(crate) const GADGETS: &str = "/sys/kernel/config/usb_gadget";
/// Where the kernel lists ports that can be a device.
pub(crate) const PORTS: &str = "/sys/class/udc";
/// The gadget's directory.
const NAME: &str = "wavry";
/// US English.
const LANGUAGE: &str = "strings/0x409";
const CONFIGURATION: &str = "configs/c.1";
/// Its own power and, while the host sleeps, the right to wake it.
const ATTRIBUTES: &str = "0xa0";
/// Milliamperes from the host, at most.
const MILLIAMPERES: &str = "100";

/// A gadget that a host sees; gone when dropped.
#[derive(Debug)]
pub(crate) struct Gadget {
    root: PathBuf,
}

impl Gadget {
    /// Describes the device, and plugs it into `port`.
    pub(crate) fn plug_in(port: &str) -> Result<Self, HidError> {
        let root = Path::new(GADGETS).join(NAME);
        if root.exists() {
            take_apart(&root);
        }
        make(&root)?;
        let gadget = Self { root };
        // The Linux Foundation's composite gadget, which hosts have drivers for.
        gadget.write("idVendor", "0x1d6b")?;
        gadget.write("idProduct", "0x0104")?;
        gadget.write("bcdUSB", "0x0200")?;
        make(&gadget.root.join(LANGUAGE))?;
        gadget.write(&format!("{LANGUAGE}/manufacturer"), "Wavry")?;
        gadget.write(&format!("{LANGUAGE}/product"), "Wavry keyboard and pointer")?;
        gadget.write(&format!("{LANGUAGE}/serialnumber"), "1")?;
        make(&gadget.root.join(CONFIGURATION))?;
        gadget.write(&format!("{CONFIGURATION}/bmAttributes"), ATTRIBUTES)?;
        gadget.write(&format!("{CONFIGURATION}/MaxPower"), MILLIAMPERES)?;
        for device in Device::ALL {
            gadget.describe(device)?;
        }
        gadget.write("UDC", port)?;
        Ok(gadget)
    }

    /// Opens the node through which a device's reports go.
    pub(crate) fn open(&self, device: Device) -> Result<File, HidError> {
        let numbers = self.function(device).join("dev");
        let numbers = fs::read_to_string(&numbers).map_err(failed("ask the node", &numbers))?;
        let event = Path::new("/sys/dev/char").join(numbers.trim()).join("uevent");
        let event = fs::read_to_string(&event).map_err(failed("ask the node", &event))?;
        let name = event.lines().find_map(|line| line.strip_prefix("DEVNAME=")).unwrap_or_default();
        let node = Path::new("/dev").join(name);
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let opened = OpenOptions::new().read(true).write(true).custom_flags(flags).open(&node);
        opened.map_err(failed("open", &node))
    }

    fn describe(&self, device: Device) -> Result<(), HidError> {
        let function = self.function(device);
        make(&function)?;
        let boot = device.boot_protocol();
        let set = |name: &str, value: &[u8]| {
            let path = function.join(name);
            fs::write(&path, value).map_err(failed("write", &path))
        };
        set("protocol", boot.to_string().as_bytes())?;
        // Subclass 1 is the boot interface.
        set("subclass", u8::from(boot != 0).to_string().as_bytes())?;
        set("report_length", device.report_len().to_string().as_bytes())?;
        if device.has_wheel() {
            // What the other machine sets is then read from the node. Kernels before 5.16 do not know it; there wheels
            // go in whole notches.
            let _ = set("no_out_endpoint", b"1");
        }
        set("report_desc", device.descriptor())?;
        let link = self.root.join(CONFIGURATION).join(function.file_name().unwrap_or(OsStr::new("")));
        symlink(&function, &link).map_err(failed("link", &link))
    }

    fn function(&self, device: Device) -> PathBuf {
        self.root.join("functions").join(format!("hid.wavry{}", device.index()))
    }

    fn write(&self, name: &str, value: &str) -> Result<(), HidError> {
        let path = self.root.join(name);
        fs::write(&path, value).map_err(failed("write", &path))
    }
}

impl Drop for Gadget {
    fn drop(&mut self) {
        take_apart(&self.root);
    }
}

/// Whether the machine at the other end of this port sleeps, and remembers what it has set.
pub(crate) fn is_suspended(port: &str) -> bool {
    let state = fs::read_to_string(Path::new(PORTS).join(port).join("state"));
    state.is_ok_and(|state| state.trim() == "suspended")
}

/// The first port that can be a device.
pub(crate) fn first_port() -> Result<String, HidError> {
    let ports = fs::read_dir(PORTS).into_iter().flatten().flatten();
    let mut names: Vec<String> = ports.filter_map(|port| port.file_name().into_string().ok()).collect();
    names.sort();
    names.into_iter().next().ok_or(HidError::NoPort)
}

/// What cannot be removed was not there, and who comes next says what is wrong.
fn take_apart(root: &Path) {
    let _ = fs::write(root.join("UDC"), "\n");
    for device in Device::ALL {
        let name = format!("hid.wavry{}", device.index());
        let _ = fs::remove_file(root.join(CONFIGURATION).join(&name));
        let _ = fs::remove_dir(root.join("functions").join(&name));
    }
    for directory in [CONFIGURATION, LANGUAGE] {
        let _ = fs::remove_dir(root.join(directory));
    }
    let _ = fs::remove_dir(root);
}

fn make(path: &Path) -> Result<(), HidError> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(failed("make", path)(error)),
        _ => Ok(()),
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> HidError {
    let path = path.to_owned();
    move |source| {
        if source.kind() == ErrorKind::PermissionDenied {
            HidError::NotPermitted(path)
        } else {
            HidError::Kernel { action, path, source }
        }
    }
}
