//! [`Event`] to text.

use std::sync::Arc;

use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};

use crate::domain::{Body, Entry, Limits, Millis, Position, RoomId, Text, User, Withdrawal};
use crate::protocol::{CommandId, Event, Refused};

/// Writes one event as one JSON object, without a newline.
pub fn encode(event: &Event, out: &mut Vec<u8>) {
    let written = match event {
        Event::Entry { room, entry } => write(out, &EntryObject { room, entry }),
        Event::Sent { id, room, position, at, durability, duplicate } => write(
            out,
            &Sent {
                kind: "sent",
                id: *id,
                room: room.as_str(),
                position: position.into(),
                at: *at,
                durability,
                duplicate: *duplicate,
            },
        ),
        Event::Welcome { id, user, token, instance, durability, heartbeat_ms, rotate_after_ms, limits } => write(
            out,
            &Welcome {
                kind: "welcome",
                id: *id,
                user: user.into(),
                token: token.expose(),
                instance,
                durability,
                heartbeat_ms: *heartbeat_ms,
                rotate_after_ms: *rotate_after_ms,
                limits,
            },
        ),
        Event::Joined { id, room, position, recovered, reason, entries, more, oldest, read, members } => write(
            out,
            &Joined {
                kind: "joined",
                id: *id,
                room: room.as_str(),
                position: position.into(),
                recovered: *recovered,
                reason: *reason,
                entries: Entries { room, entries },
                more: *more,
                oldest: *oldest,
                read: *read,
                members: members.list.as_deref().map(users),
                member_count: members.count,
            },
        ),
        Event::Left { id, room } => write(out, &Left { kind: "left", id: *id, room: room.as_str() }),
        Event::Page { id, room, position, entries, more, oldest } => write(
            out,
            &Page {
                kind: "page",
                id: *id,
                room: room.as_str(),
                position: position.into(),
                entries: Entries { room, entries },
                more: *more,
                oldest: *oldest,
            },
        ),
        Event::Error(Refused { id, code, message, retry_ms, position }) => write(
            out,
            &Error {
                kind: "error",
                id: *id,
                code: code.as_str(),
                message,
                retry_ms: *retry_ms,
                position: position.as_ref().map(Into::into),
            },
        ),
        Event::Presence { room, joined, left, members, member_count } => write(
            out,
            &Presence {
                kind: "presence",
                room: room.as_str(),
                joined: users(joined),
                left: users(left),
                members: members.as_deref().map(users),
                member_count: *member_count,
            },
        ),
        Event::Typing { room, user } => write(out, &Typing { kind: "typing", room: room.as_str(), user: user.into() }),
        Event::Read { room, offset } => write(out, &Read { kind: "read", room: room.as_str(), offset: *offset }),
        Event::Reset { room, reason, position, entries, oldest } => write(
            out,
            &Reset {
                kind: "reset",
                room: room.as_str(),
                reason,
                position: position.into(),
                entries: Entries { room, entries },
                oldest: *oldest,
            },
        ),
        Event::Degraded { on } => write(out, &Degraded { kind: "degraded", on: *on }),
        Event::Durability { mode } => write(out, &Durability { kind: "durability", mode }),
        Event::Goaway { in_ms, reason } => {
            write(out, &Goaway { kind: "goaway", in_ms: *in_ms, reason: reason.as_str() })
        }
        Event::Ping => write(out, &Ping { kind: "ping" }),
    };
    debug_assert!(written.is_ok(), "strings and numbers always encode");
}

fn write(out: &mut Vec<u8>, object: &impl Serialize) -> serde_json::Result<()> {
    serde_json::to_writer(out, object)
}

#[derive(Serialize)]
struct Welcome<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<CommandId>,
    user: UserObject<'a>,
    token: &'a str,
    instance: &'a str,
    durability: &'a str,
    heartbeat_ms: Millis,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotate_after_ms: Option<Millis>,
    limits: &'a Limits,
}

#[derive(Serialize)]
struct Joined<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<CommandId>,
    room: &'a str,
    position: PositionObject,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovered: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    entries: Entries<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    more: Option<bool>,
    oldest: u64,
    read: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<Vec<UserObject<'a>>>,
    member_count: u64,
}

