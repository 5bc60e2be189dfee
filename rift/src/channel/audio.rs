//! Sound: opaque packets of an audio codec, numbered, each with the time of its capture (SPEC §14.6).
//!
//! Nothing is sent again. Packets ride along with the ones after them, as many as the path's loss asks for, so that a
//! lost datagram costs no packet and no round trip. The receiver gives each packet once and in order, and says where
//! one is missing as soon as it can no longer come: what plays it conceals the gap. No packet is looked into here.
//!
//! Invariant: every number from the first on is given exactly once, as a packet or in a gap.

use crate::limits::{AUDIO_KEPT_MAX, AUDIO_RECEIVED_MAX};
use crate::profile::Profile;
use crate::time::Instant;
use crate::wire::Writer;
use crate::wire::audio::{AudioMessage, Previous};
use crate::wire::frame::{FrameType, emit};

/// Something of what is to be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audio {
    /// The next packet, at the front of the caller's buffer.
    Packet {
        /// When it was captured, on this side's clock; `None` while the clocks' relation is unknown.
        captured_at: Option<Instant>,
        /// Its bytes.
        len: usize,
        /// How many packets after it the one was that it rode along with; 0 when it came by itself.
        behind: u8,
        /// How many ride along with each at present: so many packets later this one could still have come.
        along: u8,
    },
    /// Here so many packets are missing.
    Gap {
        /// How many.
        packets: u32,
    },
}

/// Where audio packets lie: `slot_len` bytes for each.
#[derive(Debug)]
pub struct AudioRings<'m> {
    /// Bytes of the longest packet; 0 where there is no audio.
    pub slot_len: usize,
    /// Room for [`AUDIO_KEPT_MAX`] packets.
    pub send: &'m mut [u8],
    /// Room for [`AUDIO_RECEIVED_MAX`] packets.
    pub receive: &'m mut [u8],
}

#[derive(Clone, Copy, Debug)]
struct Packet {
    number: u64,
    captured_us: u32,
    len: u16,
    /// How many packets after it the one was that brought it; 0 at its sender.
    behind: u8,
}

/// A packet that was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read {
    pub(crate) captured_us: u32,
    pub(crate) len: usize,
    pub(crate) behind: u8,
    pub(crate) along: u8,
}

/// How many packets ride along: those that a path of this loss, in thousandths, needs so that about one gap a minute is left
/// of 6000 packets. Losses p of single packets leave 6000 p² with one, 6000 p³ with two and 6000 p⁴ with three; the loss is a
/// mean over few packets and may be measured at a quarter of what it is.
const fn copies(loss_permille: u32) -> usize {
    match loss_permille {
        0..3 => 0,
        3..5 => 1,
        5..40 => 2,
        _ => 3,
    }
}

#[derive(Clone, Debug)]
pub(crate) struct AudioSender {
    kept: [Option<Packet>; AUDIO_KEPT_MAX],
    next: u64,
    /// The first packet that has not left.
    unsent: u64,
}

impl AudioSender {
    pub(crate) const fn new() -> Self {
        Self { kept: [None; AUDIO_KEPT_MAX], next: 0, unsent: 0 }
    }

    /// Takes a packet. When too many wait the oldest makes room.
    pub(crate) fn push(&mut self, rings: &mut AudioRings<'_>, captured_us: u32, bytes: &[u8]) -> bool {
        let Ok(len) = u16::try_from(bytes.len()) else { return false };
        let slot = (self.next % AUDIO_KEPT_MAX as u64) as usize;
        let place = rings.send.get_mut(slot * rings.slot_len..).and_then(|rest| rest.get_mut(..bytes.len()));
        let Some(place) = place.filter(|_| !bytes.is_empty() && bytes.len() <= rings.slot_len) else {
            return false;
        };
        place.copy_from_slice(bytes);
        self.kept[slot] = Some(Packet { number: self.next, captured_us, len, behind: 0 });
        self.next += 1;
        self.unsent = self.unsent.max(self.next.saturating_sub(AUDIO_KEPT_MAX as u64));
        true
    }

    pub(crate) const fn is_due(&self) -> bool {
        self.unsent < self.next
    }

