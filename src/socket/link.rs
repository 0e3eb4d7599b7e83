//! What a socket needs of its connection, whatever carries it: messages in, frames out, and a way to an end.
//!
//! It knows nothing of what messages mean.

use std::task::{Context, Poll};

use bytes::Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::Utf8Bytes;

use crate::domain::Millis;
use crate::protocol::Close;

/// What a peer sent.
#[derive(Debug)]
pub enum Incoming {
    /// A text. Don't keep it: it may pin the read buffer.
    Text(Utf8Bytes),
    /// Bytes. Don't keep them.
    Binary(Bytes),
    /// A ping, which is answered, or a pong.
    Control,
    /// The peer closes; nothing follows. [`Link::poll_end`] answers it.
    Close,
}

/// Why nothing more can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// The peer did what it must not: tell it so and close.
    Violation(Close, Option<Millis>),
    /// The connection is gone, with or without a word.
    Gone,
}

/// One connection to a client.
pub trait Link: Unpin {
    /// The next message. Pending only when everything that has arrived was read.
    ///
    /// # Errors
    /// Nothing more can be read.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Broken>>;

    /// Ready once more can be sent.
    ///
    /// # Errors
    /// The connection is gone.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>>;

    /// Sends what a mailbox held. Only when [`Link::poll_flush`] is ready and neither side has closed. `buffer` is for
    /// scratch work. The frames are not checked for UTF-8.
    ///
    /// # Errors
    /// The connection is gone.
    fn send(&mut self, frames: &[Bytes], buffer: &mut Vec<u8>) -> Result<(), Broken>;

    /// Since when a message of the peer is unfinished.
    fn unfinished_since(&self) -> Option<Millis>;

    /// Says goodbye behind whatever waits, unless the peer has. [`Link::poll_end`] does the rest.
    fn close(&mut self, close: Close, retry_ms: Option<Millis>);

    /// The same, when what the peer sends can't be understood any more.
    fn fail(&mut self, close: Close, retry_ms: Option<Millis>);

    /// Ready once both sides have closed, or the connection is gone. How long that may take is for the caller to say.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Ends the connection at once and without a word: what waits in the kernel is dropped too.
    fn abort(&mut self);
}
