//! Who is where: this instance's members, its lease, and the members of instances that ended.
//!
//! Entering and leaving go through the lanes, because they have a place in a room's order. An instance is known by an id
//! of its own, a new one for every lease that was lost, so that members under the old one can be swept meanwhile.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use redis::{Cmd, Pipeline, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::cold::{Cold, one};
use super::durability::Acknowledging;
use super::fault::Fault;
use super::keys::{Names, RoomNames};
use super::lane::{Answering, CallError, Lanes};
use super::outlet::Outlet;
use super::present::{Leave, Present};
use super::record::LONGEST_NAME;
use super::{answer, bytes, integer};
use crate::domain::{Millis, RoomId, User, UserId};
use crate::store::{FIRST_LEASE_MS, Pending, StoreError};

/// Members that one step of a sweep takes out of a room.
const SWEEP_CHUNK: usize = 200;

/// How long a claim to an ended instance holds; then another instance goes on with it.
const CLAIM_MS: Millis = 30_000;

/// Rooms that a sweep reads at a time.
const SWEEP_ROOMS: usize = 500;

/// Leaves that are said again at a time, until they are answered.
pub const SAID_AGAIN: usize = 200;

/// What a renewal found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lease {
    Held,
    /// The instance has another name now, which is to be renewed.
    Ended,
}

/// This instance among the others.
pub struct Presence {
    pub lanes: Arc<Lanes>,
    pub cold: Cold,
    pub names: Names,
    pub acknowledging: Arc<Acknowledging>,
    pub outlet: Arc<Outlet>,
    pub guest_key: Option<String>,
    pub present: Mutex<Present>,
    /// [`SAID_AGAIN`] places.
    pub said_again: Arc<Semaphore>,
}

impl Presence {
    /// A user is there.
    pub fn enter(&self, room: &RoomId, user: &User, named_at: Millis) -> Result<Answering, StoreError> {
        // Held until everything is in its place.
        self.enter_in(&mut self.lock(), room, user, named_at)
    }

    fn enter_in(
        &self,
        present: &mut Present,
        room: &RoomId,
        user: &User,
        named_at: Millis,
    ) -> Result<Answering, StoreError> {
        if !present.is_leased() {
            let first = self.renewal(present.instance(), FIRST_LEASE_MS, "first");
            self.lanes.tell(room, first)?;
        }
        // Every time: the last one may have been lost.
        self.list(present.instance(), room)?;
        let entering = self.lanes.call(room, self.entering(present.instance(), room, user, named_at))?;
        present.enter(room, user);
        Ok(entering)
    }

    /// A user is no longer there. What Redis isn't told now, or doesn't confirm, is said again with a renewal.
    pub fn leave(self: &Arc<Self>, room: &RoomId, user: &UserId, away: Result<(), StoreError>) -> Pending<()> {
        let said = {
            let mut present = self.lock();
            let leave = present.leave(room, user);
            away.and_then(|()| self.say(&present, leave, None))
        };
        match said {
            Ok(said) => async move { said.await.unwrap_or(Err(Fault::Connection.told())) }.boxed(),
            Err(error) => std::future::ready(Err(error)).boxed(),
        }
    }

    /// Says a leave, and settles it once it is answered: a task, because nobody else may wait for that.
    fn say(
        self: &Arc<Self>,
        present: &Present,
        leave: Leave,
        place: Option<OwnedSemaphorePermit>,
    ) -> Result<JoinHandle<Result<(), StoreError>>, StoreError> {
        let names = self.names.room(&leave.room);
        let mut call = self.cold.scripts.leave.call(2);
        call.arg(names.members()).arg(names.members_on(present.instance()));
        call.arg(names.channel()).arg(present.instance()).arg(leave.user.as_str()).arg(1);
        let answering = self.lanes.call_replicated(&leave.room, call)?;
        let patience = self.cold.dialer.options().response_timeout;
        let presence = Arc::downgrade(self);
        Ok(tokio::spawn(async move {
            let answered = answer(answering, patience).await;
            if let Some(presence) = presence.upgrade() {
                match answered {
                    Ok(_) => presence.settle(&leave),
                    Err(CallError::Unknown(_) | CallError::NotDone(StoreError::Corrupt)) => {
                        presence.lock().count_try(&leave);
                    }
                    Err(CallError::NotDone(_)) => {}
                }
            }
            drop(place);
            answered.map(drop).map_err(StoreError::from)
        }))
    }

