//! Joining and resuming, which are one operation: subscribe and wait for it, read the log from the client's position,
//! and go live where the room is. A client whose way is long gets the first page as its reply and the rest as pushes.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use futures_util::try_join;
use tokio::time::{Instant, timeout};

use super::mailbox::Dialect;
use super::push::{Entries, NewStart, Push, frame};
use super::room::{Room, Seating, end_of, reset_event};
use super::{Answer, Departure, JoinRequest, Mailbox, Rooms, Seated, SocketioAnswer, refused_by_store};
use crate::domain::{Millis, Position, RoomId, User};
use crate::metrics::labels::{Budget, JoinKind, ResumeOutcome};
use crate::protocol::socketio::event::{self, Edits};
use crate::protocol::socketio::{Place, Purpose, Record};
use crate::protocol::{Code, Event, Refused};
use crate::store::{After, NEW_ROOMS_UP_TO_PERCENT, Page, PageSize, Reset, StoreError};

/// A join is answered within this time, or refused.
const ANSWER_WITHIN: Duration = Duration::from_millis(1_000);

/// What a refused client is told to wait.
const RETRY_MS: Millis = 1_000;

/// Pages that are read ahead, at most, for the texts of a page's messages that were edited behind it: more than a room of
/// `limits.history_bytes` has by default.
const EDITS_WITHIN_PAGES: usize = 32;

/// How long a join reads ahead for them: a part of [`ANSWER_WITHIN`], so that a slow store leaves out what it must and the
/// client comes in nevertheless.
const EDITS_WITHIN: Duration = Duration::from_millis(250);

/// How long a long resume waits before it asks a store again that didn't answer.
const READ_AGAIN_AFTER: Duration = Duration::from_millis(1_000);

/// Carries a join out; see [`Rooms::join`].
pub(super) async fn join(
    rooms: Arc<Rooms>,
    mailbox: Arc<Mailbox>,
    user: User,
    request: JoinRequest,
) -> Result<Seated, Refused> {
    let metrics = Arc::clone(&rooms.settings.metrics);
    let (kind, since) = (if request.since.is_some() { JoinKind::Resume } else { JoinKind::Fresh }, Instant::now());
    let room = rooms.pin(&request.room);
    let mut entrance = Entrance { rooms, room, mailbox, user, holding: false };
    let answer = timeout(ANSWER_WITHIN, entrance.answer(&request)).await;
    metrics.join_duration.record_time(kind, since.elapsed());
    let answer = answer.unwrap_or_else(|_| {
        let refused = Refused::new(request.id, Code::Unavailable, "the room could not be read in time: retry");
        Err(refused.retry_in(RETRY_MS))
    });
    if answer.is_err() && kind == JoinKind::Resume {
        metrics.resumes.inc(ResumeOutcome::Refused);
    }
    let (seated, unfinished) = answer?;
    if let Some(reading) = unfinished {
        entrance.catch_up(reading).await;
    }
    Ok(seated)
}

/// A join under way: it pins the room and holds the user's presence until the socket has its seat. Dropped without
/// one, it leaves as a socket does that ended.
struct Entrance {
    rooms: Arc<Rooms>,
    room: Arc<Room>,
    mailbox: Arc<Mailbox>,
    user: User,
    holding: bool,
}

/// A resume that goes on after the reply.
struct Reading {
    number: u64,
    from: Position,
}

