//! What a client says: packets as the session takes them, and the tutorial's events with their arguments checked.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::packet::{self, AckId, Content, ROOT};
use super::{Malformed, Pid, Place};
use crate::domain::{Invalid, Limits, RoomId, UserName, check_text};

/// One packet of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Connects, perhaps as the continuation of an earlier connection.
    Connect {
        /// The `pid` that the earlier one was given, where it can be one.
        pid: Option<Pid>,
        /// The last string that ended an event's arguments: a position, if it is one of ours.
        offset: Option<String>,
    },
    /// Connects to a namespace that isn't there.
    ConnectElsewhere {
        /// Its name.
        namespace: String,
    },
    /// Goes, by its own will.
    Disconnect,
    /// An event.
    Call {
        /// What it asks for, or why that can't be done, as the client is told.
        call: Result<Call, Cow<'static, str>>,
        /// The number of the answer, if it wants one.
        ack: Option<AckId>,
    },
    /// The answer to something that was never asked. It is ignored.
    Ack,
}

/// What the tutorial's events ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// `signin`: enter a room under a name.
    SignIn {
        /// The name.
        user: UserName,
        /// The room.
        room: RoomId,
    },
    /// `updateSocketId`: go on in a room after a new connection, without a word to the others.
    UpdateSocketId {
        /// The name.
        user: UserName,
        /// The room.
        room: RoomId,
    },
    /// `sendMessage`.
    SendMessage {
        /// The text, as it was sent.
        text: Arc<str>,
    },
}

/// A packet, and how many binary messages belong to it.
///
/// # Errors
/// Not a packet that a client may send.
pub fn decode(text: &str, limits: &Limits) -> Result<(Said, usize), Malformed> {
    let packet = packet::decode(text)?;
    if packet.namespace != ROOT {
        return match packet.content {
            Content::Connect(_) => Ok((Said::ConnectElsewhere { namespace: packet.namespace.to_owned() }, 0)),
            _ => Err(Malformed("a packet for a namespace that isn't connected")),
        };
    }
    let said = match packet.content {
        Content::Connect(auth) => connect(auth),
        Content::Disconnect => Said::Disconnect,
        Content::Event { id, args } => Said::Call { call: call(args, limits), ack: id },
        Content::Ack { .. } => Said::Ack,
        Content::ConnectError => return Err(Malformed("a packet that only servers send")),
    };
    Ok((said, packet.attachments))
}

fn connect(auth: Option<&RawValue>) -> Said {
    #[derive(Deserialize)]
    struct Auth<'a> {
        #[serde(borrow, default)]
        pid: Option<&'a RawValue>,
        #[serde(borrow, default)]
        offset: Option<&'a RawValue>,
    }
    // An `auth` that can't be read is a page's own business: nobody asked for it.
    let Auth { pid, offset } =
        auth.and_then(|auth| serde_json::from_str(auth.get()).ok()).unwrap_or(Auth { pid: None, offset: None });
    Said::Connect {
        pid: pid.and_then(string).and_then(|pid| Pid::parse(&pid)),
        offset: offset.and_then(string).filter(|offset| Place::may_be(offset)),
    }
}

/// The name of an event and its first argument; what else there is doesn't matter to anybody.
struct Args<'a> {
    name: Cow<'a, str>,
    first: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Args<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Array;
        impl<'de> Visitor<'de> for Array {
            type Value = Args<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Args<'de>, A::Error> {
                let name: Option<&RawValue> = array.next_element()?;
                let name = name.and_then(string).map_or(Cow::Borrowed(""), Cow::Owned);
                let first = array.next_element()?;
                while array.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Args { name, first })
            }
        }
        deserializer.deserialize_seq(Array)
    }
}

fn call(args: &RawValue, limits: &Limits) -> Result<Call, Cow<'static, str>> {
    let args: Args<'_> = serde_json::from_str(args.get()).map_err(|_| "The event can't be read.")?;
    match &*args.name {
        "signin" => seat(args.first, limits).map(|(user, room)| Call::SignIn { user, room }),
        "updateSocketId" => seat(args.first, limits).map(|(user, room)| Call::UpdateSocketId { user, room }),
        "sendMessage" => {
            let text = args.first.and_then(string).ok_or("The message must be a text.")?;
            check_text(&text, limits.text_chars, limits.text_bytes)
                .map_err(|invalid| Cow::from(format!("The message {invalid}.")))?;
            Ok(Call::SendMessage { text: text.into() })
        }
        _ => Err("There is no such event here.".into()),
    }
}

/// The one argument of `signin` and `updateSocketId`. What is missing is said in the words of the tutorial.
fn seat(argument: Option<&RawValue>, limits: &Limits) -> Result<(UserName, RoomId), Cow<'static, str>> {
    #[derive(Deserialize, Default)]
    struct Seat<'a> {
        #[serde(borrow, default)]
        user: Option<&'a RawValue>,
        #[serde(borrow, default)]
        room: Option<&'a RawValue>,
    }
    // An array would be read as the fields in their order.
    let object = argument.filter(|argument| argument.get().starts_with('{'));
    let seat: Seat<'_> = match object {
        Some(object) => serde_json::from_str(object.get()).map_err(|_| "Username and room can't be read.")?,
        None => Seat::default(),
    };
    let user = named("Username", seat.user, |name| UserName::parse(name, limits.name_chars));
    let room = named("Room", seat.room, |name| RoomId::parse(name, limits.room_chars));
    match (user, room) {
        (Ok(user), Ok(room)) => Ok((user, room)),
        (Err(Absent::Missing), Err(Absent::Missing)) => Err("Username and room are required".into()),
        (Err(Absent::Missing), _) => Err("Username is required".into()),
        (_, Err(Absent::Missing)) => Err("Room is required".into()),
        (Err(Absent::Wrong(text)), _) | (_, Err(Absent::Wrong(text))) => Err(text.into()),
    }
}

enum Absent {
    Missing,
    Wrong(String),
}

fn named<T>(
    field: &str,
    value: Option<&RawValue>,
    parse: impl FnOnce(&str) -> Result<T, Invalid>,
) -> Result<T, Absent> {
    let value = value.filter(|value| value.get() != "null").ok_or(Absent::Missing)?;
    let text = string(value).ok_or_else(|| Absent::Wrong(format!("{field} must be a text")))?;
    parse(&text).map_err(|invalid| match invalid {
        Invalid::Empty => Absent::Missing,
        _ => Absent::Wrong(format!("{field} {invalid}")),
    })
}

fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}
