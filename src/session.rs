//! One client's state machine.
//!
//! It owns who the client is, which rooms it is in, its budgets and its deadlines. Commands and times go in, actions
//! come out. It knows no I/O, no clock, no tokio, no store and no wire format: `now` is any monotonic time in
//! milliseconds, and whoever drives it carries the actions out.

mod pace;
pub mod socketio;

use std::collections::HashMap;
use std::sync::Arc;

use crate::bucket::Bucket;
use crate::domain::{Draft, Limits, Millis, RoomId, Since, User, UserName};
use crate::protocol::{Close, Code, Command, CommandId, Event, Goaway, Refused, Request, Token};
use pace::{Pace, TooFast};

pub use pace::OVER_BUDGET_LIMIT_MS;

/// So many messages in a row that can't be read end the connection with [`Close::BadMessages`].
pub const BAD_MESSAGES_IN_A_ROW: u32 = 10;

/// What [`Close::Budget`] tells the client to wait.
pub const OVER_BUDGET_RETRY_MS: Millis = 10_000;

/// The old socket stays open for this long after the time that a `goaway` gave.
pub const GOAWAY_LINGER_MS: Millis = 2_000;

/// What a refusal tells the client to wait while the store is away.
pub const STORE_AWAY_RETRY_MS: Millis = 1_000;

/// The times of a session, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Without `hello` for this long: [`Close::NoHello`].
    pub hello_timeout_ms: Millis,
    /// Between two pings.
    pub heartbeat_ms: Millis,
    /// Without `pong` for this long: [`Close::Heartbeat`].
    pub heartbeat_timeout_ms: Millis,
    /// From the start to the `goaway` that asks for a new socket; already spread at random. `None`: never.
    pub rotate_after_ms: Option<Millis>,
    /// What that `goaway` says; already spread at random.
    pub rotate_in_ms: Millis,
    /// With the store away for this long: [`Close::StoreAway`].
    pub store_away_limit_ms: Millis,
}

/// What the driver of a session has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send this.
    Reply(Event),
    /// Check the credential; answer by [`Session::signed_in`] or by sending the refusal.
    SignIn {
        /// Of the command.
        id: Option<CommandId>,
        /// The name to be shown.
        name: UserName,
        /// An earlier token.
        token: Option<Token>,
    },
    /// Join; report the end to [`Session::join_ended`].
    Join(Join),
    /// Leave, and announce it at once.
    Leave {
        /// The room.
        room: RoomId,
    },
    /// Append.
    Write {
        /// Of the command.
        id: Option<CommandId>,
        /// The room.
        room: RoomId,
        /// What.
        draft: Draft,
    },
    /// Read an older page.
    History {
        /// Of the command.
        id: Option<CommandId>,
        /// The room.
        room: RoomId,
        /// Entries below this offset.
        before: Option<u64>,
        /// Most entries.
        limit: usize,
    },
    /// Tell the room that the user types.
    Typing {
        /// The room.
        room: RoomId,
    },
    /// Raise the user's read mark.
    Read {
        /// The room.
        room: RoomId,
        /// To where.
        offset: u64,
    },
    /// Send this close frame and end. Nothing follows it.
    Close(Close, Option<Millis>),
}

/// A join to carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// Of the command.
    pub id: Option<CommandId>,
    /// The room.
    pub room: RoomId,
    /// Where the client is.
    pub since: Option<Since>,
    /// Most entries of a newest page.
    pub limit: usize,
    /// Whether a room without entries and members may be joined: the connection's budget of new rooms allows it.
    pub may_create: bool,
}

/// How a join ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinEnd {
    /// The client is in the room, which was there.
    Joined,
    /// The client is in the room, which is new.
    Created,
    /// It isn't; the refusal was sent.
    Refused,
}

/// One client.
#[derive(Debug)]
pub struct Session {
    limits: Arc<Limits>,
    timing: Timing,
    user: Option<User>,
    rooms: HashMap<RoomId, Membership>,
    pace: Pace,
    new_rooms: Bucket,
    bad_in_a_row: u32,
    hello_by: Option<Millis>,
    ping_at: Option<Millis>,
    pong_by: Option<Millis>,
    rotate_at: Option<Millis>,
    leaving: Option<Leaving>,
    away_by: Option<Millis>,
}

/// What the session knows of one of its rooms.
#[derive(Debug, Default, Clone, Copy)]
struct Membership {
    /// Joins under way.
    joining: u32,
    /// A join has succeeded.
    joined: bool,
    /// A leave that waits for the joins before it, by the number of its command.
    leave: Option<Option<CommandId>>,
}

#[derive(Debug, Clone, Copy)]
struct Leaving {
    close_at: Millis,
    close: Close,
}

impl Session {
    /// A client that has just connected.
    #[must_use]
    pub fn new(limits: Arc<Limits>, timing: Timing, reachable: bool, now: Millis) -> Self {
        Self {
            pace: Pace::new(&limits, now),
            new_rooms: Bucket::new(limits.new_rooms_per_minute, 60_000, limits.new_rooms_per_minute, now),
            limits,
            timing,
            user: None,
            rooms: HashMap::new(),
            bad_in_a_row: 0,
            hello_by: Some(now + timing.hello_timeout_ms),
            ping_at: None,
            pong_by: None,
            rotate_at: timing.rotate_after_ms.map(|after| now + after),
            leaving: None,
            away_by: (!reachable).then_some(now + timing.store_away_limit_ms),
        }
    }

