//! Texts that were taken back.

use std::sync::Arc;

use confab::domain::{Chain, Entry, Limits, Position, RoomId, Text, TextSha, Withdrawal};
use confab::store::{After, Publication, Store};

use crate::harness::*;

/// Every entry by every way of reading.
async fn by_every_way(store: &Arc<dyn Store>, room: &RoomId) -> Vec<Vec<Arc<Entry>>> {
    let page = everything(store, room).await;
    let mut ways = Vec::new();
    for before in page.oldest..=page.top.offset + 1 {
        ways.push(store.read_before(room, Some(before), ALL).await.unwrap().entries);
    }
    let starts = page.entries.iter().map(|entry| entry.position());
    let boundary = Position { offset: page.oldest - 1, chain: page.entries[0].prev };
    for position in starts.chain([boundary]) {
        ways.push(after(store, room, position.into()).await.entries);
    }
    for wrong in [since(page.top.offset, Chain::from_bits(1)), since(page.top.offset + 1, page.top.chain)] {
        match store.read_after(room, wrong, ALL, ALL).await.unwrap() {
            After::Reset(_, page) => ways.push(page.entries),
            After::Continued(_) => panic!("{wrong:?} is no position of this log"),
        }
    }
    ways.push(page.entries);
    ways
}

/// At this offset there is only what is left of a text, however it is read.
async fn assert_withdrawn(store: &Arc<dyn Store>, room: &RoomId, offset: u64, said: &str, why: Withdrawal) {
    let mut seen = 0;
    for entry in by_every_way(store, room).await.concat() {
        assert!(!format!("{entry:?}").contains(said), "{said} is served at {}", entry.offset);
        if entry.offset == offset {
            seen += 1;
            assert_eq!(entry.body.text(), Some(&Text::Withdrawn(TextSha::of(said), why)));
        }
    }
    assert!(seen > 2, "{offset} was read {seen} times only");
}

async fn text_at(store: &Arc<dyn Store>, room: &RoomId, offset: u64) -> Option<Text> {
    let page = everything(store, room).await;
    page.entries.iter().find(|entry| entry.offset == offset).and_then(|entry| entry.body.text().cloned())
}

pub async fn a_deleted_text_is_read_nowhere<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, mut feed) = harness.attach().await;
    let room = room("r");
    store.subscribe(&room).await.unwrap();
    write(&store, &room, new("ada", message("open"))).await;
    write(&store, &room, new("ada", message("secret"))).await;
    write(&store, &room, new("bob", reaction(2))).await;
    write(&store, &room, new("ada", deletion(2))).await;
    assert_withdrawn(&store, &room, 2, "secret", Withdrawal::Deleted).await;
    assert_eq!(text_at(&store, &room, 1).await, Some(text("open")));
    // What was published before the deletion was published with its text.
    next(&mut feed).await;
    let Publication::Entry(_, secret) = next(&mut feed).await else { panic!("not an entry") };
    assert_eq!(secret.body, message("secret"));
}

pub async fn a_replaced_text_is_read_nowhere<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    write(&store, &room, new("ada", message("first version"))).await;
    write(&store, &room, new("ada", edit(1, "second version"))).await;
    assert_withdrawn(&store, &room, 1, "first version", Withdrawal::Edited).await;
    assert_eq!(text_at(&store, &room, 2).await, Some(text("second version")));
    write(&store, &room, new("ada", edit(1, "third version"))).await;
    assert_withdrawn(&store, &room, 1, "first version", Withdrawal::Edited).await;
    assert_withdrawn(&store, &room, 2, "second version", Withdrawal::Edited).await;
    assert_eq!(text_at(&store, &room, 3).await, Some(text("third version")));
}

pub async fn deleting_an_edited_message_withdraws_all_its_texts<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    write(&store, &room, new("ada", message("first version"))).await;
    write(&store, &room, new("ada", edit(1, "second version"))).await;
    write(&store, &room, new("ada", edit(1, "third version"))).await;
    write(&store, &room, new("ada", deletion(1))).await;
    assert_withdrawn(&store, &room, 1, "first version", Withdrawal::Deleted).await;
    assert_withdrawn(&store, &room, 2, "second version", Withdrawal::Edited).await;
    assert_withdrawn(&store, &room, 3, "third version", Withdrawal::Deleted).await;
}

pub async fn an_edit_outlives_its_target_and_stays_withdrawn<H: Harness>() {
    let harness = H::start(Limits { history_entries: 20, ..fast() }).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    write(&store, &room, new("ada", message("kept, first version"))).await;
    write(&store, &room, new("ada", message("gone, first version"))).await;
    // As many as keep the edits in the log when the messages have left it.
    let mut oldest = 0;
    let mut edits = None;
    for written in 2.. {
        if written == 15 {
            write(&store, &room, new("ada", edit(1, "kept, second version"))).await;
            let gone = write(&store, &room, new("ada", edit(2, "gone, second version"))).await.position.offset;
            write(&store, &room, new("ada", deletion(2))).await;
            edits = Some((gone - 1, gone));
        }
        fill(&store, &room, 1).await;
        oldest = everything(&store, &room).await.oldest;
        if oldest > 2 {
            break;
        }
    }
    let (kept, gone) = edits.expect("the messages are kept as long as that");
    assert!(oldest <= kept, "the edits are trimmed too");
    assert_eq!(text_at(&store, &room, kept).await, Some(text("kept, second version")));
    assert_withdrawn(&store, &room, gone, "gone, second version", Withdrawal::Deleted).await;
}

pub async fn the_chain_of_a_withdrawn_text_still_holds<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    let before = fill(&store, &room, 5).await;
    write(&store, &room, new("ada", edit(2, "x"))).await;
    write(&store, &room, new("ada", deletion(3))).await;
    write(&store, &room, new("ada", deletion(2))).await;
    let entries = everything(&store, &room).await.entries;
    for (entry, stored) in entries.iter().zip(&before) {
        assert_eq!(entry.position(), stored.position);
    }
    let mut prev = entries[0].prev;
    for entry in &entries {
        assert!(entry.follows_chain(prev), "at {}", entry.offset);
        prev = entry.chain;
    }
}
