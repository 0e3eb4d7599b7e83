//! Frames as no client should send them, and clients that don't read: each is closed with its code, and nobody else
//! notices.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

mod common;

use std::time::Duration;

use common::{BINARY, CLOSE, PATIENCE, PING, PONG, Raw, TEXT, TestApp, frame, head, unmasked, within};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

const FINAL: u8 = 0x80;
const PROTOCOL: u16 = 1002;
const NOT_TEXT: u16 = 1003;
const NOT_UTF8: u16 = 1007;
const TOO_LARGE: u16 = 1009;
const SLOW: u16 = 4008;
const BUDGET: u16 = 4013;

/// Sends bytes on a connection of its own and expects its close code; everybody else is served on.
async fn closes(app: &TestApp, what: &str, bytes: &[u8], code: u16) {
    let mut client = app.signed_in("Mallory").await;
    client.try_send(bytes).await;
    assert_eq!(client.closed_with().await, code, "{what}");
    app.assert_serves().await;
}

#[tokio::test]
async fn reserved_bits_are_a_protocol_violation() {
    let app = TestApp::start().await;
    for bit in [0x40, 0x20, 0x10] {
        closes(&app, "a reserved bit", &frame(FINAL | bit | TEXT, b"{}"), PROTOCOL).await;
        closes(&app, "a reserved bit of a ping", &frame(FINAL | bit | PING, b""), PROTOCOL).await;
    }
}

#[tokio::test]
async fn reserved_opcodes_are_a_protocol_violation() {
    let app = TestApp::start().await;
    for opcode in [0x3, 0x4, 0x5, 0x6, 0x7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        closes(&app, &format!("opcode {opcode:x}"), &frame(FINAL | opcode, b""), PROTOCOL).await;
    }
}

#[tokio::test]
async fn an_unmasked_frame_is_a_protocol_violation() {
    let app = TestApp::start().await;
    closes(&app, "text without a mask", &unmasked(FINAL | TEXT, b"{}"), PROTOCOL).await;
    closes(&app, "a ping without a mask", &unmasked(FINAL | PING, b""), PROTOCOL).await;
}

#[tokio::test]
async fn fragmented_and_long_control_frames_are_a_protocol_violation() {
    let app = TestApp::start().await;
    for opcode in [PING, PONG, CLOSE] {
        closes(&app, "a fragmented control frame", &frame(opcode, b""), PROTOCOL).await;
        closes(&app, "a control frame of 126 bytes", &frame(FINAL | opcode, &[0; 126]), PROTOCOL).await;
    }
}

#[tokio::test]
async fn fragments_out_of_order_are_a_protocol_violation() {
    let app = TestApp::start().await;
    closes(&app, "a continuation of nothing", &frame(FINAL, b"x"), PROTOCOL).await;
    let twice = [frame(TEXT, b"{"), frame(FINAL | TEXT, b"}")].concat();
    closes(&app, "a second beginning", &twice, PROTOCOL).await;
}

#[tokio::test]
async fn bad_close_frames_are_answered_with_1002_or_1007() {
    let app = TestApp::start().await;
    for code in [0u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
        closes(&app, &format!("close code {code}"), &frame(FINAL | CLOSE, &code.to_be_bytes()), PROTOCOL).await;
    }
    closes(&app, "a close frame of one byte", &frame(FINAL | CLOSE, b"\x03"), PROTOCOL).await;
    closes(&app, "a reason that isn't UTF-8", &frame(FINAL | CLOSE, b"\x03\xe8\xff\xfe"), NOT_UTF8).await;
}

#[tokio::test]
async fn a_good_close_is_answered_with_its_own_code() {
    let app = TestApp::start().await;
    for code in [1000u16, 1001, 3000, 4999] {
        closes(&app, "a good close code", &frame(FINAL | CLOSE, &code.to_be_bytes()), code).await;
    }
    closes(&app, "a close without a code", &frame(FINAL | CLOSE, b""), 1005).await;
}

#[tokio::test]
async fn text_that_is_not_utf8_gets_1007_also_when_split() {
    let app = TestApp::start().await;
    closes(&app, "bad UTF-8", &frame(FINAL | TEXT, b"{\"type\":\"\xff\"}"), NOT_UTF8).await;
    closes(&app, "a surrogate", &frame(FINAL | TEXT, b"\xed\xa0\x80"), NOT_UTF8).await;
    closes(&app, "half a character at the end", &frame(FINAL | TEXT, b"\xe2\x82"), NOT_UTF8).await;
    let split = [frame(TEXT, b"\xe2\x82"), frame(FINAL, b"\x28")].concat();
    closes(&app, "a character broken across fragments", &split, NOT_UTF8).await;
}

#[tokio::test]
async fn a_character_split_across_fragments_is_one_character() {
    let app = TestApp::start().await;
    let mut client = app.websocket().await;
    let hello = json!({"type": "hello", "id": 1, "name": "Zoë"}).to_string().into_bytes();
    let middle = hello.iter().position(|byte| *byte > 0x7f).unwrap() + 1;
    client.send(frame(TEXT, &hello[..middle])).await;
    client.frame(PING, b"between").await;
    client.send(frame(FINAL, &hello[middle..])).await;
    let pong = client.next_frame().await.unwrap();
    assert_eq!((pong.opcode, pong.payload.as_slice()), (PONG, &b"between"[..]));
    assert_eq!(client.hear().await["user"]["name"], "Zoë");
}

