//! The tutorial's events.

use serde_json::{Value, json};

use crate::client::Client;
use crate::common::{TestApp, within};
use crate::redis_server::RedisServer;

const PLAIN: &[(&str, &str)] = &[("SOCKETIO__RESUME", "false")];

#[tokio::test]
async fn a_connection_is_opened_and_confirmed() {
    let app = TestApp::start().await;
    let mut raw = app.websocket_at(crate::client::WEBSOCKET).await;
    let open = String::from_utf8(raw.next_frame().await.unwrap().payload).unwrap();
    let open: Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
    assert_eq!(open["upgrades"], json!([]));
    assert_eq!(
        [&open["pingInterval"], &open["pingTimeout"], &open["maxPayload"]],
        [&json!(25_000), &json!(10_000), &json!(65_536)]
    );
    let mut client = Client::connect(&app).await;
    assert!(client.pid.is_some());
    client.assert_quiet().await;
}

#[tokio::test]
async fn the_first_in_a_room_gets_null_and_the_next_one_its_history() {
    let app = TestApp::with(PLAIN).await;
    let mut ada = Client::connect(&app).await;
    assert_eq!(ada.call("signin", &json!({"user": "Ada", "room": "R"})).await, json!([null, null]));
    ada.send("one").await;
    ada.send("two").await;
    let mut bo = Client::connect(&app).await;
    let messages = json!([{"user": "Ada", "text": "one"}, {"user": "Ada", "text": "two"}]);
    let answer = bo.call("signin", &json!({"user": "Bo", "room": "R"})).await;
    assert_eq!(answer, json!([null, {"room": "R", "messages": messages}]));
}

