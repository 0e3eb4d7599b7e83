//! The beginning of a polling session, and its move to a WebSocket.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::carrier::Carrier;
use super::exchange::Exchange;
use super::link::{Broken, Incoming, Link as _};
use super::socketio::new_sid;
use super::wire::Wire;
use super::{App, Hub, LINGER_MS, serve_session};
use crate::protocol::Close;
use crate::protocol::engineio::{self, PROBE, PROBED, Packet};

/// How long a client may take to move to a WebSocket that it has opened.
const UPGRADE_WITHIN: Duration = Duration::from_secs(10);

/// Begins a session that lives in a task of its own, beside the requests that carry it. `seat` is given back when it ends.
pub fn open(hub: &Arc<Hub>, app: App, seat: impl Send + 'static) -> Arc<Exchange> {
    let exchange = Exchange::new(&hub.rules.budget, app.message_bytes(hub), hub.clock);
    let sid = new_sid();
    hub.exchanges.insert(&sid, &exchange);
    let carrier = Carrier::Polling(Arc::clone(&exchange));
    let listed = Listed { hub: Arc::clone(hub), exchange: Arc::clone(&exchange), sid: sid.clone() };
    let session = serve_session(Arc::clone(hub), app, carrier, sid);
    let ended = hub.end.clone();
    hub.tasks.spawn(async move {
        tokio::select! {
            () = ended.cancelled() => {}
            () = session => {}
        }
        drop((listed, seat));
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

/// Serves a WebSocket that wants to take a polling session over. Once it has, the session's task owns it.
pub async fn upgrade(hub: Arc<Hub>, tcp: TcpStream, behind: Vec<u8>, exchange: Arc<Exchange>) {
    let mut wire = Wire::new(tcp, behind, &hub.rules.budget, exchange.message_bytes(), hub.clock);
    let mut probing = false;
    match timeout(UPGRADE_WITHIN, probe(&mut wire, &exchange, &mut probing)).await {
        Ok(Ok(())) => return exchange.hand_over(wire),
        Ok(Err(Broken::Gone)) => {}
        Ok(Err(Broken::Violation(close, retry_ms))) => wire.fail(close, retry_ms),
        Err(_) => wire.close(Close::NoHello, None),
    }
    if probing {
        exchange.not_upgraded();
    }
    if timeout(Duration::from_millis(LINGER_MS), poll_fn(|cx| wire.poll_end(cx))).await.is_err() {
        wire.abort();
    }
}

/// The client tries the WebSocket, is answered, and moves.
async fn probe(wire: &mut Wire, exchange: &Exchange, probing: &mut bool) -> Result<(), Broken> {
    const OUT_OF_TURN: Broken = Broken::Violation(Close::Protocol, None);
    if !heard(wire, Packet::Ping(PROBE)).await? {
        return Err(OUT_OF_TURN);
    }
    *probing = exchange.probed();
    if !*probing {
        return Err(OUT_OF_TURN);
    }
    poll_fn(|cx| wire.poll_flush(cx)).await?;
    wire.send_packets(&[Bytes::from_static(PROBED.as_bytes())], &mut Vec::new())?;
    poll_fn(|cx| wire.poll_flush(cx)).await?;
    if heard(wire, Packet::Upgrade).await? { Ok(()) } else { Err(OUT_OF_TURN) }
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
