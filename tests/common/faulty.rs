//! A store between which and its instance things go wrong: publications are lost, late or repeated, calls fail, the
//! store goes away and comes back. The same seed and the same calls fail in the same way.
#![allow(dead_code)] // every test file uses a part of it

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use confab::domain::{Draft, Millis, RoomId, Since, User, UserId};
use confab::store::{
    After, Announcement, AppendError, Checked, Durability, FEED_CAPACITY, Feed, Health, Members, Page, PageSize,
    Pending, Publication, RecordId, Store, StoreError, Stored,
};
use futures_util::FutureExt as _;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// What a client is told to wait.
pub const RETRY_MS: Millis = 250;

/// How publications are spoiled; each rate is per publication.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spoil {
    /// Never arrives.
    pub lose: f64,
    /// Arrives twice. Only entries are: everything else is told at most once.
    pub repeat: f64,
    /// Arrives up to so much later, in milliseconds. The order within a room stays, that between rooms doesn't.
    pub late_ms: Millis,
}

/// One instance's faulty connection to a store.
pub struct Faulty {
    store: Arc<dyn Store>,
    state: Mutex<State>,
    /// Whether subscriptions are confirmed.
    confirming: watch::Sender<bool>,
    /// Whether what is asked of records is answered.
    answering: watch::Sender<bool>,
    /// Readings of records that were begun.
    recalls: watch::Sender<usize>,
    /// Records that were kept.
    keeps: watch::Sender<usize>,
    to: mpsc::Sender<Publication>,
}

struct State {
    rng: SmallRng,
    spoil: Spoil,
    away: bool,
    failing: usize,
    corrupt: bool,
    panicking: bool,
    leave_panics: bool,
}

/// What becomes of a call.
enum Fate {
    Works,
    Fails(StoreError),
}

impl Faulty {
    /// Spoils this connection from now on, starting with nothing but what is asked for.
    pub fn new(store: Arc<dyn Store>, feed: Feed, seed: u64, spoil: Spoil) -> (Arc<Self>, Feed) {
        let (to, spoiled) = mpsc::channel(FEED_CAPACITY);
        let state = State {
            rng: SmallRng::seed_from_u64(seed),
            spoil,
            away: false,
            failing: 0,
            corrupt: false,
            panicking: false,
            leave_panics: false,
        };
        let faulty = Arc::new(Self {
            store,
            state: Mutex::new(state),
            confirming: watch::Sender::new(true),
            answering: watch::Sender::new(true),
            recalls: watch::Sender::new(0),
            keeps: watch::Sender::new(0),
            to,
        });
        tokio::spawn(pass_on(Arc::clone(&faulty), feed));
        (faulty, spoiled)
    }

    /// The store can't be reached: calls fail, publications are lost. Of appends about half are stored all the same.
    pub async fn go_away(&self) {
        self.lock().away = true;
        self.tell(Publication::Reachable(false)).await;
    }

    /// The store is back, and says that publications may be missing.
    pub async fn come_back(&self) {
        self.lock().away = false;
        self.tell(Publication::Reachable(true)).await;
        self.tell(Publication::Interrupted).await;
    }

    /// The next so many calls fail like those to a store that is away.
    pub fn fail_next(&self, calls: usize) {
        self.lock().failing = calls;
    }

    /// From now on every call finds that what is stored can't be read.
    pub fn corrupt(&self) {
        self.lock().corrupt = true;
    }

    /// The next append panics, as a fault of the program would.
    pub fn panic_in_append(&self) {
        self.lock().panicking = true;
    }

    /// The next leave panics, as a fault of the program would.
    pub fn panic_in_leave(&self) {
        self.lock().leave_panics = true;
    }

    /// What is asked of records waits for [`Faulty::answer_records`].
    pub fn hold_records(&self) {
        self.answering.send_replace(false);
    }

    /// Answers what waits.
    pub fn answer_records(&self) {
        self.answering.send_replace(true);
    }

    /// How many readings of records were begun, as it changes.
    pub fn recalls(&self) -> watch::Receiver<usize> {
        self.recalls.subscribe()
    }

    /// How many records were kept, as it changes.
    pub fn keeps(&self) -> watch::Receiver<usize> {
        self.keeps.subscribe()
    }

    /// Subscriptions take effect, but their confirmation waits for [`Faulty::confirm`].
    pub fn hold_confirmations(&self) {
        self.confirming.send_replace(false);
    }

    /// Confirms what waits.
    pub fn confirm(&self) {
        self.confirming.send_replace(true);
    }

    async fn tell(&self, publication: Publication) {
        self.to.send(publication).await.expect("the feed is read");
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    fn call<T: Send + 'static>(&self, call: impl FnOnce(&dyn Store) -> Pending<T>) -> Pending<T> {
        match self.fate() {
            Fate::Works => call(&*self.store),
            Fate::Fails(error) => std::future::ready(Err(error)).boxed(),
        }
    }

    fn fate(&self) -> Fate {
        self.lock().fate()
    }

    /// The answer, once those about records may come.
    fn answered<T: Send + 'static>(&self, answer: Pending<T>) -> Pending<T> {
        let mut answering = self.answering.subscribe();
        async move {
            answering.wait_for(|answering| *answering).await.expect("the store is there");
            answer.await
        }
        .boxed()
    }
}

impl State {
    fn fate(&mut self) -> Fate {
        let fails = self.away || self.failing > 0;
        self.failing = self.failing.saturating_sub(1);
        if fails {
            Fate::Fails(StoreError::Unavailable { retry_ms: RETRY_MS })
        } else if self.corrupt {
            Fate::Fails(StoreError::Corrupt)
        } else {
            Fate::Works
        }
    }

