//! A download beside the session: the kernel's own TCP, with CUBIC.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use crate::clock::{now, wait_until};
use crate::failure::{Context as _, Failure};

/// Bytes written at once.
const CHUNK: usize = 65_536;
/// How long a listener is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sends as much as the path takes for so long.
pub(super) fn send(address: SocketAddr, time: Duration) -> Result<(), Failure> {
    let mut stream = wait_until(PATIENCE, || TcpStream::connect(address).ok())
        .ok_or_else(|| format!("nobody takes the download at {address}"))?;
    // What the kernel takes by itself differs from machine to machine; in a namespace of one's own all may be chosen.
    rustix::net::sockopt::set_tcp_congestion(&stream, "cubic").context("this kernel has no CUBIC")?;
    let (chunk, end) = (vec![0; CHUNK], now() + time);
    // What the kernel holds at the end leaves with the process.
    stream.set_write_timeout(Some(Duration::from_secs(1))).context("cannot set a limit")?;
    while now() < end && stream.write(&chunk).is_ok() {}
    Ok(())
}

/// Takes what one sender sends.
pub(super) fn receive(address: SocketAddr) -> Result<(), Failure> {
    let listener = TcpListener::bind(address).context("cannot wait for the download")?;
    let (mut stream, _) = listener.accept().context("cannot take the download")?;
    let mut chunk = vec![0; CHUNK];
    while stream.read(&mut chunk).is_ok_and(|len| len > 0) {}
    Ok(())
}
