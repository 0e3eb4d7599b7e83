//! Socket.IO over Engine.IO 4, as little of it as a measurement needs: the events of the tutorial.
//!
//! As with the native protocol nothing is parsed: packets are told apart by their first characters. A message's offset is
//! the number that its last argument begins with, a position in the form in which confab hands it out with
//! `socketio.resume` on, so a loss shows here as it does with native clients.

use memchr::memchr;

use crate::wire::{Heard, STAMP_BYTES, leading_number, put, stamp};

/// Path of the WebSocket.
pub const PATH: &str = "/socket.io/?EIO=4&transport=websocket";

/// The number of the sign-in, unlike any message's.
const SIGN_IN: u64 = 0;

/// What a packet says; `None` if it isn't one that is understood here.
#[must_use]
pub fn hear(packet: &[u8]) -> Option<Heard> {
    match packet {
        [b'0', b'{', ..] => Some(Heard::Opened),
        [b'2'] => Some(Heard::Ping),
        [b'4', b'0', ..] => Some(Heard::Welcome),
        [b'4', b'3', answer @ ..] => answered(answer),
        [b'4', b'2', event @ ..] if event.starts_with(b"[\"message\",") => {
            Some(Heard::Message { offset: offset(event)?, due: stamp(event)? })
        }
        [b'4', b'2', ..] => Some(Heard::Other),
        _ => None,
    }
}

/// An answer: of the sign-in, of a message, or an error as the only argument.
fn answered(answer: &[u8]) -> Option<Heard> {
    let bracket = memchr(b'[', answer)?;
    let args = &answer[bracket..];
    match (leading_number(answer)?, args) {
        // A room's offset isn't told; that of one without a history is known.
        (SIGN_IN, b"[null,null]") => Some(Heard::Joined { offset: 0 }),
        (SIGN_IN, [b'[', b'n', ..]) => Some(Heard::Refused("the room has a history".to_owned())),
        (_, b"[]") => Some(Heard::Sent { offset: None }),
        _ => Some(Heard::Refused(String::from_utf8_lossy(args).into_owned())),
    }
}

/// The number that the last argument begins with.
fn offset(event: &[u8]) -> Option<u64> {
    let before = event.strip_suffix(b"\"]")?;
    leading_number(&before[memchr::memrchr(b'"', before)? + 1..])
}

/// Connects to the namespace.
pub fn put_connect(out: &mut Vec<u8>) {
    put(out, format_args!("40"));
}

/// Enters a room.
pub fn put_sign_in(out: &mut Vec<u8>, name: usize, room: &str) {
    put(out, format_args!(r#"42{SIGN_IN}["signin",{{"user":"member {name:05}","room":"{room}"}}]"#));
}

/// The answer to a heartbeat.
pub fn put_pong(out: &mut Vec<u8>) {
    put(out, format_args!("3"));
}

/// A message: `stamp` as twenty digits, then padding up to `text_bytes`.
pub fn put_send(out: &mut Vec<u8>, id: u64, stamp: u64, text_bytes: usize) {
    put(out, format_args!(r#"42{id}["sendMessage","{stamp:020}"#));
    out.resize(out.len() + text_bytes.saturating_sub(STAMP_BYTES), b'.');
    out.extend_from_slice(b"\"]");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_its_stamp_and_the_offset_of_its_position() {
        let message = br#"42["message",{"user":"Ada","text":"00000000000000000123..."},"45.9f3c.17.seal"]"#;
        assert_eq!(hear(message), Some(Heard::Message { offset: 45, due: 123 }));
        // Without a position a loss could not be seen.
        assert_eq!(hear(br#"42["message",{"user":"Ada","text":"00000000000000000123"}]"#), None);
    }

    #[test]
    fn packets_are_told_apart() {
        assert_eq!(hear(br#"0{"sid":"x"}"#), Some(Heard::Opened));
        assert_eq!(hear(b"2"), Some(Heard::Ping));
        assert_eq!(hear(br#"40{"sid":"x","pid":"y"}"#), Some(Heard::Welcome));
        assert_eq!(hear(b"430[null,null]"), Some(Heard::Joined { offset: 0 }));
        assert!(matches!(hear(br#"430[null,{"room":"R","messages":[]}]"#), Some(Heard::Refused(_))));
        assert_eq!(hear(br#"430["Room is required"]"#), Some(Heard::Refused(r#"["Room is required"]"#.to_owned())));
        assert_eq!(hear(b"4311[]"), Some(Heard::Sent { offset: None }));
        assert_eq!(hear(br#"4311["no"]"#), Some(Heard::Refused(r#"["no"]"#.to_owned())));
        assert_eq!(hear(br#"42["notification",{}]"#), Some(Heard::Other));
        for odd in [&b""[..], b"7", b"43", b"44{}", b"2probe"] {
            assert_eq!(hear(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn a_message_has_the_length_it_was_asked_for() {
        for text_bytes in [20, 64] {
            let mut out = Vec::new();
            put_send(&mut out, 10, 55, text_bytes);
            let args: Vec<String> = serde_json::from_slice(out.strip_prefix(b"4210").unwrap()).unwrap();
            assert_eq!((&*args[0], args[1].len()), ("sendMessage", text_bytes));
        }
    }
}
