//! Which members this instance has, and what of that Redis may not know: to be found when the instance ends, to be written
//! again after Redis was emptied, to be said again where it was lost.
//!
//! Redis keeps the list of rooms in which an instance has members, for whoever sweeps it. A leave may be lost with a
//! connection or with a primary, and nobody tries it again: it is owed until Redis surely has it.

use std::collections::{BTreeMap, HashMap};

use crate::domain::{RoomId, User, UserId};

/// Leaves that are owed at most. Nobody enters while Redis is away, so there are as many as there were members. Beyond it,
/// the instance takes another name, and all that is under the old one is swept.
const OWED: usize = 128 * 1024;

/// How often a leave is said without being confirmed. Then it is carried out, and no replica is there for it, or what is under
/// the room's keys isn't ours.
const TRIES: u8 = 20;

/// Earlier names whose members are to be swept, at most. Each was renewed before it was given up.
const ENDED: usize = 8;

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
    /// All members are to be written again.
    to_write: bool,
    /// Rooms that may not be in Redis's list of this instance's, by the number of the last entering.
    unlisted: HashMap<RoomId, u64>,
    /// Leaves, by who left.
    owed: HashMap<RoomId, HashMap<UserId, u64>>,
    /// The same by their numbers, and how often each was said in vain.
    in_turn: BTreeMap<u64, (RoomId, UserId, u8)>,
    /// The last of them that was said again.
    said: u64,
    ended: Vec<Ended>,
    /// Numbers enterings and leaves.
    numbers: u64,
}

/// One leave among those of this instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leave {
    pub room: RoomId,
    pub user: UserId,
    number: u64,
}

/// A name that was given up. What was on its way may still be written under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub instance: String,
    /// Where it had members.
    pub rooms: Vec<RoomId>,
}

/// What a renewal says.
#[derive(Debug)]
pub struct Renewal {
    pub instance: String,
    pub leased: bool,
    pub ended: Vec<Ended>,
    unlisted: Vec<(RoomId, u64)>,
}

impl Renewal {
    /// Rooms to be listed.
    pub fn rooms(&self) -> impl ExactSizeIterator<Item = &RoomId> {
        self.unlisted.iter().map(|(room, _)| room)
    }
}

