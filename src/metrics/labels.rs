//! The attributes of metrics and all values that each can have: enums, so that nothing else can become one.

use crate::protocol::{Close, Code};

/// One attribute: a key and every value that it can have.
#[derive(Debug, Clone, Copy)]
pub struct Attribute {
    /// The key.
    pub key: &'static str,
    /// The values, in the order of their numbers.
    pub values: &'static [&'static str],
}

/// The value of one attribute.
pub trait Label: Copy {
    /// The attribute.
    const ATTRIBUTE: Attribute;

    /// The number of this value among [`Attribute::values`].
    fn number(self) -> usize;
}

/// The values of all attributes of a series: none, one, or two.
pub trait Labels: Copy {
    /// The attributes.
    const ATTRIBUTES: &'static [Attribute];

    /// How many series that makes.
    const SERIES: usize;

    /// The number of this series.
    fn series(self) -> usize;
}

impl Labels for () {
    const ATTRIBUTES: &'static [Attribute] = &[];
    const SERIES: usize = 1;

    fn series(self) -> usize {
        0
    }
}

impl<A: Label> Labels for A {
    const ATTRIBUTES: &'static [Attribute] = &[A::ATTRIBUTE];
    const SERIES: usize = A::ATTRIBUTE.values.len();

    fn series(self) -> usize {
        self.number()
    }
}

impl<A: Label, B: Label> Labels for (A, B) {
    const ATTRIBUTES: &'static [Attribute] = &[A::ATTRIBUTE, B::ATTRIBUTE];
    const SERIES: usize = A::ATTRIBUTE.values.len() * B::ATTRIBUTE.values.len();

    fn series(self) -> usize {
        self.0.number() * B::ATTRIBUTE.values.len() + self.1.number()
    }
}

/// The values of a series' attributes, in the order of the attributes.
pub(super) fn values_of(attributes: &'static [Attribute], mut series: usize) -> Vec<(&'static str, &'static str)> {
    let mut values = Vec::with_capacity(attributes.len());
    for attribute in attributes.iter().rev() {
        values.push((attribute.key, attribute.values[series % attribute.values.len()]));
        series /= attribute.values.len();
    }
    values.reverse();
    values
}

