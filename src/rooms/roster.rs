//! Who is in a room over all instances, and how changes of it are told: at once where nothing was told lately, together
//! otherwise. Pure: no I/O, times come in.

use std::collections::BTreeMap;

use crate::domain::{Millis, User, UserId};
use crate::protocol::MemberView;
use crate::store::{Members, PresenceChange};

/// The members of a room: by name, or only counted where there are many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roster {
    /// All of them.
    Listed(BTreeMap<UserId, User>),
    /// How many.
    Counted(u64),
}

impl Roster {
    /// From what the store says.
    #[must_use]
    pub fn new(members: Members) -> Self {
        match members.list {
            Some(list) => Self::Listed(list.into_iter().map(|user| (user.id.clone(), user)).collect()),
            None => Self::Counted(members.count),
        }
    }

    /// How many members there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self {
            Self::Listed(list) => list.len() as u64,
            Self::Counted(count) => *count,
        }
    }

    /// What a client is told.
    #[must_use]
    pub fn view(&self) -> MemberView {
        let list = match self {
            Self::Listed(list) => Some(list.values().cloned().collect()),
            Self::Counted(_) => None,
        };
        MemberView { list, count: self.count() }
    }

    /// What of a change is news: a list that was read from the store may be ahead of the publications.
    #[must_use]
    pub fn news(&self, change: &PresenceChange) -> Option<PresenceChange> {
        let Self::Listed(list) = self else { return Some(change.clone()) };
        match change {
            PresenceChange::Joined { user, .. } | PresenceChange::Renamed { user, .. } => {
                (list.get(&user.id) != Some(user)).then(|| change.clone())
            }
            PresenceChange::Left { users, members } => {
                let users: Vec<User> = users.iter().filter(|user| list.contains_key(&user.id)).cloned().collect();
                (!users.is_empty()).then_some(PresenceChange::Left { users, members: *members })
            }
        }
    }

    /// Takes a change in. A list that grows over `list_up_to` becomes a count.
    pub fn apply(&mut self, change: &PresenceChange, list_up_to: usize) {
        match (self, change) {
            (Self::Counted(count), PresenceChange::Joined { members, .. } | PresenceChange::Left { members, .. }) => {
                *count = *members;
            }
            (Self::Counted(_), PresenceChange::Renamed { .. }) => {}
            (roster @ Self::Listed(_), change) => {
                let Self::Listed(list) = roster else { return };
                match change {
                    PresenceChange::Joined { user, .. } | PresenceChange::Renamed { user, .. } => {
                        list.insert(user.id.clone(), user.clone());
                    }
                    PresenceChange::Left { users, .. } => users.iter().for_each(|user| {
                        list.remove(&user.id);
                    }),
                }
                if list.len() > list_up_to {
                    *roster = Self::Counted(list.len() as u64);
                }
            }
        }
    }

    /// The changes that make `now` of this list.
    #[must_use]
    pub fn difference(&self, now: &Self) -> Vec<PresenceChange> {
        let (Self::Listed(before), Self::Listed(after)) = (self, now) else { return Vec::new() };
        let members = after.len() as u64;
        let mut changes = Vec::new();
        for user in after.values() {
            match before.get(&user.id) {
                None => changes.push(PresenceChange::Joined { user: user.clone(), members }),
                Some(known) if known != user => {
                    changes.push(PresenceChange::Renamed { user: user.clone(), named_at: 0 });
                }
                Some(_) => {}
            }
        }
        let users: Vec<User> = before.values().filter(|user| !after.contains_key(&user.id)).cloned().collect();
        if !users.is_empty() {
            changes.push(PresenceChange::Left { users, members });
        }
        changes
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Joined(User),
    Renamed(User),
    Left(User),
}

impl Change {
    const fn user(&self) -> &User {
        match self {
            Self::Joined(user) | Self::Renamed(user) | Self::Left(user) => user,
        }
    }
}

/// Changes that were not told yet, in their order.
///
/// A client that joined after a change knows it from its reply, so it must not be told again; nor is anybody told that
/// they themselves joined or left. So clients that joined since the last telling are remembered, with the changes they know.
#[derive(Debug, Default)]
pub struct Announcer {
    pending: Vec<Change>,
    newcomers: Vec<Newcomer>,
    told_at: Option<Millis>,
}

