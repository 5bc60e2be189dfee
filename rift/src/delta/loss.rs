//! Loss: how much, in what bursts, and how much parity answers it.

use crate::fec::BLOCK_DATA_MAX;
use crate::limits::{WINDOW_PARITY_MAX, WINDOW_PICTURES_MAX};

/// Length of a slot of the loss history, on the sender's clock.
const SLOT_US: u64 = 250_000;
/// Slots: eight seconds, so a loss is remembered for about as long as it tends to come back.
const SLOTS: usize = 32;
/// Slots of the short view: one second, so that parity follows a change before many pictures are lost.
const RECENT_SLOTS: usize = 4;
/// Packets below which a share of losses means nothing.
const PACKETS_MIN: u32 = 40;
/// Loss assumed until [`PACKETS_LEARNT`] packets were reported, in parts per million: most wireless paths lose less.
const PRIOR_PPM: u64 = 10_000;
/// Packets after which the measurement replaces the assumption.
const PACKETS_LEARNT: u64 = 1_000;
/// Highest loss answered by parity; beyond it more parity only crowds out the pictures themselves.
const LOSS_PPM_MAX: u64 = 250_000;
/// Pictures of at least this many shards carry one parity shard even where nothing was lost for long: at most 6 %.
const FLOOR_SHARDS: usize = 16;

/// Longest mean burst answered, in thousandths: more is an outage, which no parity of one picture bridges.
const BURST_MILLI_MAX: u64 = 8_000;

#[derive(Clone, Copy, Debug)]
struct Slot {
    number: u64,
    packets: u32,
    lost: u32,
    bursts: u32,
}

impl Slot {
    const EMPTY: Self = Self { number: u64::MAX, packets: 0, lost: 0, bursts: 0 };
}

/// Loss history.
#[derive(Clone, Debug)]
pub(super) struct Loss {
    slots: [Slot; SLOTS],
    newest: u64,
    last_was_lost: bool,
    reported: u64,
    /// What is lacking can be asked for in time.
    is_answered: bool,
    /// Pictures before its own that a picture's parity may cover.
    window: u8,
}

impl Loss {
    pub(super) const fn new() -> Self {
        Self {
            slots: [Slot::EMPTY; SLOTS],
            newest: 0,
            last_was_lost: false,
            reported: 0,
            is_answered: false,
            window: 0,
        }
    }

    /// Whether what is lacking can be asked for in time.
    pub(super) const fn is_answered(&self) -> bool {
        self.is_answered
    }

    pub(super) const fn set_answered(&mut self, is_answered: bool) {
        self.is_answered = is_answered;
    }

    /// Pictures before its own that a picture's parity may cover.
    pub(super) const fn window(&self) -> u8 {
        self.window
    }

    pub(super) const fn set_window(&mut self, pictures: u8) {
        self.window = pictures;
    }

    /// Takes the fate of the next packet in the order of sending.
    pub(super) fn on_packet(&mut self, sent_us: u64, lost: bool) {
        self.reported = self.reported.saturating_add(1);
        let number = sent_us / SLOT_US;
        self.newest = self.newest.max(number);
        let slot = &mut self.slots[(number % SLOTS as u64) as usize];
        if slot.number != number {
            *slot = Slot { number, ..Slot::EMPTY };
        }
        slot.packets = slot.packets.saturating_add(1);
        if lost {
            slot.lost = slot.lost.saturating_add(1);
            slot.bursts = slot.bursts.saturating_add(u32::from(!self.last_was_lost));
        }
        self.last_was_lost = lost;
    }

    /// Lost packets of the last second, in thousandths; 0 when too few were sent to say.
    pub(super) fn recent_permille(&self) -> u32 {
        u32::try_from(self.share_ppm(RECENT_SLOTS) / 1000).unwrap_or(1000)
    }

    /// Runs of losses in the last second.
    pub(super) fn recent_bursts(&self) -> u64 {
        let oldest = (self.newest + 1).saturating_sub(RECENT_SLOTS as u64);
        let recent = self.slots().filter(|slot| slot.number >= oldest);
        recent.map(|slot| u64::from(slot.bursts)).sum()
    }

