//! Calls that have no place in a room's order: pages, members, checks, leases, sweeps.

use std::sync::Arc;

use redis::{Cmd, Pipeline, RedisError, Value};

use super::dial::SharedDialer;
use super::fault::{AWAY_RETRY_MS, Fault};
use super::foreign;
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
        self.answers(&mut pipeline).await
    }

    /// Asks, and has the answers read by somebody who can't where they aren't what we write.
    pub async fn read<T>(
        &self,
        mut pipeline: Pipeline,
        read: impl FnOnce(Vec<Value>) -> Option<T>,
    ) -> Result<T, StoreError> {
        let answers = self.answers(&mut pipeline).await?;
        read(answers).ok_or_else(|| {
            foreign::unreadable(pipeline.cmd_iter());
            StoreError::Corrupt
        })
    }

    /// Asks, and reads all answers: nil for one that says that what is under the key isn't ours, or that Redis is full.
    pub async fn ask_each(&self, mut pipeline: Pipeline) -> Result<Vec<Value>, StoreError> {
        self.carried_out(&mut pipeline, |commands, answers| {
            let own = |(answer, command): (Result<Value, RedisError>, &Cmd)| match answer {
                Err(error) if Fault::of(&error) == Fault::Foreign => {
                    foreign::refused(Some(command), &error);
                    Ok(Value::Nil)
                }
                Err(error) if Fault::of(&error) == Fault::Full => Ok(Value::Nil),
                other => other,
            };
            first_error(answers.into_iter().zip(commands.cmd_iter()).map(own))
        })
        .await
    }

    async fn answers(&self, pipeline: &mut Pipeline) -> Result<Vec<Value>, StoreError> {
        self.carried_out(pipeline, |_, answers| first_error(answers.into_iter())).await
    }

    async fn carried_out(
        &self,
        pipeline: &mut Pipeline,
        judge: impl Fn(&Pipeline, Vec<Result<Value, RedisError>>) -> Result<Vec<Value>, (usize, RedisError)>,
    ) -> Result<Vec<Value>, StoreError> {
        let mut connection = self.dialer.checkout().await.map_err(|error| {
            tracing::debug!(%error, "no connection to Redis");
            StoreError::Unavailable { retry_ms: AWAY_RETRY_MS }
        })?;
        pipeline.ignore_errors();
        for attempt in 0..2 {
            let asked: Result<Vec<Result<Value, RedisError>>, _> = pipeline.query_async(&mut *connection).await;
            let (at, error) = match asked {
                Ok(answers) => match judge(pipeline, answers) {
                    Ok(answers) => return Ok(answers),
                    Err(first) => first,
                },
                Err(error) => (0, error),
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
                Fault::Foreign => foreign::refused(pipeline.cmd_iter().nth(at), &error),
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

/// All answers, or the first error and which answer it is.
fn first_error(answers: impl Iterator<Item = Result<Value, RedisError>>) -> Result<Vec<Value>, (usize, RedisError)> {
    answers.enumerate().map(|(at, answer)| answer.map_err(|error| (at, error))).collect()
}

/// A pipeline of one command.
pub fn one(command: Cmd) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(1);
    pipeline.add_command(command);
    pipeline
}
