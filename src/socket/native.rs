//! A client of the native protocol: its session, and how the session's decisions are carried out.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout};

use super::client::Client;
use super::followed::Followed;
use super::in_flight::InFlight;
use super::link::Incoming;
use super::outcome::{Outcome, count_write, sent, unanswered_write};
use super::wire::Wire;
use super::{ANSWER_WITHIN, Hub};
use crate::auth::SignInError;
use crate::domain::{Draft, Kind, Millis, RoomId, Trace, User, UserName};
use crate::metrics::labels::{Budget, CommandOutcome, CommandType, GoawayReason, Protocol, TokenFault};
use crate::protocol::{Close, Code, Command, CommandId, Event, Goaway, Refused, Request, Token, native};
use crate::rooms::{Answer, Departure, JoinRequest, Mailbox, Note};
use crate::session::{Action, Join, JoinEnd, Session};

/// What most replies fit in.
const REPLY_BYTES: usize = 256;

/// One client.
pub struct Native {
    hub: Arc<Hub>,
    session: Session,
    mailbox: Arc<Mailbox>,
    /// Commands that wait for the store. Most sockets never have one: the embedded store answers at once.
    in_flight: InFlight<Outcome>,
    closing: Option<(Close, Option<Millis>)>,
    /// Where its handshake stands in a trace.
    trace: Option<Trace>,
}

impl Native {
    /// A client that has just connected.
    pub fn new(hub: Arc<Hub>, mailbox: Arc<Mailbox>, trace: Option<Trace>, reachable: bool, now: Millis) -> Self {
        let session = Session::new(Arc::clone(&hub.rules.limits), hub.rules.timing_of_one(), reachable, now);
        Self { hub, session, mailbox, in_flight: InFlight::new(), closing: None, trace }
    }

    fn carry_out(&mut self, actions: &mut Vec<Action>, now: Millis) {
        for action in actions.drain(..) {
            if self.closing.is_some() {
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
                    let followed = Followed::begin("history", None, self.trace);
                    let page = self.hub.rooms.history(id, &room, before, limit);
                    let read = page.map(|event| {
                        followed.end(refused(&event));
                        Outcome::Reply(CommandType::History, event)
                    });
                    self.start(read.boxed());
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
                Action::Close(close, retry_ms) => self.closing = Some((close, retry_ms)),
            }
        }
    }

    fn sign_in(&mut self, id: Option<CommandId>, name: UserName, token: Option<Token>, now: Millis) {
        let hub = Arc::clone(&self.hub);
        let before = self.session.user().cloned();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (unix, unix_ms) = (wall.as_secs(), Millis::try_from(wall.as_millis()).unwrap_or(Millis::MAX));
        let signed = match (&before, token) {
            // A second hello may leave the token out: it is the same client.
            (Some(user), None) => {
                hub.auth.sign(&user.id, unix).map(|token| (User { id: user.id.clone(), name }, token))
            }
            (_, token) => hub.auth.sign_in(name, token.as_ref(), unix),
        };
        let (user, token) = match signed {
            Ok(signed) => signed,
            Err(error) => {
                hub.metrics.token_failures.inc(match error {
                    SignInError::Forged => TokenFault::Forged,
                    SignInError::Expired => TokenFault::Expired,
                    SignInError::Unsigned => TokenFault::Unsigned,
                });
                let refused = Refused::new(id, error.code(), error.to_string());
                return self.answer(CommandType::Hello, &Event::Error(refused));
            }
        };
        if before.as_ref().is_some_and(|before| before.id != user.id) {
            let refused = Refused::new(id, Code::Forbidden, "the token is another user's: open another connection");
            hub.metrics.token_failures.inc(TokenFault::Foreign);
            return self.answer(CommandType::Hello, &Event::Error(refused));
        }
        let first = self.session.signed_in(user.clone(), now);
        let welcome = Event::Welcome {
            id,
            user: user.clone(),
            token,
            instance: Arc::clone(&hub.rules.instance),
            durability: hub.rooms.durability().as_str(),
            heartbeat_ms: hub.rules.timing.heartbeat_ms,
            rotate_after_ms: hub.rules.timing.rotate_after_ms,
            limits: Arc::clone(&hub.rules.limits),
        };
        self.answer(CommandType::Hello, &welcome);
        if first {
            hub.rooms.signed_in(&self.mailbox, &user, unix_ms);
            if self.session.is_degraded() {
                self.reply(&Event::Degraded { on: true });
            }
        } else if before.is_some_and(|before| before.name != user.name) {
            hub.rooms.rename(&user, &self.mailbox, unix_ms);
            self.refresh_rooms();
        }
    }

