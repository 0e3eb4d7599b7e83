//! Everything the embedded store holds, behind one lock. Time comes in as a parameter.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use super::instances::{InstanceId, Instances};
use super::keys::{Keys, Known};
use super::log::Log;
use super::rates::Rates;
use super::records::Records;
use super::room::Room;
use crate::domain::{Draft, Key, Limits, Millis, RoomId, User, UserId};
use crate::store::{
    Announcement, AppendError, Checked, Durability, Feed, Members, PresenceChange, Publication, RecordId, Refusal,
    StoreError, Stored, Traced,
};

/// What a client is told to wait while the store is full. Windows of keys end all the time, rooms rarely.
const FULL_RETRY_MS: Millis = 10_000;

/// Keys, rooms and records each that one append forgets at most: more than it adds, so that they never pile up.
const FORGET_PER_APPEND: usize = 2;

/// Keys, rooms and records each that a renewal of a lease or a sweep forgets at most; about a millisecond's work.
const FORGET_PER_RENEWAL: usize = 4_096;

/// Keys, rooms and records each that an append forgets at most before it is refused because the store is full.
const FORGET_WHEN_FULL: usize = 64;

/// All rooms and all instances.
#[derive(Debug)]
pub struct State {
    limits: Arc<Limits>,
    budget_bytes: usize,
    /// Bytes of memory that the rooms take. What is due to be forgotten counts until it is.
    used_bytes: usize,
    rooms: HashMap<RoomId, Box<Room>>,
    instances: Instances,
    records: Records,
    /// Keys by the end of their window.
    keys: VecDeque<(Millis, RoomId, UserId, Key)>,
    /// Each room that has a log or marks, once, by when there may be something to forget.
    idle: BinaryHeap<Reverse<(Millis, RoomId)>>,
}

impl State {
    /// Nothing yet.
    pub fn new(limits: Arc<Limits>, budget_bytes: usize) -> Self {
        Self {
            limits,
            budget_bytes: budget_bytes.max(1),
            used_bytes: 0,
            rooms: HashMap::new(),
            instances: Instances::default(),
            records: Records::default(),
            keys: VecDeque::new(),
            idle: BinaryHeap::new(),
        }
    }

    /// A new instance.
    pub fn attach(&mut self, name: &str) -> (InstanceId, Feed) {
        self.instances.attach(name)
    }

    /// An instance is gone without a word.
    pub fn detach(&mut self, instance: InstanceId) {
        for room in self.instances.detach(instance) {
            self.remove_subscriber(&room, instance);
        }
    }

    /// See [`Store::append`](crate::store::Store::append).
    pub fn append(&mut self, id: &RoomId, draft: Draft, now: Millis) -> Result<Stored, AppendError> {
        self.forget(now, FORGET_PER_APPEND);
        let limits = Arc::clone(&self.limits);
        let idle_ms = limits.history_idle_ms;
        self.change(id, |room, _| {
            if room.has_ended(now, idle_ms) {
                room.end_log();
            }
        });
        let user = &draft.user.id;
        let room = self.rooms.get(id);
        match room.and_then(|room| room.keys.find(&draft, now, limits.key_window_ms)) {
            Some(Known::Duplicate(position, at)) => {
                return Ok(Stored { position, at, durability: Durability::Memory, duplicate: true });
            }
            Some(Known::Conflict(position)) => return Err(Refusal::KeyConflict { position }.into()),
            None => {}
        }
        let token = match room {
            Some(room) => room.rates.check(user, now, &limits)?,
            None => Rates::default().check(user, now, &limits)?,
        };
        match room {
            Some(room) => room.log.check_target(&draft.body, user)?,
            None if draft.body.target().is_some() => return Err(Refusal::NotFound.into()),
            None => {}
        }
        self.make_place(id, Log::bytes_of(&draft) + Keys::bytes_of(&draft.key) + Rates::bytes_of_one(), now)?;
        let entry = self.change_or_create(id, |room, instances| {
            room.rates.spend(&draft.user.id, token);
            if let Some(trace) = draft.trace {
                let traced = Announcement::Traced(Traced::now(&draft, trace));
                instances.publish(&room.subscribers, &Publication::Announcement(id.clone(), traced));
            }
            let entry = room.log.append(draft, now, &limits);
            room.keys.remember(&entry);
            instances.publish(&room.subscribers, &Publication::Entry(id.clone(), Arc::clone(&entry)));
            entry
        });
        let key_ends = entry.at.saturating_add(limits.key_window_ms);
        self.keys.push_back((key_ends, id.clone(), entry.user.id.clone(), entry.key.clone()));
        self.queue(id);
        Ok(Stored { position: entry.position(), at: entry.at, durability: Durability::Memory, duplicate: false })
    }

