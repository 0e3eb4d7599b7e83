//! Keys of retries.

use confab::domain::{Body, Draft, Limits};
use confab::store::Refusal;
use futures_util::future::join;

use crate::harness::*;

pub async fn the_same_key_and_content_answers_for_the_first_attempt<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    fill(&store, &room, 3).await;
    for body in [message("hi"), reaction(1), edit(1, "new"), deletion(2)] {
        let attempt = new("ada", body);
        let first = write(&store, &room, attempt.clone()).await;
        harness.advance(10).await;
        let second = write(&store, &room, attempt).await;
        assert!(second.duplicate && !first.duplicate);
        assert_eq!((second.position, second.at), (first.position, first.at));
    }
    assert_eq!(position(&store, &room).await.offset, 7);
}

pub async fn the_same_key_with_other_content_is_a_conflict<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    fill(&store, &room, 2).await;
    let said = write(&store, &room, draft("ada", "said", message("hi"))).await.position;
    let others = [
        message("ho"),
        Body::Message { text: text("hi"), reply_to: Some(1) },
        edit(1, "hi"),
        deletion(1),
        reaction(1),
        deletion(77), // no such target, but the key is looked at first
    ];
    for other in others {
        assert_eq!(refusal(&store, &room, draft("ada", "said", other)).await, Refusal::KeyConflict { position: said });
    }
    let reacted = write(&store, &room, draft("ada", "reacted", reaction(1))).await.position;
    let Body::Reacted { emoji, .. } = reaction(1) else { unreachable!() };
    for other in [reaction(2), Body::Reacted { target: 1, emoji, on: false }] {
        let conflict = Refusal::KeyConflict { position: reacted };
        assert_eq!(refusal(&store, &room, draft("ada", "reacted", other)).await, conflict);
    }
    assert_eq!(position(&store, &room).await, reacted);
}

pub async fn a_key_is_compared_by_the_body_alone<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, _feed) = harness.attach().await;
    let first = draft("ada", "k", message("hi"));
    let renamed = Draft { user: named("ada", "Another name"), ..first.clone() };
    write(&store, &room("r"), first).await;
    assert!(write(&store, &room("r"), renamed).await.duplicate);
}

pub async fn keys_are_by_room_and_user<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, _feed) = harness.attach().await;
    for (room_name, by) in [("a", "ada"), ("b", "ada"), ("a", "bob")] {
        assert!(!write(&store, &room(room_name), draft(by, "k", message(by))).await.duplicate);
    }
}

pub async fn a_key_is_free_again_after_the_window_counted_from_the_first_attempt<H: Harness>() {
    let harness = H::start(Limits { key_window_ms: 1_000, ..fast() }).await;
    let (store, _feed) = harness.attach().await;
    let attempt = draft("ada", "k", message("hi"));
    let first = write(&store, &room("r"), attempt.clone()).await;
    harness.advance(600).await;
    assert!(write(&store, &room("r"), attempt.clone()).await.duplicate, "the window is not over");
    harness.advance(600).await;
    let again = write(&store, &room("r"), attempt.clone()).await;
    assert!(!again.duplicate, "a retry must not make the window longer");
    assert_eq!(again.position.offset, first.position.offset + 1);
    assert_eq!(write(&store, &room("r"), attempt).await.position, again.position);
}

pub async fn a_key_answers_for_an_entry_that_was_trimmed_or_withdrawn<H: Harness>() {
    let harness = H::start(Limits { history_entries: 10, ..fast() }).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    let (edited, deleted) = (draft("ada", "edited", message("old")), draft("ada", "deleted", message("secret")));
    let first = [write(&store, &room, edited.clone()).await, write(&store, &room, deleted.clone()).await];
    write(&store, &room, new("ada", edit(1, "new"))).await;
    write(&store, &room, new("ada", deletion(2))).await;
    for trimmed in [false, true] {
        if trimmed {
            fill(&store, &room, 200).await;
            assert!(everything(&store, &room).await.oldest > 2);
        }
        for (attempt, first) in [&edited, &deleted].into_iter().zip(first) {
            let retry = write(&store, &room, attempt.clone()).await;
            assert_eq!((retry.duplicate, retry.position), (true, first.position));
        }
    }
}

pub async fn a_refused_attempt_leaves_the_key_free<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, _feed) = harness.attach().await;
    assert_eq!(refusal(&store, &room("r"), draft("ada", "k", deletion(5))).await, Refusal::NotFound);
    assert!(!write(&store, &room("r"), draft("ada", "k", message("hi"))).await.duplicate);
}

pub async fn answers_by_key_are_not_rate_limited<H: Harness>() {
    let harness = H::start(Limits { sends_per_second: 1, send_burst: 1, ..Limits::default() }).await;
    let (store, _feed) = harness.attach().await;
    let room = room("r");
    let attempt = draft("ada", "k", message("hi"));
    let first = write(&store, &room, attempt.clone()).await.position;
    assert!(matches!(refusal(&store, &room, new("ada", message("x"))).await, Refusal::RateLimited { .. }));
    for _ in 0..5 {
        assert!(write(&store, &room, attempt.clone()).await.duplicate);
        let other = draft("ada", "k", message("ho"));
        assert_eq!(refusal(&store, &room, other).await, Refusal::KeyConflict { position: first });
    }
}

pub async fn retries_at_the_same_time_on_two_instances_make_one_entry<H: Harness>() {
    let harness = H::start(fast()).await;
    let ((one, _feed_one), (two, _feed_two)) = (harness.attach().await, harness.attach().await);
    for number in 0..50 {
        let attempt = new("ada", message("hi"));
        let (a, b) = join(one.append(&room("r"), attempt.clone()), two.append(&room("r"), attempt)).await;
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!(a.position, b.position);
        assert!(a.duplicate != b.duplicate, "exactly one was first");
        assert_eq!(a.position.offset, number + 1);
    }
}

pub async fn a_repeated_attempt_is_not_published_again<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, mut feed) = harness.attach().await;
    let room = room("r");
    store.subscribe(&room).await.unwrap();
    let attempt = draft("ada", "k", message("hi"));
    write(&store, &room, attempt.clone()).await;
    write(&store, &room, attempt).await;
    assert_eq!(next_entry(&mut feed).await.offset, 1);
    assert_silent(&store, &room, &mut feed).await;
}