/// A client that joined since the last telling and knows the first so many pending changes.
#[derive(Debug)]
struct Newcomer {
    socket: u64,
    knows: usize,
}

/// What to tell: to everybody, and instead of it to some sockets.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Announcement {
    /// To everybody without a line of their own.
    pub all: Told,
    /// To these sockets; an empty one tells them nothing.
    pub special: Vec<(u64, Told)>,
}

/// Who came and who went.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Told {
    /// Who came.
    pub joined: Vec<User>,
    /// Who has a new name.
    pub renamed: Vec<User>,
    /// Who went.
    pub left: Vec<User>,
}

impl Told {
    /// Whether there is nothing to tell.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.joined.is_empty() && self.renamed.is_empty() && self.left.is_empty()
    }
}

impl Announcer {
    /// Notes a change.
    pub fn note(&mut self, change: &PresenceChange) {
        match change {
            PresenceChange::Joined { user, .. } => self.pending.push(Change::Joined(user.clone())),
            PresenceChange::Renamed { user, .. } => self.pending.push(Change::Renamed(user.clone())),
            PresenceChange::Left { users, .. } => self.pending.extend(users.iter().cloned().map(Change::Left)),
        }
    }

    /// A client went live: it knows every change up to now.
    pub fn newcomer(&mut self, socket: u64) {
        if !self.pending.is_empty() {
            self.newcomers.push(Newcomer { socket, knows: self.pending.len() });
        }
    }

    /// Whether there is something to tell.
    #[must_use]
    pub const fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// When it may be told: at once, unless something was told less than `interval_ms` ago.
    #[must_use]
    pub fn due(&self, interval_ms: Millis) -> Millis {
        self.told_at.map_or(0, |at| at + interval_ms)
    }

    /// Takes out what there is to tell. `sockets` gives a user's own sockets here.
    pub fn tell(&mut self, now: Millis, sockets: impl Fn(&UserId) -> Vec<u64>) -> Announcement {
        self.told_at = Some(now);
        let pending = std::mem::take(&mut self.pending);
        // Per socket that is told something else: how many changes it knows, and who it is where its user came or went.
        let mut exceptions: BTreeMap<u64, (usize, Option<&UserId>)> = BTreeMap::new();
        for newcomer in std::mem::take(&mut self.newcomers) {
            exceptions.insert(newcomer.socket, (newcomer.knows, None));
        }
        for change in &pending {
            let (Change::Joined(user) | Change::Left(user)) = change else { continue };
            for socket in sockets(&user.id) {
                exceptions.entry(socket).or_insert((0, None)).1 = Some(&user.id);
            }
        }
        let all = fold(pending.iter());
        let special = exceptions
            .into_iter()
            .map(|(socket, (knows, own))| {
                let itself = |change: &&Change| matches!(change, Change::Joined(user) | Change::Left(user) if Some(&user.id) == own);
                (socket, fold(pending[knows..].iter().filter(|change| !itself(change))))
            })
            .filter(|(_, told)| *told != all)
            .collect();
        Announcement { all, special }
    }

    /// Forgets what there was to tell: everybody is told the count instead.
    pub fn clear(&mut self, now: Millis) {
        *self = Self { told_at: Some(now), ..Self::default() };
    }
}

