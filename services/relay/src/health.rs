//! How the relay is, for machines that watch it (`rift_health`): it is ready while it takes leases.

use core::net::SocketAddr;
use std::io;
use std::sync::Arc;
use std::thread;

use rift_health::Probe;
use tracing::error;

use crate::worker::Shared;

/// Tells it at `address` until the program ends, on a thread of its own; returns where that is.
pub(crate) fn start(address: SocketAddr, shared: Arc<Shared>) -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let serve = async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        rift_health::serve(listener, rift_health::CONNECTION, shared).await
    };
    let tell = move || {
        if let Err(error) = runtime.block_on(serve) {
            error!(%error, "health is not told any more");
        }
    };
    thread::Builder::new().name("health".to_owned()).spawn(tell)?;
    Ok(address)
}

impl Probe for Shared {
    fn unready(&self) -> Option<&'static str> {
        (!self.is_ready()).then_some("draining")
    }

    fn metrics(&self) -> String {
        self.metrics.expose()
    }
}
