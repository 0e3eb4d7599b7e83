//! Requests for a WebSocket, good and bad, byte by byte, and what the server does with connections that are none yet.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

mod common;

use std::time::Duration;

use common::{ACCEPT, Answer, KEY, TEXT, TestApp, frame, lines, within};
use serde_json::json;
use tokio::time::{Instant, interval, timeout};

/// Changes the good request: a line replaces the one with the same name, or comes behind it.
async fn ask(app: &TestApp, changes: &[&str]) -> Answer {
    let mut request = app.upgrade();
    for change in changes {
        let name = change.split(':').next().unwrap();
        request.retain(|line| line.split(':').next() != Some(name));
    }
    request.extend(changes.iter().filter(|change| !change.ends_with(": -")).map(|change| (*change).to_owned()));
    app.request(lines(&request)).await
}

async fn refused(app: &TestApp, changes: &[&str]) -> (u16, String) {
    let answer = ask(app, changes).await;
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    assert!(answer.json()["message"].as_str().is_some_and(|message| !message.is_empty()));
    (answer.status, answer.code())
}

#[tokio::test]
async fn a_good_request_is_upgraded() {
    let app = TestApp::start().await;
    let answer = ask(&app, &["Sec-WebSocket-Protocol: mqtt, confab.v1.json"]).await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("sec-websocket-accept"), Some(ACCEPT));
    assert_eq!(answer.header("sec-websocket-protocol"), Some("confab.v1.json"));
    assert_eq!(answer.header("upgrade"), Some("websocket"));
}

#[tokio::test]
async fn other_subprotocols_are_ignored() {
    let app = TestApp::start().await;
    let answer = ask(&app, &["Sec-WebSocket-Protocol: mqtt"]).await;
    assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, None));
}

#[tokio::test]
async fn a_missing_origin_is_allowed_unless_the_setting_forbids_it() {
    let app = TestApp::start().await;
    assert_eq!(ask(&app, &[]).await.status, 101);
    let strict = TestApp::with(&[("HTTP__ALLOW_NO_ORIGIN", "false")]).await;
    assert_eq!(refused(&strict, &[]).await, (403, "origin_required".to_owned()));
}

#[tokio::test]
async fn the_own_origin_and_allowed_ones_may_connect() {
    let app = TestApp::with(&[("HTTP__ALLOWED_ORIGINS", "https://chat.example,http://localhost:5173")]).await;
    let own = format!("Origin: http://{}", app.address);
    for origin in [own.as_str(), "Origin: https://chat.example", "Origin: http://localhost:5173"] {
        assert_eq!(ask(&app, &[origin]).await.status, 101, "{origin}");
    }
}

