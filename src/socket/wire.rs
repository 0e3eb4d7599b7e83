//! A WebSocket as frames on a non-blocking TCP stream: reading messages, writing text, and every way to an end.
//!
//! The codec (tungstenite) reads and answers control frames. What rooms send goes past its write buffer: one message,
//! one write, and only what the kernel doesn't take is kept, so an idle socket owns no buffer but the one it reads into.
//! It knows nothing of what messages mean.

use std::io::{self, ErrorKind, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::AsyncWrite as _;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{FrameHeader, Utf8Bytes};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

use super::link::{Broken, Incoming, Link};
use crate::clock::Clock;
use crate::domain::Millis;
use crate::meter::{Budget, FrameMeter, OverBudget};
use crate::protocol::Close;
use crate::protocol::engineio::SEPARATOR;
#[cfg(feature = "conformance")]
use crate::protocol::engineio::{self, Part};

/// What is read from the kernel at a time, and all that an idle socket keeps allocated.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// Control frames are written at once; no more than this waits for a kernel that takes nothing.
const MAX_CONTROL_BYTES: usize = 16 * 1024;

/// So many bytes that arrive behind a broken frame are read and dropped, so that the peer gets to read why.
const DISCARDED_BYTES: usize = 16 * 1024 * 1024;

/// One WebSocket.
#[derive(Debug)]
pub struct Wire {
    socket: WebSocket<Stream>,
    /// The codec may hold whole messages, or the kernel bytes, though nobody was woken for them.
    unread: bool,
    /// Something may wait to be written.
    unsent: bool,
    ending: Option<Ending>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Our close frame is on its way; the peer's is awaited.
    Closing,
    /// The peer's close frame was read; ours is on its way.
    Closed,
    /// Our close frame is on its way, and nothing that the peer sends can be understood any more.
    Failing,
    /// Our half of the connection is shut; so many bytes of the other half were dropped.
    Discarding(usize),
}

impl Wire {
    /// A WebSocket whose handshake is done. `behind` are bytes that came right behind the request.
    #[must_use]
    pub fn new(tcp: TcpStream, behind: Vec<u8>, budget: &Budget, max_message_bytes: usize, clock: Clock) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(MAX_CONTROL_BYTES)
            .max_message_size(Some(max_message_bytes))
            .max_frame_size(Some(max_message_bytes));
        let mut meter = FrameMeter::new(budget, clock.now());
        // A few KiB at most; a budget that is too small for them is found at the next byte.
        let _ = meter.take(&behind, clock.now());
        let stream = Stream { tcp, meter, clock, kept: BytesMut::new() };
        let socket = WebSocket::from_partially_read(stream, behind, Role::Server, Some(config));
        Self { socket, unread: true, unsent: false, ending: None }
    }

    fn incoming(&mut self, message: Message) -> Incoming {
        match message {
            Message::Text(text) => Incoming::Text(text),
            Message::Binary(bytes) => Incoming::Binary(bytes),
            Message::Close(_) => {
                self.unsent = true;
                self.ending = Some(Ending::Closed);
                Incoming::Close
            }
            Message::Ping(_) => {
                // The codec has its pong ready and would write it at the next read or flush.
                self.unsent = true;
                Incoming::Control
            }
            Message::Pong(_) | Message::Frame(_) => Incoming::Control,
        }
    }

    /// Sends the packets of Engine.IO payloads, each as a message of its own; see [`Link::send`].
    ///
    /// # Errors
    /// The connection is gone.
    pub fn send_packets(&mut self, payloads: &[Bytes], buffer: &mut Vec<u8>) -> Result<(), Broken> {
        buffer.clear();
        for payload in payloads {
            // Most payloads are one packet, and `contains` goes over bytes much faster than `split`.
            if payload.contains(&SEPARATOR) {
                payload.split(|byte| *byte == SEPARATOR).for_each(|packet| packet_frame(packet, buffer));
            } else {
                packet_frame(payload, buffer);
            }
        }
        self.send_raw(buffer)
    }

    fn send_raw(&mut self, frame: &[u8]) -> Result<(), Broken> {
        debug_assert!(!self.unsent && self.ending.is_none(), "a frame would be torn apart, or follow a close");
        self.unsent = !self.socket.get_mut().write_or_keep(frame).map_err(|_| Broken::Gone)?;
        Ok(())
    }

    fn close_as(&mut self, close: Close, retry_ms: Option<Millis>, ending: Ending) {
        if self.ending.is_some() {
            return;
        }
        let reason = match retry_ms {
            Some(retry_ms) => Utf8Bytes::from(format!("{} retry_ms={retry_ms}", close.reason())),
            None => Utf8Bytes::from_static(close.reason()),
        };
        // Whatever this can't write now is written by the next flush.
        let _ = self.socket.close(Some(CloseFrame { code: close.code().into(), reason }));
        self.unsent = true;
        self.ending = Some(ending);
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket.get_mut().tcp).poll_shutdown(cx)
    }

    fn stream(&self) -> &Stream {
        self.socket.get_ref()
    }
}

