//! What the feature `conformance` serves, case by case as the suites of the two protocols try it, in a process of its own:
//! an Engine.IO echo at `/engine.io/`, and an application that answers at `/socket.io/`, over the codec and the
//! transports of the chat. The cases of Engine.IO are tried at both.
#![cfg(feature = "conformance")]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

mod common;
#[path = "common/served.rs"]
mod served;

use std::rc::Rc;
use std::time::Duration;

use common::{Answer, BINARY, CLOSE, Frame, Raw, TEXT, TestApp, lines, within};
use serde_json::{Value, json};
use served::Served;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep};

/// What both suites expect the server to say of its heartbeat, in milliseconds.
const PING_INTERVAL_MS: u64 = 300;
const PING_TIMEOUT_MS: u64 = 200;

const ENGINE: &str = "/engine.io/";
const SOCKET: &str = "/socket.io/";
const WEBSOCKET: &str = "?EIO=4&transport=websocket";

/// Who connects to no namespace is closed with it.
const NO_HELLO: u16 = 4005;

/// How often a case is tried whose client must answer in time: a machine may hold the test up for longer than that.
const ATTEMPTS: usize = 20;

/// One test at a time, so that none holds the others up.
static ALONE: Mutex<()> = Mutex::const_new(());

/// The service with this build's features, started from outside.
struct Service {
    app: TestApp,
    _process: Served,
    _alone: MutexGuard<'static, ()>,
}

impl Service {
    async fn start() -> Self {
        let alone = ALONE.lock().await;
        let process = tokio::task::spawn_blocking(|| Served::start(&[])).await.unwrap();
        let app = TestApp::at(format!("127.0.0.1:{}", process.port).parse().unwrap());
        Self { app, _process: process, _alone: alone }
    }

    async fn get(&self, path: &str) -> Answer {
        self.app.get(path).await
    }

    async fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        let (address, length) = (self.app.address, body.len());
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}");
        self.app.request(format!("{head}\r\n\r\n{body}")).await
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, body).await
    }

    /// The status of a request for a WebSocket.
    async fn upgrade(&self, path: &str) -> (u16, Raw) {
        let mut request = self.app.upgrade();
        request[0] = format!("GET {path} HTTP/1.1");
        let mut raw = self.app.connect().await;
        raw.send(lines(&request)).await;
        (raw.answer().await.status, raw)
    }

    /// Opens a polling session; the path of its requests, and its name.
    async fn session(&self, at: &str) -> (String, String) {
        let path = format!("{at}?EIO=4&transport=polling");
        let answer = self.get(&path).await;
        assert_eq!(answer.status, 200);
        let open: Value = serde_json::from_str(text(&answer).strip_prefix('0').unwrap()).unwrap();
        let sid = open["sid"].as_str().unwrap().to_owned();
        (format!("{path}&sid={sid}"), sid)
    }

    /// Opens a session over a WebSocket.
    async fn opened(&self, at: &str) -> Raw {
        let mut raw = self.app.websocket_at(&format!("{at}{WEBSOCKET}")).await;
        let open = hear(&mut raw).await;
        let open: Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
        assert_eq!(settings(&open), json!([[], PING_INTERVAL_MS, PING_TIMEOUT_MS, 1_000_000]));
        raw
    }

    /// A client of the root namespace, behind its `auth` event.
    async fn connected(&self) -> Raw {
        let mut raw = self.opened(SOCKET).await;
        connect(&mut raw, "40", "40", "42[\"auth\",{}]").await;
        raw
    }

    async fn closes(&self, packet: &str) {
        let mut raw = self.connected().await;
        raw.frame(TEXT, packet).await;
        assert_eq!(raw.closed_with().await, 1002, "{packet}");
    }
}

/// Tries a case until it goes well. A client that is held up between two of its steps loses its session to the
/// heartbeat, which says nothing of the server; what goes wrong before a ping can be due is the server's fault at once.
async fn in_time<C: Future<Output = ()> + 'static>(case: impl Fn(Rc<Service>) -> C) {
    let service = Rc::new(Service::start().await);
    for attempt in 1.. {
        let began = Instant::now();
        let tried = async { spawn_local(case(Rc::clone(&service))).await };
        let Err(failure) = LocalSet::new().run_until(tried).await else { return };
        if attempt == ATTEMPTS || began.elapsed() < Duration::from_millis(PING_INTERVAL_MS) {
            std::panic::resume_unwind(failure.into_panic());
        }
    }
}

