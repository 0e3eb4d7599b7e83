//! What lets a client go on where it was: the `pid` of its connection, the positions that messages carry, and the record
//! that is kept for it.
//!
//! Both kinds of text go to the client and come back, so they are sealed: a key that all instances share makes them, and
//! nobody else can.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::domain::{Chain, Entry, Limits, Millis, Position, RoomId, User, UserId, UserName};

/// Longest `pid` or position that is looked at, in bytes. Ours have about 70 and 110.
const TEXT_BYTES: usize = 256;

/// Seals texts, and knows its own seals.
pub trait Seal: Send + Sync {
    /// The seal of a text: base64url, without a dot.
    fn seal(&self, text: &str) -> String;

    /// Whether this is the seal of a text, by any of the keys that count.
    fn is_seal(&self, text: &str, seal: &str) -> bool;
}

/// The `pid` of a connection as a client sent it: well formed, and perhaps not one of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pid {
    text: String,
}

impl Pid {
    /// A new one for a record's id.
    #[must_use]
    pub fn new(id: u128, seal: &dyn Seal) -> Self {
        let id = URL_SAFE_NO_PAD.encode(id.to_be_bytes());
        let sealed = seal.seal(&pid_text(&id));
        Self { text: format!("{id}.{sealed}") }
    }

    /// What may be one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() <= TEXT_BYTES && text.contains('.')).then(|| Self { text: text.to_owned() })
    }

    /// The record's id, where the seal is good.
    #[must_use]
    pub fn id(&self, seal: &dyn Seal) -> Option<u128> {
        let (id, sealed) = self.text.split_once('.')?;
        if !seal.is_seal(&pid_text(id), sealed) {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(id).ok()?;
        Some(u128::from_be_bytes(bytes.try_into().ok()?))
    }

    /// The text that clients get.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// A line end can't be in the signed part of a guest token, so neither is ever taken for the other.
fn pid_text(id: &str) -> String {
    format!("confab-pid\n{id}")
}

/// A position in a room's log, and the time of the entry there: of two places in a room, the one with the later time is
/// the later one, also where the log was replaced in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The position.
    pub position: Position,
    /// When the entry there was stored, 0 before any.
    pub at: Millis,
}

impl Place {
    /// Before any log.
    pub const ZERO: Self = Self { position: Position::ZERO, at: 0 };

    /// That of a client that has an entry.
    #[must_use]
    pub const fn of(entry: &Entry) -> Self {
        Self { position: entry.position(), at: entry.at }
    }

    /// The text that a message carries.
    #[must_use]
    pub fn sealed(&self, room: &RoomId, seal: &dyn Seal) -> String {
        let place = format!("{}.{}.{}", self.position.offset, self.position.chain, self.at);
        let sealed = seal.seal(&place_text(&place, room));
        format!("{place}.{sealed}")
    }

    /// Whether a text is short enough to be one.
    #[must_use]
    pub const fn may_be(text: &str) -> bool {
        text.len() <= TEXT_BYTES
    }

    /// The place that a text names in a room, where it is one of ours.
    #[must_use]
    pub fn open(text: &str, room: &RoomId, seal: &dyn Seal) -> Option<Self> {
        if !Self::may_be(text) {
            return None;
        }
        let (place, sealed) = text.rsplit_once('.')?;
        if !seal.is_seal(&place_text(place, room), sealed) {
            return None;
        }
        let mut fields = place.split('.');
        let offset = fields.next()?.parse().ok()?;
        let chain = Chain::parse(fields.next()?)?;
        let at = fields.next()?.parse().ok()?;
        Some(Self { position: Position { offset, chain }, at })
    }

    /// The later one of two in the same room.
    #[must_use]
    pub fn later(self, other: Self) -> Self {
        if (other.at, other.position.offset) > (self.at, self.position.offset) { other } else { self }
    }
}

fn place_text(place: &str, room: &RoomId) -> String {
    format!("confab-place\n{}\n{place}", room.as_str())
}

/// What is kept for a client under its `pid`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Who it is.
    pub user: User,
    /// The room it is in.
    pub room: RoomId,
    /// What it surely had when this was written.
    pub place: Place,
}

#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    id: &'a str,
    name: std::borrow::Cow<'a, str>,
    room: std::borrow::Cow<'a, str>,
    offset: u64,
    chain: &'a str,
    at: Millis,
}

impl Record {
    /// For the store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Self { user, room, place } = self;
        let stored = Stored {
            id: user.id.as_str(),
            name: user.name.as_str().into(),
            room: room.as_str().into(),
            offset: place.position.offset,
            chain: &place.position.chain.to_string(),
            at: place.at,
        };
        // Strings and numbers always encode.
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    /// From the store. `None` where it isn't a record, or no longer within the limits.
    #[must_use]
    pub fn decode(bytes: &[u8], limits: &Limits) -> Option<Self> {
        let stored: Stored<'_> = serde_json::from_slice(bytes).ok()?;
        Some(Self {
            user: User {
                id: UserId::parse(stored.id).ok()?,
                name: UserName::parse(&stored.name, limits.name_chars).ok()?,
            },
            room: RoomId::parse(&stored.room, limits.room_chars).ok()?,
            place: Place {
                position: Position { offset: stored.offset, chain: Chain::parse(stored.chain)? },
                at: stored.at,
            },
        })
    }
}