impl Entrance {
    async fn answer(&mut self, request: &JoinRequest) -> Result<(Seated, Option<Reading>), Refused> {
        let id = request.id;
        let store = Arc::clone(&self.rooms.store);
        let by_store = |error| refused_by_store(id, error);
        self.rooms.opened(&self.room).await.map_err(by_store)?;
        let page = self.page_size();
        let newest = PageSize { entries: request.limit, ..page };
        if let (true, Some(since)) = (request.is_resume(), request.since) {
            // Before the user is anywhere: whoever can't go on is not announced.
            let one = PageSize { entries: 1, ..page };
            let read = store.read_after(&self.room.id, since, one, one).await.map_err(by_store)?;
            continued(id, &read)?;
        }
        let created = self.enter(request).await?;
        loop {
            let reading = async {
                match request.since {
                    Some(since) => store.read_after(&self.room.id, since, page, newest).await,
                    None => store.read_before(&self.room.id, None, newest).await.map(After::Continued),
                }
            };
            let (read, mark) = match &request.answer {
                Answer::Native => try_join!(reading, store.read_mark(&self.room.id, &self.user.id)),
                Answer::Socketio(_) => reading.await.map(|read| (read, 0)),
            }
            .map_err(by_store)?;
            let mut later = Edits::new();
            if let Answer::Socketio(answer) = &request.answer {
                if request.is_resume() {
                    continued(id, &read)?;
                }
                self.keep_record(answer, &read).await.map_err(by_store)?;
                // What was found in time stays.
                if let Ok(found) = timeout(EDITS_WITHIN, self.later_edits(&read, &mut later)).await {
                    found.map_err(by_store)?;
                }
            }
            if let Some(reading) = self.reply(request, read, &later, mark) {
                return Ok((Seated { created }, reading));
            }
            // The log and this instance don't agree yet: bring the room up to date and read again. ANSWER_WITHIN ends it.
            self.rooms.heal(&self.room).await.map_err(by_store)?;
        }
    }

    /// Makes the user a member of the room, here and in the store.
    async fn enter(&mut self, request: &JoinRequest) -> Result<bool, Refused> {
        let id = request.id;
        let (created, entering) = {
            let mut state = self.room.lock();
            let created = state.is_new();
            if created {
                request.may_create.map_err(|retry_ms| {
                    self.rooms.settings.metrics.budgets_exceeded.inc(Budget::NewRooms);
                    Refused::new(id, Code::Overloaded, "too many new rooms: join them more slowly").retry_in(retry_ms)
                })?;
                if self.rooms.store.health().full_percent.is_some_and(|full| full > NEW_ROOMS_UP_TO_PERCENT) {
                    let refused = Refused::new(id, Code::Overloaded, "no new rooms now: the store is nearly full");
                    return Err(refused.retry_in(RETRY_MS));
                }
            }
            let unknown = state.hold(&self.user);
            self.holding = true;
            // Called under the lock, so that the store sees comings and goings in the order they have here.
            (
                created,
                unknown
                    .then(|| self.rooms.store.enter(&self.room.id, &self.user, self.mailbox.named_at(&self.user.name))),
            )
        };
        if let Some(entering) = entering {
            entering.await.map_err(|error| refused_by_store(id, error))?;
        }
        Ok(created)
    }

    /// Puts the reply into the mailbox and seats the socket, in one step. `None` where the room must be healed before.
    fn reply(&mut self, request: &JoinRequest, read: After, later: &Edits, mark: u64) -> Option<Option<Reading>> {
        let (reason, page) = match read {
            After::Continued(page) => (None, page),
            After::Reset(reason, page) => (Some(reason), page),
        };
        let mut state = self.room.lock();
        self.rooms.take_in(&self.room, &mut state, &page.entries);
        let from = end_of(&page);
        // Seating pushes what follows the page, so whether something does is known only then, and the reply has to come
        // first: it is built on a copy of the decision.
        let more = state.tail.splice(from, page.top).has_more()?;
        let top = page.top;
        if request.since.is_some() {
            self.rooms.settings.metrics.resumes.inc(resume_outcome(reason));
        }
        match &request.answer {
            Answer::Native => self.mailbox.push(frame(&Event::Joined {
                id: request.id,
                room: self.room.id.clone(),
                position: from,
                recovered: request.since.map(|_| reason.is_none()),
                reason: reason.map(Reset::as_str),
                entries: page.entries,
                more: request.since.map(|_| more),
                oldest: page.oldest,
                read: mark,
                members: state.view_for(&self.user),
            })),
            Answer::Socketio(answer) => self.reply_to_socketio(answer, reason, &page, later),
        }
        let had_seat = state.has_seat(self.mailbox.id());
        state.told_members(self.mailbox.id());
        let seating = state.seat(&self.room.id, &self.mailbox, &self.user, from, top, self.page_size().bytes);
        // From here on the seat has the hold; one that was there before had its own.
        self.holding = false;
        if had_seat {
            state.release(&self.user.id);
        }
        match seating {
            Seating::CatchingUp(number) => Some(Some(Reading { number, from })),
            Seating::Live | Seating::Disagree => Some(None),
        }
    }

