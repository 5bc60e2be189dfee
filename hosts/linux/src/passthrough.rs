//! Pictures of a card that encodes, passed on as they are: which may be sent, what each refers to, and when the card is
//! asked for a key picture.
//!
//! Each picture needs the one before it. So all are sent in order or, after a gap, none until the next key picture; which
//! one a viewer lost does not matter, because the card can only begin anew. No viewer costs the others more than one key
//! picture a second. It touches no device and reads no clock.

use rift::{Codec, Instant, PictureId, StreamParameters};
use rift_v4l::Access;

use crate::chain::KEY_INTERVAL_US;

/// Bytes of the longest parameters that are kept; those of cards have a few dozen.
const PARAMETERS_LEN_MAX: usize = 1024;

/// What the card gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given<'a> {
    /// Its bytes.
    pub(crate) bytes: &'a [u8],
    /// Whether it is the one right after the last that was given here.
    pub(crate) follows: bool,
    /// Its size in pixels.
    pub(crate) size: (u16, u16),
}

/// A picture that may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    /// What it refers to; `None`: it is a key picture.
    pub(crate) reference: Option<PictureId>,
    /// Whether [`Passthrough::parameters`] are to be put before it.
    pub(crate) needs_parameters: bool,
    /// What pictures are from this one on, when that changed.
    pub(crate) stream: Option<StreamParameters>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Passthrough {
    rate_millihertz: u32,
    /// The picture sent last, if the next one of the card may follow it.
    last: Option<PictureId>,
    /// The card's parameters, for key pictures that come without.
    parameters: Vec<u8>,
    stream: Option<StreamParameters>,
    is_key_wanted: bool,
    asked_at: Option<Instant>,
}

impl Passthrough {
    /// Nothing was sent yet.
    pub(crate) const fn new(rate_millihertz: u32) -> Self {
        Self {
            rate_millihertz,
            last: None,
            parameters: Vec::new(),
            stream: None,
            is_key_wanted: false,
            asked_at: None,
        }
    }

    /// A viewer cannot go on from what it has.
    pub(crate) const fn want_key(&mut self) {
        self.is_key_wanted = true;
    }

    /// A picture of the card was left out: what comes needs it.
    pub(crate) const fn skip(&mut self) {
        self.last = None;
    }

    /// The card's parameters as they were last seen.
    pub(crate) fn parameters(&self) -> &[u8] {
        &self.parameters
    }

    /// Whether a picture may be sent. It has been, as number `id`, once this says so.
    pub(crate) fn pass(&mut self, id: PictureId, given: Given<'_>) -> Option<Passed> {
        if !given.follows {
            self.last = None;
        }
        let Some(access) = Access::read(given.bytes) else {
            if let Some(access) = Access::read_parameters(given.bytes) {
                self.keep(&access, given.bytes);
            } else {
                // Whatever it was meant to be, the next one may need it.
                self.last = None;
            }
            return None;
        };
        self.keep(&access, given.bytes);
        let is_whole = access.has_sequence && access.has_picture;
        let reference = match (access.is_key, self.last) {
            (true, _) if is_whole || !self.parameters.is_empty() => None,
            (false, Some(last)) => Some(last),
            _ => {
                self.last = None;
                return None;
            }
        };
        let stream = StreamParameters {
            width: given.size.0,
            height: given.size.1,
            rate_millihertz: self.rate_millihertz,
            codec: Codec::H264,
        };
        let is_known = self.stream.replace(stream) == Some(stream);
        if access.is_key {
            self.is_key_wanted = false;
        }
        self.last = Some(id);
        Some(Passed {
            reference,
            needs_parameters: access.is_key && !is_whole,
            stream: (!is_known).then_some(stream),
        })
    }

    /// Whether the card is to be asked for a key picture now; if so, it has been. `round_trip_us`: of those who watch;
    /// `is_watched`: whether any of them has a picture that a key picture would disturb.
    pub(crate) fn asks_key(&mut self, now: Instant, round_trip_us: u64, is_watched: bool) -> bool {
        if !self.is_key_wanted && self.last.is_some() {
            return false;
        }
        let apart = if is_watched { KEY_INTERVAL_US } else { round_trip_us.max(ASK_US) };
        let is_due = self.asked_at.is_none_or(|at| at.plus_micros(apart) <= now);
        if is_due {
            self.asked_at = Some(now);
        }
        is_due
    }

