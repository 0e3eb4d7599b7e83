//! Lanes: held connections on which everything that has a place in a room's order is sent.
//!
//! A room is always on the same lane, so what this instance says of it arrives in the order in which it was said. A lane
//! sends what has gathered as one pipeline and, where replicas are waited for, one `WAIT` behind it: that blocks the
//! connection, so nothing else uses it.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::Arc;
use std::time::Duration;

use deadpool_redis::Connection;
use redis::{Cmd, Pipeline, RedisError, Value};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::dial::SharedDialer;
use super::durability::Acknowledging;
use super::fault::{AWAY_RETRY_MS, Fault, QUEUE_RETRY_MS};
use super::foreign;
use super::queue::{Entrance, Exit, Full, queue};
use super::scripts::Scripts;
use super::seldom::Seldom;
use super::stages::{Stages, Waiting};
use crate::domain::Trace;
use crate::metrics::labels::AppendStage;
use crate::metrics::{Metrics, micros};
use crate::store::{Durability, StoreError};

/// How many lanes an instance has.
pub const LANES: usize = 4;

/// What may wait for one lane, in calls.
const QUEUE_CALLS: usize = 32 * 1024;

/// What may wait for one lane, in bytes.
const QUEUE_BYTES: usize = 16 * 1024 * 1024;

/// Calls in one pipeline.
const BATCH_CALLS: usize = 512;

/// Bytes in one pipeline, but for the last call.
const BATCH_BYTES: usize = 1024 * 1024;

/// Between two attempts to connect, at most; each waits for a random part of it.
const RECONNECT_MS: u64 = 250;

/// Before the first connection behind one that broke, at most; doubled with each that breaks without an answer between.
const BROKEN_MS: u64 = 16;

/// As long as that gets.
const BROKEN_MOST_MS: u64 = 1_000;

/// An answer, and what it means for an acknowledgement.
#[derive(Debug)]
pub struct Answer {
    /// What Redis said.
    pub value: Value,
    /// Who has what was written.
    pub durability: Durability,
}

/// What failed, and whether what was asked surely wasn't done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallError {
    /// It never got to Redis, or Redis did nothing.
    NotDone(StoreError),
    /// It may have been done, or was and isn't replicated.
    Unknown(StoreError),
}

impl From<CallError> for StoreError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotDone(error) | CallError::Unknown(error) => error,
        }
    }
}

/// The answer to come.
pub type Answering = oneshot::Receiver<Result<Answer, CallError>>;

struct Call {
    command: Cmd,
    /// Not worth sending later than this: nobody waits for it any more.
    due: Instant,
    /// Whether it is measured as an append.
    appends: bool,
    /// Whether it has to reach a replica.
    replicate: bool,
    answer: Option<oneshot::Sender<Result<Answer, CallError>>>,
    traced: Option<Waiting>,
}

impl Call {
    fn answer(&mut self, result: Result<Answer, CallError>) {
        if let Some(answer) = self.answer.take() {
            // Whoever asked may have gone.
            let _ = answer.send(result);
        }
    }
}

/// The way into all lanes. Dropping it ends them, whatever is under way.
pub struct Lanes {
    lanes: Vec<Entrance<Call>>,
    patience: Duration,
    _tasks: JoinSet<()>,
}

/// What a lane shares with the others.
#[derive(Clone)]
pub struct Shared {
    pub dialer: SharedDialer,
    pub scripts: Arc<Scripts>,
    pub acknowledging: Arc<Acknowledging>,
    /// Told when a connection breaks.
    pub suspect: Arc<tokio::sync::Notify>,
}

impl Lanes {
    /// Starts them; each connects by itself.
    pub fn start(shared: &Shared) -> Self {
        let mut tasks = JoinSet::new();
        let lanes = (0..LANES).map(|_| {
            let (entrance, calls) = queue(QUEUE_CALLS, QUEUE_BYTES);
            tasks.spawn(Lane { shared: shared.clone(), calls }.run());
            entrance
        });
        let lanes = lanes.collect();
        Self { lanes, patience: shared.dialer.options().response_timeout, _tasks: tasks }
    }

