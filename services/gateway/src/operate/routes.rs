//! Which request asks what.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::{self, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use rift::PublicKey;
use rift::paths::relay::RELAY_ID_LEN;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::desk::{Ask, Question, Refusal};
use crate::state::{GrantChange, Order};
use crate::storage::operator_digest;

/// The document that describes the API (OpenAPI 3.1); a test holds it to [`ROUTES`].
pub const OPENAPI: &str = include_str!("../../openapi.json");

const PAGE: &str = include_str!("../../web/index.html");
const SCRIPT: &str = include_str!("../../web/page.js");
const STYLE: &str = include_str!("../../web/page.css");

/// Nothing but this origin's own script and style, no frames, no forms.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'none'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

type Ways = State<mpsc::Sender<Question>>;

/// What the API has: method and path, the latter as OpenAPI writes it.
pub const ROUTES: [(&str, &str); 20] = [
    ("get", "/api/v1/openapi.json"),
    ("get", "/api/v1/overview"),
    ("get", "/api/v1/devices"),
    ("delete", "/api/v1/devices/{id}"),
    ("get", "/api/v1/sessions"),
    ("get", "/api/v1/relays"),
    ("put", "/api/v1/relays/{relay}/drain"),
    ("delete", "/api/v1/relays/{relay}/drain"),
    ("get", "/api/v1/leases"),
    ("get", "/api/v1/grants"),
    ("put", "/api/v1/grants/{host}/{client}"),
    ("delete", "/api/v1/grants/{host}/{client}"),
    ("get", "/api/v1/bans"),
    ("put", "/api/v1/bans/{id}"),
    ("delete", "/api/v1/bans/{id}"),
    ("put", "/api/v1/drain"),
    ("delete", "/api/v1/drain"),
    ("get", "/api/v1/audit"),
    ("post", "/api/v1/tokens"),
    ("post", "/api/v1/lease-keys"),
];

pub(super) fn router(ask: mpsc::Sender<Question>) -> Router {
    let text = |kind: &'static str, text: &'static str| {
        get(move || async move { ([(header::CONTENT_TYPE, kind)], text) })
    };
    Router::new()
        .route("/", text("text/html; charset=utf-8", PAGE))
        .route("/page.js", text("text/javascript; charset=utf-8", SCRIPT))
        .route("/page.css", text("text/css; charset=utf-8", STYLE))
        .route("/api/v1/openapi.json", text("application/json", OPENAPI))
        .route("/api/v1/overview", look(Ask::Overview))
        .route("/api/v1/devices", look(Ask::Devices))
        .route("/api/v1/devices/{id}", delete(revoke))
        .route("/api/v1/sessions", look(Ask::Sessions))
        .route("/api/v1/relays", look(Ask::Relays))
        .route("/api/v1/relays/{relay}/drain", put(drain_relay::<true>).delete(drain_relay::<false>))
        .route("/api/v1/leases", look(Ask::Leases))
        .route("/api/v1/grants", look(Ask::Grants))
        .route("/api/v1/grants/{host}/{client}", put(grant::<true>).delete(grant::<false>))
        .route("/api/v1/bans", look(Ask::Bans))
        .route("/api/v1/bans/{id}", put(ban::<true>).delete(ban::<false>))
        .route("/api/v1/drain", put(drain::<true>).delete(drain::<false>))
        .route("/api/v1/audit", look(Ask::Audit))
        .route("/api/v1/tokens", post(token))
        .route("/api/v1/lease-keys", post(rotate))
        .fallback(|| async { refuse(StatusCode::NOT_FOUND, "there is nothing here") })
        .method_not_allowed_fallback(|| async {
            refuse(StatusCode::METHOD_NOT_ALLOWED, "this method is not for that")
        })
        .layer(middleware::from_fn(protect))
        .with_state(ask)
}

/// What every answer carries.
async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn refuse(status: StatusCode, why: &str) -> Response {
    answer(status, &json!({ "error": why }))
}

fn answer(status: StatusCode, value: &Value) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (status, json, Body::from(value.to_string())).into_response()
}