    /// Who the client is, once it has said.
    #[must_use]
    pub const fn user(&self) -> Option<&User> {
        self.user.as_ref()
    }

    /// The rooms the client is in, or about to be.
    pub fn rooms(&self) -> impl Iterator<Item = &RoomId> {
        self.rooms.keys()
    }

    /// Takes one decoded object of the client.
    pub fn receive(&mut self, decoded: Result<Command, Refused>, now: Millis, out: &mut Vec<Action>) {
        let id = match &decoded {
            Ok(command) => command.id,
            Err(refused) => refused.id,
        };
        if let Err(TooFast { retry_ms, too_long }) = self.pace.take(now) {
            refuse(out, Refused::new(id, Code::RateLimited, "too many commands: slow down").retry_in(retry_ms));
            if too_long {
                out.push(Action::Close(Close::Budget, Some(OVER_BUDGET_RETRY_MS)));
            }
            return;
        }
        match decoded {
            Ok(command) => {
                self.bad_in_a_row = 0;
                self.carry_out(command, now, out);
            }
            Err(refused) => {
                let refused = if self.user.is_none() { before_hello(refused) } else { refused };
                let bad = refused.code == Code::BadMessage;
                self.bad_in_a_row = if bad { self.bad_in_a_row + 1 } else { 0 };
                refuse(out, refused);
                if self.bad_in_a_row >= BAD_MESSAGES_IN_A_ROW {
                    out.push(Action::Close(Close::BadMessages, None));
                }
            }
        }
    }

    fn carry_out(&mut self, Command { id, request }: Command, now: Millis, out: &mut Vec<Action>) {
        let Some(user) = &self.user else {
            match request {
                Request::Hello { name, token } => out.push(Action::SignIn { id, name, token }),
                _ => refuse(out, not_signed_in(id)),
            }
            return;
        };
        match request {
            Request::Hello { name, token } => out.push(Action::SignIn { id, name, token }),
            Request::Pong => self.pong_by = None,
            Request::Join { room, since, limit } => {
                self.join(Join { id, room, since, limit, may_create: false }, now, out);
            }
            Request::Leave { room } => match self.rooms.get_mut(&room) {
                Some(membership) if membership.leave.is_none() && membership.joining > 0 => membership.leave = Some(id),
                Some(membership) if membership.leave.is_none() => self.leave(room, id, out),
                Some(_) | None => not_joined(out, id),
            },
            Request::Write { room, key, body, trace } => {
                if !self.is_in(&room) {
                    return not_joined(out, id);
                }
                if self.away_by.is_some() {
                    return store_away(out, id);
                }
                out.push(Action::Write { id, room, draft: Draft { user: user.clone(), key, body, trace } });
            }
            Request::History { room, before, limit } => {
                if !self.is_in(&room) {
                    return not_joined(out, id);
                }
                if self.away_by.is_some() {
                    return store_away(out, id);
                }
                out.push(Action::History { id, room, before, limit });
            }
            // These two have no reply, so a refusal carries no id either.
            Request::Typing { room } if self.is_in(&room) => out.push(Action::Typing { room }),
            Request::Read { room, offset } if self.is_in(&room) => out.push(Action::Read { room, offset }),
            Request::Typing { .. } | Request::Read { .. } => not_joined(out, None),
        }
    }

    fn join(&mut self, mut join: Join, now: Millis, out: &mut Vec<Action>) {
        if self.away_by.is_some() {
            return store_away(out, join.id);
        }
        if !self.rooms.contains_key(&join.room) && self.rooms.len() >= self.limits.rooms_per_connection {
            return refuse(out, Refused::new(join.id, Code::TooManyRooms, "leave a room before you join another"));
        }
        let membership = self.rooms.entry(join.room.clone()).or_default();
        membership.joining += 1;
        if let Some(id) = membership.leave.take() {
            // It left and comes back before the first join was answered: it never was away.
            out.push(Action::Reply(Event::Left { id, room: join.room.clone() }));
        }
        // Taken now and given back if the room turns out to be there, so that joins in one frame can't share a token.
        join.may_create = self.new_rooms.take(now).is_ok();
        out.push(Action::Join(join));
    }

    /// A join has ended; `may_create` as it was asked for.
    pub fn join_ended(&mut self, room: &RoomId, may_create: bool, end: JoinEnd, out: &mut Vec<Action>) {
        if may_create && end != JoinEnd::Created {
            self.new_rooms.give_back();
        }
        let Some(membership) = self.rooms.get_mut(room) else { return };
        membership.joining = membership.joining.saturating_sub(1);
        membership.joined |= end != JoinEnd::Refused;
        if membership.joining > 0 {
            return;
        }
        match membership.leave {
            Some(id) => self.leave(room.clone(), id, out),
            None if membership.joined => {}
            None => {
                self.rooms.remove(room);
            }
        }
    }

