//! One task per WebSocket: it reads commands, carries out what the session decides, and writes what waits in the
//! mailbox.
//!
//! It owns the stream, the session and the deadlines of one client, and is the only place where the three meet. It may
//! use the session, the rooms, the words of the protocol and the check of tokens; it knows neither HTTP nor the store
//! behind the rooms.
//!
//! A hand-written future instead of an `async fn`: a thousand of these are woken for one message, each has to look at
//! several sources at once, and its size is what an idle client costs.

#[cfg(feature = "conformance")]
mod echo;
mod outcome;
mod wire;

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep_until, timeout};

use crate::auth::Auth;
use crate::clock::Clock;
use crate::domain::{Draft, Limits, Millis, RoomId, User, UserName};
use crate::meter::Budget;
use crate::protocol::{Close, Code, CommandId, Event, Goaway, Refused, Token, native};
use crate::rooms::{Departure, JoinRequest, Mailbox, Note, Rooms, Taken};
use crate::session::{Action, Join, JoinEnd, Session, Timing};
use crate::telemetry::Counts;
#[cfg(feature = "conformance")]
pub use echo::echo;
use outcome::{Outcome, sent, unanswered};
use wire::{Broken, Incoming, Wire};

/// Several events go out as one message of about this size at most; a larger one goes alone.
const MESSAGE_BYTES: usize = 16 * 1024;

/// Messages that are read before others get a turn.
const READS_PER_TURN: usize = 32;

/// After this much of a delay, deadlines count though the client has more to read: a flood doesn't hold them up.
const LATE_MS: Millis = 1_000;

/// From our close frame to the end of the connection, at most: what the client has to read it and to answer.
const LINGER_MS: Millis = 5_000;

/// What a client that is over the budgets of the wire is told to wait, at least.
const OVER_BUDGET_RETRY_MS: Millis = 1_000;

/// What most replies fit in.
const REPLY_BYTES: usize = 256;

/// A write is answered within this time, with `unconfirmed` if the store hasn't.
const ANSWER_WITHIN: Duration = Duration::from_millis(1_000);

/// What all sockets of an instance share.
pub struct Hub {
    /// The rooms.
    pub rooms: Arc<Rooms>,
    /// The signer of guest tokens.
    pub auth: Auth,
    /// The clock of sessions.
    pub clock: Clock,
    /// Counts for telemetry.
    pub counts: Arc<Counts>,
    /// What holds for every socket.
    pub rules: Rules,
    draining: AtomicBool,
}

impl Hub {
    /// Of an instance that starts.
    #[must_use]
    pub fn new(rooms: Arc<Rooms>, auth: Auth, clock: Clock, counts: Arc<Counts>, rules: Rules) -> Self {
        Self { rooms, auth, clock, counts, rules, draining: AtomicBool::new(false) }
    }

    /// Asks every client to move, and those that still come too.
    pub fn drain(&self) {
        // In this order: whoever connects between the two is told by itself.
        self.draining.store(true, Ordering::SeqCst);
        self.rooms.go_away(Goaway::Drain);
    }

    /// Whether clients are asked to move.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// The settings of a socket.
#[derive(Debug)]
pub struct Rules {
    /// The name of this instance.
    pub instance: Arc<str>,
    /// What clients are told.
    pub limits: Arc<Limits>,
    /// The times of a session. Rotation is spread over the last tenth of its time, for each socket anew.
    pub timing: Timing,
    /// Clients are asked to move at random times within this.
    pub spread_ms: Millis,
    /// What one client may send, below the codec.
    pub budget: Budget,
    /// Commands that may wait for the store.
    pub commands_in_flight: usize,
    /// From the first byte of a message to its last.
    pub unfinished_message_ms: Millis,
    /// How long one write may take.
    pub flush_timeout_ms: Millis,
}

struct Socket {
    hub: Arc<Hub>,
    wire: Wire,
    session: Session,
    mailbox: Arc<Mailbox>,
    /// Commands that wait for the store. Most sockets never have one: the embedded store answers at once.
    in_flight: Option<Box<FuturesUnordered<BoxFuture<'static, Outcome>>>>,
    /// Fires at `wakes_at` or before; moved only when something is due earlier.
    timer: Pin<Box<Sleep>>,
    wakes_at: Millis,
    /// A write has to be with the kernel by then.
    flush_by: Option<Millis>,
    /// The connection ends, at the latest then.
    end_by: Option<Millis>,
}

/// Memory that a turn needs and the next one, of any socket, can use again.
#[derive(Default)]
struct Scratch {
    taken: Taken,
    frame: Vec<u8>,
}

/// Frames longer than this give their memory back.
const SCRATCH_BYTES: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Serves one client until its connection has ended.
pub async fn serve(hub: Arc<Hub>, tcp: TcpStream, behind: Vec<u8>) {
    Socket::new(hub, tcp, behind).await;
}

impl Future for Socket {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        SCRATCH.with_borrow_mut(|scratch| this.turn(cx, scratch))
    }
}

