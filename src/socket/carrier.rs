//! What carries the packets of an Engine.IO session.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::exchange::{Arrived, Exchange};
use super::link::{Broken, Incoming, Link};
use super::wire::Wire;
use crate::domain::Millis;
use crate::protocol::{Close, engineio};

/// A transport of Engine.IO.
#[derive(Debug)]
#[expect(clippy::large_enum_variant)] // nearly all are WebSockets, and those move here only once
pub enum Carrier {
    /// A WebSocket: one message for each packet.
    WebSocket(Wire),
    /// HTTP requests, until a WebSocket takes over.
    Polling(Arc<Exchange>),
}

impl Link for Carrier {
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Broken>> {
        if let Self::Polling(exchange) = self {
            match ready!(exchange.poll_incoming(cx))? {
                Arrived::Message(message) => return Poll::Ready(Ok(message)),
                Arrived::WebSocket(mut wire, unsent) => {
                    if let Some(payload) = unsent {
                        wire.send_packets(&[payload], &mut Vec::new())?;
                    }
                    *self = Self::WebSocket(*wire);
                }
            }
        }
        match self {
            Self::WebSocket(wire) => wire.poll_message(cx),
            Self::Polling(_) => Poll::Pending,
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        match self {
            Self::WebSocket(wire) => wire.poll_flush(cx),
            Self::Polling(exchange) => exchange.poll_fetched(cx).map(Ok),
        }
    }

    fn send(&mut self, frames: &[Bytes], buffer: &mut Vec<u8>) -> Result<(), Broken> {
        match self {
            Self::WebSocket(wire) => wire.send_packets(frames, buffer),
            Self::Polling(exchange) => {
                exchange.send(frames);
                Ok(())
            }
        }
    }

    fn unfinished_since(&self) -> Option<Millis> {
        match self {
            Self::WebSocket(wire) => wire.unfinished_since(),
            // A body has the deadline of its request.
            Self::Polling(_) => None,
        }
    }

    fn close(&mut self, close: Close, retry_ms: Option<Millis>) {
        match self {
            Self::WebSocket(wire) => wire.close(close, retry_ms),
            // A client that closed by itself is not told that it did.
            Self::Polling(exchange) if close == Close::Normal => exchange.closed_by_client(),
            Self::Polling(exchange) => exchange.end(engineio::CLOSE),
        }
    }

    fn fail(&mut self, close: Close, retry_ms: Option<Millis>) {
        match self {
            Self::WebSocket(wire) => wire.fail(close, retry_ms),
            Self::Polling(exchange) => exchange.end(engineio::CLOSE),
        }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::WebSocket(wire) => wire.poll_end(cx),
            // Whoever didn't wait for the end learns it from the next request.
            Self::Polling(_) => Poll::Ready(()),
        }
    }

    fn abort(&mut self) {
        match self {
            Self::WebSocket(wire) => wire.abort(),
            Self::Polling(exchange) => exchange.end(engineio::CLOSE),
        }
    }
}
