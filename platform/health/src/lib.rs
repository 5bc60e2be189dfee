//! How a service is, over HTTP, for machines that watch it: `/healthz` (it runs), `/readyz` (it serves), `/metrics` (for
//! Prometheus). Nothing there changes anything.
//!
//! Whoever reaches the port may ask, so connections are few and short ([`Bounded`]): who says nothing, or says it slowly,
//! makes room for the next one.

#![forbid(unsafe_code)]

mod limits;

use core::time::Duration;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

pub use limits::{Bounded, CONNECTIONS_MAX, Timed};

/// How long one who asks may take: Prometheus gives up after ten seconds by default.
pub const CONNECTION: Duration = Duration::from_secs(10);

/// A service that is watched.
pub trait Probe: Send + Sync + 'static {
    /// Why it cannot serve now, in a word or two; `None` when it can.
    fn unready(&self) -> Option<&'static str>;

    /// Its figures as text that Prometheus reads (exposition format 0.0.4). No address and no key is among them.
    fn metrics(&self) -> String;
}

/// Answers those who ask, each within `connection`; never ends by itself.
///
/// # Errors
/// What the system says when nothing more can be accepted.
pub async fn serve<P: Probe>(listener: TcpListener, connection: Duration, probe: Arc<P>) -> io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready::<P>))
        .route("/metrics", get(metrics::<P>))
        .with_state(probe);
    axum::serve(Bounded::new(listener, connection), router).await
}

async fn ready<P: Probe>(State(probe): State<Arc<P>>) -> impl IntoResponse {
    match probe.unready() {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn metrics<P: Probe>(State(probe): State<Arc<P>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], probe.metrics())
}
