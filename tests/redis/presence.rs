//! Members whose coming or going Redis doesn't hear of at first: an outage, a failover, a lost lease.

use confab::store::redis::Redis;
use confab::store::{Durability, Store as _, StoreError};

use crate::redis_server::RedisServer;
use crate::world::*;

const LONG_MS: u64 = 600_000;

async fn members(store: &Redis) -> Vec<String> {
    let members = store.members(&room("r"), 10).await.unwrap();
    members.list.unwrap().into_iter().map(|user| user.id.as_str().to_owned()).collect()
}

async fn enter(store: &Redis, id: &str) {
    store.enter(&room("r"), &user(id), 0).await.unwrap();
}

async fn leave(store: &Redis, id: &str) -> Result<(), StoreError> {
    store.leave(&room("r"), &user(id).id).await
}

/// Renews as an instance does, until these are the members: connections may still be being made again.
async fn renew_until(store: &Redis, ids: &[&str]) {
    until("the members are as they should be", async || {
        let renewed = store.renew_lease(LONG_MS).await;
        let there = store.members(&room("r"), 10).await;
        renewed.is_ok()
            && there.is_ok_and(|there| there.list.unwrap().iter().map(|user| user.id.as_str()).eq(ids.iter().copied()))
    })
    .await;
}

/// Ends the leases of all instances, and sweeps them.
async fn sweep_all(redis: &RedisServer, by: &Redis) {
    let all = redis.cli(&["ZRANGE", "confab:leases", "0", "-1"]).await;
    for instance in all.lines() {
        redis.cli(&["ZADD", "confab:leases", "1", instance]).await;
    }
    assert_eq!(by.sweep().await.unwrap(), all.lines().count());
}

#[tokio::test]
async fn who_leaves_while_redis_is_away_is_not_listed_when_it_is_back() {
    let redis = RedisServer::start().await;
    let (store, _feed) = connect(options(redis.port())).await;
    store.renew_lease(LONG_MS).await.unwrap();
    for id in ["ada", "bob", "cy"] {
        enter(&store, id).await;
    }
    redis.signal("STOP");
    until("Redis is away", async || !store.health().reachable).await;
    for id in ["ada", "bob"] {
        assert!(matches!(leave(&store, id).await, Err(StoreError::Unavailable { .. })), "it can't be told");
    }
    redis.signal("CONT");
    until("Redis is back", async || store.health().reachable).await;
    // Whoever is there again before it is said hasn't left.
    until("ada is back", async || store.enter(&room("r"), &user("ada"), 0).await.is_ok()).await;
    renew_until(&store, &["ada", "cy"]).await;
}

#[tokio::test]
async fn a_leave_that_redis_refuses_is_said_again_until_it_is_carried_out() {
    let redis = RedisServer::start().await;
    let (store, _feed) = connect(options(redis.port())).await;
    store.renew_lease(LONG_MS).await.unwrap();
    enter(&store, "ada").await;
    enter(&store, "bob").await;
    redis.cli(&["ACL", "SETUSER", "default", "-evalsha"]).await;
    assert!(leave(&store, "ada").await.is_err());
    redis.cli(&["ACL", "SETUSER", "default", "+evalsha"]).await;
    renew_until(&store, &["bob"]).await;
    // The list of rooms, for whoever sweeps, follows: the last one leaves.
    leave(&store, "bob").await.unwrap();
    until("nothing is to be swept", async || redis.cli(&["KEYS", "confab:rooms:*"]).await.trim().is_empty()).await;
}

