//! TCP connections, from the accept loop to the end of a drain.
//!
//! It owns the listener, the limits of HTTP, one task per connection, and the order of an instance's start and end. A
//! connection is one task for its whole life: first it speaks HTTP, and if that ends in an upgrade, WebSocket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;
use warp::Reply as _;
use warp::filters::BoxedFilter;

use crate::auth::{self, Auth};
use crate::clock::Clock;
use crate::config::{DurabilityMode, Secret, Settings, StoreUrl, TlsVerify};
use crate::domain::Millis;
use crate::handshake::Reject;
use crate::meter::Budget;
use crate::metrics::Metrics;
use crate::metrics::labels::{HandshakeOutcome, SpanLoss};
use crate::ops::{self, Ops};
use crate::process;
use crate::rooms::{RoomSettings, Rooms};
use crate::routes::{App, Arrival, Endpoint, RETRY_AFTER_S, Upgrade, Watched, refusal, routes, turned_away};
use crate::session::Timing;
use crate::socket::{self, Hub, Rules, SocketioRules};
use crate::spans;
use crate::store::memory::{Memory, SystemClock};
use crate::store::redis::{self, Redis};
use crate::store::{Feed, Store};
use crate::telemetry::{LAST_EXPORT, LogFilter, Telemetry, TelemetryError};

/// hyper's own limits lie above ours, so that ours are answered in JSON; beyond hyper's it answers a bare 431.
const HEADERS_HEADROOM: usize = 4;

/// A connection that is still HTTP after this long is ended: nothing here takes longer to ask for or to send.
const HTTP_LIFETIME: Duration = Duration::from_secs(120);

/// Connections that are being turned away at a time; beyond it they are dropped without an answer.
const TURNED_AWAY_AT_ONCE: usize = 64;

/// How long turning away may take.
const TURN_AWAY_WITHIN: Duration = Duration::from_secs(2);

/// After an error of `accept`, which mostly means that files have run out.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// How long answers that are being written at the end of a drain may take.
const LAST_ANSWERS: Duration = Duration::from_millis(200);

/// What is kept of a drain's time for giving the members to the other instances.
const RETIRE_MS: Millis = 1_000;

/// Why an instance ended, or never began.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The port is taken, or may not be used.
    #[error("can't listen on {address}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The store couldn't be reached at the start.
    #[error("the store can't be reached: {0}")]
    Store(String),
    /// Logs or exporters could not be set up.
    #[error("telemetry can't be set up")]
    Telemetry(#[from] TelemetryError),
    /// What receives and delivers has ended by itself, which only a fault of the program makes it do.
    #[error("the rooms' task has ended: nothing would be delivered any more")]
    Rooms,
    /// Signals can't be listened for.
    #[error("signals can't be received")]
    Signals(#[source] io::Error),
}

/// Runs an instance until it is told to end: by SIGTERM or SIGINT, drained; by a second one, at once.
///
/// # Errors
/// See [`RunError`]. A drain that has to cut clients off is not an error.
pub async fn run(mut settings: Settings) -> Result<(), RunError> {
    let metrics = Arc::new(Metrics::default());
    metrics.look_up(process::look_up);
    metrics.look_up(|metrics| {
        let lost = spans::lost();
        metrics.spans_lost.set_total(SpanLoss::QueueFull, lost.dropped);
        metrics.spans_lost.set_total(SpanLoss::Failed, lost.failed);
    });
    let telemetry = Telemetry::start(&settings.telemetry, &settings.instance, &metrics)?;
    let (drain, end) = (CancellationToken::new(), CancellationToken::new());
    let mut signals = Signals::new().map_err(RunError::Signals)?;
    let (store, feed) = tokio::select! {
        connected = connect(&mut settings, &metrics) => connected?,
        // Nobody is served yet.
        () = signals.next() => return Ok(()),
    };
    let server = Server::bind(&settings, store, feed, Arc::clone(&metrics)).await?;
    let ops = Ops::bind(&settings.ops, metrics, server.rooms(), telemetry.log(), drain.clone()).await;
    let ops = ops.map_err(|ops::CantListen { address, source }| RunError::Bind { address, source })?;
    let hang_ups = log_as_told(telemetry.log()).map_err(RunError::Signals)?;
    let address = server.local_addr();
    let host = if address.ip().is_unspecified() { "localhost".to_owned() } else { authority_host(address) };
    tracing::info!(url = format!("http://{host}:{}/", address.port()), %address, instance = settings.instance, "serving");
    let serving = async {
        let served = server.serve(drain.clone(), end.clone()).await;
        tracing::info!("ended");
        // In this order: dropping the exporters blocks for seconds, so they have to be gone to their own thread.
        tokio::select! {
            biased;
            () = telemetry.stop() => {}
            () = end.cancelled() => {}
        }
        served
    };
    tokio::select! {
        served = serving => served,
        () = ops::serve(ops) => Ok(()),
        () = hang_ups => Ok(()),
        () = signals.into_tokens(&drain, &end) => Ok(()),
    }
}

/// Switches what is logged at every SIGHUP, for ever.
fn log_as_told(log: Option<LogFilter>) -> io::Result<impl Future<Output = ()>> {
    let mut hang_ups = signal(SignalKind::hangup())?;
    Ok(async move {
        while let (Some(log), Some(())) = (&log, hang_ups.recv().await) {
            log.toggle();
            tracing::info!(log = log.now(), "what is logged was switched by SIGHUP");
        }
        std::future::pending::<()>().await;
    })
}

/// A host as it stands in a URL.
fn authority_host(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    }
}

