//! What is answered over HTTP: the upgrade to a WebSocket, health, version, the page, and refusals as short JSON.
//!
//! It owns the routes and when an instance is ready. It knows no TCP: an accepted upgrade is left with the [`Arrival`]
//! for the server to carry out.

mod socketio;
mod watched;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, UPGRADE};
use http::header::{SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, Method, Response, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::reject::MethodNotAllowed;
use warp::{Filter, Rejection};

use crate::config::HttpSettings;
use crate::domain::{Millis, Trace};
use crate::forwarded;
use crate::handshake::{self, Accepted, Origin, Origins, Reject, Scheme};
use crate::metrics::labels::HandshakeOutcome;
use crate::page;
use crate::socket::{App as EngineApp, Claim, Hub};

pub use watched::Watched;

/// What a client that is turned away is told to wait, in seconds.
pub const RETRY_AFTER_S: u64 = 5;

/// What a ping may be late by.
const LATE_PING_MS: Millis = 1_000;

/// What the routes answer from.
#[derive(Debug)]
pub struct App {
    /// What sockets share.
    pub hub: Arc<Hub>,
    /// One permit for each WebSocket there may be.
    seats: Arc<Semaphore>,
    origins: Origins,
    trusted_hops: usize,
    /// Whether Socket.IO clients are served.
    socketio: bool,
    /// The store has answered at least once.
    started: AtomicBool,
}

/// A request's way through the routes: what the server knows of it, and the upgrade it may become.
#[derive(Debug, Clone)]
pub struct Arrival {
    peer: IpAddr,
    version: Version,
    /// Where the request stands in a trace.
    trace: Option<Trace>,
    upgrade: Arc<Mutex<Option<Upgrade>>>,
    /// The places of connections that are no WebSockets yet, and this one's.
    handshakes: Arc<Semaphore>,
    handshake: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

/// An upgrade that was accepted.
#[derive(Debug)]
pub struct Upgrade {
    /// Ready once the 101 is out.
    pub stream: OnUpgrade,
    /// What to do with it.
    pub endpoint: Endpoint,
    /// Where its handshake stands in a trace.
    pub trace: Option<Trace>,
    /// Given back when the WebSocket has ended.
    pub seat: OwnedSemaphorePermit,
}

/// What a WebSocket is for.
#[derive(Debug)]
pub enum Endpoint {
    /// The chat.
    Chat,
    /// The chat, for Socket.IO clients.
    Socketio(EngineApp),
    /// The same, for one that wants to take over a session that polls. Without a claim another one does, or has.
    SocketioUpgrade(Option<Claim>),
    /// Everything comes back as it was sent.
    #[cfg(feature = "conformance")]
    Echo,
}

impl Arrival {
    /// For the requests of one connection.
    #[must_use]
    pub fn new(peer: IpAddr, handshakes: Arc<Semaphore>, handshake: OwnedSemaphorePermit) -> Self {
        let handshake = Arc::new(Mutex::new(Some(handshake)));
        Self { peer, version: Version::HTTP_11, trace: None, upgrade: Arc::default(), handshakes, handshake }
    }

    /// The same for one request.
    #[must_use]
    pub fn of(&self, version: Version, trace: Option<Trace>) -> Self {
        Self { version, trace, ..self.clone() }
    }

    /// The upgrade, if one was accepted.
    #[must_use]
    pub fn take_upgrade(&self) -> Option<Upgrade> {
        lock(&self.upgrade).take()
    }

    /// Gives the connection's place among those that are no WebSockets yet to others.
    pub fn leave_handshake(&self) {
        drop(lock(&self.handshake).take());
    }

    /// Takes a place again. Returns whether there was one.
    fn return_to_handshake(&self) -> bool {
        let place = Arc::clone(&self.handshakes).try_acquire_owned().ok();
        let has_place = place.is_some();
        *lock(&self.handshake) = place;
        has_place
    }

    fn accept(&self, upgrade: Upgrade) {
        *lock(&self.upgrade) = Some(upgrade);
    }
}

impl App {
    /// Routes for at most `connections` WebSockets.
    #[must_use]
    pub fn new(hub: Arc<Hub>, settings: &HttpSettings, connections: usize, socketio: bool) -> Self {
        let origins = Origins {
            allowed: settings.allowed_origins.iter().filter_map(|origin| Origin::parse(origin)).collect(),
            allow_none: settings.allow_no_origin,
        };
        Self {
            hub,
            seats: Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS))),
            origins,
            trusted_hops: settings.trusted_hops as usize,
            socketio,
            started: AtomicBool::new(false),
        }
    }

    /// Checks a request for a WebSocket and answers it.
    fn upgrade(
        &self,
        endpoint: Endpoint,
        method: &Method,
        headers: &HeaderMap,
        arrival: &Arrival,
        stream: Option<OnUpgrade>,
    ) -> Result<Response<Vec<u8>>, Reject> {
        let scheme = self.scheme(headers);
        let request = handshake::Request { method, version: arrival.version, headers };
        let accepted = handshake::check(request, scheme, &self.origins).inspect_err(|reject| {
            let client = forwarded::client(headers, arrival.peer, self.trusted_hops);
            self.hub.metrics.handshakes.inc(outcome_of(reject));
            tracing::debug!(%client, code = reject.code, "a request for a WebSocket was refused");
        })?;
        let seat = self.seat()?;
        // hyper offers an upgrade for every request of HTTP/1.1 that asks for one, and such requests alone get here.
        let Some(stream) = stream else {
            return Err(Reject::new(StatusCode::BAD_REQUEST, "bad_connection", "this connection can't be upgraded"));
        };
        arrival.accept(Upgrade { stream, endpoint, trace: arrival.trace, seat });
        Ok(switching(accepted))
    }

    /// How the client reached the service.
    fn scheme(&self, headers: &HeaderMap) -> Scheme {
        if forwarded::over_tls(headers, self.trusted_hops) { Scheme::Https } else { Scheme::Http }
    }

    /// A place for one more client.
    fn seat(&self) -> Result<OwnedSemaphorePermit, Reject> {
        if self.hub.is_draining() {
            self.hub.metrics.handshakes.inc(HandshakeOutcome::Draining);
            return Err(turned_away("draining", "this instance is shutting down: retry, another one will answer"));
        }
        Arc::clone(&self.seats).try_acquire_owned().map_err(|_| {
            self.hub.metrics.handshakes.inc(HandshakeOutcome::Full);
            turned_away("full", "no room for another connection: retry later")
        })
    }

    /// How long a request may wait for its answer: a poll, until the next ping.
    #[must_use]
    pub fn longest_poll(&self) -> Duration {
        let polls = cfg!(feature = "conformance") || self.hub.rules.socketio.polling;
        Duration::from_millis(if polls { self.hub.rules.timing.heartbeat_ms + LATE_PING_MS } else { 0 })
    }

    /// Whether the store has ever answered.
    fn has_started(&self) -> bool {
        let started = self.started.load(Ordering::Relaxed) || self.hub.rooms.is_reachable();
        if started {
            self.started.store(true, Ordering::Relaxed);
        }
        started
    }

    /// The state of this instance. It is ready while the store is away too: an outage must not take all instances out.
    fn readiness(&self) -> Response<Vec<u8>> {
        let (status, name) = if self.hub.is_draining() {
            (StatusCode::SERVICE_UNAVAILABLE, "draining")
        } else if self.has_started() {
            (StatusCode::OK, "ready")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "starting")
        };
        json_answer(status, &self.state(name))
    }

    fn startup(&self) -> Response<Vec<u8>> {
        let (status, name) = if self.has_started() {
            (StatusCode::OK, "started")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "starting")
        };
        json_answer(status, &self.state(name))
    }

    fn state(&self, status: &'static str) -> Value {
        let health = self.hub.rooms.health();
        json!({
            "status": status,
            "instance": &*self.hub.rules.instance,
            "sockets": self.hub.metrics.open_sockets(),
            "store": {
                "reachable": health.reachable,
                "full_percent": health.full_percent,
                "durability": self.hub.rooms.durability().as_str(),
            },
        })
    }
}

