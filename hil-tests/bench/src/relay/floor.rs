//! `floor`: the least that sending on can cost with ordinary sockets, as a rival that nobody could use.
//!
//! It looks nothing up, checks nothing, counts nothing, knows no ECN, and queues nothing: each datagram says itself to which
//! port it goes. What it uses of the kernel is the best there is for UDP sockets: `recvmmsg` with `UDP_GRO` in, `sendmmsg`
//! with `UDP_SEGMENT` out, of the very memory that was received into, one message for all that follow each other to one port.
//! So far ahead of another relay, and no farther, can a relay with ordinary sockets be on these wires.

#![expect(unsafe_code, reason = "system calls")]

use core::mem::{MaybeUninit, size_of};
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::process::Command;

use rift_mio::Destination;

use super::wires::{FAR, NEAR, Wires};
use super::{Contender, End, PAIRS};
use crate::clock::wait_until;
use crate::failure::{Context as _, Failure};
use crate::keeper::Keeper;

/// The word after which [`role`] has its words.
pub(crate) const ROLE: &str = "relay-floor";
const READY: Duration = Duration::from_secs(10);
/// Messages taken and sent by one system call; datagrams that one message may be cut into (`UDP_MAX_SEGMENTS`).
const BATCH: usize = 64;
/// Room for a message; not a power of two, so that messages do not share the lines of a cache.
const ROOM: usize = 65_536 + 33 * 64;
/// The most bytes that one message sends.
const BYTES_MAX: usize = 65_000;
/// Bytes before the payload, as many as an envelope of ours has: the port is in the second and third.
const HEAD_LEN: usize = 9;
const RECEIVE_BUFFER: libc::c_int = 4 << 20;

/// Starts it where the relays are.
pub(super) fn start(keeper: &Keeper, wires: &Wires) -> Result<Contender, Failure> {
    let port_file = keeper.scratch().join("floor.port");
    let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
    command.args([ROLE, &FAR.to_string()]).arg(&port_file);
    let mut program = wires.inside(|| keeper.spawn("floor", &mut command, None))?;
    let port = wait_until(READY, || {
        (!program.has_ended()).then_some(())?;
        std::fs::read_to_string(&port_file).ok()?.strip_suffix('\n')?.parse().ok()
    });
    let Some(port) = port else { return Err(program.last_words().into()) };
    let to = Destination { to: SocketAddr::from((FAR, port)), source: None };
    let mut ends = Vec::new();
    for _ in 0..PAIRS {
        let (one, other) = (End::open(SocketAddr::from((NEAR, 0)))?, End::open(SocketAddr::from((NEAR, 0)))?);
        let heads = [&other, &one].map(|socket| {
            let [high, low] = socket.local_addr().port().to_be_bytes();
            [&[0, high, low][..], &[0; HEAD_LEN - 3]].concat()
        });
        ends.extend([one, other].into_iter().zip(heads).map(|(socket, head)| End { socket, to, head }));
    }
    Ok(Contender { name: "floor", program: Some(program), ends })
}

/// Sends on until it is killed; the words are the address to listen at, and the file that takes the port.
pub(crate) fn role(words: &[String]) -> Result<(), Failure> {
    let [address, port_file] = words else { return Err("an address and a file are wanted".into()) };
    let address: Ipv4Addr = address.parse().context("no address")?;
    let socket = UdpSocket::bind((address, 0)).context("cannot listen")?;
    let options =
        [(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, RECEIVE_BUFFER), (libc::SOL_UDP, libc::UDP_GRO, 1)];
    for (level, option, value) in options {
        set(&socket, level, option, value)?;
    }
    std::fs::write(port_file, format!("{}\n", socket.local_addr()?.port()))?;
    let mut tray = Tray::new();
    loop {
        let count = tray.receive(&socket).context("cannot receive")?;
        tray.send_on(&socket, count);
    }
}

/// A `cmsghdr` with one number.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Note {
    len: usize,
    level: i32,
    kind: i32,
    value: i32,
}

/// What came: message by message, and nothing moves between coming and going.
struct Tray {
    bytes: Vec<u8>,
    names: [libc::sockaddr_in; BATCH],
    notes: [Note; BATCH],
    lens: [usize; BATCH],
}

impl Tray {
    fn new() -> Box<Self> {
        // SAFETY: all zeros is a valid sockaddr_in.
        let name = unsafe { MaybeUninit::<libc::sockaddr_in>::zeroed().assume_init() };
        let note = Note { len: 0, level: 0, kind: 0, value: 0 };
        let bytes = vec![0; ROOM * BATCH];
        Box::new(Self { bytes, names: [name; BATCH], notes: [note; BATCH], lens: [0; BATCH] })
    }

