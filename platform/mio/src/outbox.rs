//! What the kernel had no room for: kept in the buffers it was sealed in, and sent when there is room.
//!
//! Datagrams are sealed straight into an outbox, so that one which must wait is copied nowhere. While anything waits
//! no shards are asked for; small datagrams still are, and they leave first.

use core::net::SocketAddr;

use rift::limits::DATAGRAM_MAX;
use rift::{Class, Ecn, PathId, Transmit};

use crate::socket::Destination;

/// Small datagrams that may wait: input, feedback and control of some milliseconds. When all wait, sessions keep
/// the rest as state.
const URGENT_MAX: usize = 16;
/// Bytes of the longest batch.
pub(crate) const BATCH_LEN: usize = 65_536;

/// Puts datagrams on the network.
pub(crate) trait Wire {
    /// Sends `bytes`; on `Err` the kernel has no room for the rest.
    fn put(&mut self, destination: Destination, transmit: &Transmit, bytes: &[u8]) -> Result<(), Blocked>;
}

/// The kernel has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blocked {
    /// Bytes, whole datagrams, that left before.
    pub(crate) sent: usize,
}

/// A buffer, and what waits in it.
#[derive(Debug)]
struct Held {
    bytes: Vec<u8>,
    destination: Destination,
    transmit: Transmit,
    sent: usize,
}

impl Held {
    fn new(len: usize) -> Self {
        let nowhere = SocketAddr::from(([0; 4], 0));
        Self {
            bytes: vec![0; len],
            destination: Destination { to: nowhere, source: None },
            transmit: Transmit {
                path: PathId(0),
                len: 0,
                segment: None,
                class: Class::Realtime,
                ecn: Ecn::NotEct,
            },
            sent: 0,
        }
    }

    fn begin(&mut self, destination: Destination, transmit: Transmit) {
        (self.destination, self.transmit, self.sent) = (destination, transmit, 0);
    }

