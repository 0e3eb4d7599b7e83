//! The merge of publications, readings and positions, against a naive model: whatever is lost, delayed, repeated,
//! trimmed or replaced by another log, every client sees one contiguous log, and in the end all of it.

use std::sync::Arc;

use confab::domain::{Body, Chain, Draft, Entry, Key, Position, Since, Text, User, UserId, UserName, Withdrawal};
use confab::rooms::tail::{Doubt, Splice, Tail};

const PAGE: usize = 5;
const TAIL: usize = 4;

/// What may happen.
#[derive(Debug, Clone)]
pub enum Op {
    Append,
    Edit(usize),
    /// The next publication under way arrives.
    Arrive,
    /// It is lost.
    Lose,
    /// An earlier one arrives once more.
    Repeat(usize),
    Trim(usize),
    /// The log is replaced: a flush, or a failover that lost everything.
    Replace,
    /// The log loses its last entries; their offsets are given out again.
    LoseTail(usize),
    Join(From),
}

/// Where a client joins from.
#[derive(Debug, Clone)]
pub enum From {
    Newest,
    Start,
    /// The position of some entry of this or an earlier log.
    Seen(usize),
    Future,
    Garbage(u64),
}

/// Reads operations from bytes, two each: what a fuzzer makes.
pub fn ops(bytes: &[u8]) -> Vec<Op> {
    let op = |pair: &[u8]| {
        let number = usize::from(pair[1]);
        match pair[0] % 16 {
            0..=3 => Op::Append,
            4 => Op::Edit(number),
            5..=7 => Op::Arrive,
            8 => Op::Lose,
            9 => Op::Repeat(number),
            10 => Op::Trim(number % 6),
            11 => Op::Replace,
            12 => Op::LoseTail(number % 4),
            _ => Op::Join(match number % 5 {
                0 => From::Newest,
                1 => From::Start,
                2 => From::Future,
                3 => From::Garbage(number as u64 / 5),
                _ => From::Seen(number / 5),
            }),
        }
    };
    bytes.chunks_exact(2).map(op).collect()
}

/// The log as a naive list, with everything it ever gave out.
struct Log {
    entries: Vec<Arc<Entry>>,
    trimmed: usize,
    start: Chain,
    logs: u64,
    under_way: std::collections::VecDeque<Arc<Entry>>,
    published: Vec<Arc<Entry>>,
}

enum Read {
    Continued(Vec<Arc<Entry>>, Position),
    Reset(Vec<Arc<Entry>>, Position),
}

impl Log {
    fn new() -> Self {
        Self {
            entries: Vec::new(),
            trimmed: 0,
            start: Chain::from_bits(1),
            logs: 1,
            under_way: Default::default(),
            published: Vec::new(),
        }
    }

    fn top(&self) -> Position {
        self.entries.last().map_or(Position::ZERO, |entry| entry.position())
    }

    fn append(&mut self, body: Body) {
        let prev = self.entries.last().map_or(self.start, |entry| entry.chain);
        let entry = Arc::new(Entry::number(draft(body), self.entries.len() as u64, prev, 7));
        self.entries.push(Arc::clone(&entry));
        self.under_way.push_back(Arc::clone(&entry));
        self.published.push(entry);
    }

    fn replace(&mut self, keep: usize) {
        self.entries.truncate(keep);
        self.trimmed = self.trimmed.min(keep);
        if keep == 0 {
            self.logs += 1;
            self.start = Chain::from_bits(self.logs);
        }
    }

    /// The entry at an index, as it is served: without its text, if a later edit of the same message is in the log.
    fn served(&self, index: usize) -> Arc<Entry> {
        let entry = &self.entries[index];
        let message = entry.body.target().unwrap_or(entry.offset);
        let edits = |later: &Arc<Entry>| matches!(later.body, Body::Edited { target, .. } if target == message);
        if self.entries[index + 1..].iter().any(edits) {
            Arc::new(entry.withdrawn(Withdrawal::Edited))
        } else {
            Arc::clone(entry)
        }
    }

