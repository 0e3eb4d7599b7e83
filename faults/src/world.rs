//! The processes and clients of one run, and what a scenario may do to them.

use std::cell::{Ref, RefCell};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use nix::sys::signal::Signal;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::client::{Behaviour, Client, Phase, Shared, Shown};
use crate::history::{At, Forfeit, History, What};
use crate::instance::{Instance, InstanceError, Settings, ended};
use crate::node::NodeError;
use crate::observer::{Observer, log_of};
use crate::pair::Pair;
use crate::plan::{Plan, Store};
use crate::proxy::{Door, Proxy, Which};
use crate::recorder::Recorder;
use crate::socketio::Socketio;

/// After the faults: the position check of quiet rooms (up to 20 s), the lease and the grace (10 s each), with margin.
const SETTLE: Duration = Duration::from_secs(60);

/// How often what is waited for is looked at.
const LOOK: Duration = Duration::from_millis(25);

/// What acknowledgements may still be under way to their clients after whoever gave them is gone.
const UNDER_WAY: Duration = Duration::from_millis(700);

/// What every run tells the service. Rates don't limit these clients, and logs are kept whole for the checker.
const SETTINGS: [(&str, &str); 16] = [
    ("TELEMETRY__LOG", "info"),
    ("AUTH__KEYS", "fault-campaign-key-for-tokens-that-nobody-keeps"),
    ("LIMITS__CONNECTIONS", "5000"),
    ("HTTP__HANDSHAKES", "5000"),
    ("LIMITS__SENDS_PER_SECOND", "1000000"),
    ("LIMITS__SEND_BURST", "1000000"),
    ("LIMITS__COMMANDS_PER_SECOND", "1000000"),
    ("LIMITS__COMMAND_BURST", "1000000"),
    ("LIMITS__NEW_ROOMS_PER_MINUTE", "1000000"),
    ("LIMITS__HISTORY_ENTRIES", "1000000"),
    ("LIMITS__HISTORY_BYTES", "1073741824"),
    ("HEARTBEAT_MS", "3000"),
    ("HEARTBEAT_TIMEOUT_MS", "5000"),
    ("DRAIN__SPREAD_MS", "1500"),
    ("HTTP__REQUEST_TIMEOUT_MS", "0"),
    // So that a Socket.IO client that signs in knows where it is.
    ("SOCKETIO__EXTRA_FIELDS", "true"),
];

/// Heartbeat of [`SETTINGS`].
const HEARTBEAT: Duration = Duration::from_millis(3_000);

/// What a quick run tells it in addition: it settles in seconds.
const QUICK: [(&str, &str); 4] = [
    ("ROOMS__CHECK_INTERVAL_MS", "2000"),
    ("PRESENCE__GRACE_MS", "2000"),
    ("PRESENCE__LEASE_MS", "5000"),
    ("PRESENCE__LEASE_RENEW_MS", "1000"),
];

/// How a run is to go.
#[derive(Debug, Clone)]
pub struct Options {
    /// The service's program.
    pub program: PathBuf,
    /// Where its processes may write.
    pub dir: PathBuf,
    /// How long things go wrong.
    pub seconds: f64,
    /// What chance begins with.
    pub seed: u64,
    /// Shorter intervals in the service.
    pub quick: bool,
}

/// Why a run has no result.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// Redis.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The service.
    #[error(transparent)]
    Instance(#[from] InstanceError),
    /// The machine.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// What a scenario waited for didn't come, or what must not happen did.
    #[error("{0}")]
    Wrong(String),
}

/// Everything of a run.
pub struct World {
    /// The instances.
    pub instances: Vec<Instance>,
    /// Redis, where the rooms are there.
    pub pair: Option<Pair>,
    /// Chance.
    pub rng: SmallRng,
    options: Options,
    settings: Settings,
    shared: Rc<Shared>,
    phase: watch::Sender<Phase>,
    clients: Vec<Chatting>,
    rooms: Vec<String>,
    heartbeat: Duration,
    /// When everything was under way.
    since: Instant,
    until: Instant,
}

/// A client that lives.
struct Chatting {
    number: usize,
    shown: Rc<RefCell<Shown>>,
    life: JoinHandle<()>,
    writes: bool,
    /// Asks it to leave its rooms first.
    quit: Option<Rc<Notify>>,
}

