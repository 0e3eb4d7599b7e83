//! The client: all sockets, one thread, one event queue.
//!
//! A client with more threads would need more than the one core that is left beside the server. What a message costs
//! here is a search for three fields. Owns the sockets, the senders and what they have seen; the order of things and
//! their deadlines are the run's.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::frame::{self, Masks};
use crate::options::{Options, RunError, io_error};
use crate::pace::{Nanos, Schedule, nanos};
use crate::report::Faults;
use crate::socket::{Socket, Stage};
use crate::tally::Tally;
use crate::wire::{Heard, Protocol};
use crate::{handshake, socketio, wire};

const EVENTS: usize = 1024;
const READ_BUFFER: usize = 256 * 1024;
const TIMER: Token = Token(usize::MAX);
/// Window of the senders while rooms are filled.
const FILL_WINDOW: usize = 256;

/// Why a socket ended: the close code.
struct Ended(u16);

const NO_CLOSE_CODE: u16 = 1006;

impl From<io::Error> for Ended {
    fn from(_: io::Error) -> Self {
        Self(NO_CLOSE_CODE)
    }
}

/// What the senders do.
#[derive(Debug)]
pub enum Traffic {
    /// Nothing.
    Silence,
    /// Each answer lets the next message go.
    Closed,
    /// The first sender of every room sends this many messages.
    Fill {
        /// Messages left to send, by room.
        left: Vec<u64>,
    },
    /// What the clock says.
    Open(Schedule),
}

#[derive(Debug)]
struct Sender {
    socket: usize,
    /// Messages that take a place in the window.
    in_flight: usize,
    /// Messages that wait for an answer.
    unanswered: u64,
    next_id: u64,
    /// Due times of messages that wait for a place in the window.
    due: VecDeque<Nanos>,
}

/// All sockets and what they have seen.
pub struct Client<'a> {
    /// What was asked for.
    pub options: &'a Options,
    origin: Instant,
    poll: Poll,
    events: Events,
    timer: TimerFd,
    sockets: Vec<Socket>,
    room_names: Vec<String>,
    /// Deliveries so far, by room.
    delivered: Vec<usize>,
    /// Highest offset seen or acknowledged, by room.
    tops: Vec<u64>,
    /// Messages acknowledged without their offset, by room: in one that was empty, the last of them has no lower one.
    acknowledged: Vec<u64>,
    senders: Vec<Sender>,
    traffic: Traffic,
    /// Sockets that have joined.
    pub live: usize,
    /// What arrived.
    pub tally: Tally,
    masks: Masks,
    scratch: Vec<u8>,
    buffer: Vec<u8>,
    /// When the last byte came.
    pub last_byte: Nanos,
    /// The members that are to stall don't read.
    pub stalling: bool,
    /// How the server has ended them, by close code.
    pub stalled_closed: BTreeMap<u16, u64>,
    failure: Option<RunError>,
}

