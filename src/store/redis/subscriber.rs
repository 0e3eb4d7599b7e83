//! The one connection on which everything arrives.
//!
//! Its supervisor keeps it: it dials again for ever, subscribes to all rooms again in chunks, and then has every room
//! checked, because publications come at most once. RESP3, or RESP2 where `HELLO 3` is refused.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::StreamExt as _;
use redis::aio::{MultiplexedConnection, PubSubSink};
use redis::{ErrorKind, PushInfo, PushKind, RedisError, Value};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::dial::{DialError, SharedDialer};
use super::fault::{AWAY_RETRY_MS, Fault, QUEUE_RETRY_MS};
use super::keys::Names;
use super::outlet::Outlet;
use super::record;
use crate::domain::RoomId;
use crate::store::StoreError;

/// Subscriptions and their ends that may wait for the connection.
const QUEUE: usize = 64 * 1024;

/// Channels in one command.
const CHUNK: usize = 512;

/// How often the connection proves that it is there.
const PROVE_EVERY: Duration = Duration::from_secs(1);

/// Between two attempts to connect, at most; each waits for a random part of it.
const RECONNECT_MS: u64 = 500;

/// One in so many publications that aren't ours is logged.
const LOG_ONE_IN: u64 = 1_000;

/// What may happen to a subscription.
enum Change {
    Subscribe(RoomId, oneshot::Sender<Result<(), StoreError>>),
    Unsubscribe(RoomId, oneshot::Sender<Result<(), StoreError>>),
}

/// The way to the connection.
#[derive(Debug)]
pub struct Subscriber {
    changes: mpsc::Sender<Change>,
    table: Arc<Table>,
    task: AbortHandle,
}

/// Which channels are wanted, and where their publications go.
#[derive(Debug)]
struct Table {
    names: Names,
    rooms: RwLock<HashMap<String, RoomId>>,
    outlet: Arc<Outlet>,
    foreign: AtomicU64,
}

impl Subscriber {
    /// Starts the supervisor.
    pub fn start(dialer: SharedDialer, names: Names, outlet: Arc<Outlet>, suspect: Arc<Notify>) -> Self {
        let (changes, queue) = mpsc::channel(QUEUE);
        let table = Arc::new(Table { names, rooms: RwLock::default(), outlet, foreign: AtomicU64::new(0) });
        let supervisor = Supervisor { dialer, table: Arc::clone(&table), queue, suspect };
        let task = tokio::spawn(supervisor.run()).abort_handle();
        Self { changes, table, task }
    }

    /// Subscribes; answered once Redis has confirmed it.
    pub fn subscribe(&self, room: &RoomId) -> oneshot::Receiver<Result<(), StoreError>> {
        self.change(|done| Change::Subscribe(room.clone(), done))
    }

    /// Ends a subscription.
    pub fn unsubscribe(&self, room: &RoomId) -> oneshot::Receiver<Result<(), StoreError>> {
        self.change(|done| Change::Unsubscribe(room.clone(), done))
    }

    /// Rooms that are subscribed, and publications on their channels that weren't ours, for whoever measures.
    pub fn counts(&self) -> (usize, u64) {
        (self.table.read(HashMap::len), self.table.foreign.load(Ordering::Relaxed))
    }

