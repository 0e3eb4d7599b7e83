//! What went wrong with the tutorial's own server, one test each: all of it was measured there.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::client::Client;
use crate::common::{CLOSE, TEXT, TestApp, frame};
use crate::redis_server::RedisServer;

const FAST: &[(&str, &str)] = &[
    ("LIMITS__COMMANDS_PER_SECOND", "1000000"),
    ("LIMITS__COMMAND_BURST", "1000000"),
    ("LIMITS__SEND_BURST", "1000000"),
];

fn texts(answer: &Value) -> Vec<String> {
    let messages = answer[1]["messages"].as_array().cloned().unwrap_or_default();
    messages.iter().map(|message| message["text"].as_str().unwrap().to_owned()).collect()
}

async fn history(app: &TestApp, room: &str) -> Vec<String> {
    texts(&Client::connect(app).await.call("signin", &json!({"user": "Reader", "room": room})).await)
}

#[tokio::test]
async fn fault_1_messages_did_not_reach_other_instances() {
    let [one, two] = TestApp::several(&[]).await;
    let mut ada = Client::member(&one, "Ada", "R").await;
    let mut bo = Client::member(&two, "Bo", "R").await;
    for number in 0..20 {
        ada.send(&number.to_string()).await;
    }
    let expected: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    assert_eq!(bo.messages(20).await, expected);
}

#[tokio::test]
async fn fault_2_concurrent_messages_were_lost_from_the_history() {
    let apps: [TestApp; 2] = TestApp::several(FAST).await;
    let mut senders = Vec::new();
    for number in 0..10 {
        senders.push(Client::member(&apps[number % 2], "Ada", "R").await);
    }
    for number in 0..10 {
        for (index, sender) in senders.iter_mut().enumerate() {
            sender.emit("sendMessage", &json!(format!("{index}:{number}"))).await;
        }
    }
    for sender in &mut senders {
        sender.call("nothing", &json!(null)).await;
    }
    let kept: BTreeSet<String> = history(&apps[0], "R").await.into_iter().collect();
    assert_eq!(kept.len(), 100);
}

#[tokio::test]
async fn fault_3_an_answer_came_before_anything_was_stored() {
    let [one, two] = TestApp::several(&[]).await;
    let mut ada = Client::member(&one, "Ada", "R").await;
    for number in 0..20 {
        ada.send(&number.to_string()).await;
    }
    one.kill().await;
    assert_eq!(history(&two, "R").await.len(), 20, "whatever was answered is there");
}

#[tokio::test]
async fn fault_4_a_join_raced_with_messages() {
    let app = TestApp::with(FAST).await;
    let mut sender = Client::member(&app, "Ada", "R").await;
    let stop = tokio_util::sync::CancellationToken::new();
    let sending = tokio::spawn({
        let stop = stop.clone();
        async move {
            let mut number = 0;
            while !stop.is_cancelled() {
                sender.send(&number.to_string()).await;
                number += 1;
            }
            sender.send("last").await;
        }
    });
    let mut joiners = Vec::new();
    for _ in 0..30 {
        let mut client = Client::connect(&app).await;
        let ack = client.start("signin", &json!({"user": "Bo", "room": "R"})).await;
        let mut live = Vec::new();
        // What comes before the answer would be seen twice, as it is in the history.
        let answer: Value = loop {
            let packet = client.hear().await;
            match packet.strip_prefix(&format!("43{ack}")) {
                Some(answer) => break serde_json::from_str(answer).unwrap(),
                None => live.push(packet),
            }
        };
        assert_eq!(live, Vec::<String>::new());
        joiners.push((client, texts(&answer)));
    }
    stop.cancel();
    sending.await.unwrap();
    for (client, mut seen) in joiners {
        let mut client = client;
        while seen.last().is_none_or(|text| text != "last") {
            seen.push(client.message().await);
        }
        seen.pop();
        let numbers: Vec<u64> = seen.iter().map(|text| text.parse().unwrap()).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "twice or missed: {numbers:?}");
    }
}

#[tokio::test]
async fn fault_5_a_lost_connection_lost_messages() {
    let [one, two] = TestApp::several(&[]).await;
    let mut ada = Client::member(&one, "Ada", "R").await;
    let mut bo = Client::member(&two, "Bo", "R").await;
    one.kill().await;
    for number in 1..=5 {
        bo.send(&number.to_string()).await;
    }
    assert!(ada.reconnect(&two).await);
    assert_eq!(ada.messages(5).await, ["1", "2", "3", "4", "5"]);
}

