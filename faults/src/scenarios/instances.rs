//! Instances end, freeze and are replaced.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use nix::sys::signal::Signal;
use tokio::time::sleep;

use super::{Proof, Scenario};
use crate::history::{Forfeit, What};
use crate::plan::Plan;
use crate::proxy::{Flow, Rule, Which};
use crate::world::{Broken, World};

/// Of each kind, with an instance.
const CLIENTS_LOST: usize = 2;

/// As the protocol promises for the members of an instance that was killed.
const LEFT_WITHIN: Duration = Duration::from_secs(30);

/// Longer than a heartbeat, shorter than a lease.
const FROZEN: Duration = Duration::from_secs(4);

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "instance-killed",
        about: "SIGKILL of one instance after the other",
        plan: Plan::default,
        course: killed,
        proof: &[Proof::Seen("close 1006", 3), Proof::Seen("resume", 3), Proof::Seen("recovered", 1)],
    },
    Scenario {
        name: "instance-lost",
        about: "SIGKILL of an instance for good, and some of its clients never come back: they are told to have left",
        plan: Plan::default,
        course: lost,
        proof: &[Proof::Seen("close 1006", 1), Proof::Seen("left", 1)],
    },
    Scenario {
        name: "instance-terminated",
        about: "SIGTERM of one instance after the other; clients stay until they are closed",
        plan: || Plan { moves: false, ..Plan::default() },
        course: terminated,
        proof: &[
            Proof::Seen("goaway drain", 2),
            Proof::Seen("close 4002", 2),
            Proof::Seen("resume", 2),
            Proof::Seen("recovered", 1),
        ],
    },
    Scenario {
        name: "instance-drained",
        about: "SIGTERM of one instance after the other; clients move when asked",
        plan: Plan::default,
        course: terminated,
        proof: &[Proof::Seen("goaway drain", 2), Proof::Seen("resume", 2), Proof::Seen("recovered", 1)],
    },
    Scenario {
        name: "rolling-restart",
        about: "each instance is replaced by one that started before it got SIGTERM",
        plan: Plan::default,
        course: rolled,
        proof: &[Proof::Seen("goaway drain", 3), Proof::Seen("resume", 3), Proof::Seen("recovered", 3)],
    },
    Scenario {
        name: "instance-frozen",
        about: "SIGSTOP of an instance for 4 s, then SIGCONT",
        plan: Plan::default,
        course: frozen,
        proof: &[Proof::Seen("fault", 1), Proof::Seen("confirmed", 10)],
    },
    Scenario {
        name: "half-open",
        about: "sockets whose bytes vanish both ways without an end",
        plan: Plan::default,
        course: half_open,
        proof: &[Proof::Seen("close 0", 1), Proof::Seen("resume", 1), Proof::Seen("recovered", 1)],
    },
    Scenario {
        name: "embedded-restarted",
        about: "the embedded store's process is killed: its rooms are gone, and everybody is told so",
        plan: Plan::embedded,
        course: forgotten,
        proof: &[Proof::Seen("reset lost", 1), Proof::Forfeits, Proof::Seen("ok memory", 50)],
    },
];

fn killed(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        while world.lasts(|what| matches!(what, What::Recovered)) {
            let instance = world.busiest();
            world.kill_instance(instance).await?;
            world.pause(1_000, 2_500).await;
        }
        Ok(())
    }
    .boxed_local()
}

fn lost(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        let instance = world.busiest();
        world.fault("instance lost");
        let gone = world.lose_instance(instance, CLIENTS_LOST).await;
        world.heal();
        if gone == 0 {
            return Err(Broken::Wrong("nobody was lost".to_owned()));
        }
        world.wait_for(LEFT_WITHIN, "those who don't come back have left", World::everybody_is_told).await?;
        sleep(world.remaining()).await;
        Ok(())
    }
    .boxed_local()
}

fn terminated(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        while world.lasts(|what| matches!(what, What::Recovered)) {
            let instance = world.busiest();
            world.drain_instance(instance, false).await?;
            world.pause(200, 1_000).await;
        }
        Ok(())
    }
    .boxed_local()
}

fn rolled(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        while world.goes_on() {
            for instance in 0..world.instances.len() {
                world.drain_instance(instance, true).await?;
            }
        }
        Ok(())
    }
    .boxed_local()
}

fn frozen(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        while world.goes_on() {
            let instance = world.busiest();
            world.fault("instance frozen");
            world.instances[instance].signal(Signal::SIGSTOP);
            sleep(FROZEN).await;
            world.instances[instance].signal(Signal::SIGCONT);
            world.heal();
            world.pause(500, 1_500).await;
        }
        Ok(())
    }
    .boxed_local()
}

fn half_open(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        while world.lasts(|what| matches!(what, What::Recovered)) {
            let instance = world.busiest();
            world.fault("half-open sockets");
            // Those that are there; new ones get through.
            world.instances[instance].front.set(Which::All, Rule::both(Flow::Drop));
            world.pause(8_000, 9_000).await;
            world.instances[instance].front.heal();
            world.heal();
        }
        Ok(())
    }
    .boxed_local()
}

fn forgotten(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        while world.goes_on() {
            world.pause(1_000, 2_000).await;
            world.instances[0].kill().await;
            world.forfeit(Forfeit::Everything).await;
            world.kill_instance(0).await?;
            world.pause(500, 1_000).await;
        }
        Ok(())
    }
    .boxed_local()
}
