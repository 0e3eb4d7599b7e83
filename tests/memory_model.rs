//! The embedded store against a model that is too simple to be wrong: a list of everything that was ever stored, from
//! which each answer is worked out anew.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

#[path = "common/clock.rs"]
mod clock;

use std::ops::Range;
use std::sync::Arc;

use clock::ManualClock;
use confab::domain::{
    Body, Chain, Draft, Emoji, Entry, Key, Kind, Limits, Millis, Position, RoomId, Since, Text, User, UserId, UserName,
    Withdrawal,
};
use confab::store::memory::Memory;
use confab::store::{After, AppendError, Page, PageSize, Pending, Refusal, Reset, Store, Stored, cost};
use futures_util::FutureExt as _;
use proptest::prelude::*;

const STARTED: Millis = 1_700_000_000_000;
const RATE_INTERVAL_MS: Millis = 100;
const BURST: u64 = 4;
const KEY_WINDOW_MS: Millis = 700;
const IDLE_MS: Millis = 2_000;
const ENTRIES: usize = 8;
const BYTES: usize = 3_500;

#[derive(Debug, Clone)]
enum Step {
    Append { by: u8, key: u8, what: What, length: usize },
    Wait(Millis),
    Sweep,
    ReadBefore { before: Option<u64>, page: PageSize },
    ReadAfter { offset: u64, chain: Claim, page: PageSize },
    Mark { by: u8, offset: u64 },
}

#[derive(Debug, Clone, Copy)]
enum What {
    Message { reply_to: Option<u64> },
    Edit { back: u64 },
    Delete { back: u64 },
    React { back: u64, on: bool },
}

/// The chain that a reader claims.
#[derive(Debug, Clone, Copy)]
enum Claim {
    Right,
    Wrong,
    NoChain,
}

fn page() -> impl Strategy<Value = PageSize> {
    (0..10_usize, 0..3_000_usize).prop_map(|(entries, bytes)| PageSize { entries, bytes })
}

fn step() -> impl Strategy<Value = Step> {
    let back = 0..12_u64;
    let what = prop_oneof![
        4 => proptest::option::of(1..20_u64).prop_map(|reply_to| What::Message { reply_to }),
        2 => back.clone().prop_map(|back| What::Edit { back }),
        1 => back.clone().prop_map(|back| What::Delete { back }),
        1 => (back, any::<bool>()).prop_map(|(back, on)| What::React { back, on }),
    ];
    let length = prop_oneof![3 => 1..50_usize, 1 => 1..2_000_usize];
    let claim = prop_oneof![4 => Just(Claim::Right), 1 => Just(Claim::Wrong), 1 => Just(Claim::NoChain)];
    prop_oneof![
        8 => (0..3_u8, 0..16_u8, what, length).prop_map(|(by, key, what, length)| Step::Append { by, key, what, length }),
        3 => (0..250_u64).prop_map(Step::Wait),
        1 => (500..2_500_u64).prop_map(Step::Wait),
        1 => Just(Step::Sweep),
        2 => (proptest::option::of(0..45_u64), page()).prop_map(|(before, page)| Step::ReadBefore { before, page }),
        3 => (0..45_u64, claim, page()).prop_map(|(offset, chain, page)| Step::ReadAfter { offset, chain, page }),
        1 => (0..3_u8, 0..45_u64).prop_map(|(by, offset)| Step::Mark { by, offset }),
    ]
}

/// One room as it should be.
#[derive(Default)]
struct Model {
    now: Millis,
    /// Every entry of the log, as it was written.
    written: Vec<Entry>,
    /// How many of them are trimmed.
    trimmed: usize,
    marks: [u64; 3],
    /// Milliseconds' worth of sends that each user has spent, and when that was worked out.
    spent: [(Millis, Millis); 3],
}

impl Model {
    fn forget_if_idle(&mut self) {
        if self.written.last().is_some_and(|last| self.now - last.at >= IDLE_MS) {
            *self = Self { now: self.now, ..Self::default() };
        }
    }

    fn top(&self) -> Position {
        self.written.last().map_or(Position::ZERO, Entry::position)
    }

    fn oldest(&self) -> u64 {
        if self.written.is_empty() { 0 } else { self.trimmed as u64 + 1 }
    }