    fn kept(&self, number: u64) -> Option<Packet> {
        self.kept[(number % AUDIO_KEPT_MAX as u64) as usize].filter(|packet| packet.number == number)
    }

    /// Appends the next packet, with as many before it as loss asks for and room allows.
    pub(crate) fn emit(
        &mut self,
        rings: &AudioRings<'_>,
        loss_permille: u32,
        writer: &mut Writer<'_>,
    ) -> Option<()> {
        let packet = self.kept(self.unsent).filter(|_| self.is_due())?;
        let mut room =
            writer.room().checked_sub(3 + AudioMessage::HEAD_LEN)?.checked_sub(usize::from(packet.len))?;
        let mut along: heapless::Vec<Packet, AUDIO_KEPT_MAX> = heapless::Vec::new();
        for back in 1..=copies(loss_permille) as u64 {
            let Some(previous) = packet.number.checked_sub(back).and_then(|number| self.kept(number)) else {
                break;
            };
            let Some(left) = room.checked_sub(Previous::LEN + usize::from(previous.len)) else { break };
            room = left;
            if along.push(previous).is_err() {
                break;
            }
        }
        emit(writer, FrameType::Audio, |body| {
            let heads = along.iter().map(|previous| Previous {
                before_us: packet.captured_us.wrapping_sub(previous.captured_us),
                len: previous.len,
            });
            AudioMessage::emit_head(body, packet.number as u16, packet.captured_us, heads)?;
            along.iter().chain([&packet]).try_for_each(|packet| {
                let at = (packet.number % AUDIO_KEPT_MAX as u64) as usize * rings.slot_len;
                body.bytes(rings.send.get(at..at + usize::from(packet.len))?)
            })
        })?;
        self.unsent += 1;
        Some(())
    }
}

pub(crate) struct AudioReceiver<P: Profile> {
    packets: P::Row<Option<Packet>, AUDIO_RECEIVED_MAX>,
    /// The number of the packet to give next; `None` before the first came.
    expected: Option<u64>,
    /// Packets that made room before they were given.
    skipped: u32,
    /// Since when something is here that the next packet is missing before.
    gap_since: Option<Instant>,
    gap_told: bool,
    news: bool,
    /// Packets that rode along with the newest message.
    along: u8,
}

/// What is missing may only be late for at least this long, in µs.
const PATIENCE_US_MIN: u64 = 5_000;
/// And at most this long: what plays it waits no longer either.
const PATIENCE_US_MAX: u64 = 40_000;

impl<P: Profile> AudioReceiver<P> {
    pub(crate) fn new() -> Self {
        Self {
            packets: P::row::<_, AUDIO_RECEIVED_MAX>(None),
            expected: None,
            skipped: 0,
            gap_since: None,
            gap_told: false,
            news: false,
            along: 0,
        }
    }

    /// Takes a message; packets that are here, were given or are too long are passed over.
    pub(crate) fn on_message(
        &mut self,
        rings: &mut AudioRings<'_>,
        message: &AudioMessage<'_>,
        received_at: Instant,
    ) {
        // Before the first packet nothing was missing: what rides along with it is older than the session's sound.
        let expected = *self.expected.get_or_insert(FIRST + u64::from(message.sequence));
        let ahead = message.sequence.wrapping_sub(expected as u16).cast_signed();
        let number = expected.saturating_add_signed(ahead.into());
        for (back, (captured_us, bytes)) in (0_u8..).zip(message.packets()) {
            self.along = back;
            if let Some(number) = number.checked_sub(back.into()) {
                self.put(rings, Place { number, behind: back }, captured_us, bytes);
            }
        }
        self.note_gap(received_at);
    }

