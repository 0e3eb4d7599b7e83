//! One run: open the sockets, sign in, join, load, and count.
//!
//! Owns the order of things and their deadlines. One thread, one event queue: a client with more would need more than
//! the one core that is left beside the server. What a message costs here is one search for three fields.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::frame::{self, Masks};
use crate::pace::{Nanos, Schedule};
use crate::process::{Process, raise_open_files};
use crate::report::{Connect, Faults, Latency, Load, Report, Stalled};
use crate::socket::{Socket, Stage};
use crate::tally::Tally;
use crate::{handshake, wire};

const EVENTS: usize = 1024;
const READ_BUFFER: usize = 256 * 1024;
const TIMER: Token = Token(usize::MAX);
/// Files that are open beside the sockets.
const OTHER_FILES: u64 = 64;

/// Window of the senders while rooms are filled.
const FILL_WINDOW: usize = 256;
/// No bytes for this long is quiet.
const QUIET: Duration = Duration::from_millis(250);
/// Longest wait for quiet after the last join: presence of large rooms comes at intervals.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for deliveries and answers after the last send.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// A drain in which nothing came for this long is over.
const DRAIN_QUIET: Duration = Duration::from_secs(2);

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server.
    pub addr: SocketAddr,
    /// Path of its WebSocket.
    pub path: String,
    /// Its process, if it is to be measured.
    pub pid: Option<i32>,
    /// Sockets, over all rooms.
    pub sockets: usize,
    /// Rooms.
    pub rooms: usize,
    /// What the names of rooms begin with.
    pub room_prefix: String,
    /// Senders in each room.
    pub senders: usize,
    /// Messages in flight per sender, at most.
    pub window: usize,
    /// Messages a second over all senders; absent: a closed loop.
    pub rate: Option<f64>,
    /// Bytes of each text.
    pub text_bytes: usize,
    /// Load before the measured part.
    pub warmup: Duration,
    /// The measured part; zero: the sockets only sit there.
    pub duration: Duration,
    /// How long sockets sit idle before their memory is read.
    pub hold: Duration,
    /// Messages to send into each room before the load.
    pub fill: u64,
    /// Members of the first room that stop reading when the load begins.
    pub stalled: usize,
    /// Sockets that are opened at a time.
    pub connecting: usize,
    /// Longest time for opening all sockets, and for filling the rooms.
    pub patience: Duration,
}

/// Why a run came to no result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The options contradict each other.
    #[error("{0}")]
    Options(String),
    /// Reading the clock or memory of the server's process failed.
    #[error("process {pid}: {error}")]
    Process {
        /// Its number.
        pid: i32,
        /// What the kernel said.
        error: io::Error,
    },
    /// The kernel refused something.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        error: io::Error,
    },
    /// A socket ended before it had joined.
    #[error("socket {socket} ended while {stage:?}: {why}")]
    NotJoined {
        /// Which.
        socket: usize,
        /// How far it had come.
        stage: Stage,
        /// What came instead.
        why: String,
    },
    /// The server took longer than the options allow.
    #[error("after {seconds:.0} s: {what}; --patience allows more time")]
    Patience {
        /// How long it was waited for.
        seconds: f64,
        /// What hadn't happened.
        what: String,
    },
}

fn io_error(what: &'static str) -> impl Fn(io::Error) -> RunError {
    move |error| RunError::Io { what, error }
}

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
enum Traffic {
    Silence,
    Closed,
    /// Messages left to send.
    Fill,
    Open(Schedule),
}

#[derive(Debug)]
struct Sender {
    socket: usize,
    in_flight: usize,
    next_id: u64,
    /// Due times of messages that wait for a place in the window.
    due: VecDeque<Nanos>,
    /// Messages left to fill the room with.
    fill: u64,
}

/// What was counted at one moment.
#[derive(Debug, Clone, Copy)]
struct Mark {
    at: Nanos,
    server: Option<Duration>,
    own: Duration,
    messages: u64,
    deliveries: u64,
    frames: u64,
    reads: u64,
}

struct Run<'a> {
    options: &'a Options,
    origin: Instant,
    poll: Poll,
    timer: TimerFd,
    sockets: Vec<Socket>,
    room_names: Vec<String>,
    /// Highest offset seen or acknowledged, by room.
    tops: Vec<u64>,
    senders: Vec<Sender>,
    traffic: Traffic,
    live: usize,
    tally: Tally,
    masks: Masks,
    scratch: Vec<u8>,
    buffer: Vec<u8>,
    last_byte: Nanos,
    /// Stalled members don't read.
    stalling: bool,
    stalled_closed: std::collections::BTreeMap<u16, u64>,
    failure: Option<RunError>,
}

