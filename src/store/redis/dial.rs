//! Connections to Redis: how they are made, how many there are, when all of them are made again.
//!
//! The pool owns creation, limits, timeouts and health of all connections but the subscriber's, which has to be told
//! where pushes go. Passwords and authorities are read again whenever a pool is made.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_redis::{Connection, Manager, Pool, PoolError, Runtime, Status};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion, PushInfo,
    RedisConnectionInfo, RedisError, TlsCertificates,
};
use tokio::time::Instant;

use super::fault::Fault;
use super::options::{Options, Password};
use super::seldom::Seldom;

/// How long dialling may take, names, TLS and signing in included.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_000);

/// Connections for what is asked now and then: pages, members, checks, leases.
const COLD_CONNECTIONS: usize = 8;

/// A redial because replicas don't answer comes at most this often, so that a replica that is merely down makes no storm.
const REDIAL_FOR_REPLICAS_EVERY: Duration = Duration::from_secs(10);

/// Any other redial comes at most this often.
const REDIAL_EVERY: Duration = Duration::from_millis(100);

/// Makes connections.
pub struct Dialer {
    options: Options,
    lanes: usize,
    /// Counts redials: whoever holds a connection of an earlier one gives it back broken.
    epoch: AtomicU64,
    current: Mutex<Current>,
}

struct Current {
    pool: Pool,
    secrets: Secrets,
    redialled_at: Option<Instant>,
    redialled_for_replicas_at: Option<Instant>,
}

/// What was read from files, to see whether they changed.
#[derive(Clone, PartialEq, Eq)]
struct Secrets {
    password: Option<String>,
    authorities: Option<Vec<u8>>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Redis, TLS or the network says no.
    #[error("{0}")]
    Redis(#[from] RedisError),
    /// No answer in time, or no free connection.
    #[error("no connection within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// All connections were made again while this one was waited for, until there was no time left.
    #[error("all connections were being made again")]
    Redialled,
    /// The pool doesn't work as it is set up.
    #[error("connections can't be set up: {0}")]
    Setup(String),
    /// It answers, and isn't the primary.
    #[error("this is a replica")]
    Replica,
    /// A file can't be read.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

impl DialError {
    /// What it means.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Redis(error) => Fault::of(error),
            Self::Replica => Fault::WrongNode,
            Self::Timeout(_) | Self::Redialled | Self::Setup(_) | Self::File { .. } => Fault::Connection,
        }
    }
}

impl Dialer {
    /// Makes nothing but the pool, which is empty.
    pub fn new(options: Options, lanes: usize) -> Result<Self, DialError> {
        if options.tls.is_some() {
            // Fails where the process has one already, which is as good.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let secrets = Secrets::read(&options)?;
        let pool = pool(&options, &secrets, lanes)?;
        let current = Current { pool, secrets, redialled_at: None, redialled_for_replicas_at: None };
        Ok(Self { options, lanes, epoch: AtomicU64::new(0), current: Mutex::new(current) })
    }

    /// What it dials.
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// Changes with every redial.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// A connection that answered just now, or a new one, for as long as it is kept.
    pub async fn checkout(&self) -> Result<Connection, DialError> {
        let patience = self.options.response_timeout;
        let deadline = Instant::now() + patience;
        let error = loop {
            let pool = self.lock().pool.clone();
            break match pool.get().await {
                Ok(connection) => return Ok(connection),
                Err(PoolError::Backend(error)) => DialError::Redis(error),
                Err(PoolError::Timeout(_)) => DialError::Timeout(patience),
                // A redial while this one waited: the new pool has its own.
                Err(PoolError::Closed) if Instant::now() < deadline => continue,
                Err(PoolError::Closed) => DialError::Redialled,
                Err(error @ (PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_))) => {
                    DialError::Setup(error.to_string())
                }
            };
        };
        self.read_secrets_again();
        Err(error)
    }

