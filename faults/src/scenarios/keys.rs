//! Single keys of a room are gone, as eviction takes them: by their names in the service's document of the store.

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;

use super::{KEY_WINDOW, Proof, Scenario, WINDOW_ENDED};
use crate::history::Forfeit;
use crate::plan::Plan;
use crate::proxy::{Door, Which};
use crate::racer::Racer;
use crate::world::{Broken, World};

/// Writes after the keys of those before are gone.
const RACES: usize = 20;

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
    Scenario {
        name: "keys-evicted",
        about: "every room's keys of the window before are gone: a retry from then may be a second message",
        plan: || Plan { settings: vec![KEY_WINDOW], ..Plan::basic() },
        course: keys,
        proof: &[
            Proof::Seen("second message", 1),
            Proof::Never("reset lost"),
            Proof::Never("reset trimmed"),
            Proof::Never("reset diverged"),
        ],
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

fn keys(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        let (room, doors, shared) = (world.rooms()[0].clone(), world.doors(), world.shared());
        let wrong = |why: &str| Broken::Wrong(why.to_owned());
        let mut racer = Racer::start(&doors, &room).await.map_err(wrong)?;
        while there(world, "keys").await?.len() < world.rooms().len() {
            if world.has_lasted(WINDOW_ENDED * 2) {
                return Err(Broken::Wrong("no window of keys ended".to_owned()));
            }
            racer.race(&shared).await.map_err(wrong)?;
            racer.repeat(&shared).await.map_err(wrong)?;
            world.pause(50, 100).await;
        }
        // At once, so that most of what is still to be repeated has its key here.
        world.lose_keys();
        evict(world, "keys").await?;
        racer.repeat_all(&shared).await.map_err(wrong)?;
        // What is written from here on has its key in meta.
        for _ in 0..RACES {
            racer.race(&shared).await.map_err(wrong)?;
        }
        racer.repeat_all(&shared).await.map_err(wrong)?;
        racer.leave().await.map_err(wrong)
    }
    .boxed_local()
}

/// Deletes one key of every room.
async fn evict(world: &mut World, name: &str) -> Result<(), Broken> {
    let keys = there(world, name).await?;
    let words: Vec<_> = std::iter::once("DEL").chain(keys.iter().map(String::as_str)).collect();
    if keys.is_empty() {
        return Err(Broken::Wrong(format!("there is no key {name} to evict")));
    }
    Ok(world.pair()?.primary.command(&words).await?)
}

/// The rooms' keys of this name.
async fn there(world: &mut World, name: &str) -> Result<Vec<String>, Broken> {
    Ok(world.pair()?.primary.command(&["KEYS", &format!("confab:{{*}}:{name}")]).await?)
}
