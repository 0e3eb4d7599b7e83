//! What has to be done later, in the order of its time. At most one entry per room and purpose, and one per user in
//! grace, so it is bounded by the rooms and members of this instance.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::domain::{Millis, RoomId, UserId};

/// Things to do, with their times.
#[derive(Debug, Default)]
pub struct Agenda {
    heap: Mutex<BinaryHeap<Reverse<Item>>>,
    earlier: Notify,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    at: Millis,
    duty: Duty,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Duty {
    /// Tell a room's clients who came and went.
    Announce(RoomId),
    /// Read what a room may have missed.
    Heal(RoomId),
    /// The user leaves the room, unless they came back: then the absence has another number.
    EndGrace(RoomId, UserId, u64),
    /// Forget the room if nobody is in it.
    Close(RoomId),
}

impl Agenda {
    /// Adds something to do.
    pub fn add(&self, at: Millis, duty: Duty) {
        let mut heap = self.lock();
        let earlier = heap.peek().is_none_or(|Reverse(first)| at < first.at);
        heap.push(Reverse(Item { at, duty }));
        drop(heap);
        if earlier {
            self.earlier.notify_one();
        }
    }

    /// Takes the next thing whose time has come.
    pub fn take_due(&self, now: Millis) -> Option<Duty> {
        let mut heap = self.lock();
        if heap.peek().is_some_and(|Reverse(first)| first.at <= now) {
            heap.pop().map(|Reverse(item)| item.duty)
        } else {
            None
        }
    }

    /// The time of the next thing.
    pub fn next_at(&self) -> Option<Millis> {
        self.lock().peek().map(|Reverse(first)| first.at)
    }

    /// Waits until something was added that comes before everything else.
    pub async fn earlier(&self) {
        self.earlier.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, BinaryHeap<Reverse<Item>>> {
        self.heap.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
