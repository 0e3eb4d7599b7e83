//! The embedded store: every room in this process's memory.
//!
//! It keeps the whole contract of [`Store`], for any number of instances in one process. Every call is carried out at
//! once, under one lock, and costs the same however long the histories are and however many rooms there are; the future
//! it returns is ready. It knows the domain only; its one clock is a parameter.
//!
//! # Memory
//!
//! All that rooms hold is counted, approximately but never far below the truth, against one budget. An acknowledged
//! entry is never thrown away to make place for another: at the budget, what would need more is refused
//! ([`Refusal::Overloaded`](super::Refusal::Overloaded)) until keys leave their window (at most
//! [`key_window_ms`](crate::domain::Limits::key_window_ms) later), which is what lets rooms with a full history go on,
//! or idle rooms are forgotten. Subscriptions and members are counted and never refused: connections bound them.

mod clock;
mod instances;
mod keys;
mod log;
mod presence;
mod rates;
mod records;
mod room;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;

use super::{
    After, Announcement, AppendError, Checked, Durability, Feed, Health, Members, Page, PageSize, Pending, RecordId,
    Store, Stored,
};
use crate::domain::{Draft, Limits, Millis, RoomId, Since, User, UserId};
use instances::InstanceId;
use state::State;

pub use clock::{Clock, SystemClock};

/// The rooms that the instances of one process share.
#[derive(Clone)]
pub struct Memory {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl Memory {
    /// A store without rooms, which may take about `budget_bytes` of memory for all of them.
    #[must_use]
    pub fn new(limits: Arc<Limits>, budget_bytes: usize, clock: Arc<dyn Clock>) -> Self {
        Self { shared: Arc::new(Shared { clock, state: Mutex::new(State::new(limits, budget_bytes)) }) }
    }

    /// Connects an instance; `name` is for the logs. Dropping the store ends the feed and the subscriptions at once, as
    /// a crash would: its members are there until its lease ends.
    #[must_use]
    pub fn attach(&self, name: &str) -> (Arc<dyn Store>, Feed) {
        let (instance, feed) = self.shared.lock().attach(name);
        (Arc::new(Attached { shared: Arc::clone(&self.shared), instance }), feed)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One instance's connection to a [`Memory`].
struct Attached {
    shared: Arc<Shared>,
    instance: InstanceId,
}

impl Attached {
    /// Does something now, at this time.
    fn at_once<T, E>(&self, act: impl FnOnce(&mut State, Millis) -> Result<T, E>) -> Pending<T, E>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let now = self.shared.clock.now();
        std::future::ready(act(&mut self.shared.lock(), now)).boxed()
    }

    /// The same for what can't fail.
    fn surely<T: Send + 'static>(&self, act: impl FnOnce(&mut State, Millis) -> T) -> Pending<T> {
        self.at_once(|state, now| Ok(act(state, now)))
    }
}

impl Store for Attached {
    fn append(&self, room: &RoomId, draft: Draft) -> Pending<Stored, AppendError> {
        self.at_once(|state, now| state.append(room, draft, now))
    }

    fn read_after(&self, room: &RoomId, since: Since, page: PageSize, newest: PageSize) -> Pending<After> {
        self.surely(|state, now| state.read(room, now, |log| log.read_after(since, page, newest)))
    }

    fn read_before(&self, room: &RoomId, before: Option<u64>, page: PageSize) -> Pending<Page> {
        self.surely(|state, now| state.read(room, now, |log| log.read_before(before, page)))
    }

    fn check(&self, rooms: Vec<RoomId>) -> Pending<Vec<Checked>> {
        self.surely(|state, now| state.check(&rooms, self.instance, now))
    }

    fn subscribe(&self, room: &RoomId) -> Pending<()> {
        self.surely(|state, _| state.subscribe(room, self.instance))
    }

    fn unsubscribe(&self, room: &RoomId) -> Pending<()> {
        self.surely(|state, _| state.unsubscribe(room, self.instance))
    }

    fn announce(&self, room: &RoomId, announcement: Announcement) {
        self.shared.lock().announce(room, announcement);
    }

    fn mark_read(&self, room: &RoomId, user: &UserId, offset: u64, origin: u64) -> Pending<()> {
        self.at_once(|state, now| state.mark_read(room, user, offset, origin, now))
    }

    fn read_mark(&self, room: &RoomId, user: &UserId) -> Pending<u64> {
        self.surely(|state, now| state.read_mark(room, user, now))
    }

    fn enter(&self, room: &RoomId, user: &User, named_at: Millis) -> Pending<()> {
        self.surely(|state, now| state.enter(room, user, named_at, self.instance, now))
    }

    fn leave(&self, room: &RoomId, user: &UserId) -> Pending<()> {
        self.surely(|state, _| state.leave(room, user, self.instance))
    }

    fn members(&self, room: &RoomId, most: usize) -> Pending<Members> {
        self.surely(|state, _| state.members(room, most))
    }

    fn keep(&self, id: RecordId, record: Vec<u8>, for_ms: Millis) -> Pending<()> {
        self.at_once(|state, now| state.keep(id, record, for_ms, now))
    }

    fn kept(&self, id: RecordId) -> Pending<Option<Vec<u8>>> {
        self.surely(|state, now| state.kept(id, now))
    }

    fn renew_lease(&self, for_ms: Millis) -> Pending<()> {
        self.surely(|state, now| state.renew_lease(self.instance, for_ms, now))
    }

    fn sweep(&self) -> Pending<usize> {
        self.surely(State::sweep)
    }

    fn durability(&self) -> Durability {
        Durability::Memory
    }

    fn health(&self) -> Health {
        Health { reachable: true, full_percent: Some(self.shared.lock().full_percent()) }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.shared.lock().detach(self.instance);
    }
}
