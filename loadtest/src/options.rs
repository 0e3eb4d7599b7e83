//! What a run is asked to do, and why it may come to no result.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::process::raise_open_files;
use crate::socket::Stage;
use crate::wire::{self, Protocol};

/// Files that are open beside the sockets.
const OTHER_FILES: u64 = 64;

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server; several: instances that share their rooms, whose members are spread over them in turn.
    pub addrs: Vec<SocketAddr>,
    /// What the sockets speak.
    pub protocol: Protocol,
    /// Path of its WebSocket.
    pub path: String,
    /// Its processes, if they are to be measured: together.
    pub pids: Vec<i32>,
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
    /// A message is in flight until every member has it, not until it is acknowledged. With a window of 1 there is never
    /// anything to batch. For one sender in each room.
    pub lockstep: bool,
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

/// The kernel refused this.
pub fn io_error(what: &'static str) -> impl Fn(io::Error) -> RunError {
    move |error| RunError::Io { what, error }
}

impl Options {
    /// Checks the options against each other, and raises the limit of open files as far as they need.
    ///
    /// # Errors
    /// What contradicts what.
    pub fn check(&self) -> Result<(), RunError> {
        let wrong = |text: String| Err(RunError::Options(text));
        if self.rooms == 0 || self.sockets == 0 || !self.sockets.is_multiple_of(self.rooms) {
            return wrong(format!(
                "{} sockets can't be spread evenly over {} rooms: give a multiple",
                self.sockets, self.rooms
            ));
        }
        if self.addrs.is_empty() {
            return wrong("a run needs the address of a server".to_owned());
        }
        let members = self.sockets / self.rooms;
        if self.senders + self.stalled > members || self.stalled >= members {
            return wrong(format!(
                "{} senders and {} stalled members don't fit into a room of {members}",
                self.senders, self.stalled
            ));
        }
        if self.senders == 0 && !self.duration.is_zero() {
            return wrong("a load needs senders: give at least one, or --seconds 0".to_owned());
        }
        if self.lockstep && (self.senders != 1 || self.stalled > 0) {
            return wrong("lockstep is for rooms of one sender in which everybody reads".to_owned());
        }
        if self.window == 0 || self.connecting == 0 {
            return wrong("a window and the number of sockets opened at a time are at least 1".to_owned());
        }
        if self.rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
            return wrong("a rate is more than 0 messages a second".to_owned());
        }
        if self.text_bytes < wire::STAMP_BYTES {
            return wrong(format!("a text has at least {} bytes: it carries the time it was due", wire::STAMP_BYTES));
        }
        let files = raise_open_files().map_err(io_error("the limit of open files"))?;
        if self.sockets as u64 + OTHER_FILES > files {
            return wrong(format!(
                "{} sockets need more than the {files} open files allowed: raise `ulimit -n`",
                self.sockets
            ));
        }
        Ok(())
    }
}
