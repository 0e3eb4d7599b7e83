//! The operations port: `/metrics`, liveness, rooms by size, what is logged, and drain.
//!
//! It owns the port, who may ask on it, and its answers. It knows nothing of clients; what it tells of rooms is how many
//! there are. Pages of a browser may not ask at all, whatever name they reach it by: one that its user trusts for something
//! else could drain the instance. Whoever may not ask is told so before anything of a body is read.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use http::uri::Authority;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::{OpsSettings, Secret};
use crate::metrics::{CONTENT_TYPE as OPEN_METRICS, Metrics, as_text};
use crate::rooms::Rooms;
use crate::telemetry::LogFilter;

/// Connections at once. One more ends another, so that nobody who holds theirs can keep a question for liveness out: the
/// oldest of those that haven't shown that they may ask, so that nobody who may not ask can cut off who may.
const CONNECTIONS: usize = 64;

/// How long the header of a request may take, and its body.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// A connection is ended when it is this old, or when it asks for nothing.
const LIFETIME: Duration = Duration::from_secs(60);

/// Most bytes of a request's header.
const HEADER_BYTES: usize = 16 * 1024;

/// Most bytes of a request's body: log directives.
const BODY_BYTES: usize = 1_024;

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

/// One of those that are open.
struct Connection {
    task: JoinHandle<()>,
    /// It has asked something that not everybody may ask.
    admitted: Arc<AtomicBool>,
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
    let mut connections = VecDeque::with_capacity(CONNECTIONS);
    loop {
        match listener.accept().await {
            Ok((tcp, _)) => {
                make_room(&mut connections);
                let admitted = Arc::<AtomicBool>::default();
                let task = tokio::spawn(speak_http(tcp, Arc::clone(&answers), Arc::clone(&admitted)));
                connections.push_back(Connection { task, admitted });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the operations port could not be accepted");
                sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
}

/// Sees to it that there is a place for one more. They are in the order in which they came.
fn make_room(connections: &mut VecDeque<Connection>) {
    connections.retain(|connection| !connection.task.is_finished());
    if connections.len() < CONNECTIONS {
        return;
    }
    let ended = connections.iter().position(|connection| !connection.admitted.load(Ordering::Relaxed));
    if let Some(connection) = connections.remove(ended.unwrap_or_default()) {
        connection.task.abort();
        tracing::warn!(
            connections = CONNECTIONS,
            admitted = ended.is_none(),
            "the operations port is full; a connection was ended for a new one"
        );
    }
}

async fn speak_http(tcp: TcpStream, answers: Arc<Answers>, admitted: Arc<AtomicBool>) {
    let answer = service_fn(move |request| {
        let (answers, admitted) = (Arc::clone(&answers), Arc::clone(&admitted));
        async move { Ok::<_, Infallible>(answers.answer(request, &admitted).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_WITHIN)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(tcp), answer);
    // How a connection ends is the peer's business.
    let _ = timeout(LIFETIME, connection).await;
}

/// A body that is too long or doesn't come counts as none: what it is for is refused then, and says what it takes.
async fn read(body: Incoming) -> Bytes {
    match timeout(READ_WITHIN, Limited::new(body, BODY_BYTES).collect()).await {
        Ok(Ok(read)) => read.to_bytes(),
        Ok(Err(_)) | Err(_) => Bytes::new(),
    }
}

impl Answers {
    async fn answer(&self, request: Request<Incoming>, admitted: &AtomicBool) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let (method, path, headers) = (&head.method, head.uri.path(), &head.headers);
        if headers.contains_key(ORIGIN) {
            return refusal(StatusCode::FORBIDDEN, "no_pages", "pages of a browser may not ask here");
        }
        let reads = matches!(*method, Method::GET | Method::HEAD);
        if path == "/health/live" && reads {
            return json_answer(StatusCode::OK, &json!({"status": "live"}));
        }
        if let Some(refused) = self.refusal_of(headers) {
            return refused;
        }
        admitted.store(true, Ordering::Relaxed);
        match path {
            "/metrics" if reads => self.metrics(),
            "/rooms" if reads => self.rooms(),
            "/log" if reads => self.log(),
            "/log" if method == Method::PUT => self.set_log(&read(body).await),
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

    /// Why whoever sends these headers may not ask. Where there is a token, who knows it may, by any name. Where there is
    /// none, only an address will do: a name can be made to lead here, for a page that believes it asks its own server.
    fn refusal_of(&self, headers: &HeaderMap) -> Option<Response<Full<Bytes>>> {
        match &self.token {
            Some(token) if carries(headers, token) => None,
            Some(_) => {
                let message = "send Authorization: Bearer with ops.token";
                let mut response = refusal(StatusCode::UNAUTHORIZED, "token_required", message);
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                Some(response)
            }
            None if names_an_address(headers) => None,
            None => {
                let message = "ask by an IP address or as localhost, or set ops.token";
                Some(refusal(StatusCode::FORBIDDEN, "no_names", message))
            }
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        match as_text(&self.metrics) {
            Ok(text) => answer(StatusCode::OK, OPEN_METRICS, text.into_bytes()),
            Err(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the metrics can't be written"),
        }
    }

    fn rooms(&self) -> Response<Full<Bytes>> {
        let sizes = self.rooms.sizes();
        let all: usize = sizes.iter().map(|(_, rooms)| rooms).sum();
        let classes: Vec<_> =
            sizes.iter().map(|(least, rooms)| json!({"members_at_least": least, "rooms": rooms})).collect();
        json_answer(StatusCode::OK, &json!({"rooms": all, "by_size": classes}))
    }

    fn log(&self) -> Response<Full<Bytes>> {
        let Some(log) = &self.log else { return no_log() };
        json_answer(StatusCode::OK, &json!({"log": log.now(), "setting": log.usual()}))
    }

    fn set_log(&self, body: &[u8]) -> Response<Full<Bytes>> {
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

    fn drain(&self) -> Response<Full<Bytes>> {
        if !self.drain.is_cancelled() {
            tracing::info!("the drain was asked for on the operations port");
        }
        self.drain.cancel();
        json_answer(StatusCode::ACCEPTED, &json!({"status": "draining"}))
    }
}

/// Whether they carry the token. How long the comparison takes tells nothing but the length.
fn carries(headers: &HeaderMap, token: &Secret) -> bool {
    let given = headers.get(AUTHORIZATION).and_then(|field| field.as_bytes().strip_prefix(b"Bearer "));
    given.is_some_and(|given| bool::from(given.ct_eq(token.expose().as_bytes())))
}

/// Whether the only host that they name is an address, or localhost, which no name server is asked for.
fn names_an_address(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Some(authority) = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()) else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
}

fn no_log() -> Response<Full<Bytes>> {
    refusal(StatusCode::NOT_FOUND, "no_log", "this process doesn't log")
}

fn bad_method(allowed: &'static str) -> Response<Full<Bytes>> {
    let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, "bad_method", "another method is answered here");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Response<Full<Bytes>> {
    json_answer(status, &json!({"code": code, "message": message}))
}

fn json_answer(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    answer(status, "application/json", format!("{body}\n").into_bytes())
}

fn answer(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
