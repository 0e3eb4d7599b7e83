//! The beginning of a polling session, and its move to a WebSocket.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use super::carrier::Carrier;
use super::exchange::{Claim, Exchange};
use super::link::{Broken, Incoming, Link as _};
use super::socketio::new_sid;
use super::wire::Wire;
use super::{App, Hub, LINGER_MS, serve_session};
use crate::protocol::Close;
use crate::protocol::engineio::{self, PROBE, PROBED, Packet};

/// How long a client may take to move to a WebSocket that it has opened.
const UPGRADE_WITHIN: Duration = Duration::from_secs(10);

/// How long a poll waits at most while a client tries its WebSocket. Time enough for a client that doesn't wait for it.
const LET_POLLS_GO_EVERY: Duration = Duration::from_millis(100);

/// How long a session that its client has closed is remembered for a poll that was on its way.
const LAST_POLL_WITHIN: Duration = Duration::from_secs(1);

/// Begins a session that lives in a task of its own, beside the requests that carry it. `seat` is given back when it ends.
pub fn open(hub: &Arc<Hub>, app: App, seat: impl Send + 'static) -> Arc<Exchange> {
    let exchange = Exchange::new(&hub.rules.budget, app.message_bytes(hub), hub.clock);
    let sid = new_sid();
    hub.exchanges.insert(&sid, &exchange);
    let carrier = Carrier::Polling(Arc::clone(&exchange));
    let listed = Listed { hub: Arc::clone(hub), exchange: Arc::clone(&exchange), sid: sid.clone() };
    let session = serve_session(Arc::clone(hub), app, carrier, sid, None);
    let ended = hub.end.clone();
    hub.tasks.spawn(async move {
        tokio::select! {
            () = ended.cancelled() => {}
            () = session => {}
        }
        drop(seat);
        if listed.exchange.has_last_answer() {
            tokio::select! {
                () = ended.cancelled() => {}
                () = sleep(LAST_POLL_WITHIN) => {}
            }
        }
        drop(listed);
    });
    exchange
}

/// A session in the list, for as long as it lives.
struct Listed {
    hub: Arc<Hub>,
    exchange: Arc<Exchange>,
    sid: String,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.hub.exchanges.remove(&self.sid);
        self.exchange.end(engineio::CLOSE);
    }
}

/// Serves a WebSocket that wants to take a polling session over. Once it has, the session's task owns it. One without a
/// claim, because there is another one, is closed.
pub async fn upgrade(hub: Arc<Hub>, tcp: TcpStream, behind: Vec<u8>, claim: Option<Claim>) {
    let message_bytes = claim.as_ref().map_or(hub.rules.limits.frame_bytes, Claim::message_bytes);
    let mut wire = Wire::new(tcp, behind, &hub.rules.budget, message_bytes, hub.clock);
    if let Some(claim) = claim {
        match timeout(UPGRADE_WITHIN, probe(&mut wire, &claim)).await {
            Ok(Ok(())) => return claim.hand_over(wire),
            Ok(Err(Broken::Gone)) => {}
            Ok(Err(Broken::Violation(close, retry_ms))) => wire.fail(close, retry_ms),
            Err(_) => wire.close(Close::NoHello, None),
        }
    } else {
        wire.close(Close::Protocol, None);
    }
    if timeout(Duration::from_millis(LINGER_MS), poll_fn(|cx| wire.poll_end(cx))).await.is_err() {
        wire.abort();
    }
}

/// The client tries the WebSocket, is answered, and moves.
async fn probe(wire: &mut Wire, claim: &Claim) -> Result<(), Broken> {
    const OUT_OF_TURN: Broken = Broken::Violation(Close::Protocol, None);
    if !heard(wire, Packet::Ping(PROBE)).await? || !claim.probed() {
        return Err(OUT_OF_TURN);
    }
    poll_fn(|cx| wire.poll_flush(cx)).await?;
    wire.send_packets(&[Bytes::from_static(PROBED.as_bytes())], &mut Vec::new())?;
    poll_fn(|cx| wire.poll_flush(cx)).await?;
    let mut turn = interval_at(Instant::now() + LET_POLLS_GO_EVERY, LET_POLLS_GO_EVERY);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut moved = std::pin::pin!(heard(wire, Packet::Upgrade));
    loop {
        tokio::select! {
            moved = &mut moved => return if moved? { Ok(()) } else { Err(OUT_OF_TURN) },
            _ = turn.tick() => claim.let_poll_go(),
        }
    }
}

/// Whether the next packet is the one expected.
async fn heard(wire: &mut Wire, expected: Packet<'_>) -> Result<bool, Broken> {
    loop {
        match poll_fn(|cx| wire.poll_message(cx)).await? {
            Incoming::Text(text) => return Ok(engineio::decode(&text) == Ok(expected)),
            Incoming::Binary(_) => return Ok(false),
            Incoming::Control => {}
            Incoming::Close => return Err(Broken::Gone),
        }
    }
}
