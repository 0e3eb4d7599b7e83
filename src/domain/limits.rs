//! The limits a client is told about in `welcome.limits`, each with its default.

use serde::Serialize;

use super::Millis;

/// What one client may do. Serialised under these very names as `welcome.limits`.
///
/// A character is a Unicode scalar value; bytes are UTF-8 bytes. The bounds of each value are in the settings table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Longest user name, in characters.
    pub name_chars: usize,
    /// Longest room name, in characters.
    pub room_chars: usize,
    /// Longest text of a message, in characters.
    pub text_chars: usize,
    /// Longest text of a message, in bytes.
    pub text_bytes: usize,
    /// Longest emoji of a reaction, in bytes.
    pub emoji_bytes: usize,
    /// Longest WebSocket message a client may send, in bytes.
    pub frame_bytes: usize,
    /// Rooms one connection may be in at a time.
    pub rooms_per_connection: usize,
    /// Entries a room keeps. Up to a tenth, or 100 entries, more are kept while trimming is lazy.
    pub history_entries: u64,
    /// Bytes of entries a room keeps, as the store counts them; the same laziness.
    pub history_bytes: u64,
    /// A room without a new entry for this long is forgotten, in milliseconds.
    pub history_idle_ms: Millis,
    /// Sends per second and (room, user), sustained.
    pub sends_per_second: u64,
    /// Sends that may come at once per (room, user).
    pub send_burst: u64,
    /// Commands per second and connection, sustained.
    pub commands_per_second: u64,
    /// Commands that may come at once per connection.
    pub command_burst: u64,
    /// Most entries in one reply.
    pub page_entries: usize,
    /// Most bytes of entries in one reply, as encoded (one entry always fits).
    pub page_bytes: usize,
    /// How long a client-made key answers for a retry, in milliseconds.
    pub key_window_ms: Millis,
    /// Rooms without entries and members that one connection may join per minute.
    pub new_rooms_per_minute: u64,
    /// Bytes that may wait for one slow reader. Not sent to clients.
    #[serde(skip)]
    pub outbox_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            name_chars: 64,
            room_chars: 128,
            text_chars: 4_000,
            text_bytes: 16 * 1024,
            emoji_bytes: 64,
            frame_bytes: 64 * 1024,
            rooms_per_connection: 50,
            history_entries: 1_000,
            history_bytes: 1024 * 1024,
            history_idle_ms: 7 * 24 * 60 * 60 * 1000,
            sends_per_second: 5,
            send_burst: 20,
            commands_per_second: 50,
            command_burst: 200,
            page_entries: 200,
            page_bytes: 64 * 1024,
            key_window_ms: 600_000,
            new_rooms_per_minute: 20,
            outbox_bytes: 1024 * 1024,
        }
    }
}
