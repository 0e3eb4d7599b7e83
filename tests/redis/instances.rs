//! What clients of different instances see of each other.

use std::time::Duration;

use confab::store::Store as _;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::common::{Raw, TestApp};
use crate::redis_server::RedisServer;
use crate::world;

/// Instances over one Redis.
async fn instances<const N: usize>(redis: &RedisServer, settings: &[(&str, &str)]) -> [TestApp; N] {
    let url = redis.url();
    let mut all = Vec::new();
    for _ in 0..N {
        let mut settings = settings.to_vec();
        settings.push(("STORE__URL", &url));
        all.push(TestApp::with(&settings).await);
    }
    all.try_into().unwrap_or_else(|_| unreachable!("as many as were asked for"))
}

async fn send(client: &mut Raw, key: &str, text: &str) -> Value {
    client.say(&json!({"type": "send", "id": 9, "room": "r", "key": key, "text": text})).await;
    client.hear_type("sent").await
}

#[tokio::test]
async fn every_message_reaches_the_clients_of_every_instance_in_one_order() {
    let redis = RedisServer::start().await;
    let apps: [TestApp; 3] = instances(&redis, &[]).await;
    let mut clients = Vec::new();
    for (number, app) in apps.iter().enumerate() {
        clients.push(app.member(&format!("User {number}"), "r").await);
    }
    for number in 0..20 {
        for (of, client) in clients.iter_mut().enumerate() {
            let command = json!({"type": "send", "id": 9, "room": "r", "key": format!("{of}-{number}"), "text": "hi"});
            client.say(&command).await;
        }
    }
    let mut seen: Vec<Vec<(u64, String, String)>> = Vec::new();
    for client in &mut clients {
        let mut messages = Vec::new();
        while messages.len() < 60 {
            let heard = client.hear().await;
            assert_ne!(heard["type"], "error", "{heard}");
            if heard["type"] == "message" {
                let text = |name: &str| heard[name].as_str().unwrap().to_owned();
                messages.push((heard["offset"].as_u64().unwrap(), text("chain"), text("key")));
            }
        }
        seen.push(messages);
    }
    assert_eq!(seen[0].iter().map(|(offset, ..)| *offset).collect::<Vec<_>>(), (1..=60).collect::<Vec<_>>());
    assert!(seen.iter().all(|messages| *messages == seen[0]));
}

#[tokio::test]
async fn a_client_resumes_on_another_instance_where_it_was() {
    let redis = RedisServer::start().await;
    let [one, two] = instances(&redis, &[]).await;
    let mut stays = one.member("Stays", "r").await;
    let mut moves = one.websocket().await;
    moves.say(&json!({"type": "hello", "id": 1, "name": "Moves"})).await;
    let token = moves.hear_type("welcome").await["token"].clone();
    moves.say(&json!({"type": "join", "id": 2, "room": "r"})).await;
    moves.hear_type("joined").await;
    send(&mut stays, "k1", "one").await;
    let seen = moves.hear_type("message").await;
    drop(moves);
    for key in ["k2", "k3"] {
        send(&mut stays, key, "missed").await;
    }
    let mut moved = two.websocket().await;
    moved.say(&json!({"type": "hello", "id": 1, "name": "Moves", "token": token})).await;
    assert_eq!(moved.hear_type("welcome").await["user"]["name"], "Moves");
    let since = json!({"offset": seen["offset"], "chain": seen["chain"]});
    moved.say(&json!({"type": "join", "id": 2, "room": "r", "since": since})).await;
    let joined = moved.hear_type("joined").await;
    assert_eq!(joined["recovered"], true);
    let keys: Vec<_> = joined["entries"].as_array().unwrap().iter().map(|entry| entry["key"].clone()).collect();
    assert_eq!(keys, ["k2", "k3"]);
    send(&mut stays, "k4", "live").await;
    assert_eq!(moved.hear_type("message").await["key"], "k4");
}

#[tokio::test]
async fn a_retry_on_another_instance_is_one_message() {
    let redis = RedisServer::start().await;
    let [one, two] = instances(&redis, &[]).await;
    let mut first = one.websocket().await;
    first.say(&json!({"type": "hello", "id": 1, "name": "Ada"})).await;
    let token = first.hear_type("welcome").await["token"].clone();
    let mut second = two.websocket().await;
    second.say(&json!({"type": "hello", "id": 1, "name": "Ada", "token": token})).await;
    second.hear_type("welcome").await;
    for client in [&mut first, &mut second] {
        client.say(&json!({"type": "join", "id": 2, "room": "r"})).await;
        client.hear_type("joined").await;
    }
    let (stored, again) = tokio::join!(send(&mut first, "same", "once"), send(&mut second, "same", "once"));
    assert_eq!(stored["position"], again["position"]);
    assert_ne!(stored["duplicate"], again["duplicate"]);
    assert_eq!(stored["durability"], "stored");
}

