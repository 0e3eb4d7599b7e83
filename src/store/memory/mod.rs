//! The embedded store: every room in this process's memory, under one byte budget.
//!
//! It keeps the contract of [`Store`] for any number of attached instances, so several instances in one process make a
//! cluster without anything else. Everything completes at once; one lock orders everything. At the budget, appends are
//! refused with [`Refusal::Overloaded`]: an acknowledged entry is never thrown away to make place for another.

mod log;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use tokio::sync::mpsc;

use super::{
    After, Announcement, AppendError, Checked, Durability, FEED_CAPACITY, Feed, Health, Members, Page, PageSize,
    Pending, PresenceChange, Publication, Refusal, Store, Stored,
};
use crate::domain::{Chain, Draft, Limits, Millis, Position, RoomId, Since, User, UserId};
use log::{Known, Log};

/// What a client is told to wait when the budget is used up.
const FULL_RETRY_MS: Millis = 10_000;

/// Bytes that a room counts for beside its entries: maps, name, presence.
const ROOM_COST: usize = 1_024;

/// Bytes that a rate or a read mark counts for.
const MARK_COST: usize = 128;

/// Rooms that one sweep looks at for having been idle too long.
const IDLE_ROOMS_PER_SWEEP: usize = 1_000;

/// Where the store takes the time from.
pub trait Clock: Send + Sync + 'static {
    /// Unix time in milliseconds.
    fn now(&self) -> Millis;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
    }
}

/// All rooms, shared by the instances of one process.
#[derive(Clone)]
pub struct Memory {
    shared: Arc<Shared>,
}

struct Shared {
    limits: Arc<Limits>,
    budget: usize,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rooms: HashMap<RoomId, Room>,
    /// Rooms in the order in which they will be looked at for being idle.
    idle_queue: VecDeque<RoomId>,
    instances: HashMap<u64, Instance>,
    /// Instances of which members are left, by number, with the end of their lease.
    leases: BTreeMap<u64, Millis>,
    next_instance: u64,
    bytes: usize,
}

struct Instance {
    feed: mpsc::Sender<Publication>,
    /// Publications were dropped and the instance wasn't told yet.
    interrupted: bool,
}

struct Room {
    log: Log,
    subscribers: HashSet<u64>,
    members: BTreeMap<UserId, Member>,
    rates: HashMap<UserId, u128>,
    reads: HashMap<UserId, u64>,
    touched_at: Millis,
}

struct Member {
    user: User,
    instances: HashSet<u64>,
}

/// One instance's connection to a [`Memory`].
struct Attachment {
    memory: Memory,
    instance: u64,
}

