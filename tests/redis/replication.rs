//! What an acknowledgement means, and what happens when the primary is another.

use std::time::Duration;

use confab::store::redis::{DurabilitySetting, Options};
use confab::store::{AppendError, Durability, Publication, Refusal, Store as _, StoreError};
use tokio::time::Instant;

use crate::redis_server::RedisServer;
use crate::world::*;

/// A primary, and its replica, which has caught up.
async fn pair() -> (RedisServer, RedisServer) {
    let primary = RedisServer::start().await;
    let replica = RedisServer::replica_of(&primary).await;
    (primary, replica)
}

/// For a replica that may be slow on a busy machine.
fn patient(port: u16) -> Options {
    Options { wait_timeout: Duration::from_secs(2), response_timeout: Duration::from_secs(6), ..options(port) }
}

async fn assert_unconfirmed(store: &confab::store::redis::Redis, key: &str) {
    let answer = store.append(&room("r"), message(key, "hi")).await;
    assert!(matches!(answer, Err(AppendError::Unknown(StoreError::Unconfirmed { .. }))), "{answer:?}");
}

#[tokio::test]
async fn a_replica_that_is_there_has_it_before_it_is_acknowledged() {
    let (primary, replica) = pair().await;
    let (store, _feed) = connect(patient(primary.port())).await;
    assert_eq!(store.durability(), Durability::Replicated);
    let mut other = replica.connection().await;
    for number in 0..50 {
        assert_eq!(write(&store, "r", &format!("k{number}")).await.durability, Durability::Replicated);
        let length: u64 = redis::cmd("XLEN").arg("confab:{r}:log").query_async(&mut other).await.unwrap();
        assert_eq!(length, number + 1);
    }
}

#[tokio::test]
async fn without_a_replica_auto_says_that_the_primary_has_it() {
    let server = RedisServer::start().await;
    let (store, _feed) = connect(options(server.port())).await;
    assert_eq!(write(&store, "r", "k").await.durability, Durability::Stored);
}

#[tokio::test]
async fn while_the_replica_is_frozen_nothing_is_acknowledged_and_a_retry_neither() {
    let (primary, replica) = pair().await;
    let (store, _feed) = connect(patient(primary.port())).await;
    write(&store, "r", "before").await;
    replica.signal("STOP");
    assert_unconfirmed(&store, "k").await;
    // The first attempt is stored, not replicated: its duplicate isn't either.
    assert_unconfirmed(&store, "k").await;
    replica.signal("CONT");
    let stored = write_at_last(&store, "r", "k").await;
    assert_eq!((stored.duplicate, stored.durability, stored.position.offset), (true, Durability::Replicated, 2));
    assert_eq!(store.durability(), Durability::Replicated, "an unanswered WAIT alone changes nothing");
}

/// On the server of each kind that there is: what WAIT means differs since Redis 7.2. There it answers at once, for
/// earlier writes of its connection, where the script before it wrote nothing.
async fn a_retry_over_another_connection_is_not_acknowledged(primary: RedisServer) {
    let replica = RedisServer::replica_of(&primary).await;
    let (one, _feed_one) = connect(patient(primary.port())).await;
    let (two, _feed_two) = connect(patient(primary.port())).await;
    // What this connection wrote is replicated.
    for store in [&one, &two] {
        assert_eq!(write_at_last(store, "r", "before").await.durability, Durability::Replicated);
    }
    replica.signal("STOP");
    assert_unconfirmed(&one, "k").await;
    assert_unconfirmed(&two, "k").await;
    replica.signal("CONT");
    let stored = write_at_last(&two, "r", "k").await;
    assert_eq!((stored.duplicate, stored.durability, stored.position.offset), (true, Durability::Replicated, 2));
}

#[tokio::test]
async fn a_retry_over_another_connection_is_not_acknowledged_on_redis() {
    a_retry_over_another_connection_is_not_acknowledged(RedisServer::start().await).await;
}

#[tokio::test]
async fn a_retry_over_another_connection_is_not_acknowledged_on_valkey() {
    if let Some(primary) = RedisServer::valkey().await {
        a_retry_over_another_connection_is_not_acknowledged(primary).await;
    }
}

#[tokio::test]
async fn a_replica_that_comes_later_is_waited_for_and_clients_are_told() {
    let primary = RedisServer::start().await;
    let (store, mut feed) = connect(options(primary.port())).await;
    assert_eq!(store.durability(), Durability::Stored);
    store.subscribe(&room("r")).await.unwrap();
    let _replica = RedisServer::replica_of(&primary).await;
    // A broken connection has Redis looked at again at once.
    let mut killer = primary.connection().await;
    let _: u32 = redis::cmd("CLIENT").arg(&["KILL", "TYPE", "pubsub"]).query_async(&mut killer).await.unwrap();
    hear(&mut feed, |heard| matches!(heard, Publication::Durability(Durability::Replicated))).await;
    assert_eq!(write_at_last(&store, "r", "k").await.durability, Durability::Replicated);
}

