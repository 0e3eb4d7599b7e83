//! One sample of every command and every event, in every shape it has; and strategies that make any others.

use std::sync::Arc;

use confab::domain::{
    Body, Chain, Emoji, Entry, Key, Limits, MAX_OFFSET, Position, RoomId, Since, Text, Trace, User, UserId, UserName,
    Withdrawal,
};
use confab::protocol::{Code, Command, Event, Goaway, MemberView, Refused, Request, Token};
use proptest::prelude::*;

pub fn room() -> RoomId {
    RoomId::parse("tea", 128).unwrap()
}

pub fn user(id: &str, name: &str) -> User {
    User { id: UserId::parse(id).unwrap(), name: UserName::parse(name, 64).unwrap() }
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn kept(text: &str) -> Text {
    Text::Kept(text.into())
}

fn at(offset: u64) -> Position {
    Position { offset, chain: Chain::from_bits(0x9f3c_0000_0000_0000 + offset) }
}

fn entry(offset: u64, body: Body) -> Arc<Entry> {
    Arc::new(Entry {
        offset,
        prev: Chain::from_bits(0),
        chain: at(offset).chain,
        at: 1_760_000_000_000 + offset,
        user: user("u-ada", "Ada"),
        key: key(&format!("key-{offset}")),
        body,
    })
}

/// Name of the golden file, and the command.
pub fn commands() -> Vec<(&'static str, Command)> {
    let command = |request| Command { id: Some(7), request };
    let write = |body| command(Request::Write { room: room(), key: key("0b8e7a52"), body, trace: None });
    let since = Since { offset: 41, chain: Some(at(41).chain) };
    vec![
        ("hello", command(Request::Hello { name: user("u", "Ada").name, token: None })),
        (
            "hello-token",
            command(Request::Hello {
                name: user("u", "Ada").name,
                token: Some(Token::new("header.claims.signature".to_owned())),
            }),
        ),
        ("join", command(Request::Join { room: room(), since: None, limit: 50 })),
        ("join-since", command(Request::Join { room: room(), since: Some(since), limit: 20 })),
        ("join-empty", command(Request::Join { room: room(), since: Some(Position::ZERO.into()), limit: 50 })),
        ("leave", command(Request::Leave { room: room() })),
        ("send", write(Body::Message { text: kept("hi"), reply_to: None })),
        ("send-reply", write(Body::Message { text: kept("two\nlines \"quoted\" 🍵"), reply_to: Some(12) })),
        ("send-traced", {
            let trace = Trace::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
            let body = Body::Message { text: kept("hi"), reply_to: None };
            command(Request::Write { room: room(), key: key("0b8e7a52"), body, trace })
        }),
        ("edit", write(Body::Edited { target: 45, text: kept("hello") })),
        ("delete", write(Body::Deleted { target: 45 })),
        ("react", write(Body::Reacted { target: 45, emoji: Emoji::parse("👍", 64).unwrap(), on: true })),
        ("history", command(Request::History { room: room(), before: Some(20), limit: 50 })),
        ("history-newest", command(Request::History { room: room(), before: None, limit: 50 })),
        ("typing", Command { id: None, request: Request::Typing { room: room() } }),
        ("read", Command { id: None, request: Request::Read { room: room(), offset: 45 } }),
        ("pong", Command { id: None, request: Request::Pong }),
    ]
}

/// Name of the golden file, and the event.
pub fn events() -> Vec<(&'static str, Event)> {
    let (ada, eve) = (user("u-ada", "Ada"), user("u-eve", "Eve"));
    let message = entry(45, Body::Message { text: kept("hi"), reply_to: None });
    let reply = entry(46, Body::Message { text: kept("<b>\u{2028}</b>"), reply_to: Some(45) });
    let edited = entry(47, Body::Edited { target: 45, text: kept("hello") });
    let deleted = entry(48, Body::Deleted { target: 46 });
    let reacted = entry(49, Body::Reacted { target: 45, emoji: Emoji::parse("👍", 64).unwrap(), on: true });
    let joined = |recovered, reason, entries: Vec<Arc<Entry>>, more, list| Event::Joined {
        id: Some(2),
        room: room(),
        position: entries.last().map_or(Position::ZERO, |entry| entry.position()),
        recovered,
        reason,
        oldest: entries.first().map_or(0, |entry| entry.offset),
        entries,
        more,
        read: 38,
        members: list,
    };
    let two = || MemberView { list: Some(vec![ada.clone(), eve.clone()]), count: 2 };
    let push = |entry: &Arc<Entry>| Event::Entry { room: room(), entry: Arc::clone(entry) };
    let welcome = |rotate_after_ms| Event::Welcome {
        id: Some(1),
        user: ada.clone(),
        token: Token::new("header.claims.signature".to_owned()),
        instance: "confab-7f3a".into(),
        durability: "replicated",
        heartbeat_ms: 25_000,
        rotate_after_ms,
        limits: Arc::new(Limits::default()),
    };
    let presence =
        |joined, left, members, member_count| Event::Presence { room: room(), joined, left, members, member_count };
    vec![
        ("welcome", welcome(Some(3_234_000))),
        ("welcome-unrotated", welcome(None)),
        ("joined", joined(None, None, vec![message.clone(), reply.clone()], None, two())),
        ("joined-empty", joined(None, None, Vec::new(), None, MemberView { list: Some(vec![ada.clone()]), count: 1 })),
        ("joined-recovered", joined(Some(true), None, vec![edited.clone()], Some(true), two())),
        ("joined-trimmed", joined(Some(false), Some("trimmed"), vec![deleted.clone()], Some(false), two())),
        ("joined-large", joined(None, None, vec![reacted.clone()], None, MemberView { list: None, count: 612 })),
        ("left", Event::Left { id: Some(3), room: room() }),
        (
            "sent",
            Event::Sent {
                id: Some(4),
                room: room(),
                position: at(45),
                at: 1_760_000_000_045,
                durability: "replicated",
                duplicate: false,
            },
        ),
        (
            "page",
            Event::Page {
                id: Some(8),
                room: room(),
                position: at(49),
                entries: vec![
                    Arc::new(message.withdrawn(Withdrawal::Edited)),
                    Arc::new(reply.withdrawn(Withdrawal::Deleted)),
                    Arc::new(edited.withdrawn(Withdrawal::Edited)),
                ],
                more: true,
                oldest: 1,
            },
        ),
        ("error", Event::Error(Refused::new(Some(4), Code::NotJoined, "join the room first"))),
        ("error-retry", Event::Error(Refused::new(Some(4), Code::RateLimited, "slow down").retry_in(800))),
        (
            "error-conflict",
            Event::Error(Refused {
                position: Some(at(45)),
                ..Refused::new(Some(4), Code::KeyConflict, "the key was used for other content")
            }),
        ),
        ("message", push(&message)),
        ("message-reply", push(&reply)),
        ("message-edited", push(&Arc::new(message.withdrawn(Withdrawal::Edited)))),
        ("message-deleted", push(&Arc::new(message.withdrawn(Withdrawal::Deleted)))),
        ("edited", push(&edited)),
        ("edited-again", push(&Arc::new(edited.withdrawn(Withdrawal::Edited)))),
        ("edited-deleted", push(&Arc::new(edited.withdrawn(Withdrawal::Deleted)))),
        ("deleted", push(&deleted)),
        ("reacted", push(&reacted)),
        ("presence", presence(vec![eve.clone()], Vec::new(), None, 2)),
        ("presence-left", presence(Vec::new(), vec![eve.clone()], None, 1)),
        ("presence-listed-again", presence(Vec::new(), Vec::new(), Some(vec![ada.clone(), eve.clone()]), 2)),
        ("typing", Event::Typing { room: room(), user: eve }),
        ("read", Event::Read { room: room(), offset: 45 }),
        (
            "reset",
            Event::Reset { room: room(), reason: "diverged", position: at(45), entries: vec![message], oldest: 44 },
        ),
        ("degraded", Event::Degraded { on: true }),
        ("durability", Event::Durability { mode: "stored" }),
        ("goaway", Event::Goaway { in_ms: 4_000, reason: Goaway::Drain }),
        ("ping", Event::Ping),
    ]
}

fn any_text() -> impl Strategy<Value = Text> {
    any::<String>()
        .prop_map(|text| {
            text.chars().filter(|c| !c.is_control() && !('\u{202A}'..='\u{202E}').contains(c)).collect::<String>()
        })
        .prop_map(|text| Text::Kept(format!("x{text}").into()))
}

fn any_withdrawable_text() -> impl Strategy<Value = Text> {
    (any_text(), 0..3).prop_map(|(text, how)| match how {
        0 => text.withdrawn(Withdrawal::Edited),
        1 => text.withdrawn(Withdrawal::Deleted),
        _ => text,
    })
}

fn any_key() -> impl Strategy<Value = Key> {
    "[ -~]{1,64}".prop_map(|text| key(&text))
}

fn any_room() -> impl Strategy<Value = RoomId> {
    "[a-zé日#:*{}\\[\\]?\"\\\\]{1,30}".prop_map(|text| RoomId::parse(&text, 128).unwrap())
}

fn any_name() -> impl Strategy<Value = String> {
    "[a-zé日'<&]{1,20}"
}

fn any_body(text: impl Strategy<Value = Text> + Clone) -> impl Strategy<Value = Body> {
    let target = 1..=MAX_OFFSET;
    prop_oneof![
        (text.clone(), prop::option::of(target.clone())).prop_map(|(text, reply_to)| Body::Message { text, reply_to }),
        (target.clone(), text).prop_map(|(target, text)| Body::Edited { target, text }),
        target.clone().prop_map(|target| Body::Deleted { target }),
        (target, any::<bool>()).prop_map(|(target, on)| {
            Body::Reacted { target, emoji: Emoji::parse("👩\u{200D}🚀", 64).unwrap(), on }
        }),
    ]
}

/// Only messages carry a place in a trace.
fn traced(body: &Body, trace: Option<Trace>) -> Option<Trace> {
    trace.filter(|_| matches!(body, Body::Message { .. }))
}

fn any_trace() -> impl Strategy<Value = Option<Trace>> {
    prop::option::of((1..=u128::MAX, 1..=u64::MAX, any::<bool>()))
        .prop_map(|trace| trace.and_then(|(id, span, sampled)| Trace::new(id, span, sampled)))
}

pub fn any_command() -> impl Strategy<Value = Command> {
    let since = prop::option::of((0..=MAX_OFFSET, any::<Option<u64>>()))
        .prop_map(|since| since.map(|(offset, chain)| Since { offset, chain: chain.map(Chain::from_bits) }));
    let request = prop_oneof![
        (any_name(), prop::option::of("[!-~]{0,80}")).prop_map(|(name, token)| Request::Hello {
            name: UserName::parse(&name, 64).unwrap(),
            token: token.map(Token::new),
        }),
        (any_room(), since, 1usize..=200).prop_map(|(room, since, limit)| Request::Join { room, since, limit }),
        any_room().prop_map(|room| Request::Leave { room }),
        (any_room(), any_key(), any_body(any_text().boxed()), any_trace())
            .prop_map(|(room, key, body, trace)| Request::Write { room, key, trace: traced(&body, trace), body }),
        (any_room(), prop::option::of(0..=MAX_OFFSET), 1usize..=200)
            .prop_map(|(room, before, limit)| Request::History { room, before, limit }),
        any_room().prop_map(|room| Request::Typing { room }),
        (any_room(), 0..=MAX_OFFSET).prop_map(|(room, offset)| Request::Read { room, offset }),
        Just(Request::Pong),
    ];
    (prop::option::of(0..=MAX_OFFSET), request).prop_map(|(id, request)| Command { id, request })
}

pub fn any_event() -> impl Strategy<Value = Event> {
    let samples = events().into_iter().map(|(_, event)| event).collect::<Vec<_>>();
    let entry = (1..=MAX_OFFSET, any::<u64>(), 0..=MAX_OFFSET, any_key(), any_body(any_withdrawable_text().boxed()))
        .prop_map(|(offset, chain, at, key, body)| Entry {
            offset,
            prev: Chain::from_bits(0),
            chain: Chain::from_bits(chain),
            at,
            user: user("u", "Ada"),
            key,
            body,
        })
        .boxed();
    let entries = prop::collection::vec(entry.clone().prop_map(Arc::new), 0..5).boxed();
    let id = prop::option::of(0..=MAX_OFFSET).boxed();
    let position = prop_oneof![
        Just(Position::ZERO),
        (1..=MAX_OFFSET, any::<u64>()).prop_map(|(offset, chain)| Position { offset, chain: Chain::from_bits(chain) })
    ]
    .boxed();
    let users =
        prop::collection::vec(("[!-~]{1,64}", any_name()).prop_map(|(id, name)| user(&id, &name)), 0..4).boxed();
    let reason = prop::sample::select(vec!["trimmed", "diverged", "lost"]).boxed();
    // In a list of entries each names the room of the whole.
    let page = (id.clone(), any_room(), position.clone(), entries.clone(), any::<bool>(), 0..=MAX_OFFSET).prop_map(
        |(id, room, position, entries, more, oldest)| Event::Page { id, room, position, entries, more, oldest },
    );
    let resumed = prop::option::of((any::<bool>(), prop::option::of(reason.clone()), any::<bool>()));
    let members = (prop::option::of(users.clone()), any::<u32>())
        .prop_map(|(list, count)| MemberView { list, count: count.into() })
        .boxed();
    let read = 0..=MAX_OFFSET;
    let joined = (id.clone(), any_room(), position.clone(), resumed, entries.clone(), read, members).prop_map(
        |(id, room, position, resumed, entries, read, members)| Event::Joined {
            id,
            room,
            position,
            recovered: resumed.map(|(recovered, ..)| recovered),
            reason: resumed.and_then(|(_, reason, _)| reason),
            oldest: entries.first().map_or(0, |entry| entry.offset),
            entries,
            more: resumed.map(|(.., more)| more),
            read,
            members,
        },
    );
    let presence = (any_room(), users.clone(), users.clone(), prop::option::of(users), any::<u32>()).prop_map(
        |(room, joined, left, members, count)| Event::Presence {
            room,
            joined,
            left,
            members,
            member_count: count.into(),
        },
    );
    let reset = (any_room(), reason, position.clone(), entries, 0..=MAX_OFFSET)
        .prop_map(|(room, reason, position, entries, oldest)| Event::Reset { room, reason, position, entries, oldest });
    let refused =
        (id, prop::sample::select(Code::ALL), any::<String>(), any::<Option<u64>>(), prop::option::of(position))
            .prop_map(|(id, code, message, retry_ms, position)| {
                Event::Error(Refused { id, code, message: message.into(), retry_ms, position })
            });
    prop_oneof![
        prop::sample::select(samples),
        (any_room(), entry).prop_map(|(room, entry)| Event::Entry { room, entry: Arc::new(entry) }),
        page,
        joined,
        presence,
        reset,
        refused,
    ]
}
