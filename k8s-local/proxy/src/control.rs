//! One line in, one line of JSON out, over a socket in the file system, which only this user can open: a page in a
//! browser can't reach it.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

use crate::endpoint::Endpoint;
use crate::fleet::{Fleet, GRACE, Order};
use crate::pool::Pool;
use crate::probe;

/// Longest command, in bytes.
const COMMAND: u64 = 1_024;

/// How long a command may take to arrive.
const ARRIVE: Duration = Duration::from_secs(5);

/// After an error of `accept`.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// What the commands act on.
#[derive(Debug, Clone)]
pub enum Target {
    /// The front, and the instances where it owns them.
    Front(Pool, Option<Fleet>),
    /// The address of Redis.
    Endpoint(Endpoint),
}

impl Target {
    /// Carries out a command and answers with an object: what there is, or `error`.
    pub async fn tell(&self, line: &str) -> Value {
        let words: Vec<&str> = line.split_whitespace().collect();
        let done: Result<(), String> = match (self, words.as_slice()) {
            (_, ["status"]) => Ok(()),
            (Self::Front(pool, _), ["cut"]) => {
                pool.cut();
                Ok(())
            }
            (Self::Front(_, Some(fleet)), ["roll"]) => fleet.roll().await.map(drop).map_err(|error| error.to_string()),
            (Self::Front(_, Some(fleet)), [order @ ("stop" | "kill" | "freeze" | "thaw"), name]) => {
                let order = match *order {
                    "stop" => Order::Stop,
                    "kill" => Order::Kill,
                    "freeze" => Order::Freeze,
                    _ => Order::Thaw,
                };
                fleet.order(name, order).map_err(|error| error.to_string())
            }
            (Self::Endpoint(endpoint), ["cut"]) => {
                endpoint.cut();
                Ok(())
            }
            (Self::Endpoint(endpoint), ["lead", target]) if target.contains(':') => {
                endpoint.lead_to(target);
                Ok(())
            }
            (Self::Front(_, Some(_)), _) => {
                Err("commands: status, cut, roll, and stop, kill, freeze or thaw with an instance's name".to_owned())
            }
            (Self::Front(_, None), _) => Err("commands: status, cut".to_owned()),
            (Self::Endpoint(_), _) => Err("commands: status, cut, lead HOST:PORT".to_owned()),
        };
        match done {
            Ok(()) => self.status().await,
            Err(error) => json!({"error": error}),
        }
    }

    async fn status(&self) -> Value {
        match self {
            Self::Front(pool, fleet) => {
                let mut status = pool.status();
                status["instances"] = json!(described(pool).await);
                if fleet.is_some() {
                    status["probes"] = probe::described();
                    status["grace_s"] = json!(GRACE.as_secs());
                }
                status
            }
            Self::Endpoint(endpoint) => endpoint.status(),
        }
    }
}

/// Every instance, and whether it reaches Redis: all are asked at once, because one that is frozen takes its time.
async fn described(pool: &Pool) -> Vec<Value> {
    let asked = pool.instances().into_iter().map(|one| {
        tokio::spawn(async move {
            let reaches = probe::reaches_redis(one.address).await;
            let mut described = one.described();
            described["reaches_redis"] = json!(reaches);
            described
        })
    });
    let asked: Vec<_> = asked.collect();
    let mut instances = Vec::with_capacity(asked.len());
    for one in asked {
        instances.extend(one.await);
    }
    instances
}

/// A socket that is removed in the end.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Control {
    /// Listens. What a crash left at the path is replaced, but not where somebody listens.
    ///
    /// # Errors
    /// The path can't be used, or is in use.
    pub async fn bind(path: &Path) -> io::Result<Self> {
        if UnixStream::connect(path).await.is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens there already"));
        }
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Answers for ever.
    pub async fn serve(self, target: Target) {
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                sleep(ACCEPT_AGAIN).await;
                continue;
            };
            let target = target.clone();
            tokio::spawn(async move {
                // Whoever asked may be gone before the answer.
                let _ = answer(stream, &target).await;
            });
        }
    }
}

async fn answer(stream: UnixStream, target: &Target) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    timeout(ARRIVE, BufReader::new(read.take(COMMAND)).read_line(&mut line)).await??;
    let answer = target.tell(&line).await;
    write.write_all(format!("{answer}\n").as_bytes()).await
}

/// Sends a command to the socket and gives the answer.
///
/// # Errors
/// Nobody listens there, or the answer isn't one.
pub async fn tell(path: &Path, command: &str) -> io::Result<Value> {
    let mut stream = UnixStream::connect(path).await?;
    stream.write_all(format!("{command}\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    serde_json::from_str(&answer).map_err(io::Error::other)
}
