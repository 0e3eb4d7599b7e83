//! HTTP long-polling: the cases of the Engine.IO protocol, good and bad, and the move to a WebSocket.

use serde_json::{Value, json};

use crate::client::Client;
use crate::common::{Answer, Raw, TEXT, TestApp, frame, lines};

const POLLING: &[(&str, &str)] = &[("SOCKETIO__POLLING", "true"), ("SOCKETIO__RESUME", "false")];

/// A session, and one connection for each of its two kinds of request, as browsers do.
struct Session {
    sid: String,
    open: Value,
    gets: Raw,
    posts: Raw,
}

fn get(app: &TestApp, query: &str) -> String {
    format!("GET /socket.io/?{query} HTTP/1.1\r\nHost: {}\r\n\r\n", app.address)
}

fn post(app: &TestApp, query: &str, body: &str) -> String {
    format!(
        "POST /socket.io/?{query} HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
        app.address,
        body.len()
    )
}

impl Session {
    async fn open(app: &TestApp) -> Self {
        let mut gets = app.connect().await;
        gets.send(get(app, "EIO=4&transport=polling")).await;
        let answer = gets.answer().await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; charset=UTF-8")));
        let packet = String::from_utf8(answer.body).unwrap();
        let open: Value = serde_json::from_str(packet.strip_prefix('0').expect(&packet)).unwrap();
        Self { sid: open["sid"].as_str().unwrap().to_owned(), open, gets, posts: app.connect().await }
    }

    fn query(&self) -> String {
        format!("EIO=4&transport=polling&sid={}", self.sid)
    }

    async fn ask(&mut self, app: &TestApp) {
        let query = self.query();
        self.gets.send(get(app, &query)).await;
    }

    async fn poll(&mut self, app: &TestApp) -> Answer {
        self.ask(app).await;
        self.gets.answer().await
    }

    async fn heard(&mut self, app: &TestApp) -> String {
        let answer = self.poll(app).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        String::from_utf8(answer.body).unwrap()
    }

    /// Polls until a packet has come, and returns everything from the beginning of it.
    async fn hears(&mut self, app: &TestApp, prefix: &str) -> String {
        loop {
            let payload = self.heard(app).await;
            if let Some(packet) = payload.split('\u{1e}').find(|packet| packet.starts_with(prefix)) {
                return packet.to_owned();
            }
        }
    }

    async fn post(&mut self, app: &TestApp, body: &str) -> Answer {
        let query = self.query();
        self.posts.send(post(app, &query, body)).await;
        self.posts.answer().await
    }

    async fn says(&mut self, app: &TestApp, body: &str) {
        let answer = self.post(app, body).await;
        assert_eq!((answer.status, &answer.body[..]), (200, &b"ok"[..]), "{answer:?}");
    }

    async fn member(app: &TestApp, user: &str) -> Self {
        let mut session = Self::open(app).await;
        session.says(app, "40").await;
        session.hears(app, "40{").await;
        session.says(app, &format!("420{}", json!(["signin", {"user": user, "room": "R"}]))).await;
        session.hears(app, "430[null").await;
        session
    }

    async fn is_gone(&mut self, app: &TestApp) {
        crate::client::eventually("the session is gone", || async {
            let answer = app.request(get(app, &self.query())).await;
            answer.status == 400
        })
        .await;
    }
}

#[tokio::test]
async fn a_session_is_opened_and_may_move() {
    let app = TestApp::with(POLLING).await;
    let session = Session::open(&app).await;
    let keys: Vec<_> = session.open.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["maxPayload", "pingInterval", "pingTimeout", "sid", "upgrades"]);
    assert_eq!(session.open["upgrades"], json!(["websocket"]));
}

#[tokio::test]
async fn polling_clients_chat_with_the_others() {
    let app = TestApp::with(POLLING).await;
    let mut ada = Session::member(&app, "Ada").await;
    let mut bo = Client::member(&app, "Bo", "R").await;
    let entered = r#"42["notification",{"title":"Someone's here","description":"Bo just entered the room"}]"#;
    assert_eq!(ada.heard(&app).await, entered);
    ada.says(&app, "421[\"sendMessage\",\"one\"]\u{1e}422[\"sendMessage\",\"two\"]").await;
    assert_eq!(ada.hears(&app, "432[").await, "432[]");
    assert_eq!(bo.messages(2).await, ["one", "two"]);
    bo.send("three").await;
    assert!(ada.hears(&app, "42[\"message\"").await.contains("\"user\":"));
    ada.says(&app, "41").await;
    assert_eq!(bo.notification().await.1, "Ada just left the room");
}

