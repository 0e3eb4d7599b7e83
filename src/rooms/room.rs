//! One room on this instance: who sits in it, what was delivered, and how that reaches the mailboxes. Nothing here
//! waits: every method runs under the room's lock, and what takes time is done by the rooms' futures.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::continuity::Continuity;
use super::push::{Encode, Entries, NewStart, Presence, Push};
use super::roster::{Announcement, Announcer, Roster, Told};
use super::tail::{Doubt, Splice, Tail};
use super::traces::Expected;
use super::{Live, Mailbox};
use crate::domain::{Entry, Millis, Position, RoomId, User, UserId};
use crate::metrics::Metrics;
use crate::metrics::labels::DeliveryLoss;
use crate::protocol::{Event, MemberView};
use crate::store::{Members, Page, PresenceChange, Publication, Reset, cost};

/// Publications that are kept while a room is being opened; beyond it the room is read once more.
const OPENING_CAPACITY: usize = 1_024;

/// Typing is announced at most once in this time per user and room.
const TYPING_INTERVAL_MS: Millis = 3_000;

/// A room that somebody here is in, or was until lately.
#[derive(Debug)]
pub struct Room {
    /// Its name.
    pub id: RoomId,
    state: Mutex<State>,
    /// Woken when the room was opened or couldn't be, and when it was healed or couldn't be.
    pub changed: Notify,
}

impl Room {
    /// A room that isn't subscribed yet.
    pub fn new(id: RoomId, tail_entries: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        let state = State {
            phase: Phase::Closed,
            tail: Tail::new(tail_entries, Position::ZERO, Vec::new()),
            roster: Roster::Counted(0),
            roster_version: 0,
            announcer: Announcer::default(),
            announce_scheduled: false,
            seats: HashMap::new(),
            live: Vec::new(),
            locals: HashMap::new(),
            expelled: false,
            pins: 0,
            absences: 0,
            catch_ups: 0,
            healing: Healing::Idle,
            healed_at: None,
            expected: Expected::default(),
            continuity: Continuity::default(),
            metrics,
        };
        Arc::new(Self { id, state: Mutex::new(state), changed: Notify::new() })
    }

    /// The room's state, locked.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything that changes about a room.
#[derive(Debug)]
pub struct State {
    /// Whether publications come in.
    pub phase: Phase,
    /// What was delivered.
    pub tail: Tail,
    /// The members over all instances.
    pub roster: Roster,
    /// Counts the changes of the roster.
    pub roster_version: u64,
    announcer: Announcer,
    announce_scheduled: bool,
    seats: HashMap<u64, Seat>,
    live: Vec<Arc<Mailbox>>,
    locals: HashMap<UserId, Local>,
    /// Joins under way; the room isn't forgotten meanwhile.
    pub pins: usize,
    absences: u64,
    catch_ups: u64,
    /// Somebody who is here was published as gone: this instance's lease ended meanwhile. Roster and store agree then,
    /// and are both wrong.
    pub expelled: bool,
    /// Whether the log is being read to fill a gap.
    pub healing: Healing,
    /// When that was last done because of a doubt, not a gap.
    pub healed_at: Option<Millis>,
    /// Sampled entries that are about to come.
    pub expected: Expected,
    continuity: Continuity,
    metrics: Arc<Metrics>,
}

/// Whether a room's publications come in.
#[derive(Debug)]
pub enum Phase {
    /// Not subscribed.
    Closed,
    /// Being subscribed and read; what comes in meanwhile waits here.
    Opening {
        /// In order.
        waiting: Vec<Publication>,
        /// More came than could wait.
        overflowed: bool,
    },
    /// Subscribed; `tail` and `roster` are valid.
    Open,
}

/// Whether the log is being read because something is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Healing {
    /// No.
    Idle,
    /// Yes.
    Running,
    /// Yes, and something else was missed since: read again.
    Again,
}