#[tokio::test]
async fn foreign_null_and_lookalike_origins_get_403() {
    let app = TestApp::with(&[("HTTP__ALLOWED_ORIGINS", "https://chat.example")]).await;
    let scheme = format!("https://{}", app.address);
    let suffix = format!("http://{}.evil.example", app.address);
    for origin in [
        "https://evil.example",
        "null",
        "",
        "https://chat.example.evil.example",
        "https://evilchat.example",
        "http://chat.example",
        "https://chat.example:444",
        scheme.as_str(),
        suffix.as_str(),
    ] {
        let (status, code) = refused(&app, &[&format!("Origin: {origin}")]).await;
        assert_eq!((status, code.as_str()), (403, "bad_origin"), "{origin}");
    }
    app.assert_serves().await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_own_origin_has_the_forwarded_scheme() {
    let app = TestApp::with(&[("HTTP__TRUSTED_HOPS", "1")]).await;
    let plain = format!("Origin: http://{}", app.address);
    let tls = format!("Origin: https://{}", app.address);
    assert_eq!(ask(&app, &["X-Forwarded-Proto: https", &tls]).await.status, 101);
    assert_eq!(refused(&app, &["X-Forwarded-Proto: https", &plain]).await.0, 403);
    let direct = TestApp::start().await;
    let tls = format!("Origin: https://{}", direct.address);
    assert_eq!(refused(&direct, &["X-Forwarded-Proto: https", &tls]).await.0, 403, "nobody is trusted by default");
}

#[tokio::test]
async fn a_request_without_host_or_with_two_gets_400() {
    let app = TestApp::start().await;
    assert_eq!(refused(&app, &["Host: -"]).await, (400, "bad_host".to_owned()));
    assert_eq!(refused(&app, &["Host: a", "Host: b"]).await, (400, "bad_host".to_owned()));
}

#[tokio::test]
async fn http_1_0_gets_400() {
    let app = TestApp::start().await;
    let mut request = app.upgrade();
    request[0] = "GET /ws HTTP/1.0".to_owned();
    let answer = app.request(lines(&request)).await;
    assert_eq!((answer.status, answer.code()), (400, "bad_version".to_owned()));
}

#[tokio::test]
async fn post_gets_405() {
    let app = TestApp::start().await;
    let mut request = app.upgrade();
    request[0] = "POST /ws HTTP/1.1".to_owned();
    let answer = app.request(lines(&request)).await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET")));
}

#[tokio::test]
async fn another_version_of_the_protocol_gets_426_and_is_told_which() {
    let app = TestApp::start().await;
    for version in ["Sec-WebSocket-Version: 8", "Sec-WebSocket-Version: -"] {
        let answer = ask(&app, &[version]).await;
        assert_eq!((answer.status, answer.header("sec-websocket-version")), (426, Some("13")), "{version}");
    }
}

#[tokio::test]
async fn a_plain_get_is_told_to_upgrade() {
    let app = TestApp::start().await;
    assert_eq!(app.get("/ws").await.status, 426);
    assert_eq!(refused(&app, &["Connection: keep-alive"]).await, (400, "bad_connection".to_owned()));
}

#[tokio::test]
async fn a_wrong_key_a_missing_one_and_two_get_400() {
    let app = TestApp::start().await;
    let good = format!("Sec-WebSocket-Key: {KEY}");
    for keys in [vec!["Sec-WebSocket-Key: abc"], vec!["Sec-WebSocket-Key: -"], vec![good.as_str(), good.as_str()]] {
        assert_eq!(refused(&app, &keys).await, (400, "bad_key".to_owned()), "{keys:?}");
    }
}

#[tokio::test]
async fn a_request_with_a_body_gets_400() {
    let app = TestApp::start().await;
    let mut with_length = app.upgrade();
    with_length.push("Content-Length: 5".to_owned());
    let mut chunked = app.upgrade();
    chunked.push("Transfer-Encoding: chunked".to_owned());
    for (request, body) in [(with_length, "hello"), (chunked, "5\r\nhello\r\n0\r\n\r\n")] {
        let answer = app.request(lines(&request) + body).await;
        assert_eq!((answer.status, answer.code()), (400, "unexpected_body".to_owned()));
    }
    app.assert_serves().await;
}

#[tokio::test]
async fn a_header_of_17_kib_gets_431() {
    let app = TestApp::start().await;
    let answer = ask(&app, &[&format!("Cookie: {}", "x".repeat(17 * 1024))]).await;
    assert_eq!((answer.status, answer.code()), (431, "header_too_large".to_owned()));
    let path = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(17 * 1024));
    assert_eq!(app.request(path).await.status, 431);
    app.assert_serves().await;
}

#[tokio::test]
async fn two_hundred_header_lines_get_431_and_so_do_endless_ones() {
    let app = TestApp::start().await;
    for count in [200, 5_000] {
        let mut request = app.upgrade();
        request.extend((0..count).map(|n| format!("X-{n}: 1")));
        let mut raw = app.connect().await;
        // The server may have answered before it has read all of it.
        raw.try_send(lines(&request)).await;
        assert_eq!(raw.answer().await.status, 431, "{count}");
    }
    app.assert_serves().await;
}

