//! What was sent, until feedback has told its fate (SPEC §12.2–§12.3).

use crate::time::Instant;

bitflags::bitflags! {
    /// What a packet carried, so that its loss or arrival reaches whom it concerns.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Carried: u32 {
        /// The permissions message.
        const ADMITTED = 1 << 0;
        /// Stream parameters.
        const PARAMETERS = 1 << 1;
        /// A repair request.
        const REPAIR = 1 << 2;
        /// The newest picture's number.
        const POSITION = 1 << 3;
        /// The cursor's place.
        const CURSOR = 1 << 4;
        /// A part of the control stream.
        const CONTROL_STREAM = 1 << 5;
        /// A part of the cursor stream.
        const CURSOR_STREAM = 1 << 6;
        /// Shards.
        const MEDIA = 1 << 7;
        /// Anything that wants feedback.
        const ELICITING = 1 << 8;
        /// What the capture is doing.
        const CAPTURE = 1 << 9;
        /// An address token.
        const TOKEN = 1 << 16;
        /// What the gamepads' motors should do.
        const RUMBLE = 1 << 10;
        /// What the viewer can show.
        const CAPABILITIES = 1 << 11;
        /// Tiles that the viewer shows wrongly.
        const TILE_REPORT = 1 << 12;
        /// Which paths are used.
        const PATHS = 1 << 18;
        /// Connection ids.
        const CONNECTIONS = 1 << 17;
        /// The host's next key.
        const SUCCESSOR = 1 << 20;
        /// A request for fresh keys, or the reply.
        const KEYS = 1 << 15;
        /// The longest datagram taken.
        const DATAGRAM_LIMIT = 1 << 19;
        /// Over how many pictures parity may go.
        const WINDOW = 1 << 22;
        /// Nothing but length.
        const MTU_PROBE = 1 << 21;
        /// A part of the clipboard stream.
        const CLIPBOARD_STREAM = 1 << 13;
        /// A part of the file stream.
        const FILE_STREAM = 1 << 14;
    }
}

impl Carried {
    /// A part of each stream, in the order of [`crate::Channel::ALL`].
    pub(crate) const STREAMS: [Self; 4] =
        [Self::CONTROL_STREAM, Self::CURSOR_STREAM, Self::CLIPBOARD_STREAM, Self::FILE_STREAM];
    /// The host's states that do not belong to the picture.
    pub(crate) const fn of_admission() -> Self {
        Self::ADMITTED
            .union(Self::TOKEN)
            .union(Self::KEYS)
            .union(Self::CONNECTIONS)
            .union(Self::SUCCESSOR)
            .union(Self::DATAGRAM_LIMIT)
    }

    /// What bulk sends.
    pub(crate) const BULK: Self = Self::CLIPBOARD_STREAM.union(Self::FILE_STREAM);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Empty,
    InFlight,
    Arrived,
    /// So long before it was reported that the report could not say when.
    ArrivedLongAgo,
}

/// One packet in the ring of those sent.
#[derive(Clone, Copy, Debug)]
pub struct SentPacket {
    sent_at: Instant,
    /// In the peer's microseconds, unwrapped.
    arrived_us: u64,
    bytes: u16,
    carried: Carried,
    fate: Fate,
    ce: bool,
}

impl SentPacket {
    /// No packet.
    pub const EMPTY: Self = Self {
        sent_at: Instant::ZERO,
        arrived_us: 0,
        bytes: 0,
        carried: Carried::empty(),
        fate: Fate::Empty,
        ce: false,
    };
}

/// What has become of a packet; told once, in the order of sending.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) packet_number: u64,
    pub(crate) sent_at: Instant,
    pub(crate) bytes: u16,
    pub(crate) carried: Carried,
    /// `None` = lost.
    pub(crate) arrived: Option<Came>,
}

/// How a packet arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Came {
    /// In the peer's microseconds; `None` when that was too long before the report.
    pub(crate) at_us: Option<u64>,
    /// Whether congestion was marked.
    pub(crate) ce: bool,
}

/// The numbers around the ring: the ring itself lies in the caller's memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentLog {
    /// The next packet's number.
    next: u64,
    /// The first packet whose fate has not been told.
    untold: u64,
    /// One past the largest that is known to have arrived.
    arrived_end: u64,
    /// When the packet before `arrived_end` was sent.
    arrived_sent_at: Instant,
}

