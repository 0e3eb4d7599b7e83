//! The Redis store: every room in one Redis, for any number of instances.
//!
//! It keeps the whole contract of [`Store`]. What has a place in a room's order goes through a lane; everything arrives
//! on one subscriber; what is asked now and then takes a connection out of the pool for one call. It knows the domain
//! and Redis; nobody else does. Time within a log and of leases is Redis's.
//!
//! What is kept, all names in `keys`: per room one hash of where the log stands, client keys and rates (`meta`), one of
//! older keys and rates (`keys`), one stream of entries (`log`), one hash of withdrawn messages and read marks (`side`), one
//! of members and a set of them per instance. Beside the rooms: leases, claims, and a set of rooms per instance.

mod cold;
mod dial;
mod durability;
mod fault;
mod foreign;
mod keys;
mod lane;
mod options;
mod outlet;
mod presence;
mod present;
mod pulse;
mod queue;
mod record;
mod scripts;
mod seldom;
mod stages;
mod start;
mod subscriber;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use redis::{Cmd, Pipeline, Value};
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::{
    After, Announcement, AppendError, Checked, Durability, Feed, Health, Members, Page, PageSize, Pending, RecordId,
    Refusal, Reset, Store, StoreError, Stored, Traced, cost,
};
use crate::domain::{Chain, Draft, Limits, Millis, Position, RoomId, Since, User, UserId};
use crate::metrics::labels::{DropReason, PoolState};
use cold::{Cold, one};
use dial::{Dialer, SharedDialer};
use durability::Acknowledging;
use fault::{AWAY_RETRY_MS, Fault};
use keys::{Names, RoomNames};
use lane::{Answering, CallError, Lanes, Shared};
use outlet::Outlet;
use presence::Presence;
use present::Present;
use pulse::{Pulse, Vitals};
use scripts::Scripts;
use subscriber::Subscriber;

pub use options::{DurabilitySetting, Options, Password, Tls};
pub use start::StartError;

/// Hex digits of a chain.
const CHAIN_DIGITS: usize = 16;

/// Bytes of a room's packed meta.
const META_BYTES: usize = 62;

/// The field of a room's meta that has them.
const META_FIELD: &str = "m";

/// One instance's connection to Redis.
pub struct Redis {
    dialer: SharedDialer,
    names: Names,
    scripts: Arc<Scripts>,
    limits: Arc<Limits>,
    lanes: Arc<Lanes>,
    subscriber: Subscriber,
    outlet: Arc<Outlet>,
    vitals: Arc<Vitals>,
    acknowledging: Arc<Acknowledging>,
    presence: Arc<Presence>,
    cold: Cold,
    pulse: AbortHandle,
}

/// What a store has in hand at a moment, for whoever measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gauges {
    /// Connections of the pool, lent ones included.
    pub connections: usize,
    /// Of these, those that nobody uses.
    pub idle_connections: usize,
    /// Callers that wait for a connection.
    pub waiting: usize,
    /// Calls that wait in the lanes.
    pub lane_calls: usize,
    /// Bytes of them.
    pub lane_bytes: usize,
    /// Rooms that are subscribed.
    pub subscriptions: usize,
    /// Publications on their channels that weren't ours, since the start.
    pub foreign_publications: u64,
    /// Publications that a full feed dropped, since the start.
    pub dropped_publications: u64,
    /// Times that all connections were made again, since the start.
    pub redials: u64,
}

/// An instance that is connected.
pub struct Connected {
    /// Its store.
    pub store: Arc<Redis>,
    /// What it receives.
    pub feed: Feed,
    /// The key for guest tokens that all instances share, where one was proposed.
    pub guest_key: Option<String>,
}