    /// A connection for subscriptions: RESP3, whose pushes go to the closure.
    pub async fn subscriber(
        &self,
        pushed: impl Fn(PushInfo) -> Result<(), ()> + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection, DialError> {
        let client = self.client(ProtocolVersion::RESP3)?;
        let config = config(&self.options).set_push_sender(pushed);
        Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
    }

    /// The same for a Redis that refuses RESP3.
    pub async fn subscriber_resp2(&self) -> Result<redis::aio::PubSub, DialError> {
        let client = self.client(ProtocolVersion::RESP2)?;
        let dialled = tokio::time::timeout(CONNECT_TIMEOUT, client.get_async_pubsub()).await;
        Ok(dialled.map_err(|_| DialError::Timeout(CONNECT_TIMEOUT))??)
    }

    /// A connection of its own, which nobody has used.
    pub async fn fresh(&self) -> Result<MultiplexedConnection, DialError> {
        let client = self.client(ProtocolVersion::RESP2)?;
        Ok(client.get_multiplexed_async_connection_with_config(&config(&self.options)).await?)
    }

    /// All connections are to be made again: names resolved, files read. Returns whether they are, which they aren't
    /// where they just were.
    pub fn redial(&self, why: &str, for_replicas: bool) -> bool {
        let now = Instant::now();
        let mut current = self.lock();
        let since = |at: Option<Instant>| at.map_or(Duration::MAX, |at| now - at);
        let too_soon = since(current.redialled_at) < REDIAL_EVERY
            || (for_replicas && since(current.redialled_for_replicas_at) < REDIAL_FOR_REPLICAS_EVERY);
        if too_soon {
            return false;
        }
        current.redialled_at = Some(now);
        if for_replicas {
            current.redialled_for_replicas_at = Some(now);
        }
        static SAID: Seldom = Seldom::new();
        if SAID.is_due() {
            tracing::warn!(why, "all connections to Redis are made again");
        }
        let secrets = Secrets::read(&self.options).unwrap_or_else(|error| {
            tracing::error!(%error, "a file can't be read; what was read from it before is used");
            current.secrets.clone()
        });
        self.replace(&mut current, secrets);
        true
    }

    /// The state of the pool, for whoever measures.
    pub fn pool_status(&self) -> Status {
        self.lock().pool.status()
    }

    fn read_secrets_again(&self) {
        let Ok(secrets) = Secrets::read(&self.options) else { return };
        let mut current = self.lock();
        if current.secrets != secrets {
            tracing::info!("the password or the authorities for Redis changed");
            self.replace(&mut current, secrets);
        }
    }

    fn replace(&self, current: &mut Current, secrets: Secrets) {
        match pool(&self.options, &secrets, self.lanes) {
            Ok(pool) => {
                // Connections that are out stay usable; what is in is dropped.
                current.pool.close();
                current.pool = pool;
                current.secrets = secrets;
                self.epoch.fetch_add(1, Ordering::AcqRel);
            }
            Err(error) => tracing::error!(%error, "connections to Redis can't be set up"),
        }
    }

    fn client(&self, protocol: ProtocolVersion) -> Result<Client, DialError> {
        let secrets = Secrets::read(&self.options)?;
        client(&self.options, &secrets, protocol)
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Secrets {
    fn read(options: &Options) -> Result<Self, DialError> {
        let read = |path: &std::path::Path| {
            std::fs::read(path).map_err(|source| DialError::File { path: path.display().to_string(), source })
        };
        let password = match &options.password {
            Password::None => None,
            Password::Fixed(password) => Some(password.clone()),
            Password::File(path) => {
                let text = String::from_utf8_lossy(&read(path)?).into_owned();
                Some(text.trim_end_matches(['\r', '\n']).to_owned())
            }
        };
        let ca_file = options.tls.as_ref().and_then(|tls| tls.ca_file.as_deref());
        Ok(Self { password, authorities: ca_file.map(read).transpose()? })
    }
}

fn pool(options: &Options, secrets: &Secrets, lanes: usize) -> Result<Pool, DialError> {
    let client = client(options, secrets, ProtocolVersion::RESP2)?;
    let manager = Manager::new_with_config(client.get_connection_info().clone(), config(options))?;
    let built = Pool::builder(manager)
        .max_size(lanes + COLD_CONNECTIONS)
        .wait_timeout(Some(options.response_timeout))
        .create_timeout(Some(CONNECT_TIMEOUT))
        .recycle_timeout(Some(options.response_timeout))
        .runtime(Runtime::Tokio1)
        .build();
    built.map_err(|error| DialError::Setup(error.to_string()))
}

fn config(options: &Options) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(options.response_timeout))
}

fn client(options: &Options, secrets: &Secrets, protocol: ProtocolVersion) -> Result<Client, DialError> {
    let mut signing_in = RedisConnectionInfo::default()
        .set_db(options.database.into())
        .set_protocol(protocol)
        // An optional command that Memorystore may block.
        .set_skip_set_lib_name();
    if let Some(user) = &options.user {
        signing_in = signing_in.set_username(user);
    }
    if let Some(password) = &secrets.password {
        signing_in = signing_in.set_password(password);
    }
    let info = |address: ConnectionAddr| -> Result<ConnectionInfo, RedisError> {
        let tcp = TcpSettings::default().set_nodelay(true).set_user_timeout(options.response_timeout * 2);
        Ok(address.into_connection_info()?.set_tcp_settings(tcp).set_redis_settings(signing_in.clone()))
    };
    let (host, port) = (options.host.clone(), options.port);
    let Some(tls) = &options.tls else {
        return Ok(Client::open(info(ConnectionAddr::Tcp(host, port))?)?);
    };
    let address = ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None };
    let certificates = TlsCertificates { client_tls: None, root_cert: secrets.authorities.clone() };
    let client = Client::build_with_tls(info(address)?, certificates)?;
    let mut address = client.get_connection_info().addr().clone();
    if !tls.check_name {
        address.set_danger_accept_invalid_hostnames(true);
    }
    Ok(Client::open(info(address)?)?)
}

/// Where it dials, as logs and errors say it. Holds no secret.
impl std::fmt::Display for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Options { host, port, tls, .. } = &self.options;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        write!(f, "{host}:{port} {}", if tls.is_some() { "with TLS" } else { "without TLS" })
    }
}

/// What all parts of the store share to reach Redis.
pub type SharedDialer = Arc<Dialer>;

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::store::redis::DurabilitySetting;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn whoever_waits_during_a_redial_gets_a_connection_of_the_new_pool() {
        // Who says nothing is enough: without a password or a database, a new connection asks nothing.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = Options {
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
            tls: None,
            user: None,
            password: Password::None,
            database: 0,
            prefix: "confab".to_owned(),
            durability: DurabilitySetting::Auto,
            wait_timeout: Duration::from_secs(1),
            response_timeout: PATIENCE,
            startup_timeout: PATIENCE,
            metrics: Arc::default(),
        };
        let dialer = Arc::new(Dialer::new(options, 0).unwrap());
        let mut all = Vec::new();
        for _ in 0..COLD_CONNECTIONS {
            all.push(dialer.checkout().await.unwrap());
        }
        let waits = tokio::spawn({
            let dialer = Arc::clone(&dialer);
            async move { dialer.checkout().await.map(drop) }
        });
        let waiting = async {
            while dialer.pool_status().waiting == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("all connections are out");
        assert!(dialer.redial("the test says so", false));
        let got = timeout(PATIENCE, waits).await.expect("it is answered").unwrap();
        assert!(got.is_ok(), "{got:?}");
    }
}
