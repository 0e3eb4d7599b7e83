//! The store contract: what any store must do, whatever holds the rooms.
//!
//! A [`Store`] is one instance's connection to a store that all instances share. It owns the logs, the numbering, the
//! keys of retries, the rate of each sender, presence over all instances and the channel between them. It knows no
//! wire format, no socket and no session. `tests/store_contract.rs` holds every sentence below that says *must*.
//!
//! # What a log is
//!
//! - Offsets of a room are dense: 1, 2, 3, …; each entry has a chain computed where its offset is given out.
//! - A new log starts from a random chain. The position of an empty log is [`Position::ZERO`].
//! - `at` never goes back within a log.
//! - A log is trimmed by entries and by bytes, lazily: up to a tenth, or 100 entries, more than the limit. The newest
//!   entry is always kept.
//! - A log without a new entry for [`history_idle_ms`](crate::domain::Limits::history_idle_ms) is forgotten; the next append starts a new log with
//!   a new start chain.
//! - The text of a deleted message, and every text that an edit replaced, must never be read again: the entry comes
//!   with [`Text::Withdrawn`].
//!
//! # Order
//!
//! [`Store::append`], [`Store::announce`] and the presence calls take their place in the order when they are *called*,
//! not when the future is polled. Appends of one instance to one room are stored in the order of the calls. Dropping a
//! future must not undo or stop what it stands for.

pub mod memory;
pub mod redis;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::domain::{Body, Draft, Entry, Key, Millis, Position, RoomId, Since, Text, Trace, User, UserId};

/// The answer to come of a call to the store.
pub type Pending<T, E = StoreError> = BoxFuture<'static, Result<T, E>>;

/// Entries that a [`Feed`] holds for an instance that is behind; beyond it publications are dropped and
/// [`Publication::Interrupted`] tells that they were.
pub const FEED_CAPACITY: usize = 16 * 1024;

/// The lease of an instance that lets somebody enter before it has one, in milliseconds: too short to matter where it
/// then ends, long enough for the first renewal.
pub const FIRST_LEASE_MS: Millis = 10_000;

