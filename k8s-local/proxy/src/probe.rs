//! Asking an instance for its health, as Cloud Run and Kubernetes do: an HTTP GET with a deadline.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::pool::{Instance, Pool, State};

/// Longest status line that counts, in bytes.
const STATUS_LINE: u64 = 64;

/// One probe.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    /// What is asked for.
    pub path: &'static str,
    /// Between two of them.
    pub period: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Failures in a row that count.
    pub failures: u32,
}

/// Of an instance that starts. The same budget as in the cloud (240 s), asked more often, because nobody wants to wait
/// 5 s for an instance that starts in one tenth of it.
pub const STARTUP: Probe = Probe {
    path: "/health/startup",
    period: Duration::from_millis(100),
    timeout: Duration::from_secs(4),
    failures: 2_400,
};

/// Of one that runs: it is killed if it fails.
pub const LIVENESS: Probe =
    Probe { path: "/health/live", period: Duration::from_secs(15), timeout: Duration::from_secs(5), failures: 4 };

/// Of one that runs: it gets no new requests while it fails.
pub const READINESS: Probe =
    Probe { path: "/health/ready", period: Duration::from_secs(5), timeout: Duration::from_secs(4), failures: 2 };

/// How long an instance may take to say whether it reaches Redis. Whoever asks for the status waits for it.
const REACHES: Duration = Duration::from_secs(2);

/// Longest answer to a health path that counts, in bytes.
const ANSWER: u64 = 4_096;

/// All three, as the status tells them.
#[must_use]
pub fn described() -> Value {
    json!({"startup": STARTUP.described(), "liveness": LIVENESS.described(), "readiness": READINESS.described()})
}

impl Probe {
    fn described(&self) -> Value {
        json!({"path": self.path, "period_s": self.period.as_secs_f64(), "timeout_s": self.timeout.as_secs_f64(),
               "failures": self.failures})
    }

    /// Whether the answer is 2xx or 3xx, in time.
    pub async fn succeeds(&self, address: SocketAddr) -> bool {
        timeout(self.timeout, ask(address, self.path)).await.is_ok_and(|answer| answer.unwrap_or(false))
    }
}

/// Whether the instance says that it reaches Redis. Its readiness doesn't tell: an outage must not take all instances out.
pub async fn reaches_redis(address: SocketAddr) -> bool {
    let asked = async {
        let mut stream = open(address, READINESS.path).await?;
        let mut answer = String::new();
        (&mut stream).take(ANSWER).read_to_string(&mut answer).await?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let health: Value = serde_json::from_str(body)?;
        std::io::Result::Ok(health["store"]["reachable"] == true)
    };
    timeout(REACHES, asked).await.is_ok_and(|answer| answer.unwrap_or(false))
}

/// Takes an instance out of the choice while its readiness probe fails, until it is gone.
pub async fn keep_ready(instance: &Instance, pool: &Pool) {
    let mut failures = 0;
    while pauses(instance, READINESS.period).await {
        failures = if READINESS.succeeds(instance.address).await { 0 } else { failures + 1 };
        if failures == 0 {
            pool.set(instance, State::Ready);
        } else if failures >= READINESS.failures {
            pool.set(instance, State::Unready);
        }
    }
}

/// Resolves with true when the liveness probe has failed for good, with false when the instance is gone.
pub async fn dies(instance: &Instance) -> bool {
    let mut failures = 0;
    while failures < LIVENESS.failures {
        if !pauses(instance, LIVENESS.period).await {
            return false;
        }
        failures = if LIVENESS.succeeds(instance.address).await { 0 } else { failures + 1 };
    }
    true
}

/// Asks by the startup probe, but every `period`, until it succeeds: true. False when the instance is gone or `tries`
/// are used up.
pub async fn starts(instance: &Instance, period: Duration, tries: u32) -> bool {
    for _ in 0..tries {
        if STARTUP.succeeds(instance.address).await {
            return true;
        }
        if !pauses(instance, period).await {
            return false;
        }
    }
    false
}

/// Waits; false when the instance is gone.
async fn pauses(instance: &Instance, pause: Duration) -> bool {
    tokio::select! {
        () = sleep(pause) => true,
        () = instance.gone.cancelled() => false,
    }
}

/// Sends a GET; the answer is read from what is returned, up to its end.
async fn open(address: SocketAddr, path: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}

async fn ask(address: SocketAddr, path: &str) -> std::io::Result<bool> {
    let mut answer = Vec::new();
    let mut stream = open(address, path).await?.take(STATUS_LINE);
    while !answer.contains(&b'\r') && stream.read_buf(&mut answer).await? > 0 {}
    Ok(answer.starts_with(b"HTTP/1.1 2") || answer.starts_with(b"HTTP/1.1 3"))
}