    fn kept(&self) -> &[Arc<Entry>] {
        &self.entries[self.trimmed..]
    }

    fn newest(&self) -> Vec<Arc<Entry>> {
        let first = self.trimmed.max(self.entries.len().saturating_sub(PAGE));
        (first..self.entries.len()).map(|index| self.served(index)).collect()
    }

    fn read_after(&self, since: Since) -> Read {
        let offset = since.offset as usize;
        let chain = if offset == 0 { since.chain } else { self.entries.get(offset - 1).map(|entry| entry.chain) };
        if offset >= self.trimmed && offset <= self.entries.len() && chain == since.chain {
            let page = (offset..self.entries.len()).take(PAGE).map(|index| self.served(index)).collect();
            Read::Continued(page, self.top())
        } else {
            Read::Reset(self.newest(), self.top())
        }
    }
}

fn draft(body: Body) -> Draft {
    let id = UserId::parse("u").expect("an id");
    let name = UserName::parse("Ada", 64).expect("a name");
    Draft { user: User { id, name }, key: Key::parse("k").expect("a key"), body, trace: None }
}

fn message() -> Body {
    Body::Message { text: Text::Kept("hi".into()), reply_to: None }
}

/// What one client has on its screen.
#[derive(Debug, Default)]
struct Client {
    seen: Vec<Arc<Entry>>,
    position: Option<Position>,
}

impl Client {
    fn take(&mut self, entries: &[Arc<Entry>]) {
        for entry in entries {
            let at = self.position.expect("a client takes pushes only after its reply");
            assert_eq!(entry.offset, at.offset + 1, "no hole, no repeat, no inversion");
            assert!(at.offset == 0 || entry.prev == at.chain, "one log");
            assert!(entry.follows_chain(entry.prev), "what is delivered proves itself");
            self.position = Some(entry.position());
            self.seen.push(Arc::clone(entry));
        }
    }

    fn restart(&mut self, page: &[Arc<Entry>], top: Position) {
        self.seen.clear();
        self.position =
            Some(page.first().map_or(top, |first| Position { offset: first.offset - 1, chain: first.prev }));
        self.take(page);
    }
}

/// One instance: its tail and its live clients.
struct Instance {
    tail: Tail,
    clients: Vec<Client>,
}

impl Instance {
    /// Delivers what follows.
    fn deliver(&mut self, entries: Vec<Arc<Entry>>) -> Doubt {
        let (deliver, doubt) = self.tail.take(entries);
        for client in &mut self.clients {
            client.take(&deliver);
        }
        doubt
    }

    /// Takes a publication in, and heals where it has to.
    fn take(&mut self, log: &Log, entries: Vec<Arc<Entry>>) {
        if self.deliver(entries) != Doubt::None {
            self.heal(log);
        }
    }

    fn heal(&mut self, log: &Log) {
        while self.tail.position() != log.top() {
            match log.read_after(self.tail.position().into()) {
                Read::Continued(page, _) => {
                    let (deliver, doubt) = self.tail.take(page.clone());
                    assert_eq!((deliver.len(), doubt), (page.len(), Doubt::None), "a reading always follows");
                    for client in &mut self.clients {
                        client.take(&deliver);
                    }
                }
                Read::Reset(page, top) => {
                    self.tail.restart(top, page.clone());
                    for client in &mut self.clients {
                        client.restart(&page, top);
                    }
                }
            }
        }
    }

