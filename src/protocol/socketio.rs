//! Socket.IO 5 for the clients of Google's Cloud Run tutorial: their events, and what they are told.
//!
//! [`packet`] reads and writes packets, whatever they mean; [`call`] is what clients ask for, [`event`] what they hear,
//! and [`resume`] what lets a client go on where it was. The Engine.IO packets around them are in
//! [`engineio`](super::engineio). It knows no socket, no session and no store.

pub mod call;
pub mod event;
pub mod packet;
pub mod resume;

use std::fmt;
use std::sync::Arc;

use crate::domain::UserId;

pub use super::Malformed;
pub use call::{Call, Said};
pub use packet::AckId;
pub use resume::{Pid, Place, Record, Seal};

/// What the settings say about the events that clients hear.
#[derive(Clone, Default)]
pub struct Style {
    /// Signs positions: then every message carries its own, and a client that comes back gets what it missed.
    pub seal: Option<Arc<dyn Seal>>,
    /// Messages carry `offset`, `at` and `id` too.
    pub extra_fields: bool,
}

impl fmt::Debug for Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Style").field("resume", &self.seal.is_some()).field("extra_fields", &self.extra_fields).finish()
    }
}

/// What a join is for, and so how it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `signin`: the newest messages come in its answer.
    SignIn {
        /// Of the event.
        ack: Option<AckId>,
    },
    /// `updateSocketId`: what was missed comes as pushes, then the answer.
    Update {
        /// Of the event.
        ack: Option<AckId>,
    },
    /// A reconnection: the connection's confirmation comes first, then what was missed. Nothing of it where the log
    /// doesn't continue.
    Resume,
}

/// The first character of the identity of somebody who came by `updateSocketId`.
const QUIET: char = '~';

/// The identity of a guest who comes by `updateSocketId`, which announces nothing.
#[must_use]
pub fn quiet(guest: &UserId) -> UserId {
    // A guest's identity is 22 characters, so this stays within the bounds.
    UserId::parse(&format!("{QUIET}{}", guest.as_str())).unwrap_or_else(|_| guest.clone())
}

/// Whether the others are not told that a user came. The identity says it, so that every instance knows.
#[must_use]
pub fn is_quiet(user: &UserId) -> bool {
    user.as_str().starts_with(QUIET)
}
