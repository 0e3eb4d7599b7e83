//! Clients that lose their connection, and go on where they were.

use std::sync::Arc;
use std::time::Duration;

use confab::auth::Auth;
use confab::domain::RoomId;
use confab::protocol::socketio::{Pid, Place};
use confab::session::socketio::RENEW_MS;
use confab::store::Store;
use serde_json::{Value, json};

use crate::client::{Client, eventually};
use crate::common::{TestApp, within};
use crate::faulty::{Faulty, Spoil};

/// Sends five messages while nobody listens for Ada, and expects her to get them on another instance.
async fn five_of_five(ada: &mut Client, other: &TestApp, sender: &mut Client) {
    let texts: Vec<String> = (1..=5).map(|number| format!("missed {number}")).collect();
    for text in &texts {
        sender.send(text).await;
    }
    assert!(ada.reconnect(other).await, "recovered");
    assert_eq!(ada.messages(5).await, texts);
    ada.assert_quiet().await;
}

#[tokio::test]
async fn what_was_missed_after_a_killed_instance_comes_on_another_one() {
    for round in 0..20 {
        let [one, two] = TestApp::several(&[("PRESENCE__COALESCE_MS", "1")]).await;
        let mut ada = Client::member(&one, "Ada", "R").await;
        let mut bo = Client::member(&two, "Bo", "R").await;
        ada.notification().await;
        // In half of the rounds Ada has heard something by then, and so has a position of her own.
        if round % 2 == 0 {
            bo.send("seen").await;
            assert_eq!(ada.message().await, "seen");
        }
        one.kill().await;
        five_of_five(&mut ada, &two, &mut bo).await;
        ada.emit("sendMessage", &json!("and on")).await;
        assert_eq!(ada.message().await, "and on", "round {round}");
    }
}

#[tokio::test]
async fn a_half_open_connection_is_replaced_and_nobody_sees_it() {
    let [one, two] = TestApp::several(&[]).await;
    let mut ada = Client::member(&one, "Ada", "R").await;
    let mut bo = Client::member(&two, "Bo", "R").await;
    // The first connection stays open, and nobody reads it.
    let _half_open = std::mem::replace(&mut ada.raw, one.connect().await);
    five_of_five(&mut ada, &two, &mut bo).await;
    bo.emit("sendMessage", &json!("the next thing that is heard")).await;
    loop {
        let event = bo.event().await;
        assert_eq!(event[0], "message", "no notification");
        if event[1]["text"] == "the next thing that is heard" {
            break;
        }
    }
}

#[tokio::test]
async fn a_connection_as_old_as_it_may_get_is_closed_and_resumed() {
    // Only of one instance: on the other one nobody is in a hurry.
    let [one, two] = TestApp::each([&[("ROTATE_AFTER_MS", "3000"), ("DRAIN__SPREAD_MS", "10")], &[]]).await;
    let mut ada = Client::member(&one, "Ada", "R").await;
    assert_eq!(ada.raw.closed_with().await, 4001);
    let mut bo = Client::member(&two, "Bo", "R").await;
    five_of_five(&mut ada, &two, &mut bo).await;
}

#[tokio::test]
async fn a_drain_moves_clients_and_they_miss_nothing() {
    let [one, two] = TestApp::several(&[("DRAIN__SPREAD_MS", "100")]).await;
    let mut ada = Client::member(&one, "Ada", "R").await;
    let mut bo = Client::member(&two, "Bo", "R").await;
    one.drain.cancel();
    assert_eq!(ada.raw.closed_with().await, 4002);
    one.ended().await;
    five_of_five(&mut ada, &two, &mut bo).await;
}

#[tokio::test]
async fn a_client_that_lost_two_connections_in_a_row_still_misses_nothing() {
    let [one, two] = TestApp::several(&[]).await;
    let mut ada = Client::member(&one, "Ada", "R").await;
    let mut bo = Client::member(&two, "Bo", "R").await;
    bo.send("first").await;
    // Resumed, but dead before it read anything: what was on its way to it is not counted as had.
    let before = (ada.pid.clone(), ada.offset.clone());
    assert!(ada.reconnect(&two).await);
    (ada.pid, ada.offset) = before;
    bo.send("second").await;
    assert!(ada.reconnect(&one).await);
    assert_eq!(ada.messages(2).await, ["first", "second"]);
}