    /// Keeps what the client surely has, before it gets anything: with a place of its own that one, whatever it gets
    /// now may be lost on its way; without one the end of what it is given.
    async fn keep_record(&self, answer: &SocketioAnswer, read: &After) -> Result<(), StoreError> {
        let Some(id) = answer.record else { return Ok(()) };
        let (After::Continued(page) | After::Reset(_, page)) = read;
        let end = || page.entries.last().map_or(Place::ZERO, |entry| Place::of(entry));
        let place = answer.since.unwrap_or_else(end);
        let record = Record { user: self.user.clone(), room: self.room.id.clone(), place };
        match self.rooms.keep(id, record.encode()).await {
            // A full store: the client is served, and can't be resumed.
            Err(StoreError::Overloaded { .. }) => Ok(()),
            kept => kept,
        }
    }

    fn reply_to_socketio(&self, answer: &SocketioAnswer, reason: Option<Reset>, page: &Page, later: &Edits) {
        let Dialect::Socketio(style) = self.mailbox.dialect() else { return };
        let room = &self.room.id;
        answer.first.iter().for_each(|frame| self.mailbox.push(frame.clone()));
        match answer.purpose {
            Purpose::SignIn { ack: Some(ack) } => {
                self.mailbox.push(event::signed_in(ack, room, &page.entries, style));
            }
            Purpose::SignIn { ack: None } => {}
            Purpose::Update { .. } | Purpose::Resume => {
                // Of a log that took the place of the client's, what was stored after the client's last entry.
                let seen_until = match (answer.since, reason) {
                    (None, _) => Millis::MAX,
                    (Some(place), Some(Reset::Diverged | Reset::Lost)) => place.at,
                    (Some(_), None | Some(Reset::Trimmed)) => 0,
                };
                let missed: Vec<_> = page.entries.iter().filter(|entry| entry.at > seen_until).cloned().collect();
                event::messages(room, &missed, later, style).into_iter().for_each(|frame| self.mailbox.push(frame));
                if let Purpose::Update { ack: Some(ack) } = answer.purpose {
                    self.mailbox.push(event::answer(ack, None));
                }
            }
        }
    }

    /// Of a page's messages that were edited behind its end, the texts of now: Socket.IO clients hear nothing of edits, so
    /// a message comes in its place with that text or never. They are added to `later` as they are found.
    async fn later_edits(&self, read: &After, later: &mut Edits) -> Result<(), StoreError> {
        let (After::Continued(page) | After::Reset(_, page)) = read;
        if matches!(self.mailbox.dialect(), Dialect::Native) {
            return Ok(());
        }
        let mut wanted = event::edited_later(&page.entries);
        let (mut from, mut top) = (end_of(page), page.top);
        for _ in 0..EDITS_WITHIN_PAGES {
            if wanted.is_empty() || from == top {
                break;
            }
            let size = self.page_size();
            let read = self.rooms.store.read_after(&self.room.id, from.into(), size, size).await?;
            let After::Continued(ahead) = read else { break };
            for (target, text) in event::edits(&ahead.entries) {
                if wanted.remove(&target) {
                    later.insert(target, Arc::clone(text));
                }
            }
            (from, top) = (end_of(&ahead), ahead.top);
        }
        Ok(())
    }