impl Redis {
    /// Connects an instance: waits for Redis as long as the options say, and proves that a message can be written, heard
    /// and read. Dropping the store ends the feed and the subscriptions at once, as a crash would: its members are there
    /// until its lease ends.
    ///
    /// Where a key for guest tokens is proposed, it is shared: kept in Redis, unless there is one.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn connect(
        options: Options,
        limits: Arc<Limits>,
        proposed_key: Option<&str>,
    ) -> Result<Connected, StartError> {
        let names = Names::new(&options.prefix);
        let scripts = Arc::new(Scripts::new(&limits));
        let acknowledging = Arc::new(Acknowledging::new(options.durability));
        let dialer = Arc::new(Dialer::new(options, lane::LANES)?);
        let present = Present::new();
        start::wait_for(&dialer, &names.probe(present.instance()), &scripts, &limits, &acknowledging).await?;
        let guest_key = match proposed_key {
            Some(proposal) => Some(start::share_key(&dialer, &names, proposal).await?),
            None => None,
        };
        let (outlet, feed) = Outlet::new();
        let outlet = Arc::new(outlet);
        let vitals = Arc::new(Vitals::new());
        let suspect = Arc::new(Notify::new());
        let subscriber =
            Subscriber::start(Arc::clone(&dialer), names.clone(), Arc::clone(&outlet), Arc::clone(&suspect));
        let lanes = Lanes::start(&Shared {
            dialer: Arc::clone(&dialer),
            scripts: Arc::clone(&scripts),
            acknowledging: Arc::clone(&acknowledging),
            suspect: Arc::clone(&suspect),
        });
        let lanes = Arc::new(lanes);
        let cold = Cold { dialer: Arc::clone(&dialer), scripts: Arc::clone(&scripts) };
        let pulse = Pulse {
            dialer: Arc::clone(&dialer),
            vitals: Arc::clone(&vitals),
            acknowledging: Arc::clone(&acknowledging),
            outlet: Arc::clone(&outlet),
            suspect,
        };
        let pulse = tokio::spawn(pulse.run()).abort_handle();
        let presence = Arc::new(Presence {
            lanes: Arc::clone(&lanes),
            cold: cold.clone(),
            names: names.clone(),
            acknowledging: Arc::clone(&acknowledging),
            outlet: Arc::clone(&outlet),
            guest_key: guest_key.clone(),
            present: Mutex::new(present),
            said_again: Arc::new(Semaphore::new(presence::SAID_AGAIN)),
        });
        let store = Self {
            dialer,
            names,
            scripts,
            limits,
            lanes,
            subscriber,
            outlet,
            vitals,
            acknowledging,
            presence,
            cold,
            pulse,
        };
        Ok(Connected { store: Arc::new(store), feed, guest_key })
    }

    /// What it has in hand now.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let pool = self.dialer.pool_status();
        let (lane_calls, lane_bytes) = self.lanes.depth();
        let (subscriptions, foreign_publications) = self.subscriber.counts();
        Gauges {
            connections: pool.size,
            idle_connections: pool.available,
            waiting: pool.waiting,
            lane_calls,
            lane_bytes,
            subscriptions,
            foreign_publications,
            dropped_publications: self.outlet.dropped(),
            redials: self.dialer.epoch(),
        }
    }

    /// Brings those numbers up to date that are looked up instead of kept.
    pub fn look_up(&self) {
        let metrics = &self.dialer.options().metrics;
        let gauges = self.gauges();
        metrics.lane_calls.set((), gauges.lane_calls as u64);
        metrics.lane_bytes.set((), gauges.lane_bytes as u64);
        metrics.pool_connections.set(PoolState::Idle, gauges.idle_connections as u64);
        let used = gauges.connections.saturating_sub(gauges.idle_connections);
        metrics.pool_connections.set(PoolState::Used, used as u64);
        metrics.pool_waiting.set((), gauges.waiting as u64);
        metrics.subscriptions.set((), gauges.subscriptions as u64);
        metrics.publications_dropped.set_total(DropReason::Foreign, gauges.foreign_publications);
        metrics.publications_dropped.set_total(DropReason::FeedFull, gauges.dropped_publications);
        metrics.redials.set_total((), gauges.redials);
    }

    /// What a lane's call comes to, for a call that has no other answer than that it was done.
    fn done(&self, called: Result<Answering, StoreError>) -> Pending<()> {
        match called {
            Ok(answering) => {
                let patience = self.dialer.options().response_timeout;
                async move { answer(answering, patience).await.map(drop).map_err(StoreError::from) }.boxed()
            }
            Err(error) => std::future::ready(Err(error)).boxed(),
        }
    }

    /// Refuses at once while Redis is away.
    fn reachable(&self) -> Result<(), StoreError> {
        if self.vitals.is_reachable() { Ok(()) } else { Err(StoreError::Unavailable { retry_ms: AWAY_RETRY_MS }) }
    }

    /// Asks something that has no place in an order.
    fn ask<T: Send + 'static>(
        &self,
        pipeline: Pipeline,
        read: impl FnOnce(Vec<Value>) -> Option<T> + Send + 'static,
    ) -> Pending<T> {
        if let Err(away) = self.reachable() {
            return std::future::ready(Err(away)).boxed();
        }
        let cold = self.cold.clone();
        async move { cold.read(pipeline, read).await }.boxed()
    }

    fn read_call(&self, room: &RoomNames) -> Cmd {
        read_call(&self.scripts, room, &self.limits)
    }
}

