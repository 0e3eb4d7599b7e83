//! The harness of the embedded store, and what it promises beyond the contract: exact times and a budget.

use std::sync::Arc;

use confab::domain::{Limits, Millis};
use confab::store::memory::{Clock as _, Memory};
use confab::store::{AppendError, Durability, Feed, Health, RecordId, Refusal, Store, StoreError};

use crate::clock::ManualClock;
use crate::harness::*;

pub struct Embedded {
    memory: Memory,
    clock: ManualClock,
}

impl Embedded {
    fn with_budget(limits: Limits, budget_bytes: usize) -> Self {
        let clock = ManualClock::at(1_700_000_000_000);
        Self { memory: Memory::new(Arc::new(limits), budget_bytes, Arc::new(clock.clone())), clock }
    }
}

impl Harness for Embedded {
    async fn start(limits: Limits) -> Self {
        Self::with_budget(limits, 256 * 1024 * 1024)
    }

    async fn attach(&self) -> (Arc<dyn Store>, Feed) {
        self.memory.attach("instance")
    }

    async fn advance(&self, by: Millis) {
        self.clock.set(self.clock.now() + by);
    }
}

fn percent(store: &Arc<dyn Store>) -> u8 {
    store.health().full_percent.expect("it is known")
}

/// Appends until the store is full; returns how many it took.
async fn fill_up(store: &Arc<dyn Store>, rooms: usize) -> usize {
    for written in 0.. {
        let room = room(&format!("room {}", written % rooms));
        match store.append(&room, new("ada", message(&"x".repeat(100)))).await {
            Ok(_) => {}
            Err(AppendError::Refused(Refusal::Overloaded { retry_ms })) => {
                assert!(retry_ms > 0);
                return written;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    unreachable!("the budget ends")
}

#[tokio::test]
async fn an_acknowledgement_means_this_process_has_it() {
    let (store, _feed) = Embedded::start(fast()).await.attach().await;
    assert_eq!(write(&store, &room("r"), new("ada", message("x"))).await.durability, Durability::Memory);
    assert_eq!(store.durability(), Durability::Memory);
    assert_eq!(store.health(), Health { reachable: true, full_percent: Some(0) });
}

#[tokio::test]
async fn a_clock_that_steps_back_moves_no_entry_and_silences_nobody() {
    let limits = Limits { sends_per_second: 1, send_burst: 2, ..Limits::default() };
    let harness = Embedded::start(limits).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    let stored = fill(&store, &room, 2).await;
    harness.clock.set(stored[0].at - 3_600_000);
    // An hour back: a bucket that would be full in an hour can't be right, so it starts afresh.
    let later = fill(&store, &room, 1).await;
    assert_eq!(later[0].at, stored[1].at);
    harness.clock.set(stored[1].at + 7);
    let later = write(&store, &room, new("bob", message("x"))).await;
    assert_eq!(later.at, stored[1].at + 7);
}

#[tokio::test]
async fn the_rate_is_exact_to_the_millisecond() {
    let harness = Embedded::start(Limits { sends_per_second: 3, send_burst: 2, ..Limits::default() }).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    let wait = async |after: u64| {
        harness.advance(after).await;
        match store.append(&room, new("ada", message("x"))).await {
            Ok(_) => 0,
            Err(AppendError::Refused(Refusal::RateLimited { retry_ms })) => retry_ms,
            Err(other) => panic!("{other:?}"),
        }
    };
    let mut waits = Vec::new();
    for after in [0, 0, 0, 333, 1, 0, 332, 1, 1, 666, 0, 0] {
        waits.push(wait(after).await);
    }
    // By hand: a token takes 333⅓ ms, the bucket holds two.
    assert_eq!(waits, [0, 0, 334, 1, 0, 333, 1, 0, 332, 0, 0, 334]);
}

#[tokio::test]
async fn the_highest_rates_never_refuse() {
    let limits = Limits { sends_per_second: 1_000_000_000, send_burst: 1_000_000_000, ..Limits::default() };
    let (store, _feed) = Embedded::start(limits).await.attach().await;
    fill(&store, &room("r"), 5_000).await;
}

#[tokio::test]
async fn a_full_store_refuses_and_throws_nothing_away() {
    let harness = Embedded::with_budget(fast(), 1024 * 1024);
    let (store, _feed) = harness.attach().await;
    let written = fill_up(&store, 7).await;
    assert!(written > 500, "{written}");
    assert!(percent(&store) >= 99);
    let mut kept = 0;
    for number in 0..7 {
        kept += everything(&store, &room(&format!("room {number}"))).await.entries.len();
    }
    assert_eq!(kept, written);
    // A refusal leaves no trace, not even a room.
    for number in 0..1_000 {
        let new_room = room(&format!("new {number}"));
        let refused = refusal(&store, &new_room, new("ada", message("x"))).await;
        assert!(matches!(refused, Refusal::Overloaded { .. }), "{refused:?}");
    }
    assert_eq!(percent(&store), 99);
}

#[tokio::test]
async fn in_a_full_store_retries_are_answered_and_the_order_of_refusals_stays() {
    let harness = Embedded::with_budget(fast(), 1024 * 1024);
    let (store, _feed) = harness.attach().await;
    let attempt = draft("ada", "k", message("hi"));
    let first = write(&store, &room("r"), attempt.clone()).await.position;
    fill_up(&store, 3).await;
    let retry = write(&store, &room("r"), attempt).await;
    assert_eq!((retry.duplicate, retry.position), (true, first));
    assert_eq!(refusal(&store, &room("r"), new("ada", deletion(99))).await, Refusal::NotFound);
    assert_eq!(refusal(&store, &room("r"), new("bob", deletion(1))).await, Refusal::Forbidden);
    let mark = store.mark_read(&room("new"), &user("ada").id, 1, 0).await;
    assert!(matches!(mark, Err(StoreError::Overloaded { .. })), "{mark:?}");
}

#[tokio::test]
async fn keys_that_leave_their_window_make_place() {
    let harness = Embedded::with_budget(Limits { key_window_ms: 1_000, ..fast() }, 1024 * 1024);
    let (store, _feed) = harness.attach().await;
    let written = fill_up(&store, 7).await;
    harness.advance(1_000).await;
    let more = fill_up(&store, 7).await;
    assert!(more * 5 > written, "{more} after {written}");
}

#[tokio::test]
async fn a_room_with_a_full_history_goes_on_in_a_full_store() {
    let limits = Limits { key_window_ms: 1_000, history_entries: 500, ..fast() };
    let harness = Embedded::with_budget(limits, 1024 * 1024);
    let (store, _feed) = harness.attach().await;
    fill(&store, &room("full"), 500).await;
    fill_up(&store, 3).await;
    for second in 0..100 {
        harness.advance(1_000).await;
        let answer = store.append(&room("full"), new("ada", message("x"))).await;
        assert!(answer.is_ok(), "{answer:?} in second {second}");
    }
}

#[tokio::test]
async fn what_is_forgotten_leaves_no_memory_behind() {
    let limits = Limits { key_window_ms: 1_000, history_idle_ms: 5_000, ..fast() };
    let harness = Embedded::with_budget(limits, 4 * 1024 * 1024);
    let (observer, _feed) = harness.attach().await;
    let mut taken = Vec::new();
    for _ in 0..4 {
        let (store, feed) = harness.attach().await;
        store.renew_lease(1_000).await.unwrap();
        for number in 0..500 {
            let room = room(&format!("presence {number}"));
            store.subscribe(&room).await.unwrap();
            store.enter(&room, &user("ada"), 0).await.unwrap();
            store.mark_read(&room, &user("ada").id, 1, 0).await.unwrap();
        }
        fill(&store, &room("edited"), 100).await;
        for target in 1..=100 {
            write(&store, &room("edited"), new("ada", edit(target, &"y".repeat(500)))).await;
            write(&store, &room("edited"), new("ada", deletion(target))).await;
        }
        taken.push(fill_up(&store, 100).await);
        drop((store, feed));
        harness.advance(5_000).await;
        assert_eq!(observer.sweep().await.unwrap(), 1);
        while percent(&observer) > 0 {
            // A few at a time.
            let before = percent(&observer);
            observer.sweep().await.unwrap();
            assert!(percent(&observer) < before, "{before} % are left over");
        }
    }
    let spread = taken.iter().max().unwrap() - taken.iter().min().unwrap();
    assert!(spread < 3, "{taken:?}");
}

#[tokio::test]
async fn records_count_against_the_budget_until_their_time_is_over() {
    let embedded = Embedded::with_budget(fast(), 64 * 1024);
    let (store, _feed) = embedded.attach().await;
    let mut kept = 0;
    while store.keep(RecordId(kept), vec![0; 1_000], 5_000).await.is_ok() {
        kept += 1;
    }
    assert!((40..64).contains(&kept), "{kept} records of 1,000 bytes in 64 KiB");
    let full = store.keep(RecordId(kept), vec![0; 1_000], 5_000).await;
    assert!(matches!(full, Err(StoreError::Overloaded { .. })), "{full:?}");
    embedded.advance(5_000).await;
    for id in 0..kept {
        assert_eq!(store.kept(RecordId(id)).await.unwrap(), None);
        store.keep(RecordId(1_000 + id), vec![0; 1_000], 5_000).await.unwrap();
    }
}