#[tokio::test]
async fn a_leave_that_only_the_lost_primary_had_is_said_to_the_new_one() {
    let primary = RedisServer::start().await;
    let replica = RedisServer::replica_of(&primary).await;
    let endpoint = Endpoint::to(primary.port()).await;
    let (store, _feed) = connect(options(endpoint.port())).await;
    store.renew_lease(LONG_MS).await.unwrap();
    enter(&store, "ada").await;
    enter(&store, "bob").await;
    // Behind what was entered, so the replica has that.
    assert_eq!(write_at_last(&store, "r", "k").await.durability, Durability::Replicated);
    let promoted = replica.cli(&["REPLICAOF", "NO", "ONE"]).await;
    assert!(promoted.contains("OK"), "{promoted}");
    assert!(matches!(leave(&store, "ada").await, Err(StoreError::Unconfirmed { .. })), "no replica has it");
    assert_eq!(members(&store).await, ["bob"]);
    endpoint.turn_to(replica.port());
    drop(primary);
    renew_until(&store, &["bob"]).await;
}

#[tokio::test]
async fn members_are_swept_although_the_list_of_their_instances_rooms_was_lost() {
    let redis = RedisServer::start().await;
    let (lives, _feed) = connect(options(redis.port())).await;
    for again in ["entering", "renewing"] {
        let (ends, feed) = connect(options(redis.port())).await;
        ends.renew_lease(LONG_MS).await.unwrap();
        enter(&ends, "ada").await;
        let lost = redis.cli(&["--raw", "KEYS", "confab:rooms:*"]).await;
        assert_eq!(redis.cli(&["DEL", lost.trim()]).await.trim(), "1");
        match again {
            "entering" => enter(&ends, "bob").await,
            _ => ends.renew_lease(LONG_MS).await.unwrap(),
        }
        drop((ends, feed));
        sweep_all(&redis, &lives).await;
        assert_eq!(members(&lives).await, Vec::<String>::new(), "{again}");
        assert_eq!(redis.cli(&["KEYS", "confab:*"]).await.trim(), "confab:era", "nothing of it is left");
    }
}

#[tokio::test]
async fn who_entered_under_the_name_of_an_ended_lease_leaves_for_good() {
    let redis = RedisServer::start().await;
    let (paused, _feed) = connect(options(redis.port())).await;
    let (lives, _other_feed) = connect(options(redis.port())).await;
    paused.renew_lease(LONG_MS).await.unwrap();
    enter(&paused, "ada").await;
    sweep_all(&redis, &lives).await;
    // It doesn't know yet that its lease has ended.
    enter(&paused, "bob").await;
    assert_eq!(members(&lives).await, ["bob"]);
    // Both are entered again, under the new name, before the old one is swept.
    paused.renew_lease(1_000).await.unwrap();
    paused.renew_lease(LONG_MS).await.unwrap();
    until("both are back", async || members(&lives).await == ["ada", "bob"]).await;
    until("the old name is swept", async || lives.sweep().await.unwrap() == 1).await;
    assert_eq!(members(&lives).await, ["ada", "bob"], "they are there under the new name");
    leave(&paused, "bob").await.unwrap();
    assert_eq!(members(&lives).await, ["ada"]);
}

#[tokio::test]
async fn leases_are_renewed_on_a_full_redis_and_nobody_is_taken_out() {
    const LEASE_MS: u64 = 3_000;
    let redis = RedisServer::start().await;
    let (store, _feed) = connect(options(redis.port())).await;
    let (other, _other_feed) = connect(options(redis.port())).await;
    for store in [&store, &other] {
        store.renew_lease(LONG_MS).await.unwrap();
    }
    enter(&store, "ada").await;
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]).await;
    assert!(matches!(store.enter(&room("r"), &user("bob"), 0).await, Err(StoreError::Overloaded { .. })), "it is full");
    store.renew_lease(LEASE_MS).await.unwrap();
    let first_ends = redis_ms(&redis).await + LEASE_MS;
    until("the lease that was there has ended", async || {
        store.renew_lease(LEASE_MS).await.unwrap();
        assert_eq!(other.sweep().await.unwrap(), 0, "nobody's lease has ended");
        first_ends < redis_ms(&redis).await
    })
    .await;
    assert_eq!(members(&store).await, ["ada"]);
}
