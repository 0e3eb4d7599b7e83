//! What is acknowledged and never delivered: every way that an entry on its way to a client that is live can end, and the
//! lines about clients that are closed for what they did.

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::scrape::{Instance, value};
use crate::served::Client;

/// How long one write may take where a client is to stall: longer than the few messages take that are written meanwhile.
const SOON_MS: &str = "5000";

/// Longer than a test.
const NEVER_MS: &str = "3600000";

/// `limits.outbox_bytes`, the least for the default page.
const OUTBOX_BYTES: f64 = 1_048_576.0;

/// More than waits for somebody who reads.
const BACKLOG_BYTES: f64 = 65_536.0;

/// As long as a text may be: with what is around it, a frame of its own.
const TEXT_BYTES: usize = 16_000;

/// Messages that are written at once; the gate of writes lets so many bytes through.
const TOGETHER: usize = 15;

const DELIVERED: &str = "confab_delivery_duration_seconds_count";
const DROPPED: &str = "confab_deliveries_dropped_total";

fn dropped_for(reason: &str) -> String {
    format!("{DROPPED}{{reason=\"{reason}\"}}")
}

/// A member who writes, and one who reads nothing, in one room of an instance.
struct Room {
    instance: Instance,
    writer: Client,
    /// Nobody reads from its connection.
    reader: Option<Client>,
    written: u32,
}

impl Room {
    async fn with(flush_timeout_ms: &str) -> Self {
        let instance = Instance::start(&[
            ("CONFAB__LIMITS__FLUSH_TIMEOUT_MS", flush_timeout_ms),
            ("CONFAB__LIMITS__FRAME_BYTES", "1048576"),
            ("CONFAB__LIMITS__SENDS_PER_SECOND", "100000"),
            ("CONFAB__LIMITS__SEND_BURST", "100000"),
            ("CONFAB__LIMITS__COMMANDS_PER_SECOND", "100000"),
            ("CONFAB__LIMITS__COMMAND_BURST", "100000"),
            // A client that reads nothing answers no ping.
            ("CONFAB__HEARTBEAT_TIMEOUT_MS", NEVER_MS),
            // What is written at once is then delivered at once.
            ("TOKIO_WORKER_THREADS", "1"),
        ]);
        let (mut writer, mut reader) = (instance.served.sign_in().await, instance.served.sign_in().await);
        for client in [&mut writer, &mut reader] {
            client.ask(json!({"type": "join", "id": 1, "room": "flood"})).await;
        }
        Self { instance, writer, reader: Some(reader), written: 0 }
    }

    async fn write(&mut self, messages: usize) {
        let text = "\u{1f980}".repeat(TEXT_BYTES / 4);
        let mut commands = Vec::new();
        for _ in 0..messages {
            self.written += 1;
            let id = self.written + 1;
            let key = format!("k{id}");
            commands.push(json!({"type": "send", "id": id, "room": "flood", "key": key, "text": text}));
        }
        let reply = self.writer.say_together(&commands).await;
        assert_eq!(reply["type"], "sent", "{reply}");
    }

    /// Writes until so much waits for the reader: the kernel takes some MiB before that.
    async fn write_until_waits(&mut self, bytes: f64) {
        while value(&self.instance.metrics().await, "confab_outbox_size_bytes") <= bytes {
            self.write(1).await;
            assert!(self.written < 5_000, "nothing waits for a reader who doesn't read");
        }
    }

    /// Each entry was for both of them, and came or is counted as dropped, for this reason alone.
    async fn nothing_is_out_of_sight(&self, reason: &str) {
        let due = f64::from(2 * self.written);
        let what = format!("{due} entries, delivered or dropped");
        let all_told = |text: &str| value(text, DELIVERED) + value(text, DROPPED) == due;
        let text = self.instance.until_told(&what, all_told).await;
        assert!(value(&text, DROPPED) > 0.0, "some were dropped");
        assert_eq!(value(&text, DROPPED), value(&text, &dropped_for(reason)), "for no other reason");
    }
}

#[tokio::test]
async fn what_a_slow_reader_is_cut_off_from_is_counted_and_its_close_is_a_line_in_the_log() {
    let mut room = Room::with(NEVER_MS).await;
    let most_at_once = (TOGETHER * TEXT_BYTES) as f64;
    room.write_until_waits(OUTBOX_BYTES - most_at_once + BACKLOG_BYTES).await;
    // Nothing is written behind the one that is too much: it would not be for the reader any more.
    room.write(TOGETHER).await;
    room.nothing_is_out_of_sight("overflow").await;
    let closed = &room.instance.served.lines(1, |line| line["code"] == 4008).await[0];
    assert_eq!(closed["severity"], "WARNING", "{closed}");
    assert!(closed["dropped"].as_u64() > Some(0) && closed["waiting_bytes"].as_u64() > Some(0), "{closed}");
}

#[tokio::test]
async fn what_a_client_that_reads_nothing_is_cut_off_from_is_counted() {
    let mut room = Room::with(SOON_MS).await;
    room.write_until_waits(BACKLOG_BYTES).await;
    room.nothing_is_out_of_sight("stalled").await;
}

#[tokio::test]
async fn what_was_on_its_way_to_a_client_that_goes_is_counted() {
    let mut room = Room::with(NEVER_MS).await;
    room.write_until_waits(BACKLOG_BYTES).await;
    drop(room.reader.take());
    room.nothing_is_out_of_sight("closed").await;
}

#[tokio::test]
async fn a_client_that_is_closed_for_a_budget_is_a_line_in_the_log_that_names_its_trace() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let instance = Instance::start(&[("CONFAB__LIMITS__UNFINISHED_MESSAGE_MS", "100")]);
    let port = &instance.served.port;
    let mut request = format!("ws://127.0.0.1:{port}/ws").into_client_request().unwrap();
    let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-00");
    request.headers_mut().insert("traceparent", traceparent.parse().unwrap());
    let tcp = TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
    let (mut socket, _) = client_async(request, tcp).await.unwrap();
    // A text of five bytes is announced, and never comes.
    socket.get_mut().write_all(&[0x81, 0x85]).await.unwrap();
    let closed = &instance.served.lines(1, |line| line["code"] == 4013).await[0];
    assert_eq!((&closed["severity"], &closed["protocol"]), (&json!("WARNING"), &json!("native")), "{closed}");
    assert_eq!((&closed["dropped"], &closed["waiting_bytes"]), (&json!(0), &json!(0)), "{closed}");
    assert_eq!(closed["logging.googleapis.com/trace"], TRACE, "{closed}");
}
