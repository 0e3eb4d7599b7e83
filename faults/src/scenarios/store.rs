//! Redis itself fails over, forgets and fills up.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep, sleep_until};

use super::{ANSWER_MS, KEY_WINDOW, Proof, Scenario, WINDOW_ENDED};
use crate::history::{Forfeit, What};
use crate::plan::Plan;
use crate::proxy::{Door, Flow, Rule, Which};
use crate::world::{Broken, World};

/// Between a primary's end and its replica's promotion.
const NOTICE: Duration = Duration::from_secs(1);

/// How long clients may take to write more than Redis may hold, however slow the machine is.
const FULL_WITHIN: Duration = Duration::from_secs(60);

/// Longer than the time that an append waits for a replica, and than the answers of Redis may take.
const FROZEN: Duration = Duration::from_secs(4);

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "redis-emptied",
        about: "Redis comes back empty, as Memorystore's Basic tier does from maintenance",
        plan: Plan::basic,
        course: emptied,
        proof: &[Proof::Seen("reset lost", 3), Proof::Forfeits, Proof::RecoversWithin(3_000)],
    },
    Scenario {
        name: "replica-lost",
        about: "the replica is gone, then another one comes",
        plan: Plan::default,
        course: replica_lost,
        proof: &[Proof::Seen("info unconfirmed", 1), Proof::Seen("ok replicated", 20)],
    },
    Scenario {
        name: "failover",
        about: "the primary is killed, its replica promoted: what a replica had is kept, and who left meanwhile has left; a window of keys ends",
        plan: || Plan { settings: vec![KEY_WINDOW], ..Plan::default() },
        course: failover,
        proof: &[Proof::Seen("ok replicated", 50), Proof::RecoversWithin(3_000), Proof::AnswersWithin(ANSWER_MS)],
    },
    Scenario {
        name: "failover-lagging",
        about: "the same with a replica that lags for a while before: what it didn't get was not acknowledged",
        plan: Plan::default,
        course: lagging,
        proof: &[
            Proof::Seen("ok replicated", 50),
            Proof::Seen("info unconfirmed", 1),
            Proof::RecoversWithin(3_000),
            Proof::AnswersWithin(ANSWER_MS),
        ],
    },
    Scenario {
        name: "failover-lost-tail",
        about: "the same with `local` durability and a replica that lags: the lost tail is announced",
        plan: || Plan { settings: vec![("STORE__DURABILITY", "local")], ..Plan::default() },
        course: lost_tail,
        proof: &[
            Proof::Seen("ok stored", 50),
            Proof::Seen("reset diverged", 1),
            Proof::Forfeits,
            Proof::RecoversWithin(3_000),
        ],
    },
    Scenario {
        name: "split-brain",
        about: "the primary freezes for 4 s, its replica is promoted, it wakes as a second primary, then is demoted",
        plan: Plan::default,
        course: split_brain,
        proof: &[Proof::Seen("ok replicated", 50), Proof::RecoversWithin(3_000), Proof::AnswersWithin(ANSWER_MS)],
    },
    Scenario {
        name: "primary-demoted",
        about: "the replica is promoted and the primary follows it; nobody's connection ends, and nobody waits for replicas",
        plan: || Plan { settings: vec![("STORE__DURABILITY", "local")], ..Plan::default() },
        course: demoted,
        proof: &[Proof::Seen("ok stored", 50), Proof::RecoversWithin(3_000), Proof::AnswersWithin(ANSWER_MS)],
    },
    Scenario {
        name: "primary-abandoned",
        about: "the replica is promoted and the primary goes on alone; nobody's connection ends",
        plan: Plan::default,
        course: abandoned,
        proof: &[
            Proof::Seen("ok replicated", 50),
            Proof::Seen("info unconfirmed", 1),
            Proof::RecoversWithin(3_000),
            Proof::AnswersWithin(ANSWER_MS),
        ],
    },
    Scenario {
        name: "eviction",
        about: "allkeys-lru evicts keys of live rooms: detected and announced",
        plan: || Plan { padding: 2_000, ..Plan::basic() },
        course: eviction,
        proof: &[Proof::Seen("fault", 1)],
    },
    Scenario {
        name: "memory-full",
        about: "Redis is full for a while: writes are refused, nothing that was acknowledged is lost",
        plan: || Plan { padding: 2_000, ..Plan::default() },
        course: full,
        proof: &[Proof::Seen("fail overloaded", 1)],
    },
];