#[tokio::test]
async fn fault_6_single_frames_ended_the_process() {
    let app = TestApp::start().await;
    let mut witness = Client::member(&app, "Wil", "R").await;
    for packet in [
        r#"42["sendMessage","without an answer"]"#,
        r#"42["signin",{"user":"Ada","room":"R"}]"#,
        r#"42["signin"]"#,
        r#"42["signin",null]"#,
        r#"42999["signin"]"#,
        r#"42999["signin",null]"#,
        r#"42["updateSocketId"]"#,
        r#"42999["updateSocketId",null]"#,
        r#"42999["signin",{"user":"Ada","room":"confab"}]"#,
    ] {
        let mut client = Client::connect(&app).await;
        client.raw.try_send(frame(0x80 | TEXT, packet.as_bytes())).await;
        client.assert_serves_behind().await;
    }
    witness.send("still here").await;
}

#[tokio::test]
async fn fault_6_an_existing_key_of_another_type_ended_the_process() {
    let redis = RedisServer::start().await;
    let app = TestApp::with(&[("STORE__URL", &redis.url())]).await;
    let mut witness = Client::member(&app, "Wil", "R").await;
    // The tutorial's rooms were keys of the same Redis: here no room's name is one.
    redis.cli(&["LPUSH", "taken", "x"]).await;
    Client::member(&app, "Ada", "taken").await.send("the list of this name is another's").await;
    assert_eq!(redis.cli(&["TYPE", "taken"]).await.trim(), "list");
    // Under a key of our own it makes that room unusable, and nothing else.
    let mut ada = Client::member(&app, "Ada", "spoilt").await;
    redis.cli(&["DEL", "confab:{spoilt}:meta"]).await;
    redis.cli(&["LPUSH", "confab:{spoilt}:meta", "x"]).await;
    let is_error = |answer: &Value| answer.as_array().is_some_and(|args| args.len() == 1 && args[0].is_string());
    let answer = ada.call("sendMessage", &json!("not stored")).await;
    assert!(is_error(&answer), "{answer}");
    ada.emit("sendMessage", &json!("without an answer")).await;
    let seat = json!({"user": "Bo", "room": "spoilt"});
    let mut bo = Client::connect(&app).await;
    let answer = bo.call("signin", &seat).await;
    assert!(is_error(&answer), "{answer}");
    bo.emit("signin", &seat).await;
    bo.emit("updateSocketId", &seat).await;
    bo.assert_serves_behind().await;
    witness.send("still here").await;
}

#[tokio::test]
async fn fault_7_an_array_as_room_listened_to_several() {
    let app = TestApp::start().await;
    let mut spy = Client::connect(&app).await;
    let answer = spy.call("signin", &json!({"user": "Spy", "room": ["R", "S"]})).await;
    assert_eq!(answer, json!(["Room must be a text"]));
    let mut ada = Client::member(&app, "Ada", "R").await;
    ada.send("not for the spy").await;
    spy.assert_quiet().await;
}

#[tokio::test]
async fn fault_8_a_room_could_be_another_clients_socket() {
    let app = TestApp::start().await;
    let mut ada = Client::open(&app).await;
    ada.say("40").await;
    let sid = ada.connected().await["sid"].as_str().unwrap().to_owned();
    ada.call("signin", &json!({"user": "Ada", "room": "R"})).await;
    let mut other = Client::member(&app, "Eve", &sid).await;
    other.send("to one client alone").await;
    ada.assert_quiet().await;
}

#[tokio::test]
async fn fault_9_a_second_sign_in_stayed_in_the_first_room() {
    let app = TestApp::start().await;
    let mut ada = Client::member(&app, "Ada", "one").await;
    ada.call("signin", &json!({"user": "Ada", "room": "two"})).await;
    let mut bo = Client::member(&app, "Bo", "one").await;
    bo.send("in the first room").await;
    ada.assert_quiet().await;
}