    fn settle(&self, leave: &Leave) {
        let mut present = self.lock();
        if present.settle(leave) {
            let mut unlist = redis::cmd("SREM");
            unlist.arg(self.names.rooms_of(present.instance())).arg(leave.room.as_str());
            // One room too many in the list costs a sweep one step.
            let _ = self.lanes.tell(&leave.room, unlist);
        }
    }

    /// Renews the lease; in one pipeline, whatever the number of rooms. With it goes what Redis may not know.
    pub async fn renew(self: Arc<Self>, for_ms: Millis) -> Result<(), StoreError> {
        if self.renew_name(for_ms).await? == Lease::Held {
            return Ok(());
        }
        // The other name.
        let renewed = self.renew_name(for_ms).await;
        // Member counts don't agree now: whoever checks enters its members again.
        self.outlet.interrupt();
        renewed.map(drop)
    }

    async fn renew_name(self: &Arc<Self>, for_ms: Millis) -> Result<Lease, StoreError> {
        let options = self.cold.dialer.options();
        let renewal = self.lock().renewal();
        let mut pipeline = one(self.renewal(&renewal.instance, for_ms, if renewal.leased { "" } else { "new" }));
        self.list_all(&mut pipeline, &renewal.instance, renewal.rooms());
        // A call waits and is under way for so long at most. Until then nothing may be swept, or what comes later stays.
        let under_way_ms = options.response_timeout.as_millis() as Millis * 2;
        for ended in &renewal.ended {
            pipeline.add_command(self.renewal(&ended.instance, for_ms.max(under_way_ms), "first"));
            self.list_all(&mut pipeline, &ended.instance, ended.rooms.iter());
        }
        let lists = pipeline.cmd_iter().count();
        if let Some(key) = &self.guest_key {
            // After a flush, whoever holds it sets it again.
            pipeline.cmd("SET").arg(self.names.guest_key()).arg(key).arg("NX");
        }
        let waits = self.acknowledging.waits();
        if waits {
            // An instance that only reads would never notice a failover otherwise.
            pipeline.cmd("WAIT").arg(1).arg(options.wait_timeout.as_millis() as u64);
        }
        // The lease is renewed even where Redis is too full for the rest, which is said again then.
        let answers = self.cold.ask_each(pipeline).await?;
        let refused = answers.iter().take(lists).any(|answer| *answer == Value::Nil);
        let confirmed = match answers.last().filter(|_| waits) {
            None => true,
            Some(Value::Int(1..)) => {
                self.acknowledging.confirmed();
                true
            }
            Some(_) => {
                if self.acknowledging.unconfirmed() {
                    self.cold.dialer.redial("replicas don't confirm", true);
                }
                false
            }
        };
        let Some(Value::Array(answer)) = answers.first() else { return Err(StoreError::Corrupt) };
        let (Some(held), Some(era)) = (answer.first().and_then(integer), answer.get(1).and_then(bytes)) else {
            return Err(StoreError::Corrupt);
        };
        let mut present = self.lock();
        let flushed = present.is_another_era(era);
        if present.instance() != renewal.instance {
            // Given up meanwhile.
            return Ok(Lease::Ended);
        }
        if held != 1 {
            present.lose_lease(flushed);
            tracing::warn!(
                emptied = flushed,
                "this instance's lease ended, and its members with it: those who are here enter again"
            );
            return Ok(Lease::Ended);
        }
        present.lease();
        if confirmed && !refused {
            present.renewed(&renewal);
        }
        self.say_again(&mut present, renewal.leased, for_ms);
        Ok(Lease::Held)
    }

    /// Says what Redis doesn't know. What is lost again is said with the next renewal, or found by checks.
    fn say_again(self: &Arc<Self>, present: &mut Present, leased: bool, for_ms: Millis) {
        if present.take_to_write() {
            self.enter_again(present);
        }
        // Until the next one, checks have those of listed rooms enter again.
        let taken_out = if leased { present.take_taken_out() } else { HashMap::new() };
        for (room, users) in taken_out {
            // Whoever has only the count of a large room would never miss them.
            users.iter().for_each(|user| drop(self.enter_in(present, &room, user, 0)));
        }
        for (leave, more_ms) in present.take_owed(self.said_again.available_permits()).into_iter().zip(1..) {
            let place = Arc::clone(&self.said_again).try_acquire_owned().ok();
            // One that was carried out before writes nothing now, and since Redis 7.2 a WAIT behind what wrote nothing
            // says nothing of earlier connections: so something else is written, a lease that ends at another time.
            let written = self.lanes.tell(&leave.room, self.renewal(present.instance(), for_ms + more_ms, ""));
            if let Err(error) = written.and_then(|()| self.say(present, leave, place)) {
                return tracing::debug!(%error, "not all leaves could be said again");
            }
        }
    }

