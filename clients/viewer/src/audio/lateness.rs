//! How late packets come, and so how long one must wait before it is played.
//!
//! A packet's offset is its arrival less its place in the sound. The earliest offset of the last seconds is that of packets
//! that nothing held up; how much later others came is what a player must have in hand. The path's delay cancels out, the
//! two clocks need no common origin, and what they drift apart within the few seconds looked at is below a millisecond.
//!
//! Lateness is remembered for a minute: packets that are lost and come along with a later one are late by a packet or two,
//! rarely, and each is a gap for a player that has forgotten the one before.

use rift::Instant;

/// What is looked at together, in microseconds.
const WINDOW_US: u64 = 2_000_000;
/// Windows remembered.
const WINDOWS: usize = 30;
/// Before anything is known so much lateness is assumed, in microseconds: two packets of 10 ms.
const ASSUMED_US: i64 = 20_000;
/// It is forgotten after so many windows.
const ASSUMED_FOR: usize = 10;
/// Lateness up to this is believed at once, in microseconds; more only when it is seen in two windows: a single stall is not
/// worth a minute of delay.
const BELIEVED_US: i64 = 60_000;

/// See the module.
#[derive(Clone, Debug)]
pub struct Lateness {
    /// The largest lateness of each window, the present one's at `present`.
    late_us: [i64; WINDOWS],
    present: usize,
    /// The earliest offset of the window before and of the present one.
    earliest_us: [Option<i64>; 2],
    began: Option<Instant>,
}

impl Lateness {
    /// Nothing is known.
    #[must_use]
    pub const fn new() -> Self {
        let mut late_us = [0; WINDOWS];
        // The window after the present one is the first to be overwritten.
        late_us[ASSUMED_FOR - 1] = ASSUMED_US;
        Self { late_us, present: WINDOWS - 1, earliest_us: [None; 2], began: None }
    }

    /// The places in the sound are counted anew: earlier offsets mean nothing any more. Lateness is still believed.
    pub const fn count_anew(&mut self) {
        self.earliest_us = [None; 2];
        self.began = None;
    }

    /// A packet came, whose place in the sound is `place_us`.
    pub fn add(&mut self, now: Instant, place_us: i64) {
        let began = *self.began.get_or_insert(now);
        if now.micros_since(began) >= WINDOW_US {
            self.began = Some(now);
            self.present = (self.present + 1) % WINDOWS;
            self.late_us[self.present] = 0;
            self.earliest_us = [self.earliest_us[1], None];
        }
        let offset_us = micros(now) - place_us;
        let earliest = self.earliest_us[1].map_or(offset_us, |earliest| earliest.min(offset_us));
        self.earliest_us[1] = Some(earliest);
        let late_us = offset_us - self.earliest_us().unwrap_or(offset_us);
        self.late_us[self.present] = self.late_us[self.present].max(late_us);
    }

    /// The offset of packets that nothing held up, in microseconds; `None` before the first.
    #[must_use]
    pub fn earliest_us(&self) -> Option<i64> {
        self.earliest_us.into_iter().flatten().min()
    }

    /// How late packets come, in microseconds.
    #[must_use]
    pub fn expected_us(&self) -> i64 {
        let (mut most, mut second) = (0, 0);
        for &late in &self.late_us {
            if late > most {
                (most, second) = (late, most);
            } else if late > second {
                second = late;
            }
        }
        if most <= BELIEVED_US { most } else { second.max(BELIEVED_US) }
    }
}

impl Default for Lateness {
    fn default() -> Self {
        Self::new()
    }
}

fn micros(instant: Instant) -> i64 {
    i64::try_from(instant.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of 10 ms from `from` to `to`, in seconds, each as late as `late_us` says of its number.
    fn run(lateness: &mut Lateness, seconds: core::ops::Range<u64>, late_us: impl Fn(u64) -> u64) {
        for number in seconds.start * 100..seconds.end * 100 {
            let at = Instant::from_micros(1_000_000 + number * 10_000 + late_us(number));
            lateness.add(at, i64::try_from(number * 10_000).expect("small"));
        }
    }

    #[test]
    fn lateness_is_the_most_of_a_minute_over_the_earliest() {
        let mut lateness = Lateness::new();
        assert_eq!(lateness.expected_us(), ASSUMED_US);
        run(&mut lateness, 0..10, |number| if number == 500 { 33_000 } else { number % 7 * 100 });
        assert_eq!(lateness.expected_us(), 33_000);
        run(&mut lateness, 10..50, |number| number % 7 * 100);
        assert_eq!(lateness.expected_us(), 33_000, "it is remembered");
        run(&mut lateness, 50..80, |number| number % 7 * 100);
        assert_eq!(lateness.expected_us(), 600, "and forgotten");
        assert_eq!(lateness.earliest_us(), Some(1_000_000));
    }

    #[test]
    fn clocks_that_drift_are_not_lateness() {
        let mut lateness = Lateness::new();
        // 200 millionths: 2 µs a packet.
        run(&mut lateness, 0..300, |number| number * 2);
        assert!(lateness.expected_us() < 1_000, "{}", lateness.expected_us());
    }

    #[test]
    fn single_stall_is_not_believed_and_a_second_is() {
        let mut lateness = Lateness::new();
        run(&mut lateness, 0..20, |number| if number == 1000 { 300_000 } else { 0 });
        assert_eq!(lateness.expected_us(), BELIEVED_US);
        run(&mut lateness, 20..30, |number| if number == 2500 { 200_000 } else { 0 });
        assert_eq!(lateness.expected_us(), 200_000);
    }

    #[test]
    fn counting_anew_forgets_where_but_not_how_late() {
        let mut lateness = Lateness::new();
        run(&mut lateness, 0..10, |number| if number == 500 { 40_000 } else { 0 });
        lateness.count_anew();
        assert_eq!(lateness.earliest_us(), None);
        lateness.add(Instant::from_millis(50_000), 0);
        assert_eq!((lateness.earliest_us(), lateness.expected_us()), (Some(50_000_000), 40_000));
    }
}