    fn put(&mut self, rings: &mut AudioRings<'_>, place: Place, captured_us: u32, bytes: &[u8]) {
        let Place { number, behind } = place;
        let Some(expected) = self.expected.filter(|&expected| number >= expected) else { return };
        let slot = (number % AUDIO_RECEIVED_MAX as u64) as usize;
        let at = slot * rings.slot_len;
        let Some(place) = rings.receive.get_mut(at..at + bytes.len()) else { return };
        let Ok(len) = u16::try_from(bytes.len()) else { return };
        if bytes.len() > rings.slot_len {
            return;
        }
        let oldest = (number + 1).saturating_sub(AUDIO_RECEIVED_MAX as u64);
        if oldest > expected {
            // Nobody reads, or the path was dark: the oldest make room.
            self.skipped = self.skipped.saturating_add(u32::try_from(oldest - expected).unwrap_or(u32::MAX));
            self.move_to(oldest);
        }
        let Some(kept) = self.packets.as_mut().get_mut(slot) else { return };
        if kept.is_some_and(|packet| packet.number == number) {
            return;
        }
        place.copy_from_slice(bytes);
        *kept = Some(Packet { number, captured_us, len, behind });
        self.news |= self.expected == Some(number) || self.skipped > 0;
    }

    fn move_to(&mut self, number: u64) {
        self.expected = Some(number);
        (self.gap_since, self.gap_told) = (None, false);
    }

    fn packet(&self, number: u64) -> Option<Packet> {
        let kept = self.packets.as_ref().get((number % AUDIO_RECEIVED_MAX as u64) as usize)?;
        kept.filter(|packet| packet.number == number)
    }

    /// The first packet here from the expected one on.
    fn first_here(&self) -> Option<Packet> {
        let expected = self.expected?;
        (expected..expected + AUDIO_RECEIVED_MAX as u64).find_map(|number| self.packet(number))
    }

    fn note_gap(&mut self, now: Instant) {
        let is_gap = self.first_here().is_some_and(|packet| Some(packet.number) != self.expected);
        self.gap_since = if is_gap { self.gap_since.or(Some(now)) } else { None };
        self.gap_told &= is_gap;
    }

    fn patience_us(lateness_us: u64) -> u64 {
        (lateness_us * 3 / 2).clamp(PATIENCE_US_MIN, PATIENCE_US_MAX)
    }

    /// When a missing packet counts as lost, if the application has not been told yet.
    pub(crate) fn due(&self, lateness_us: u64) -> Option<Instant> {
        let since = self.gap_since.filter(|_| !self.gap_told)?;
        Some(since.plus_micros(Self::patience_us(lateness_us)))
    }

    /// A missing packet may have become a lost one.
    pub(crate) fn handle_timeout(&mut self, now: Instant, lateness_us: u64) {
        if self.due(lateness_us).is_some_and(|due| due <= now) {
            self.gap_told = true;
            self.news = true;
        }
    }

    /// Whether something may be read that the application was not told of.
    pub(crate) const fn take_news(&mut self) -> bool {
        core::mem::replace(&mut self.news, false)
    }

    /// What comes next: a packet at the front of `out`, or how many are missing.
    pub(crate) fn read(
        &mut self,
        rings: &AudioRings<'_>,
        now: Instant,
        lateness_us: u64,
        out: &mut [u8],
    ) -> Option<Result<Read, u32>> {
        if self.skipped > 0 {
            return Some(Err(core::mem::take(&mut self.skipped)));
        }
        let (expected, packet) = (self.expected?, self.first_here()?);
        if packet.number > expected {
            let is_lost =
                self.gap_since.is_some_and(|since| since.plus_micros(Self::patience_us(lateness_us)) <= now);
            if !is_lost {
                return None;
            }
            self.move_to(packet.number);
            return Some(Err(u32::try_from(packet.number - expected).unwrap_or(u32::MAX)));
        }
        self.move_to(expected + 1);
        self.note_gap(now);
        let len = usize::from(packet.len);
        let at = (packet.number % AUDIO_RECEIVED_MAX as u64) as usize * rings.slot_len;
        match (rings.receive.get(at..at + len), out.get_mut(..len)) {
            (Some(bytes), Some(out)) => {
                out.copy_from_slice(bytes);
                let Packet { captured_us, behind, .. } = packet;
                Some(Ok(Read { captured_us, len, behind, along: self.along }))
            }
            // A caller with too small a buffer does not get it.
            _ => Some(Err(1)),
        }
    }
}

/// Where a packet belongs, and how many packets after it the one was that brought it.
#[derive(Clone, Copy, Debug)]
struct Place {
    number: u64,
    behind: u8,
}

/// Numbers count from here, so that packets before the first have numbers too.
const FIRST: u64 = 1 << 32;
