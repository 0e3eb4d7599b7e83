//! Engine.IO 4: the packets that carry Socket.IO, and the payloads that carry packets over HTTP.
//!
//! Over WebSocket a packet is a message of its own: a text beginning with the digit of its kind, or bytes. Over HTTP a
//! payload is packets joined by [`SEPARATOR`], with bytes as `b` and base64. Source: the Engine.IO protocol, revision 4.
//! Pure: it knows no socket and no time.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Malformed;
use crate::domain::Millis;

/// The version of the protocol, as the query's `EIO` says it.
pub const VERSION: &str = "4";

/// Between the packets of a payload. No packet holds it: JSON escapes control characters.
pub const SEPARATOR: u8 = 0x1e;

/// How packets travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// In the requests and answers of HTTP.
    Polling,
    /// In the messages of a WebSocket.
    WebSocket,
}

/// What a request's query says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// How it wants to send and receive.
    pub transport: Transport,
    /// The session it belongs to; `None` begins one.
    pub sid: Option<&'a str>,
}

/// A request that is refused with 400, by the number that Engine.IO's own servers give as `code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadRequest {
    /// `transport` is missing, unknown, or not served.
    UnknownTransport = 0,
    /// `sid` names no session of this instance.
    UnknownSession = 1,
    /// A session begins with GET.
    BadMethod = 2,
    /// The request doesn't fit the session's state, or its body is no payload.
    Bad = 3,
    /// `EIO` isn't 4.
    UnsupportedVersion = 5,
}

impl BadRequest {
    /// For a developer.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::UnknownTransport => "Transport unknown",
            Self::UnknownSession => "Session ID unknown",
            Self::BadMethod => "Bad handshake method",
            Self::Bad => "Bad request",
            Self::UnsupportedVersion => "Unsupported protocol version",
        }
    }
}

impl<'a> Request<'a> {
    /// Reads a query. Fields that say nothing here (`t`, `b64`) are ignored.
    ///
    /// # Errors
    /// No transport that there is, or another version of the protocol.
    pub fn parse(query: &'a str) -> Result<Self, BadRequest> {
        let field = |name: &str| {
            query
                .split('&')
                .find_map(|field| field.split_once('=').filter(|(found, _)| *found == name))
                .map(|(_, value)| value)
        };
        let transport = match field("transport") {
            Some("polling") => Transport::Polling,
            Some("websocket") => Transport::WebSocket,
            _ => return Err(BadRequest::UnknownTransport),
        };
        if field("EIO") != Some(VERSION) {
            return Err(BadRequest::UnsupportedVersion);
        }
        Ok(Self { transport, sid: field("sid").filter(|sid| !sid.is_empty()) })
    }
}

/// A packet of text from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// The client ends the connection.
    Close,
    /// The client tries a transport before it moves to it: `probe`.
    Ping(&'a str),
    /// Answer to a ping.
    Pong,
    /// What the connection is for.
    Message(&'a str),
    /// The client has moved to this transport.
    Upgrade,
    /// Nothing.
    Noop,
}

/// Reads a packet of text.
///
/// # Errors
/// No digit of a kind that a client may send.
pub fn decode(text: &str) -> Result<Packet<'_>, Malformed> {
    let mut characters = text.chars();
    let kind = characters.next();
    let rest = characters.as_str();
    match kind {
        Some('1') => Ok(Packet::Close),
        Some('2') => Ok(Packet::Ping(rest)),
        Some('3') => Ok(Packet::Pong),
        Some('4') => Ok(Packet::Message(rest)),
        Some('5') => Ok(Packet::Upgrade),
        Some('6') => Ok(Packet::Noop),
        _ => Err(Malformed("not an Engine.IO packet")),
    }
}

/// A packet of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part<'a> {
    /// A packet of text, for [`decode`].
    Text(&'a str),
    /// Bytes.
    Binary(Vec<u8>),
}

/// The packets of a payload, in order.
pub fn parts(payload: &str) -> impl Iterator<Item = Result<Part<'_>, Malformed>> {
    payload.split(SEPARATOR as char).map(part)
}

/// One packet of a payload.
///
/// # Errors
/// Bytes that are not in base64.
pub fn part(text: &str) -> Result<Part<'_>, Malformed> {
    match text.strip_prefix('b') {
        Some(encoded) => {
            STANDARD.decode(encoded).map(Part::Binary).map_err(|_| Malformed("binary data is not in base64"))
        }
        None => Ok(Part::Text(text)),
    }
}

