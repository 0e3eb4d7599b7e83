//! One room's log in memory: entries, trimming, withdrawn texts, keys of retries.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::domain::{Body, Chain, Draft, Entry, Key, Limits, Millis, Position, Since, User, UserId, Withdrawal};
use crate::store::{After, Page, PageSize, Refusal, Reset, cost};

/// Entries that a trimmed log may keep beyond its limit before it is trimmed: a tenth of the limit, at least this many.
const LAZY_ENTRIES: u64 = 100;

/// The oldest entries that one append removes at most, so that no append pays for many others.
const TRIM_AT_ONCE: usize = 8;

/// Bytes that the record of a key counts for, beside the key itself: the record, two map slots, the queue's slot.
const KEY_COST: usize = 200;

/// A room's entries and what belongs to them.
#[derive(Debug)]
pub struct Log {
    start: Chain,
    entries: VecDeque<Arc<Entry>>,
    entry_bytes: usize,
    position: Position,
    at: Millis,
    /// Where the current text of a message is that was edited or deleted: the offset of its last edit, `None` once it is
    /// deleted. Pruned with the message.
    current: HashMap<u64, Option<u64>>,
    keys: HashMap<(UserId, Key), KeyRecord>,
    keys_by_age: VecDeque<(Millis, UserId, Key)>,
    key_bytes: usize,
}

#[derive(Debug)]
struct KeyRecord {
    position: Position,
    at: Millis,
    body: Arc<Body>,
    written_at: Millis,
}

/// What a key says about a draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It was stored before, here and then.
    Duplicate(Position, Millis),
    /// The key stands for something else.
    Conflict(Position),
}

impl Log {
    /// An empty log with a start chain of its own.
    pub fn new(start: Chain) -> Self {
        Self {
            start,
            entries: VecDeque::new(),
            entry_bytes: 0,
            position: Position::ZERO,
            at: 0,
            current: HashMap::new(),
            keys: HashMap::new(),
            keys_by_age: VecDeque::new(),
            key_bytes: 0,
        }
    }

    /// Where the log stands.
    pub const fn position(&self) -> Position {
        self.position
    }

    /// When the last entry was stored.
    pub const fn written_at(&self) -> Millis {
        self.at
    }

    /// Bytes that the log counts for in the budget.
    pub const fn bytes(&self) -> usize {
        self.entry_bytes + self.key_bytes
    }

    /// The lowest offset kept, 0 for none.
    pub fn oldest(&self) -> u64 {
        self.entries.front().map_or(0, |entry| entry.offset)
    }

    /// What the key of a draft says, within the window.
    pub fn known(&mut self, draft: &Draft, now: Millis, limits: &Limits) -> Option<Known> {
        self.forget_keys(now, limits);
        let record = self.keys.get(&(draft.user.id.clone(), draft.key.clone()))?;
        Some(if *record.body == draft.body {
            Known::Duplicate(record.position, record.at)
        } else {
            Known::Conflict(record.position)
        })
    }

    /// Checks the target of an edit, a deletion or a reaction.
    pub fn check_target(&self, body: &Body, user: &UserId) -> Result<(), Refusal> {
        let Some(target) = body.target() else { return Ok(()) };
        let message = self.at(target).filter(|entry| matches!(entry.body, Body::Message { .. }));
        let message = message.ok_or(Refusal::NotFound)?;
        if self.current.get(&target) == Some(&None) {
            return Err(Refusal::NotFound);
        }
        let own = message.user.id == *user;
        if own || matches!(body, Body::Reacted { .. }) { Ok(()) } else { Err(Refusal::Forbidden) }
    }

    /// Numbers and keeps a draft that was checked, then trims.
    pub fn append(&mut self, draft: Draft, now: Millis, limits: &Limits) -> Arc<Entry> {
        let prev = if self.position.offset == 0 { self.start } else { self.position.chain };
        let at = now.max(self.at);
        let record_body = Arc::new(draft.body.clone());
        let entry = Arc::new(Entry::number(draft, self.position.offset, prev, at));
        match entry.body {
            Body::Edited { target, .. } => {
                self.withdraw(target, Withdrawal::Edited);
                self.current.insert(target, Some(entry.offset));
            }
            Body::Deleted { target } => {
                self.withdraw(target, Withdrawal::Deleted);
                self.current.insert(target, None);
            }
            Body::Message { .. } | Body::Reacted { .. } => {}
        }
        self.at = at;
        self.position = entry.position();
        self.entry_bytes += cost(&entry);
        self.entries.push_back(Arc::clone(&entry));
        self.remember_key(
            &entry.user,
            &entry.key,
            KeyRecord { position: self.position, at, body: record_body, written_at: now },
        );
        self.trim(limits);
        entry
    }

    /// The entries after a position, or why the log doesn't continue from it.
    pub fn read_after(&self, since: Since, page: PageSize, newest: PageSize) -> After {
        match self.continues_from(since) {
            Ok(()) => {
                let first = usize::try_from(since.offset + 1 - self.oldest().max(1)).unwrap_or(usize::MAX);
                let after = self.entries.range(first.min(self.entries.len())..);
                After::Continued(self.page(fit(after, page)))
            }
            Err(reset) => After::Reset(reset, self.read_before(None, newest)),
        }
    }

