//! The other end of the wire, for tests only: commands to JSON, and events from JSON, strictly.

use std::sync::Arc;

use confab::domain::{
    Body, Chain, Emoji, Entry, Key, Limits, Position, RoomId, Text, TextSha, User, UserId, UserName, Withdrawal,
};
use confab::protocol::native::encode;
use confab::protocol::{Code, Command, Event, Goaway, MemberView, Refused, Request, Token};
use serde_json::{Map, Value, json};

/// The command as a client would write it.
pub fn command_json(command: &Command) -> Value {
    let mut object = match &command.request {
        Request::Hello { name, token } => {
            let mut object = json!({"type": "hello", "name": name.as_str()});
            if let Some(token) = token {
                object["token"] = token.expose().into();
            }
            object
        }
        Request::Join { room, since, limit } => {
            let mut object = json!({"type": "join", "room": room.as_str(), "limit": limit});
            if let Some(since) = since {
                let chain = since.chain.map_or_else(|| "of another log".to_owned(), |chain| chain.to_string());
                object["since"] = json!({"offset": since.offset, "chain": chain});
            }
            object
        }
        Request::Leave { room } => json!({"type": "leave", "room": room.as_str()}),
        Request::Write { room, key, body, trace } => {
            let mut object = match body {
                Body::Message { text, reply_to } => {
                    let mut object = json!({"type": "send", "text": kept(text)});
                    if let Some(reply_to) = reply_to {
                        object["reply_to"] = (*reply_to).into();
                    }
                    object
                }
                Body::Edited { target, text } => json!({"type": "edit", "target": target, "text": kept(text)}),
                Body::Deleted { target } => json!({"type": "delete", "target": target}),
                Body::Reacted { target, emoji, on } => {
                    json!({"type": "react", "target": target, "emoji": emoji.as_str(), "on": on})
                }
            };
            object["room"] = room.as_str().into();
            object["key"] = key.as_str().into();
            if let Some(trace) = trace {
                object["traceparent"] = trace.to_string().into();
            }
            object
        }
        Request::History { room, before, limit } => {
            let mut object = json!({"type": "history", "room": room.as_str(), "limit": limit});
            if let Some(before) = before {
                object["before"] = (*before).into();
            }
            object
        }
        Request::Typing { room } => json!({"type": "typing", "room": room.as_str()}),
        Request::Read { room, offset } => json!({"type": "read", "room": room.as_str(), "offset": offset}),
        Request::Pong => json!({"type": "pong"}),
    };
    if let Some(id) = command.id {
        object["id"] = id.into();
    }
    object
}

fn kept(text: &Text) -> &str {
    match text {
        Text::Kept(text) => text,
        Text::Withdrawn(..) => panic!("a client can't send a withdrawn text"),
    }
}

/// The event as it goes out.
pub fn event_json(event: &Event) -> Value {
    let mut out = Vec::new();
    encode(event, &mut out);
    assert!(!out.contains(&b'\n'), "an object holds no newline: it separates objects");
    serde_json::from_slice(&out).expect("what goes out is JSON")
}

