//! What the Redis store needs to know.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::metrics::Metrics;

/// Where Redis is, and how to speak with it.
#[derive(Debug, Clone)]
pub struct Options {
    /// Host name or address; an IPv6 address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// TLS, where it is used.
    pub tls: Option<Tls>,
    /// Who signs in; nobody by name on Memorystore.
    pub user: Option<String>,
    /// The password.
    pub password: Password,
    /// Number of the database.
    pub database: u32,
    /// What every key and channel begins with: no colon, no brace.
    pub prefix: String,
    /// What an acknowledgement waits for.
    pub durability: DurabilitySetting,
    /// How long an append waits for a replica.
    pub wait_timeout: Duration,
    /// How long an answer may take.
    pub response_timeout: Duration,
    /// How long a start waits for Redis.
    pub startup_timeout: Duration,
    /// Where is counted.
    pub metrics: Arc<Metrics>,
}

/// How TLS is spoken.
#[derive(Debug, Clone)]
pub struct Tls {
    /// A file of certificate authorities (PEM) instead of the usual ones; read again when connections are dialled.
    pub ca_file: Option<PathBuf>,
    /// Whether the certificate has to name the host; if not, a chain to the authorities is enough.
    pub check_name: bool,
}

/// Where the password comes from. Never printed.
#[derive(Clone)]
pub enum Password {
    /// There is none.
    None,
    /// It stays the same.
    Fixed(String),
    /// From a file, read again when connections are dialled; a line end behind it doesn't count.
    File(PathBuf),
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Fixed(_) => f.write_str("Fixed(…)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// What an acknowledgement waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DurabilitySetting {
    /// A replica as soon as one was seen.
    Auto,
    /// A replica, always.
    Replicated,
    /// The primary, though there is a replica.
    Relaxed,
    /// The primary: no replica is expected.
    Local,
}
