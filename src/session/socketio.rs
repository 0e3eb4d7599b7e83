//! One Socket.IO client's state machine: the tutorial's events over the one room that such a client is in.
//!
//! Like the native session it knows no I/O, no clock and no wire format. What it can't do at once (a join, a record that
//! is read) it does one at a time; calls that depend on it wait.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use super::pace::{Pace, TooFast};
use super::{OVER_BUDGET_RETRY_MS, Timing};
use crate::bucket::Bucket;
use crate::domain::{Limits, Millis, RoomId, User, UserId, UserName};
use crate::protocol::socketio::{AckId, Call, Pid, Place, Purpose, Record, Said, is_quiet, quiet};
use crate::protocol::{Close, Goaway};

/// Calls that wait for a join, at most; one more is refused.
pub const WAITING_CALLS: usize = 64;

/// A client's record is renewed at least this often while it is connected.
pub const RENEW_MS: Millis = 30 * 60 * 1_000;

/// What a client is told to wait where the store is away.
const STORE_AWAY_RETRY_MS: Millis = 1_000;

/// What the tutorial says to somebody who isn't in a room.
const NO_SESSION: &str = "User session not found.";
const STORE_AWAY: &str = "The store can't be reached. Try again.";
const TOO_FAST: &str = "Too many events. Slow down.";
const TOO_MANY_WAIT: &str = "Too many events wait for a room. Slow down.";

/// What the driver of a session has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send a ping.
    Ping,
    /// Tell the client that it is connected, with a new `pid`.
    Connected,
    /// Tell it that there is no such namespace.
    NoNamespace {
        /// The one it asked for.
        namespace: String,
    },
    /// Answer an event.
    Answer {
        /// Its number.
        ack: AckId,
        /// What went wrong.
        error: Option<Cow<'static, str>>,
    },
    /// A message isn't stored, because the store is away: count it, and answer the event with this.
    NotStored {
        /// Its number, if it wants an answer.
        ack: Option<AckId>,
        /// What went wrong.
        error: &'static str,
    },
    /// Read the record of an earlier connection; report it to [`Session::recalled`].
    Recall {
        /// Its `pid`; the seal isn't checked yet.
        pid: Pid,
        /// What may be the client's position.
        offset: Option<String>,
    },
    /// Join; report the end to [`Session::join_ended`].
    Join(Join),
    /// Leave, and announce it at once.
    Leave {
        /// Who.
        user: UserId,
        /// Which room.
        room: RoomId,
    },
    /// Drop whatever is under way.
    Abandon,
    /// Append a message.
    Write {
        /// The number of the event, if it wants an answer.
        ack: Option<AckId>,
        /// By whom.
        user: User,
        /// Where.
        room: RoomId,
        /// What.
        text: Arc<str>,
    },
    /// Keep the client's record for longer; report the end to [`Session::renewed`].
    Renew,
    /// Something was ignored, and nobody wants to know: count it.
    Ignored,
    /// Close the connection. Nothing follows it.
    Close(Close, Option<Millis>),
}

/// A join to carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// What it is for.
    pub purpose: Purpose,
    /// Who.
    pub user: User,
    /// Which room.
    pub room: RoomId,
    /// What the client has.
    pub since: Option<Place>,
    /// Whether a room without entries and members may be joined.
    pub may_create: bool,
}

/// How a join ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JoinEnd {
    /// The client is in the room, which was there, and has its answer.
    Joined,
    /// The same, and the room is new.
    Created,
    /// Only for [`Purpose::Resume`]: the log doesn't continue from where the client was.
    NotContinued,
    /// The store can't be reached, or is too slow.
    Unavailable,
    /// It was refused for another reason.
    Refused(Cow<'static, str>),
}

/// What became of the record of an earlier connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recalled {
    /// It is there; the place is the later one of the record's and the client's own.
    Found(Record),
    /// It isn't, or the `pid` was not ours.
    Unknown,
    /// It could not be read.
    Unavailable,
}

/// One client.
#[derive(Debug)]
pub struct Session {
    limits: Arc<Limits>,
    timing: Timing,
    renew_after_ms: Millis,
    /// The identity of this connection.
    guest: UserId,
    connected: bool,
    /// Where the client is.
    seat: Option<Seat>,
    /// Where a join that is under way takes it.
    joining: Option<Seat>,
    /// Where an earlier connection was that could not simply be continued.
    missed: Option<Record>,
    /// A record is being read or renewed, or a join is under way.
    busy: bool,
    waiting: VecDeque<(Call, Option<AckId>)>,
    pace: Pace,
    new_rooms: Bucket,
    connect_by: Option<Millis>,
    ping_at: Millis,
    pong_by: Option<Millis>,
    renew_at: Option<Millis>,
    close_at: Option<(Millis, Close)>,
    away_by: Option<Millis>,
}

