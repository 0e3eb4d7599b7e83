//! The end of an instance: clients are asked to move, and it is over in time whatever they do.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

mod common;

use std::process::Stdio;
use std::time::Duration;

use common::{CLOSE, TestApp, within};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::Instant;

#[tokio::test]
async fn clients_are_asked_to_move_at_times_spread_at_random() {
    let app = TestApp::with(&[("DRAIN__SPREAD_MS", "4000")]).await;
    let mut clients = Vec::new();
    for _ in 0..30 {
        clients.push(app.signed_in("Ada").await);
    }
    app.drain.cancel();
    let mut times = Vec::new();
    for client in &mut clients {
        let goaway = client.hear_type("goaway").await;
        assert_eq!(goaway["reason"], "drain");
        times.push(goaway["in_ms"].as_u64().unwrap());
    }
    assert!(times.iter().all(|time| *time <= 4_000), "{times:?}");
    assert!(times.iter().max() > times.iter().min(), "they all move at once: {times:?}");
    for client in &mut clients {
        client.frame(CLOSE, 1000u16.to_be_bytes()).await;
        client.ended().await;
    }
    let started = Instant::now();
    app.ended().await;
    assert!(started.elapsed() < Duration::from_secs(2), "nobody was left to wait for");
}

#[tokio::test]
async fn a_client_that_stays_gets_4002_after_its_time() {
    let app = TestApp::with(&[("DRAIN__SPREAD_MS", "0")]).await;
    let mut client = app.member("Ada", "R").await;
    app.drain.cancel();
    assert_eq!(client.hear_type("goaway").await["in_ms"], 0);
    // Until then it works.
    client.say(&json!({"type": "send", "id": 3, "room": "R", "key": "k", "text": "still here"})).await;
    client.hear_type("sent").await;
    assert_eq!(client.closed_with().await, 4002);
    app.ended().await;
}

#[tokio::test]
async fn a_draining_instance_is_not_ready_and_takes_nobody() {
    let app = TestApp::with(&[("DRAIN__SPREAD_MS", "4000")]).await;
    let mut client = app.signed_in("Ada").await;
    app.drain.cancel();
    client.hear_type("goaway").await;
    let ready = app.get("/health/ready").await;
    assert_eq!((ready.status, &ready.json()["status"]), (503, &json!("draining")));
    assert_eq!(app.get("/health/live").await.status, 200);
    let answer = app.request(common::lines(&app.upgrade())).await;
    assert_eq!((answer.status, answer.code()), (503, "draining".to_owned()));
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn a_drain_ends_in_time_whatever_the_clients_do() {
    let app = TestApp::with(&[("DRAIN__DEADLINE_MS", "3000"), ("DRAIN__SPREAD_MS", "500")]).await;
    // One ignores the goaway and the close; one has stopped in mid-header; one in mid-frame.
    let ignoring = app.member("Ada", "R").await;
    let mut half_header = app.connect().await;
    half_header.send("GET /ws HTTP/1.1\r\nHo").await;
    let mut half_frame = app.signed_in("Bo").await;
    half_frame.send([0x81, 0xff, 0, 0]).await;
    let started = Instant::now();
    app.drain.cancel();
    app.ended().await;
    let took = started.elapsed();
    assert!(took < Duration::from_millis(3_500), "{took:?}");
    drop((ignoring, half_header, half_frame));
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let app = TestApp::start().await;
    let mut client = app.signed_in("Ada").await;
    app.drain.cancel();
    client.hear_type("goaway").await;
    let started = Instant::now();
    app.end.cancel();
    app.ended().await;
    assert!(started.elapsed() < Duration::from_secs(1));
    client.ended().await;
}

#[tokio::test]
async fn a_socket_that_gets_old_is_asked_to_move_and_closed_with_4001() {
    let app = TestApp::with(&[("ROTATE_AFTER_MS", "300"), ("DRAIN__SPREAD_MS", "200")]).await;
    let mut client = app.signed_in("Ada").await;
    let goaway = client.hear_type("goaway").await;
    assert_eq!(goaway["reason"], "rotate");
    assert!(goaway["in_ms"].as_u64().unwrap() <= 200);
    // Until then the old one works, beside the new one.
    let mut next = app.member("Ada", "R").await;
    client.say(&json!({"type": "join", "id": 3, "room": "R"})).await;
    assert_eq!(client.hear_type("joined").await["member_count"], 2);
    next.say(&json!({"type": "send", "id": 4, "room": "R", "key": "k", "text": "moved"})).await;
    assert_eq!(client.hear_type("message").await["text"], "moved");
    assert_eq!(client.closed_with().await, 4001);
}

/// The program itself, and what it logs.
struct Process {
    child: Child,
    log: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts it on a free port and waits until it serves.
    async fn start() -> (Self, std::net::SocketAddr) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_confab"))
            .arg("serve")
            .env_clear()
            .env("PORT", "0")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = within(log.next_line()).await.unwrap().expect("it says where it listens");
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&line["severity"], &line["message"]), (&json!("INFO"), &json!("serving")));
        let address = line["address"].as_str().unwrap().parse().unwrap();
        (Self { child, log }, address)
    }

    async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().await.unwrap().success());
    }
}

#[tokio::test]
async fn the_program_ends_with_0_on_sigterm_and_at_once_on_a_second_one() {
    let (mut process, _) = Process::start().await;
    process.signal("TERM").await;
    assert_eq!(within(process.child.wait()).await.unwrap().code(), Some(0));

    let (mut process, address) = Process::start().await;
    // A client that doesn't move.
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {}\r\n\r\n",
        common::KEY
    );
    stream.writable().await.unwrap();
    stream.try_write(request.as_bytes()).unwrap();
    within(stream.readable()).await.unwrap();
    process.signal("TERM").await;
    let line = within(process.log.next_line()).await.unwrap().unwrap();
    assert!(line.contains("draining"), "{line}");
    process.signal("INT").await;
    let started = Instant::now();
    assert_eq!(within(process.child.wait()).await.unwrap().code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(2));
}