#[tokio::test]
async fn without_settings_the_wire_is_the_tutorials_to_the_byte() {
    let app = TestApp::with(PLAIN).await;
    let mut ada = Client::open(&app).await;
    ada.say("40").await;
    let confirmed = ada.hear().await;
    let sid = confirmed.strip_prefix(r#"40{"sid":""#).and_then(|rest| rest.strip_suffix(r#""}"#));
    assert!(sid.is_some_and(|sid| sid.len() == 20), "{confirmed}");
    ada.say(r#"420["signin",{"user":"Ada","room":"R"}]"#).await;
    assert_eq!(ada.hear().await, "430[null,null]");
    let mut bo = Client::member(&app, "Bo", "R").await;
    let entered = r#"42["notification",{"title":"Someone's here","description":"Bo just entered the room"}]"#;
    assert_eq!(ada.hear().await, entered);
    ada.say(r#"421["sendMessage","a \"text\" / ü 🎉"]"#).await;
    let message = r#"42["message",{"user":"Ada","text":"a \"text\" / ü 🎉"}]"#;
    let mut heard = [ada.hear().await, ada.hear().await];
    heard.sort();
    assert_eq!(heard, [message, "431[]"]);
    assert_eq!(bo.hear().await, message);
    bo.say("41").await;
    let left = r#"42["notification",{"title":"Someone just left","description":"Bo just left the room"}]"#;
    assert_eq!(ada.hear().await, left);
}

#[tokio::test]
async fn a_message_carries_its_position_and_where_asked_for_more_fields() {
    let app = TestApp::with(&[("SOCKETIO__EXTRA_FIELDS", "true")]).await;
    let mut ada = Client::member(&app, "Ada", "R").await;
    ada.emit("sendMessage", &json!("one")).await;
    let event = ada.event().await;
    assert_eq!((&event[1]["user"], &event[1]["text"], &event[1]["offset"]), (&json!("Ada"), &json!("one"), &json!(1)));
    assert!(event[1]["at"].as_u64().is_some() && event[1]["id"].as_str().is_some(), "{event}");
    assert!(event[2].as_str().is_some_and(|place| place.starts_with("1.")), "{event}");
    let mut bo = Client::connect(&app).await;
    let answer = bo.call("signin", &json!({"user": "Bo", "room": "R"})).await;
    assert_eq!(answer[1]["messages"][0], event[1]);
}

#[tokio::test]
async fn nobody_is_told_that_they_came_themselves() {
    let app = TestApp::start().await;
    let mut ada = Client::member(&app, "Ada", "R").await;
    let mut bo = Client::member(&app, "Bo", "R").await;
    assert_eq!(ada.notification().await, ("Someone's here".to_owned(), "Bo just entered the room".to_owned()));
    bo.assert_quiet().await;
}

#[tokio::test]
async fn two_people_of_one_name_are_two_members() {
    let app = TestApp::start().await;
    let mut first = Client::member(&app, "Ada", "R").await;
    let mut second = Client::member(&app, "Ada", "R").await;
    assert_eq!(first.notification().await.1, "Ada just entered the room");
    let mut native = app.signed_in("Nat").await;
    native.say(&json!({"type": "join", "id": 2, "room": "R"})).await;
    assert_eq!(native.hear_type("joined").await["member_count"], 3);
    second.send("from the second").await;
    assert_eq!(first.message().await, "from the second");
    second.say("41").await;
    assert_eq!(first.notification().await.1, "Nat just entered the room");
    assert_eq!(first.notification().await.1, "Ada just left the room");
    first.send("the first is still there").await;
}

#[tokio::test]
async fn a_second_sign_in_leaves_the_first_room() {
    let app = TestApp::start().await;
    let mut witness = Client::member(&app, "Wil", "one").await;
    let mut ada = Client::member(&app, "Ada", "one").await;
    assert_eq!(witness.notification().await.1, "Ada just entered the room");
    ada.call("signin", &json!({"user": "Ada", "room": "two"})).await;
    assert_eq!(witness.notification().await.1, "Ada just left the room");
    witness.send("only for room one").await;
    ada.send("only for room two").await;
    ada.assert_quiet_but_for("only for room two").await;
    witness.assert_quiet_but_for("only for room one").await;
}

#[tokio::test]
async fn signing_in_again_under_the_same_name_reads_the_room_afresh_and_announces_nothing() {
    let app = TestApp::start().await;
    let mut witness = Client::member(&app, "Wil", "R").await;
    let mut ada = Client::member(&app, "Ada", "R").await;
    assert_eq!(witness.notification().await.1, "Ada just entered the room");
    ada.send("one").await;
    assert_eq!(witness.message().await, "one");
    let answer = ada.call("signin", &json!({"user": "Ada", "room": "R"})).await;
    assert_eq!(answer[1]["messages"], json!([{"user": "Ada", "text": "one"}]));
    ada.send("two").await;
    assert_eq!(witness.event().await[1]["text"], "two", "and no notification before it");
}

#[tokio::test]
async fn signing_in_under_another_name_makes_another_of_one() {
    let app = TestApp::with(&[("PRESENCE__COALESCE_MS", "1")]).await;
    let mut witness = Client::member(&app, "Wil", "R").await;
    let mut ada = Client::member(&app, "Ada", "R").await;
    assert_eq!(witness.notification().await.1, "Ada just entered the room");
    ada.call("signin", &json!({"user": "Bea", "room": "R"})).await;
    ada.send("who am I").await;
    loop {
        let event = witness.event().await;
        if event[0] == "message" {
            assert_eq!(event[1]["user"], "Bea");
            break;
        }
    }
}

#[tokio::test]
async fn update_socket_id_goes_on_without_a_word_to_the_others() {
    let app = TestApp::start().await;
    let mut witness = Client::member(&app, "Wil", "R").await;
    let mut native = app.member("Nat", "R").await;
    let mut ada = Client::connect(&app).await;
    assert_eq!(ada.call("updateSocketId", &json!({"user": "Ada", "room": "R"})).await, json!([]));
    ada.send("here again").await;
    loop {
        let event = witness.event().await;
        assert_ne!(event[1]["description"], "Ada just entered the room");
        if event[0] == "message" {
            assert_eq!(event[1], json!({"user": "Ada", "text": "here again"}));
            break;
        }
    }
    let joined = native.hear_type("presence").await;
    assert_eq!(joined["joined"][0]["name"], "Ada", "native clients list who is there");
    // Without asking for an answer there is none.
    let mut bo = Client::connect(&app).await;
    bo.emit("updateSocketId", &json!({"user": "Bo", "room": "R"})).await;
    bo.send("me too").await;
}

#[tokio::test]
async fn native_and_socketio_clients_are_in_one_room() {
    let app = TestApp::start().await;
    let mut ada = Client::member(&app, "Ada", "R").await;
    let mut nat = app.member("Nat", "R").await;
    assert_eq!(ada.notification().await, ("Someone's here".to_owned(), "Nat just entered the room".to_owned()));
    ada.send("from Socket.IO").await;
    let heard = nat.hear_type("message").await;
    assert_eq!((&heard["text"], &heard["user"]["name"]), (&json!("from Socket.IO"), &json!("Ada")));
    nat.say(&json!({"type": "send", "id": 3, "room": "R", "key": "k", "text": "from the native side"})).await;
    nat.hear_type("sent").await;
    assert_eq!(ada.messages(2).await, ["from Socket.IO", "from the native side"]);
    nat.say(&json!({"type": "leave", "id": 4, "room": "R"})).await;
    assert_eq!(ada.notification().await, ("Someone just left".to_owned(), "Nat just left the room".to_owned()));
}

#[tokio::test]
async fn edits_deletions_and_reactions_do_not_disturb() {
    let app = TestApp::with(PLAIN).await;
    let mut ada = Client::member(&app, "Ada", "R").await;
    let mut nat = app.member("Nat", "R").await;
    ada.notification().await;
    for (id, command) in [
        json!({"type": "send", "key": "1", "text": "first"}),
        json!({"type": "send", "key": "2", "text": "second"}),
        json!({"type": "send", "key": "3", "text": "third"}),
        json!({"type": "edit", "key": "4", "target": 1, "text": "first, better"}),
        json!({"type": "delete", "key": "5", "target": 2}),
        json!({"type": "react", "key": "6", "target": 3, "emoji": "👍", "on": true}),
        json!({"type": "typing"}),
        json!({"type": "read", "offset": 3}),
        json!({"type": "send", "key": "7", "text": "last"}),
    ]
    .into_iter()
    .enumerate()
    {
        let mut command = command;
        command["room"] = json!("R");
        command["id"] = json!(id + 10);
        nat.say(&command).await;
    }
    assert_eq!(ada.messages(4).await, ["first", "second", "third", "last"]);
    ada.assert_quiet().await;
    let mut late = Client::connect(&app).await;
    let answer = late.call("signin", &json!({"user": "Late", "room": "R"})).await;
    let texts: Vec<_> = answer[1]["messages"].as_array().unwrap().iter().map(|message| &message["text"]).collect();
    assert_eq!(texts, ["first, better", "third", "last"]);
}

#[tokio::test]
async fn what_could_not_be_stored_is_answered_with_an_error_and_the_client_stays() {
    let redis = RedisServer::start().await;
    let app = TestApp::with(&[("STORE__URL", &redis.url())]).await;
    let mut ada = Client::member(&app, "Ada", "R").await;
    ada.send("before").await;
    let port = redis.stop();
    for (event, argument) in [("sendMessage", json!("meanwhile")), ("signin", json!({"user": "Ada", "room": "S"}))] {
        let answer = ada.call(event, &argument).await;
        assert!(answer[0].is_string() && answer[1].is_null(), "{event}: {answer}");
    }
    let _redis = RedisServer::on(port, &[]).await;
    within(async {
        while ada.call("sendMessage", &json!("after")).await != json!([]) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    // Rooms are heard again a moment later.
    let mut bo = Client::connect(&app).await;
    let answer = within(async {
        loop {
            let answer = bo.call("signin", &json!({"user": "Bo", "room": "R"})).await;
            if answer[0].is_null() {
                break answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(answer[1]["messages"][0]["text"], "after", "the same client, in the same room: {answer}");
}

#[tokio::test]
async fn a_disconnect_packet_is_announced_at_once_and_an_abrupt_end_after_the_grace() {
    let app = TestApp::with(&[("PRESENCE__GRACE_MS", "400")]).await;
    let mut witness = Client::member(&app, "Wil", "R").await;
    for (how, leaves) in [("disconnect", true), ("abrupt", false)] {
        let mut ada = Client::member(&app, "Ada", "R").await;
        assert_eq!(witness.notification().await.1, "Ada just entered the room");
        let started = tokio::time::Instant::now();
        if leaves {
            ada.say("41").await;
        } else {
            drop(ada);
        }
        assert_eq!(witness.notification().await.1, "Ada just left the room", "{how}");
        if !leaves {
            assert!(started.elapsed().as_millis() >= 400, "the grace had not passed");
        }
    }
}

#[tokio::test]
async fn after_a_disconnect_the_same_transport_can_connect_again() {
    let app = TestApp::start().await;
    let mut ada = Client::member(&app, "Ada", "R").await;
    ada.say("41").await;
    ada.say("40").await;
    ada.connected().await;
    let answer = ada.call("sendMessage", &json!("to nobody")).await;
    assert_eq!(answer, json!(["User session not found."]));
    ada.call("signin", &json!({"user": "Ada", "room": "R"})).await;
    ada.send("back").await;
}

#[tokio::test]
async fn joins_and_leaves_are_told_up_to_two_hundred_members() {
    let app = TestApp::with(&[("PRESENCE__LIST_UP_TO", "3"), ("PRESENCE__LIST_AGAIN_AT", "2")]).await;
    let mut ada = Client::member(&app, "Ada", "R").await;
    let mut others = Vec::new();
    for name in ["Bo", "Cy", "Di", "Ed"] {
        others.push(app.member(name, "R").await);
    }
    ada.send("all are there").await;
    let mut told = Vec::new();
    loop {
        let event = ada.event().await;
        if event[0] == "message" {
            break;
        }
        told.push(event[1]["description"].as_str().unwrap().to_owned());
    }
    assert!(told.len() <= 2, "{told:?}");
    assert!(told.iter().all(|line| line.starts_with("Bo ") || line.starts_with("Cy ")), "{told:?}");
}

impl Client {
    /// Its own message is the only thing that comes.
    async fn assert_quiet_but_for(&mut self, text: &str) {
        let event = self.event().await;
        assert_eq!(event[1]["text"], text);
        self.assert_quiet().await;
    }
}
