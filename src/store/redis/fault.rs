//! What an error of Redis means, and what follows from it.

use redis::{ErrorKind, RedisError};

use crate::domain::Millis;
use crate::store::StoreError;

/// What a client is told to wait while Redis can't be reached.
pub const AWAY_RETRY_MS: Millis = 1_000;

/// What a client is told to wait while a queue is full.
pub const QUEUE_RETRY_MS: Millis = 500;

/// What a client is told to wait while Redis is full. Windows of keys end all the time, rooms rarely.
pub const FULL_RETRY_MS: Millis = 10_000;

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection broke, or nothing came in time: what was asked may have happened.
    Connection,
    /// This isn't the primary any more, or it lost its replicas (`READONLY`, `NOREPLICAS`, `MASTERDOWN`, `UNBLOCKED`, a
    /// `WAIT` refused on a replica): all connections are dialled again.
    WrongNode,
    /// The password isn't right, or may not do this (`NOAUTH`, `WRONGPASS`, `NOPERM`): the secrets are read again, all
    /// connections are dialled again.
    Secrets,
    /// It answers, and can't serve now: it loads its data (`LOADING`), can't write its disk (`MISCONF`), or runs
    /// somebody's long script (`BUSY`). A retry helps.
    Busy,
    /// Its memory is full (`OOM`): nothing was stored.
    Full,
    /// The script isn't in its cache (`NOSCRIPT`): normal after a failover or restart, nothing was done.
    NoScript,
    /// What is under the keys isn't ours or is broken (`WRONGTYPE`, `CORRUPT`, any other error of a script).
    Foreign,
}

impl Fault {
    /// Judges an error.
    pub fn of(error: &RedisError) -> Self {
        if error.kind() == ErrorKind::AuthenticationFailed {
            return Self::Secrets;
        }
        match error.code() {
            Some(code) => Self::of_answer(code, error.detail().unwrap_or_default()),
            None => Self::Connection,
        }
    }

    fn of_answer(code: &str, detail: &str) -> Self {
        match code {
            "READONLY" | "NOREPLICAS" | "MASTERDOWN" | "UNBLOCKED" => Self::WrongNode,
            "NOAUTH" | "WRONGPASS" | "NOPERM" => Self::Secrets,
            "LOADING" | "MISCONF" | "BUSY" | "TRYAGAIN" | "CLUSTERDOWN" => Self::Busy,
            "OOM" => Self::Full,
            "NOSCRIPT" => Self::NoScript,
            "ERR" if detail.starts_with("WAIT cannot be used with replica") => Self::WrongNode,
            _ => Self::Foreign,
        }
    }

    /// What the caller is told.
    pub const fn told(self) -> StoreError {
        match self {
            Self::Connection => StoreError::Unconfirmed { retry_ms: AWAY_RETRY_MS },
            Self::WrongNode | Self::Secrets | Self::Busy | Self::NoScript => {
                StoreError::Unavailable { retry_ms: AWAY_RETRY_MS }
            }
            Self::Full => StoreError::Overloaded { retry_ms: FULL_RETRY_MS },
            Self::Foreign => StoreError::Corrupt,
        }
    }
}
