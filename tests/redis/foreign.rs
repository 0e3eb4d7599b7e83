//! Data under our keys that isn't ours, and data of ours that is gone.

use std::time::Duration;

use confab::domain::{Body, Draft, Text};
use confab::store::redis::Redis;
use confab::store::{After, AppendError, Publication, Refusal, Reset, Store as _, StoreError};

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::redis_server::RedisServer;
use crate::served::Served;
use crate::world::*;

async fn assert_refused(store: &Redis, name: &str) {
    let answer = store.append(&room(name), message("k", "hi")).await;
    assert_eq!(answer, Err(AppendError::Unknown(StoreError::Corrupt)), "{name}");
}

async fn assert_unreadable(store: &Redis, name: &str) {
    let answer = store.read_before(&room(name), None, ALL).await;
    assert!(matches!(answer, Err(StoreError::Corrupt)), "{name}: {answer:?}");
}

#[tokio::test]
async fn a_room_with_foreign_keys_is_refused_and_the_others_live_on() {
    let server = RedisServer::start().await;
    let (store, mut feed) = connect(options(server.port())).await;
    for (name, garbage) in [
        ("wrong-type", &["LPUSH", "confab:{wrong-type}:meta", "x"][..]),
        ("no-meta", &["SET", "confab:{no-meta}:meta", "hello"]),
        ("no-position", &["HSET", "confab:{no-position}:meta", "m", "hello"]),
        ("wrong-log", &["SET", "confab:{wrong-log}:log", "x"]),
        ("wrong-keys", &["SET", "confab:{wrong-keys}:keys", "x"]),
    ] {
        write(&store, name, "before").await;
        server.cli(&["DEL", garbage[1]]).await;
        server.cli(garbage).await;
        assert_refused(&store, name).await;
        if name != "wrong-keys" {
            assert_unreadable(&store, name).await;
        }
    }
    store.subscribe(&room("good")).await.unwrap();
    write(&store, "good", "k").await;
    hear(&mut feed, |heard| matches!(heard, Publication::Entry(..))).await;
    assert!(store.health().reachable);
}

#[tokio::test]
async fn an_error_in_the_log_names_the_keys_of_what_cannot_be_read() {
    let server = RedisServer::start().await;
    let keys = |key: &str| format!("confab:{{not%20ours%20%F0%9F%8D%B5}}:{key}");
    // A program each: the line comes only now and then. By the script's own word, by Redis's, and by what was read.
    for (says, question, command, garbage) in [
        ("meta", "send", "SET", vec!["hello"]),
        ("log", "send", "SET", vec!["hello"]),
        ("log", "history", "XADD", vec!["9-0", "e", "not an entry"]),
    ] {
        let served = Served::start(&[("CONFAB__STORE__URL", &server.url())]);
        let mut client = served.sign_in().await;
        client.ask(json!({"type": "join", "id": 1, "room": "not ours 🍵"})).await;
        client.ask(json!({"type": "send", "id": 2, "room": "not ours 🍵", "key": "k", "text": "hi"})).await;
        if command == "SET" {
            server.cli(&["DEL", &keys(says)]).await;
        }
        server.cli(&[&[command, &keys(says)][..], &garbage].concat()).await;
        let ask = json!({"type": question, "id": 3, "room": "not ours 🍵", "key": "k2", "text": "hi"});
        assert_eq!(client.say(ask).await["code"], "internal", "{says}");
        until("an error names the keys", async || {
            let lines = served.log();
            let mut errors = lines.iter().filter(|line| line.contains("\"ERROR\""));
            errors.any(|line| line.contains(&keys(says)))
        })
        .await;
        let names_a_room = |line: &&String| line.contains("ours%20%F0") || line.contains("not ours");
        assert!(served.log().iter().filter(names_a_room).all(|line| line.contains("\"ERROR\"")), "{:#?}", served.log());
        server.cli(&["FLUSHALL"]).await;
    }
}

#[tokio::test]
async fn what_is_foreign_in_one_room_keeps_no_other_from_being_checked() {
    let server = RedisServer::start().await;
    let (store, _feed) = connect(options(server.port())).await;
    let top = write(&store, "good", "k").await.position;
    store.enter(&room("good"), &user("ada"), 0).await.unwrap();
    server.cli(&["SET", "confab:{string}:meta", "hello"]).await;
    server.cli(&["LPUSH", "confab:{list}:meta", "hello"]).await;
    server.cli(&["HSET", "confab:{hash}:meta", "m", "hello"]).await;
    server.cli(&["SET", "confab:{members}:members", "hello"]).await;
    let rooms = ["string", "list", "good", "hash", "members", "good"].map(room).to_vec();
    let checked = store.check(rooms).await.unwrap();
    let answers: Vec<_> = checked.iter().map(|checked| (checked.position.offset, checked.members)).collect();
    assert_eq!(answers, [(0, 0), (0, 0), (1, 1), (0, 0), (0, 0), (1, 1)]);
    assert_eq!(checked[2].position, top);
}

