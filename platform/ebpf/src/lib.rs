//! Sends a relay's envelopes on inside the Linux kernel (tc, eBPF), so that no datagram of a lease goes up to a socket and
//! down again.
//!
//! ```text
//!  interface ─► tcx ingress: an envelope of a lease, from where its peer is? ─► addresses of the other ─► neighbour ─► out
//!                             └ anything else ─► up, to the relay's socket
//! ```
//!
//! The relay binds peers, verifies and counts as it does without this; [`Forwarder::put`] tells the kernel's part where both
//! peers of a lease are, for how long, and how much may pass. It forwards only from an address that a peer has proven to
//! the address that the other has, as the relay itself does, and by the same rate, but for what exceeds it: that is
//! dropped, not kept. Where peers' kernels or network cards have put datagrams together they go on together.
//!
//! It comes before the machine's packet filter, which does not see what is forwarded here; it is there where the interface
//! is Ethernet, packets have no VLAN tag, options or fragments, and both peers speak the same IP version. It ends with the
//! process, however that ends: the attachment is a link that only its descriptor holds (tcx, Linux 6.6).
//!
//! aya loads it: it speaks to the kernel without libbpf, knows tcx, and has no foreign code. The kernel's part is C, since
//! what Rust needs for that (bpf-linker) wants a nightly compiler.

mod interface;
mod map;

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use aya::maps::{HashMap, MapData, MapError, PerCpuArray};
use aya::programs::tc::{SchedClassifier, TcAttachOptions, TcAttachType};
use aya::programs::{LinkOrder, ProgramError};
use aya::{Ebpf, EbpfError, EbpfLoader, include_bytes_aligned};
use rift::wire::relay::LEASE_TAG_LEN;

use crate::map::{Entry, Peer};

static PROGRAM: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/forward.bpf.o"));

/// Why nothing is forwarded in the kernel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// There was no clang when it was built.
    #[error("this program was built without clang, and so without what the kernel would have to do")]
    Unbuilt,
    /// The kernel does not take it.
    #[error(
        "the kernel does not take the program; it needs Linux 6.6 and CAP_BPF, CAP_NET_ADMIN (or root): {0}"
    )]
    Refused(String),
    /// The interface is not there, or no Ethernet.
    #[error("{interface}: {why}")]
    Interface {
        /// Its name.
        interface: String,
        /// What is wrong with it.
        why: String,
    },
}

impl From<EbpfError> for ForwardError {
    fn from(error: EbpfError) -> Self {
        Self::Refused(chain(&error))
    }
}

impl From<ProgramError> for ForwardError {
    fn from(error: ProgramError) -> Self {
        Self::Refused(chain(&error))
    }
}

impl From<MapError> for ForwardError {
    fn from(error: MapError) -> Self {
        Self::Refused(chain(&error))
    }
}

/// A peer of a lease that is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Where it is.
    pub at: SocketAddr,
    /// The relay's address that it knows.
    pub local: IpAddr,
}

/// What a lease allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Seconds that it still holds.
    pub left_s: u64,
    /// Bytes of UDP payload that each peer may send in a second, at least 1.
    pub bytes_per_s: u32,
    /// Bytes by which each may be ahead of that.
    pub burst: u32,
}

/// What was forwarded, and what was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams sent on.
    pub packets: u64,
    /// Bytes of their UDP payloads.
    pub bytes: u64,
    /// Datagrams dropped because they exceeded their lease's rate.
    pub over_rate: u64,
}

/// The kernel's part; forwards until it is dropped.
pub struct Forwarder {
    /// Holds the program and its attachments.
    _program: Ebpf,
    leases: HashMap<MapData, [u8; LEASE_TAG_LEN], Entry>,
    counters: PerCpuArray<MapData, u64>,
}

impl fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarder").finish_non_exhaustive()
    }
}

impl Forwarder {
    /// Forwards what comes to UDP port `port` at these interfaces, under `capacity` leases at most, once they are
    /// [put](Self::put).
    ///
    /// # Errors
    /// [`ForwardError`]; nothing is attached then.
    pub fn load(port: u16, capacity: u32, interfaces: &[String]) -> Result<Self, ForwardError> {
        if PROGRAM.is_empty() {
            return Err(ForwardError::Unbuilt);
        }
        for interface in interfaces {
            let wrong = |why| ForwardError::Interface { interface: interface.clone(), why };
            match interface::is_ethernet(interface) {
                Ok(true) => {}
                Ok(false) => {
                    return Err(wrong(
                        "it is not Ethernet; its packets can only be forwarded by sockets".to_owned(),
                    ));
                }
                Err(error) => return Err(wrong(error.to_string())),
            }
        }
        let mut program = EbpfLoader::new()
            .override_global("PORT", &port.to_be(), true)
            .map_max_entries("leases", capacity.max(1))
            .load(PROGRAM)?;
        let missing = || ForwardError::Refused("the program lacks a part".to_owned());
        let relay: &mut SchedClassifier =
            program.program_mut("relay").ok_or_else(missing)?.try_into().map_err(ForwardError::from)?;
        relay.load()?;
        for interface in interfaces {
            let options = TcAttachOptions::TcxOrder(LinkOrder::default());
            relay.attach_with_options(interface, TcAttachType::Ingress, options)?;
        }
        let leases = HashMap::try_from(program.take_map("leases").ok_or_else(missing)?)?;
        let counters = PerCpuArray::try_from(program.take_map("counters").ok_or_else(missing)?)?;
        Ok(Self { _program: program, leases, counters })
    }

    /// Both peers of a lease are bound, as they were or elsewhere; or what it allows has changed. Returns whether the
    /// kernel has room for it: if not, its packets go up.
    pub fn put(&mut self, tag: [u8; LEASE_TAG_LEN], peers: [Bound; 2], terms: Terms) -> bool {
        let rate = terms.bytes_per_s.max(1);
        let nanos = |bytes: u32, scale: u32| {
            let nanos = (u128::from(bytes) * 1_000_000_000) << scale;
            u64::try_from(nanos / u128::from(rate)).unwrap_or(u64::MAX)
        };
        let entry = Entry {
            expires: since_boot().saturating_add(terms.left_s.saturating_mul(1_000_000_000)),
            cost: nanos(1, 16),
            burst: nanos(terms.burst, 0),
            peers: peers.map(|Bound { at, local }| Peer::bound(at, local)),
        };
        let entry = self.leases.get(&tag, 0).map_or(entry, |known| entry.with_notes_of(&known));
        self.leases.insert(tag, entry, 0).is_ok()
    }

    /// A lease has ended.
    pub fn remove(&mut self, tag: [u8; LEASE_TAG_LEN]) {
        // One that is not there has been put nowhere.
        let _ = self.leases.remove(&tag);
    }

    /// Since it was loaded.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let sum = |which| self.counters.get(&which, 0).map_or(0, |each| each.iter().sum());
        Counters { packets: sum(0), bytes: sum(1), over_rate: sum(2) }
    }
}

/// Bytes of kernel memory that a lease takes at most: its entry, its key, and what the map keeps around them.
pub const LEASE_LEN: usize = size_of::<Entry>() + LEASE_TAG_LEN + MAP_AROUND;
/// `struct htab_elem` and a `struct bucket` of the kernel's hash maps, of which there are at most twice as many.
const MAP_AROUND: usize = 48 + 2 * 16;

/// The kernel's clock for it, in nanoseconds.
fn since_boot() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

/// An error with all its reasons.
fn chain(error: &dyn core::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