    /// How often, and how late, a publication arrives.
    fn fates(&mut self, publication: &Publication) -> Vec<Duration> {
        let Spoil { lose, repeat, late_ms } = self.spoil;
        let lost = self.rng.random_bool(lose);
        let twice = self.rng.random_bool(repeat) && matches!(publication, Publication::Entry(..));
        let times = if self.away || lost { 0 } else { 1 + usize::from(twice) };
        (0..times).map(|_| Duration::from_millis(self.rng.random_range(0..=late_ms))).collect()
    }
}

/// Passes publications on until the feed ends.
async fn pass_on(faulty: Arc<Faulty>, mut feed: Feed) {
    let mut waiting: BinaryHeap<Reverse<(Instant, u64)>> = BinaryHeap::new();
    let mut late: HashMap<u64, Publication> = HashMap::new();
    let mut last: HashMap<RoomId, Instant> = HashMap::new();
    let mut number = 0;
    loop {
        let next = waiting.peek().map(|Reverse((at, _))| *at);
        let due = async {
            match next {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            received = feed.recv() => {
                let Some(publication) = received else { return };
                for delay in faulty.lock().fates(&publication) {
                    let mut at = Instant::now() + delay;
                    if let Publication::Entry(room, _) | Publication::Presence(room, _) | Publication::Announcement(room, _) =
                        &publication
                    {
                        let last = last.entry(room.clone()).or_insert(at);
                        at = at.max(*last);
                        *last = at;
                    }
                    number += 1;
                    waiting.push(Reverse((at, number)));
                    late.insert(number, publication.clone());
                }
            }
            () = due => {
                let publication = waiting.pop().and_then(|Reverse((_, number))| late.remove(&number));
                if let Some(publication) = publication && faulty.to.send(publication).await.is_err() {
                    return;
                }
            }
        }
    }
}

impl Store for Faulty {
    fn append(&self, room: &RoomId, draft: Draft) -> Pending<Stored, AppendError> {
        let (stored_all_the_same, panics) = {
            let mut state = self.lock();
            (state.rng.random_bool(0.5), std::mem::take(&mut state.panicking))
        };
        assert!(!panics, "the test asked for it");
        let error = match self.fate() {
            Fate::Works => return self.store.append(room, draft),
            Fate::Fails(StoreError::Unavailable { retry_ms }) if stored_all_the_same => {
                // Dropping the answer doesn't undo the append.
                drop(self.store.append(room, draft));
                StoreError::Unconfirmed { retry_ms }
            }
            Fate::Fails(error) => error,
        };
        std::future::ready(Err(error.into())).boxed()
    }

    fn read_after(&self, room: &RoomId, since: Since, page: PageSize, newest: PageSize) -> Pending<After> {
        self.call(|store| store.read_after(room, since, page, newest))
    }

    fn read_before(&self, room: &RoomId, before: Option<u64>, page: PageSize) -> Pending<Page> {
        self.call(|store| store.read_before(room, before, page))
    }

    fn check(&self, rooms: Vec<RoomId>) -> Pending<Vec<Checked>> {
        self.call(|store| store.check(rooms))
    }

    fn subscribe(&self, room: &RoomId) -> Pending<()> {
        let subscribed = self.call(|store| store.subscribe(room));
        let mut confirming = self.confirming.subscribe();
        async move {
            let result = subscribed.await;
            confirming.wait_for(|confirming| *confirming).await.expect("the store is there");
            result
        }
        .boxed()
    }

    fn unsubscribe(&self, room: &RoomId) -> Pending<()> {
        self.call(|store| store.unsubscribe(room))
    }

    fn announce(&self, room: &RoomId, announcement: Announcement) {
        if matches!(self.fate(), Fate::Works) {
            self.store.announce(room, announcement);
        }
    }

    fn mark_read(&self, room: &RoomId, user: &UserId, offset: u64, origin: u64) -> Pending<()> {
        self.call(|store| store.mark_read(room, user, offset, origin))
    }

    fn read_mark(&self, room: &RoomId, user: &UserId) -> Pending<u64> {
        self.call(|store| store.read_mark(room, user))
    }

    fn enter(&self, room: &RoomId, user: &User, named_at: Millis) -> Pending<()> {
        self.call(|store| store.enter(room, user, named_at))
    }

    fn leave(&self, room: &RoomId, user: &UserId) -> Pending<()> {
        let panics = std::mem::take(&mut self.lock().leave_panics);
        assert!(!panics, "the test asked for it");
        self.call(|store| store.leave(room, user))
    }

    fn members(&self, room: &RoomId, most: usize) -> Pending<Members> {
        self.call(|store| store.members(room, most))
    }

    fn keep(&self, id: RecordId, record: Vec<u8>, for_ms: Millis) -> Pending<()> {
        let (answer, keeps) = (self.answered(self.call(|store| store.keep(id, record, for_ms))), self.keeps.clone());
        answer.inspect(move |_| keeps.send_modify(|keeps| *keeps += 1)).boxed()
    }

    fn kept(&self, id: RecordId) -> Pending<Option<Vec<u8>>> {
        let answer = self.answered(self.call(|store| store.kept(id)));
        self.recalls.send_modify(|recalls| *recalls += 1);
        answer
    }

    fn renew_lease(&self, for_ms: Millis) -> Pending<()> {
        self.call(|store| store.renew_lease(for_ms))
    }

    fn sweep(&self) -> Pending<usize> {
        self.call(|store| store.sweep())
    }

    fn durability(&self) -> Durability {
        self.store.durability()
    }

    fn health(&self) -> Health {
        Health { reachable: !self.lock().away, ..self.store.health() }
    }
}