    fn keep(&mut self, access: &Access, bytes: &[u8]) {
        if !(access.has_sequence && access.has_picture) {
            return;
        }
        let len: usize = access.parameters.iter().map(ExactSizeIterator::len).sum();
        if len <= PARAMETERS_LEN_MAX {
            self.parameters.clear();
            for range in &access.parameters {
                self.parameters.extend_from_slice(&bytes[range.clone()]);
            }
        }
    }
}

/// Cards take a few frames to begin anew; asking more often makes them begin again and again.
const ASK_US: u64 = 200_000;

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMETERS: &[u8] = &[0, 0, 0, 1, 0x67, 66, 0, 31, 0, 0, 0, 1, 0x68, 0xce];
    const KEY: &[u8] = &[0, 0, 1, 0x65, 0x88, 1];
    const OTHER: &[u8] = &[0, 0, 0, 1, 0x41, 0x9a];
    const SIZE: (u16, u16) = (1280, 720);

    fn given(bytes: &[u8]) -> Given<'_> {
        Given { bytes, follows: true, size: SIZE }
    }

    fn begun() -> Passthrough {
        let mut through = Passthrough::new(60_000);
        let first = through.pass(PictureId(1), given(&[PARAMETERS, KEY].concat())).expect("a key picture");
        assert_eq!(first.reference, None);
        assert!(first.stream.is_some_and(|stream| (stream.width, stream.height) == SIZE));
        assert!(!first.needs_parameters);
        through
    }

    #[test]
    fn each_picture_refers_to_the_one_before_it() {
        let mut through = begun();
        for id in 2..9 {
            let passed = through.pass(PictureId(id), given(OTHER)).expect("it follows");
            assert_eq!((passed.reference, passed.stream), (Some(PictureId(id - 1)), None));
        }
        assert!(!through.asks_key(Instant::ZERO, 0, true));
    }

    #[test]
    fn nothing_goes_before_the_first_key_picture_and_after_a_gap_until_the_next() {
        let mut through = Passthrough::new(60_000);
        assert_eq!(through.pass(PictureId(1), given(OTHER)), None);
        assert_eq!(through.pass(PictureId(1), given(KEY)), None, "its parameters are not known");
        let mut through = begun();
        assert_eq!(through.pass(PictureId(2), Given { follows: false, ..given(OTHER) }), None);
        assert_eq!(through.pass(PictureId(2), given(OTHER)), None);
        assert!(through.asks_key(Instant::from_millis(5), 0, true));
        let back = through.pass(PictureId(2), given(KEY)).expect("a key picture");
        assert_eq!(back.reference, None);
        assert!(back.needs_parameters && through.parameters() == PARAMETERS);
        assert!(!through.asks_key(Instant::from_millis(9000), 0, true));
    }

    #[test]
    fn picture_that_was_left_out_or_makes_no_sense_is_a_gap() {
        let mut through = begun();
        through.skip();
        assert_eq!(through.pass(PictureId(2), given(OTHER)), None);
        let mut through = begun();
        assert_eq!(through.pass(PictureId(2), given(&[9, 9, 9])), None);
        assert_eq!(through.pass(PictureId(2), given(OTHER)), None);
        let mut through = begun();
        assert_eq!(through.pass(PictureId(2), given(PARAMETERS)), None);
        assert!(through.pass(PictureId(2), given(OTHER)).is_some(), "parameters alone are no gap");
    }

    #[test]
    fn card_is_asked_for_a_key_picture_once_a_second_however_many_want_one() {
        let mut through = begun();
        let mut asked = Vec::new();
        for millis in 0..3500 {
            through.want_key();
            if through.asks_key(Instant::from_millis(millis), 20_000, true) {
                asked.push(millis);
            }
        }
        assert_eq!(asked, [0, 1000, 2000, 3000]);
        through.pass(PictureId(2), given(&[PARAMETERS, KEY].concat()));
        assert!(!through.asks_key(Instant::from_millis(9000), 20_000, true));
    }

    #[test]
    fn new_size_is_told_with_its_first_picture() {
        let mut through = begun();
        let larger = Given { size: (1920, 1080), follows: false, bytes: &[PARAMETERS, KEY].concat() };
        let passed = through.pass(PictureId(2), larger).expect("a key picture");
        assert_eq!(passed.stream.map(|stream| stream.width), Some(1920));
    }
}