    /// Reads a room's log, an empty one where there is none.
    pub fn read<T>(&self, id: &RoomId, now: Millis, read: impl FnOnce(&Log) -> T) -> T {
        let idle_ms = self.limits.history_idle_ms;
        match self.rooms.get(id).filter(|room| !room.has_ended(now, idle_ms)) {
            Some(room) => read(&room.log),
            None => read(&Log::new(crate::domain::Chain::from_bits(0))),
        }
    }

    /// Positions and member counts.
    pub fn check(&mut self, rooms: &[RoomId], instance: InstanceId, now: Millis) -> Vec<Checked> {
        self.instances.tell_interrupted(instance);
        rooms
            .iter()
            .map(|id| Checked {
                position: self.read(id, now, Log::top),
                members: self.rooms.get(id).map_or(0, |room| room.presence.count()),
            })
            .collect()
    }

    /// See [`Store::subscribe`](crate::store::Store::subscribe).
    pub fn subscribe(&mut self, id: &RoomId, instance: InstanceId) {
        if self.instances.subscribe(instance, id) {
            self.change_or_create(id, |room, _| room.subscribers.push(instance));
        }
    }

    /// See [`Store::unsubscribe`](crate::store::Store::unsubscribe).
    pub fn unsubscribe(&mut self, id: &RoomId, instance: InstanceId) {
        self.instances.unsubscribe(instance, id);
        self.remove_subscriber(id, instance);
    }

    /// See [`Store::announce`](crate::store::Store::announce).
    pub fn announce(&mut self, id: &RoomId, announcement: Announcement) {
        if let Some(room) = self.rooms.get(id) {
            self.instances.publish(&room.subscribers, &Publication::Announcement(id.clone(), announcement));
        }
    }

    /// See [`Store::mark_read`](crate::store::Store::mark_read).
    pub fn mark_read(
        &mut self,
        id: &RoomId,
        user: &UserId,
        offset: u64,
        origin: u64,
        now: Millis,
    ) -> Result<(), StoreError> {
        if offset <= self.read_mark(id, user, now) {
            return Ok(());
        }
        let is_marked = self.rooms.get(id).is_some_and(|room| room.is_marked(user));
        if !is_marked {
            self.make_place(id, Room::bytes_of_mark(), now)
                .map_err(|_| StoreError::Overloaded { retry_ms: FULL_RETRY_MS })?;
        }
        self.change_or_create(id, |room, instances| {
            room.raise_mark(user, offset, now);
            let read = Announcement::Read { user: user.clone(), offset, origin };
            instances.publish(&room.subscribers, &Publication::Announcement(id.clone(), read));
        });
        self.queue(id);
        Ok(())
    }

    /// A user's read mark, 0 for none.
    pub fn read_mark(&self, id: &RoomId, user: &UserId, now: Millis) -> u64 {
        let room = self.rooms.get(id).filter(|room| !room.has_ended(now, self.limits.history_idle_ms));
        room.map_or(0, |room| room.mark(user))
    }

    /// See [`Store::enter`](crate::store::Store::enter).
    pub fn enter(&mut self, id: &RoomId, user: &User, named_at: Millis, instance: InstanceId, now: Millis) {
        self.instances.enter(instance, id, now);
        self.change_or_create(id, |room, instances| {
            let change = room.presence.enter(user, named_at, instance);
            publish_presence(instances, id, room, change);
        });
    }

    /// See [`Store::leave`](crate::store::Store::leave).
    pub fn leave(&mut self, id: &RoomId, user: &UserId, instance: InstanceId) {
        self.change(id, |room, instances| {
            let change = room.presence.leave(user, instance);
            if !room.presence.is_on(instance) {
                instances.leave(instance, id);
            }
            publish_presence(instances, id, room, change);
        });
    }

    /// See [`Store::members`](crate::store::Store::members).
    pub fn members(&self, id: &RoomId, most: usize) -> Members {
        self.rooms.get(id).map_or(Members { list: Some(Vec::new()), count: 0 }, |room| room.presence.list(most))
    }

    /// See [`Store::keep`](crate::store::Store::keep).
    pub fn keep(&mut self, id: RecordId, record: Vec<u8>, for_ms: Millis, now: Millis) -> Result<(), StoreError> {
        self.forget(now, FORGET_PER_APPEND);
        let bytes = Records::bytes_of(&record);
        if !self.fits(bytes) {
            self.forget(now, FORGET_WHEN_FULL);
        }
        if !self.fits(bytes) {
            return Err(StoreError::Overloaded { retry_ms: FULL_RETRY_MS });
        }
        self.change_records(|records| records.keep(id, record, now.saturating_add(for_ms)));
        Ok(())
    }

    /// See [`Store::kept`](crate::store::Store::kept).
    pub fn kept(&self, id: RecordId, now: Millis) -> Option<Vec<u8>> {
        self.records.get(id, now).map(<[u8]>::to_vec)
    }

