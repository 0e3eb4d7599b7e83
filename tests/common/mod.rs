//! An instance started inside the test on a free port, and raw clients: what a test sends is exactly what it says.
#![allow(dead_code)] // every test file uses a part of it
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use confab::config::{Environment, Settings};
use confab::metrics::Metrics;
use confab::server::{RunError, Server, connect};
use confab::store::memory::{Memory, SystemClock};
use confab::store::{Feed, Store};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Whatever a test waits for comes within this time, or the test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The key of RFC 6455's sample, and its accept key.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xa;
const FINAL: u8 = 0x80;

/// One instance, over an embedded store of its own unless the settings name another.
pub struct TestApp {
    pub address: SocketAddr,
    /// What SIGTERM does.
    pub drain: CancellationToken,
    /// What a second SIGTERM does.
    pub end: CancellationToken,
    serving: JoinHandle<Result<(), RunError>>,
}

impl TestApp {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With settings by the names of their variables, without `CONFAB__`.
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        Self::over(settings, |store, feed| (store, feed)).await
    }

    /// With something between the instance and its store.
    pub async fn over(
        settings: &[(&str, &str)],
        between: impl FnOnce(Arc<dyn Store>, Feed) -> (Arc<dyn Store>, Feed),
    ) -> Self {
        let mut settings = load(settings);
        let metrics = Arc::new(Metrics::default());
        let (store, feed) = connect(&mut settings, &metrics).await.unwrap();
        let (store, feed) = between(store, feed);
        Self::serve(&settings, store, feed, metrics).await
    }

    /// Instances that share a store, and the keys of what they sign.
    pub async fn several<const N: usize>(settings: &[(&str, &str)]) -> [Self; N] {
        Self::each([settings; N]).await
    }

    /// The same, with settings for each; the store's are those of the first.
    pub async fn each<const N: usize>(settings: [&[(&str, &str)]; N]) -> [Self; N] {
        let all = settings.map(|settings| {
            let keys = ("AUTH__KEYS", "a-key-that-the-instances-of-a-test-share");
            load(&settings.iter().copied().chain([keys]).collect::<Vec<_>>())
        });
        let memory = memory(&all[0]);
        let mut apps = Vec::new();
        for settings in &all {
            let (store, feed) = memory.attach(&settings.instance);
            apps.push(Self::serve(settings, store, feed, Arc::default()).await);
        }
        apps.try_into().ok().unwrap()
    }

    /// One that was started elsewhere, and ends there.
    pub fn at(address: SocketAddr) -> Self {
        let serving = tokio::spawn(std::future::pending());
        Self { address, drain: CancellationToken::new(), end: CancellationToken::new(), serving }
    }

    async fn serve(settings: &Settings, store: Arc<dyn Store>, feed: Feed, metrics: Arc<Metrics>) -> Self {
        let server = Server::bind(settings, store, feed, metrics).await.unwrap();
        let address = server.local_addr();
        let (drain, end) = (CancellationToken::new(), CancellationToken::new());
        let serving = tokio::spawn(server.serve(drain.clone(), end.clone()));
        Self { address, drain, end, serving }
    }

    /// Ends it as a crash does: without a word to anybody.
    pub async fn kill(self) {
        self.end.cancel();
        self.ended().await;
    }

    /// Waits until it has ended by itself.
    pub async fn ended(self) {
        within(self.serving).await.unwrap().unwrap();
    }

    /// Waits until it has ended by itself because of a fault.
    pub async fn failed(self) -> RunError {
        within(self.serving).await.unwrap().unwrap_err()
    }

    /// A TCP connection that has said nothing.
    pub async fn connect(&self) -> Raw {
        Raw { tcp: TcpStream::connect(self.address).await.unwrap(), buffer: Vec::new() }
    }

    /// Sends a request as it is, and reads the head and body of the answer.
    pub async fn request(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut raw = self.connect().await;
        raw.send(request).await;
        raw.answer().await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.request(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address)).await
    }

    /// The lines of a good request for a WebSocket, for a test to change.
    pub fn upgrade(&self) -> Vec<String> {
        vec![
            "GET /ws HTTP/1.1".to_owned(),
            format!("Host: {}", self.address),
            "Upgrade: websocket".to_owned(),
            "Connection: Upgrade".to_owned(),
            "Sec-WebSocket-Version: 13".to_owned(),
            format!("Sec-WebSocket-Key: {KEY}"),
        ]
    }

    /// A WebSocket that has said nothing.
    pub async fn websocket(&self) -> Raw {
        self.websocket_at("/ws").await
    }

    /// The same at another path.
    pub async fn websocket_at(&self, path: &str) -> Raw {
        let mut raw = self.connect().await;
        let mut request = self.upgrade();
        request[0] = format!("GET {path} HTTP/1.1");
        raw.send(lines(&request)).await;
        let answer = raw.answer().await;
        assert_eq!(answer.status, 101, "{answer:?}");
        raw
    }

    /// A client that has said hello.
    pub async fn signed_in(&self, name: &str) -> Raw {
        let mut client = self.websocket().await;
        client.say(&json!({"type": "hello", "id": 1, "name": name})).await;
        assert_eq!(client.hear().await["type"], "welcome");
        client
    }

    /// A client that is in a room.
    pub async fn member(&self, name: &str, room: &str) -> Raw {
        let mut client = self.signed_in(name).await;
        client.say(&json!({"type": "join", "id": 2, "room": room})).await;
        client.hear_type("joined").await;
        client
    }

    /// Two members of a room who see each other's messages: whatever happened before didn't hurt anybody.
    pub async fn assert_serves(&self) {
        let mut one = self.member("Ada", "witness").await;
        let mut other = self.member("Bo", "witness").await;
        one.say(&json!({"type": "send", "id": 3, "room": "witness", "key": "k", "text": "still here"})).await;
        assert_eq!(other.hear_type("message").await["text"], "still here");
    }
}

