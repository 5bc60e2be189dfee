//! The few system calls that no crate offers: clocks, the timer file, `sendmsg` with control messages, forced
//! buffer sizes, the time slice of a thread. Nothing else in this crate is unsafe.

#![expect(unsafe_code, reason = "system calls")]

use core::mem::MaybeUninit;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use socket2::{SockAddr, Socket};

use crate::control::Control;

/// `CLOCK_MONOTONIC`, in nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// `CLOCK_REALTIME`, in nanoseconds since the Unix epoch.
pub(crate) fn realtime_ns() -> u64 {
    clock_ns(libc::CLOCK_REALTIME)
}

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec of ours that outlives the call.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert_eq!(result, 0, "both clocks exist on every Linux, so the call cannot fail");
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// 32 bytes of the kernel's entropy. Blocks only while a machine has just started and has none.
pub(crate) fn entropy() -> [u8; 32] {
    let mut bytes = [0; 32];
    loop {
        // SAFETY: the pointer leads to `bytes`, which is as long as is said and outlives the call.
        let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        if usize::try_from(got) == Ok(bytes.len()) {
            return bytes;
        }
        let error = io::Error::last_os_error();
        // Up to 256 bytes come whole; only a signal at the start of the machine can come between.
        assert_eq!(error.kind(), io::ErrorKind::Interrupted, "every Linux since 3.17 has entropy");
    }
}

/// A timer file on `CLOCK_MONOTONIC`.
pub(crate) fn timer_create() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers.
    let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes a timer file fire once at `at_ns` of `CLOCK_MONOTONIC`; `None` = never.
