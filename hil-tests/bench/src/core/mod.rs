//! `core`: what the protocol costs by itself, beside those who do parts of the same.
//!
//! No screen, no encoder: seals, packets, handshakes and erasure codes in memory, then packets over real loopback
//! sockets. Contenders of one figure take turns block by block and medians are compared.

mod allocations;
pub(crate) mod fec;
mod fec_rivals;
mod handshake;
mod loopback;
pub(crate) mod measure;
mod memory;
pub(crate) mod pacing;
mod packets;
mod peers;
mod picture;
mod quic;
mod quic_sockets;
mod rows;
mod seal;
mod sockets;
mod tunnel;

use crate::args::Options;
use crate::report::Row;

/// A name for `--only`, and the cases.
type Part = (&'static str, fn() -> Vec<Row>);

const PARTS: [Part; 7] = [
    ("seal", seal::run),
    ("packets", packets::run),
    ("handshake", handshake::run),
    ("picture", picture::run),
    ("sockets", sockets::run),
    ("memory", memory::run),
    ("fec", fec::run),
];

/// All cases, or those of some parts.
pub(crate) fn run(options: &Options) -> Vec<Row> {
    PARTS.iter().filter(|(part, _)| options.wants(part)).flat_map(|(_, cases)| cases()).collect()
}
