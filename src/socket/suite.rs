//! The applications that the test suites of the Engine.IO and Socket.IO protocols expect of a server, over the codec and
//! the transports of the chat. Only where the feature `conformance` is on.

use std::collections::HashSet;
use std::sync::Arc;
use std::task::Context;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::carrier::Carrier;
use super::client::Client;
use super::link::Incoming;
use super::socketio::new_sid;
use super::{App, Hub};
use crate::domain::Millis;
use crate::metrics::labels::Protocol;
use crate::protocol::engineio::{self, Open, Packet, SEPARATOR};
use crate::protocol::socketio::event;
use crate::protocol::socketio::packet::{self, AckId, Content, Kind, ROOT, head};
use crate::protocol::{Close, Malformed};
use crate::rooms::{Mailbox, Note};

/// What the suites ask for.
const PING_INTERVAL_MS: Millis = 300;
const PING_TIMEOUT_MS: Millis = 200;
/// So much before it is due a missing pong is judged: the suite asks for the session in the very millisecond, and the
/// request must not overtake the timer.
const JUDGED_EARLIER_MS: Millis = 25;
const CONNECT_TIMEOUT_MS: Millis = 1_000;
/// Longest packet, in bytes.
pub const MAX_PAYLOAD: usize = 1_000_000;

/// The namespace that there is beside the root.
const CUSTOM: &str = "/custom";

/// One client.
pub struct Suite {
    hub: Arc<Hub>,
    mailbox: Arc<Mailbox>,
    /// Whether messages are echoed as they are, or are Socket.IO. An echo of a text with Engine.IO's separator in it comes
    /// back as several packets, as a mailbox joins packets by it: over HTTP nobody could tell the two apart either.
    echoes: bool,
    namespaces: HashSet<String>,
    unfinished: Option<Event>,
    connect_by: Option<Millis>,
    ping_at: Millis,
    pong_by: Option<Millis>,
    closing: Option<(Close, Option<Millis>)>,
}

/// An event, and the attachments of it that have come.
struct Event {
    namespace: String,
    id: Option<AckId>,
    args: Box<RawValue>,
    expected: usize,
    attachments: Vec<Bytes>,
}

impl Suite {
    /// A client whose transport has just been opened: it is told so first.
    pub fn new(hub: Arc<Hub>, mailbox: Arc<Mailbox>, app: App, sid: &str, may_upgrade: bool, now: Millis) -> Self {
        let open = Open {
            sid,
            may_upgrade,
            ping_interval: PING_INTERVAL_MS,
            ping_timeout: PING_TIMEOUT_MS,
            max_payload: MAX_PAYLOAD,
        };
        mailbox.push(open.encode().into());
        let echoes = app == App::Echo;
        Self {
            hub,
            mailbox,
            echoes,
            namespaces: HashSet::new(),
            unfinished: None,
            connect_by: (!echoes).then_some(now + CONNECT_TIMEOUT_MS),
            ping_at: now + PING_INTERVAL_MS,
            pong_by: None,
            closing: None,
        }
    }

    fn receive_text(&mut self, text: &str) -> Result<(), Malformed> {
        match engineio::decode(text)? {
            Packet::Close => self.closing = Some((Close::Normal, None)),
            Packet::Pong => self.pong_by = None,
            Packet::Message(message) if self.echoes => self.mailbox.push(format!("4{message}").into()),
            Packet::Message(_) if self.unfinished.is_some() => return Err(Malformed("an attachment is missing")),
            Packet::Message(message) => self.receive_packet(message)?,
            Packet::Ping(_) => return Err(Malformed("servers send pings")),
            Packet::Upgrade | Packet::Noop => {}
        }
        Ok(())
    }

    fn receive_binary(&mut self, bytes: &Bytes) -> Result<(), Malformed> {
        if self.echoes {
            self.mailbox.push(engineio::binary(bytes).into());
            return Ok(());
        }
        let event = self.unfinished.as_mut().ok_or(Malformed("an attachment of nothing"))?;
        event.attachments.push(bytes.clone());
        if event.attachments.len() == event.expected
            && let Some(event) = self.unfinished.take()
        {
            self.answer(&event)?;
        }
        Ok(())
    }

