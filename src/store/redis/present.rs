//! Which members this instance has: to be found when it ends, and to be written again after Redis was emptied.
//!
//! Redis keeps the list of rooms in which an instance has members, for whoever sweeps it. It is changed when a room gets
//! its first member here and when it loses its last.

use std::collections::HashMap;

use crate::domain::{RoomId, User, UserId};

/// This instance's presence.
#[derive(Debug)]
pub struct Present {
    /// Its name among the members. A new one after its lease was lost: members under the old one may be being swept.
    instance: String,
    /// Whether it has a lease, as far as it knows.
    leased: bool,
    /// What names the time since Redis was empty, once it was seen.
    era: Option<Vec<u8>>,
    members: HashMap<RoomId, Vec<User>>,
    /// Those whom another instance took out, because the lease had ended, and who didn't leave since.
    taken_out: HashMap<RoomId, Vec<User>>,
}

impl Present {
    /// Nobody is there.
    pub fn new() -> Self {
        Self { instance: new_name(), leased: false, era: None, members: HashMap::new(), taken_out: HashMap::new() }
    }

    /// The name among the members: 16 hex digits.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Whether it has a lease, as far as it knows.
    pub const fn is_leased(&self) -> bool {
        self.leased
    }

    /// It has one now.
    pub const fn lease(&mut self) {
        self.leased = true;
    }

    /// Whether Redis was emptied since the last time.
    pub fn is_another_era(&mut self, era: &[u8]) -> bool {
        let before = self.era.replace(era.to_vec());
        before.is_some_and(|before| before != era)
    }

    /// Its lease is gone, and its members with it: because Redis was emptied, or because another instance took them out.
    pub fn lose_lease(&mut self, emptied: bool) {
        self.instance = new_name();
        self.leased = false;
        if !emptied {
            self.taken_out = std::mem::take(&mut self.members);
        }
    }

    /// Those whom another instance took out, once.
    pub fn take_taken_out(&mut self) -> HashMap<RoomId, Vec<User>> {
        std::mem::take(&mut self.taken_out)
    }

    /// Returns whether it is the first in the room.
    pub fn enter(&mut self, room: &RoomId, user: &User) -> bool {
        drop_from(&mut self.taken_out, room, &user.id);
        let first = !self.members.contains_key(room);
        let members = self.members.entry(room.clone()).or_default();
        match members.iter_mut().find(|member| member.id == user.id) {
            Some(member) => *member = user.clone(),
            None => members.push(user.clone()),
        }
        first
    }

    /// Returns whether it was the last in the room.
    pub fn leave(&mut self, room: &RoomId, user: &UserId) -> bool {
        drop_from(&mut self.taken_out, room, user);
        drop_from(&mut self.members, room, user)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = (&RoomId, &[User])> {
        self.members.iter().map(|(room, users)| (room, users.as_slice()))
    }
}

/// Returns whether it was the last in the room.
fn drop_from(members: &mut HashMap<RoomId, Vec<User>>, room: &RoomId, user: &UserId) -> bool {
    let Some(there) = members.get_mut(room) else { return false };
    there.retain(|member| member.id != *user);
    let last = there.is_empty();
    if last {
        members.remove(room);
    }
    last
}

fn new_name() -> String {
    format!("{:016x}", rand::random::<u64>())
}
