//! An echo over the same wire as the chat, so that outside conformance suites test the real transport.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::coding::Data;

use super::link::{Broken, Incoming, Link as _};
use super::wire::Wire;
use super::{Hub, LINGER_MS};
use crate::meter::Budget;

/// Longest message that is echoed.
const MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// Conformance suites send more than any chat client may.
const NO_BUDGET: Budget =
    Budget { frames_per_second: u64::MAX, frame_burst: u64::MAX, bytes_per_second: u64::MAX, byte_burst: u64::MAX };

/// Sends every message back as it came, until the connection has ended.
pub async fn echo(hub: Arc<Hub>, tcp: TcpStream, behind: Vec<u8>) {
    let mut wire = Wire::new(tcp, behind, &NO_BUDGET, MESSAGE_BYTES, hub.clock);
    let mut frame = Vec::new();
    while let Ok(()) = echo_one(&mut wire, &mut frame).await {}
    let linger = Duration::from_millis(LINGER_MS);
    if timeout(linger, poll_fn(|cx| wire.poll_end(cx))).await.is_err() {
        wire.abort();
    }
}

async fn echo_one(wire: &mut Wire, frame: &mut Vec<u8>) -> Result<(), Broken> {
    flushed(wire).await?;
    match poll_fn(|cx| wire.poll_message(cx)).await {
        Ok(Incoming::Text(text)) => {
            flushed(wire).await.and_then(|()| wire.send_message(Data::Text, text.as_bytes(), frame))
        }
        Ok(Incoming::Binary(bytes)) => {
            flushed(wire).await.and_then(|()| wire.send_message(Data::Binary, &bytes, frame))
        }
        Ok(Incoming::Control) => Ok(()),
        Ok(Incoming::Close) | Err(Broken::Gone) => Err(Broken::Gone),
        Err(Broken::Violation(close, retry_ms)) => {
            wire.fail(close, retry_ms);
            Err(Broken::Gone)
        }
    }
}

/// A pong may have come to wait while the message was read.
async fn flushed(wire: &mut Wire) -> Result<(), Broken> {
    poll_fn(|cx| wire.poll_flush(cx)).await
}
