//! One stream with a UDP socket at its end: what comes out of either goes into the other.

use std::io::{self, Read as _, Write as _};
use std::time::Instant;

use mio::net::{TcpStream, UdpSocket};
use rustls::Connection;
use socket2::SockRef;

use crate::clock;
use crate::framing::{Frames, Queue};

/// What the kernel takes of a stream beyond what it has sent, in bytes: 13 ms at 10 Mbit/s.
pub const NOTSENT_LEN: u32 = 16 * 1024;
/// Reads of one turn from either side: what is left waits for the next, so that no stream starves the others.
const READS_PER_TURN: usize = 32;
/// About how much goes into one record of TLS.
const RECORD_LEN: usize = 4 * 1024;
/// The longest datagram of UDP.
const UDP_MAX: usize = 65_536;

/// Why a stream is over.
#[derive(Debug)]
pub(crate) struct Gone;

/// Whether there is more to do at once.
pub(crate) type More = bool;

/// See the module.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) tcp: TcpStream,
    tls: Connection,
    queue: Queue,
    frames: Frames,
    record: Vec<u8>,
    /// When it came to be.
    pub(crate) began: Instant,
    /// When a datagram came out of the stream last.
    pub(crate) heard_at: Instant,
    /// When one came for the stream last.
    pub(crate) fed_at: Option<Instant>,
}

impl Line {
    /// A stream for what waits in `queue`, and for what comes.
    pub(crate) fn new(tcp: TcpStream, mut tls: Connection, queue: Queue) -> io::Result<Self> {
        let socket = SockRef::from(&tcp);
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_notsent_lowat(NOTSENT_LEN)?;
        tls.set_buffer_limit(Some(4 * RECORD_LEN));
        let began = clock::now();
        let (frames, record) = (Frames::default(), Vec::new());
        Ok(Self { tcp, tls, queue, frames, record, began, heard_at: began, fed_at: None })
    }

    /// Whether both ends have shown what TLS wants to see.
    pub(crate) fn is_open(&self) -> bool {
        !self.tls.is_handshaking()
    }

    /// What still waits.
    pub(crate) fn into_queue(self) -> Queue {
        self.queue
    }

    /// Moves what can be moved, both ways.
    pub(crate) fn pump(&mut self, udp: &UdpSocket, scratch: &mut [u8; UDP_MAX]) -> Result<More, Gone> {
        let more = self.read(udp, scratch)? | self.collect(udp, scratch);
        self.write()?;
        Ok(more)
    }

    /// From the stream to the socket.
    fn read(&mut self, udp: &UdpSocket, scratch: &mut [u8; UDP_MAX]) -> Result<More, Gone> {
        for _ in 0..READS_PER_TURN {
            match self.tls.read_tls(&mut self.tcp) {
                Ok(0) => return Err(Gone),
                Ok(_) => {}
                Err(error) if is_not_yet(&error) => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Err(Gone),
            }
            let state = self.tls.process_new_packets();
            let is_over = match &state {
                Ok(state) => state.peer_has_closed(),
                Err(_) => {
                    // The other is told why; what else is to be done about it is nothing.
                    let _ = self.tls.write_tls(&mut self.tcp);
                    return Err(Gone);
                }
            };
            loop {
                match self.tls.reader().read(scratch) {
                    Ok(0) => break,
                    Ok(len) => {
                        self.heard_at = clock::now();
                        // What the socket has no room for is lost, as on any network.
                        let took = self.frames.push(&scratch[..len], |datagram| drop(udp.send(datagram)));
                        took.map_err(|_| Gone)?;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => return Err(Gone),
                }
            }
            if is_over {
                return Err(Gone);
            }
        }
        Ok(true)
    }

    /// From the socket to the queue.
    fn collect(&mut self, udp: &UdpSocket, scratch: &mut [u8; UDP_MAX]) -> More {
        for _ in 0..READS_PER_TURN {
            match udp.recv(scratch) {
                Ok(len) => {
                    self.fed_at = Some(clock::now());
                    self.queue.push(&scratch[..len]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // An answer of the network to something sent before; the next call tells of what came.
                Err(_) => {}
            }
        }
        true
    }

    /// From the queue to the stream: nothing more while something that went in before has not left TLS.
    fn write(&mut self) -> Result<(), Gone> {
        loop {
            while self.tls.wants_write() {
                match self.tls.write_tls(&mut self.tcp) {
                    Ok(_) => {}
                    Err(error) if is_not_yet(&error) => return Ok(()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => return Err(Gone),
                }
            }
            if !self.is_open() || self.queue.is_empty() {
                return Ok(());
            }
            self.record.clear();
            self.queue.pop(RECORD_LEN, &mut self.record);
            self.tls.writer().write_all(&self.record).map_err(|_| Gone)?;
        }
    }
}

/// No room, nothing there, or no connection yet.
fn is_not_yet(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected)
}

/// Where a turn's datagrams are read to.
pub(crate) fn scratch() -> Box<[u8; UDP_MAX]> {
    Box::new([0; UDP_MAX])
}