/// One instance, listening.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: Arc<App>,
    feed: Feed,
    http: Http,
    /// From the beginning of a drain to the end of serving.
    deadline: Duration,
}

/// The limits of connections that are not WebSockets yet.
#[derive(Debug, Clone)]
struct Http {
    handshakes: Arc<Semaphore>,
    /// How many those are.
    most_handshakes: usize,
    turning_away: Arc<Semaphore>,
    header_timeout: Duration,
    header_bytes: usize,
    header_count: usize,
}

impl Server {
    /// Listens, with a store that is there already. Serving begins with [`Server::serve`].
    ///
    /// # Errors
    /// [`RunError::Bind`].
    pub async fn bind(
        settings: &Settings,
        store: Arc<dyn Store>,
        feed: Feed,
        metrics: Arc<Metrics>,
    ) -> Result<Self, RunError> {
        let address = SocketAddr::new(settings.bind, settings.port);
        let bound = |source| RunError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bound)?;
        let address = listener.local_addr().map_err(bound)?;
        let keys = settings.auth.keys.iter().map(Secret::expose);
        let rooms = Rooms::new(store, rooms(settings, &metrics));
        let looked_up = Arc::downgrade(&rooms);
        metrics.look_up(move |metrics| looked_up.upgrade().iter().for_each(|rooms| rooms.look_up(metrics)));
        let hub = Hub::new(rooms, Auth::new(keys), Clock::start(), metrics, rules(settings));
        let http = Http {
            handshakes: Arc::new(Semaphore::new(settings.http.handshakes)),
            most_handshakes: settings.http.handshakes,
            turning_away: Arc::new(Semaphore::new(TURNED_AWAY_AT_ONCE)),
            header_timeout: Duration::from_millis(settings.http.header_timeout_ms),
            header_bytes: settings.http.header_bytes,
            header_count: settings.http.header_count,
        };
        let app =
            Arc::new(App::new(Arc::new(hub), &settings.http, settings.limits.connections, settings.socketio.enabled));
        let deadline = Duration::from_millis(settings.drain.deadline_ms);
        let after = if settings.telemetry.otlp_endpoint.is_some() { LAST_EXPORT } else { Duration::ZERO };
        Ok(Self { listener, address, app, feed, http, deadline: deadline.saturating_sub(after) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The rooms of the instance.
    #[must_use]
    pub fn rooms(&self) -> Arc<Rooms> {
        Arc::clone(&self.app.hub.rooms)
    }

    /// Serves until `drain` is cancelled and every client has moved, or the drain's deadline; or until `end` is
    /// cancelled, at once.
    ///
    /// # Errors
    /// [`RunError::Rooms`], at once: clients find what they missed on another instance, or on this one's successor.
    pub async fn serve(self, drain: CancellationToken, end: CancellationToken) -> Result<(), RunError> {
        let Self { listener, app, feed, http, deadline, .. } = self;
        let hub = Arc::clone(&app.hub);
        let mut receiving = tokio::spawn(Arc::clone(&hub.rooms).run(feed));
        let routes = routes(&app);
        let sockets = hub.tasks.clone();
        let mut connections = JoinSet::new();
        let drained = async {
            drain.cancelled().await;
            tracing::info!(sockets = sockets.len(), "draining");
            let by = Instant::now() + deadline.saturating_sub(Duration::from_millis(RETIRE_MS));
            hub.drain();
            sockets.close();
            if timeout_at(by, sockets.wait()).await.is_err() {
                tracing::warn!(sockets = sockets.len(), "the drain is over; clients that stayed are cut off");
            }
        };
        tokio::pin!(drained);
        let served = loop {
            tokio::select! {
                () = end.cancelled() => break Ok(()),
                () = &mut drained => break Ok(()),
                ended = &mut receiving => {
                    // Where it panicked was logged there.
                    let panicked = ended.is_err_and(|error| error.is_panic());
                    tracing::error!(panicked, "the rooms' task has ended; so does the instance, with exit code 70");
                    break Err(RunError::Rooms);
                }
                accepted = listener.accept() => match accepted {
                    Ok((tcp, peer)) => {
                        let connection = Connection {
                            app: Arc::clone(&app),
                            http: http.clone(),
                            routes: routes.clone(),
                            drain: drain.clone(),
                        };
                        connection.begin(tcp, peer, &mut connections);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        sleep(ACCEPT_AGAIN_AFTER).await;
                    }
                },
                Some(ended) = connections.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a connection's task ended wrongly");
                    }
                }
            }
        };
        drop(listener);
        if !end.is_cancelled() {
            // Polls were answered by the end of their sessions, and are on their way out.
            let _ = timeout(LAST_ANSWERS, async { while connections.join_next().await.is_some() {} }).await;
        }
        connections.shutdown().await;
        hub.end.cancel();
        if !end.is_cancelled() {
            let retired = timeout(Duration::from_millis(RETIRE_MS), hub.rooms.retire()).await;
            if retired.is_err() {
                tracing::warn!("the members of this instance are announced when its lease ends");
            }
        }
        receiving.abort();
        served
    }
}

