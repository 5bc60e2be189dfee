//! What is played when: packets in, frames out, and no clock, thread or device in between.
//!
//! Packets come in order, each once or told missing ([`rift::Audio`]). The player keeps just so much in hand that packets as
//! late as they come on this path are there when they are due ([`Lateness`]), holds that by playing a few millionths faster
//! or slower ([`Drift`]), catches up by more where periods of the sound can be left out or repeated ([`Splicer`]), and
//! conceals what is missing:
//!
//! ```text
//!  missing for certain   invented in its place
//!  not there in time     invented as well; if it comes nevertheless it is played, and that much more is in hand from then on
//!  nothing for 60 ms     silence, until as much is in hand again as should be
//!  too much in hand      a few periods are left out, for long enough; far too much: packets are left out at once
//!  too little in hand    a few periods are repeated, before something is late
//! ```
//!
//! Invariant: it holds at most [`PACKETS_MAX`] packets and never waits; what has no room is counted and left out.

use std::collections::VecDeque;

use rift::Instant;
use rift_hal::{AUDIO_CHANNELS, AUDIO_RATE, AudioDecoder};

use super::drift::Drift;
use super::lateness::{Lateness, Ride, micros};
use super::resample::Resampler;
use super::splice::Splicer;
use super::stats::PlayerStats;

/// Bytes of the longest packet that is taken: more than fits a datagram.
pub const PACKET_LEN_MAX: usize = 1200;
/// Packets in hand at most: 480 ms of packets of 5 ms, beyond what is ever wanted and what is too much.
pub const PACKETS_MAX: usize = 96;
/// Frames of the longest packet.
const FRAMES_MAX: usize = 960;
/// More than this is never kept in hand, in microseconds, however late packets come: beyond it gaps are the lesser evil.
const IN_HAND_US_MAX: i64 = 150_000;
/// Beside lateness: the resampler's window, and what a look at the clocks may be wrong by; and a part of lateness, because
/// the next that is late may be later than all before.
const MARGIN_US: i64 = 2_000;
const MARGIN_PART: i64 = 4;
/// So much is invented at a stretch, in frames: 60 ms. The codec has faded out by then.
const INVENTED_MAX: usize = 2880;
/// With so much more in hand than should be, for so long, a stretch is left out. In microseconds.
const EXCESS_US: f64 = 8_000.0;
const EXCESS_FOR_US: u64 = 2_000_000;
/// With so much more one is left out soon, and with so much less one is repeated, which may be too long by so many frames: less
/// than is left out again.
const EXCESS_US_FAR: f64 = 24_000.0;
const LACK_US: f64 = 3_000.0;
const OFF_FOR_US: u64 = 500_000;
const LONGER: usize = 240;
/// With so much more, packets are left out at once: whoever listens is behind the picture.
const EXCESS_US_MAX: i64 = 200_000;
/// Sound that begins out of silence grows over so many frames, so that it does not click.
const RISE: u32 = 120;
/// Samples up to this are silence.
const SILENCE: u16 = 8;

#[derive(Clone, Debug)]
enum Entry {
    Packet { captured_at: Option<Instant>, frames: usize, len: usize, bytes: Box<[u8; PACKET_LEN_MAX]> },
    Missing { frames: usize },
}

impl Entry {
    const fn is_packet(&self) -> bool {
        matches!(self, Self::Packet { .. })
    }

