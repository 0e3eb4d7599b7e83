//! Whether Redis is there: asked every second, and at once when a connection breaks.
//!
//! It is away when it can't be reached or doesn't answer in time, and back when it does. Now and then it is asked how
//! full it is, and who replicates it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use redis::aio::ConnectionLike;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::dial::{DialError, SharedDialer};
use super::durability::{Acknowledging, Replication};
use super::fault::Fault;
use super::outlet::Outlet;
use crate::metrics::labels::{RedisMemory, RedisRole};
use crate::store::{Health, Publication};

/// Between two questions. With the time that an answer may take, less than a second, this is how long a Redis may be away or
/// silent before clients are told: within the 3 s that the protocol promises.
const EVERY: Duration = Duration::from_secs(1);

/// Between two attempts while Redis is away, at most; each waits for a random part of it.
const AWAY_EVERY_MS: u64 = 500;

/// How often Redis is asked for its memory.
const MEMORY_EVERY: Duration = Duration::from_secs(10);

/// How often Redis is asked for its replicas.
const REPLICATION_EVERY: Duration = Duration::from_secs(30);

/// How often while it has none and acknowledgements wait for one.
const REPLICATION_ALONE_EVERY: Duration = Duration::from_secs(2);

/// Stands for "not known" where a per cent is kept.
const UNKNOWN: u8 = u8::MAX;

/// What is known of Redis's state.
#[derive(Debug)]
pub struct Vitals {
    reachable: AtomicBool,
    full_percent: AtomicU8,
}

impl Vitals {
    /// Redis has just answered.
    pub const fn new() -> Self {
        Self { reachable: AtomicBool::new(true), full_percent: AtomicU8::new(UNKNOWN) }
    }

    /// Whether it answers.
    pub fn is_reachable(&self) -> bool {
        self.reachable.load(Ordering::Relaxed)
    }

    /// As the contract says it.
    pub fn health(&self) -> Health {
        let percent = self.full_percent.load(Ordering::Relaxed);
        Health { reachable: self.is_reachable(), full_percent: (percent != UNKNOWN).then_some(percent) }
    }
}

/// Asks.
pub struct Pulse {
    pub dialer: SharedDialer,
    pub vitals: Arc<Vitals>,
    pub acknowledging: Arc<Acknowledging>,
    pub outlet: Arc<Outlet>,
    pub suspect: Arc<Notify>,
}

impl Pulse {
    /// Asks for ever.
    pub async fn run(self) {
        let mut memory_at = Instant::now();
        let mut replication_at = Instant::now();
        let mut evicted = None;
        let mut in_doubt = false;
        loop {
            let beat = self.beat(in_doubt).await;
            in_doubt = false;
            match beat {
                Ok(()) => {
                    self.set_reachable(true);
                    let now = Instant::now();
                    if now >= memory_at {
                        memory_at = now + MEMORY_EVERY;
                        self.ask_memory(&mut evicted).await;
                    }
                    if now >= replication_at {
                        let alone = self.ask_replication().await;
                        replication_at = now + if alone { REPLICATION_ALONE_EVERY } else { REPLICATION_EVERY };
                    }
                    tokio::select! {
                        () = sleep(EVERY) => {}
                        () = self.suspect.notified() => {
                            // Those who lost a connection make one in the meantime; a second look sees a new node.
                            replication_at = Instant::now();
                            in_doubt = true;
                        }
                    }
                }
                Err(error) => {
                    let goes_away = self.vitals.is_reachable();
                    if goes_away {
                        tracing::error!(%error, redis = %self.dialer, "Redis is away");
                    }
                    self.set_reachable(false);
                    in_doubt = true;
                    let fault = error.fault();
                    if goes_away || matches!(fault, Fault::WrongNode | Fault::Secrets) {
                        // Connections that nobody used meanwhile may be to a node that wakes as the primary it was.
                        self.dialer.redial(if goes_away { "Redis is away" } else { "refused" }, false);
                    }
                    sleep(Duration::from_millis(rand::random_range(1..=AWAY_EVERY_MS))).await;
                }
            }
        }
    }

