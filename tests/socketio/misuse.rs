//! What clients should not send: each has its outcome, and nobody else notices.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Client, WEBSOCKET};
use crate::common::{TEXT, TestApp, frame, lines};

const PROTOCOL: u16 = 1002;

/// Sends packets on a connection of its own and expects it to be closed.
async fn closes(app: &TestApp, packets: &[&str], code: u16) {
    let mut client = Client::connect(app).await;
    for packet in packets {
        client.raw.try_send(frame(0x80 | TEXT, packet.as_bytes())).await;
    }
    assert_eq!(client.raw.closed_with().await, code, "{packets:?}");
}

#[tokio::test]
async fn what_is_no_packet_ends_the_connection() {
    let app = TestApp::start().await;
    for packet in [
        "",
        "abc",
        "0{}",
        "7",
        "2probe",
        "2",
        "4",
        "4x",
        "4abc",
        "47",
        "42",
        "42{}",
        "42[]",
        "42[",
        "42[null]",
        "42[{}]",
        r#"42["connect"]"#,
        r#"42abc["message"]"#,
        r#"42["a"]trailing"#,
        r#"4299999999999999999999["a"]"#,
        "40",
        "40[]",
        r#"40"x""#,
        "41{}",
        "43",
        "43[]",
        "431{}",
        "44",
        r#"44{"message":"x"}"#,
        r#"45["a"]"#,
        r#"45-["a"]"#,
        r#"4511-["a"]"#,
        r#"4599999999999999999999-["a"]"#,
        "46[]",
        "461-[]",
        r#"42/other,["a"]"#,
        "41/other",
        "é",
    ] {
        closes(&app, &[packet], PROTOCOL).await;
    }
    app.assert_serves().await;
}