    fn change(
        &self,
        change: impl FnOnce(oneshot::Sender<Result<(), StoreError>>) -> Change,
    ) -> oneshot::Receiver<Result<(), StoreError>> {
        let (done, answer) = oneshot::channel();
        if let Err(error) = self.changes.try_send(change(done)) {
            let (Change::Subscribe(_, done) | Change::Unsubscribe(_, done)) = error.into_inner();
            let _ = done.send(Err(StoreError::Overloaded { retry_ms: QUEUE_RETRY_MS }));
        }
        answer
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Table {
    fn read<T>(&self, read: impl FnOnce(&HashMap<String, RoomId>) -> T) -> T {
        read(&self.rooms.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, write: impl FnOnce(&mut HashMap<String, RoomId>) -> T) -> T {
        write(&mut self.rooms.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Something came on a channel. Never waits: it runs where the connection is read.
    fn receive(&self, channel: &[u8], payload: &[u8]) {
        let room = std::str::from_utf8(channel).ok().and_then(|channel| self.read(|rooms| rooms.get(channel).cloned()));
        // Of a room that was left just now.
        let Some(room) = room else { return };
        match record::publication(&room, payload) {
            Some(publication) => self.outlet.publish(publication),
            None => {
                if self.foreign.fetch_add(1, Ordering::Relaxed).is_multiple_of(LOG_ONE_IN) {
                    tracing::warn!(bytes = payload.len(), "a publication that isn't ours was dropped");
                    // It names the room.
                    tracing::debug!(channel = self.names.room(&room).channel(), "it came here");
                }
            }
        }
    }

    fn pushed(&self, push: &PushInfo) {
        if push.kind == PushKind::Message
            && let [Value::BulkString(channel), Value::BulkString(payload)] = &push.data[..]
        {
            self.receive(channel, payload);
        }
    }
}

/// A connection on which channels can be subscribed, whatever it speaks.
enum Line {
    Resp3(MultiplexedConnection),
    /// The stream is read by a task of its own, which ends with the line.
    Resp2 {
        sink: PubSubSink,
        _reading: AbortOnDrop,
    },
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Line {
    async fn open(dialer: &SharedDialer, table: &Arc<Table>, broken: &Arc<Notify>) -> Result<Self, DialError> {
        let (to, ended) = (Arc::clone(table), Arc::clone(broken));
        let pushed = move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                ended.notify_one();
            }
            to.pushed(&push);
            Ok(())
        };
        match dialer.subscriber(pushed).await {
            Ok(connection) => Ok(Self::Resp3(connection)),
            Err(DialError::Redis(error)) if refuses_resp3(&error) => {
                tracing::info!("Redis refuses RESP3: the subscriptions use RESP2");
                let (sink, mut stream) = dialer.subscriber_resp2().await?.split();
                let (to, ended) = (Arc::clone(table), Arc::clone(broken));
                // It never waits for anybody, so what the stream holds is what one read of the socket brought.
                let reading = tokio::spawn(async move {
                    while let Some(message) = stream.next().await {
                        to.receive(message.get_channel_name().as_bytes(), message.get_payload_bytes());
                    }
                    ended.notify_one();
                });
                Ok(Self::Resp2 { sink, _reading: AbortOnDrop(reading.abort_handle()) })
            }
            Err(error) => Err(error),
        }
    }

    async fn subscribe(&mut self, channels: &[String]) -> Result<(), RedisError> {
        match self {
            Self::Resp3(connection) => connection.subscribe(channels).await,
            Self::Resp2 { sink, .. } => sink.subscribe(channels).await,
        }
    }

    async fn unsubscribe(&mut self, channels: &[String]) -> Result<(), RedisError> {
        match self {
            Self::Resp3(connection) => connection.unsubscribe(channels).await,
            Self::Resp2 { sink, .. } => sink.unsubscribe(channels).await,
        }
    }

    async fn prove(&mut self) -> Result<(), RedisError> {
        match self {
            Self::Resp3(connection) => redis::cmd("PING").query_async(connection).await,
            Self::Resp2 { sink, .. } => sink.ping::<Value>().await.map(drop),
        }
    }
}

/// `HELLO` is unknown, or another version is wanted.
fn refuses_resp3(error: &RedisError) -> bool {
    error.kind() == ErrorKind::RESP3NotSupported || matches!(error.code(), Some("ERR" | "NOPROTO" | "NOPERM"))
}

struct Supervisor {
    dialer: SharedDialer,
    table: Arc<Table>,
    queue: mpsc::Receiver<Change>,
    suspect: Arc<Notify>,
}

impl Supervisor {
    async fn run(mut self) {
        loop {
            let broken = Arc::new(Notify::new());
            match self.connect(&broken).await {
                Ok(line) => {
                    if self.serve(line, &broken).await {
                        return;
                    }
                    tracing::warn!("the subscriber's connection to Redis ended; it is made again");
                }
                Err(error) => {
                    tracing::debug!(%error, "the subscriber can't connect");
                    self.refuse_waiting();
                }
            }
            self.suspect.notify_one();
            sleep(Duration::from_millis(rand::random_range(1..=RECONNECT_MS))).await;
        }
    }

    /// Connects and subscribes to everything that is wanted; then whatever was missed is to be found.
    async fn connect(&self, broken: &Arc<Notify>) -> Result<Line, DialError> {
        let mut line = Line::open(&self.dialer, &self.table, broken).await?;
        let channels: Vec<String> = self.table.read(|rooms| rooms.keys().cloned().collect());
        for chunk in channels.chunks(CHUNK) {
            self.in_time(line.subscribe(chunk)).await?;
        }
        if !channels.is_empty() {
            self.table.outlet.interrupt();
        }
        Ok(line)
    }

    /// Serves until the connection is broken; true at the end of the instance.
    async fn serve(&mut self, mut line: Line, broken: &Notify) -> bool {
        let epoch = self.dialer.epoch();
        let mut prove = tokio::time::interval(PROVE_EVERY);
        let mut changes = Vec::new();
        loop {
            let worked = tokio::select! {
                () = broken.notified() => return false,
                received = self.queue.recv_many(&mut changes, CHUNK) => {
                    if received == 0 {
                        return true;
                    }
                    self.carry_out(&mut line, &mut changes).await
                }
                _ = prove.tick() => {
                    if self.dialer.epoch() != epoch {
                        return false;
                    }
                    self.in_time(line.prove()).await
                }
            };
            if let Err(error) = worked {
                tracing::debug!(%error, "the subscriber's connection failed");
                return false;
            }
        }
    }

    /// Carries changes out in their order, neighbours of a kind in one command.
    async fn carry_out(&self, line: &mut Line, changes: &mut Vec<Change>) -> Result<(), DialError> {
        let is_new = |change: &Change| matches!(change, Change::Subscribe(..));
        let mut rest = std::mem::take(changes).into_iter().peekable();
        while let Some(first) = rest.next() {
            let new = is_new(&first);
            let mut run = vec![first];
            while let Some(next) = rest.next_if(|next| is_new(next) == new) {
                run.push(next);
            }
            let (channels, answers) = self.note(run);
            let done = match new {
                _ if channels.is_empty() => Ok(()),
                true => self.in_time(line.subscribe(&channels)).await,
                false => self.in_time(line.unsubscribe(&channels)).await,
            };
            if new && done.is_err() {
                // Nobody relies on them: whoever asked is told that it failed.
                self.table.write(|rooms| channels.iter().for_each(|channel| drop(rooms.remove(channel))));
            }
            for answer in answers {
                let _ = answer.send(if done.is_ok() { Ok(()) } else { Err(away()) });
            }
            if done.is_err() {
                // The connection is given up, and what comes behind it is told the same as while there is none.
                rest.for_each(|change| self.refuse(change));
                return done;
            }
        }
        Ok(())
    }

    /// Writes changes of one kind into the table; returns the channels for which Redis must be told.
    fn note(&self, run: Vec<Change>) -> (Vec<String>, Vec<oneshot::Sender<Result<(), StoreError>>>) {
        let mut channels = Vec::new();
        let mut answers = Vec::new();
        for change in run {
            match change {
                Change::Subscribe(room, answer) => {
                    let channel = self.table.names.room(&room).channel();
                    if self.table.write(|rooms| rooms.insert(channel.clone(), room)).is_none() {
                        channels.push(channel);
                    }
                    answers.push(answer);
                }
                Change::Unsubscribe(room, answer) => {
                    let channel = self.table.names.room(&room).channel();
                    if self.table.write(|rooms| rooms.remove(&channel)).is_some() {
                        channels.push(channel);
                    }
                    answers.push(answer);
                }
            }
        }
        (channels, answers)
    }

    fn refuse_waiting(&mut self) {
        while let Ok(change) = self.queue.try_recv() {
            self.refuse(change);
        }
    }

    /// While there is no connection, a subscription is refused and an end of one is noted.
    fn refuse(&self, change: Change) {
        match change {
            Change::Subscribe(_, answer) => {
                let _ = answer.send(Err(away()));
            }
            Change::Unsubscribe(room, answer) => {
                self.table.write(|rooms| rooms.remove(&self.table.names.room(&room).channel()));
                let _ = answer.send(Ok(()));
            }
        }
    }

    async fn in_time(&self, work: impl Future<Output = Result<(), RedisError>>) -> Result<(), DialError> {
        let patience = self.dialer.options().response_timeout;
        match timeout(patience, work).await {
            Ok(done) => {
                if let Err(error) = &done
                    && matches!(Fault::of(error), Fault::WrongNode | Fault::Secrets)
                {
                    self.dialer.redial(error.code().unwrap_or("refused"), false);
                }
                Ok(done?)
            }
            Err(_) => Err(DialError::Timeout(patience)),
        }
    }
}

const fn away() -> StoreError {
    StoreError::Unavailable { retry_ms: AWAY_RETRY_MS }
}
