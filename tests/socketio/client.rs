//! A Socket.IO client as the protocol describes it, without a library: it says what a test tells it to.

use serde_json::{Value, json};

use crate::common::{BINARY, PATIENCE, Raw, TEXT, TestApp};

pub const WEBSOCKET: &str = "/socket.io/?EIO=4&transport=websocket";

/// One client over a WebSocket.
pub struct Client {
    pub raw: Raw,
    /// What the server gave when the namespace was connected.
    pub pid: Option<String>,
    /// The last string that ended an event's arguments, as real clients remember it.
    pub offset: Option<String>,
    next_ack: u64,
}

impl Client {
    /// A transport that is open, and nothing said.
    pub async fn open(app: &TestApp) -> Self {
        let mut raw = app.websocket_at(WEBSOCKET).await;
        let frame = raw.next_frame().await.unwrap();
        let open = String::from_utf8(frame.payload).unwrap();
        assert!(open.starts_with("0{"), "{open}");
        Self { raw, pid: None, offset: None, next_ack: 0 }
    }

    /// A client that is connected.
    pub async fn connect(app: &TestApp) -> Self {
        let mut client = Self::open(app).await;
        client.say("40").await;
        client.connected().await;
        client
    }

    /// The confirmation of a connection.
    pub async fn connected(&mut self) -> Value {
        let packet = self.hear().await;
        let confirmed: Value = serde_json::from_str(packet.strip_prefix("40").expect(&packet)).unwrap();
        assert!(confirmed["sid"].as_str().is_some_and(|sid| sid.len() >= 20), "{packet}");
        self.pid = confirmed["pid"].as_str().map(str::to_owned);
        confirmed
    }

    /// A client that is in a room.
    pub async fn member(app: &TestApp, user: &str, room: &str) -> Self {
        let mut client = Self::connect(app).await;
        let answer = client.call("signin", &json!({"user": user, "room": room})).await;
        assert_eq!(answer[0], Value::Null, "{answer}");
        client
    }

    /// A new connection that goes on where this one was, as real clients do. Returns whether it was recovered.
    pub async fn reconnect(&mut self, app: &TestApp) -> bool {
        let fresh = Self::open(app).await;
        self.raw = fresh.raw;
        let before = self.pid.take();
        let mut auth = json!({});
        if let Some(pid) = &before {
            auth["pid"] = json!(pid);
            if let Some(offset) = &self.offset {
                auth["offset"] = json!(offset);
            }
        }
        self.say(&format!("40{auth}")).await;
        self.connected().await;
        before.is_some() && self.pid == before
    }

    /// Sends a packet.
    pub async fn say(&mut self, packet: &str) {
        self.raw.frame(TEXT, packet).await;
    }

    pub async fn say_bytes(&mut self, bytes: &[u8]) {
        self.raw.frame(BINARY, bytes).await;
    }

    /// The next packet, pings answered.
    pub async fn hear(&mut self) -> String {
        loop {
            let frame = self.raw.next_frame().await.expect("the connection goes on");
            assert_eq!(frame.opcode, TEXT, "{frame:?}");
            let packet = String::from_utf8(frame.payload).unwrap();
            if packet == "2" {
                self.say("3").await;
                continue;
            }
            if let Some(args) = packet.strip_prefix("42")
                && let Value::Array(args) = serde_json::from_str(args).unwrap()
                && let Some(Value::String(last)) = args.last()
                && args.len() > 1
            {
                self.offset = Some(last.clone());
            }
            return packet;
        }
    }

    /// The next event: its arguments, the name first.
    pub async fn event(&mut self) -> Value {
        let packet = self.hear().await;
        serde_json::from_str(packet.strip_prefix("42").expect(&packet)).unwrap()
    }

    /// The text of the next message, without notifications.
    pub async fn message(&mut self) -> String {
        loop {
            let event = self.event().await;
            if event[0] == "message" {
                return event[1]["text"].as_str().unwrap().to_owned();
            }
        }
    }

    /// The title and the description of the next notification, without messages.
    pub async fn notification(&mut self) -> (String, String) {
        loop {
            let event = self.event().await;
            if event[0] == "notification" {
                let field = |name: &str| event[1][name].as_str().unwrap().to_owned();
                return (field("title"), field("description"));
            }
        }
    }

    /// The next texts.
    pub async fn messages(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        for _ in 0..count {
            texts.push(self.message().await);
        }
        texts
    }

    /// Sends an event with its one argument, and returns the arguments of the answer. Events before it are dropped.
    pub async fn call(&mut self, event: &str, argument: &Value) -> Value {
        let ack = self.start(event, argument).await;
        self.answer(ack).await
    }

    /// Sends an event that wants an answer; returns its number.
    pub async fn start(&mut self, event: &str, argument: &Value) -> u64 {
        self.next_ack += 1;
        self.say(&format!("42{}{}", self.next_ack, json!([event, argument]))).await;
        self.next_ack
    }

    /// Waits for an answer, dropping events and other answers.
    pub async fn answer(&mut self, ack: u64) -> Value {
        let prefix = format!("43{ack}[");
        loop {
            let packet = self.hear().await;
            if packet.starts_with(&prefix) {
                return serde_json::from_str(&packet[prefix.len() - 1..]).unwrap();
            }
            assert!(packet.starts_with("42") || packet.starts_with("43"), "{packet}");
        }
    }

    /// Sends an event without asking for an answer.
    pub async fn emit(&mut self, event: &str, argument: &Value) {
        self.say(&format!("42{}", json!([event, argument]))).await;
    }

    pub async fn send(&mut self, text: &str) {
        assert_eq!(self.call("sendMessage", &json!(text)).await, json!([]));
    }

    /// Everything that was sent before is carried out, and nothing else waits here: an event that is answered comes next.
    pub async fn assert_quiet(&mut self) {
        self.next_ack += 1;
        self.say(&format!("42{}[\"nothing\"]", self.next_ack)).await;
        let packet = self.hear().await;
        assert!(packet.starts_with(&format!("43{}[", self.next_ack)), "{packet}");
    }
}

/// Waits until a condition holds.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let by = tokio::time::Instant::now() + PATIENCE;
    while !holds().await {
        assert!(tokio::time::Instant::now() < by, "{what}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
