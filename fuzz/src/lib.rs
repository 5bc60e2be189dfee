//! Attack surfaces of RIFT, its gateway and its relay, each a function of bytes that panics when a promise is broken.
//!
//! A fuzzer draws the bytes (`fuzz/targets`), and tests replay what it has found and what real sessions sent
//! (`fuzz/corpus`). Nothing here knows who calls. Invariant: the same bytes do the same, whatever ran before.

pub mod bytes;
pub mod claims;
pub mod control;
pub mod dns;
pub mod endpoint;
pub mod fec;
pub mod gateway;
pub mod known;
pub mod life;
pub mod messages;
pub mod migration;
pub mod noise_differential;
pub mod pair;
pub mod pairing;
pub mod paths;
pub mod pictures;
pub mod reassembly;
pub mod relay;
pub mod seeds;
pub mod session_hostile;
pub mod session_peer;
pub mod streams;
pub mod tiles;
pub mod upnp;
pub mod windows;
pub mod wire;

/// A surface: its name, which is that of its corpus directory and of its program for the fuzzer, and its function.
pub type Surface = (&'static str, fn(&[u8]));

/// All surfaces.
pub const SURFACES: [Surface; 20] = [
    ("endpoint", endpoint::run),
    ("session_hostile", session_hostile::run),
    ("session_peer", session_peer::run),
    ("life", life::run),
    ("wire", wire::run),
    ("claims", claims::run),
    ("control", control::run),
    ("pairing", pairing::run),
    ("paths", paths::run),
    ("migration", migration::run),
    ("noise_differential", noise_differential::run),
    ("fec", fec::run),
    ("reassembly", reassembly::run),
    ("windows", windows::run),
    ("streams", streams::run),
    ("tiles", tiles::run),
    ("dns", dns::run),
    ("upnp", upnp::run),
    ("relay", relay::run),
    ("gateway", gateway::run),
];
