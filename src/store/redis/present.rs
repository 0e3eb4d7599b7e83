//! Which members this instance has, as far as it needs to know them to be found when it ends.
//!
//! Redis keeps the list of rooms in which an instance has members, for whoever sweeps it. It is changed when a room gets
//! its first member here and when it loses its last.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use crate::domain::{RoomId, UserId};

/// This instance's presence.
#[derive(Debug)]
pub struct Present {
    /// Its name among the members. A new one after its lease was lost: members under the old one may be being swept.
    instance: String,
    /// Whether it has a lease, as far as it knows.
    leased: bool,
    members: HashMap<RoomId, HashSet<UserId>>,
}

impl Present {
    /// Nobody is there.
    pub fn new() -> Self {
        Self { instance: new_name(), leased: false, members: HashMap::new() }
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

    /// Its lease is gone, and its members with it.
    pub fn lose_lease(&mut self) {
        *self = Self::new();
    }

    /// Returns whether it is the first in the room.
    pub fn enter(&mut self, room: &RoomId, user: &UserId) -> bool {
        let first = !self.members.contains_key(room);
        self.members.entry(room.clone()).or_default().insert(user.clone());
        first
    }

    /// Returns whether it was the last in the room.
    pub fn leave(&mut self, room: &RoomId, user: &UserId) -> bool {
        let Some(members) = self.members.get_mut(room) else { return false };
        members.remove(user);
        let last = members.is_empty();
        if last {
            self.members.remove(room);
        }
        last
    }
}

fn new_name() -> String {
    let mut name = String::new();
    // Writing to a String can't fail.
    let _ = write!(name, "{:016x}", rand::random::<u64>());
    name
}
