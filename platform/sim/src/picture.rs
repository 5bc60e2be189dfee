//! A screen, an encoder and a decoder that only pretend, and notice what real ones would choke on.
//!
//! [`Screen`] says when there is a new picture and how much of it changed. [`Encoder`] makes bytes of about the
//! size the rate allows, each picture leaning on an earlier one, and honours keyframe and invalidation requests
//! as x264 does. [`Decoder`] takes pictures and refuses every one that is damaged or leans on one it never had.
//!
//! A coded picture: magic `u32`, number `u32`, reference number `u32` (0: none, a key picture), length `u32`,
//! random filling of that length, then a hash of all before it as `u64`; all little-endian.

use core::time::Duration;

use rift::Instant;

use crate::hash::TraceHash;
use crate::random::Random;

/// What every coded picture starts with. A known plaintext for those who look for one.
pub const MAGIC: [u8; 4] = *b"Pict";

const HEADER_LEN: usize = 16;
const HASH_LEN: usize = 8;
/// The fewest bytes of a coded picture.
pub const PICTURE_LEN_MIN: usize = HEADER_LEN + HASH_LEN;

/// How many earlier pictures encoder and decoder keep: H.264 level 4.1 has room for nine at 1280×720.
pub const REFERENCES: usize = 8;

/// What a [`Screen`] shows over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Motion {
    /// Every picture differs: a camera, a film.
    Constant,
    /// Stretches of motion between stretches of stillness, this long on average each.
    Bursts(Duration),
}

/// Says when there is a new picture.
#[derive(Clone, Debug)]
pub struct Screen {
    random: Random,
    motion: Motion,
    period_us: u64,
    next: Instant,
    moving_until: Instant,
}

impl Screen {
    /// A screen with this many pictures per second from `start` on.
    #[must_use]
    pub const fn new(random: Random, motion: Motion, pictures_per_second: u32, start: Instant) -> Self {
        let period_us = 1_000_000 / pictures_per_second as u64;
        Self { random, motion, period_us, next: start, moving_until: start }
    }

    /// When [`Self::poll`] has something to say next.
    #[must_use]
    pub const fn next_at(&self) -> Instant {
        self.next
    }

    /// The change since the last picture relative to the usual one, `0.5..1.5`, when a new picture is due.
    /// Pictures the caller came too late for are skipped, as a camera would.
    pub fn poll(&mut self, now: Instant) -> Option<f64> {
        if now < self.next {
            return None;
        }
        let behind = now.micros_since(self.next) / self.period_us;
        self.next = self.next.plus_micros((behind + 1) * self.period_us);
        if let Motion::Bursts(mean) = self.motion
            && now >= self.moving_until
        {
            let still = self.random.duration(mean * 2);
            self.next += still;
            self.moving_until = self.next + self.random.duration(mean * 2);
        }
        Some(0.5 + self.random.unit())
    }
}

/// What an encoder says about a picture it made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Its number, from 1.
    pub number: u32,
    /// The picture it leans on; `None` for a key picture.
    pub reference: Option<u32>,
}

/// Pretends to encode.
#[derive(Clone, Debug)]
pub struct Encoder {
    random: Random,
    number: u32,
    /// Newest last.
    references: Vec<u32>,
    key_wanted: bool,
    stats: EncoderStats,
}

/// What an [`Encoder`] made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncoderStats {
    /// Pictures.
    pub pictures: u32,
    /// Key pictures among them.
    pub keys: u32,
    /// Pictures that skipped at least one invalidated reference.
    pub repaired: u32,
    /// Bytes of all.
    pub bytes: u64,
}

impl Encoder {
    /// How much larger than another a key picture is.
    pub const KEY_FACTOR: u32 = 5;

    /// An encoder whose first picture is a key picture.
    #[must_use]
    pub const fn new(random: Random) -> Self {
        Self {
            random,
            number: 0,
            references: Vec::new(),
            key_wanted: true,
            stats: EncoderStats { pictures: 0, keys: 0, repaired: 0, bytes: 0 },
        }
    }

    /// What it made so far.
    #[must_use]
    pub const fn stats(&self) -> EncoderStats {
        self.stats
    }

    /// Makes the next picture a key picture.
    pub const fn request_key(&mut self) {
        self.key_wanted = true;
    }

    /// No picture from `first` on is leaned on again; when nothing earlier is kept, a key picture follows.
    pub fn invalidate(&mut self, first: u32) {
        let before = self.references.len();
        self.references.retain(|&number| number < first);
        if self.references.is_empty() {
            self.key_wanted = true;
        } else if self.references.len() < before {
            self.stats.repaired += 1;
        }
    }

    /// Writes the next picture to `out`, about `bytes` long times `activity` (and [`Self::KEY_FACTOR`]).
    pub fn encode(&mut self, bytes: usize, activity: f64, out: &mut Vec<u8>) -> Encoded {
        self.number += 1;
        let key = self.key_wanted || self.references.is_empty();
        let reference = if key { None } else { self.references.last().copied() };
        let factor = if key { Self::KEY_FACTOR } else { 1 };
        // In thousandths, so that only integers decide the length.
        let permille = (activity.clamp(0.0, 16.0) * 1000.0) as usize * factor as usize;
        let filling = (bytes * permille / 1000).saturating_sub(PICTURE_LEN_MIN);
        self.write(reference.unwrap_or(0), filling, out);
        if key {
            self.references.clear();
            self.key_wanted = false;
        }
        if self.references.len() == REFERENCES {
            self.references.remove(0);
        }
        self.references.push(self.number);
        self.stats.pictures += 1;
        self.stats.keys += u32::from(key);
        self.stats.bytes += out.len() as u64;
        Encoded { number: self.number, reference }
    }