#[tokio::test]
async fn entries_that_are_not_ours_or_do_not_follow_are_not_served() {
    let server = RedisServer::start().await;
    let (store, _feed) = connect(options(server.port())).await;
    for name in ["garbage", "hole"] {
        for number in 0..5 {
            write(&store, name, &format!("k{number}")).await;
        }
    }
    server.cli(&["XADD", "confab:{garbage}:log", "6-0", "e", "not an entry"]).await;
    assert_unreadable(&store, "garbage").await;
    // The number is taken: a new entry can't be stored either.
    assert_refused(&store, "garbage").await;
    server.cli(&["XDEL", "confab:{hole}:log", "3-0"]).await;
    assert_unreadable(&store, "hole").await;
}

#[tokio::test]
async fn a_foreign_publication_is_dropped_and_counted() {
    let server = RedisServer::start().await;
    let (store, mut feed) = connect(options(server.port())).await;
    store.subscribe(&room("r")).await.unwrap();
    for garbage in ["", "hello", "J", "7\n8", "L0\n"] {
        server.cli(&["PUBLISH", "confab:{r}:log", garbage]).await;
    }
    write(&store, "r", "k").await;
    let first = hear(&mut feed, |_| true).await;
    assert!(matches!(first, Publication::Entry(_, entry) if entry.key.as_str() == "k"));
    assert_eq!(store.gauges().foreign_publications, 5);
}

#[tokio::test]
async fn without_its_meta_a_room_begins_a_fresh_log() {
    let server = RedisServer::start().await;
    let (store, _feed) = connect(options(server.port())).await;
    let mut last = None;
    for number in 0..5 {
        last = Some(write(&store, "r", &format!("k{number}")).await.position);
    }
    server.cli(&["DEL", "confab:{r}:meta"]).await;
    assert_eq!(read(&store, "r").await.entries.len(), 0, "no meta, no log");
    let lost = store.read_after(&room("r"), last.unwrap().into(), ALL, ALL).await.unwrap();
    assert!(matches!(lost, After::Reset(Reset::Lost, _)), "{lost:?}");
    // A key never answers for a message that is gone with its log.
    let stored = write(&store, "r", "k0").await;
    assert_eq!((stored.duplicate, stored.position.offset), (false, 1));
    assert_eq!(keys(&read(&store, "r").await), ["k0"]);
}

#[tokio::test]
async fn without_its_stream_a_log_is_trimmed_and_goes_on() {
    let server = RedisServer::start().await;
    let (store, _feed) = connect(options(server.port())).await;
    let mut positions = Vec::new();
    for number in 0..5 {
        positions.push(write(&store, "r", &format!("k{number}")).await.position);
    }
    server.cli(&["DEL", "confab:{r}:log"]).await;
    let top = store.read_after(&room("r"), positions[4].into(), ALL, ALL).await.unwrap();
    assert!(matches!(&top, After::Continued(page) if page.entries.is_empty() && page.top == positions[4]), "{top:?}");
    let behind = store.read_after(&room("r"), positions[3].into(), ALL, ALL).await.unwrap();
    assert!(matches!(behind, After::Reset(Reset::Trimmed, _)), "{behind:?}");
    assert_eq!(write(&store, "r", "next").await.position.offset, 6);
    let top = store.read_after(&room("r"), positions[4].into(), ALL, ALL).await.unwrap();
    assert!(matches!(&top, After::Continued(page) if keys(page) == ["next"]), "{top:?}");
    let (meta, log) = (ends(&server, "confab:{r}:meta").await, ends(&server, "confab:{r}:log").await);
    assert_eq!(log, meta, "they end together");
}

#[tokio::test]
async fn without_the_list_of_withdrawn_texts_none_of_them_is_served() {
    let server = RedisServer::start().await;
    let (store, _feed) = connect(options(server.port())).await;
    store.append(&room("r"), message("secret", "the secret")).await.unwrap();
    let edit = Draft { body: Body::Edited { target: 1, text: Text::Kept("open".into()) }, ..message("edit", "") };
    let top = store.append(&room("r"), edit).await.unwrap().position;
    server.cli(&["DEL", "confab:{r}:side"]).await;
    assert_eq!(read(&store, "r").await.entries.len(), 0);
    let again = Draft { body: Body::Edited { target: 1, text: Text::Kept("what?".into()) }, ..message("again", "") };
    let refused = store.append(&room("r"), again).await;
    assert!(matches!(refused, Err(AppendError::Refused(Refusal::NotFound))), "{refused:?}");
    write(&store, "r", "next").await;
    let page = read(&store, "r").await;
    assert_eq!((keys(&page), page.oldest, page.top.offset), (vec!["next"], 3, 3));
    let after = store.read_after(&room("r"), top.into(), ALL, ALL).await.unwrap();
    assert!(matches!(after, After::Continued(_)), "{after:?}");
    assert_eq!(ends(&server, "confab:{r}:log").await, ends(&server, "confab:{r}:meta").await, "they end together");
}