    /// What is left of an entry, by everything that was written after it.
    fn shown(&self, entry: &Entry) -> Entry {
        let message = match entry.body {
            Body::Message { .. } => entry.offset,
            Body::Edited { target, .. } => target,
            Body::Deleted { .. } | Body::Reacted { .. } => return entry.clone(),
        };
        let later = self.written[entry.offset as usize..].iter();
        let next = later
            .map(|later| &later.body)
            .find(|body| body.target() == Some(message) && matches!(body, Body::Edited { .. } | Body::Deleted { .. }));
        let deleted = self.written.iter().any(|later| later.body == Body::Deleted { target: message });
        match next {
            None => entry.clone(),
            Some(_) if deleted && entry.offset == message => entry.withdrawn(Withdrawal::Deleted),
            Some(Body::Deleted { .. }) => entry.withdrawn(Withdrawal::Deleted),
            Some(_) => entry.withdrawn(Withdrawal::Edited),
        }
    }

    fn kept(&self) -> Vec<Entry> {
        self.written[self.trimmed..].iter().map(|entry| self.shown(entry)).collect()
    }

    fn append(&mut self, by: usize, draft: &Draft, start: impl FnOnce() -> Chain) -> Result<Stored, Refusal> {
        let same_key = |entry: &&Entry| entry.user.id == draft.user.id && entry.key == draft.key;
        let in_window = |entry: &&Entry| self.now - entry.at < KEY_WINDOW_MS;
        if let Some(first) = self.written.iter().rev().filter(in_window).find(same_key) {
            return if first.body == draft.body {
                Ok(self.stored(first, true))
            } else {
                Err(Refusal::KeyConflict { position: first.position() })
            };
        }
        let (spent, at) = self.spent[by];
        let spent = spent.saturating_sub(self.now - at) + RATE_INTERVAL_MS;
        if spent > BURST * RATE_INTERVAL_MS {
            return Err(Refusal::RateLimited { retry_ms: spent - BURST * RATE_INTERVAL_MS });
        }
        if let Some(target) = draft.body.target() {
            let message = self.written[self.trimmed..].iter().find(|entry| entry.offset == target);
            let message = message.filter(|entry| entry.body.kind() == Kind::Message).ok_or(Refusal::NotFound)?;
            if self.written.iter().any(|entry| entry.body == Body::Deleted { target }) {
                return Err(Refusal::NotFound);
            }
            if draft.body.kind() != Kind::Reacted && message.user.id != draft.user.id {
                return Err(Refusal::Forbidden);
            }
        }
        self.spent[by] = (spent, self.now);
        let prev = self.written.last().map_or_else(start, |last| last.chain);
        if self.written.is_empty() {
            self.marks = [0; 3];
        }
        let entry = Entry::number(draft.clone(), self.written.len() as u64, prev, self.now);
        let stored = self.stored(&entry, false);
        self.written.push(entry);
        while {
            let kept = self.kept();
            kept.len() > 1 && (kept.len() > ENTRIES || kept.iter().map(cost).sum::<usize>() > BYTES)
        } {
            self.trimmed += 1;
        }
        Ok(stored)
    }

    fn stored(&self, entry: &Entry, duplicate: bool) -> Stored {
        Stored { position: entry.position(), at: entry.at, durability: confab::store::Durability::Memory, duplicate }
    }

    fn before(&self, before: Option<u64>, page: PageSize) -> Vec<Entry> {
        let mut kept = self.kept();
        kept.retain(|entry| before.is_none_or(|before| entry.offset < before));
        kept.reverse();
        let mut kept = fit(&kept, page).to_vec();
        kept.reverse();
        kept
    }

    fn after(&self, since: Since, page: PageSize) -> Result<Vec<Entry>, Reset> {
        if since.offset > self.top().offset {
            return Err(Reset::Lost);
        }
        if since.offset < self.trimmed as u64 {
            return Err(Reset::Trimmed);
        }
        if since.offset > 0 && since.chain != Some(self.written[since.offset as usize - 1].chain) {
            return Err(Reset::Diverged);
        }
        let mut kept = self.kept();
        kept.retain(|entry| entry.offset > since.offset);
        Ok(fit(&kept, page).to_vec())
    }
}

/// The longest beginning that fits, one at least.
fn fit(entries: &[Entry], page: PageSize) -> &[Entry] {
    let fits =
        |count: &usize| *count <= page.entries && entries[..*count].iter().map(cost).sum::<usize>() <= page.bytes;
    let most: Range<usize> = 1..entries.len() + 1;
    &entries[..most.rev().find(fits).unwrap_or(1).min(entries.len())]
}

fn now<T, E: std::fmt::Debug>(pending: Pending<T, E>) -> Result<T, E> {
    pending.now_or_never().expect("the embedded store answers at once")
}

