//! Debian packages as files: downloaded with apt-get, unpacked with dpkg-deb, never installed.
//!
//! Not installed, because QEMU's packages would replace what a machine may already use of it, and because it needs no
//! rights. The cache is below the target directory; a marker is written last, so a half-made cache is made afresh.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use crate::{Failure, cargo, say, setup};

const KERNEL: &str = "linux-image-amd64";
const EMULATOR: &str = "qemu-system-x86";
/// What the guest is made of beside its kernel, tools to look at capture devices with, and what a desktop reads input
/// devices with.
const TOOLS: [&str; 15] = [
    "busybox-static",
    "v4l-utils",
    "libv4l-0",
    "libv4lconvert0",
    "libv4l2rds0",
    "udev",
    "libudev1",
    "libkmod2",
    "libinput-tools",
    "libinput10",
    "libinput-bin",
    "libevdev2",
    "libmtdev1",
    "libwacom9",
    "libgudev-1.0-0",
];
const EMULATOR_PATH: &str = "usr/bin/qemu-system-x86_64";
const MARKER: &str = "complete";
/// Drivers that no guest here has hardware for; unpacking them would take most of the time.
const LEFT_OUT: [&str; 6] = [
    "*/kernel/drivers/net/ethernet",
    "*/kernel/drivers/net/wireless",
    "*/kernel/drivers/scsi",
    "*/kernel/drivers/infiniband",
    "*/kernel/drivers/gpu/drm/[a-uw-z]*/*",
    "./usr",
];

/// Unpacked packages.
#[derive(Debug)]
pub(super) struct Sysroot {
    root: PathBuf,
    emulator: PathBuf,
    /// `lib/modules/VERSION` of the guest's kernel.
    modules: PathBuf,
}

impl Sysroot {
    /// A file of a package, by its path in the package without the leading `/`.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The directory of the guest kernel's modules.
    pub(super) fn modules(&self) -> &Path {
        &self.modules
    }

    /// The kernel to boot.
    pub(super) fn kernel(&self) -> PathBuf {
        self.root.join("vmlinux")
    }

    /// The emulator, ready for its arguments.
    pub(super) fn emulator(&self) -> Command {
        let mut command = Command::new(&self.emulator);
        if self.emulator.starts_with(&self.root) {
            for directory in ["usr/share/qemu", "usr/share/seabios"] {
                command.arg("-L").arg(self.root.join(directory));
            }
            command.env("LD_LIBRARY_PATH", self.libraries());
        }
        command
    }

    /// Where the packages' shared libraries are, as a search path.
    pub(super) fn libraries(&self) -> String {
        libraries(&self.root)
    }
}

/// The unpacked packages, downloaded if they are not there yet.
///
/// # Errors
/// Exit code 2 when this machine has no such packages; 1 when downloading or unpacking failed.
pub(super) fn ready() -> Result<Sysroot, Failure> {
    if std::env::consts::ARCH != "x86_64" {
        return Err(Failure::unusable(format!(
            "the VM runs Debian's x86_64 kernel beside programs of this machine, which is {}",
            std::env::consts::ARCH
        )));
    }
    let cache = cargo::target_dir().join("vm");
    let root = cache.join("root");
    // Another rig may be filling the same cache; whoever is second finds it filled.
    let lock_path = cargo::target_dir().join("vm.lock");
    fs::create_dir_all(cargo::target_dir()).map_err(|error| cannot("make", &cargo::target_dir(), &error))?;
    let lock = File::create(&lock_path).and_then(|file| file.lock().map(|()| file));
    let _lock = lock.map_err(|error| cannot("lock", &lock_path, &error))?;
    // It says what was unpacked: a cache of other packages is made afresh.
    if fs::read_to_string(root.join(MARKER)).ok() != Some(TOOLS.join(" ")) {
        fill(&cache, &root)?;
    }
    let unpacked = root.join(EMULATOR_PATH);
    let emulator = if unpacked.is_file() { unpacked } else { Path::new("/").join(EMULATOR_PATH) };
    let modules = only_entry(&root.join("lib/modules"))?;
    Ok(Sysroot { root, emulator, modules })
}

/// Where the shared libraries of packages unpacked at `root` are, as a search path.
pub(crate) fn libraries(root: &Path) -> String {
    ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"]
        .map(|path| root.join(path).display().to_string())
        .join(":")
}

