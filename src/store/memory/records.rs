//! Records that are kept for a time; see [`Store::keep`](crate::store::Store::keep).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::domain::Millis;
use crate::store::RecordId;

/// Bytes of memory that a record takes beside its content: its place in a map that may be half empty, and in the queue
/// of those to forget.
const FLAT_BYTES: usize = 160;

/// All records.
#[derive(Debug, Default)]
pub struct Records {
    kept: HashMap<RecordId, Kept>,
    /// Each record once, by the end of its time when it was put here; it may have been renewed since.
    ends: BinaryHeap<Reverse<(Millis, RecordId)>>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    content: Vec<u8>,
    until: Millis,
}

impl Records {
    /// Bytes of memory that a record of this length takes.
    pub const fn bytes_of(content: &[u8]) -> usize {
        FLAT_BYTES + content.len()
    }

    /// Bytes of memory that all of them take.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a record in place of the one before.
    pub fn keep(&mut self, id: RecordId, content: Vec<u8>, until: Millis) {
        self.bytes += Self::bytes_of(&content);
        match self.kept.insert(id, Kept { content, until }) {
            Some(before) => self.bytes -= Self::bytes_of(&before.content),
            None => self.ends.push(Reverse((until, id))),
        }
    }

    /// A record whose time isn't over.
    pub fn get(&self, id: RecordId, now: Millis) -> Option<&[u8]> {
        self.kept.get(&id).filter(|kept| kept.until > now).map(|kept| &kept.content[..])
    }

    /// Forgets a record whose time is over. Returns whether there may be another one.
    pub fn forget_one(&mut self, now: Millis) -> bool {
        if self.ends.peek().is_none_or(|Reverse((at, _))| *at > now) {
            return false;
        }
        let Some(Reverse((_, id))) = self.ends.pop() else { return false };
        match self.kept.get(&id).map(|kept| kept.until) {
            Some(until) if until > now => self.ends.push(Reverse((until, id))),
            _ => {
                if let Some(kept) = self.kept.remove(&id) {
                    self.bytes -= Self::bytes_of(&kept.content);
                }
            }
        }
        true
    }
}