macro_rules! labels {
    ($(
        $(#[doc = $about:literal])+
        $name:ident $key:literal { $( $(#[doc = $doc:literal])+ $value:ident = $text:literal, )+ }
    )+) => {$(
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $( $(#[doc = $doc])+ $value, )+ }

        impl Label for $name {
            const ATTRIBUTE: Attribute = Attribute { key: $key, values: &[$($text),+] };

            fn number(self) -> usize {
                self as usize
            }
        }

        impl $name {
            /// The value as it is exported.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                Self::ATTRIBUTE.values[self as usize]
            }
        }
    )+};
}

labels! {
    /// What a client speaks.
    Protocol "protocol" {
        /// The JSON of `docs/protocol.md`.
        Native = "native",
        /// The events of `docs/socketio.md`, over a WebSocket or by polling.
        Socketio = "socketio",
    }

    /// How far a client's connection is.
    SocketState "state" {
        /// Nobody has signed in on it.
        New = "new",
        /// Somebody has.
        SignedIn = "signed_in",
        /// It ends: goodbyes are being said.
        Closing = "closing",
    }

    /// What became of an attempt to connect.
    HandshakeOutcome "outcome" {
        /// A WebSocket or a polling session begins.
        Accepted = "accepted",
        /// The request isn't one for a WebSocket, or not a good one.
        Bad = "bad",
        /// The page's origin isn't allowed, or there is none where one is required.
        Origin = "origin",
        /// As many connections are open, or being opened, as may be.
        Full = "full",
        /// The instance is shutting down.
        Draining = "draining",
    }

    /// What a client asks for.
    CommandType "type" {
        /// Sign in.
        Hello = "hello",
        /// Enter a room, or read it afresh.
        Join = "join",
        /// Leave a room.
        Leave = "leave",
        /// A message.
        Send = "send",
        /// A new text for a message.
        Edit = "edit",
        /// Withdraw a message.
        Delete = "delete",
        /// Add or take back a reaction.
        React = "react",
        /// An older page.
        History = "history",
        /// The user types.
        Typing = "typing",
        /// The user has read up to an entry.
        Read = "read",
        /// The answer to a ping.
        Pong = "pong",
        /// Can't be read.
        Unreadable = "unreadable",
    }

    /// What became of a command.
    CommandOutcome "outcome" {
        /// It was carried out.
        Done = "done",
        /// It was refused: `confab.refusals` says why.
        Refused = "refused",
    }

    /// What an acknowledgement means.
    Durability "durability" {
        /// A replica has the message.
        Replicated = "replicated",
        /// Redis has it.
        Stored = "stored",
        /// This process has it.
        Memory = "memory",
    }

    /// Whether an acknowledged message is new.
    Attempt "attempt" {
        /// It was stored by this attempt.
        First = "first",
        /// An earlier attempt with the same key had stored it.
        Duplicate = "duplicate",
    }

    /// A stage of an append to Redis.
    AppendStage "stage" {
        /// It waits in its lane for the pipeline before to be answered.
        Lane = "lane",
        /// Redis carries its pipeline out, without waiting for a replica.
        Script = "script",
        /// The same with a replica: the script, and the `WAIT` behind it.
        Replica = "replica",
    }

    /// What became of a write.
    WriteOutcome "outcome" {
        /// It is acknowledged.
        Acknowledged = "acknowledged",
        /// It is refused for a reason of the client's own.
        Refused = "refused",
        /// The service could not do it, or can't say whether it did.
        Failed = "failed",
    }

    /// Why an entry didn't reach a client that was live.
    DeliveryLoss "reason" {
        /// The client reads too slowly: more waited than `limits.outbox_bytes`.
        Overflow = "overflow",
        /// The client reads nothing: one write took longer than `limits.flush_timeout_ms`.
        Stalled = "stalled",
        /// The connection ended first, for whatever other reason.
        Closed = "closed",
        /// A reset passed over it: the room's log had forgotten it when it was read.
        Reset = "reset",
    }

    /// What was published.
    PublicationKind "kind" {
        /// An entry of a log.
        Entry = "entry",
        /// Somebody came, went, or has another name.
        Presence = "presence",
        /// What passes: somebody types, or has read.
        Passing = "passing",
    }

    /// Why a publication didn't get anywhere.
    DropReason "reason" {
        /// The instance was too far behind; its rooms are checked.
        FeedFull = "feed_full",
        /// It isn't one of ours.
        Foreign = "foreign",
    }

    /// How it was noticed that a room misses something.
    GapSign "sign" {
        /// An entry came that doesn't follow.
        Publication = "publication",
        /// The position in the store is another one, though nothing came.
        Check = "check",
        /// A client's position, or something that may be another log.
        Doubt = "doubt",
    }

    /// Why a log doesn't continue from a position.
    ResetReason "reason" {
        /// Entries after it are no longer kept.
        Trimmed = "trimmed",
        /// It is another log.
        Diverged = "diverged",
        /// The log is shorter.
        Lost = "lost",
    }

    /// What became of a client that came back with a position.
    ResumeOutcome "outcome" {
        /// It gets everything that it missed.
        Recovered = "recovered",
        /// Some of it is no longer kept.
        Trimmed = "trimmed",
        /// The log is another one.
        Diverged = "diverged",
        /// The log is shorter.
        Lost = "lost",
        /// It was refused.
        Refused = "refused",
    }

    /// Where a client that joins begins.
    JoinKind "kind" {
        /// With the newest page.
        Fresh = "fresh",
        /// At its position.
        Resume = "resume",
    }

    /// What became of something that is done now and then.
    Attempted "outcome" {
        /// It was done.
        Done = "done",
        /// It failed, and is tried again.
        Failed = "failed",
    }

    /// A budget that a client was over.
    Budget "budget" {
        /// Frames or bytes of its connection: `limits.frames_per_second`, `limits.bytes_per_second`.
        Wire = "wire",
        /// `limits.unfinished_message_ms`.
        Unfinished = "unfinished",
        /// `limits.commands_per_second`.
        Commands = "commands",
        /// `limits.sends_per_second`.
        Sends = "sends",
        /// `limits.new_rooms_per_minute`.
        NewRooms = "new_rooms",
    }

    /// Why clients are asked to move.
    GoawayReason "reason" {
        /// The socket nears the platform's request timeout.
        Rotate = "rotate",
        /// The instance is shutting down.
        Drain = "drain",
    }

    /// Whether a pooled connection is in use.
    PoolState "state" {
        /// Nobody uses it.
        Idle = "idle",
        /// A lane holds it, or a call uses it.
        Used = "used",
    }

    /// Which number of Redis's memory.
    RedisMemory "state" {
        /// In use.
        Used = "used",
        /// All that it may use; 0 where that isn't bounded or not told.
        Limit = "limit",
    }

    /// What the Redis that is asked says it is.
    RedisRole "role" {
        /// It takes writes.
        Primary = "primary",
        /// It doesn't.
        Replica = "replica",
    }

    /// Why a token isn't accepted.
    TokenFault "reason" {
        /// It was not given out here.
        Forged = "forged",
        /// Its time is over.
        Expired = "expired",
        /// It is another user's than the connection's.
        Foreign = "foreign",
        /// A new one could not be signed: a fault of the service.
        Unsigned = "unsigned",
    }

    /// Why a span isn't at the collector.
    SpanLoss "reason" {
        /// Too many waited.
        QueueFull = "queue_full",
        /// The collector didn't take it.
        Failed = "failed",
    }

    /// In which mode the processor worked.
    CpuMode "mode" {
        /// For the program.
        User = "user",
        /// For the kernel on the program's behalf.
        System = "system",
    }
}

/// The version of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version;

impl Label for Version {
    const ATTRIBUTE: Attribute = Attribute { key: "version", values: &[env!("CARGO_PKG_VERSION")] };

    fn number(self) -> usize {
        0
    }
}

const CODES: [&str; Code::ALL.len()] = {
    let mut codes = [""; Code::ALL.len()];
    let mut at = 0;
    while at < codes.len() {
        codes[at] = Code::ALL[at].as_str();
        at += 1;
    }
    codes
};

/// The code of a refusal.
impl Label for Code {
    const ATTRIBUTE: Attribute = Attribute { key: "code", values: &CODES };

    fn number(self) -> usize {
        self as usize
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The service closed it.
    By(Close),
    /// The client closed it.
    Client,
    /// It broke, or the process ended first.
    Gone,
}

const CLOSES: usize = Close::ALL.len();

/// A close code's digits. The codes of RFC 6455 have four.
const CLOSE_DIGITS: [[u8; 4]; CLOSES] = {
    let mut all = [[b'0'; 4]; CLOSES];
    let mut at = 0;
    while at < CLOSES {
        let mut rest = Close::ALL[at].code();
        let mut digit = 4;
        while digit > 0 {
            digit -= 1;
            all[at][digit] += (rest % 10) as u8;
            rest /= 10;
        }
        at += 1;
    }
    all
};

const ENDINGS: [&str; CLOSES + 2] = {
    let mut endings = [""; CLOSES + 2];
    let mut at = 0;
    while at < CLOSES {
        if let Ok(digits) = std::str::from_utf8(&CLOSE_DIGITS[at]) {
            endings[at] = digits;
        }
        at += 1;
    }
    endings[CLOSES] = "client";
    endings[CLOSES + 1] = "gone";
    endings
};

impl Label for Ending {
    const ATTRIBUTE: Attribute = Attribute { key: "code", values: &ENDINGS };

    fn number(self) -> usize {
        match self {
            Self::By(close) => close as usize,
            Self::Client => CLOSES,
            Self::Gone => CLOSES + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_told_by_its_name_and_a_close_by_its_number() {
        for code in Code::ALL {
            assert_eq!(Code::ATTRIBUTE.values[code.number()], code.as_str());
        }
        for close in Close::ALL {
            assert_eq!(Ending::ATTRIBUTE.values[Ending::By(*close).number()], close.code().to_string());
        }
        assert_eq!(Ending::ATTRIBUTE.values[Ending::Gone.number()], "gone");
    }

    #[test]
    fn the_values_of_a_series_are_those_it_was_made_of() {
        let attributes = <(Protocol, SocketState)>::ATTRIBUTES;
        let series = (Protocol::Socketio, SocketState::SignedIn).series();
        assert_eq!(values_of(attributes, series), [("protocol", "socketio"), ("state", "signed_in")]);
        assert_eq!(values_of(<()>::ATTRIBUTES, ().series()), []);
    }
}