    /// See [`Store::renew_lease`](crate::store::Store::renew_lease).
    pub fn renew_lease(&mut self, instance: InstanceId, for_ms: Millis, now: Millis) {
        self.instances.renew(instance, now.saturating_add(for_ms));
        self.instances.tell_interrupted(instance);
        self.forget(now, FORGET_PER_RENEWAL);
    }

    /// See [`Store::sweep`](crate::store::Store::sweep).
    pub fn sweep(&mut self, now: Millis) -> usize {
        self.forget(now, FORGET_PER_RENEWAL);
        let ended = self.instances.take_ended(now);
        for instance in &ended {
            tracing::debug!(instance = instance.name, rooms = instance.present.len(), "the lease of an instance ended");
            for id in &instance.present {
                self.change(id, |room, instances| {
                    let change = room.presence.end(instance.id);
                    publish_presence(instances, id, room, change);
                });
            }
        }
        ended.len()
    }

    /// How much of the budget is used.
    pub fn full_percent(&self) -> u8 {
        let percent = self.used_bytes.saturating_mul(100) / self.budget_bytes;
        u8::try_from(percent.min(100)).unwrap_or(100)
    }

    /// Whether the store may take so many bytes more in a room.
    fn make_place(&mut self, id: &RoomId, bytes: usize, now: Millis) -> Result<(), Refusal> {
        let room = if self.rooms.contains_key(id) { 0 } else { Room::bytes_of_one() };
        if !self.fits(bytes + room) {
            self.forget(now, FORGET_WHEN_FULL);
        }
        if self.fits(bytes + room) { Ok(()) } else { Err(Refusal::Overloaded { retry_ms: FULL_RETRY_MS }) }
    }

    const fn fits(&self, bytes: usize) -> bool {
        self.used_bytes.saturating_add(bytes) <= self.budget_bytes
    }

    /// Forgets keys, rooms and records whose time is over, a few at a time.
    fn forget(&mut self, now: Millis, most: usize) {
        let Limits { key_window_ms, history_idle_ms, .. } = *self.limits;
        for _ in 0..most {
            if self.keys.front().is_none_or(|(ends, ..)| *ends > now) {
                break;
            }
            if let Some((_, id, user, key)) = self.keys.pop_front() {
                self.change(&id, |room, _| {
                    room.keys.forget(&user, &key, now, key_window_ms);
                    // Every bucket was last filled by a key's entry. One that takes longer than the window to fill up
                    // ends with the log.
                    room.rates.forget(&user, now);
                });
            }
        }
        for _ in 0..most {
            if self.idle.peek().is_none_or(|Reverse((at, _))| *at > now) {
                break;
            }
            if let Some(Reverse((_, id))) = self.idle.pop() {
                self.change(&id, |room, _| {
                    room.queued = false;
                    room.forget(now, history_idle_ms);
                });
                self.queue(&id);
            }
        }
        self.change_records(|records| {
            let _ = (0..most).all(|_| records.forget_one(now));
        });
    }

    /// Changes the records and keeps count of their memory.
    fn change_records(&mut self, change: impl FnOnce(&mut Records)) {
        self.used_bytes -= self.records.bytes();
        change(&mut self.records);
        self.used_bytes += self.records.bytes();
    }

    /// Puts a room into the queue of those to forget, if it has something to forget and isn't there.
    fn queue(&mut self, id: &RoomId) {
        let Some(room) = self.rooms.get_mut(id).filter(|room| !room.queued) else { return };
        if let Some(at) = room.forget_at(self.limits.history_idle_ms) {
            room.queued = true;
            self.idle.push(Reverse((at, id.clone())));
        }
    }

    fn remove_subscriber(&mut self, id: &RoomId, instance: InstanceId) {
        self.change(id, |room, _| room.subscribers.retain(|subscriber| *subscriber != instance));
    }

    /// Changes a room, if it is there, keeps count of its memory, and removes it where nothing is left.
    fn change(&mut self, id: &RoomId, change: impl FnOnce(&mut Room, &mut Instances)) {
        let Some(room) = self.rooms.get_mut(id) else { return };
        self.used_bytes -= room.bytes();
        change(room, &mut self.instances);
        if room.is_unused() {
            self.rooms.remove(id);
        } else {
            self.used_bytes += room.bytes();
        }
    }

    fn change_or_create<T>(&mut self, id: &RoomId, change: impl FnOnce(&mut Room, &mut Instances) -> T) -> T {
        let before = self.rooms.get(id).map_or(0, |room| room.bytes());
        let room = self.rooms.entry(id.clone()).or_insert_with(|| Box::new(Room::new()));
        let result = change(room, &mut self.instances);
        self.used_bytes = self.used_bytes + room.bytes() - before;
        result
    }
}

fn publish_presence(instances: &mut Instances, id: &RoomId, room: &Room, change: Option<PresenceChange>) {
    if let Some(change) = change {
        instances.publish(&room.subscribers, &Publication::Presence(id.clone(), change));
    }
}
