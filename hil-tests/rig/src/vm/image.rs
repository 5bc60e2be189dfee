//! What the guest boots into: a shell, its modules, the programs to run and the libraries they need, in one archive.
//!
//! Everything a test touches is in memory before it starts: a guest in virtual time that waits for a file of the
//! machine would see its clock leap.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::cpio::Archive;
use super::packages::Sysroot;
use super::programs;
use crate::Failure;

/// What an image is to hold.
#[derive(Debug)]
pub(super) struct Request<'a> {
    /// `NAME` or `NAME:PARAMETER=VALUE,…`; a comma inside a value is written `;`.
    pub(super) modules: &'a [&'a str],
    /// A line of shell, run in `/payload`.
    pub(super) command: &'a str,
    /// What is in `/payload`.
    pub(super) files: &'a [programs::File],
    /// Whether the command runs in the machine's own root.
    pub(super) has_machine: bool,
}

/// Modules that every guest needs: what files of the machine come through, and its network.
const BASE_MODULES: [&str; 4] = ["virtio_pci", "9p", "9pnet_virtio", "virtio_net"];
const DIRECTORIES: [&str; 11] =
    ["/dev", "/etc", "/layers", "/machine", "/out", "/proc", "/run", "/sys", "/tmp", "/payload", "/system"];

/// The guest's first process. It ends by telling the emulator an exit code, one higher than the command's, because
/// the emulator itself uses the lowest.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm; mount -t devpts pts /dev/pts; mount -t tmpfs shm /dev/shm
mount -t debugfs debug /sys/kernel/debug 2>/dev/null
while read -r file options; do
  insmod "$file" $options || echo "[vm] $file does not load"
done < /etc/modules
mount -t configfs config /sys/kernel/config 2>/dev/null
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 out /out || echo "[vm] there is no /out"
ip link set lo up
ip addr add 10.0.2.15/24 dev eth0 2>/dev/null && ip link set eth0 up && ip route add default via 10.0.2.2
at() { cut -d' ' -f1 /proc/uptime; }
if [ -e /etc/machine ]; then
  mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=262144,cache=loose machine /machine
  mount -t tmpfs layers /layers; mkdir /layers/upper /layers/work
  mount -t overlay -o lowerdir=/machine,upperdir=/layers/upper,workdir=/layers/work system /system
  for mounted in proc sys dev; do mount -o bind /$mounted /system/$mounted; done
  mount -t tmpfs run /system/run; mount -t tmpfs tmp /system/tmp
  mkdir -p /system/payload /system/out; mount -o bind /out /system/out; mount -o bind /payload /system/payload
  cp /command /system/payload/.command
  echo "[vm] ready after $(at) s"
  chroot /system /bin/sh -c 'export PATH=/usr/sbin:/usr/bin:/sbin:/bin; cd /payload; exec sh .command' </dev/null
else
  echo "[vm] ready after $(at) s"
  cd /payload; sh /command </dev/null
fi
code=$?
echo "[vm] done after $(at) s, code $code"
sync; cd /; umount /out 2>/dev/null
[ $code -le 125 ] || code=125
printf "\\x$(printf %x $((code + 1)))" | dd of=/dev/port bs=1 seek=244 count=1 2>/dev/null
poweroff -f
"#;