/// One connection, with what it needs.
struct Connection {
    app: Arc<App>,
    http: Http,
    routes: BoxedFilter<(Response<Vec<u8>>,)>,
    drain: CancellationToken,
}

impl Connection {
    /// Starts its task, or turns it away.
    fn begin(self, tcp: TcpStream, peer: SocketAddr, connections: &mut JoinSet<()>) {
        if let Ok(handshake) = Arc::clone(&self.http.handshakes).try_acquire_owned() {
            connections.spawn(self.run(tcp, peer, handshake));
            return;
        }
        self.app.hub.metrics.handshakes.inc(HandshakeOutcome::Full);
        if let Ok(permit) = Arc::clone(&self.http.turning_away).try_acquire_owned() {
            connections.spawn(async move {
                let _permit = permit;
                // A peer that neither asks nor listens gets nothing.
                let _ = timeout(TURN_AWAY_WITHIN, turn_away(tcp)).await;
            });
        }
    }

    async fn run(self, tcp: TcpStream, peer: SocketAddr, handshake: OwnedSemaphorePermit) {
        // Without it small frames wait for the peer's acknowledgement of earlier ones. Fails only on a dead socket.
        let _ = tcp.set_nodelay(true);
        let arrival = Arrival::new(peer.ip(), Arc::clone(&self.http.handshakes), handshake);
        // Boxed, so that its memory is gone when the WebSocket begins.
        Box::pin(self.speak_http(tcp, &arrival)).await;
        arrival.leave_handshake();
        let Some(Upgrade { stream, endpoint, trace, seat }) = arrival.take_upgrade() else { return };
        let hub = Arc::clone(&self.app.hub);
        let socket = hub.tasks.token();
        drop((self, arrival));
        // Either fails only where the peer went away before the answer was out.
        let Ok(upgraded) = stream.await else { return };
        let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else { return };
        // Copied, because it is a part of hyper's read buffer and would keep all 8 KiB of it for the socket's life.
        let (tcp, behind) = (parts.io.into_inner(), parts.read_buf.to_vec());
        drop(parts.read_buf);
        match endpoint {
            Endpoint::Chat => socket::serve(hub, tcp, behind, trace).await,
            Endpoint::Socketio(app) => socket::serve_socketio(hub, app, tcp, behind, trace).await,
            Endpoint::SocketioUpgrade(claim) => socket::upgrade_polling(hub, tcp, behind, claim).await,
            #[cfg(feature = "conformance")]
            Endpoint::Echo => Box::pin(socket::echo(hub, tcp, behind)).await,
        }
        drop((socket, seat));
    }

