//! Who is where, over all instances.

use std::sync::Arc;

use confab::domain::{RoomId, User};
use confab::store::{FIRST_LEASE_MS, Feed, Members, PresenceChange, Publication, Store};
use futures_util::future::join_all;

use crate::harness::*;

/// Long enough not to end by itself.
const LONG_MS: u64 = 600_000;

/// Soon over.
const BRIEF_MS: u64 = 500;

/// An instance with a lease, and its feed of one room.
async fn attach<H: Harness>(harness: &H, room: &RoomId, lease_ms: u64) -> (Arc<dyn Store>, Feed) {
    let (store, feed) = harness.attach().await;
    store.subscribe(room).await.unwrap();
    store.renew_lease(lease_ms).await.unwrap();
    (store, feed)
}

async fn next_change(feed: &mut Feed) -> PresenceChange {
    loop {
        match next(feed).await {
            Publication::Presence(_, change) => return change,
            // A store may have its instance look again at any time.
            Publication::Interrupted => {}
            other => panic!("not presence but {other:?}"),
        }
    }
}

async fn list(store: &Arc<dyn Store>, room: &RoomId) -> Vec<User> {
    let Members { list, count } = store.members(room, 1_000).await.unwrap();
    let list = list.expect("few enough to be listed");
    assert_eq!(list.len() as u64, count);
    list
}

fn left(id: &str, members: u64) -> PresenceChange {
    PresenceChange::Left { users: vec![user(id)], members }
}

fn joined(id: &str, members: u64) -> PresenceChange {
    PresenceChange::Joined { user: user(id), members }
}

pub async fn the_first_instance_announces_the_join_and_the_last_one_the_leave<H: Harness>() {
    let harness = H::start(fast()).await;
    let room = room("r");
    let (one, mut feed) = attach(&harness, &room, LONG_MS).await;
    let (two, mut other) = attach(&harness, &room, LONG_MS).await;
    one.enter(&room, &user("ada"), 0).await.unwrap();
    two.enter(&room, &user("ada"), 0).await.unwrap();
    two.enter(&room, &user("bob"), 0).await.unwrap();
    one.leave(&room, &user("ada").id).await.unwrap();
    assert_eq!(list(&one, &room).await, [user("ada"), user("bob")]);
    two.leave(&room, &user("ada").id).await.unwrap();
    assert_eq!(list(&two, &room).await, [user("bob")]);
    for feed in [&mut feed, &mut other] {
        assert_eq!(next_change(feed).await, joined("ada", 1));
        assert_eq!(next_change(feed).await, joined("bob", 2));
        assert_eq!(next_change(feed).await, left("ada", 1));
    }
    assert_silent(&one, &room, &mut feed).await;
}

pub async fn entering_and_leaving_again_is_harmless<H: Harness>() {
    let harness = H::start(fast()).await;
    let room = room("r");
    let (store, mut feed) = attach(&harness, &room, LONG_MS).await;
    let ada = user("ada");
    store.leave(&room, &ada.id).await.unwrap();
    for _ in 0..3 {
        store.enter(&room, &ada, 0).await.unwrap();
    }
    assert_eq!(store.members(&room, 10).await.unwrap().count, 1);
    for _ in 0..3 {
        store.leave(&room, &ada.id).await.unwrap();
    }
    assert_eq!(list(&store, &room).await, []);
    assert_eq!(next_change(&mut feed).await, joined("ada", 1));
    assert_eq!(next_change(&mut feed).await, left("ada", 0));
    assert_silent(&store, &room, &mut feed).await;
}

pub async fn another_name_is_announced_once<H: Harness>() {
    let harness = H::start(fast()).await;
    let room = room("r");
    let (one, mut feed) = attach(&harness, &room, LONG_MS).await;
    let (two, _other) = attach(&harness, &room, LONG_MS).await;
    let renamed = named("ada", "Countess");
    one.enter(&room, &user("ada"), 0).await.unwrap();
    two.enter(&room, &renamed, 7).await.unwrap();
    one.enter(&room, &renamed, 8).await.unwrap();
    assert_eq!(list(&one, &room).await, vec![renamed.clone()]);
    assert_eq!(next_change(&mut feed).await, joined("ada", 1));
    assert_eq!(next_change(&mut feed).await, PresenceChange::Renamed { user: renamed.clone(), named_at: 7 });
    assert_silent(&one, &room, &mut feed).await;
    one.leave(&room, &renamed.id).await.unwrap();
    two.leave(&room, &renamed.id).await.unwrap();
    assert_eq!(next_change(&mut feed).await, PresenceChange::Left { users: vec![renamed], members: 0 });
}

