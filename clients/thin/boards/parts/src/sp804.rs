//! ARM dual timer SP804 (DDI 0271), whose registers the timer of the CMSDK shares: embassy's clock.
//!
//! The first timer runs down for ever and counts time; the second is the alarm. Both have 32 bits, the wraps are counted.

use core::cell::RefCell;
use core::task::Waker;

use critical_section::Mutex;
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

use crate::{Mapped, Registers};

const LOAD: usize = 0x00;
const VALUE: usize = 0x04;
const CONTROL: usize = 0x08;
const CLEAR: usize = 0x0c;
const RAW_STATUS: usize = 0x10;
const ALARM: usize = 0x20;

/// Enabled, wraps for ever, interrupt, 32 bits.
const CONTROL_CLOCK: u32 = 1 << 7 | 1 << 6 | 1 << 5 | 1 << 1;
/// Enabled, interrupt, 32 bits, once.
const CONTROL_ALARM: u32 = 1 << 7 | 1 << 5 | 1 << 1 | 1;
/// An alarm further away comes earlier and is set again: so far that its ticks fit 32 bits.
const ALARM_US_MAX: u64 = 40_000_000;

/// Both timers of one device.
#[derive(Debug)]
pub struct DualTimer<R> {
    registers: R,
    ticks_per_us: u32,
    wraps: u64,
}

impl<R: Registers> DualTimer<R> {
    /// Starts the clock of a device that is fed `ticks_per_us` MHz, 1 to 100.
    pub fn start(registers: R, ticks_per_us: u32) -> Self {
        registers.write(CONTROL, 0);
        registers.write(ALARM + CONTROL, 0);
        registers.write(LOAD, u32::MAX);
        registers.write(CLEAR, 1);
        registers.write(CONTROL, CONTROL_CLOCK);
        Self { registers, ticks_per_us: ticks_per_us.clamp(1, 100), wraps: 0 }
    }

    /// Microseconds since the start.
    pub fn now_us(&self) -> u64 {
        let mut low = !self.registers.read(VALUE);
        let mut wraps = self.wraps;
        if self.registers.read(RAW_STATUS) & 1 != 0 {
            // It wrapped and nobody has counted that yet: look again, for it may have been after the first look.
            low = !self.registers.read(VALUE);
            wraps += 1;
        }
        (wraps << 32 | u64::from(low)) / u64::from(self.ticks_per_us)
    }

    /// Sets the alarm; `false` when `at_us` has passed already. `u64::MAX` = no alarm.
    pub fn set_alarm(&self, at_us: u64) -> bool {
        self.registers.write(ALARM + CONTROL, 0);
        if at_us == u64::MAX {
            return true;
        }
        let ahead_us = at_us.saturating_sub(self.now_us());
        if ahead_us == 0 {
            return false;
        }
        let ticks = ahead_us.min(ALARM_US_MAX) * u64::from(self.ticks_per_us);
        self.registers.write(ALARM + CLEAR, 1);
        self.registers.write(ALARM + LOAD, u32::try_from(ticks).unwrap_or(u32::MAX));
        self.registers.write(ALARM + CONTROL, CONTROL_ALARM);
        true
    }

    /// Takes note of what the device interrupts for.
    pub fn on_interrupt(&mut self) {
        if self.registers.read(RAW_STATUS) & 1 != 0 {
            self.registers.write(CLEAR, 1);
            self.wraps += 1;
        }
        if self.registers.read(ALARM + RAW_STATUS) & 1 != 0 {
            self.registers.write(ALARM + CLEAR, 1);
        }
    }
}

/// Embassy's clock over a dual timer; a board makes it a static with `embassy_time_driver::time_driver_impl!` and calls
/// [`Self::start`] first of all. Embassy counts microseconds then.
pub struct Clock(Mutex<RefCell<Running>>);

struct Running {
    timer: Option<DualTimer<Mapped>>,
    queue: Queue,
}

impl Clock {
    /// Stands still at 0.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(RefCell::new(Running { timer: None, queue: Queue::new() })))
    }

    /// Starts it; see [`DualTimer::start`].
    pub fn start(&self, registers: Mapped, ticks_per_us: u32) {
        let timer = DualTimer::start(registers, ticks_per_us);
        critical_section::with(|token| self.0.borrow_ref_mut(token).timer = Some(timer));
    }

    /// To be called from the device's interrupt.
    pub fn on_interrupt(&self) {
        critical_section::with(|token| {
            let running = &mut *self.0.borrow_ref_mut(token);
            if let Some(timer) = &mut running.timer {
                timer.on_interrupt();
            }
            running.set_alarm();
        });
    }
}

impl Running {
    fn set_alarm(&mut self) {
        let Some(timer) = &self.timer else { return };
        // What is due by now is woken by the look for the next.
        while !timer.set_alarm(self.queue.next_expiration(timer.now_us())) {}
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Driver for Clock {
    fn now(&self) -> u64 {
        critical_section::with(|token| self.0.borrow_ref(token).timer.as_ref().map_or(0, DualTimer::now_us))
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|token| {
            let running = &mut *self.0.borrow_ref_mut(token);
            if running.queue.schedule_wake(at, waker) {
                running.set_alarm();
            }
        });
    }
}

impl core::fmt::Debug for Clock {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Clock").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use super::*;

    /// Counts down when it is told.
    #[derive(Default)]
    struct Device {
        value: Cell<u32>,
        has_wrapped: Cell<bool>,
        alarm: Cell<u32>,
        alarm_control: Cell<u32>,
    }

    impl Device {
        fn pass(&self, ticks: u32) {
            let (value, wrapped) = self.value.get().overflowing_sub(ticks);
            self.value.set(value);
            self.has_wrapped.set(self.has_wrapped.get() || wrapped);
        }
    }

    impl Registers for Device {
        fn read(&self, offset: usize) -> u32 {
            match offset {
                VALUE => self.value.get(),
                RAW_STATUS => self.has_wrapped.get().into(),
                _ => 0,
            }
        }

        fn write(&self, offset: usize, value: u32) {
            match offset {
                LOAD => self.value.set(value),
                CLEAR => self.has_wrapped.set(false),
                0x20 => self.alarm.set(value),
                0x28 => self.alarm_control.set(value),
                _ => {}
            }
        }
    }

    #[test]
    fn time_goes_on_through_wraps_noticed_and_not() {
        let device = Device::default();
        let mut timer = DualTimer::start(&device, 25);
        assert_eq!(timer.now_us(), 0);
        let mut ticks = 0_u64;
        for round in 0..40_u32 {
            device.pass(500_000_000);
            ticks += 500_000_000;
            if round.is_multiple_of(3) {
                timer.on_interrupt();
            }
            assert_eq!(timer.now_us(), ticks / 25, "round {round}");
        }
    }

    #[test]
    fn alarm_is_set_ahead_and_never_for_the_past() {
        let device = Device::default();
        let timer = DualTimer::start(&device, 1);
        device.pass(1_000);
        assert!(timer.set_alarm(1_250));
        assert_eq!((device.alarm.get(), device.alarm_control.get()), (250, CONTROL_ALARM));
        assert!(!timer.set_alarm(1_000) && !timer.set_alarm(3));
        assert!(timer.set_alarm(u64::MAX));
        assert_eq!(device.alarm_control.get(), 0);
        assert!(timer.set_alarm(1 << 40));
        assert_eq!(u64::from(device.alarm.get()), ALARM_US_MAX);
    }
}
