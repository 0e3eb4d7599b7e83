//! The endpoint of the feature `conformance`: everything comes back, over the transport of the chat.
#![cfg(feature = "conformance")]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

mod common;

use common::{BINARY, PING, PONG, Raw, TEXT, TestApp, frame, lines};

async fn echo(app: &TestApp) -> Raw {
    let mut raw = app.connect().await;
    let mut request = app.upgrade();
    request[0] = "GET /echo HTTP/1.1".to_owned();
    raw.send(lines(&request)).await;
    assert_eq!(raw.answer().await.status, 101);
    raw
}

#[tokio::test]
async fn text_and_binary_come_back_as_they_were_sent() {
    let app = TestApp::start().await;
    let mut client = echo(&app).await;
    for (opcode, payload) in [(TEXT, "Käse".as_bytes()), (BINARY, &[0, 255, 7]), (TEXT, b""), (BINARY, b"")] {
        client.frame(opcode, payload).await;
        let back = client.next_frame().await.unwrap();
        assert_eq!((back.opcode, back.payload.as_slice()), (opcode, payload));
    }
}

#[tokio::test]
async fn a_message_of_64_mib_comes_back_and_one_byte_more_gets_1009() {
    let app = TestApp::start().await;
    let mut client = echo(&app).await;
    let longest = vec![b'x'; 64 * 1024 * 1024];
    client.frame(BINARY, &longest).await;
    assert!(client.next_frame().await.unwrap().payload == longest);
    client.try_send(&frame(0x80 | BINARY, &[&longest[..], b"x"].concat())[..1_000_000]).await;
    assert_eq!(client.closed_with().await, 1009);
}

#[tokio::test]
async fn fragments_come_back_as_one_message_with_the_pong_of_a_ping_between_them() {
    let app = TestApp::start().await;
    let mut client = echo(&app).await;
    client.send(frame(TEXT, b"one ")).await;
    client.frame(PING, b"ping").await;
    client.send(frame(0x80, b"message")).await;
    let pong = client.next_frame().await.unwrap();
    assert_eq!((pong.opcode, pong.payload.as_slice()), (PONG, &b"ping"[..]));
    assert_eq!(client.next_frame().await.unwrap().payload, b"one message");
}

#[tokio::test]
async fn violations_get_the_codes_of_the_chat() {
    let app = TestApp::start().await;
    for (bytes, code) in [
        (frame(0x80 | TEXT, b"\xff"), 1007),
        (frame(0x83, b""), 1002),
        (frame(PING, b""), 1002),
        (frame(0xc0 | TEXT, b""), 1002),
    ] {
        let mut client = echo(&app).await;
        client.send(bytes).await;
        assert_eq!(client.closed_with().await, code);
    }
}
