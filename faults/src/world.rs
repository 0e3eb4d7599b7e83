//! The processes and clients of one run, and what a scenario may do to them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use nix::sys::signal::Signal;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::certificate::Certificate;
use crate::client::{Behaviour, Client, Phase, Shared, Shown};
use crate::history::{At, Forfeit, History, Seen, What};
use crate::instance::{Instance, InstanceError, Settings, ended};
use crate::link::{Ended, Link};
use crate::node::{Node, NodeError, Setup};
use crate::plan::{Plan, Store};
use crate::proxy::{Door, Proxy, Which};
use crate::recorder::Recorder;

/// After the faults: the position check of quiet rooms (up to 20 s), the lease and the grace (10 s each), with margin.
const SETTLE: Duration = Duration::from_secs(60);

/// How often what is waited for is looked at.
const LOOK: Duration = Duration::from_millis(25);

/// How long one answer to the observer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// What acknowledgements may still be under way to their clients after whoever gave them is gone.
const UNDER_WAY: Duration = Duration::from_millis(700);

/// What every run tells the service. Rates don't limit these clients, and logs are kept whole for the checker.
const SETTINGS: [(&str, &str); 15] = [
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

/// A primary and perhaps its replica.
pub struct Pair {
    /// Who takes writes.
    pub primary: Node,
    /// Who has them too.
    pub replica: Option<Node>,
    /// Between the replica and its source.
    pub link: Proxy,
    setup: Setup,
    started: usize,
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
    clients: Vec<JoinHandle<()>>,
    shown: Vec<Rc<RefCell<Shown>>>,
    rooms: Vec<String>,
    heartbeat: Duration,
    until: Instant,
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
            Store::Redis(redis) => {
                let setup = if redis.locked { lock(&options.dir, &mut settings)? } else { Setup::default() };
                let scheme = if redis.locked { "rediss" } else { "redis" };
                settings.push(("STORE__URL".to_owned(), format!("{scheme}://{{store}}")));
                Some(Pair::start(&options.dir, setup, redis.replica).await?)
            }
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
            shown: Vec::new(),
            rooms: (1..=plan.rooms).map(|number| format!("room {number}")).collect(),
            heartbeat: HEARTBEAT,
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
        world.wait("every client is in its rooms", Self::everybody_is_in).await?;
        world.wait("something is acknowledged", |world| world.acknowledged() >= 10).await?;
        world.until = Instant::now() + Duration::from_secs_f64(world.options.seconds);
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
            shown: Vec::new(),
            rooms: (1..=plan.rooms).map(|number| format!("room {number} of {:016x}", options.seed)).collect(),
            heartbeat,
            until: Instant::now(),
            options,
        };
        world.add_clients(plan);
        world.is_under_way().await?;
        Ok(world)
    }

    async fn is_under_way(&self) -> Result<(), Broken> {
        self.wait("every client is in its rooms", Self::everybody_is_in).await?;
        self.wait("something is acknowledged", |world| world.acknowledged() >= 10).await
    }

    fn add_clients(&mut self, plan: &Plan) {
        for number in 0..plan.clients {
            let rooms =
                (0..plan.rooms_each).map(|more| self.rooms[(number + more) % self.rooms.len()].clone()).collect();
            let dozes = number + plan.dozers.0 >= plan.clients;
            let behaviour = Behaviour {
                rooms,
                writes_ms: (number < plan.writers).then_some(plan.writes_ms),
                padding: plan.padding,
                moves: plan.moves,
                dozes: dozes.then_some(plan.dozers.1),
                heartbeat: self.heartbeat,
            };
            let client = Client::new(Rc::clone(&self.shared), number, self.options.seed, behaviour);
            self.shown.push(client.shown());
            self.clients.push(tokio::task::spawn_local(client.live()));
        }
    }

    /// Whether the time for faults isn't over.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    /// What remains of it.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// The seconds that things go wrong for.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.options.seconds
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

    /// The instance that most clients are connected to: what happens to it is seen.
    #[must_use]
    pub fn busiest(&self) -> usize {
        let clients =
            |instance: &Instance| self.shown.iter().filter(|shown| shown.borrow().instance == instance.name).count();
        (0..self.instances.len()).max_by_key(|number| clients(&self.instances[*number])).unwrap_or(0)
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
        let deadline = Instant::now() + SETTLE;
        while !is(self) {
            if Instant::now() > deadline {
                return Err(Broken::Wrong(format!("waited for {} s that {what}", SETTLE.as_secs())));
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
        self.shown.iter().all(|shown| shown.borrow().screens.values().all(|screen| screen.live))
    }

    /// Whether nobody waits for anything, and everybody agrees.
    fn is_settled(&self) -> bool {
        self.rooms.iter().all(|room| {
            let shown: Vec<_> = self.shown.iter().map(|shown| shown.borrow()).collect();
            let there = || shown.iter().filter_map(|shown| Some((shown, shown.screens.get(room)?)));
            let everybody: BTreeSet<_> = there().map(|(shown, _)| shown.user.clone()).collect();
            let first = there().next().and_then(|(_, screen)| screen.at.clone());
            there().all(|(_, screen)| {
                screen.live && screen.write.is_none() && screen.at == first && screen.members == everybody
            })
        })
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
        // Where they don't settle, the checker says who didn't.
        let _ = self.wait("everybody has settled", Self::is_settled).await;
        let tops = self.read_logs().await?;
        let at_top = |world: &Self| {
            world.rooms.iter().zip(&tops).all(|(room, top)| {
                let at = |shown: &Rc<RefCell<Shown>>| shown.borrow().screens.get(room).map(|screen| screen.at.clone());
                world.shown.iter().filter_map(at).all(|at| at.unwrap_or_default() == *top)
            })
        };
        let _ = self.wait("everybody is at the top", |world| at_top(world) && world.is_settled()).await;
        for (number, shown) in self.shown.iter().enumerate() {
            let shown = shown.borrow();
            for (room, screen) in &shown.screens {
                let (at, members) = (screen.at.clone().unwrap_or_default(), screen.members.iter().cloned().collect());
                let what = What::Final { user: shown.user.clone(), at, members };
                self.shared.recorder.record(Some(number), room, what);
            }
        }
        self.phase.send_replace(Phase::Over);
        for client in self.clients.drain(..) {
            client.await.map_err(|error| Broken::Wrong(format!("a client ended: {error}")))?;
        }
        Ok(self.shared.recorder.history())
    }

    /// Records the logs as they are, and gives their tops.
    async fn read_logs(&self) -> Result<Vec<At>, Broken> {
        let deadline = Instant::now() + SETTLE;
        let mut tops = Vec::new();
        for room in &self.rooms {
            let (top, entries) = loop {
                let doors = self.doors();
                let door = doors[tops.len() % doors.len()];
                match timeout(SETTLE, read_log(door, room)).await {
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

impl Pair {
    async fn start(dir: &Path, setup: Setup, replica: bool) -> Result<Self, Broken> {
        let primary = Node::start(dir, "node-1", &setup).await?;
        let link = Proxy::start(primary.addr()).await?;
        let mut pair = Self { primary, replica: None, link, setup, started: 1 };
        if replica {
            pair.start_replica(dir).await?;
        }
        Ok(pair)
    }

    async fn start_node(&mut self, dir: &Path) -> Result<Node, Broken> {
        self.started += 1;
        Ok(Node::start(dir, &format!("node-{}", self.started), &self.setup).await?)
    }

    /// Starts a replica and waits until it has everything.
    ///
    /// # Errors
    /// It doesn't start.
    pub async fn start_replica(&mut self, dir: &Path) -> Result<(), Broken> {
        let replica = self.start_node(dir).await?;
        self.link.retarget(self.primary.addr());
        replica.follow(self.link.addr()).await?;
        self.primary.has_replicas(1).await?;
        self.replica = Some(replica);
        Ok(())
    }

    /// An empty primary in the place of the one that is there, which is killed.
    ///
    /// # Errors
    /// It doesn't start.
    pub async fn empty_primary(&mut self, dir: &Path) -> Result<(), Broken> {
        self.primary.kill().await;
        self.primary = self.start_node(dir).await?;
        Ok(())
    }

    /// The replica becomes the primary. Gives the old one back, in whatever state it is.
    ///
    /// # Errors
    /// There is none, or it refuses.
    pub async fn promote(&mut self) -> Result<Node, Broken> {
        let replica = self.replica.take().ok_or_else(|| Broken::Wrong("there is no replica".to_owned()))?;
        replica.promote().await?;
        Ok(std::mem::replace(&mut self.primary, replica))
    }
}

/// A password and a certificate for Redis, and what the service must know of them.
fn lock(dir: &Path, settings: &mut Settings) -> Result<Setup, Broken> {
    let password = "the password of the fault campaign".replace(' ', "-");
    let certificate = Certificate::new(dir, "first")?;
    let (password_file, authorities) = (dir.join("password"), dir.join("authorities.pem"));
    std::fs::write(&password_file, &password)?;
    std::fs::copy(&certificate.authority, &authorities)?;
    settings.push(("STORE__PASSWORD_FILE".to_owned(), password_file.display().to_string()));
    settings.push(("STORE__CA_FILE".to_owned(), authorities.display().to_string()));
    Ok(Setup { password: Some(password), certificate: Some(certificate) })
}

/// All of a room's log, page by page from its top, and where it stands.
async fn read_log(door: SocketAddr, room: &str) -> Result<(At, Vec<Seen>), Ended> {
    let mut link = Link::open(door).await?;
    ask(&mut link, json!({"type": "hello", "id": 1, "name": "Observer"})).await?;
    ask(&mut link, json!({"type": "join", "id": 2, "room": room, "limit": 1})).await?;
    let mut newest_first: Vec<Seen> = Vec::new();
    let mut top = None;
    for id in 3.. {
        let mut command = json!({"type": "history", "id": id, "room": room, "limit": 200});
        if let Some(oldest) = newest_first.last() {
            command["before"] = json!(oldest.at.offset);
        }
        let page = ask(&mut link, command).await?;
        top.get_or_insert_with(|| position(&page["position"]));
        let entries = page["entries"].as_array().ok_or(Ended(0))?;
        newest_first.extend(entries.iter().rev().map(seen));
        if page["more"] != true || entries.is_empty() {
            break;
        }
    }
    ask(&mut link, json!({"type": "leave", "id": 1, "room": room})).await?;
    link.close().await;
    newest_first.reverse();
    Ok((top.unwrap_or_default(), newest_first))
}

/// Sends a command and waits for its reply; a refusal is an end.
async fn ask(link: &mut Link, command: Value) -> Result<Value, Ended> {
    link.say(&command).await?;
    let answer = async {
        loop {
            let object = link.hear().await?;
            if object["id"] == command["id"] {
                return if object["type"] == "error" { Err(Ended(0)) } else { Ok(object) };
            }
        }
    };
    timeout(ANSWER, answer).await.unwrap_or(Err(Ended(0)))
}

fn position(value: &Value) -> At {
    At {
        offset: value["offset"].as_u64().unwrap_or_default(),
        chain: value["chain"].as_str().unwrap_or_default().to_owned(),
    }
}

fn seen(entry: &Value) -> Seen {
    let text = entry["text"].as_str().unwrap_or_default().trim_end_matches('x').trim_end().to_owned();
    Seen { at: position(entry), key: entry["key"].as_str().unwrap_or_default().to_owned(), text }
}