    const fn frames(&self) -> usize {
        match self {
            Self::Packet { frames, .. } | Self::Missing { frames } => *frames,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Player<D> {
    decoder: D,
    entries: VecDeque<Entry>,
    /// Buffers of packets that were played.
    #[expect(clippy::vec_box, reason = "they move to entries and back, and are not copied then")]
    spare: Vec<Box<[u8; PACKET_LEN_MAX]>>,
    splicer: Splicer,
    resampler: Resampler,
    drift: Drift,
    lateness: Lateness,
    /// The place in the sound, in frames, of what comes in next, and of what is decoded next.
    coming: u64,
    next: u64,
    /// Frames of a packet of late.
    usual: usize,
    /// Sound is being played, or invented for what is late.
    plays: bool,
    /// Frames invented at a stretch.
    invented: usize,
    /// Of these, for packets that may still come.
    owed: usize,
    /// The last that was decoded was silence.
    is_silent: bool,
    /// Frames until sound has grown to its loudness.
    rises: u32,
    /// Since when too much or too little is in hand.
    off_since: Option<Instant>,
    /// How packets come at present.
    ride: (u8, u8),
    /// When what was decoded last was captured, and its place.
    captured: Option<(Instant, u64)>,
    stats: PlayerStats,
}

impl<D: AudioDecoder> Player<D> {
    /// Nothing has come yet. Its memory is taken here, not later.
    #[must_use]
    pub fn new(decoder: D) -> Self {
        Self {
            decoder,
            entries: VecDeque::with_capacity(PACKETS_MAX),
            spare: (0..PACKETS_MAX).map(|_| Box::new([0; PACKET_LEN_MAX])).collect(),
            splicer: Splicer::new(),
            resampler: Resampler::new(),
            drift: Drift::default(),
            lateness: Lateness::new(),
            coming: 0,
            next: 0,
            usual: FRAMES_MAX / 2,
            plays: false,
            invented: 0,
            owed: 0,
            is_silent: true,
            rises: 0,
            off_since: None,
            ride: (0, 0),
            captured: None,
            stats: PlayerStats::default(),
        }
    }

    /// The next packet rode along with one that was so many packets `behind` it, and so many ride `along` with each at present.
    pub const fn ride(&mut self, behind: u8, along: u8) {
        self.ride = (behind, along);
    }

    /// The next packet came at `now`.
    pub fn push(&mut self, now: Instant, captured_at: Option<Instant>, packet: &[u8]) {
        self.stats.packets += 1;
        let Some(frames) = self.decoder.frames(packet).filter(|&frames| frames <= FRAMES_MAX) else {
            self.stats.broken += 1;
            return self.miss(1);
        };
        self.usual = frames;
        if !self.plays && !self.entries.iter().any(Entry::is_packet) {
            // After a silence that nobody sent, or a dark path: what comes first is taken to be in time.
            self.entries.clear();
            self.lateness.count_anew();
            self.next = self.coming;
        }
        self.make_room();
        let Some(mut bytes) = self.spare.pop().filter(|_| packet.len() <= PACKET_LEN_MAX) else {
            self.stats.broken += 1;
            return self.put_missing(1);
        };
        bytes[..packet.len()].copy_from_slice(packet);
        let of = |packets: u8| i64::from(packets) * duration_us(frames);
        let ride = Ride { behind_us: of(self.ride.0), along_us: of(self.ride.1) };
        self.lateness.add(now, place_us(self.coming), ride);
        self.coming += frames as u64;
        self.entries.push_back(Entry::Packet { captured_at, frames, len: packet.len(), bytes });
    }

    /// So many packets are missing.
    pub fn miss(&mut self, packets: u32) {
        self.stats.lost += u64::from(packets);
        self.put_missing(packets);
    }

    fn put_missing(&mut self, packets: u32) {
        let frames = self.usual * packets as usize;
        self.coming += frames as u64;
        if let Some(Entry::Missing { frames: hole }) = self.entries.back_mut() {
            *hole += frames;
        } else {
            self.make_room();
            self.entries.push_back(Entry::Missing { frames });
        }
    }

    /// Nobody plays: the oldest make room.
    fn make_room(&mut self) {
        if self.entries.len() == PACKETS_MAX {
            self.skip();
        }
    }

    /// Nothing more of this sound is to be heard: another session, or the right to hear it is gone. What is known of the
    /// clocks and of the path stays.
    pub fn clear(&mut self) {
        self.skip_all();
        self.fall_silent();
        self.splicer.clear();
        self.resampler.clear();
        self.is_silent = true;
    }

    /// Fills `out` with what is to be heard next. `now`: when it is given to the sink, whose first frame is then heard after
    /// `delay_us`, and which is as full as it should be with `out`.
    pub fn pull(&mut self, now: Instant, delay_us: u32, out: &mut [i16]) {
        let frames = out.len() / AUDIO_CHANNELS;
        let asked_us = micros(now) - duration_us(frames);
        self.correct(now, asked_us, frames);
        let mut filled = 0;
        while filled < frames {
            if self.plays {
                let step = self.drift.step();
                let place = filled * AUDIO_CHANNELS;
                let made = self.resampler.pull(step, &mut out[place..]);
                self.rise(&mut out[place..place + made * AUDIO_CHANNELS]);
                filled += made;
            }
            if filled < frames && !self.feed(asked_us) {
                out[filled * AUDIO_CHANNELS..].fill(0);
                break;
            }
        }
        self.note(now, delay_us, frames);
    }

    /// What was heard and not so far.
    #[must_use]
    pub const fn stats(&self) -> &PlayerStats {
        &self.stats
    }

    /// Nothing is being played and nothing is waiting to be.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !self.plays && self.entries.is_empty()
    }

    /// The place in the sound, in frames, of what is heard next.
    fn cursor(&self) -> f64 {
        self.next as f64 - self.resampler.waiting()
    }

    /// How late packets may come now and still be there, in microseconds: how long after the packet at `place` could have
    /// been there at the earliest it is asked for.
    fn in_hand_us(&self, asked_us: i64, place: f64) -> Option<i64> {
        Some(asked_us - self.lateness.earliest_us()? - (place * 1e6 / f64::from(AUDIO_RATE)) as i64)
    }

    fn wanted_us(&self) -> i64 {
        let expected_us = self.lateness.expected_us();
        let own_us = expected_us + expected_us / MARGIN_PART + MARGIN_US;
        (own_us + self.lateness.along_us()).min(IN_HAND_US_MAX)
    }

    /// Looks at what is in hand, and plays faster or slower, or leaves out what is too much.
    fn correct(&mut self, now: Instant, asked_us: i64, frames: usize) {
        if !self.plays {
            return;
        }
        let Some(in_hand_us) = self.in_hand_us(asked_us, self.cursor()) else { return };
        let wanted_us = self.wanted_us();
        self.stats.in_hand_us = u32::try_from(in_hand_us).unwrap_or(0);
        self.stats.wanted_us = u32::try_from(wanted_us).unwrap_or(0);
        if in_hand_us - wanted_us > EXCESS_US_MAX {
            return self.catch_up(asked_us);
        }
        let seconds = frames as f64 / f64::from(AUDIO_RATE);
        self.drift.update(seconds, (in_hand_us - wanted_us) as f64);
        self.stats.drift_ppm = self.drift.difference_ppm() as i32;
        let error_us = self.drift.error_us();
        let is_little = (EXCESS_US..EXCESS_US_FAR).contains(&error_us);
        let for_us = if is_little { EXCESS_FOR_US } else { OFF_FOR_US };
        if (-LACK_US..EXCESS_US).contains(&error_us) {
            self.off_since = None;
        } else if now.micros_since(*self.off_since.get_or_insert(now)) > for_us {
            self.off_since = None;
            let frames = (error_us.abs() * f64::from(AUDIO_RATE) / 1e6) as usize;
            if error_us > 0.0 {
                self.splicer.shorten(frames);
            } else {
                self.splicer.lengthen(frames + LONGER);
            }
        }
    }

    /// Decodes what comes next into the resampler; `false`: there is nothing to be heard now.
    fn feed(&mut self, asked_us: i64) -> bool {
        if !self.plays {
            return self.begin(asked_us);
        }
        if self.splicer.is_holding() && !self.entries.front().is_some_and(Entry::is_packet) {
            self.heard_of(None);
            return true;
        }
        match self.entries.pop_front() {
            Some(Entry::Packet { captured_at, frames, len, bytes }) => {
                self.captured = captured_at.map(|at| (at, self.next));
                self.decode(frames, len, bytes);
                true
            }
            Some(Entry::Missing { frames }) => self.step_over(frames),
            None if self.is_silent => {
                // Whoever sends has nothing to say.
                self.fall_silent();
                false
            }
            None => {
                let frames = self.usual;
                let is_invented = self.invent(frames);
                if is_invented {
                    self.owed += frames;
                    self.drift.shift(duration_us(frames) as f64);
                }
                is_invented
            }
        }
    }

    /// Plays again once as much is in hand as should be.
    fn begin(&mut self, asked_us: i64) -> bool {
        while let Some(Entry::Missing { frames }) = self.entries.front() {
            self.next += *frames as u64;
            self.entries.pop_front();
        }
        let wanted_us = self.wanted_us();
        // What has piled up meanwhile would only be heard late.
        while let [Some(first), Some(_)] = [self.entries.front(), self.entries.get(1)]
            && self.in_hand_us(asked_us, (self.next + first.frames() as u64) as f64) >= Some(wanted_us)
        {
            self.skip();
        }
        let in_hand_us = self.in_hand_us(asked_us, self.next as f64);
        if self.entries.is_empty() || in_hand_us.is_none_or(|in_hand| in_hand < wanted_us) {
            return false;
        }
        self.plays = true;
        (self.invented, self.owed, self.rises) = (0, 0, RISE);
        self.splicer.clear();
        self.resampler.clear();
        self.drift.forget();
        true
    }

    fn decode(&mut self, frames: usize, len: usize, bytes: Box<[u8; PACKET_LEN_MAX]>) {
        let mut samples = [0; FRAMES_MAX * AUDIO_CHANNELS];
        let samples = &mut samples[..frames * AUDIO_CHANNELS];
        self.next += frames as u64;
        let decoded = self.decoder.decode(&bytes[..len], samples);
        self.spare.push(bytes);
        if decoded.is_err() {
            self.stats.broken += 1;
            self.next -= frames as u64;
            self.step_over(frames);
            return;
        }
        (self.invented, self.owed) = (0, 0);
        self.is_silent = samples.iter().all(|sample| sample.unsigned_abs() <= SILENCE);
        self.heard_of(Some(samples));
    }

    /// What was decoded or invented goes on to be heard, or what was held of it.
    fn heard_of(&mut self, samples: Option<&[i16]>) {
        let (samples, longer) = match samples {
            Some(samples) => self.splicer.put(samples),
            None => self.splicer.flush(),
        };
        self.resampler.push(samples);
        self.stats.spliced += u64::from(longer != 0);
        self.drift.shift((longer * 1_000_000 / i64::from(AUDIO_RATE)) as f64);
    }

    /// What is missing for certain: invented, unless it was already when it was late.
    fn step_over(&mut self, frames: usize) -> bool {
        self.next += frames as u64;
        let owed = self.owed.min(frames);
        self.owed -= owed;
        self.drift.shift(-(duration_us(owed) as f64));
        let mut rest = frames - owed;
        while rest > 0 {
            let part = rest.min(self.usual);
            if !self.invent(part) {
                return false;
            }
            rest -= part;
        }
        true
    }

    /// Invents so much; `false` and silence once it has been too much at a stretch.
    fn invent(&mut self, frames: usize) -> bool {
        if self.invented == 0 && !self.is_silent {
            self.stats.gaps += 1;
        }
        if self.invented + frames > INVENTED_MAX {
            self.fall_silent();
            return false;
        }
        self.invented += frames;
        self.stats.concealed += frames as u64;
        let mut samples = [0; FRAMES_MAX * AUDIO_CHANNELS];
        let samples = &mut samples[..frames * AUDIO_CHANNELS];
        // What cannot be invented is silence, as long.
        let _ = self.decoder.conceal(samples);
        if self.invented + self.usual > INVENTED_MAX {
            fade(samples);
        }
        self.heard_of(Some(samples));
        true
    }

    fn fall_silent(&mut self) {
        self.plays = false;
        (self.invented, self.owed) = (0, 0);
        self.off_since = None;
    }

    /// Leaves out packets until no more is in hand than should be.
    fn catch_up(&mut self, asked_us: i64) {
        let wanted_us = self.wanted_us();
        self.splicer.clear();
        self.resampler.clear();
        self.rises = RISE;
        while self.entries.len() > 1
            && self.in_hand_us(asked_us, self.next as f64).is_some_and(|us| us > wanted_us)
        {
            self.skip();
        }
        self.drift.forget();
        self.off_since = None;
        let excess_us = self.in_hand_us(asked_us, self.next as f64).map_or(0, |us| us - wanted_us);
        if excess_us > EXCESS_US_MAX {
            // It has not piled up: the sound itself went on later than its places say. They are counted anew.
            self.skip_all();
            self.fall_silent();
        }
    }

    fn skip(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.next += entry.frames() as u64;
            if let Entry::Packet { bytes, .. } = entry {
                self.spare.push(bytes);
                self.stats.dropped += 1;
            }
        }
    }

    fn skip_all(&mut self) {
        while let Some(entry) = self.entries.pop_front() {
            self.next += entry.frames() as u64;
            if let Entry::Packet { bytes, .. } = entry {
                self.spare.push(bytes);
            }
        }
    }

    /// Sound that begins grows.
    fn rise(&mut self, samples: &mut [i16]) {
        for frame in samples.chunks_exact_mut(AUDIO_CHANNELS) {
            if self.rises == 0 {
                return;
            }
            let part = RISE - self.rises;
            for sample in frame {
                *sample = (i32::from(*sample) * part.cast_signed() / RISE.cast_signed()) as i16;
            }
            self.rises -= 1;
        }
    }

    /// When what is heard next after this was captured, against when it is heard.
    fn note(&mut self, now: Instant, delay_us: u32, frames: usize) {
        self.stats.is_playing = self.plays;
        let Some((captured_at, place)) = self.captured.filter(|_| self.plays) else { return };
        // What was decoded last was captured then; what is heard next lies before or in it.
        let behind_us = (place as f64 - self.cursor()) * 1e6 / f64::from(AUDIO_RATE);
        let heard_us = micros(now) + i64::from(delay_us) + duration_us(frames);
        let latency_us = heard_us - (micros(captured_at) - behind_us as i64);
        self.stats.latency_us = u32::try_from(latency_us).unwrap_or(0);
    }
}

/// Sound that ends here falls to nothing.
fn fade(samples: &mut [i16]) {
    let len = samples.len() as f32;
    for (at, sample) in samples.iter_mut().enumerate() {
        *sample = (f32::from(*sample) * (1.0 - at as f32 / len)) as i16;
    }
}

fn duration_us(frames: usize) -> i64 {
    frames as i64 * 1_000_000 / i64::from(AUDIO_RATE)
}

fn place_us(frames: u64) -> i64 {
    i64::try_from(frames * 1_000_000 / u64::from(AUDIO_RATE)).unwrap_or(i64::MAX)
}