    fn leave(&mut self, room: RoomId, id: Option<CommandId>, out: &mut Vec<Action>) {
        self.rooms.remove(&room);
        out.push(Action::Leave { room: room.clone() });
        out.push(Action::Reply(Event::Left { id, room }));
    }

    /// Whether commands about the room are carried out: joined or about to be, and not about to leave.
    fn is_in(&self, room: &RoomId) -> bool {
        self.rooms.get(room).is_some_and(|membership| membership.leave.is_none())
    }

    /// How long until this connection may join a room that is new.
    #[must_use]
    pub fn new_room_retry_ms(&self, now: Millis) -> Millis {
        self.new_rooms.wait(now)
    }

    /// The credential was good. Returns whether this was the first `hello`.
    ///
    /// A second one may refresh name and token; another user on the same socket is refused by the driver.
    pub fn signed_in(&mut self, user: User, now: Millis) -> bool {
        let first = self.user.is_none();
        self.user = Some(user);
        if first {
            self.hello_by = None;
            self.ping_at = Some(now + self.timing.heartbeat_ms);
        }
        first
    }

    /// The user has another name now, chosen on another socket.
    pub fn renamed(&mut self, name: UserName) {
        if let Some(user) = &mut self.user {
            user.name = name;
        }
    }

    /// The store went away or came back.
    pub fn reachable(&mut self, reachable: bool, now: Millis, out: &mut Vec<Action>) {
        if reachable == self.away_by.is_none() {
            return;
        }
        self.away_by = (!reachable).then_some(now + self.timing.store_away_limit_ms);
        if self.user.is_some() {
            out.push(Action::Reply(Event::Degraded { on: !reachable }));
        }
    }

    /// Whether the store is away, as far as this client was told.
    #[must_use]
    pub const fn is_degraded(&self) -> bool {
        self.away_by.is_some()
    }

    /// Asks the client to move within `in_ms`, and ends the connection some time after. An earlier end stays.
    pub fn go_away(&mut self, reason: Goaway, in_ms: Millis, now: Millis, out: &mut Vec<Action>) {
        self.rotate_at = None;
        let close_at = now + in_ms + GOAWAY_LINGER_MS;
        let close = match reason {
            Goaway::Rotate => Close::Rotate,
            Goaway::Drain => Close::Drain,
        };
        if self.leaving.is_none_or(|leaving| close_at < leaving.close_at) {
            self.leaving = Some(Leaving { close_at, close });
            out.push(Action::Reply(Event::Goaway { in_ms, reason }));
        }
    }

    /// When [`Session::tick`] has something to do next.
    #[must_use]
    pub fn due(&self) -> Millis {
        [
            self.hello_by,
            self.ping_at,
            self.pong_by,
            self.rotate_at,
            self.leaving.map(|leaving| leaving.close_at),
            self.away_by,
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(Millis::MAX)
    }

    /// Does what is due. Whatever the client has sent must have been given to [`Session::receive`] first: after a pause
    /// of the whole process a `pong` may be waiting.
    pub fn tick(&mut self, now: Millis, out: &mut Vec<Action>) {
        let due = |at: Option<Millis>| at.is_some_and(|at| at <= now);
        let close = if due(self.hello_by) {
            Some(Close::NoHello)
        } else if due(self.pong_by) {
            Some(Close::Heartbeat)
        } else if due(self.away_by) {
            Some(Close::StoreAway)
        } else {
            self.leaving.filter(|leaving| leaving.close_at <= now).map(|leaving| leaving.close)
        };
        if let Some(close) = close {
            out.push(Action::Close(close, None));
            return;
        }
        if due(self.ping_at) {
            out.push(Action::Reply(Event::Ping));
            self.ping_at = Some(now + self.timing.heartbeat_ms);
            self.pong_by.get_or_insert(now + self.timing.heartbeat_timeout_ms);
        }
        if due(self.rotate_at) {
            self.go_away(Goaway::Rotate, self.timing.rotate_in_ms, now, out);
        }
    }
}

fn refuse(out: &mut Vec<Action>, refused: Refused) {
    out.push(Action::Reply(Event::Error(refused)));
}

fn not_signed_in(id: Option<CommandId>) -> Refused {
    Refused::new(id, Code::NotSignedIn, "say hello first")
}

/// Before `hello` it doesn't matter what is wrong with another command: that it comes too early goes first.
fn before_hello(refused: Refused) -> Refused {
    match refused.code {
        Code::UnknownType | Code::BadRoom | Code::BadText | Code::BadEmoji | Code::BadKey => not_signed_in(refused.id),
        _ => refused,
    }
}

fn not_joined(out: &mut Vec<Action>, id: Option<CommandId>) {
    refuse(out, Refused::new(id, Code::NotJoined, "join the room first"));
}

fn store_away(out: &mut Vec<Action>, id: Option<CommandId>) {
    let refused = Refused::new(id, Code::Unavailable, "the store can't be reached: retry, a send with the same key");
    refuse(out, refused.retry_in(STORE_AWAY_RETRY_MS));
}
