//! A Socket.IO client: its session, and how the session's decisions are carried out.

use std::sync::Arc;
use std::task::Context;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout};

use super::carrier::Carrier;
use super::client::Client;
use super::followed::Followed;
use super::in_flight::InFlight;
use super::link::Incoming;
use super::native::goaway_reason;
use super::outcome::{count_write, unanswered_write, write_refused};
use super::{ANSWER_WITHIN, Hub};
use crate::auth::new_id;
use crate::domain::{Body, Draft, Key, Millis, RoomId, Text, Trace, User};
use crate::metrics::labels::{CommandOutcome, CommandType, Protocol};
use crate::protocol::engineio::{self, Open, Packet};
use crate::protocol::socketio::{AckId, Call, Pid, Place, Purpose, Record, Said, Style, call, event};
use crate::protocol::{Close, Code, Goaway, Malformed};
use crate::rooms::{Answer, Departure, JoinRequest, Mailbox, Note, Seated, SocketioAnswer};
use crate::session::socketio::{Action, Join, JoinEnd, RENEW_MS, Recalled, Session};
use crate::store::RecordId;

/// Random bytes in a name that a client is given.
const SID_BYTES: usize = 15;

/// One client.
pub struct Socketio {
    hub: Arc<Hub>,
    session: Session,
    mailbox: Arc<Mailbox>,
    style: Arc<Style>,
    /// What the client may come back with.
    pid: Option<(Pid, RecordId)>,
    /// What may be the client's position, where no record says in which room.
    offset: Option<String>,
    /// What waits for the store.
    in_flight: InFlight<Outcome>,
    /// A packet whose attachments are still to come, and how many.
    unfinished: Option<(Said, usize)>,
    closing: Option<(Close, Option<Millis>)>,
    /// Where its handshake stands in a trace.
    trace: Option<Trace>,
}

/// What the store has answered.
enum Outcome {
    Recalled(Recalled),
    Joined(Join, JoinEnd),
    Written(Option<AckId>, Result<(), std::borrow::Cow<'static, str>>),
    Renewed,
}

/// A name for a session or a connection: 20 characters of base64url.
pub fn new_sid() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; SID_BYTES]>())
}

impl Socketio {
    /// A client whose transport has just been opened: it is told so first.
    pub fn new(
        hub: Arc<Hub>,
        mailbox: Arc<Mailbox>,
        style: Arc<Style>,
        sid: &str,
        may_upgrade: bool,
        reachable: bool,
        now: Millis,
    ) -> Self {
        let rules = &hub.rules;
        let open = Open {
            sid,
            may_upgrade,
            ping_interval: rules.timing.heartbeat_ms,
            ping_timeout: rules.timing.heartbeat_timeout_ms,
            max_payload: rules.limits.frame_bytes,
        };
        mailbox.push(open.encode().into());
        // Clients that came together, at a deploy, renew apart.
        let renew_after_ms = rand::random_range(RENEW_MS / 2..=RENEW_MS);
        let (limits, timing) = (Arc::clone(&rules.limits), rules.timing_of_one());
        let session = Session::new(limits, timing, renew_after_ms, new_id(), reachable, now);
        Self {
            hub,
            session,
            mailbox,
            style,
            pid: None,
            offset: None,
            in_flight: InFlight::new(),
            unfinished: None,
            closing: None,
            trace: None,
        }
    }

    /// The same client, whose handshake stands in a trace.
    pub fn in_trace(self, trace: Option<Trace>) -> Self {
        Self { trace, ..self }
    }

    fn receive_text(&mut self, text: &str, now: Millis) -> Result<(), Malformed> {
        match engineio::decode(text)? {
            Packet::Close => self.closing = Some((Close::Normal, None)),
            Packet::Pong => self.session.pong(),
            Packet::Message(_) if self.unfinished.is_some() => {
                return Err(Malformed("a packet before the attachments of the one before"));
            }
            Packet::Message(packet) => {
                let (said, attachments) = call::decode(packet, self.session.limits())?;
                if attachments > 0 {
                    self.unfinished = Some((said, attachments));
                } else {
                    self.receive_packet(said, now);
                }
            }
            Packet::Ping(_) => return Err(Malformed("servers send pings")),
            Packet::Upgrade | Packet::Noop => {}
        }
        Ok(())
    }

