//! What waits for one socket: a queue bounded in bytes, which many rooms fill and one socket task empties.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::task::AtomicWaker;

use super::traces::Mark;
use crate::domain::{Millis, RoomId, UserName};
use crate::protocol::{Goaway, socketio};
use crate::store::Durability;

/// Sampled entries that are followed in one queue at a time.
const MARKS: usize = 64;

/// One socket's queue. Pushing never waits: a reader that falls behind by the limit is marked, its queue dropped, and
/// the socket task closes it.
#[derive(Debug)]
pub struct Mailbox {
    id: u64,
    dialect: Dialect,
    limit: usize,
    named: Mutex<Named>,
    queue: Mutex<Queue>,
    reader: AtomicWaker,
}

/// What a socket's client speaks, and so how pushes are encoded for it.
#[derive(Debug, Clone)]
pub enum Dialect {
    /// The JSON of the native protocol.
    Native,
    /// The tutorial's events.
    Socketio(Arc<socketio::Style>),
}

/// The name that this socket has for the user, and when they took it; 0 before there is one. The order of names is this
/// order: by time, and of one millisecond by the name itself, so that it is the same on every instance. It is the order in
/// which they were taken as far as the machines' clocks agree.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    at: Millis,
    name: String,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Frame>,
    bytes: usize,
    notes: Vec<Note>,
    /// Sampled entries, each with how many frames are written before its own is.
    marks: Vec<(usize, Mark)>,
    overflowed: bool,
    /// Live entries that were dropped with the queue, or came after it.
    overflow: u64,
    drained: Vec<Waker>,
}

/// An encoded event that waits.
#[derive(Debug)]
struct Frame {
    bytes: Bytes,
    live: Option<Live>,
}

/// Entries that wait to be written though their client is live: how late they are is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Live {
    /// When the oldest was stored, by the store's clock.
    pub stored_at: Millis,
    /// How many there are.
    pub entries: u32,
}

/// Something the socket task itself has to know; few and small, so not counted in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The user took another name elsewhere, at that time.
    Renamed(UserName, Millis),
    /// A room has an older name of the user than theirs here.
    Misnamed(RoomId),
    /// The store went away or came back.
    Reachable(bool),
    /// What an acknowledgement means has changed.
    Durability(Durability),
    /// The client must move.
    Goaway(Goaway),
}

/// What a socket task took out of its mailbox.
#[derive(Debug, Default)]
pub struct Taken {
    /// Encoded events, in order.
    pub frames: Vec<Bytes>,
    /// Notes, in order among themselves.
    pub notes: Vec<Note>,
    /// The sampled entries among the frames.
    pub marks: Vec<Mark>,
    /// The live entries among the frames.
    pub live: Option<Live>,
    /// The reader was too slow; nothing else will come.
    pub overflowed: bool,
}

/// Live entries that a socket which ends leaves behind.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Undelivered {
    /// The reader was too slow for them.
    pub overflow: u64,
    /// They wait.
    pub waiting: u64,
    /// Bytes of all that waits, or did when the reader was found too slow.
    pub bytes: usize,
}

impl Taken {
    /// Whether there is nothing to do.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.notes.is_empty() && !self.overflowed
    }
}

impl Mailbox {
    /// An empty mailbox that holds at most `limit` bytes. `id` is the socket's random number.
    #[must_use]
    pub fn new(id: u64, dialect: Dialect, limit: usize) -> Arc<Self> {
        let (queue, reader) = (Mutex::default(), AtomicWaker::new());
        Arc::new(Self { id, dialect, limit, named: Mutex::default(), queue, reader })
    }

    /// The socket's number, unique over all instances.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// What the client speaks.
    #[must_use]
    pub const fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    /// When the user took this name, in milliseconds since the Unix epoch; 0 where the socket knows another one by now, so
    /// that an old name never goes out with the time of a new one.
    #[must_use]
    pub fn named_at(&self, name: &UserName) -> Millis {
        let named = self.named();
        if named.name == name.as_str() { named.at } else { 0 }
    }

    /// They take one here and `now`. Later than all that was heard of, even where this machine's clock is behind.
    pub(super) fn take_name(&self, name: &UserName, now: Millis) -> Millis {
        let mut named = self.named();
        let at = now.max(named.at.saturating_add(1));
        *named = Named { at, name: name.as_str().to_owned() };
        at
    }

