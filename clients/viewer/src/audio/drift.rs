//! Holds what a player has in hand at what it should be, by playing a few millionths faster or slower.
//!
//! A controller with a proportional and an integral part. What it controls is an integrator: one millionth faster takes one
//! microsecond a second off what is in hand. With w² and 2w as its gains the loop is critically damped and follows
//! in some 1/w seconds, here 20: slow enough that no ear hears a pitch move, and that the jitter of single looks, up to a
//! period of the device, is averaged away. The integral part ends up as what the two clocks differ by.

/// The loop's w, per second.
const FREQUENCY: f64 = 0.05;
/// What is in hand is averaged over about this long, in seconds.
const AVERAGED: f64 = 2.0;
/// Bounds of the correction, in millionths: of what is taken for the clocks' difference, of what is in hand too much or too
/// little, and of both. Crystals are within 100 of what they should be, two of them within 200. So what is heard of a sound is
/// its pitch to some hundredths of a per cent at any time; whoever has to catch up by more does it by splices.
const CLOCKS_PPM_MAX: f64 = 300.0;
const LEVEL_PPM_MAX: f64 = 300.0;
const PPM_MAX: f64 = 400.0;
/// So near to what should be in hand the clocks are learnt, in microseconds: without the integral part, clocks that differ by
/// 300 millionths hold it this far off.
const NEAR_US: f64 = 3_000.0;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Drift {
    /// What is in hand less what should be, averaged, in microseconds.
    error_us: Option<f64>,
    /// The integral part, in millionths.
    integral: f64,
    ppm: f64,
}

impl Drift {
    /// The player was given so many microseconds more (or less) by other means: averages begin there.
    pub fn shift(&mut self, micros: f64) {
        if let Some(error) = &mut self.error_us {
            *error += micros;
        }
    }

    /// What is in hand is not what it was: averages begin anew. What the clocks differ by is still known.
    pub const fn forget(&mut self) {
        self.error_us = None;
        self.ppm = self.integral;
    }

    /// After `seconds` more of playing so much more than should be is in hand.
    pub fn update(&mut self, seconds: f64, error_us: f64) {
        let before = self.error_us.unwrap_or(error_us);
        let error = before + (error_us - before) * (seconds / AVERAGED).min(1.0);
        self.error_us = Some(error);
        let proportional = (2.0 * FREQUENCY * error).clamp(-LEVEL_PPM_MAX, LEVEL_PPM_MAX);
        // What is far off is so because what should be in hand has changed, and says nothing of the clocks.
        if error.abs() < NEAR_US {
            let integral = self.integral + FREQUENCY * FREQUENCY * error * seconds;
            self.integral = integral.clamp(-CLOCKS_PPM_MAX, CLOCKS_PPM_MAX);
        }
        self.ppm = (proportional + self.integral).clamp(-PPM_MAX, PPM_MAX);
    }

    /// How many frames of the sender each frame played should stand for.
    #[must_use]
    pub fn step(&self) -> f64 {
        1.0 + self.ppm * 1e-6
    }

    /// What the sender's clock is thought to be faster by than the player's, in millionths.
    #[must_use]
    pub const fn difference_ppm(&self) -> f64 {
        self.integral
    }

    /// What is in hand more than should be, averaged, in microseconds; 0 before anything is known.
    #[must_use]
    pub fn error_us(&self) -> f64 {
        self.error_us.unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A player whose sender is `ppm` faster, from `begin_us` too much in hand: the course of what is in hand.
    fn run(ppm: f64, begin_us: f64, seconds: u32) -> (Drift, Vec<f64>) {
        let mut drift = Drift::default();
        let (mut error_us, mut course) = (begin_us, Vec::new());
        for look in 0..seconds * 200 {
            // Looks see it up to half a period off.
            let jitter = f64::from(look * 7919 % 5000) - 2500.0;
            drift.update(0.005, error_us + jitter);
            error_us += 0.005 * (ppm - (drift.step() - 1.0) * 1e6);
            course.push(error_us);
        }
        (drift, course)
    }

    #[test]
    fn clocks_that_differ_are_followed_and_what_is_in_hand_stays() {
        for ppm in [-200.0, -20.0, 0.0, 200.0] {
            let (drift, course) = run(ppm, 0.0, 300);
            assert!((drift.difference_ppm() - ppm).abs() < 10.0, "{ppm}: {}", drift.difference_ppm());
            let worst = course.iter().fold(0.0, |worst: f64, error| worst.max(error.abs()));
            assert!(worst < 3_000.0, "{ppm}: {worst} µs on the way");
            let last =
                course[course.len() / 2..].iter().fold(0.0, |worst: f64, error| worst.max(error.abs()));
            assert!(last < 200.0, "{ppm}: {last} µs in the end");
        }
    }

    #[test]
    fn much_too_much_is_worked_off_within_the_bounds_and_without_overshoot() {
        let (drift, course) = run(100.0, 30_000.0, 400);
        assert!(course.iter().all(|&error| error > -1_500.0), "no more than it should");
        assert!(
            course.last().is_some_and(|error| error.abs() < 300.0)
                && (drift.difference_ppm() - 100.0).abs() < 10.0
        );
        let largest = course.windows(2).map(|pair| (pair[1] - pair[0]).abs() / 0.005).fold(0.0, f64::max);
        assert!(largest <= PPM_MAX + 101.0, "{largest}");
    }

    #[test]
    fn what_is_known_of_the_clocks_outlives_an_interruption() {
        let (mut drift, _) = run(150.0, 0.0, 300);
        drift.forget();
        assert!((drift.step() - 1.0 - 150e-6).abs() < 12e-6);
        assert!(drift.error_us().abs() < 1e-9);
    }
}