/// A room that the client is in, or about to be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seat {
    user: User,
    room: RoomId,
}

impl Session {
    /// A client whose transport has just been opened; `guest` is a new identity. Its record is renewed every
    /// `renew_after_ms`, which is at most [`RENEW_MS`].
    #[must_use]
    pub fn new(
        limits: Arc<Limits>,
        timing: Timing,
        renew_after_ms: Millis,
        guest: UserId,
        reachable: bool,
        now: Millis,
    ) -> Self {
        Self {
            pace: Pace::new(&limits, now),
            new_rooms: Bucket::new(limits.new_rooms_per_minute, 60_000, limits.new_rooms_per_minute, now),
            limits,
            timing,
            renew_after_ms,
            guest,
            connected: false,
            seat: None,
            joining: None,
            missed: None,
            busy: false,
            waiting: VecDeque::new(),
            connect_by: Some(now + timing.hello_timeout_ms),
            ping_at: now + timing.heartbeat_ms,
            pong_by: None,
            renew_at: None,
            close_at: timing.rotate_after_ms.map(|after| (now + after, Close::Rotate)),
            away_by: (!reachable).then_some(now + timing.store_away_limit_ms),
        }
    }

    /// Who the client is and where: the room it is in, and the one that it is about to be in.
    pub fn seats(&self) -> impl Iterator<Item = (&User, &RoomId)> {
        self.seat.iter().chain(&self.joining).map(|seat| (&seat.user, &seat.room))
    }

    /// The answer to a ping.
    pub const fn pong(&mut self) {
        self.pong_by = None;
    }

    /// Takes one packet.
    pub fn receive(&mut self, said: Said, now: Millis, out: &mut Vec<Action>) {
        match said {
            Said::Connect { pid, offset } if !self.connected => self.connect(pid, offset, now, out),
            Said::ConnectElsewhere { namespace } => out.push(Action::NoNamespace { namespace }),
            Said::Disconnect if self.connected => self.disconnect(now, out),
            Said::Call { call, ack } if self.connected => self.receive_call(call, ack, now, out),
            Said::Ack if self.connected => out.push(Action::Ignored),
            Said::Connect { .. } | Said::Disconnect | Said::Call { .. } | Said::Ack => {
                out.push(Action::Close(Close::Protocol, None));
            }
        }
    }

    fn connect(&mut self, pid: Option<Pid>, offset: Option<String>, now: Millis, out: &mut Vec<Action>) {
        // It is a reading of the store, and a client may disconnect and connect as often as it likes.
        if pid.is_some() && self.pace.take(now).is_err() {
            return out.push(Action::Close(Close::Budget, Some(OVER_BUDGET_RETRY_MS)));
        }
        self.connected = true;
        self.connect_by = None;
        match pid {
            Some(pid) => {
                self.busy = true;
                out.push(Action::Recall { pid, offset });
            }
            None => out.push(Action::Connected),
        }
    }

    /// The record of the earlier connection was looked for.
    pub fn recalled(&mut self, recalled: Recalled, now: Millis, out: &mut Vec<Action>) {
        match recalled {
            Recalled::Found(record) => {
                let Record { user, room, place } = record.clone();
                self.missed = Some(record);
                self.join(Purpose::Resume, user, room, Some(place), now, out);
            }
            Recalled::Unknown => {
                self.busy = false;
                out.push(Action::Connected);
                self.take_waiting(now, out);
            }
            // The client comes back by itself, with the same `pid`.
            Recalled::Unavailable => out.push(Action::Close(Close::StoreAway, Some(STORE_AWAY_RETRY_MS))),
        }
    }

    fn disconnect(&mut self, now: Millis, out: &mut Vec<Action>) {
        // A join that is dropped keeps what it took from the limit of new rooms: it may have made its room by now.
        out.push(Action::Abandon);
        leave(self.seat.take(), out);
        // A long one has its seat before it ends.
        leave(self.joining.take(), out);
        self.connected = false;
        self.connect_by = Some(now + self.timing.hello_timeout_ms);
        self.missed = None;
        self.busy = false;
        self.waiting.clear();
        self.renew_at = None;
    }