#[tokio::test]
async fn fault_10_a_name_could_be_taken_over() {
    let app = TestApp::start().await;
    let mut ada = Client::member(&app, "Ada", "R").await;
    let mut other = Client::member(&app, "Ada", "S").await;
    ada.send("for R").await;
    other.send("for S").await;
    assert_eq!((history(&app, "R").await, history(&app, "S").await), (vec!["for R".into()], vec!["for S".into()]));
    other.say("41").await;
    ada.send("the first is still who she was").await;
}

#[tokio::test]
async fn fault_11_empty_names_and_rooms_were_taken() {
    let app = TestApp::start().await;
    let mut client = Client::connect(&app).await;
    for (user, room, error) in
        [("", "", "Username and room are required"), ("", "R", "Username is required"), ("Ada", "", "Room is required")]
    {
        assert_eq!(client.call("signin", &json!({"user": user, "room": room})).await, json!([error]));
    }
}

#[tokio::test]
async fn fault_12_script_in_names_rooms_and_texts_is_text() {
    let app = TestApp::start().await;
    let script = "<img src=x onerror=\"alert(1)\">";
    let mut ada = Client::member(&app, script, script).await;
    ada.send(script).await;
    let answer = Client::connect(&app).await.call("signin", &json!({"user": "Bo", "room": script})).await;
    assert_eq!(answer[1], json!({"room": script, "messages": [{"user": script, "text": script}]}), "as it was sent");
    let page = app.get("/").await;
    assert!(page.header("content-security-policy").unwrap().contains("require-trusted-types-for 'script'"));
}

#[tokio::test]
async fn fault_13_the_history_in_a_sign_in_had_no_end() {
    let app = TestApp::with(FAST).await;
    let mut ada = Client::member(&app, "Ada", "R").await;
    for number in 0..500 {
        ada.send(&format!("{number} {}", "x".repeat(500))).await;
    }
    let kept = history(&app, "R").await;
    assert!(kept.len() <= 200 && kept.iter().map(String::len).sum::<usize>() <= 64 * 1024, "{}", kept.len());
    assert!(kept.last().unwrap().starts_with("499 "), "the newest");
}

#[tokio::test]
async fn fault_14_rooms_came_back_different_from_each_instance() {
    let [one, two] = TestApp::several(&[]).await;
    let mut ada = Client::member(&one, "Ada", "R").await;
    let mut bo = Client::member(&two, "Bo", "R").await;
    for number in 0..10 {
        ada.send(&format!("Ada {number}")).await;
        bo.send(&format!("Bo {number}")).await;
    }
    let (first, second) = (history(&one, "R").await, history(&two, "R").await);
    assert_eq!(first.len(), 20);
    assert_eq!(first, second);
}

#[tokio::test]
async fn fault_15_there_was_no_drain() {
    let [one, two] = TestApp::several(&[("DRAIN__SPREAD_MS", "2000")]).await;
    let mut members = Vec::new();
    for _ in 0..10 {
        members.push(Client::member(&one, "Ada", "R").await);
    }
    one.drain.cancel();
    for member in &mut members {
        member.raw.try_send(frame(0x80 | TEXT, br#"4277["sendMessage","while it drains"]"#)).await;
    }
    let mut answered = 0;
    for member in &mut members {
        let code = loop {
            let frame = member.raw.next_frame().await.expect("it is closed with a code");
            answered += usize::from(frame.payload == b"4377[]");
            if frame.opcode == CLOSE {
                break u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
            }
        };
        assert_eq!(code, 4002);
    }
    one.ended().await;
    assert!(answered > 0, "not all are closed at once");
    assert!(history(&two, "R").await.len() >= answered, "whatever was answered is there");
}

#[tokio::test]
async fn fault_16_there_was_no_presence_over_instances() {
    let [one, two] = TestApp::several(&[]).await;
    let mut ada = Client::member(&one, "Ada", "R").await;
    let mut bo = Client::member(&two, "Bo", "R").await;
    assert_eq!(ada.notification().await.1, "Bo just entered the room");
    bo.say("41").await;
    assert_eq!(ada.notification().await.1, "Bo just left the room");
}

impl Client {
    /// Whatever came before, the client is served.
    async fn assert_serves_behind(&mut self) {
        let answer = self.call("signin", &json!({"user": "Ada", "room": "R"})).await;
        assert_eq!(answer[0], Value::Null);
    }
}