fn text(answer: &Answer) -> &str {
    std::str::from_utf8(&answer.body).unwrap()
}

fn settings(open: &Value) -> Value {
    assert!(open["sid"].as_str().is_some_and(|sid| !sid.is_empty()), "{open}");
    json!([open["upgrades"], open["pingInterval"], open["pingTimeout"], open["maxPayload"]])
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

/// Connects to a namespace, and hears its confirmation and its `auth` event.
async fn connect(raw: &mut Raw, packet: &str, confirmed: &str, auth: &str) {
    raw.frame(TEXT, packet).await;
    let answer = hear(raw).await;
    let answer: Value = serde_json::from_str(answer.strip_prefix(confirmed).expect(&answer)).unwrap();
    assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), ["sid"]);
    assert_eq!(hear(raw).await, auth);
}

#[tokio::test]
async fn a_handshake_over_http_opens_a_session() {
    let service = Service::start().await;
    for at in [ENGINE, SOCKET] {
        let answer = service.get(&format!("{at}?EIO=4&transport=polling")).await;
        let open: Value = serde_json::from_str(text(&answer).strip_prefix('0').unwrap()).unwrap();
        assert_eq!(settings(&open), json!([["websocket"], PING_INTERVAL_MS, PING_TIMEOUT_MS, 1_000_000]));
        for query in ["transport=polling", "EIO=abc&transport=polling", "EIO=4", "EIO=4&transport=abc"] {
            assert_eq!(service.get(&format!("{at}?{query}")).await.status, 400, "{query}");
        }
        for method in ["POST", "PUT"] {
            assert_eq!(
                service.send(method, &format!("{at}?EIO=4&transport=polling"), "").await.status,
                400,
                "{method}"
            );
        }
        for method in ["GET", "POST"] {
            let path = format!("{at}?EIO=4&transport=polling&sid=unknown");
            assert_eq!(service.send(method, &path, "4").await.status, 400, "{method}");
        }
    }
}

#[tokio::test]
async fn a_handshake_over_a_websocket_opens_a_session() {
    let service = Service::start().await;
    for at in [ENGINE, SOCKET] {
        service.opened(at).await;
        for query in [
            "transport=websocket",
            "EIO=abc&transport=websocket",
            "EIO=4",
            "EIO=4&transport=abc",
            "EIO=4&transport=websocket&sid=unknown",
        ] {
            assert_eq!(service.upgrade(&format!("{at}?{query}")).await.0, 400, "{query}");
        }
    }
}

#[tokio::test]
async fn heartbeats_over_http_go_on_for_as_long_as_they_are_answered() {
    let service = Service::start().await;
    for at in [ENGINE, SOCKET] {
        let mut goes_on = false;
        for _ in 0..ATTEMPTS {
            let (path, _) = service.session(at).await;
            goes_on = beats_over_http(&service, &path).await;
            if goes_on {
                break;
            }
        }
        assert!(goes_on, "{at}");
    }
}