    /// Waits for a message and takes those that are there.
    fn receive(&mut self, socket: &UdpSocket) -> std::io::Result<usize> {
        let mut heads = empty();
        let mut parts = [NOWHERE; BATCH];
        let rooms = self.bytes.chunks_exact_mut(ROOM).zip(&mut self.names).zip(&mut self.notes);
        for ((head, part), ((room, name), note)) in heads.iter_mut().zip(&mut parts).zip(rooms) {
            *part = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: ROOM };
            head.msg_hdr.msg_iov = &raw mut *part;
            head.msg_hdr.msg_iovlen = 1;
            head.msg_hdr.msg_name = (&raw mut *name).cast();
            head.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            note.kind = 0;
            head.msg_hdr.msg_control = (&raw mut *note).cast();
            head.msg_hdr.msg_controllen = size_of::<Note>() as _;
        }
        let (file, at, none) = (socket.as_raw_fd(), heads.as_mut_ptr(), core::ptr::null_mut());
        // SAFETY: each head leads to memory of the named lengths, its own, that is borrowed until the call returns; a null
        // timeout is allowed.
        let taken = unsafe { libc::recvmmsg(file, at, BATCH as u32, libc::MSG_WAITFORONE, none) };
        for (len, head) in self.lens.iter_mut().zip(&heads) {
            *len = head.msg_len as usize;
        }
        usize::try_from(taken).map_err(|_| std::io::Error::last_os_error())
    }

    /// Sends what came, `count` messages. What the kernel does not take is lost.
    fn send_on(&mut self, socket: &UdpSocket, count: usize) {
        let mut heads = empty();
        let mut parts = [NOWHERE; BATCH];
        let (mut groups, mut of) = (0, None);
        for place in 0..count {
            let (room, len) = (&self.bytes[place * ROOM..], self.lens[place]);
            parts[place] = libc::iovec { iov_base: room.as_ptr().cast_mut().cast(), iov_len: len };
            let note = self.notes[place];
            let stride = if note.kind == libc::UDP_GRO { note.value as usize } else { len };
            let port = u16::from_ne_bytes([room[1], room[2]]);
            let sum = len + of.map_or(0, |(_, _, _, sum)| sum);
            // A message that is cut ends with its first short datagram, and nothing here has any but of one length.
            if of.is_some_and(|(to, cut, ..)| (to, cut) == (port, stride))
                && sum <= BYTES_MAX
                && sum.div_ceil(stride) <= BATCH
            {
                of = of.map(|(port, stride, first, _)| (port, stride, first, sum));
            } else {
                groups += 1;
                of = Some((port, stride, place, len));
            }
            let Some((port, stride, first, sum)) = of else { continue };
            let name = &mut self.names[first];
            name.sin_port = port;
            let head = &mut heads[groups - 1].msg_hdr;
            head.msg_name = (&raw mut *name).cast();
            head.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            head.msg_iov = &raw mut parts[first];
            head.msg_iovlen = (place + 1 - first) as _;
            if sum > stride {
                // The length is two bytes of the four.
                let [one, two] = (stride as u16).to_ne_bytes();
                let value = i32::from_ne_bytes([one, two, 0, 0]);
                let note = &mut self.notes[first];
                *note = Note { len: 18, level: libc::SOL_UDP, kind: libc::UDP_SEGMENT, value };
                head.msg_control = (&raw mut *note).cast();
                head.msg_controllen = size_of::<Note>() as _;
            }
        }
        let mut left = 0;
        while left < groups {
            let rest = &mut heads[left..groups];
            let (at, len) = (rest.as_mut_ptr(), rest.len() as u32);
            // SAFETY: each head leads to memory of the named lengths that is borrowed until the call returns.
            let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), at, len, 0) };
            // The first of those that did not leave is given up.
            left += usize::try_from(sent).map_or(1, |sent| sent.max(1));
        }
    }
}

const NOWHERE: libc::iovec = libc::iovec { iov_base: core::ptr::null_mut(), iov_len: 0 };

fn empty() -> [libc::mmsghdr; BATCH] {
    // SAFETY: all zeros is a valid mmsghdr: null pointers with zero lengths.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

fn set(socket: &UdpSocket, level: i32, option: i32, value: libc::c_int) -> std::io::Result<()> {
    let (value, len) = ((&raw const value).cast(), size_of::<libc::c_int>() as libc::socklen_t);
    // SAFETY: the value outlives the call and has the length that is named.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, len) };
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}