fn emptied(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        while world.goes_on() {
            world.pause(1_500, 2_500).await;
            world.fault("Redis emptied");
            let dir = world.dir().to_owned();
            world.pair()?.primary.kill().await;
            world.forfeit(Forfeit::Everything).await;
            world.pair()?.empty_primary(&dir).await?;
            let addr = world.pair()?.primary.addr();
            world.point_at(addr);
            world.accepting();
            world.heal();
            world.pause(2_500, 3_500).await;
        }
        Ok(())
    }
    .boxed_local()
}

fn replica_lost(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        while world.goes_on() {
            world.fault("replica lost");
            if let Some(mut replica) = world.pair()?.replica.take() {
                replica.kill().await;
            }
            world.pause(1_500, 3_000).await;
            let dir = world.dir().to_owned();
            world.pair()?.start_replica(&dir).await?;
            world.heal();
            world.pause(1_500, 2_500).await;
        }
        Ok(())
    }
    .boxed_local()
}

/// Kills the primary, promotes its replica and gives that a replica of its own.
async fn fail_over(world: &mut World, replicated: bool) -> Result<(), Broken> {
    lose_primary(world).await?;
    promote(world, replicated).await
}

/// Kills the primary. A while passes.
async fn lose_primary(world: &mut World) -> Result<(), Broken> {
    world.fault("primary killed");
    world.pair()?.primary.kill().await;
    sleep(NOTICE).await;
    Ok(())
}

/// Promotes the replica and gives it a replica of its own. Only then can a write be acknowledged as `replicated`; as
/// `stored`, as soon as there is a primary.
async fn promote(world: &mut World, replicated: bool) -> Result<(), Broken> {
    let dir = world.dir().to_owned();
    // Nothing that was acknowledged as replicated is part of it, but what was only pushed may be.
    world.forfeit(Forfeit::Stored).await;
    let pair = world.pair()?;
    pair.promote().await?;
    let addr = pair.primary.addr();
    world.point_at(addr);
    if !replicated {
        world.accepting();
    }
    let pair = world.pair()?;
    pair.link.heal();
    pair.start_replica(&dir).await?;
    if replicated {
        world.accepting();
    }
    world.heal();
    Ok(())
}

fn failover(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        world.pause(1_500, 2_500).await;
        lose_primary(world).await?;
        // Whom the new primary lists until it is told that they left.
        world.quit()?;
        promote(world, true).await?;
        world.pause(1_500, 2_500).await;
        while world.goes_on() || !world.has_lasted(WINDOW_ENDED) {
            world.pause(1_500, 2_500).await;
            fail_over(world, true).await?;
            world.pause(1_500, 2_500).await;
        }
        Ok(())
    }
    .boxed_local()
}

fn lagging(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        while world.goes_on() {
            world.pause(500, 1_000).await;
            world.pair()?.link.set(Which::All, Rule::both(Flow::Stall));
            world.pause(1_000, 2_000).await;
            fail_over(world, true).await?;
            world.pause(1_500, 2_500).await;
        }
        Ok(())
    }
    .boxed_local()
}

fn lost_tail(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        while world.goes_on() {
            world.pause(500, 1_000).await;
            world.pair()?.link.set(Which::All, Rule::both(Flow::Stall));
            world.pause(500, 1_000).await;
            // Some have seen the tail, and come back when the new log is longer than the old one was.
            let away = world.busiest();
            world.instances.iter().for_each(|instance| instance.front.set_door(Door::Shut));
            world.instances[away].front.cut(Which::All);
            world.pause(100, 200).await;
            fail_over(world, false).await?;
            world.pause(2_500, 3_500).await;
            world.instances.iter().for_each(|instance| instance.front.set_door(Door::Open));
            world.pause(1_500, 2_500).await;
        }
        Ok(())
    }
    .boxed_local()
}

