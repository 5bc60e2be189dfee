//! One run of the emulator: its arguments, its output, its exit code.

use core::time::Duration;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use super::packages::Sysroot;
use crate::args::Vm;
use crate::process::Keeper;
use crate::{Failure, say};

/// A guest that is about to boot.
#[derive(Debug)]
pub(super) struct Guest<'a> {
    pub(super) sysroot: &'a Sysroot,
    pub(super) initrd: &'a Path,
    /// The directory that is `/out` in the guest.
    pub(super) out: &'a Path,
    pub(super) options: &'a Vm,
}

/// Short, and free of what takes the emulator long: entropy that is not trusted, self-tests, calibration.
const KERNEL_LINE: &str = "console=ttyS0 quiet panic=-1 mitigations=off nokaslr no_timer_check cryptomgr.notests \
                           random.trust_cpu=on net.ifnames=0";
const MACHINE: &str = "-machine q35,usb=off,vmport=off -cpu Nehalem -m 1536 -nodefaults -display none -no-reboot \
                       -serial stdio -device isa-debug-exit,iobase=0xf4,iosize=4";
/// Never KVM: where a machine of CI has `/dev/kvm`, it opens and then fails for a kernel that is not its own.
const REAL_TIME: &str = "-accel tcg,thread=multi -smp 2";
/// Two nanoseconds an instruction, and idle time skipped.
const VIRTUAL_TIME: &str = "-accel tcg,thread=single -smp 1 -icount shift=1,sleep=off";

impl Guest<'_> {
    /// Boots, hands every line the guest prints to `show`, and returns the command's exit code.
    ///
    /// # Errors
    /// The guest crashed, hung or could not be started.
    pub(super) fn run(&self, keeper: &Keeper, mut show: impl FnMut(&str)) -> Result<u8, Failure> {
        let time = if self.options.real_time { "real time" } else { "virtual time" };
        say::progress(format_args!("vm: booting, {time}, {} s at most", self.options.seconds));
        let mut running = keeper.spawn("the VM", &mut self.command(), Some(Stdio::piped()))?;
        let output = running.take_output();
        let (lines, received) = mpsc::channel();
        let reader = thread::spawn(move || {
            let mut output = output.map(BufReader::new);
            let mut line = Vec::new();
            while let Some(output) = output.as_mut()
                && output.read_until(b'\n', &mut line).is_ok_and(|len| len > 0)
            {
                let text = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
                line.clear();
                if lines.send(text).is_err() {
                    return;
                }
            }
        });
        let mut left = Duration::from_secs(u64::from(self.options.seconds));
        loop {
            let asked = super::now();
            match received.recv_timeout(left) {
                Ok(line) => show(&line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    return Err(Failure::failed(format!(
                        "the VM was not done after {} s; --seconds allows more",
                        self.options.seconds
                    )));
                }
            }
            left = left.saturating_sub(asked.elapsed());
        }
        let _ = reader.join();
        let status = running.wait(GRACE)?;
        // The device turns v into 2 v + 1, and v is the command's code plus 1; 1 and even codes are the emulator's own.
        match status.code().and_then(|code| u8::try_from(code).ok()) {
            Some(code) if code >= 3 && code % 2 == 1 => Ok((code - 3) / 2),
            _ => Err(Failure::failed(format!(
                "the VM ended without an exit code ({status}): its kernel or the emulator failed\n{}",
                running.last_words()
            ))),
        }
    }

    fn command(&self) -> Command {
        let mut command = self.sysroot.emulator();
        let time = if self.options.real_time { REAL_TIME } else { VIRTUAL_TIME };
        command.args(time.split_whitespace()).args(MACHINE.split_whitespace());
        share(&mut command, "out", self.out, "");
        if self.options.machine {
            share(&mut command, "machine", Path::new("/"), ",readonly=on,multidevs=remap");
        }
        command.arg("-kernel").arg(self.sysroot.kernel()).arg("-initrd").arg(self.initrd);
        command.arg("-append").arg(KERNEL_LINE);
        command
    }
}

/// Shows a directory of the machine to the guest.
fn share(command: &mut Command, tag: &str, directory: &Path, more: &str) {
    // A comma in a value is written twice.
    let path = directory.to_string_lossy().replace(',', ",,");
    command.arg("-fsdev").arg(format!("local,id={tag},path={path},security_model=none{more}"));
    command.arg("-device").arg(format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}"));
}

/// How long the emulator may take to end after its last word.
const GRACE: Duration = Duration::from_secs(10);
