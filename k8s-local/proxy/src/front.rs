//! HTTP from clients to instances: the concurrency cap, the affinity cookie, `X-Forwarded-*`, and the cut.
//!
//! HTTP/1.1 on both sides, as Cloud Run speaks it to a container without `h2c`: end-to-end HTTP/2 breaks WebSockets. One
//! connection to the instance per request; a socket is two TCP streams and a copy of bytes between them.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, COOKIE, HOST, HeaderName, HeaderValue, SET_COOKIE, UPGRADE};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::pool::{Pool, Seat};

/// The cookie that names an instance. A wish, not a promise.
pub const AFFINITY: &str = "confab-local-affinity";

/// Connections from clients at a time; more wait to be accepted.
const CONNECTIONS: usize = 16_384;

/// How long a request's header may take.
const HEADER: Duration = Duration::from_secs(30);

/// How long connecting to an instance may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Instances that are tried for a request: one that died a moment ago refuses the connection.
const TRIES: usize = 3;

/// After an error of `accept`, which mostly means that files have run out.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Fields that concern one connection only (RFC 9110, 7.6.1); `Connection` and `Upgrade` are set again for an upgrade.
const HOP_BY_HOP: [HeaderName; 6] = [
    CONNECTION,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("te"),
    HeaderName::from_static("trailer"),
];

type Body = Either<Incoming, Full<Bytes>>;

/// Serves for ever.
pub async fn serve(listener: TcpListener, pool: Pool, request_timeout: Duration) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&connections).acquire_owned().await else { return };
        let (tcp, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                eprintln!("proxy: a connection could not be accepted: {error}");
                sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let front = Front { pool: pool.clone(), peer, request_timeout };
        tokio::spawn(async move {
            // Fails only on a dead socket.
            let _ = tcp.set_nodelay(true);
            let answer = service_fn(|request| front.answer(request));
            // How a connection ends is the peer's business.
            let _ = server::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER)
                .serve_connection(TokioIo::new(tcp), answer)
                .with_upgrades()
                .await;
            drop(place);
        });
    }
}

/// One connection of a client.
struct Front {
    pool: Pool,
    peer: SocketAddr,
    request_timeout: Duration,
}

impl Front {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let deadline = Instant::now() + self.request_timeout;
        let answered = tokio::time::timeout_at(deadline, self.forward(request, deadline)).await;
        Ok(answered.unwrap_or_else(|_| own(StatusCode::GATEWAY_TIMEOUT, "upstream request timeout")))
    }

    async fn forward(&self, mut request: Request<Incoming>, deadline: Instant) -> Response<Body> {
        let wish = affinity(request.headers());
        let upgrade = request.headers().get(UPGRADE).cloned();
        let ours = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
        forwarded(&mut request, self.peer.ip(), upgrade.as_ref());
        let (seat, tcp) = match self.reach(wish.as_deref()).await {
            Ok(reached) => reached,
            Err(refused) => return refused,
        };
        let seat = Arc::new(seat);
        let Ok((mut sender, connection)) = client::handshake::<_, Incoming>(TokioIo::new(tcp)).await else {
            return own(StatusCode::SERVICE_UNAVAILABLE, "the instance doesn't answer");
        };
        tokio::spawn({
            let seat = Arc::clone(&seat);
            async move {
                tokio::select! {
                    _ = connection.with_upgrades() => {}
                    () = ended(&seat, deadline) => {}
                }
            }
        });
        let Ok(mut response) = sender.send_request(request).await else {
            return own(StatusCode::SERVICE_UNAVAILABLE, "the instance ended in the middle of the request");
        };
        if wish.as_deref() != Some(seat.instance.name.as_str()) {
            let cookie = format!("{AFFINITY}={}; Path=/; HttpOnly; SameSite=Lax", seat.instance.name);
            if let Ok(cookie) = HeaderValue::from_str(&cookie) {
                response.headers_mut().append(SET_COOKIE, cookie);
            }
        }
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        match (switched, ours) {
            (true, Some(ours)) => {
                tokio::spawn(tunnel(ours, hyper::upgrade::on(&mut response), seat, deadline));
            }
            (true, None) => return own(StatusCode::BAD_GATEWAY, "the instance upgraded a connection that didn't ask"),
            (false, _) => strip(response.headers_mut()),
        }
        response.map(Either::Left)
    }

    /// A seat and a connection to it, or the answer where there is none. No instance is tried twice: one that died has
    /// nothing under way, and so would be chosen for the emptiest again and again.
    async fn reach(&self, wish: Option<&str>) -> Result<(Seat, TcpStream), Response<Body>> {
        let mut tried = Vec::new();
        while tried.len() < TRIES {
            let Some(seat) = self.pool.seat(wish, &tried).await else { break };
            if let Some(tcp) = connect(seat.instance.address).await {
                return Ok((seat, tcp));
            }
            tried.push(Arc::clone(&seat.instance));
        }
        Err(if tried.is_empty() {
            own(StatusCode::TOO_MANY_REQUESTS, "no instance has room for the request")
        } else {
            own(StatusCode::SERVICE_UNAVAILABLE, "no instance answers")
        })
    }
}