/// Whether a session goes on for three heartbeats.
async fn beats_over_http(service: &Service, path: &str) -> bool {
    for _ in 0..3 {
        let ping = service.get(path).await;
        if (ping.status, text(&ping)) != (200, "2") {
            return false;
        }
        let pong = service.post(path, "3").await;
        if (pong.status, text(&pong)) != (200, "ok") {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn silence_over_http_ends_the_session_in_time() {
    let service = Service::start().await;
    for at in [ENGINE, SOCKET] {
        for _ in 0..5 {
            let (path, _) = service.session(at).await;
            sleep(Duration::from_millis(PING_INTERVAL_MS + PING_TIMEOUT_MS)).await;
            assert_eq!(service.get(&path).await.status, 400, "neither later nor with the ping that waits");
        }
    }
}

#[tokio::test]
async fn heartbeats_over_a_websocket_go_on_and_silence_ends_the_session() {
    let service = Service::start().await;
    for at in [ENGINE, SOCKET] {
        let mut goes_on = false;
        for _ in 0..ATTEMPTS {
            goes_on = beats_over_a_websocket(service.opened(at).await).await;
            if goes_on {
                break;
            }
        }
        assert!(goes_on, "{at}");
        let mut silent = service.opened(at).await;
        assert_eq!(silent.next_frame().await.unwrap().payload, b"2");
        silent.closed_with().await;
    }
}

async fn beats_over_a_websocket(mut raw: Raw) -> bool {
    for _ in 0..3 {
        if raw.next_frame().await.is_none_or(|frame| frame.payload != b"2") {
            return false;
        }
        raw.frame(TEXT, "3").await;
    }
    true
}

#[tokio::test]
async fn a_client_ends_its_session() {
    in_time(|service| async move {
        for at in [ENGINE, SOCKET] {
            for _ in 0..10 {
                let (path, _) = service.session(at).await;
                let (poll, end) = tokio::join!(service.get(&path), service.post(&path, "1"));
                assert_eq!((end.status, poll.status, text(&poll)), (200, 200, "6"));
                assert_eq!(service.get(&path).await.status, 400);
            }
            let mut raw = service.opened(at).await;
            raw.frame(TEXT, "1").await;
            raw.closed_with().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_session_moves_to_a_websocket() {
    in_time(|service| async move {
        for at in [ENGINE, SOCKET] {
            let (path, sid) = service.session(at).await;
            let (status, mut raw) = service.upgrade(&format!("{at}{WEBSOCKET}&sid={sid}")).await;
            assert_eq!(status, 101);
            raw.frame(TEXT, "2probe").await;
            assert_eq!(hear(&mut raw).await, "3probe");
            // A poll meanwhile is answered with nothing.
            let answer = service.get(&path).await;
            assert_eq!((answer.status, text(&answer)), (200, "6"));
            raw.frame(TEXT, "5").await;
            if at == ENGINE {
                raw.frame(TEXT, "4hello").await;
                assert_eq!(hear(&mut raw).await, "4hello");
            } else {
                connect(&mut raw, "40", "40", "42[\"auth\",{}]").await;
            }
            // Neither HTTP nor another WebSocket belongs to it any more.
            assert_eq!(service.get(&path).await.status, 400);
            assert_eq!(service.post(&path, "4hello").await.status, 400);
            let (status, mut second) = service.upgrade(&format!("{at}{WEBSOCKET}&sid={sid}")).await;
            assert_eq!((status, second.closed_with().await), (101, 1002));
            raw.frame(TEXT, "1").await;
            raw.closed_with().await;
        }
    })
    .await;
}

#[tokio::test]
async fn payloads_come_back_over_http_whole() {
    in_time(|service| async move {
        let long = format!("4{}", "x".repeat(999_000));
        for payload in ["4hello", "4test1\u{1e}4test2\u{1e}4test3", "4hello\u{1e}bAQIDBA==", &long] {
            let (path, _) = service.session(ENGINE).await;
            let answer = service.post(&path, payload).await;
            assert_eq!((answer.status, text(&answer)), (200, "ok"));
            loop {
                let answer = service.get(&path).await;
                assert_eq!(answer.status, 200);
                if text(&answer) != "2" {
                    break assert!(text(&answer) == payload, "{} bytes came back", answer.body.len());
                }
                service.post(&path, "3").await;
            }
        }
        let (path, _) = service.session(ENGINE).await;
        let answer = service.post(&path, &format!("4{}", "x".repeat(1_000_000))).await;
        assert_eq!(answer.status, 413, "longer than maxPayload");
    })
    .await;
}

#[tokio::test]
async fn a_payload_that_is_none_ends_the_session() {
    in_time(|service| async move {
        let (path, _) = service.session(ENGINE).await;
        assert_eq!(service.post(&path, "abc").await.status, 400);
        assert_eq!(service.get(&path).await.status, 400);
    })
    .await;
}

#[tokio::test]
async fn two_polls_at_once_end_the_session() {
    in_time(|service| async move {
        let (path, _) = service.session(ENGINE).await;
        let (one, other) = tokio::join!(service.get(&path), service.get(&path));
        let mut answers = [(one.status, text(&one)), (other.status, text(&other))];
        answers.sort_unstable();
        assert_eq!((answers[0], answers[1].0), ((200, "1"), 400));
        assert_eq!(service.get(&path).await.status, 400);
    })
    .await;
}

#[tokio::test]
async fn a_poll_that_is_cut_off_ends_the_session() {
    let service = Service::start().await;
    for _ in 0..20 {
        let (path, _) = service.session(ENGINE).await;
        let mut cut = service.app.connect().await;
        cut.send(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", service.app.address)).await;
        // Mostly it waits by then. One that is cut before it was read ends the session too.
        sleep(Duration::from_millis(5)).await;
        drop(cut);
        // Pongs would keep the session for as long as they come, and can't be taken for another poll.
        within(async { while service.post(&path, "3").await.status == 200 {} }).await;
        assert_eq!(service.get(&path).await.status, 400);
    }
}

#[tokio::test]
async fn messages_come_back_over_a_websocket() {
    in_time(|service| async move {
        let mut raw = service.opened(ENGINE).await;
        raw.frame(TEXT, "4hello").await;
        assert_eq!(hear(&mut raw).await, "4hello");
        raw.frame(BINARY, [1, 2, 3, 4]).await;
        let back = next(&mut raw).await;
        assert_eq!((back.opcode, &back.payload[..]), (BINARY, &[1, 2, 3, 4][..]));
        raw.frame(TEXT, "abc").await;
        assert_eq!(raw.closed_with().await, 1002);
    })
    .await;
}

#[tokio::test]
async fn namespaces_are_connected_with_their_auth() {
    in_time(|service| async move {
        service.connected().await;
        let mut raw = service.opened(SOCKET).await;
        connect(&mut raw, r#"40{"token":"123"}"#, "40", r#"42["auth",{"token":"123"}]"#).await;
        let mut raw = service.opened(SOCKET).await;
        connect(&mut raw, "40/custom,", "40/custom,", r#"42/custom,["auth",{}]"#).await;
        let mut raw = service.opened(SOCKET).await;
        connect(&mut raw, r#"40/custom,{"token":"abc"}"#, "40/custom,", r#"42/custom,["auth",{"token":"abc"}]"#).await;
        let mut raw = service.opened(SOCKET).await;
        raw.frame(TEXT, "40/random").await;
        assert_eq!(hear(&mut raw).await, r#"44/random,{"message":"Invalid namespace"}"#);
        let mut raw = service.opened(SOCKET).await;
        raw.frame(TEXT, "4abc").await;
        assert_eq!(raw.closed_with().await, 1002);
    })
    .await;
}

#[tokio::test]
async fn who_connects_to_no_namespace_is_closed_within_a_few_heartbeats() {
    in_time(|service| async move {
        let mut idle = service.opened(SOCKET).await;
        let mut pings = 0;
        let closed = loop {
            let frame = idle.next_frame().await.expect("a close frame comes before the end of the connection");
            if frame.opcode == CLOSE {
                break frame;
            }
            assert_eq!(frame.payload, b"2");
            pings += 1;
            idle.try_send(common::frame(0x80 | TEXT, b"3")).await;
        };
        assert_eq!(closed.payload[..2], NO_HELLO.to_be_bytes());
        // It is a second: three of them, and more where the timers of a busy machine are late.
        assert!((1..10).contains(&pings), "{pings} pings");
    })
    .await;
}

#[tokio::test]
async fn a_namespace_is_left_and_the_connection_stays() {
    in_time(|service| async move {
        // Whoever leaves the only one goes on being pinged.
        let mut raw = service.connected().await;
        raw.frame(TEXT, "41").await;
        assert_eq!(raw.next_frame().await.unwrap().payload, b"2");
        let mut raw = service.connected().await;
        connect(&mut raw, "40/custom", "40/custom,", r#"42/custom,["auth",{}]"#).await;
        raw.frame(TEXT, "41/custom").await;
        raw.frame(TEXT, r#"42["message","message to main namespace"]"#).await;
        assert_eq!(hear(&mut raw).await, r#"42["message-back","message to main namespace"]"#);
    })
    .await;
}

#[tokio::test]
async fn events_and_answers_come_back_with_their_attachments() {
    in_time(|service| async move {
        let mut raw = service.connected().await;
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
    })
    .await;
}

#[tokio::test]
async fn what_is_no_packet_closes_the_connection() {
    in_time(|service| async move {
        for packet in [
            "4abc",
            "42{}",
            r#"42abc["message-with-ack",1,"2",{"3":[false]}]"#,
            "40",
            r#"42/custom,["message"]"#,
            "44{}",
        ] {
            service.closes(packet).await;
        }
        let mut raw = service.connected().await;
        raw.frame(TEXT, r#"451-["message",{"_placeholder":true,"num":0}]"#).await;
        raw.frame(TEXT, r#"42["message"]"#).await;
        assert_eq!(raw.closed_with().await, 1002);
    })
    .await;
}