fn split_brain(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        while world.goes_on() {
            world.pause(1_500, 2_500).await;
            world.fault("primary frozen");
            let dir = world.dir().to_owned();
            let pair = world.pair()?;
            pair.primary.signal(Signal::SIGSTOP);
            let frozen = Instant::now();
            sleep(NOTICE).await;
            let mut old = world.pair()?.promote().await?;
            world.forfeit(Forfeit::Stored).await;
            let addr = world.pair()?.primary.addr();
            // New connections reach the new primary; those that are held stay on the frozen one.
            world.point_at(addr);
            world.pair()?.start_replica(&dir).await?;
            world.accepting();
            sleep_until(frozen + FROZEN).await;
            old.signal(Signal::SIGCONT);
            // Two primaries for a while, and whoever still holds a connection to the old one talks to it.
            world.pause(500, 1_500).await;
            old.follow(addr).await?;
            world.pause(500, 1_500).await;
            old.kill().await;
            world.heal();
            world.pause(1_000, 2_000).await;
        }
        Ok(())
    }
    .boxed_local()
}

fn demoted(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        while world.goes_on() {
            world.pause(1_000, 2_000).await;
            world.fault("primary demoted");
            let old = world.pair()?.promote().await?;
            let addr = world.pair()?.primary.addr();
            world.point_at(addr);
            old.follow(addr).await?;
            world.forfeit(Forfeit::Stored).await;
            let pair = world.pair()?;
            pair.primary.has_replicas(1).await?;
            pair.replica = Some(old);
            world.accepting();
            world.heal();
            world.pause(1_500, 2_500).await;
        }
        Ok(())
    }
    .boxed_local()
}

fn abandoned(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        while world.goes_on() {
            world.pause(1_000, 2_000).await;
            world.fault("primary abandoned");
            let dir = world.dir().to_owned();
            let mut old = world.pair()?.promote().await?;
            let addr = world.pair()?.primary.addr();
            world.point_at(addr);
            world.pair()?.start_replica(&dir).await?;
            world.accepting();
            // That nothing is confirmed is all that those see who still talk to the old one.
            world.pause(4_000, 5_000).await;
            old.kill().await;
            world.forfeit(Forfeit::Stored).await;
            world.heal();
            // Connections are made again for this reason at most every 10 s.
            world.pause(5_000, 6_000).await;
        }
        Ok(())
    }
    .boxed_local()
}

fn eviction(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        world.pause(1_000, 1_500).await;
        world.fault("eviction");
        let primary = &mut world.pair()?.primary;
        primary.set(&[("maxmemory-policy", "allkeys-lru")]).await?;
        let used = used_memory(world).await?;
        world.pair()?.primary.set(&[("maxmemory", &(used + (256 << 10)).to_string())]).await?;
        let full = Instant::now();
        while world.goes_on() || evicted_keys(world).await? == 0 {
            if full.elapsed() > FULL_WITHIN {
                return Err(Broken::Wrong("nothing was evicted".to_owned()));
            }
            world.pause(200, 200).await;
        }
        let primary = &mut world.pair()?.primary;
        primary.set(&[("maxmemory", "0")]).await?;
        primary.set(&[("maxmemory-policy", "noeviction")]).await?;
        world.forfeit(Forfeit::Everything).await;
        world.heal();
        world.pause(1_000, 1_000).await;
        Ok(())
    }
    .boxed_local()
}

fn full(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        while world.goes_on() {
            world.pause(500, 1_000).await;
            world.fault("memory full");
            let used = used_memory(world).await?;
            world.pair()?.primary.set(&[("maxmemory", &(used + (128 << 10)).to_string())]).await?;
            let refused =
                |world: &World| world.count(|what| matches!(what, What::Fail { code, .. } if code == "overloaded"));
            let before = refused(world);
            world.wait_for(FULL_WITHIN, "a write is refused", |world| refused(world) > before).await?;
            world.pause(1_000, 2_000).await;
            world.pair()?.primary.set(&[("maxmemory", "0")]).await?;
            world.heal();
        }
        Ok(())
    }
    .boxed_local()
}

async fn evicted_keys(world: &mut World) -> Result<u64, Broken> {
    let evicted = world.pair()?.primary.info("stats", "evicted_keys").await?;
    evicted
        .and_then(|keys| keys.trim().parse().ok())
        .ok_or_else(|| Broken::Wrong("Redis counts no evictions".to_owned()))
}

async fn used_memory(world: &mut World) -> Result<u64, Broken> {
    let used = world.pair()?.primary.info("memory", "used_memory").await?;
    used.and_then(|used| used.trim().parse().ok()).ok_or_else(|| Broken::Wrong("Redis tells no memory".to_owned()))
}