#[derive(Serialize)]
struct Left<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<CommandId>,
    room: &'a str,
}

#[derive(Serialize)]
struct Sent<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<CommandId>,
    room: &'a str,
    position: PositionObject,
    at: Millis,
    durability: &'a str,
    duplicate: bool,
}

#[derive(Serialize)]
struct Page<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<CommandId>,
    room: &'a str,
    position: PositionObject,
    entries: Entries<'a>,
    more: bool,
    oldest: u64,
}

#[derive(Serialize)]
struct Error<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<CommandId>,
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_ms: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<PositionObject>,
}

#[derive(Serialize)]
struct Presence<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    room: &'a str,
    joined: Vec<UserObject<'a>>,
    left: Vec<UserObject<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<Vec<UserObject<'a>>>,
    member_count: u64,
}

#[derive(Serialize)]
struct Typing<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    room: &'a str,
    user: UserObject<'a>,
}

#[derive(Serialize)]
struct Read<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    room: &'a str,
    offset: u64,
}

#[derive(Serialize)]
struct Reset<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    room: &'a str,
    reason: &'a str,
    position: PositionObject,
    entries: Entries<'a>,
    oldest: u64,
}

#[derive(Serialize)]
struct Degraded {
    #[serde(rename = "type")]
    kind: &'static str,
    on: bool,
}

#[derive(Serialize)]
struct Durability<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    mode: &'a str,
}

#[derive(Serialize)]
struct Goaway {
    #[serde(rename = "type")]
    kind: &'static str,
    in_ms: Millis,
    reason: &'static str,
}

#[derive(Serialize)]
struct Ping {
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct PositionObject {
    offset: u64,
    chain: String,
}

impl From<&Position> for PositionObject {
    fn from(position: &Position) -> Self {
        Self { offset: position.offset, chain: position.chain_text() }
    }
}

#[derive(Serialize)]
struct UserObject<'a> {
    id: &'a str,
    name: &'a str,
}

impl<'a> From<&'a User> for UserObject<'a> {
    fn from(user: &'a User) -> Self {
        Self { id: user.id.as_str(), name: user.name.as_str() }
    }
}

fn users(users: &[User]) -> Vec<UserObject<'_>> {
    users.iter().map(Into::into).collect()
}

/// Entries of one room, each as the push it would be.
struct Entries<'a> {
    room: &'a RoomId,
    entries: &'a [Arc<Entry>],
}

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.entries.iter().map(|entry| EntryObject { room: self.room, entry }))
    }
}

struct EntryObject<'a> {
    room: &'a RoomId,
    entry: &'a Entry,
}

impl Serialize for EntryObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Entry { offset, chain, at, user, key, body, prev: _ } = self.entry;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", body.kind().as_str())?;
        map.serialize_entry("room", self.room.as_str())?;
        map.serialize_entry("offset", offset)?;
        map.serialize_entry("chain", std::str::from_utf8(&chain.hex()).unwrap_or_default())?;
        map.serialize_entry("at", at)?;
        map.serialize_entry("user", &UserObject::from(user))?;
        if let Some(target) = body.target() {
            map.serialize_entry("target", &target)?;
        }
        match body.text() {
            Some(Text::Kept(text)) => map.serialize_entry("text", &**text)?,
            Some(Text::Withdrawn(sha, why)) => {
                let flag = match why {
                    Withdrawal::Edited => "edited",
                    Withdrawal::Deleted => "deleted",
                };
                map.serialize_entry(flag, &true)?;
                map.serialize_entry("text_sha", sha.as_str())?;
            }
            None => {}
        }
        match body {
            Body::Message { reply_to: Some(reply_to), .. } => map.serialize_entry("reply_to", reply_to)?,
            Body::Reacted { emoji, on, .. } => {
                map.serialize_entry("emoji", emoji.as_str())?;
                map.serialize_entry("on", on)?;
            }
            Body::Message { .. } | Body::Edited { .. } | Body::Deleted { .. } => {}
        }
        map.serialize_entry("key", key.as_str())?;
        map.end()
    }
}
