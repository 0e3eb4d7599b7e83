//! Nothing is broken but what clients do.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use tokio::time::sleep;

use super::{KEY_WINDOW, Proof, Scenario, WINDOW_ENDED};
use crate::history::What;
use crate::plan::Plan;
use crate::racer::Racer;
use crate::world::{Broken, World};

/// Races that a run must have to prove anything.
const RACES: usize = 20;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "no-fault",
        about: "nothing goes wrong: what the others are compared with",
        // Positions are checked too late to hide what isn't delivered.
        plan: || Plan { settings: vec![("ROOMS__CHECK_INTERVAL_MS", "20000")], ..Plan::default() },
        course: nothing,
        proof: &[
            Proof::Never("close 1006"),
            Proof::Never("info closed"),
            Proof::Never("left"),
            Proof::LagWithin(5_000),
            Proof::Seen("ok replicated", 100),
            Proof::Seen("confirmed", 20),
        ],
    },
    Scenario {
        name: "embedded",
        about: "nothing goes wrong, on the embedded store",
        plan: Plan::embedded,
        course: nothing,
        proof: &[Proof::Never("close 1006"), Proof::Never("info closed"), Proof::Seen("ok memory", 100)],
    },
    Scenario {
        name: "racing-retries",
        about: "every write is sent to two instances at once under one key, and once more later; a window of keys ends",
        plan: || Plan { settings: vec![KEY_WINDOW], ..Plan::default() },
        course: races,
        proof: &[Proof::Seen("ok replicated", 100)],
    },
    Scenario {
        name: "slow-readers",
        about: "some members stop reading for seconds under much traffic",
        plan: || Plan {
            clients: 10,
            writers: 6,
            writes_ms: (10, 60),
            padding: 12_000,
            rooms: 1,
            rooms_each: 1,
            dozers: (3, Duration::from_secs(5)),
            settings: vec![("LIMITS__OUTBOX_BYTES", "262144"), ("LIMITS__TEXT_CHARS", "16000")],
            ..Plan::default()
        },
        course: dozing,
        proof: &[Proof::Seen("close 4008", 1), Proof::Seen("resume", 1)],
    },
    Scenario {
        name: "rotation",
        about: "sockets get old and are moved all the time",
        plan: || Plan {
            settings: vec![
                ("ROTATE_AFTER_MS", "2000"),
                ("DRAIN__SPREAD_MS", "500"),
                // Nobody is away for longer, whatever the machine has to do.
                ("PRESENCE__GRACE_MS", "10000"),
            ],
            ..Plan::default()
        },
        course: nothing,
        proof: &[
            Proof::Never("left"),
            Proof::Seen("goaway rotate", 10),
            Proof::Seen("resume", 10),
            Proof::Seen("recovered", 4),
        ],
    },
    Scenario {
        name: "herd",
        about: "1,000 sockets, a tenth of them Socket.IO's, and one of three instances is killed",
        plan: || Plan {
            clients: 900,
            writers: 20,
            socketio: (100, 4),
            writes_ms: (500, 2_000),
            rooms: 20,
            rooms_each: 1,
            ..Plan::default()
        },
        course: herd,
        proof: &[Proof::Seen("close 1006", 100), Proof::Seen("recovered", 10), Proof::ReturnsWithin(5_000)],
    },
];

fn nothing(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        sleep(world.remaining()).await;
        Ok(())
    }
    .boxed_local()
}

fn dozing(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        while world.lasts(|what| matches!(what, What::Close { code: 4008 })) {
            world.pause(100, 100).await;
        }
        Ok(())
    }
    .boxed_local()
}

fn races(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        let room = world.rooms()[0].clone();
        let doors = world.doors();
        let shared = world.shared();
        let wrong = |why: &str| Broken::Wrong(why.to_owned());
        let mut racer = Racer::start(&doors, &room).await.map_err(wrong)?;
        let mut races = 0;
        while world.goes_on() || !world.has_lasted(WINDOW_ENDED) {
            racer.race(&shared).await.map_err(wrong)?;
            racer.repeat(&shared).await.map_err(wrong)?;
            races += 1;
            world.pause(1, 20).await;
        }
        racer.repeat_all(&shared).await.map_err(wrong)?;
        racer.leave().await.map_err(wrong)?;
        if races < RACES { Err(Broken::Wrong(format!("only {races} races"))) } else { Ok(()) }
    }
    .boxed_local()
}

fn herd(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        world.fault("instance killed");
        // It isn't replaced: the two others take its sockets.
        world.retire(0).await;
        sleep(world.remaining()).await;
        world.heal();
        Ok(())
    }
    .boxed_local()
}
