//! An entry on Linux without the start-up files of the C library; of the library only what writes and exits.

use core::panic::PanicInfo;

unsafe extern "C" {
    fn write(descriptor: i32, bytes: *const u8, len: usize) -> isize;
    fn _exit(code: i32) -> !;
}

// The kernel enters with an aligned stack and no return address; a function expects one below the alignment.
core::arch::global_asm!(".globl _start", "_start:", "xor ebp, ebp", "and rsp, -16", "call {main}", "ud2", main = sym entry);

extern "C" fn entry() -> ! {
    let outcome = crate::peers::run();
    match outcome {
        Ok(report) => {
            say("no allocator: handshakes ");
            say_number(report.handshakes);
            say(", pictures ");
            say_number(report.pictures);
            say(", input events ");
            say_number(report.input_events);
            say(", stream bytes ");
            say_number(report.stream_bytes);
            say(", moves ");
            say_number(report.moves);
            say(", session ");
            say_number(report.session_bytes);
            say(" bytes, memory ");
            say_number(report.memory_bytes);
            say(" bytes\n");
            exit(0)
        }
        Err(what) => {
            say("no allocator: failed: ");
            say(what);
            say("\n");
            exit(1)
        }
    }
}

fn say(text: &str) {
    // SAFETY: the pointer and length are those of a live string.
    unsafe { write(1, text.as_ptr(), text.len()) };
}

fn say_number(mut number: usize) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    say(core::str::from_utf8(&digits[at..]).unwrap_or("?"));
}

fn exit(code: i32) -> ! {
    // SAFETY: ends the process; takes any code.
    unsafe { _exit(code) }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    say("no allocator: panic\n");
    exit(101)
}