/// The call that appends a draft.
fn append_call(scripts: &Scripts, room: &RoomNames, draft: &Draft) -> Cmd {
    let packed = record::pack(draft);
    let mut call = scripts.append.call(4);
    call.arg(room.meta()).arg(room.log()).arg(room.side()).arg(room.keys());
    call.arg(packed.digest.as_str()).arg(packed.content).arg(packed.text);
    call.arg(&record::key_field(&draft.user.id, &draft.key)).arg(record::rate_field(&draft.user.id));
    if let Some(target) = packed.target {
        call.arg(packed.kind.to_string()).arg(target);
    }
    call
}

/// The call that reads, without what it is to read.
fn read_call(scripts: &Scripts, room: &RoomNames, limits: &Limits) -> Cmd {
    let mut call = scripts.read.call(3);
    call.arg(room.meta()).arg(room.log()).arg(room.side()).arg(limits.history_idle_ms);
    call
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.pulse.abort();
    }
}

/// Waits for a lane's answer, but not for ever.
async fn answer(answering: Answering, patience: Duration) -> Result<lane::Answer, CallError> {
    match timeout(patience, answering).await {
        Ok(Ok(answer)) => answer,
        // Nobody knows what becomes of it.
        Ok(Err(_)) | Err(_) => Err(CallError::Unknown(Fault::Connection.told())),
    }
}

impl Store for Redis {
    fn append(&self, room: &RoomId, draft: Draft) -> Pending<Stored, AppendError> {
        if let Err(away) = self.reachable() {
            return std::future::ready(Err(away.into())).boxed();
        }
        let names = self.names.room(room);
        if let Some(traced) = draft.trace.map(|trace| Traced::now(&draft, trace)) {
            let announcement = record::announcement(&Announcement::Traced(traced));
            let mut publish = redis::cmd("PUBLISH");
            publish.arg(names.channel()).arg(announcement);
            // On the same lane, so before the entry. Where the lane is full, the append is refused too.
            let _ = self.lanes.tell(room, publish);
        }
        let call = append_call(&self.scripts, &names, &draft);
        let answering = match self.lanes.append(room, call, draft.trace) {
            Ok(answering) => answering,
            Err(StoreError::Overloaded { retry_ms }) => {
                return std::future::ready(Err(Refusal::Overloaded { retry_ms }.into())).boxed();
            }
            Err(other) => return std::future::ready(Err(other.into())).boxed(),
        };
        let patience = self.dialer.options().response_timeout;
        async move {
            match answer(answering, patience).await {
                Ok(lane::Answer { value, durability }) => appended(&value, durability).inspect_err(|error| {
                    if *error == AppendError::Unknown(StoreError::Corrupt) {
                        foreign::complain(&names.log(), None);
                    }
                }),
                Err(CallError::NotDone(StoreError::Overloaded { retry_ms })) => {
                    Err(Refusal::Overloaded { retry_ms }.into())
                }
                Err(CallError::NotDone(error) | CallError::Unknown(error)) => Err(error.into()),
            }
        }
        .boxed()
    }

