//! The keys of a log's entries: what makes a retry harmless.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState};

use crate::domain::{Body, Draft, Entry, Key, Millis, Position, Text, UserId};

/// Bytes of memory that a key takes beside its text: the record in a map that may be half empty, and its place in the
/// queue of those to forget.
const KEY_BYTES: usize = 200;

/// The entries of the last key window, by user and key.
#[derive(Debug, Default)]
pub struct Keys {
    records: HashMap<(UserId, Key), Record>,
    /// Contents are compared by a keyed hash, so that a deleted text doesn't live on here.
    hasher: RandomState,
    text_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    position: Position,
    at: Millis,
    content: u64,
}

/// What a key says about a draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It was stored before: here, then.
    Duplicate(Position, Millis),
    /// The key stands for something else, stored here.
    Conflict(Position),
}

impl Keys {
    /// What the key of a draft says, if it was used within the window.
    pub fn find(&self, draft: &Draft, now: Millis, window_ms: Millis) -> Option<Known> {
        let record = self.records.get(&(draft.user.id.clone(), draft.key.clone()))?;
        if record.is_over(now, window_ms) {
            return None;
        }
        Some(if record.content == self.content(&draft.body) {
            Known::Duplicate(record.position, record.at)
        } else {
            Known::Conflict(record.position)
        })
    }

    /// Remembers a new entry.
    pub fn remember(&mut self, entry: &Entry) {
        let record = Record { position: entry.position(), at: entry.at, content: self.content(&entry.body) };
        if self.records.insert((entry.user.id.clone(), entry.key.clone()), record).is_none() {
            self.text_bytes += entry.key.as_str().len();
        }
    }

    /// Forgets a key whose window is over.
    pub fn forget(&mut self, user: &UserId, key: &Key, now: Millis, window_ms: Millis) {
        let record = (user.clone(), key.clone());
        if self.records.get(&record).is_some_and(|record| record.is_over(now, window_ms)) {
            self.records.remove(&record);
            self.text_bytes -= key.as_str().len();
            if self.records.is_empty() {
                self.records = HashMap::new();
            }
        }
    }

    /// Bytes of memory they take.
    pub fn bytes(&self) -> usize {
        self.records.len() * KEY_BYTES + self.text_bytes
    }

    /// Bytes of memory that one more takes.
    pub fn bytes_of(key: &Key) -> usize {
        KEY_BYTES + key.as_str().len()
    }

    fn content(&self, body: &Body) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        body.kind().hash(&mut hasher);
        body.target().hash(&mut hasher);
        match body.text() {
            Some(Text::Kept(text)) => text.hash(&mut hasher),
            Some(Text::Withdrawn(sha, _)) => sha.hash(&mut hasher),
            None => {}
        }
        match body {
            Body::Message { reply_to, .. } => reply_to.hash(&mut hasher),
            Body::Reacted { emoji, on, .. } => (emoji, on).hash(&mut hasher),
            Body::Edited { .. } | Body::Deleted { .. } => {}
        }
        hasher.finish()
    }
}

impl Record {
    const fn is_over(&self, now: Millis, window_ms: Millis) -> bool {
        now.saturating_sub(self.at) >= window_ms
    }
}
