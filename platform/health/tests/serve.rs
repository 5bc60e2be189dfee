//! Those who ask are answered, whoever else holds connections open.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Arc;

use rift_health::{CONNECTIONS_MAX, Probe, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Nothing here takes that long unless it hangs.
const GUARD: Duration = Duration::from_secs(60);

struct Service(AtomicBool);

impl Probe for Service {
    fn unready(&self) -> Option<&'static str> {
        (!self.0.load(Ordering::Relaxed)).then_some("draining")
    }

    fn metrics(&self) -> String {
        "wavry_test_things 3\n".to_owned()
    }
}

async fn started(connection: Duration) -> (SocketAddr, Arc<Service>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let service = Arc::new(Service(AtomicBool::new(true)));
    tokio::spawn(serve(listener, connection, Arc::clone(&service)));
    (address, service)
}

async fn asked(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers");
    answer
}

#[tokio::test]
async fn service_is_alive_ready_and_has_figures() {
    let (address, service) = started(GUARD).await;
    assert!(asked(address, "/healthz").await.ends_with("\r\n\r\nok\n"));
    assert!(asked(address, "/readyz").await.starts_with("HTTP/1.1 200 "));
    assert!(asked(address, "/metrics").await.ends_with("wavry_test_things 3\n"));
    service.0.store(false, Ordering::Relaxed);
    let draining = asked(address, "/readyz").await;
    assert!(draining.starts_with("HTTP/1.1 503 ") && draining.ends_with("draining\n"), "{draining}");
    assert!(asked(address, "/nothing").await.starts_with("HTTP/1.1 404 "));
}

#[tokio::test]
async fn who_says_nothing_or_speaks_slowly_makes_room_for_the_next() {
    let (address, _) = started(Duration::from_millis(300)).await;
    let mut idle = Vec::new();
    for number in 0..2 * CONNECTIONS_MAX {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        if number % 2 == 0 {
            stream.write_all(b"GET /metrics HTTP/1.1\r\nSlow: ").await.expect("a beginning");
        }
        idle.push(stream);
    }
    let answer = tokio::time::timeout(GUARD, asked(address, "/healthz")).await;
    assert!(answer.expect("its turn comes").ends_with("ok\n"));
    for mut stream in idle {
        let mut rest = Vec::new();
        // Cut off: with an end or an error, and with no answer.
        let _ = tokio::time::timeout(GUARD, stream.read_to_end(&mut rest)).await.expect("it is cut off");
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&rest));
    }
}