    fn refresh_rooms(&self) {
        if let Some(user) = self.session.user() {
            for room in self.session.rooms() {
                self.hub.rooms.refresh(room, user, &self.mailbox);
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
            answer: Answer::Native,
        };
        let followed = Followed::begin("join", None, self.trace);
        let joining = self.hub.rooms.join(&self.mailbox, user, request);
        let joined = joining.map(move |result| {
            followed.end(result.as_ref().err().map(|refused| refused.code));
            Outcome::Joined { room, may_create, result }
        });
        self.start(joined.boxed());
    }

    fn append(&mut self, id: Option<CommandId>, room: RoomId, mut draft: Draft) {
        let followed = Followed::begin(name_of(draft.body.kind()), draft.trace, self.trace);
        draft.trace = followed.trace();
        let (command, since) = (type_of_write(draft.body.kind()), Instant::now());
        let metrics = Arc::clone(&self.hub.metrics);
        let mut appending = self.hub.rooms.write(&room, draft);
        // The embedded store answers at once, and then there is nothing to wait for.
        if let Poll::Ready(result) = appending.poll_unpin(&mut Context::from_waker(Waker::noop())) {
            count_write(&metrics, Self::PROTOCOL, since, Some(&result));
            let answer = sent(id, room, result);
            followed.end(refused(&answer));
            return self.answer(command, &answer);
        }
        let answer = timeout(ANSWER_WITHIN, appending).map(move |result| {
            count_write(&metrics, Self::PROTOCOL, since, result.as_ref().ok());
            let answer = match result {
                Ok(result) => sent(id, room, result),
                Err(_) => Event::Error(unanswered_write(id)),
            };
            followed.end(refused(&answer));
            Outcome::Reply(command, answer)
        });
        self.wait_for(answer.boxed());
    }

    /// Takes the answer if it is there already, or waits for it.
    fn start(&mut self, answer: BoxFuture<'static, Outcome>) {
        if let Some(outcome) = self.in_flight.start(answer) {
            self.conclude(outcome);
        }
    }

    fn wait_for(&mut self, answer: BoxFuture<'static, Outcome>) {
        self.in_flight.wait_for(answer);
    }

    fn conclude(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Reply(command, event) => self.answer(command, &event),
            Outcome::Joined { room, may_create, result } => {
                if result.is_ok() {
                    self.hub.metrics.commands.inc((CommandType::Join, CommandOutcome::Done));
                }
                let end = match result {
                    Ok(seated) if seated.created => JoinEnd::Created,
                    Ok(_) => JoinEnd::Joined,
                    Err(refused) => {
                        self.answer(CommandType::Join, &Event::Error(refused));
                        JoinEnd::Refused
                    }
                };
                let mut actions = Vec::new();
                self.session.join_ended(&room, may_create, end, &mut actions);
                self.carry_out(&mut actions, self.hub.clock.now());
            }
        }
    }

    /// The reply that ends a command.
    fn answer(&self, command: CommandType, event: &Event) {
        let refused = matches!(event, Event::Error(_));
        let outcome = if refused { CommandOutcome::Refused } else { CommandOutcome::Done };
        self.hub.metrics.commands.inc((command, outcome));
        self.reply(event);
    }

    /// Counts a command that was carried out or refused at once. The others are, where they are answered.
    fn count(&self, command: CommandType, actions: &[Action]) {
        let refusal = actions.iter().find_map(|action| match action {
            Action::Reply(Event::Error(refused)) => Some(refused.code),
            _ => None,
        });
        let answered_later = matches!(
            command,
            CommandType::Hello
                | CommandType::Join
                | CommandType::Send
                | CommandType::Edit
                | CommandType::Delete
                | CommandType::React
                | CommandType::History
        );
        match refusal {
            Some(code) => {
                // What the session itself finds too fast is one command among others.
                if code == Code::RateLimited {
                    self.hub.metrics.budgets_exceeded.inc(Budget::Commands);
                }
                // What the session refuses because the store is away has failed like what the store itself doesn't answer.
                if code == Code::Unavailable && is_write(command) {
                    count_write(&self.hub.metrics, Self::PROTOCOL, Instant::now(), None);
                }
                self.hub.metrics.commands.inc((command, CommandOutcome::Refused));
            }
            None if answered_later => {}
            None => self.hub.metrics.commands.inc((command, CommandOutcome::Done)),
        }
    }