    /// Puts a call into its place among those about the same thing.
    pub fn call(&self, about: &impl Hash, command: Cmd) -> Result<Answering, StoreError> {
        let (answer, answering) = oneshot::channel();
        self.put(about, Call { answer: Some(answer), ..self.unanswered(command) })?;
        Ok(answering)
    }

    /// The same for what has to reach a replica, where replicas are waited for.
    pub fn call_replicated(&self, about: &impl Hash, command: Cmd) -> Result<Answering, StoreError> {
        let (answer, answering) = oneshot::channel();
        self.put(about, Call { replicate: true, answer: Some(answer), ..self.unanswered(command) })?;
        Ok(answering)
    }

    /// The same for an append, which may belong to a sampled trace.
    pub fn append(&self, about: &impl Hash, command: Cmd, trace: Option<Trace>) -> Result<Answering, StoreError> {
        let (answer, answering) = oneshot::channel();
        let (answer, traced) = (Some(answer), trace.map(Waiting::now));
        self.put(about, Call { appends: true, replicate: true, answer, traced, ..self.unanswered(command) })?;
        Ok(answering)
    }

    /// The same for what nobody waits for.
    pub fn tell(&self, about: &impl Hash, command: Cmd) -> Result<(), StoreError> {
        self.put(about, self.unanswered(command))
    }

    /// Calls that wait in the queues, and their bytes, for whoever measures: not those that are being sent.
    pub fn depth(&self) -> (usize, usize) {
        let depths = self.lanes.iter().map(Entrance::depth);
        depths.fold((0, 0), |all, lane| (all.0 + lane.0, all.1 + lane.1))
    }

    fn unanswered(&self, command: Cmd) -> Call {
        let due = Instant::now() + self.patience;
        Call { command, due, appends: false, replicate: false, answer: None, traced: None }
    }

    fn put(&self, about: &impl Hash, call: Call) -> Result<(), StoreError> {
        let bytes = size_of_command(&call.command);
        let put = self.lanes[lane_of(about)].put(call, bytes);
        put.map_err(|Full| StoreError::Overloaded { retry_ms: QUEUE_RETRY_MS })
    }
}

/// Bytes of a command's arguments.
fn size_of_command(command: &Cmd) -> usize {
    let size = |argument: redis::Arg<&[u8]>| match argument {
        redis::Arg::Simple(bytes) => bytes.len(),
        _ => 0,
    };
    command.args_iter().map(size).sum()
}

/// The same on every instance, though nothing depends on that.
fn lane_of(about: &impl Hash) -> usize {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(about);
    (hash % LANES as u64) as usize
}

struct Lane {
    shared: Shared,
    calls: Exit<Call>,
}

/// Whether a lane keeps its connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Good,
    Broken,
}