    fn read_after(&self, room: &RoomId, since: Since, page: PageSize, newest: PageSize) -> Pending<After> {
        let mut call = self.read_call(&self.names.room(room));
        call.arg("after").arg(since.offset).arg(since.chain.map(|chain| chain.to_string()).unwrap_or_default());
        for size in [page, newest] {
            call.arg(size.entries).arg(size.bytes);
        }
        self.ask(one(call), move |answers| {
            let (verdict, entries) = read(answers)?;
            Some(match verdict {
                None => After::Continued(fit(entries, page, false)),
                Some(reset) => After::Reset(reset, fit(entries, newest, true)),
            })
        })
    }

    fn read_before(&self, room: &RoomId, before: Option<u64>, page: PageSize) -> Pending<Page> {
        let mut call = self.read_call(&self.names.room(room));
        call.arg("before").arg(before.map(|before| before.to_string()).unwrap_or_default()).arg("");
        call.arg(page.entries).arg(page.bytes).arg(0).arg(0);
        self.ask(one(call), move |answers| Some(fit(read(answers)?.1, page, true)))
    }

    fn check(&self, rooms: Vec<RoomId>) -> Pending<Vec<Checked>> {
        self.outlet.tell_interrupted();
        let mut pipeline = Pipeline::with_capacity(1 + 2 * rooms.len());
        pipeline.cmd("TIME");
        for room in &rooms {
            let names = self.names.room(room);
            pipeline.cmd("HGET").arg(names.meta()).arg(META_FIELD);
            pipeline.cmd("HLEN").arg(names.members());
        }
        if let Err(away) = self.reachable() {
            return std::future::ready(Err(away)).boxed();
        }
        let (cold, names, idle_ms) = (self.cold.clone(), self.names.clone(), self.limits.history_idle_ms);
        async move {
            let mut answers = cold.ask_each(pipeline).await?.into_iter();
            let now = answers.next().as_ref().and_then(time).ok_or(StoreError::Corrupt)?;
            let mut checked = Vec::with_capacity(rooms.len());
            // Whatever is under the keys of one, the others are checked.
            while let (Some(meta), Some(members)) = (answers.next(), answers.next()) {
                let meta = Meta::of(&meta).unwrap_or_else(|| {
                    foreign::complain(&names.room(&rooms[checked.len()]).meta(), None);
                    None
                });
                let position =
                    meta.filter(|meta| !meta.has_ended(now, idle_ms)).map_or(Position::ZERO, |meta| meta.top);
                checked.push(Checked { position, members: integer(&members).unwrap_or(0) });
            }
            Ok(checked)
        }
        .boxed()
    }

    fn subscribe(&self, room: &RoomId) -> Pending<()> {
        if let Err(away) = self.reachable() {
            return std::future::ready(Err(away)).boxed();
        }
        self.confirmed(self.subscriber.subscribe(room))
    }

    fn unsubscribe(&self, room: &RoomId) -> Pending<()> {
        self.confirmed(self.subscriber.unsubscribe(room))
    }

    fn announce(&self, room: &RoomId, announcement: Announcement) {
        self.outlet.tell_interrupted();
        if self.reachable().is_err() {
            return;
        }
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(self.names.room(room).channel()).arg(record::announcement(&announcement));
        if self.lanes.tell(room, publish).is_err() {
            tracing::debug!("an announcement was dropped: the lane is full");
        }
    }

    fn mark_read(&self, room: &RoomId, user: &UserId, offset: u64, origin: u64) -> Pending<()> {
        let names = self.names.room(room);
        let mut call = self.scripts.mark.call(3);
        call.arg(names.meta()).arg(names.side()).arg(names.log()).arg(self.limits.history_idle_ms);
        call.arg(scripts::lives_ms(&self.limits)).arg(user.as_str()).arg(offset).arg(origin);
        self.done(self.reachable().and_then(|()| self.lanes.call(room, call)))
    }

    fn read_mark(&self, room: &RoomId, user: &UserId) -> Pending<u64> {
        let names = self.names.room(room);
        let mut pipeline = Pipeline::new();
        pipeline.cmd("TIME");
        pipeline.cmd("HGET").arg(names.meta()).arg(META_FIELD);
        pipeline.cmd("HGET").arg(names.side()).arg(format!("@{}", user.as_str()));
        let idle_ms = self.limits.history_idle_ms;
        self.ask(pipeline, move |answers| {
            let [now, meta, mark] = &answers[..] else { return None };
            let has_ended = match Meta::of(meta)? {
                Some(meta) => meta.has_ended(time(now)?, idle_ms),
                None => false,
            };
            match mark {
                Value::Nil => Some(0),
                _ if has_ended => Some(0),
                mark => integer(mark),
            }
        })
    }