    /// The newest entries before an offset.
    pub fn read_before(&self, before: Option<u64>, page: PageSize) -> Page {
        let end = match before {
            Some(before) => usize::try_from(before.saturating_sub(self.oldest())).unwrap_or(usize::MAX),
            None => self.entries.len(),
        };
        let mut entries = fit(self.entries.range(..end.min(self.entries.len())).rev(), page);
        entries.reverse();
        self.page(entries)
    }

    fn page(&self, entries: Vec<Arc<Entry>>) -> Page {
        Page { entries, top: self.position, oldest: self.oldest() }
    }

    fn continues_from(&self, since: Since) -> Result<(), Reset> {
        let oldest = self.oldest();
        if since.offset > self.position.offset {
            return Err(Reset::Lost);
        }
        if since.offset == 0 {
            return if oldest <= 1 { Ok(()) } else { Err(Reset::Trimmed) };
        }
        let chain = since.chain.ok_or(Reset::Diverged)?;
        if since.offset + 1 < oldest {
            return Err(Reset::Trimmed);
        }
        let same = match self.at(since.offset) {
            Some(entry) => entry.chain == chain,
            // The boundary: the entry is gone, but the oldest one that is kept proves the chain before it.
            None => self.entries.front().is_some_and(|oldest| oldest.follows_chain(chain)),
        };
        if same { Ok(()) } else { Err(Reset::Diverged) }
    }

    fn at(&self, offset: u64) -> Option<&Arc<Entry>> {
        let index = usize::try_from(offset.checked_sub(self.oldest())?).ok()?;
        self.entries.get(index)
    }

    /// Withdraws the current text of a message, wherever it is; a deletion also marks the message itself.
    fn withdraw(&mut self, message: u64, why: Withdrawal) {
        let current = self.current.get(&message).copied().flatten();
        if let Some(edit) = current {
            self.withdraw_at(edit, why);
        }
        if current.is_none() || why == Withdrawal::Deleted {
            self.withdraw_at(message, why);
        }
    }

    fn withdraw_at(&mut self, offset: u64, why: Withdrawal) {
        let Some(index) = offset.checked_sub(self.oldest()).and_then(|index| usize::try_from(index).ok()) else {
            return;
        };
        if let Some(entry) = self.entries.get_mut(index) {
            self.entry_bytes -= cost(entry);
            *entry = Arc::new(entry.withdrawn(why));
            self.entry_bytes += cost(entry);
        }
    }

    fn trim(&mut self, limits: &Limits) {
        let entries = limits.history_entries + (limits.history_entries / 10).max(LAZY_ENTRIES);
        let bytes = limits.history_bytes + limits.history_bytes / 10;
        let over = |log: &Self, entries: u64, bytes: u64| {
            log.entries.len() > 1 && (log.entries.len() as u64 > entries || log.entry_bytes as u64 > bytes)
        };
        if !over(self, entries, bytes) {
            return;
        }
        for _ in 0..TRIM_AT_ONCE {
            if !over(self, limits.history_entries, limits.history_bytes) {
                return;
            }
            if let Some(oldest) = self.entries.pop_front() {
                self.entry_bytes -= cost(&oldest);
                self.current.remove(&oldest.offset);
            }
        }
    }

    fn remember_key(&mut self, user: &User, key: &Key, record: KeyRecord) {
        self.key_bytes += key_cost(&user.id, key, &record.body);
        self.keys_by_age.push_back((record.written_at, user.id.clone(), key.clone()));
        self.keys.insert((user.id.clone(), key.clone()), record);
    }

    fn forget_keys(&mut self, now: Millis, limits: &Limits) {
        while self.keys_by_age.front().is_some_and(|(at, ..)| now.saturating_sub(*at) >= limits.key_window_ms) {
            let Some((_, user, key)) = self.keys_by_age.pop_front() else { return };
            if let Some(record) = self.keys.remove(&(user.clone(), key.clone())) {
                self.key_bytes -= key_cost(&user, &key, &record.body);
            }
        }
    }
}

/// As many entries as fit, at least one.
fn fit<'a>(entries: impl Iterator<Item = &'a Arc<Entry>>, page: PageSize) -> Vec<Arc<Entry>> {
    let mut fitting = Vec::new();
    let mut bytes = 0;
    for entry in entries.take(page.entries.max(1)) {
        bytes += cost(entry);
        if bytes > page.bytes && !fitting.is_empty() {
            break;
        }
        fitting.push(Arc::clone(entry));
    }
    fitting
}

fn key_cost(user: &UserId, key: &Key, body: &Body) -> usize {
    let text = match body.text() {
        Some(crate::domain::Text::Kept(text)) => text.len(),
        _ => 0,
    };
    KEY_COST + 2 * (user.as_str().len() + key.as_str().len()) + text
}
