//! Which clients of this instance are in which room, and how entries reach them.

mod mailbox;

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::domain::{Draft, Limits, Millis, RoomId, Since, User, UserId};
use crate::protocol::{CommandId, Event, Goaway, Refused};
use crate::store::{AppendError, Durability, Feed, Pending, Store, Stored};

pub use mailbox::{Mailbox, Note, Taken};

/// What the rooms need to know of the settings. Times in milliseconds.
#[derive(Debug, Clone)]
pub struct RoomSettings {
    /// The limits that clients are told about.
    pub limits: Arc<Limits>,
    /// Between the end of a socket and the announcement that its user left.
    pub grace_ms: Millis,
    /// How long this instance's members outlive it.
    pub lease_ms: Millis,
    /// How often the lease is renewed.
    pub lease_renew_ms: Millis,
    /// Members are listed by name in rooms of at most this many.
    pub list_up_to: usize,
    /// A large room is listed again once it has at most this many.
    pub list_again_at: usize,
    /// Least time between two member counts of a large room.
    pub count_interval_ms: Millis,
    /// Presence changes within this time of the last push come together in one.
    pub coalesce_ms: Millis,
    /// A room without entries for this long has its position checked; the check comes within twice the time.
    pub check_interval_ms: Millis,
    /// A room stays subscribed for this long after its last client left.
    pub linger_ms: Millis,
    /// The newest entries of a room that are remembered here.
    pub tail_entries: usize,
}

/// How somebody leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// By command: announced at once.
    AtOnce,
    /// The socket ended: announced after the grace, unless the user is back by then.
    AfterGrace,
}

/// A join to carry out.
#[derive(Debug, Clone)]
pub struct JoinRequest {
    /// Of the command.
    pub id: Option<CommandId>,
    /// The room.
    pub room: RoomId,
    /// Where the client is.
    pub since: Option<Since>,
    /// Most entries of a newest page.
    pub limit: usize,
    /// Whether a room without entries and members may be joined; what to tell the client to wait where not.
    pub may_create: Result<(), Millis>,
}

/// A client is in a room now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seated {
    /// The room had neither entries nor members before.
    pub created: bool,
}

/// All rooms with a client on this instance.
#[derive(Debug)]
pub struct Rooms {}

#[allow(unused_variables)]
impl Rooms {
    /// No rooms yet.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, settings: RoomSettings) -> Arc<Self> {
        unimplemented!()
    }

    /// Receives publications and does what is periodic (checks, lease, sweeps, grace) until dropped.
    pub async fn run(self: Arc<Self>, feed: Feed) {
        unimplemented!()
    }

    /// A socket is there: from now on it gets the notes that concern every socket. Returns whether the store is reachable.
    pub fn connect(&self, mailbox: &Arc<Mailbox>) -> bool {
        unimplemented!()
    }

    /// The socket is gone. Its rooms are left one by one by [`Rooms::leave`] before.
    pub fn disconnect(&self, mailbox: &Mailbox) {
        unimplemented!()
    }

    /// Joins, or reads a joined room afresh. The `joined` event is put into the mailbox in its place among the pushes;
    /// a refusal is for the caller to send. Dropping the future leaves no trace but the grace.
    pub fn join(
        self: &Arc<Self>,
        mailbox: &Arc<Mailbox>,
        user: &User,
        join: JoinRequest,
    ) -> BoxFuture<'static, Result<Seated, Refused>> {
        unimplemented!()
    }

    /// Takes a socket out of a room.
    pub fn leave(self: &Arc<Self>, mailbox: &Mailbox, user: &UserId, room: &RoomId, departure: Departure) {
        unimplemented!()
    }

    /// Appends; see [`Store::append`].
    pub fn write(&self, room: &RoomId, draft: Draft) -> Pending<Stored, AppendError> {
        unimplemented!()
    }

    /// Reads an older page: the `page` event, or the refusal as an event.
    pub fn history(
        &self,
        id: Option<CommandId>,
        room: &RoomId,
        before: Option<u64>,
        limit: usize,
    ) -> BoxFuture<'static, Event> {
        unimplemented!()
    }

    /// The user types: announced at most once per 3 s, user and room.
    pub fn typing(&self, room: &RoomId, user: &User, now: Millis) {
        unimplemented!()
    }

    /// Raises the user's read mark; the user's other sockets hear of it.
    pub fn read(self: &Arc<Self>, room: &RoomId, user: &UserId, offset: u64, mailbox: &Mailbox) {
        unimplemented!()
    }

    /// The user chose another name on one socket: the others and the rooms hear of it.
    pub fn rename(self: &Arc<Self>, user: &User, mailbox: &Mailbox) {
        unimplemented!()
    }

    /// Puts a note into every mailbox that this client must move.
    pub fn go_away(&self, reason: Goaway) {
        unimplemented!()
    }

    /// Leaves this instance's members to the others for the grace: the last thing of a drain.
    pub async fn retire(&self) {
        unimplemented!()
    }

    /// Whether the store can be reached.
    pub fn is_reachable(&self) -> bool {
        unimplemented!()
    }

    /// What an acknowledgement means now.
    pub fn durability(&self) -> Durability {
        unimplemented!()
    }
}
