//! A connection to a running service, as any client has one: commands out, replies and pushes in.
//!
//! It answers heartbeats and knows which ends of a connection are worth another try. It knows no command's meaning.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async_tls};

use super::{Failed, NO, UNAVAILABLE, USAGE};

/// For the connection, and for each answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A command that is refused with a time to wait is repeated so often.
pub(super) const ATTEMPTS: u32 = 20;

/// The longest that a refusal makes it wait.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Who reads, and where.
#[derive(Debug, Args)]
pub(super) struct Guest {
    /// Where the service is, instead of this machine: wss://HOST/ws, or ws://HOST:PORT/ws without TLS
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The name that members see while it reads [default: the command's]
    #[arg(long)]
    name: Option<String>,
    /// A file that holds a guest token; without it, it reads as a new guest
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Guest {
    /// Connects to the service it names, or to the instance on this machine, and says hello.
    pub(super) async fn sign_in(&self, command: &str, own: SocketAddr) -> Result<(Service, Welcome), Failed> {
        let token = match &self.token_file {
            Some(file) => {
                let unreadable = |error| Failed::new(USAGE, format!("{}: {error}", file.display()));
                Some(std::fs::read_to_string(file).map_err(unreadable)?.trim().to_owned())
            }
            None => None,
        };
        self.sign_in_again(command, own, token.as_deref()).await
    }

    /// The same as whom an earlier welcome made it.
    pub(super) async fn sign_in_again(
        &self,
        command: &str,
        own: SocketAddr,
        token: Option<&str>,
    ) -> Result<(Service, Welcome), Failed> {
        let mut service = Service::connect(&url_or_own(self.url.as_deref(), own)).await?;
        let welcome = service.hello(self.name.as_deref().unwrap_or(command), token).await?;
        Ok((service, welcome))
    }
}

/// The URL that was given, or that of the instance on this machine.
pub(super) fn url_or_own(url: Option<&str>, own: SocketAddr) -> String {
    url.map_or_else(|| format!("ws://{own}/ws"), str::to_owned)
}

/// What a service says to a client that it knows now.
#[derive(Debug)]
pub(super) struct Welcome {
    pub(super) token: String,
    /// Which instance answers.
    pub(super) instance: String,
    /// A service that says nothing for this long is gone.
    pub(super) silence: Duration,
}

pub(super) struct Service {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    last_id: u64,
    /// The rest of the last frame.
    waiting: VecDeque<Value>,
    /// When the last frame came, of whatever kind.
    heard_at: Instant,
}

impl Service {
    pub(super) async fn connect(url: &str) -> Result<Self, Failed> {
        let request = url.into_client_request().map_err(|error| Failed::new(USAGE, format!("{url}: {error}")))?;
        let uri = request.uri();
        let (Some(scheme @ ("ws" | "wss")), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err(Failed::new(USAGE, format!("{url}: must be wss://HOST/ws or ws://HOST:PORT/ws")));
        };
        let address = format!("{host}:{}", uri.port_u16().unwrap_or(if scheme == "wss" { 443 } else { 80 }));
        let connected = timeout(ANSWER_WITHIN, async {
            let stream = TcpStream::connect(&address).await.map_err(|error| error.to_string())?;
            stream.set_nodelay(true).map_err(|error| error.to_string())?;
            // For wss the certificate has to be one that this system trusts.
            let (socket, _) = client_async_tls(request, stream).await.map_err(not_opened)?;
            Ok::<_, String>(socket)
        });
        let away = |problem: String| Failed::new(UNAVAILABLE, format!("{url} can't be reached: {problem}"));
        let socket = connected.await.map_err(|_| away("no answer".to_owned()))?.map_err(away)?;
        Ok(Self { socket, last_id: 0, waiting: VecDeque::new(), heard_at: Instant::now() })
    }

    /// Signs in: as a new guest, or as the one whom a token names.
    pub(super) async fn hello(&mut self, name: &str, token: Option<&str>) -> Result<Welcome, Failed> {
        let mut hello = json!({"type": "hello", "name": name});
        if let Some(token) = token {
            hello["token"] = token.into();
        }
        let welcome = self.ask(hello).await?;
        let text = |field: &str| welcome[field].as_str().map(str::to_owned);
        let (Some(token), Some(instance), Some(heartbeat_ms)) =
            (text("token"), text("instance"), welcome["heartbeat_ms"].as_u64())
        else {
            return Err(Failed::new(NO, "the service sent a welcome without token, instance or heartbeat_ms"));
        };
        Ok(Welcome { token, instance, silence: Duration::from_millis(heartbeat_ms.saturating_mul(2)) })
    }

    /// Sends a command until it isn't refused for the moment only, and returns its reply. Pushes pass by.
    pub(super) async fn ask(&mut self, mut command: Value) -> Result<Value, Failed> {
        for _ in 0..ATTEMPTS {
            let id = self.say(&mut command).await?;
            let reply = timeout(ANSWER_WITHIN, self.reply(id))
                .await
                .map_err(|_| Failed::new(UNAVAILABLE, "the service doesn't answer"))??;
            if reply["type"] != "error" {
                return Ok(reply);
            }
            sleep(wait_after(&command, &reply)?).await;
        }
        Err(Failed::new(
            UNAVAILABLE,
            format!("{} was refused {ATTEMPTS} times", command["type"].as_str().unwrap_or("?")),
        ))
    }

    /// Sends a command under a new id, which it returns.
    pub(super) async fn say(&mut self, command: &mut Value) -> Result<u64, Failed> {
        self.last_id += 1;
        command["id"] = self.last_id.into();
        self.send(command).await?;
        Ok(self.last_id)
    }

    async fn reply(&mut self, id: u64) -> Result<Value, Failed> {
        loop {
            let object = self.next().await?;
            if object["id"] == id {
                return Ok(object);
            }
        }
    }

    /// When the service was last heard, be it by a `ping`.
    pub(super) const fn heard_at(&self) -> Instant {
        self.heard_at
    }

    /// The next reply or push. `ping` is answered here.
    pub(super) async fn next(&mut self) -> Result<Value, Failed> {
        loop {
            while let Some(object) = self.waiting.pop_front() {
                if object["type"] == "ping" {
                    self.send(&json!({"type": "pong"})).await?;
                } else {
                    return Ok(object);
                }
            }
            let frame = self.socket.next().await;
            self.heard_at = Instant::now();
            let frame = match frame {
                Some(Ok(Message::Text(frame))) => frame,
                Some(Ok(Message::Close(reason))) => return Err(closed(reason)),
                Some(Ok(_)) => continue,
                Some(Err(error)) => return Err(Failed::new(UNAVAILABLE, format!("the connection broke: {error}"))),
                None => return Err(Failed::new(UNAVAILABLE, "the connection ended")),
            };
            for object in frame.lines().filter(|line| !line.is_empty()) {
                let object = serde_json::from_str(object)
                    .map_err(|error| Failed::new(NO, format!("the service sent no JSON: {error}")))?;
                self.waiting.push_back(object);
            }
        }
    }

    async fn send(&mut self, object: &Value) -> Result<(), Failed> {
        let broke = |error| Failed::new(UNAVAILABLE, format!("the connection broke: {error}"));
        self.socket.send(Message::text(object.to_string())).await.map_err(broke)
    }

    /// Says goodbye; whether it is heard doesn't matter.
    pub(super) async fn close(mut self) {
        self.socket.close(None).await.ok();
    }
}

/// How long a refusal asks to wait before the command is repeated.
///
/// # Errors
/// Where repeating it can't help.
pub(super) fn wait_after(command: &Value, refusal: &Value) -> Result<Duration, Failed> {
    match refusal["retry_ms"].as_u64() {
        Some(retry_ms) => Ok(Duration::from_millis(retry_ms).min(LONGEST_WAIT)),
        None => Err(refused(command, refusal)),
    }
}

/// Tells whoever watches; what was asked for has standard output for itself.
pub(super) fn tell(what: &str) {
    let _ = writeln!(io::stderr(), "confab: {what}");
}

/// A refusal as the end of a command.
pub(super) fn refused(command: &Value, refusal: &Value) -> Failed {
    let text = |object: &Value, field: &str| object[field].as_str().unwrap_or("?").to_owned();
    let (code, message) = (text(refusal, "code"), text(refusal, "message"));
    Failed::new(NO, format!("{} is refused: {code}: {message}", text(command, "type")))
}

/// Why an address opens no WebSocket.
fn not_opened(error: tungstenite::Error) -> String {
    let tungstenite::Error::Http(answer) = error else { return error.to_string() };
    match answer.status() {
        status @ StatusCode::SERVICE_UNAVAILABLE => format!("it answers {status}: it has no room, or is draining"),
        status => format!("it answers {status} and opens no WebSocket: is the path that of the service, /ws?"),
    }
}

/// The end of a connection: worth another try as docs/protocol.md says.
fn closed(reason: Option<CloseFrame>) -> Failed {
    let Some(CloseFrame { code, reason }) = reason else {
        return Failed::new(UNAVAILABLE, "the service closed");
    };
    let for_good = matches!(u16::from(code), 1002 | 1003 | 1007 | 1009 | 4500..=4999);
    Failed::new(if for_good { NO } else { UNAVAILABLE }, format!("the service closed: {code} {reason}"))
}