    async fn speak_http(&self, tcp: TcpStream, arrival: &Arrival) {
        let draining = self.drain.is_cancelled();
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.http.header_timeout)
            .max_headers(self.http.header_count * HEADERS_HEADROOM)
            .max_buf_size(self.http.header_bytes * HEADERS_HEADROOM)
            .keep_alive(!draining)
            .serve_connection(TokioIo::new(tcp), service_fn(|request| self.answer(arrival, request)))
            .with_upgrades();
        tokio::pin!(connection);
        tokio::select! {
            // How a connection ends is the peer's business.
            _ = connection.as_mut() => return,
            () = self.drain.cancelled(), if !draining => {}
            () = sleep(HTTP_LIFETIME) => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = timeout(self.http.header_timeout.max(self.app.longest_poll()), connection).await;
    }

    async fn answer(
        &self,
        arrival: &Arrival,
        mut request: Request<Incoming>,
    ) -> Result<warp::reply::Response, std::convert::Infallible> {
        let watched = Watched::begin(&request);
        let too_large = self.http.check_size(&request);
        let must_close = too_large.is_err() || self.http.is_crowded();
        let mut response = match too_large {
            Err(reject) => refusal(&reject).into_response(),
            Ok(()) => {
                let arrival = arrival.of(request.version(), watched.trace());
                request.extensions_mut().insert(arrival);
                warp::service(self.routes.clone()).call(request).await?
            }
        };
        if must_close && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        watched.end(response.status());
        Ok(response)
    }
}

impl Http {
    /// Whether more than half of the places are taken. Then a connection ends with its answer instead of keeping its
    /// place for a next request that may never come: browsers open six at a time to load the page.
    fn is_crowded(&self) -> bool {
        self.handshakes.available_permits() < self.most_handshakes / 2
    }

    fn check_size(&self, request: &Request<Incoming>) -> Result<(), Reject> {
        /// `: ` and the line end.
        const PUNCTUATION: usize = 4;
        let fields = request.headers();
        let lines = fields.iter().map(|(name, value)| name.as_str().len() + value.len() + PUNCTUATION);
        let bytes = lines.sum::<usize>() + request.uri().path_and_query().map_or(0, |path| path.as_str().len());
        if fields.len() > self.header_count || bytes > self.header_bytes {
            return Err(Reject::new(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "header_too_large",
                "send fewer or shorter header fields",
            ));
        }
        Ok(())
    }
}

/// Answers a connection for which there is no room, without hyper: it costs a few KiB and ends soon.
async fn turn_away(mut tcp: TcpStream) -> io::Result<()> {
    let mut dropped = [0; 1024];
    // An answer before the question would be lost in the reset of a connection with unread bytes.
    if tcp.read(&mut dropped).await? == 0 {
        return Ok(());
    }
    let body = refusal(&turned_away("full", "too many connections are being opened: retry later")).into_body();
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         retry-after: {RETRY_AFTER_S}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n",
        body.len()
    );
    tcp.write_all(head.as_bytes()).await?;
    tcp.write_all(&body).await?;
    tcp.shutdown().await?;
    while tcp.read(&mut dropped).await? > 0 {}
    Ok(())
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// The first signal cancels one token, the second the other.
    async fn into_tokens(mut self, first: &CancellationToken, second: &CancellationToken) {
        self.next().await;
        first.cancel();
        self.next().await;
        second.cancel();
        std::future::pending::<()>().await;
    }
}

fn rooms(settings: &Settings, metrics: &Arc<Metrics>) -> RoomSettings {
    RoomSettings {
        limits: Arc::new(settings.limits.for_clients()),
        grace_ms: settings.presence.grace_ms,
        lease_ms: settings.presence.lease_ms,
        lease_renew_ms: settings.presence.lease_renew_ms,
        list_up_to: settings.presence.list_up_to,
        list_again_at: settings.presence.list_again_at,
        count_interval_ms: settings.presence.count_interval_ms,
        coalesce_ms: settings.presence.coalesce_ms,
        check_interval_ms: settings.rooms.check_interval_ms,
        linger_ms: settings.rooms.linger_ms,
        tail_entries: settings.rooms.tail_entries,
        metrics: Arc::clone(metrics),
    }
}