#[tokio::test]
async fn half_a_header_is_cut_off_at_its_deadline() {
    let app = TestApp::with(&[("HTTP__HEADER_TIMEOUT_MS", "300")]).await;
    for beginning in ["GET /ws HT", "GET /ws HTTP/1.1\r\nHost: a\r\nUpgr", ""] {
        let mut raw = app.connect().await;
        raw.send(beginning).await;
        let started = Instant::now();
        raw.ended().await;
        assert!(started.elapsed() < Duration::from_secs(5), "{beginning:?} was open for {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn the_deadline_of_a_header_is_for_all_of_it_however_slowly_it_comes() {
    let app = TestApp::with(&[("HTTP__HEADER_TIMEOUT_MS", "500")]).await;
    let mut raw = app.connect().await;
    let request = lines(&app.upgrade());
    let mut pace = interval(Duration::from_millis(100));
    let started = Instant::now();
    for byte in request.bytes() {
        pace.tick().await;
        if !raw.try_send([byte]).await {
            break;
        }
    }
    assert!(started.elapsed() < Duration::from_secs(3), "a byte now and then held the connection open");
    raw.ended().await;
}

#[tokio::test]
async fn a_frame_right_behind_the_request_is_not_lost() {
    let app = TestApp::start().await;
    let mut raw = app.connect().await;
    let mut glued = lines(&app.upgrade()).into_bytes();
    let hello = json!({"type": "hello", "id": 1, "name": "Ada"}).to_string();
    glued.extend(frame(0x80 | TEXT, hello.as_bytes()));
    raw.send(glued).await;
    assert_eq!(raw.answer().await.status, 101);
    assert_eq!(raw.hear().await["type"], "welcome");
}

#[tokio::test]
async fn a_request_that_is_pipelined_behind_the_upgrade_is_not_http_any_more() {
    let app = TestApp::start().await;
    let mut raw = app.connect().await;
    raw.send(lines(&app.upgrade()) + "GET /version HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(raw.answer().await.status, 101);
    assert_eq!(raw.close_frame().await.0, 1002);
    app.assert_serves().await;
}

#[tokio::test]
async fn paths_that_are_none_get_404() {
    let app = TestApp::start().await;
    for path in [
        "/%00",
        "/assets/%00",
        "/assets/../index.html",
        "/assets/%2e%2e/index.html",
        "/../../etc/passwd",
        "/assets/index.html",
        "/assets/",
        "//ws",
        "/health",
    ] {
        let answer = app.get(path).await;
        assert!(matches!(answer.status, 400 | 404), "{path}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
    }
}

#[tokio::test]
async fn a_request_that_is_not_http_is_refused() {
    let app = TestApp::start().await;
    assert_eq!(app.request("\u{16}\u{3}\u{1}\r\n\r\n").await.status, 400);
    app.assert_serves().await;
}

#[tokio::test]
async fn at_the_cap_of_sockets_the_next_gets_503_and_a_place_that_is_free_again_is_given() {
    let app = TestApp::with(&[("LIMITS__CONNECTIONS", "2")]).await;
    let (mut first, _second) = (app.signed_in("Ada").await, app.signed_in("Bo").await);
    let answer = ask(&app, &[]).await;
    assert_eq!((answer.status, answer.code()), (503, "full".to_owned()));
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    first.frame(common::CLOSE, 1000u16.to_be_bytes()).await;
    first.ended().await;
    within(async {
        while ask(&app, &[]).await.status != 101 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn at_the_cap_of_handshakes_the_next_gets_503() {
    let app = TestApp::with(&[("HTTP__HANDSHAKES", "2")]).await;
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut raw = app.connect().await;
        raw.send("GET /ws").await;
        waiting.push(raw);
    }
    let answer = app.request(lines(&app.upgrade())).await;
    assert_eq!((answer.status, answer.code()), (503, "full".to_owned()));
    assert!(answer.header("retry-after").is_some());
    drop(waiting);
    within(async {
        while app.request(lines(&app.upgrade())).await.status != 101 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn connections_are_kept_for_a_next_request_while_there_are_places_and_not_when_they_get_few() {
    let app = TestApp::with(&[("HTTP__HANDSHAKES", "4")]).await;
    let request = "GET /version HTTP/1.1\r\nHost: a\r\n\r\n";
    let (mut first, mut second) = (app.connect().await, app.connect().await);
    for kept in [&mut first, &mut second] {
        for _ in 0..2 {
            kept.send(request).await;
            let answer = kept.answer().await;
            assert_eq!((answer.status, answer.header("connection")), (200, None));
        }
    }
    let mut third = app.connect().await;
    third.send(request).await;
    let answer = third.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    third.ended().await;
}

#[tokio::test]
async fn a_websocket_does_not_count_as_a_handshake() {
    let app = TestApp::with(&[("HTTP__HANDSHAKES", "1")]).await;
    let mut open = Vec::new();
    for n in 0..5 {
        // The place of the one before is free a moment after its answer.
        let client = within(async {
            loop {
                let mut raw = app.connect().await;
                raw.send(lines(&app.upgrade())).await;
                if raw.answer().await.status == 101 {
                    break raw;
                }
            }
        })
        .await;
        open.push((n, client));
    }
    for (n, client) in &mut open {
        client.say(&json!({"type": "hello", "id": n, "name": "Ada"})).await;
        assert_eq!(client.hear().await["id"], *n);
    }
}

#[tokio::test]
async fn the_page_is_served_with_its_tag_and_its_policy() {
    let app = TestApp::start().await;
    let page = app.get("/").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'") && policy.contains("require-trusted-types-for 'script'"));
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-cache"),
    ] {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    let tag = page.header("etag").unwrap().to_owned();
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: {known}\r\n\r\n");
        let again = app.request(request).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{known}");
    }
    let script = app.get("/assets/app.js").await;
    assert_eq!((script.status, script.header("content-type")), (200, Some("text/javascript; charset=utf-8")));
    assert_eq!((script.header("content-encoding"), script.header("vary")), (None, Some("accept-encoding")));
    for (takes, coding) in [
        ("br, GZIP;q=0.5", Some("gzip")),
        ("gzip", Some("gzip")),
        ("gzip;q=0, identity", None),
        ("gzip ; q=0.000", None),
        ("br", None),
    ] {
        let request = format!("GET /assets/app.js HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {takes}\r\n\r\n");
        let answer = app.request(request).await;
        assert_eq!(answer.header("content-encoding"), coding, "{takes}");
        assert_eq!(answer.header("etag") == script.header("etag"), coding.is_none(), "{takes}");
    }
    for kept_out in ["/assets/client/package.json", "/assets/client/tsconfig.json", "/assets/client/types/wire.d.ts"] {
        assert_eq!(app.get(kept_out).await.status, 404, "{kept_out}");
    }
}

#[tokio::test]
async fn only_reading_is_answered_beside_the_websocket() {
    let app = TestApp::start().await;
    for path in ["/", "/version", "/health/ready", "/assets/app.js"] {
        let answer = app.request(format!("DELETE {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!((answer.status, answer.code()), (405, "bad_method".to_owned()), "{path}");
        let mut raw = app.connect().await;
        raw.send(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let mut head = String::new();
        while let Ok(Ok(())) = timeout(common::PATIENCE, raw.tcp.readable()).await {
            let mut chunk = [0; 4096];
            match raw.tcp.try_read(&mut chunk) {
                Ok(read) => head.push_str(&String::from_utf8_lossy(&chunk[..read])),
                Err(_) => continue,
            }
            if head.contains("\r\n\r\n") {
                break;
            }
        }
        assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{path}: {head}");
    }
}

#[tokio::test]
async fn health_tells_the_state_of_the_instance_and_of_its_store() {
    let app = TestApp::with(&[("INSTANCE", "test-1")]).await;
    let _client = app.signed_in("Ada").await;
    let ready = app.get("/health/ready").await;
    let body = ready.json();
    assert_eq!((ready.status, &body["status"], &body["instance"]), (200, &json!("ready"), &json!("test-1")));
    assert_eq!((&body["store"]["reachable"], &body["store"]["durability"]), (&json!(true), &json!("memory")));
    assert_eq!(body["sockets"], 1);
    assert_eq!(app.get("/health/live").await.status, 200);
    assert_eq!(app.get("/health/startup").await.json()["status"], "started");
    assert_eq!(app.get("/version").await.json()["version"], env!("CARGO_PKG_VERSION"));
}