impl World {
    /// Starts everything and waits until every client is in its rooms and something was acknowledged.
    ///
    /// # Errors
    /// Something doesn't start.
    pub async fn start(plan: &Plan, options: Options) -> Result<Self, Broken> {
        let (phase, phases) = watch::channel(Phase::Writing);
        let mut settings: Settings = Vec::new();
        let quick: &[(&str, &str)] = if options.quick { &QUICK } else { &[] };
        for (name, value) in SETTINGS.iter().chain(quick).chain(&plan.settings) {
            settings.retain(|(known, _)| known != name);
            settings.push(((*name).to_owned(), (*value).to_owned()));
        }
        let pair = match &plan.store {
            Store::Memory => None,
            Store::Redis(redis) => Some(Pair::start(&options.dir, redis, &mut settings).await?),
        };
        let shared = Shared { recorder: Recorder::new(), doors: RefCell::default(), phase: phases };
        let mut world = Self {
            instances: Vec::new(),
            pair,
            rng: SmallRng::seed_from_u64(options.seed),
            options,
            settings,
            shared: Rc::new(shared),
            phase,
            clients: Vec::new(),
            rooms: (1..=plan.rooms).map(|number| format!("room {number}")).collect(),
            heartbeat: HEARTBEAT,
            since: Instant::now(),
            until: Instant::now(),
        };
        for number in 0..plan.instances {
            let back = match &world.pair {
                Some(pair) => Some(Proxy::start(pair.primary.addr()).await?),
                None => None,
            };
            let (program, dir) = (&world.options.program, &world.options.dir);
            let instance = Instance::start(program, dir, number, back, &world.settings).await?;
            world.shared.doors.borrow_mut().push(instance.front.addr());
            world.instances.push(instance);
        }
        world.add_clients(plan);
        world.is_under_way().await?;
        world.since = Instant::now();
        world.until = world.since + Duration::from_secs_f64(world.options.seconds);
        Ok(world)
    }

    /// Clients of a service that somebody else runs, and breaks: at `door`, with this heartbeat. The rooms have names of
    /// their own, so that runs on one service don't meet.
    ///
    /// # Errors
    /// The clients don't get in.
    pub async fn around(plan: &Plan, options: Options, door: SocketAddr, heartbeat: Duration) -> Result<Self, Broken> {
        let (phase, phases) = watch::channel(Phase::Writing);
        let shared = Shared { recorder: Recorder::new(), doors: RefCell::new(vec![door]), phase: phases };
        let mut world = Self {
            instances: Vec::new(),
            pair: None,
            rng: SmallRng::seed_from_u64(options.seed),
            settings: Vec::new(),
            shared: Rc::new(shared),
            phase,
            clients: Vec::new(),
            rooms: (1..=plan.rooms).map(|number| format!("room {number} of {:016x}", options.seed)).collect(),
            heartbeat,
            since: Instant::now(),
            until: Instant::now(),
            options,
        };
        world.add_clients(plan);
        world.is_under_way().await?;
        Ok(world)
    }

    async fn is_under_way(&self) -> Result<(), Broken> {
        self.wait("every client is in its rooms", Self::everybody_is_in).await?;
        self.wait("something is acknowledged", |world| world.acknowledged() > 0).await
    }

    fn add_clients(&mut self, plan: &Plan) {
        for number in 0..plan.clients + plan.socketio.0 {
            let rooms =
                (0..plan.rooms_each).map(|more| self.rooms[(number + more) % self.rooms.len()].clone()).collect();
            let socketio = number.checked_sub(plan.clients);
            let dozes = socketio.is_none() && number + plan.dozers.0 >= plan.clients;
            let writes = socketio.map_or(number < plan.writers, |number| number < plan.socketio.1);
            let behaviour = Behaviour {
                rooms,
                writes_ms: writes.then_some(plan.writes_ms),
                padding: plan.padding,
                moves: plan.moves,
                dozes: dozes.then_some(plan.dozers.1),
                heartbeat: self.heartbeat,
            };
            let (shared, seed) = (Rc::clone(&self.shared), self.options.seed);
            let (shown, quit, life) = if socketio.is_some() {
                let client = Socketio::new(shared, number, seed, behaviour);
                (client.shown(), None, tokio::task::spawn_local(client.live()))
            } else {
                let client = Client::new(shared, number, seed, behaviour);
                (client.shown(), Some(client.quit()), tokio::task::spawn_local(client.live()))
            };
            self.clients.push(Chatting { number, shown, life, writes, quit });
        }
    }

    /// Whether the time for faults isn't over.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    /// Whether it isn't, or what the run is there for wasn't seen yet and still may be.
    pub fn lasts(&self, counts: impl Fn(&What) -> bool) -> bool {
        self.goes_on() || (Instant::now() < self.until + SETTLE && self.count(counts) == 0)
    }

