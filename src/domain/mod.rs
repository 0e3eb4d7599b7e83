//! The words of the product: rooms, users, positions, entries, limits.
//!
//! A value of these types was checked when it was made and stays valid. This module knows no wire format, no store, no
//! clock and no I/O; everything else may use it.

mod chain;
mod entry;
mod limits;
mod names;
mod trace;

pub use chain::{Chain, Digest, Position, Since, TextSha};
pub use entry::{Body, Draft, Entry, Kind, Text, Withdrawal};
pub use limits::Limits;
pub use names::{Emoji, Invalid, Key, RoomId, User, UserId, UserName, check_text};
pub use trace::Trace;

/// Unix time in milliseconds, or a span of milliseconds where a name says so.
pub type Millis = u64;

/// The largest offset that is accepted from a client: 2^53 − 1, what a JSON number holds exactly in every client.
pub const MAX_OFFSET: u64 = (1 << 53) - 1;