/// What a client is told when its session begins.
#[derive(Debug, Clone, Copy)]
pub struct Open<'a> {
    /// The name of the session.
    pub sid: &'a str,
    /// Whether the client may move from HTTP to a WebSocket.
    pub may_upgrade: bool,
    /// How often a ping comes.
    pub ping_interval: Millis,
    /// How long the answer to a ping may take.
    pub ping_timeout: Millis,
    /// Longest packet, and longest payload, in bytes.
    pub max_payload: usize,
}

impl Open<'_> {
    /// The packet.
    #[must_use]
    pub fn encode(&self) -> String {
        let Self { sid, may_upgrade, ping_interval, ping_timeout, max_payload } = self;
        let upgrades = if *may_upgrade { "\"websocket\"" } else { "" };
        let mut packet = String::with_capacity(128);
        // Writing into a string can't fail, and a sid is base64url.
        let _ = write!(
            packet,
            "0{{\"sid\":\"{sid}\",\"upgrades\":[{upgrades}],\"pingInterval\":{ping_interval},\
             \"pingTimeout\":{ping_timeout},\"maxPayload\":{max_payload}}}"
        );
        packet
    }
}

/// The server ends the session.
pub const CLOSE: &str = "1";
/// The client is to answer with a pong.
pub const PING: &str = "2";
/// The answer to a client that tries a transport.
pub const PROBED: &str = "3probe";
/// Nothing: it ends a waiting poll.
pub const NOOP: &str = "6";
/// What a probe says.
pub const PROBE: &str = "probe";

/// Bytes as a packet of a payload.
#[must_use]
pub fn binary(bytes: &[u8]) -> String {
    let mut packet = String::from("b");
    STANDARD.encode_string(bytes, &mut packet);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_clients_are_read_by_their_digit() {
        assert_eq!(decode("1"), Ok(Packet::Close));
        assert_eq!(decode("2probe"), Ok(Packet::Ping("probe")));
        assert_eq!(decode("3"), Ok(Packet::Pong));
        assert_eq!(decode("4hello"), Ok(Packet::Message("hello")));
        assert_eq!(decode("4"), Ok(Packet::Message("")));
        assert_eq!(decode("5"), Ok(Packet::Upgrade));
        assert_eq!(decode("6"), Ok(Packet::Noop));
        for wrong in ["", "0{}", "7", "abc", "٤x", " 4", "-1"] {
            assert!(decode(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_query_says_how_and_for_which_session() {
        let parse = Request::parse;
        assert_eq!(parse("EIO=4&transport=websocket"), Ok(Request { transport: Transport::WebSocket, sid: None }));
        let polling = Request { transport: Transport::Polling, sid: Some("ab-_") };
        assert_eq!(parse("EIO=4&transport=polling&t=Px&sid=ab-_"), Ok(polling));
        for query in ["", "EIO=4", "EIO=4&transport=abc", "EIO=4&transport", "EIO=4&transport=Polling"] {
            assert_eq!(parse(query), Err(BadRequest::UnknownTransport), "{query}");
        }
        for query in
            ["transport=polling", "EIO=3&transport=polling", "EIO=abc&transport=websocket", "eio=4&transport=polling"]
        {
            assert_eq!(parse(query), Err(BadRequest::UnsupportedVersion), "{query}");
        }
    }

    #[test]
    fn a_payload_is_its_packets() {
        let all: Vec<_> = parts("4hello\u{1e}2\u{1e}bAQIDBA==").collect();
        assert_eq!(all, [Ok(Part::Text("4hello")), Ok(Part::Text("2")), Ok(Part::Binary(vec![1, 2, 3, 4]))]);
        assert_eq!(parts("").collect::<Vec<_>>(), [Ok(Part::Text(""))]);
        assert!(parts("b*").all(|part| part.is_err()));
        assert_eq!(binary(&[1, 2, 3, 4]), "bAQIDBA==");
    }

    #[test]
    fn an_open_packet_is_json_with_all_its_keys() {
        let open =
            Open { sid: "a-_9", may_upgrade: true, ping_interval: 300, ping_timeout: 200, max_payload: 1_000_000 };
        assert_eq!(
            open.encode(),
            r#"0{"sid":"a-_9","upgrades":["websocket"],"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}"#
        );
        assert!(Open { may_upgrade: false, ..open }.encode().contains(r#""upgrades":[]"#));
    }
}
