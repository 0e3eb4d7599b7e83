//! What carries the packets of an Engine.IO session.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::link::{Broken, Incoming, Link};
use super::wire::Wire;
use crate::domain::Millis;
use crate::protocol::Close;

/// A transport of Engine.IO.
#[derive(Debug)]
pub enum Carrier {
    /// A WebSocket: one message for each packet.
    WebSocket(Wire),
}

impl Link for Carrier {
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Broken>> {
        match self {
            Self::WebSocket(wire) => wire.poll_message(cx),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        match self {
            Self::WebSocket(wire) => wire.poll_flush(cx),
        }
    }

    fn send(&mut self, frames: &[Bytes], buffer: &mut Vec<u8>) -> Result<(), Broken> {
        match self {
            Self::WebSocket(wire) => wire.send_packets(frames, buffer),
        }
    }

    fn unfinished_since(&self) -> Option<Millis> {
        match self {
            Self::WebSocket(wire) => wire.unfinished_since(),
        }
    }

    fn close(&mut self, close: Close, retry_ms: Option<Millis>) {
        match self {
            Self::WebSocket(wire) => wire.close(close, retry_ms),
        }
    }

    fn fail(&mut self, close: Close, retry_ms: Option<Millis>) {
        match self {
            Self::WebSocket(wire) => wire.fail(close, retry_ms),
        }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::WebSocket(wire) => wire.poll_end(cx),
        }
    }

    fn abort(&mut self) {
        match self {
            Self::WebSocket(wire) => wire.abort(),
        }
    }
}
