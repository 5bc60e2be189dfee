//! The split of the grant: pictures, parity, the rest, and how many pictures.

use super::loss::Loss;

/// Bytes of a full packet.
pub(super) const PACKET_BYTES: u64 = 1200;
/// Headers, input and control of a media session, in thousandths of the grant.
const OVERHEAD_PERMILLE: u64 = 30;
/// Smallest picture worth sending, in bits: below it the frame rate falls instead.
const PICTURE_BITS_MIN: u64 = 20_000;
/// The frame rate is never limited below this, in mHz.
const PICTURE_RATE_MILLIHERTZ_MIN: u32 = 10_000;
/// The most an encoder's error is corrected by, in thousandths.
const CORRECTION_MAX: i64 = 60;
/// Share of the grant an encoder is steered to, in millionths: what is left lets large pictures leave in time.
const USED_PPM: i64 = 985_000;
/// The same where the path marks and pictures leave hardly faster than the grant.
const USED_MARKED_PPM: i64 = 960_000;
/// The most of the grant an encoder is told, in thousandths: packets have heads.
const ENCODER_PERMILLE_MAX: u64 = 985;
/// Time in which a lasting error is corrected, in µs.
const CORRECTED_US: i64 = 400_000;

/// How the grant is split.
#[derive(Clone, Debug)]
pub(super) struct Split {
    picture_rate_millihertz: u32,
    /// What the encoder is told beyond its share because it does not meet what it is told, in millionths.
    correction_ppm: i64,
}

/// Shares of a grant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    pub(super) media_bps: u64,
    pub(super) parity_permille: u16,
    pub(super) picture_rate_millihertz_max: Option<u32>,
}

impl Split {
    pub(super) const fn new() -> Self {
        Self { picture_rate_millihertz: 60_000, correction_ppm: 0 }
    }

    pub(super) fn set_picture_rate(&mut self, millihertz: u32) {
        self.picture_rate_millihertz = millihertz.max(1000);
    }

    pub(super) const fn picture_rate_millihertz(&self) -> u64 {
        self.picture_rate_millihertz as u64
    }

    /// Takes note that this share of the grant was sent lately. An encoder that is off by a few percent either leaves
    /// them unused or builds a queue. `is_marked` says whether the path marks.
    pub(super) fn correct(&mut self, used_permille: u64, elapsed_us: u64, is_marked: bool) {
        let wanted_ppm = if is_marked { USED_MARKED_PPM } else { USED_PPM };
        let error_ppm = wanted_ppm - (used_permille.min(2_000) * 1000).cast_signed();
        let step = error_ppm * elapsed_us.min(50_000).cast_signed() / CORRECTED_US;
        let most = CORRECTION_MAX * 1000;
        self.correction_ppm = (self.correction_ppm + step).clamp(-most, most);
    }

    /// Forgets the error: what is sent is not the encoder's choice.
    pub(super) const fn release(&mut self) {
        self.correction_ppm -= self.correction_ppm / 16;
    }

    /// The shares of a grant of `rate` between `min` and `max`, bit/s.
    pub(super) fn shares(&self, rate: u64, min: u64, max: u64, loss: &Loss) -> Shares {
        let (data_shards, parity_shards) = self.usual_shards(rate, loss);
        let parity_permille = parity_shards * 1000 / (data_shards + parity_shards);
        let payload = rate * (1000 - OVERHEAD_PERMILLE) / 1000;
        // Parity comes in whole shards; a picture of less than one has parity longer than itself.
        let parity = parity_shards * PACKET_BYTES * 8 * self.picture_rate_millihertz() / 1000;
        let media = payload - parity.min(payload / 2);
        // Where the grant is at its least, pictures come before parity; one that cannot grow keeps room for both.
        let payload_max = max / 1000 * (1000 - OVERHEAD_PERMILLE);
        let least = min.min(payload_max.saturating_sub(parity));
        let sustained = u32::try_from(media * 1000 / PICTURE_BITS_MIN).unwrap_or(u32::MAX);
        let corrected = media * (1_000_000 + self.correction_ppm).cast_unsigned() / 1_000_000;
        Shares {
            media_bps: corrected.min(rate / 1000 * ENCODER_PERMILLE_MAX).max(least).min(rate),
            parity_permille: u16::try_from(parity_permille).unwrap_or(1000),
            picture_rate_millihertz_max: (sustained < self.picture_rate_millihertz)
                .then_some(sustained.max(PICTURE_RATE_MILLIHERTZ_MIN)),
        }
    }

    /// Data and parity shards of a picture that uses its share of the grant.
    fn usual_shards(&self, rate: u64, loss: &Loss) -> (u64, u64) {
        let bits = rate * 1000 / self.picture_rate_millihertz();
        let shards = (bits / 8).div_ceil(PACKET_BYTES).max(1);
        let mut data = shards;
        // Parity is a function of the data beside it: three rounds settle it to a shard.
        for _ in 0..3 {
            data = shards.saturating_sub(loss.parity_for(data as usize) as u64).max(1);
        }
        (data, loss.parity_for(data as usize) as u64)
    }
}