#[tokio::test]
async fn a_binary_frame_gets_1003() {
    let app = TestApp::start().await;
    closes(&app, "binary", &frame(FINAL | BINARY, b"{}"), NOT_TEXT).await;
}

#[tokio::test]
async fn one_byte_over_the_limit_gets_1009_and_the_limit_itself_does_not() {
    let app = TestApp::start().await;
    let filled = |bytes: usize| format!("{{\"type\":\"pong\",\"x\":\"{}\"}}", "x".repeat(bytes - 22)).into_bytes();
    let limit = 64 * 1024;
    assert_eq!(filled(limit).len(), limit);
    let mut client = app.signed_in("Ada").await;
    client.frame(TEXT, filled(limit)).await;
    client.say(&json!({"type": "leave", "id": 7, "room": "R"})).await;
    assert_eq!(client.hear().await["id"], 7, "the socket goes on");
    closes(&app, "one byte too many", &frame(FINAL | TEXT, &filled(limit + 1)), TOO_LARGE).await;
    let fragments = [frame(TEXT, &filled(limit)), frame(FINAL, b"x")].concat();
    closes(&app, "one byte too many in the second fragment", &fragments, TOO_LARGE).await;
}

#[tokio::test]
async fn the_longest_length_there_is_gets_1009_at_once() {
    let app = TestApp::start().await;
    let mut endless = head(FINAL | TEXT, 0x80, (1 << 63) - 1);
    endless.extend([0; 4]);
    closes(&app, "2^63 - 1 bytes", &endless, TOO_LARGE).await;
    let mut beyond = head(FINAL | TEXT, 0x80, u64::MAX);
    beyond.extend([0; 4]);
    closes(&app, "2^64 - 1 bytes", &beyond, TOO_LARGE).await;
}

/// Sends the same bytes until the server has had enough, reading along; returns the close code, if one got through.
async fn flood(client: &mut Raw, bytes: &[u8]) -> Option<u16> {
    let chunk = bytes.repeat(4096 / bytes.len() + 1);
    for _ in 0..10_000 {
        if !client.try_send(&chunk).await {
            break;
        }
    }
    // A server that has closed while the flood goes on may have reset the connection before the frame was read.
    let mut code = None;
    while let Some(frame) = client.next_frame().await {
        if frame.opcode == CLOSE {
            code = Some(u16::from_be_bytes([frame.payload[0], frame.payload[1]]));
        }
    }
    code
}

#[tokio::test]
async fn endless_empty_continuations_are_over_the_budget() {
    let app = TestApp::start().await;
    let mut client = app.signed_in("Mallory").await;
    client.send(frame(TEXT, b"")).await;
    let code = flood(&mut client, &frame(0, b"")).await;
    assert!(matches!(code, Some(BUDGET) | None), "{code:?}");
    app.assert_serves().await;
}

#[tokio::test]
async fn a_flood_of_pings_or_pongs_is_over_the_budget() {
    let app = TestApp::start().await;
    for opcode in [PING, PONG] {
        let mut client = app.signed_in("Mallory").await;
        let code = flood(&mut client, &frame(FINAL | opcode, b"")).await;
        assert!(matches!(code, Some(BUDGET) | None), "{code:?}");
        app.assert_serves().await;
    }
}

#[tokio::test]
async fn a_client_over_the_budget_of_frames_or_bytes_gets_4013_with_a_time() {
    let settings = [
        ("LIMITS__COMMANDS_PER_SECOND", "1"),
        ("LIMITS__COMMAND_BURST", "1"),
        ("LIMITS__FRAMES_PER_SECOND", "2"),
        ("LIMITS__FRAME_BURST", "10"),
        ("LIMITS__BYTES_PER_SECOND", "1024"),
        ("LIMITS__BYTE_BURST", "131072"),
    ];
    let app = TestApp::with(&settings).await;
    let mut frames = app.websocket().await;
    frames.send(frame(FINAL | PONG, b"").repeat(11)).await;
    let (code, reason) = frames.close_frame().await;
    assert_eq!(code, BUDGET);
    let retry: u64 = reason.split("retry_ms=").nth(1).expect("the reason names a time").parse().unwrap();
    assert!((1..=60_000).contains(&retry), "{reason}");
    let mut bytes = app.websocket().await;
    // Whole frames, each within its limit, together over the burst.
    bytes.try_send(frame(FINAL | TEXT, &[b'x'; 60_000]).repeat(3)).await;
    assert_eq!(bytes.close_frame().await.0, BUDGET);
}

#[tokio::test]
async fn unsolicited_pongs_are_ignored() {
    let app = TestApp::start().await;
    let mut client = app.signed_in("Ada").await;
    for _ in 0..100 {
        client.frame(PONG, b"nobody asked").await;
    }
    client.say(&json!({"type": "leave", "id": 7, "room": "R"})).await;
    assert_eq!(client.hear().await["id"], 7);
}