impl Socket {
    fn new(hub: Arc<Hub>, tcp: TcpStream, behind: Vec<u8>) -> Self {
        let rules = &hub.rules;
        let now = hub.clock.now();
        let wire = Wire::new(tcp, behind, &rules.budget, rules.limits.frame_bytes, hub.clock);
        let mailbox = Mailbox::new(rand::random(), rules.limits.outbox_bytes);
        let reachable = hub.rooms.connect(&mailbox);
        if hub.is_draining() {
            mailbox.note(Note::Goaway(Goaway::Drain));
        }
        hub.counts.socket_opened();
        let timing = Timing {
            rotate_after_ms: rules.timing.rotate_after_ms.map(|after| after - rand::random_range(0..=after / 10)),
            rotate_in_ms: rand::random_range(0..=rules.spread_ms),
            ..rules.timing
        };
        let session = Session::new(Arc::clone(&rules.limits), timing, reachable, now);
        let wakes_at = Millis::MAX;
        let timer = Box::pin(sleep_until(hub.clock.instant(wakes_at)));
        Self { hub, wire, session, mailbox, in_flight: None, timer, wakes_at, flush_by: None, end_by: None }
    }

    fn turn(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<()> {
        if self.end_by.is_none() {
            let drained = self.take_in(cx);
            self.meet_deadlines(drained);
            self.write(cx, scratch);
        }
        if let Some(by) = self.end_by {
            if self.wire.poll_end(cx).is_ready() {
                return Poll::Ready(());
            }
            if self.hub.clock.now() >= by {
                self.wire.abort();
                return Poll::Ready(());
            }
        }
        self.set_timer(cx);
        Poll::Pending
    }

    /// Reads commands and takes the answers of the store. Returns whether everything that had arrived was read.
    fn take_in(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            let read = self.read(cx);
            let answered = self.take_outcomes(cx);
            match read {
                // An answer has made room for the next command.
                Reading::Full if answered => {}
                Reading::Full | Reading::Drained => return true,
                Reading::OutOfTurn => {
                    cx.waker().wake_by_ref();
                    return false;
                }
            }
        }
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Reading {
        for _ in 0..READS_PER_TURN {
            if self.in_flight.as_ref().is_some_and(|waiting| waiting.len() >= self.hub.rules.commands_in_flight) {
                return Reading::Full;
            }
            match self.wire.poll_message(cx) {
                Poll::Pending => return Reading::Drained,
                Poll::Ready(Ok(Incoming::Text(text))) => self.receive(&text),
                Poll::Ready(Ok(Incoming::Binary(_))) => self.close(Close::Binary, None),
                Poll::Ready(Ok(Incoming::Control)) => {}
                Poll::Ready(Ok(Incoming::Close) | Err(Broken::Gone)) => self.end(),
                Poll::Ready(Err(Broken::Violation(close, retry_ms))) => {
                    self.wire.fail(close, retry_ms.map(|ms| ms.max(OVER_BUDGET_RETRY_MS)));
                    self.end();
                }
            }
            if self.end_by.is_some() {
                return Reading::Drained;
            }
        }
        Reading::OutOfTurn
    }

    fn receive(&mut self, text: &str) {
        let now = self.hub.clock.now();
        let mut actions = Vec::new();
        for object in native::objects(text) {
            let decoded = native::decode(object, &self.hub.rules.limits);
            self.hub.counts.command();
            self.session.receive(decoded, now, &mut actions);
            self.carry_out(&mut actions, now);
            if self.end_by.is_some() {
                return;
            }
        }
    }

    /// Takes what the store has answered. Returns whether there was something.
    fn take_outcomes(&mut self, cx: &mut Context<'_>) -> bool {
        let mut some = false;
        while let Some(waiting) = &mut self.in_flight
            && let Poll::Ready(Some(outcome)) = waiting.poll_next_unpin(cx)
        {
            some = true;
            self.conclude(outcome);
        }
        some
    }

    /// Does what is due, once everything that the client has sent is read: after a pause of the whole process its
    /// `pong` may be waiting.
    fn meet_deadlines(&mut self, drained: bool) {
        if !self.timer.is_elapsed() || self.end_by.is_some() {
            return;
        }
        let now = self.hub.clock.now();
        if !drained && now < self.wakes_at.saturating_add(LATE_MS) {
            return;
        }
        if self.flush_by.is_some_and(|by| by <= now) {
            // A close frame couldn't get past what the kernel doesn't take.
            self.wire.abort();
            return self.end();
        }
        if self.message_due() <= now {
            self.wire.fail(Close::Budget, Some(OVER_BUDGET_RETRY_MS));
            return self.end();
        }
        let mut actions = Vec::new();
        self.session.tick(now, &mut actions);
        self.carry_out(&mut actions, now);
    }

    fn message_due(&self) -> Millis {
        self.wire.unfinished_since().map_or(Millis::MAX, |since| since + self.hub.rules.unfinished_message_ms)
    }

    fn set_timer(&mut self, cx: &mut Context<'_>) {
        let due = match self.end_by {
            Some(by) => by,
            None => self.session.due().min(self.flush_by.unwrap_or(Millis::MAX)).min(self.message_due()),
        };
        // A timer that fires too early is moved then; moving it at every turn would cost more than the turn.
        if due < self.wakes_at || self.timer.is_elapsed() {
            self.wakes_at = due;
            self.timer.as_mut().reset(self.hub.clock.instant(due));
            if self.timer.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
    }

    /// Writes what waits in the mailbox, as far as the kernel takes it.
    fn write(&mut self, cx: &mut Context<'_>, Scratch { taken, frame }: &mut Scratch) {
        while self.end_by.is_none() {
            let most = match self.wire.poll_flush(cx) {
                Poll::Ready(Ok(())) => {
                    self.flush_by = None;
                    MESSAGE_BYTES
                }
                Poll::Ready(Err(_)) => return self.end(),
                Poll::Pending => {
                    if self.flush_by.is_none() {
                        self.flush_by = Some(self.hub.clock.now() + self.hub.rules.flush_timeout_ms);
                    }
                    // Notes, and whether the queue has overflowed, count all the same.
                    0
                }
            };
            if self.mailbox.poll_take(cx, most, taken).is_pending() {
                return;
            }
            if taken.overflowed {
                self.close(Close::Slow, None);
            }
            for note in taken.notes.drain(..) {
                self.take_note(note);
            }
            if !taken.frames.is_empty() {
                if self.end_by.is_none() {
                    self.hub.counts.delivered(taken.frames.len());
                    if self.wire.send_lines(&taken.frames, frame).is_err() {
                        self.end();
                    }
                }
                taken.frames.clear();
                frame.shrink_to(SCRATCH_BYTES);
            }
        }
    }

    fn take_note(&mut self, note: Note) {
        if self.end_by.is_some() {
            return;
        }
        let now = self.hub.clock.now();
        let mut actions = Vec::new();
        match note {
            Note::Renamed(name) => {
                self.session.renamed(name);
                self.refresh_rooms();
            }
            Note::Reachable(reachable) => self.session.reachable(reachable, now, &mut actions),
            Note::Durability(durability) => {
                if self.session.user().is_some() {
                    self.reply(&Event::Durability { mode: durability.as_str() });
                }
            }
            Note::Goaway(reason) => {
                let in_ms = rand::random_range(0..=self.hub.rules.spread_ms);
                self.session.go_away(reason, in_ms, now, &mut actions);
            }
        }
        self.carry_out(&mut actions, now);
    }

    fn carry_out(&mut self, actions: &mut Vec<Action>, now: Millis) {
        for action in actions.drain(..) {
            if self.end_by.is_some() {
                return;
            }
            match action {
                Action::Reply(event) => self.reply(&event),
                Action::SignIn { id, name, token } => self.sign_in(id, name, token, now),
                Action::Join(join) => self.join(join, now),
                Action::Leave { room } => {
                    if let Some(user) = self.session.user() {
                        self.hub.rooms.leave(&self.mailbox, &user.id, &room, Departure::AtOnce);
                    }
                }
                Action::Write { id, room, draft } => self.append(id, room, draft),
                Action::History { id, room, before, limit } => {
                    let page = self.hub.rooms.history(id, &room, before, limit);
                    self.start(page.map(Outcome::Reply).boxed());
                }
                Action::Typing { room } => {
                    if let Some(user) = self.session.user() {
                        self.hub.rooms.typing(&room, user);
                    }
                }
                Action::Read { room, offset } => {
                    if let Some(user) = self.session.user() {
                        self.hub.rooms.read(&room, &user.id, offset, &self.mailbox);
                    }
                }
                Action::Close(close, retry_ms) => self.close(close, retry_ms),
            }
        }
    }

    fn sign_in(&mut self, id: Option<CommandId>, name: UserName, token: Option<Token>, now: Millis) {
        let hub = Arc::clone(&self.hub);
        let before = self.session.user().cloned();
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let signed = match (&before, token) {
            // A second hello may leave the token out: it is the same client.
            (Some(user), None) => {
                hub.auth.sign(&user.id, unix).map(|token| (User { id: user.id.clone(), name }, token))
            }
            (_, token) => hub.auth.sign_in(name, token.as_ref(), unix),
        };
        let (user, token) = match signed {
            Ok(signed) => signed,
            Err(error) => return self.reply(&Event::Error(Refused::new(id, error.code(), error.to_string()))),
        };
        if before.as_ref().is_some_and(|before| before.id != user.id) {
            let refused = Refused::new(id, Code::Forbidden, "the token is another user's: open another connection");
            return self.reply(&Event::Error(refused));
        }
        let first = self.session.signed_in(user.clone(), now);
        self.reply(&Event::Welcome {
            id,
            user: user.clone(),
            token,
            instance: Arc::clone(&hub.rules.instance),
            durability: hub.rooms.durability().as_str(),
            heartbeat_ms: hub.rules.timing.heartbeat_ms,
            rotate_after_ms: hub.rules.timing.rotate_after_ms,
            limits: Arc::clone(&hub.rules.limits),
        });
        if first {
            hub.rooms.signed_in(&self.mailbox, &user.id);
            if self.session.is_degraded() {
                self.reply(&Event::Degraded { on: true });
            }
        } else if before.is_some_and(|before| before.name != user.name) {
            hub.rooms.rename(&user, &self.mailbox);
            self.refresh_rooms();
        }
    }

    fn refresh_rooms(&self) {
        if let Some(user) = self.session.user() {
            for room in self.session.rooms() {
                self.hub.rooms.refresh(room, user);
            }
        }
    }

    fn join(&mut self, join: Join, now: Millis) {
        let Some(user) = self.session.user() else { return };
        let Join { id, room, since, limit, may_create } = join;
        let request = JoinRequest {
            id,
            room: room.clone(),
            since,
            limit,
            may_create: if may_create { Ok(()) } else { Err(self.session.new_room_retry_ms(now)) },
        };
        let joining = self.hub.rooms.join(&self.mailbox, user, request);
        self.start(joining.map(move |result| Outcome::Joined { room, may_create, result }).boxed());
    }

    fn append(&mut self, id: Option<CommandId>, room: RoomId, draft: Draft) {
        let mut appending = self.hub.rooms.write(&room, draft);
        // The embedded store answers at once, and then there is nothing to wait for.
        if let Poll::Ready(result) = appending.poll_unpin(&mut Context::from_waker(Waker::noop())) {
            return self.reply(&sent(id, room, result));
        }
        let answer = timeout(ANSWER_WITHIN, appending).map(move |result| {
            Outcome::Reply(match result {
                Ok(result) => sent(id, room, result),
                Err(_) => unanswered(id),
            })
        });
        self.wait_for(answer.boxed());
    }

    /// Takes the answer if it is there already, or waits for it.
    fn start(&mut self, mut answer: BoxFuture<'static, Outcome>) {
        match answer.poll_unpin(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => self.conclude(outcome),
            Poll::Pending => self.wait_for(answer),
        }
    }

    fn wait_for(&mut self, answer: BoxFuture<'static, Outcome>) {
        self.in_flight.get_or_insert_default().push(answer);
    }

    fn conclude(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Reply(event) => self.reply(&event),
            Outcome::Joined { room, may_create, result } => {
                let end = match result {
                    Ok(seated) if seated.created => JoinEnd::Created,
                    Ok(_) => JoinEnd::Joined,
                    Err(refused) => {
                        self.reply(&Event::Error(refused));
                        JoinEnd::Refused
                    }
                };
                let mut actions = Vec::new();
                self.session.join_ended(&room, may_create, end, &mut actions);
                self.carry_out(&mut actions, self.hub.clock.now());
            }
        }
    }

    /// Replies take the same way as pushes: one order, one bound.
    fn reply(&self, event: &Event) {
        let mut line = Vec::with_capacity(REPLY_BYTES);
        native::encode(event, &mut line);
        self.mailbox.push(Bytes::from(line));
    }

    fn close(&mut self, close: Close, retry_ms: Option<Millis>) {
        self.wire.close(close, retry_ms);
        self.end();
    }

    /// Nothing is received or delivered from here on: what is left is to say goodbye.
    fn end(&mut self) {
        if self.end_by.is_none() {
            self.end_by = Some(self.hub.clock.now() + LINGER_MS);
            self.depart();
        }
    }

    fn depart(&mut self) {
        self.in_flight = None;
        let user = self.session.user().map(|user| &user.id);
        if let Some(user) = user {
            for room in self.session.rooms() {
                self.hub.rooms.leave(&self.mailbox, user, room, Departure::AfterGrace);
            }
        }
        self.hub.rooms.disconnect(&self.mailbox, user);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The task was ended from outside, at the end of a drain.
        if self.end_by.is_none() {
            self.depart();
        }
        self.hub.counts.socket_closed();
    }
}

/// How far reading got.
enum Reading {
    /// Everything that has arrived.
    Drained,
    /// No more until the store has answered something.
    Full,
    /// Others have a turn; there may be more.
    OutOfTurn,
}