fn rules(settings: &Settings) -> Rules {
    let limits = &settings.limits;
    Rules {
        instance: settings.instance.as_str().into(),
        limits: Arc::new(limits.for_clients()),
        timing: Timing {
            hello_timeout_ms: settings.hello_timeout_ms,
            heartbeat_ms: settings.heartbeat_ms,
            heartbeat_timeout_ms: settings.heartbeat_timeout_ms,
            rotate_after_ms: settings.rotate_after(),
            rotate_in_ms: settings.drain.spread_ms,
            store_away_limit_ms: settings.store_away_limit_ms,
        },
        spread_ms: settings.drain.spread_ms,
        budget: Budget {
            frames_per_second: limits.frames_per_second,
            frame_burst: limits.frame_burst,
            bytes_per_second: limits.bytes_per_second,
            byte_burst: limits.byte_burst,
        },
        commands_in_flight: limits.commands_in_flight,
        unfinished_message_ms: limits.unfinished_message_ms,
        flush_timeout_ms: limits.flush_timeout_ms,
        socketio: SocketioRules {
            polling: settings.socketio.polling,
            resume: settings.socketio.resume,
            extra_fields: settings.socketio.extra_fields,
        },
    }
}

/// The store of the settings, and what this instance receives from it. Where no keys are set and the store keeps one for
/// all instances, the settings have that one afterwards.
///
/// # Errors
/// [`RunError::Store`].
pub async fn connect(settings: &mut Settings, metrics: &Arc<Metrics>) -> Result<(Arc<dyn Store>, Feed), RunError> {
    let limits = Arc::new(settings.limits.for_clients());
    let Some(options) = redis_options(settings, metrics) else {
        let bytes = usize::try_from(settings.store.memory_bytes).unwrap_or(usize::MAX);
        return Ok(Memory::new(limits, bytes, Arc::new(SystemClock)).attach(&settings.instance));
    };
    let proposed = settings.auth.keys.is_empty().then(auth::new_key);
    let connected = Redis::connect(options, limits, proposed.as_deref()).await;
    let connected = connected.map_err(|error| RunError::Store(error.to_string()))?;
    let looked_up = Arc::downgrade(&connected.store);
    metrics.look_up(move |_| looked_up.upgrade().iter().for_each(|store| store.look_up()));
    settings.auth.keys.extend(connected.guest_key.map(Secret::new));
    Ok((connected.store, connected.feed))
}

/// How Redis is spoken with; `None` where the store isn't Redis.
fn redis_options(settings: &Settings, metrics: &Arc<Metrics>) -> Option<redis::Options> {
    let store = &settings.store;
    let StoreUrl::Redis { tls, user, host, port, database } = &store.url else { return None };
    let password = match (&store.password_file, &store.password) {
        (Some(path), _) => redis::Password::File(path.clone()),
        (None, Some(password)) => redis::Password::Fixed(password.expose().to_owned()),
        (None, None) => redis::Password::None,
    };
    let check_name = store.tls_verify == TlsVerify::Full;
    Some(redis::Options {
        host: host.clone(),
        port: *port,
        tls: tls.then(|| redis::Tls { ca_file: store.ca_file.clone(), check_name }),
        user: user.clone(),
        password,
        database: *database,
        prefix: store.prefix.clone(),
        durability: match store.durability {
            DurabilityMode::Auto => redis::DurabilitySetting::Auto,
            DurabilityMode::Replicated => redis::DurabilitySetting::Replicated,
            DurabilityMode::Relaxed => redis::DurabilitySetting::Relaxed,
            DurabilityMode::Local => redis::DurabilitySetting::Local,
        },
        wait_timeout: Duration::from_millis(store.wait_timeout_ms),
        response_timeout: Duration::from_millis(store.response_timeout_ms),
        startup_timeout: Duration::from_millis(store.startup_timeout_ms),
        metrics: Arc::clone(metrics),
    })
}
