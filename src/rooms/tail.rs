//! The newest entries of a room as this instance delivered them, and the two decisions that are made by them: what to
//! do with an entry that arrives, and what a client at some position still needs. Pure: no I/O, no clock, no locks.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::domain::{Body, Entry, Position, Withdrawal};

/// Where this instance is in a room's log, and the last entries before that, contiguous up to the position.
#[derive(Debug, Clone)]
pub struct Tail {
    position: Position,
    entries: VecDeque<Arc<Entry>>,
    capacity: usize,
}

/// What there is to do beside delivering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// Nothing.
    None,
    /// An entry claims an offset that was delivered, and isn't known to be the same: check the room, it may be a new log.
    Suspect,
    /// An entry doesn't follow: others are missing before it, or the log is another one. Read what is missing.
    Gap,
}

enum Arrival {
    Follows,
    Repeat,
    Suspect,
    Gap,
}

/// What a client at some position needs to be live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Splice {
    /// These entries, perhaps none; then it is where the room is.
    Live(Vec<Arc<Entry>>),
    /// The tail doesn't reach back to it: read the log from there.
    Behind,
    /// The room and the reading contradict each other: bring the room up to date, then read again.
    Disagree,
}

impl Splice {
    /// Whether entries follow; `None` where it can't be known before the room is up to date.
    #[must_use]
    pub const fn has_more(&self) -> Option<bool> {
        match self {
            Self::Live(rest) => Some(!rest.is_empty()),
            Self::Behind => Some(true),
            Self::Disagree => None,
        }
    }
}

impl Tail {
    /// A tail at a position, with the entries that lead up to it; at most `capacity` are remembered.
    #[must_use]
    pub fn new(capacity: usize, position: Position, entries: Vec<Arc<Entry>>) -> Self {
        let mut tail = Self { position, entries: entries.into(), capacity: capacity.max(1) };
        tail.trim();
        tail
    }

    /// Starts again from what was read: another log, or one whose middle is gone.
    pub fn restart(&mut self, position: Position, entries: Vec<Arc<Entry>>) {
        self.position = position;
        self.entries = entries.into();
        self.trim();
    }

    /// The last entry that was delivered.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// Takes entries in, in the order they come, from a publication or a reading: says which of them are new and follow,
    /// to be delivered in this order, and what else has to be done.
    pub fn take(&mut self, entries: impl IntoIterator<Item = Arc<Entry>>) -> (Vec<Arc<Entry>>, Doubt) {
        let mut deliver = Vec::new();
        let mut doubt = Doubt::None;
        for entry in entries {
            match self.arrive(&entry) {
                Arrival::Follows => {
                    self.push(Arc::clone(&entry));
                    deliver.push(entry);
                }
                Arrival::Repeat => {}
                Arrival::Suspect => doubt = doubt.max(Doubt::Suspect),
                Arrival::Gap => doubt = Doubt::Gap,
            }
        }
        (deliver, doubt)
    }

    fn arrive(&self, entry: &Entry) -> Arrival {
        if entry.offset == self.position.offset + 1 {
            // Entry 1 follows the position before any log, whatever its start chain.
            if self.position.offset == 0 || entry.prev == self.position.chain { Arrival::Follows } else { Arrival::Gap }
        } else if entry.offset > self.position.offset {
            Arrival::Gap
        } else if self.at(entry.offset).is_some_and(|known| known.chain == entry.chain) {
            Arrival::Repeat
        } else {
            Arrival::Suspect
        }
    }

    /// Appends the entry that follows. Texts that it withdraws are withdrawn here too.
    fn push(&mut self, entry: Arc<Entry>) {
        match entry.body {
            Body::Edited { target, .. } => self.withdraw(target, Withdrawal::Edited),
            Body::Deleted { target } => self.withdraw(target, Withdrawal::Deleted),
            Body::Message { .. } | Body::Reacted { .. } => {}
        }
        self.position = entry.position();
        self.entries.push_back(entry);
        self.trim();
    }

    /// What a client that has everything up to `from` needs to be live, where the reading that brought it there saw the
    /// log end at `top`.
    #[must_use]
    pub fn splice(&self, from: Position, top: Position) -> Splice {
        if from.offset >= self.position.offset {
            return if from == self.position { Splice::Live(Vec::new()) } else { Splice::Disagree };
        }
        // Where the tail doesn't have what the reading saw as the end, the log is ahead or another one, and may have
        // withdrawn texts that the tail still has.
        let has_top = top.offset <= from.offset || self.at(top.offset).is_some_and(|entry| entry.chain == top.chain);
        match self.index(from.offset + 1) {
            Some(index) if has_top && (from.offset == 0 || self.entries[index].prev == from.chain) => {
                Splice::Live(self.entries.range(index..).cloned().collect())
            }
            Some(_) => Splice::Disagree,
            // There is nothing to read up to the tail: the log may have been lost while the room stands where it was.
            None if from == top => Splice::Disagree,
            None => Splice::Behind,
        }
    }

    /// Whether an entry is remembered.
    #[must_use]
    pub fn has(&self, entry: &Entry) -> bool {
        self.at(entry.offset).is_some_and(|known| known.chain == entry.chain)
    }

    fn at(&self, offset: u64) -> Option<&Arc<Entry>> {
        self.index(offset).map(|index| &self.entries[index])
    }

    fn index(&self, offset: u64) -> Option<usize> {
        let first = self.entries.front()?.offset;
        let index = usize::try_from(offset.checked_sub(first)?).ok()?;
        (index < self.entries.len()).then_some(index)
    }

    /// Withdraws every text of a message: its own and those of its edits. Rare, and the tail is short.
    fn withdraw(&mut self, message: u64, why: Withdrawal) {
        for entry in &mut self.entries {
            let edit = matches!(entry.body, Body::Edited { target, .. } if target == message);
            if edit || (entry.offset == message && matches!(entry.body, Body::Message { .. })) {
                *entry = Arc::new(entry.withdrawn(why));
            }
        }
    }

    fn trim(&mut self) {
        while self.entries.len() > self.capacity {
            self.entries.pop_front();
        }
    }
}
