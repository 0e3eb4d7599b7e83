//! What the contract needs of a store under test, and words to say things with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use confab::domain::{
    Body, Chain, Draft, Emoji, Entry, Key, Limits, Millis, Position, RoomId, Since, Text, User, UserId, UserName,
};
use confab::store::{After, AppendError, Feed, Page, PageSize, Publication, Refusal, Store, Stored};
use tokio::time::timeout;

/// A store without rooms that instances attach to.
pub trait Harness: Sized {
    async fn start(limits: Limits) -> Self;

    /// Another instance.
    async fn attach(&self) -> (Arc<dyn Store>, Feed);

    /// Lets time pass: by moving the store's clock, or by waiting where it has a real one.
    async fn advance(&self, by: Millis);
}

/// A page that everything fits into.
pub const ALL: PageSize = PageSize { entries: 100_000, bytes: usize::MAX };

/// What arrives at all arrives within this time.
const SOON: Duration = Duration::from_secs(5);

/// No rate gets in the way.
pub fn fast() -> Limits {
    Limits { sends_per_second: 1_000_000, send_burst: 1_000_000, ..Limits::default() }
}

pub fn room(name: &str) -> RoomId {
    RoomId::parse(name, 128).unwrap()
}

pub fn user(id: &str) -> User {
    named(id, &format!("Name of {id}"))
}

pub fn named(id: &str, name: &str) -> User {
    User { id: UserId::parse(id).unwrap(), name: UserName::parse(name, 64).unwrap() }
}

pub fn text(text: &str) -> Text {
    Text::Kept(text.into())
}

pub fn message(said: &str) -> Body {
    Body::Message { text: text(said), reply_to: None }
}

pub fn edit(target: u64, said: &str) -> Body {
    Body::Edited { target, text: text(said) }
}

pub fn deletion(target: u64) -> Body {
    Body::Deleted { target }
}

pub fn reaction(target: u64) -> Body {
    Body::Reacted { target, emoji: Emoji::parse("👍", 64).unwrap(), on: true }
}

pub fn draft(by: &str, key: &str, body: Body) -> Draft {
    Draft { user: user(by), key: Key::parse(key).unwrap(), body, trace: None }
}

/// A draft under a key that nobody used before.
pub fn new(by: &str, body: Body) -> Draft {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    draft(by, &format!("new-{}", NEXT.fetch_add(1, Ordering::Relaxed)), body)
}

/// Appends what is surely stored.
pub async fn write(store: &Arc<dyn Store>, room: &RoomId, draft: Draft) -> Stored {
    store.append(room, draft).await.expect("it is stored")
}

/// Appends so many messages.
pub async fn fill(store: &Arc<dyn Store>, room: &RoomId, entries: usize) -> Vec<Stored> {
    let mut stored = Vec::new();
    for number in 0..entries {
        stored.push(write(store, room, new("ada", message(&format!("message {number}")))).await);
    }
    stored
}

/// Appends what is refused.
pub async fn refusal(store: &Arc<dyn Store>, room: &RoomId, draft: Draft) -> Refusal {
    match store.append(room, draft).await {
        Err(AppendError::Refused(refusal)) => refusal,
        other => panic!("not refused but {other:?}"),
    }
}

/// The whole log.
pub async fn everything(store: &Arc<dyn Store>, room: &RoomId) -> Page {
    store.read_before(room, None, ALL).await.unwrap()
}

pub fn since(offset: u64, chain: Chain) -> Since {
    Since { offset, chain: Some(chain) }
}

/// Entries after a position, and where the log stands; panics on a reset.
pub async fn after(store: &Arc<dyn Store>, room: &RoomId, since: Since) -> Page {
    match store.read_after(room, since, ALL, ALL).await.unwrap() {
        After::Continued(page) => page,
        After::Reset(reset, _) => panic!("{since:?} was answered by {reset:?}"),
    }
}

pub fn offsets(entries: &[Arc<Entry>]) -> Vec<u64> {
    entries.iter().map(|entry| entry.offset).collect()
}

pub async fn position(store: &Arc<dyn Store>, room: &RoomId) -> Position {
    store.check(vec![room.clone()]).await.unwrap()[0].position
}

/// The next publication.
pub async fn next(feed: &mut Feed) -> Publication {
    timeout(SOON, feed.recv()).await.expect("a publication arrives").expect("the feed is open")
}

/// The next publication, which is an entry.
pub async fn next_entry(feed: &mut Feed) -> Arc<Entry> {
    match next(feed).await {
        Publication::Entry(_, entry) => entry,
        other => panic!("not an entry but {other:?}"),
    }
}

/// Nothing else arrived: an entry that is written now, to a room the feed is subscribed to, is the next publication.
pub async fn assert_silent(store: &Arc<dyn Store>, room: &RoomId, feed: &mut Feed) {
    let last = write(store, room, new("silence", message("is golden"))).await;
    assert_eq!(next_entry(feed).await.offset, last.position.offset);
}