    /// Sends the rest; `false` when the kernel has no room.
    fn put(&mut self, wire: &mut impl Wire) -> bool {
        let rest = &self.bytes[self.sent..self.transmit.len];
        match wire.put(self.destination, &self.transmit, rest) {
            Ok(()) => true,
            Err(Blocked { sent }) => {
                self.sent += sent;
                false
            }
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Outbox {
    urgent: Vec<Held>,
    first: usize,
    count: usize,
    batch: Held,
    is_batch_held: bool,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self {
            urgent: (0..URGENT_MAX).map(|_| Held::new(DATAGRAM_MAX)).collect(),
            first: 0,
            count: 0,
            batch: Held::new(BATCH_LEN),
            is_batch_held: false,
        }
    }

    /// Forgets what waits.
    pub(crate) fn clear(&mut self) {
        (self.count, self.is_batch_held) = (0, false);
    }

    /// Whether anything waits for the kernel.
    pub(crate) const fn is_blocked(&self) -> bool {
        self.count > 0 || self.is_batch_held
    }

    /// Where to seal a small datagram; `None` while as many wait as may.
    pub(crate) fn urgent_room(&mut self) -> Option<&mut [u8]> {
        (self.count < URGENT_MAX).then(|| {
            let next = (self.first + self.count) % URGENT_MAX;
            self.urgent[next].bytes.as_mut_slice()
        })
    }

    /// Where to seal a batch; `None` while anything waits.
    pub(crate) fn batch_room(&mut self) -> Option<&mut [u8]> {
        (!self.is_blocked()).then_some(self.batch.bytes.as_mut_slice())
    }

    /// Sends what was sealed into [`Self::urgent_room`], behind other small datagrams, before any batch.
    pub(crate) fn send_urgent(&mut self, wire: &mut impl Wire, destination: Destination, transmit: Transmit) {
        debug_assert!(self.count < URGENT_MAX, "there was room to seal it");
        let held = &mut self.urgent[(self.first + self.count) % URGENT_MAX];
        held.begin(destination, transmit);
        if self.count > 0 || !held.put(wire) {
            self.count += 1;
        }
    }

    /// Sends what was sealed into [`Self::batch_room`].
    pub(crate) fn send_batch(&mut self, wire: &mut impl Wire, destination: Destination, transmit: Transmit) {
        self.batch.begin(destination, transmit);
        self.is_batch_held = !self.batch.put(wire);
    }

    /// Sends what waits, as far as there is room.
    pub(crate) fn flush(&mut self, wire: &mut impl Wire) {
        while self.count > 0 {
            if !self.urgent[self.first].put(wire) {
                return;
            }
            self.first = (self.first + 1) % URGENT_MAX;
            self.count -= 1;
        }
        if self.is_batch_held {
            self.is_batch_held = !self.batch.put(wire);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a number of datagrams, then has no room.
    #[derive(Default)]
    struct Narrow {
        room: usize,
        sent: Vec<(Class, Vec<u8>)>,
    }

    impl Wire for Narrow {
        fn put(&mut self, _: Destination, transmit: &Transmit, bytes: &[u8]) -> Result<(), Blocked> {
            let segment = transmit.segment.map_or(bytes.len(), usize::from);
            let mut left = 0;
            for datagram in bytes.chunks(segment) {
                self.room = self.room.checked_sub(1).ok_or(Blocked { sent: left })?;
                self.sent.push((transmit.class, datagram.to_vec()));
                left += datagram.len();
            }
            Ok(())
        }
    }

    fn destination() -> Destination {
        Destination { to: SocketAddr::from(([127, 0, 0, 1], 1)), source: None }
    }

    fn transmit(class: Class, len: usize, segment: Option<u16>) -> Transmit {
        Transmit { path: PathId(0), len, segment, class, ecn: Ecn::Ect1 }
    }

    fn send_urgent(outbox: &mut Outbox, wire: &mut Narrow, byte: u8) -> bool {
        let Some(room) = outbox.urgent_room() else { return false };
        room[0] = byte;
        outbox.send_urgent(wire, destination(), transmit(Class::Realtime, 1, None));
        true
    }

    #[test]
    fn small_datagrams_overtake_the_batch_that_waits_and_the_batch_goes_on_where_it_stopped() {
        let (mut outbox, mut wire) = (Outbox::new(), Narrow { room: 1, ..Narrow::default() });
        outbox.batch_room().expect("nothing waits")[..5].copy_from_slice(&[1, 2, 3, 4, 5]);
        outbox.send_batch(&mut wire, destination(), transmit(Class::Media, 5, Some(2)));
        assert!(outbox.is_blocked() && outbox.batch_room().is_none());
        assert!(send_urgent(&mut outbox, &mut wire, 7) && send_urgent(&mut outbox, &mut wire, 8));
        wire.room = 3;
        outbox.flush(&mut wire);
        assert!(outbox.is_blocked());
        wire.room = 3;
        outbox.flush(&mut wire);
        assert!(!outbox.is_blocked());
        let got: Vec<_> = wire.sent.iter().map(|(_, bytes)| bytes.as_slice()).collect();
        assert_eq!(got, [&[1, 2][..], &[7], &[8], &[3, 4], &[5]]);
        assert_eq!(wire.sent[1].0, Class::Realtime);
        assert_eq!(wire.sent[4].0, Class::Media);
    }

    #[test]
    fn full_outbox_asks_for_no_more_and_loses_nothing() {
        let (mut outbox, mut wire) = (Outbox::new(), Narrow::default());
        let accepted = (0..100).filter(|&byte| send_urgent(&mut outbox, &mut wire, byte)).count();
        assert_eq!(accepted, URGENT_MAX);
        wire.room = 1000;
        outbox.flush(&mut wire);
        let got: Vec<_> = wire.sent.iter().map(|(_, bytes)| usize::from(bytes[0])).collect();
        assert_eq!(got, (0..URGENT_MAX).collect::<Vec<_>>());
        assert!(outbox.urgent_room().is_some() && outbox.batch_room().is_some());
    }
}
