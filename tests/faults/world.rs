//! The world of a run: one store, its instances, what goes wrong, and what was recorded.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use confab::domain::{Body, Limits, Millis, Position, RoomId, Text};
use confab::rooms::{RoomSettings, Rooms};
use confab::store::memory::{Clock, Memory};
use confab::store::{FEED_CAPACITY, Feed, PageSize, Publication};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::client;
use crate::history::{At, Event, History, Seen, What};

/// Instances that serve at a time.
const INSTANCES: usize = 3;

/// Clients, each with a user of its own.
const CLIENTS: usize = 8;

/// Rooms they chat in.
pub const ROOMS: [&str; 2] = ["alpha", "beta"];

/// What goes wrong. Rates are per publication and instance.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    pub kill_sockets: bool,
    pub kill_instances: bool,
    pub lose: f64,
    pub delay: f64,
    pub repeat: f64,
    pub short_history: bool,
}

impl Faults {
    pub const NONE: Self =
        Self { kill_sockets: false, kill_instances: false, lose: 0.0, delay: 0.0, repeat: 0.0, short_history: false };
}

pub struct World {
    pub rng: SmallRng,
    pub faults: Faults,
    pub instances: Vec<Instance>,
    pub history: History,
    started: Instant,
    memory: Memory,
    born: usize,
}

#[derive(Clone)]
pub struct Instance {
    pub rooms: Arc<Rooms>,
    /// Cancelled when the instance is killed: nothing of it runs on.
    pub killed: CancellationToken,
}

pub type Shared = Rc<RefCell<World>>;

struct PausedClock(Instant);

impl Clock for PausedClock {
    fn now(&self) -> Millis {
        1_700_000_000_000 + self.0.elapsed().as_millis() as Millis
    }
}

impl World {
    pub async fn run(seed: u64, faults: Faults, run: Duration, settle: Duration) -> History {
        LocalSet::new().run_until(Self::run_local(seed, faults, run, settle)).await
    }

    async fn run_local(seed: u64, faults: Faults, run: Duration, settle: Duration) -> History {
        let started = Instant::now();
        let history_entries = if faults.short_history { 5 } else { 100_000 };
        let limits = Limits {
            history_entries,
            history_bytes: 100_000_000,
            sends_per_second: 1_000,
            send_burst: 1_000,
            page_entries: 20,
            ..Limits::default()
        };
        let memory = Memory::new(Arc::new(limits), 256 * 1024 * 1024, Arc::new(PausedClock(started)));
        let world = Rc::new(RefCell::new(Self {
            rng: SmallRng::seed_from_u64(seed),
            faults,
            instances: Vec::new(),
            history: Vec::new(),
            started,
            memory,
            born: 0,
        }));
        for _ in 0..INSTANCES {
            let instance = Self::give_birth(&world);
            world.borrow_mut().instances.push(instance);
        }
        let end = started + run;
        let over = end + settle;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| tokio::task::spawn_local(client::live(Rc::clone(&world), number, end, over)))
            .collect();
        while faults.kill_instances && Instant::now() < end {
            let pause = world.borrow_mut().rng.random_range(3_000..15_000);
            sleep(Duration::from_millis(pause)).await;
            if Instant::now() < end {
                let successor = Self::give_birth(&world);
                let mut world = world.borrow_mut();
                let victim = world.rng.random_range(0..INSTANCES);
                std::mem::replace(&mut world.instances[victim], successor).killed.cancel();
            }
        }
        for client in clients {
            client.await.expect("a client does not panic");
        }
        Self::read_logs(&world).await;
        let mut world = world.borrow_mut();
        for instance in &world.instances {
            instance.killed.cancel();
        }
        std::mem::take(&mut world.history)
    }

    /// Records the logs as they are in the end.
    async fn read_logs(world: &Shared) {
        let (store, _feed) = world.borrow().memory.attach("observer");
        for room in ROOMS {
            let all = PageSize { entries: usize::MAX, bytes: usize::MAX };
            let page = store.read_before(&RoomId::parse(room, 128).unwrap(), None, all).await.unwrap();
            let mut world = world.borrow_mut();
            for entry in page.entries {
                let Body::Message { text: Text::Kept(text), .. } = &entry.body else { panic!("{entry:?}") };
                let seen =
                    Seen { at: at(entry.position()), key: entry.key.as_str().to_owned(), text: text.to_string() };
                world.observe(room, What::Kept(seen));
            }
            world.observe(room, What::Top(at(page.top)));
        }
    }

    fn give_birth(world: &Shared) -> Instance {
        let mut this = world.borrow_mut();
        this.born += 1;
        let (store, feed) = this.memory.attach(&format!("instance-{}", this.born));
        let limits = Limits { page_entries: 20, ..Limits::default() };
        let settings = RoomSettings {
            limits: Arc::new(limits),
            grace_ms: 10_000,
            lease_ms: 10_000,
            lease_renew_ms: 3_000,
            list_up_to: 200,
            list_again_at: 150,
            count_interval_ms: 2_000,
            coalesce_ms: 100,
            check_interval_ms: 10_000,
            linger_ms: 5_000,
            tail_entries: 16,
            metrics: Arc::default(),
        };
        let rooms = Rooms::new(store, settings);
        let killed = CancellationToken::new();
        let (faulty, received) = mpsc::channel(FEED_CAPACITY);
        tokio::task::spawn_local(killed.clone().run_until_cancelled_owned(spoil(Rc::clone(world), feed, faulty)));
        tokio::task::spawn_local(killed.clone().run_until_cancelled_owned(Arc::clone(&rooms).run(received)));
        Instance { rooms, killed }
    }

    pub fn now(&self) -> Millis {
        self.started.elapsed().as_millis() as Millis
    }

    pub fn record(&mut self, client: usize, room: &str, what: What) {
        self.history.push(Event { at: self.now(), client: Some(client), room: room.to_owned(), what });
    }

    fn observe(&mut self, room: &str, what: What) {
        self.history.push(Event { at: self.now(), client: None, room: room.to_owned(), what });
    }

    pub fn is_settling(&self) -> bool {
        self.started.elapsed() >= crate::RUN
    }
}

/// A position as it is recorded.
pub fn at(position: Position) -> At {
    At { offset: position.offset, chain: position.chain_text() }
}

/// Passes publications on, not always, not always at once, and now and then twice.
async fn spoil(world: Shared, mut from: Feed, to: mpsc::Sender<Publication>) {
    while let Some(publication) = from.recv().await {
        let (lost, late_ms, twice) = {
            let mut world = world.borrow_mut();
            let faults = if world.is_settling() { Faults::NONE } else { world.faults };
            let spoilable = matches!(publication, Publication::Entry(..) | Publication::Presence(..));
            let mut happens = |rate: f64| spoilable && rate > 0.0 && world.rng.random_bool(rate);
            let (lost, late, twice) = (happens(faults.lose), happens(faults.delay), happens(faults.repeat));
            (lost, late.then(|| world.rng.random_range(1..3_000)), twice)
        };
        if lost {
            continue;
        }
        // A channel between instances may repeat or delay an entry; presence is told in order or not at all.
        let entry = matches!(publication, Publication::Entry(..));
        if twice && entry {
            let _ = to.send(publication.clone()).await;
        }
        match late_ms {
            Some(late_ms) if entry => {
                let to = to.clone();
                tokio::task::spawn_local(async move {
                    sleep(Duration::from_millis(late_ms)).await;
                    let _ = to.send(publication).await;
                });
            }
            _ => {
                let _ = to.send(publication).await;
            }
        }
    }
}
