//! Calls that have no place in a room's order: pages, members, checks, leases, sweeps.

use std::sync::Arc;

use redis::{Cmd, Pipeline, RedisError, Value};

use super::dial::SharedDialer;
use super::fault::{AWAY_RETRY_MS, Fault};
use super::scripts::Scripts;
use crate::store::StoreError;

/// Calls on a connection that is taken out of the pool for one of them.
#[derive(Clone)]
pub struct Cold {
    pub dialer: SharedDialer,
    pub scripts: Arc<Scripts>,
}

impl Cold {
    /// Asks, and reads all answers or the first error.
    pub async fn ask(&self, mut pipeline: Pipeline) -> Result<Vec<Value>, StoreError> {
        let mut connection = self.dialer.checkout().await.map_err(|error| {
            tracing::debug!(%error, "no connection to Redis");
            StoreError::Unavailable { retry_ms: AWAY_RETRY_MS }
        })?;
        pipeline.ignore_errors();
        for attempt in 0..2 {
            let asked: Result<Vec<Result<Value, RedisError>>, _> = pipeline.query_async(&mut *connection).await;
            let asked = asked.and_then(|answers| answers.into_iter().collect());
            let error = match asked {
                Ok(answers) => return Ok(answers),
                Err(error) => error,
            };
            let fault = Fault::of(&error);
            match fault {
                Fault::NoScript if attempt == 0 => {
                    self.scripts.load(&mut *connection).await.map_err(|error| Fault::of(&error).told())?;
                    continue;
                }
                Fault::WrongNode | Fault::Secrets => {
                    self.dialer.redial(error.code().unwrap_or("refused"), false);
                }
                Fault::Foreign => {
                    tracing::error!(code = error.code(), "what is under a key can't be read");
                    // It may name the room.
                    tracing::debug!(%error, "Redis says why");
                }
                Fault::Connection | Fault::Busy | Fault::Full | Fault::NoScript => {
                    tracing::debug!(%error, "Redis did not answer a call");
                }
            }
            if fault == Fault::Connection {
                // Not back into the pool: an answer may still come.
                drop(deadpool_redis::Connection::take(connection));
            }
            return Err(match fault {
                Fault::Connection => StoreError::Unavailable { retry_ms: AWAY_RETRY_MS },
                other => other.told(),
            });
        }
        Err(Fault::NoScript.told())
    }
}

/// A pipeline of one command.
pub fn one(command: Cmd) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(1);
    pipeline.add_command(command);
    pipeline
}
