//! What reaches a subscribed instance.

use confab::store::{Announcement, FEED_CAPACITY, Publication};

use crate::harness::*;

fn typing(name: &str) -> Announcement {
    Announcement::Typing(user(name))
}

pub async fn what_is_published_after_a_subscription_arrives_in_order<H: Harness>() {
    let harness = H::start(fast()).await;
    let ((one, mut own), (two, mut other)) = (harness.attach().await, harness.attach().await);
    let room = room("r");
    fill(&one, &room, 3).await;
    one.subscribe(&room).await.unwrap();
    two.subscribe(&room).await.unwrap();
    for number in 0..50 {
        let writer = if number % 2 == 0 { &one } else { &two };
        write(writer, &room, new("ada", message("x"))).await;
    }
    let stored = everything(&one, &room).await.entries;
    for feed in [&mut own, &mut other] {
        for expected in &stored[3..] {
            match next(feed).await {
                Publication::Entry(of, entry) => assert_eq!((&of, &entry), (&room, expected)),
                other => panic!("{other:?}"),
            }
        }
    }
}

pub async fn subscribing_twice_doubles_nothing<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, mut feed) = harness.attach().await;
    let room = room("r");
    store.subscribe(&room).await.unwrap();
    store.subscribe(&room).await.unwrap();
    fill(&store, &room, 2).await;
    assert_eq!(next_entry(&mut feed).await.offset, 1);
    assert_eq!(next_entry(&mut feed).await.offset, 2);
    assert_silent(&store, &room, &mut feed).await;
    // Nor does one end need two.
    store.unsubscribe(&room).await.unwrap();
    store.subscribe(&crate::harness::room("other")).await.unwrap();
    fill(&store, &room, 2).await;
    assert_silent(&store, &crate::harness::room("other"), &mut feed).await;
}

pub async fn without_a_subscription_nothing_arrives<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, mut feed) = harness.attach().await;
    store.subscribe(&room("mine")).await.unwrap();
    fill(&store, &room("other"), 2).await;
    store.announce(&room("other"), typing("ada"));
    store.enter(&room("other"), &user("ada"), 0).await.unwrap();
    store.mark_read(&room("other"), &user("ada").id, 1, 0).await.unwrap();
    assert_silent(&store, &room("mine"), &mut feed).await;
}

pub async fn after_unsubscribing_nothing_new_arrives<H: Harness>() {
    let harness = H::start(fast()).await;
    let ((store, mut feed), (stays, mut stays_feed)) = (harness.attach().await, harness.attach().await);
    for store in [&store, &stays] {
        store.subscribe(&room("left")).await.unwrap();
    }
    store.subscribe(&room("kept")).await.unwrap();
    store.unsubscribe(&room("left")).await.unwrap();
    store.unsubscribe(&room("never joined")).await.unwrap();
    fill(&store, &room("left"), 2).await;
    assert_silent(&store, &room("kept"), &mut feed).await;
    assert_eq!(next_entry(&mut stays_feed).await.offset, 1);
    store.subscribe(&room("left")).await.unwrap();
    fill(&store, &room("left"), 1).await;
    assert_eq!(next_entry(&mut feed).await.offset, 3);
}

pub async fn announcements_reach_every_subscriber<H: Harness>() {
    let harness = H::start(fast()).await;
    let ((one, mut own), (two, mut other)) = (harness.attach().await, harness.attach().await);
    let room = room("r");
    one.subscribe(&room).await.unwrap();
    two.subscribe(&room).await.unwrap();
    one.announce(&room, typing("ada"));
    one.announce(&room, typing("bob"));
    for feed in [&mut own, &mut other] {
        for name in ["ada", "bob"] {
            match next(feed).await {
                Publication::Announcement(of, announcement) => {
                    assert_eq!((of, announcement), (room.clone(), typing(name)));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

pub async fn a_feed_that_overflows_says_so<H: Harness>() {
    let harness = H::start(fast()).await;
    let ((store, mut feed), (other, mut other_feed)) = (harness.attach().await, harness.attach().await);
    let room = room("r");
    store.subscribe(&room).await.unwrap();
    let flood = FEED_CAPACITY + 100;
    for round in 0..3 {
        for _ in 0..flood {
            store.announce(&room, typing("ada"));
        }
        // An instance that keeps up still hears of the room. What is answered behind the flood says that the flood is
        // through: published by the append, and received by the subscription.
        write(&store, &room, new("ada", message("x"))).await;
        other.subscribe(&room).await.unwrap();
        write(&other, &room, new("ada", message("x"))).await;
        assert_eq!(next_entry(&mut other_feed).await.offset, round * 2 + 2);
        other.unsubscribe(&room).await.unwrap();
        store.subscribe(&crate::harness::room(&format!("behind {round}"))).await.unwrap();

        let mut received = 0;
        let interrupted = loop {
            match feed.try_recv() {
                Ok(Publication::Interrupted) => break true,
                Ok(_) => received += 1,
                Err(_) => break false,
            }
        };
        assert!(received <= FEED_CAPACITY, "{received} were held");
        if !interrupted {
            // With the next thing that happens, at the latest the next check or renewal.
            match round {
                0 => drop(store.check(vec![room.clone()]).await.unwrap()),
                1 => store.renew_lease(60_000).await.unwrap(),
                _ => store.announce(&room, typing("bob")),
            }
            assert!(matches!(next(&mut feed).await, Publication::Interrupted));
        }
        while feed.try_recv().is_ok() {}
    }
    // From then on it hears of everything again, perhaps of the last announcement before.
    write(&store, &room, new("ada", message("x"))).await;
    loop {
        match next(&mut feed).await {
            Publication::Announcement(_, last) => assert_eq!(last, typing("bob")),
            Publication::Entry(_, entry) => break assert_eq!(entry.offset, 7),
            other => panic!("{other:?}"),
        }
    }
}
