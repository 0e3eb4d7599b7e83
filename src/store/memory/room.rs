//! One room: its log and all that belongs to it.

use std::collections::HashMap;

use super::instances::InstanceId;
use super::keys::Keys;
use super::log::Log;
use super::presence::Presence;
use super::rates::Rates;
use crate::domain::{Chain, Millis, UserId};

/// Bytes of memory that a room takes beside what is in it.
const ROOM_BYTES: usize = 512;

/// Bytes of memory that a subscription or a read mark takes.
const SMALL_BYTES: usize = 96;

/// A room that has a log, a read mark, a member or a subscriber.
#[derive(Debug)]
pub struct Room {
    /// Its entries.
    pub log: Log,
    /// The keys of its entries.
    pub keys: Keys,
    /// How fast its users send.
    pub rates: Rates,
    /// Who is there.
    pub presence: Presence,
    /// Who hears of it, without repeats.
    pub subscribers: Vec<InstanceId>,
    /// Whether it waits in the queue of rooms to forget.
    pub queued: bool,
    marks: HashMap<UserId, u64>,
    /// When a mark last rose.
    marked_at: Millis,
}

impl Room {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            log: new_log(),
            keys: Keys::default(),
            rates: Rates::default(),
            presence: Presence::default(),
            subscribers: Vec::new(),
            queued: false,
            marks: HashMap::new(),
            marked_at: 0,
        }
    }

    /// The log is too old to be kept.
    pub const fn has_ended(&self, now: Millis, idle_ms: Millis) -> bool {
        !self.log.is_empty() && now.saturating_sub(self.log.at()) >= idle_ms
    }

    /// Forgets the log and everything that means nothing without it.
    pub fn end_log(&mut self) {
        self.log = new_log();
        self.keys = Keys::default();
        self.rates = Rates::default();
        self.marks = HashMap::new();
    }

    /// Forgets what is too old.
    pub fn forget(&mut self, now: Millis, idle_ms: Millis) {
        let marks_ended = self.log.is_empty() && now.saturating_sub(self.marked_at) >= idle_ms;
        if marks_ended || self.has_ended(now, idle_ms) {
            self.end_log();
        }
    }

    /// When there may be something to forget.
    pub fn forget_at(&self, idle_ms: Millis) -> Option<Millis> {
        let last = if self.log.is_empty() { self.marked_at } else { self.log.at() };
        (!self.log.is_empty() || !self.marks.is_empty()).then(|| last.saturating_add(idle_ms))
    }

    /// A user's read mark, 0 for none.
    pub fn mark(&self, user: &UserId) -> u64 {
        self.marks.get(user).copied().unwrap_or(0)
    }

    /// Whether one more mark is needed to mark for this user.
    pub fn is_marked(&self, user: &UserId) -> bool {
        self.marks.contains_key(user)
    }

    /// Raises a user's read mark to what is more than it.
    pub fn raise_mark(&mut self, user: &UserId, offset: u64, now: Millis) {
        self.marked_at = self.marked_at.max(now);
        self.marks.insert(user.clone(), offset);
    }

    /// Nothing is in it, and no queue names it.
    pub fn is_unused(&self) -> bool {
        let silent = self.log.is_empty() && self.marks.is_empty() && !self.queued;
        silent && self.subscribers.is_empty() && self.presence.count() == 0
    }

    /// Bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        ROOM_BYTES
            + self.log.bytes()
            + self.keys.bytes()
            + self.rates.bytes()
            + self.presence.bytes()
            + SMALL_BYTES * (self.marks.len() + self.subscribers.len())
    }

    /// Bytes of memory that one more takes.
    pub const fn bytes_of_one() -> usize {
        ROOM_BYTES
    }

    /// Bytes of memory that one more read mark takes.
    pub const fn bytes_of_mark() -> usize {
        SMALL_BYTES
    }
}

fn new_log() -> Log {
    Log::new(Chain::from_bits(rand::random()))
}
