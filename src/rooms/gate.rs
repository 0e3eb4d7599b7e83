//! Where this instance's writes wait while its own delivery is behind.
//!
//! A store may take in more than the rooms' task hands out. The difference would fill the feed, and what a full feed
//! drops has to be read from a log that may have forgotten it by then. So a write goes to the store only while few are
//! ahead of it that the rooms' task hasn't taken in; the others wait here, in their order, and their senders with them.
//! Nothing waits, and no timer runs, as long as delivery keeps pace. What other instances publish counts too where it is
//! in the feed, but only our own writes can be held back.
//!
//! It knows the store and drafts, neither rooms nor sockets; time is a parameter. The rooms' task opens it, and never
//! waits for it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use tokio::sync::{Notify, oneshot};

use crate::domain::{Draft, Millis, RoomId};
use crate::store::{AppendError, Feed, Pending, Refusal, Store, StoreError, Stored, cost_of};

/// Writes that may be ahead of the rooms' task: a sixteenth of the feed, and no more than a room remembers by default, so
/// that a room that has to be read again meanwhile finds all of it.
pub const AHEAD_WRITES: usize = 1_000;

/// Bytes of them, and never more than a quarter of what may wait for a socket: what is let through before and after one
/// look of the rooms' task may come out at once, which then is half of it.
pub const AHEAD_BYTES: usize = 256 * 1024;

/// Writes that may wait.
pub const WAITING_WRITES: usize = 16 * 1024;

/// Bytes of them.
pub const WAITING_BYTES: usize = 16 * 1024 * 1024;

/// How long a write may wait. It is answered within a second, and the store needs its time too.
pub const WAIT_MS: Millis = 500;

/// What a sender is told to wait whose write could not wait here.
const RETRY_MS: Millis = 500;

/// Lets writes through to a store.
pub struct Gate {
    store: Arc<dyn Store>,
    /// Bytes that may be ahead.
    ahead_bytes: usize,
    state: Mutex<State>,
    unanswered: Unanswered,
    /// How many wait, for those who must not take the lock.
    waiting: AtomicUsize,
    /// There may be something to let through.
    nudge: Notify,
}

#[derive(Default)]
struct State {
    /// What has gone to the store and may not have been taken in.
    ahead: Load,
    queue: VecDeque<Waiting>,
    queued_bytes: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Load {
    writes: usize,
    bytes: usize,
}

/// Writes whose answer is not there yet.
#[derive(Default)]
struct Unanswered {
    writes: AtomicUsize,
    bytes: AtomicUsize,
}

struct Waiting {
    room: RoomId,
    draft: Draft,
    bytes: usize,
    since: Millis,
    answer: oneshot::Sender<Pending<Stored, AppendError>>,
}

impl Load {
    /// Whether one more may go where `most` bytes may be ahead. A single write of ours may, whatever its size.
    const fn has_room(self, bytes: usize, most: usize) -> bool {
        self.writes < AHEAD_WRITES && (self.bytes == 0 || self.bytes + bytes <= most)
    }

    const fn add(&mut self, bytes: usize) {
        self.writes += 1;
        self.bytes += bytes;
    }
}

impl Gate {
    /// An open one, for sockets that may have `outbox_bytes` waiting each.
    pub fn new(store: Arc<dyn Store>, outbox_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            store,
            ahead_bytes: AHEAD_BYTES.min(outbox_bytes / 4),
            state: Mutex::default(),
            unanswered: Unanswered::default(),
            waiting: AtomicUsize::new(0),
            nudge: Notify::new(),
        })
    }

    /// Appends, now or as soon as delivery has caught up, in the order of the calls. Dropping the future undoes nothing.
    /// Where too much waits already, or it has waited for [`WAIT_MS`], the write is refused with [`Refusal::Overloaded`].
    pub fn append(self: &Arc<Self>, room: &RoomId, draft: Draft, now: Millis) -> Pending<Stored, AppendError> {
        let bytes = cost_of(&draft.user, &draft.key, &draft.body);
        let mut state = self.lock();
        if state.queue.is_empty() && state.ahead.has_room(bytes, self.ahead_bytes) {
            state.ahead.add(bytes);
            let place = Place::take(self, bytes);
            drop(state);
            return place.append(room, draft);
        }
        if state.queue.len() >= WAITING_WRITES || state.queued_bytes + bytes > WAITING_BYTES {
            return refused();
        }
        let (answer, answering) = oneshot::channel();
        state.queue.push_back(Waiting { room: room.clone(), draft, bytes, since: now, answer });
        state.queued_bytes += bytes;
        self.waiting.store(state.queue.len(), Ordering::SeqCst);
        drop(state);
        // What is ahead may have been taken in unseen: the rooms' task has to look once.
        self.nudge.notify_one();
        async move {
            match answering.await {
                Ok(appending) => appending.await,
                Err(_) => Err(StoreError::Unavailable { retry_ms: RETRY_MS }.into()),
            }
        }
        .boxed()
    }

    /// The rooms' task has just taken a batch in, or its feed is empty: lets through what may go now. To be called at no
    /// other time: the bytes in the feed are forgotten here, and known to be few only then.
    pub fn open(self: &Arc<Self>, feed: &Feed, now: Millis) {
        let mut state = self.lock();
        // In this order: the embedded store has a write in the feed before it is answered. Over Redis answer and publication
        // come on different connections, so a write that is answered first is missed here until it is in the feed.
        let Unanswered { writes, bytes } = &self.unanswered;
        let (writes, bytes) = (writes.load(Ordering::SeqCst), bytes.load(Ordering::SeqCst));
        state.ahead = Load { writes: writes + feed.len(), bytes };
        while let Some(next) = state.queue.front() {
            let expired = now.saturating_sub(next.since) > WAIT_MS;
            if !expired && !state.ahead.has_room(next.bytes, self.ahead_bytes) {
                break;
            }
            let Some(Waiting { room, draft, bytes, answer, .. }) = state.queue.pop_front() else { break };
            state.queued_bytes -= bytes;
            let answering = if expired {
                refused()
            } else {
                state.ahead.add(bytes);
                // Under the lock, so that nothing of the same sender overtakes it.
                Place::take(self, bytes).append(&room, draft)
            };
            // Whoever asked may have gone.
            let _ = answer.send(answering);
        }
        self.waiting.store(state.queue.len(), Ordering::SeqCst);
    }

    /// Waits until it should be opened though the feed is empty.
    pub async fn nudged(&self) {
        self.nudge.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A write's place among those that are unanswered.
struct Place {
    gate: Arc<Gate>,
    bytes: usize,
}

impl Place {
    fn take(gate: &Arc<Gate>, bytes: usize) -> Self {
        gate.unanswered.writes.fetch_add(1, Ordering::SeqCst);
        gate.unanswered.bytes.fetch_add(bytes, Ordering::SeqCst);
        Self { gate: Arc::clone(gate), bytes }
    }

    fn append(self, room: &RoomId, draft: Draft) -> Pending<Stored, AppendError> {
        let appending = self.gate.store.append(room, draft);
        async move {
            let result = appending.await;
            drop(self);
            result
        }
        .boxed()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.unanswered.writes.fetch_sub(1, Ordering::SeqCst);
        self.gate.unanswered.bytes.fetch_sub(self.bytes, Ordering::SeqCst);
        if self.gate.waiting.load(Ordering::SeqCst) > 0 {
            self.gate.nudge.notify_one();
        }
    }
}

fn refused() -> Pending<Stored, AppendError> {
    std::future::ready(Err(Refusal::Overloaded { retry_ms: RETRY_MS }.into())).boxed()
}
