//! `direct`: peers without a relay between them, over the same wires: one of each pair is where the relays are.

use core::net::SocketAddr;

use rift::wire::relay::ENVELOPE_LEN;
use rift_mio::Destination;

use super::wires::{FAR, NEAR, Wires};
use super::{Contender, End, PAIRS};
use crate::failure::Failure;

/// Opens all pairs.
pub(super) fn start(wires: &Wires) -> Result<Contender, Failure> {
    let mut ends = Vec::new();
    for _ in 0..PAIRS {
        let near = End::open(SocketAddr::from((NEAR, 0)))?;
        let far = wires.inside(|| End::open(SocketAddr::from((FAR, 0))))?;
        let [to_near, to_far] =
            [&near, &far].map(|socket| Destination { to: socket.local_addr(), source: None });
        // As many bytes as an envelope has.
        let end = |socket, to| End { socket, to, head: vec![0; ENVELOPE_LEN] };
        ends.extend([end(near, to_far), end(far, to_near)]);
    }
    Ok(Contender { name: "direct", program: None, ends })
}