#[tokio::test]
async fn an_answer_to_a_sign_in_is_where_a_client_goes_on() {
    let [one, two] = TestApp::several(&[]).await;
    let mut bo = Client::member(&two, "Bo", "R").await;
    bo.send("history").await;
    let mut ada = Client::connect(&one).await;
    let answer = ada.call("signin", &json!({"user": "Ada", "room": "R"})).await;
    assert_eq!(answer[1]["messages"][0]["text"], "history");
    one.kill().await;
    five_of_five(&mut ada, &two, &mut bo).await;
}

#[tokio::test]
async fn an_offset_of_another_room_does_not_count() {
    let [one, two] = TestApp::several(&[]).await;
    let mut ada = Client::member(&one, "Ada", "first room").await;
    for text in ["a", "b", "c"] {
        ada.emit("sendMessage", &json!(text)).await;
    }
    assert_eq!(ada.messages(3).await, ["a", "b", "c"]);
    let mut bo = Client::member(&two, "Bo", "second room").await;
    ada.call("signin", &json!({"user": "Ada", "room": "second room"})).await;
    assert!(ada.offset.as_ref().is_some_and(|offset| offset.starts_with("3.")));
    five_of_five(&mut ada, &two, &mut bo).await;
}

#[tokio::test]
async fn forged_and_foreign_texts_make_a_new_connection() {
    let [app] = TestApp::several(&[]).await;
    let foreign = Auth::new(["another-key-of-another-deployment-altogether"]);
    let ada = Client::member(&app, "Ada", "R").await;
    let good = ada.pid.clone().unwrap();
    let (id, seal) = good.split_once('.').unwrap();
    let other = Client::connect(&app).await.pid.unwrap();
    let (other_id, other_seal) = other.split_once('.').unwrap();
    for pid in [
        json!(Pid::new(7, &foreign).as_str()),
        json!(format!("{id}.{other_seal}")),
        json!(format!("{other_id}.{seal}")),
        json!(id),
        json!(format!("{id}.")),
        json!(format!("{good}.{seal}")),
        json!(good.to_uppercase()),
        json!(""),
        json!("."),
        json!("x".repeat(10_000)),
        json!(7),
        json!([good]),
        json!({"pid": good}),
        Value::Null,
    ] {
        let mut client = Client::open(&app).await;
        client.say(&format!("40{}", json!({"pid": pid, "offset": "1.0123456789abcdef.1.x"}))).await;
        client.connected().await;
        assert!(client.pid.is_some_and(|new| json!(new) != pid), "{pid}");
    }
    app.assert_serves().await;
}

#[tokio::test]
async fn a_forged_or_foreign_offset_is_ignored() {
    let [one, two] = TestApp::several(&[]).await;
    let room = RoomId::parse("R", 128).unwrap();
    let foreign = Auth::new(["another-key-of-another-deployment-altogether"]);
    let far = Place { at: u64::MAX >> 1, ..Place::ZERO };
    for offset in [
        json!(far.sealed(&room, &foreign)),
        json!("999999.0123456789abcdef.9999999999999.c2VhbA"),
        json!("1.0123456789abcdef.1"),
        json!("..."),
        json!("x".repeat(10_000)),
        json!(12),
        json!({"offset": 1}),
    ] {
        let mut ada = Client::member(&one, "Ada", "R").await;
        let mut bo = Client::member(&two, "Bo", "R").await;
        bo.send("missed").await;
        let mut again = Client::open(&two).await;
        again.say(&format!("40{}", json!({"pid": ada.pid, "offset": offset}))).await;
        again.connected().await;
        assert_eq!(again.pid, ada.pid, "recovered with {offset}");
        assert_eq!(again.message().await, "missed", "{offset}");
        again.say("41").await;
        ada.say("41").await;
    }
}

#[tokio::test]
async fn where_the_log_was_trimmed_it_is_a_new_connection_and_update_socket_id_brings_the_rest() {
    let [one, two] = TestApp::several(&[
        ("LIMITS__HISTORY_ENTRIES", "5"),
        ("LIMITS__SEND_BURST", "1000"),
        ("LIMITS__COMMAND_BURST", "1000"),
    ])
    .await;
    let mut ada = Client::member(&one, "Ada", "R").await;
    let mut bo = Client::member(&two, "Bo", "R").await;
    drop(std::mem::replace(&mut ada.raw, one.connect().await));
    for number in 1..=300 {
        bo.send(&number.to_string()).await;
    }
    assert!(!ada.reconnect(&two).await, "too much was missed to go on");
    ada.emit("updateSocketId", &json!({"user": "Ada", "room": "R"})).await;
    let first: u64 = ada.message().await.parse().unwrap();
    assert!((100..=296).contains(&first), "{first}");
    for number in first + 1..=300 {
        assert_eq!(ada.message().await, number.to_string());
    }
    ada.emit("sendMessage", &json!("and on")).await;
    assert_eq!(ada.message().await, "and on");
}

