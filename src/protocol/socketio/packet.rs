//! The packets of Socket.IO 5, whatever they are used for.
//!
//! `<kind>[<attachments>-][<namespace>,][<ack id>][<JSON>]`, and as many binary messages behind it as it announces.
//! Source: the Socket.IO protocol, revision 5. What it calls valid per kind is checked here, so a [`Packet`] is.

use serde_json::value::RawValue;

use super::Malformed;

/// The namespace that every client has.
pub const ROOT: &str = "/";

/// Most binary attachments of one packet. The tutorial's events have none.
pub const ATTACHMENTS: usize = 10;

/// Longest name of a namespace, in bytes.
const NAMESPACE_BYTES: usize = 256;

/// Names that the library's own events have on both sides: nobody may send them.
const RESERVED: &[&str] = &["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// The client's number of an event that wants an answer.
pub type AckId = u64;

/// A packet as it stands in a text.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// The namespace it is for.
    pub namespace: &'a str,
    /// What it says.
    pub content: Content<'a>,
    /// So many binary messages belong to it and follow.
    pub attachments: usize,
}

/// What a packet says.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// Connects to the namespace, with the client's `auth`, an object.
    Connect(Option<&'a RawValue>),
    /// Leaves it.
    Disconnect,
    /// An event, and whether it is to be answered.
    Event {
        /// The answer's number.
        id: Option<AckId>,
        /// A JSON array: the name, a string or a number, then the arguments.
        args: &'a RawValue,
    },
    /// An answer.
    Ack {
        /// To which event.
        id: AckId,
        /// A JSON array.
        args: &'a RawValue,
    },
    /// A refused connection. Only servers send it.
    ConnectError,
}

/// Reads the text of a packet.
///
/// # Errors
/// Not a packet, or one that no peer may send.
pub fn decode(text: &str) -> Result<Packet<'_>, Malformed> {
    let kind = text.chars().next().ok_or(Malformed("an empty packet"))?;
    let mut rest = &text[kind.len_utf8()..];
    let attachments = match kind {
        '5' | '6' => {
            let (count, behind) =
                digits(rest)?.ok_or(Malformed("a binary packet without its number of attachments"))?;
            rest = behind.strip_prefix('-').ok_or(Malformed("a binary packet without its number of attachments"))?;
            let count = usize::try_from(count).ok().filter(|count| *count <= ATTACHMENTS);
            count.ok_or(Malformed("too many attachments"))?
        }
        _ => 0,
    };
    let mut namespace = ROOT;
    if rest.starts_with('/') {
        (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
        if namespace.len() > NAMESPACE_BYTES {
            return Err(Malformed("a namespace that is too long"));
        }
    }
    let id = match digits(rest)? {
        Some((id, behind)) => {
            rest = behind;
            Some(id)
        }
        None => None,
    };
    let data = match rest {
        "" => None,
        json => Some(serde_json::from_str::<&RawValue>(json).map_err(|_| Malformed("data that is not JSON"))?),
    };
    let content = match (kind, id, data) {
        ('0', None, auth) if auth.is_none_or(|auth| auth.get().starts_with('{')) => Content::Connect(auth),
        ('1', None, None) => Content::Disconnect,
        ('2' | '5', id, Some(args)) if is_event(args) => Content::Event { id, args },
        ('3' | '6', Some(id), Some(args)) if args.get().starts_with('[') => Content::Ack { id, args },
        ('4', None, Some(_)) => Content::ConnectError,
        _ => return Err(Malformed("a packet of no kind, or without what its kind needs")),
    };
    Ok(Packet { namespace, content, attachments })
}

/// A number at the beginning of a text, and what is behind it; `None` where there is no digit.
fn digits(text: &str) -> Result<Option<(u64, &str)>, Malformed> {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    if end == 0 {
        return Ok(None);
    }
    let number = text[..end].parse().map_err(|_| Malformed("a number that is too large"))?;
    Ok(Some((number, &text[end..])))
}

/// Whether an event's arguments begin with a name.
fn is_event(args: &RawValue) -> bool {
    let Some(first) = args.get().strip_prefix('[').map(str::trim_start) else { return false };
    match first.bytes().next() {
        Some(b'"') => {
            !RESERVED.iter().any(|name| first[1..].strip_prefix(name).is_some_and(|behind| behind.starts_with('"')))
        }
        Some(byte) => byte.is_ascii_digit() || byte == b'-',
        None => false,
    }
}