    fn receive_packet(&mut self, text: &str) -> Result<(), Malformed> {
        let packet = packet::decode(text)?;
        let namespace = packet.namespace;
        let connected = self.namespaces.contains(namespace);
        match packet.content {
            Content::Connect(_) if connected => Err(Malformed("a namespace that is connected")),
            Content::Connect(auth) if namespace == ROOT || namespace == CUSTOM => {
                self.connect_by = None;
                self.namespaces.insert(namespace.to_owned());
                let connected = format!(r#"{}{{"sid":"{}"}}"#, head(Kind::Connect, 0, namespace, None), new_sid());
                self.mailbox.push(connected.into());
                let auth = auth.map_or("{}", RawValue::get);
                self.mailbox.push(format!(r#"{}["auth",{auth}]"#, head(Kind::Event, 0, namespace, None)).into());
                Ok(())
            }
            Content::Connect(_) => {
                self.mailbox.push(event::no_namespace(namespace));
                Ok(())
            }
            _ if !connected => Err(Malformed("a namespace that isn't connected")),
            Content::Disconnect => {
                self.namespaces.remove(namespace);
                Ok(())
            }
            Content::Event { id, args } => {
                let namespace = namespace.to_owned();
                let event = Event {
                    namespace,
                    id,
                    args: args.to_owned(),
                    expected: packet.attachments,
                    attachments: Vec::new(),
                };
                if event.expected == 0 {
                    return self.answer(&event);
                }
                self.unfinished = Some(event);
                Ok(())
            }
            Content::Ack { .. } => Ok(()),
            Content::ConnectError => Err(Malformed("a packet that only servers send")),
        }
    }

    fn answer(&self, event: &Event) -> Result<(), Malformed> {
        let args: Vec<&RawValue> = serde_json::from_str(event.args.get()).map_err(|_| Malformed("no event"))?;
        let Some((name, rest)) = args.split_first() else { return Err(Malformed("no event")) };
        let binary = event.expected > 0;
        let mut values: Vec<&str> = rest.iter().map(|value| value.get()).collect();
        let (kind, id) = match (name.get(), event.id) {
            (r#""message""#, _) => {
                values.insert(0, r#""message-back""#);
                (if binary { Kind::BinaryEvent } else { Kind::Event }, None)
            }
            (r#""message-with-ack""#, Some(id)) => (if binary { Kind::BinaryAck } else { Kind::Ack }, Some(id)),
            _ => return Ok(()),
        };
        let mut frame = head(kind, event.expected, &event.namespace, id);
        frame.push_str(&format!("[{}]", values.join(",")));
        for attachment in &event.attachments {
            frame.push(SEPARATOR as char);
            frame.push_str(&engineio::binary(attachment));
        }
        self.mailbox.push(frame.into());
        Ok(())
    }
}

impl Client for Suite {
    type Link = Carrier;

    const PROTOCOL: Protocol = Protocol::Socketio;

    fn is_signed_in(&self) -> bool {
        false
    }

    fn receive(&mut self, message: &Incoming, _now: Millis) {
        let received = match message {
            Incoming::Text(text) => self.receive_text(text),
            Incoming::Binary(bytes) => self.receive_binary(bytes),
            Incoming::Control | Incoming::Close => Ok(()),
        };
        if received.is_err() {
            self.closing = Some((Close::Protocol, None));
        }
    }

    fn is_full(&self) -> bool {
        false
    }

    fn take_outcomes(&mut self, _cx: &mut Context<'_>) -> bool {
        false
    }

    fn is_unheard(&self) -> bool {
        false
    }

    fn take_note(&mut self, note: Note, _now: Millis) {
        if matches!(note, Note::Goaway(_)) {
            self.closing = Some((Close::Drain, None));
        }
    }

    fn due(&self) -> Millis {
        let earliest = self.connect_by.into_iter().chain(self.pong_by).min();
        earliest.map_or(self.ping_at, |at| at.min(self.ping_at))
    }

    fn tick(&mut self, now: Millis) {
        let due = |at: Option<Millis>| at.is_some_and(|at| at <= now);
        if due(self.connect_by) {
            self.closing = Some((Close::NoHello, None));
        } else if due(self.pong_by) {
            self.closing = Some((Close::Heartbeat, None));
        } else if self.ping_at <= now {
            self.mailbox.push(Bytes::from_static(engineio::PING.as_bytes()));
            // From when the ping was due, not from now: the suite counts from the beginning of the session.
            self.pong_by.get_or_insert(self.ping_at + PING_TIMEOUT_MS - JUDGED_EARLIER_MS);
            self.ping_at = now + PING_INTERVAL_MS;
        }
    }

    fn closing(&self) -> Option<(Close, Option<Millis>)> {
        self.closing
    }

    fn depart(&mut self) {
        self.hub.rooms.disconnect(&self.mailbox, None);
    }
}