pub async fn members_are_listed_by_id_or_only_counted<H: Harness>() {
    let harness = H::start(fast()).await;
    let room = room("r");
    let (one, _feed) = attach(&harness, &room, LONG_MS).await;
    let (two, _other) = attach(&harness, &room, LONG_MS).await;
    assert_eq!(one.members(&room, 0).await.unwrap(), Members { list: Some(Vec::new()), count: 0 });
    for (store, id) in [(&one, "c"), (&two, "a"), (&one, "B"), (&two, "b")] {
        store.enter(&room, &user(id), 0).await.unwrap();
    }
    let sorted = ["B", "a", "b", "c"].map(user);
    for most in [4, 5, 1_000] {
        assert_eq!(two.members(&room, most).await.unwrap(), Members { list: Some(sorted.to_vec()), count: 4 });
    }
    for most in [0, 3] {
        assert_eq!(two.members(&room, most).await.unwrap(), Members { list: None, count: 4 });
    }
}

pub async fn a_check_counts_the_members<H: Harness>() {
    let harness = H::start(fast()).await;
    let (one, _feed) = attach(&harness, &room("a"), LONG_MS).await;
    let (two, _other) = attach(&harness, &room("a"), LONG_MS).await;
    let top = fill(&one, &room("a"), 2).await[1].position;
    fill(&one, &room("c"), 1).await;
    one.enter(&room("a"), &user("ada"), 0).await.unwrap();
    two.enter(&room("a"), &user("ada"), 0).await.unwrap();
    two.enter(&room("a"), &user("bob"), 0).await.unwrap();
    two.enter(&room("b"), &user("bob"), 0).await.unwrap();
    let checked = one.check(["b", "a", "unknown", "c", "a"].map(room).to_vec()).await.unwrap();
    let answers: Vec<_> = checked.iter().map(|checked| (checked.position.offset, checked.members)).collect();
    assert_eq!(answers, [(0, 1), (2, 2), (0, 0), (1, 0), (2, 2)]);
    assert_eq!(checked[1].position, top);
}

pub async fn members_outlive_their_instance_by_its_lease<H: Harness>() {
    let harness = H::start(fast()).await;
    let room = room("r");
    let (dies, feed) = attach(&harness, &room, BRIEF_MS).await;
    let (lives, mut other) = attach(&harness, &room, LONG_MS).await;
    dies.enter(&room, &user("ada"), 0).await.unwrap();
    dies.enter(&room, &user("bob"), 0).await.unwrap();
    assert_eq!(next_change(&mut other).await, joined("ada", 1));
    assert_eq!(next_change(&mut other).await, joined("bob", 2));
    harness.advance(BRIEF_MS / 2).await;
    dies.renew_lease(BRIEF_MS).await.unwrap();
    drop((dies, feed));
    harness.advance(BRIEF_MS / 2).await;
    assert_eq!(lives.sweep().await.unwrap(), 0, "the lease was renewed");
    assert_eq!(list(&lives, &room).await, [user("ada"), user("bob")]);
    harness.advance(BRIEF_MS).await;
    assert_eq!(lives.sweep().await.unwrap(), 1);
    assert_eq!(list(&lives, &room).await, []);
    // Together or one by one.
    let mut gone = Vec::new();
    while gone.len() < 2 {
        let PresenceChange::Left { users, members } = next_change(&mut other).await else { panic!("not a leave") };
        gone.extend(users);
        assert_eq!(members, 2 - gone.len() as u64);
    }
    gone.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(gone, [user("ada"), user("bob")]);
    assert_eq!(lives.sweep().await.unwrap(), 0);
    assert_silent(&lives, &room, &mut other).await;
}