    fn receive_binary(&mut self, now: Millis) -> Result<(), Malformed> {
        match self.unfinished.take() {
            None => Err(Malformed("an attachment of nothing")),
            Some((said, 1)) => {
                // No event of the tutorial takes an attachment, so its place in the arguments is all that is looked at.
                self.receive_packet(said, now);
                Ok(())
            }
            Some((said, attachments)) => {
                self.unfinished = Some((said, attachments - 1));
                Ok(())
            }
        }
    }

    fn receive_packet(&mut self, said: Said, now: Millis) {
        let command = type_of(&said);
        let mut actions = Vec::new();
        self.session.receive(said, now, &mut actions);
        let refused = |action: &Action| {
            matches!(action, Action::Answer { error: Some(_), .. } | Action::NotStored { .. } | Action::Ignored)
        };
        if let Some(command) = command
            && actions.iter().any(refused)
        {
            self.hub.metrics.commands.inc((command, CommandOutcome::Refused));
        }
        self.carry_out(actions, now);
    }

    fn carry_out(&mut self, actions: Vec<Action>, now: Millis) {
        for action in actions {
            if self.closing.is_some() {
                return;
            }
            match action {
                Action::Ping => self.mailbox.push(Bytes::from_static(engineio::PING.as_bytes())),
                Action::Connected => self.connected(),
                Action::NoNamespace { namespace } => self.mailbox.push(event::no_namespace(&namespace)),
                Action::Answer { ack, error } => self.mailbox.push(event::answer(ack, error.as_deref())),
                // It has failed like what the store itself doesn't answer.
                Action::NotStored { ack, error } => {
                    count_write(&self.hub.metrics, Self::PROTOCOL, Instant::now(), None);
                    ack.into_iter().for_each(|ack| self.mailbox.push(event::answer(ack, Some(error))));
                }
                Action::Recall { pid, offset } => self.recall(pid, offset),
                Action::Join(join) => self.join(join, now),
                Action::Leave { user, room } => {
                    self.hub.rooms.leave(&self.mailbox, &user, &room, Departure::AtOnce);
                }
                Action::Abandon => self.in_flight.clear(),
                Action::Write { ack, user, room, text } => self.append(ack, user, &room, text),
                Action::Renew => self.renew(),
                Action::Ignored => self.hub.metrics.ignored.inc(()),
                Action::Close(close, retry_ms) => {
                    match close {
                        Close::Rotate => self.hub.metrics.goaways.inc(goaway_reason(Goaway::Rotate)),
                        Close::Drain => self.hub.metrics.goaways.inc(goaway_reason(Goaway::Drain)),
                        _ => {}
                    }
                    self.closing = Some((close, retry_ms));
                }
            }
        }
    }

    /// Confirms the connection, under a new `pid`.
    fn connected(&mut self) {
        self.pid = self.style.seal.as_ref().map(|seal| {
            let id = rand::random();
            (Pid::new(id, &**seal), RecordId(id))
        });
        self.mailbox.push(event::connected(&new_sid(), self.pid.as_ref().map(|(pid, _)| pid)));
    }

    fn recall(&mut self, pid: Pid, offset: Option<String>) {
        self.offset.clone_from(&offset);
        let id = self.style.seal.as_ref().and_then(|seal| pid.id(&**seal));
        let (Some(seal), Some(id)) = (self.style.seal.clone(), id) else {
            return self.start(std::future::ready(Outcome::Recalled(Recalled::Unknown)).boxed());
        };
        let id = RecordId(id);
        self.pid = Some((pid, id));
        let limits = Arc::clone(&self.hub.rules.limits);
        let reading = timeout(ANSWER_WITHIN, self.hub.rooms.kept(id));
        let recalled = reading.map(move |read| {
            let Ok(Ok(record)) = read else { return Recalled::Unavailable };
            let Some(mut record) = record.and_then(|record| Record::decode(&record, &limits)) else {
                return Recalled::Unknown;
            };
            if let Some(place) = offset.and_then(|offset| Place::open(&offset, &record.room, &*seal)) {
                record.place = record.place.later(place);
            }
            Recalled::Found(record)
        });
        self.start(recalled.map(Outcome::Recalled).boxed());
    }

