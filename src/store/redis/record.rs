//! The bytes that are kept in a log and published on a channel.
//!
//! An entry is kept as it was published, a line each for offset, time, chain before and chain after; then the draft, a
//! line each for kind, user id, user name, key, target (or what a message replies to), emoji and on; and the text, which may
//! hold newlines, to the end. No other field can hold one.
//!
//! The other publications begin with a letter: `J` joined, `N` renamed, `L` left, `T` typing, `R` a read mark, `P` the
//! place in a trace of the entry that follows under a user's key. An instance that doesn't know a letter drops what it
//! begins.

use std::sync::Arc;

use sha1::{Digest as _, Sha1};
use tokio::time::Instant;

use crate::domain::{
    Body, Chain, Digest, Draft, Emoji, Entry, Key, Kind, RoomId, Text, TextSha, Trace, User, UserId, UserName,
    Withdrawal,
};
use crate::store::{Announcement, PresenceChange, Publication, Traced};

/// Longest name of a room or user and longest emoji that another instance's settings may allow.
pub const LONGEST_NAME: usize = 1_024;

/// Bytes of the field of a key: one that says so, and 128 bits of a hash.
const KEY_FIELD: usize = 17;

/// Hex digits of the hash that stands for a content.
pub const CONTENT_DIGITS: usize = 16;

/// A draft as the script takes it.
#[derive(Debug)]
pub struct Packed {
    /// As it is kept.
    pub text: String,
    /// For the chain.
    pub digest: Digest,
    /// What a key stands for.
    pub content: String,
    /// One letter.
    pub kind: char,
    /// What it is about.
    pub target: Option<String>,
}

/// Writes a draft.
pub fn pack(draft: &Draft) -> Packed {
    let Draft { user, key, body, trace: _ } = draft;
    let kind = letter(body.kind());
    let target = number(body.target());
    let (reply_to, emoji, on) = match body {
        Body::Message { reply_to, .. } => (number(*reply_to), "", ""),
        Body::Reacted { emoji, on, .. } => (String::new(), emoji.as_str(), if *on { "1" } else { "0" }),
        Body::Edited { .. } | Body::Deleted { .. } => (String::new(), "", ""),
    };
    let said = match body.text() {
        Some(Text::Kept(text)) => text,
        Some(Text::Withdrawn(..)) | None => "",
    };
    let about = if target.is_empty() { &reply_to } else { &target };
    let text = format!(
        "{kind}\n{}\n{}\n{}\n{about}\n{emoji}\n{on}\n{said}",
        user.id.as_str(),
        user.name.as_str(),
        key.as_str()
    );
    let sha = body.text().map(Text::sha);
    let sha = sha.as_ref().map_or("", TextSha::as_str);
    let content = Digest::of([body.kind().as_str(), "", "", "", &target, emoji, on, &reply_to, sha]);
    let content = content.as_str()[..CONTENT_DIGITS].to_owned();
    Packed {
        text,
        digest: body.digest(user, key),
        content,
        kind,
        target: Some(target).filter(|target| !target.is_empty()),
    }
}

