//! The operations port: `/metrics`, liveness, rooms by size, what is logged, and drain.
//!
//! It owns the port, who may ask on it, and its answers. It knows nothing of clients; what it tells of rooms is how many
//! there are. Pages of a browser may not ask at all: one that its user trusts for something else could drain the instance.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Response, StatusCode};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;
use warp::Filter as _;
use warp::filters::BoxedFilter;
use warp::path::FullPath;

use crate::config::{OpsSettings, Secret};
use crate::metrics::{CONTENT_TYPE as OPEN_METRICS, Metrics, as_text};
use crate::rooms::Rooms;
use crate::telemetry::LogFilter;

/// Connections at once; others wait for one to end.
const CONNECTIONS: usize = 64;

/// How long the header of a request may take.
const HEADER_WITHIN: Duration = Duration::from_secs(5);

/// A connection is ended when it is this old, or when it asks for nothing.
const LIFETIME: Duration = Duration::from_secs(60);

/// Most bytes of a request's header.
const HEADER_BYTES: usize = 16 * 1024;

/// Most bytes of a request's body: log directives.
const BODY_BYTES: u64 = 1_024;

/// After an error of `accept`, which mostly means that files have run out.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// The port is taken, or may not be used.
#[derive(Debug)]
pub struct CantListen {
    /// Where.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
}

/// The port, listening.
pub struct Ops {
    listener: TcpListener,
    answers: Arc<Answers>,
}

/// What is answered from.
struct Answers {
    metrics: Arc<Metrics>,
    rooms: Arc<Rooms>,
    log: Option<LogFilter>,
    drain: CancellationToken,
    token: Option<Secret>,
}

impl Ops {
    /// Listens where the settings say; `None` where they say nowhere.
    ///
    /// # Errors
    /// [`CantListen`].
    pub async fn bind(
        settings: &OpsSettings,
        metrics: Arc<Metrics>,
        rooms: Arc<Rooms>,
        log: Option<LogFilter>,
        drain: CancellationToken,
    ) -> Result<Option<Self>, CantListen> {
        if settings.port == 0 {
            return Ok(None);
        }
        let address = SocketAddr::new(settings.address, settings.port);
        let listener = TcpListener::bind(address).await.map_err(|source| CantListen { address, source })?;
        tracing::info!(ops = %address, "the operations port is open");
        let answers = Answers { metrics, rooms, log, drain, token: settings.token.clone() };
        Ok(Some(Self { listener, answers: Arc::new(answers) }))
    }
}

