//! Single keys of a room are gone, as eviction takes them: by their names in the service's document of the store.

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;

use super::{Proof, Scenario};
use crate::history::Forfeit;
use crate::plan::Plan;
use crate::proxy::{Door, Which};
use crate::world::{Broken, World};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "meta-evicted",
        about: "every room's meta key is gone and its stream is there: fresh logs, announced",
        plan: Plan::basic,
        course: meta,
        proof: &[Proof::Seen("reset lost", 1), Proof::Forfeits, Proof::RecoversWithin(3_000)],
    },
    Scenario {
        name: "log-evicted",
        about: "every room's stream is gone and its meta key is there while some clients are away: they are told",
        plan: Plan::basic,
        course: log,
        proof: &[Proof::Seen("reset trimmed", 1)],
    },
];

fn meta(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        while world.goes_on() {
            world.pause(1_000, 1_500).await;
            world.fault("meta keys evicted");
            evict(world, "meta").await?;
            world.forfeit(Forfeit::Everything).await;
            world.accepting();
            world.heal();
            world.pause(1_500, 2_500).await;
        }
        Ok(())
    }
    .boxed_local()
}

fn log(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        while world.goes_on() {
            world.pause(1_000, 1_500).await;
            let away = world.busiest();
            world.fault("logs evicted");
            // Those of one instance have nowhere to go; the others write on, before and after.
            world.instances.iter().for_each(|instance| instance.front.set_door(Door::Shut));
            world.instances[away].front.cut(Which::All);
            world.pause(500, 700).await;
            evict(world, "log").await?;
            world.forfeit(Forfeit::Everything).await;
            world.instances.iter().for_each(|instance| instance.front.set_door(Door::Open));
            world.heal();
            world.pause(1_500, 2_500).await;
        }
        Ok(())
    }
    .boxed_local()
}

/// Deletes one key of every room.
async fn evict(world: &mut World, name: &str) -> Result<(), Broken> {
    let primary = &world.pair()?.primary;
    let keys: Vec<String> = primary.command(&["KEYS", &format!("confab:{{*}}:{name}")]).await?;
    let words: Vec<_> = std::iter::once("DEL").chain(keys.iter().map(String::as_str)).collect();
    if keys.is_empty() {
        return Err(Broken::Wrong(format!("there is no key {name} to evict")));
    }
    Ok(primary.command(&words).await?)
}
