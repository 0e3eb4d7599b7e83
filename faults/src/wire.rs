//! One WebSocket to an instance, at any path: text frames in and out.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// How long opening a connection may take.
const OPEN: Duration = Duration::from_secs(3);

/// How long a write may take before the connection counts as dead.
const WRITE: Duration = Duration::from_secs(5);

/// A small receive buffer, so that a client that doesn't read is felt soon.
const RECEIVE_BUFFER: u32 = 64 * 1024;

/// What a connection without a close code ended with.
pub const NO_CODE: u16 = 1006;

/// An open connection.
pub struct Wire {
    socket: WebSocketStream<TcpStream>,
    /// When the last frame came.
    pub heard_at: Instant,
}

/// The connection ended, with this close code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended(pub u16);

impl Wire {
    /// Opens a connection.
    ///
    /// # Errors
    /// Nobody is there, or who is there refuses.
    pub async fn open(addr: SocketAddr, path: &str) -> Result<Self, Ended> {
        let open = async {
            let tcp = TcpSocket::new_v4()?;
            tcp.set_recv_buffer_size(RECEIVE_BUFFER)?;
            let tcp = tcp.connect(addr).await?;
            tcp.set_nodelay(true)?;
            let config = WebSocketConfig::default().read_buffer_size(16 * 1024).write_buffer_size(4 * 1024);
            client_async_with_config(format!("ws://{addr}{path}"), tcp, Some(config)).await
        };
        match timeout(OPEN, open).await {
            Ok(Ok((socket, _))) => Ok(Self { socket, heard_at: Instant::now() }),
            _ => Err(Ended(NO_CODE)),
        }
    }

    /// Says something.
    ///
    /// # Errors
    /// The connection ended.
    pub async fn say(&mut self, text: String) -> Result<(), Ended> {
        match timeout(WRITE, self.socket.send(Message::text(text))).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Ended(NO_CODE)),
        }
    }

    /// The next text. Nothing is lost where this is dropped half-way.
    ///
    /// # Errors
    /// The connection ended.
    pub async fn hear(&mut self) -> Result<Utf8Bytes, Ended> {
        loop {
            let frame = self.socket.next().await;
            self.heard_at = Instant::now();
            match frame {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Close(Some(frame)))) => return Err(Ended(frame.code.into())),
                Some(Ok(Message::Close(None))) => return Err(Ended(1005)),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(Ended(NO_CODE)),
            }
        }
    }

    /// Closes with 1000 and goes, whatever is under way.
    pub async fn close(mut self) {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let _ = timeout(WRITE, self.socket.close(Some(frame))).await;
    }
}
