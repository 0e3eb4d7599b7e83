//! What rooms put into mailboxes, encoded once per protocol however many mailboxes get it.

use std::sync::Arc;

use bytes::Bytes;

use super::mailbox::{Dialect, Live, Mailbox};
use super::roster::Told;
use crate::domain::{Entry, RoomId, User};
use crate::protocol::socketio::event::Edits;
use crate::protocol::socketio::{self, Style};
use crate::protocol::{Event, native};

/// Native events are joined into frames of up to this many bytes.
const FRAME_BYTES: usize = 16 * 1024;

/// Something to push.
pub trait Encode {
    /// As frames of the native protocol.
    fn native(&self) -> Vec<Bytes>;

    /// As frames of Socket.IO packets; none where it means nothing to these clients.
    fn socketio(&self, style: &Style) -> Vec<Bytes>;
}

/// Something on its way to many mailboxes.
pub struct Push<'a, T> {
    what: &'a T,
    native: Option<Vec<Bytes>>,
    socketio: Option<Vec<Bytes>>,
    live: Option<Live>,
}

impl<'a, T: Encode> Push<'a, T> {
    /// Not encoded yet.
    pub const fn new(what: &'a T) -> Self {
        Self { what, native: None, socketio: None, live: None }
    }

    /// The same for entries to clients that are live.
    pub const fn live(what: &'a T, live: Option<Live>) -> Self {
        Self { what, native: None, socketio: None, live }
    }

    /// Pushes it into one more mailbox. All Socket.IO clients of an instance have one style.
    pub fn to(&mut self, mailbox: &Mailbox) {
        let frames = match mailbox.dialect() {
            Dialect::Native => self.native.get_or_insert_with(|| self.what.native()),
            Dialect::Socketio(style) => self.socketio.get_or_insert_with(|| self.what.socketio(style)),
        };
        let Some((last, before)) = frames.split_last() else { return };
        for frame in before {
            mailbox.push(frame.clone());
        }
        mailbox.push_live(last.clone(), self.live);
    }
}

/// Entries of a room, in order.
pub struct Entries<'a> {
    /// Whose.
    pub room: &'a RoomId,
    /// Which.
    pub entries: &'a [Arc<Entry>],
}

impl Encode for Entries<'_> {
    fn native(&self) -> Vec<Bytes> {
        let mut full: Vec<Bytes> = Vec::new();
        let mut open = Vec::new();
        for entry in self.entries {
            if open.len() >= FRAME_BYTES {
                full.push(std::mem::take(&mut open).into());
            }
            if !open.is_empty() {
                open.push(b'\n');
            }
            native::encode(&Event::Entry { room: self.room.clone(), entry: Arc::clone(entry) }, &mut open);
        }
        if !open.is_empty() {
            full.push(open.into());
        }
        full
    }

    fn socketio(&self, style: &Style) -> Vec<Bytes> {
        socketio::event::messages(self.room, self.entries, &Edits::new(), style)
    }
}

/// Who came and who went.
pub struct Presence<'a> {
    /// In which room.
    pub room: &'a RoomId,
    /// The changes.
    pub told: &'a Told,
    /// All members, where a large room has become small.
    pub members: Option<Vec<User>>,
    /// How many there are.
    pub member_count: u64,
}

impl Encode for Presence<'_> {
    fn native(&self) -> Vec<Bytes> {
        let Told { joined, renamed, left } = self.told;
        let mut joined: Vec<User> = joined.iter().chain(renamed).cloned().collect();
        joined.sort_by(|one, other| one.id.cmp(&other.id));
        let (room, members, member_count) = (self.room.clone(), self.members.clone(), self.member_count);
        vec![frame(&Event::Presence { room, joined, left: left.clone(), members, member_count })]
    }

    fn socketio(&self, _: &Style) -> Vec<Bytes> {
        socketio::event::notifications(&self.told.joined, &self.told.left)
    }
}

/// A log that doesn't continue, with what is new of it.
pub struct NewStart<'a> {
    /// What native clients are told.
    pub event: Event,
    /// The entries that nobody here has seen. Other clients go on with them.
    pub unseen: Entries<'a>,
}

impl Encode for NewStart<'_> {
    fn native(&self) -> Vec<Bytes> {
        vec![frame(&self.event)]
    }

    fn socketio(&self, style: &Style) -> Vec<Bytes> {
        self.unseen.socketio(style)
    }
}

/// What only native clients are told.
impl Encode for Event {
    fn native(&self) -> Vec<Bytes> {
        vec![frame(self)]
    }

    fn socketio(&self, _: &Style) -> Vec<Bytes> {
        Vec::new()
    }
}

/// Encodes one native event.
pub fn frame(event: &Event) -> Bytes {
    let mut out = Vec::with_capacity(256);
    native::encode(event, &mut out);
    out.into()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Counts how often it is encoded.
    #[derive(Default)]
    struct Counted {
        native: Cell<usize>,
        socketio: Cell<usize>,
    }

    impl Encode for Counted {
        fn native(&self) -> Vec<Bytes> {
            self.native.set(self.native.get() + 1);
            vec![Bytes::from_static(b"{}")]
        }

        fn socketio(&self, _: &Style) -> Vec<Bytes> {
            self.socketio.set(self.socketio.get() + 1);
            Vec::new()
        }
    }

    #[test]
    fn a_push_is_encoded_once_for_each_protocol_that_somebody_speaks() {
        let style = Arc::new(Style { seal: None, extra_fields: false });
        let [native, socketio] = [Dialect::Native, Dialect::Socketio(style)];
        let what = Counted::default();
        let mut push = Push::new(&what);
        for _ in 0..3 {
            push.to(&Mailbox::new(1, native.clone(), 1_000));
        }
        assert_eq!((what.native.get(), what.socketio.get()), (1, 0));
        for _ in 0..3 {
            push.to(&Mailbox::new(2, socketio.clone(), 1_000));
        }
        assert_eq!((what.native.get(), what.socketio.get()), (1, 1));
    }
}