    fn receive_call(
        &mut self,
        call: Result<Call, Cow<'static, str>>,
        ack: Option<AckId>,
        now: Millis,
        out: &mut Vec<Action>,
    ) {
        if let Err(TooFast { too_long, .. }) = self.pace.take(now) {
            refuse(out, ack, TOO_FAST);
            if too_long {
                out.push(Action::Close(Close::Budget, Some(OVER_BUDGET_RETRY_MS)));
            }
            return;
        }
        match call {
            Err(error) => refuse(out, ack, error),
            // A renewal holds no message up. A join does: the room may be refused.
            Ok(Call::SendMessage { text })
                if self.waiting.is_empty() && self.joining.is_none() && self.seat.is_some() =>
            {
                self.send(text, ack, out);
            }
            Ok(call) if !self.busy => self.carry_out(call, ack, now, out),
            Ok(_) if self.waiting.len() >= WAITING_CALLS => refuse(out, ack, TOO_MANY_WAIT),
            Ok(call) => self.waiting.push_back((call, ack)),
        }
    }

    fn carry_out(&mut self, call: Call, ack: Option<AckId>, now: Millis, out: &mut Vec<Action>) {
        match call {
            Call::SendMessage { text } => self.send(text, ack, out),
            Call::SignIn { .. } if self.away_by.is_some() => refuse(out, ack, STORE_AWAY),
            Call::SignIn { user, room } => {
                let known = self.seat.as_ref().map(|seat| seat.user.id.clone()).filter(|id| !is_quiet(id));
                let id = known.unwrap_or_else(|| self.guest.clone());
                self.enter(Purpose::SignIn { ack }, User { id, name: user }, room, None, now, out);
            }
            Call::UpdateSocketId { user, room } if self.is_seated(&user, &room) => answer(out, ack),
            // A client doesn't ask again, but does after it has connected again.
            Call::UpdateSocketId { .. } if self.away_by.is_some() => {
                out.push(Action::Close(Close::StoreAway, Some(STORE_AWAY_RETRY_MS)));
            }
            Call::UpdateSocketId { user, room } => {
                let missed = self.missed.take().filter(|missed| missed.room == room && missed.user.name == user);
                let (user, since) = match missed {
                    Some(missed) => (missed.user, Some(missed.place)),
                    None => (User { id: quiet(&self.guest), name: user }, None),
                };
                self.enter(Purpose::Update { ack }, user, room, since, now, out);
            }
        }
    }

    fn is_seated(&self, name: &UserName, room: &RoomId) -> bool {
        self.seat.as_ref().is_some_and(|seat| seat.user.name == *name && seat.room == *room)
    }

    /// Joins a room. The same one under another name is left before; another one only when the join has ended well, so
    /// that a client that is refused stays where it was.
    fn enter(
        &mut self,
        purpose: Purpose,
        user: User,
        room: RoomId,
        since: Option<Place>,
        now: Millis,
        out: &mut Vec<Action>,
    ) {
        leave(self.seat.take_if(|seat| seat.room == room && seat.user != user), out);
        self.join(purpose, user, room, since, now, out);
    }

    fn join(
        &mut self,
        purpose: Purpose,
        user: User,
        room: RoomId,
        since: Option<Place>,
        now: Millis,
        out: &mut Vec<Action>,
    ) {
        self.busy = true;
        self.joining = Some(Seat { user: user.clone(), room: room.clone() });
        // Taken now and given back if the room turns out to be there.
        let may_create = self.new_rooms.take(now).is_ok();
        out.push(Action::Join(Join { purpose, user, room, since, may_create }));
    }

    /// A join has ended.
    pub fn join_ended(&mut self, join: &Join, end: JoinEnd, now: Millis, out: &mut Vec<Action>) {
        if join.may_create && end != JoinEnd::Created {
            self.new_rooms.give_back();
        }
        self.busy = false;
        let joining = self.joining.take();
        match (end, join.purpose) {
            (JoinEnd::Joined | JoinEnd::Created, _) => {
                leave(self.seat.take_if(|seat| seat.room != join.room), out);
                self.seat = joining;
                self.missed = None;
                self.renew_at = Some(now + self.renew_after_ms);
            }
            (JoinEnd::Unavailable, Purpose::Resume | Purpose::Update { .. }) => {
                out.push(Action::Close(Close::StoreAway, Some(STORE_AWAY_RETRY_MS)));
                return;
            }
            (JoinEnd::NotContinued | JoinEnd::Refused(_), Purpose::Resume) => out.push(Action::Connected),
            (JoinEnd::Unavailable, Purpose::SignIn { ack }) => refuse(out, ack, STORE_AWAY),
            (JoinEnd::Refused(error), Purpose::SignIn { ack } | Purpose::Update { ack }) => refuse(out, ack, error),
            (JoinEnd::NotContinued, Purpose::SignIn { .. } | Purpose::Update { .. }) => {}
        }
        self.take_waiting(now, out);
    }