fn number(number: Option<u64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

const fn letter(kind: Kind) -> char {
    match kind {
        Kind::Message => 'm',
        Kind::Edited => 'e',
        Kind::Deleted => 'd',
        Kind::Reacted => 'r',
    }
}

/// The field of a client's key: a hash, because a field of few bytes is worth it. An id holds no newline, so no two
/// pairs of id and key are one text.
pub fn key_field(user: &UserId, key: &Key) -> [u8; KEY_FIELD] {
    let mut sha = Sha1::new_with_prefix(user.as_str());
    sha.update(b"\n");
    sha.update(key.as_str());
    let mut field = [b'k'; KEY_FIELD];
    field[1..].copy_from_slice(&sha.finalize()[..KEY_FIELD - 1]);
    field
}

/// The field of a sender's rate.
pub fn rate_field(user: &UserId) -> String {
    format!("r{}", user.as_str())
}

/// Reads an entry as it was published; `None` where it isn't one of ours.
pub fn entry(bytes: &[u8]) -> Option<Entry> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.splitn(12, '\n');
    let offset = lines.next()?.parse().ok()?;
    let at = lines.next()?.parse().ok()?;
    let prev = Chain::parse(lines.next()?)?;
    let chain = Chain::parse(lines.next()?)?;
    let kind = lines.next()?;
    let id = UserId::parse(lines.next()?).ok()?;
    let name = UserName::parse(lines.next()?, LONGEST_NAME).ok()?;
    let key = Key::parse(lines.next()?).ok()?;
    let about = match lines.next()? {
        "" => None,
        digits => Some(digits.parse().ok()?),
    };
    let emoji = lines.next()?;
    let on = lines.next()?;
    let said = Text::Kept(lines.next()?.into());
    let body = match kind {
        "m" => Body::Message { text: said, reply_to: about },
        "e" => Body::Edited { target: about?, text: said },
        "d" => Body::Deleted { target: about? },
        "r" => Body::Reacted { target: about?, emoji: Emoji::parse(emoji, LONGEST_NAME).ok()?, on: on == "1" },
        _ => return None,
    };
    Some(Entry { offset, prev, chain, at, user: User { id, name }, key, body })
}

/// Reads an entry of a page, with the state of the message that its text belongs to.
pub fn paged(bytes: &[u8], state: &[u8]) -> Option<Entry> {
    let entry = entry(bytes)?;
    if state.is_empty() {
        return Some(entry);
    }
    let state = std::str::from_utf8(state).ok()?;
    let (deleted, edit) = match state.strip_prefix('d') {
        Some(edit) => (true, edit),
        None => (false, state),
    };
    let edit: u64 = edit.parse().ok()?;
    // A message that has a state lost its text; of its edits, only the newest may still have one.
    let is_newest = entry.body.kind() == Kind::Edited && entry.offset == edit;
    let why = match (entry.body.kind(), deleted) {
        (Kind::Message, true) => Some(Withdrawal::Deleted),
        (Kind::Edited, true) if is_newest => Some(Withdrawal::Deleted),
        (Kind::Edited, _) if is_newest => None,
        (Kind::Message | Kind::Edited, _) => Some(Withdrawal::Edited),
        (Kind::Deleted | Kind::Reacted, _) => None,
    };
    Some(why.map_or_else(|| entry.clone(), |why| entry.withdrawn(why)))
}

/// Writes an announcement.
pub fn announcement(announcement: &Announcement) -> String {
    match announcement {
        Announcement::Typing(user) => format!("T{}\n{}", user.id.as_str(), user.name.as_str()),
        Announcement::Read { user, offset, origin } => format!("R{origin} {offset}\n{}", user.as_str()),
        Announcement::Traced(Traced { user, key, trace, .. }) => {
            format!("P{trace}\n{}\n{}", user.as_str(), key.as_str())
        }
    }
}