    /// Replies take the same way as pushes: one order, one bound.
    fn reply(&self, event: &Event) {
        match event {
            Event::Error(refused) => self.hub.metrics.refusals.inc(refused.code),
            Event::Goaway { reason, .. } => self.hub.metrics.goaways.inc(goaway_reason(*reason)),
            _ => {}
        }
        let mut line = Vec::with_capacity(REPLY_BYTES);
        native::encode(event, &mut line);
        self.mailbox.push(Bytes::from(line));
    }
}

/// The code of a refusal.
fn refused(answer: &Event) -> Option<Code> {
    match answer {
        Event::Error(refused) => Some(refused.code),
        _ => None,
    }
}

/// The command that makes an entry of a kind.
const fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Message => "send",
        Kind::Edited => "edit",
        Kind::Deleted => "delete",
        Kind::Reacted => "react",
    }
}

const fn is_write(command: CommandType) -> bool {
    matches!(command, CommandType::Send | CommandType::Edit | CommandType::Delete | CommandType::React)
}

/// What a command is for, for whoever counts.
const fn type_of(decoded: &Result<Command, Refused>) -> CommandType {
    let Ok(command) = decoded else { return CommandType::Unreadable };
    match &command.request {
        Request::Hello { .. } => CommandType::Hello,
        Request::Join { .. } => CommandType::Join,
        Request::Leave { .. } => CommandType::Leave,
        Request::Write { body, .. } => type_of_write(body.kind()),
        Request::History { .. } => CommandType::History,
        Request::Typing { .. } => CommandType::Typing,
        Request::Read { .. } => CommandType::Read,
        Request::Pong => CommandType::Pong,
    }
}

const fn type_of_write(kind: Kind) -> CommandType {
    match kind {
        Kind::Message => CommandType::Send,
        Kind::Edited => CommandType::Edit,
        Kind::Deleted => CommandType::Delete,
        Kind::Reacted => CommandType::React,
    }
}

pub(super) const fn goaway_reason(reason: Goaway) -> GoawayReason {
    match reason {
        Goaway::Rotate => GoawayReason::Rotate,
        Goaway::Drain => GoawayReason::Drain,
    }
}

impl Client for Native {
    type Link = Wire;

    const PROTOCOL: Protocol = Protocol::Native;

    fn is_signed_in(&self) -> bool {
        self.session.user().is_some()
    }

    fn receive(&mut self, message: &Incoming, now: Millis) {
        let text = match message {
            Incoming::Text(text) => text,
            Incoming::Binary(_) => return self.closing = Some((Close::Binary, None)),
            Incoming::Control | Incoming::Close => return,
        };
        let mut actions = Vec::new();
        for object in native::objects(text) {
            let decoded = native::decode(object, &self.hub.rules.limits);
            let command = type_of(&decoded);
            self.session.receive(decoded, now, &mut actions);
            self.count(command, &actions);
            self.carry_out(&mut actions, now);
            if self.closing.is_some() {
                return;
            }
        }
    }

    fn is_full(&self) -> bool {
        self.in_flight.len() >= self.hub.rules.commands_in_flight
    }

    fn take_outcomes(&mut self, cx: &mut Context<'_>) -> bool {
        let mut some = false;
        while let Some(outcome) = self.in_flight.poll_next(cx) {
            some = true;
            self.conclude(outcome);
        }
        some
    }

    fn is_unheard(&self) -> bool {
        self.in_flight.is_unheard()
    }

    fn take_note(&mut self, note: Note, now: Millis) {
        let mut actions = Vec::new();
        match note {
            // Unless one was taken here since it was noted.
            Note::Renamed(name, named_at) if named_at == self.mailbox.named_at(&name) => {
                self.session.renamed(name);
                self.refresh_rooms();
            }
            Note::Renamed(..) => {}
            Note::Misnamed(room) => {
                if let Some(user) = self.session.user().filter(|_| self.session.rooms().any(|joined| *joined == room)) {
                    self.hub.rooms.refresh(&room, user, &self.mailbox);
                }
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

    fn due(&self) -> Millis {
        self.session.due()
    }

    fn tick(&mut self, now: Millis) {
        let mut actions = Vec::new();
        self.session.tick(now, &mut actions);
        self.carry_out(&mut actions, now);
    }

    fn closing(&self) -> Option<(Close, Option<Millis>)> {
        self.closing
    }

    fn depart(&mut self) {
        self.in_flight.clear();
        let user = self.session.user().map(|user| &user.id);
        if let Some(user) = user {
            for room in self.session.rooms() {
                self.hub.rooms.leave(&self.mailbox, user, room, Departure::AfterGrace);
            }
        }
        self.hub.rooms.disconnect(&self.mailbox, user);
    }
}
