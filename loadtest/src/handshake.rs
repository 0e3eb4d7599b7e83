//! The WebSocket handshake (RFC 6455, section 4), as bytes.
//!
//! Owns the request that `run` sends and the answer that the floor gives. It checks as little as works: the floor is
//! no server to expose.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

/// The longest head of a request or an answer, in bytes.
pub const MAX_HEAD: usize = 16 * 1024;

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// One key for all sockets: it proves nothing to a client that trusts its server.
const KEY: &str = "Y29uZmFiIGxvYWR0ZXN0IQ==";

/// The request of a client, for `path` on `host`.
#[must_use]
pub fn request(host: &str, path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )
    .into_bytes()
}

/// The floor's answer to a request; `None` if it carries no key.
#[must_use]
pub fn answer(head: &[u8]) -> Option<Vec<u8>> {
    let head = std::str::from_utf8(head).ok()?;
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim())
    })?;
    let accept = STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize());
    Some(
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        .into_bytes(),
    )
}

/// Length of the head at the start of `bytes`, the empty line included; `None` while it isn't complete.
#[must_use]
pub fn head_len(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
}

/// The status of an answer's head, `None` if that is no HTTP.
#[must_use]
pub fn status(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.get(..12)?).ok()?;
    line.strip_prefix("HTTP/1.1 ")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard_gets_its_accept_value() {
        let head = b"GET /ws HTTP/1.1\r\nhost: a\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let answer = String::from_utf8(answer(head).unwrap()).unwrap();
        assert!(answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{answer}");
        assert_eq!((status(answer.as_bytes()), head_len(answer.as_bytes())), (Some(101), Some(answer.len())));
    }

    #[test]
    fn a_request_without_a_key_gets_no_answer() {
        assert_eq!(answer(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), None);
        assert_eq!(head_len(b"GET / HTTP/1.1\r\nHost: a\r\n"), None);
    }
}