    /// Whether clients have written for so long.
    #[must_use]
    pub fn has_lasted(&self, time: Duration) -> bool {
        self.since.elapsed() >= time
    }

    /// What remains of it.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Whether this is a run among many.
    #[must_use]
    pub const fn is_quick(&self) -> bool {
        self.options.quick
    }

    /// Waits for a random time.
    pub async fn pause(&mut self, least_ms: u64, most_ms: u64) {
        let pause = self.rng.random_range(least_ms..=most_ms);
        sleep(Duration::from_millis(pause)).await;
    }

    /// One of the instances, by chance.
    pub fn pick(&mut self) -> usize {
        self.rng.random_range(0..self.instances.len())
    }

    /// The instance that most clients of both kinds are connected to: what happens to it is seen.
    #[must_use]
    pub fn busiest(&self) -> usize {
        let clients = |number: usize, socketio: bool| {
            let door = Some(self.instances[number].front.addr());
            let there = |shown: &Shown| shown.door == door && shown.socketio == socketio;
            1 + self.shown().filter(|shown| there(shown)).count()
        };
        let both = |number: &usize| clients(*number, false) * clients(*number, true);
        (0..self.instances.len()).max_by_key(both).unwrap_or(0)
    }

    /// The instance that most native clients who write are connected to: they are told why a write fails.
    #[must_use]
    pub fn most_written(&self) -> usize {
        let writers = |number: &usize| {
            let door = Some(self.instances[*number].front.addr());
            let there = |client: &&Chatting| {
                let shown = client.shown.borrow();
                client.writes && !shown.socketio && shown.door == door
            };
            self.clients.iter().filter(there).count()
        };
        (0..self.instances.len()).max_by_key(writers).unwrap_or(0)
    }