#[tokio::test]
async fn nothing_but_a_connect_may_come_first() {
    let app = TestApp::start().await;
    for packet in [r#"42["signin",{}]"#, "41", "431[]", r#"421["sendMessage","x"]"#] {
        let mut client = Client::open(&app).await;
        client.say(packet).await;
        assert_eq!(client.raw.closed_with().await, PROTOCOL, "{packet}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_connect_in_time_is_closed() {
    let app = TestApp::with(&[("HELLO_TIMEOUT_MS", "200")]).await;
    let mut client = Client::open(&app).await;
    assert_eq!(client.raw.closed_with().await, 4005);
}

#[tokio::test]
async fn a_client_that_does_not_answer_pings_is_closed_and_one_that_does_is_not() {
    let app = TestApp::with(&[("HEARTBEAT_MS", "100"), ("HEARTBEAT_TIMEOUT_MS", "3000")]).await;
    let mut silent = Client::connect(&app).await;
    let mut good = Client::member(&app, "Ada", "R").await;
    let pings = async {
        for _ in 0..10 {
            let frame = good.raw.next_frame().await.unwrap();
            assert_eq!(frame.payload, b"2");
            good.say("3").await;
        }
    };
    let (code, ()) = tokio::join!(silent.raw.closed_with(), pings);
    assert_eq!(code, 4003);
    good.send("alive").await;
}

#[tokio::test]
async fn an_engine_that_closes_is_closed() {
    let app = TestApp::start().await;
    closes(&app, &["1"], 1000).await;
}

#[tokio::test]
async fn other_namespaces_are_refused_and_the_connection_stays() {
    let app = TestApp::start().await;
    let mut client = Client::open(&app).await;
    client.say(r#"40/admin,{"token":"x"}"#).await;
    assert_eq!(client.hear().await, r#"44/admin,{"message":"Invalid namespace"}"#);
    client.say("40").await;
    client.connected().await;
    client.say("40/random").await;
    assert_eq!(client.hear().await, r#"44/random,{"message":"Invalid namespace"}"#);
    client.call("signin", &json!({"user": "Ada", "room": "R"})).await;
}

#[tokio::test]
async fn unknown_events_are_ignored_or_answered_with_an_error() {
    let app = TestApp::start().await;
    let mut client = Client::member(&app, "Ada", "R").await;
    client.emit("drawing", &json!({"x": 1})).await;
    client.say("42[7,8]").await;
    assert_eq!(client.call("drawing", &json!(null)).await, json!(["There is no such event here."]));
    client.say(r#"4290["message",{"user":"Ada","text":"forged"}]"#).await;
    assert_eq!(client.answer(90).await, json!(["There is no such event here."]));
    client.say(r#"4377["an answer to nothing"]"#).await;
    client.assert_quiet().await;
}

#[tokio::test]
async fn every_argument_of_every_event_may_be_missing_or_wrong() {
    let app = TestApp::start().await;
    let mut client = Client::member(&app, "Ada", "R").await;
    let required = "Username and room are required";
    let seats: Vec<(Value, String)> = vec![
        (json!({}), required.into()),
        (Value::Null, required.into()),
        (json!([]), required.into()),
        (json!("Ada"), required.into()),
        (json!(7), required.into()),
        (json!(["Ada", "R"]), required.into()),
        (json!({"user": null, "room": null}), required.into()),
        (json!({"user": "", "room": "  "}), required.into()),
        (json!({"room": "R"}), "Username is required".into()),
        (json!({"user": "", "room": "R"}), "Username is required".into()),
        (json!({"user": "Ada"}), "Room is required".into()),
        (json!({"user": "Ada", "room": "\t"}), "Room is required".into()),
        (json!({"user": ["Ada"], "room": "R"}), "Username must be a text".into()),
        (json!({"user": "Ada", "room": ["R", "S"]}), "Room must be a text".into()),
        (json!({"user": "Ada", "room": {"a": 1}}), "Room must be a text".into()),
        (json!({"user": "Ada", "room": 5}), "Room must be a text".into()),
        (json!({"user": "Ada", "room": true}), "Room must be a text".into()),
        (json!({"user": "A".repeat(65), "room": "R"}), "Username is longer than 64 characters".into()),
        (json!({"user": "Ada", "room": "R".repeat(129)}), "Room is longer than 128 characters".into()),
        (json!({"user": "A\u{202e}da", "room": "R"}), "Username holds a character that is not allowed: U+202E".into()),
        (json!({"user": "Ada", "room": "a\nb"}), "Room holds a character that is not allowed: U+000A".into()),
    ];
    for event in ["signin", "updateSocketId"] {
        for (argument, error) in &seats {
            assert_eq!(client.call(event, argument).await, json!([error]), "{event} {argument}");
            client.emit(event, argument).await;
        }
        // No argument at all, and an object that names a field twice.
        client.say(&format!("4277[\"{event}\"]")).await;
        assert_eq!(client.answer(77).await, json!([required]));
        client.say(&format!("4278[\"{event}\",{{\"user\":\"a\",\"user\":\"b\",\"room\":\"R\"}}]")).await;
        assert_eq!(client.answer(78).await, json!(["Username and room can't be read."]));
    }
    for text in [json!(7), json!(null), json!({"a": 1}), json!(["x"]), json!(true)] {
        assert_eq!(client.call("sendMessage", &text).await, json!(["The message must be a text."]), "{text}");
        client.emit("sendMessage", &text).await;
    }
    for (text, error) in [
        (json!(""), "The message is empty.".to_owned()),
        (json!(" \n"), "The message is empty.".to_owned()),
        (json!("x".repeat(4_001)), "The message is longer than 4000 characters.".to_owned()),
        (json!("a\u{0}b"), "The message holds a character that is not allowed: U+0000.".to_owned()),
    ] {
        assert_eq!(client.call("sendMessage", &text).await, json!([error]));
    }
    client.say("4279[\"sendMessage\"]").await;
    assert_eq!(client.answer(79).await, json!(["The message must be a text."]));
    client.send("still in the room").await;
}

#[tokio::test]
async fn deep_json_is_only_json() {
    let app = TestApp::start().await;
    let mut client = Client::member(&app, "Ada", "R").await;
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    client.say(&format!("4271[\"signin\",{deep}]")).await;
    assert_eq!(client.answer(71).await, json!(["Username and room are required"]));
    client.say(&format!("4272[\"signin\",{{\"user\":\"Ada\",\"room\":{deep}}}]")).await;
    assert_eq!(client.answer(72).await, json!(["Room must be a text"]));
    client.say(&format!("4273[\"signin\",{{\"user\":\"Ada\",\"room\":\"R\",\"more\":{deep}}}]")).await;
    client.answer(73).await;
    client.say(&format!("4274[\"sendMessage\",\"fine\",{deep}]")).await;
    assert_eq!(client.answer(74).await, json!([]));
    closes(&app, &[&format!("42[\"signin\",{}", "[".repeat(30_000))], PROTOCOL).await;
}

#[tokio::test]
async fn attachments_are_awaited_and_then_refused() {
    let app = TestApp::start().await;
    let mut client = Client::member(&app, "Ada", "R").await;
    client.say(r#"452-7["sendMessage",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#).await;
    client.say_bytes(&[1, 2, 3]).await;
    client.say_bytes(&[]).await;
    assert_eq!(client.answer(7).await, json!(["The message must be a text."]));
    // Heartbeats go on while an attachment is awaited; nothing else does.
    client.say(r#"451-["sendMessage",{"_placeholder":true,"num":0}]"#).await;
    client.say("3").await;
    client.say(r#"42["sendMessage","too early"]"#).await;
    assert_eq!(client.raw.closed_with().await, PROTOCOL);
    let mut client = Client::connect(&app).await;
    client.say_bytes(b"an attachment of nothing").await;
    assert_eq!(client.raw.closed_with().await, PROTOCOL);
    app.assert_serves().await;
}

#[tokio::test]
async fn a_message_needs_a_sign_in() {
    let app = TestApp::start().await;
    let mut client = Client::connect(&app).await;
    assert_eq!(client.call("sendMessage", &json!("x")).await, json!(["User session not found."]));
    client.emit("sendMessage", &json!("without asking")).await;
    client.assert_quiet().await;
}

#[tokio::test]
async fn a_client_that_is_too_fast_is_told_so() {
    let app = TestApp::with(&[("LIMITS__COMMANDS_PER_SECOND", "1"), ("LIMITS__COMMAND_BURST", "5")]).await;
    let mut client = Client::member(&app, "Ada", "R").await;
    let mut refused = 0;
    for _ in 0..20 {
        let answer = client.call("sendMessage", &json!("x")).await;
        refused += u32::from(answer == json!(["Too many events. Slow down."]));
    }
    // Five at once, of which one was the sign-in, and one more for each second that this takes.
    assert!((1..=16).contains(&refused), "{refused}");
}

#[tokio::test]
async fn messages_pipelined_behind_sign_ins_do_not_pass_the_limit_of_new_rooms() {
    let app = TestApp::with(&[("LIMITS__NEW_ROOMS_PER_MINUTE", "3"), ("LIMITS__COMMAND_BURST", "100")]).await;
    let mut client = Client::connect(&app).await;
    let mut stored = Vec::new();
    for number in 0..10 {
        let room = format!("room {number}");
        let sign_in = client.start("signin", &json!({"user": "Eve", "room": room})).await;
        let message = client.start("sendMessage", &json!(room)).await;
        let (joined, sent) = (client.answer(sign_in).await, client.answer(message).await);
        // Whoever is refused stays in the room before, and its message goes there.
        assert_eq!(joined[0] == Value::Null, number < 3, "{joined}");
        assert_eq!(sent, json!([]));
        stored.push(room);
    }
    let mut reader = Client::connect(&app).await;
    let answer = reader.call("signin", &json!({"user": "Ada", "room": "room 2"})).await;
    let texts: Vec<_> = answer[1]["messages"].as_array().unwrap().iter().map(|message| &message["text"]).collect();
    assert_eq!(json!(texts), json!(stored[2..]));
}

#[tokio::test]
async fn thousands_of_answers_may_be_awaited_at_once() {
    let app = TestApp::with(&[
        ("LIMITS__COMMANDS_PER_SECOND", "1000000"),
        ("LIMITS__COMMAND_BURST", "1000000"),
        ("LIMITS__SEND_BURST", "1000000"),
    ])
    .await;
    let mut client = Client::member(&app, "Ada", "R").await;
    let packets: Vec<u8> = (0..5_000)
        .flat_map(|ack| frame(0x80 | TEXT, format!("42{}[\"sendMessage\",\"{ack}\"]", 100_000 + ack).as_bytes()))
        .collect();
    client.raw.send(packets).await;
    let mut next = 100_000;
    while next < 105_000 {
        let packet = client.hear().await;
        if packet.starts_with("43") {
            assert_eq!(packet, format!("43{next}[]"));
            next += 1;
        }
    }
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_closed() {
    let app = TestApp::with(&[
        ("LIMITS__OUTBOX_BYTES", "65536"),
        ("LIMITS__COMMANDS_PER_SECOND", "1000000"),
        ("LIMITS__COMMAND_BURST", "1000000"),
        ("LIMITS__SEND_BURST", "1000000"),
    ])
    .await;
    let mut slow = Client::member(&app, "Slo", "R").await;
    let mut nat = app.member("Nat", "R").await;
    let text = "x".repeat(4_000);
    for number in 0.. {
        nat.say(&json!({"type": "send", "id": 3, "room": "R", "key": number.to_string(), "text": text})).await;
        nat.hear_type("sent").await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        if app.get("/health/ready").await.json()["sockets"] == 1 || number > 5_000 {
            break;
        }
    }
    let code = loop {
        let frame = slow.raw.next_frame().await;
        match frame {
            Some(frame) if frame.opcode == 8 => break u16::from_be_bytes([frame.payload[0], frame.payload[1]]),
            Some(_) => {}
            // The kernel had not taken the close frame when the linger was over.
            None => break 4008,
        }
    };
    assert_eq!(code, 4008);
}

#[tokio::test]
async fn the_query_is_checked() {
    let app = TestApp::start().await;
    for (query, code) in [
        ("", 0),
        ("?", 0),
        ("?EIO=4", 0),
        ("?EIO=4&transport=abc", 0),
        ("?EIO=4&transport=polling", 0),
        ("?transport=websocket", 5),
        ("?EIO=3&transport=websocket", 5),
        ("?EIO=abc&transport=websocket", 5),
        ("?EIO=4&transport=websocket&sid=unknown", 1),
    ] {
        let mut request = app.upgrade();
        request[0] = format!("GET /socket.io/{query} HTTP/1.1");
        let answer = app.request(lines(&request)).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(code)), "{query}");
    }
    let answer = app.get(WEBSOCKET).await;
    assert_eq!(answer.status, 426, "without an upgrade");
}

#[tokio::test]
async fn foreign_origins_are_refused_as_at_the_native_door() {
    let app = TestApp::with(&[("HTTP__ALLOWED_ORIGINS", "https://chat.example")]).await;
    for (origin, status) in [("https://evil.example", 403), ("null", 403), ("https://chat.example", 101)] {
        let mut request = app.upgrade();
        request[0] = format!("GET {WEBSOCKET} HTTP/1.1");
        request.push(format!("Origin: {origin}"));
        assert_eq!(app.request(lines(&request)).await.status, status, "{origin}");
    }
}

#[tokio::test]
async fn connections_are_counted_with_those_of_the_native_door() {
    let app = TestApp::with(&[("LIMITS__CONNECTIONS", "2")]).await;
    let (_one, _two) = (Client::connect(&app).await, app.websocket().await);
    let mut request = app.upgrade();
    request[0] = format!("GET {WEBSOCKET} HTTP/1.1");
    let answer = app.request(lines(&request)).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
}

#[tokio::test]
async fn the_door_can_be_shut() {
    let app = TestApp::with(&[("SOCKETIO__ENABLED", "false")]).await;
    let mut request = app.upgrade();
    request[0] = format!("GET {WEBSOCKET} HTTP/1.1");
    assert_eq!(app.request(lines(&request)).await.status, 404);
}