#[tokio::test]
async fn where_the_log_was_forgotten_update_socket_id_brings_what_is_new_and_nothing_twice() {
    let [one, two] = TestApp::several(&[("LIMITS__HISTORY_IDLE_MS", "4000")]).await;
    let mut ada = Client::member(&one, "Ada", "R").await;
    let mut bo = Client::member(&two, "Bo", "R").await;
    for text in ["old 1", "old 2"] {
        bo.send(text).await;
    }
    assert_eq!(ada.messages(2).await, ["old 1", "old 2"]);
    drop(std::mem::replace(&mut ada.raw, one.connect().await));
    eventually("the log is forgotten", || async {
        Client::connect(&two).await.call("signin", &json!({"user": "Cy", "room": "R"})).await[1].is_null()
    })
    .await;
    bo.send("new").await;
    assert!(!ada.reconnect(&two).await);
    ada.emit("updateSocketId", &json!({"user": "Ada", "room": "R"})).await;
    assert_eq!(ada.message().await, "new");
}

#[tokio::test]
async fn a_client_without_a_pid_goes_on_live_by_update_socket_id() {
    let [one, two] = TestApp::several(&[]).await;
    let mut ada = Client::member(&one, "Ada", "R").await;
    let mut bo = Client::member(&two, "Bo", "R").await;
    bo.send("missed by an old client").await;
    ada.pid = None;
    assert!(!ada.reconnect(&two).await);
    ada.call("updateSocketId", &json!({"user": "Ada", "room": "R"})).await;
    bo.send("live").await;
    assert_eq!(ada.message().await, "live");
}

#[tokio::test]
async fn without_a_record_update_socket_id_goes_on_from_the_clients_own_position() {
    let [one, two] = TestApp::several(&[]).await;
    let mut ada = Client::member(&one, "Ada", "R").await;
    let mut bo = Client::member(&two, "Bo", "R").await;
    bo.send("had").await;
    assert_eq!(ada.message().await, "had");
    drop(std::mem::replace(&mut ada.raw, one.connect().await));
    for text in ["missed 1", "missed 2"] {
        bo.send(text).await;
    }
    // A connection that never was in a room has a name of ours and no record.
    ada.pid = Client::connect(&one).await.pid;
    assert!(!ada.reconnect(&two).await);
    ada.emit("updateSocketId", &json!({"user": "Ada", "room": "R"})).await;
    assert_eq!(ada.messages(2).await, ["missed 1", "missed 2"]);
    // Its position is one in that room, and counts once.
    ada.pid = Client::connect(&one).await.pid;
    assert!(!ada.reconnect(&two).await);
    ada.call("updateSocketId", &json!({"user": "Ada", "room": "another"})).await;
    bo.send("not there").await;
    ada.assert_quiet().await;
}

#[tokio::test]
async fn with_the_setting_off_nothing_is_resumed() {
    let [one, two] = TestApp::several(&[("SOCKETIO__RESUME", "false")]).await;
    let mut ada = Client::member(&one, "Ada", "R").await;
    assert_eq!(ada.pid, None);
    let mut bo = Client::member(&two, "Bo", "R").await;
    bo.send("missed").await;
    assert_eq!(ada.message().await, "missed");
    assert_eq!(ada.offset, None);
    ada.pid = Some(Pid::new(7, &Auth::new(["a-key-that-the-instances-of-a-test-share"])).as_str().to_owned());
    assert!(!ada.reconnect(&two).await);
}

#[tokio::test]
async fn who_comes_back_within_the_grace_is_not_announced() {
    let [one, two] = TestApp::several(&[]).await;
    let mut witness = Client::member(&two, "Wil", "R").await;
    let mut ada = Client::member(&one, "Ada", "R").await;
    assert_eq!(witness.notification().await.1, "Ada just entered the room");
    assert!(ada.reconnect(&two).await);
    ada.call("updateSocketId", &json!({"user": "Ada", "room": "R"})).await;
    ada.send("back").await;
    assert_eq!(witness.event().await[1]["text"], "back");
}