    fn shown(&self) -> impl Iterator<Item = Ref<'_, Shown>> {
        self.clients.iter().map(|client| client.shown.borrow())
    }

    /// Records that something is broken.
    pub fn fault(&self, what: &str) {
        self.shared.recorder.record(None, "", What::Fault { what: what.to_owned() });
    }

    /// Records that nothing is broken any more.
    pub fn heal(&self) {
        self.shared.recorder.record(None, "", What::Heal);
    }

    /// Records that a store takes writes again.
    pub fn accepting(&self) {
        self.shared.recorder.record(None, "", What::Accepting);
    }

    /// Records that acknowledgements up to now may be lost, after what is under way has come.
    pub async fn forfeit(&self, what: Forfeit) {
        sleep(UNDER_WAY).await;
        self.shared.recorder.record(None, "", What::Forfeit { what });
    }

    /// Records that the keys of all writes up to now may be lost.
    pub fn lose_keys(&self) {
        self.shared.recorder.record(None, "", What::Forfeit { what: Forfeit::Keys });
    }

    /// How many writes were acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.count(|what| matches!(what, What::Ok { .. }))
    }

    /// How many events there were of those that `counts`.
    pub fn count(&self, counts: impl Fn(&What) -> bool) -> usize {
        self.shared.recorder.count(counts)
    }

    /// Waits until something is so.
    ///
    /// # Errors
    /// It doesn't become so.
    pub async fn wait(&self, what: &str, is: impl Fn(&Self) -> bool) -> Result<(), Broken> {
        self.wait_for(SETTLE, what, is).await
    }

    /// The same, but not longer than this.
    ///
    /// # Errors
    /// It doesn't become so.
    pub async fn wait_for(&self, most: Duration, what: &str, is: impl Fn(&Self) -> bool) -> Result<(), Broken> {
        let deadline = Instant::now() + most;
        while !is(self) {
            if Instant::now() > deadline {
                return Err(Broken::Wrong(format!("waited for {} s that {what}", most.as_secs())));
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Redis.
    ///
    /// # Errors
    /// This run has none.
    pub fn pair(&mut self) -> Result<&mut Pair, Broken> {
        self.pair.as_mut().ok_or_else(|| Broken::Wrong("this run has no Redis".to_owned()))
    }

    /// The proxies between the instances and Redis.
    pub fn backs(&self) -> impl Iterator<Item = &Proxy> {
        self.instances.iter().filter_map(|instance| instance.back.as_ref())
    }

    /// Kills an instance and starts another in its place.
    ///
    /// # Errors
    /// It doesn't start.
    pub async fn kill_instance(&mut self, number: usize) -> Result<(), Broken> {
        self.fault("instance killed");
        let instance = &mut self.instances[number];
        instance.kill().await;
        instance.front.cut(Which::All);
        let successor = instance.start_successor(&self.options.program, &self.settings).await?;
        instance.replace(successor);
        self.heal();
        Ok(())
    }

    /// Ends an instance with SIGTERM and starts another in its place: before (a rolling update) or after.
    ///
    /// # Errors
    /// It doesn't end with status 0, or the other one doesn't start.
    pub async fn drain_instance(&mut self, number: usize, successor_first: bool) -> Result<(), Broken> {
        let (program, settings) = (self.options.program.clone(), self.settings.clone());
        let instance = &mut self.instances[number];
        let log = instance.log().to_owned();
        let status = if successor_first {
            let successor = instance.start_successor(&program, &settings).await?;
            let mut old = instance.replace(successor);
            old.signal(Signal::SIGTERM);
            ended(&mut old, &log).await?
        } else {
            // As the platform does: nobody new is sent to an instance that drains.
            instance.front.set_door(Door::Shut);
            instance.signal(Signal::SIGTERM);
            let status = instance.ended().await?;
            let successor = instance.start_successor(&program, &settings).await?;
            instance.replace(successor);
            instance.front.set_door(Door::Open);
            status
        };
        if status.success() {
            return Ok(());
        }
        Err(Broken::Wrong(format!("an instance ended with {status} after SIGTERM; its log is {}", log.display())))
    }

    /// Kills an instance for good.
    pub async fn retire(&mut self, number: usize) {
        self.shared.doors.borrow_mut().remove(number);
        self.instances.remove(number).kill().await;
    }

    /// Kills an instance for good, and with it some of its clients: so many of each kind never come back. Gives how many
    /// those are.
    pub async fn lose_instance(&mut self, number: usize, each: usize) -> usize {
        self.shared.doors.borrow_mut().remove(number);
        let mut instance = self.instances.remove(number);
        let door = Some(instance.front.addr());
        // Before they can notice.
        instance.signal(Signal::SIGKILL);
        let mut left = [each; 2];
        let before = self.clients.len();
        self.clients.retain(|client| {
            let shown = client.shown.borrow();
            let left = &mut left[usize::from(shown.socketio)];
            let stays = shown.door != door || *left == 0;
            if !stays {
                *left -= 1;
                client.life.abort();
            }
            stays
        });
        instance.kill().await;
        before - self.clients.len()
    }

    /// One client of each kind goes for good, of those who are in their rooms and rather only read: the native one leaves
    /// its rooms, the other one has no word for that.
    ///
    /// # Errors
    /// There is none.
    pub fn quit(&mut self) -> Result<(), Broken> {
        for socketio in [false, true] {
            let is_in = |shown: &Shown| shown.door.is_some() && shown.screens.values().all(|screen| screen.live);
            let of_kind = |client: &Chatting| {
                let shown = client.shown.borrow();
                shown.socketio == socketio && is_in(&shown)
            };
            let last = self.clients.iter().rposition(of_kind);
            let client = self.clients.remove(last.ok_or_else(|| Broken::Wrong("nobody can quit".to_owned()))?);
            match client.quit {
                Some(quit) => quit.notify_one(),
                None => client.life.abort(),
            }
        }
        Ok(())
    }

    /// Replaces a file that the service was told of: whoever reads it sees the old or the new one, whole.
    ///
    /// # Errors
    /// It can't be written.
    pub fn replace_file(&self, name: &str, text: &str) -> Result<(), Broken> {
        let (path, next) = (self.options.dir.join(name), self.options.dir.join(format!("{name}.next")));
        std::fs::write(&next, text)?;
        Ok(std::fs::rename(next, path)?)
    }

    /// All instances reach Redis at another address from now on, once they dial again.
    pub fn point_at(&self, addr: SocketAddr) {
        self.backs().for_each(|back| back.retarget(addr));
    }

    /// The settings of the service, for what reads a file again.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.options.dir
    }

    /// The places where clients may connect.
    #[must_use]
    pub fn doors(&self) -> Vec<SocketAddr> {
        self.shared.doors.borrow().clone()
    }

    /// What a client of the scenario's own records into.
    #[must_use]
    pub fn shared(&self) -> Rc<Shared> {
        Rc::clone(&self.shared)
    }

    /// The rooms.
    #[must_use]
    pub fn rooms(&self) -> &[String] {
        &self.rooms
    }

    fn everybody_is_in(&self) -> bool {
        self.shown().all(|shown| shown.screens.values().all(|screen| screen.live))
    }

    /// Whether everybody is told of everybody, and of nobody else.
    #[must_use]
    pub fn everybody_is_told(&self) -> bool {
        self.rooms.iter().all(|room| {
            let shown: Vec<_> = self.shown().collect();
            let there = || shown.iter().filter_map(|shown| Some((shown, shown.screens.get(room)?)));
            let mut everybody: Vec<_> = there().map(|(shown, _)| shown.user.clone()).collect();
            everybody.sort();
            there().all(|(_, screen)| screen.live && screen.names().is_none_or(|names| names == everybody))
        })
    }

    /// Whether nobody waits for anything, and everybody agrees.
    fn is_settled(&self) -> bool {
        let agree = self.rooms.iter().all(|room| {
            let shown: Vec<_> = self.shown().collect();
            let there = || shown.iter().filter_map(|shown| shown.screens.get(room));
            let first = there().next().and_then(|screen| screen.at.clone()).unwrap_or_default();
            there().all(|screen| screen.write.is_none() && screen.at.as_ref().is_some_and(|at| at.agrees(&first)))
        });
        agree && self.everybody_is_told()
    }

    /// Ends the faults, waits until everybody has settled, reads the logs, and gives the history.
    ///
    /// # Errors
    /// The logs can't be read.
    pub async fn end(mut self) -> Result<History, Broken> {
        for instance in &mut self.instances {
            instance.signal(Signal::SIGCONT);
            instance.front.heal();
            if let Some(back) = &instance.back {
                back.heal();
            }
            if let Some(status) = instance.status()? {
                let log = instance.log().display();
                return Err(Broken::Wrong(format!("an instance ended by itself with {status}; its log is {log}")));
            }
        }
        if let Some(pair) = &self.pair {
            pair.link.heal();
        }
        self.heal();
        self.shared.recorder.record(None, "", What::Quiet);
        self.phase.send_replace(Phase::Quiet);
        self.say_last().await?;
        // Where they don't settle, the checker says who didn't.
        let _ = self.wait("everybody has settled", Self::is_settled).await;
        let tops = self.read_logs().await?;
        let at_top = |world: &Self| {
            world.rooms.iter().zip(&tops).all(|(room, top)| {
                let at = |shown: Ref<'_, Shown>| shown.screens.get(room).map(|screen| screen.at.clone());
                world.shown().filter_map(at).all(|at| at.unwrap_or_default().agrees(top))
            })
        };
        let _ = self.wait("everybody is at the top", |world| at_top(world) && world.is_settled()).await;
        for Chatting { number, shown, .. } in &self.clients {
            let (number, shown) = (Some(*number), shown.borrow());
            for (room, screen) in &shown.screens {
                let (at, members) = (screen.at.clone().unwrap_or_default(), screen.names());
                let what = What::Final { user: shown.user.clone(), at, members };
                self.shared.recorder.record(number, room, what);
                if let Some(write) = &screen.write {
                    self.shared.recorder.record(number, room, What::Unsettled { key: write.key.clone() });
                }
            }
        }
        self.phase.send_replace(Phase::Over);
        for client in self.clients.drain(..) {
            client.life.await.map_err(|error| Broken::Wrong(format!("a client ended: {error}")))?;
        }
        Ok(self.shared.recorder.history())
    }

    /// Puts a last entry into every room, for whoever would learn of another log only by what is new in it.
    async fn say_last(&self) -> Result<(), Broken> {
        let deadline = Instant::now() + SETTLE;
        for (number, room) in self.rooms.iter().enumerate() {
            let mut observer = Observer::new(&self.shared, room);
            let doors = self.doors();
            while !matches!(timeout(SETTLE, observer.say_last(doors[number % doors.len()])).await, Ok(true)) {
                if Instant::now() > deadline {
                    return Err(Broken::Wrong(format!("nothing can be written into {room} in the end")));
                }
                sleep(LOOK * 10).await;
            }
        }
        Ok(())
    }

    /// Records the logs as they are, and gives their tops.
    async fn read_logs(&self) -> Result<Vec<At>, Broken> {
        let deadline = Instant::now() + SETTLE;
        let mut tops = Vec::new();
        for room in &self.rooms {
            let (top, entries) = loop {
                let doors = self.doors();
                let door = doors[tops.len() % doors.len()];
                match timeout(SETTLE, log_of(door, room)).await {
                    Ok(Ok(log)) => break log,
                    _ if Instant::now() > deadline => {
                        return Err(Broken::Wrong(format!("the log of {room} can't be read in the end")));
                    }
                    _ => sleep(LOOK).await,
                }
            };
            for seen in entries {
                self.shared.recorder.record(None, room, What::Kept(seen));
            }
            self.shared.recorder.record(None, room, What::Top(top.clone()));
            tops.push(top);
        }
        Ok(tops)
    }
}
