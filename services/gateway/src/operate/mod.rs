//! What operators see and do: an API over HTTP (`/api/v1`, described by the document it serves) and a page that uses it.
//!
//! It listens on loopback unless it is told otherwise. Whoever shows the token that was told once, at the first start, is an
//! operator; there are no cookies, so no other page can speak in an operator's name. It refuses to decide anything: it asks
//! the [`desk`], which has the gateway. Invariant: what is not an operator's learns nothing but that there is a gateway.

pub mod desk;
mod routes;

use core::net::SocketAddr;
use core::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::GatewayError;
use desk::Question;

pub use routes::{OPENAPI, ROUTES};

/// A connection lasts so long at most, whatever happens on it.
pub const CONNECTION: Duration = Duration::from_secs(10);

/// Questions that may wait for the gateway.
const QUESTIONS_MAX: usize = 32;

/// A way to ask, and where what is asked arrives.
#[must_use]
pub fn line() -> (mpsc::Sender<Question>, mpsc::Receiver<Question>) {
    mpsc::channel(QUESTIONS_MAX)
}

/// Listens for operators.
///
/// # Errors
/// [`GatewayError::Bind`].
pub async fn bind(address: SocketAddr) -> Result<TcpListener, GatewayError> {
    let wrong = |source| GatewayError::Bind { what: "operators", address, source };
    TcpListener::bind(address).await.map_err(wrong)
}

/// Answers them, each connection for so long at most ([`CONNECTION`]); never ends by itself.
pub async fn serve(listener: TcpListener, ask: mpsc::Sender<Question>, connection: Duration) {
    let listener = rift_health::Bounded::new(listener, connection);
    if let Err(error) = axum::serve(listener, routes::router(ask)).await {
        tracing::error!(%error, "operators are not answered any more");
    }
    core::future::pending().await
}
