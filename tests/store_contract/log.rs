//! Numbering and order.

use std::fmt::Write as _;

use confab::domain::{Body, Chain, Entry, Text};
use sha1::{Digest as _, Sha1};

use crate::harness::*;

fn sha1(text: &str) -> String {
    Sha1::digest(text.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// The chain after an entry, computed from the protocol's description alone.
fn chain_by_hand(prev: Chain, entry: &Entry) -> String {
    let text_sha = |text: &Text| match text {
        Text::Kept(text) => sha1(text),
        Text::Withdrawn(sha, _) => sha.as_str().to_owned(),
    };
    let none = String::new;
    let (kind, target, emoji, on, reply_to, text_sha) = match &entry.body {
        Body::Message { text, reply_to } => {
            ("message", none(), none(), "", reply_to.map_or_else(none, |to| to.to_string()), text_sha(text))
        }
        Body::Edited { target, text } => ("edited", target.to_string(), none(), "", none(), text_sha(text)),
        Body::Deleted { target } => ("deleted", target.to_string(), none(), "", none(), none()),
        Body::Reacted { target, emoji, on } => {
            let on = if *on { "true" } else { "false" };
            ("reacted", target.to_string(), emoji.as_str().to_owned(), on, none(), none())
        }
    };
    let (id, name, key) = (entry.user.id.as_str(), entry.user.name.as_str(), entry.key.as_str());
    let digest = sha1(&format!("{kind}\n{id}\n{name}\n{key}\n{target}\n{emoji}\n{on}\n{reply_to}\n{text_sha}"));
    sha1(&format!("{prev}\n{}\n{}\n{digest}", entry.offset, entry.at))[..16].to_owned()
}

pub async fn offsets_are_dense_and_chains_can_be_recomputed_by_hand<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    let bodies = [
        message("one"),
        Body::Message { text: text("two, in\nreply"), reply_to: Some(1) },
        reaction(1),
        edit(1, "eins"),
        deletion(2),
        message("six"),
    ];
    let mut stored = Vec::new();
    for body in bodies {
        stored.push(write(&store, &room, new("ada", body)).await);
    }
    let page = everything(&store, &room).await;
    assert_eq!(offsets(&page.entries), [1, 2, 3, 4, 5, 6]);
    let mut prev = page.entries[0].prev;
    for (entry, stored) in page.entries.iter().zip(&stored) {
        assert_eq!(chain_by_hand(prev, entry), entry.chain.to_string(), "at {}", entry.offset);
        assert_eq!((entry.prev, entry.position(), entry.at), (prev, stored.position, stored.at));
        assert!(!stored.duplicate);
        prev = entry.chain;
    }
    assert_eq!((page.top, page.oldest), (stored[5].position, 1));
    assert_eq!(position(&store, &room).await, page.top);
}

pub async fn a_new_log_starts_from_a_random_chain<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, _feed) = harness.attach().await;
    let mut starts = std::collections::BTreeSet::new();
    for name in ["a", "b", "c", "d"] {
        write(&store, &room(name), draft("ada", "key", message("the same"))).await;
        starts.insert(everything(&store, &room(name)).await.entries[0].prev.to_string());
    }
    assert_eq!(starts.len(), 4, "{starts:?}");
}

pub async fn times_never_go_back<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    fill(&store, &room, 5).await;
    harness.advance(5).await;
    fill(&store, &room, 5).await;
    let times: Vec<_> = everything(&store, &room).await.entries.iter().map(|entry| entry.at).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert!(times[9] >= times[0] + 5, "{times:?}");
}

pub async fn appends_are_stored_in_the_order_of_the_calls<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    let calls: Vec<_> = (0..50).map(|_| store.append(&room, new("ada", message("x")))).collect();
    let mut offsets = Vec::new();
    for call in calls.into_iter().rev() {
        offsets.push(call.await.unwrap().position.offset);
    }
    assert_eq!(offsets, (1..=50).rev().collect::<Vec<_>>());
}

pub async fn a_dropped_future_does_not_undo_the_append<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    drop(store.append(&room, draft("ada", "dropped", message("still there"))));
    let next = write(&store, &room, new("ada", message("next"))).await;
    assert_eq!(next.position.offset, 2);
    assert_eq!(everything(&store, &room).await.entries[0].key.as_str(), "dropped");
}

pub async fn instances_write_one_log<H: Harness>() {
    let harness = H::start(fast()).await;
    let room = room("r");
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (store, feed) = harness.attach().await;
        let room = room.clone();
        writers.spawn(async move {
            let stored = fill(&store, &room, 50).await;
            drop(feed);
            stored.iter().map(|stored| stored.position.offset).collect::<Vec<_>>()
        });
    }
    let mut all: Vec<u64> = writers.join_all().await.concat();
    all.sort_unstable();
    assert_eq!(all, (1..=200).collect::<Vec<_>>());
    let (store, _feed) = harness.attach().await;
    let entries = everything(&store, &room).await.entries;
    assert!(entries.windows(2).all(|pair| pair[1].prev == pair[0].chain && pair[1].follows_chain(pair[0].chain)));
}