pub async fn an_ended_lease_is_claimed_by_one_of_many<H: Harness>() {
    let harness = H::start(fast()).await;
    let room = room("r");
    let (watcher, mut watched) = attach(&harness, &room, LONG_MS).await;
    for id in ["ada", "bob"] {
        let (dies, _feed) = attach(&harness, &room, BRIEF_MS).await;
        dies.enter(&room, &user(id), 0).await.unwrap();
        next_change(&mut watched).await;
    }
    let mut sweepers = Vec::new();
    for _ in 0..8 {
        sweepers.push(attach(&harness, &room, LONG_MS).await);
    }
    harness.advance(BRIEF_MS + 100).await;
    let sweeps = sweepers.iter().map(|(store, _)| {
        let store = Arc::clone(store);
        tokio::spawn(async move { store.sweep().await.unwrap() })
    });
    let claimed: usize = join_all(sweeps).await.into_iter().map(Result::unwrap).sum();
    assert_eq!(claimed, 2);
    let mut members = 2;
    while members > 0 {
        let PresenceChange::Left { users, members: now } = next_change(&mut watched).await else {
            panic!("not a leave")
        };
        assert_eq!(now, members - users.len() as u64);
        members = now;
    }
    assert_silent(&watcher, &room, &mut watched).await;
}

pub async fn who_is_on_another_instance_too_stays<H: Harness>() {
    let harness = H::start(fast()).await;
    let room = room("r");
    let (dies, feed) = attach(&harness, &room, BRIEF_MS).await;
    let (lives, mut other) = attach(&harness, &room, LONG_MS).await;
    for store in [&dies, &lives] {
        store.enter(&room, &user("ada"), 0).await.unwrap();
    }
    assert_eq!(next_change(&mut other).await, joined("ada", 1));
    drop((dies, feed));
    harness.advance(BRIEF_MS + 100).await;
    assert_eq!(lives.sweep().await.unwrap(), 1);
    assert_eq!(list(&lives, &room).await, [user("ada")]);
    assert_silent(&lives, &room, &mut other).await;
    lives.leave(&room, &user("ada").id).await.unwrap();
    assert_eq!(next_change(&mut other).await, left("ada", 0));
}

pub async fn an_instance_without_a_lease_gets_a_first_one<H: Harness>() {
    let harness = H::start(fast()).await;
    let room = room("r");
    let (lives, _other) = attach(&harness, &room, LONG_MS).await;
    let (never_renews, feed) = harness.attach().await;
    never_renews.enter(&room, &user("ada"), 0).await.unwrap();
    drop((never_renews, feed));
    harness.advance(FIRST_LEASE_MS / 2).await;
    assert_eq!(lives.sweep().await.unwrap(), 0);
    assert_eq!(list(&lives, &room).await, [user("ada")]);
    harness.advance(FIRST_LEASE_MS / 2 + 100).await;
    assert_eq!(lives.sweep().await.unwrap(), 1);
    assert_eq!(list(&lives, &room).await, []);
}

pub async fn after_its_lease_an_instance_may_come_back<H: Harness>() {
    let harness = H::start(fast()).await;
    let room = room("r");
    let (paused, mut feed) = attach(&harness, &room, BRIEF_MS).await;
    let (lives, _other) = attach(&harness, &room, LONG_MS).await;
    paused.enter(&room, &user("ada"), 0).await.unwrap();
    harness.advance(BRIEF_MS + 100).await;
    assert_eq!(lives.sweep().await.unwrap(), 1);
    assert_eq!(lives.sweep().await.unwrap(), 0, "it is claimed once, though it is still attached");
    paused.renew_lease(LONG_MS).await.unwrap();
    assert_eq!(list(&paused, &room).await, []);
    paused.enter(&room, &user("ada"), 0).await.unwrap();
    assert_eq!(lives.sweep().await.unwrap(), 0);
    assert_eq!(list(&lives, &room).await, [user("ada")]);
    for change in [joined("ada", 1), left("ada", 0), joined("ada", 1)] {
        assert_eq!(next_change(&mut feed).await, change);
    }
}
