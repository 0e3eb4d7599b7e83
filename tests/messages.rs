//! Bad messages over real sockets: each is answered with its code, the socket goes on, and nobody else notices.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

mod common;

use std::collections::BTreeMap;

use common::{TEXT, TestApp, frame, within};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

/// Says something and expects the refusal with this code next.
async fn refused(client: &mut common::Raw, text: impl AsRef<[u8]>, code: &str) -> Value {
    client.frame(TEXT, text.as_ref()).await;
    loop {
        let object = client.hear().await;
        if object["type"] == "error" {
            assert_eq!(object["code"], code, "{}: {object}", String::from_utf8_lossy(text.as_ref()));
            assert!(!object["message"].as_str().unwrap().is_empty());
            return object;
        }
        assert!(matches!(object["type"].as_str(), Some("presence" | "message")), "{object}");
    }
}

#[tokio::test]
async fn bad_messages_are_refused_and_the_socket_goes_on() {
    let app = TestApp::start().await;
    let mut client = app.member("Mallory", "tea").await;
    let (witness, mut message) = (app.member("Witness", "tea").await, 0);
    let long = "x".repeat(5_000);
    let deep = format!(r#"{{"type":"pong","x":{}"#, "[".repeat(10_000));
    for (text, code) in [
        ("hello?", "bad_message"),
        ("{\"type\":\"send\",\"room\":\"tea\"", "bad_message"),
        (&*deep, "bad_message"),
        (r#"{"type":"pong","type":"pong"}"#, "bad_message"),
        (r#"{"type":{"a":1}}"#, "bad_message"),
        (r#"{"type":"read","room":"tea","offset":1e400}"#, "bad_message"),
        (r#"{"type":"read","room":"tea","offset":-1}"#, "bad_message"),
        (r#"{"type":"history","room":"tea","before":18446744073709551616}"#, "bad_message"),
        ("", "unknown_type"),
        (r#"{"type":"join","room":"\u0000"}"#, "bad_room"),
        (r#"{"type":"join","room":"a\nb"}"#, "bad_room"),
        (r#"{"type":"send","room":"tea","key":"k","text":"a\u0000b"}"#, "bad_text"),
        (r#"{"type":"send","room":"nowhere","key":"k","text":"t"}"#, "not_joined"),
        (r#"{"type":"leave","room":"nowhere"}"#, "not_joined"),
        (r#"{"type":"history","room":"nowhere"}"#, "not_joined"),
        (r#"{"type":"typing","room":"nowhere","id":4}"#, "not_joined"),
    ] {
        let text = if code == "unknown_type" { format!(r#"{{"type":"{long}"}}"#) } else { text.to_owned() };
        refused(&mut client, &text, code).await;
        // One good message between two bad ones: only bad ones in a row end the connection.
        message += 1;
        client
            .say(&json!({"type": "send", "id": message, "room": "tea", "key": message.to_string(), "text": "fine"}))
            .await;
        while client.hear().await["id"] != message {}
    }
    drop(witness);
    app.assert_serves().await;
}

#[tokio::test]
async fn ten_in_a_row_end_the_connection_with_4500() {
    let app = TestApp::start().await;
    let mut client = app.signed_in("Mallory").await;
    for _ in 0..10 {
        client.frame(TEXT, "{").await;
    }
    assert_eq!(client.closed_with().await, 4500);
    app.assert_serves().await;
}

#[tokio::test]
async fn everything_before_hello_is_refused() {
    let app = TestApp::start().await;
    let mut client = app.websocket().await;
    for command in [
        r#"{"type":"join","id":1,"room":"r"}"#,
        r#"{"type":"pong"}"#,
        r#"{"type":"typing","room":"r"}"#,
        r#"{"type":"no such command"}"#,
        r#"{"type":"join","room":""}"#,
        r#"{"type":"send","room":"r","key":"","text":"t"}"#,
    ] {
        refused(&mut client, command, "not_signed_in").await;
    }
    refused(&mut client, r#"{"type":"hello","name":""}"#, "bad_name").await;
}

#[tokio::test]
async fn without_hello_in_time_the_connection_ends_with_4005() {
    let app = TestApp::with(&[("HELLO_TIMEOUT_MS", "1000")]).await;
    let mut client = app.websocket().await;
    refused(&mut client, r#"{"type":"pong"}"#, "not_signed_in").await;
    assert_eq!(client.closed_with().await, 4005);
}

#[tokio::test]
async fn hostile_names_of_rooms_are_just_names() {
    let app = TestApp::start().await;
    let mut client = app.signed_in("Mallory").await;
    for room in ["*", "confab:*", "{x}", "../../etc/passwd", "__proto__", "room\\u05e9", "a b", "$(id)", "%s%n", "🍵"]
    {
        client.frame(TEXT, format!(r#"{{"type":"join","id":1,"room":"{room}"}}"#)).await;
        assert_eq!(client.hear_type("joined").await["id"], 1, "{room}");
        client.say(&json!({"type": "send", "id": 2, "room": serde_json::from_str::<String>(&format!("\"{room}\"")).unwrap(), "key": "k", "text": room})).await;
        let (one, other) = (client.hear().await, client.hear().await);
        let message = if one["type"] == "message" { one } else { other };
        assert_eq!(message["offset"], 1, "{room}: a room of its own");
    }
}

#[tokio::test]
async fn two_spellings_of_a_room_are_one_and_replies_use_the_canonical_one() {
    let app = TestApp::start().await;
    let mut nfc = app.member("Ada", "caf\u{e9}").await;
    let mut nfd = app.signed_in("Eve").await;
    nfd.say(&json!({"type": "join", "id": 1, "room": " cafe\u{301} "})).await;
    assert_eq!(nfd.hear_type("joined").await["room"], "caf\u{e9}");
    nfd.say(&json!({"type": "send", "id": 2, "room": "cafe\u{301}", "key": "k", "text": "e\u{301}"})).await;
    let message = nfc.hear_type("message").await;
    assert_eq!((&message["room"], &message["text"]), (&json!("caf\u{e9}"), &json!("e\u{301}")), "a text stays as sent");
}

#[tokio::test]
async fn a_name_of_ten_thousand_combining_marks_is_refused() {
    let app = TestApp::start().await;
    let mut client = app.websocket().await;
    let name = format!("a{}", "\u{300}".repeat(5_000));
    refused(&mut client, json!({"type": "hello", "id": 1, "name": name}).to_string(), "too_long").await;
}

#[tokio::test]
async fn ten_thousand_joins_cost_the_client_its_budget_and_nobody_else_anything() {
    let app = TestApp::start().await;
    let mut client = app.signed_in("Mallory").await;
    let joins =
        (0..10_000).map(|number| json!({"type": "join", "id": number, "room": format!("r{number}")}).to_string());
    let joins: Vec<_> = joins.collect();
    for frame in joins.chunks(500) {
        client.frame(TEXT, frame.join("\n")).await;
    }
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..10_000 {
        let reply = client.hear().await;
        let outcome = reply["code"].as_str().or(reply["type"].as_str()).unwrap();
        *outcomes.entry(outcome.to_owned()).or_default() += 1;
    }
    assert_eq!(outcomes.get("joined"), Some(&20), "new rooms per minute: {outcomes:?}");
    assert!(outcomes["rate_limited"] > 9_000, "{outcomes:?}");
    // Joins under way count as rooms, so a flood is refused for either reason.
    assert!(outcomes["overloaded"] + outcomes["too_many_rooms"] > 100, "{outcomes:?}");
    app.assert_serves().await;
}

#[tokio::test]
async fn a_flood_of_sends_is_refused_beyond_the_rates() {
    let app = TestApp::with(&[("LIMITS__SENDS_PER_SECOND", "5")]).await;
    let mut client = app.member("Mallory", "tea").await;
    for number in 0..1_000 {
        client
            .say(&json!({"type": "send", "id": number, "room": "tea", "key": number.to_string(), "text": "spam"}))
            .await;
    }
    let mut sent = 0;
    let mut answered = 0;
    while answered < 1_000 {
        let object = client.hear().await;
        match object["type"].as_str().unwrap() {
            "sent" => (sent, answered) = (sent + 1, answered + 1),
            "error" => {
                assert_eq!(object["code"], "rate_limited", "{object}");
                answered += 1;
            }
            _ => {}
        }
    }
    assert!((20..60).contains(&sent), "a burst of 20 and 5 a second: {sent}");
    app.assert_serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_sender_that_runs_far_ahead_costs_no_member_its_socket() {
    /// More than the feed of an instance and the outbox of a member hold together.
    const SENDS: usize = 60_000;
    let app = TestApp::with(&[
        ("LIMITS__SEND_BURST", "1000000"),
        ("LIMITS__COMMANDS_PER_SECOND", "1000000"),
        ("LIMITS__COMMAND_BURST", "1000000"),
    ])
    .await;
    let mut reading = Vec::new();
    for number in 0..10 {
        let mut member = app.member(&format!("Reader {number}"), "tea").await;
        reading.push(tokio::spawn(async move { entries_until(&mut member, SENDS).await }));
    }
    let sends =
        (0..SENDS).map(|n| json!({"type": "send", "room": "tea", "key": n.to_string(), "text": "go"}).to_string());
    let sends: Vec<u8> = sends.flat_map(|send| frame(0x80 | TEXT, send.as_bytes())).collect();
    let (mut answers, mut to_server) = app.member("Sender", "tea").await.tcp.into_split();
    // Read along, or the sender would be the one who is too slow.
    let answers = tokio::spawn(async move { tokio::io::copy(&mut answers, &mut tokio::io::sink()).await });
    within(to_server.write_all(&sends)).await.expect("the server takes all of it");
    for reader in reading {
        assert_eq!(within(reader).await.unwrap(), SENDS, "a member was closed");
    }
    answers.abort();
}

/// Reads frames until so many entries came, or the connection is closed.
async fn entries_until(member: &mut common::Raw, entries: usize) -> usize {
    let mut seen = 0;
    while seen < entries
        && let Some(frame) = member.next_frame().await
        && frame.opcode == TEXT
    {
        let text = String::from_utf8(frame.payload).unwrap();
        seen += text.lines().filter(|object| object.starts_with(r#"{"type":"message""#)).count();
    }
    seen
}