/// Asks the gateway, in the name of whoever has the token of these headers.
async fn ask(ways: &mpsc::Sender<Question>, headers: &HeaderMap, ask: Ask, done: StatusCode) -> Response {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = shown.and_then(|shown| shown.split_once(' ')).filter(|(scheme, _)| {
        // RFC 9110 §11.1: the scheme's case does not matter.
        scheme.eq_ignore_ascii_case("bearer")
    });
    let Some((_, token)) = token else { return stranger() };
    let (send, receive) = oneshot::channel();
    let question = Question { digest: operator_digest(token.trim()), ask, answer: send };
    let sent = ways.try_send(question);
    let outcome = if sent.is_ok() { receive.await.ok() } else { None };
    match outcome {
        Some(Ok(value)) => answer(done, &value),
        Some(Err(Refusal::Stranger)) => stranger(),
        Some(Err(Refusal::Unknown)) => {
            refuse(StatusCode::NOT_FOUND, "there is no such device or relay; its ID is as lists show it")
        }
        Some(Err(Refusal::Full)) => refuse(StatusCode::CONFLICT, "there is no room for more"),
        Some(Err(Refusal::Failed)) => {
            refuse(StatusCode::INTERNAL_SERVER_ERROR, "the gateway could not; its log says why")
        }
        None => refuse(StatusCode::SERVICE_UNAVAILABLE, "the gateway is busy; ask again"),
    }
}

fn stranger() -> Response {
    let mut response =
        refuse(StatusCode::UNAUTHORIZED, "show the operator's token as `Authorization: Bearer`");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn look(about: Ask) -> MethodRouter<mpsc::Sender<Question>> {
    get(move |State(ways): Ways, headers: HeaderMap| async move {
        ask(&ways, &headers, about, StatusCode::OK).await
    })
}

async fn order(ways: &mpsc::Sender<Question>, headers: &HeaderMap, order: Option<Order>) -> Response {
    // Who is no operator is told so first.
    ask(ways, headers, order.map_or(Ask::Nothing, Ask::Order), StatusCode::OK).await
}

fn key(text: &str) -> Option<PublicKey> {
    text.parse().ok()
}

async fn revoke(State(ways): Ways, headers: HeaderMap, Path(id): Path<String>) -> Response {
    order(&ways, &headers, key(&id).map(Order::Revoke)).await
}

async fn ban<const IS_BANNED: bool>(
    State(ways): Ways,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    order(&ways, &headers, key(&id).map(|key| Order::Ban(key, IS_BANNED))).await
}

async fn grant<const MAY: bool>(
    State(ways): Ways,
    headers: HeaderMap,
    Path((host, client)): Path<(String, String)>,
) -> Response {
    let change = key(&host).zip(key(&client));
    let change = change.map(|(host, client)| Order::Grant(GrantChange { host, client, may: MAY }));
    order(&ways, &headers, change).await
}

async fn drain_relay<const IS_DRAINED: bool>(
    State(ways): Ways,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    order(&ways, &headers, relay(&id).map(|id| Order::DrainRelay(id, IS_DRAINED))).await
}

async fn drain<const IS_DRAINING: bool>(State(ways): Ways, headers: HeaderMap) -> Response {
    order(&ways, &headers, Some(Order::Drain(IS_DRAINING))).await
}

async fn token(State(ways): Ways, headers: HeaderMap) -> Response {
    ask(&ways, &headers, Ask::Token, StatusCode::CREATED).await
}

async fn rotate(State(ways): Ways, headers: HeaderMap) -> Response {
    ask(&ways, &headers, Ask::RotateLeaseKey, StatusCode::ACCEPTED).await
}

/// A relay's name: 32 hexadecimal digits.
fn relay(text: &str) -> Option<[u8; RELAY_ID_LEN]> {
    let digits = text.as_bytes();
    let mut id = [0; RELAY_ID_LEN];
    if digits.len() != 2 * RELAY_ID_LEN || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in id.iter_mut().zip(digits.as_chunks::<2>().0) {
        *byte = u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(id)
}