#[tokio::test]
async fn a_poll_waits_for_what_comes() {
    let app = TestApp::with(POLLING).await;
    let mut ada = Session::member(&app, "Ada").await;
    ada.ask(&app).await;
    let _bo = Client::member(&app, "Bo", "R").await;
    let answer = ada.gets.answer().await;
    assert!(String::from_utf8(answer.body).unwrap().contains("Bo just entered the room"));
}

#[tokio::test]
async fn a_poll_that_waits_takes_no_place_from_others() {
    let app = TestApp::with(&[("SOCKETIO__POLLING", "true"), ("HTTP__HANDSHAKES", "4")]).await;
    let mut waiting = Vec::new();
    for _ in 0..12 {
        let mut session = Session::open(&app).await;
        session.ask(&app).await;
        drop(std::mem::replace(&mut session.posts, app.connect().await));
        waiting.push(session.gets);
    }
    app.assert_serves().await;
}

#[tokio::test]
async fn heartbeats_come_by_polls_and_silence_ends_the_session() {
    let app = TestApp::with(&[
        ("SOCKETIO__POLLING", "true"),
        ("HEARTBEAT_MS", "100"),
        ("HEARTBEAT_TIMEOUT_MS", "2000"),
        ("HELLO_TIMEOUT_MS", "60000"),
    ])
    .await;
    let mut session = Session::open(&app).await;
    for _ in 0..5 {
        assert_eq!(session.heard(&app).await, "2");
        session.says(&app, "3").await;
    }
    session.is_gone(&app).await;
}

#[tokio::test]
async fn what_is_no_payload_ends_the_session() {
    let app = TestApp::with(POLLING).await;
    for body in ["abc", "", "40\u{1e}abc", "b*", "0{}"] {
        let mut session = Session::open(&app).await;
        let answer = session.post(&app, body).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(3)), "{body:?}");
        session.is_gone(&app).await;
    }
    for body in ["2probe", "42[\"signin\",{}]", "4x", "bAQIDBA=="] {
        let mut session = Session::open(&app).await;
        session.says(&app, body).await;
        session.is_gone(&app).await;
    }
    app.assert_serves().await;
}

#[tokio::test]
async fn two_polls_at_once_end_the_session() {
    let app = TestApp::with(POLLING).await;
    let mut session = Session::open(&app).await;
    session.ask(&app).await;
    let query = session.query();
    // Whichever comes first waits, and the other one is refused.
    let second = app.request(get(&app, &query)).await;
    let (refused, closed) = match second.status {
        400 => (second, session.gets.answer().await),
        _ => (session.gets.answer().await, second),
    };
    assert_eq!((refused.status, closed.status, &closed.body[..]), (400, 200, &b"1"[..]));
    session.is_gone(&app).await;
}

#[tokio::test]
async fn a_poll_that_is_cut_off_ends_the_session() {
    let app = TestApp::with(&[("SOCKETIO__POLLING", "true"), ("PRESENCE__GRACE_MS", "100")]).await;
    let mut witness = Client::member(&app, "Wil", "R").await;
    let mut session = Session::member(&app, "Ada").await;
    assert_eq!(witness.notification().await.1, "Ada just entered the room");
    session.ask(&app).await;
    session.gets = app.connect().await;
    assert_eq!(witness.notification().await.1, "Ada just left the room");
    session.is_gone(&app).await;
}

#[tokio::test]
async fn a_client_that_closes_ends_its_poll_with_nothing() {
    let app = TestApp::with(POLLING).await;
    let mut session = Session::open(&app).await;
    session.ask(&app).await;
    session.says(&app, "1").await;
    let answer = session.gets.answer().await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"6"[..]));
    session.is_gone(&app).await;
}

#[tokio::test]
async fn the_poll_behind_the_clients_own_end_is_answered_once() {
    let app = TestApp::with(&[("SOCKETIO__POLLING", "true"), ("LIMITS__CONNECTIONS", "1")]).await;
    // A session is remembered for a second, which may have passed on a machine that had other things to do.
    for _ in 0..20 {
        let mut session = Session::open(&app).await;
        session.says(&app, "1").await;
        // The place of the session is free as soon as its task has ended.
        crate::client::eventually("the session has ended", || async {
            app.get("/health/ready").await.json()["sockets"] == 0
        })
        .await;
        let late = session.poll(&app).await;
        if late.status == 200 {
            assert_eq!(late.body, b"6");
            assert_eq!(session.poll(&app).await.status, 400);
            return;
        }
    }
    panic!("none of the late polls was answered");
}