fn load(settings: &[(&str, &str)]) -> Settings {
    let defaults = [("PORT", "0"), ("LIMITS__SENDS_PER_SECOND", "1000000"), ("STORE__MEMORY_BYTES", "67108864")];
    let all = defaults.iter().chain(settings);
    let environment: Environment = all.map(|(name, value)| (format!("CONFAB__{name}"), (*value).to_owned())).collect();
    Settings::load(None, &environment).unwrap()
}

fn memory(settings: &Settings) -> Memory {
    Memory::new(Arc::new(settings.limits.for_clients()), 64 << 20, Arc::new(SystemClock))
}

/// The head of a request from its lines.
pub fn lines(lines: &[String]) -> String {
    lines.join("\r\n") + "\r\n\r\n"
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{}:", name.to_ascii_lowercase());
        self.head
            .lines()
            .find(|line| line.to_ascii_lowercase().starts_with(&prefix))
            .map(|line| line[prefix.len()..].trim())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn code(&self) -> String {
        self.json()["code"].as_str().expect("a refusal has a code").to_owned()
    }
}

/// A frame of the server.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub opcode: u8,
    pub payload: Vec<u8>,
}

/// A TCP connection to the instance.
pub struct Raw {
    pub tcp: TcpStream,
    buffer: Vec<u8>,
}

