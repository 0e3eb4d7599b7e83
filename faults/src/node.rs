//! One Redis process, set up as Memorystore is: no persistence, dangerous commands out of reach, perhaps a password and
//! TLS. The campaign itself talks to it through a socket in the file system, which no fault touches.

use std::ffi::OsStr;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use redis::{FromRedisValue, RedisError};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};

use crate::certificate::Certificate;
use crate::process::Process;

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(20);

/// How long a command of the campaign's own may take.
const ANSWER: Duration = Duration::from_secs(10);

/// Tries to find a free port: between finding and using it, somebody else may take it.
const TRIES: usize = 5;

/// The names under which the campaign alone reaches what Memorystore blocks.
const HIDDEN: [(&str, &str); 3] =
    [("CONFIG", "faults-config"), ("REPLICAOF", "faults-replicaof"), ("SHUTDOWN", "faults-shutdown")];

/// What Memorystore blocks and nobody here needs.
const BLOCKED: [&str; 10] =
    ["ACL", "BGREWRITEAOF", "BGSAVE", "CLUSTER", "COMMAND", "LASTSAVE", "MIGRATE", "MODULE", "MONITOR", "SAVE"];

/// How a node is set up.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// What clients must say.
    pub password: Option<String>,
    /// What it shows, if it speaks TLS.
    pub certificate: Option<Certificate>,
}

/// A running Redis.
pub struct Node {
    process: Process,
    addr: SocketAddr,
    client: redis::Client,
    password: Option<String>,
}

