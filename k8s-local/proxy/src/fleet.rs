//! Instances that the proxy owns as processes, treated as Cloud Run treats containers: started when they are needed,
//! probed, stopped when they have been idle, told to end by SIGTERM and ended by SIGKILL 10 s later.
//!
//! A process ends with the proxy in whatever way that ends: `setpriv` (util-linux) asks the kernel for it.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::task::TaskTracker;

use crate::pool::{Instance, Pool, State};
use crate::probe::{STARTUP, dies, keep_ready, starts};

/// From SIGTERM to SIGKILL: Cloud Run's.
pub const GRACE: Duration = Duration::from_secs(10);

/// Orders to one instance that wait.
const ORDERS: usize = 8;

/// How often it is looked at how many instances there should be, when nothing happens.
const LOOK: Duration = Duration::from_millis(250);

/// After an instance that didn't start: doubled for each one in a row, up to [`AGAIN_AT_MOST`].
const AGAIN: Duration = Duration::from_millis(250);
/// See [`AGAIN`].
const AGAIN_AT_MOST: Duration = Duration::from_secs(8);

/// What is run, and how many.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The service's name: `K_SERVICE`.
    pub service: String,
    /// Instances that are there without requests.
    pub minimum: usize,
    /// Instances at most.
    pub maximum: usize,
    /// How long an instance beyond the minimum stays without a request.
    pub idle: Duration,
    /// Where each one's output goes, a file each.
    pub logs: PathBuf,
}

/// What an instance can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// No new requests, SIGTERM, and SIGKILL after [`GRACE`].
    Stop,
    /// SIGKILL.
    Kill,
    /// SIGSTOP.
    Freeze,
    /// SIGCONT.
    Thaw,
}

/// Why an order isn't carried out.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// There is none of that name.
    #[error("no instance is called {name:?}; there are: {known}")]
    Unknown {
        /// The name.
        name: String,
        /// Those there are.
        known: String,
    },
    /// The new revision didn't become ready.
    #[error("the new revision didn't start, the old one stays; its logs say why")]
    Roll,
}

/// All processes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fleet {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    plan: Plan,
    pool: Pool,
    /// Given to the next instance.
    number: AtomicU32,
    revision: AtomicU32,
    /// Starts in a row that failed.
    failed: AtomicU32,
    orders: Mutex<HashMap<String, mpsc::Sender<Order>>>,
    tasks: TaskTracker,
}

impl Fleet {
    /// Starts nothing yet.
    #[must_use]
    pub fn new(plan: Plan, pool: Pool) -> Self {
        let (number, revision, failed) = (AtomicU32::new(1), AtomicU32::new(1), AtomicU32::new(0));
        let (orders, tasks) = (Mutex::default(), TaskTracker::new());
        Self { shared: Arc::new(Shared { plan, pool, number, revision, failed, orders, tasks }) }
    }

    /// Keeps as many instances as are needed, for ever.
    pub async fn keep(&self) {
        let (plan, pool) = (&self.shared.plan, &self.shared.pool);
        loop {
            let serving: Vec<_> = pool.instances().into_iter().filter(|one| one.state() != State::Ending).collect();
            let starting = serving.iter().any(|one| one.state() == State::Starting);
            let needed = pool.waiting() > 0 || (!serving.is_empty() && pool.is_crowded());
            if serving.len() < plan.minimum || (serving.len() < plan.maximum && needed && !starting) {
                self.back_off().await;
                self.start();
                continue;
            }
            let idle = serving.iter().find(|one| one.state() == State::Ready && one.idle_for() > plan.idle);
            if let Some(idle) = idle.filter(|_| serving.len() > plan.minimum && !starting) {
                self.send(&idle.name, Order::Stop);
                pool.set(idle, State::Ending);
            }
            let _ = timeout(LOOK, pool.changed()).await;
        }
    }

    /// Gives one an order.
    ///
    /// # Errors
    /// [`FleetError::Unknown`].
    pub fn order(&self, name: &str, order: Order) -> Result<(), FleetError> {
        if self.send(name, order) {
            return Ok(());
        }
        let known: Vec<_> = self.shared.pool.instances().iter().map(|one| one.name.clone()).collect();
        Err(FleetError::Unknown { name: name.to_owned(), known: known.join(", ") })
    }

    /// Puts a new revision in the place of the old one: as many new instances as there are old ones, and once all are
    /// ready, the old ones are told to end.
    ///
    /// # Errors
    /// [`FleetError::Roll`].
    pub async fn roll(&self) -> Result<u32, FleetError> {
        let pool = &self.shared.pool;
        let old: Vec<_> = pool.instances().into_iter().filter(|one| one.state() != State::Ending).collect();
        let revision = self.shared.revision.fetch_add(1, Ordering::Relaxed) + 1;
        let new: Vec<_> = (0..old.len().max(1)).filter_map(|_| self.start()).collect();
        while !new.iter().all(|one| one.state() == State::Ready) {
            if new.is_empty() || new.iter().any(|one| one.gone.is_cancelled()) {
                for one in &new {
                    self.send(&one.name, Order::Stop);
                }
                return Err(FleetError::Roll);
            }
            let _ = timeout(LOOK, pool.changed()).await;
        }
        for one in &old {
            self.send(&one.name, Order::Stop);
        }
        Ok(revision)
    }