/// A package and all it needs that is not installed, unpacked below `cache` if it is not there yet; where.
///
/// # Errors
/// Exit code 2 when this machine has no such package; 1 when downloading or unpacking failed.
pub(crate) fn unpacked(cache: &Path, package: &str) -> Result<PathBuf, Failure> {
    let root = cache.join("root");
    if root.join(MARKER).is_file() {
        return Ok(root);
    }
    let _ = fs::remove_dir_all(cache);
    fs::create_dir_all(&root).map_err(|error| cannot("make the directory", &root, &error))?;
    say::progress(format_args!("downloading {package} to {}, once; nothing is installed", cache.display()));
    let get = || get_one(&cache.join("packages"), &root, &missing_for(package)?);
    if let Err(failure) = get() {
        // Package lists that are missing, or older than the archive and name files that are gone.
        say::progress(format_args!("{failure}"));
        setup::update_lists()?;
        get()?;
    }
    let marker = root.join(MARKER);
    fs::write(&marker, []).map_err(|error| cannot("write", &marker, &error))?;
    Ok(root)
}

/// A package and what would come along with it, by name.
fn missing_for(package: &str) -> Result<Vec<String>, Failure> {
    // A rehearsal takes no lock.
    let rehearsal = answer("apt-get", &["install", "--simulate", "--no-install-recommends", package])?;
    let names = rehearsal.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
    let names: Vec<String> = names.map(str::to_owned).collect();
    if names.is_empty() { Err(unknown(package)) } else { Ok(names) }
}

fn fill(cache: &Path, root: &Path) -> Result<(), Failure> {
    let _ = fs::remove_dir_all(cache);
    fs::create_dir_all(root).map_err(|error| cannot("make the directory", root, &error))?;
    say::progress(format_args!(
        "vm: downloading a kernel and an emulator (85 MB) to {}, once; nothing is installed",
        cache.display()
    ));
    if let Err(failure) = get(cache, root) {
        // Package lists that are missing, or older than the archive and name files that are gone.
        say::progress(format_args!("vm: {failure}"));
        setup::update_lists()?;
        get(cache, root)?;
    }
    let marker = root.join(MARKER);
    fs::write(&marker, TOOLS.join(" ")).map_err(|error| cannot("write", &marker, &error))
}

/// The kernel is most of it, so it goes its way beside the others.
fn get(cache: &Path, root: &Path) -> Result<(), Failure> {
    thread::scope(|scope| {
        let kernel = scope.spawn(|| {
            get_one(&cache.join("kernel"), root, &[kernel()?])?;
            uncompressed_kernel(root)
        });
        let others = others().and_then(|others| get_one(&cache.join("packages"), root, &others));
        let kernel = kernel.join().unwrap_or_else(|_| Err(Failure::failed("unpacking the kernel failed")));
        kernel.and(others)
    })
}

fn get_one(directory: &Path, root: &Path, packages: &[String]) -> Result<(), Failure> {
    fs::create_dir_all(directory).map_err(|error| cannot("make the directory", directory, &error))?;
    let mut download = Command::new("apt-get");
    // Root's apt would hand the download to a user that may not write here, and say so at length.
    download.args(["download", "--quiet=2", "--option=APT::Sandbox::User=root"]).args(packages);
    let answer = download.current_dir(directory).stdin(Stdio::null()).output();
    let answer = answer.map_err(|error| Failure::unusable(format!("cannot run apt-get: {error}")))?;
    if !answer.status.success() {
        return Err(Failure::failed(format!(
            "apt-get download did not succeed:\n{}",
            String::from_utf8_lossy(&answer.stderr).trim_end()
        )));
    }
    let entries = fs::read_dir(directory).map_err(|error| cannot("read", directory, &error))?;
    for package in entries.flatten().map(|entry| entry.path()) {
        unpack(&package, root)?;
        // What is unpacked is all that is needed of it.
        let _ = fs::remove_file(&package);
    }
    Ok(())
}