/// One instance's connection to the store.
///
/// Every call is answered within the store's own time limits: it never hangs.
pub trait Store: Send + Sync + 'static {
    /// Appends an entry, atomically and in this order: the same key within the window answers for the first attempt
    /// ([`Stored::duplicate`], or [`Refusal::KeyConflict`] where the content differs) → the sender's rate → the target
    /// of an edit, deletion or reaction → room for it → offset and chain → trim → publish to every subscribed
    /// instance. A refusal stores nothing and changes nothing: it doesn't count for the rate either.
    ///
    /// A draft that stands in a trace is announced by [`Announcement::Traced`] right before its publication; where the
    /// append is refused or a repetition, that may be all that comes. An instance that doesn't hear it loses nothing but the
    /// trace.
    ///
    /// The content that a key is compared by is the [`Body`], nothing else. A key answers only for
    /// the log it belongs to: a log that was lost takes its keys with it.
    fn append(&self, room: &RoomId, draft: Draft) -> Pending<Stored, AppendError>;

    /// The entries after a position, oldest first, at most `page` of them; or, where the log doesn't continue from it,
    /// why not and the newest page of at most `newest`.
    ///
    /// - `since.offset` 0 is before any log: continued as long as entry 1 is kept (or there is no entry), else
    ///   [`Reset::Trimmed`].
    /// - Above the log's top: [`Reset::Lost`].
    /// - Another chain at that offset, also at the trimming boundary (`oldest` − 1, an entry that is no longer there:
    ///   its chain is the one that the oldest entry's is computed from): [`Reset::Diverged`].
    /// - Below the boundary: [`Reset::Trimmed`], whatever the chain.
    fn read_after(&self, room: &RoomId, since: Since, page: PageSize, newest: PageSize) -> Pending<After>;

    /// The newest entries before an offset (exclusive; `None`: the newest of all), oldest first.
    fn read_before(&self, room: &RoomId, before: Option<u64>, page: PageSize) -> Pending<Page>;

    /// Position and number of members of each room, in the order asked, read in one go. A room whose data can't be read is
    /// as one without a log or without members: reading it says what it is.
    fn check(&self, rooms: Vec<RoomId>) -> Pending<Vec<Checked>>;

    /// Subscribes this instance to a room's publications. Once the future is ready, every later publication reaches the
    /// [`Feed`] (or [`Publication::Interrupted`] does). Subscribing twice is harmless.
    fn subscribe(&self, room: &RoomId) -> Pending<()>;

    /// Ends the subscription; publications under way may still arrive.
    fn unsubscribe(&self, room: &RoomId) -> Pending<()>;

    /// Publishes what is not part of the log to every subscribed instance, this one included. At most once, unconfirmed.
    fn announce(&self, room: &RoomId, announcement: Announcement);

    /// Keeps a user's read mark at the highest offset given, and announces [`Announcement::Read`] where it rose. `origin`
    /// is the socket it came from. A mark is kept as long as the log; a new log starts without marks. Where a store is
    /// full, a user's first mark in a room may be refused with [`StoreError::Overloaded`].
    fn mark_read(&self, room: &RoomId, user: &UserId, offset: u64, origin: u64) -> Pending<()>;

    /// The user's read mark, 0 for none.
    fn read_mark(&self, room: &RoomId, user: &UserId) -> Pending<u64>;

    /// The user is in the room on this instance. Where no instance had them before, [`PresenceChange::Joined`] is
    /// published; where their name differs from the one known, [`PresenceChange::Renamed`] with `named_at`, which the
    /// store hands on and doesn't judge. Repeating it is harmless. An instance without a lease gets one of
    /// [`FIRST_LEASE_MS`].
    fn enter(&self, room: &RoomId, user: &User, named_at: Millis) -> Pending<()>;

    /// The user is no longer in the room on this instance. Where no other instance has them, [`PresenceChange::Left`] is
    /// published. Repeating it is harmless. A leave that fails is carried out later, with a renewal of the lease, unless the
    /// user has entered again by then.
    fn leave(&self, room: &RoomId, user: &UserId) -> Pending<()>;

    /// All members of a room over all instances, by id; only the count where there are more than `most`.
    fn members(&self, room: &RoomId, most: usize) -> Pending<Members>;

    /// Keeps a small record for `for_ms` from now, in place of the one before under this id: any instance can read it
    /// until then. It is opaque, at most [`RECORD_BYTES`] long, and neither published nor a part of any room. Where a
    /// store is full, it may be refused with [`StoreError::Overloaded`].
    fn keep(&self, id: RecordId, record: Vec<u8>, for_ms: Millis) -> Pending<()>;

    /// The record kept under an id; `None` where none was, or its time is over. Reading renews nothing.
    fn kept(&self, id: RecordId) -> Pending<Option<Vec<u8>>>;

    /// Renews this instance's lease: its members are present until `for_ms` from now, by the store's clock, however the
    /// instance ends. One whose lease had ended has no members until they enter again; a store may see to that
    /// with a later renewal.
    fn renew_lease(&self, for_ms: Millis) -> Pending<()>;

    /// Claims the instances whose lease has ended, each by exactly one caller, and takes their members out: those whom
    /// no other instance has are published as [`PresenceChange::Left`]. Returns how many instances were claimed.
    fn sweep(&self) -> Pending<usize>;

    /// What an acknowledgement means now.
    fn durability(&self) -> Durability;

    /// Whether the store answers, and how full it is.
    fn health(&self) -> Health;
}

/// Longest record that [`Store::keep`] must take.
pub const RECORD_BYTES: usize = 4 * 1024;

/// What a record is kept under: random, so that nobody guesses one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId(pub u128);

/// What an instance receives: publications in the order of each room, bounded by [`FEED_CAPACITY`].
pub type Feed = tokio::sync::mpsc::Receiver<Publication>;

