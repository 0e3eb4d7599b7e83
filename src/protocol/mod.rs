//! The words on the wire: what a client says ([`Command`]), what it hears ([`Event`]), and the codes of refusals and
//! closes.
//!
//! The types here are those of every protocol; [`native`] turns them into the JSON of `docs/protocol.md` and back, and
//! [`socketio`] into the events of `docs/socketio.md`, which travel in the packets of [`engineio`]. This module knows no
//! socket, no session and no store.

pub mod engineio;
pub mod native;
pub mod socketio;

use std::borrow::Cow;
use std::sync::Arc;

use crate::domain::{Body, Entry, Invalid, Key, Limits, Millis, Position, RoomId, Since, Trace, User, UserName};

/// What a client sent can't be a packet of its protocol, and why: the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// The client's number for a command, repeated in its reply.
pub type CommandId = u64;

/// What a client says, checked: names are canonical, texts and numbers within their limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The client's number; without it there is no reply.
    pub id: Option<CommandId>,
    /// What it wants.
    pub request: Request,
}

/// The part of a [`Command`] that says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Who is there; the first command of every connection.
    Hello {
        /// The name to be shown.
        name: UserName,
        /// An earlier guest token.
        token: Option<Token>,
    },
    /// Enter a room, or read it afresh.
    Join {
        /// Which.
        room: RoomId,
        /// The position of the last entry the client has.
        since: Option<Since>,
        /// Most entries of the newest page, already clamped to 1–`page_entries`.
        limit: usize,
    },
    /// Leave a room.
    Leave {
        /// Which.
        room: RoomId,
    },
    /// Append an entry.
    Write {
        /// Where.
        room: RoomId,
        /// The client's key for retries.
        key: Key,
        /// What.
        body: Body,
        /// Where the client says that it stands in a trace.
        trace: Option<Trace>,
    },
    /// An older page.
    History {
        /// Which room.
        room: RoomId,
        /// Entries below this offset; `None` for the newest.
        before: Option<u64>,
        /// Most entries, already clamped.
        limit: usize,
    },
    /// The user types.
    Typing {
        /// Where.
        room: RoomId,
    },
    /// The user has read up to an offset.
    Read {
        /// Where.
        room: RoomId,
        /// The last one read.
        offset: u64,
    },
    /// Answer to [`Event::Ping`].
    Pong,
}

/// A credential. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Wraps a credential.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The credential itself, for checking it and for the wire.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A command that is not carried out. The socket stays open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The command's number, where it could be read.
    pub id: Option<CommandId>,
    /// What kind of refusal.
    pub code: Code,
    /// What is wrong and what to do, for a developer. Holds nothing that the client sent but names of fields.
    pub message: Cow<'static, str>,
    /// When to try again, where that can help.
    pub retry_ms: Option<Millis>,
    /// For [`Code::KeyConflict`]: where the first entry with this key is.
    pub position: Option<Position>,
}

impl Refused {
    /// A refusal without a time to retry.
    #[must_use]
    pub fn new(id: Option<CommandId>, code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { id, code, message: message.into(), retry_ms: None, position: None }
    }

    /// With a time after which a retry can help.
    #[must_use]
    pub const fn retry_in(mut self, retry_ms: Millis) -> Self {
        self.retry_ms = Some(retry_ms);
        self
    }