    /// They took one elsewhere, which comes from a room's publication where there is a `room`. The later of the two stays,
    /// see [`Named`]; nothing is answered to the name that is known already, so two sockets can't correct each other forever.
    pub(super) fn hear_name(&self, name: &UserName, named_at: Millis, room: Option<&RoomId>) {
        let heard = Named { at: named_at, name: name.as_str().to_owned() };
        let mut named = self.named();
        match (heard.cmp(&named), room) {
            (Ordering::Greater, _) => {
                *named = heard;
                self.note(Note::Renamed(name.clone(), named_at));
            }
            (Ordering::Less, Some(room)) => self.note(Note::Misnamed(room.clone())),
            _ => {}
        }
    }

    /// Adds an encoded event.
    pub fn push(&self, frame: Bytes) {
        self.push_live(frame, None);
    }

    /// The same for one with entries for a client that is live.
    pub fn push_live(&self, frame: Bytes, live: Option<Live>) {
        let mut queue = self.lock();
        if queue.overflowed {
            queue.overflow += entries(live.as_ref());
            return;
        }
        queue.bytes += frame.len();
        if queue.bytes > self.limit {
            queue.overflowed = true;
            queue.overflow = queue.waiting() + entries(live.as_ref());
            queue.frames = VecDeque::new();
            queue.marks = Vec::new();
            queue.wake_drained();
        } else {
            queue.frames.push_back(Frame { bytes: frame, live });
        }
        drop(queue);
        self.reader.wake();
    }

    /// The event that was added last is of a sampled entry, which is followed to the socket. Returns the mark where the
    /// reader was faster and has taken the event.
    #[must_use]
    pub fn mark(&self, mark: Mark) -> Option<Mark> {
        let mut queue = self.lock();
        if queue.overflowed {
            return None;
        }
        match queue.frames.len().checked_sub(1) {
            Some(before) if queue.marks.len() < MARKS => queue.marks.push((before, mark)),
            Some(_) => {}
            None => return Some(mark),
        }
        None
    }

    /// Adds a note.
    pub fn note(&self, note: Note) {
        self.lock().notes.push(note);
        self.reader.wake();
    }

    /// Takes frames of up to `most` bytes (at least one, but none where `most` is 0) and all notes, into `taken`. Pending
    /// while there is nothing.
    pub fn poll_take(&self, cx: &mut Context<'_>, most: usize, taken: &mut Taken) -> Poll<()> {
        if self.take(most, taken) {
            return Poll::Ready(());
        }
        self.reader.register(cx.waker());
        if self.take(most, taken) { Poll::Ready(()) } else { Poll::Pending }
    }

    fn take(&self, most: usize, taken: &mut Taken) -> bool {
        let mut queue = self.lock();
        taken.notes.append(&mut queue.notes);
        taken.overflowed = queue.overflowed;
        let mut bytes = 0;
        while let Some(next) = queue.frames.front() {
            if (!taken.frames.is_empty() || most == 0) && bytes + next.bytes.len() > most {
                break;
            }
            let Some(frame) = queue.frames.pop_front() else { break };
            bytes += frame.bytes.len();
            taken.frames.push(frame.bytes);
            taken.live = Live::both(taken.live, frame.live);
        }
        queue.bytes = queue.bytes.saturating_sub(bytes);
        queue.take_marks(taken);
        if bytes > 0 {
            queue.wake_drained();
        }
        drop(queue);
        !taken.is_empty()
    }

    /// Ready once at most `level` bytes wait (or the reader was too slow): how a long resume is paced to its socket.
    pub fn poll_drained(&self, cx: &mut Context<'_>, level: usize) -> Poll<()> {
        let mut queue = self.lock();
        if queue.overflowed || queue.bytes <= level {
            return Poll::Ready(());
        }
        queue.drained.push(cx.waker().clone());
        Poll::Pending
    }

    /// The socket has ended and left its rooms: takes what it was live for and never gets.
    pub fn take_undelivered(&self) -> Undelivered {
        let mut queue = self.lock();
        let waiting = queue.waiting();
        queue.frames.clear();
        queue.marks.clear();
        Undelivered { overflow: std::mem::take(&mut queue.overflow), waiting, bytes: std::mem::take(&mut queue.bytes) }
    }