/// Reads what came on a room's channel; `None` where it isn't one of ours.
pub fn publication(room: &RoomId, bytes: &[u8]) -> Option<Publication> {
    let (kind, rest) = bytes.split_first()?;
    if kind.is_ascii_digit() {
        return Some(Publication::Entry(room.clone(), Arc::new(entry(bytes)?)));
    }
    let rest = std::str::from_utf8(rest).ok()?;
    let room = room.clone();
    let mut lines = rest.split('\n');
    Some(match kind {
        b'J' => {
            let members = lines.next()?.parse().ok()?;
            Publication::Presence(room, PresenceChange::Joined { user: user(&mut lines)?, members })
        }
        b'N' => {
            let user = user(&mut lines)?;
            let named_at = lines.next()?.parse().ok()?;
            Publication::Presence(room, PresenceChange::Renamed { user, named_at })
        }
        b'L' => {
            let members = lines.next()?.parse().ok()?;
            let mut users = vec![user(&mut lines)?];
            let mut lines = lines.peekable();
            while lines.peek().is_some() {
                users.push(user(&mut lines)?);
            }
            Publication::Presence(room, PresenceChange::Left { users, members })
        }
        b'T' => Publication::Announcement(room, Announcement::Typing(user(&mut lines)?)),
        b'R' => {
            let (origin, offset) = lines.next()?.split_once(' ')?;
            let (origin, offset) = (origin.parse().ok()?, offset.parse().ok()?);
            let user = UserId::parse(lines.next()?).ok()?;
            Publication::Announcement(room, Announcement::Read { user, offset, origin })
        }
        b'P' => {
            let trace = Trace::parse(lines.next()?)?;
            let user = UserId::parse(lines.next()?).ok()?;
            let key = Key::parse(lines.next()?).ok()?;
            Publication::Announcement(room, Announcement::Traced(Traced { user, key, trace, at: Instant::now() }))
        }
        _ => return None,
    })
}

fn user<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Option<User> {
    let id = UserId::parse(lines.next()?).ok()?;
    let name = UserName::parse(lines.next()?, LONGEST_NAME).ok()?;
    Some(User { id, name })
}

/// Reads a member: its id, and its name with the instances behind it.
pub fn member(id: &[u8], value: &[u8]) -> Option<User> {
    let id = UserId::parse(std::str::from_utf8(id).ok()?).ok()?;
    let (name, _) = std::str::from_utf8(value).ok()?.split_once('\n')?;
    Some(User { id, name: UserName::parse(name, LONGEST_NAME).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(body: Body) -> Draft {
        let user = User { id: UserId::parse("u:1").unwrap(), name: UserName::parse("Ada L.", 64).unwrap() };
        Draft { user, key: Key::parse("k 1").unwrap(), body, trace: None }
    }

    fn bodies() -> Vec<Body> {
        let text = |text: &str| Text::Kept(text.into());
        vec![
            Body::Message { text: text("two\nlines\n"), reply_to: None },
            Body::Message { text: text("a reply"), reply_to: Some(7) },
            Body::Edited { target: 3, text: text("") },
            Body::Deleted { target: u64::MAX },
            Body::Reacted { target: 1, emoji: Emoji::parse("👍", 64).unwrap(), on: true },
            Body::Reacted { target: 1, emoji: Emoji::parse("👍", 64).unwrap(), on: false },
        ]
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        for body in bodies() {
            let number = Entry::number(draft(body.clone()), 4, Chain::from_bits(9), 1_700_000_000_000);
            let packed = pack(&draft(body));
            let kept = format!("5\n1700000000000\n{}\n{}\n{}", number.prev, number.chain, packed.text);
            assert_eq!(entry(kept.as_bytes()), Some(number));
        }
    }

    #[test]
    fn other_contents_have_other_hashes() {
        let hashes: std::collections::HashSet<_> =
            bodies().into_iter().map(|body| pack(&draft(body)).content).collect();
        assert_eq!(hashes.len(), bodies().len());
    }

    #[test]
    fn what_is_not_ours_is_no_publication() {
        let room = RoomId::parse("r", 128).unwrap();
        let samples: [&[u8]; 15] = [
            b"",
            b"1",
            b"hello",
            b"J1",
            b"J1\nid",
            b"Jx\nid\nname",
            b"L0",
            b"L0\nid",
            b"R1\nid",
            b"T\xff\nname",
            b"P",
            b"P00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\nid",
            b"Px\nid\nk",
            b"1\n1\n0000000000000000\n0000000000000001\nx\nid\nname\nk\n\n\n\ntext",
            b"1\n1\n0000000000000000\n1\nm\nid\nname\nk\n\n\n\ntext",
        ];
        for sample in samples {
            assert!(publication(&room, sample).is_none(), "{}", String::from_utf8_lossy(sample));
        }
    }
}