/// Reads an event back; every field has to be used.
pub fn parse_event(value: &Value) -> Event {
    let mut fields = Fields(value.as_object().expect("an object").clone());
    let kind = fields.text("type");
    let event = match kind.as_str() {
        "welcome" => Event::Welcome {
            id: fields.maybe("id").map(|id| id.as_u64().unwrap()),
            user: user(&fields.take("user")),
            token: Token::new(fields.text("token")),
            instance: fields.text("instance").into(),
            durability: known(&fields.text("durability"), &["replicated", "stored", "memory"]),
            heartbeat_ms: fields.number("heartbeat_ms"),
            rotate_after_ms: fields.maybe("rotate_after_ms").map(|ms| ms.as_u64().unwrap()),
            limits: Arc::new(limits(&fields.take("limits"))),
        },
        "joined" => Event::Joined {
            id: fields.maybe("id").map(|id| id.as_u64().unwrap()),
            room: fields.room(),
            position: position(&fields.take("position")),
            recovered: fields.maybe("recovered").map(|on| on.as_bool().unwrap()),
            reason: fields.maybe("reason").map(|reason| known(reason.as_str().unwrap(), &REASONS)),
            entries: entries(&fields.take("entries")),
            more: fields.maybe("more").map(|on| on.as_bool().unwrap()),
            oldest: fields.number("oldest"),
            read: fields.number("read"),
            members: MemberView {
                list: fields.maybe("members").map(|list| users(&list)),
                count: fields.number("member_count"),
            },
        },
        "left" => Event::Left { id: fields.maybe("id").map(|id| id.as_u64().unwrap()), room: fields.room() },
        "sent" => Event::Sent {
            id: fields.maybe("id").map(|id| id.as_u64().unwrap()),
            room: fields.room(),
            position: position(&fields.take("position")),
            at: fields.number("at"),
            durability: known(&fields.text("durability"), &["replicated", "stored", "memory"]),
            duplicate: fields.take("duplicate").as_bool().unwrap(),
        },
        "page" => Event::Page {
            id: fields.maybe("id").map(|id| id.as_u64().unwrap()),
            room: fields.room(),
            position: position(&fields.take("position")),
            entries: entries(&fields.take("entries")),
            more: fields.take("more").as_bool().unwrap(),
            oldest: fields.number("oldest"),
        },
        "error" => Event::Error(Refused {
            id: fields.maybe("id").map(|id| id.as_u64().unwrap()),
            code: {
                let code = fields.text("code");
                *Code::ALL.iter().find(|known| known.as_str() == code).expect("a known code")
            },
            message: fields.text("message").into(),
            retry_ms: fields.maybe("retry_ms").map(|ms| ms.as_u64().unwrap()),
            position: fields.maybe("position").map(|value| position(&value)),
        }),
        "message" | "edited" | "deleted" | "reacted" => {
            let (room, entry) = entry(&mut fields, &kind);
            Event::Entry { room, entry: Arc::new(entry) }
        }
        "presence" => Event::Presence {
            room: fields.room(),
            joined: users(&fields.take("joined")),
            left: users(&fields.take("left")),
            members: fields.maybe("members").map(|list| users(&list)),
            member_count: fields.number("member_count"),
        },
        "typing" => Event::Typing { room: fields.room(), user: user(&fields.take("user")) },
        "read" => Event::Read { room: fields.room(), offset: fields.number("offset") },
        "reset" => Event::Reset {
            room: fields.room(),
            reason: known(&fields.text("reason"), &REASONS),
            position: position(&fields.take("position")),
            entries: entries(&fields.take("entries")),
            oldest: fields.number("oldest"),
        },
        "degraded" => Event::Degraded { on: fields.take("on").as_bool().unwrap() },
        "durability" => Event::Durability { mode: known(&fields.text("mode"), &["replicated", "stored", "memory"]) },
        "goaway" => Event::Goaway {
            in_ms: fields.number("in_ms"),
            reason: match fields.text("reason").as_str() {
                "rotate" => Goaway::Rotate,
                "drain" => Goaway::Drain,
                other => panic!("an unknown reason: {other}"),
            },
        },
        "ping" => Event::Ping,
        other => panic!("an unknown event: {other}"),
    };
    assert!(fields.0.is_empty(), "fields nobody reads: {:?}", fields.0);
    event
}

const REASONS: [&str; 3] = ["trimmed", "diverged", "lost"];

