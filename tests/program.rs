//! The program as a service: it starts, says that it is ready, gives a room's log away, and ends when it is told to.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// For anything that is awaited here: far more than it takes, so that a slow machine is no failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// An instance on a port of its own. It ends with the test.
struct Served {
    process: Child,
    port: String,
    /// Disconnected when the process has closed its standard output, which it does by ending.
    output: Receiver<String>,
}

impl Served {
    fn start(environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_confab"));
        command.env_clear().env("PORT", "0").env("CONFAB__TELEMETRY__LOG_FORMAT", "json");
        command.envs(environment.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (addresses, output) = sync_channel(1);
        // Reads on after the address, so that the pipe never fills.
        thread::spawn(move || {
            for line in lines {
                let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
                if let Some(address) = line["address"].as_str() {
                    addresses.send(address.to_owned()).unwrap();
                }
            }
        });
        let address = output.recv_timeout(PATIENCE).expect("the instance logs where it listens");
        let port = address.rsplit(':').next().unwrap().to_owned();
        Self { process, port, output }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_confab"));
        command.args(arguments).env_clear().env("PORT", &self.port).stdin(Stdio::null()).output().unwrap()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.process.id())]).status();
        assert!(sent.unwrap().success());
    }

    fn exit_code(&mut self) -> Option<i32> {
        assert_eq!(self.output.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected), "the process ends");
        self.process.wait().unwrap().code()
    }

    async fn sign_in(&self) -> Client {
        let stream = tokio::net::TcpStream::connect(format!("127.0.0.1:{}", self.port)).await.unwrap();
        let (socket, _) = client_async(format!("ws://127.0.0.1:{}/ws", self.port), stream).await.unwrap();
        let mut client = Client { socket };
        client.ask(json!({"type": "hello", "id": 0, "name": "Ada"})).await;
        client
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Client {
    socket: WebSocketStream<tokio::net::TcpStream>,
}

impl Client {
    /// Sends a command and returns its reply.
    async fn ask(&mut self, command: Value) -> Value {
        self.socket.send(Message::text(command.to_string())).await.unwrap();
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.socket.next()).await.unwrap().unwrap().unwrap();
            let Message::Text(text) = frame else { continue };
            for object in text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
                if object["id"] == command["id"] {
                    assert_ne!(object["type"], "error", "{object}");
                    return object;
                }
            }
        }
    }

    async fn send(&mut self, id: u64, kind: &str, fields: Value) {
        let mut command = json!({"type": kind, "id": id, "room": "café tea", "key": format!("k{id}")});
        command.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.ask(command).await;
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn an_exported_log_is_whole_and_verifies_offline() {
    let rates = [("CONFAB__LIMITS__SENDS_PER_SECOND", "1000000"), ("CONFAB__LIMITS__SEND_BURST", "1000000")];
    let commands = [("CONFAB__LIMITS__COMMANDS_PER_SECOND", "1000000"), ("CONFAB__LIMITS__PAGE_ENTRIES", "50")];
    let served = Served::start(&[rates, commands].concat());
    let mut client = served.sign_in().await;
    client.ask(json!({"type": "join", "id": 1, "room": "café tea"})).await;
    for id in 2..=502 {
        client.send(id, "send", json!({"text": format!("message \"{id}\"\n")})).await;
    }
    client.send(503, "edit", json!({"target": 1, "text": "changed"})).await;
    client.send(504, "delete", json!({"target": 2})).await;
    client.send(505, "react", json!({"target": 3, "emoji": "👍", "on": true})).await;

    // Another spelling of the room's name is the same room.
    let exported = served.run(&["export", "cafe\u{301} tea "]);
    assert!(exported.status.success(), "{}", text(&exported.stderr));
    let lines: Vec<Value> = text(&exported.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let offsets: Vec<u64> = lines.iter().filter_map(|line| line["offset"].as_u64()).collect();
    assert!(offsets.iter().copied().eq(1..=504), "{offsets:?}");
    assert_eq!((&lines[0]["edited"], &lines[0]["text"]), (&json!(true), &Value::Null));
    assert_eq!((&lines[1]["deleted"], &lines[1]["text"]), (&json!(true), &Value::Null));

    let mut verify = Command::new(env!("CARGO_BIN_EXE_confab"))
        .args(["verify", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    verify.stdin.take().unwrap().write_all(&exported.stdout).unwrap();
    let verified = verify.wait_with_output().unwrap();
    assert!(verified.status.success());
    let answer: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!((&answer["entries"], &answer["withdrawn"]), (&json!(504), &json!(2)));
    let page = client.ask(json!({"type": "history", "id": 600, "room": "café tea"})).await;
    assert_eq!(answer["position"], page["position"], "the log that the members see");
}

#[tokio::test]
async fn an_empty_room_is_an_empty_export_and_a_refusal_is_told() {
    let served = Served::start(&[]);
    let exported = served.run(&["export", "nobody"]);
    assert_eq!((exported.status.code(), text(&exported.stdout)), (Some(0), ""), "{}", text(&exported.stderr));
    let refused = served.run(&["export", " "]);
    assert_eq!((refused.status.code(), text(&refused.stdout)), (Some(1), ""));
    assert!(text(&refused.stderr).contains("bad_room"), "{}", text(&refused.stderr));
}

#[test]
fn a_service_is_ready_then_ends_with_0_on_sigterm() {
    let mut served = Served::start(&[]);
    for arguments in [&["health"][..], &["health", "--live"]] {
        let asked = served.run(arguments);
        assert_eq!(asked.status.code(), Some(0), "{}", text(&asked.stderr));
    }
    served.signal("TERM");
    assert_eq!(served.exit_code(), Some(0));
    assert_eq!(served.run(&["health"]).status.code(), Some(1));
}

#[test]
fn a_taken_port_is_an_error_that_names_it() {
    let served = Served::start(&[]);
    let second = served.run(&["serve"]);
    assert_eq!(second.status.code(), Some(70));
    assert!(text(&second.stderr).contains(&format!("127.0.0.1:{}", served.port)), "{}", text(&second.stderr));
}
