//! What goes wrong between the instances and Redis.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use tokio::time::{Instant, sleep, sleep_until};

use super::{ANSWER_MS, KEY_WINDOW, Proof, Scenario, WINDOW_ENDED};
use crate::history::What;
use crate::plan::Plan;
use crate::proxy::{Door, Flow, Proxy, Rule, Which};
use crate::world::{Broken, World};

/// Connections of subscribers that are killed at least, however long that takes.
const KILLS: usize = 100;

/// How long Redis is away at least, but for quick runs.
const DOWN: Duration = Duration::from_secs(60);

/// How long it may take until somebody is told of it, on a machine that has more to do.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// How often all subscribers' connections fall silent.
const SILENCES: usize = 4;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "subscriber-killed",
        about: "the subscriber's connection is cut again and again",
        plan: Plan::default,
        course: subscribers_killed,
        proof: &[Proof::Never("degraded true")],
    },
    Scenario {
        name: "subscriber-silent",
        about: "nothing comes on the subscribers' connections any more, and they don't end; rooms are quiet",
        plan: quiet,
        course: subscribers_silent,
        // A second until it is noticed, another until it is certain.
        proof: &[Proof::Never("degraded true"), Proof::LagWithin(5_000)],
    },
    Scenario {
        name: "lanes-killed",
        about: "every other connection to Redis is cut again and again",
        plan: Plan::default,
        course: lanes_killed,
        proof: &[Proof::Seen("fault", 5)],
    },
    Scenario {
        name: "redis-down",
        about: "Redis can't be reached, then is there again; who left meanwhile has left",
        plan: Plan::default,
        course: down,
        proof: &[
            Proof::Seen("degraded true", 3),
            Proof::Seen("degraded false", 3),
            Proof::Seen("info unavailable", 1),
            Proof::RecoversWithin(3_000),
            Proof::AnswersWithin(ANSWER_MS),
        ],
    },
    Scenario {
        name: "redis-slow",
        about: "every byte to and from Redis takes up to 150 ms",
        plan: Plan::default,
        course: slow,
        proof: &[Proof::Seen("fault", 1)],
    },
    Scenario {
        name: "one-way-loss",
        about: "writes reach Redis, its answers are lost, also while a window of keys ends",
        plan: || Plan { settings: vec![KEY_WINDOW], ..Plan::default() },
        course: unanswered,
        proof: &[Proof::Seen("info unconfirmed", 1), Proof::AnswersWithin(ANSWER_MS)],
    },
    Scenario {
        name: "partition",
        about: "one instance is cut off from Redis, silently",
        plan: Plan::default,
        course: partitioned,
        proof: &[
            Proof::Seen("degraded true", 1),
            Proof::Seen("degraded false", 1),
            Proof::Seen("info unavailable", 1),
            Proof::AnswersWithin(ANSWER_MS),
        ],
    },
];

/// Rooms with one writer each, who writes so seldom that the next entry doesn't show in time what became of the last, and
/// positions that are checked as seldom.
fn quiet() -> Plan {
    Plan {
        clients: 12,
        writers: 6,
        writes_ms: (6_000, 9_000),
        socketio: (6, 0),
        rooms: 6,
        rooms_each: 1,
        settings: vec![("ROOMS__CHECK_INTERVAL_MS", "20000")],
        ..Plan::default()
    }
}

fn subscribers_killed(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        let mut killed = 0;
        while world.goes_on() || killed < KILLS {
            killed += cut(world, Which::Subscribers, "subscribers cut");
            world.pause(10, 50).await;
        }
        Ok(())
    }
    .boxed_local()
}

/// Cuts what there is of these connections, and counts as a fault where there was any. Gives how many there were.
fn cut(world: &World, which: Which, what: &str) -> usize {
    let there = world.backs().map(|back| back.count(which)).sum();
    if there > 0 {
        world.fault(what);
        world.backs().for_each(|back| back.cut(which));
        world.heal();
    }
    there
}

fn subscribers_silent(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        for _ in 0..SILENCES {
            // Whoever dials again gets through, so this explains nobody's being behind, and isn't recorded as a fault.
            world.backs().for_each(|back| back.set(Which::Subscribers, Rule::both(Flow::Drop)));
            world.pause(4_000, 4_500).await;
        }
        Ok(())
    }
    .boxed_local()
}

fn lanes_killed(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        while world.goes_on() {
            cut(world, Which::Commands, "command connections cut");
            world.pause(200, 1_000).await;
        }
        Ok(())
    }
    .boxed_local()
}

fn down(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        world.fault("Redis down");
        for back in world.backs() {
            back.set_door(Door::Shut);
            back.cut(Which::All);
        }
        let down = Instant::now();
        let is_told = |world: &World| world.count(|what| matches!(what, What::Degraded { on: true })) > 0;
        world.wait_for(TOLD_WITHIN, "clients are told that Redis is away", is_told).await?;
        // By command and, after the grace, without a word: neither is heard by Redis.
        world.quit()?;
        let least = if world.is_quick() { Duration::ZERO } else { DOWN };
        sleep_until((down + least).max(Instant::now() + world.remaining())).await;
        world.backs().for_each(Proxy::heal);
        world.heal();
        world.accepting();
        world.pause(2_000, 2_000).await;
        Ok(())
    }
    .boxed_local()
}

fn slow(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        world.fault("Redis slow");
        while world.goes_on() {
            for by in [20, 75, 150] {
                let rule = Rule::both(Flow::Delay(Duration::from_millis(by)));
                world.backs().for_each(|back| back.set_all(rule));
                world.pause(500, 1_500).await;
            }
        }
        world.backs().for_each(Proxy::heal);
        world.heal();
        Ok(())
    }
    .boxed_local()
}

fn unanswered(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        while world.goes_on() || !world.has_lasted(WINDOW_ENDED) {
            world.fault("answers lost");
            let rule = Rule { up: Flow::Pass, down: Flow::Drop };
            world.backs().for_each(|back| back.set(Which::Commands, rule));
            world.pause(300, 2_000).await;
            world.backs().for_each(|back| back.set(Which::Commands, Rule::PASS));
            world.heal();
            world.pause(500, 1_500).await;
        }
        Ok(())
    }
    .boxed_local()
}

fn partitioned(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        let unavailable = |what: &What| matches!(what, What::Info { code, .. } if code == "unavailable");
        while world.lasts(unavailable) {
            let instance = world.most_written();
            let Some(back) = &world.instances[instance].back else { return Ok(()) };
            world.fault("partition");
            back.set_all(Rule::both(Flow::Drop));
            sleep(Duration::from_secs(5)).await;
            back.heal();
            world.heal();
            world.pause(1_000, 2_000).await;
        }
        Ok(())
    }
    .boxed_local()
}
