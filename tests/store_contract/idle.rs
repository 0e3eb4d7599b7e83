//! Logs that nobody writes to any more.

use confab::domain::{Chain, Limits, Position};
use confab::store::{After, Reset};

use crate::harness::*;

const IDLE_MS: u64 = 1_000;

fn brief() -> Limits {
    Limits { history_idle_ms: IDLE_MS, ..fast() }
}

pub async fn a_log_without_a_new_entry_is_forgotten<H: Harness>() {
    let harness = H::start(brief()).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    let stored = fill(&store, &room, 3).await;
    harness.advance(IDLE_MS + 100).await;
    assert_eq!(position(&store, &room).await, Position::ZERO);
    let page = everything(&store, &room).await;
    assert_eq!((page.entries.len(), page.top, page.oldest), (0, Position::ZERO, 0));
    let answer = store.read_after(&room, stored[1].position.into(), ALL, ALL).await.unwrap();
    assert!(matches!(answer, After::Reset(Reset::Lost, _)), "{answer:?}");
}

pub async fn a_new_entry_keeps_the_log<H: Harness>() {
    let harness = H::start(brief()).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    for written in 1..=4 {
        assert_eq!(fill(&store, &room, 1).await[0].position.offset, written);
        harness.advance(IDLE_MS * 6 / 10).await;
        store.sweep().await.unwrap();
    }
    assert_eq!(everything(&store, &room).await.entries.len(), 4);
}

pub async fn after_it_a_new_log_starts<H: Harness>() {
    let harness = H::start(brief()).await;
    let (store, _feed) = harness.attach().await;
    let mut starts: Vec<Chain> = Vec::new();
    // With and without a sweep between the end of one log and the start of the next.
    for sweep in [false, true, false, true] {
        for name in ["seen", "unseen"] {
            if name == "seen" {
                store.subscribe(&room(name)).await.unwrap();
            }
            assert_eq!(fill(&store, &room(name), 2).await[1].position.offset, 2);
            starts.push(everything(&store, &room(name)).await.entries[0].prev);
        }
        harness.advance(IDLE_MS + 100).await;
        if sweep {
            store.sweep().await.unwrap();
        }
    }
    starts.sort_by_key(ToString::to_string);
    starts.dedup();
    assert_eq!(starts.len(), 8, "two logs had the same start");
}

pub async fn a_forgotten_log_takes_its_keys_with_it<H: Harness>() {
    let harness = H::start(brief()).await;
    let (store, _feed) = harness.attach().await;
    let attempt = draft("ada", "k", message("hi"));
    store.subscribe(&room("watched")).await.unwrap();
    for name in ["watched", "unwatched"] {
        write(&store, &room(name), attempt.clone()).await;
    }
    harness.advance(IDLE_MS + 100).await;
    for name in ["watched", "unwatched"] {
        // The window of the key, ten minutes, is not over; the log that it answers for is.
        let again = write(&store, &room(name), attempt.clone()).await;
        assert_eq!((again.duplicate, again.position.offset), (false, 1), "{name}");
    }
}
