//! Embassy's clock by SysTick, which every Cortex-M has: good to a millisecond.
//!
//! HERE: a chip's own crate usually brings a better one, with a resolution of microseconds and sleep between alarms
//! (`time-driver-…` among its features). Then this file goes.

use core::cell::RefCell;
use core::task::Waker;

use cortex_m::Peripherals;
use cortex_m::peripheral::syst::SystClkSource;
use critical_section::Mutex;
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

/// HERE: how fast the processor runs once its clocks are set.
const PROCESSOR_HZ: u32 = 64_000_000;
const TICK_US: u64 = 1_000;

struct Clock(Mutex<RefCell<Running>>);

struct Running {
    now_us: u64,
    /// When somebody wants to be woken.
    due_us: u64,
    queue: Queue,
}

embassy_time_driver::time_driver_impl!(
    static CLOCK: Clock = Clock(Mutex::new(RefCell::new(Running { now_us: 0, due_us: u64::MAX, queue: Queue::new() })))
);

/// Starts it, once.
pub fn start() {
    if let Some(mut peripherals) = Peripherals::take() {
        peripherals.SYST.set_clock_source(SystClkSource::Core);
        peripherals.SYST.set_reload(PROCESSOR_HZ / 1_000 - 1);
        peripherals.SYST.clear_current();
        peripherals.SYST.enable_counter();
        peripherals.SYST.enable_interrupt();
    }
}

impl Running {
    /// Wakes who is due, and takes note of who is next.
    fn wake(&mut self) {
        while self.due_us <= self.now_us {
            self.due_us = self.queue.next_expiration(self.now_us);
        }
    }
}

impl Driver for Clock {
    fn now(&self) -> u64 {
        critical_section::with(|token| self.0.borrow_ref(token).now_us)
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|token| {
            let running = &mut *self.0.borrow_ref_mut(token);
            if running.queue.schedule_wake(at, waker) {
                running.due_us = running.queue.next_expiration(running.now_us);
                running.wake();
            }
        });
    }
}

#[cortex_m_rt::exception]
fn SysTick() {
    critical_section::with(|token| {
        let running = &mut *CLOCK.0.borrow_ref_mut(token);
        running.now_us += TICK_US;
        running.wake();
    });
}