/// Runs, and reports.
///
/// # Errors
/// The run came to no result.
pub fn run(options: &Options) -> Result<Report, RunError> {
    check(options)?;
    let server =
        options.pid.map(|pid| Process::new(pid).map_err(|error| RunError::Process { pid, error })).transpose()?;
    let mut run = Run::new(options)?;
    let mut events = Events::with_capacity(EVENTS);
    let measure = |what: fn(&Process) -> io::Result<u64>| {
        server
            .as_ref()
            .map(|process| what(process).map_err(|error| RunError::Process { pid: options.pid.unwrap_or(0), error }))
            .transpose()
    };
    let cpu: fn(&Process) -> io::Result<u64> = |process| Ok(nanos(process.cpu()?));

    let (cpu_before, rss_before) = (measure(cpu)?, measure(Process::rss_bytes)?);
    run.open_all(&mut events)?;
    let opened = run.now();
    run.settle(&mut events)?;
    let cpu_after = measure(cpu)?;
    run.turn_until(&mut events, opened + nanos(options.hold))?;
    let rss_after = measure(Process::rss_bytes)?;
    let sockets = count(options.sockets);
    let connect = Connect {
        seconds: seconds(opened),
        server_cpu_us_per_socket: cpu_before.zip(cpu_after).map(|(before, after)| per(after - before, sockets)),
        server_rss_bytes_per_socket: rss_before
            .zip(rss_after)
            .map(|(before, after)| after.saturating_sub(before) as f64 / options.sockets as f64),
    };

    run.fill(&mut events)?;
    let load = if options.duration.is_zero() { None } else { Some(run.load(&mut events, server.as_ref())?) };
    run.drain(&mut events)?;
    let stalled = run.release(&mut events)?;
    Ok(Report {
        sockets: options.sockets,
        rooms: options.rooms,
        senders: options.senders,
        window: options.window,
        rate: options.rate,
        text_bytes: options.text_bytes,
        connect,
        fill: options.fill,
        load,
        faults: run.faults(),
        stalled,
    })
}

fn check(options: &Options) -> Result<(), RunError> {
    let wrong = |text: String| Err(RunError::Options(text));
    if options.rooms == 0 || options.sockets == 0 || !options.sockets.is_multiple_of(options.rooms) {
        return wrong(format!(
            "{} sockets can't be spread evenly over {} rooms: give a multiple",
            options.sockets, options.rooms
        ));
    }
    let members = options.sockets / options.rooms;
    if options.senders + options.stalled > members || options.stalled >= members {
        return wrong(format!(
            "{} senders and {} stalled members don't fit into a room of {members}",
            options.senders, options.stalled
        ));
    }
    if options.senders == 0 && !options.duration.is_zero() {
        return wrong("a load needs senders: give at least one, or --seconds 0".to_owned());
    }
    if options.window == 0 || options.connecting == 0 {
        return wrong("a window and the number of sockets opened at a time are at least 1".to_owned());
    }
    if options.rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
        return wrong("a rate is more than 0 messages a second".to_owned());
    }
    if options.text_bytes < wire::STAMP_BYTES {
        return wrong(format!("a text has at least {} bytes: it carries the time it was due", wire::STAMP_BYTES));
    }
    let files = raise_open_files().map_err(io_error("the limit of open files"))?;
    if count(options.sockets) + OTHER_FILES > files {
        return wrong(format!(
            "{} sockets need more than the {files} open files allowed: raise `ulimit -n`",
            options.sockets
        ));
    }
    Ok(())
}

