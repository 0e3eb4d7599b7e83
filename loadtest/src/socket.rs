//! One socket of the client: bytes in, frames out of them, bytes out.
//!
//! Owns the connection and its buffers. Knows no protocol beyond frames: the run says what to write and what frames
//! mean.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mio::net::TcpStream;

use crate::frame::{self, Masks};

/// Sockets that one loopback source address carries before the next one is taken: fewer than it has ephemeral ports.
const SOCKETS_PER_SOURCE: usize = 20_000;
/// Receive buffer of a socket that will stop reading, in bytes, so that the server notices soon.
const STALLED_RECEIVE_BUFFER: usize = 4 * 1024;

/// How far a socket has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The connection is being made.
    Connecting,
    /// The handshake was sent.
    Upgrading,
    /// `hello` was sent, or the transport is about to open.
    Greeting,
    /// `join` or `signin` was sent.
    Joining,
    /// In its room.
    Live,
    /// Ended.
    Closed,
}

/// One socket.
#[derive(Debug)]
pub struct Socket {
    /// The connection.
    pub stream: TcpStream,
    /// How far it has come.
    pub stage: Stage,
    /// The room it joins.
    pub room: usize,
    /// Its place among the senders, if it is one.
    pub sender: Option<usize>,
    /// It is to stop reading when the load begins.
    pub stalls: bool,
    /// The offset it saw last.
    pub last: u64,
    partial: Vec<u8>,
    out: Vec<u8>,
}

impl Socket {
    /// Begins to connect the socket with this number.
    ///
    /// # Errors
    /// No descriptor or no port is left, or the address can't be reached.
    pub fn connect(
        addr: SocketAddr,
        number: usize,
        room: usize,
        sender: Option<usize>,
        stalls: bool,
    ) -> io::Result<Self> {
        let socket = socket2::Socket::new(socket2::Domain::for_address(addr), socket2::Type::STREAM, None)?;
        if stalls {
            socket.set_recv_buffer_size(STALLED_RECEIVE_BUFFER)?;
        }
        if let IpAddr::V4(target) = addr.ip()
            && target.is_loopback()
        {
            let source = u8::try_from(number / SOCKETS_PER_SOURCE + 1).map_err(|_| io::ErrorKind::AddrNotAvailable)?;
            if source > 1 {
                socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, source), 0)).into())?;
            }
        }
        socket.set_tcp_nodelay(true)?;
        // The end of a run is a reset: thousands of sockets in TIME_WAIT would take the ports of the next run.
        socket.set_linger(Some(std::time::Duration::ZERO))?;
        socket.set_nonblocking(true)?;
        match socket.connect(&addr.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EINPROGRESS as i32) => {}
            Err(error) => return Err(error),
        }
        Ok(Self {
            stream: TcpStream::from_std(socket.into()),
            stage: Stage::Connecting,
            room,
            sender,
            stalls,
            last: 0,
            partial: Vec::new(),
            out: Vec::new(),
        })
    }

    /// Queues bytes as they are.
    pub fn queue(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Queues a masked frame.
    pub fn queue_frame(&mut self, opcode: u8, payload: &[u8], masks: &mut Masks) {
        frame::put(&mut self.out, opcode, payload, Some(masks.next_key()));
    }

    /// Writes what is queued, as far as the kernel takes it; the rest waits for the next writable event.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(taken) => drop(self.out.drain(..taken)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads once into `buffer`; `None` when there is nothing to read now, 0 at the end.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.stream.read(buffer) {
            Ok(read) => Ok(Some(read)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes the bytes that were kept, if there are any.
    pub fn take_partial(&mut self) -> Option<Vec<u8>> {
        if self.partial.is_empty() { None } else { Some(std::mem::take(&mut self.partial)) }
    }

    /// Keeps bytes that are no whole frame yet.
    pub fn keep(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
    }
}
