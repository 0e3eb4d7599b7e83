//! Which clients of this instance are in which room, and how entries reach them.
//!
//! It owns the subscriptions of this instance, the place of every client in every room, the merged presence, the gate
//! of its writes, and the healing of gaps: publications come at most once, entries leave exactly in order. It may use the
//! store and the words of the protocol; it knows no socket, only mailboxes.
//!
//! A client is a position in a log. It is live exactly when its position is the room's: every way in (join, resume,
//! healing) reads from a position until that holds, under the room's lock, and so there is one merge only
//! ([`tail::Tail::splice`]).

mod agenda;
mod continuity;
mod gate;
mod join;
mod mailbox;
mod push;
mod room;
pub mod roster;
pub mod tail;
mod traces;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, try_join};
use tokio::task::yield_now;
use tokio::time::{Instant, MissedTickBehavior, sleep, sleep_until};

use crate::clock::{micros_between, unix_ms};
use crate::domain::{Draft, Entry, Limits, Millis, RoomId, Since, User, UserId};
use crate::metrics::labels::{Attempted, GapSign, PublicationKind, ResetReason};
use crate::metrics::{Metrics, micros};
use crate::protocol::socketio::{Place, Purpose};
use crate::protocol::{Code, CommandId, Event, Goaway, Refused};
use crate::spans::{Name, Span};
use crate::store::{
    After, Announcement, AppendError, Checked, Durability, Feed, Health, Members, PageSize, Pending, PresenceChange,
    Publication, RecordId, Reset, Store, StoreError, Stored,
};
use agenda::{Agenda, Duty};
use gate::Gate;
use room::{Healing, Phase, PresenceDue, PresenceRules, Room, State};
use tail::Doubt;

pub use gate::{WAIT_MS, WAITING_BYTES, WAITING_WRITES};
pub use mailbox::{Dialect, Live, Mailbox, Note, Taken, Undelivered};
pub use traces::Mark;

/// Publications that are taken out of the feed at a time: more than the gate lets this instance add meanwhile.
const FEED_BATCH: usize = 4 * 1024;

/// A room in doubt is read at most this often.
const DOUBT_INTERVAL_MS: Millis = 1_000;

/// A failed reading is tried again after this time.
const HEAL_AGAIN_MS: Millis = 1_000;

/// What was stored when positions were checked has this long to come by publications, before it counts as missed.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// Rooms in one check of positions.
const CHECK_CHUNK: usize = 1_000;

/// How long what is kept of a Socket.IO client outlives its last join or renewal.
pub const RECORD_LIFE_MS: Millis = 2 * 60 * 60 * 1_000;

/// The classes of [`Rooms::sizes`], by their least number of members.
const SIZE_CLASSES: [u64; 7] = [0, 1, 2, 10, 100, 1_000, 10_000];

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
    /// How often the positions and member counts of all rooms are checked.
    pub check_interval_ms: Millis,
    /// A room stays subscribed for this long after its last client left.
    pub linger_ms: Millis,
    /// The newest entries of a room that are remembered here.
    pub tail_entries: usize,
    /// Where is counted.
    pub metrics: Arc<Metrics>,
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
    /// How it is answered.
    pub answer: Answer,
}

/// How a join is answered, into the mailbox and in its place among the pushes.
#[derive(Debug, Clone)]
pub enum Answer {
    /// By the `joined` event.
    Native,
    /// In the words of the tutorial.
    Socketio(SocketioAnswer),
}

/// What the answer to a join of a Socket.IO client is made of.
#[derive(Debug, Clone)]
pub struct SocketioAnswer {
    /// What the join is for. One for [`Purpose::Resume`] is refused with [`Code::NotFound`], before anybody hears of it,
    /// where the log doesn't continue from the request's `since`.
    pub purpose: Purpose,
    /// What comes before everything else: the confirmation of a connection.
    pub first: Option<Bytes>,
    /// What the client has: the place of the request's `since`.
    pub since: Option<Place>,
    /// Where to keep who the client is and what it surely has, before it gets anything.
    pub record: Option<RecordId>,
}

/// A client is in a room now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seated {
    /// The room had neither entries nor members before.
    pub created: bool,
}

