//! Read marks.

use confab::domain::Limits;
use confab::store::{Announcement, Publication};

use crate::harness::*;

pub async fn a_mark_only_rises<H: Harness>() {
    let harness = H::start(fast()).await;
    let ((one, _feed_one), (two, _feed_two)) = (harness.attach().await, harness.attach().await);
    let (room, ada) = (room("r"), user("ada").id);
    fill(&one, &room, 9).await;
    assert_eq!(one.read_mark(&room, &ada).await.unwrap(), 0);
    for (offset, expected) in [(5, 5), (3, 5), (5, 5), (8, 8), (0, 8)] {
        one.mark_read(&room, &ada, offset, 1).await.unwrap();
        assert_eq!(two.read_mark(&room, &ada).await.unwrap(), expected);
    }
}

pub async fn a_mark_is_announced_where_it_rose<H: Harness>() {
    let harness = H::start(fast()).await;
    let ((one, mut own), (two, mut other)) = (harness.attach().await, harness.attach().await);
    let (room, ada) = (room("r"), user("ada").id);
    fill(&one, &room, 9).await;
    one.subscribe(&room).await.unwrap();
    two.subscribe(&room).await.unwrap();
    for offset in [5, 3, 5, 8] {
        one.mark_read(&room, &ada, offset, u64::MAX).await.unwrap();
    }
    for feed in [&mut own, &mut other] {
        for offset in [5, 8] {
            match next(feed).await {
                Publication::Announcement(_, read) => {
                    assert_eq!(read, Announcement::Read { user: ada.clone(), offset, origin: u64::MAX });
                }
                other => panic!("{other:?}"),
            }
        }
    }
    write(&one, &room, new("ada", message("last"))).await;
    assert_eq!(next_entry(&mut own).await.offset, 10);
    assert_eq!(next_entry(&mut other).await.offset, 10);
}

pub async fn marks_are_by_room_and_user<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, _feed) = harness.attach().await;
    fill(&store, &room("a"), 5).await;
    fill(&store, &room("b"), 5).await;
    store.mark_read(&room("a"), &user("ada").id, 4, 0).await.unwrap();
    store.mark_read(&room("a"), &user("bob").id, 2, 0).await.unwrap();
    for (name, by, expected) in [("a", "ada", 4), ("a", "bob", 2), ("b", "ada", 0), ("unknown", "ada", 0)] {
        assert_eq!(store.read_mark(&room(name), &user(by).id).await.unwrap(), expected, "{by} in {name}");
    }
}

pub async fn a_new_log_starts_without_marks<H: Harness>() {
    let harness = H::start(Limits { history_idle_ms: 1_000, ..fast() }).await;
    let (store, mut feed) = harness.attach().await;
    let (room, ada) = (room("r"), user("ada").id);
    fill(&store, &room, 5).await;
    store.mark_read(&room, &ada, 5, 0).await.unwrap();
    for _ in 0..3 {
        harness.advance(600).await;
        store.sweep().await.unwrap();
        fill(&store, &room, 1).await;
        assert_eq!(store.read_mark(&room, &ada).await.unwrap(), 5, "as long as the log is kept");
    }
    harness.advance(1_100).await;
    fill(&store, &room, 2).await;
    assert_eq!(store.read_mark(&room, &ada).await.unwrap(), 0);
    store.subscribe(&room).await.unwrap();
    store.mark_read(&room, &ada, 1, 0).await.unwrap();
    assert!(matches!(next(&mut feed).await, Publication::Announcement(_, Announcement::Read { offset: 1, .. })));
}
