//! How late packets come, and so how long one must wait before it is played.
//!
//! A packet's offset is its arrival less its place in the sound. The earliest offset of the last seconds is that of packets
//! that nothing held up; how much later others came is what a player must have in hand. The path's delay cancels out, the
//! two clocks need no common origin, and what they drift apart within the few seconds looked at is below a millisecond.
//!
//! A packet that is lost may come along with a later one, and is late by as many packets. How many that can be is known from
//! what rides along, long before it happens; so it is not learnt but added, and the lateness of a packet that came so is that
//! of the one that brought it. Lateness is remembered for a minute, because each packet that is later than what is remembered
//! is a gap; what rides along for less, because it changes only as the path does.

use rift::Instant;

/// What is looked at together, in microseconds.
const WINDOW_US: u64 = 2_000_000;
/// Windows remembered.
const WINDOWS: usize = 30;
/// Before anything is known so much lateness is assumed, in microseconds: that of a wireless network.
const ASSUMED_US: i64 = 10_000;
/// It is forgotten after so many windows.
const ASSUMED_FOR: usize = 10;
/// What rides along is remembered for so many windows.
const ALONG_FOR: usize = 5;
/// Lateness up to this is believed at once, in microseconds; more only when it is seen in two windows: a single stall is not
/// worth a minute of delay.
const BELIEVED_US: i64 = 60_000;

/// How a packet came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ride {
    /// How much later in the sound the packet lies that it rode along with, in microseconds; 0: it came by itself.
    pub behind_us: i64,
    /// How much earlier in the sound the first lies that rides along at present, in microseconds.
    pub along_us: i64,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Lateness {
    /// The largest lateness of each window, the present one's at `present`.
    late_us: [i64; WINDOWS],
    /// The most that rode along with a packet in each, in microseconds.
    along_us: [i64; WINDOWS],
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
        let along_us = [0; WINDOWS];
        Self { late_us, along_us, present: WINDOWS - 1, earliest_us: [None; 2], began: None }
    }

    /// The places in the sound are counted anew: earlier offsets mean nothing any more. Lateness is still believed.
    pub const fn count_anew(&mut self) {
        self.earliest_us = [None; 2];
        self.began = None;
    }

    /// A packet came, whose place in the sound is `place_us`.
    pub fn add(&mut self, now: Instant, place_us: i64, ride: Ride) {
        let began = *self.began.get_or_insert(now);
        if now.micros_since(began) >= WINDOW_US {
            self.began = Some(now);
            self.present = (self.present + 1) % WINDOWS;
            (self.late_us[self.present], self.along_us[self.present]) = (0, 0);
            self.earliest_us = [self.earliest_us[1], None];
        }
        self.along_us[self.present] = self.along_us[self.present].max(ride.along_us);
        let offset_us = micros(now) - place_us - ride.behind_us;
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

    /// How late packets that ride along come beyond that, in microseconds.
    #[must_use]
    pub fn along_us(&self) -> i64 {
        let recent = (0..ALONG_FOR).map(|back| self.along_us[(self.present + WINDOWS - back) % WINDOWS]);
        recent.max().unwrap_or(0)
    }

    /// How late packets come by themselves, in microseconds.
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

/// Since the clock's beginning.
pub(super) fn micros(instant: Instant) -> i64 {
    i64::try_from(instant.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of 10 ms from `from` to `to`, in seconds, each as late as `late_us` says of its number.
    fn run(lateness: &mut Lateness, seconds: core::ops::Range<u64>, late_us: impl Fn(u64) -> u64) {
        for number in seconds.start * 100..seconds.end * 100 {
            let at = Instant::from_micros(1_000_000 + number * 10_000 + late_us(number));
            lateness.add(at, i64::try_from(number * 10_000).expect("small"), Ride::default());
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
        lateness.add(Instant::from_millis(50_000), 0, Ride::default());
        assert_eq!((lateness.earliest_us(), lateness.expected_us()), (Some(50_000_000), 40_000));
    }

    #[test]
    fn what_rides_along_is_expected_before_it_happens_and_is_no_lateness() {
        let mut lateness = Lateness::new();
        run(&mut lateness, 0..30, |_| 0);
        let place = |number: u64| i64::try_from(number * 10_000).expect("small");
        let at = |number: u64| Instant::from_micros(1_000_000 + number * 10_000);
        let ride = Ride { behind_us: 0, along_us: 20_000 };
        lateness.add(at(3000), place(3000), ride);
        assert_eq!((lateness.along_us(), lateness.expected_us()), (20_000, 0));
        // Two are lost and come with the third, which is 3 ms late.
        for behind in [2, 1, 0] {
            let came = at(3003).plus_micros(3_000);
            lateness.add(came, place(3003 - behind), Ride { behind_us: place(behind), ..ride });
        }
        assert_eq!((lateness.along_us(), lateness.expected_us()), (20_000, 3_000));
        run(&mut lateness, 31..45, |_| 0);
        assert_eq!((lateness.along_us(), lateness.expected_us()), (0, 3_000), "the one is forgotten sooner");
    }
}