/// One item of a [`Feed`].
#[derive(Debug, Clone)]
pub enum Publication {
    /// A new entry of a subscribed room.
    Entry(RoomId, Arc<Entry>),
    /// A member came, went or has a new name.
    Presence(RoomId, PresenceChange),
    /// Something that passes.
    Announcement(RoomId, Announcement),
    /// Publications of any room may have been missed: check all of them.
    Interrupted,
    /// The store can be reached again (`true`) or no longer (`false`).
    Reachable(bool),
    /// What an acknowledgement means has changed.
    Durability(Durability),
}

/// What passes through a room without being kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Announcement {
    /// Somebody types.
    Typing(User),
    /// A user's read mark rose to an offset.
    Read {
        /// Whose.
        user: UserId,
        /// To where.
        offset: u64,
        /// The socket that said so, which isn't told again. Random, so unique over all instances.
        origin: u64,
    },
    /// The entry that is about to follow belongs to a trace that is sampled.
    Traced(Traced),
}

/// The place in a trace of an entry that is published after this, if it is: the append may still be refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced {
    /// Whose entry.
    pub user: UserId,
    /// Under which key.
    pub key: Key,
    /// Where it stands.
    pub trace: Trace,
    /// When this came in here.
    pub at: Instant,
}

impl Traced {
    /// Of a draft that is about to be appended.
    #[must_use]
    pub fn now(draft: &Draft, trace: Trace) -> Self {
        Self { user: draft.user.id.clone(), key: draft.key.clone(), trace, at: Instant::now() }
    }
}

/// A change of who is in a room, over all instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PresenceChange {
    /// Somebody is there who wasn't.
    Joined {
        /// Who.
        user: User,
        /// Members after it.
        members: u64,
    },
    /// Somebody who is there has another name.
    Renamed {
        /// Who, with the new name.
        user: User,
        /// When they took it, in milliseconds since the Unix epoch: of two names the later is theirs. 0 where whoever
        /// wrote it doesn't know.
        named_at: Millis,
    },
    /// Somebody is gone. Several at once where an instance ended.
    Left {
        /// Who.
        users: Vec<User>,
        /// Members after it.
        members: u64,
    },
}

/// How much one read may return. At least one entry comes wherever there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSize {
    /// Entries.
    pub entries: usize,
    /// Bytes of entries, as [`cost`] counts them.
    pub bytes: usize,
}

/// Bytes that an entry counts for, in history limits and pages: its variable parts and a flat sum for the rest.
#[must_use]
pub fn cost(entry: &Entry) -> usize {
    cost_of(&entry.user, &entry.key, &entry.body)
}

/// What [`cost`] will be of an entry with these parts.
#[must_use]
pub fn cost_of(user: &User, key: &Key, body: &Body) -> usize {
    /// About what offset, chains, time, ids and JSON punctuation take in a store or on the wire.
    const FLAT: usize = 200;
    let body = match body {
        Body::Message { text, .. } | Body::Edited { text, .. } => match text {
            Text::Kept(text) => text.len(),
            Text::Withdrawn(sha, _) => sha.as_str().len(),
        },
        Body::Deleted { .. } => 0,
        Body::Reacted { emoji, .. } => emoji.as_str().len(),
    };
    FLAT + user.id.as_str().len() + user.name.as_str().len() + key.as_str().len() + body
}

/// Some entries of a log, and where the log stands.
#[derive(Debug, Clone)]
pub struct Page {
    /// Contiguous, oldest first.
    pub entries: Vec<Arc<Entry>>,
    /// The log's position when this was read.
    pub top: Position,
    /// The lowest offset kept, 0 where nothing is.
    pub oldest: u64,
}

/// The answer to a read after a position.
#[derive(Debug, Clone)]
pub enum After {
    /// The log continues from the position: these entries follow it, perhaps more behind them.
    Continued(Page),
    /// It doesn't: the newest page.
    Reset(Reset, Page),
}

