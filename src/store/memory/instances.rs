//! The instances that share the store: their feeds and their leases.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::mpsc;

use crate::domain::{Millis, RoomId};
use crate::store::{FEED_CAPACITY, FIRST_LEASE_MS, Feed, Publication};

/// One attachment, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(u64);

/// All instances that are attached, or of which a lease is left.
#[derive(Debug, Default)]
pub struct Instances {
    all: BTreeMap<InstanceId, Instance>,
    last: u64,
}

/// An instance.
#[derive(Debug)]
struct Instance {
    name: String,
    /// `None` once it is gone.
    outlet: Option<Outlet>,
    subscribed: BTreeSet<RoomId>,
    /// Until when its members are present without a renewal.
    lease: Option<Millis>,
    /// Rooms in which it has members.
    present: BTreeSet<RoomId>,
}

/// The store's end of a feed.
#[derive(Debug)]
struct Outlet {
    feed: mpsc::Sender<Publication>,
    /// Publications were dropped, and the instance doesn't know yet.
    interrupted: bool,
}

impl Outlet {
    fn publish(&mut self, publication: Publication) {
        if !self.tell_interrupted() || self.feed.try_send(publication).is_err() {
            self.interrupted = true;
        }
    }

    /// Whether the instance knows of everything that was dropped.
    fn tell_interrupted(&mut self) -> bool {
        if self.interrupted && self.feed.try_send(Publication::Interrupted).is_ok() {
            self.interrupted = false;
        }
        !self.interrupted
    }
}

/// An instance whose lease has ended.
#[derive(Debug)]
pub struct Ended {
    /// Which.
    pub id: InstanceId,
    /// What it was called.
    pub name: String,
    /// Where it has members.
    pub present: BTreeSet<RoomId>,
}

impl Instances {
    /// A new one. The name is for people only: an instance that starts again under its old name is another one.
    pub fn attach(&mut self, name: &str) -> (InstanceId, Feed) {
        let (sender, feed) = mpsc::channel(FEED_CAPACITY);
        self.last += 1;
        let id = InstanceId(self.last);
        let instance = Instance {
            name: name.to_owned(),
            outlet: Some(Outlet { feed: sender, interrupted: false }),
            subscribed: BTreeSet::new(),
            lease: None,
            present: BTreeSet::new(),
        };
        self.all.insert(id, instance);
        (id, feed)
    }

    /// It is gone: its feed ends, its members stay until its lease ends. Returns what it was subscribed to.
    pub fn detach(&mut self, id: InstanceId) -> BTreeSet<RoomId> {
        let Some(instance) = self.all.get_mut(&id) else { return BTreeSet::new() };
        instance.outlet = None;
        let subscribed = std::mem::take(&mut instance.subscribed);
        if instance.lease.is_none() {
            self.all.remove(&id);
        }
        subscribed
    }

    /// Returns whether it wasn't subscribed before.
    pub fn subscribe(&mut self, id: InstanceId, room: &RoomId) -> bool {
        self.all.get_mut(&id).is_some_and(|instance| instance.subscribed.insert(room.clone()))
    }

    /// Ends a subscription.
    pub fn unsubscribe(&mut self, id: InstanceId, room: &RoomId) {
        if let Some(instance) = self.all.get_mut(&id) {
            instance.subscribed.remove(room);
        }
    }

    /// Gives a publication to each of the subscribers; those that have no room for it are told that they missed some.
    pub fn publish(&mut self, subscribers: &[InstanceId], publication: &Publication) {
        for id in subscribers {
            if let Some(outlet) = self.outlet(*id) {
                outlet.publish(publication.clone());
            }
        }
    }

    /// Tells an instance that it missed publications, if it did and can be told.
    pub fn tell_interrupted(&mut self, id: InstanceId) {
        if let Some(outlet) = self.outlet(id) {
            outlet.tell_interrupted();
        }
    }

    /// Renews a lease.
    pub fn renew(&mut self, id: InstanceId, until: Millis) {
        if let Some(instance) = self.all.get_mut(&id) {
            instance.lease = Some(until);
        }
    }

    /// It has members in a room, for which it needs a lease.
    pub fn enter(&mut self, id: InstanceId, room: &RoomId, now: Millis) {
        if let Some(instance) = self.all.get_mut(&id) {
            instance.lease.get_or_insert(now.saturating_add(FIRST_LEASE_MS));
            if !instance.present.contains(room) {
                instance.present.insert(room.clone());
            }
        }
    }

    /// It has no members in a room any more.
    pub fn leave(&mut self, id: InstanceId, room: &RoomId) {
        if let Some(instance) = self.all.get_mut(&id) {
            instance.present.remove(room);
        }
    }

    /// Takes the leases that have ended.
    pub fn take_ended(&mut self, now: Millis) -> Vec<Ended> {
        let mut ended = Vec::new();
        self.all.retain(|id, instance| {
            if instance.lease.is_none_or(|until| until > now) {
                return true;
            }
            instance.lease = None;
            let present = std::mem::take(&mut instance.present);
            ended.push(Ended { id: *id, name: instance.name.clone(), present });
            // One that only paused is still attached.
            instance.outlet.is_some()
        });
        ended
    }

    fn outlet(&mut self, id: InstanceId) -> Option<&mut Outlet> {
        self.all.get_mut(&id)?.outlet.as_mut()
    }
}