/// Packets that must have overtaken one before it may be called lost (RFC 9002 §6.1.1).
const REORDERING_PACKETS: u64 = 3;

impl SentLog {
    pub(crate) const fn new() -> Self {
        Self { next: 0, untold: 0, arrived_end: 0, arrived_sent_at: Instant::ZERO }
    }

    /// The number the next packet will have.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// The first packet whose fate is not known.
    pub(crate) const fn untold(&self) -> u64 {
        self.untold
    }

    /// Whether `count` more packets fit without forgetting one whose fate is unknown.
    pub(crate) const fn has_room(&self, ring_len: usize, count: u64) -> bool {
        self.next - self.untold + count <= ring_len as u64
    }

    /// Notes a packet as sent. There is room.
    pub(crate) fn push(&mut self, ring: &mut [SentPacket], now: Instant, bytes: u16, carried: Carried) {
        debug_assert!(self.has_room(ring.len(), 1), "room was made");
        let packet =
            SentPacket { sent_at: now, arrived_us: 0, bytes, carried, fate: Fate::InFlight, ce: false };
        *slot(ring, self.next) = packet;
        self.next += 1;
    }

    /// Gives up the next packet whose fate has not been told, whatever it is.
    pub(crate) fn forget(&mut self, ring: &mut [SentPacket]) -> Option<Told> {
        if self.untold >= self.next {
            return None;
        }
        let packet_number = self.untold;
        let packet = slot(ring, packet_number);
        let told = Told {
            packet_number,
            sent_at: packet.sent_at,
            bytes: packet.bytes,
            carried: packet.carried,
            arrived: None,
        };
        packet.fate = Fate::Empty;
        self.untold += 1;
        Some(told)
    }

    /// Notes that `packet_number` arrived. Returns when it was sent if that is news.
    pub(crate) fn on_arrived(
        &mut self,
        ring: &mut [SentPacket],
        packet_number: u64,
        came: Came,
    ) -> Option<Instant> {
        if packet_number < self.untold || packet_number >= self.next {
            return None;
        }
        let packet = slot(ring, packet_number);
        if packet.fate != Fate::InFlight {
            return None;
        }
        packet.fate = if came.at_us.is_some() { Fate::Arrived } else { Fate::ArrivedLongAgo };
        packet.arrived_us = came.at_us.unwrap_or(0);
        packet.ce = came.ce;
        if packet_number >= self.arrived_end {
            self.arrived_end = packet_number + 1;
            self.arrived_sent_at = packet.sent_at;
        }
        Some(packet.sent_at)
    }

    /// The fate of the next packet, if it is known (SPEC §12.3): arrived; or lost, because three later ones arrived,
    /// the last of them sent `patience_us` after it, or because one did and the report of it, due `overdue_us` after
    /// it was sent, has not come for `patience_us`.
    pub(crate) fn tell(
        &mut self,
        ring: &mut [SentPacket],
        now: Instant,
        patience_us: u64,
        overdue_us: u64,
    ) -> Option<Told> {
        if self.untold >= self.next {
            return None;
        }
        let packet_number = self.untold;
        let packet = slot(ring, packet_number);
        let is_overtaken = packet_number + REORDERING_PACKETS < self.arrived_end
            && self.arrived_sent_at.micros_since(packet.sent_at) >= patience_us;
        let is_overdue =
            packet_number < self.arrived_end && now.micros_since(packet.sent_at) > overdue_us + patience_us;
        let arrived = match packet.fate {
            Fate::Arrived => Some(Came { at_us: Some(packet.arrived_us), ce: packet.ce }),
            Fate::ArrivedLongAgo => Some(Came { at_us: None, ce: packet.ce }),
            Fate::InFlight if !is_overtaken && !is_overdue => return None,
            Fate::InFlight | Fate::Empty => None,
        };
        let told = Told {
            packet_number,
            sent_at: packet.sent_at,
            bytes: packet.bytes,
            carried: packet.carried,
            arrived,
        };
        packet.fate = Fate::Empty;
        self.untold += 1;
        Some(told)
    }
}

fn slot(ring: &mut [SentPacket], packet_number: u64) -> &mut SentPacket {
    let mask = ring.len() as u64 - 1;
    &mut ring[(packet_number & mask) as usize]
}