/// A socket in the room.
#[derive(Debug)]
struct Seat {
    mailbox: Arc<Mailbox>,
    user: UserId,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Gets what the room gets; its index in `live`.
    Live(usize),
    /// Still reads the log; the number of the reading that may seat it.
    CatchingUp(u64),
}

/// A user with sockets in the room on this instance, or one whose last socket ended less than the grace ago.
#[derive(Debug)]
struct Local {
    /// Who, under the newest name that was heard of.
    user: User,
    /// Sockets in the room and joins under way.
    holds: usize,
    sockets: Vec<u64>,
    /// The number of the absence, while there are no holds.
    absence: Option<u64>,
    typing_at: Option<Millis>,
}

/// Settings that decide how presence is told.
#[derive(Debug, Clone, Copy)]
pub struct PresenceRules {
    /// Members are listed up to this many.
    pub list_up_to: usize,
    /// And again once there are at most this many.
    pub list_again_at: usize,
    /// Least time between two tellings of changes.
    pub coalesce_ms: Millis,
    /// Least time between two tellings of a count.
    pub count_interval_ms: Millis,
}

/// What is to be done about presence after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresenceDue {
    /// Nothing.
    Nothing,
    /// Tell it at this time.
    At(Millis),
    /// Read the members: the room is small enough to be listed again.
    Relist,
}

impl State {
    /// Whether nobody needs the room.
    pub fn is_unused(&self) -> bool {
        self.pins == 0 && self.seats.is_empty() && self.locals.is_empty()
    }

    /// Whether the room has neither entries nor members.
    pub fn is_new(&self) -> bool {
        self.tail.position().offset == 0 && self.roster.count() == 0 && self.locals.is_empty()
    }

    /// Keeps a publication for later while the room is being opened. Returns it where it can be taken in now.
    pub fn hold_back(&mut self, publication: Publication) -> Option<Publication> {
        match &mut self.phase {
            Phase::Open => Some(publication),
            Phase::Closed => None,
            Phase::Opening { waiting, overflowed } => {
                if waiting.len() < OPENING_CAPACITY {
                    waiting.push(publication);
                } else {
                    *overflowed = true;
                }
                None
            }
        }
    }

    /// The room was subscribed and read. Returns what came in meanwhile, and whether some of it was lost.
    pub fn open(&mut self, page: Page, members: Members) -> (Vec<Publication>, bool) {
        self.continuity.restart(page.top);
        self.tail.restart(page.top, page.entries);
        self.roster = Roster::new(members);
        match std::mem::replace(&mut self.phase, Phase::Open) {
            Phase::Opening { waiting, overflowed } => (waiting, overflowed),
            Phase::Closed | Phase::Open => (Vec::new(), true),
        }
    }

    /// Takes entries in, in order, and delivers what follows. Returns what else has to be done.
    pub fn take(&mut self, room: &RoomId, entries: impl IntoIterator<Item = Arc<Entry>>) -> Doubt {
        let (deliver, doubt) = self.tail.take(entries);
        let before = self.continuity.at();
        if !self.continuity.follows(&deliver) {
            self.metrics.gaps_unannounced.inc(());
            tracing::error!(
                delivered = before.map(|at| at.offset),
                first = deliver.first().map(|entry| entry.offset),
                last = deliver.last().map(|entry| entry.offset),
                clients = self.live.len(),
                "entries are delivered that don't follow those before"
            );
            tracing::debug!(room = room.as_str(), "the room of entries that don't follow");
        }
        let sampled = self.expected.begin(&deliver);
        if !self.live.is_empty() {
            let entries = u32::try_from(deliver.len()).unwrap_or(u32::MAX);
            let live = deliver.first().map(|first| Live { stored_at: first.at, entries });
            let entries = Entries { room, entries: &deliver };
            let mut push = Push::live(&entries, live);
            self.live.iter().for_each(|mailbox| push.to(mailbox));
        }
        if let Some(sampled) = sampled {
            sampled.end(&self.live);
        }
        doubt
    }