#[tokio::test]
async fn a_long_way_back_comes_in_order_and_once() {
    let [one, two] = TestApp::several(&[("LIMITS__SEND_BURST", "1000"), ("LIMITS__PAGE_ENTRIES", "20")]).await;
    let mut ada = Client::member(&one, "Ada", "R").await;
    let mut bo = Client::member(&two, "Bo", "R").await;
    one.kill().await;
    for number in 1..=150 {
        bo.send(&number.to_string()).await;
    }
    assert!(ada.reconnect(&two).await);
    bo.send("151").await;
    let expected: Vec<String> = (1..=151).map(|number| number.to_string()).collect();
    assert_eq!(ada.messages(151).await, expected);
    ada.assert_quiet().await;
}

#[tokio::test]
async fn a_message_that_was_edited_meanwhile_comes_as_it_is_now() {
    let [one, two] = TestApp::several(&[]).await;
    let mut ada = Client::member(&one, "Ada", "R").await;
    let mut nat = two.member("Nat", "R").await;
    one.kill().await;
    for (id, command) in [
        json!({"type": "send", "key": "1", "text": "first"}),
        json!({"type": "send", "key": "2", "text": "second"}),
        json!({"type": "edit", "key": "3", "target": 1, "text": "first, better"}),
        json!({"type": "delete", "key": "4", "target": 2}),
        json!({"type": "send", "key": "5", "text": "third"}),
    ]
    .into_iter()
    .enumerate()
    {
        let mut command = command;
        command["room"] = json!("R");
        command["id"] = json!(id + 10);
        nat.say(&command).await;
        nat.hear_type("sent").await;
    }
    assert!(ada.reconnect(&two).await);
    assert_eq!(ada.messages(2).await, ["first, better", "third"]);
    ada.assert_quiet().await;
}

#[tokio::test]
async fn a_message_that_was_edited_far_behind_it_comes_in_its_place_too() {
    let settings = [("LIMITS__PAGE_ENTRIES", "20"), ("LIMITS__SEND_BURST", "1000"), ("LIMITS__COMMAND_BURST", "1000")];
    let [one, two] = TestApp::several(&settings).await;
    let mut ada = Client::member(&one, "Ada", "R").await;
    let mut nat = two.member("Nat", "R").await;
    one.kill().await;
    let mut expected = Vec::new();
    let mut next_id = 10;
    let mut says = async |command: Value| {
        let mut command = command;
        next_id += 1;
        command["room"] = json!("R");
        command["id"] = json!(next_id);
        command["key"] = json!(next_id.to_string());
        nat.say(&command).await;
        nat.hear_type("sent").await;
    };
    for number in 1..=150 {
        says(json!({"type": "send", "text": number.to_string()})).await;
        expected.push(number.to_string());
    }
    // In the first page, in a later one, twice, and one that is gone in the end.
    for (target, text) in [(1, "one"), (50, "fifty"), (2, "two"), (2, "two again"), (3, "three")] {
        says(json!({"type": "edit", "target": target, "text": text})).await;
        expected[target - 1] = text.to_owned();
    }
    says(json!({"type": "delete", "target": 3})).await;
    expected.remove(2);
    assert!(ada.reconnect(&two).await);
    assert_eq!(ada.messages(149).await, expected);
    ada.assert_quiet().await;
}

#[tokio::test]
async fn a_renewal_that_waits_for_the_store_ends_without_a_word_of_the_client() {
    let mut faulty = None;
    // No ping within an hour, so that nothing but the renewal wakes the client's task.
    let quiet = [("HEARTBEAT_MS", "3600000"), ("HEARTBEAT_TIMEOUT_MS", "3600000")];
    let app = TestApp::over(&quiet, |store, feed| {
        let (between, feed) = Faulty::new(store, feed, 1, Spoil::default());
        faulty = Some(Arc::clone(&between));
        (between as Arc<dyn Store>, feed)
    })
    .await;
    let store = faulty.unwrap();
    let ada = Client::member(&app, "Ada", "R").await;
    store.hold_records();
    let (mut recalls, mut keeps) = (store.recalls(), store.keeps());
    let (recalled, kept) = (*recalls.borrow(), *keeps.borrow());
    tokio::time::pause();
    tokio::time::advance(Duration::from_millis(RENEW_MS + 1_000)).await;
    tokio::time::resume();
    within(recalls.wait_for(|recalls| *recalls > recalled)).await.unwrap();
    store.answer_records();
    within(keeps.wait_for(|keeps| *keeps > kept)).await.unwrap();
    drop(ada);
}