/// Why a log doesn't continue from a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reset {
    /// Entries after it are no longer kept.
    Trimmed,
    /// The log has another chain there: it is another log.
    Diverged,
    /// The log is shorter than the position.
    Lost,
}

impl Reset {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trimmed => "trimmed",
            Self::Diverged => "diverged",
            Self::Lost => "lost",
        }
    }
}

/// One room in a bulk check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// Where its log stands.
    pub position: Position,
    /// Members over all instances.
    pub members: u64,
}

/// Who is in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    /// All of them, by id; `None` where there are more than were asked for.
    pub list: Option<Vec<User>>,
    /// How many.
    pub count: u64,
}

/// An entry that was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Its position.
    pub position: Position,
    /// Its time.
    pub at: Millis,
    /// Who has it now.
    pub durability: Durability,
    /// It was there before: an earlier attempt with the same key stored it.
    pub duplicate: bool,
}

/// What an acknowledgement means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Durability {
    /// A replica has it.
    Replicated,
    /// The primary has it.
    Stored,
    /// This process has it.
    Memory,
}

impl Durability {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replicated => "replicated",
            Self::Stored => "stored",
            Self::Memory => "memory",
        }
    }
}

/// The state of a store, from what it last heard; never a round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// It answers.
    pub reachable: bool,
    /// How much of its memory is used, in per cent, where it is known.
    pub full_percent: Option<u8>,
}

/// New rooms are refused while the store is fuller than this, in per cent.
pub const NEW_ROOMS_UP_TO_PERCENT: u8 = 80;

/// Why an append has no position to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// This attempt surely stored nothing.
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    /// The outcome is not known, or stored and not replicated: retry with the same key.
    #[error(transparent)]
    Unknown(#[from] StoreError),
}

impl AppendError {
    /// What it is, in a word.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Refused(Refusal::RateLimited { .. }) => "rate_limited",
            Self::Refused(Refusal::KeyConflict { .. }) => "key_conflict",
            Self::Refused(Refusal::NotFound) => "not_found",
            Self::Refused(Refusal::Forbidden) => "forbidden",
            Self::Refused(Refusal::Overloaded { .. }) | Self::Unknown(StoreError::Overloaded { .. }) => "overloaded",
            Self::Unknown(StoreError::Unavailable { .. }) => "unavailable",
            Self::Unknown(StoreError::Unconfirmed { .. }) => "unconfirmed",
            Self::Unknown(StoreError::Corrupt) => "internal",
        }
    }
}

/// A refusal by the store's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Over the rate of this user in this room.
    #[error("over the rate, free in {retry_ms} ms")]
    RateLimited {
        /// Until one more send is free.
        retry_ms: Millis,
    },
    /// The key was used for other content, stored at this position.
    #[error("the key was used for other content, at offset {}", .position.offset)]
    KeyConflict {
        /// Of the first entry with this key.
        position: Position,
    },
    /// The target is not a kept, undeleted message.
    #[error("no such message is kept")]
    NotFound,
    /// The target has another author.
    #[error("the message is somebody else's")]
    Forbidden,
    /// A queue or the store is full.
    #[error("no room for it now")]
    Overloaded {
        /// When to try again.
        retry_ms: Millis,
    },
}

/// The infrastructure failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store can't be reached, or doesn't answer.
    #[error("the store can't be reached")]
    Unavailable {
        /// When to try again.
        retry_ms: Millis,
    },
    /// The answer, or the replica's, did not come: it may be stored.
    #[error("the store did not confirm")]
    Unconfirmed {
        /// When to try again.
        retry_ms: Millis,
    },
    /// The store has no memory or no place in a queue for it.
    #[error("the store is full")]
    Overloaded {
        /// When to try again.
        retry_ms: Millis,
    },
    /// What is stored under the room's name is not ours, or is broken.
    #[error("the room's data can't be read")]
    Corrupt,
}