    /// The log is another one, or what was missed is no longer kept: everybody who is live starts from the newest page.
    pub fn reset(&mut self, room: &RoomId, reason: Reset, page: &Page) {
        let unseen: Vec<_> = page.entries.iter().filter(|entry| !self.tail.has(entry)).cloned().collect();
        // Of another log nobody can say what was missed.
        if reason == Reset::Trimmed {
            let first = page.entries.first().map_or(page.top.offset + 1, |entry| entry.offset);
            let passed_over = first.saturating_sub(self.tail.position().offset + 1);
            self.metrics.deliveries_dropped.add(DeliveryLoss::Reset, passed_over * self.live.len() as u64);
        }
        self.continuity.restart(page.top);
        self.tail.restart(page.top, page.entries.clone());
        if !self.live.is_empty() {
            let unseen = Entries { room, entries: &unseen };
            self.push_to_all(&NewStart { event: reset_event(room, reason, page), unseen });
        }
    }

    /// Whether the store has another position than this room, which had one when it was asked. An answer that is older than
    /// what was delivered meanwhile proves nothing.
    pub fn is_behind(&self, stored: Position, then: Position) -> bool {
        let now = self.tail.position();
        stored != then && (now == then || stored.offset > now.offset)
    }

    /// A user is about to be in the room. Returns whether the store has to be told.
    pub fn hold(&mut self, user: &User) -> bool {
        let local = self.locals.entry(user.id.clone()).or_insert_with(|| Local {
            user: user.clone(),
            holds: 0,
            sockets: Vec::new(),
            absence: None,
            typing_at: None,
        });
        let unknown = local.holds == 0 && local.absence.is_none();
        local.user.clone_from(user);
        local.holds += 1;
        local.absence = None;
        unknown
    }

    /// A hold ends. Where it was the user's last: the number of the absence that begins.
    pub fn release(&mut self, user: &UserId) -> Option<u64> {
        let local = self.locals.get_mut(user)?;
        local.holds = local.holds.saturating_sub(1);
        if local.holds > 0 {
            return None;
        }
        self.absences += 1;
        local.absence = Some(self.absences);
        local.absence
    }

    /// The absence is over. Returns whether the user left by it: they may be back.
    pub fn end_absence(&mut self, user: &UserId, absence: u64) -> bool {
        let left = self.locals.get(user).is_some_and(|local| local.absence == Some(absence));
        if left {
            self.locals.remove(user);
        }
        left
    }

    /// Users of this instance who are in the room now.
    pub fn present(&self) -> impl Iterator<Item = &User> {
        self.locals.values().filter(|local| local.holds > 0).map(|local| &local.user)
    }

    /// Notes what a change says of users who are here: their newest name, or that the store took them for gone.
    pub fn note_locals(&mut self, change: &PresenceChange) {
        match change {
            PresenceChange::Joined { user, .. } | PresenceChange::Renamed { user, .. } => {
                if let Some(local) = self.locals.get_mut(&user.id) {
                    local.user.clone_from(user);
                }
            }
            PresenceChange::Left { users, .. } => {
                let is_here = |user: &User| self.locals.get(&user.id).is_some_and(|local| local.holds > 0);
                self.expelled |= users.iter().any(is_here);
            }
        }
    }

