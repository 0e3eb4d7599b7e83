//! What each answer of Redis that is no answer means, and that everything goes on behind it.

use std::time::Duration;

use confab::store::{AppendError, Publication, Refusal, Store as _, StoreError};
use tokio::time::Instant;

use crate::redis_server::RedisServer;
use crate::world::*;

type Connection = redis::aio::MultiplexedConnection;

async fn run(connection: &mut Connection, command: &str) {
    let mut words = command.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    for word in words {
        command.arg(word);
    }
    let _: redis::Value = command.query_async(connection).await.unwrap();
}

async fn assert_unavailable(store: &confab::store::redis::Redis, key: &str) {
    let answer = store.append(&room("r"), message(key, "hi")).await;
    let expected =
        matches!(answer, Err(AppendError::Unknown(StoreError::Unavailable { .. } | StoreError::Unconfirmed { .. })));
    assert!(expected, "{answer:?}");
}

#[tokio::test]
async fn flushed_scripts_are_loaded_again() {
    let server = RedisServer::start().await;
    let (store, _feed) = connect(options(server.port())).await;
    let mut connection = server.connection().await;
    for number in 0..5 {
        run(&mut connection, "SCRIPT FLUSH").await;
        let calls: Vec<_> =
            (0..20).map(|n| store.append(&room("r"), message(&format!("{number}-{n}"), "hi"))).collect();
        for (n, call) in calls.into_iter().enumerate() {
            assert_eq!(call.await.unwrap().position.offset, number * 20 + n as u64 + 1);
        }
        run(&mut connection, "SCRIPT FLUSH").await;
        assert_eq!(read(&store, "r").await.entries.len() as u64, (number + 1) * 20);
    }
}