    fn enter(&self, room: &RoomId, user: &User, named_at: Millis) -> Pending<()> {
        self.done(self.reachable().and_then(|()| self.presence.enter(room, user, named_at)))
    }

    fn leave(&self, room: &RoomId, user: &UserId) -> Pending<()> {
        self.presence.leave(room, user, self.reachable())
    }

    fn members(&self, room: &RoomId, most: usize) -> Pending<Members> {
        let mut call = self.scripts.members.call(1);
        call.arg(self.names.room(room).members()).arg(most);
        self.ask(one(call), |answers| {
            let Value::Array(answer) = answers.into_iter().next()? else { return None };
            let (count, rest) = answer.split_first()?;
            let count = integer(count)?;
            if rest.is_empty() && count > 0 {
                return Some(Members { list: None, count });
            }
            let members = rest.chunks_exact(2).map(|pair| record::member(bytes(&pair[0])?, bytes(&pair[1])?));
            let mut list: Vec<User> = members.collect::<Option<_>>()?;
            list.sort_by(|a, b| a.id.cmp(&b.id));
            Some(Members { list: Some(list), count })
        })
    }

    fn renew_lease(&self, for_ms: Millis) -> Pending<()> {
        self.outlet.tell_interrupted();
        match self.reachable() {
            Ok(()) => Arc::clone(&self.presence).renew(for_ms).boxed(),
            Err(away) => std::future::ready(Err(away)).boxed(),
        }
    }

    fn sweep(&self) -> Pending<usize> {
        match self.reachable() {
            Ok(()) => presence::sweep(self.cold.clone(), self.names.clone()).boxed(),
            Err(away) => std::future::ready(Err(away)).boxed(),
        }
    }

    fn keep(&self, id: RecordId, record: Vec<u8>, for_ms: Millis) -> Pending<()> {
        let mut set = redis::cmd("SET");
        set.arg(self.names.record(id)).arg(record).arg("PX").arg(for_ms.max(1));
        self.done(self.reachable().and_then(|()| self.lanes.call(&id, set)))
    }

    fn kept(&self, id: RecordId) -> Pending<Option<Vec<u8>>> {
        let mut get = redis::cmd("GET");
        get.arg(self.names.record(id));
        self.ask(one(get), |answers| match answers.into_iter().next()? {
            Value::Nil => Some(None),
            record => Some(Some(bytes(&record)?.to_vec())),
        })
    }

    fn durability(&self) -> Durability {
        self.acknowledging.means()
    }

    fn health(&self) -> Health {
        self.vitals.health()
    }
}

impl Redis {
    fn confirmed(&self, answer: oneshot::Receiver<Result<(), StoreError>>) -> Pending<()> {
        let patience = self.dialer.options().response_timeout;
        async move {
            let away = StoreError::Unavailable { retry_ms: AWAY_RETRY_MS };
            timeout(patience, answer).await.map_err(|_| away)?.map_err(|_| away)?
        }
        .boxed()
    }
}

/// Reads the answer of the script that appends.
fn appended(value: &Value, durability: Durability) -> Result<Stored, AppendError> {
    let read = || {
        let answer = std::str::from_utf8(bytes(value)?).ok()?;
        let (kind, rest) = answer.split_at_checked(1)?;
        let stored = |record: &str, duplicate| {
            let (_, position) = record.split_at_checked(record::CONTENT_DIGITS)?;
            let (chain, numbers) = position.split_at_checked(CHAIN_DIGITS)?;
            let (offset, at) = numbers.split_once('\n')?;
            let position = Position { offset: offset.parse().ok()?, chain: Chain::parse(chain)? };
            Some(Stored { position, at: at.parse().ok()?, durability, duplicate })
        };
        Some(match kind {
            "D" => Ok(stored(rest, true)?),
            "C" => Err(Refusal::KeyConflict { position: stored(rest, true)?.position }),
            "R" => Err(Refusal::RateLimited { retry_ms: rest.parse().ok()? }),
            "N" => Err(Refusal::NotFound),
            "F" => Err(Refusal::Forbidden),
            _ => Ok(stored(answer, false)?),
        })
    };
    read().ok_or(AppendError::Unknown(StoreError::Corrupt))?.map_err(AppendError::from)
}