/// All rooms with a client on this instance.
pub struct Rooms {
    store: Arc<dyn Store>,
    settings: RoomSettings,
    started: Instant,
    rooms: Mutex<HashMap<RoomId, Arc<Room>>>,
    sockets: Mutex<Sockets>,
    agenda: Agenda,
    gate: Arc<Gate>,
    reachable: AtomicBool,
    /// The store is away, and so long of it isn't counted yet.
    away_since: Mutex<Option<Instant>>,
    /// Since when the leases of others may be judged.
    sweeps_from: AtomicU64,
}

#[derive(Default)]
struct Sockets {
    mailboxes: HashMap<u64, Arc<Mailbox>>,
    by_user: HashMap<UserId, Vec<u64>>,
}

impl Rooms {
    /// No rooms yet.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, settings: RoomSettings) -> Arc<Self> {
        let reachable = AtomicBool::new(store.health().reachable);
        Arc::new(Self {
            gate: Gate::new(Arc::clone(&store), settings.limits.outbox_bytes),
            store,
            settings,
            started: Instant::now(),
            rooms: Mutex::default(),
            sockets: Mutex::default(),
            agenda: Agenda::default(),
            away_since: Mutex::new((!reachable.load(Ordering::Relaxed)).then(Instant::now)),
            reachable,
            sweeps_from: AtomicU64::new(0),
        })
    }

    /// Receives publications and does what is periodic (checks, lease, sweeps, grace) until the feed ends or it is
    /// dropped.
    pub async fn run(self: Arc<Self>, mut feed: Feed) {
        let mut batch = Vec::with_capacity(FEED_BATCH);
        let mut check = every(self.settings.check_interval_ms);
        let mut lease = every(self.settings.lease_renew_ms);
        loop {
            let next_duty = self.agenda.next_at().map(|at| self.started + Duration::from_millis(at));
            let duty = async {
                match next_duty {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let took_in = tokio::select! {
                received = feed.recv_many(&mut batch, FEED_BATCH) => {
                    if received == 0 {
                        return;
                    }
                    // Whoever else can run now may have more for the same rooms: one pass then serves all of it.
                    yield_now().await;
                    while batch.len() < FEED_BATCH && let Ok(publication) = feed.try_recv() {
                        batch.push(publication);
                    }
                    self.receive(&mut batch);
                    true
                }
                () = duty => {
                    self.do_due();
                    false
                }
                () = self.agenda.earlier() => false,
                () = self.gate.nudged() => false,
                _ = check.tick() => {
                    self.check_all(ON_ITS_WAY);
                    false
                }
                _ = lease.tick() => {
                    self.renew_lease();
                    false
                }
            };
            // Where something is in the feed, the next batch follows at once and opens it.
            if took_in || feed.is_empty() {
                self.gate.open(&feed, self.now());
            }
        }
    }

    /// A socket is there: from now on it gets the notes that concern every socket. Returns whether the store is reachable.
    pub fn connect(&self, mailbox: &Arc<Mailbox>) -> bool {
        lock(&self.sockets).mailboxes.insert(mailbox.id(), Arc::clone(mailbox));
        self.is_reachable()
    }

    /// The socket belongs to a user, who takes a name on it `now`, in milliseconds since the Unix epoch: it hears of the
    /// user's later names.
    pub fn signed_in(&self, mailbox: &Mailbox, user: &User, now: Millis) {
        let mut sockets = lock(&self.sockets);
        mailbox.take_name(&user.name, now);
        let own = sockets.by_user.entry(user.id.clone()).or_default();
        if !own.contains(&mailbox.id()) {
            own.push(mailbox.id());
        }
    }

    /// The socket is gone. Its rooms are left one by one by [`Rooms::leave`] before.
    pub fn disconnect(&self, mailbox: &Mailbox, user: Option<&UserId>) {
        let mut sockets = lock(&self.sockets);
        sockets.mailboxes.remove(&mailbox.id());
        if let Some(user) = user
            && let Some(own) = sockets.by_user.get_mut(user)
        {
            own.retain(|socket| *socket != mailbox.id());
            if own.is_empty() {
                sockets.by_user.remove(user);
            }
        }
    }

    /// Joins, or reads a joined room afresh. The `joined` event is put into the mailbox in its place among the pushes;
    /// a refusal is for the caller to send. Dropping the future leaves no trace but the grace.
    pub fn join(
        self: &Arc<Self>,
        mailbox: &Arc<Mailbox>,
        user: &User,
        request: JoinRequest,
    ) -> BoxFuture<'static, Result<Seated, Refused>> {
        join::join(Arc::clone(self), Arc::clone(mailbox), user.clone(), request).boxed()
    }

    /// Takes a socket out of a room.
    pub fn leave(&self, mailbox: &Mailbox, user: &UserId, room: &RoomId, departure: Departure) {
        let Some(room) = self.find(room) else { return };
        let mut state = room.lock();
        if state.unseat(mailbox.id()) {
            self.release(&room, &mut state, user, departure);
        }
    }

    /// Appends, see [`Store::append`], in the order of the calls. While this instance's own delivery is behind the write
    /// waits, for a bounded time and among a bounded number; beyond that it is refused with
    /// [`Refusal::Overloaded`](crate::store::Refusal::Overloaded). A draft that stands in a trace is sampled: the append,
    /// its wait included, is a span of it.
    pub fn write(&self, room: &RoomId, mut draft: Draft) -> Pending<Stored, AppendError> {
        let Some(trace) = draft.trace else { return self.gate.append(room, draft, self.now()) };
        let mut span = Span::below(Name::Append, trace);
        draft.trace = Some(span.trace());
        let appending = self.gate.append(room, draft, self.now());
        let ended = move |result: Result<Stored, AppendError>| {
            match &result {
                Ok(stored) => span.word("confab.durability", stored.durability.as_str()),
                Err(error) => span.fail(error.as_str()),
            }
            result
        };
        appending.map(ended).boxed()
    }

    /// Keeps a record for as long as a Socket.IO client may take to come back; see [`Store::keep`].
    pub fn keep(&self, id: RecordId, record: Vec<u8>) -> Pending<()> {
        self.store.keep(id, record, RECORD_LIFE_MS)
    }

    /// Reads a record; see [`Store::kept`].
    pub fn kept(&self, id: RecordId) -> Pending<Option<Vec<u8>>> {
        self.store.kept(id)
    }

    /// Reads an older page: the `page` event, or the refusal as an event.
    pub fn history(
        self: &Arc<Self>,
        id: Option<CommandId>,
        room: &RoomId,
        before: Option<u64>,
        limit: usize,
    ) -> BoxFuture<'static, Event> {
        join::history(Arc::clone(self), id, room.clone(), before, limit).boxed()
    }

    /// The user types: announced at most once per 3 s, user and room.
    pub fn typing(&self, room: &RoomId, user: &User) {
        let Some(found) = self.find(room) else { return };
        let may = found.lock().may_announce_typing(&user.id, self.now());
        if may {
            self.store.announce(room, Announcement::Typing(user.clone()));
        }
    }

    /// Raises the user's read mark, up to the newest entry; the user's other sockets hear of it.
    pub fn read(&self, room: &RoomId, user: &UserId, offset: u64, mailbox: &Mailbox) {
        let Some(found) = self.find(room) else { return };
        let offset = offset.min(found.lock().tail.position().offset);
        if offset > 0 {
            // Nobody waits for it: a mark that is lost is set again by the next message that is read.
            drop(self.store.mark_read(room, user, offset, mailbox.id()));
        }
    }

    /// The user takes another name on this socket `now`, in milliseconds since the Unix epoch: their other sockets hear of
    /// it. Each socket's owner then calls [`Rooms::refresh`] for its rooms.
    pub fn rename(&self, user: &User, mailbox: &Mailbox, now: Millis) {
        let sockets = lock(&self.sockets);
        let named_at = mailbox.take_name(&user.name, now);
        sockets.tell_named(user, named_at, None);
    }

    /// Gives a room the name that the user has on a socket.
    pub fn refresh(&self, room: &RoomId, user: &User, mailbox: &Mailbox) {
        // Nobody waits for it; a lost name is repaired when the user enters again.
        drop(self.store.enter(room, user, mailbox.named_at(&user.name)));
    }

    /// Puts a note into every mailbox that this client must move.
    pub fn go_away(&self, reason: Goaway) {
        self.note_all(&Note::Goaway(reason));
    }

    /// Leaves this instance's members to the others for the grace: the last thing of a drain.
    pub async fn retire(&self) {
        if let Err(error) = self.store.renew_lease(self.settings.grace_ms).await {
            tracing::warn!(%error, "the members of this instance are announced when its lease ends");
        }
    }

    /// Whether the store can be reached.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.reachable.load(Ordering::Relaxed)
    }

    /// What an acknowledgement means now.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.store.durability()
    }

    /// Whether the store answers, and how full it is.
    #[must_use]
    pub fn health(&self) -> Health {
        self.store.health()
    }

    /// Brings those numbers up to date that are looked up instead of kept.
    pub fn look_up(&self, metrics: &Metrics) {
        self.count_degraded();
        metrics.store_reachable.set((), u64::from(self.is_reachable()));
        metrics.rooms.set((), lock(&self.rooms).len() as u64);
        let waiting: usize = lock(&self.sockets).mailboxes.values().map(|mailbox| mailbox.bytes()).sum();
        metrics.outbox.set((), waiting as u64);
    }

    /// How many rooms are open here with how many members over all instances: the least number of members of a class,
    /// and the rooms in it.
    #[must_use]
    pub fn sizes(&self) -> Vec<(u64, usize)> {
        let mut classes: Vec<_> = SIZE_CLASSES.iter().map(|least| (*least, 0)).collect();
        let rooms: Vec<_> = lock(&self.rooms).values().cloned().collect();
        for room in rooms {
            let members = room.lock().roster.count();
            if let Some((_, rooms)) = classes.iter_mut().rev().find(|(least, _)| *least <= members) {
                *rooms += 1;
            }
        }
        classes
    }

    fn now(&self) -> Millis {
        self.started.elapsed().as_millis() as Millis
    }

    fn find(&self, room: &RoomId) -> Option<Arc<Room>> {
        lock(&self.rooms).get(room).cloned()
    }

    /// The room, kept as long as the pin isn't given back.
    fn pin(&self, room: &RoomId) -> Arc<Room> {
        let mut rooms = lock(&self.rooms);
        let room = rooms
            .entry(room.clone())
            .or_insert_with(|| Room::new(room.clone(), self.settings.tail_entries, Arc::clone(&self.settings.metrics)));
        room.lock().pins += 1;
        Arc::clone(room)
    }

    fn unpin(&self, room: &Room) {
        let mut state = room.lock();
        state.pins -= 1;
        self.close_later(room, &state);
    }

    fn release(&self, room: &Room, state: &mut State, user: &UserId, departure: Departure) {
        if let Some(absence) = state.release(user) {
            match departure {
                Departure::AtOnce => self.end_absence(room, state, user, absence),
                Departure::AfterGrace => {
                    let at = self.now() + self.settings.grace_ms;
                    self.agenda.add(at, Duty::EndGrace(room.id.clone(), user.clone(), absence));
                }
            }
        }
    }

    fn end_absence(&self, room: &Room, state: &mut State, user: &UserId, absence: u64) {
        if state.end_absence(user, absence) {
            // Nobody waits for it: a store that can't be told now is told later.
            drop(self.store.leave(&room.id, user));
            self.close_later(room, state);
        }
    }

    fn close_later(&self, room: &Room, state: &State) {
        if state.is_unused() {
            self.agenda.add(self.now() + self.settings.linger_ms, Duty::Close(room.id.clone()));
        }
    }

    fn close(&self, room: &RoomId) {
        let mut rooms = lock(&self.rooms);
        let Some(found) = rooms.get(room) else { return };
        let state = found.lock();
        if state.is_unused() {
            let subscribed = !matches!(state.phase, Phase::Closed);
            drop(state);
            rooms.remove(room);
            if subscribed {
                // Under the lock, so that it comes before the subscription of whoever joins next.
                drop(self.store.unsubscribe(room));
            }
        }
    }

    /// Waits until the room is subscribed and read.
    async fn opened(self: &Arc<Self>, room: &Arc<Room>) -> Result<(), StoreError> {
        loop {
            let changed = room.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let opening = {
                let mut state = room.lock();
                match state.phase {
                    Phase::Open => return Ok(()),
                    Phase::Opening { .. } => false,
                    Phase::Closed => {
                        state.phase = Phase::Opening { waiting: Vec::new(), overflowed: false };
                        true
                    }
                }
            };
            if opening {
                // A task of its own: the client that came first may go while others wait for the same room.
                let rooms = Arc::clone(self);
                let opened = Arc::clone(room);
                tokio::spawn(async move { rooms.open(&opened).await }).await.map_err(|_| StoreError::Corrupt)??;
            } else {
                changed.await;
                if matches!(room.lock().phase, Phase::Closed) {
                    return Err(StoreError::Unavailable { retry_ms: HEAL_AGAIN_MS });
                }
            }
        }
    }

    async fn open(self: &Arc<Self>, room: &Arc<Room>) -> Result<(), StoreError> {
        let limits = &self.settings.limits;
        let newest = PageSize { entries: limits.page_entries, bytes: limits.page_bytes };
        let reading = async {
            self.store.subscribe(&room.id).await?;
            // Only now: what is published from here on is received.
            try_join!(
                self.store.read_before(&room.id, None, newest),
                self.store.members(&room.id, self.settings.list_up_to)
            )
        };
        let read = reading.await;
        let result = {
            let mut state = room.lock();
            match read {
                Ok((page, members)) => {
                    let (waiting, overflowed) = state.open(page, members);
                    self.take_publications(room, &mut state, waiting);
                    if overflowed {
                        self.heal_soon(room, &mut state, GapSign::Publication);
                    }
                    Ok(())
                }
                Err(error) => {
                    state.phase = Phase::Closed;
                    Err(error)
                }
            }
        };
        room.changed.notify_waiters();
        result
    }

    fn receive(self: &Arc<Self>, batch: &mut Vec<Publication>) {
        let mut by_room: Vec<(Arc<Room>, Vec<Publication>)> = Vec::new();
        let mut index: HashMap<RoomId, usize> = HashMap::new();
        let now = unix_ms();
        for publication in batch.drain(..) {
            self.count(&publication, now);
            let room = match &publication {
                Publication::Entry(room, _) | Publication::Presence(room, _) | Publication::Announcement(room, _) => {
                    room
                }
                Publication::Interrupted => {
                    // Something is known to be missing, and what is behind it comes fast.
                    self.check_all(Duration::ZERO);
                    continue;
                }
                Publication::Reachable(reachable) => {
                    self.set_reachable(*reachable);
                    continue;
                }
                Publication::Durability(durability) => {
                    self.note_all(&Note::Durability(*durability));
                    continue;
                }
            };
            if let Some(&at) = index.get(room) {
                by_room[at].1.push(publication);
            } else if let Some(found) = self.find(room) {
                index.insert(room.clone(), by_room.len());
                by_room.push((found, vec![publication]));
            }
        }
        for (room, publications) in by_room {
            let mut state = room.lock();
            self.take_publications(&room, &mut state, publications);
        }
    }

    fn count(&self, publication: &Publication, now: Millis) {
        let metrics = &self.settings.metrics;
        let kind = match publication {
            Publication::Entry(_, entry) => {
                metrics.publication_lag.record((), micros_between(entry.at, now));
                PublicationKind::Entry
            }
            Publication::Presence(..) => PublicationKind::Presence,
            Publication::Announcement(..) => PublicationKind::Passing,
            Publication::Interrupted | Publication::Reachable(_) | Publication::Durability(_) => return,
        };
        metrics.publications.inc(kind);
    }

    fn take_publications(self: &Arc<Self>, room: &Arc<Room>, state: &mut State, publications: Vec<Publication>) {
        let mut entries = Vec::new();
        for publication in publications {
            match state.hold_back(publication) {
                Some(Publication::Entry(_, entry)) => entries.push(entry),
                // What passes may overtake entries of the same batch: neither depends on the other.
                Some(Publication::Presence(_, change)) => self.take_presence(room, state, &change),
                Some(Publication::Announcement(_, Announcement::Typing(user))) => state.typing(&room.id, user),
                Some(Publication::Announcement(_, Announcement::Read { user, offset, origin })) => {
                    state.read(&room.id, &user, offset, origin);
                }
                Some(Publication::Announcement(_, Announcement::Traced(traced))) => state.expected.add(traced),
                Some(Publication::Interrupted | Publication::Reachable(_) | Publication::Durability(_)) | None => {}
            }
        }
        // One that comes twice may do so in one batch.
        let mut last = state.tail.position().offset;
        let before = last;
        let mut is_repeat = |entry: &&Arc<Entry>| {
            let repeated = if entry.offset > before { entry.offset <= last } else { state.tail.has(entry) };
            last = last.max(entry.offset);
            repeated
        };
        let repeats = entries.iter().filter(|entry| is_repeat(entry)).count();
        if repeats > 0 {
            self.settings.metrics.publications_duplicate.add((), repeats as u64);
        }
        self.take_in(room, state, &entries);
    }

    /// Takes entries in, from wherever they come, and starts healing where they don't follow.
    fn take_in(self: &Arc<Self>, room: &Arc<Room>, state: &mut State, entries: &[Arc<Entry>]) {
        match state.take(&room.id, entries.iter().cloned()) {
            Doubt::None => {}
            Doubt::Suspect => self.doubt(room, state),
            Doubt::Gap => self.heal_soon(room, state, GapSign::Publication),
        }
    }

    fn take_presence(self: &Arc<Self>, room: &Arc<Room>, state: &mut State, change: &PresenceChange) {
        if let PresenceChange::Renamed { user, named_at } = change {
            lock(&self.sockets).tell_named(user, *named_at, Some(&room.id));
        }
        state.note_locals(change);
        let rules = PresenceRules {
            list_up_to: self.settings.list_up_to,
            list_again_at: self.settings.list_again_at,
            coalesce_ms: self.settings.coalesce_ms,
            count_interval_ms: self.settings.count_interval_ms,
        };
        match state.presence(change, rules) {
            PresenceDue::Nothing => {}
            PresenceDue::At(at) if at <= self.now() => state.announce(&room.id, self.now()),
            PresenceDue::At(at) => self.agenda.add(at, Duty::Announce(room.id.clone())),
            PresenceDue::Relist => self.read_members(room, state),
        }
    }

    /// Reads what is missing, in a task of its own; one at a time per room.
    fn heal_soon(self: &Arc<Self>, room: &Arc<Room>, state: &mut State, sign: GapSign) {
        if !matches!(state.phase, Phase::Open) {
            return;
        }
        if state.healing != Healing::Idle {
            state.healing = Healing::Again;
            return;
        }
        state.healing = Healing::Running;
        let rooms = Arc::clone(self);
        let room = Arc::clone(room);
        tokio::spawn(async move {
            if let Err(error) = rooms.read_on(&room, sign).await {
                let mut state = room.lock();
                tracing::warn!(
                    %error,
                    sign = sign.as_str(),
                    delivered = state.tail.position().offset,
                    clients = state.clients(),
                    retry_ms = HEAL_AGAIN_MS,
                    "a room could not be brought up to date; it is tried again"
                );
                tracing::debug!(room = room.id.as_str(), "the room that could not be brought up to date");
                state.healing = Healing::Idle;
                drop(state);
                rooms.agenda.add(rooms.now() + HEAL_AGAIN_MS, Duty::Heal(room.id.clone()));
            }
            room.changed.notify_waiters();
        });
    }

    /// Reads the room because something doesn't fit, but not more often than [`DOUBT_INTERVAL_MS`].
    fn doubt(self: &Arc<Self>, room: &Arc<Room>, state: &mut State) {
        let now = self.now();
        match state.healed_at {
            Some(at) if now < at + DOUBT_INTERVAL_MS => {
                if at <= now {
                    // Marked as done at the time it will be, so that one duty stands for all doubts until then.
                    state.healed_at = Some(at + DOUBT_INTERVAL_MS);
                    self.agenda.add(at + DOUBT_INTERVAL_MS, Duty::Heal(room.id.clone()));
                }
            }
            _ => {
                state.healed_at = Some(now);
                self.heal_soon(room, state, GapSign::Doubt);
            }
        }
    }

    /// Brings the room to where the log is, and waits for it.
    async fn heal(self: &Arc<Self>, room: &Arc<Room>) -> Result<(), StoreError> {
        let changed = room.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        self.heal_soon(room, &mut room.lock(), GapSign::Doubt);
        changed.await;
        if self.is_reachable() { Ok(()) } else { Err(StoreError::Unavailable { retry_ms: HEAL_AGAIN_MS }) }
    }

    /// Reads the log from the room's position until nothing is missing.
    async fn read_on(self: &Arc<Self>, room: &Arc<Room>, sign: GapSign) -> Result<(), StoreError> {
        let limits = &self.settings.limits;
        let size = PageSize { entries: limits.page_entries, bytes: limits.page_bytes };
        loop {
            let from = {
                let mut state = room.lock();
                state.healing = Healing::Running;
                state.tail.position()
            };
            let read = self.store.read_after(&room.id, from.into(), size, size).await?;
            let mut state = room.lock();
            let behind = match read {
                After::Continued(page) => {
                    let missed = page.entries.iter().filter(|entry| !state.tail.has(entry)).count();
                    if missed > 0 {
                        self.settings.metrics.gaps_healed.inc(sign);
                        self.settings.metrics.gap_entries.add((), missed as u64);
                        tracing::info!(
                            sign = sign.as_str(),
                            entries = missed,
                            delivered = from.offset,
                            stored = page.top.offset,
                            clients = state.clients(),
                            "a room's log was read for entries that no publication brought"
                        );
                        tracing::debug!(room = room.id.as_str(), "the room whose log was read");
                    }
                    let doubt = state.take(&room.id, page.entries);
                    doubt != Doubt::Gap && state.tail.position().offset < page.top.offset
                }
                // The position moved on by publications while this was read: the verdict was about another position.
                After::Reset(..) if state.tail.position() != from => true,
                After::Reset(reason, page) => {
                    tracing::warn!(
                        reason = reason.as_str(),
                        delivered = from.offset,
                        oldest = page.oldest,
                        stored = page.top.offset,
                        clients = state.clients(),
                        "a room's log does not continue; its clients start afresh"
                    );
                    tracing::debug!(room = room.id.as_str(), "the room whose log does not continue");
                    self.settings.metrics.resets.inc(reset_reason(reason));
                    state.reset(&room.id, reason, &page);
                    false
                }
            };
            if !behind && state.healing == Healing::Running {
                state.healing = Healing::Idle;
                return Ok(());
            }
        }
    }

    fn do_due(self: &Arc<Self>) {
        let now = self.now();
        while let Some(duty) = self.agenda.take_due(now) {
            match duty {
                Duty::Close(room) => self.close(&room),
                Duty::Announce(room) => self.with(&room, |room, state| state.announce(&room.id, now)),
                Duty::Heal(room) => self.with(&room, |room, state| self.heal_soon(room, state, GapSign::Doubt)),
                Duty::EndGrace(room, user, absence) => {
                    self.with(&room, |room, state| self.end_absence(room, state, &user, absence));
                }
            }
        }
    }

    fn with(&self, room: &RoomId, act: impl FnOnce(&Arc<Room>, &mut State)) {
        if let Some(room) = self.find(room) {
            act(&room, &mut room.lock());
        }
    }

    /// Compares every open room with the store: nobody is silently behind for longer than the interval. What is behind then
    /// is looked at again after `patience`, and read where it still is.
    fn check_all(self: &Arc<Self>, patience: Duration) {
        let open: Vec<_> = lock(&self.rooms)
            .values()
            .filter_map(|room| {
                let state = room.lock();
                let open = matches!(state.phase, Phase::Open);
                open.then(|| (Arc::clone(room), state.tail.position(), state.roster_version))
            })
            .collect();
        if open.is_empty() {
            return;
        }
        let rooms = Arc::clone(self);
        tokio::spawn(async move {
            let mut behind = Vec::new();
            for chunk in open.chunks(CHECK_CHUNK) {
                let ids = chunk.iter().map(|(room, ..)| room.id.clone()).collect();
                let Ok(checks) = rooms.store.check(ids).await else { break };
                for ((room, position, roster_version), check) in chunk.iter().zip(checks) {
                    let Checked { position: stored, members } = check;
                    let mut state = room.lock();
                    if state.is_behind(stored, *position) {
                        behind.push((room, stored, *position));
                    }
                    let differs = state.roster_version == *roster_version && state.roster.count() != members;
                    if differs || state.expelled {
                        rooms.read_members(room, &mut state);
                    }
                }
            }
            if behind.is_empty() {
                return;
            }
            sleep(patience).await;
            for (room, stored, position) in behind {
                let mut state = room.lock();
                if state.is_behind(stored, position) {
                    rooms.heal_soon(room, &mut state, GapSign::Check);
                }
            }
        });
    }

    /// Reads the members again, tells what was missed, and writes those of this instance that the store doesn't have.
    fn read_members(self: &Arc<Self>, room: &Arc<Room>, state: &mut State) {
        let rooms = Arc::clone(self);
        let room = Arc::clone(room);
        let version = state.roster_version;
        tokio::spawn(async move {
            let Ok(members) = rooms.store.members(&room.id, rooms.settings.list_up_to).await else { return };
            let mut state = room.lock();
            if state.roster_version != version {
                return;
            }
            state.expelled = false;
            let missing = rooms.missing(&state, &members);
            state.replace_roster(&room.id, members, rooms.now());
            for user in missing {
                drop(rooms.store.enter(&room.id, &user, 0));
            }
        });
    }

    fn missing(&self, state: &State, members: &Members) -> Vec<User> {
        // Where there are too many to list, nobody can tell who is missing, and entering again is harmless.
        let there: Option<HashSet<&UserId>> =
            members.list.as_ref().map(|list| list.iter().map(|user| &user.id).collect());
        let is_missing = |user: &&User| there.as_ref().is_none_or(|there| !there.contains(&user.id));
        state.present().filter(is_missing).cloned().collect()
    }

    fn renew_lease(self: &Arc<Self>) {
        let rooms = Arc::clone(self);
        tokio::spawn(async move {
            let metrics = &rooms.settings.metrics;
            let renewed = rooms.store.renew_lease(rooms.settings.lease_ms).await;
            metrics.leases.inc(attempted(&renewed));
            let swept = match renewed {
                // After an outage every lease may have ended, and everybody gets the time to renew theirs.
                Ok(()) if rooms.now() < rooms.sweeps_from.load(Ordering::Relaxed) => Ok(0),
                Ok(()) => {
                    let swept = rooms.store.sweep().await;
                    metrics.sweeps.inc(attempted(&swept));
                    metrics.swept.add((), *swept.as_ref().unwrap_or(&0) as u64);
                    swept
                }
                Err(error) => Err(error),
            };
            match swept {
                Ok(0) => {}
                Ok(instances) => tracing::info!(instances, "took over the members of instances that ended"),
                Err(error) => tracing::debug!(%error, "the presence lease could not be renewed"),
            }
        });
    }

    fn set_reachable(&self, reachable: bool) {
        if self.reachable.swap(reachable, Ordering::Relaxed) != reachable {
            self.count_degraded();
            *lock(&self.away_since) = (!reachable).then(Instant::now);
            self.sweeps_from.store(self.now() + self.settings.lease_ms, Ordering::Relaxed);
            self.note_all(&Note::Reachable(reachable));
        }
    }

    fn count_degraded(&self) {
        let mut away = lock(&self.away_since);
        if let Some(since) = &mut *away {
            let now = Instant::now();
            self.settings.metrics.degraded.add((), micros(now.saturating_duration_since(*since)));
            *since = now;
        }
    }

    fn note_all(&self, note: &Note) {
        for mailbox in lock(&self.sockets).mailboxes.values() {
            mailbox.note(note.clone());
        }
    }
}