/// All routes.
#[must_use]
pub fn routes(app: &Arc<App>) -> BoxedFilter<(Response<Vec<u8>>,)> {
    let chat = websocket("ws", || Endpoint::Chat, app);
    #[cfg(feature = "conformance")]
    let chat = chat.or(websocket("echo", || Endpoint::Echo, app)).unify();

    let served = app.socketio;
    let is_served = warp::any()
        .and_then(move || async move { if served { Ok(()) } else { Err(warp::reject::not_found()) } })
        .untuple_one();
    #[cfg(not(feature = "conformance"))]
    let socketio = socketio::route("socket.io", EngineApp::Tutorial, app);
    #[cfg(feature = "conformance")]
    let socketio = {
        let suite = socketio::route("socket.io", EngineApp::Suite, app);
        suite.or(socketio::route("engine.io", EngineApp::Echo, app)).unify()
    };
    let chat = chat.or(is_served.and(socketio)).unify();

    let read = warp::get().or(warp::head()).unify();
    let live = warp::path!("health" / "live").and(read).map(|| json_answer(StatusCode::OK, &json!({"status": "live"})));
    let ready = with(app, warp::path!("health" / "ready").and(read)).map(|app: Arc<App>| app.readiness());
    let startup = with(app, warp::path!("health" / "startup").and(read)).map(|app: Arc<App>| app.startup());
    let version = warp::path!("version").and(read).map(|| {
        json_answer(StatusCode::OK, &json!({"name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION")}))
    });
    let page = read.and(warp::path::full()).and(warp::header::headers_cloned()).and_then(
        move |path: FullPath, headers: HeaderMap| async move {
            let shut = !served && path.as_str().starts_with("/socket.io/");
            page::answer(path.as_str(), &headers).filter(|_| !shut).ok_or_else(warp::reject::not_found)
        },
    );
    let health = live.or(ready).unify().or(startup).unify().or(version).unify();
    chat.or(health).unify().or(page).unify().recover(refuse).unify().boxed()
}