/// Serves for ever.
pub async fn serve(ops: Option<Ops>) {
    let Some(Ops { listener, answers }) = ops else { return std::future::pending().await };
    let routes = routes(&answers);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // The semaphore is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((tcp, _)) => {
                let routes = routes.clone();
                tokio::spawn(async move {
                    speak_http(tcp, routes).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the operations port could not be accepted");
                sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
}

async fn speak_http(tcp: TcpStream, routes: BoxedFilter<(Response<Vec<u8>>,)>) {
    let answer = service_fn(|request| warp::service(routes.clone()).call(request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_WITHIN)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(tcp), answer);
    // How a connection ends is the peer's business.
    let _ = timeout(LIFETIME, connection).await;
}

fn routes(answers: &Arc<Answers>) -> BoxedFilter<(Response<Vec<u8>>,)> {
    let body = warp::put().and(warp::body::content_length_limit(BODY_BYTES)).and(warp::body::bytes());
    // A body that is too long counts as none: what it is for is refused then, and says what it takes.
    let body = body.or(warp::any().map(Bytes::new)).unify();
    let answers = Arc::clone(answers);
    warp::method()
        .and(warp::path::full())
        .and(warp::header::headers_cloned())
        .and(body)
        .map(move |method, path: FullPath, headers, body: Bytes| {
            answers.answer(&method, path.as_str(), &headers, &body)
        })
        .boxed()
}

impl Answers {
    fn answer(&self, method: &Method, path: &str, headers: &HeaderMap, body: &[u8]) -> Response<Vec<u8>> {
        if headers.contains_key(ORIGIN) {
            return refusal(StatusCode::FORBIDDEN, "no_pages", "pages of a browser may not ask here");
        }
        let reads = matches!(*method, Method::GET | Method::HEAD);
        if path == "/health/live" && reads {
            return json_answer(StatusCode::OK, &json!({"status": "live"}));
        }
        if !self.may_ask(headers) {
            let message = "send Authorization: Bearer with ops.token";
            let mut response = refusal(StatusCode::UNAUTHORIZED, "token_required", message);
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return response;
        }
        match path {
            "/metrics" if reads => self.metrics(),
            "/rooms" if reads => self.rooms(),
            "/log" if reads => self.log(),
            "/log" if method == Method::PUT => self.set_log(body),
            "/drain" if method == Method::POST => self.drain(),
            "/metrics" | "/rooms" | "/health/live" => bad_method("GET, HEAD"),
            "/log" => bad_method("GET, HEAD, PUT"),
            "/drain" => bad_method("POST"),
            _ => {
                let message = "there are GET /metrics, GET /health/live, GET /rooms, GET and PUT /log, POST /drain";
                refusal(StatusCode::NOT_FOUND, "not_found", message)
            }
        }
    }

    /// Whether the request carries the token. How long the comparison takes tells nothing but the length.
    fn may_ask(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let given = headers.get(AUTHORIZATION).and_then(|field| field.as_bytes().strip_prefix(b"Bearer "));
        given.is_some_and(|given| bool::from(given.ct_eq(token.expose().as_bytes())))
    }

    fn metrics(&self) -> Response<Vec<u8>> {
        match as_text(&self.metrics) {
            Ok(text) => answer(StatusCode::OK, OPEN_METRICS, text.into_bytes()),
            Err(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the metrics can't be written"),
        }
    }

    fn rooms(&self) -> Response<Vec<u8>> {
        let sizes = self.rooms.sizes();
        let all: usize = sizes.iter().map(|(_, rooms)| rooms).sum();
        let classes: Vec<_> =
            sizes.iter().map(|(least, rooms)| json!({"members_at_least": least, "rooms": rooms})).collect();
        json_answer(StatusCode::OK, &json!({"rooms": all, "by_size": classes}))
    }

    fn log(&self) -> Response<Vec<u8>> {
        let Some(log) = &self.log else { return no_log() };
        json_answer(StatusCode::OK, &json!({"log": log.now(), "setting": log.usual()}))
    }

    fn set_log(&self, body: &[u8]) -> Response<Vec<u8>> {
        let Some(log) = &self.log else { return no_log() };
        let directives = std::str::from_utf8(body).unwrap_or_default().trim();
        match log.set(directives) {
            Ok(()) => {
                tracing::info!(log = directives, "what is logged was set on the operations port");
                self.log()
            }
            Err(problem) => {
                let message = format!("the body {problem}, in at most {BODY_BYTES} bytes");
                refusal(StatusCode::BAD_REQUEST, "bad_log", &message)
            }
        }
    }

    fn drain(&self) -> Response<Vec<u8>> {
        if !self.drain.is_cancelled() {
            tracing::info!("the drain was asked for on the operations port");
        }
        self.drain.cancel();
        json_answer(StatusCode::ACCEPTED, &json!({"status": "draining"}))
    }
}

fn no_log() -> Response<Vec<u8>> {
    refusal(StatusCode::NOT_FOUND, "no_log", "this process doesn't log")
}

fn bad_method(allowed: &'static str) -> Response<Vec<u8>> {
    let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, "bad_method", "another method is answered here");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Response<Vec<u8>> {
    json_answer(status, &json!({"code": code, "message": message}))
}

fn json_answer(status: StatusCode, body: &Value) -> Response<Vec<u8>> {
    answer(status, "application/json", format!("{body}\n").into_bytes())
}

fn answer(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Vec<u8>> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