impl Sockets {
    /// Tells a user's sockets of a name, where it is later than the one they know, or of the `room` it came from, where
    /// it is earlier: an old name must not come back by what was still on its way.
    fn tell_named(&self, user: &User, named_at: Millis, room: Option<&RoomId>) {
        let own = self.by_user.get(&user.id).map_or(&[][..], Vec::as_slice);
        own.iter().filter_map(|socket| self.mailboxes.get(socket)).for_each(|mailbox| {
            mailbox.hear_name(&user.name, named_at, room);
        });
    }
}

const fn reset_reason(reason: Reset) -> ResetReason {
    match reason {
        Reset::Trimmed => ResetReason::Trimmed,
        Reset::Diverged => ResetReason::Diverged,
        Reset::Lost => ResetReason::Lost,
    }
}

const fn attempted<T, E>(result: &Result<T, E>) -> Attempted {
    if result.is_ok() { Attempted::Done } else { Attempted::Failed }
}

/// A failure of the store as a client is told it.
fn refused_by_store(id: Option<CommandId>, error: StoreError) -> Refused {
    match error {
        StoreError::Unavailable { retry_ms } | StoreError::Unconfirmed { retry_ms } => {
            Refused::new(id, Code::Unavailable, "the store can't be reached: retry").retry_in(retry_ms)
        }
        StoreError::Overloaded { retry_ms } => {
            Refused::new(id, Code::Overloaded, "the store is full: retry later").retry_in(retry_ms)
        }
        StoreError::Corrupt => Refused::new(id, Code::Internal, "the room's data can't be read"),
    }
}

fn every(interval_ms: Millis) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(Duration::from_millis(interval_ms));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