pub(crate) fn timer_set(timer: &OwnedFd, at_ns: Option<u64>) -> io::Result<()> {
    let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let at = at_ns.map_or(never, |at_ns| libc::timespec {
        tv_sec: libc::time_t::try_from(at_ns / 1_000_000_000).unwrap_or(libc::time_t::MAX),
        tv_nsec: (at_ns % 1_000_000_000) as libc::c_long,
    });
    let value = libc::itimerspec { it_interval: never, it_value: at };
    // SAFETY: `value` is ours and outlives the call; a null old value is allowed.
    let result = unsafe {
        libc::timerfd_settime(
            timer.as_raw_fd(),
            libc::TFD_TIMER_ABSTIME,
            &raw const value,
            core::ptr::null_mut(),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sends `bytes` to `to`, or where the socket is connected to, with these control messages.
pub(crate) fn send(
    socket: &Socket,
    to: Option<&SockAddr>,
    control: &mut Control,
    bytes: &[u8],
) -> io::Result<usize> {
    // SAFETY: all zeros is a valid msghdr: null pointers with zero lengths.
    let mut head = unsafe { MaybeUninit::<libc::msghdr>::zeroed().assume_init() };
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    head.msg_iov = &raw mut part;
    head.msg_iovlen = 1;
    if let Some(to) = to {
        head.msg_name = to.as_ptr().cast_mut().cast();
        head.msg_namelen = to.len();
    }
    let control = control.bytes_mut();
    if !control.is_empty() {
        head.msg_control = control.as_mut_ptr().cast();
        head.msg_controllen = control.len() as _;
    }
    // SAFETY: every pointer in `head` leads to memory of the named length that is borrowed until the call returns;
    // the kernel only reads it.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const head, SEND_FLAGS) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// No signal, and no waiting for room, on a socket whose reception waits either.
const SEND_FLAGS: libc::c_int = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;

/// A batch as the kernel describes it.
#[repr(C, align(8))]
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    /// The sender's `sockaddr`, of either family.
    pub(crate) name: [u8; 32],
    control: [u8; CONTROL_LEN],
    control_len: usize,
    /// Bytes of the batch.
    pub(crate) len: usize,
}

/// Room for an arrival time (32 bytes), the length of a batch's datagrams (24), an IPv6 address of arrival (40), and
/// a type of service (24), which comes last and is what would be missing.
const CONTROL_LEN: usize = 192;

impl Letter {
    pub(crate) const fn new() -> Self {
        Self { name: [0; 32], control: [0; CONTROL_LEN], control_len: 0, len: 0 }
    }

    /// The control messages that came with it.
    pub(crate) fn control(&self) -> &[u8] {
        self.control.get(..self.control_len).unwrap_or_default()
    }
}

/// Takes at most `N` of the batches that are there, each into `part_len` bytes of `buffer` and the letter beside it; with
/// `waits` for the first as long as the socket says. Returns how many.
pub(crate) fn receive<const N: usize>(
    socket: &Socket,
    buffer: &mut [u8],
    part_len: usize,
    letters: &mut [Letter],
    waits: bool,
) -> io::Result<usize> {
    // SAFETY: all zeros is a valid mmsghdr: null pointers with zero lengths.
    let mut heads = unsafe { MaybeUninit::<[libc::mmsghdr; N]>::zeroed().assume_init() };
    let mut parts = [libc::iovec { iov_base: core::ptr::null_mut(), iov_len: 0 }; N];
    let places = buffer.chunks_exact_mut(part_len).zip(letters.iter_mut());
    let mut count = 0;
    for ((head, part), (bytes, letter)) in heads.iter_mut().zip(&mut parts).zip(places) {
        *part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        let head = &mut head.msg_hdr;
        head.msg_iov = &raw mut *part;
        head.msg_iovlen = 1;
        head.msg_name = letter.name.as_mut_ptr().cast();
        head.msg_namelen = letter.name.len() as libc::socklen_t;
        head.msg_control = letter.control.as_mut_ptr().cast();
        head.msg_controllen = letter.control.len() as _;
        count += 1;
    }
    // SAFETY: the first `count` heads lead to memory of the named lengths, each its own, that is borrowed mutably
    // until the call returns; a null timeout is allowed.
    let taken = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            heads.as_mut_ptr(),
            count,
            if waits { libc::MSG_WAITFORONE } else { libc::MSG_DONTWAIT } as _,
            core::ptr::null_mut(),
        )
    };
    let taken = usize::try_from(taken).map_err(|_| io::Error::last_os_error())?;
    for (head, letter) in heads.iter().zip(letters).take(taken) {
        letter.len = head.msg_len as usize;
        letter.control_len = head.msg_hdr.msg_controllen as _;
    }
    Ok(taken)
}

/// Waits until something can be received, `wait_ms` milliseconds at most.
pub(crate) fn await_readable(socket: &Socket, wait_ms: u16) -> io::Result<()> {
    let mut asked = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: `asked` is one pollfd of ours that outlives the call.
    let result = unsafe { libc::poll(&raw mut asked, 1, wait_ms.into()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sets a buffer size beyond what the administrator allows everybody; needs `CAP_NET_ADMIN`.
pub(crate) fn force_buffer(socket: &Socket, option: libc::c_int, bytes: usize) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, option, libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX))
}

/// Sets an option of a socket that is a number.
pub(crate) fn set(
    socket: &Socket,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: `value` is ours, outlives the call and has the length that is named.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes the time slice of this thread `slice_ns`, where the kernel lets a thread choose its own (Linux 6.12), and its niceness
/// `nice` where that is lower than it is and permitted. Threads that it starts inherit neither.
pub(crate) fn set_schedule(slice_ns: u64, nice: i32) -> io::Result<()> {
    const LEN: libc::c_uint = size_of::<libc::sched_attr>() as libc::c_uint;
    // SAFETY: all zeros is a valid sched_attr: numbers only.
    let mut attributes = unsafe { MaybeUninit::<libc::sched_attr>::zeroed().assume_init() };
    // SAFETY: the pointer leads to `attributes`, which is as long as is said and outlives the call; 0 = this thread.
    let result = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, LEN, 0) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // Somebody gave it a policy with other ideas of its times.
    if attributes.sched_policy != libc::SCHED_OTHER as u32 {
        return Ok(());
    }
    (attributes.size, attributes.sched_runtime) = (LEN, slice_ns);
    attributes.sched_flags |= libc::SCHED_FLAG_RESET_ON_FORK as u64;
    let given = attributes.sched_nice;
    attributes.sched_nice = given.min(nice);
    match set_attributes(&attributes) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && given > nice => {
            attributes.sched_nice = given;
            set_attributes(&attributes)
        }
        outcome => outcome,
    }
}

/// Gives this thread these.
fn set_attributes(attributes: &libc::sched_attr) -> io::Result<()> {
    // SAFETY: `attributes` has the length it says and outlives the call; 0 = this thread.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, core::ptr::from_ref(attributes), 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