    fn join(&mut self, mut join: Join, now: Millis) {
        let offset = self.offset.take();
        if matches!(join.purpose, Purpose::Update { .. }) && join.since.is_none() {
            let seal = self.style.seal.as_deref();
            join.since = offset.zip(seal).and_then(|(offset, seal)| Place::open(&offset, &join.room, seal));
        }
        let limits = &self.hub.rules.limits;
        let limit = match join.purpose {
            // Without a place nothing is pushed, and the page is only where the client goes live.
            Purpose::Update { .. } if join.since.is_none() => 1,
            Purpose::SignIn { .. } | Purpose::Update { .. } | Purpose::Resume => limits.page_entries,
        };
        let confirmation = || event::connected(&new_sid(), self.pid.as_ref().map(|(pid, _)| pid));
        let first = (join.purpose == Purpose::Resume).then(confirmation);
        let answer = SocketioAnswer {
            purpose: join.purpose,
            first,
            since: join.since,
            record: self.pid.as_ref().map(|(_, record)| *record),
        };
        let request = JoinRequest {
            id: None,
            room: join.room.clone(),
            since: join.since.map(|place| place.position.into()),
            limit,
            may_create: if join.may_create { Ok(()) } else { Err(self.session.new_room_retry_ms(now)) },
            answer: Answer::Socketio(answer),
        };
        let joining = self.hub.rooms.join(&self.mailbox, &join.user, request);
        let ended = joining.map(move |result| {
            let end = match result {
                Ok(Seated { created: true }) => JoinEnd::Created,
                Ok(Seated { created: false }) => JoinEnd::Joined,
                Err(refused) => match (refused.code, join.purpose) {
                    (Code::NotFound, Purpose::Resume) => JoinEnd::NotContinued,
                    (Code::Unavailable, _) => JoinEnd::Unavailable,
                    _ => JoinEnd::Refused(refused.message),
                },
            };
            Outcome::Joined(join, end)
        });
        self.start(ended.boxed());
    }

    fn append(&mut self, ack: Option<AckId>, user: User, room: &RoomId, text: Arc<str>) {
        // These clients have no keys and never retry by themselves, so any new key will do.
        let Ok(key) = Key::parse(&new_sid()) else { return };
        let body = Body::Message { text: Text::Kept(text), reply_to: None };
        let followed = Followed::begin("message", None, self.trace);
        let (metrics, since) = (Arc::clone(&self.hub.metrics), Instant::now());
        let appending = self.hub.rooms.write(room, Draft { user, key, body, trace: followed.trace() });
        let written = timeout(ANSWER_WITHIN, appending).map(move |result| {
            count_write(&metrics, Self::PROTOCOL, since, result.as_ref().ok());
            let result = match result {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(write_refused(None, error)),
                Err(_) => Err(unanswered_write(None)),
            };
            followed.end(result.as_ref().err().map(|refused| refused.code));
            Outcome::Written(ack, result.map_err(|refused| refused.message))
        });
        self.start(written.boxed());
    }

    fn renew(&mut self) {
        let Some((_, id)) = &self.pid else {
            return self.start(std::future::ready(Outcome::Renewed).boxed());
        };
        let (id, rooms) = (*id, Arc::clone(&self.hub.rooms));
        let renewing = async move {
            // One that can't be renewed now is the next time, long before it ends.
            if let Ok(Some(record)) = rooms.kept(id).await {
                let _ = rooms.keep(id, record).await;
            }
            Outcome::Renewed
        };
        self.start(renewing.boxed());
    }

    /// Takes the answer if it is there already, or waits for it.
    fn start(&mut self, answer: BoxFuture<'static, Outcome>) {
        if let Some(outcome) = self.in_flight.start(answer) {
            self.conclude(outcome);
        }
    }