/// Writes the image to `path`.
///
/// # Errors
/// A module that this kernel does not ship (exit code 2), or a file that cannot be read or written.
pub(super) fn write(sysroot: &Sysroot, request: &Request<'_>, path: &Path) -> Result<(), Failure> {
    let mut names: Vec<&str> = BASE_MODULES.to_vec();
    if request.has_machine {
        names.push("overlay");
    }
    names.extend(request.modules);
    let modules = Modules::read(sysroot)?.in_order(&names)?;
    let libraries = if request.has_machine { BTreeSet::new() } else { libraries(sysroot, request.files) };
    let written = File::create(path).and_then(|file| {
        let mut archive = Archive::new(BufWriter::new(file));
        for directory in DIRECTORIES {
            archive.directory(directory)?;
        }
        archive.file("/init", INIT.as_bytes())?;
        archive.file("/command", request.command.as_bytes())?;
        archive.file("/bin/busybox", &fs::read(sysroot.path("bin/busybox"))?)?;
        archive.link("/bin/sh", "busybox")?;
        if request.has_machine {
            archive.file("/etc/machine", &[])?;
        }
        let mut list = String::new();
        for (name, (bytes, options)) in &modules {
            archive.file(&format!("/modules/{name}.ko"), bytes)?;
            list.push_str(&format!("/modules/{name}.ko {options}\n"));
        }
        archive.file("/etc/modules", list.as_bytes())?;
        for file in request.files {
            archive
                .file(&format!("/payload/{}", file.name), &slim(&file.path, &path.with_extension("slim"))?)?;
        }
        for library in &libraries {
            let guest = library
                .strip_prefix(sysroot.path(""))
                .map_or(library.clone(), |rest| Path::new("/").join(rest));
            archive.file(&guest.to_string_lossy(), &fs::read(library)?)?;
        }
        if let Ok(bytes) = fs::read(sysroot.path(CONTROLS)) {
            archive.file("/bin/v4l2-ctl", &bytes)?;
        }
        desktop(sysroot, &mut archive)?;
        for file in SOUND {
            if let Ok(bytes) = fs::read(file) {
                archive.file(file, &bytes)?;
            }
        }
        for tool in NETWORK {
            if let Ok(bytes) = fs::read(tool) {
                archive.file(tool, &bytes)?;
            }
        }
        archive.finish().map(drop)
    });
    written
        .map_err(|error| Failure::failed(format!("cannot write the VM's image {}: {error}", path.display())))
}

/// A file as it is run: of a program all but what only a debugger reads, which is most of it and would have to go
/// through the emulator's memory.
fn slim(path: &Path, scratch: &Path) -> io::Result<Vec<u8>> {
    let bytes = fs::read(path)?;
    if !bytes.starts_with(b"\x7fELF") {
        return Ok(bytes);
    }
    let mut strip = Command::new("objcopy");
    strip.arg("--strip-debug").arg(path).arg(scratch).stdin(Stdio::null()).stderr(Stdio::null());
    match strip.status() {
        Ok(status) if status.success() => fs::read(scratch),
        // It runs as well as it is.
        _ => Ok(bytes),
    }
}

/// Asks capture devices and sets their controls, by hand.
const CONTROLS: &str = "usr/bin/v4l2-ctl";

/// What tells a desktop of input devices, by its path in the packages and in the guest.
const DESKTOP: [(&str, &str); 2] = [
    ("bin/udevadm", "/bin/udevadm"),
    ("usr/libexec/libinput/libinput-debug-events", "/bin/libinput-debug-events"),
];
/// The rules by which udev tells a keyboard from a pointer, and how libinput treats what is odd.
const DESKTOP_FILES: [&str; 2] = ["lib/udev/rules.d", "usr/share/libinput"];

fn desktop(sysroot: &Sysroot, archive: &mut Archive<BufWriter<File>>) -> io::Result<()> {
    for (file, guest) in DESKTOP {
        if let Ok(bytes) = fs::read(sysroot.path(file)) {
            archive.file(guest, &bytes)?;
        }
    }
    archive.link("/bin/systemd-udevd", "udevadm")?;
    for directory in DESKTOP_FILES {
        let Ok(entries) = fs::read_dir(sysroot.path(directory)) else { continue };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths.iter().filter(|path| path.is_file()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            archive.file(&format!("/{directory}/{name}"), &fs::read(path)?)?;
        }
    }
    Ok(())
}

/// What sound devices are called: the machine's own, since programs that play sound have it.
const SOUND: [&str; 2] = ["/usr/share/alsa/alsa.conf", "/usr/share/alsa/cards/aliases.conf"];

/// Makes namespaces and bad links; the machine's own, since whoever tests networks has them.
const NETWORK: [&str; 2] = ["/usr/sbin/ip", "/usr/sbin/tc"];

/// The shared libraries that these programs load, by their paths on this machine.
fn libraries(sysroot: &Sysroot, files: &[programs::File]) -> BTreeSet<PathBuf> {
    let mut command = Command::new("ldd");
    command.args(DESKTOP.map(|(file, _)| sysroot.path(file)));
    command.arg(sysroot.path(CONTROLS)).args(NETWORK).args(files.iter().map(|file| &file.path));
    command.env("LD_LIBRARY_PATH", sysroot.libraries()).stdin(Stdio::null());
    // It fails for files that are no programs, and says enough about the others.
    let answer = command.output().map(|output| output.stdout).unwrap_or_default();
    let answer = String::from_utf8_lossy(&answer);
    // Lines of programs: `NAME => PATH (ADDRESS)`, or `PATH (ADDRESS)` for the loader. Others name a file and a colon.
    let lines = answer.lines().filter(|line| line.starts_with('\t'));
    lines
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect()
}