#[tokio::test]
async fn members_of_all_instances_are_seen_to_come_and_go_once() {
    let redis = RedisServer::start().await;
    let [one, two, three] = instances(&redis, &[("PRESENCE__GRACE_MS", "200"), ("PRESENCE__COALESCE_MS", "1")]).await;
    let mut watcher = one.member("Watcher", "r").await;
    let mut ada = two.signed_in("Ada").await;
    ada.say(&json!({"type": "join", "id": 2, "room": "r"})).await;
    let joined = ada.hear_type("joined").await;
    assert_eq!(joined["member_count"], 2);
    let came = watcher.hear_type("presence").await;
    assert_eq!((&came["joined"][0]["name"], &came["member_count"]), (&json!("Ada"), &json!(2)));
    let bo = three.member("Bo", "r").await;
    assert_eq!(watcher.hear_type("presence").await["joined"][0]["name"], "Bo");
    assert_eq!(ada.hear_type("presence").await["joined"][0]["name"], "Bo");
    drop(bo);
    for client in [&mut watcher, &mut ada] {
        let gone = client.hear_type("presence").await;
        assert_eq!((&gone["left"][0]["name"], &gone["member_count"]), (&json!("Bo"), &json!(2)));
    }
}

#[tokio::test]
async fn the_members_of_an_instance_that_dies_leave_once_and_all_count_the_same() {
    let redis = RedisServer::start().await;
    let brief = [("PRESENCE__GRACE_MS", "200"), ("PRESENCE__LEASE_MS", "1000"), ("PRESENCE__LEASE_RENEW_MS", "100")];
    let [one, two, dies] = instances(&redis, &brief).await;
    let mut watchers = [one.member("One", "r").await, two.member("Two", "r").await];
    let mut gone = Vec::new();
    for number in 0..20 {
        gone.push(dies.member(&format!("Gone {number}"), "r").await);
    }
    dies.end.cancel();
    dies.ended().await;
    for watcher in &mut watchers {
        let mut left = std::collections::BTreeSet::new();
        let mut count = 0;
        while left.len() < 20 {
            let heard = watcher.hear_type("presence").await;
            count = heard["member_count"].as_u64().unwrap();
            for user in heard["left"].as_array().unwrap() {
                assert!(left.insert(user["id"].as_str().unwrap().to_owned()), "{user} left twice");
            }
        }
        assert_eq!(count, 2);
    }
    // Nobody else is announced: the next thing that is heard is a message.
    send(&mut watchers[0], "k", "after").await;
    loop {
        let heard = watchers[1].hear().await;
        assert_ne!(heard["type"], "presence", "{heard}");
        if heard["type"] == "message" {
            break;
        }
    }
}

#[tokio::test]
async fn an_instance_that_paused_longer_than_its_lease_has_its_members_back() {
    let redis = RedisServer::start().await;
    let (paused, _feed) = world::connect(world::options(redis.port())).await;
    let (lives, _other_feed) = world::connect(world::options(redis.port())).await;
    let room = world::room("r");
    lives.renew_lease(600_000).await.unwrap();
    paused.renew_lease(200).await.unwrap();
    for id in ["ada", "bob", "cy"] {
        paused.enter(&room, &world::user(id), 0).await.unwrap();
    }
    sleep(Duration::from_millis(300)).await;
    assert_eq!(lives.sweep().await.unwrap(), 1);
    assert_eq!(lives.members(&room, 10).await.unwrap().count, 0);
    paused.renew_lease(600_000).await.unwrap();
    paused.leave(&room, &world::user("cy").id).await.unwrap();
    paused.renew_lease(600_000).await.unwrap();
    world::until("who didn't leave is back", async || lives.members(&room, 10).await.unwrap().count == 2).await;
    // Under the new lease they are found when the instance ends.
    paused.renew_lease(1).await.unwrap();
    world::until("it is swept again", async || lives.sweep().await.unwrap() == 1).await;
    assert_eq!(lives.members(&room, 10).await.unwrap().count, 0);
}

