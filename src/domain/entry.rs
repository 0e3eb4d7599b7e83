//! Entries: what a log is made of.

use std::sync::Arc;

use super::chain::Decimal;
use super::{Chain, Digest, Emoji, Key, Millis, Position, TextSha, Trace, User};

/// What an entry is, without what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Somebody said something.
    Message,
    /// The author replaced the text of a message.
    Edited,
    /// The author withdrew a message.
    Deleted,
    /// Somebody set or took back a reaction.
    Reacted,
}

impl Kind {
    /// The name on the wire and in the digest.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Edited => "edited",
            Self::Deleted => "deleted",
            Self::Reacted => "reacted",
        }
    }
}

/// Why a text is no longer served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdrawal {
    /// A later edit replaced it.
    Edited,
    /// The message was deleted.
    Deleted,
}

/// A text, or what is left of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// The text as it was sent.
    Kept(Arc<str>),
    /// The text was withdrawn; its hash keeps the chain verifiable.
    Withdrawn(TextSha, Withdrawal),
}

impl Text {
    /// The hash that the digest is made of.
    #[must_use]
    pub fn sha(&self) -> TextSha {
        match self {
            Self::Kept(text) => TextSha::of(text),
            Self::Withdrawn(sha, _) => *sha,
        }
    }

    /// The same text, withdrawn.
    #[must_use]
    pub fn withdrawn(&self, why: Withdrawal) -> Self {
        Self::Withdrawn(self.sha(), why)
    }
}

/// What an entry carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A message, perhaps in reply to the entry at an offset (which isn't checked).
    Message {
        /// What was said.
        text: Text,
        /// Offset of the message that this one answers.
        reply_to: Option<u64>,
    },
    /// A new text for the message at `target`.
    Edited {
        /// Offset of the message.
        target: u64,
        /// Its new text.
        text: Text,
    },
    /// The message at `target` is withdrawn.
    Deleted {
        /// Offset of the message.
        target: u64,
    },
    /// A reaction to the message at `target`.
    Reacted {
        /// Offset of the message.
        target: u64,
        /// Which reaction.
        emoji: Emoji,
        /// Set (`true`) or taken back.
        on: bool,
    },
}

impl Body {
    /// Which kind this is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Message { .. } => Kind::Message,
            Self::Edited { .. } => Kind::Edited,
            Self::Deleted { .. } => Kind::Deleted,
            Self::Reacted { .. } => Kind::Reacted,
        }
    }

    /// The message that an edit, deletion or reaction is about.
    #[must_use]
    pub const fn target(&self) -> Option<u64> {
        match self {
            Self::Message { .. } => None,
            Self::Edited { target, .. } | Self::Deleted { target } | Self::Reacted { target, .. } => Some(*target),
        }
    }

    /// The text, where this kind has one.
    #[must_use]
    pub const fn text(&self) -> Option<&Text> {
        match self {
            Self::Message { text, .. } | Self::Edited { text, .. } => Some(text),
            Self::Deleted { .. } | Self::Reacted { .. } => None,
        }
    }

    /// The same body with its text withdrawn; bodies without a text stay as they are.
    #[must_use]
    pub fn withdrawn(&self, why: Withdrawal) -> Self {
        match self {
            Self::Message { text, reply_to } => Self::Message { text: text.withdrawn(why), reply_to: *reply_to },
            Self::Edited { target, text } => Self::Edited { target: *target, text: text.withdrawn(why) },
            Self::Deleted { .. } | Self::Reacted { .. } => self.clone(),
        }
    }

    /// The digest that the chain is computed from.
    #[must_use]
    pub fn digest(&self, user: &User, key: &Key) -> Digest {
        let target = self.target().map(Decimal::new);
        let target = target.as_ref().map_or("", Decimal::as_str);
        let text_sha = self.text().map(Text::sha);
        let text_sha = text_sha.as_ref().map_or("", TextSha::as_str);
        let (emoji, on) = match self {
            Self::Reacted { emoji, on, .. } => (emoji.as_str(), if *on { "true" } else { "false" }),
            _ => ("", ""),
        };
        let reply_to = match self {
            Self::Message { reply_to, .. } => reply_to.map(Decimal::new),
            _ => None,
        };
        let reply_to = reply_to.as_ref().map_or("", Decimal::as_str);
        Digest::of([
            self.kind().as_str(),
            user.id.as_str(),
            user.name.as_str(),
            key.as_str(),
            target,
            emoji,
            on,
            reply_to,
            text_sha,
        ])
    }
}

/// An entry that isn't in a log yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Who writes it.
    pub user: User,
    /// The client's name for this attempt: unique per (room, user) within the key window.
    pub key: Key,
    /// What it says.
    pub body: Body,
    /// Where it stands in a trace. Goes with its publication and is no part of the entry.
    pub trace: Option<Trace>,
}

/// One entry of a room's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Dense: 1, 2, 3, …
    pub offset: u64,
    /// The log's chain before this entry. Internal: for entry 1 it is the log's start chain, which no client sees.
    pub prev: Chain,
    /// The log's chain after this entry.
    pub chain: Chain,
    /// When the store numbered it; never earlier than the entry before.
    pub at: Millis,
    /// Who wrote it, under the name of that moment.
    pub user: User,
    /// The client's key.
    pub key: Key,
    /// What it says.
    pub body: Body,
}

impl Entry {
    /// Numbers a draft: the entry that follows a log's position `last` (with `prev` as its chain, which for an empty
    /// log is the start chain).
    #[must_use]
    pub fn number(draft: Draft, last: u64, prev: Chain, at: Millis) -> Self {
        let Draft { user, key, body, trace: _ } = draft;
        let offset = last + 1;
        let chain = prev.next(offset, at, &body.digest(&user, &key));
        Self { offset, prev, chain, at, user, key, body }
    }

    /// The position of a client that has this entry.
    #[must_use]
    pub const fn position(&self) -> Position {
        Position { offset: self.offset, chain: self.chain }
    }

    /// Whether this entry is what a log whose chain was `prev` continues with: recomputes the chain.
    #[must_use]
    pub fn follows_chain(&self, prev: Chain) -> bool {
        prev.next(self.offset, self.at, &self.body.digest(&self.user, &self.key)) == self.chain
    }

    /// The same entry with its text withdrawn.
    #[must_use]
    pub fn withdrawn(&self, why: Withdrawal) -> Self {
        Self { body: self.body.withdrawn(why), ..self.clone() }
    }
}
