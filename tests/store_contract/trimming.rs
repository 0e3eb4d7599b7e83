//! How much of a log is kept.

use confab::domain::Limits;
use confab::store::cost;

use crate::harness::*;

/// What lazy trimming may leave beyond a limit of entries.
fn lazily(limit: usize) -> usize {
    limit + (limit / 10).max(100)
}

pub async fn a_log_keeps_as_many_entries_as_it_may<H: Harness>() {
    let harness = H::start(Limits { history_entries: 30, ..fast() }).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    for written in 1..=400 {
        fill(&store, &room, 1).await;
        let page = everything(&store, &room).await;
        let kept = page.entries.len();
        assert!(kept >= written.min(30) && kept <= lazily(30), "{kept} of {written}");
        assert_eq!(page.oldest, page.entries[0].offset);
        assert_eq!(page.top.offset, written as u64);
        assert_eq!(offsets(&page.entries), (page.oldest..=page.top.offset).collect::<Vec<_>>());
    }
}

pub async fn a_log_keeps_as_many_bytes_as_it_may<H: Harness>() {
    let limit = 20_000;
    let harness = H::start(Limits { history_bytes: limit as u64, ..fast() }).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    let mut dropped_any = false;
    for number in 0..600_usize {
        // Small ones, then large ones that push many of them out, then small ones again.
        let length = if (250..300).contains(&number) { 4_000 } else { 10 };
        write(&store, &room, new("ada", message(&"x".repeat(length)))).await;
        let page = everything(&store, &room).await;
        let costs: Vec<usize> = page.entries.iter().map(|entry| cost(entry)).collect();
        let total: usize = costs.iter().sum();
        let without_lazy: usize = costs.iter().skip(100).sum();
        assert!(total <= limit + limit / 10 || without_lazy <= limit, "{total} bytes after {number}");
        if page.oldest > 1 {
            dropped_any = true;
            assert!(total + 4_300 > limit, "only {total} bytes are left after {number}");
        }
    }
    assert!(dropped_any);
}

pub async fn the_newest_entry_is_always_kept<H: Harness>() {
    let harness = H::start(Limits { history_entries: 1, history_bytes: 1, ..fast() }).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    for written in 1..=300 {
        let stored = write(&store, &room, new("ada", message(&"x".repeat(1_000)))).await;
        let page = everything(&store, &room).await;
        assert_eq!(page.entries.last().map(|entry| entry.position()), Some(stored.position), "after {written}");
        assert!(page.entries.len() <= lazily(1));
    }
}