/// The net effect of some changes: the last one of each user, and nothing for somebody who came and went.
fn fold<'a>(changes: impl Iterator<Item = &'a Change>) -> Told {
    let mut first_and_last: BTreeMap<&UserId, (&Change, &Change)> = BTreeMap::new();
    for change in changes {
        first_and_last.entry(&change.user().id).and_modify(|(_, last)| *last = change).or_insert((change, change));
    }
    let mut told = Told::default();
    for (first, last) in first_and_last.into_values() {
        match (first, last) {
            (Change::Joined(_) | Change::Left(_), Change::Joined(user) | Change::Renamed(user))
            | (Change::Renamed(_), Change::Joined(user)) => told.joined.push(user.clone()),
            (Change::Renamed(_), Change::Renamed(user)) => told.renamed.push(user.clone()),
            (Change::Joined(_), Change::Left(_)) => {}
            (_, Change::Left(user)) => told.left.push(user.clone()),
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UserName;

    fn user(id: &str) -> User {
        named(id, id)
    }

    fn named(id: &str, name: &str) -> User {
        let (Ok(id), Ok(name)) = (UserId::parse(id), UserName::parse(name, 64)) else { panic!("bad test user") };
        User { id, name }
    }

    fn joined(id: &str) -> PresenceChange {
        PresenceChange::Joined { user: user(id), members: 1 }
    }

    fn left(id: &str) -> PresenceChange {
        PresenceChange::Left { users: vec![user(id)], members: 0 }
    }

    fn told(joined: &[&str], left: &[&str]) -> Told {
        let users = |ids: &[&str]| ids.iter().map(|id| user(id)).collect();
        Told { joined: users(joined), renamed: vec![], left: users(left) }
    }

    #[test]
    fn a_newcomer_is_told_only_what_its_reply_did_not_say() {
        let mut announcer = Announcer::default();
        announcer.note(&joined("a"));
        announcer.newcomer(7);
        announcer.note(&joined("b"));
        let announcement = announcer.tell(0, |_| Vec::new());
        assert_eq!(announcement.all, told(&["a", "b"], &[]));
        assert_eq!(announcement.special, [(7, told(&["b"], &[]))]);
    }

    #[test]
    fn nobody_is_told_that_they_joined_but_their_new_name_reaches_their_other_sockets() {
        let mut announcer = Announcer::default();
        announcer.note(&joined("a"));
        announcer.note(&PresenceChange::Renamed { user: named("b", "B"), named_at: 0 });
        let own = |id: &UserId| if id.as_str() == "a" { vec![1] } else { vec![2] };
        let announcement = announcer.tell(0, own);
        let renamed = Told { renamed: vec![named("b", "B")], ..Told::default() };
        assert_eq!(announcement.special, [(1, renamed)], "socket 2 is told what all are told");
    }

    #[test]
    fn nobody_is_told_that_they_left_who_is_here() {
        let mut announcer = Announcer::default();
        announcer.note(&left("a"));
        let own = |id: &UserId| if id.as_str() == "a" { vec![1] } else { Vec::new() };
        let announcement = announcer.tell(0, own);
        assert_eq!((announcement.all, announcement.special), (told(&[], &["a"]), vec![(1, Told::default())]));
    }

    #[test]
    fn who_came_and_went_is_told_to_nobody_but_those_who_saw_them() {
        let mut announcer = Announcer::default();
        announcer.note(&joined("a"));
        announcer.newcomer(7);
        announcer.note(&left("a"));
        let announcement = announcer.tell(0, |_| Vec::new());
        assert!(announcement.all.is_empty());
        assert_eq!(announcement.special, [(7, told(&[], &["a"]))]);
    }

    #[test]
    fn a_rename_before_a_leave_hides_nothing() {
        let mut announcer = Announcer::default();
        announcer.note(&PresenceChange::Renamed { user: user("a"), named_at: 0 });
        announcer.note(&left("a"));
        assert_eq!(announcer.tell(0, |_| Vec::new()).all, told(&[], &["a"]));
    }

    #[test]
    fn the_first_change_is_told_at_once_and_later_ones_together() {
        let mut announcer = Announcer::default();
        assert_eq!(announcer.due(100), 0);
        announcer.note(&joined("a"));
        announcer.tell(50, |_| Vec::new());
        assert!(!announcer.is_pending());
        assert_eq!(announcer.due(100), 150);
    }

    #[test]
    fn a_list_becomes_a_count_when_it_grows_too_long() {
        let mut roster = Roster::new(Members { list: Some(vec![user("a")]), count: 1 });
        roster.apply(&joined("b"), 2);
        assert!(matches!(roster, Roster::Listed(_)));
        roster.apply(&joined("c"), 2);
        assert_eq!(roster, Roster::Counted(3));
        roster.apply(&PresenceChange::Left { users: vec![user("a")], members: 2 }, 2);
        assert_eq!(roster.view(), MemberView { list: None, count: 2 });
    }

    #[test]
    fn the_difference_of_two_lists_is_what_was_missed() {
        let roster =
            |ids: &[&str]| Roster::new(Members { list: Some(ids.iter().map(|id| user(id)).collect()), count: 0 });
        let changes = roster(&["a", "b"]).difference(&roster(&["b", "c"]));
        let left = PresenceChange::Left { users: vec![user("a")], members: 2 };
        assert_eq!(changes, [PresenceChange::Joined { user: user("c"), members: 2 }, left]);
    }
}
