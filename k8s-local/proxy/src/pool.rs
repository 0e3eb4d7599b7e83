//! The instances there are, and which of them gets the next request.
//!
//! It knows neither how instances come and go nor what a request is.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// How long a request waits for an instance with room. Cloud Run's documentation: 3.5 times the average start, and at
/// least 10 s; a start takes less than 3 s here.
pub const PENDING: Duration = Duration::from_secs(10);

/// What an instance is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Its startup probe hasn't succeeded yet.
    Starting,
    /// It gets requests.
    Ready,
    /// Its readiness probe fails: no new requests.
    Unready,
    /// It was told to end: no new requests, those under way go on.
    Ending,
}

impl State {
    const ALL: [Self; 4] = [Self::Starting, Self::Ready, Self::Unready, Self::Ending];

    /// As it is called in the status.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Unready => "unready",
            Self::Ending => "ending",
        }
    }
}

/// One instance.
#[derive(Debug)]
pub struct Instance {
    /// Unique among those of this proxy; the affinity cookie carries it.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it listens for those who operate it, where the proxy said so.
    pub operations: Option<SocketAddr>,
    /// Its process, where the proxy owns it.
    pub pid: Option<u32>,
    /// The revision that it belongs to.
    pub revision: u32,
    /// Cancelled when it is gone: what is under way ends.
    pub gone: CancellationToken,
    state: AtomicU8,
    frozen: AtomicBool,
    in_flight: AtomicUsize,
    idle_since: Mutex<Instant>,
}

impl Instance {
    /// One that is starting.
    #[must_use]
    pub fn new(name: String, address: SocketAddr, pid: Option<u32>, revision: u32) -> Self {
        Self {
            name,
            address,
            operations: None,
            pid,
            revision,
            gone: CancellationToken::new(),
            state: AtomicU8::new(State::Starting as u8),
            frozen: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            idle_since: Mutex::new(Instant::now()),
        }
    }

    /// The same, with a port for those who operate it.
    #[must_use]
    pub fn with_operations(self, address: SocketAddr) -> Self {
        Self { operations: Some(address), ..self }
    }

    /// What it is good for.
    #[must_use]
    pub fn state(&self) -> State {
        State::ALL[usize::from(self.state.load(Ordering::Relaxed))]
    }

    /// Whether it was stopped where it is, on purpose. Says nothing to whoever chooses: that is the probes' business.
    pub fn set_frozen(&self, frozen: bool) {
        self.frozen.store(frozen, Ordering::Relaxed);
    }

    /// Requests under way, sockets included.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// What there is to say of it, for the control socket.
    #[must_use]
    pub fn described(&self) -> Value {
        json!({"name": self.name, "address": self.address.to_string(), "pid": self.pid, "revision": self.revision,
               "state": self.state().name(), "frozen": self.frozen.load(Ordering::Relaxed), "requests": self.in_flight(),
               "operations_port": self.operations.map(|address| address.port())})
    }

    /// How long it has had none.
    #[must_use]
    pub fn idle_for(&self) -> Duration {
        if self.in_flight() > 0 { Duration::ZERO } else { lock(&self.idle_since).elapsed() }
    }
}

/// All instances. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    concurrency: usize,
    instances: Mutex<Vec<Arc<Instance>>>,
    waiting: AtomicUsize,
    /// An instance, a seat or a request has come or gone.
    changed: Notify,
    cut: Mutex<CancellationToken>,
    closed: AtomicBool,
}

/// One request's place on an instance; given back when it is dropped.
#[derive(Debug)]
pub struct Seat {
    /// The instance.
    pub instance: Arc<Instance>,
    /// Cancelled when all requests are cut.
    pub cut: CancellationToken,
    shared: Arc<Shared>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        *lock(&self.instance.idle_since) = Instant::now();
        self.instance.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.shared.changed.notify_waiters();
    }
}