/// The modules of a kernel by name.
#[derive(Debug)]
struct Modules {
    files: BTreeMap<String, PathBuf>,
    builtin: BTreeSet<String>,
}

/// Modules in the order in which they can be loaded: name, bytes, parameters.
type Ordered = Vec<(String, (Vec<u8>, String))>;

impl Modules {
    fn read(sysroot: &Sysroot) -> Result<Self, Failure> {
        let mut files = BTreeMap::new();
        let mut open = vec![sysroot.modules().join("kernel")];
        while let Some(directory) = open.pop() {
            let entries = fs::read_dir(&directory)
                .map_err(|error| Failure::failed(format!("cannot read {}: {error}", directory.display())))?;
            for path in entries.flatten().map(|entry| entry.path()) {
                if path.is_dir() {
                    open.push(path);
                } else {
                    files.insert(module_name(&path), path);
                }
            }
        }
        let builtin = fs::read_to_string(sysroot.modules().join("modules.builtin")).unwrap_or_default();
        let builtin = builtin.lines().map(|line| module_name(Path::new(line))).collect();
        Ok(Self { files, builtin })
    }

    fn in_order(&self, asked: &[&str]) -> Result<Ordered, Failure> {
        let mut ordered = Vec::new();
        for module in asked {
            let (name, options) = module.split_once(':').unwrap_or((module, ""));
            let options = options.replace(',', " ").replace(';', ",");
            self.add(&name.replace('-', "_"), options, &mut ordered)?;
        }
        Ok(ordered)
    }

    /// Adds a module behind those it depends on.
    fn add(&self, name: &str, options: String, ordered: &mut Ordered) -> Result<(), Failure> {
        if self.builtin.contains(name) || ordered.iter().any(|(known, _)| known == name) {
            return Ok(());
        }
        let path = self.files.get(name).ok_or_else(|| {
            Failure::unusable(format!(
                "the VM's kernel has no module `{name}`, or the rig leaves it out as hardware"
            ))
        })?;
        let bytes = module_bytes(path).map_err(|error| {
            Failure::failed(format!("cannot read the module {}: {error}", path.display()))
        })?;
        for dependency in dependencies(&bytes) {
            self.add(&dependency, String::new(), ordered)?;
        }
        ordered.push((name.to_owned(), (bytes, options)));
        Ok(())
    }
}

/// `v4l2-dv-timings.ko.xz` is the module `v4l2_dv_timings`.
fn module_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split(".ko").next().unwrap_or_default().replace('-', "_")
}

fn module_bytes(path: &Path) -> io::Result<Vec<u8>> {
    if path.extension().is_some_and(|extension| extension == "xz") {
        let output = Command::new("xz").args(["--decompress", "--stdout"]).arg(path).output()?;
        return if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(io::ErrorKind::InvalidData.into())
        };
    }
    fs::read(path)
}

/// What a module says it depends on: a string `depends=NAME,NAME` between zero bytes.
fn dependencies(module: &[u8]) -> Vec<String> {
    let key = b"\0depends=";
    let Some(start) = module.windows(key.len()).position(|window| window == key) else {
        return Vec::new();
    };
    let value = module[start + key.len()..].split(|&byte| byte == 0).next().unwrap_or_default();
    let names = String::from_utf8_lossy(value);
    names.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_known_by_one_name_and_name_their_dependencies() {
        assert_eq!(module_name(Path::new("kernel/a/v4l2-dv-timings.ko")), "v4l2_dv_timings");
        assert_eq!(module_name(Path::new("vivid.ko.xz")), "vivid");
        assert_eq!(dependencies(b"x\0license=GPL\0depends=cec,v4l2-tpg\0name=vivid\0"), ["cec", "v4l2_tpg"]);
        assert_eq!(dependencies(b"x\0depends=\0"), [""; 0]);
        assert_eq!(dependencies(b"nothing"), [""; 0]);
    }
}