#[tokio::test]
async fn who_moves_to_another_instance_within_the_grace_is_not_announced() {
    let redis = RedisServer::start().await;
    let [one, two] = instances(&redis, &[("PRESENCE__GRACE_MS", "1000")]).await;
    let mut watcher = two.member("Watcher", "r").await;
    let mut before = one.websocket().await;
    before.say(&json!({"type": "hello", "id": 1, "name": "Moves"})).await;
    let welcome = before.hear_type("welcome").await;
    before.say(&json!({"type": "join", "id": 2, "room": "r"})).await;
    before.hear_type("joined").await;
    assert_eq!(watcher.hear_type("presence").await["joined"][0]["name"], "Moves");
    let on = async || {
        let id = welcome["user"]["id"].as_str().unwrap();
        let member = redis.cli(&["--raw", "HGET", "confab:{r}:members", id]).await;
        member.lines().last().unwrap_or_default().split(' ').map(str::to_owned).collect::<Vec<_>>()
    };
    let first = on().await;
    drop(before);
    let mut after = two.websocket().await;
    after.say(&json!({"type": "hello", "id": 1, "name": "Moves", "token": welcome["token"]})).await;
    after.say(&json!({"type": "join", "id": 2, "room": "r"})).await;
    after.hear_type("joined").await;
    world::until("the first instance lets go", async || {
        let now = on().await;
        now.len() == 1 && now != first
    })
    .await;
    send(&mut after, "k", "here").await;
    let heard = watcher.hear().await;
    assert_eq!(heard["type"], "message", "{heard}");
}

#[tokio::test]
async fn a_sweep_whose_instance_died_is_finished_by_another() {
    let redis = RedisServer::start().await;
    let (swept, feed) = world::connect(world::options(redis.port())).await;
    let room = world::room("r");
    swept.enter(&room, &world::user("ada"), 0).await.unwrap();
    drop((swept, feed));
    // As a claimer leaves it that died at once, long ago.
    let instance = redis.cli(&["ZRANGE", "confab:leases", "0", "-1"]).await.trim().to_owned();
    redis.cli(&["ZREM", "confab:leases", &instance]).await;
    redis.cli(&["ZADD", "confab:claims", "1", &instance]).await;
    let (lives, _feed) = world::connect(world::options(redis.port())).await;
    assert_eq!(lives.sweep().await.unwrap(), 0, "it was claimed before");
    assert_eq!(lives.members(&room, 10).await.unwrap().count, 0);
    assert_eq!(redis.cli(&["KEYS", "confab:*"]).await.trim(), "confab:era", "nothing of it is left");
}

#[tokio::test]
async fn above_80_per_cent_only_rooms_that_are_there_are_joined() {
    let redis = RedisServer::with(&["--maxmemory", "20mb", "--maxmemory-policy", "noeviction"]).await;
    let [app] = instances(&redis, &[]).await;
    let mut member = app.member("Member", "r").await;
    send(&mut member, "k", "hi").await;
    redis.cli(&["SETRANGE", "filler", "16500000", "x"]).await;
    let [full] = instances(&redis, &[("LIMITS__NEW_ROOMS_PER_MINUTE", "1000000")]).await;
    let mut client = full.signed_in("Client").await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    for number in 0.. {
        // Refused as soon as the instance has asked how full Redis is.
        client.say(&json!({"type": "join", "id": 7, "room": format!("new {number}")})).await;
        let answer = client.hear().await;
        if answer["code"] == "overloaded" {
            assert!(answer["retry_ms"].as_u64().unwrap() > 0, "{answer}");
            assert!(answer["message"].as_str().unwrap().contains("full"), "{answer}");
            break;
        }
        assert_eq!(answer["type"], "joined", "{answer}");
        assert!(tokio::time::Instant::now() < deadline, "new rooms are refused");
        sleep(Duration::from_millis(100)).await;
    }
    client.say(&json!({"type": "join", "id": 8, "room": "r"})).await;
    assert_eq!(client.hear_type("joined").await["entries"][0]["key"], "k");
}

/// Clients are told within this time that Redis is away: `docs/protocol.md`. Here, with the others on the machine, within
/// three times that.
const TOLD_WITHIN: Duration = Duration::from_secs(3);

#[tokio::test]
async fn clients_are_told_soon_that_redis_is_away_whether_it_is_silent_or_gone() {
    for gone in [false, true] {
        let redis = RedisServer::start().await;
        let [app] = instances(&redis, &[]).await;
        let mut client = app.member("Ada", "r").await;
        send(&mut client, "k", "hi").await;
        let since = Instant::now();
        let stopped = if gone {
            redis.stop();
            None
        } else {
            redis.signal("STOP");
            Some(redis)
        };
        let told = client.hear_type("degraded").await;
        assert_eq!(told["on"], true, "{told}");
        assert!(since.elapsed() < 3 * TOLD_WITHIN, "{:?} after it was gone: {gone}", since.elapsed());
        if let Some(redis) = stopped {
            redis.signal("CONT");
            assert_eq!(client.hear_type("degraded").await["on"], false);
        }
    }
}

