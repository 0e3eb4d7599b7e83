//! What a client hears over its socket while the store behind the instance fails.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

mod common;
#[path = "common/faulty.rs"]
mod faulty;

use std::sync::Arc;

use common::{Raw, TestApp};
use confab::server::RunError;
use confab::store::Store;
use faulty::{Faulty, Spoil};
use serde_json::{Value, json};

async fn instance(settings: &[(&str, &str)]) -> (TestApp, Arc<Faulty>) {
    let mut faulty = None;
    let app = TestApp::over(settings, |store, feed| {
        let (between, feed) = Faulty::new(store, feed, 1, Spoil::default());
        faulty = Some(Arc::clone(&between));
        (between as Arc<dyn Store>, feed)
    })
    .await;
    (app, faulty.unwrap())
}

/// The answer to a command, whatever comes before it.
async fn answer(client: &mut Raw, mut command: Value, id: u64) -> Value {
    command["id"] = id.into();
    client.say(&command).await;
    loop {
        let object = client.hear().await;
        if object["id"] == id {
            return object;
        }
    }
}

fn send(key: &str) -> Value {
    json!({"type": "send", "room": "tea", "key": key, "text": "hi"})
}

#[tokio::test]
async fn while_the_store_is_away_the_socket_stays_and_everything_that_needs_it_is_unavailable() {
    let (app, store) = instance(&[]).await;
    let mut client = app.member("Ada", "tea").await;
    store.go_away().await;
    assert_eq!(client.hear_type("degraded").await["on"], true);
    let history = json!({"type": "history", "room": "tea"});
    for (id, command) in [(10, send("k")), (11, json!({"type": "join", "room": "milk"})), (12, history)] {
        let refused = answer(&mut client, command, id).await;
        assert_eq!(refused["code"], "unavailable", "{refused}");
        assert!(refused["retry_ms"].as_u64().is_some_and(|ms| ms > 0), "{refused}");
    }
    assert_eq!(answer(&mut client, json!({"type": "hello", "name": "Ada L."}), 13).await["type"], "welcome");
    assert_eq!(answer(&mut client, json!({"type": "leave", "room": "tea"}), 14).await["type"], "left");
    let mut late = app.signed_in("Bo").await;
    assert_eq!(late.hear_type("degraded").await["on"], true, "who comes meanwhile is told too");
    store.come_back().await;
    assert_eq!(client.hear_type("degraded").await["on"], false);
    assert_eq!(answer(&mut client, json!({"type": "join", "room": "tea"}), 15).await["type"], "joined");
    assert_eq!(answer(&mut client, send("k"), 16).await["type"], "sent");
}

#[tokio::test]
async fn with_the_store_away_too_long_the_socket_is_closed_with_4009() {
    let (app, store) = instance(&[("STORE_AWAY_LIMIT_MS", "1000")]).await;
    let mut client = app.signed_in("Ada").await;
    store.go_away().await;
    assert_eq!(client.closed_with().await, 4009);
}

#[tokio::test]
async fn a_write_that_fails_before_anybody_knows_is_unconfirmed_or_unavailable_and_its_retry_is_harmless() {
    let (app, store) = instance(&[]).await;
    let mut client = app.member("Ada", "tea").await;
    let mut codes = Vec::new();
    for n in 0..20 {
        // Not one call alone: the instance's own, for its lease and its checks, fail too, and don't use it up.
        store.fail_next(usize::MAX);
        let key = n.to_string();
        let refused = answer(&mut client, send(&key), 100 + n).await;
        codes.push(refused["code"].as_str().unwrap().to_owned());
        assert!(refused["retry_ms"].as_u64().is_some_and(|ms| ms > 0), "{refused}");
        store.fail_next(0);
        let sent = answer(&mut client, send(&key), 200 + n).await;
        assert_eq!(
            (&sent["position"]["offset"], &sent["duplicate"]),
            (&json!(n + 1), &json!(refused["code"] == "unconfirmed"))
        );
    }
    codes.sort();
    codes.dedup();
    assert_eq!(codes, ["unavailable", "unconfirmed"]);
}

#[tokio::test]
async fn data_that_cannot_be_read_is_an_internal_error_and_the_socket_stays() {
    let (app, store) = instance(&[]).await;
    let mut client = app.member("Ada", "tea").await;
    store.corrupt();
    let history = json!({"type": "history", "room": "tea"});
    for (id, command) in [(10, send("k")), (11, json!({"type": "join", "room": "milk"})), (12, history)] {
        let refused = answer(&mut client, command, id).await;
        assert_eq!((&refused["code"], &refused["retry_ms"]), (&json!("internal"), &Value::Null), "{refused}");
    }
}

#[tokio::test]
async fn a_fault_of_the_program_closes_one_socket_with_1011_and_nobody_else_notices() {
    let (app, store) = instance(&[]).await;
    let (mut unlucky, mut other) = (app.member("Ada", "tea").await, app.member("Bo", "tea").await);
    store.panic_in_append();
    unlucky.say(&send("k")).await;
    assert_eq!(unlucky.closed_with().await, 1011);
    assert_eq!(answer(&mut other, send("k"), 10).await["type"], "sent");
    app.assert_serves().await;
}

#[tokio::test]
async fn an_instance_whose_rooms_task_panics_ends_by_itself() {
    let (app, store) = instance(&[("PRESENCE__GRACE_MS", "100")]).await;
    let (leaving, mut other) = (app.member("Ada", "tea").await, app.member("Bo", "tea").await);
    store.panic_in_leave();
    // Whoever loses the connection leaves after the grace, by the rooms' task.
    drop(leaving);
    other.ended().await;
    assert!(matches!(app.failed().await, RunError::Rooms));
}

#[tokio::test]
async fn an_instance_whose_feed_ends_ends_by_itself() {
    let (to, ended) = tokio::sync::mpsc::channel(1);
    let app = TestApp::over(&[], |store, _| (store, ended)).await;
    let mut client = app.signed_in("Ada").await;
    drop(to);
    client.ended().await;
    assert!(matches!(app.failed().await, RunError::Rooms));
}
