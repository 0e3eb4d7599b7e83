//! What the feature `conformance` serves, case by case as the suites of the two protocols try it: an Engine.IO echo at
//! `/engine.io/`, and an application that answers at `/socket.io/`, over the codec and the transports of the chat.
#![cfg(feature = "conformance")]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

mod common;

use common::{Answer, BINARY, Frame, Raw, TEXT, TestApp, lines, within};
use serde_json::{Value, json};

const ENGINE: &str = "/engine.io/?EIO=4&transport=";
const SOCKET: &str = "/socket.io/?EIO=4&transport=websocket";

async fn get(app: &TestApp, query: &str) -> Answer {
    app.get(&format!("{ENGINE}{query}")).await
}

async fn post(app: &TestApp, query: &str, body: &str) -> Answer {
    let length = body.len();
    let head = format!("POST {ENGINE}{query} HTTP/1.1\r\nHost: {}\r\nContent-Length: {length}", app.address);
    app.request(format!("{head}\r\n\r\n{body}")).await
}

fn text(answer: &Answer) -> &str {
    std::str::from_utf8(&answer.body).unwrap()
}

/// Opens a polling session; the query of its requests.
async fn session(app: &TestApp) -> String {
    let answer = get(app, "polling").await;
    let open: Value = serde_json::from_str(text(&answer).strip_prefix('0').unwrap()).unwrap();
    format!("polling&sid={}", open["sid"].as_str().unwrap())
}

/// The next frame that isn't a ping. Pings are answered.
async fn next(raw: &mut Raw) -> Frame {
    loop {
        let frame = raw.next_frame().await.expect("the connection goes on");
        if frame.payload != b"2" {
            return frame;
        }
        raw.frame(TEXT, "3").await;
    }
}

async fn hear(raw: &mut Raw) -> String {
    let frame = next(raw).await;
    assert_eq!(frame.opcode, TEXT, "{frame:?}");
    String::from_utf8(frame.payload).unwrap()
}

async fn opened(app: &TestApp, path: &str) -> Raw {
    let mut raw = app.websocket_at(path).await;
    let open = hear(&mut raw).await;
    let open: Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
    assert_eq!(open["upgrades"], json!([]));
    raw
}