    /// Bytes that wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn named(&self) -> MutexGuard<'_, Named> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Takes the marks of the frames that were taken.
    fn take_marks(&mut self, Taken { frames, marks, .. }: &mut Taken) {
        if self.marks.is_empty() {
            return;
        }
        self.marks.retain_mut(|(before, mark)| match before.checked_sub(frames.len()) {
            Some(left) => {
                *before = left;
                true
            }
            None => {
                marks.push(*mark);
                false
            }
        });
    }

    /// Live entries that wait.
    fn waiting(&self) -> u64 {
        self.frames.iter().map(|frame| entries(frame.live.as_ref())).sum()
    }

    fn wake_drained(&mut self) {
        self.drained.drain(..).for_each(Waker::wake);
    }
}

impl Live {
    /// Those of two events that are written together.
    fn both(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        let (Some(a), Some(b)) = (one, other) else { return one.or(other) };
        // What came first was stored first, but rooms differ.
        Some(Self { stored_at: a.stored_at.min(b.stored_at), entries: a.entries.saturating_add(b.entries) })
    }
}

fn entries(live: Option<&Live>) -> u64 {
    live.map_or(0, |live| u64::from(live.entries))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test fails by panicking

    use super::*;

    fn name(name: &str) -> UserName {
        UserName::parse(name, 64).unwrap()
    }

    #[test]
    fn live_entries_that_never_go_out_are_counted_by_whether_they_still_wait() {
        let mailbox = Mailbox::new(1, Dialect::Native, 100);
        let push = |bytes, entries| {
            mailbox.push_live(Bytes::from(vec![0; bytes]), Some(Live { stored_at: 1, entries }));
        };
        let mut taken = Taken::default();
        push(10, 3);
        push(10, 1);
        push(70, 2);
        mailbox.take(20, &mut taken);
        assert_eq!(taken.live, Some(Live { stored_at: 1, entries: 4 }), "those of this turn, whatever is behind them");
        assert_eq!(mailbox.take_undelivered(), Undelivered { overflow: 0, waiting: 2, bytes: 70 });
        push(10, 4);
        mailbox.push(Bytes::from_static(b"a reply"));
        assert_eq!(mailbox.take_undelivered(), Undelivered { overflow: 0, waiting: 4, bytes: 17 });
        push(10, 5);
        push(100, 6);
        push(1, 7);
        assert_eq!(mailbox.take_undelivered(), Undelivered { overflow: 5 + 6 + 7, waiting: 0, bytes: 110 });
        assert_eq!(mailbox.take_undelivered(), Undelivered::default(), "once");
    }

    #[test]
    fn entries_that_are_written_together_are_as_late_as_the_oldest() {
        let mailbox = Mailbox::new(1, Dialect::Native, 100);
        let mut taken = Taken::default();
        for (stored_at, entries) in [(7, 1), (5, 2), (6, 1)] {
            mailbox.push_live(Bytes::from_static(b"entries"), Some(Live { stored_at, entries }));
            mailbox.push(Bytes::from_static(b"a reply"));
        }
        mailbox.take(100, &mut taken);
        assert_eq!((taken.frames.len(), taken.live), (6, Some(Live { stored_at: 5, entries: 4 })));
    }

    #[test]
    fn of_names_taken_in_one_millisecond_the_same_one_stays_everywhere_and_nothing_is_said_twice() {
        let room = RoomId::parse("r", 128).unwrap();
        let [a, b] = [1, 2].map(|id| Mailbox::new(id, Dialect::Native, 1_024));
        a.take_name(&name("A"), 7);
        b.take_name(&name("B"), 7);
        for _ in 0..2 {
            a.hear_name(&name("B"), 7, Some(&room));
            b.hear_name(&name("B"), 7, Some(&room));
        }
        b.hear_name(&name("A"), 7, Some(&room));
        let mut heard = [&a, &b].map(|mailbox| {
            let mut taken = Taken::default();
            mailbox.take(0, &mut taken);
            taken.notes
        });
        assert_eq!(heard[0].pop(), Some(Note::Renamed(name("B"), 7)));
        assert_eq!(heard[1].pop(), Some(Note::Misnamed(room)));
        assert!(heard.iter().all(Vec::is_empty));
    }
}