impl Lane {
    async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH_CALLS);
        let mut pause_ms = BROKEN_MS;
        loop {
            let epoch = self.shared.dialer.epoch();
            let mut connection = self.connect(&mut batch).await;
            loop {
                if batch.is_empty() && !self.gather(&mut batch).await {
                    return;
                }
                if self.shared.dialer.epoch() != epoch {
                    // What was gathered goes over the next connection.
                    break;
                }
                if self.send(&mut connection, &mut batch).await == Line::Broken {
                    // A node that refuses every call must not be dialled with every call.
                    sleep(Duration::from_millis(rand::random_range(0..=pause_ms))).await;
                    pause_ms = (pause_ms * 2).min(BROKEN_MOST_MS);
                    break;
                }
                pause_ms = BROKEN_MS;
            }
            // Not back into the pool.
            drop(Connection::take(connection));
        }
    }

    /// A connection that knows the scripts. What comes or waits while there is none is refused.
    async fn connect(&mut self, batch: &mut Vec<Call>) -> Connection {
        loop {
            match self.dial().await {
                Ok(connection) => return connection,
                Err(error) => {
                    tracing::debug!(%error, "a lane can't connect");
                    self.shared.suspect.notify_one();
                }
            }
            // Nothing of this was sent.
            let refused = CallError::NotDone(StoreError::Unavailable { retry_ms: AWAY_RETRY_MS });
            for mut call in batch.drain(..) {
                call.answer(Err(refused));
            }
            while let Some((mut call, _)) = self.calls.try_take() {
                call.answer(Err(refused));
            }
            sleep(Duration::from_millis(rand::random_range(1..=RECONNECT_MS))).await;
        }
    }

    async fn dial(&self) -> Result<Connection, super::dial::DialError> {
        let mut connection = self.shared.dialer.checkout().await?;
        self.shared.scripts.load(&mut *connection).await?;
        Ok(connection)
    }

    /// Waits for calls, and takes as many as fit into a pipeline. False at the end of the instance.
    async fn gather(&mut self, batch: &mut Vec<Call>) -> bool {
        let Some((first, mut bytes)) = self.calls.take().await else { return false };
        batch.push(first);
        while batch.len() < BATCH_CALLS && bytes < BATCH_BYTES {
            let Some((call, more)) = self.calls.try_take() else { break };
            bytes += more;
            batch.push(call);
        }
        true
    }

    /// Sends a pipeline and gives out the answers.
    async fn send(&self, connection: &mut Connection, batch: &mut Vec<Call>) -> Line {
        let now = Instant::now();
        let late = CallError::NotDone(StoreError::Unavailable { retry_ms: AWAY_RETRY_MS });
        batch.retain_mut(|call| {
            let young = call.due > now;
            if !young {
                call.answer(Err(late));
            }
            young
        });
        let mut calls: Vec<Call> = std::mem::take(batch);
        let mut state = Line::Good;
        let mut again = self.pipeline(connection, &mut calls, &mut state).await;
        if !again.is_empty() && state == Line::Good {
            self.load_again(connection, &mut again, &mut state).await;
        }
        for mut call in again {
            call.answer(Err(late));
        }
        state
    }

    /// The scripts were flushed: nothing of these calls was done.
    async fn load_again(&self, connection: &mut Connection, again: &mut Vec<Call>, state: &mut Line) {
        if self.shared.scripts.load(&mut **connection).await.is_ok() {
            *again = self.pipeline(connection, again, state).await;
        }
    }

    /// Sends the calls and answers them; returns those whose script Redis doesn't know.
    async fn pipeline(&self, connection: &mut Connection, calls: &mut Vec<Call>, state: &mut Line) -> Vec<Call> {
        if calls.is_empty() {
            return Vec::new();
        }
        let sent = Instant::now();
        self.count_sent(calls, sent);
        let acknowledging = &self.shared.acknowledging;
        let waits = acknowledging.waits() && calls.iter().any(|call| call.replicate);
        let mut stages = Stages::begin(calls.iter().filter_map(|call| call.traced));
        let mut pipeline = Pipeline::with_capacity(calls.len() + 1);
        if let Some(stages) = &mut stages {
            stages.mark(&mut pipeline);
        }
        let in_front = pipeline.len();
        for call in calls.iter_mut() {
            pipeline.add_command(std::mem::take(&mut call.command));
        }
        if let Some(stages) = &mut stages {
            stages.mark(&mut pipeline);
        }
        if waits {
            let timeout = self.shared.dialer.options().wait_timeout.as_millis() as u64;
            pipeline.cmd("WAIT").arg(1).arg(timeout);
        }
        if waits && let Some(stages) = &mut stages {
            stages.mark(&mut pipeline);
        }
        pipeline.ignore_errors();
        let answered: Result<Vec<Result<Value, RedisError>>, RedisError> =
            pipeline.query_async(&mut **connection).await;
        let stage = if waits { AppendStage::Replica } else { AppendStage::Script };
        let appends = calls.iter().filter(|call| call.appends).count();
        self.metrics().append_duration.record_many(stage, micros(sent.elapsed()), appends as u64);
        let mut answers = match answered {
            Ok(answers) => answers,
            Err(error) => {
                let fault = Fault::of(&error);
                self.judge(fault, &error, state);
                *state = Line::Broken;
                for call in &mut *calls {
                    call.answer(Err(CallError::Unknown(Fault::Connection.told())));
                }
                return Vec::new();
            }
        };
        if let Some(stages) = stages {
            stages.end(&mut answers, calls.len());
        }
        let written = if waits { self.replicated(answers.pop(), state) } else { Ok(Durability::Stored) };
        let mut again: Vec<Call> = Vec::new();
        // Calls behind one whose script wasn't there were carried out where somebody loaded it in between: then it can't
        // follow without changing the order, and is refused.
        let last_done = answers.iter().rposition(|answer| matches!(answer, Ok(Value::BulkString(_))));
        let mut number = 0;
        for ((mut call, answer), command) in calls.drain(..).zip(answers).zip(pipeline.cmd_iter().skip(in_front)) {
            let result = match answer {
                Ok(value) if call.replicate => {
                    written.map(|durability| Answer { value, durability }).map_err(CallError::Unknown)
                }
                Ok(value) => Ok(Answer { value, durability: Durability::Stored }),
                Err(error) => match Fault::of(&error) {
                    Fault::NoScript if last_done.is_none_or(|last| last < number) => {
                        call.command = command.clone();
                        again.push(call);
                        number += 1;
                        continue;
                    }
                    Fault::Foreign => {
                        foreign::refused(Some(command), &error);
                        Err(CallError::NotDone(Fault::Foreign.told()))
                    }
                    fault => {
                        self.judge(fault, &error, state);
                        Err(CallError::NotDone(fault.told()))
                    }
                },
            };
            call.answer(result);
            number += 1;
        }
        again
    }

    fn metrics(&self) -> &Metrics {
        &self.shared.dialer.options().metrics
    }

    fn count_sent(&self, calls: &[Call], now: Instant) {
        self.metrics().append_batch.record((), calls.len() as u64);
        let patience = self.shared.dialer.options().response_timeout;
        for call in calls.iter().filter(|call| call.appends) {
            let waited = patience.saturating_sub(call.due.saturating_duration_since(now));
            self.metrics().append_duration.record_time(AppendStage::Lane, waited);
        }
    }

    /// What the `WAIT` behind a pipeline says about it.
    fn replicated(
        &self,
        answer: Option<Result<Value, RedisError>>,
        state: &mut Line,
    ) -> Result<Durability, StoreError> {
        let unconfirmed = StoreError::Unconfirmed { retry_ms: AWAY_RETRY_MS };
        match answer {
            Some(Ok(Value::Int(replicas))) if replicas > 0 => {
                self.shared.acknowledging.confirmed();
                Ok(Durability::Replicated)
            }
            Some(Ok(_)) | None => {
                if self.shared.acknowledging.unconfirmed() {
                    self.shared.dialer.redial("replicas don't confirm", true);
                    self.shared.suspect.notify_one();
                }
                Err(unconfirmed)
            }
            Some(Err(error)) => {
                self.judge(Fault::of(&error), &error, state);
                Err(unconfirmed)
            }
        }
    }

    fn judge(&self, fault: Fault, error: &RedisError, state: &mut Line) {
        static BUSY: Seldom = Seldom::new();
        static FULL: Seldom = Seldom::new();
        static FOREIGN: Seldom = Seldom::new();
        match fault {
            Fault::Connection => {
                tracing::warn!(%error, "a lane's connection to Redis broke");
                // Others may be to a node that froze and wakes as what it was: nobody goes on with those.
                self.shared.dialer.redial("a connection broke", false);
                *state = Line::Broken;
                self.shared.suspect.notify_one();
            }
            Fault::WrongNode | Fault::Secrets => {
                self.shared.dialer.redial(error.code().unwrap_or("refused"), false);
                *state = Line::Broken;
                self.shared.suspect.notify_one();
            }
            Fault::Busy if BUSY.is_due() => tracing::warn!(%error, "Redis can't serve now"),
            Fault::Full if FULL.is_due() => tracing::error!("Redis is full: messages are refused"),
            // About no call of a room.
            Fault::Foreign if FOREIGN.is_due() => tracing::error!(%error, "Redis refuses what it is asked"),
            Fault::Busy | Fault::Full | Fault::Foreign | Fault::NoScript => {}
        }
    }
}