#[tokio::test]
async fn a_poll_behind_what_ends_the_session_is_refused() {
    let app = TestApp::with(POLLING).await;
    for _ in 0..20 {
        let mut session = Session::open(&app).await;
        let query = session.query();
        session.posts.send(post(&app, &query, "abc") + &get(&app, &query)).await;
        assert_eq!(session.posts.answer().await.status, 400);
        assert_eq!(session.posts.answer().await.status, 400);
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_the_session_stays() {
    let app = TestApp::with(POLLING).await;
    let mut session = Session::member(&app, "Ada").await;
    let long = format!("4277[\"sendMessage\",\"{}\"]", "x".repeat(70_000));
    let answer = app.request(post(&app, &session.query(), &long)).await;
    assert_eq!((answer.status, answer.code()), (413, "too_large".to_owned()));
    session.says(&app, "4278[\"sendMessage\",\"short\"]").await;
    assert_eq!(session.hears(&app, "4378[").await, "4378[]");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let app = TestApp::with(&[("SOCKETIO__POLLING", "true"), ("LIMITS__UNFINISHED_MESSAGE_MS", "200")]).await;
    let mut session = Session::open(&app).await;
    let whole = post(&app, &session.query(), "40");
    session.posts.send(&whole[..whole.len() - 1]).await;
    assert_eq!(session.posts.answer().await.status, 408);
}

#[tokio::test]
async fn requests_that_fit_no_session_are_refused() {
    let app = TestApp::with(POLLING).await;
    let session = Session::open(&app).await;
    let own = session.query();
    for (request, code) in [
        (get(&app, "transport=polling"), 5),
        (get(&app, "EIO=abc&transport=polling"), 5),
        (get(&app, "EIO=4"), 0),
        (get(&app, "EIO=4&transport=abc"), 0),
        (get(&app, "EIO=4&transport=polling&sid=unknown"), 1),
        (post(&app, "EIO=4&transport=polling", "40"), 2),
        (post(&app, "EIO=4&transport=polling&sid=unknown", "40"), 1),
        (post(&app, &own, "").replace("POST", "PUT"), 3),
        (post(&app, "EIO=4&transport=polling", "").replace("POST", "PUT"), 2),
    ] {
        let answer = app.request(&request).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(code)), "{request}");
    }
}

#[tokio::test]
async fn foreign_pages_may_not_poll_and_allowed_ones_may_read_the_answer() {
    let app = TestApp::with(&[
        ("SOCKETIO__POLLING", "true"),
        ("HTTP__ALLOWED_ORIGINS", "https://chat.example"),
        ("HTTP__ALLOW_NO_ORIGIN", "false"),
    ])
    .await;
    let ask = |field: &str| get(&app, "EIO=4&transport=polling").replace("\r\n\r\n", &format!("\r\n{field}\r\n\r\n"));
    for (field, status) in [
        ("Origin: https://evil.example", 403),
        ("Origin: null", 403),
        ("Accept: */*", 403),
        ("Sec-Fetch-Site: cross-site", 403),
        ("Sec-Fetch-Site: same-origin", 200),
        ("Origin: https://chat.example", 200),
    ] {
        let answer = app.request(ask(field)).await;
        assert_eq!(answer.status, status, "{field}");
        let read = answer.header("access-control-allow-origin");
        assert_eq!(read, field.strip_prefix("Origin: ").filter(|_| status == 200), "{field}");
    }
    let asked = ask("Origin: https://chat.example").replace("GET", "OPTIONS");
    let answer = app.request(asked).await;
    assert_eq!((answer.status, answer.header("access-control-allow-methods")), (204, Some("GET, POST")));
}

