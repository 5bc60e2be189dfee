//! Figures of a running relay. Every thread adds to them without waiting for another; nothing tells who talks to whom.

use core::fmt::Write as _;
use core::sync::atomic::{AtomicU64, Ordering};

use rift_ebpf::Counters;

use crate::state::Cause;

/// Upper ends of the classes of residence times, in microseconds.
const CLASSES_US: [u64; 10] = [10, 25, 50, 100, 200, 500, 1_000, 5_000, 20_000, 100_000];

/// See the module.
#[derive(Debug, Default)]
pub struct Metrics {
    packets: AtomicU64,
    bytes: AtomicU64,
    kept: AtomicU64,
    made_room: AtomicU64,
    blocked: AtomicU64,
    answered: AtomicU64,
    dropped: [AtomicU64; Cause::ALL.len()],
    resided: [AtomicU64; CLASSES_US.len() + 1],
    resided_sum_us: AtomicU64,
    leases: AtomicU64,
    /// Of those forwarded, what the kernel sent on by itself.
    kernel: [AtomicU64; 2],
    /// What exceeded its lease's rate there.
    kernel_over_rate: AtomicU64,
}

impl Metrics {
    pub(crate) fn forwarded(&self, packets: usize, bytes: usize) {
        self.packets.fetch_add(packets as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// So many packets, of which it was asked, were here for so long.
    pub(crate) fn resided(&self, packets: usize, resided_us: u64) {
        let packets = packets as u64;
        let class = CLASSES_US.iter().position(|&end| resided_us <= end).unwrap_or(CLASSES_US.len());
        self.resided[class].fetch_add(packets, Ordering::Relaxed);
        self.resided_sum_us.fetch_add(packets * resided_us, Ordering::Relaxed);
    }

    pub(crate) fn kept(&self, packets: usize) {
        self.kept.fetch_add(packets as u64, Ordering::Relaxed);
    }

    pub(crate) fn made_room(&self, packets: u64) {
        self.made_room.fetch_add(packets, Ordering::Relaxed);
    }

    pub(crate) fn blocked(&self) {
        self.blocked.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn dropped(&self, cause: Cause, packets: usize) {
        self.dropped[cause as usize].fetch_add(packets as u64, Ordering::Relaxed);
    }

    pub(crate) fn set_leases(&self, leases: usize) {
        self.leases.store(leases as u64, Ordering::Relaxed);
    }

    /// What the kernel's part has counted since the start.
    pub(crate) fn set_kernel(&self, counters: Counters) {
        let Counters { packets, bytes, over_rate } = counters;
        let [in_kernel, bytes_in_kernel] = &self.kernel;
        in_kernel.store(packets, Ordering::Relaxed);
        bytes_in_kernel.store(bytes, Ordering::Relaxed);
        self.kernel_over_rate.store(over_rate, Ordering::Relaxed);
    }

    /// Packets that the kernel sent on by itself, as of the last look at it.
    #[must_use]
    pub fn kernel_packets(&self) -> u64 {
        self.kernel[0].load(Ordering::Relaxed)
    }

    /// Packets forwarded since the start.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.packets.load(Ordering::Relaxed) + self.kernel_packets()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed) + self.kernel[1].load(Ordering::Relaxed)
    }

    pub(crate) fn leases(&self) -> u64 {
        self.leases.load(Ordering::Relaxed)
    }

    /// Packets dropped for this reason since the start.
    #[must_use]
    pub fn drops(&self, cause: Cause) -> u64 {
        let in_kernel =
            matches!(cause, Cause::OverRate).then(|| self.kernel_over_rate.load(Ordering::Relaxed));
        self.dropped[cause as usize].load(Ordering::Relaxed) + in_kernel.unwrap_or(0)
    }

    /// The text format of Prometheus.
    #[must_use]
    pub fn expose(&self) -> String {
        let mut text = String::new();
        let mut counter = |name: &str, help: &str, value: u64| {
            put(&mut text, format_args!("# HELP {name} {help}\n# TYPE {name} counter\n"));
            put(&mut text, format_args!("{name} {value}\n"));
        };
        let of = |value: &AtomicU64| value.load(Ordering::Relaxed);
        counter("wavry_relay_forwarded_packets", "Datagrams sent on.", self.packets());
        counter("wavry_relay_forwarded_bytes", "Bytes of them.", self.bytes());
        counter(
            "wavry_relay_kernel_packets",
            "Those of them sent on inside the kernel.",
            self.kernel_packets(),
        );
        counter("wavry_relay_kept_packets", "Datagrams that had to wait.", of(&self.kept));
        counter(
            "wavry_relay_queue_dropped_packets",
            "Datagrams that made room in a queue.",
            of(&self.made_room),
        );
        counter("wavry_relay_blocked_sends", "Times the kernel had no room.", of(&self.blocked));
        counter("wavry_relay_answers", "Answers about bindings.", of(&self.answered));
        let name = "wavry_relay_dropped_packets";
        put(&mut text, format_args!("# HELP {name} Datagrams not sent on.\n# TYPE {name} counter\n"));
        for (cause, label) in Cause::ALL {
            put(&mut text, format_args!("{name}{{cause=\"{label}\"}} {}\n", self.drops(cause)));
        }
        let name = "wavry_relay_leases";
        put(&mut text, format_args!("# HELP {name} Leases now.\n# TYPE {name} gauge\n"));
        put(&mut text, format_args!("{name} {}\n", self.leases.load(Ordering::Relaxed)));
        let name = "wavry_relay_residence_seconds";
        put(
            &mut text,
            format_args!(
                "# HELP {name} From the kernel's having a datagram to its being sent on, of those of one turn in 16.\n"
            ),
        );
        put(&mut text, format_args!("# TYPE {name} histogram\n"));
        let mut sum = 0;
        for (end, count) in CLASSES_US.iter().zip(&self.resided) {
            sum += count.load(Ordering::Relaxed);
            put(&mut text, format_args!("{name}_bucket{{le=\"{}\"}} {sum}\n", *end as f64 / 1e6));
        }
        sum += self.resided[CLASSES_US.len()].load(Ordering::Relaxed);
        put(&mut text, format_args!("{name}_bucket{{le=\"+Inf\"}} {sum}\n"));
        let seconds = self.resided_sum_us.load(Ordering::Relaxed) as f64 / 1e6;
        put(&mut text, format_args!("{name}_sum {seconds}\n{name}_count {sum}\n"));
        text
    }
}

fn put(text: &mut String, what: core::fmt::Arguments<'_>) {
    // Writing into a string does not fail.
    let _ = text.write_fmt(what);
}