    /// Mean length of a run of losses over the last eight seconds, in thousandths of a packet, at least 1000.
    pub(super) fn burst_milli(&self) -> u64 {
        let lost: u64 = self.slots().map(|slot| u64::from(slot.lost)).sum();
        let bursts: u64 = self.slots().map(|slot| u64::from(slot.bursts)).sum();
        (lost * 1000).checked_div(bursts).map_or(1000, |milli| milli.max(1000))
    }

    /// Parity shards for a picture of `data_shards`.
    ///
    /// Losses among `n` shards at rate `p` in bursts of mean length `b` have a mean of `n p` and a variance of about
    /// `n p (2 b − 1)` (a renewal process with geometric runs); mean, three deviations and a half leave about one
    /// picture in a thousand unrestored. The mean is taken over the parity shards too: `k p / (1 − p)`. Never more
    /// than `data_shards`.
    ///
    /// Where what is lacking can be asked for in time, what is to be expected and a third of a deviation are enough:
    /// more costs every picture what only few need (`cargo rig bench fec` compares).
    ///
    /// Where parity goes over several pictures, all of them are taken as one, and each carries its share: a burst that is
    /// rare for one picture is no rarer for four, and is paid for once.
    pub(super) fn parity_for(&self, data_shards: usize) -> usize {
        self.cover_for(data_shards).0.div_ceil(1000)
    }

    /// Parity in thousandths of a shard, and over how many pictures before its own.
    pub(super) fn cover_for(&self, data_shards: usize) -> (usize, u8) {
        let before =
            if data_shards <= BLOCK_DATA_MAX { self.window.min(self.worthwhile_window()) } else { 0 };
        let parity_milli = self.parity_milli(data_shards, u64::from(before) + 1);
        if before > 0 && parity_milli > WINDOW_PARITY_MAX * 1000 {
            return (self.parity_milli(data_shards, 1), 0);
        }
        (parity_milli, before)
    }

    /// Over how many pictures before its own a burst is worth spreading.
    fn worthwhile_window(&self) -> u8 {
        match self.burst_milli() {
            0..1_500 => 1,
            1_500..3_000 => 2,
            _ => WINDOW_PICTURES_MAX as u8,
        }
    }

    fn parity_milli(&self, data_shards: usize, pictures: u64) -> usize {
        let shards = data_shards.min(100_000) as u64;
        let loss_ppm = self.answered_ppm();
        if loss_ppm == 0 {
            return usize::from(data_shards >= FLOOR_SHARDS) * 1000;
        }
        let mean_milli = pictures * shards * loss_ppm * 1000 / (1_000_000 - loss_ppm);
        let spread_milli = 2 * self.burst_milli().min(BURST_MILLI_MAX) - 1000;
        let deviation_milli = (mean_milli * spread_milli).isqrt();
        let parity = if self.is_answered {
            ((mean_milli + deviation_milli / 3 + 500) / 1000).max(1) * 1000
        } else if pictures == 1 {
            (mean_milli + 3 * deviation_milli + 500).div_ceil(1000) * 1000
        } else {
            (mean_milli + 3 * deviation_milli + 500) / pictures
        };
        // Half of what is sent at most: where pictures are a shard or two, more would crowd them out.
        parity.min(shards * 1000) as usize
    }

    fn answered_ppm(&self) -> u64 {
        let measured = self.share_ppm(RECENT_SLOTS).max(self.share_ppm(SLOTS));
        let prior = if self.reported < PACKETS_LEARNT { PRIOR_PPM } else { 0 };
        measured.max(prior).min(LOSS_PPM_MAX)
    }

    fn share_ppm(&self, slots: usize) -> u64 {
        let oldest = (self.newest + 1).saturating_sub(slots as u64);
        let (mut packets, mut lost) = (0_u32, 0_u32);
        for slot in self.slots().filter(|slot| slot.number >= oldest) {
            packets = packets.saturating_add(slot.packets);
            lost = lost.saturating_add(slot.lost);
        }
        if packets < PACKETS_MIN { 0 } else { u64::from(lost) * 1_000_000 / u64::from(packets) }
    }

    fn slots(&self) -> impl Iterator<Item = &Slot> {
        let oldest = (self.newest + 1).saturating_sub(SLOTS as u64);
        self.slots.iter().filter(move |slot| slot.number != u64::MAX && slot.number >= oldest)
    }
}