fn user(by: u8) -> User {
    User { id: UserId::parse(&format!("user-{by}")).unwrap(), name: UserName::parse("Somebody", 64).unwrap() }
}

fn check(store: &dyn Store, room: &RoomId, model: &Model, page: &Page, expected: &[Entry]) {
    let entries: Vec<Entry> = page.entries.iter().map(|entry| Entry::clone(entry)).collect();
    assert_eq!(entries, expected);
    assert_eq!((page.top, page.oldest), (model.top(), model.oldest()));
    assert_eq!(now(store.check(vec![room.clone()])).unwrap()[0].position, model.top());
}

fn run(steps: Vec<Step>) {
    let limits = Limits {
        history_entries: ENTRIES as u64,
        history_bytes: BYTES as u64,
        history_idle_ms: IDLE_MS,
        key_window_ms: KEY_WINDOW_MS,
        sends_per_second: 1_000 / RATE_INTERVAL_MS,
        send_burst: BURST,
        ..Limits::default()
    };
    let clock = ManualClock::at(STARTED);
    let memory = Memory::new(Arc::new(limits), 64 * 1024 * 1024, Arc::new(clock.clone()));
    let (store, _feed) = memory.attach("instance");
    let room = RoomId::parse("room", 128).unwrap();
    let everything = PageSize { entries: usize::MAX, bytes: usize::MAX };
    let read_start = || now(store.read_before(&room, Some(2), everything)).unwrap().entries[0].prev;
    let mut model = Model { now: STARTED, ..Model::default() };
    for step in steps {
        model.forget_if_idle();
        match step {
            Step::Append { by, key, what, length } => {
                let target = |back: u64| (model.written.len() as u64).saturating_sub(back);
                let text = || Text::Kept(char::from(b'a' + key).to_string().repeat(length).into());
                let body = match what {
                    What::Message { reply_to } => Body::Message { text: text(), reply_to },
                    What::Edit { back } => Body::Edited { target: target(back), text: text() },
                    What::Delete { back } => Body::Deleted { target: target(back) },
                    What::React { back, on } => {
                        Body::Reacted { target: target(back), emoji: Emoji::parse("x", 64).unwrap(), on }
                    }
                };
                let draft =
                    Draft { user: user(by), key: Key::parse(&format!("key-{key}")).unwrap(), body, trace: None };
                // Twice: the second time is a retry, which every answer must bear.
                for _ in 0..2 {
                    let answer = now(store.append(&room, draft.clone()));
                    let expected = model.append(usize::from(by), &draft, read_start);
                    assert_eq!(answer, expected.map_err(AppendError::Refused));
                }
            }
            Step::Wait(by) => {
                model.now += by;
                clock.set(model.now);
            }
            Step::Sweep => drop(now(store.sweep()).unwrap()),
            Step::ReadBefore { before, page } => {
                let read = now(store.read_before(&room, before, page)).unwrap();
                check(&*store, &room, &model, &read, &model.before(before, page));
            }
            Step::ReadAfter { offset, chain, page } => {
                let right = usize::try_from(offset).unwrap().checked_sub(1);
                let right = right.and_then(|at| model.written.get(at)).map(|entry| entry.chain);
                let chain = match chain {
                    Claim::Right => right,
                    Claim::Wrong => Some(Chain::from_bits(offset)),
                    Claim::NoChain => None,
                };
                let since = Since { offset, chain };
                match (now(store.read_after(&room, since, page, page)).unwrap(), model.after(since, page)) {
                    (After::Continued(read), Ok(expected)) => check(&*store, &room, &model, &read, &expected),
                    (After::Reset(reset, read), Err(expected)) => {
                        assert_eq!(reset, expected);
                        check(&*store, &room, &model, &read, &model.before(None, page));
                    }
                    (answer, expected) => panic!("{answer:?} instead of {expected:?}"),
                }
            }
            Step::Mark { by, offset } => {
                let offset = offset.min(model.top().offset);
                now(store.mark_read(&room, &user(by).id, offset, 0)).unwrap();
                let mark = &mut model.marks[usize::from(by)];
                *mark = offset.max(*mark);
                assert_eq!(now(store.read_mark(&room, &user(by).id)).unwrap(), *mark);
            }
        }
        model.forget_if_idle();
        let read = now(store.read_before(&room, None, everything)).unwrap();
        check(&*store, &room, &model, &read, &model.kept());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_is_what_the_list_of_everything_says(steps in proptest::collection::vec(step(), 1..120)) {
        run(steps);
    }
}
