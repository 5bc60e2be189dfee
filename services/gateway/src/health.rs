//! How the gateway is, for machines that watch it (`rift_health`).

use core::fmt::Write;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rift_health::Probe;
use tokio::net::TcpListener;

use crate::GatewayError;
use crate::state::Counters;

/// What is told.
#[derive(Debug, Default)]
pub struct Health {
    is_ready: AtomicBool,
    counters: Mutex<Counters>,
}

impl Health {
    /// Devices are served, or are not any more.
    pub fn set_ready(&self, is_ready: bool) {
        self.is_ready.store(is_ready, Ordering::Relaxed);
    }

    /// The newest counters.
    pub fn update(&self, counters: Counters) {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner) = counters;
    }
}

impl Probe for Health {
    fn unready(&self) -> Option<&'static str> {
        (!self.is_ready.load(Ordering::Relaxed)).then_some("not ready")
    }

    fn metrics(&self) -> String {
        let counters = *self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for (name, kind, help, value) in [
            ("devices", "gauge", "Devices that have enrolled.", counters.devices),
            ("devices_present", "gauge", "Devices that are there.", counters.present),
            ("sessions", "gauge", "Sessions, those of strangers too.", counters.sessions),
            ("introductions_total", "counter", "Introductions made.", counters.introductions),
            ("requests_refused_total", "counter", "Requests refused.", counters.refused),
            ("stun_answers_total", "counter", "STUN requests answered.", counters.stun_answered),
            ("datagrams_discarded_total", "counter", "Datagrams discarded.", counters.discarded),
        ] {
            let name = format!("wavry_gateway_{name}");
            writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}")
                .expect("a string takes what is written");
        }
        text
    }
}

/// Listens for those who ask.
///
/// # Errors
/// [`GatewayError::Bind`].
pub async fn bind(address: SocketAddr) -> Result<TcpListener, GatewayError> {
    let wrong = |source| GatewayError::Bind { what: "health", address, source };
    TcpListener::bind(address).await.map_err(wrong)
}

/// Answers them; never ends by itself.
pub async fn serve(listener: TcpListener, health: Arc<Health>) {
    if let Err(error) = rift_health::serve(listener, rift_health::CONNECTION, health).await {
        tracing::error!(%error, "health is not told any more");
    }
    core::future::pending().await
}