async fn connect(address: SocketAddr) -> Option<TcpStream> {
    let tcp = timeout(CONNECT, TcpStream::connect(address)).await.ok()?.ok()?;
    // Fails only on a dead socket.
    let _ = tcp.set_nodelay(true);
    Some(tcp)
}

/// Copies between client and instance until one of them ends it, or it is cut. A cut closes both without a close frame,
/// as the platform's does.
async fn tunnel(ours: OnUpgrade, theirs: OnUpgrade, seat: Arc<Seat>, deadline: Instant) {
    // A task of its own, so that what ends it isn't asked at every message.
    let mut copying = tokio::spawn(async move {
        let (mut ours, behind_ours) = stream(ours.await.ok()?)?;
        let (mut theirs, behind_theirs) = stream(theirs.await.ok()?)?;
        theirs.write_all(&behind_ours).await.ok()?;
        ours.write_all(&behind_theirs).await.ok()?;
        copy_bidirectional(&mut ours, &mut theirs).await.ok()
    });
    tokio::select! {
        _ = &mut copying => {}
        () = ended(&seat, deadline) => copying.abort(),
    }
}

/// The TCP stream of an upgrade, and the bytes that came right behind the header.
fn stream(upgraded: Upgraded) -> Option<(TcpStream, Bytes)> {
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().ok()?;
    Some((parts.io.into_inner(), parts.read_buf))
}

/// Resolves when a request has to end: its time is over, all are cut, or its instance is gone.
async fn ended(seat: &Seat, deadline: Instant) {
    tokio::select! {
        () = sleep_until(deadline) => {}
        () = seat.cut.cancelled() => {}
        () = seat.instance.gone.cancelled() => {}
    }
}

/// Makes the client's request the one that the instance gets.
fn forwarded(request: &mut Request<Incoming>, peer: IpAddr, upgrade: Option<&HeaderValue>) {
    let headers = request.headers_mut();
    strip(headers);
    if let Some(upgrade) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, upgrade.clone());
    }
    // What the client sent stays in front, as on Cloud Run: only the last entry can be believed.
    if let Ok(peer) = HeaderValue::from_str(&peer.to_string()) {
        headers.append(FORWARDED_FOR, peer);
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    if !headers.contains_key(HOST) {
        headers.insert(HOST, HeaderValue::from_static("localhost"));
    }
}

/// Takes away what concerns one connection only, also what `Connection` names.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// The instance that the cookie names.
fn affinity(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == AFFINITY).map(|(_, value)| value.to_owned())
}

fn own(status: StatusCode, why: &'static str) -> Response<Body> {
    let mut response = Response::new(Either::Right(Full::new(Bytes::from_static(why.as_bytes()))));
    *response.status_mut() = status;
    response
}
