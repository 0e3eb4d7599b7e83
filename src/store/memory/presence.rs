//! Who is in one room, on which instances.

use std::collections::{BTreeMap, HashMap};

use super::instances::InstanceId;
use crate::domain::{Millis, User, UserId};
use crate::store::{Members, PresenceChange};

/// Bytes of memory that a member takes.
const MEMBER_BYTES: usize = 256;

/// The members of a room over all instances.
#[derive(Debug, Default)]
pub struct Presence {
    members: BTreeMap<UserId, Member>,
    /// Members of each instance that has any.
    on: HashMap<InstanceId, usize>,
}

#[derive(Debug)]
struct Member {
    user: User,
    /// Where; never empty, without repeats.
    on: Vec<InstanceId>,
}

impl Presence {
    /// A user is there on an instance.
    pub fn enter(&mut self, user: &User, named_at: Millis, instance: InstanceId) -> Option<PresenceChange> {
        if let Some(member) = self.members.get_mut(&user.id) {
            if !member.on.contains(&instance) {
                member.on.push(instance);
                *self.on.entry(instance).or_default() += 1;
            }
            let renamed = member.user.name != user.name;
            if renamed {
                member.user = user.clone();
            }
            return renamed.then(|| PresenceChange::Renamed { user: user.clone(), named_at });
        }
        self.members.insert(user.id.clone(), Member { user: user.clone(), on: vec![instance] });
        *self.on.entry(instance).or_default() += 1;
        Some(PresenceChange::Joined { user: user.clone(), members: self.count() })
    }

    /// A user is no longer there on an instance.
    pub fn leave(&mut self, user: &UserId, instance: InstanceId) -> Option<PresenceChange> {
        let gone = self.take(user, instance)?;
        Some(PresenceChange::Left { users: vec![gone], members: self.count() })
    }

    /// An instance is gone, and everybody with it who is nowhere else.
    pub fn end(&mut self, instance: InstanceId) -> Option<PresenceChange> {
        let there = self.members.iter().filter(|(_, member)| member.on.contains(&instance));
        let there: Vec<UserId> = there.map(|(id, _)| id.clone()).collect();
        let users: Vec<User> = there.iter().filter_map(|id| self.take(id, instance)).collect();
        (!users.is_empty()).then(|| PresenceChange::Left { users, members: self.count() })
    }

    /// Whether the instance has a member here.
    pub fn is_on(&self, instance: InstanceId) -> bool {
        self.on.contains_key(&instance)
    }

    /// Members over all instances.
    pub fn count(&self) -> u64 {
        self.members.len() as u64
    }

    /// All of them by id, or only how many.
    pub fn list(&self, most: usize) -> Members {
        let list = self.members.len() <= most;
        let list = list.then(|| self.members.values().map(|member| member.user.clone()).collect());
        Members { list, count: self.count() }
    }

    /// Bytes of memory they take.
    pub fn bytes(&self) -> usize {
        self.members.len() * MEMBER_BYTES
    }

    /// Takes an instance away from a user; returns the user if it was the last.
    fn take(&mut self, user: &UserId, instance: InstanceId) -> Option<User> {
        let member = self.members.get_mut(user)?;
        let place = member.on.iter().position(|on| *on == instance)?;
        member.on.swap_remove(place);
        if let Some(members) = self.on.get_mut(&instance) {
            *members -= 1;
            if *members == 0 {
                self.on.remove(&instance);
            }
        }
        if member.on.is_empty() { self.members.remove(user).map(|member| member.user) } else { None }
    }
}
