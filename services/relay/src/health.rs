//! How the relay is, over HTTP, for machines that watch it: `/healthz` (it runs), `/readyz` (it takes leases), `/metrics`
//! (for Prometheus). Nothing there changes anything, and no address or key is told.

use core::net::SocketAddr;
use std::io;
use std::sync::Arc;
use std::thread;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tracing::error;

use crate::worker::Shared;

/// Tells it at `address` until the program ends, on a thread of its own; returns where that is.
pub(crate) fn start(address: SocketAddr, shared: Arc<Shared>) -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(shared);
    let serve = async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        axum::serve(listener, router).await
    };
    let tell = move || {
        if let Err(error) = runtime.block_on(serve) {
            error!(%error, "health is not told any more");
        }
    };
    thread::Builder::new().name("health".to_owned()).spawn(tell)?;
    Ok(address)
}

async fn ready(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    if shared.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], shared.metrics.expose())
}
