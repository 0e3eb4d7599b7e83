//! Asking an instance for its health: one HTTP request with a deadline over all of it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// From the first packet to the status line of the answer.
const WITHIN: Duration = Duration::from_secs(2);

/// The answer is read as far as this, in bytes: the status line is all that counts.
const STATUS_LINE_BYTES: u64 = 64;

/// Fails unless the answer is 200, saying why.
pub(super) async fn ask(address: SocketAddr, path: &str) -> Result<(), String> {
    match timeout(WITHIN, status(address, path)).await {
        Ok(Ok(status)) if status.starts_with("HTTP/1.1 200 ") => Ok(()),
        Ok(Ok(status)) => Err(format!("{address}{path} answers {status:?}")),
        Ok(Err(error)) => Err(format!("{address}{path} doesn't answer: {error}")),
        Err(_) => Err(format!("{address}{path} doesn't answer within {} s", WITHIN.as_secs())),
    }
}

async fn status(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    let mut answers = stream.take(STATUS_LINE_BYTES);
    while !answer.contains(&b'\r') && answers.read_buf(&mut answer).await? > 0 {}
    let line = answer.split(|&b| b == b'\r').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).into_owned())
}
