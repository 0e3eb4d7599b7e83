//! Raw HTTP over real sockets, and an instance that answers it.
#![allow(dead_code)] // every test file uses a part of it

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

/// Far more than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What asks for a WebSocket.
pub const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: chat\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";

/// Reads up to the end of a header; bytes behind it come too, if they are there.
pub async fn head(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    while !read.windows(4).any(|four| four == b"\r\n\r\n") {
        if within(stream.read_buf(&mut read)).await.unwrap() == 0 {
            break;
        }
    }
    String::from_utf8(read).unwrap()
}

/// Reads so many bytes.
pub async fn bytes(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut read = vec![0; count];
    within(stream.read_exact(&mut read)).await.unwrap();
    read
}

/// Reads until the other side has ended the connection, in whatever way.
pub async fn ends(stream: &mut TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    let _ = within(stream.read_to_end(&mut read)).await;
    read
}

/// Sends a request on a connection of its own and gives it back for the answer.
pub async fn request(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// The whole answer to a GET.
pub async fn get(address: SocketAddr, more: &str) -> String {
    let text = format!("GET / HTTP/1.1\r\nHost: chat\r\nConnection: close\r\n{more}\r\n");
    String::from_utf8(ends(&mut request(address, &text).await).await).unwrap()
}

/// Waits for a condition.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// The result, or a panic when it takes too long.
pub async fn within<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("it doesn't take that long")
}

/// An address that refuses connections for as long as the socket lives, which keeps anybody else from listening there.
pub fn nobody() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// An instance that answers a plain request with its name and the request's header, and echoes behind an upgrade.
pub async fn instance(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let asked = head(&mut stream).await;
                let (asked, behind) = asked.split_once("\r\n\r\n").unwrap_or((&asked, ""));
                if asked.contains("GET /silent") {
                    let _ = ends(&mut stream).await;
                } else if asked.to_lowercase().contains("upgrade: websocket") {
                    let switch = format!(
                        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n{name} {behind}"
                    );
                    stream.write_all(switch.as_bytes()).await.unwrap();
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                } else {
                    let body = format!("{name}\n{asked}");
                    let length = body.len();
                    let answer =
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nKeep-Alive: timeout=5\r\n\r\n{body}");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    address
}