    /// Gives a socket its place at a position that it has reached by what was put into its mailbox; `top` is where the
    /// reading that brought it there saw the log end. What is remembered beyond it is put into the mailbox at once where
    /// it is at most `at_once` bytes. The user must have a hold for it.
    pub fn seat(
        &mut self,
        room: &RoomId,
        mailbox: &Arc<Mailbox>,
        user: &User,
        from: Position,
        top: Position,
        at_once: usize,
    ) -> Seating {
        match self.tail.splice(from, top) {
            Splice::Live(rest) if rest.iter().map(|entry| cost(entry)).sum::<usize>() <= at_once => {
                Push::new(&Entries { room, entries: &rest }).to(mailbox);
                self.take_place(mailbox, user, None);
                Seating::Live
            }
            // More than fits at once is read page by page, as fast as the socket takes it, remembered or not.
            Splice::Live(_) | Splice::Behind => {
                self.catch_ups += 1;
                self.take_place(mailbox, user, Some(self.catch_ups));
                Seating::CatchingUp(self.catch_ups)
            }
            Splice::Disagree => Seating::Disagree,
        }
    }

    /// A socket was told the members as they are now. What changes from here on it is told like everybody else, also while
    /// it still reads up to where the room is.
    pub fn told_members(&mut self, socket: u64) {
        self.announcer.newcomer(socket);
    }

    /// Whether a reading may still seat its socket: the socket may have left, or joined afresh.
    pub fn is_catching_up(&self, socket: u64, reading: u64) -> bool {
        self.seats.get(&socket).is_some_and(|seat| seat.place == Place::CatchingUp(reading))
    }

    /// Sockets that get what the room gets.
    pub const fn clients(&self) -> usize {
        self.live.len()
    }

    /// Whether a socket has a place, and so a hold of its own.
    pub fn has_seat(&self, socket: u64) -> bool {
        self.seats.contains_key(&socket)
    }

    /// Gives a socket a place: a live one, or that of a reading. An earlier place is given up.
    fn take_place(&mut self, mailbox: &Arc<Mailbox>, user: &User, reading: Option<u64>) {
        self.leave_place(mailbox.id());
        let place = match reading {
            Some(reading) => Place::CatchingUp(reading),
            None => {
                self.live.push(Arc::clone(mailbox));
                Place::Live(self.live.len() - 1)
            }
        };
        let seat = Seat { mailbox: Arc::clone(mailbox), user: user.id.clone(), place };
        if self.seats.insert(mailbox.id(), seat).is_none()
            && let Some(local) = self.locals.get_mut(&user.id)
        {
            local.sockets.push(mailbox.id());
        }
    }

    fn leave_place(&mut self, socket: u64) {
        let Some(Seat { place: Place::Live(index), .. }) = self.seats.get(&socket) else { return };
        let index = *index;
        self.live.swap_remove(index);
        if let Some(moved) = self.live.get(index)
            && let Some(seat) = self.seats.get_mut(&moved.id())
        {
            seat.place = Place::Live(index);
        }
    }

    /// Takes a socket out. Returns whether it was in.
    pub fn unseat(&mut self, socket: u64) -> bool {
        self.leave_place(socket);
        let Some(seat) = self.seats.remove(&socket) else { return false };
        if let Some(local) = self.locals.get_mut(&seat.user) {
            local.sockets.retain(|other| *other != socket);
        }
        true
    }

    /// What a client that joins is told of the members: it is one of them. The roster itself waits for the announcement,
    /// so that one which is lost shows as a difference and is repaired.
    pub fn view_for(&self, user: &User) -> MemberView {
        let mut view = self.roster.view();
        if let Some(list) = &mut view.list
            && let Err(place) = list.binary_search_by(|member| member.id.cmp(&user.id))
        {
            list.insert(place, user.clone());
            view.count += 1;
        }
        view
    }

    /// Takes a change of presence in.
    pub fn presence(&mut self, change: &PresenceChange, rules: PresenceRules) -> PresenceDue {
        self.roster_version += 1;
        let Some(change) = self.roster.news(change) else { return PresenceDue::Nothing };
        let was_listed = matches!(self.roster, Roster::Listed(_));
        self.roster.apply(&change, rules.list_up_to);
        let interval_ms = match &self.roster {
            Roster::Listed(_) => {
                self.announcer.note(&change);
                rules.coalesce_ms
            }
            Roster::Counted(count) => {
                if !was_listed && *count <= rules.list_again_at as u64 {
                    return PresenceDue::Relist;
                }
                rules.count_interval_ms
            }
        };
        if std::mem::replace(&mut self.announce_scheduled, true) {
            return PresenceDue::Nothing;
        }
        PresenceDue::At(self.announcer.due(interval_ms))
    }