#[tokio::test]
async fn a_message_that_is_never_finished_gets_4013() {
    let app = TestApp::with(&[("LIMITS__UNFINISHED_MESSAGE_MS", "200")]).await;
    let whole = frame(FINAL | TEXT, b"{\"type\":\"pong\"}");
    for (what, half) in [
        ("one byte", whole[..1].to_vec()),
        ("half a head", whole[..4].to_vec()),
        ("half a payload", whole[..12].to_vec()),
        ("a fragment without its end", frame(TEXT, b"{")),
        ("a fragment and a ping", [frame(TEXT, b"{"), frame(FINAL | PING, b"")].concat()),
    ] {
        closes(&app, what, &half, BUDGET).await;
    }
}

#[tokio::test]
async fn a_slow_reader_is_closed_with_4008_and_delays_nobody() {
    let app = TestApp::with(&[
        ("LIMITS__OUTBOX_BYTES", "65536"),
        ("LIMITS__COMMANDS_PER_SECOND", "1000000"),
        ("LIMITS__COMMAND_BURST", "1000000"),
        ("LIMITS__SEND_BURST", "1000000"),
        ("LIMITS__FLUSH_TIMEOUT_MS", "60000"),
    ])
    .await;
    let mut slow = app.member("Slow", "R").await;
    let mut sender = app.member("Ada", "R").await;
    // Enough for the buffers of both kernels and the outbox.
    let text = "x".repeat(4_000);
    let longest = Duration::from_secs(2);
    for n in 0..4_000 {
        let started = Instant::now();
        sender.say(&json!({"type": "send", "id": n, "room": "R", "key": format!("k{n}"), "text": text})).await;
        sender.hear_type("sent").await;
        assert!(started.elapsed() < longest, "send {n} took {:?}", started.elapsed());
    }
    // What the kernels hold is read first, then the close frame.
    let (code, reason) = slow.close_frame().await;
    assert_eq!(code, SLOW, "{reason}");
    app.assert_serves().await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_off_after_the_flush_timeout() {
    let app = TestApp::with(&[
        ("LIMITS__FLUSH_TIMEOUT_MS", "300"),
        ("LIMITS__OUTBOX_BYTES", "67108864"),
        ("LIMITS__COMMANDS_PER_SECOND", "1000000"),
        ("LIMITS__COMMAND_BURST", "1000000"),
        ("LIMITS__SEND_BURST", "1000000"),
    ])
    .await;
    let _stuck = app.member("Stuck", "R").await;
    let mut sender = app.member("Ada", "R").await;
    let text = "x".repeat(4_000);
    for n in 0..3_000 {
        sender.say(&json!({"type": "send", "id": n, "room": "R", "key": format!("k{n}"), "text": text})).await;
        sender.hear_type("sent").await;
    }
    // Only the sender is left.
    within(async {
        while app.get("/health/ready").await.json()["sockets"] != 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_reset_in_mid_message_harms_nobody() {
    let app = TestApp::start().await;
    for _ in 0..50 {
        let mut client = app.member("Mallory", "R").await;
        client.send(&frame(FINAL | TEXT, &[b'x'; 1_000])[..500]).await;
        client.tcp.set_zero_linger().unwrap();
        drop(client);
    }
    app.assert_serves().await;
    within(async {
        while app.get("/health/ready").await.json()["sockets"] != 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_half_closed_connection_ends() {
    let app = TestApp::start().await;
    let mut client = app.signed_in("Ada").await;
    client.tcp.shutdown().await.unwrap();
    client.ended().await;
}

#[tokio::test]
async fn a_client_that_never_says_hello_gets_4005() {
    let app = TestApp::with(&[("HELLO_TIMEOUT_MS", "200")]).await;
    assert_eq!(app.websocket().await.closed_with().await, 4005);
}

#[tokio::test]
async fn a_client_that_answers_no_ping_gets_4003_and_one_that_does_stays() {
    let app = TestApp::with(&[("HEARTBEAT_MS", "100"), ("HEARTBEAT_TIMEOUT_MS", "300")]).await;
    let mut silent = app.signed_in("Silent").await;
    let mut alive = app.signed_in("Ada").await;
    let silent = tokio::spawn(async move { silent.closed_with().await });
    let mut pings = 0;
    while pings < 8 {
        let frame = alive.next_frame().await.expect("a client that answers stays");
        if frame.payload == b"{\"type\":\"ping\"}" {
            pings += 1;
            alive.say(&json!({"type": "pong"})).await;
        }
    }
    assert_eq!(within(silent).await.unwrap(), 4003);
}

#[tokio::test]
async fn a_client_that_does_not_answer_our_close_is_cut_off() {
    let app = TestApp::start().await;
    let mut client = app.signed_in("Mallory").await;
    client.frame(BINARY, b"").await;
    assert_eq!(client.close_frame().await.0, NOT_TEXT);
    let started = Instant::now();
    client.ended().await;
    assert!(started.elapsed() < PATIENCE / 2, "{:?}", started.elapsed());
}
