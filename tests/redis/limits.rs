//! Bounds of what a room may take, as Redis has it.

use confab::domain::Limits;
use confab::store::Store as _;

use crate::redis_server::RedisServer;
use crate::world::*;

#[tokio::test]
async fn a_room_that_is_written_to_for_ever_stays_as_large_as_its_limits() {
    let server = RedisServer::start().await;
    let limits = Limits { history_entries: 200, history_bytes: 100_000, ..fast() };
    let (store, _feed) = connect_with(options(server.port()), limits).await;
    let mut lengths = Vec::new();
    for number in 0..3_000 {
        store.append(&room("r"), message(&format!("k{number}"), &"x".repeat(100))).await.unwrap();
        if number >= 1_000 && number % 500 == 0 {
            let length: u64 = server.cli(&["XLEN", "confab:{r}:log"]).await.trim().parse().unwrap();
            lengths.push(length);
        }
    }
    assert!(lengths.iter().all(|length| (200..=300).contains(length)), "{lengths:?}");
    let keys = server.cli(&["KEYS", "confab:{r}:*"]).await;
    assert!(keys.lines().count() <= 4, "no key per message: {keys}");
}

#[tokio::test]
async fn a_lower_limit_is_reached_step_by_step() {
    let server = RedisServer::start().await;
    let (store, _feed) = connect(options(server.port())).await;
    for number in 0..900 {
        write(&store, "r", &format!("k{number}")).await;
    }
    let (smaller, _feed) = connect_with(options(server.port()), Limits { history_entries: 10, ..fast() }).await;
    let mut lengths = Vec::new();
    for number in 0..8 {
        write(&smaller, "r", &format!("small{number}")).await;
        lengths.push(read(&store, "r").await.entries.len());
    }
    assert!(lengths[0] >= 900 - 256, "one append does bounded work: {lengths:?}");
    assert!(lengths.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{lengths:?}");
    assert!(lengths[7] <= 20, "{lengths:?}");
}

#[tokio::test]
async fn everything_of_a_room_ends_by_itself() {
    let server = RedisServer::start().await;
    let limits = Limits { history_idle_ms: 1_000, key_window_ms: 1_000, ..fast() };
    let (store, _feed) = connect_with(options(server.port()), limits).await;
    write(&store, "r", "k").await;
    store.mark_read(&room("r"), &user("ada").id, 1, 0).await.unwrap();
    assert!(!server.cli(&["KEYS", "confab:*"]).await.trim().is_empty());
    until("the room's keys end", async || server.cli(&["KEYS", "confab:*"]).await.trim().is_empty()).await;
}

#[tokio::test]
async fn a_key_is_free_exactly_after_its_window_whatever_slice_its_record_is_in() {
    const WINDOW_MS: u64 = 1_000;
    let server = RedisServer::start().await;
    let (store, _feed) = connect_with(options(server.port()), Limits { key_window_ms: WINDOW_MS, ..fast() }).await;
    // A room each, so that a retry may be the first call of a slice; begun at different places of one.
    let mut last: Vec<Option<confab::store::Stored>> = vec![None; 8];
    let mut fresh = 0;
    for turn in 0..80_usize {
        for number in 0..last.len().min(turn + 1) {
            let stored = store.append(&room(&format!("r{number}")), message("same", "hi")).await.unwrap();
            match &mut last[number] {
                Some(first) if stored.duplicate => assert_eq!(stored.position, first.position),
                Some(first) => {
                    assert!(stored.at - first.at >= WINDOW_MS, "{} ms after the first", stored.at - first.at);
                    *first = stored;
                    fresh += 1;
                }
                none => *none = Some(stored),
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    }
    assert!(fresh >= 16, "windows ended: {fresh}");
}

#[tokio::test]
async fn a_queue_that_is_full_refuses_at_once() {
    let server = RedisServer::start().await;
    let (store, _feed) = connect(options(server.port())).await;
    write(&store, "r", "before").await;
    server.signal("STOP");
    let text = "x".repeat(16_000);
    let calls: Vec<_> = (0..1_200).map(|n| store.append(&room("r"), message(&format!("k{n}"), &text))).collect();
    let mut refused = 0;
    for call in calls {
        match call.await {
            Err(confab::store::AppendError::Refused(confab::store::Refusal::Overloaded { retry_ms })) => {
                assert!(retry_ms > 0);
                refused += 1;
            }
            Err(confab::store::AppendError::Unknown(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(refused > 0, "a lane's queue is bounded in bytes");
    server.signal("CONT");
    write_at_last(&store, "r", "after").await;
    let gauges = store.gauges();
    assert_eq!((gauges.lane_calls, gauges.lane_bytes), (0, 0));
}