    /// Tells the clients who came and went, or how many there are.
    pub fn announce(&mut self, room: &RoomId, now: Millis) {
        self.announce_scheduled = false;
        let member_count = self.roster.count();
        if matches!(self.roster, Roster::Counted(_)) {
            self.announcer.clear(now);
            self.push_to_seats(&Presence { room, told: &Told::default(), members: None, member_count });
            return;
        }
        if !self.announcer.is_pending() {
            return;
        }
        let locals = &self.locals;
        let own = |user: &UserId| locals.get(user).map(|local| local.sockets.clone()).unwrap_or_default();
        let Announcement { all, special } = self.announcer.tell(now, own);
        let mut special: HashMap<u64, Told> = special.into_iter().collect();
        let to_all = Presence { room, told: &all, members: None, member_count };
        let mut to_all = Push::new(&to_all);
        for Seat { mailbox, .. } in self.seats.values() {
            match special.remove(&mailbox.id()) {
                None if all.is_empty() => {}
                None => to_all.to(mailbox),
                Some(told) if told.is_empty() => {}
                Some(told) => Push::new(&Presence { room, told: &told, members: None, member_count }).to(mailbox),
            }
        }
    }

    /// The members were read again: tells what was missed; a room that was only counted is listed again.
    pub fn replace_roster(&mut self, room: &RoomId, members: Members, now_ms: Millis) {
        let now = Roster::new(members);
        let before = std::mem::replace(&mut self.roster, now);
        let count = self.roster.count();
        match (&before, &self.roster) {
            (Roster::Counted(_), Roster::Listed(list)) => {
                let members = list.values().cloned().collect();
                self.push_to_seats(&Presence {
                    room,
                    told: &Told::default(),
                    members: Some(members),
                    member_count: count,
                });
            }
            (_, Roster::Counted(_)) if before.count() != count => {
                self.push_to_seats(&Presence { room, told: &Told::default(), members: None, member_count: count });
            }
            _ => {
                before.difference(&self.roster).iter().for_each(|change| self.announcer.note(change));
                self.announce(room, now_ms);
            }
        }
    }

    /// Whether the user's typing may be announced now.
    pub fn may_announce_typing(&mut self, user: &UserId, now: Millis) -> bool {
        let Some(local) = self.locals.get_mut(user) else { return false };
        let may = local.typing_at.is_none_or(|at| now >= at + TYPING_INTERVAL_MS);
        if may {
            local.typing_at = Some(now);
        }
        may
    }

    /// Tells everybody but the user themselves that they type.
    pub fn typing(&self, room: &RoomId, user: User) {
        let own = self.locals.get(&user.id).map(|local| local.sockets.clone()).unwrap_or_default();
        let event = Event::Typing { room: room.clone(), user };
        let mut push = Push::new(&event);
        for mailbox in self.live.iter().filter(|mailbox| !own.contains(&mailbox.id())) {
            push.to(mailbox);
        }
    }

    /// Tells the user's other sockets how far they read.
    pub fn read(&self, room: &RoomId, user: &UserId, offset: u64, origin: u64) {
        let others = self.sockets_of(user).filter(|mailbox| mailbox.id() != origin);
        let event = Event::Read { room: room.clone(), offset };
        let mut push = Push::new(&event);
        for mailbox in others {
            push.to(mailbox);
        }
    }