    fn write(&mut self, reference: u32, filling: usize, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&reference.to_le_bytes());
        out.extend_from_slice(
            &u32::try_from(filling).expect("a picture is far smaller than 4 GiB").to_le_bytes(),
        );
        out.resize(HEADER_LEN + filling, 0);
        self.random.fill(&mut out[HEADER_LEN..]);
        let mut hash = TraceHash::new();
        hash.write(out);
        out.extend_from_slice(&hash.value().to_le_bytes());
    }
}

/// Why a [`Decoder`] refuses a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Its bytes are not those an encoder made.
    Damaged,
    /// It leans on this picture, which the decoder does not have.
    MissingReference(u32),
    /// It is older than one already shown, or the same one again.
    Stale(u32),
}

/// Pretends to decode, and checks.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    /// Newest last.
    references: Vec<u32>,
    shown: u32,
    keys: u32,
}

impl Decoder {
    /// A decoder that waits for a key picture.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Key pictures decoded.
    #[must_use]
    pub const fn keys(&self) -> u32 {
        self.keys
    }

    /// Shows a picture; returns its number.
    ///
    /// # Errors
    /// [`DecodeError`]; nothing is shown then and the decoder is as before.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<u32, DecodeError> {
        let (number, reference) = parse(bytes).ok_or(DecodeError::Damaged)?;
        if number <= self.shown {
            return Err(DecodeError::Stale(number));
        }
        if reference == 0 {
            self.references.clear();
            self.keys += 1;
        } else if !self.references.contains(&reference) {
            return Err(DecodeError::MissingReference(reference));
        }
        // What was encoded after the reference and before this is invalid there, even if it was shown here.
        self.references.retain(|&known| known <= reference);
        if self.references.len() == REFERENCES {
            self.references.remove(0);
        }
        self.references.push(number);
        self.shown = number;
        Ok(number)
    }
}

/// Number and reference of a picture whose bytes are all there and right.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<(u32, u32)> {
    let text = bytes.get(..bytes.len().checked_sub(HASH_LEN)?)?;
    let word = |at: usize| {
        let four: [u8; 4] = text.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(four))
    };
    let mut hash = TraceHash::new();
    hash.write(text);
    let whole =
        word(12)? as usize == text.len() - HEADER_LEN && bytes[text.len()..] == hash.value().to_le_bytes();
    (text.starts_with(&MAGIC) && whole).then_some((word(4)?, word(8)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoder() -> Encoder {
        Encoder::new(Random::new(1))
    }

    #[test]
    fn chain_decodes_and_a_gap_is_noticed() {
        let (mut encoder, mut decoder, mut bytes) = (encoder(), Decoder::new(), Vec::new());
        for number in 1..=10 {
            let made = encoder.encode(1000, 1.0, &mut bytes);
            assert_eq!(made.number, number);
            assert_eq!(bytes.len(), if number == 1 { 5000 } else { 1000 });
            assert_eq!(decoder.decode(&bytes), Ok(number));
        }
        encoder.encode(1000, 1.0, &mut bytes);
        encoder.encode(1000, 1.0, &mut bytes);
        assert_eq!(decoder.decode(&bytes), Err(DecodeError::MissingReference(11)));
    }

    #[test]
    fn invalidation_repairs_without_a_key_picture() {
        let (mut encoder, mut decoder, mut bytes) = (encoder(), Decoder::new(), Vec::new());
        for _ in 0..4 {
            encoder.encode(1000, 1.0, &mut bytes);
            decoder.decode(&bytes).unwrap();
        }
        encoder.encode(1000, 1.0, &mut bytes);
        encoder.invalidate(5);
        let made = encoder.encode(1000, 1.0, &mut bytes);
        assert_eq!(made.reference, Some(4));
        assert_eq!(decoder.decode(&bytes), Ok(6));
        encoder.invalidate(1);
        assert_eq!(encoder.encode(1000, 1.0, &mut bytes).reference, None);
        assert_eq!(decoder.decode(&bytes), Ok(7));
        assert_eq!(encoder.stats().keys, 2);
    }

    #[test]
    fn every_flipped_bit_is_damage() {
        let (mut encoder, mut bytes) = (encoder(), Vec::new());
        encoder.encode(20, 1.0, &mut bytes);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Decoder::new().decode(&bytes), Err(DecodeError::Damaged), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(Decoder::new().decode(&bytes[1..]), Err(DecodeError::Damaged));
        assert_eq!(Decoder::new().decode(&[]), Err(DecodeError::Damaged));
        assert_eq!(Decoder::new().decode(&bytes), Ok(1));
    }

    #[test]
    fn screen_keeps_its_rate_and_rests_between_bursts() {
        let mut screen = Screen::new(Random::new(3), Motion::Constant, 50, Instant::ZERO);
        let ticks = (0..1000).filter(|&ms| screen.poll(Instant::from_millis(ms)).is_some()).count();
        assert_eq!(ticks, 50);
        let motion = Motion::Bursts(Duration::from_millis(200));
        let mut screen = Screen::new(Random::new(3), motion, 50, Instant::ZERO);
        let ticks = (0..10_000).filter(|&ms| screen.poll(Instant::from_millis(ms)).is_some()).count();
        assert!((100..400).contains(&ticks), "{ticks}");
    }
}
