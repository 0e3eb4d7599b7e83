//! The native protocol, as little of it as a measurement needs.
//!
//! A load generator that parses JSON measures itself. Objects are told apart by their first field, `type`, and the few
//! values that are needed are found by their names: the servers measured write compact JSON with `type` first, and no
//! room, name or text that is sent from here holds a quote.

use std::io::Write as _;
use std::sync::LazyLock;

use memchr::memmem::Finder;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A message of a room: one delivery.
    Message,
    /// The answer to `send`.
    Sent,
    /// The answer to `hello`.
    Welcome,
    /// The answer to `join`.
    Joined,
    /// The server starts a room anew: what was delivered no longer counts.
    Reset,
    /// The server asks for a `pong`.
    Ping,
    /// A refusal.
    Error,
    /// A push that a measurement only counts: presence and the like.
    Other,
}

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// Objects of JSON over `/ws`.
    Native,
    /// The tutorial's events over Engine.IO 4.
    Socketio,
}

/// What a server says, in either protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The transport is open; native clients aren't told.
    Opened,
    /// The client is known.
    Welcome,
    /// It is in its room.
    Joined {
        /// The room's newest.
        offset: u64,
    },
    /// A message of the room: one delivery.
    Message {
        /// Its own.
        offset: u64,
        /// When it was to be sent, in nanoseconds of the sender's clock.
        due: u64,
    },
    /// A message is stored.
    Sent {
        /// Its own, where it is told.
        offset: Option<u64>,
    },
    /// The server starts the room anew.
    Reset,
    /// It wants a sign of life.
    Ping,
    /// What was asked for is not done: why.
    Refused(String),
    /// What a measurement only counts.
    Other,
}

/// What an object says; `None` if `type` isn't its first field, or a value is missing.
#[must_use]
pub fn hear(object: &[u8]) -> Option<Heard> {
    Some(match kind(object)? {
        Kind::Message => Heard::Message { offset: offset(object)?, due: stamp(object)? },
        Kind::Sent => Heard::Sent { offset: Some(offset(object)?) },
        Kind::Welcome => Heard::Welcome,
        Kind::Joined => Heard::Joined { offset: offset(object)? },
        Kind::Reset => Heard::Reset,
        Kind::Ping => Heard::Ping,
        Kind::Error => Heard::Refused(String::from_utf8_lossy(string(object, "code").unwrap_or_default()).into_owned()),
        Kind::Other => Heard::Other,
    })
}

/// Which kind an object is; `None` if `type` isn't its first field.
#[must_use]
pub fn kind(object: &[u8]) -> Option<Kind> {
    let rest = object.strip_prefix(b"{\"type\":\"")?;
    Some(match &rest[..memchr::memchr(b'"', rest)?] {
        b"message" => Kind::Message,
        b"sent" => Kind::Sent,
        b"welcome" => Kind::Welcome,
        b"joined" => Kind::Joined,
        b"reset" => Kind::Reset,
        b"ping" => Kind::Ping,
        b"error" => Kind::Error,
        _ => Kind::Other,
    })
}

/// The objects of a frame.
pub fn objects(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    payload.split(|&byte| byte == b'\n').filter(|object| !object.is_empty())
}

macro_rules! field {
    ($name:literal) => {{
        static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(concat!("\"", $name, "\":")));
        &*FINDER
    }};
}

/// The first `offset` of an object: a message's own, or that of a reply's `position`.
#[must_use]
pub fn offset(object: &[u8]) -> Option<u64> {
    leading_number(after(object, field!("offset"))?)
}

/// The `id` of a reply.
#[must_use]
pub fn id(object: &[u8]) -> Option<u64> {
    leading_number(after(object, field!("id"))?)
}

/// When the message was to be sent, in nanoseconds of the sender's clock: the number its text starts with.
#[must_use]
pub fn stamp(object: &[u8]) -> Option<u64> {
    leading_number(after(object, field!("text"))?.strip_prefix(b"\"")?)
}