impl Present {
    /// Nobody is there.
    pub fn new() -> Self {
        Self {
            instance: new_name(),
            leased: false,
            era: None,
            members: HashMap::new(),
            taken_out: HashMap::new(),
            to_write: false,
            unlisted: HashMap::new(),
            owed: HashMap::new(),
            in_turn: BTreeMap::new(),
            said: 0,
            ended: Vec::new(),
            numbers: 0,
        }
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

    /// Whether Redis was emptied since the last time. Then all members are to be written again.
    pub fn is_another_era(&mut self, era: &[u8]) -> bool {
        let before = self.era.replace(era.to_vec());
        let is_another = before.is_some_and(|before| before != era);
        self.to_write |= is_another;
        is_another
    }

    /// Its lease is gone, and its members with it: because Redis was emptied, or because another instance took them out.
    /// What was on its way to Redis meanwhile is swept under the old name.
    pub fn lose_lease(&mut self, emptied: bool) {
        let rooms = self.members.keys().chain(self.owed.keys()).chain(self.unlisted.keys());
        let mut rooms: Vec<RoomId> = rooms.cloned().collect();
        rooms.sort_unstable();
        rooms.dedup();
        if self.ended.len() == ENDED {
            tracing::warn!(names = ENDED, "too many leases ended at once: some who left may stay listed");
            self.ended.remove(0);
        }
        self.ended.push(Ended { instance: std::mem::replace(&mut self.instance, new_name()), rooms });
        self.leased = false;
        self.unlisted.clear();
        self.owed.clear();
        self.in_turn.clear();
        self.to_write |= emptied;
        if !emptied {
            for (room, users) in std::mem::take(&mut self.members) {
                self.taken_out.entry(room).or_default().extend(users);
            }
        }
    }

    /// Those whom another instance took out, once.
    pub fn take_taken_out(&mut self) -> HashMap<RoomId, Vec<User>> {
        std::mem::take(&mut self.taken_out)
    }

    /// Whether all members are to be written again, once.
    pub fn take_to_write(&mut self) -> bool {
        if self.to_write {
            let number = self.next_number();
            self.unlisted.extend(self.members.keys().map(|room| (room.clone(), number)));
        }
        std::mem::replace(&mut self.to_write, false)
    }

    /// A user is there.
    pub fn enter(&mut self, room: &RoomId, user: &User) {
        drop_from(&mut self.taken_out, room, &user.id);
        self.drop_owed(room, &user.id);
        let number = self.next_number();
        self.unlisted.insert(room.clone(), number);
        let members = self.members.entry(room.clone()).or_default();
        match members.iter_mut().find(|member| member.id == user.id) {
            Some(member) => *member = user.clone(),
            None => members.push(user.clone()),
        }
    }

    /// A user is no longer there; that is owed to Redis from now on.
    pub fn leave(&mut self, room: &RoomId, user: &UserId) -> Leave {
        drop_from(&mut self.taken_out, room, user);
        drop_from(&mut self.members, room, user);
        if self.in_turn.len() >= OWED {
            self.lose_lease(true);
        }
        let number = self.next_number();
        if let Some(before) = self.owed.entry(room.clone()).or_default().insert(user.clone(), number) {
            self.in_turn.remove(&before);
        }
        self.in_turn.insert(number, (room.clone(), user.clone(), 0));
        Leave { room: room.clone(), user: user.clone(), number }
    }

    /// Redis surely has a leave. Returns whether it was the last that there was to know of this instance in the room.
    pub fn settle(&mut self, leave: &Leave) -> bool {
        let owed = self.owed.get(&leave.room).and_then(|users| users.get(&leave.user));
        if owed != Some(&leave.number) {
            return false;
        }
        self.drop_owed(&leave.room, &leave.user);
        let last = !self.members.contains_key(&leave.room) && !self.owed.contains_key(&leave.room);
        if last {
            self.unlisted.remove(&leave.room);
        }
        last
    }

    /// Some of the leaves that Redis may not have, all in turn.
    pub fn take_owed(&mut self, most: usize) -> Vec<Leave> {
        let next = self.in_turn.range(self.said + 1..).take(most);
        let leave = |(&number, (room, user, _)): (&u64, &(RoomId, UserId, u8))| Leave {
            room: room.clone(),
            user: user.clone(),
            number,
        };
        let taken: Vec<Leave> = next.map(leave).collect();
        self.said = match taken.last() {
            Some(last) if taken.len() == most => last.number,
            // From the first one again.
            _ => 0,
        };
        taken
    }

    /// A leave was said, and not confirmed. After [`TRIES`] it is owed no more.
    pub fn count_try(&mut self, leave: &Leave) {
        let Some((.., tries)) = self.in_turn.get_mut(&leave.number) else { return };
        *tries += 1;
        if *tries == TRIES {
            self.drop_owed(&leave.room, &leave.user);
        }
    }

    /// What a renewal has to say.
    pub fn renewal(&self) -> Renewal {
        Renewal {
            instance: self.instance.clone(),
            leased: self.leased,
            ended: self.ended.clone(),
            unlisted: self.unlisted.iter().map(|(room, number)| (room.clone(), *number)).collect(),
        }
    }

    /// Redis surely has what a renewal said.
    pub fn renewed(&mut self, renewal: &Renewal) {
        self.ended.retain(|ended| !renewal.ended.contains(ended));
        for (room, number) in &renewal.unlisted {
            if self.unlisted.get(room) == Some(number) {
                self.unlisted.remove(room);
            }
        }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = (&RoomId, &[User])> {
        self.members.iter().map(|(room, users)| (room, users.as_slice()))
    }

    fn drop_owed(&mut self, room: &RoomId, user: &UserId) {
        let Some(users) = self.owed.get_mut(room) else { return };
        if let Some(number) = users.remove(user) {
            self.in_turn.remove(&number);
        }
        if users.is_empty() {
            self.owed.remove(room);
        }
    }

    const fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}

fn drop_from(members: &mut HashMap<RoomId, Vec<User>>, room: &RoomId, user: &UserId) {
    if let Some(there) = members.get_mut(room) {
        there.retain(|member| member.id != *user);
        if there.is_empty() {
            members.remove(room);
        }
    }
}

fn new_name() -> String {
    format!("{:016x}", rand::random::<u64>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UserName;

    fn room(name: &str) -> RoomId {
        RoomId::parse(name, 64).unwrap()
    }

    fn user(id: &str) -> User {
        User { id: UserId::parse(id).unwrap(), name: UserName::parse(id, 64).unwrap() }
    }

    #[test]
    fn all_leaves_have_their_turn_and_not_for_ever() {
        let (mut present, r) = (Present::new(), room("r"));
        let leaves: Vec<Leave> = ["ada", "bob", "cy"].map(|id| present.leave(&r, &user(id).id)).into();
        for _ in 0..TRIES {
            assert_eq!(present.take_owed(2), leaves[..2]);
            assert_eq!(present.take_owed(2), leaves[2..]);
            present.count_try(&leaves[1]);
        }
        present.settle(&leaves[0]);
        assert_eq!(present.take_owed(2), leaves[2..], "one is settled, one was said in vain often enough");
        present.settle(&leaves[2]);
        assert_eq!(present.take_owed(2), []);
        assert_eq!(present.take_owed(2), []);
        let again = present.leave(&r, &user("ada").id);
        assert_eq!(present.take_owed(2), [again]);
    }

    #[test]
    fn a_leave_is_owed_until_it_is_settled() {
        let (mut present, r, ada) = (Present::new(), room("r"), user("ada"));
        present.enter(&r, &ada);
        let leave = present.leave(&r, &ada.id);
        assert_eq!(present.take_owed(9), std::slice::from_ref(&leave));
        assert!(present.settle(&leave), "nobody else is in the room");
        assert_eq!(present.take_owed(9), []);
    }

    #[test]
    fn whoever_is_back_owes_nothing() {
        let (mut present, r, ada) = (Present::new(), room("r"), user("ada"));
        present.enter(&r, &ada);
        let first = present.leave(&r, &ada.id);
        present.enter(&r, &ada);
        assert_eq!(present.take_owed(9), []);
        let second = present.leave(&r, &ada.id);
        assert!(!present.settle(&first), "an answer to an earlier leave says nothing of a later one");
        assert_eq!(present.take_owed(9), [second]);
    }

    #[test]
    fn a_renewal_lists_the_rooms_that_were_entered_before_it_and_no_others() {
        let (mut present, r, other) = (Present::new(), room("r"), room("other"));
        present.enter(&r, &user("ada"));
        present.enter(&other, &user("bob"));
        let renewal = present.renewal();
        assert_eq!(renewal.rooms().len(), 2);
        present.enter(&other, &user("cy"));
        present.renewed(&renewal);
        assert_eq!(present.renewal().rooms().collect::<Vec<_>>(), [&other]);
    }

    #[test]
    fn a_lost_name_is_given_up_with_all_rooms_that_may_have_something_under_it() {
        let mut present = Present::new();
        for (in_room, id) in [("stays", "ada"), ("leaves", "bob")] {
            present.enter(&room(in_room), &user(id));
        }
        present.leave(&room("leaves"), &user("bob").id);
        let old = present.instance().to_owned();
        present.lose_lease(false);
        assert_ne!(present.instance(), old);
        assert_eq!(present.take_owed(9), [], "who left is swept with the name");
        let renewal = present.renewal();
        assert_eq!(renewal.ended, [Ended { instance: old, rooms: vec![room("leaves"), room("stays")] }]);
        present.renewed(&renewal);
        assert_eq!(present.renewal().ended, []);
        assert_eq!(present.take_taken_out().into_keys().collect::<Vec<_>>(), [room("stays")]);
    }

    #[test]
    fn more_than_may_be_owed_gives_up_the_name_instead_and_writes_who_is_there_again() {
        let (mut present, r, ada) = (Present::new(), room("r"), user("ada"));
        present.enter(&r, &ada);
        let old = present.instance().to_owned();
        for number in 0..=OWED {
            present.leave(&r, &user(&format!("user{number}")).id);
        }
        assert_ne!(present.instance(), old);
        assert_eq!(present.take_owed(9).len(), 1);
        assert!(present.take_to_write());
        assert_eq!(present.all().count(), 1);
    }
}
