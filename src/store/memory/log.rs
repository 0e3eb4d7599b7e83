//! One room's log: entries, the limits of its history, texts that were withdrawn.
//!
//! It knows no keys, no rates and no clock.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::domain::{Body, Chain, Draft, Entry, Kind, Limits, Millis, Position, Since, UserId, Withdrawal};
use crate::store::{After, Page, PageSize, Refusal, Reset, cost, cost_of};

/// Bytes of memory that an entry takes beyond what [`cost`] counts: its slot, the reference counts and the allocator's
/// rounding of its three allocations.
const ENTRY_OVERHEAD: usize = 32;

/// Bytes of memory for the state of a message that was edited or deleted.
const STATE_BYTES: usize = 56;

/// A room's entries, oldest first, without a hole.
#[derive(Debug)]
pub struct Log {
    /// The chain before entry 1.
    start: Chain,
    entries: VecDeque<Arc<Entry>>,
    /// Sum of [`cost`] over the entries.
    cost: usize,
    top: Position,
    /// Time of the newest entry.
    at: Millis,
    /// Messages that were edited or deleted, by offset; each ends with its message.
    states: HashMap<u64, State>,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its text now is that of the edit at this offset.
    Edited(u64),
    Deleted,
}

impl Log {
    /// A log without entries, which will start from this chain.
    pub fn new(start: Chain) -> Self {
        Self { start, entries: VecDeque::new(), cost: 0, top: Position::ZERO, at: 0, states: HashMap::new() }
    }

    /// Where the log stands.
    pub const fn top(&self) -> Position {
        self.top
    }

    /// Nothing was ever appended.
    pub const fn is_empty(&self) -> bool {
        self.top.offset == 0
    }

    /// Time of the newest entry.
    pub const fn at(&self) -> Millis {
        self.at
    }

    /// Bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        self.cost + ENTRY_OVERHEAD * self.entries.len() + STATE_BYTES * self.states.len()
    }

    /// Bytes of memory that one more entry takes.
    pub fn bytes_of(draft: &Draft) -> usize {
        cost_of(&draft.user, &draft.key, &draft.body) + ENTRY_OVERHEAD + STATE_BYTES
    }

    /// Whether an edit, a deletion or a reaction by this user has a target. Bodies without one always pass.
    pub fn check_target(&self, body: &Body, user: &UserId) -> Result<(), Refusal> {
        let Some(target) = body.target() else { return Ok(()) };
        let message = self.get(target).filter(|entry| entry.body.kind() == Kind::Message).ok_or(Refusal::NotFound)?;
        if self.states.get(&target) == Some(&State::Deleted) {
            return Err(Refusal::NotFound);
        }
        let may = body.kind() == Kind::Reacted || message.user.id == *user;
        if may { Ok(()) } else { Err(Refusal::Forbidden) }
    }

    /// Numbers a draft whose target was checked and keeps it, then drops the oldest entries beyond the limits.
    pub fn append(&mut self, draft: Draft, now: Millis, limits: &Limits) -> Arc<Entry> {
        let prev = if self.is_empty() { self.start } else { self.top.chain };
        self.at = self.at.max(now);
        let entry = Arc::new(Entry::number(draft, self.top.offset, prev, self.at));
        match entry.body {
            Body::Edited { target, .. } => self.withdraw(target, State::Edited(entry.offset)),
            Body::Deleted { target } => self.withdraw(target, State::Deleted),
            Body::Message { .. } | Body::Reacted { .. } => {}
        }
        self.top = entry.position();
        self.cost += cost(&entry);
        self.entries.push_back(Arc::clone(&entry));
        self.trim(limits);
        entry
    }

    /// The entries after a position, or why the log doesn't continue from it.
    pub fn read_after(&self, since: Since, page: PageSize, newest: PageSize) -> After {
        match self.continues_from(since) {
            Ok(()) => {
                let first = self.index(since.offset + 1).unwrap_or(0).min(self.entries.len());
                After::Continued(self.page(fit(self.entries.range(first..), page)))
            }
            Err(reset) => After::Reset(reset, self.read_before(None, newest)),
        }
    }

    /// The newest entries before an offset, or of all.
    pub fn read_before(&self, before: Option<u64>, page: PageSize) -> Page {
        let end = before.map_or(self.entries.len(), |before| self.index(before).unwrap_or(0).min(self.entries.len()));
        let mut entries = fit(self.entries.range(..end).rev(), page);
        entries.reverse();
        self.page(entries)
    }

    fn page(&self, entries: Vec<Arc<Entry>>) -> Page {
        Page { entries, top: self.top, oldest: self.oldest() }
    }

    fn oldest(&self) -> u64 {
        self.entries.front().map_or(0, |entry| entry.offset)
    }

    fn continues_from(&self, since: Since) -> Result<(), Reset> {
        if since.offset > self.top.offset {
            return Err(Reset::Lost);
        }
        if since.offset + 1 < self.oldest() {
            return Err(Reset::Trimmed);
        }
        let chain = match self.get(since.offset) {
            Some(entry) => entry.chain,
            // Before entry 1 there is no log to differ from.
            None if since.offset == 0 => return Ok(()),
            // The entry is trimmed, but the next one was chained to it.
            None => self.entries.front().map_or(self.start, |oldest| oldest.prev),
        };
        if since.chain == Some(chain) { Ok(()) } else { Err(Reset::Diverged) }
    }

    fn get(&self, offset: u64) -> Option<&Arc<Entry>> {
        self.entries.get(self.index(offset)?)
    }

    /// Where an offset is, or would be, among the entries; `None` below the oldest.
    fn index(&self, offset: u64) -> Option<usize> {
        usize::try_from(offset.checked_sub(self.oldest().max(1))?).ok()
    }

    /// Takes the text of a message back, wherever it is now.
    fn withdraw(&mut self, message: u64, state: State) {
        let why = if state == State::Deleted { Withdrawal::Deleted } else { Withdrawal::Edited };
        let before = self.states.insert(message, state);
        if let Some(State::Edited(edit)) = before {
            self.withdraw_at(edit, why);
        }
        // An earlier edit has withdrawn the message's own text; a deletion says so there too.
        if before.is_none() || state == State::Deleted {
            self.withdraw_at(message, why);
        }
    }

    fn withdraw_at(&mut self, offset: u64, why: Withdrawal) {
        let Some(entry) = self.index(offset).and_then(|index| self.entries.get_mut(index)) else { return };
        self.cost -= cost(entry);
        *entry = Arc::new(entry.withdrawn(why));
        self.cost += cost(entry);
    }

    /// Each entry is dropped once, so this is a constant per append; the contract would allow to be lazy about it.
    fn trim(&mut self, limits: &Limits) {
        while self.entries.len() > 1
            && (self.entries.len() as u64 > limits.history_entries || self.cost as u64 > limits.history_bytes)
        {
            if let Some(oldest) = self.entries.pop_front() {
                self.cost -= cost(&oldest);
                self.states.remove(&oldest.offset);
            }
        }
    }
}

/// As many entries as fit into a page, at least one.
fn fit<'a>(entries: impl Iterator<Item = &'a Arc<Entry>>, page: PageSize) -> Vec<Arc<Entry>> {
    let mut bytes = 0;
    let mut fitting = Vec::with_capacity(entries.size_hint().0.min(page.entries));
    for entry in entries.take(page.entries.max(1)) {
        bytes += cost(entry);
        if bytes > page.bytes && !fitting.is_empty() {
            break;
        }
        fitting.push(Arc::clone(entry));
    }
    fitting
}