    fn conclude(&mut self, outcome: Outcome) {
        let now = self.hub.clock.now();
        let mut actions = Vec::new();
        self.count(&outcome);
        match outcome {
            Outcome::Recalled(recalled) => self.session.recalled(recalled, now, &mut actions),
            Outcome::Joined(join, end) => self.session.join_ended(&join, end, now, &mut actions),
            Outcome::Written(Some(ack), result) => self.mailbox.push(event::answer(ack, result.err().as_deref())),
            Outcome::Written(None, Ok(())) => {}
            Outcome::Written(None, Err(_)) => self.hub.metrics.ignored.inc(()),
            Outcome::Renewed => self.session.renewed(now, &mut actions),
        }
        self.carry_out(actions, now);
    }

    /// Counts a command that the store had a part in.
    fn count(&self, outcome: &Outcome) {
        let (command, done) = match outcome {
            Outcome::Written(_, result) => (CommandType::Send, result.is_ok()),
            Outcome::Joined(Join { purpose: Purpose::SignIn { .. } | Purpose::Update { .. }, .. }, end) => {
                (CommandType::Join, matches!(end, JoinEnd::Created | JoinEnd::Joined))
            }
            // Nobody has asked for these.
            Outcome::Joined(Join { purpose: Purpose::Resume, .. }, _) | Outcome::Recalled(_) | Outcome::Renewed => {
                return;
            }
        };
        let outcome = if done { CommandOutcome::Done } else { CommandOutcome::Refused };
        self.hub.metrics.commands.inc((command, outcome));
    }

    fn is_idle(&self) -> bool {
        self.in_flight.len() == 0
    }
}

/// What an event is for, for whoever counts: the tutorial's client joins as it signs in.
fn type_of(said: &Said) -> Option<CommandType> {
    match said {
        Said::Call { call: Ok(Call::SignIn { .. } | Call::UpdateSocketId { .. }), .. } => Some(CommandType::Join),
        Said::Call { call: Ok(Call::SendMessage { .. }), .. } => Some(CommandType::Send),
        Said::Call { call: Err(_), .. } => Some(CommandType::Unreadable),
        Said::Connect { .. } | Said::ConnectElsewhere { .. } | Said::Disconnect | Said::Ack => None,
    }
}

impl Client for Socketio {
    type Link = Carrier;

    const PROTOCOL: Protocol = Protocol::Socketio;

    fn is_signed_in(&self) -> bool {
        self.session.seats().next().is_some()
    }

    fn receive(&mut self, message: &Incoming, now: Millis) {
        let received = match message {
            Incoming::Text(text) => self.receive_text(text, now),
            Incoming::Binary(_) => self.receive_binary(now),
            Incoming::Control | Incoming::Close => Ok(()),
        };
        if let Err(malformed) = received {
            tracing::debug!(%malformed, "a Socket.IO client's packet could not be read");
            self.closing = Some((Close::Protocol, None));
        }
    }

    fn is_full(&self) -> bool {
        let moving = matches!(self.closing, Some((Close::Rotate | Close::Drain, _)));
        moving || self.in_flight.len() >= self.hub.rules.commands_in_flight
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
        match note {
            Note::Reachable(reachable) => self.session.reachable(reachable, now),
            Note::Goaway(reason) => {
                let in_ms = rand::random_range(0..=self.hub.rules.spread_ms);
                self.session.go_away(reason, in_ms, now);
            }
            // These clients have no word for either.
            Note::Renamed(..) | Note::Misnamed(_) | Note::Durability(_) => {}
        }
    }

    fn due(&self) -> Millis {
        self.session.due()
    }

    fn tick(&mut self, now: Millis) {
        let mut actions = Vec::new();
        self.session.tick(now, &mut actions);
        self.carry_out(actions, now);
    }

    fn closing(&self) -> Option<(Close, Option<Millis>)> {
        // A client that only has to move gets the answers that are on their way: it would not ask again.
        self.closing.filter(|(close, _)| !matches!(close, Close::Rotate | Close::Drain) || self.is_idle())
    }

    fn depart(&mut self) {
        self.in_flight.clear();
        for (user, room) in self.session.seats() {
            self.hub.rooms.leave(&self.mailbox, &user.id, room, Departure::AfterGrace);
        }
        self.hub.rooms.disconnect(&self.mailbox, None);
    }
}