/// Gives a route what it answers from.
fn with<R>(app: &Arc<App>, route: R) -> impl Filter<Extract = (Arc<App>,), Error = Rejection> + Clone + use<R>
where
    R: Filter<Extract = (), Error = Rejection> + Clone,
{
    let app = Arc::clone(app);
    route.map(move || Arc::clone(&app))
}

fn websocket(path: &'static str, endpoint: fn() -> Endpoint, app: &Arc<App>) -> BoxedFilter<(Response<Vec<u8>>,)> {
    with(app, warp::path(path).and(warp::path::end()))
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::ext::get::<Arrival>())
        .and(warp::ext::optional::<OnUpgrade>())
        .map(move |app: Arc<App>, method, headers, arrival, stream| {
            app.upgrade(endpoint(), &method, &headers, &arrival, stream).unwrap_or_else(|reject| refusal(&reject))
        })
        .boxed()
}

async fn refuse(rejection: Rejection) -> Result<Response<Vec<u8>>, Infallible> {
    let reject = if rejection.is_not_found() {
        Reject::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here; the chat's WebSocket is at /ws")
    } else if rejection.find::<MethodNotAllowed>().is_some() {
        Reject::new(StatusCode::METHOD_NOT_ALLOWED, "bad_method", "only GET and HEAD are answered here")
            .with(http::header::ALLOW, "GET, HEAD")
    } else {
        Reject::new(StatusCode::BAD_REQUEST, "bad_request", "the request can't be understood")
    };
    Ok(refusal(&reject))
}

/// What became of a request that was refused, for whoever counts.
fn outcome_of(reject: &Reject) -> HandshakeOutcome {
    // The only thing that a good request is forbidden for.
    if reject.status == StatusCode::FORBIDDEN { HandshakeOutcome::Origin } else { HandshakeOutcome::Bad }
}

fn switching(Accepted { accept, subprotocol }: Accepted) -> Response<Vec<u8>> {
    let mut response = Response::new(Vec::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let fields = response.headers_mut();
    fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
    fields.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(subprotocol) = subprotocol {
        fields.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
    }
    response
}

/// The refusal of a connection for which there is no room.
#[must_use]
pub fn turned_away(code: &'static str, message: &'static str) -> Reject {
    let mut reject = Reject::new(StatusCode::SERVICE_UNAVAILABLE, code, message);
    reject.header = Some((RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S)));
    reject
}

/// A refusal as an answer.
#[must_use]
pub fn refusal(reject: &Reject) -> Response<Vec<u8>> {
    let mut response = json_answer(reject.status, &json!({"code": reject.code, "message": reject.message}));
    response.headers_mut().extend(reject.header.clone());
    response
}

fn json_answer(status: StatusCode, body: &Value) -> Response<Vec<u8>> {
    let mut response = Response::new(body.to_string().into_bytes());
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    page::secure(fields);
    response
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