    /// The refusal of a text field that didn't pass its check. `code` is the one for a wrong value, too long has its own.
    #[must_use]
    pub fn invalid(id: Option<CommandId>, field: &'static str, code: Code, invalid: Invalid) -> Self {
        let code = if matches!(invalid, Invalid::TooLong(_)) { Code::TooLong } else { code };
        Self::new(id, code, format!("{field} {invalid}"))
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// Codes of refusals. The text is what goes over the wire.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// All of them, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

codes! {
    /// Not a JSON object, or a field is missing or of a wrong type.
    BadMessage = "bad_message",
    /// No such command.
    UnknownType = "unknown_type",
    /// Say `hello` first.
    NotSignedIn = "not_signed_in",
    /// The token is forged, of another deployment, or expired.
    BadToken = "bad_token",
    /// Join the room first.
    NotJoined = "not_joined",
    /// The room's name is empty or holds a character that isn't allowed.
    BadRoom = "bad_room",
    /// The user's name is empty or holds a character that isn't allowed.
    BadName = "bad_name",
    /// The text is blank or holds a control character.
    BadText = "bad_text",
    /// The emoji is empty or not one.
    BadEmoji = "bad_emoji",
    /// The key is not 1–64 printable ASCII characters.
    BadKey = "bad_key",
    /// Over one of the limits in `welcome.limits`.
    TooLong = "too_long",
    /// Leave a room first.
    TooManyRooms = "too_many_rooms",
    /// The target is not a kept, undeleted message.
    NotFound = "not_found",
    /// Only the author may do that.
    Forbidden = "forbidden",
    /// Too fast: retry after `retry_ms`.
    RateLimited = "rate_limited",
    /// The key was used for other content.
    KeyConflict = "key_conflict",
    /// The outcome is unknown: retry with the same key.
    Unconfirmed = "unconfirmed",
    /// A queue or the store is full: retry after `retry_ms`.
    Overloaded = "overloaded",
    /// The store can't be reached: retry with the same key after `retry_ms`.
    Unavailable = "unavailable",
    /// A fault of the service: retry with the same key.
    Internal = "internal",
}

macro_rules! closes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal $reason:literal,)*) => {
        /// Why the server ends a WebSocket. 4000–4499 say "come back", 4500–4999 don't.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Close { $($(#[$doc])* $variant,)* }

        impl Close {
            /// All of them, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The close code on the wire.
            #[must_use]
            pub const fn code(self) -> u16 {
                match self { $(Self::$variant => $number,)* }
            }

            /// The reason beside it.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match self { $(Self::$variant => $reason,)* }
            }
        }
    };
}

closes! {
    /// The client closed; this is the echo.
    Normal = 1000 "bye",
    /// The frame breaks RFC 6455.
    Protocol = 1002 "protocol violation",
    /// Binary frames are not part of the protocol.
    Binary = 1003 "binary frames are not supported",
    /// A text frame is not UTF-8.
    Utf8 = 1007 "text is not UTF-8",
    /// A message is longer than `limits.frame_bytes`.
    TooLarge = 1009 "message too large",
    /// A fault of the service.
    Internal = 1011 "internal error",
    /// The socket is as old as it may get; a `goaway` came before.
    Rotate = 4001 "rotate",
    /// The instance is shutting down; a `goaway` came before.
    Drain = 4002 "drained",
    /// No `pong` in time.
    Heartbeat = 4003 "heartbeat missed",
    /// No `hello` in time.
    NoHello = 4005 "no hello in time",
    /// The client doesn't read fast enough; resume from the last position.
    Slow = 4008 "too slow",
    /// The store was away too long.
    StoreAway = 4009 "store away too long",
    /// Over a budget for too long; the reason carries `retry_ms=`.
    Budget = 4013 "over budget",
    /// No room for more; the reason carries `retry_ms=`.
    Overloaded = 4020 "overloaded",
    /// Ten messages in a row could not be read.
    BadMessages = 4500 "repeated bad messages",
    /// Not allowed here.
    Forbidden = 4503 "forbidden",
}

/// Why the server asks a client to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goaway {
    /// The socket nears the platform's request timeout.
    Rotate,
    /// The instance is shutting down.
    Drain,
}

impl Goaway {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rotate => "rotate",
            Self::Drain => "drain",
        }
    }
}

/// Who is in a room, as far as a client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// All members where they are listed, by id; `None` in large rooms.
    pub list: Option<Vec<User>>,
    /// How many there are.
    pub count: u64,
}