impl Raw {
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.tcp.write_all(bytes.as_ref())).await.expect("the connection takes what is sent");
    }

    /// Sends, and doesn't mind if the server has had enough.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        within(self.tcp.write_all(bytes.as_ref())).await.is_ok()
    }

    /// Reads more. False at the end of the connection.
    async fn more(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        match within(self.tcp.read(&mut chunk)).await {
            Ok(0) | Err(_) => false,
            Ok(read) => {
                self.buffer.extend_from_slice(&chunk[..read]);
                true
            }
        }
    }

    pub async fn answer(&mut self) -> Answer {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            let text = String::from_utf8_lossy(&self.buffer).into_owned();
            assert!(self.more().await, "the connection ended in the head of an answer: {text:?}");
        };
        let head = String::from_utf8(self.buffer.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head, body: Vec::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        while self.buffer.len() < length {
            assert!(self.more().await, "the connection ended in the body of an answer");
        }
        answer.body = self.buffer.drain(..length).collect();
        answer
    }

    /// Waits for the end of the connection, whatever comes before it.
    pub async fn ended(&mut self) {
        while self.more().await {
            self.buffer.clear();
        }
    }

    /// Sends one whole, masked frame.
    pub async fn frame(&mut self, opcode: u8, payload: impl AsRef<[u8]>) {
        self.send(frame(FINAL | opcode, payload.as_ref())).await;
    }

    pub async fn say(&mut self, command: &Value) {
        self.frame(TEXT, command.to_string()).await;
    }

    /// The next frame; `None` at the end of the connection.
    pub async fn next_frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, length)) = parse(&self.buffer) {
                self.buffer.drain(..length);
                return Some(frame);
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// The next object, without pings.
    pub async fn hear(&mut self) -> Value {
        loop {
            let frame = self.next_frame().await.expect("the connection goes on");
            assert_eq!(frame.opcode, TEXT, "{frame:?}");
            let text = String::from_utf8(frame.payload).unwrap();
            let (first, rest) =
                text.split_once('\n').map_or((text.as_str(), None), |(first, rest)| (first, Some(rest)));
            if let Some(rest) = rest {
                // Several objects in a frame: put the others back as a frame of their own.
                let back = unmasked(FINAL | TEXT, rest.as_bytes());
                self.buffer.splice(..0, back);
            }
            let object: Value = serde_json::from_str(first).unwrap();
            if object["type"] != "ping" {
                return object;
            }
        }
    }

    /// The next object of a type, dropping others.
    pub async fn hear_type(&mut self, kind: &str) -> Value {
        loop {
            let object = self.hear().await;
            if object["type"] == kind {
                return object;
            }
            assert_ne!(object["type"], "error", "{object}");
        }
    }

    /// Waits for the close frame, whatever comes before it: its code and reason.
    pub async fn close_frame(&mut self) -> (u16, String) {
        loop {
            let frame = self.next_frame().await.expect("a close frame comes before the end of the connection");
            if frame.opcode == CLOSE {
                if frame.payload.is_empty() {
                    return (1005, String::new());
                }
                let (code, reason) = frame.payload.split_at(2);
                return (u16::from_be_bytes([code[0], code[1]]), String::from_utf8(reason.to_vec()).unwrap());
            }
        }
    }

    /// The close code, after which the server ends the connection too.
    pub async fn closed_with(&mut self) -> u16 {
        let (code, _) = self.close_frame().await;
        // The client's half of the closing handshake; the server may be gone.
        self.try_send(frame(FINAL | CLOSE, &code.to_be_bytes())).await;
        self.ended().await;
        code
    }
}

/// A masked frame. The mask isn't zero, so the payload on the wire isn't the payload.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];
    let mut frame = head(first, 0x80, payload.len() as u64);
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A frame as a server sends it.
pub fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(first, 0, payload.len() as u64);
    frame.extend(payload);
    frame
}

/// The head of a frame with its shortest length, and without its mask.
pub fn head(first: u8, masked: u8, length: u64) -> Vec<u8> {
    let mut head = vec![first];
    match length {
        0..126 => head.push(masked | length as u8),
        126..65_536 => {
            head.push(masked | 126);
            head.extend((length as u16).to_be_bytes());
        }
        _ => {
            head.push(masked | 127);
            head.extend(length.to_be_bytes());
        }
    }
    head
}

fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    assert_eq!(second & 0x80, 0, "a server masks nothing");
    assert_eq!(first & 0xf0, FINAL, "the server sends whole frames without reserved bits");
    let (at, length) = match second {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap()))),
        127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap())).unwrap()),
        short => (2, usize::from(short)),
    };
    let payload = bytes.get(at..at + length)?.to_vec();
    Some((Frame { opcode: first & 0x0f, payload }, at + length))
}

/// Waits for something that has to come.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("what the test waits for comes in time")
}