/// Writes a packet's head: everything before its JSON. It begins with the digit of an Engine.IO message.
#[must_use]
pub fn head(kind: Kind, attachments: usize, namespace: &str, id: Option<AckId>) -> String {
    let mut head = format!("4{}", kind as u8);
    if attachments > 0 {
        head.push_str(&attachments.to_string());
        head.push('-');
    }
    if namespace != ROOT {
        head.push_str(namespace);
        head.push(',');
    }
    if let Some(id) = id {
        head.push_str(&id.to_string());
    }
    head
}

/// The kinds of packets that a server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The namespace is connected.
    Connect = 0,
    /// An event.
    Event = 2,
    /// The answer to one.
    Ack = 3,
    /// The namespace is refused.
    ConnectError = 4,
    /// An event with attachments.
    BinaryEvent = 5,
    /// An answer with attachments.
    BinaryAck = 6,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        decode(text).ok().map(|packet| {
            let content = match packet.content {
                Content::Connect(auth) => format!("connect {}", auth.map_or("-", RawValue::get)),
                Content::Disconnect => "disconnect".to_owned(),
                Content::Event { id, args } => format!("event {id:?} {args}"),
                Content::Ack { id, args } => format!("ack {id} {args}"),
                Content::ConnectError => "error".to_owned(),
            };
            format!("{} {} {content}", packet.namespace, packet.attachments)
        })
    }

    #[test]
    fn every_kind_is_read() {
        for (text, expected) in [
            ("0", "/ 0 connect -"),
            (r#"0{"token":"x"}"#, r#"/ 0 connect {"token":"x"}"#),
            ("0/custom", "/custom 0 connect -"),
            ("0/custom,", "/custom 0 connect -"),
            (r#"0/custom,{"a":1}"#, r#"/custom 0 connect {"a":1}"#),
            ("1", "/ 0 disconnect"),
            ("1/custom,", "/custom 0 disconnect"),
            (r#"2["a"]"#, r#"/ 0 event None ["a"]"#),
            (r#"2[1,"b"]"#, r#"/ 0 event None [1,"b"]"#),
            (r#"212["a",{}]"#, r#"/ 0 event Some(12) ["a",{}]"#),
            (r#"2/custom,0["a"]"#, r#"/custom 0 event Some(0) ["a"]"#),
            (r#"3456["x"]"#, r#"/ 0 ack 456 ["x"]"#),
            ("30[]", "/ 0 ack 0 []"),
            (r#"4{"message":"no"}"#, "/ 0 error"),
            (r#"52-["a",{"_placeholder":true,"num":0},1]"#, r#"/ 2 event None ["a",{"_placeholder":true,"num":0},1]"#),
            (r#"51-/custom,7["a",{}]"#, r#"/custom 1 event Some(7) ["a",{}]"#),
            (r#"61-789[{"_placeholder":true,"num":0}]"#, r#"/ 1 ack 789 [{"_placeholder":true,"num":0}]"#),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_no_peer_may_send_is_malformed() {
        for text in [
            "",
            "7",
            "x",
            "é",
            "2",
            "2{}",
            "2[]",
            "2[",
            r#"2["connect"]"#,
            r#"2[ "disconnecting"]"#,
            "2[null]",
            "2[[1]]",
            "2[true]",
            r#"2abc["a"]"#,
            r#"2["a"]x"#,
            "0[]",
            "0\"x\"",
            "01",
            "1{}",
            "15",
            "3[]",
            "3",
            "31{}",
            "31",
            "4",
            r#"5["a"]"#,
            r#"5-["a"]"#,
            r#"511-["a"]"#,
            r#"51["a"]"#,
            r#"599999999999999999999999-["a"]"#,
            r#"299999999999999999999999["a"]"#,
            "6[]",
            "60-[]",
            r#"2["connect","#,
            "2[-",
            "2[nope]",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read(&format!("0/{}", "n".repeat(300))), None, "a long namespace");
    }

    #[test]
    fn deep_json_is_read_without_depth() {
        let deep = format!("2[\"a\",{}{}]", "[".repeat(60_000), "]".repeat(60_000));
        assert!(decode(&deep).is_ok());
        assert!(decode(&deep[..70_000]).is_err());
    }

    #[test]
    fn heads_are_what_the_protocol_says() {
        assert_eq!(head(Kind::Event, 0, ROOT, None), "42");
        assert_eq!(head(Kind::Ack, 0, ROOT, Some(0)), "430");
        assert_eq!(head(Kind::ConnectError, 0, "/custom", None), "44/custom,");
        assert_eq!(head(Kind::BinaryAck, 2, "/custom", Some(7)), "462-/custom,7");
    }
}
