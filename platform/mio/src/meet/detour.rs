//! Ways to a gateway or a relay where UDP does not pass (SPEC §18.10).
//!
//! What is sent to a lent address of this machine reaches the service through a stream, and what the service answers comes from
//! there. Who lends it is the application's choice; nothing here knows what a stream is.

use core::net::SocketAddr;

use rift::PublicKey;

/// Lends an address that leads to a service by a stream: from the driver's own address, the service's, and the service's static
/// key, which the stream has to prove. The same for the same; `None` = there is none to be had.
pub type LendStream = Box<dyn FnMut(SocketAddr, SocketAddr, &PublicKey) -> Option<SocketAddr> + Send>;

/// What a driver knows of streams: whom to ask, and its own address.
pub(crate) struct Detours {
    lend: LendStream,
    local: SocketAddr,
}

impl Detours {
    pub(crate) const fn new(lend: LendStream, local: SocketAddr) -> Self {
        Self { lend, local }
    }

    pub(crate) fn lend(&mut self, service: SocketAddr, key: &PublicKey) -> Option<SocketAddr> {
        (self.lend)(self.local, service, key)
    }
}
