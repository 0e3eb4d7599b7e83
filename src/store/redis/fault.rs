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

#[cfg(test)]
mod tests {
    use super::*;

    /// An error as the library makes it of Redis's bytes.
    fn error(line: &str) -> RedisError {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        let redis::Value::ServerError(error) = value else { panic!("{value:?}") };
        error.into()
    }

    #[test]
    fn every_answer_has_its_meaning() {
        // As Redis 7 words them.
        for (line, fault) in [
            ("READONLY You can't write against a read only replica.", Fault::WrongNode),
            ("NOREPLICAS Not enough good replicas to write.", Fault::WrongNode),
            ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", Fault::WrongNode),
            (
                "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
                Fault::WrongNode,
            ),
            (
                "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is \
                 configured to be writable (which is not the default) writes to replicas are just local and are not propagated.",
                Fault::WrongNode,
            ),
            ("NOAUTH Authentication required.", Fault::Secrets),
            ("WRONGPASS invalid username-password pair or user is disabled.", Fault::Secrets),
            ("NOPERM this user has no permissions to run the 'evalsha' command", Fault::Secrets),
            ("LOADING Redis is loading the dataset in memory", Fault::Busy),
            (
                "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
                Fault::Busy,
            ),
            ("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", Fault::Busy),
            ("OOM command not allowed when used memory > 'maxmemory'.", Fault::Full),
            ("NOSCRIPT No matching script. Please use EVAL.", Fault::NoScript),
            ("WRONGTYPE Operation against a key holding the wrong kind of value", Fault::Foreign),
            ("CORRUPT confab:{r}:meta", Fault::Foreign),
            ("ERR The ID specified in XADD is equal or smaller than the target stream top item", Fault::Foreign),
        ] {
            assert_eq!(Fault::of(&error(line)), fault, "{line}");
        }
        let broken = RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        assert_eq!(Fault::of(&broken), Fault::Connection);
    }
}