/// When a key expires, in Unix milliseconds.
async fn ends(server: &RedisServer, key: &str) -> i64 {
    server.cli(&["PEXPIRETIME", key]).await.trim().parse().unwrap()
}

#[tokio::test]
async fn what_eviction_takes_is_never_missed_silently() {
    let settings = ["--maxmemory", "5mb", "--maxmemory-policy", "allkeys-lru"];
    let server = RedisServer::with(&settings).await;
    let (store, _feed) = connect(options(server.port())).await;
    let names: Vec<String> = (0..40).map(|number| format!("room {number}")).collect();
    let mut acknowledged = vec![Vec::new(); names.len()];
    let text = "x".repeat(2_000);
    for number in 0..100 {
        for (name, written) in names.iter().zip(&mut acknowledged) {
            written.push(store.append(&room(name), message(&format!("k{number}"), &text)).await.unwrap());
        }
    }
    let evicted = server.cli(&["INFO", "stats"]).await;
    assert!(!evicted.contains("evicted_keys:0\r"), "nothing was evicted: the test tests nothing");
    for (name, written) in names.iter().zip(&acknowledged) {
        // Whoever has a position either gets everything behind it, or is told that the log doesn't continue.
        for (seen, stored) in written.iter().enumerate().step_by(7) {
            match store.read_after(&room(name), stored.position.into(), ALL, ALL).await.unwrap() {
                After::Reset(..) => {}
                After::Continued(page) => {
                    let expected: Vec<String> = (seen + 1..written.len()).map(|number| format!("k{number}")).collect();
                    assert_eq!(keys(&page), expected, "{name} from {seen}");
                }
            }
        }
    }
}

#[tokio::test]
async fn an_expiry_that_somebody_else_sets_moves_no_time_beyond_the_slice() {
    let server = RedisServer::start().await;
    let (store, _feed) = connect(options(server.port())).await;
    let mut last = write(&store, "r", "before").await;
    for (number, expiry) in [
        &["EXPIRE", "confab:{r}:meta", "60"][..],
        &["PERSIST", "confab:{r}:meta"],
        &["EXPIRE", "confab:{r}:meta", "999999999"],
    ]
    .into_iter()
    .enumerate()
    {
        server.cli(expiry).await;
        let began = redis_ms(&server).await;
        let stored = write(&store, "r", &format!("k{number}")).await;
        assert!((began..=redis_ms(&server).await).contains(&stored.at), "{expiry:?}: {} behind {began}", stored.at);
        assert_eq!(stored.position.offset, last.position.offset + 1, "{expiry:?}");
        assert!(write(&store, "r", &format!("k{number}")).await.duplicate, "{expiry:?}");
        last = stored;
    }
}

#[tokio::test]
async fn keys_that_redis_throws_away_are_told_as_an_error() {
    const ASKED_EVERY: Duration = Duration::from_secs(10);
    let server = RedisServer::with(&["--maxmemory", "20mb", "--maxmemory-policy", "allkeys-lru"]).await;
    let served = Served::start(&[("CONFAB__STORE__URL", &server.url())]);
    let logs = |severity: &str, words: &str| {
        let is_it = |line: &String| line.contains(&format!("\"{severity}\"")) && line.contains(words);
        served.log().iter().any(is_it)
    };
    until("it warns of the policy", async || logs("WARNING", "set maxmemory-policy to noeviction")).await;
    assert!(!logs("ERROR", "Redis has thrown keys away"), "nothing is thrown away yet");
    let mut connection = server.connection().await;
    let deadline = Instant::now() + ASKED_EVERY + PATIENCE;
    for number in 0.. {
        let _: () =
            redis::cmd("SET").arg(number % 100).arg(vec![b'x'; 1 << 20]).query_async(&mut connection).await.unwrap();
        if logs("ERROR", "Redis has thrown keys away") {
            break;
        }
        assert!(Instant::now() < deadline, "it is told when Redis is asked next");
        sleep(Duration::from_millis(50)).await;
    }
}