/// A client of the root namespace, behind its `auth` event.
async fn connected(app: &TestApp) -> Raw {
    let mut raw = opened(app, SOCKET).await;
    raw.frame(TEXT, "40").await;
    assert!(hear(&mut raw).await.starts_with("40{\"sid\":\""));
    assert_eq!(hear(&mut raw).await, r#"42["auth",{}]"#);
    raw
}

async fn closes(app: &TestApp, packet: &str) {
    let mut raw = connected(app).await;
    raw.frame(TEXT, packet).await;
    assert_eq!(raw.closed_with().await, 1002, "{packet}");
}

#[tokio::test]
async fn the_handshake_is_as_the_suite_wants_it() {
    let app = TestApp::start().await;
    let answer = get(&app, "polling").await;
    let open: Value = serde_json::from_str(text(&answer).strip_prefix('0').unwrap()).unwrap();
    let settings = json!([open["upgrades"], open["pingInterval"], open["pingTimeout"], open["maxPayload"]]);
    assert_eq!(settings, json!([["websocket"], 300, 200, 1_000_000]));
    opened(&app, &format!("{ENGINE}websocket")).await;
    for path in [
        "/engine.io/?transport=polling",
        "/engine.io/?EIO=abc&transport=polling",
        "/engine.io/?EIO=4",
        "/engine.io/?EIO=4&transport=abc",
        "/engine.io/?transport=websocket",
        "/engine.io/?EIO=abc&transport=websocket",
    ] {
        assert_eq!(app.get(path).await.status, 400, "{path}");
    }
    assert_eq!(post(&app, "polling", "").await.status, 400);
}

#[tokio::test]
async fn payloads_come_back_over_http() {
    let app = TestApp::start().await;
    let query = session(&app).await;
    for payload in ["4hello", "4test1\u{1e}4test2\u{1e}4test3", "4hello\u{1e}bAQIDBA=="] {
        let answer = post(&app, &query, payload).await;
        assert_eq!((answer.status, text(&answer)), (200, "ok"));
        let mut back = String::new();
        while back.len() < payload.len() {
            let answer = get(&app, &query).await;
            if text(&answer) == "2" {
                post(&app, &query, "3").await;
                continue;
            }
            back.push_str(if back.is_empty() { "" } else { "\u{1e}" });
            back.push_str(text(&answer));
        }
        assert_eq!(back, payload);
    }
}

#[tokio::test]
async fn a_session_ends_by_bad_packets_by_its_client_and_by_silence() {
    let app = TestApp::start().await;
    let bad = session(&app).await;
    assert_eq!(post(&app, &bad, "abc").await.status, 400);
    assert_eq!(get(&app, &bad).await.status, 400);
    let closed = session(&app).await;
    let (poll, end) = tokio::join!(get(&app, &closed), async { post(&app, &closed, "1").await });
    assert_eq!((end.status, poll.status, text(&poll)), (200, 200, "6"));
    assert_eq!(get(&app, &closed).await.status, 400);
    let silent = session(&app).await;
    assert_eq!(text(&get(&app, &silent).await), "2");
    within(async { while get(&app, &silent).await.status == 200 {} }).await;
    let mut raw = opened(&app, &format!("{ENGINE}websocket")).await;
    loop {
        match raw.next_frame().await {
            Some(frame) if frame.opcode == TEXT => assert_eq!(frame.payload, b"2"),
            closed => break assert!(closed.is_some()),
        }
    }
}

#[tokio::test]
async fn messages_come_back_over_a_websocket() {
    let app = TestApp::start().await;
    let mut raw = opened(&app, &format!("{ENGINE}websocket")).await;
    raw.frame(TEXT, "4hello").await;
    assert_eq!(hear(&mut raw).await, "4hello");
    raw.frame(BINARY, [1, 2, 3, 4]).await;
    let back = next(&mut raw).await;
    assert_eq!((back.opcode, &back.payload[..]), (BINARY, &[1, 2, 3, 4][..]));
    for packet in ["abc", "1"] {
        let mut raw = opened(&app, &format!("{ENGINE}websocket")).await;
        raw.frame(TEXT, packet).await;
        raw.closed_with().await;
    }
}

#[tokio::test]
async fn a_session_moves_to_a_websocket() {
    let app = TestApp::start().await;
    let query = session(&app).await;
    let sid = query.rsplit('=').next().unwrap();
    let upgrade = format!("{ENGINE}websocket&sid={sid}");
    let mut raw = app.websocket_at(&upgrade).await;
    raw.frame(TEXT, "2probe").await;
    assert_eq!(hear(&mut raw).await, "3probe");
    raw.frame(TEXT, "5").await;
    raw.frame(TEXT, "4hello").await;
    assert_eq!(hear(&mut raw).await, "4hello");
    assert_eq!(get(&app, &query).await.status, 400);
    let mut request = app.upgrade();
    request[0] = format!("GET {upgrade} HTTP/1.1");
    let mut second = app.connect().await;
    second.send(lines(&request)).await;
    assert_eq!(second.answer().await.status, 101);
    assert_eq!(second.closed_with().await, 1002);
}

#[tokio::test]
async fn namespaces_are_connected_with_their_auth() {
    let app = TestApp::start().await;
    let mut raw = opened(&app, SOCKET).await;
    raw.frame(TEXT, r#"40{"token":"123"}"#).await;
    assert!(hear(&mut raw).await.starts_with("40{\"sid\":\""));
    assert_eq!(hear(&mut raw).await, r#"42["auth",{"token":"123"}]"#);
    raw.frame(TEXT, r#"40/custom,{"token":"abc"}"#).await;
    assert!(hear(&mut raw).await.starts_with("40/custom,{\"sid\":\""));
    assert_eq!(hear(&mut raw).await, r#"42/custom,["auth",{"token":"abc"}]"#);
    raw.frame(TEXT, "40/random").await;
    assert_eq!(hear(&mut raw).await, r#"44/random,{"message":"Invalid namespace"}"#);
    raw.frame(TEXT, "41/custom,").await;
    raw.frame(TEXT, r#"42["message","message to main namespace"]"#).await;
    assert_eq!(hear(&mut raw).await, r#"42["message-back","message to main namespace"]"#);
    // A client that left goes on being pinged.
    raw.frame(TEXT, "41").await;
    let ping = loop {
        let frame = raw.next_frame().await.unwrap();
        if frame.opcode == TEXT {
            break frame.payload;
        }
    };
    assert_eq!(ping, b"2");
    let mut raw = opened(&app, SOCKET).await;
    raw.frame(TEXT, "4abc").await;
    assert_eq!(raw.closed_with().await, 1002);
    // Nobody waits longer than a second for a client to connect.
    let mut silent = opened(&app, SOCKET).await;
    within(async {
        while silent.next_frame().await.is_some_and(|frame| frame.opcode == TEXT) {
            silent.try_send(common::frame(0x80 | TEXT, b"3")).await;
        }
    })
    .await;
}

#[tokio::test]
async fn events_and_answers_come_back_with_their_attachments() {
    let app = TestApp::start().await;
    let mut raw = connected(&app).await;
    raw.frame(TEXT, r#"42["message",1,"2",{"3":[true]}]"#).await;
    assert_eq!(hear(&mut raw).await, r#"42["message-back",1,"2",{"3":[true]}]"#);
    raw.frame(TEXT, r#"42456["message-with-ack",1,"2",{"3":[false]}]"#).await;
    assert_eq!(hear(&mut raw).await, r#"43456[1,"2",{"3":[false]}]"#);
    let holes = r#"{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}"#;
    for (sent, back) in [
        (format!(r#"452-["message",{holes}]"#), format!(r#"452-["message-back",{holes}]"#)),
        (format!(r#"452-789["message-with-ack",{holes}]"#), format!("462-789[{holes}]")),
    ] {
        raw.frame(TEXT, sent).await;
        raw.frame(BINARY, [1, 2, 3]).await;
        raw.frame(BINARY, [4, 5, 6]).await;
        assert_eq!(hear(&mut raw).await, back);
        assert_eq!(next(&mut raw).await.payload, [1, 2, 3]);
        assert_eq!(next(&mut raw).await.payload, [4, 5, 6]);
    }
}

#[tokio::test]
async fn what_is_no_packet_closes_the_connection() {
    let app = TestApp::start().await;
    for packet in
        ["4abc", "42{}", r#"42abc["message-with-ack",1,"2",{"3":[false]}]"#, "40", r#"42/custom,["message"]"#, "44{}"]
    {
        closes(&app, packet).await;
    }
    let mut raw = connected(&app).await;
    raw.frame(TEXT, r#"451-["message",{"_placeholder":true,"num":0}]"#).await;
    raw.frame(TEXT, r#"42["message"]"#).await;
    assert_eq!(raw.closed_with().await, 1002);
}