    fn enter_again(&self, present: &Present) {
        for (room, users) in present.all() {
            let entered = self.list(present.instance(), room).and_then(|()| {
                users
                    .iter()
                    .try_for_each(|user| self.lanes.tell(room, self.entering(present.instance(), room, user, 0)))
            });
            if let Err(error) = entered {
                return tracing::warn!(%error, "not all members could be written again; checks find the others");
            }
        }
    }

    fn renewal(&self, instance: &str, for_ms: Millis, how: &str) -> Cmd {
        let mut renew = self.cold.scripts.renew.call(2);
        renew.arg(self.names.leases()).arg(self.names.era()).arg(instance).arg(for_ms).arg(how);
        renew.arg(format!("{:016x}", rand::random::<u64>()));
        renew
    }

    fn list(&self, instance: &str, room: &RoomId) -> Result<(), StoreError> {
        let mut list = redis::cmd("SADD");
        list.arg(self.names.rooms_of(instance)).arg(room.as_str());
        self.lanes.tell(room, list)
    }

    fn list_all<'a>(&self, to: &mut Pipeline, instance: &str, rooms: impl ExactSizeIterator<Item = &'a RoomId>) {
        if rooms.len() > 0 {
            let list = to.cmd("SADD").arg(self.names.rooms_of(instance));
            rooms.for_each(|room| {
                list.arg(room.as_str());
            });
        }
    }

    fn entering(&self, instance: &str, room: &RoomId, user: &User, named_at: Millis) -> Cmd {
        let names = self.names.room(room);
        let mut call = self.cold.scripts.enter.call(2);
        call.arg(names.members()).arg(names.members_on(instance));
        call.arg(names.channel()).arg(instance).arg(user.id.as_str()).arg(user.name.as_str()).arg(named_at);
        call
    }

    fn lock(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Claims the instances whose lease has ended, and takes their members out.
pub async fn sweep(cold: Cold, names: Names) -> Result<usize, StoreError> {
    let mut claimed = 0;
    loop {
        let mut claim = cold.scripts.claim.call(2);
        claim.arg(names.leases()).arg(names.claims()).arg(CLAIM_MS);
        let answers = cold.ask(one(claim)).await?;
        let Some(Value::Array(answer)) = answers.first() else { return Err(StoreError::Corrupt) };
        let [instance, first] = &answer[..] else { return Ok(claimed) };
        let instance = bytes(instance).and_then(|id| std::str::from_utf8(id).ok()).ok_or(StoreError::Corrupt)?;
        sweep_instance(&cold, &names, instance).await?;
        claimed += usize::from(*first == Value::Int(1));
    }
}

/// Takes the members of an ended instance out of every room it was in.
async fn sweep_instance(cold: &Cold, names: &Names, instance: &str) -> Result<(), StoreError> {
    let rooms = names.rooms_of(instance);
    loop {
        let mut some = redis::cmd("SRANDMEMBER");
        some.arg(&rooms).arg(SWEEP_ROOMS);
        let answers = cold.ask(one(some)).await?;
        let Some(Value::Array(some)) = answers.first() else { return Err(StoreError::Corrupt) };
        if some.is_empty() {
            break;
        }
        for room in some {
            let name = bytes(room).and_then(|name| std::str::from_utf8(name).ok());
            if let Some(room) = name.and_then(|name| RoomId::parse(name, LONGEST_NAME).ok()) {
                sweep_room(cold, &names.room(&room), instance).await?;
            }
            let mut swept = redis::cmd("SREM");
            swept.arg(&rooms).arg(bytes(room).unwrap_or_default());
            cold.ask(one(swept)).await?;
        }
    }
    let mut done = redis::cmd("ZREM");
    done.arg(names.claims()).arg(instance);
    cold.ask(one(done)).await.map(drop)
}

async fn sweep_room(cold: &Cold, room: &RoomNames, instance: &str) -> Result<(), StoreError> {
    loop {
        let mut call = cold.scripts.leave.call(2);
        call.arg(room.members()).arg(room.members_on(instance));
        call.arg(room.channel()).arg(instance).arg("").arg(SWEEP_CHUNK);
        match cold.ask(one(call)).await?.first() {
            Some(Value::Int(0)) => return Ok(()),
            Some(Value::Int(_)) => {}
            _ => return Err(StoreError::Corrupt),
        }
    }
}
