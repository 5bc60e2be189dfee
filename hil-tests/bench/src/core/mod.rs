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
mod rows;
mod seal;
mod sockets;
mod tunnel;

use crate::report::Row;

/// All cases.
pub(crate) fn run() -> Vec<Row> {
    [seal::run, packets::run, handshake::run, picture::run, sockets::run, memory::run, fec::run]
        .into_iter()
        .flat_map(|cases| cases())
        .collect()
}
