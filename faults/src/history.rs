//! What was recorded of a run: one event after the other, in the order in which they happened to the recorder.
//!
//! Knows nothing of how a run is made, so the campaign inside one process and the one with real processes record the
//! same and are judged by the same [checker](crate::checker).

use serde::{Deserialize, Serialize};

/// Everything that was recorded, oldest first.
pub type History = Vec<Event>;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Milliseconds since the run began.
    pub at: u64,
    /// To whom, by number; nobody for what the run itself did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<usize>,
    /// In which room, empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub room: String,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// A write was tried, perhaps again.
    Invoke {
        /// The client's key: the same for every attempt.
        key: String,
    },
    /// It was acknowledged.
    Ok {
        /// Of the write.
        key: String,
        /// Where it is.
        #[serde(flatten)]
        at: At,
        /// Who has it.
        durability: Durability,
    },
    /// It was acknowledged, and that is all that its writer was told: the answer of a Socket.IO client says no more.
    Confirmed {
        /// Of the write.
        key: String,
    },
    /// The attempt surely stored nothing.
    Fail {
        /// Of the write.
        key: String,
        /// The refusal.
        code: String,
    },
    /// The outcome of the attempt is unknown: an answer that says so, or none.
    Info {
        /// Of the write.
        key: String,
        /// Why.
        code: String,
    },
    /// An entry came that the client didn't have.
    Receive(Seen),
    /// An entry came at an offset that the client had, and was dropped.
    Repeat(Seen),
    /// The client has a page that starts behind this offset, and had nothing of the room before.
    Join {
        /// Offset before the page.
        from: u64,
    },
    /// The client goes on from where it was.
    Resume,
    /// The client was told why it can't go on, and has a page that starts behind this offset.
    Reset {
        /// Why, empty where nobody said.
        reason: String,
        /// Offset before the page.
        from: u64,
    },
    /// A Socket.IO client has a connection again, and goes on from where it was.
    Recovered,
    /// A Socket.IO client has a connection again, and was not recognised: it asks for what it missed.
    Unrecovered,
    /// Members, as the client was told when it joined.
    Members {
        /// All of them.
        users: Vec<String>,
    },
    /// A member came.
    Joined {
        /// Who.
        user: String,
    },
    /// A member went.
    Left {
        /// Who.
        user: String,
    },
    /// The client has a connection and is signed in.
    Open {
        /// To which instance.
        instance: String,
        /// As whom.
        user: String,
    },
    /// A Socket.IO client has a connection.
    Connected,
    /// The connection ended.
    Close {
        /// The close code; 1006 where there was none.
        code: u16,
    },
    /// The client was asked to move.
    Goaway {
        /// Why.
        reason: String,
    },
    /// The client was told that the store can't be reached, or can again.
    Degraded {
        /// It can't.
        on: bool,
    },
    /// The client was told that an acknowledgement now means something else.
    Mode {
        /// What it means.
        durability: Durability,
    },
    /// Something was broken on purpose.
    Fault {
        /// What.
        what: String,
    },
    /// Nothing is broken any more.
    Heal,
    /// A store that can take writes again, for the measure of how long the service takes to notice.
    Accepting,
    /// Acknowledgements up to here may be lost, as the contract says.
    Forfeit {
        /// Which.
        what: Forfeit,
    },
    /// Writers begin nothing new.
    Quiet,
    /// An entry of the log as it was read in the end.
    Kept(Seen),
    /// Where the log stands in the end.
    Top(At),
    /// A write that has no outcome in the end, though nothing is broken any more.
    Unsettled {
        /// Of the write.
        key: String,
    },
    /// What a client shows in the end.
    Final {
        /// Its name.
        user: String,
        /// Where it is.
        #[serde(flatten)]
        at: At,
        /// The names of the members it shows; none for a Socket.IO client, which isn't told them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        members: Option<Vec<String>>,
    },
}

/// A position: equal ones prove that everything before is equal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct At {
    /// Offset, 0 before any log.
    pub offset: u64,
    /// Chain, empty before any log.
    pub chain: String,
}

/// An entry as somebody saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Where.
    #[serde(flatten)]
    pub at: At,
    /// The writer's key.
    pub key: String,
    /// The text.
    pub text: String,
}

/// What an acknowledgement means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// The process that answered has it.
    Memory,
    /// The primary has it.
    Stored,
    /// A replica has it.
    Replicated,
}

/// What may be lost of what was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forfeit {
    /// What the primary alone had: it was replaced by its replica.
    Stored,
    /// Everything: the store was emptied.
    Everything,
    /// No acknowledgement, but what the keys of earlier writes answered: a retry of one may make a second message.
    Keys,
}

impl At {
    /// Whether both are one position, as far as both say: a Socket.IO client that has just signed in knows its offset only.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        let said = |at: &Self| at.offset == 0 || !at.chain.is_empty();
        self.offset == other.offset && (self.chain == other.chain || !said(self) || !said(other))
    }
}

/// The text that a writer gives a key, so that a text can be told from every other one.
#[must_use]
pub fn text_of(key: &str) -> String {
    format!("message {key}")
}
