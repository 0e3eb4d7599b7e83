//! Who is where: this instance's members, its lease, and the members of instances that ended.
//!
//! Entering and leaving go through the lanes, because they have a place in a room's order. An instance is known by an id
//! of its own, a new one for every lease that was lost, so that members under the old one can be swept meanwhile.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::{Cmd, Value};

use super::cold::{Cold, one};
use super::durability::Acknowledging;
use super::keys::{Names, RoomNames};
use super::lane::{Answering, Lanes};
use super::outlet::Outlet;
use super::present::Present;
use super::record::LONGEST_NAME;
use super::{bytes, integer};
use crate::domain::{Millis, RoomId, User, UserId};
use crate::store::{FIRST_LEASE_MS, StoreError};

/// Members that one step of a sweep takes out of a room.
const SWEEP_CHUNK: usize = 200;

/// How long a claim to an ended instance holds; then another instance goes on with it.
const CLAIM_MS: Millis = 30_000;

/// Rooms that a sweep reads at a time.
const SWEEP_ROOMS: usize = 500;

/// This instance among the others.
pub struct Presence {
    pub lanes: Arc<Lanes>,
    pub cold: Cold,
    pub names: Names,
    pub acknowledging: Arc<Acknowledging>,
    pub outlet: Arc<Outlet>,
    pub guest_key: Option<String>,
    pub present: Mutex<Present>,
}

impl Presence {
    /// A user is there.
    pub fn enter(&self, room: &RoomId, user: &User, named_at: Millis) -> Result<Answering, StoreError> {
        // Held until everything is in its place.
        let mut present = self.lock();
        if !present.is_leased() {
            let first = self.renewal(present.instance(), FIRST_LEASE_MS, "first");
            self.lanes.tell(room, first)?;
        }
        if present.enter(room, user)
            && let Err(error) = self.list(present.instance(), room)
        {
            present.leave(room, &user.id);
            return Err(error);
        }
        self.lanes.call(room, self.entering(present.instance(), room, user, named_at), false)
    }

    /// A user is no longer there. While Redis is away, that is only noted.
    pub fn leave(&self, room: &RoomId, user: &UserId, away: Result<(), StoreError>) -> Result<Answering, StoreError> {
        let names = self.names.room(room);
        let mut present = self.lock();
        let was_last = present.leave(room, user);
        away?;
        let mut call = self.cold.scripts.leave.call(2);
        call.arg(names.members()).arg(names.members_on(present.instance()));
        call.arg(names.channel()).arg(present.instance()).arg(user.as_str()).arg(1);
        let left = self.lanes.call(room, call, false);
        if was_last {
            let mut unlist = redis::cmd("SREM");
            unlist.arg(self.names.rooms_of(present.instance())).arg(room.as_str());
            // One room too many in the list costs a sweep one step.
            let _ = self.lanes.tell(room, unlist);
        }
        left
    }

    /// Renews the lease; in one pipeline, whatever the number of rooms.
    pub async fn renew(self: Arc<Self>, for_ms: Millis) -> Result<(), StoreError> {
        let (instance, leased) = {
            let present = self.lock();
            (present.instance().to_owned(), present.is_leased())
        };
        let mut pipeline = one(self.renewal(&instance, for_ms, if leased { "" } else { "new" }));
        let waits = self.acknowledging.waits();
        if waits {
            // An instance that only reads would never notice a failover otherwise.
            let timeout = self.cold.dialer.options().wait_timeout.as_millis() as u64;
            pipeline.cmd("WAIT").arg(1).arg(timeout);
        }
        if let Some(key) = &self.guest_key {
            // After a flush, whoever holds it sets it again.
            pipeline.cmd("SET").arg(self.names.guest_key()).arg(key).arg("NX");
        }
        let answers = self.cold.ask(pipeline).await?;
        match answers.get(1).filter(|_| waits) {
            Some(Value::Int(0)) if self.acknowledging.unconfirmed() => {
                self.cold.dialer.redial("replicas don't confirm", true);
            }
            Some(Value::Int(1..)) => self.acknowledging.confirmed(),
            _ => {}
        }
        let Some(Value::Array(answer)) = answers.first() else { return Err(StoreError::Corrupt) };
        let (Some(held), Some(era)) = (answer.first().and_then(integer), answer.get(1).and_then(bytes)) else {
            return Err(StoreError::Corrupt);
        };
        let flushed = self.lock().is_another_era(era);
        if held == 1 {
            let taken_out = {
                let mut present = self.lock();
                present.lease();
                present.take_taken_out()
            };
            // Whoever has only the count of a large room would never miss them.
            for (room, users) in taken_out {
                users.iter().for_each(|user| drop(self.enter(&room, user, 0)));
            }
            return Ok(());
        }
        let instance = {
            let mut present = self.lock();
            present.lose_lease(flushed);
            present.lease();
            present.instance().to_owned()
        };
        self.cold.ask(one(self.renewal(&instance, for_ms, "new"))).await?;
        if flushed {
            tracing::warn!("Redis was emptied: the members of this instance are written again");
            self.enter_again();
        } else {
            tracing::warn!("this instance's lease ended, and others announced that its members left; they enter again");
        }
        // Member counts don't agree now: whoever checks enters its members again.
        self.outlet.interrupt();
        Ok(())
    }

    fn enter_again(&self) {
        let present = self.lock();
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