/// Reads the answer of the script that reads: why the log doesn't continue, if it doesn't, and a page.
fn read(answers: Vec<Value>) -> Option<(Option<Reset>, Page)> {
    let Value::Array(answer) = answers.into_iter().next()? else { return None };
    let [verdict, offset, top_chain, oldest, pairs @ ..] = &answer[..] else { return None };
    let verdict = match bytes(verdict)? {
        b"C" => None,
        b"T" => Some(Reset::Trimmed),
        b"D" => Some(Reset::Diverged),
        b"L" => Some(Reset::Lost),
        _ => return None,
    };
    let top = match integer(offset)? {
        0 => Position::ZERO,
        offset => Position { offset, chain: chain(top_chain)? },
    };
    let entries = pairs.chunks_exact(2).map(|pair| record::paged(bytes(&pair[0])?, bytes(&pair[1])?).map(Arc::new));
    let entries: Vec<_> = entries.collect::<Option<_>>()?;
    // A log without a hole, whose chain is one.
    let contiguous =
        entries.windows(2).all(|pair| pair[1].offset == pair[0].offset + 1 && pair[1].prev == pair[0].chain);
    let ends_at_top = entries.last().is_none_or(|last| last.offset != top.offset || last.chain == top.chain);
    (contiguous && ends_at_top).then_some((verdict, Page { entries, top, oldest: integer(oldest)? }))
}

/// Cuts a page to its size, which the script can only estimate: withdrawn texts count for less.
fn fit(mut page: Page, size: PageSize, from_the_end: bool) -> Page {
    let mut total = 0;
    let fits = |entry: &Arc<crate::domain::Entry>| {
        total += cost(entry);
        total <= size.bytes
    };
    if from_the_end {
        let fitting = page.entries.iter().rev().take_while({
            let mut fits = fits;
            move |entry| fits(entry)
        });
        let fitting = fitting.count().max(1).min(page.entries.len());
        page.entries.drain(..page.entries.len() - fitting);
    } else {
        let mut fits = fits;
        let fitting = page.entries.iter().take_while(|entry| fits(entry)).count().max(1);
        page.entries.truncate(fitting);
    }
    page
}

/// The parts of a room's meta that are read outside the scripts.
struct Meta {
    top: Position,
    at: Millis,
}

impl Meta {
    /// `None` outside where it isn't ours, inside where there is none.
    #[expect(clippy::option_option, reason = "no log is something else than a broken one")]
    fn of(value: &Value) -> Option<Option<Self>> {
        if *value == Value::Nil {
            return Some(None);
        }
        let packed: &[u8; META_BYTES] = bytes(value)?.try_into().ok()?;
        let number = |at: usize| packed[at..at + 6].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let (offset, at) = (number(0), number(22));
        let chain = Chain::parse(std::str::from_utf8(&packed[6..22]).ok()?)?;
        Some(Some(Self { top: Position { offset, chain }, at }))
    }

    const fn has_ended(&self, now: Millis, idle_ms: Millis) -> bool {
        now.saturating_sub(self.at) >= idle_ms
    }
}

/// Redis's clock.
fn time(value: &Value) -> Option<Millis> {
    let Value::Array(parts) = value else { return None };
    let [seconds, micros] = &parts[..] else { return None };
    Some(integer(seconds)? * 1_000 + integer(micros)? / 1_000)
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

/// A number, also one that Lua gave as text.
fn integer(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        other => std::str::from_utf8(bytes(other)?).ok()?.parse().ok(),
    }
}

fn chain(value: &Value) -> Option<Chain> {
    Chain::parse(std::str::from_utf8(bytes(value)?).ok()?)
}
