//! Names of keys and channels. No other place makes one.
//!
//! Everything begins with the deployment's prefix, which holds no colon. What belongs to a room has the room's name in
//! braces behind it, so that it is in one slot of a cluster, and encoded, so that no name can end the braces or reach
//! another room's keys. What belongs to no room has no braces.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::domain::RoomId;
use crate::store::RecordId;

/// Makes the names of one deployment.
#[derive(Debug, Clone)]
pub struct Names {
    prefix: Arc<str>,
}

impl Names {
    /// Names that begin with this prefix.
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }

    /// The names of a room.
    pub fn room(&self, room: &RoomId) -> RoomNames {
        self.tagged(&encoded(room.as_str()))
    }

    /// The names of the room with which an instance proves its way to Redis. No user's room has them: encoding leaves
    /// no tilde.
    pub fn probe(&self, instance: &str) -> RoomNames {
        self.tagged(&format!("~{instance}"))
    }

    /// The leases of the instances.
    pub fn leases(&self) -> String {
        format!("{}:leases", self.prefix)
    }

    /// What names the time since Redis was empty.
    pub fn era(&self) -> String {
        format!("{}:era", self.prefix)
    }

    /// The claims to instances whose lease has ended.
    pub fn claims(&self) -> String {
        format!("{}:claims", self.prefix)
    }

    /// The rooms in which an instance has members.
    pub fn rooms_of(&self, instance: &str) -> String {
        format!("{}:rooms:{instance}", self.prefix)
    }

    /// A record.
    pub fn record(&self, id: RecordId) -> String {
        format!("{}:record:{:032x}", self.prefix, id.0)
    }

    /// The key that signs guest tokens, where none is set.
    pub fn guest_key(&self) -> String {
        format!("{}:guest-key", self.prefix)
    }

    fn tagged(&self, tag: &str) -> RoomNames {
        RoomNames { stem: format!("{}:{{{tag}}}:", self.prefix).into() }
    }
}

/// Makes the names of one room.
#[derive(Debug, Clone)]
pub struct RoomNames {
    stem: Arc<str>,
}

impl RoomNames {
    /// Where the log stands; and what keys were used for and how fast users send, in the slice of time that is under way.
    pub fn meta(&self) -> String {
        self.named("meta")
    }

    /// The entries: a stream. The channel has the same name.
    pub fn log(&self) -> String {
        self.named("log")
    }

    /// What was edited or deleted, and read marks.
    pub fn side(&self) -> String {
        self.named("side")
    }

    /// What keys were used for and how fast users sent, in the slice before it.
    pub fn keys(&self) -> String {
        self.named("keys")
    }

    /// The members over all instances.
    pub fn members(&self) -> String {
        self.named("members")
    }

    /// The members on one instance.
    pub fn members_on(&self, instance: &str) -> String {
        format!("{}on:{instance}", self.stem)
    }

    /// The channel.
    pub fn channel(&self) -> String {
        self.log()
    }

    fn named(&self, name: &str) -> String {
        format!("{}{name}", self.stem)
    }
}

/// Percent-encodes everything but ASCII letters, digits, `-`, `_` and `.`.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => encoded.push(char::from(byte)),
            other => {
                // Writing to a String can't fail.
                let _ = write!(encoded, "%{other:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_room_reaches_the_keys_of_another() {
        let names = Names::new("confab");
        let rooms =
            ["a", "A", "a}:meta", "a:meta", "{a}", "a%7D", "a b", "a%20b", "~a", "ä", "*", "a?", "日本", "leases"];
        let mut all = HashSet::new();
        for room in rooms {
            let room = names.room(&RoomId::parse(room, 128).unwrap());
            for name in [room.meta(), room.log(), room.side(), room.keys(), room.members()] {
                assert_eq!(name.matches('{').count(), 1, "{name}");
                assert_eq!(name.matches('}').count(), 1, "{name}");
                assert!(name.bytes().all(|b| b.is_ascii_graphic() && !b"*?[]\\".contains(&b)), "{name}");
                assert!(all.insert(name));
            }
        }
        assert!(!all.contains(&names.probe("a").meta()));
    }
}