impl Link for Wire {
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Broken>> {
        loop {
            if !self.unread {
                ready!(self.stream().tcp.poll_read_ready(cx)).map_err(|_| Broken::Gone)?;
            }
            match self.socket.read() {
                Ok(message) => {
                    self.unread = true;
                    return Poll::Ready(Ok(self.incoming(message)));
                }
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => self.unread = false,
                Err(error) => return Poll::Ready(Err(broken(&error))),
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while self.unsent {
            match self.socket.flush() {
                Ok(()) => self.unsent = false,
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.stream().tcp.poll_write_ready(cx)).map_err(|_| Broken::Gone)?;
                }
                Err(_) => return Poll::Ready(Err(Broken::Gone)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// One text message: the frames, joined by newlines.
    fn send(&mut self, frames: &[Bytes], buffer: &mut Vec<u8>) -> Result<(), Broken> {
        let bytes = frames.iter().map(Bytes::len).sum::<usize>() + frames.len().saturating_sub(1);
        buffer.clear();
        frame_head(Data::Text, bytes, buffer);
        for (at, frame) in frames.iter().enumerate() {
            if at > 0 {
                buffer.push(b'\n');
            }
            buffer.extend_from_slice(frame);
        }
        self.send_raw(buffer)
    }

    fn unfinished_since(&self) -> Option<Millis> {
        self.socket.get_ref().meter.unfinished_since()
    }

    fn close(&mut self, close: Close, retry_ms: Option<Millis>) {
        self.close_as(close, retry_ms, Ending::Closing);
    }

    fn fail(&mut self, close: Close, retry_ms: Option<Millis>) {
        self.close_as(close, retry_ms, Ending::Failing);
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.ending {
                None => return Poll::Ready(()),
                Some(Ending::Closing) => {
                    // Reading goes on while the frame waits to be written.
                    if self.poll_flush(cx) == Poll::Ready(Err(Broken::Gone)) {
                        return Poll::Ready(());
                    }
                    match ready!(self.poll_message(cx)) {
                        // `incoming` has moved on to the next state where it was the peer's close.
                        Ok(_) => {}
                        Err(Broken::Gone) => return Poll::Ready(()),
                        Err(Broken::Violation(..)) => self.ending = Some(Ending::Failing),
                    }
                }
                Some(Ending::Closed) => {
                    // The codec ends the connection as soon as both close frames are out.
                    let _ = ready!(self.poll_flush(cx));
                    let _ = self.poll_shutdown(cx);
                    return Poll::Ready(());
                }
                Some(Ending::Failing) => {
                    if ready!(self.poll_flush(cx)).is_err() || ready!(self.poll_shutdown(cx)).is_err() {
                        return Poll::Ready(());
                    }
                    self.ending = Some(Ending::Discarding(0));
                }
                Some(Ending::Discarding(bytes)) => {
                    let mut dropped = [0; 2 * 1024];
                    if ready!(self.stream().tcp.poll_read_ready(cx)).is_err() || bytes > DISCARDED_BYTES {
                        return Poll::Ready(());
                    }
                    match self.stream().tcp.try_read(&mut dropped) {
                        Ok(0) => return Poll::Ready(()),
                        Ok(more) => self.ending = Some(Ending::Discarding(bytes + more)),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(_) => return Poll::Ready(()),
                    }
                }
            }
        }
    }

    fn abort(&mut self) {
        // Where this fails the connection is gone already.
        let _ = self.stream().tcp.set_zero_linger();
    }
}

#[cfg(feature = "conformance")]
impl Wire {
    /// Sends a message of either kind as it is; see [`Link::send`].
    ///
    /// # Errors
    /// The connection is gone.
    pub fn send_message(&mut self, kind: Data, payload: &[u8], buffer: &mut Vec<u8>) -> Result<(), Broken> {
        buffer.clear();
        frame_head(kind, payload.len(), buffer);
        buffer.extend_from_slice(payload);
        self.send_raw(buffer)
    }
}

/// Writes a packet of a payload as a frame of its own.
fn packet_frame(packet: &[u8], buffer: &mut Vec<u8>) {
    #[cfg(feature = "conformance")]
    if let Some(Ok(Part::Binary(bytes))) = std::str::from_utf8(packet).ok().map(engineio::part) {
        frame_head(Data::Binary, bytes.len(), buffer);
        return buffer.extend_from_slice(&bytes);
    }
    frame_head(Data::Text, packet.len(), buffer);
    buffer.extend_from_slice(packet);
}

fn frame_head(kind: Data, bytes: usize, buffer: &mut Vec<u8>) {
    let header = FrameHeader { opcode: OpCode::Data(kind), ..FrameHeader::default() };
    // Writing into a vector can't fail.
    let _ = header.format(bytes as u64, buffer);
}

fn broken(error: &Error) -> Broken {
    let close = match error {
        Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<OverBudget>()) {
            Some(over) => return Broken::Violation(Close::Budget, Some(over.retry_ms)),
            None => return Broken::Gone,
        },
        Error::Capacity(_) => Close::TooLarge,
        Error::Utf8(_) => Close::Utf8,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return Broken::Gone,
        Error::Protocol(_) => Close::Protocol,
        _ => return Broken::Gone,
    };
    Broken::Violation(close, None)
}

/// The TCP stream as the codec sees it: non-blocking, metered, and with what the kernel hasn't taken.
#[derive(Debug)]
struct Stream {
    tcp: TcpStream,
    meter: FrameMeter,
    clock: Clock,
    /// The rest of a frame. Nothing else may be written before it.
    kept: BytesMut,
}

impl Stream {
    /// Writes what the kernel takes and keeps the rest. Returns whether there is none.
    fn write_or_keep(&mut self, frame: &[u8]) -> io::Result<bool> {
        match self.tcp.try_write(frame) {
            Ok(written) => self.kept.extend_from_slice(&frame[written..]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.kept.extend_from_slice(frame),
            Err(error) => return Err(error),
        }
        Ok(self.kept.is_empty())
    }

    fn write_kept(&mut self) -> io::Result<()> {
        while !self.kept.is_empty() {
            let written = self.tcp.try_write(&self.kept)?;
            self.kept.advance(written);
            if self.kept.is_empty() {
                // It may have been long: an idle socket keeps nothing.
                self.kept = BytesMut::new();
            }
        }
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.tcp.try_read(buffer)?;
        if read > 0 {
            self.meter.take(&buffer[..read], self.clock.now()).map_err(io::Error::other)?;
        }
        Ok(read)
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.write_kept()?;
        self.tcp.try_write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_kept()
    }
}