    /// Tells all to end and waits for it: at most [`GRACE`] and a moment.
    pub async fn stop(&self) {
        for one in self.shared.pool.instances() {
            self.send(&one.name, Order::Stop);
        }
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    fn send(&self, name: &str, order: Order) -> bool {
        self.orders().get(name).is_some_and(|orders| orders.try_send(order).is_ok())
    }

    async fn back_off(&self) {
        let failed = self.shared.failed.load(Ordering::Relaxed);
        if failed > 0 {
            sleep((AGAIN * 2_u32.saturating_pow(failed - 1)).min(AGAIN_AT_MOST)).await;
        }
    }

    fn start(&self) -> Option<Arc<Instance>> {
        let number = self.shared.number.fetch_add(1, Ordering::Relaxed);
        let revision = self.shared.revision.load(Ordering::Relaxed);
        let name = format!("instance-{number}");
        match self.spawn(&name, revision) {
            Ok((child, address, operations)) => {
                let instance = Instance::new(name.clone(), address, child.id(), revision);
                let instance = Arc::new(instance.with_operations(operations));
                let (orders, ordered) = mpsc::channel(ORDERS);
                self.orders().insert(name, orders.clone());
                self.shared.pool.add(Arc::clone(&instance));
                self.shared.tasks.spawn(self.clone().live(child, Arc::clone(&instance), orders, ordered));
                Some(instance)
            }
            Err(error) => {
                eprintln!("proxy: {name} can't be started: {error}");
                self.shared.failed.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// The process, where it is to listen, and where for those who operate it: instances share loopback, so both are ports
    /// that nobody has at the moment.
    fn spawn(&self, name: &str, revision: u32) -> io::Result<(Child, SocketAddr, SocketAddr)> {
        let plan = &self.shared.plan;
        // Both are held until both are known, so that they are two.
        let free = [TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?];
        let (address, operations) = (free[0].local_addr()?, free[1].local_addr()?);
        drop(free);
        let log = OpenOptions::new().create(true).append(true).open(plan.logs.join(format!("{name}.log")))?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .args(&plan.command)
            .env("PORT", address.port().to_string())
            .env("CONFAB__OPS__PORT", operations.port().to_string())
            .env("K_SERVICE", &plan.service)
            .env("K_CONFIGURATION", &plan.service)
            .env("K_REVISION", format!("{}-{revision:05}-local", plan.service))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        Ok((child, address, operations))
    }

    /// One instance, from its start to its end.
    async fn live(
        self,
        mut child: Child,
        instance: Arc<Instance>,
        orders: mpsc::Sender<Order>,
        mut ordered: mpsc::Receiver<Order>,
    ) {
        let health = tokio::spawn(self.clone().watch(Arc::clone(&instance), orders));
        let mut kill_at = None;
        loop {
            tokio::select! {
                _ = child.wait() => break,
                Some(order) = ordered.recv() => match order {
                    Order::Stop if kill_at.is_none() => {
                        self.shared.pool.set(&instance, State::Ending);
                        kill_at = Some(Instant::now() + GRACE);
                        signal(&child, Signal::SIGTERM);
                    }
                    Order::Stop => {}
                    Order::Kill => signal(&child, Signal::SIGKILL),
                    Order::Freeze => {
                        instance.set_frozen(true);
                        signal(&child, Signal::SIGSTOP);
                    }
                    Order::Thaw => {
                        instance.set_frozen(false);
                        signal(&child, Signal::SIGCONT);
                    }
                },
                () = sleep_until(kill_at.unwrap_or_else(Instant::now)), if kill_at.is_some() => {
                    eprintln!("proxy: {} didn't end within {} s of SIGTERM and is killed", instance.name, GRACE.as_secs());
                    signal(&child, Signal::SIGKILL);
                    kill_at = Some(Instant::now() + GRACE);
                }
            }
        }
        if instance.state() == State::Starting {
            eprintln!("proxy: {} ended before it was ready: see {}.log", instance.name, instance.name);
            self.shared.failed.fetch_add(1, Ordering::Relaxed);
        }
        self.orders().remove(&instance.name);
        self.shared.pool.remove(&instance);
        // It ends by itself: the instance is gone.
        let _ = health.await;
    }

    /// Probes one instance until it is gone.
    async fn watch(self, instance: Arc<Instance>, orders: mpsc::Sender<Order>) {
        if starts(&instance, STARTUP.period, STARTUP.failures).await {
            self.shared.failed.store(0, Ordering::Relaxed);
            self.shared.pool.set(&instance, State::Ready);
            let dead = tokio::select! {
                dead = dies(&instance) => dead,
                () = keep_ready(&instance, &self.shared.pool) => false,
            };
            if !dead {
                return;
            }
        }
        if !instance.gone.is_cancelled() {
            eprintln!("proxy: {} fails its probes and is killed", instance.name);
            // Fails only where it is gone meanwhile.
            let _ = orders.send(Order::Kill).await;
        }
    }

    fn orders(&self) -> MutexGuard<'_, HashMap<String, mpsc::Sender<Order>>> {
        self.shared.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// To a child that hasn't been waited for, so the number is still its own.
fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        // Fails only where it has ended meanwhile.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}