    fn join(&mut self, log: &Log, since: Option<Since>) {
        let mut client = Client::default();
        let mut read = match since {
            Some(since) => log.read_after(since),
            None => Read::Continued(log.newest(), log.top()),
        };
        let mut resumed = since.filter(|_| matches!(read, Read::Continued(..)));
        loop {
            let (Read::Continued(page, top) | Read::Reset(page, top)) = &read;
            let top = *top;
            match resumed.take() {
                Some(since) => {
                    let chain = since.chain.unwrap_or(Chain::from_bits(0));
                    client.position = Some(Position { offset: since.offset, chain });
                    client.take(page);
                }
                None if client.position.is_some() && matches!(read, Read::Continued(..)) => client.take(page),
                None => client.restart(page, top),
            }
            // Healing, where a reading calls for it, happens beside the join and may come later.
            self.deliver(page.clone());
            let from = client.position.expect("it was set above");
            match self.tail.splice(from, top) {
                Splice::Live(rest) => {
                    client.take(&rest);
                    break;
                }
                Splice::Behind => {}
                Splice::Disagree => self.heal(log),
            }
            read = log.read_after(from.into());
        }
        self.clients.push(client);
    }
}

/// Does it all, and asserts what must hold.
pub fn run(ops: Vec<Op>) {
    let mut log = Log::new();
    let mut instance = Instance { tail: Tail::new(TAIL, Position::ZERO, Vec::new()), clients: Vec::new() };
    for op in ops {
        match op {
            Op::Append => log.append(message()),
            Op::Edit(which) => {
                let kept = log.kept();
                let messages: Vec<_> = kept.iter().filter(|entry| matches!(entry.body, Body::Message { .. })).collect();
                if let Some(target) = messages.get(which % messages.len().max(1)).map(|entry| entry.offset) {
                    log.append(Body::Edited { target, text: Text::Kept("better".into()) });
                }
            }
            Op::Arrive => {
                if let Some(entry) = log.under_way.pop_front() {
                    instance.take(&log, vec![entry]);
                }
            }
            Op::Lose => {
                log.under_way.pop_front();
            }
            Op::Repeat(which) => {
                if let Some(entry) = log.published.get(which % log.published.len().max(1)).cloned() {
                    // A late publication of a log that is gone may be taken for the next entry only if it follows.
                    instance.take(&log, vec![entry]);
                }
            }
            Op::Trim(by) => log.trimmed = (log.trimmed + by).min(log.entries.len().saturating_sub(1)),
            Op::Replace => log.replace(0),
            Op::LoseTail(by) => log.replace(log.entries.len().saturating_sub(by)),
            Op::Join(from) => {
                let since = match from {
                    From::Newest => None,
                    From::Start => Some(Position::ZERO.into()),
                    From::Seen(which) => {
                        log.published.get(which % log.published.len().max(1)).map(|entry| entry.position().into())
                    }
                    From::Future => Some(Since { offset: log.top().offset + 3, chain: Some(Chain::from_bits(9)) }),
                    From::Garbage(offset) => {
                        Some(Since { offset, chain: (offset == 0).then_some(Chain::from_bits(0)) })
                    }
                };
                let before = instance.clients.len();
                instance.join(&log, since);
                let joined = &instance.clients[before];
                assert_eq!(joined.position, Some(instance.tail.position()), "a client is live where the room is");
                for entry in &joined.seen {
                    let index = entry.offset as usize - 1;
                    let stored = (index < log.entries.len())
                        .then(|| log.served(index))
                        .filter(|stored| stored.chain == entry.chain);
                    let withdrawn =
                        stored.is_some_and(|stored| matches!(stored.body.text(), Some(Text::Withdrawn(..))));
                    let served = matches!(entry.body.text(), Some(Text::Kept(_)));
                    assert!(!(withdrawn && served), "a withdrawn text was served");
                }
            }
        }
    }
    // The position check of quiet rooms.
    instance.heal(&log);
    for client in &instance.clients {
        assert_eq!(client.position, Some(log.top()));
        for (seen, stored) in client.seen.iter().rev().zip(log.entries.iter().rev()) {
            assert_eq!(seen.chain, stored.chain, "all clients see one log");
        }
    }
}