    /// The mailboxes of a user's sockets that have a seat here, live or still catching up.
    pub fn sockets_of<'a>(&'a self, user: &UserId) -> impl Iterator<Item = &'a Arc<Mailbox>> {
        let sockets = self.locals.get(user).map_or(&[][..], |local| &local.sockets);
        sockets.iter().filter_map(|socket| self.seats.get(socket)).map(|seat| &seat.mailbox)
    }

    /// What has no place in the order of the log.
    fn push_to_seats(&self, what: &impl Encode) {
        let mut push = Push::new(what);
        self.seats.values().for_each(|seat| push.to(&seat.mailbox));
    }

    fn push_to_all(&self, what: &impl Encode) {
        let mut push = Push::new(what);
        for mailbox in &self.live {
            push.to(mailbox);
        }
    }
}

/// Where a socket was seated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seating {
    /// It gets what the room gets.
    Live,
    /// The log has to be read on, by the reading of this number.
    CatchingUp(u64),
    /// The room has to be brought up to date first. Nothing was changed.
    Disagree,
}

/// The `reset` event for a page.
pub fn reset_event(room: &RoomId, reason: Reset, page: &Page) -> Event {
    Event::Reset {
        room: room.clone(),
        reason: reason.as_str(),
        position: end_of(page),
        entries: page.entries.clone(),
        oldest: page.oldest,
    }
}

/// The position of a client that has a page.
pub fn end_of(page: &Page) -> Position {
    page.entries.last().map_or(page.top, |entry| entry.position())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test fails by panicking
mod tests {
    use super::super::continuity::tests::log;
    use super::super::mailbox::Dialect;
    use super::*;
    use crate::domain::UserName;

    fn page(entries: &[Arc<Entry>]) -> Page {
        Page {
            entries: entries.to_vec(),
            top: entries.last().map_or(Position::ZERO, |entry| entry.position()),
            oldest: entries.first().map_or(0, |entry| entry.offset),
        }
    }

    /// An open room whose log these entries are, with so many live clients.
    fn room(entries: &[Arc<Entry>], clients: u64, metrics: &Arc<Metrics>) -> Arc<Room> {
        let room = Room::new(RoomId::parse("tea", 128).unwrap(), 100, Arc::clone(metrics));
        let user = User { id: UserId::parse("u").unwrap(), name: UserName::parse("Ada", 64).unwrap() };
        let mut state = room.lock();
        let page = page(entries);
        let top = page.top;
        state.open(page, Members { list: Some(Vec::new()), count: 0 });
        for id in 0..clients {
            state.hold(&user);
            let mailbox = Mailbox::new(id, Dialect::Native, 1_000_000);
            assert_eq!(state.seat(&room.id, &mailbox, &user, top, top, 0), Seating::Live);
        }
        drop(state);
        room
    }

    #[test]
    fn entries_that_a_reset_passes_over_are_counted_for_each_client() {
        let metrics = Arc::<Metrics>::default();
        let log = log(1, 20);
        let room = room(&log[..5], 3, &metrics);
        // Of 6 to 20 only the last ten are kept.
        room.lock().reset(&room.id, Reset::Trimmed, &page(&log[10..]));
        assert_eq!(metrics.deliveries_dropped.get(DeliveryLoss::Reset), 5 * 3);
        room.lock().reset(&room.id, Reset::Lost, &page(&log[..1]));
        assert_eq!(metrics.deliveries_dropped.get(DeliveryLoss::Reset), 5 * 3, "nobody knows how many");
    }

    /// Nothing outside can cause one: the tail lets no such entry through. So the two are set apart here.
    #[test]
    fn a_gap_that_the_tail_lets_through_is_counted() {
        let metrics = Arc::<Metrics>::default();
        let log = log(1, 5);
        let room = room(&log[..2], 1, &metrics);
        room.lock().take(&room.id, log[2..3].iter().cloned());
        assert_eq!(metrics.gaps_unannounced.get(()), 0);
        room.lock().continuity.restart(log[1].position());
        room.lock().take(&room.id, log[3..].iter().cloned());
        assert_eq!(metrics.gaps_unannounced.get(()), 1);
    }
}