fn unpack(package: &Path, root: &Path) -> Result<(), Failure> {
    let failed = |error: io::Error| cannot("unpack", package, &error);
    let mut reader = Command::new("dpkg-deb");
    let mut reader =
        reader.arg("--fsys-tarfile").arg(package).stdout(Stdio::piped()).spawn().map_err(failed)?;
    let archive = reader.stdout.take().map_or_else(Stdio::null, Stdio::from);
    let mut writer = Command::new("tar");
    writer.args(["--extract", "--no-same-owner", "--directory"]).arg(root);
    if package.to_string_lossy().contains("linux-image") {
        writer.args(LEFT_OUT.map(|pattern| format!("--exclude={pattern}")));
    }
    let written = writer.stdin(archive).status().map_err(failed)?;
    let read = reader.wait().map_err(failed)?;
    if read.success() && written.success() {
        return Ok(());
    }
    Err(Failure::failed(format!("dpkg-deb and tar could not unpack {}", package.display())))
}

/// The package that the kernel's newest version is in.
fn kernel() -> Result<String, Failure> {
    let depends = answer("apt-cache", &["depends", KERNEL])?;
    let kernel = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image-"));
    kernel.map(|rest| format!("linux-image-{rest}")).ok_or_else(|| unknown(KERNEL))
}

/// All other packages that are not installed, or that are needed as files.
fn others() -> Result<Vec<String>, Failure> {
    // A rehearsal names what would come along, and takes no lock.
    let rehearsal = answer("apt-get", &["install", "--simulate", "--no-install-recommends", EMULATOR])?;
    let others = rehearsal.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
    let others: Vec<String> = others.chain(TOOLS).map(str::to_owned).collect();
    if others.len() == TOOLS.len() && !Path::new("/").join(EMULATOR_PATH).is_file() {
        return Err(unknown(EMULATOR));
    }
    Ok(others)
}

fn unknown(package: &str) -> Failure {
    Failure::unusable(format!(
        "apt knows no {package}: the VM is made of Debian's packages, 12 or newer. If the lists are old, as root run:\n  \
         apt-get update"
    ))
}

fn answer(program: &str, arguments: &[&str]) -> Result<String, Failure> {
    let output = Command::new(program).args(arguments).env("LC_ALL", "C").stdin(Stdio::null()).output();
    let output = output.map_err(|error| {
        Failure::unusable(format!("cannot run {program} ({error}): the VM is made of Debian's packages"))
    })?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Unpacks the kernel's own compression, which would cost the guest seconds at every boot. One that is compressed in
/// another way than by xz is booted as it is.
fn uncompressed_kernel(root: &Path) -> Result<(), Failure> {
    let boot = root.join("boot");
    let entries = fs::read_dir(&boot).map_err(|error| cannot("read", &boot, &error))?;
    let is_kernel = |path: &PathBuf| path.to_string_lossy().contains("vmlinuz");
    let packed = entries.flatten().map(|entry| entry.path()).find(is_kernel);
    let packed = packed.ok_or_else(|| Failure::failed(format!("{} holds no kernel", boot.display())))?;
    let bytes = fs::read(&packed).map_err(|error| cannot("read", &packed, &error))?;
    let plain = root.join("vmlinux");
    let magic = b"\xfd7zXZ\0";
    if let Some(start) = bytes.windows(magic.len()).position(|window| window == magic) {
        let stream = root.join("vmlinux.xz");
        fs::write(&stream, &bytes[start..]).map_err(|error| cannot("write", &stream, &error))?;
        let input = File::open(&stream).map_err(|error| cannot("read", &stream, &error))?;
        let output = File::create(&plain).map_err(|error| cannot("write", &plain, &error))?;
        let mut xz = Command::new("xz");
        xz.args(["--decompress", "--stdout", "--single-stream"]).stdin(input).stdout(output);
        // It complains about what follows the stream; whether it has done its work shows in the result.
        let _ = xz.stderr(Stdio::null()).status();
        let _ = fs::remove_file(&stream);
        if fs::read(&plain).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF")) {
            return Ok(());
        }
    }
    fs::write(&plain, bytes).map_err(|error| cannot("write", &plain, &error))
}

fn only_entry(directory: &Path) -> Result<PathBuf, Failure> {
    let entries = fs::read_dir(directory).map_err(|error| cannot("read", directory, &error))?;
    let first = entries.flatten().map(|entry| entry.path()).next();
    first.ok_or_else(|| Failure::failed(format!("{} is empty: remove it and try again", directory.display())))
}

fn cannot(action: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("cannot {action} {}: {error}", path.display()))
}
