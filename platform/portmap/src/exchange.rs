//! A request to the router over TCP and its answer, for as long as [`PortMapping`](crate::PortMapping) has time for it.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::thread::Clock;
use crate::upnp::{Call, RESPONSE_MAX, is_whole};

/// The router is on the same link: who takes longer to take a call is not there.
const CONNECT: Duration = Duration::from_secs(1);
/// From the call to the end of the answer.
const WHOLE: Duration = Duration::from_secs(3);
/// When nobody needs the port any more, nobody waits for longer than this.
const LAST: Duration = Duration::from_secs(1);
/// A read waits this long before it is looked whether to stop.
const WAIT: Duration = Duration::from_millis(100);

/// What came back, up to its end or to where it is too long; `None` when nothing did in time.
pub(crate) fn exchange(clock: &Clock, call: &Call, mut is_stopped: impl FnMut() -> bool) -> Option<Vec<u8>> {
    let began = clock.now();
    let mut stream = TcpStream::connect_timeout(&SocketAddr::V4(call.to), CONNECT).ok()?;
    stream.set_read_timeout(Some(WAIT)).and_then(|()| stream.set_write_timeout(Some(CONNECT))).ok()?;
    stream.write_all(&call.request).ok()?;
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    // An answer that is under way may say that the port is open, and then it has to be closed.
    let mut until = began + WHOLE;
    let mut was_stopped = false;
    while clock.now() < until && !is_whole(&bytes) {
        if !was_stopped && is_stopped() {
            was_stopped = true;
            until = until.min(clock.now() + LAST);
        }
        match stream.read(&mut buffer) {
            Ok(0) => return Some(bytes),
            Ok(len) => bytes.extend_from_slice(&buffer[..len.min(RESPONSE_MAX - bytes.len())]),
            Err(error) if is_temporary(error.kind()) => {}
            Err(_) => return None,
        }
    }
    is_whole(&bytes).then_some(bytes)
}

fn is_temporary(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    [Interrupted, TimedOut, WouldBlock].contains(&kind)
}