#[tokio::test]
async fn too_few_replicas_by_redis_own_setting_refuse_until_it_changes() {
    let server = RedisServer::start().await;
    let (store, _feed) = connect(options(server.port())).await;
    let mut connection = server.connection().await;
    run(&mut connection, "CONFIG SET min-replicas-to-write 1").await;
    assert_unavailable(&store, "k").await;
    run(&mut connection, "CONFIG SET min-replicas-to-write 0").await;
    assert!(!write_at_last(&store, "r", "k").await.duplicate);
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_refuses_until_it_can() {
    let server = RedisServer::with(&["--enable-protected-configs", "yes"]).await;
    let (store, _feed) = connect(options(server.port())).await;
    let mut connection = server.connection().await;
    server.cli(&["CONFIG", "SET", "save", "3600 1"]).await;
    server.cli(&["CONFIG", "SET", "dir", "/proc"]).await;
    server.cli(&["BGSAVE"]).await;
    until("the save failed", async || {
        server.cli(&["INFO", "persistence"]).await.contains("rdb_last_bgsave_status:err")
    })
    .await;
    assert_unavailable(&store, "k").await;
    run(&mut connection, "CONFIG SET stop-writes-on-bgsave-error no").await;
    write_at_last(&store, "r", "k").await;
}

#[tokio::test]
async fn a_foreign_script_that_runs_long_is_waited_out() {
    let server = RedisServer::with(&["--lua-time-limit", "50"]).await;
    let (store, _feed) = connect(options(server.port())).await;
    write(&store, "r", "before").await;
    let mut busy = server.connection().await;
    let spinning = tokio::spawn(async move {
        let spun: Result<redis::Value, _> =
            redis::cmd("EVAL").arg("while true do end").arg(0).query_async(&mut busy).await;
        spun
    });
    until("Redis is busy", async || {
        let mut connection = server.connection_or_none().await;
        match &mut connection {
            Some(connection) => {
                let ping: Result<redis::Value, _> = redis::cmd("PING").query_async(connection).await;
                ping.is_err_and(|error| error.code() == Some("BUSY"))
            }
            None => true,
        }
    })
    .await;
    assert_unavailable(&store, "k").await;
    let killed = server.cli(&["SCRIPT", "KILL"]).await;
    assert!(killed.contains("OK"), "{killed}");
    drop(spinning);
    write_at_last(&store, "r", "k").await;
    assert_eq!(keys(&read(&store, "r").await), ["before", "k"]);
}

#[tokio::test]
async fn a_right_that_was_taken_away_refuses_until_it_is_given_back() {
    let server = RedisServer::start().await;
    let (store, _feed) = connect(options(server.port())).await;
    let mut connection = server.connection().await;
    run(&mut connection, "ACL SETUSER default -evalsha").await;
    assert_unavailable(&store, "k").await;
    run(&mut connection, "ACL SETUSER default +evalsha").await;
    write_at_last(&store, "r", "k").await;
}

#[tokio::test]
async fn a_new_password_in_the_file_is_used_and_nothing_is_lost() {
    let server = RedisServer::with(&["--requirepass", "first"]).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "first\n").unwrap();
    let options = confab::store::redis::Options {
        password: confab::store::redis::Password::File(file.path().to_owned()),
        ..options(server.port())
    };
    let (store, mut feed) = connect(options).await;
    store.subscribe(&room("r")).await.unwrap();
    write(&store, "r", "before").await;
    server.cli(&["-a", "first", "CONFIG", "SET", "requirepass", "second"]).await;
    server.cli(&["-a", "second", "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    server.cli(&["-a", "second", "CLIENT", "KILL", "TYPE", "pubsub"]).await;
    assert_unavailable(&store, "between").await;
    std::fs::write(file.path(), "second\n").unwrap();
    write_at_last(&store, "r", "between").await;
    hear(&mut feed, |heard| matches!(heard, Publication::Reachable(true))).await;
    assert_eq!(keys(&read(&store, "r").await), ["before", "between"]);
    write_until_heard(&store, &mut feed, "r").await;
}

#[tokio::test]
async fn a_redis_that_goes_away_is_told_soon_and_found_when_it_is_back() {
    let server = RedisServer::start().await;
    let (store, mut feed) = connect(options(server.port())).await;
    store.subscribe(&room("r")).await.unwrap();
    write(&store, "r", "before").await;
    let port = server.stop();
    hear(&mut feed, |heard| matches!(heard, Publication::Reachable(false))).await;
    assert!(!store.health().reachable);
    let asked = Instant::now();
    assert_unavailable(&store, "refused").await;
    assert!(store.read_before(&room("r"), None, ALL).await.is_err());
    assert!(store.subscribe(&room("other")).await.is_err());
    assert!(asked.elapsed() < Duration::from_secs(1), "nothing waits for a Redis that is known to be away");
    let _again = RedisServer::on(port, &[]).await;
    hear(&mut feed, |heard| matches!(heard, Publication::Reachable(true))).await;
    hear(&mut feed, |heard| matches!(heard, Publication::Interrupted)).await;
    // It came back empty: a new log.
    assert_eq!(write_at_last(&store, "r", "after").await.position.offset, 1);
    write_until_heard(&store, &mut feed, "r").await;
}

#[tokio::test]
async fn a_subscription_that_is_refused_takes_no_other_change_with_it() {
    let server = RedisServer::start().await;
    let (store, mut feed) = connect(options(server.port())).await;
    store.subscribe(&room("left")).await.unwrap();
    assert_eq!(store.gauges().subscriptions, 1);
    let mut connection = server.connection().await;
    run(&mut connection, "ACL SETUSER default -subscribe").await;
    // Both wait for the connection before either is carried out.
    let (refused, ended) = (store.subscribe(&room("refused")), store.unsubscribe(&room("left")));
    assert!(refused.await.is_err());
    ended.await.unwrap();
    assert_eq!(store.gauges().subscriptions, 0, "nobody is subscribed to what was left");
    run(&mut connection, "ACL SETUSER default +subscribe").await;
    until("rooms can be subscribed again", async || store.subscribe(&room("r")).await.is_ok()).await;
    write_until_heard(&store, &mut feed, "r").await;
}

#[tokio::test]
async fn a_redis_that_is_connected_and_silent_is_away_too() {
    let server = RedisServer::start().await;
    let (store, mut feed) = connect(options(server.port())).await;
    store.subscribe(&room("r")).await.unwrap();
    write(&store, "r", "before").await;
    server.signal("STOP");
    let asked = Instant::now();
    assert_unavailable(&store, "silent").await;
    assert!(asked.elapsed() < PATIENCE / 4, "a call is answered within the store's own time");
    hear(&mut feed, |heard| matches!(heard, Publication::Reachable(false))).await;
    server.signal("CONT");
    hear(&mut feed, |heard| matches!(heard, Publication::Reachable(true))).await;
    // What was asked in the silence may have been done.
    let stored = write_at_last(&store, "r", "silent").await;
    assert_eq!(stored.position.offset, 2);
}

#[tokio::test]
async fn a_redis_without_resp3_serves_all_the_same() {
    let server = RedisServer::with(&["--rename-command", "HELLO", ""]).await;
    let (store, mut feed) = connect(options(server.port())).await;
    for name in ["a", "b"] {
        store.subscribe(&room(name)).await.unwrap();
        write(&store, name, "k").await;
        hear(&mut feed, |heard| matches!(heard, Publication::Entry(of, _) if *of == room(name))).await;
    }
    store.unsubscribe(&room("a")).await.unwrap();
    write(&store, "a", "unheard").await;
    write(&store, "b", "heard").await;
    let heard = hear(&mut feed, |heard| matches!(heard, Publication::Entry(..))).await;
    assert!(matches!(heard, Publication::Entry(of, _) if of == room("b")));
    let killed = server.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    assert!(killed.contains('1'), "{killed}");
    hear(&mut feed, |heard| matches!(heard, Publication::Interrupted)).await;
    write_until_heard(&store, &mut feed, "b").await;
}

#[tokio::test]
async fn a_full_redis_refuses_what_is_new_and_serves_what_is_there() {
    let server = RedisServer::with(&["--maxmemory", "20mb", "--maxmemory-policy", "noeviction"]).await;
    let limits = confab::domain::Limits { history_bytes: 1 << 30, ..fast() };
    let (store, mut feed) = connect_with(options(server.port()), limits).await;
    store.subscribe(&room("r")).await.unwrap();
    write(&store, "r", "before").await;
    let mut connection = server.connection().await;
    run(&mut connection, "SETRANGE filler 16000000 x").await;
    let deadline = Instant::now() + PATIENCE;
    let mut number = 0;
    let refused = loop {
        number += 1;
        let answer = store.append(&room("r"), message(&format!("k{number}"), &"x".repeat(10_000))).await;
        match answer {
            Ok(_) => assert!(Instant::now() < deadline, "it gets full"),
            Err(AppendError::Refused(Refusal::Overloaded { retry_ms })) => break retry_ms,
            Err(other) => panic!("{other:?}"),
        }
    };
    assert!(refused > 0);
    let top = read(&store, "r").await;
    assert_eq!(top.entries.len(), number, "a refusal stores nothing");
    until("it is known how full Redis is", async || store.health().full_percent.is_some_and(|full| full > 80)).await;
    run(&mut connection, "DEL filler").await;
    assert_eq!(write(&store, "r", "after").await.position.offset, number as u64 + 1);
    hear(&mut feed, |heard| matches!(heard, Publication::Entry(_, entry) if entry.key.as_str() == "after")).await;
}

#[tokio::test]
async fn a_full_redis_refuses_a_message_that_would_begin_a_log_or_clear_one() {
    let server = RedisServer::start().await;
    let (store, _feed) = connect(options(server.port())).await;
    let mut connection = server.connection().await;
    for name in ["ended", "unsure"] {
        write(&store, name, "before").await;
    }
    let deleted = confab::domain::Draft { body: confab::domain::Body::Deleted { target: 1 }, ..message("deleted", "") };
    store.append(&room("unsure"), deleted).await.unwrap();
    // The next message drops what is left of them.
    run(&mut connection, "DEL confab:{ended}:meta").await;
    run(&mut connection, "DEL confab:{unsure}:side").await;
    let kept = server.cli(&["KEYS", "confab:{*"]).await.lines().count();
    run(&mut connection, "CONFIG SET maxmemory 1").await;
    for name in ["new", "ended", "unsure"] {
        let answer = store.append(&room(name), message("refused", "hi")).await;
        assert!(matches!(answer, Err(AppendError::Refused(Refusal::Overloaded { .. }))), "{name}: {answer:?}");
    }
    assert_eq!(server.cli(&["KEYS", "confab:{*"]).await.lines().count(), kept, "a refusal changes nothing");
    run(&mut connection, "CONFIG SET maxmemory 0").await;
    for (name, offset) in [("new", 1), ("ended", 1), ("unsure", 3)] {
        assert_eq!(write(&store, name, "after").await.position.offset, offset, "{name}");
    }
}