/// What a client hears. `id` is that of the command it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Answer to `hello`.
    Welcome {
        /// Of the command.
        id: Option<CommandId>,
        /// Who the client is.
        user: User,
        /// The renewed guest token.
        token: Token,
        /// Which instance this is.
        instance: Arc<str>,
        /// What an acknowledgement means, by its name on the wire.
        durability: &'static str,
        /// How often a `ping` comes.
        heartbeat_ms: Millis,
        /// How old this socket may get; `None` where nothing cuts it.
        rotate_after_ms: Option<Millis>,
        /// The limits in force.
        limits: Arc<Limits>,
    },
    /// Answer to `join`.
    Joined {
        /// Of the command.
        id: Option<CommandId>,
        /// The room.
        room: RoomId,
        /// Of the last entry in `entries`, or the log's where there is none.
        position: Position,
        /// With `since`: whether everything after it comes.
        recovered: Option<bool>,
        /// Why not, by its name on the wire.
        reason: Option<&'static str>,
        /// What was missed, or the newest page.
        entries: Vec<Arc<Entry>>,
        /// With `since`: more entries follow as pushes.
        more: Option<bool>,
        /// The lowest offset kept, 0 for none.
        oldest: u64,
        /// The user's read mark, 0 for none.
        read: u64,
        /// Who is there.
        members: MemberView,
    },
    /// Answer to `leave`.
    Left {
        /// Of the command.
        id: Option<CommandId>,
        /// The room.
        room: RoomId,
    },
    /// Answer to a write: it is stored as `durability` says.
    Sent {
        /// Of the command.
        id: Option<CommandId>,
        /// The room.
        room: RoomId,
        /// Of the entry.
        position: Position,
        /// When it was stored.
        at: Millis,
        /// Who has it, by its name on the wire.
        durability: &'static str,
        /// An earlier attempt stored it.
        duplicate: bool,
    },
    /// Answer to `history`.
    Page {
        /// Of the command.
        id: Option<CommandId>,
        /// The room.
        room: RoomId,
        /// Of the log.
        position: Position,
        /// Oldest first.
        entries: Vec<Arc<Entry>>,
        /// Older entries are kept.
        more: bool,
        /// The lowest offset kept, 0 for none.
        oldest: u64,
    },
    /// A command was refused.
    Error(Refused),
    /// A new entry of a joined room.
    Entry {
        /// The room.
        room: RoomId,
        /// The entry.
        entry: Arc<Entry>,
    },
    /// Members came or went.
    Presence {
        /// The room.
        room: RoomId,
        /// Who came, or has a new name.
        joined: Vec<User>,
        /// Who went.
        left: Vec<User>,
        /// All members: sent once when a large room became small enough to list.
        members: Option<Vec<User>>,
        /// How many there are.
        member_count: u64,
    },
    /// Somebody types.
    Typing {
        /// The room.
        room: RoomId,
        /// Who.
        user: User,
    },
    /// The user read up to an offset on another socket.
    Read {
        /// The room.
        room: RoomId,
        /// The last one read.
        offset: u64,
    },
    /// The log doesn't continue from what was delivered.
    Reset {
        /// The room.
        room: RoomId,
        /// Why, by its name on the wire.
        reason: &'static str,
        /// Of the last entry in `entries`, or the log's where there is none.
        position: Position,
        /// The newest page.
        entries: Vec<Arc<Entry>>,
        /// The lowest offset kept, 0 for none.
        oldest: u64,
    },
    /// The store can't be reached (`true`), or can be again.
    Degraded {
        /// Whether it is away.
        on: bool,
    },
    /// What an acknowledgement means has changed.
    Durability {
        /// Its name on the wire.
        mode: &'static str,
    },
    /// Open the next connection within a time.
    Goaway {
        /// How long.
        in_ms: Millis,
        /// Why.
        reason: Goaway,
    },
    /// Say `pong`.
    Ping,
}