fn known(text: &str, all: &[&'static str]) -> &'static str {
    all.iter().find(|known| **known == text).expect("a known word")
}

struct Fields(Map<String, Value>);

impl Fields {
    fn maybe(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    fn take(&mut self, name: &str) -> Value {
        self.maybe(name).unwrap_or_else(|| panic!("`{name}` is missing"))
    }

    fn text(&mut self, name: &str) -> String {
        self.take(name).as_str().expect("a text").to_owned()
    }

    fn number(&mut self, name: &str) -> u64 {
        self.take(name).as_u64().expect("a number")
    }

    fn room(&mut self) -> RoomId {
        RoomId::parse(&self.text("room"), 128).unwrap()
    }
}

fn entries(list: &Value) -> Vec<Arc<Entry>> {
    let objects = list.as_array().expect("a list");
    objects
        .iter()
        .map(|object| {
            let mut fields = Fields(object.as_object().expect("an object").clone());
            let kind = fields.text("type");
            let (_, entry) = entry(&mut fields, &kind);
            assert!(fields.0.is_empty(), "fields nobody reads: {:?}", fields.0);
            Arc::new(entry)
        })
        .collect()
}

/// An entry; its `prev` isn't on the wire and is left at zero.
fn entry(fields: &mut Fields, kind: &str) -> (RoomId, Entry) {
    let room = fields.room();
    let text = |fields: &mut Fields| match fields.maybe("text") {
        Some(text) => Text::Kept(text.as_str().unwrap().into()),
        None => {
            let why = if fields.maybe("deleted") == Some(true.into()) {
                Withdrawal::Deleted
            } else {
                assert_eq!(fields.take("edited"), true, "a withdrawn text says why");
                Withdrawal::Edited
            };
            Text::Withdrawn(TextSha::parse(&fields.text("text_sha")).unwrap(), why)
        }
    };
    let body = match kind {
        "message" => Body::Message {
            text: text(fields),
            reply_to: fields.maybe("reply_to").map(|offset| offset.as_u64().unwrap()),
        },
        "edited" => Body::Edited { target: fields.number("target"), text: text(fields) },
        "deleted" => Body::Deleted { target: fields.number("target") },
        "reacted" => Body::Reacted {
            target: fields.number("target"),
            emoji: Emoji::parse(&fields.text("emoji"), 64).unwrap(),
            on: fields.take("on").as_bool().unwrap(),
        },
        other => panic!("no kind of entry: {other}"),
    };
    let entry = Entry {
        offset: fields.number("offset"),
        prev: Chain::from_bits(0),
        chain: Chain::parse(&fields.text("chain")).unwrap(),
        at: fields.number("at"),
        user: user(&fields.take("user")),
        key: Key::parse(&fields.text("key")).unwrap(),
        body,
    };
    (room, entry)
}

fn user(value: &Value) -> User {
    let mut fields = Fields(value.as_object().expect("an object").clone());
    let user = User {
        id: UserId::parse(&fields.text("id")).unwrap(),
        name: UserName::parse(&fields.text("name"), 64).unwrap(),
    };
    assert!(fields.0.is_empty());
    user
}

fn users(list: &Value) -> Vec<User> {
    list.as_array().expect("a list").iter().map(user).collect()
}

fn position(value: &Value) -> Position {
    let offset = value["offset"].as_u64().unwrap();
    match value["chain"].as_str().unwrap() {
        "" => {
            assert_eq!(offset, 0);
            Position::ZERO
        }
        chain => Position { offset, chain: Chain::parse(chain).unwrap() },
    }
}

fn limits(value: &Value) -> Limits {
    let number = |name: &str| value[name].as_u64().unwrap_or_else(|| panic!("`limits.{name}` is missing"));
    let size = |name: &str| usize::try_from(number(name)).unwrap();
    Limits {
        name_chars: size("name_chars"),
        room_chars: size("room_chars"),
        text_chars: size("text_chars"),
        text_bytes: size("text_bytes"),
        emoji_bytes: size("emoji_bytes"),
        frame_bytes: size("frame_bytes"),
        rooms_per_connection: size("rooms_per_connection"),
        history_entries: number("history_entries"),
        history_bytes: number("history_bytes"),
        history_idle_ms: number("history_idle_ms"),
        sends_per_second: number("sends_per_second"),
        send_burst: number("send_burst"),
        commands_per_second: number("commands_per_second"),
        command_burst: number("command_burst"),
        page_entries: size("page_entries"),
        page_bytes: size("page_bytes"),
        key_window_ms: number("key_window_ms"),
        new_rooms_per_minute: number("new_rooms_per_minute"),
        outbox_bytes: Limits::default().outbox_bytes,
    }
}
