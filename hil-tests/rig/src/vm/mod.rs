//! `vm`: a real kernel with real drivers where the machine has none: no `/dev/video*`, no `/dev/uinput`, no modules.
//!
//! Debian's own kernel runs in QEMU, emulated in software, so it works wherever programs do. Nothing is installed: the
//! packages are unpacked below the target directory. By default the guest's time is virtual (QEMU's instruction
//! counter): it does not pass while the guest is held up and is skipped while it has nothing to do, so what a test
//! sees does not depend on how busy the machine is.

mod cpio;
mod guest;
mod image;
pub(crate) mod packages;
mod programs;

use std::path::Path;
use std::time::Instant;

use crate::args::{Vm, VmTask};
use crate::process::Keeper;
use crate::totals::Totals;
use crate::{Failure, say};

use guest::Guest;
use programs::Selection;

/// What most want: two capture cards, each with an HDMI input and a camera input, the second of the kind that speaks of
/// planes; and virtual input devices.
const MODULES: [&str; 3] = [
    "vivid:n_devs=2,node_types=0x1;0x1,num_inputs=2;2,input_types=0x3;0x3,num_outputs=0;0,multiplanar=1;2",
    "uinput",
    "evdev",
];

/// What the tests want besides: links between namespaces that delay and lose, a USB port that is a device joined with one
/// that is a host, and a sound card that hears what is played into it.
const TEST_MODULES: [&str; 8] =
    ["veth", "sch_netem", "dummy_hcd", "libcomposite", "usb_f_hid", "usbhid", "hid_generic", "snd_aloop"];

/// Runs a command, or the tests that need real drivers, in a VM.
///
/// # Errors
/// Exit code 2 when this machine cannot run one, the guest command's own code when it failed, else 1.
pub fn run(options: &Vm) -> Result<(), Failure> {
    let begun = now();
    let keeper = Keeper::start()?;
    let mut totals = Totals::default();
    let outcome = match &options.task {
        VmTask::Test { rounds } => test(options, &keeper, &Selection::All { rounds: *rounds }, &mut totals),
        VmTask::Soak(arguments) => test(options, &keeper, &Selection::Soak(arguments), &mut totals),
        VmTask::Command(command) => command_in_guest(options, &keeper, command),
    };
    if !matches!(options.task, VmTask::Command(_)) {
        say::result(totals);
    }
    say::progress(format_args!("vm: {:.1} s in all", begun.elapsed().as_secs_f64()));
    outcome
}

/// Has everything at hand that a VM is made of.
///
/// # Errors
/// It cannot be had on this machine, and why.
pub fn fetch() -> Result<(), Failure> {
    packages::ready().map(drop)
}

/// Runs the tests that need real drivers and adds what they say to `totals`; `seconds`: real time they may take.
///
/// # Errors
/// As [`run`].
pub fn test_all(seconds: u32, totals: &mut Totals) -> Result<(), Failure> {
    let task = VmTask::Test { rounds: 1 };
    let (modules, payload, out) = (Vec::new(), None, None);
    let options = Vm { task, modules, payload, out, seconds, real_time: false, machine: false };
    let keeper = Keeper::start()?;
    let mut counted = Totals::default();
    let outcome = test(&options, &keeper, &Selection::All { rounds: 1 }, &mut counted);
    totals.include(&counted);
    outcome
}

fn command_in_guest(options: &Vm, keeper: &Keeper, command: &str) -> Result<(), Failure> {
    let files = match &options.payload {
        Some(directory) => programs::directory(directory)?,
        None => Vec::new(),
    };
    let code = boot(options, keeper, command, &files, |line| say::result(line))?;
    match code {
        0 => Ok(()),
        code => Err(Failure { message: format!("the command in the VM ended with code {code}"), exit: code }),
    }
}

fn test(
    options: &Vm,
    keeper: &Keeper,
    selection: &Selection<'_>,
    totals: &mut Totals,
) -> Result<(), Failure> {
    let programs = programs::build()?;
    let script: Vec<String> = programs.iter().flat_map(|program| program.lines(selection)).collect();
    let script = format!("code=0\n{}\nexit $code", script.join("\n"));
    let files: Vec<programs::File> = programs.into_iter().map(|program| program.file).collect();
    let code = boot(options, keeper, &script, &files, |line| {
        if totals.read(line) {
            say::result(line);
        }
    })?;
    // The VM is the place where nothing may be skipped.
    let is_counted = matches!(selection, Selection::All { rounds: 1 });
    if code == 0 && totals.failed == 0 && totals.skipped == 0 && (totals.passed > 0 || !is_counted) {
        return Ok(());
    }
    let why = if code == 0 { "a device is missing in the VM" } else { "tests failed in the VM" };
    Err(Failure::failed(format!("{why}; the lines above say which")))
}

/// Makes the image, boots it and shows what it prints. Returns the command's exit code.
fn boot(
    options: &Vm,
    keeper: &Keeper,
    command: &str,
    files: &[programs::File],
    show: impl FnMut(&str),
) -> Result<u8, Failure> {
    let sysroot = packages::ready()?;
    let asked = options.modules.iter().map(String::as_str);
    let mut modules: Vec<&str> = if options.modules.is_empty() { MODULES.to_vec() } else { asked.collect() };
    if !matches!(options.task, VmTask::Command(_)) {
        modules.extend(TEST_MODULES);
    }
    let image = image::Request { modules: &modules, command, files, has_machine: options.machine };
    let initrd = keeper.scratch().join("initrd");
    image::write(&sysroot, &image, &initrd)?;
    let out = match &options.out {
        Some(directory) => directory.clone(),
        None => keeper.scratch().join("out"),
    };
    make_directory(&out)?;
    let out = std::path::absolute(&out).map_err(|error| {
        Failure::unusable(format!("cannot make a full path of {}: {error}", out.display()))
    })?;
    Guest { sysroot: &sysroot, initrd: &initrd, out: &out, options }.run(keeper, show)
}

fn make_directory(path: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(path)
        .map_err(|error| Failure::failed(format!("cannot make the directory {}: {error}", path.display())))
}

#[expect(clippy::disallowed_methods, reason = "wall time is what people read here")]
fn now() -> Instant {
    Instant::now()
}