impl<'a> Run<'a> {
    fn new(options: &'a Options) -> Result<Self, RunError> {
        let poll = Poll::new().map_err(io_error("an event queue"))?;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK)
            .map_err(|error| io_error("a timer")(error.into()))?;
        poll.registry()
            .register(&mut SourceFd(&timer.as_fd().as_raw_fd()), TIMER, Interest::READABLE)
            .map_err(io_error("a timer"))?;
        let senders = (0..options.senders * options.rooms)
            .map(|socket| Sender { socket, in_flight: 0, next_id: 10, due: VecDeque::new(), fill: 0 })
            .collect();
        Ok(Self {
            options,
            origin: Instant::now(),
            poll,
            timer,
            sockets: Vec::with_capacity(options.sockets),
            room_names: (0..options.rooms).map(|room| format!("{}{room}", options.room_prefix)).collect(),
            tops: vec![0; options.rooms],
            senders,
            traffic: Traffic::Silence,
            live: 0,
            tally: Tally::new(),
            masks: Masks::default(),
            scratch: Vec::new(),
            buffer: vec![0; READ_BUFFER],
            last_byte: 0,
            stalling: false,
            stalled_closed: std::collections::BTreeMap::new(),
            failure: None,
        })
    }

    fn now(&self) -> Nanos {
        nanos(self.origin.elapsed())
    }

    /// Socket n is in room n modulo the rooms, so that the first ones of every room are the senders.
    fn open_all(&mut self, events: &mut Events) -> Result<(), RunError> {
        let options = self.options;
        let until = self.now() + nanos(options.patience);
        let first_stalled = options.sockets - options.stalled * options.rooms;
        while self.live < options.sockets {
            while self.sockets.len() < options.sockets && self.sockets.len() - self.live < options.connecting {
                let number = self.sockets.len();
                let room = number % options.rooms;
                let sender = (number < self.senders.len()).then_some(number);
                let stalls = room == 0 && number >= first_stalled;
                let mut socket =
                    Socket::connect(options.addr, number, room, sender, stalls).map_err(io_error("a connection"))?;
                self.poll
                    .registry()
                    .register(&mut socket.stream, Token(number), Interest::READABLE | Interest::WRITABLE)
                    .map_err(io_error("an event queue"))?;
                self.sockets.push(socket);
            }
            self.turn(events, until)?;
            if self.now() > until {
                return Err(self.impatient(format!("{} of {} sockets had joined", self.live, options.sockets)));
            }
        }
        Ok(())
    }

    fn impatient(&self, what: String) -> RunError {
        RunError::Patience { seconds: self.options.patience.as_secs_f64(), what }
    }

    /// Waits until the servers' last words about the joins have come.
    fn settle(&mut self, events: &mut Events) -> Result<(), RunError> {
        let limit = self.now() + nanos(SETTLE_LIMIT);
        self.last_byte = self.now();
        while self.now() < limit.min(self.last_byte + nanos(QUIET)) {
            self.turn(events, limit.min(self.last_byte + nanos(QUIET)))?;
        }
        Ok(())
    }

    fn turn_until(&mut self, events: &mut Events, until: Nanos) -> Result<(), RunError> {
        while self.now() < until {
            self.turn(events, until)?;
        }
        Ok(())
    }

    /// Sends the messages that fill the rooms, and waits until all have arrived.
    fn fill(&mut self, events: &mut Events) -> Result<(), RunError> {
        if self.options.fill == 0 {
            return Ok(());
        }
        let until = self.now() + nanos(self.options.patience);
        self.traffic = Traffic::Fill;
        for sender in 0..self.options.rooms {
            self.senders[sender].fill = self.options.fill;
            self.top_up(sender);
        }
        while self.senders.iter().any(|sender| sender.fill > 0 || sender.in_flight > 0) || self.missing() > 0 {
            self.turn(events, until)?;
            if self.now() > until {
                let left: u64 = self.senders.iter().map(|sender| sender.fill).sum();
                return Err(
                    self.impatient(format!("{left} of {} messages a room were left to send", self.options.fill))
                );
            }
        }
        self.traffic = Traffic::Silence;
        Ok(())
    }

    fn load(&mut self, events: &mut Events, server: Option<&Process>) -> Result<Load, RunError> {
        let own = Process::own().map_err(|error| RunError::Process { pid: 0, error })?;
        self.stalling = true;
        let start = self.now();
        let from = start + nanos(self.options.warmup);
        let to = from + nanos(self.options.duration);
        self.tally.timed = from..to;
        if let Some(rate) = self.options.rate {
            self.traffic = Traffic::Open(Schedule::new(rate, start));
        } else {
            self.traffic = Traffic::Closed;
            for sender in 0..self.senders.len() {
                self.top_up(sender);
            }
        }
        self.turn_until(events, from)?;
        let before = self.mark(server, &own)?;
        self.turn_until(events, to)?;
        let after = self.mark(server, &own)?;
        self.traffic = Traffic::Silence;
        self.drain(events)?;

        let (messages, deliveries) = (after.messages - before.messages, after.deliveries - before.deliveries);
        let elapsed = seconds(after.at - before.at);
        let server_cpu = before.server.zip(after.server).map(|(before, after)| after.saturating_sub(before));
        Ok(Load {
            seconds: elapsed,
            messages,
            deliveries,
            deliveries_per_frame: ratio(deliveries, after.frames - before.frames),
            deliveries_per_read: ratio(deliveries, after.reads - before.reads),
            messages_per_second: messages as f64 / elapsed,
            server_cpu_us_per_delivery: server_cpu.map(|cpu| per(nanos(cpu), deliveries)),
            server_cpu_us_per_message: server_cpu.map(|cpu| per(nanos(cpu), messages)),
            server_busy: server_cpu.map(|cpu| cpu.as_secs_f64() / elapsed),
            client_busy: after.own.saturating_sub(before.own).as_secs_f64() / elapsed,
            latency_us: Latency::of(&self.tally, self.options.rate.is_some()),
        })
    }

    fn mark(&self, server: Option<&Process>, own: &Process) -> Result<Mark, RunError> {
        let pid = self.options.pid.unwrap_or(0);
        let cpu = |process: &Process| process.cpu().map_err(|error| RunError::Process { pid, error });
        Ok(Mark {
            at: self.now(),
            server: server.map(cpu).transpose()?,
            own: cpu(own)?,
            messages: self.tally.messages,
            deliveries: self.tally.deliveries,
            frames: self.tally.frames,
            reads: self.tally.reads,
        })
    }

    /// Waits for what is under way.
    fn drain(&mut self, events: &mut Events) -> Result<(), RunError> {
        let limit = self.now() + nanos(DRAIN_LIMIT);
        self.last_byte = self.now();
        while self.missing() > 0 || self.senders.iter().any(|sender| sender.in_flight > 0) {
            let until = limit.min(self.last_byte + nanos(DRAIN_QUIET));
            if self.now() >= until {
                break;
            }
            self.turn(events, until)?;
        }
        Ok(())
    }

    /// Lets the stalled members read again, to see how the server has ended them.
    fn release(&mut self, events: &mut Events) -> Result<Option<Stalled>, RunError> {
        if self.options.stalled == 0 {
            return Ok(None);
        }
        self.stalling = false;
        for socket in 0..self.sockets.len() {
            if self.sockets[socket].stalls {
                self.on_ready(socket, true, true, true);
            }
        }
        self.settle(events)?;
        Ok(Some(Stalled { sockets: self.options.stalled, closed: self.stalled_closed.clone() }))
    }

    /// Deliveries that members still lack.
    fn missing(&self) -> u64 {
        let live = self.sockets.iter().filter(|socket| socket.stage == Stage::Live && !socket.stalls);
        live.map(|socket| self.tops[socket.room].saturating_sub(socket.last)).sum()
    }

    fn faults(&self) -> Faults {
        Faults {
            lost: self.tally.lost + self.missing(),
            repeated: self.tally.repeated,
            resets: self.tally.resets,
            unacknowledged: self.senders.iter().map(|sender| count(sender.in_flight)).sum(),
            refused: self.tally.refused.clone(),
            closed: self.tally.closed.clone(),
        }
    }

    /// Waits for events until then at most, and handles them.
    fn turn(&mut self, events: &mut Events, until: Nanos) -> Result<(), RunError> {
        self.send_due();
        let timeout = Duration::from_nanos(until.saturating_sub(self.now()));
        match self.poll.poll(events, Some(timeout)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(io_error("an event queue")(error)),
        }
        for event in events.iter() {
            if event.token() != TIMER {
                self.on_ready(event.token().0, event.is_readable(), event.is_writable(), event.is_read_closed());
            }
        }
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Sends what an open loop has due, and sets the timer for what comes next.
    fn send_due(&mut self) {
        let now = self.now();
        let Traffic::Open(schedule) = &mut self.traffic else { return };
        let mut schedule = *schedule;
        while let Some((number, due)) = schedule.take(now) {
            let sender = usize::try_from(number).unwrap_or(0) % self.senders.len();
            self.senders[sender].due.push_back(due);
            self.top_up(sender);
        }
        self.traffic = Traffic::Open(schedule);
        let wait = Duration::from_nanos(schedule.due().saturating_sub(self.now()).max(1));
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
        let window = if matches!(self.traffic, Traffic::Fill) { FILL_WINDOW } else { self.options.window };
        while sender.in_flight < window {
            let due = match self.traffic {
                Traffic::Silence => break,
                Traffic::Closed => now,
                Traffic::Fill if sender.fill == 0 => break,
                Traffic::Fill => {
                    sender.fill -= 1;
                    now
                }
                Traffic::Open(_) => match sender.due.pop_front() {
                    Some(due) => due,
                    None => break,
                },
            };
            self.scratch.clear();
            let room = &self.room_names[socket.room];
            wire::put_send(&mut self.scratch, sender.next_id, room, due, self.options.text_bytes);
            socket.queue_frame(frame::TEXT, &self.scratch, &mut self.masks);
            sender.next_id += 1;
            sender.in_flight += 1;
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
        let socket = &mut self.sockets[index];
        if writable {
            if socket.stage == Stage::Connecting {
                if let Some(error) = socket.stream.take_error()? {
                    return Err(error.into());
                }
                socket.queue(&handshake::request(&self.options.addr.to_string(), &self.options.path));
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
                    self.tally.frames += 1;
                    for object in wire::objects(payload) {
                        self.on_object(index, object, now)?;
                    }
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
        self.scratch.clear();
        wire::put_hello(&mut self.scratch, index);
        self.advance(index, Stage::Greeting)
    }

    /// Sends what is in `scratch`, and waits for the answer in the next stage.
    fn advance(&mut self, index: usize, stage: Stage) -> Result<(), Ended> {
        let socket = &mut self.sockets[index];
        socket.queue_frame(frame::TEXT, &self.scratch, &mut self.masks);
        socket.stage = stage;
        Ok(socket.flush()?)
    }

    fn on_object(&mut self, index: usize, object: &[u8], now: Nanos) -> Result<(), Ended> {
        let Some(kind) = wire::kind(object) else { return Err(self.broken(index, "no object with a type")) };
        let socket = &mut self.sockets[index];
        match (kind, socket.stage) {
            (wire::Kind::Message, Stage::Live) if !socket.stalls => {
                let (Some(offset), Some(due)) = (wire::offset(object), wire::stamp(object)) else {
                    return Err(self.broken(index, "a message without offset or text"));
                };
                self.tally.deliver(&mut socket.last, offset, due, now);
                let top = &mut self.tops[socket.room];
                *top = offset.max(*top);
            }
            (wire::Kind::Sent, Stage::Live) => {
                let Some(offset) = wire::offset(object) else {
                    return Err(self.broken(index, "a reply without offset"));
                };
                let top = &mut self.tops[socket.room];
                *top = offset.max(*top);
                self.tally.acknowledged += 1;
                self.answered(index);
            }
            (wire::Kind::Welcome, Stage::Greeting) => {
                self.scratch.clear();
                wire::put_join(&mut self.scratch, &self.room_names[socket.room]);
                self.advance(index, Stage::Joining)?;
            }
            (wire::Kind::Joined, Stage::Joining) => {
                socket.last = wire::offset(object).unwrap_or(0);
                socket.stage = Stage::Live;
                let top = &mut self.tops[socket.room];
                *top = socket.last.max(*top);
                self.live += 1;
            }
            (wire::Kind::Error, stage) => {
                let code = String::from_utf8_lossy(wire::string(object, "code").unwrap_or_default()).into_owned();
                if stage != Stage::Live {
                    return Err(self.broken(index, &code));
                }
                *self.tally.refused.entry(code).or_default() += 1;
                self.answered(index);
            }
            (wire::Kind::Ping, _) => {
                self.scratch.clear();
                wire::put_pong(&mut self.scratch);
                let stage = socket.stage;
                self.advance(index, stage)?;
            }
            (wire::Kind::Reset, _) => self.tally.resets += 1,
            _ => {}
        }
        Ok(())
    }

    fn answered(&mut self, index: usize) {
        if let Some(sender) = self.sockets[index].sender {
            self.senders[sender].in_flight = self.senders[sender].in_flight.saturating_sub(1);
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

/// A count as wide as it is reported.
fn count(n: usize) -> u64 {
    n as u64
}

fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn seconds(nanos: Nanos) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}

/// Microseconds each.
fn per(nanos: Nanos, each: u64) -> f64 {
    if each == 0 { 0.0 } else { seconds(nanos) * 1e6 / each as f64 }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
