//! What a client hears, as packets in the form of an Engine.IO payload: joined by its separator, ready for HTTP, and for
//! a WebSocket to be taken apart again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::ser::{SerializeSeq as _, Serializer};

use super::packet::{AckId, Kind, ROOT, head};
use super::{Pid, Place, Style, is_quiet};
use crate::domain::{Body, Entry, Millis, RoomId, Text, User, Withdrawal};
use crate::protocol::engineio::SEPARATOR;

/// Packets are joined into frames of up to about this many bytes, once for all members.
const FRAME_BYTES: usize = 16 * 1024;

/// What the tutorial calls its notifications.
const ENTERED: &str = "Someone's here";
const LEFT: &str = "Someone just left";

/// The newest texts of messages, by their offsets.
pub type Edits = HashMap<u64, Arc<str>>;

/// The messages among some entries of a room, in order, as frames. Other kinds of entry mean nothing to these clients.
/// `later` has what entries behind these have made of them.
#[must_use]
pub fn messages(room: &RoomId, entries: &[Arc<Entry>], later: &Edits, style: &Style) -> Vec<Bytes> {
    let mut frames = Vec::new();
    let mut open = Vec::new();
    for (entry, text) in visible(entries, later) {
        if open.len() >= FRAME_BYTES {
            frames.push(std::mem::take(&mut open).into());
        }
        begin(&mut open);
        let place = style.seal.as_ref().map(|seal| Place::of(entry).sealed(room, &**seal));
        let message = Message::new(entry, text, style);
        open.extend_from_slice(head(Kind::Event, 0, ROOT, None).as_bytes());
        match place {
            Some(place) => write(&mut open, &("message", message, place)),
            None => write(&mut open, &("message", message)),
        }
    }
    if !open.is_empty() {
        frames.push(open.into());
    }
    frames
}

/// Who came and who went, as notifications in frames. Those who came quietly are not told.
#[must_use]
pub fn notifications(joined: &[User], left: &[User]) -> Vec<Bytes> {
    let mut frame = Vec::new();
    let told = joined.iter().filter(|user| !is_quiet(&user.id));
    let joined = told.map(|user| (ENTERED, format!("{} just entered the room", user.name.as_str())));
    let left = left.iter().map(|user| (LEFT, format!("{} just left the room", user.name.as_str())));
    for (title, description) in joined.chain(left) {
        begin(&mut frame);
        frame.extend_from_slice(head(Kind::Event, 0, ROOT, None).as_bytes());
        write(&mut frame, &("notification", Notification { title, description: &description }));
    }
    if frame.is_empty() { Vec::new() } else { vec![frame.into()] }
}

/// The messages among some entries whose text of now is in an entry behind these.
#[must_use]
pub fn edited_later(entries: &[Arc<Entry>]) -> HashSet<u64> {
    let edited =
        |entry: &&Arc<Entry>| matches!(entry.body, Body::Message { text: Text::Withdrawn(_, Withdrawal::Edited), .. });
    let mut offsets: HashSet<u64> = entries.iter().filter(edited).map(|entry| entry.offset).collect();
    for (target, _) in edits(entries) {
        offsets.remove(&target);
    }
    offsets
}

/// The edits among some entries whose texts are the newest of their messages.
pub fn edits(entries: &[Arc<Entry>]) -> impl Iterator<Item = (u64, &Arc<str>)> {
    entries.iter().filter_map(|entry| match &entry.body {
        Body::Edited { target, text: Text::Kept(text) } => Some((*target, text)),
        _ => None,
    })
}

/// The answer to `signin`: the room's newest messages, or `null` where it has none.
#[must_use]
pub fn signed_in(ack: AckId, room: &RoomId, entries: &[Arc<Entry>], style: &Style) -> Bytes {
    // They reach to the end of the log, so nothing is later.
    let later = Edits::new();
    let messages: Vec<_> = visible(entries, &later).map(|(entry, text)| Message::new(entry, text, style)).collect();
    let history = (!messages.is_empty()).then(|| History { room: room.as_str(), messages });
    packet(Kind::Ack, Some(ack), &(None::<()>, history))
}

/// The answer to an event: nothing, or what went wrong.
#[must_use]
pub fn answer(ack: AckId, error: Option<&str>) -> Bytes {
    packet(Kind::Ack, Some(ack), &Optional(error))
}

/// The client is connected under a name of its own, and may come back with the `pid`.
#[must_use]
pub fn connected(sid: &str, pid: Option<&Pid>) -> Bytes {
    packet(Kind::Connect, None, &Connected { sid, pid: pid.map(Pid::as_str) })
}

/// There is no such namespace.
#[must_use]
pub fn no_namespace(namespace: &str) -> Bytes {
    let mut frame = head(Kind::ConnectError, 0, namespace, None).into_bytes();
    write(&mut frame, &Refusal { message: "Invalid namespace" });
    frame.into()
}

fn packet(kind: Kind, ack: Option<AckId>, json: &impl Serialize) -> Bytes {
    let mut frame = head(kind, 0, ROOT, ack).into_bytes();
    write(&mut frame, json);
    frame.into()
}

/// Puts the separator behind what is there.
fn begin(frame: &mut Vec<u8>) {
    if !frame.is_empty() {
        frame.push(SEPARATOR);
    }
}

fn write(frame: &mut Vec<u8>, json: &impl Serialize) {
    let written = serde_json::to_writer(frame, json);
    debug_assert!(written.is_ok(), "strings and numbers always encode");
}

/// The messages that can still be read, with the text that they have now, as far as these entries and `later` tell.
fn visible<'a>(entries: &'a [Arc<Entry>], later: &'a Edits) -> impl Iterator<Item = (&'a Entry, &'a str)> {
    let later = later.iter().map(|(target, text)| (*target, text));
    let edits: HashMap<u64, &str> = edits(entries).chain(later).map(|(target, text)| (target, &**text)).collect();
    entries.iter().filter_map(move |entry| match &entry.body {
        Body::Message { text: Text::Kept(text), .. } => Some((&**entry, &**text)),
        Body::Message { text: Text::Withdrawn(_, Withdrawal::Edited), .. } => {
            edits.get(&entry.offset).map(|text| (&**entry, *text))
        }
        _ => None,
    })
}

#[derive(Serialize)]
struct Message<'a> {
    user: &'a str,
    text: &'a str,
    // These three by `socketio.extra_fields`.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
}

impl<'a> Message<'a> {
    fn new(entry: &'a Entry, text: &'a str, style: &Style) -> Self {
        let extra = style.extra_fields.then_some(entry);
        Self {
            user: entry.user.name.as_str(),
            text,
            offset: extra.map(|entry| entry.offset),
            at: extra.map(|entry| entry.at),
            id: extra.map(|entry| entry.key.as_str()),
        }
    }
}

#[derive(Serialize)]
struct History<'a> {
    room: &'a str,
    messages: Vec<Message<'a>>,
}

#[derive(Serialize)]
struct Notification<'a> {
    title: &'a str,
    description: &'a str,
}

#[derive(Serialize)]
struct Connected<'a> {
    sid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<&'a str>,
}

#[derive(Serialize)]
struct Refusal {
    message: &'static str,
}

/// An array of one or none.
struct Optional<'a>(Option<&'a str>);

impl Serialize for Optional<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut array = serializer.serialize_seq(Some(usize::from(self.0.is_some())))?;
        if let Some(text) = self.0 {
            array.serialize_element(text)?;
        }
        array.end()
    }
}
