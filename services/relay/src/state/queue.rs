//! Packets that wait, of all leases in one pool, in a queue for each peer. Small ones go first: they are input, audio and
//! feedback, whatever else can be known of them. When there is no room the oldest large one goes, whose picture is late
//! anyway.

use rift::Ecn;

/// Bytes of the longest packet that is kept; longer ones, which no path of today carries, pass at once or not.
pub const PACKET_LEN_MAX: usize = 2048;
/// Packets one peer may have waiting.
const QUEUE_MAX: u16 = 64;
/// A packet up to this is small.
const SMALL_MAX: usize = 300;
const NONE: u32 = u32::MAX;

/// A row of packets by their places in the pool.
#[derive(Clone, Copy, Debug)]
struct Row {
    first: u32,
    last: u32,
}

/// What one peer has waiting.
#[derive(Debug)]
pub(super) struct Queue {
    small: Row,
    large: Row,
    len: u16,
}

impl Queue {
    pub(super) const fn new() -> Self {
        let empty = Row { first: NONE, last: NONE };
        Self { small: empty, large: empty, len: 0 }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[derive(Clone, Copy, Debug)]
struct Head {
    next: u32,
    len: u16,
    ecn: Ecn,
}

/// Room for packets; see the module.
#[derive(Debug)]
pub(super) struct Pool {
    heads: Vec<Head>,
    bytes: Vec<u8>,
    free: Row,
    used: usize,
    dropped: u64,
}

impl Pool {
    pub(super) fn new(packets: usize) -> Self {
        let next = |place: usize| if place + 1 < packets { place as u32 + 1 } else { NONE };
        let heads = (0..packets).map(|place| Head { next: next(place), len: 0, ecn: Ecn::NotEct }).collect();
        let first = if packets > 0 { 0 } else { NONE };
        Self {
            heads,
            bytes: vec![0; packets * PACKET_LEN_MAX],
            free: Row { first, last: NONE },
            used: 0,
            dropped: 0,
        }
    }

    pub(super) const fn used(&self) -> usize {
        self.used
    }

    pub(super) const fn take_dropped(&mut self) -> u64 {
        core::mem::replace(&mut self.dropped, 0)
    }

    /// Keeps a packet, perhaps in place of one of the same queue; returns whether it is kept.
    pub(super) fn push(&mut self, queue: &mut Queue, packet: &[u8], ecn: Ecn) -> bool {
        if packet.len() > PACKET_LEN_MAX {
            self.dropped += 1;
            return false;
        }
        if (queue.len >= QUEUE_MAX || self.free.first == NONE) && !self.make_room(queue) {
            self.dropped += 1;
            return false;
        }
        let place = self.free.first;
        let head = &mut self.heads[place as usize];
        self.free.first = head.next;
        *head = Head { next: NONE, len: packet.len() as u16, ecn };
        let at = place as usize * PACKET_LEN_MAX;
        self.bytes[at..at + packet.len()].copy_from_slice(packet);
        let row = if packet.len() <= SMALL_MAX { &mut queue.small } else { &mut queue.large };
        if row.first == NONE {
            row.first = place;
        } else {
            self.heads[row.last as usize].next = place;
        }
        row.last = place;
        queue.len += 1;
        self.used += 1;
        true
    }

    /// How long the packet is that goes next.
    pub(super) fn first_len(&self, queue: &Queue) -> Option<usize> {
        let first = if queue.small.first == NONE { queue.large.first } else { queue.small.first };
        self.heads.get(first as usize).map(|head| head.len.into())
    }

    /// Takes the packet that goes next.
    pub(super) fn pop(&mut self, queue: &mut Queue, out: &mut [u8; PACKET_LEN_MAX]) -> Option<(usize, Ecn)> {
        let is_small = queue.small.first != NONE;
        let place = self.unlink(queue, is_small)?;
        let Head { len, ecn, .. } = self.heads[place as usize];
        let (at, len) = (place as usize * PACKET_LEN_MAX, usize::from(len));
        out[..len].copy_from_slice(&self.bytes[at..at + len]);
        self.release(place);
        Some((len, ecn))
    }

    /// Lets everything go.
    pub(super) fn clear(&mut self, queue: &mut Queue) {
        while let Some(place) = self.unlink(queue, true).or_else(|| self.unlink(queue, false)) {
            self.release(place);
        }
    }

    /// Drops the oldest large packet of a queue, else its oldest.
    fn make_room(&mut self, queue: &mut Queue) -> bool {
        let oldest = self.unlink(queue, false).or_else(|| self.unlink(queue, true));
        if let Some(place) = oldest {
            self.release(place);
            self.dropped += 1;
        }
        oldest.is_some()
    }

    fn unlink(&mut self, queue: &mut Queue, is_small: bool) -> Option<u32> {
        let row = if is_small { &mut queue.small } else { &mut queue.large };
        let place = row.first;
        row.first = self.heads.get(place as usize)?.next;
        queue.len -= 1;
        Some(place)
    }

    fn release(&mut self, place: u32) {
        self.heads[place as usize].next = self.free.first;
        self.free.first = place;
        self.used -= 1;
    }
}