impl Pool {
    /// No instances yet; each will have at most `concurrency` requests at a time.
    #[must_use]
    pub fn new(concurrency: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                concurrency,
                instances: Mutex::default(),
                waiting: AtomicUsize::new(0),
                changed: Notify::new(),
                cut: Mutex::default(),
                closed: AtomicBool::new(false),
            }),
        }
    }

    /// One more.
    pub fn add(&self, instance: Arc<Instance>) {
        lock(&self.shared.instances).push(instance);
        self.shared.changed.notify_waiters();
    }

    /// One less; what is under way there ends.
    pub fn remove(&self, instance: &Arc<Instance>) {
        lock(&self.shared.instances).retain(|other| !Arc::ptr_eq(other, instance));
        instance.gone.cancel();
        self.shared.changed.notify_waiters();
    }

    /// Changes what an instance is good for. One that is ending stays so.
    pub fn set(&self, instance: &Instance, state: State) {
        if instance.state() != State::Ending && instance.state() != state {
            instance.state.store(state as u8, Ordering::Relaxed);
            self.shared.changed.notify_waiters();
        }
    }

    /// All instances, oldest first.
    #[must_use]
    pub fn instances(&self) -> Vec<Arc<Instance>> {
        lock(&self.shared.instances).clone()
    }

    /// Requests that wait for an instance.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::Relaxed)
    }

    /// Whether a request more would find all ready instances at six tenths of their cap or beyond, which is where
    /// Cloud Run adds one.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        let limit = (self.shared.concurrency * 6).div_ceil(10);
        self.instances().iter().filter(|one| one.state() == State::Ready).all(|one| one.in_flight() >= limit)
    }

    /// Resolves when something has changed since the call.
    pub async fn changed(&self) {
        self.shared.changed.notified().await;
    }

    /// Cuts every request and socket that is under way.
    pub fn cut(&self) {
        std::mem::take(&mut *lock(&self.shared.cut)).cancel();
    }

    /// No request is given a seat any more.
    pub fn close(&self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        self.shared.changed.notify_waiters();
        self.cut();
    }

    /// A seat on the instance that `affinity` names, if it has room, or on the emptiest; on none of those that were `tried`
    /// for the request already. Waits up to [`PENDING`] for one; `None` then, which is Cloud Run's 429.
    pub async fn seat(&self, affinity: Option<&str>, tried: &[Arc<Instance>]) -> Option<Seat> {
        if let Some(seat) = self.try_seat(affinity, tried) {
            return Some(seat);
        }
        let _waiting = Waiting::new(&self.shared);
        let deadline = Instant::now() + PENDING;
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(seat) = self.try_seat(affinity, tried) {
                return Some(seat);
            }
            if self.shared.closed.load(Ordering::Relaxed) || timeout_at(deadline, changed).await.is_err() {
                return None;
            }
        }
    }

    fn try_seat(&self, affinity: Option<&str>, tried: &[Arc<Instance>]) -> Option<Seat> {
        if self.shared.closed.load(Ordering::Relaxed) {
            return None;
        }
        let instances = lock(&self.shared.instances);
        let has_room = |one: &Instance| one.state() == State::Ready && one.in_flight() < self.shared.concurrency;
        let was_tried = |one: &Arc<Instance>| tried.iter().any(|other| Arc::ptr_eq(one, other));
        let open: Vec<_> = instances.iter().filter(|one| has_room(one) && !was_tried(one)).collect();
        let wished = affinity.and_then(|name| open.iter().find(|one| one.name == name));
        let chosen = wished.or_else(|| open.iter().min_by_key(|one| one.in_flight()))?;
        // Under the lock of the list, so the cap holds.
        chosen.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(Seat {
            instance: Arc::clone(chosen),
            cut: lock(&self.shared.cut).clone(),
            shared: Arc::clone(&self.shared),
        })
    }

    /// What there is beside the instances, for the control socket.
    #[must_use]
    pub fn status(&self) -> Value {
        json!({"waiting": self.waiting(), "concurrency": self.shared.concurrency})
    }
}

/// Counts a request as waiting for as long as it lives.
struct Waiting<'a>(&'a Shared);

impl<'a> Waiting<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.waiting.fetch_add(1, Ordering::Relaxed);
        shared.changed.notify_waiters();
        Self(shared)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test fails by panicking
mod tests {
    use super::*;

    fn pool(names: &[&str], concurrency: usize) -> Pool {
        let pool = Pool::new(concurrency);
        for name in names {
            let one = Arc::new(Instance::new((*name).to_owned(), "127.0.0.1:1".parse().unwrap(), None, 1));
            pool.set(&one, State::Ready);
            pool.add(one);
        }
        pool
    }

    #[tokio::test]
    async fn the_emptiest_instance_gets_the_next_request() {
        let pool = pool(&["a", "b"], 10);
        let first = pool.seat(None, &[]).await.unwrap();
        let second = pool.seat(None, &[]).await.unwrap();
        assert_ne!(first.instance.name, second.instance.name);
    }

    #[tokio::test]
    async fn affinity_is_followed_where_there_is_room_and_forgotten_where_there_is_none() {
        let pool = pool(&["a", "b"], 2);
        let seats = [pool.seat(Some("b"), &[]).await.unwrap(), pool.seat(Some("b"), &[]).await.unwrap()];
        assert!(seats.iter().all(|seat| seat.instance.name == "b"));
        assert_eq!(pool.seat(Some("b"), &[]).await.unwrap().instance.name, "a");
        assert_eq!(pool.seat(Some("somebody else"), &[]).await.unwrap().instance.name, "a");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_beyond_every_cap_waits_and_gets_the_seat_that_comes_free() {
        let pool = pool(&["a"], 1);
        let taken = pool.seat(None, &[]).await.unwrap();
        let waits = tokio::spawn({
            let pool = pool.clone();
            async move { pool.seat(None, &[]).await.map(|seat| seat.instance.name.clone()) }
        });
        while pool.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        drop(taken);
        assert_eq!(waits.await.unwrap().as_deref(), Some("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_waits_too_long_gets_none() {
        let pool = pool(&["a"], 1);
        let _taken = pool.seat(None, &[]).await.unwrap();
        let begun = Instant::now();
        assert!(pool.seat(None, &[]).await.is_none());
        assert_eq!(begun.elapsed(), PENDING);
    }

    #[tokio::test]
    async fn an_instance_that_is_ending_stays_so_and_gets_nothing() {
        let pool = pool(&["a", "b"], 10);
        let a = Arc::clone(&pool.instances()[0]);
        pool.set(&a, State::Ending);
        pool.set(&a, State::Ready);
        let seats = [pool.seat(None, &[]).await.unwrap(), pool.seat(Some("a"), &[]).await.unwrap()];
        assert!(seats.iter().all(|seat| seat.instance.name == "b"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_that_was_tried_is_not_chosen_again_however_empty_it_is() {
        let pool = pool(&["a", "b"], 10);
        let tried = [Arc::clone(&pool.instances()[0])];
        let seats = [pool.seat(Some("a"), &tried).await.unwrap(), pool.seat(None, &tried).await.unwrap()];
        assert!(seats.iter().all(|seat| seat.instance.name == "b"));
        assert!(pool.seat(None, &pool.instances()).await.is_none());
    }

    #[tokio::test]
    async fn a_cut_ends_what_is_under_way_and_nothing_that_comes_after() {
        let pool = pool(&["a"], 10);
        let before = pool.seat(None, &[]).await.unwrap();
        pool.cut();
        let after = pool.seat(None, &[]).await.unwrap();
        assert!(before.cut.is_cancelled());
        assert!(!after.cut.is_cancelled());
    }
}