#[tokio::test]
async fn relaxed_and_local_do_not_wait() {
    let (primary, replica) = pair().await;
    replica.signal("STOP");
    for durability in [DurabilitySetting::Relaxed, DurabilitySetting::Local] {
        let (store, _feed) = connect(Options { durability, ..options(primary.port()) }).await;
        assert_eq!(write(&store, "r", &format!("{durability:?}")).await.durability, Durability::Stored);
    }
    replica.signal("CONT");
}

#[tokio::test]
async fn replicated_acknowledges_nothing_without_a_replica() {
    let server = RedisServer::start().await;
    let (store, _feed) = connect(Options { durability: DurabilitySetting::Replicated, ..options(server.port()) }).await;
    assert_eq!(store.durability(), Durability::Replicated);
    assert_unconfirmed(&store, "k").await;
}

/// After a new primary takes writes, the next acknowledgement is to come within this time. The campaign holds the service
/// to it; here, with the other tests on the machine, it may take three times as long.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_failover_loses_nothing_and_soon_the_new_primary_and_its_replica_acknowledge() {
    let (primary, replica) = pair().await;
    // Of the replica, so that the new primary has one from the start.
    let _next = RedisServer::replica_of(&replica).await;
    let endpoint = Endpoint::to(primary.port()).await;
    let (store, mut feed) = connect(options(endpoint.port())).await;
    store.subscribe(&room("r")).await.unwrap();
    for number in 0..20 {
        write_at_last(&store, "r", &format!("k{number}")).await;
    }
    // First the endpoint goes to the replica that isn't a primary yet: READONLY.
    drop(primary);
    endpoint.turn_to(replica.port());
    let answer = store.append(&room("r"), message("early", "hi")).await;
    assert!(matches!(answer, Err(AppendError::Unknown(_))), "{answer:?}");
    let mut promoted = replica.connection().await;
    let _: () = redis::cmd("REPLICAOF").arg(&["NO", "ONE"]).query_async(&mut promoted).await.unwrap();
    let promoted_at = Instant::now();
    let after = write_at_last(&store, "r", "after").await;
    let took = promoted_at.elapsed();
    assert_eq!(after.durability, Durability::Replicated);
    assert!(took < 3 * ACKNOWLEDGED_WITHIN, "{took:?}");
    until("everything acknowledged is there", async || {
        store.read_before(&room("r"), None, ALL).await.is_ok_and(|page| page.entries.len() >= 21)
    })
    .await;
    let page = read(&store, "r").await;
    assert!((0..20).all(|number| page.entries[number].key.as_str() == format!("k{number}")));
    write_until_heard(&store, &mut feed, "r").await;
}

#[tokio::test]
async fn a_primary_that_froze_gets_nothing_more_when_it_wakes() {
    let (frozen, other) = (RedisServer::start().await, RedisServer::start().await);
    let endpoint = Endpoint::to(frozen.port()).await;
    let (store, _feed) = connect(options(endpoint.port())).await;
    // Rooms enough for every lane.
    for number in 0..16 {
        write(&store, &format!("before-{number}"), "k").await;
    }
    frozen.signal("STOP");
    endpoint.point_to(other.port());
    // One lane notices; the others have nothing to do.
    write_at_last(&store, "r", "k").await;
    frozen.signal("CONT");
    for number in 0..16 {
        write_at_last(&store, &format!("after-{number}"), "k").await;
    }
    assert_eq!(frozen.cli(&["KEYS", "*after-*"]).await.trim(), "");
    assert_eq!(other.cli(&["KEYS", "*after-*:meta"]).await.lines().count(), 16);
}

#[tokio::test]
async fn a_replica_is_no_place_to_start() {
    let (_primary, replica) = pair().await;
    let options = Options { startup_timeout: Duration::from_millis(700), ..options(replica.port()) };
    let limits = std::sync::Arc::new(fast());
    let Err(error) = confab::store::redis::Redis::connect(options, limits, None).await else { panic!("it started") };
    assert!(error.to_string().contains("replica"), "{error}");
}

#[tokio::test]
async fn a_full_redis_answers_a_retry_when_a_replica_has_it() {
    let (primary, replica) = pair().await;
    let (store, _feed) = connect(patient(primary.port())).await;
    let first = write(&store, "r", "k").await;
    primary.cli(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let full = store.append(&room("r"), message("new", "hi")).await;
    assert!(matches!(full, Err(AppendError::Refused(Refusal::Overloaded { .. }))), "{full:?}");
    let renewals = async || {
        let stats = replica.cli(&["INFO", "commandstats"]).await;
        let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_pexpireat:calls=")?.split(',').next());
        calls.map_or(0, |calls| calls.parse::<u64>().unwrap())
    };
    let before = renewals().await;
    let retry = write(&store, "r", "k").await;
    assert_eq!((retry.duplicate, retry.position, retry.at), (true, first.position, first.at));
    assert_eq!(retry.durability, Durability::Replicated);
    assert!(renewals().await > before, "nothing was written for the replica to confirm");
    let other = store.append(&room("r"), message("k", "something else")).await;
    assert!(matches!(other, Err(AppendError::Refused(Refusal::KeyConflict { .. }))), "{other:?}");
}