impl Memory {
    /// An empty store. `budget` is in bytes, for all rooms.
    #[must_use]
    pub fn new(limits: Arc<Limits>, budget: usize, clock: Arc<dyn Clock>) -> Self {
        let shared = Shared { limits, budget: budget.max(1), clock, state: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Connects an instance. Its members outlive it by its lease.
    #[must_use]
    pub fn attach(&self, _instance: &str) -> (Arc<dyn Store>, Feed) {
        let (sender, feed) = mpsc::channel(FEED_CAPACITY);
        let mut state = self.lock();
        state.next_instance += 1;
        let instance = state.next_instance;
        state.instances.insert(instance, Instance { feed: sender, interrupted: false });
        drop(state);
        (Arc::new(Attachment { memory: self.clone(), instance }), feed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Millis {
        self.shared.clock.now()
    }

    fn append(&self, room_id: &RoomId, draft: Draft) -> Result<Stored, AppendError> {
        let now = self.now();
        let limits = &*self.shared.limits;
        let mut guard = self.lock();
        let state = &mut *guard;
        let full = state.bytes >= self.shared.budget;
        if full && !state.rooms.contains_key(room_id) {
            return Err(Refusal::Overloaded { retry_ms: FULL_RETRY_MS }.into());
        }
        let room = state.room(room_id, now);
        if now.saturating_sub(room.log.written_at()) >= limits.history_idle_ms && room.log.position().offset > 0 {
            let before = room.log.bytes();
            room.log = Log::new(random_chain());
            state.bytes -= before;
        }
        let Some(room) = state.rooms.get_mut(room_id) else { return Err(super::StoreError::Corrupt.into()) };
        let before = room.bytes();
        let stored = |position: Position, at: Millis, duplicate: bool| Stored {
            position,
            at,
            durability: Durability::Memory,
            duplicate,
        };
        let result = match room.log.known(&draft, now, limits) {
            Some(Known::Duplicate(position, at)) => Ok(stored(position, at, true)),
            Some(Known::Conflict(position)) => Err(Refusal::KeyConflict { position }),
            None => room.accept(&draft, now, limits, full).map(|()| {
                let entry = room.log.append(draft, now, limits);
                room.touched_at = now;
                let publication = Publication::Entry(room_id.clone(), Arc::clone(&entry));
                publish(&mut state.instances, &room.subscribers, &publication);
                stored(entry.position(), entry.at, false)
            }),
        };
        state.bytes = state.bytes + room.bytes() - before;
        result.map_err(Into::into)
    }
}

impl State {
    /// The room, made where it isn't there.
    fn room(&mut self, id: &RoomId, now: Millis) -> &mut Room {
        if !self.rooms.contains_key(id) {
            self.bytes += ROOM_COST;
            self.idle_queue.push_back(id.clone());
            self.rooms.insert(id.clone(), Room::new(now));
        }
        // Just inserted where it was missing.
        self.rooms.entry(id.clone()).or_insert_with(|| Room::new(now))
    }

    fn forget_idle_rooms(&mut self, now: Millis, idle_ms: Millis) {
        for _ in 0..IDLE_ROOMS_PER_SWEEP.min(self.idle_queue.len()) {
            let Some(id) = self.idle_queue.pop_front() else { return };
            let Some(room) = self.rooms.get_mut(&id) else { continue };
            if now.saturating_sub(room.touched_at) >= idle_ms {
                let before = room.bytes();
                room.log = Log::new(random_chain());
                room.reads.clear();
                room.rates.clear();
                self.bytes = self.bytes + room.bytes() - before;
                if room.members.is_empty() && room.subscribers.is_empty() {
                    self.bytes -= ROOM_COST;
                    self.rooms.remove(&id);
                    continue;
                }
            }
            // A rate that is full again says nothing any more.
            let nanos = u128::from(now) * NANOS_PER_MILLI;
            let before = room.bytes();
            room.rates.retain(|_, full_at| *full_at > nanos);
            self.bytes = self.bytes + room.bytes() - before;
            self.idle_queue.push_back(id);
        }
    }

    /// Takes an instance out of a room's member; publishes the leave where it was the last.
    fn leave(&mut self, room_id: &RoomId, user: &UserId, instance: u64) -> Option<User> {
        let room = self.rooms.get_mut(room_id)?;
        let member = room.members.get_mut(user)?;
        if !member.instances.remove(&instance) || !member.instances.is_empty() {
            return None;
        }
        room.members.remove(user).map(|member| member.user)
    }
}

const NANOS_PER_MILLI: u128 = 1_000_000;

impl Room {
    fn new(now: Millis) -> Self {
        Self {
            log: Log::new(random_chain()),
            subscribers: HashSet::new(),
            members: BTreeMap::new(),
            rates: HashMap::new(),
            reads: HashMap::new(),
            touched_at: now,
        }
    }

    /// What the room counts for beside [`ROOM_COST`].
    fn bytes(&self) -> usize {
        self.log.bytes() + MARK_COST * (self.rates.len() + self.reads.len() + self.members.len())
    }

    /// Rate, target and place for a draft that is new.
    fn accept(&mut self, draft: &Draft, now: Millis, limits: &Limits, full: bool) -> Result<(), Refusal> {
        let full_at = self.check_rate(&draft.user.id, now, limits)?;
        self.log.check_target(&draft.body, &draft.user.id)?;
        if full {
            return Err(Refusal::Overloaded { retry_ms: FULL_RETRY_MS });
        }
        self.rates.insert(draft.user.id.clone(), full_at);
        Ok(())
    }

    /// GCRA: returns when the user's bucket will be full again after one more send.
    fn check_rate(&self, user: &UserId, now: Millis, limits: &Limits) -> Result<u128, Refusal> {
        let interval = 1_000 * NANOS_PER_MILLI / u128::from(limits.sends_per_second.max(1));
        let capacity = interval * u128::from(limits.send_burst.max(1));
        let now = u128::from(now) * NANOS_PER_MILLI;
        let full_at = self.rates.get(user).map_or(now, |full_at| (*full_at).max(now)) + interval;
        match full_at.checked_sub(now + capacity) {
            None | Some(0) => Ok(full_at),
            Some(wait) => Err(Refusal::RateLimited {
                retry_ms: Millis::try_from(wait.div_ceil(NANOS_PER_MILLI)).unwrap_or(Millis::MAX),
            }),
        }
    }
}

/// Gives a publication to every subscriber that has place for it, and a note of the loss to those that had none.
fn publish(instances: &mut HashMap<u64, Instance>, subscribers: &HashSet<u64>, publication: &Publication) {
    for subscriber in subscribers {
        let Some(instance) = instances.get_mut(subscriber) else { continue };
        instance.tell_interruption();
        if !instance.interrupted && instance.feed.try_send(publication.clone()).is_err() {
            instance.interrupted = true;
        }
    }
}

impl Instance {
    fn tell_interruption(&mut self) {
        if self.interrupted && self.feed.try_send(Publication::Interrupted).is_ok() {
            self.interrupted = false;
        }
    }
}

fn random_chain() -> Chain {
    Chain::from_bits(rand::random())
}

fn ready<T: Send + 'static, E: Send + 'static>(result: Result<T, E>) -> Pending<T, E> {
    std::future::ready(result).boxed()
}

impl Attachment {
    fn publish(&self, state: &mut State, room: &RoomId, publication: &Publication) {
        if let Some(found) = state.rooms.get(room) {
            publish(&mut state.instances, &found.subscribers, publication);
        }
    }
}

impl Store for Attachment {
    fn append(&self, room: &RoomId, draft: Draft) -> Pending<Stored, AppendError> {
        ready(self.memory.append(room, draft))
    }

    fn read_after(&self, room: &RoomId, since: Since, page: PageSize, newest: PageSize) -> Pending<After> {
        let state = self.memory.lock();
        let empty = Log::new(Chain::from_bits(0));
        let log = state.rooms.get(room).map_or(&empty, |room| &room.log);
        ready(Ok(log.read_after(since, page, newest)))
    }

    fn read_before(&self, room: &RoomId, before: Option<u64>, page: PageSize) -> Pending<Page> {
        let state = self.memory.lock();
        let none = Page { entries: Vec::new(), top: Position::ZERO, oldest: 0 };
        ready(Ok(state.rooms.get(room).map_or(none, |room| room.log.read_before(before, page))))
    }

    fn check(&self, rooms: Vec<RoomId>) -> Pending<Vec<Checked>> {
        let mut state = self.memory.lock();
        let checked = rooms
            .iter()
            .map(|room| match state.rooms.get(room) {
                Some(room) => Checked { position: room.log.position(), members: room.members.len() as u64 },
                None => Checked { position: Position::ZERO, members: 0 },
            })
            .collect();
        if let Some(instance) = state.instances.get_mut(&self.instance) {
            instance.tell_interruption();
        }
        ready(Ok(checked))
    }

    fn subscribe(&self, room: &RoomId) -> Pending<()> {
        let now = self.memory.now();
        self.memory.lock().room(room, now).subscribers.insert(self.instance);
        ready(Ok(()))
    }

    fn unsubscribe(&self, room: &RoomId) -> Pending<()> {
        let mut state = self.memory.lock();
        if let Some(found) = state.rooms.get_mut(room) {
            found.subscribers.remove(&self.instance);
            if found.subscribers.is_empty() && found.members.is_empty() && found.log.position().offset == 0 {
                // Nobody is there and nothing was said: a room that was only looked at.
                let bytes = found.bytes() + ROOM_COST;
                state.bytes -= bytes;
                state.rooms.remove(room);
            }
        }
        ready(Ok(()))
    }

    fn announce(&self, room: &RoomId, announcement: Announcement) {
        let mut state = self.memory.lock();
        self.publish(&mut state, room, &Publication::Announcement(room.clone(), announcement));
    }

    fn mark_read(&self, room: &RoomId, user: &UserId, offset: u64, origin: u64) -> Pending<()> {
        let mut guard = self.memory.lock();
        let state = &mut *guard;
        if let Some(found) = state.rooms.get_mut(room) {
            let before = found.bytes();
            let mark = found.reads.entry(user.clone()).or_insert(0);
            if offset > *mark {
                *mark = offset;
                let read = Announcement::Read { user: user.clone(), offset, origin };
                let publication = Publication::Announcement(room.clone(), read);
                publish(&mut state.instances, &found.subscribers, &publication);
            }
            state.bytes = state.bytes + found.bytes() - before;
        }
        ready(Ok(()))
    }

    fn read_mark(&self, room: &RoomId, user: &UserId) -> Pending<u64> {
        let state = self.memory.lock();
        ready(Ok(state.rooms.get(room).and_then(|room| room.reads.get(user)).copied().unwrap_or(0)))
    }

    fn enter(&self, room: &RoomId, user: &User) -> Pending<()> {
        let now = self.memory.now();
        let mut guard = self.memory.lock();
        let state = &mut *guard;
        state.room(room, now);
        let Some(found) = state.rooms.get_mut(room) else { return ready(Ok(())) };
        let before = found.bytes();
        let change = match found.members.get_mut(&user.id) {
            Some(member) => {
                member.instances.insert(self.instance);
                let renamed = member.user != *user;
                member.user = user.clone();
                renamed.then(|| PresenceChange::Renamed { user: user.clone() })
            }
            None => {
                let member = Member { user: user.clone(), instances: HashSet::from([self.instance]) };
                found.members.insert(user.id.clone(), member);
                Some(PresenceChange::Joined { user: user.clone(), members: found.members.len() as u64 })
            }
        };
        state.bytes = state.bytes + found.bytes() - before;
        if let Some(change) = change {
            self.publish(state, room, &Publication::Presence(room.clone(), change));
        }
        ready(Ok(()))
    }

    fn leave(&self, room: &RoomId, user: &UserId) -> Pending<()> {
        let mut state = self.memory.lock();
        if let Some(user) = state.leave(room, user, self.instance) {
            state.bytes -= MARK_COST;
            let members = state.rooms.get(room).map_or(0, |room| room.members.len() as u64);
            let left = PresenceChange::Left { users: vec![user], members };
            self.publish(&mut state, room, &Publication::Presence(room.clone(), left));
        }
        ready(Ok(()))
    }

    fn members(&self, room: &RoomId, most: usize) -> Pending<Members> {
        let state = self.memory.lock();
        let members = state.rooms.get(room).map_or(Members { list: Some(Vec::new()), count: 0 }, |room| {
            let count = room.members.len();
            let list = (count <= most).then(|| room.members.values().map(|member| member.user.clone()).collect());
            Members { list, count: count as u64 }
        });
        ready(Ok(members))
    }

    fn renew_lease(&self, for_ms: Millis) -> Pending<()> {
        let now = self.memory.now();
        let mut state = self.memory.lock();
        state.leases.insert(self.instance, now + for_ms);
        if let Some(instance) = state.instances.get_mut(&self.instance) {
            instance.tell_interruption();
        }
        ready(Ok(()))
    }

    fn sweep(&self) -> Pending<usize> {
        let now = self.memory.now();
        let mut guard = self.memory.lock();
        let state = &mut *guard;
        state.forget_idle_rooms(now, self.memory.shared.limits.history_idle_ms);
        let ended: Vec<u64> = state.leases.iter().filter(|(_, until)| **until <= now).map(|(id, _)| *id).collect();
        for instance in &ended {
            state.leases.remove(instance);
        }
        let rooms: Vec<RoomId> = if ended.is_empty() { Vec::new() } else { state.rooms.keys().cloned().collect() };
        for room in rooms {
            let there: Vec<UserId> =
                state.rooms.get(&room).map_or_else(Vec::new, |room| room.members.keys().cloned().collect());
            let mut users = Vec::new();
            for user in there {
                for instance in &ended {
                    users.extend(state.leave(&room, &user, *instance));
                }
            }
            if !users.is_empty() {
                state.bytes -= MARK_COST * users.len();
                let members = state.rooms.get(&room).map_or(0, |room| room.members.len() as u64);
                let left = PresenceChange::Left { users, members };
                self.publish(state, &room, &Publication::Presence(room.clone(), left));
            }
        }
        ready(Ok(ended.len()))
    }

    fn durability(&self) -> Durability {
        Durability::Memory
    }

    fn health(&self) -> Health {
        let used = self.memory.lock().bytes;
        let percent = (used.saturating_mul(100) / self.memory.shared.budget).min(100);
        Health { reachable: true, full_percent: u8::try_from(percent).ok() }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let mut state = self.memory.lock();
        state.instances.remove(&self.instance);
        // Its members stay until its lease ends; its subscriptions don't.
        for room in state.rooms.values_mut() {
            room.subscribers.remove(&self.instance);
        }
    }
}