    /// Pushes the log from a position on, as fast as the socket takes it, until the socket is where the room is.
    async fn catch_up(&mut self, reading: Reading) {
        let Reading { mut number, mut from } = reading;
        let size = self.page_size();
        loop {
            poll_fn(|cx| self.mailbox.poll_drained(cx, size.bytes)).await;
            let read = self.rooms.store.read_after(&self.room.id, from.into(), size, size).await;
            let mut later = Edits::new();
            let read = match read {
                Ok(read) => self.later_edits(&read, &mut later).await.map(|()| read),
                Err(error) => Err(error),
            };
            let Ok(read) = read else {
                tokio::time::sleep(READ_AGAIN_AFTER).await;
                continue;
            };
            let seating = {
                let mut state = self.room.lock();
                if !state.is_catching_up(self.mailbox.id(), number) {
                    return;
                }
                from = self.push(&read, &later);
                let (After::Continued(page) | After::Reset(_, page)) = &read;
                self.rooms.take_in(&self.room, &mut state, &page.entries);
                state.seat(&self.room.id, &self.mailbox, &self.user, from, page.top, size.bytes)
            };
            match seating {
                Seating::Live => return,
                Seating::CatchingUp(next) => number = next,
                Seating::Disagree => {
                    // A store that is away fails this too; the next read waits for it.
                    let _ = self.rooms.heal(&self.room).await;
                }
            }
        }
    }

    /// Pushes a page to this socket alone; returns where it is then.
    fn push(&self, read: &After, later: &Edits) -> Position {
        let page = match (read, self.mailbox.dialect()) {
            (After::Continued(page), Dialect::Socketio(style)) => {
                let frames = event::messages(&self.room.id, &page.entries, later, style);
                frames.into_iter().for_each(|frame| self.mailbox.push(frame));
                page
            }
            (After::Continued(page), Dialect::Native) => {
                Push::new(&Entries { room: &self.room.id, entries: &page.entries }).to(&self.mailbox);
                page
            }
            (After::Reset(reason, page), _) => {
                let unseen = Entries { room: &self.room.id, entries: &page.entries };
                let event = reset_event(&self.room.id, *reason, page);
                Push::new(&NewStart { event, unseen }).to(&self.mailbox);
                page
            }
        };
        end_of(page)
    }

    fn page_size(&self) -> PageSize {
        let limits = &self.rooms.settings.limits;
        PageSize { entries: limits.page_entries, bytes: limits.page_bytes }
    }
}

impl JoinRequest {
    const fn is_resume(&self) -> bool {
        matches!(self.answer, Answer::Socketio(SocketioAnswer { purpose: Purpose::Resume, .. }))
    }
}

const fn resume_outcome(reason: Option<Reset>) -> ResumeOutcome {
    match reason {
        None => ResumeOutcome::Recovered,
        Some(Reset::Trimmed) => ResumeOutcome::Trimmed,
        Some(Reset::Diverged) => ResumeOutcome::Diverged,
        Some(Reset::Lost) => ResumeOutcome::Lost,
    }
}

/// Refuses to resume where the log doesn't continue.
fn continued(id: Option<crate::protocol::CommandId>, read: &After) -> Result<(), Refused> {
    match read {
        After::Continued(_) => Ok(()),
        After::Reset(..) => Err(Refused::new(id, Code::NotFound, "the log does not continue from there")),
    }
}

impl Drop for Entrance {
    fn drop(&mut self) {
        if self.holding {
            self.rooms.release(&self.room, &mut self.room.lock(), &self.user.id, Departure::AfterGrace);
        }
        self.rooms.unpin(&self.room);
    }
}

/// Reads an older page; see [`Rooms::history`].
pub(super) async fn history(
    rooms: Arc<Rooms>,
    id: Option<crate::protocol::CommandId>,
    room: RoomId,
    before: Option<u64>,
    limit: usize,
) -> Event {
    let size = PageSize { entries: limit, bytes: rooms.settings.limits.page_bytes };
    let reading = timeout(ANSWER_WITHIN, rooms.store.read_before(&room, before, size));
    match reading.await {
        Ok(Ok(Page { entries, top, oldest })) => {
            let first = entries.first().map_or_else(|| before.unwrap_or(top.offset + 1), |entry| entry.offset);
            let more = oldest > 0 && oldest < first;
            Event::Page { id, room, position: top, entries, more, oldest }
        }
        Ok(Err(error)) => Event::Error(refused_by_store(id, error)),
        Err(_) => {
            let refused = Refused::new(id, Code::Unavailable, "the page could not be read in time: retry");
            Event::Error(refused.retry_in(RETRY_MS))
        }
    }
}
