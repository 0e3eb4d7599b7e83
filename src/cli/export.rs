//! `confab export`: a guest like any other that joins a room and reads its log back to the oldest entry.
//!
//! What it writes was verified on the way, so a log that changed while it was read is an error, never a wrong file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async_tls};

use super::{Failed, INTERNAL, NO, UNAVAILABLE, USAGE};
use crate::log::Verifier;

/// For the connection, and for each answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A command that is refused with a time to wait is repeated so often.
const ATTEMPTS: u32 = 20;

/// The longest that a refusal makes it wait, in milliseconds.
const LONGEST_WAIT_MS: u64 = 10_000;

/// Entries asked for at a time: what the service gives at most unless it was set up otherwise.
const PAGE_ENTRIES: u64 = 200;

#[derive(Debug, Args)]
pub(super) struct Export {
    /// The room
    room: String,
    /// Where the service is, instead of this machine: wss://HOST/ws, or ws://HOST:PORT/ws without TLS
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The name that members see while it reads
    #[arg(long, default_value = "export")]
    name: String,
    /// A file that holds a guest token; without it, it reads as a new guest
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Export {
    /// The whole log, oldest entry first, verified.
    pub(super) async fn read(&self, own: SocketAddr) -> Result<Vec<String>, Failed> {
        let url = self.url.clone().unwrap_or_else(|| format!("ws://{own}/ws"));
        let mut verifier = Verifier::default();
        let mut lines = Vec::new();
        for entry in self.entries(&url).await? {
            let line = entry.to_string();
            let broken = |problem| Failed::new(NO, format!("the log doesn't hold together, try again: {problem}"));
            verifier.take(line.as_bytes()).map_err(broken)?;
            lines.push(line);
        }
        Ok(lines)
    }

    async fn entries(&self, url: &str) -> Result<Vec<Value>, Failed> {
        let mut service = Service::connect(url).await?;
        let mut hello = json!({"type": "hello", "name": self.name});
        if let Some(file) = &self.token_file {
            let unreadable = |error| Failed::new(USAGE, format!("{}: {error}", file.display()));
            hello["token"] = std::fs::read_to_string(file).map_err(unreadable)?.trim().into();
        }
        service.ask(hello).await?;
        let joined = service.ask(json!({"type": "join", "room": self.room, "limit": PAGE_ENTRIES})).await?;
        // Pages come newest first, and so they wait here.
        let mut pages = Vec::new();
        let mut page = joined;
        loop {
            let Value::Array(entries) = page["entries"].take() else {
                return Err(Failed::new(NO, "the service sent a page without entries"));
            };
            let first = entries.first().and_then(|entry| entry["offset"].as_u64());
            let oldest = page["oldest"].as_u64().unwrap_or(0);
            pages.push(entries);
            let Some(first) = first.filter(|first| *first > oldest) else { break };
            let command = json!({"type": "history", "room": self.room, "before": first, "limit": PAGE_ENTRIES});
            page = service.ask(command).await?;
        }
        service.socket.close(None).await.ok();
        Ok(pages.into_iter().rev().flatten().collect())
    }
}

struct Service {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    last_id: u64,
}

impl Service {
    async fn connect(url: &str) -> Result<Self, Failed> {
        let request = url.into_client_request().map_err(|error| Failed::new(USAGE, format!("{url}: {error}")))?;
        let uri = request.uri();
        let (Some(scheme @ ("ws" | "wss")), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err(Failed::new(USAGE, format!("{url}: must be wss://HOST/ws or ws://HOST:PORT/ws")));
        };
        let address = format!("{host}:{}", uri.port_u16().unwrap_or(if scheme == "wss" { 443 } else { 80 }));
        let connected = timeout(ANSWER_WITHIN, async {
            let stream = TcpStream::connect(&address).await.map_err(|error| error.to_string())?;
            // For wss the certificate has to be one that this system trusts.
            let (socket, _) = client_async_tls(request, stream).await.map_err(|error| error.to_string())?;
            Ok::<_, String>(socket)
        });
        let away = |problem: String| Failed::new(UNAVAILABLE, format!("{url} can't be reached: {problem}"));
        let socket = connected.await.map_err(|_| away("no answer".to_owned()))?.map_err(away)?;
        Ok(Self { socket, last_id: 0 })
    }

    /// Sends a command until it isn't refused for the moment only, and returns its reply.
    async fn ask(&mut self, mut command: Value) -> Result<Value, Failed> {
        for _ in 0..ATTEMPTS {
            self.last_id += 1;
            command["id"] = self.last_id.into();
            self.send(&command).await?;
            let reply = timeout(ANSWER_WITHIN, self.reply())
                .await
                .map_err(|_| Failed::new(UNAVAILABLE, "the service doesn't answer"))??;
            if reply["type"] != "error" {
                return Ok(reply);
            }
            let Some(retry_ms) = reply["retry_ms"].as_u64() else {
                let (code, message) = (&reply["code"], &reply["message"]);
                return Err(Failed::new(NO, format!("{} is refused: {code} {message}", command["type"])));
            };
            sleep(Duration::from_millis(retry_ms.min(LONGEST_WAIT_MS))).await;
        }
        Err(Failed::new(UNAVAILABLE, format!("{} was refused {ATTEMPTS} times", command["type"])))
    }

    /// The reply to the last command. Pushes pass by, but for `ping`, which wants an answer.
    async fn reply(&mut self) -> Result<Value, Failed> {
        loop {
            let frame = match self.socket.next().await {
                Some(Ok(Message::Text(frame))) => frame,
                Some(Ok(Message::Close(reason))) => {
                    let reason = reason.map_or_else(String::new, |frame| format!(": {} {}", frame.code, frame.reason));
                    return Err(Failed::new(UNAVAILABLE, format!("the service closed{reason}")));
                }
                Some(Ok(_)) => continue,
                Some(Err(error)) => return Err(Failed::new(UNAVAILABLE, format!("the connection broke: {error}"))),
                None => return Err(Failed::new(UNAVAILABLE, "the connection ended")),
            };
            let mut reply = None;
            for object in frame.lines().filter(|line| !line.is_empty()) {
                let object: Value = serde_json::from_str(object)
                    .map_err(|error| Failed::new(INTERNAL, format!("the service sent no JSON: {error}")))?;
                if object["type"] == "ping" {
                    self.send(&json!({"type": "pong"})).await?;
                } else if object["id"] == self.last_id {
                    reply = Some(object);
                }
            }
            if let Some(reply) = reply {
                return Ok(reply);
            }
        }
    }

    async fn send(&mut self, object: &Value) -> Result<(), Failed> {
        let broke = |error| Failed::new(UNAVAILABLE, format!("the connection broke: {error}"));
        self.socket.send(Message::text(object.to_string())).await.map_err(broke)
    }
}
