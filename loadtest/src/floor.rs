//! The floor: a server that does the least possible.
//!
//! It answers `hello`, `join` and `send` in the product's words, with frames of the same size, and nothing else is true
//! of it: no store, no checks, no heartbeat, no presence. One thread waits for sockets to become readable, and writes
//! each message straight from the loop: one system call per delivery and socket, no task to wake, nothing copied per
//! member, nothing batched. Without batching nobody sensible is cheaper, so it is the unit that other servers are
//! measured in. Never expose it.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::{frame, handshake, wire};

/// Bytes that may wait for one socket; beyond it the socket is closed.
const MAX_BACKLOG: usize = 8 * 1024 * 1024;
const READ_BUFFER: usize = 64 * 1024;
const EVENTS: usize = 1024;
const LISTENER: Token = Token(usize::MAX);

/// What the floor is asked to do.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub addr: SocketAddr,
    /// A fault for tests of the load generator: every so many deliveries, one isn't made.
    pub drop_every: Option<u64>,
}

/// A server that listens.
#[derive(Debug)]
pub struct Floor {
    poll: Poll,
    listener: TcpListener,
    sockets: Vec<Option<Socket>>,
    free: Vec<usize>,
    rooms: Vec<Room>,
    names: HashMap<Box<[u8]>, usize>,
    delivery: Vec<u8>,
    reply: Vec<u8>,
    drop_every: Option<u64>,
    deliveries: u64,
}

#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    /// The handshake is done.
    open: bool,
    name: Box<[u8]>,
    room: Option<usize>,
    /// Bytes read that are no whole frame yet.
    partial: Vec<u8>,
    /// Bytes that the kernel didn't take yet.
    backlog: Vec<u8>,
}

#[derive(Debug)]
struct Room {
    name: Box<[u8]>,
    members: Vec<usize>,
    offset: u64,
}

/// A socket that ends: closed by its client, or broken.
struct Ended;