/// A field that holds a string without escapes.
#[must_use]
pub fn string<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let value = after(object, &Finder::new(&format!("\"{name}\":\"")))?;
    Some(&value[..memchr::memchr(b'"', value)?])
}

fn after<'a>(object: &'a [u8], field: &Finder<'_>) -> Option<&'a [u8]> {
    field.find(object).map(|at| &object[at + field.needle().len()..])
}

/// The decimal number at the start of `bytes`.
#[must_use]
pub fn leading_number(bytes: &[u8]) -> Option<u64> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    bytes[..digits].iter().try_fold(0u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

/// The `hello` of a socket.
pub fn put_hello(out: &mut Vec<u8>, name: usize) {
    put(out, format_args!(r#"{{"type":"hello","id":1,"name":"member {name:05}"}}"#));
}

/// The `join` of a room.
pub fn put_join(out: &mut Vec<u8>, room: &str) {
    put(out, format_args!(r#"{{"type":"join","id":2,"room":"{room}"}}"#));
}

/// The answer to a heartbeat.
pub fn put_pong(out: &mut Vec<u8>) {
    put(out, format_args!(r#"{{"type":"pong"}}"#));
}

/// A `send`: `stamp` as twenty digits, then padding up to `text_bytes`; a key as long as a UUID.
pub fn put_send(out: &mut Vec<u8>, id: u64, room: &str, stamp: u64, text_bytes: usize) {
    put(out, format_args!(r#"{{"type":"send","id":{id},"room":"{room}","key":"{id:036}","text":"{stamp:020}"#));
    out.resize(out.len() + text_bytes.saturating_sub(STAMP_BYTES), b'.');
    out.extend_from_slice(b"\"}");
}

/// Bytes of a text that its stamp takes; the shortest text.
pub const STAMP_BYTES: usize = 20;

/// Appends formatted text.
pub fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to memory doesn't fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = br#"{"type":"message","room":"R","offset":45,"chain":"9f3c","at":17,"user":{"id":"u","name":"Ada"},"text":"00000000000000000123...","key":"k"}"#;

    #[test]
    fn what_a_message_says_is_found() {
        assert_eq!(kind(MESSAGE), Some(Kind::Message));
        assert_eq!((offset(MESSAGE), stamp(MESSAGE)), (Some(45), Some(123)));
        assert_eq!(string(MESSAGE, "room"), Some(&b"R"[..]));
    }

    #[test]
    fn a_reply_has_its_id_and_the_offset_of_its_position() {
        let joined = br#"{"type":"joined","id":2,"room":"R","position":{"offset":7,"chain":"c"},"entries":[{"type":"message","offset":6}]}"#;
        assert_eq!((kind(joined), id(joined), offset(joined)), (Some(Kind::Joined), Some(2), Some(7)));
        let error = br#"{"type":"error","id":9,"code":"rate_limited","message":"x"}"#;
        assert_eq!(
            (kind(error), id(error), string(error, "code")),
            (Some(Kind::Error), Some(9), Some(&b"rate_limited"[..]))
        );
    }

    #[test]
    fn what_is_no_object_with_its_type_first_has_no_kind() {
        for odd in [&b"hello"[..], b"", b"{\"type\":\"", b"{\"id\":1,\"type\":\"sent\"}"] {
            assert_eq!(kind(odd), None);
        }
        assert_eq!(offset(br#"{"type":"message","offset":99999999999999999999999}"#), None);
    }

    #[test]
    fn several_objects_of_a_frame_are_told_apart() {
        assert_eq!(objects(b"{}\n{\"a\":1}\n").collect::<Vec<_>>(), [&b"{}"[..], b"{\"a\":1}"]);
    }

    #[test]
    fn a_send_has_the_length_it_was_asked_for() {
        for text_bytes in [20, 21, 64, 1000] {
            let mut out = Vec::new();
            put_send(&mut out, 3, "R", 55, text_bytes);
            assert_eq!((string(&out, "text").map(<[u8]>::len), stamp(&out)), (Some(text_bytes), Some(55)));
            assert!(serde_json::from_slice::<serde_json::Value>(&out).is_ok());
        }
    }
}
