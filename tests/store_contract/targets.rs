//! What edits, deletions and reactions may be about.

use confab::domain::Limits;
use confab::store::Refusal;

use crate::harness::*;

pub async fn only_a_kept_message_is_a_target<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    for target in [0, 1, 2, u64::MAX] {
        assert_eq!(refusal(&store, &room, new("ada", edit(target, "x"))).await, Refusal::NotFound, "{target}");
    }
    fill(&store, &room, 1).await;
    write(&store, &room, new("ada", edit(1, "y"))).await;
    write(&store, &room, new("ada", reaction(1))).await;
    for target in [0, 2, 3, 4, 5, u64::MAX] {
        for body in [edit(target, "x"), deletion(target), reaction(target)] {
            assert_eq!(refusal(&store, &room, new("ada", body)).await, Refusal::NotFound, "{target}");
        }
    }
    assert_eq!(position(&store, &room).await.offset, 3);
}

pub async fn a_deleted_message_is_no_target<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    fill(&store, &room, 1).await;
    write(&store, &room, new("ada", deletion(1))).await;
    for body in [edit(1, "x"), deletion(1), reaction(1), deletion(2)] {
        assert_eq!(refusal(&store, &room, new("ada", body)).await, Refusal::NotFound);
    }
}

pub async fn a_trimmed_message_is_no_target<H: Harness>() {
    let harness = H::start(Limits { history_entries: 10, ..fast() }).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    fill(&store, &room, 200).await;
    let oldest = everything(&store, &room).await.oldest;
    assert!(oldest > 1);
    for body in [edit(oldest - 1, "x"), deletion(oldest - 1), reaction(1)] {
        assert_eq!(refusal(&store, &room, new("ada", body)).await, Refusal::NotFound);
    }
}

pub async fn only_the_author_edits_and_deletes<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    fill(&store, &room, 1).await;
    for body in [edit(1, "x"), deletion(1)] {
        assert_eq!(refusal(&store, &room, new("bob", body)).await, Refusal::Forbidden);
    }
    write(&store, &room, new("bob", reaction(1))).await;
    write(&store, &room, new("ada", edit(1, "x"))).await;
    write(&store, &room, new("ada", deletion(1))).await;
    // What is gone is not found, whoever asks.
    assert_eq!(refusal(&store, &room, new("bob", deletion(1))).await, Refusal::NotFound);
}
