//! Whether a log continues from a position.

use std::sync::Arc;

use confab::domain::{Chain, Limits, Position, RoomId, Since};
use confab::store::{After, Page, PageSize, Reset, Store};

use crate::harness::*;

/// The reset that a position is answered by.
async fn reset(store: &Arc<dyn Store>, room: &RoomId, since: Since) -> (Reset, Page) {
    match store.read_after(room, since, ALL, ALL).await.unwrap() {
        After::Reset(reset, page) => (reset, page),
        After::Continued(page) => panic!("{since:?} was continued up to {:?}", page.top),
    }
}

/// A log of 300 entries of which the older ones are trimmed, with every position it ever had.
async fn trimmed<H: Harness>(harness: &H, room: &RoomId) -> (Arc<dyn Store>, Vec<Position>, u64) {
    let (store, _feed) = harness.attach().await;
    let stored = fill(&store, room, 300).await;
    let oldest = everything(&store, room).await.oldest;
    assert!(oldest > 2, "nothing was trimmed");
    let mut positions = vec![Position::ZERO];
    positions.extend(stored.iter().map(|stored| stored.position));
    (store, positions, oldest)
}

fn short() -> Limits {
    Limits { history_entries: 50, ..fast() }
}

fn other(chain: Chain) -> Chain {
    Chain::from_bits(if chain == Chain::from_bits(7) { 8 } else { 7 })
}

pub async fn a_log_continues_from_every_kept_position<H: Harness>() {
    let harness = H::start(short()).await;
    let room = room("r");
    let (store, positions, oldest) = trimmed(&harness, &room).await;
    for position in positions.iter().filter(|position| position.offset + 1 >= oldest) {
        let page = after(&store, &room, (*position).into()).await;
        assert_eq!(offsets(&page.entries), (position.offset + 1..=300).collect::<Vec<_>>());
        assert_eq!((page.top, page.oldest), (positions[300], oldest));
    }
}

pub async fn at_the_boundary_the_chain_decides<H: Harness>() {
    let harness = H::start(short()).await;
    let room = room("r");
    let (store, positions, oldest) = trimmed(&harness, &room).await;
    let boundary = positions[oldest as usize - 1];
    assert_eq!(after(&store, &room, boundary.into()).await.entries.len() as u64, 300 - boundary.offset);
    for chain in [Some(other(boundary.chain)), None] {
        assert_eq!(reset(&store, &room, Since { offset: boundary.offset, chain }).await.0, Reset::Diverged);
    }
}

pub async fn below_the_boundary_it_is_trimmed<H: Harness>() {
    let harness = H::start(short()).await;
    let room = room("r");
    let (store, positions, oldest) = trimmed(&harness, &room).await;
    for position in positions.iter().filter(|position| position.offset + 1 < oldest) {
        for chain in [Some(position.chain), Some(other(position.chain)), None] {
            let (reset, page) = reset(&store, &room, Since { offset: position.offset, chain }).await;
            assert_eq!(reset, Reset::Trimmed, "{position:?}");
            assert_eq!(page.oldest, oldest);
        }
    }
}

pub async fn above_the_top_it_is_lost<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    for offset in [1, 5, u64::MAX] {
        let (reset, page) = reset(&store, &room, since(offset, Chain::from_bits(1))).await;
        assert_eq!((reset, page.top, page.oldest), (Reset::Lost, Position::ZERO, 0), "of an empty room");
    }
    fill(&store, &room, 3).await;
    for offset in [4, 5, u64::MAX] {
        for chain in [Some(Chain::from_bits(1)), None] {
            assert_eq!(reset(&store, &room, Since { offset, chain }).await.0, Reset::Lost);
        }
    }
}

pub async fn another_chain_is_another_log<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    for stored in fill(&store, &room, 3).await {
        let Position { offset, chain } = stored.position;
        assert_eq!(reset(&store, &room, since(offset, other(chain))).await.0, Reset::Diverged);
        assert_eq!(reset(&store, &room, Since { offset, chain: None }).await.0, Reset::Diverged);
    }
}

pub async fn before_any_log_everything_follows<H: Harness>() {
    let harness = H::start(short()).await;
    let room = room("r");
    let (fresh, _feed) = harness.attach().await;
    for chain in [Some(Chain::from_bits(0)), Some(Chain::from_bits(9)), None] {
        let nowhere = Since { offset: 0, chain };
        let page = after(&fresh, &crate::harness::room("empty"), nowhere).await;
        assert_eq!((page.entries.len(), page.top, page.oldest), (0, Position::ZERO, 0));
        fill(&fresh, &crate::harness::room("short"), 1).await;
        let page = after(&fresh, &crate::harness::room("short"), nowhere).await;
        assert_eq!(page.entries[0].offset, 1);
    }
    let (store, ..) = trimmed(&harness, &room).await;
    assert_eq!(reset(&store, &room, Position::ZERO.into()).await.0, Reset::Trimmed);
}

pub async fn a_reset_brings_the_newest_page<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    fill(&store, &room, 20).await;
    let newest = PageSize { entries: 3, bytes: usize::MAX };
    let answer = store.read_after(&room, since(99, Chain::from_bits(1)), ALL, newest).await.unwrap();
    let After::Reset(Reset::Lost, page) = answer else { panic!("{answer:?}") };
    assert_eq!(offsets(&page.entries), [18, 19, 20]);
    assert_eq!((page.top.offset, page.oldest), (20, 1));
}