/// What went wrong with a node.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// No process, no file.
    #[error("redis-server: {0}")]
    Io(#[from] std::io::Error),
    /// It refused a command.
    #[error("redis: {0}")]
    Redis(#[from] RedisError),
    /// It didn't start or answer in time.
    #[error("redis-server {0} in time")]
    Late(&'static str),
}

impl Node {
    /// Starts one in a directory of its own, empty.
    ///
    /// # Errors
    /// It doesn't start.
    pub async fn start(dir: &Path, name: &str, setup: &Setup) -> Result<Self, NodeError> {
        for _ in 0..TRIES {
            if let Some(node) = Self::try_start(dir, name, setup).await? {
                return Ok(node);
            }
        }
        Err(NodeError::Late("found no free port"))
    }

    /// `None` where the port was taken meanwhile.
    async fn try_start(dir: &Path, name: &str, setup: &Setup) -> Result<Option<Self>, NodeError> {
        let addr = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
        let socket = dir.join(format!("{name}.sock"));
        let config = dir.join(format!("{name}.conf"));
        std::fs::write(&config, configuration(dir, name, addr, &socket, setup))?;
        let log = File::options().create(true).append(true).open(dir.join(format!("{name}.log")))?;
        let mut process = Process::spawn::<_, &str>(OsStr::new("redis-server"), &[config], &[], log)?;
        let url = format!("unix://{}", socket.display());
        let client = redis::Client::open(url)?;
        let deadline = Instant::now() + START;
        let mut node = loop {
            if process.status()?.is_some() {
                return Ok(None);
            }
            if socket.exists() {
                break Self { process, addr, client, password: setup.password.clone() };
            }
            if Instant::now() > deadline {
                return Err(NodeError::Late("didn't start"));
            }
            sleep(Duration::from_millis(10)).await;
        };
        while node.command::<String>(&["PING"]).await.is_err() {
            if node.process.status()?.is_some() {
                return Ok(None);
            }
            if Instant::now() > deadline {
                return Err(NodeError::Late("didn't answer"));
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(Some(node))
    }

    /// Where clients reach it.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Runs a command.
    ///
    /// # Errors
    /// It is refused, or not answered in time.
    pub async fn command<T: FromRedisValue>(&self, words: &[&str]) -> Result<T, NodeError> {
        let hidden = HIDDEN.iter().find(|(name, _)| *name == words[0]).map_or(words[0], |(_, hidden)| hidden);
        let mut command = redis::cmd(hidden);
        command.arg(&words[1..]);
        let answer = async {
            let mut connection = self.client.get_multiplexed_async_connection().await?;
            if let Some(password) = &self.password {
                redis::cmd("AUTH").arg(password).query_async::<()>(&mut connection).await?;
            }
            command.query_async(&mut connection).await
        };
        Ok(timeout(ANSWER, answer).await.map_err(|_| NodeError::Late("didn't answer"))??)
    }

    /// Makes it a replica of what is at an address.
    ///
    /// # Errors
    /// It doesn't become one.
    pub async fn follow(&self, source: SocketAddr) -> Result<(), NodeError> {
        self.command(&["REPLICAOF", &source.ip().to_string(), &source.port().to_string()]).await
    }

    /// Makes it a primary.
    ///
    /// # Errors
    /// It doesn't become one.
    pub async fn promote(&self) -> Result<(), NodeError> {
        self.command(&["REPLICAOF", "NO", "ONE"]).await
    }

    /// Waits until as many replicas are connected and have all there is.
    ///
    /// # Errors
    /// They don't come.
    pub async fn has_replicas(&self, replicas: usize) -> Result<(), NodeError> {
        let deadline = Instant::now() + START;
        loop {
            let info: String = self.command(&["INFO", "replication"]).await?;
            if info.matches("state=online").count() == replicas {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(NodeError::Late("got no replica"));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sets settings while it runs, all at once.
    ///
    /// # Errors
    /// It refuses.
    pub async fn set(&mut self, settings: &[(&str, &str)]) -> Result<(), NodeError> {
        let mut words = vec!["CONFIG", "SET"];
        words.extend(settings.iter().flat_map(|(name, value)| [*name, *value]));
        self.command::<()>(&words).await?;
        if let Some((_, password)) = settings.iter().find(|(name, _)| *name == "requirepass") {
            self.password = Some((*password).to_owned());
        }
        Ok(())
    }

    /// A field of INFO.
    ///
    /// # Errors
    /// It doesn't answer.
    pub async fn info(&self, section: &str, field: &str) -> Result<Option<String>, NodeError> {
        let info: String = self.command(&["INFO", section]).await?;
        Ok(info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':').map(str::to_owned)))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Kills it and waits until it is gone.
    pub async fn kill(&mut self) {
        self.process.kill().await;
    }
}

fn configuration(dir: &Path, name: &str, addr: SocketAddr, socket: &Path, setup: &Setup) -> String {
    let port = addr.port();
    let mut lines = vec![
        "bind 127.0.0.1".to_owned(),
        "protected-mode no".to_owned(),
        format!("dir {}", dir.display()),
        format!("dbfilename {name}.rdb"),
        format!("logfile {}", dir.join(format!("{name}.log")).display()),
        format!("unixsocket {}", socket.display()),
        "save \"\"".to_owned(),
        "appendonly no".to_owned(),
        "maxmemory-policy noeviction".to_owned(),
        "repl-diskless-sync yes".to_owned(),
        "repl-diskless-sync-delay 0".to_owned(),
        "repl-backlog-size 16mb".to_owned(),
    ];
    match &setup.certificate {
        None => lines.push(format!("port {port}")),
        Some(certificate) => lines.extend([
            "port 0".to_owned(),
            format!("tls-port {port}"),
            "tls-replication yes".to_owned(),
            "tls-auth-clients no".to_owned(),
            format!("tls-cert-file {}", certificate.chain.display()),
            format!("tls-key-file {}", certificate.key.display()),
            format!("tls-ca-cert-file {}", certificate.authority.display()),
        ]),
    }
    if let Some(password) = &setup.password {
        lines.extend([format!("requirepass {password}"), format!("masterauth {password}")]);
    }
    lines.extend(HIDDEN.iter().map(|(name, hidden)| format!("rename-command {name} {hidden}")));
    lines.extend(BLOCKED.iter().map(|name| format!("rename-command {name} \"\"")));
    lines.join("\n") + "\n"
}