#[tokio::test]
async fn typing_and_read_marks_reach_the_other_instances() {
    let redis = RedisServer::start().await;
    let [one, two] = instances(&redis, &[]).await;
    let mut ada = one.websocket().await;
    ada.say(&json!({"type": "hello", "id": 1, "name": "Ada"})).await;
    let token = ada.hear_type("welcome").await["token"].clone();
    ada.say(&json!({"type": "join", "id": 2, "room": "r"})).await;
    ada.hear_type("joined").await;
    let mut bo = two.member("Bo", "r").await;
    ada.say(&json!({"type": "typing", "room": "r"})).await;
    assert_eq!(bo.hear_type("typing").await["user"]["name"], "Ada");
    let mut tab = two.websocket().await;
    tab.say(&json!({"type": "hello", "id": 1, "name": "Ada", "token": token})).await;
    tab.say(&json!({"type": "join", "id": 2, "room": "r"})).await;
    tab.hear_type("joined").await;
    send(&mut bo, "k", "to read").await;
    assert_eq!(tab.hear_type("message").await["offset"], 1);
    ada.hear_type("message").await;
    ada.say(&json!({"type": "read", "room": "r", "offset": 1})).await;
    assert_eq!(tab.hear_type("read").await["offset"], 1);
}

#[tokio::test]
async fn a_subscriber_that_is_killed_again_and_again_shows_nobody_a_gap() {
    const MESSAGES: u64 = 400;
    const KILLS: u32 = 100;
    let redis = RedisServer::start().await;
    let [one, two] = instances(&redis, &[("LIMITS__COMMANDS_PER_SECOND", "1000000")]).await;
    let mut sender = one.member("Sender", "r").await;
    let mut reader = two.member("Reader", "r").await;
    let mut killer = redis.connection().await;
    let killing = tokio::spawn(async move {
        let mut killed = 0;
        while killed < KILLS {
            let gone: u32 =
                redis::cmd("CLIENT").arg(&["KILL", "TYPE", "pubsub"]).query_async(&mut killer).await.unwrap();
            killed += gone;
            sleep(Duration::from_millis(10)).await;
        }
    });
    let sending = async {
        for number in 0..MESSAGES {
            send(&mut sender, &format!("k{number}"), "hi").await;
        }
        while !killing.is_finished() {
            sleep(Duration::from_millis(10)).await;
        }
        send(&mut sender, "last", "hi").await;
    };
    let reading = async {
        for expected in 1..=MESSAGES + 1 {
            let heard = loop {
                let heard = reader.hear().await;
                assert!(heard["type"] != "reset" && heard["type"] != "error", "{heard}");
                if heard["type"] == "message" {
                    break heard;
                }
            };
            assert_eq!(heard["offset"], expected);
        }
    };
    tokio::join!(sending, reading);
}

#[tokio::test]
async fn after_a_flush_the_members_and_the_key_of_guest_tokens_are_written_again() {
    let redis = RedisServer::start().await;
    let fast = [
        ("ROOMS__CHECK_INTERVAL_MS", "100"),
        ("PRESENCE__LEASE_RENEW_MS", "100"),
        ("PRESENCE__LIST_UP_TO", "1"),
        ("PRESENCE__LIST_AGAIN_AT", "1"),
    ];
    let [one, two] = instances(&redis, &fast).await;
    let mut ada = one.websocket().await;
    ada.say(&json!({"type": "hello", "id": 1, "name": "Ada"})).await;
    let token = ada.hear_type("welcome").await["token"].clone();
    // One room that is listed, one that is large by these settings.
    let _alone = one.member("Alone", "small").await;
    let _members = [one.member("Bo", "large").await, two.member("Cy", "large").await];
    let mut connection = redis.connection().await;
    let _: () = redis::cmd("FLUSHALL").query_async(&mut connection).await.unwrap();
    for (room, members) in [("small", 1_u64), ("large", 2)] {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let names = format!("confab:{{{room}}}:members");
            let count: u64 = redis::cmd("HLEN").arg(names).query_async(&mut connection).await.unwrap();
            if count == members {
                break;
            }
            assert!(tokio::time::Instant::now() < deadline, "{room} has {count} members");
            sleep(Duration::from_millis(20)).await;
        }
    }
    let [three] = instances(&redis, &fast).await;
    let mut again = three.websocket().await;
    again.say(&json!({"type": "hello", "id": 1, "name": "Ada", "token": token})).await;
    again.hear_type("welcome").await;
}