impl<'a> Client<'a> {
    /// A client without sockets.
    ///
    /// # Errors
    /// The kernel has no event queue or timer left.
    pub fn new(options: &'a Options) -> Result<Self, RunError> {
        let poll = Poll::new().map_err(io_error("an event queue"))?;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK)
            .map_err(|error| io_error("a timer")(error.into()))?;
        poll.registry()
            .register(&mut SourceFd(&timer.as_fd().as_raw_fd()), TIMER, Interest::READABLE)
            .map_err(io_error("a timer"))?;
        let senders = (0..options.senders * options.rooms)
            .map(|socket| Sender { socket, in_flight: 0, unanswered: 0, next_id: 10, due: VecDeque::new() })
            .collect();
        Ok(Self {
            options,
            origin: Instant::now(),
            poll,
            events: Events::with_capacity(EVENTS),
            timer,
            sockets: Vec::with_capacity(options.sockets),
            room_names: (0..options.rooms).map(|room| format!("{}{room}", options.room_prefix)).collect(),
            delivered: vec![0; options.rooms],
            tops: vec![0; options.rooms],
            acknowledged: vec![0; options.rooms],
            senders,
            traffic: Traffic::Silence,
            live: 0,
            tally: Tally::new(),
            masks: Masks::default(),
            scratch: Vec::new(),
            buffer: vec![0; READ_BUFFER],
            last_byte: 0,
            stalling: false,
            stalled_closed: BTreeMap::new(),
            failure: None,
        })
    }

    /// The time of the run.
    #[must_use]
    pub fn now(&self) -> Nanos {
        nanos(self.origin.elapsed())
    }

    /// Deliveries that members still lack.
    #[must_use]
    pub fn missing(&self) -> u64 {
        let live = self.sockets.iter().filter(|socket| socket.stage == Stage::Live && !socket.stalls);
        live.map(|socket| self.tops[socket.room].saturating_sub(socket.last)).sum()
    }

    /// Messages that wait for an answer.
    #[must_use]
    pub fn unanswered(&self) -> u64 {
        self.senders.iter().map(|sender| sender.unanswered).sum()
    }

    /// Whether messages are due that haven't left.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        let scheduled = matches!(&self.traffic, Traffic::Open(schedule) if schedule.due().is_some());
        scheduled || self.senders.iter().any(|sender| !sender.due.is_empty())
    }

    /// Messages that are left to fill the rooms with.
    #[must_use]
    pub fn to_fill(&self) -> u64 {
        if let Traffic::Fill { left } = &self.traffic { left.iter().sum() } else { 0 }
    }

    /// What went wrong so far.
    #[must_use]
    pub fn faults(&self) -> Faults {
        Faults {
            lost: self.tally.lost + self.missing(),
            repeated: self.tally.repeated,
            resets: self.tally.resets,
            unacknowledged: self.unanswered(),
            refused: self.tally.refused.clone(),
            closed: self.tally.closed.clone(),
        }
    }

    /// Opens as many sockets as may be opened at a time. Socket n is in room n modulo the rooms, so that the first ones of
    /// every room are its senders and the last ones of the first room stall.
    ///
    /// # Errors
    /// No descriptor or no port is left.
    pub fn open_more(&mut self) -> Result<(), RunError> {
        let options = self.options;
        while self.sockets.len() < options.sockets && self.sockets.len() - self.live < options.connecting {
            let number = self.sockets.len();
            let room = number % options.rooms;
            let sender = (number < self.senders.len()).then_some(number);
            let stalls = room == 0 && number >= options.sockets - options.stalled * options.rooms;
            let addr = self.addr(number);
            let mut socket = Socket::connect(addr, number, room, sender, stalls).map_err(io_error("a connection"))?;
            self.poll
                .registry()
                .register(&mut socket.stream, Token(number), Interest::READABLE | Interest::WRITABLE)
                .map_err(io_error("an event queue"))?;
            self.sockets.push(socket);
        }
        Ok(())
    }

    /// Where a socket goes: the members of a room in turn to each of the servers.
    fn addr(&self, number: usize) -> SocketAddr {
        let Options { addrs, rooms, .. } = self.options;
        addrs[number / rooms % addrs.len()]
    }

    /// Changes what the senders do.
    pub fn begin(&mut self, traffic: Traffic) {
        self.traffic = traffic;
        for sender in 0..self.senders.len() {
            self.top_up(sender);
        }
    }

    /// Lets the stalled members read again.
    pub fn release_stalled(&mut self) {
        self.stalling = false;
        for socket in 0..self.sockets.len() {
            if self.sockets[socket].stalls {
                self.on_ready(socket, true, true, true);
            }
        }
    }

    /// Waits for events until then at most, and handles them.
    ///
    /// # Errors
    /// The event queue failed, or a socket ended before it had joined.
    pub fn turn(&mut self, until: Nanos) -> Result<(), RunError> {
        self.send_due();
        let timeout = Duration::from_nanos(until.saturating_sub(self.now()));
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        match self.poll.poll(&mut events, Some(timeout)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(io_error("an event queue")(error)),
        }
        for event in &events {
            if event.token() != TIMER {
                self.on_ready(event.token().0, event.is_readable(), event.is_writable(), event.is_read_closed());
            }
        }
        self.events = events;
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Sends what an open loop has due, and sets the timer for what comes next.
    fn send_due(&mut self) {
        let now = self.now();
        let Traffic::Open(mut schedule) = self.traffic else { return };
        while let Some((number, due)) = schedule.take(now) {
            let sender = usize::try_from(number).unwrap_or(0) % self.senders.len();
            self.senders[sender].due.push_back(due);
            self.top_up(sender);
        }
        self.traffic = Traffic::Open(schedule);
        let Some(due) = schedule.due() else { return };
        let wait = Duration::from_nanos(due.saturating_sub(self.now()).max(1));
        // The poll after it has a limit of its own, so a timer that can't be set makes messages late, not lost.
        let _ = self.timer.set(Expiration::OneShot(TimeSpec::from_duration(wait)), TimerSetTimeFlags::empty());
    }

    /// Sends as many messages as the sender's window and the load allow.
    fn top_up(&mut self, number: usize) {
        let now = self.now();
        let sender = &mut self.senders[number];
        let socket = &mut self.sockets[sender.socket];
        if socket.stage != Stage::Live {
            return;
        }
        let window = if matches!(self.traffic, Traffic::Fill { .. }) { FILL_WINDOW } else { self.options.window };
        while sender.in_flight < window {
            let due = match &mut self.traffic {
                Traffic::Silence => break,
                Traffic::Closed => now,
                Traffic::Fill { left } => match left.get_mut(number) {
                    Some(left) if *left > 0 => {
                        *left -= 1;
                        now
                    }
                    _ => break,
                },
                Traffic::Open(_) => match sender.due.pop_front() {
                    Some(due) => due,
                    None => break,
                },
            };
            self.scratch.clear();
            let (room, text_bytes) = (&self.room_names[socket.room], self.options.text_bytes);
            match self.options.protocol {
                Protocol::Native => wire::put_send(&mut self.scratch, sender.next_id, room, due, text_bytes),
                Protocol::Socketio => socketio::put_send(&mut self.scratch, sender.next_id, due, text_bytes),
            }
            socket.queue_frame(frame::TEXT, &self.scratch, &mut self.masks);
            sender.next_id += 1;
            sender.in_flight += 1;
            sender.unanswered += 1;
            self.tally.messages += 1;
        }
        // A broken connection shows as an event of its own.
        let _ = socket.flush();
    }

    fn on_ready(&mut self, index: usize, readable: bool, writable: bool, closing: bool) {
        if self.sockets[index].stage == Stage::Closed || (self.stalling && self.sockets[index].stalls) {
            return;
        }
        if let Err(Ended(code)) = self.on_event(index, readable, writable, closing) {
            let socket = &mut self.sockets[index];
            let stage = std::mem::replace(&mut socket.stage, Stage::Closed);
            let _ = self.poll.registry().deregister(&mut socket.stream);
            let _ = socket.stream.shutdown(std::net::Shutdown::Both);
            if socket.stalls {
                *self.stalled_closed.entry(code).or_default() += 1;
            } else if stage == Stage::Live {
                *self.tally.closed.entry(code).or_default() += 1;
            } else {
                let why = format!("closed with {code}");
                self.failure.get_or_insert(RunError::NotJoined { socket: index, stage, why });
            }
        }
    }

    fn on_event(&mut self, index: usize, readable: bool, writable: bool, closing: bool) -> Result<(), Ended> {
        let addr = self.addr(index);
        let socket = &mut self.sockets[index];
        if writable {
            if socket.stage == Stage::Connecting {
                if let Some(error) = socket.stream.take_error()? {
                    return Err(error.into());
                }
                socket.queue(&handshake::request(&addr.to_string(), &self.options.path));
                socket.stage = Stage::Upgrading;
            }
            socket.flush()?;
        }
        if readable { self.on_readable(index, closing) } else { Ok(()) }
    }

    fn on_readable(&mut self, index: usize, closing: bool) -> Result<(), Ended> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.read_all(index, closing, &mut buffer);
        self.buffer = buffer;
        result
    }

    fn read_all(&mut self, index: usize, closing: bool, buffer: &mut [u8]) -> Result<(), Ended> {
        loop {
            let Some(read) = self.sockets[index].read(buffer)? else { return Ok(()) };
            if read == 0 {
                return Err(Ended(NO_CLOSE_CODE));
            }
            let now = self.now();
            self.last_byte = now;
            self.tally.reads += 1;
            if let Some(mut bytes) = self.sockets[index].take_partial() {
                bytes.extend_from_slice(&buffer[..read]);
                let used = self.on_bytes(index, &bytes, now)?;
                self.sockets[index].keep(&bytes[used..]);
            } else {
                let used = self.on_bytes(index, &buffer[..read], now)?;
                self.sockets[index].keep(&buffer[used..read]);
            }
            // A short read has emptied the socket: what comes later is a new event.
            if read < buffer.len() && !closing {
                return Ok(());
            }
        }
    }

    /// Takes what is whole in `bytes`, and tells how much that was.
    fn on_bytes(&mut self, index: usize, bytes: &[u8], now: Nanos) -> Result<usize, Ended> {
        let mut used = 0;
        if self.sockets[index].stage == Stage::Upgrading {
            let Some(head) = handshake::head_len(bytes) else {
                return if bytes.len() > handshake::MAX_HEAD { Err(Ended(NO_CLOSE_CODE)) } else { Ok(0) };
            };
            self.on_upgraded(index, &bytes[..head])?;
            used = head;
        }
        while let Some(header) =
            frame::Header::read(&bytes[used..]).map_err(|error| self.broken(index, &error.to_string()))?
        {
            let Some(whole) = bytes.get(used..used + header.total()) else { break };
            used += header.total();
            let payload = &whole[header.head..];
            match header.opcode {
                frame::TEXT => {
                    let delivered = self.tally.deliveries;
                    for object in wire::objects(payload) {
                        self.on_object(index, object, now)?;
                    }
                    self.tally.frames += u64::from(self.tally.deliveries > delivered);
                }
                frame::PING => {
                    self.sockets[index].queue_frame(frame::PONG, payload, &mut self.masks);
                    self.sockets[index].flush()?;
                }
                frame::CLOSE => {
                    return Err(Ended(payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code))));
                }
                _ => {}
            }
        }
        if let Some(sender) = self.sockets[index].sender {
            self.top_up(sender);
        }
        Ok(used)
    }

    fn on_upgraded(&mut self, index: usize, head: &[u8]) -> Result<(), Ended> {
        if handshake::status(head) != Some(101) {
            let line =
                String::from_utf8_lossy(head.split(|&byte| byte == b'\r').next().unwrap_or_default()).into_owned();
            return Err(self.broken(index, &line));
        }
        self.sockets[index].stage = Stage::Greeting;
        match self.options.protocol {
            Protocol::Native => self.say(index, |out| wire::put_hello(out, index)),
            // The server speaks first.
            Protocol::Socketio => Ok(()),
        }
    }

    fn say(&mut self, index: usize, put: impl FnOnce(&mut Vec<u8>)) -> Result<(), Ended> {
        self.scratch.clear();
        put(&mut self.scratch);
        let socket = &mut self.sockets[index];
        socket.queue_frame(frame::TEXT, &self.scratch, &mut self.masks);
        Ok(socket.flush()?)
    }

    fn on_object(&mut self, index: usize, object: &[u8], now: Nanos) -> Result<(), Ended> {
        let protocol = self.options.protocol;
        let heard = match protocol {
            Protocol::Native => wire::hear(object),
            Protocol::Socketio => socketio::hear(object),
        };
        let Some(heard) = heard else { return Err(self.broken(index, "what isn't understood")) };
        let socket = &mut self.sockets[index];
        let room = socket.room;
        match (heard, socket.stage) {
            (Heard::Message { offset, due }, Stage::Live) if !socket.stalls => {
                self.tally.delivered_bytes += object.len() as u64;
                self.tally.deliver(&mut socket.last, offset, due, now);
                self.tops[room] = offset.max(self.tops[room]);
                self.delivered(room);
            }
            (Heard::Sent { offset }, Stage::Live) => {
                self.acknowledged[room] += u64::from(offset.is_none());
                let top = &mut self.tops[room];
                *top = offset.unwrap_or(self.acknowledged[room]).max(*top);
                self.tally.acknowledged += 1;
                self.answered(index);
            }
            (Heard::Opened, Stage::Greeting) => self.say(index, socketio::put_connect)?,
            (Heard::Welcome, Stage::Greeting) => {
                socket.stage = Stage::Joining;
                let room = self.room_names[room].clone();
                self.say(index, |out| match protocol {
                    Protocol::Native => wire::put_join(out, &room),
                    Protocol::Socketio => socketio::put_sign_in(out, index, &room),
                })?;
            }
            (Heard::Joined { offset }, Stage::Joining) => {
                socket.last = offset;
                socket.stage = Stage::Live;
                self.tops[room] = offset.max(self.tops[room]);
                self.live += 1;
            }
            (Heard::Refused(why), stage) => {
                if stage != Stage::Live {
                    return Err(self.broken(index, &why));
                }
                *self.tally.refused.entry(why).or_default() += 1;
                self.answered(index);
            }
            (Heard::Ping, _) => self.say(index, |out| match protocol {
                Protocol::Native => wire::put_pong(out),
                Protocol::Socketio => socketio::put_pong(out),
            })?,
            (Heard::Reset, _) => self.tally.resets += 1,
            _ => {}
        }
        Ok(())
    }

    fn answered(&mut self, index: usize) {
        if let Some(sender) = self.sockets[index].sender {
            let sender = &mut self.senders[sender];
            sender.unanswered = sender.unanswered.saturating_sub(1);
            if !self.options.lockstep {
                sender.in_flight = sender.in_flight.saturating_sub(1);
            }
        }
    }

    /// In lockstep, lets the next message go when the last member has the one before.
    fn delivered(&mut self, room: usize) {
        self.delivered[room] += 1;
        if self.options.lockstep && self.delivered[room].is_multiple_of(self.options.sockets / self.options.rooms) {
            // With one sender in each room, sender and room have the same number.
            self.senders[room].in_flight = self.senders[room].in_flight.saturating_sub(1);
            self.top_up(room);
        }
    }

    /// What the server sent can't be understood: of a joined socket that counts as a protocol violation.
    fn broken(&mut self, index: usize, why: &str) -> Ended {
        let stage = self.sockets[index].stage;
        if stage != Stage::Live {
            self.failure.get_or_insert(RunError::NotJoined { socket: index, stage, why: why.to_owned() });
        }
        Ended(1002)
    }
}
