//! What kind of interface one is.

#![expect(unsafe_code, reason = "a system call")]

use core::net::Ipv4Addr;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;

/// Whether the interface of this name, in this thread's network namespace, is Ethernet.
///
/// # Errors
/// There is no such interface, or the system does not say.
pub(crate) fn is_ethernet(name: &str) -> io::Result<bool> {
    // SAFETY: all zeros is a valid ifreq: an empty name and an empty address.
    let mut request: libc::ifreq = unsafe { core::mem::zeroed() };
    // The last byte stays zero, which ends the name.
    let room = request.ifr_name.len() - 1;
    if name.is_empty() || name.len() > room || name.contains('\0') {
        let why = format!("a name of an interface has 1 to {room} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // SAFETY: the request is one of this kind, and outlives the call.
    let failed = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFHWADDR, &raw mut request) } < 0;
    if failed {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the system has written an address there, of this kind.
    let kind = unsafe { request.ifr_ifru.ifru_hwaddr.sa_family };
    Ok(kind == libc::ARPHRD_ETHER)
}
