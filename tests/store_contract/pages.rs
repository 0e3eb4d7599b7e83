//! How much one read returns.

use confab::domain::Position;
use confab::store::{After, PageSize, cost};

use crate::harness::*;

const fn entries(entries: usize) -> PageSize {
    PageSize { entries, bytes: usize::MAX }
}

pub async fn a_page_is_contiguous_and_oldest_first<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    let stored = fill(&store, &room, 20).await;
    let newest = store.read_before(&room, None, entries(4)).await.unwrap();
    assert_eq!(offsets(&newest.entries), [17, 18, 19, 20]);
    let middle = store.read_before(&room, Some(10), entries(4)).await.unwrap();
    assert_eq!(offsets(&middle.entries), [6, 7, 8, 9]);
    assert_eq!((middle.top, middle.oldest), (stored[19].position, 1));
    let onward = store.read_after(&room, stored[4].position.into(), entries(4), ALL).await.unwrap();
    let After::Continued(onward) = onward else { panic!("{onward:?}") };
    assert_eq!(offsets(&onward.entries), [6, 7, 8, 9]);
    assert_eq!(onward.top, stored[19].position);
}

pub async fn a_page_has_at_most_so_many_entries<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    fill(&store, &room, 10).await;
    for most in 1..15 {
        let newest = store.read_before(&room, None, entries(most)).await.unwrap();
        assert_eq!(newest.entries.len(), most.min(10));
        let first = store.read_after(&room, Position::ZERO.into(), entries(most), ALL).await.unwrap();
        let After::Continued(first) = first else { panic!("{first:?}") };
        assert_eq!(first.entries.len(), most.min(10));
    }
}

pub async fn a_page_has_at_most_so_many_bytes<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    for length in [100, 3_000, 10, 500, 2_000, 1, 800] {
        write(&store, &room, new("ada", message(&"x".repeat(length)))).await;
    }
    let costs: Vec<usize> = everything(&store, &room).await.entries.iter().map(|entry| cost(entry)).collect();
    // As many as fit, counted from where the page begins; always one.
    let fit = |costs: &mut dyn Iterator<Item = &usize>, bytes: usize| {
        let mut sum = 0;
        costs
            .take_while(|cost| {
                sum += **cost;
                sum <= bytes
            })
            .count()
            .max(1)
    };
    for bytes in (0..9_000).step_by(100) {
        let page = PageSize { entries: 100, bytes };
        let newest = store.read_before(&room, None, page).await.unwrap();
        assert_eq!(newest.entries.len(), fit(&mut costs.iter().rev(), bytes), "the newest {bytes} bytes");
        assert_eq!(newest.entries.last().unwrap().offset, 7);
        let first = store.read_after(&room, Position::ZERO.into(), page, ALL).await.unwrap();
        let After::Continued(first) = first else { panic!("{first:?}") };
        assert_eq!(first.entries.len(), fit(&mut costs.iter(), bytes), "the first {bytes} bytes");
        assert_eq!(first.entries[0].offset, 1);
    }
}

pub async fn one_entry_always_comes<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    fill(&store, &room, 3).await;
    for size in [PageSize { entries: 0, bytes: 0 }, PageSize { entries: 0, bytes: 1_000_000 }] {
        assert_eq!(offsets(&store.read_before(&room, None, size).await.unwrap().entries), [3]);
        let first = store.read_after(&room, Position::ZERO.into(), size, size).await.unwrap();
        let After::Continued(first) = first else { panic!("{first:?}") };
        assert_eq!(offsets(&first.entries), [1]);
    }
}

pub async fn before_is_exclusive<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    fill(&store, &room, 5).await;
    for (before, expected) in [(0, 0..0), (1, 0..0), (2, 1..2), (5, 1..5), (6, 1..6), (7, 1..6), (u64::MAX, 1..6)] {
        let page = store.read_before(&room, Some(before), ALL).await.unwrap();
        assert_eq!(offsets(&page.entries), expected.collect::<Vec<_>>(), "before {before}");
        assert_eq!((page.top.offset, page.oldest), (5, 1));
    }
}

pub async fn a_room_without_a_log_is_empty<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, _feed) = harness.attach().await;
    store.subscribe(&room("watched")).await.unwrap();
    for name in ["unknown", "watched"] {
        for before in [None, Some(0), Some(1), Some(50)] {
            let page = store.read_before(&room(name), before, ALL).await.unwrap();
            assert_eq!((page.entries.len(), page.top, page.oldest), (0, Position::ZERO, 0));
        }
        assert_eq!(position(&store, &room(name)).await, Position::ZERO);
    }
    // Looking at a room writes nothing: its first entry is entry 1.
    assert_eq!(fill(&store, &room("unknown"), 1).await[0].position.offset, 1);
}