    /// A connection that answers. A new one alone proves nothing: the kernel accepts it for a process that is stopped. In
    /// doubt, it must be to a primary.
    async fn beat(&self, in_doubt: bool) -> Result<(), DialError> {
        let patience = self.dialer.options().response_timeout;
        let asked = async {
            let mut connection = self.dialer.checkout().await?;
            redis::cmd("PING").query_async::<()>(&mut *connection).await?;
            if in_doubt && !replication(&mut *connection).await?.primary {
                return Err(DialError::Replica);
            }
            Ok(())
        };
        timeout(patience, asked).await.map_err(|_| DialError::Timeout(patience))?
    }

    fn set_reachable(&self, reachable: bool) {
        if self.vitals.reachable.swap(reachable, Ordering::Relaxed) == reachable {
            return;
        }
        if reachable {
            tracing::info!(redis = %self.dialer, "Redis is back");
        }
        self.outlet.publish(Publication::Reachable(reachable));
        if reachable {
            self.outlet.interrupt();
        }
    }

    async fn ask_memory(&self, evicted: &mut Option<u64>) {
        let Ok(mut connection) = self.dialer.checkout().await else { return };
        let Ok(memory) = info(&mut connection, "memory").await else { return };
        let number = |name: &str| field(&memory, name).and_then(|value| value.parse::<u64>().ok());
        let percent = match (number("used_memory"), number("maxmemory")) {
            (Some(used), Some(most)) if most > 0 => {
                u8::try_from(used.saturating_mul(100) / most).unwrap_or(100).min(100)
            }
            _ => UNKNOWN,
        };
        let metrics = &self.dialer.options().metrics;
        metrics.redis_memory.set(RedisMemory::Used, number("used_memory").unwrap_or(0));
        metrics.redis_memory.set(RedisMemory::Limit, number("maxmemory").unwrap_or(0));
        self.vitals.full_percent.store(percent, Ordering::Relaxed);
        let policy = field(&memory, "maxmemory_policy").unwrap_or("noeviction");
        if evicted.is_none() && policy != "noeviction" {
            tracing::warn!(
                policy,
                "Redis may throw acknowledged messages away when it is full: set maxmemory-policy to noeviction"
            );
        }
        if let Ok(clients) = info(&mut connection, "clients").await
            && let Some(clients) = field(&clients, "connected_clients").and_then(|value| value.parse().ok())
        {
            metrics.redis_clients.set((), clients);
        }
        let Ok(stats) = info(&mut connection, "stats").await else { return };
        let now = field(&stats, "evicted_keys").and_then(|value| value.parse().ok()).unwrap_or(0);
        metrics.redis_evicted.set((), now);
        if evicted.is_some_and(|before| before < now) {
            tracing::error!(keys = now, policy, "Redis has thrown keys away: logs, members or marks are lost");
        }
        *evicted = Some(now);
    }

    /// Returns whether acknowledgements wait for a replica and there is none.
    async fn ask_replication(&self) -> bool {
        // Fresh, because an old connection may be to a node that isn't the primary any more.
        let Ok(mut connection) = self.dialer.fresh().await else { return true };
        let Ok(replication) = replication(&mut connection).await else { return true };
        let metrics = &self.dialer.options().metrics;
        metrics.redis_role.set(RedisRole::Primary, u64::from(replication.primary));
        metrics.redis_role.set(RedisRole::Replica, u64::from(!replication.primary));
        metrics.redis_replicas.set((), u64::from(replication.replicas));
        if let Some(durability) = self.acknowledging.saw(replication, true, Instant::now()) {
            tracing::warn!(durability = durability.as_str(), ?replication, "what an acknowledgement means has changed");
            self.outlet.publish(Publication::Durability(durability));
        }
        self.acknowledging.waits() && replication.replicas == 0
    }
}

/// What Redis says of its replication.
pub async fn replication(connection: &mut impl ConnectionLike) -> Result<Replication, redis::RedisError> {
    let answer = info(connection, "replication").await?;
    let replicas = field(&answer, "connected_slaves").and_then(|value| value.parse().ok()).unwrap_or(0);
    Ok(Replication { primary: field(&answer, "role") == Some("master"), replicas })
}

async fn info(connection: &mut impl ConnectionLike, section: &str) -> Result<String, redis::RedisError> {
    redis::cmd("INFO").arg(section).query_async(connection).await
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}