#[tokio::test]
async fn polling_sessions_count_as_connections() {
    let app = TestApp::with(&[("SOCKETIO__POLLING", "true"), ("LIMITS__CONNECTIONS", "1")]).await;
    let mut session = Session::open(&app).await;
    assert_eq!(app.get("/socket.io/?EIO=4&transport=polling").await.status, 503);
    session.says(&app, "1").await;
    crate::client::eventually("its place is free again", || async {
        app.get("/socket.io/?EIO=4&transport=polling").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_drain_ends_polling_sessions_too() {
    let app = TestApp::with(&[("SOCKETIO__POLLING", "true"), ("DRAIN__SPREAD_MS", "50")]).await;
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(Session::member(&app, "Ada").await);
    }
    for session in &mut sessions {
        session.ask(&app).await;
    }
    // By the time that this is answered the polls wait.
    app.assert_serves().await;
    app.drain.cancel();
    for session in &mut sessions {
        let body = String::from_utf8(session.gets.answer().await.body).unwrap();
        assert!(body == "1" || body.starts_with("42[\"notification\""), "{body}");
    }
    app.ended().await;
}

/// Opens a WebSocket for a session; the status of the answer.
async fn try_upgrade(app: &TestApp, sid: &str) -> (u16, Raw) {
    let mut raw = app.connect().await;
    let mut request = app.upgrade();
    request[0] = format!("GET /socket.io/?EIO=4&transport=websocket&sid={sid} HTTP/1.1");
    raw.send(lines(&request)).await;
    let status = raw.answer().await.status;
    (status, raw)
}

#[tokio::test]
async fn a_session_moves_to_a_websocket_and_loses_nothing() {
    let app = TestApp::with(POLLING).await;
    let mut ada = Session::member(&app, "Ada").await;
    let mut bo = Client::member(&app, "Bo", "R").await;
    ada.hears(&app, "42[\"notification\"").await;
    ada.ask(&app).await;
    let (status, mut raw) = try_upgrade(&app, &ada.sid).await;
    assert_eq!(status, 101);
    raw.frame(TEXT, "2probe").await;
    assert_eq!(raw.next_frame().await.unwrap().payload, b"3probe");
    assert_eq!(ada.gets.answer().await.body, b"6", "the poll that waits is let go");
    // What comes now, between the two, waits for the WebSocket.
    bo.send("in between").await;
    raw.frame(TEXT, "5").await;
    let heard = raw.next_frame().await.unwrap().payload;
    assert!(String::from_utf8(heard).unwrap().contains("in between"));
    raw.frame(TEXT, "4277[\"sendMessage\",\"over the WebSocket\"]").await;
    while bo.message().await != "over the WebSocket" {}
    // The session belongs to the WebSocket now.
    assert_eq!(app.request(get(&app, &ada.query())).await.status, 400);
    assert_eq!(ada.post(&app, "3").await.status, 400);
    bo.send("still there").await;
    loop {
        let heard = String::from_utf8(raw.next_frame().await.unwrap().payload).unwrap();
        if heard.contains("still there") {
            break;
        }
    }
}

#[tokio::test]
async fn a_second_websocket_for_a_session_is_closed_and_the_first_one_goes_on() {
    let app = TestApp::with(POLLING).await;
    let ada = Session::member(&app, "Ada").await;
    let (status, mut first) = try_upgrade(&app, &ada.sid).await;
    assert_eq!(status, 101);
    for step in ["2probe", "5", "4277[\"sendMessage\",\"x\"]"] {
        let (status, mut second) = try_upgrade(&app, &ada.sid).await;
        assert_eq!((status, second.closed_with().await), (101, 1002), "before {step}");
        first.frame(TEXT, step).await;
    }
    loop {
        let heard = first.next_frame().await.unwrap().payload;
        if heard == b"4377[]" {
            break;
        }
    }
    let (status, mut second) = try_upgrade(&app, &ada.sid).await;
    assert_eq!((status, second.closed_with().await), (101, 1002));
}

#[tokio::test]
async fn polls_while_a_websocket_is_tried_wait_a_little_and_are_refused_once_it_has_the_session() {
    let app = TestApp::with(POLLING).await;
    let mut ada = Session::member(&app, "Ada").await;
    let (_, mut raw) = try_upgrade(&app, &ada.sid).await;
    raw.frame(TEXT, "2probe").await;
    assert_eq!(raw.next_frame().await.unwrap().payload, b"3probe");
    let begun = tokio::time::Instant::now();
    for _ in 0..3 {
        assert_eq!(ada.heard(&app).await, "6");
    }
    assert!(begun.elapsed().as_millis() >= 150, "no spin: {:?}", begun.elapsed());
    raw.frame(TEXT, "5").await;
    assert_eq!(ada.poll(&app).await.status, 400);
}

#[tokio::test]
async fn a_websocket_that_does_not_probe_leaves_the_session_where_it_is() {
    let app = TestApp::with(POLLING).await;
    let mut ada = Session::member(&app, "Ada").await;
    for packets in [&["5"][..], &["2"], &["4hello"], &["2probe", "4hello"], &["2probe", "2probe"]] {
        let (status, mut raw) = try_upgrade(&app, &ada.sid).await;
        assert_eq!(status, 101, "{packets:?}");
        for packet in packets {
            raw.try_send(frame(0x80 | TEXT, packet.as_bytes())).await;
        }
        assert_eq!(raw.closed_with().await, 1002, "{packets:?}");
    }
    ada.says(&app, "4277[\"sendMessage\",\"still polling\"]").await;
    assert_eq!(ada.hears(&app, "4377[").await, "4377[]");
    assert_eq!(try_upgrade(&app, "unknown").await.0, 400);
}