    /// The record was renewed, or couldn't be.
    pub fn renewed(&mut self, now: Millis, out: &mut Vec<Action>) {
        self.busy = false;
        self.take_waiting(now, out);
    }

    fn take_waiting(&mut self, now: Millis, out: &mut Vec<Action>) {
        while !self.busy
            && let Some((call, ack)) = self.waiting.pop_front()
        {
            self.carry_out(call, ack, now, out);
        }
    }

    fn send(&mut self, text: Arc<str>, ack: Option<AckId>, out: &mut Vec<Action>) {
        match &self.seat {
            None => refuse(out, ack, NO_SESSION),
            Some(_) if self.away_by.is_some() => out.push(Action::NotStored { ack, error: STORE_AWAY }),
            Some(Seat { user, room }) => {
                out.push(Action::Write { ack, user: user.clone(), room: room.clone(), text });
            }
        }
    }

    /// How long until this connection may join a room that is new.
    #[must_use]
    pub fn new_room_retry_ms(&self, now: Millis) -> Millis {
        self.new_rooms.wait(now)
    }

    /// The limits of this client.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The store went away or came back.
    pub fn reachable(&mut self, reachable: bool, now: Millis) {
        if reachable != self.away_by.is_none() {
            self.away_by = (!reachable).then_some(now + self.timing.store_away_limit_ms);
        }
    }

    /// Closes the connection within `in_ms`: these clients can't be asked to move, but come back by themselves.
    pub fn go_away(&mut self, reason: Goaway, in_ms: Millis, now: Millis) {
        let close = match reason {
            Goaway::Rotate => Close::Rotate,
            Goaway::Drain => Close::Drain,
        };
        if self.close_at.is_none_or(|(at, _)| now + in_ms < at) {
            self.close_at = Some((now + in_ms, close));
        }
    }

    /// When [`Session::tick`] has something to do next.
    #[must_use]
    pub fn due(&self) -> Millis {
        let close_at = self.close_at.map(|(at, _)| at);
        let renew_at = self.renew_at.filter(|_| !self.busy);
        [self.connect_by, Some(self.ping_at), self.pong_by, renew_at, close_at, self.away_by]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(Millis::MAX)
    }

    /// Does what is due. Whatever the client has sent must have been taken in before.
    pub fn tick(&mut self, now: Millis, out: &mut Vec<Action>) {
        let due = |at: Option<Millis>| at.is_some_and(|at| at <= now);
        let close = if due(self.connect_by) {
            Some(Close::NoHello)
        } else if due(self.pong_by) {
            Some(Close::Heartbeat)
        } else if due(self.away_by) {
            Some(Close::StoreAway)
        } else {
            self.close_at.filter(|(at, _)| *at <= now).map(|(_, close)| close)
        };
        if let Some(close) = close {
            out.push(Action::Close(close, None));
            return;
        }
        if self.ping_at <= now {
            out.push(Action::Ping);
            self.ping_at = now + self.timing.heartbeat_ms;
            self.pong_by.get_or_insert(now + self.timing.heartbeat_timeout_ms);
        }
        if due(self.renew_at) && !self.busy {
            self.renew_at = Some(now + self.renew_after_ms);
            self.busy = true;
            out.push(Action::Renew);
        }
    }
}

fn leave(seat: Option<Seat>, out: &mut Vec<Action>) {
    if let Some(Seat { user, room }) = seat {
        out.push(Action::Leave { user: user.id, room });
    }
}

fn answer(out: &mut Vec<Action>, ack: Option<AckId>) {
    if let Some(ack) = ack {
        out.push(Action::Answer { ack, error: None });
    }
}

fn refuse(out: &mut Vec<Action>, ack: Option<AckId>, error: impl Into<Cow<'static, str>>) {
    out.push(match ack {
        Some(ack) => Action::Answer { ack, error: Some(error.into()) },
        None => Action::Ignored,
    });
}