impl From<io::Error> for Ended {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl Floor {
    /// Binds and listens.
    ///
    /// # Errors
    /// The address can't be bound.
    pub fn bind(options: &Options) -> io::Result<Self> {
        let poll = Poll::new()?;
        let socket = socket2::Socket::new(socket2::Domain::for_address(options.addr), socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&options.addr.into())?;
        socket.listen(4096)?;
        let mut listener = TcpListener::from_std(socket.into());
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            listener,
            sockets: Vec::new(),
            free: Vec::new(),
            rooms: Vec::new(),
            names: HashMap::new(),
            delivery: Vec::new(),
            reply: Vec::new(),
            drop_every: options.drop_every,
            deliveries: 0,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// None that is known.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the process ends.
    ///
    /// # Errors
    /// The kernel's event queue failed.
    pub fn serve(mut self) -> io::Result<std::convert::Infallible> {
        let mut events = Events::with_capacity(EVENTS);
        let mut buffer = vec![0; READ_BUFFER];
        loop {
            if let Err(error) = self.poll.poll(&mut events, None) {
                if error.kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                return Err(error);
            }
            for event in &events {
                if event.token() == LISTENER {
                    self.accept();
                } else if self.on_event(event, &mut buffer).is_err() {
                    self.close(event.token().0);
                }
            }
        }
    }

    fn accept(&mut self) {
        while let Ok((mut stream, _)) = self.listener.accept() {
            let index = self.free.pop().unwrap_or_else(|| {
                self.sockets.push(None);
                self.sockets.len() - 1
            });
            let interest = Interest::READABLE | Interest::WRITABLE;
            if stream
                .set_nodelay(true)
                .and_then(|()| self.poll.registry().register(&mut stream, Token(index), interest))
                .is_err()
            {
                self.free.push(index);
                continue;
            }
            self.sockets[index] = Some(Socket {
                stream,
                open: false,
                name: Box::default(),
                room: None,
                partial: Vec::new(),
                backlog: Vec::new(),
            });
        }
    }

    fn close(&mut self, index: usize) {
        let Some(socket) = self.sockets[index].take() else { return };
        if let Some(room) = socket.room {
            self.rooms[room].members.retain(|&member| member != index);
        }
        self.free.push(index);
    }

    fn on_event(&mut self, event: &Event, buffer: &mut [u8]) -> Result<(), Ended> {
        let index = event.token().0;
        let Some(socket) = &mut self.sockets[index] else { return Ok(()) };
        if event.is_writable() {
            socket.flush()?;
        }
        if !event.is_readable() {
            return Ok(());
        }
        loop {
            let Some(socket) = &mut self.sockets[index] else { return Ok(()) };
            let read = match socket.stream.read(buffer) {
                Ok(0) => return Err(Ended),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(_) => return Err(Ended),
            };
            if socket.partial.is_empty() {
                let used = self.on_bytes(index, &mut buffer[..read])?;
                if let Some(socket) = &mut self.sockets[index] {
                    socket.partial.extend_from_slice(&buffer[used..read]);
                }
            } else {
                let mut bytes = std::mem::take(&mut socket.partial);
                bytes.extend_from_slice(&buffer[..read]);
                let used = self.on_bytes(index, &mut bytes)?;
                bytes.drain(..used);
                if let Some(socket) = &mut self.sockets[index] {
                    socket.partial = bytes;
                }
            }
            // A short read has emptied the socket: what comes later is a new event.
            if read < buffer.len() && !event.is_read_closed() {
                return Ok(());
            }
        }
    }

    /// Takes what is whole in `bytes`, and tells how much that was.
    fn on_bytes(&mut self, index: usize, bytes: &mut [u8]) -> Result<usize, Ended> {
        let mut used = 0;
        if let Some(socket) = &mut self.sockets[index]
            && !socket.open
        {
            let Some(head) = handshake::head_len(bytes) else {
                return if bytes.len() > handshake::MAX_HEAD { Err(Ended) } else { Ok(0) };
            };
            socket.write(&handshake::answer(&bytes[..head]).ok_or(Ended)?)?;
            socket.open = true;
            used = head;
        }
        while let Some(header) = frame::Header::read(&bytes[used..]).map_err(|_| Ended)? {
            let Some(whole) = bytes.get_mut(used..used + header.total()) else { break };
            used += header.total();
            let payload = &mut whole[header.head..];
            if let Some(mask) = header.mask {
                frame::toggle(payload, mask);
            }
            match header.opcode {
                frame::TEXT => {
                    for object in wire::objects(payload) {
                        self.on_object(index, object)?;
                    }
                }
                frame::CLOSE => return Err(Ended),
                frame::PING => {
                    let mut pong = Vec::new();
                    frame::put(&mut pong, frame::PONG, payload, None);
                    self.sockets[index].as_mut().ok_or(Ended)?.write(&pong)?;
                }
                _ => {}
            }
        }
        Ok(used)
    }

    fn on_object(&mut self, index: usize, object: &[u8]) -> Result<(), Ended> {
        let rest = object.strip_prefix(b"{\"type\":\"").ok_or(Ended)?;
        if rest.starts_with(b"send\"") {
            self.on_send(index, object)
        } else if rest.starts_with(b"hello\"") {
            self.on_hello(index, object)
        } else if rest.starts_with(b"join\"") {
            self.on_join(index, object)
        } else {
            Ok(())
        }
    }

    fn on_hello(&mut self, index: usize, object: &[u8]) -> Result<(), Ended> {
        let id = wire::id(object).ok_or(Ended)?;
        let name = wire::string(object, "name").ok_or(Ended)?;
        let shown = std::str::from_utf8(name).map_err(|_| Ended)?;
        let text = format!(r#"{{"type":"welcome","id":{id},"user":{{"id":"{index:022}","name":"{shown}"}}}}"#);
        let socket = self.sockets[index].as_mut().ok_or(Ended)?;
        socket.name = name.into();
        self.reply.clear();
        frame::put(&mut self.reply, frame::TEXT, text.as_bytes(), None);
        socket.write(&self.reply)
    }

    fn on_join(&mut self, index: usize, object: &[u8]) -> Result<(), Ended> {
        let id = wire::id(object).ok_or(Ended)?;
        let name = wire::string(object, "room").ok_or(Ended)?;
        let number = self.names.get(name).copied().unwrap_or_else(|| {
            self.rooms.push(Room { name: name.into(), members: Vec::new(), offset: 0 });
            self.names.insert(name.into(), self.rooms.len() - 1);
            self.rooms.len() - 1
        });
        let room = &mut self.rooms[number];
        let socket = self.sockets[index].as_mut().ok_or(Ended)?;
        if socket.room.is_some() {
            return Err(Ended);
        }
        room.members.push(index);
        socket.room = Some(number);
        let text = format!(
            r#"{{"type":"joined","id":{id},"room":"{}","position":{{"offset":{},"chain":"{:016x}"}},"entries":[]}}"#,
            String::from_utf8_lossy(name),
            room.offset,
            room.offset
        );
        self.reply.clear();
        frame::put(&mut self.reply, frame::TEXT, text.as_bytes(), None);
        socket.write(&self.reply)
    }

    /// Writes the message to every member, and the sender's answer in one piece with its own.
    fn on_send(&mut self, index: usize, object: &[u8]) -> Result<(), Ended> {
        let id = wire::id(object).ok_or(Ended)?;
        let (text, key) = (wire::string(object, "text").ok_or(Ended)?, wire::string(object, "key").ok_or(Ended)?);
        let socket = self.sockets[index].as_ref().ok_or(Ended)?;
        let number = socket.room.ok_or(Ended)?;
        let room = &mut self.rooms[number];
        room.offset += 1;
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());

        let mut payload = Vec::with_capacity(256 + text.len());
        payload.extend_from_slice(b"{\"type\":\"message\",\"room\":\"");
        payload.extend_from_slice(&room.name);
        wire::put(
            &mut payload,
            format_args!(
                r#"","offset":{},"chain":"{:016x}","at":{at},"user":{{"id":"{index:022}","name":""#,
                room.offset, room.offset
            ),
        );
        payload.extend_from_slice(&socket.name);
        payload.extend_from_slice(b"\"},\"text\":\"");
        payload.extend_from_slice(text);
        payload.extend_from_slice(b"\",\"key\":\"");
        payload.extend_from_slice(key);
        payload.extend_from_slice(b"\"}");
        self.delivery.clear();
        frame::put(&mut self.delivery, frame::TEXT, &payload, None);

        payload.clear();
        wire::put(&mut payload, format_args!(r#"{{"type":"sent","id":{id},"room":""#));
        payload.extend_from_slice(&room.name);
        wire::put(
            &mut payload,
            format_args!(
                r#"","position":{{"offset":{},"chain":"{:016x}"}},"at":{at},"durability":"memory","duplicate":false}}"#,
                room.offset, room.offset
            ),
        );
        self.reply.clear();
        self.reply.extend_from_slice(&self.delivery);
        frame::put(&mut self.reply, frame::TEXT, &payload, None);

        for &member in &self.rooms[number].members {
            let Some(socket) = &mut self.sockets[member] else { continue };
            let bytes = if member == index { &self.reply } else { &self.delivery };
            self.deliveries += 1;
            if member != index && self.drop_every.is_some_and(|every| self.deliveries.is_multiple_of(every)) {
                continue;
            }
            // A broken socket is closed by its own event.
            let _ = socket.write(bytes);
        }
        Ok(())
    }
}

impl Socket {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        let mut taken = 0;
        if self.backlog.is_empty() {
            taken = match self.stream.write(bytes) {
                Ok(taken) => taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(_) => return Err(Ended),
            };
        }
        if taken < bytes.len() {
            if self.backlog.len() > MAX_BACKLOG {
                self.stream.shutdown(std::net::Shutdown::Both)?;
                return Err(Ended);
            }
            self.backlog.extend_from_slice(&bytes[taken..]);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Ended> {
        while !self.backlog.is_empty() {
            match self.stream.write(&self.backlog) {
                Ok(taken) => drop(self.backlog.drain(..taken)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return Err(Ended),
            }
        }
        Ok(())
    }
}
