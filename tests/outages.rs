//! The rooms of an instance whose store fails, goes away and comes back, or is slow to confirm. Time is tokio's paused
//! clock.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

#[path = "common/faulty.rs"]
mod faulty;

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use confab::domain::{Body, Draft, Key, Limits, Millis, Position, RoomId, Text, User, UserId, UserName};
use confab::metrics::Metrics;
use confab::protocol::{Code, Refused};
use confab::rooms::{
    Answer, Dialect, JoinRequest, Mailbox, Note, RoomSettings, Rooms, Seated, Taken, WAIT_MS, WAITING_BYTES,
    WAITING_WRITES,
};
use confab::store::memory::{Clock, Memory};
use confab::store::{AppendError, FEED_CAPACITY, Feed, Pending, Refusal, Store, StoreError, Stored};
use faulty::{Faulty, RETRY_MS, Spoil};
use futures_util::FutureExt;
use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

/// Positions are checked this often.
const CHECK_MS: u64 = 10_000;

/// The store's time goes with tokio's.
struct PausedClock(Instant);

impl Clock for PausedClock {
    fn now(&self) -> Millis {
        1_700_000_000_000 + self.0.elapsed().as_millis() as Millis
    }
}

/// An instance, and a second one without faults on the same store.
struct World {
    faulty: Arc<Faulty>,
    rooms: Arc<Rooms>,
    other: Arc<dyn Store>,
    metrics: Arc<Metrics>,
}

impl World {
    fn new(seed: u64, spoil: Spoil) -> Self {
        let (world, feed) = Self::standing_still(seed, spoil, Limits::default().history_entries);
        world.deliver(feed);
        world
    }

    /// One that delivers nothing yet.
    fn standing_still(seed: u64, spoil: Spoil, history_entries: u64) -> (Self, Feed) {
        let history_bytes = 8 << 20;
        let limits = Limits {
            sends_per_second: 1_000,
            send_burst: 100_000,
            history_entries,
            history_bytes,
            ..Limits::default()
        };
        let limits = Arc::new(limits);
        let clock = Arc::new(PausedClock(Instant::now()));
        let memory = Memory::new(Arc::clone(&limits), 64 * 1024 * 1024, clock);
        let (store, feed) = memory.attach("faulty");
        let (faulty, feed) = Faulty::new(store, feed, seed, spoil);
        let (other, _) = memory.attach("other");
        let metrics = Arc::<Metrics>::default();
        let settings = RoomSettings {
            limits,
            grace_ms: 10_000,
            lease_ms: 10_000,
            lease_renew_ms: 3_000,
            list_up_to: 200,
            list_again_at: 150,
            count_interval_ms: 2_000,
            coalesce_ms: 100,
            check_interval_ms: CHECK_MS,
            linger_ms: 5_000,
            tail_entries: 16,
            metrics: Arc::clone(&metrics),
        };
        let rooms = Rooms::new(Arc::clone(&faulty) as Arc<dyn Store>, settings);
        (Self { faulty, rooms, other, metrics }, feed)
    }

    fn deliver(&self, feed: Feed) {
        tokio::spawn(Arc::clone(&self.rooms).run(feed));
    }

    fn connect(&self, number: u64) -> Client {
        let mailbox = Mailbox::new(number, Dialect::Native, 1024 * 1024);
        self.rooms.connect(&mailbox);
        self.rooms.signed_in(&mailbox, &user(), 0);
        Client { mailbox, offsets: Vec::new(), notes: Vec::new(), joined: 0, came: Vec::new() }
    }

    async fn join(&self, client: &Client, room: &RoomId) -> Result<Seated, Refused> {
        let request = JoinRequest {
            id: Some(1),
            room: room.clone(),
            since: None,
            limit: 50,
            may_create: Ok(()),
            answer: Answer::Native,
        };
        self.rooms.join(&client.mailbox, &user(), request).await
    }

    /// Somebody writes on the other instance.
    async fn write_elsewhere(&self, room: &RoomId, key: &str) {
        self.other.append(room, draft(key)).await.expect("the other instance has no faults");
    }
}

struct Client {
    mailbox: Arc<Mailbox>,
    /// Of the entries that came, in their order.
    offsets: Vec<u64>,
    notes: Vec<Note>,
    /// How often it was told that it is in the room.
    joined: usize,
    /// Who was announced to it as somebody who came.
    came: Vec<String>,
}

impl Client {
    /// Reads until a condition holds.
    async fn read_until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let reading = async {
            while !holds(self) {
                let mut taken = Taken::default();
                poll_fn(|cx| self.mailbox.poll_take(cx, 64 * 1024, &mut taken)).await;
                assert!(!taken.overflowed, "the reader is cut off");
                self.notes.append(&mut taken.notes);
                for frame in taken.frames {
                    std::str::from_utf8(&frame).unwrap().lines().for_each(|object| self.hear(object));
                }
            }
        };
        timeout(Duration::from_millis(3 * CHECK_MS), reading).await.expect(what);
    }

    fn hear(&mut self, object: &str) {
        let event: Value = serde_json::from_str(object).unwrap();
        let offset = |entry: &Value| entry["offset"].as_u64().unwrap();
        match event["type"].as_str().unwrap() {
            "joined" => {
                self.joined += 1;
                self.offsets.extend(event["entries"].as_array().unwrap().iter().map(offset));
            }
            "message" => self.offsets.push(offset(&event)),
            "presence" => {
                let joined = event["joined"].as_array().unwrap().iter();
                self.came.extend(joined.map(|user| user["id"].as_str().unwrap().to_owned()));
            }
            other => panic!("an unexpected event: {other}"),
        }
    }

    fn last(&self) -> u64 {
        self.offsets.last().copied().unwrap_or(0)
    }

    /// Every entry up to `last`, once and in order.
    fn assert_complete(&self, last: u64) {
        assert_eq!(self.offsets, (1..=last).collect::<Vec<_>>());
    }
}

fn room(name: &str) -> RoomId {
    RoomId::parse(name, 128).unwrap()
}

fn user() -> User {
    User { id: UserId::parse("ada").unwrap(), name: UserName::parse("Ada", 64).unwrap() }
}

fn draft(key: &str) -> Draft {
    let body = Body::Message { text: Text::Kept(key.into()), reply_to: None };
    Draft { user: user(), key: Key::parse(key).unwrap(), body, trace: None }
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_joins_are_refused_and_every_socket_is_told() {
    let world = World::new(1, Spoil::default());
    let (mut joined, mut idle) = (world.connect(1), world.connect(2));
    world.join(&joined, &room("r")).await.unwrap();
    world.faulty.go_away().await;
    for client in [&mut joined, &mut idle] {
        client.read_until("both are told", |client| client.notes == [Note::Reachable(false)]).await;
    }
    assert!(!world.rooms.is_reachable());
    let refused = world.join(&idle, &room("other")).await.unwrap_err();
    assert_eq!((refused.code, refused.retry_ms), (Code::Unavailable, Some(RETRY_MS)));
    world.faulty.come_back().await;
    idle.read_until("it is back", |client| client.notes.last() == Some(&Note::Reachable(true))).await;
    world.join(&idle, &room("other")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_written_while_the_store_was_away_arrives_when_it_is_back() {
    let world = World::new(2, Spoil::default());
    let mut client = world.connect(1);
    world.write_elsewhere(&room("r"), "before").await;
    world.join(&client, &room("r")).await.unwrap();
    world.faulty.go_away().await;
    for number in 0..300 {
        world.write_elsewhere(&room("r"), &format!("meanwhile-{number}")).await;
    }
    // Longer than a check of positions, which fails.
    tokio::time::sleep(Duration::from_millis(CHECK_MS + 500)).await;
    world.faulty.come_back().await;
    client.read_until("all of it arrives", |client| client.last() == 301).await;
    client.assert_complete(301);
}

#[tokio::test(start_paused = true)]
async fn a_retry_finds_what_an_unconfirmed_write_stored() {
    let world = World::new(3, Spoil::default());
    let mut client = world.connect(1);
    world.join(&client, &room("r")).await.unwrap();
    world.faulty.go_away().await;
    let mut unconfirmed = BTreeSet::new();
    for number in 0..40 {
        let key = format!("key-{number}");
        match world.rooms.write(&room("r"), draft(&key)).await {
            Err(AppendError::Unknown(StoreError::Unconfirmed { .. })) => assert!(unconfirmed.insert(key)),
            Err(AppendError::Unknown(StoreError::Unavailable { .. })) => {}
            other => panic!("{other:?} of a store that is away"),
        }
    }
    assert!((10..30).contains(&unconfirmed.len()), "{} of 40", unconfirmed.len());
    world.faulty.come_back().await;
    for number in 0..40 {
        let key = format!("key-{number}");
        let stored = world.rooms.write(&room("r"), draft(&key)).await.unwrap();
        assert_eq!(stored.duplicate, unconfirmed.contains(&key), "{key}");
    }
    client.read_until("each arrives", |client| client.last() == 40).await;
    client.assert_complete(40);
}

#[tokio::test(start_paused = true)]
async fn what_is_written_while_a_subscription_is_confirmed_is_neither_lost_nor_doubled() {
    let world = World::new(4, Spoil::default());
    let mut client = world.connect(1);
    world.write_elsewhere(&room("r"), "before").await;
    world.faulty.hold_confirmations();
    let request = JoinRequest {
        id: Some(1),
        room: room("r"),
        since: None,
        limit: 50,
        may_create: Ok(()),
        answer: Answer::Native,
    };
    let joining = tokio::spawn(world.rooms.join(&client.mailbox, &user(), request));
    for number in 0..10 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        world.write_elsewhere(&room("r"), &format!("meanwhile-{number}")).await;
    }
    assert!(!joining.is_finished(), "a join waits for its subscription");
    world.faulty.confirm();
    joining.await.unwrap().unwrap();
    world.write_elsewhere(&room("r"), "after").await;
    client.read_until("all of it arrives", |client| client.last() == 12).await;
    client.assert_complete(12);
    assert_eq!(client.joined, 1);
}

#[tokio::test(start_paused = true)]
async fn a_join_that_fails_once_leaves_no_trace_in_the_next() {
    for failures in 1..=5 {
        let world = World::new(5, Spoil::default());
        let mut client = world.connect(1);
        world.write_elsewhere(&room("r"), "before").await;
        // The lease was renewed and swept: what fails now are the calls of the join.
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.faulty.fail_next(failures);
        let mut tries = 0;
        while let Err(refused) = world.join(&client, &room("r")).await {
            assert_eq!(refused.code, Code::Unavailable);
            tries += 1;
            assert!(tries <= failures, "it fails on after {failures} failures");
        }
        assert!(tries > 0, "nothing failed");
        world.write_elsewhere(&room("r"), "after").await;
        client.read_until("both arrive", |client| client.last() == 2).await;
        client.assert_complete(2);
        assert_eq!(client.joined, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn lost_late_and_repeated_publications_of_many_rooms_are_healed() {
    for seed in 0..8 {
        let world = World::new(seed, Spoil { lose: 0.2, repeat: 0.2, late_ms: 500 });
        let names: Vec<RoomId> = (0..5).map(|number| room(&format!("room-{number}"))).collect();
        let mut clients = Vec::new();
        for (number, room) in (1..).zip(&names) {
            let client = world.connect(number);
            world.join(&client, room).await.unwrap();
            clients.push(client);
        }
        for number in 0..200 {
            world.write_elsewhere(&names[number % names.len()], &format!("key-{number}")).await;
            tokio::time::sleep(Duration::from_millis(7)).await;
        }
        for client in &mut clients {
            client.read_until("everything arrives within two checks", |client| client.last() == 40).await;
            client.assert_complete(40);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_that_overtakes_what_is_on_its_way_takes_nothing_for_missing() {
    const EVERY_MS: u64 = 10;
    let world = World::new(1, Spoil { late_ms: 50, ..Spoil::default() });
    let tea = room("tea");
    let mut client = world.connect(1);
    world.join(&client, &tea).await.unwrap();
    // Whenever positions are checked something is on its way.
    let entries = 2 * CHECK_MS / EVERY_MS + 100;
    for number in 0..entries {
        world.write_elsewhere(&tea, &format!("key-{number}")).await;
        sleep(Duration::from_millis(EVERY_MS)).await;
    }
    client.read_until("everything arrives", |client| client.last() == entries).await;
    client.assert_complete(entries);
    assert_eq!(world.metrics.gap_entries.get(()), 0, "nothing was missing");
}

#[tokio::test(start_paused = true)]
async fn members_whose_lease_ended_while_they_were_here_are_members_again() {
    let world = World::new(7, Spoil::default());
    let client = world.connect(1);
    let room = room("tea");
    world.join(&client, &room).await.expect("the store is there");
    let members = async || world.other.members(&room, 10).await.expect("the other instance has no faults").count;
    assert_eq!(members().await, 1);

    // No renewal gets through, but publications do: the instance is told that its own member left.
    world.faulty.fail_next(usize::MAX);
    let swept = async {
        while world.other.sweep().await.expect("the other instance has no faults") == 0 {
            sleep(Duration::from_millis(500)).await;
        }
    };
    timeout(Duration::from_secs(30), swept).await.expect("the lease ends");
    assert_eq!(members().await, 0);
    sleep(Duration::from_secs(1)).await;

    world.faulty.fail_next(0);
    let back = async {
        while members().await == 0 {
            sleep(Duration::from_millis(500)).await;
        }
    };
    timeout(Duration::from_millis(2 * CHECK_MS), back).await.expect("whoever is here enters again");
}

/// Fourteen messages, all of them remembered by the room, for a reader who keeps up.
async fn write_more_than_a_mailbox_holds(world: &World, room: &RoomId, reader: &mut Client) {
    let large = "x".repeat(150_000);
    for number in 1..=14 {
        let body = Body::Message { text: Text::Kept(large.as_str().into()), reply_to: None };
        let draft = Draft { body, ..draft(&format!("k{number}")) };
        world.other.append(room, draft).await.expect("the other instance has no faults");
        reader.read_until("a reader keeps up", |client| client.last() == number).await;
    }
}

#[tokio::test(start_paused = true)]
async fn somebody_far_behind_in_large_messages_is_not_cut_off_for_what_they_missed() {
    let world = World::new(8, Spoil::default());
    let (mut stays, mut comes) = (world.connect(1), world.connect(2));
    let room = room("tea");
    world.join(&stays, &room).await.expect("the store is there");
    write_more_than_a_mailbox_holds(&world, &room, &mut stays).await;
    let since = Some(Position::ZERO.into());
    let request = JoinRequest { id: Some(1), room, since, limit: 50, may_create: Ok(()), answer: Answer::Native };
    let joining = world.rooms.join(&comes.mailbox, &user(), request);
    let reading = comes.read_until("all of it comes", |client| client.last() == 14);
    let (joined, ()) = tokio::join!(joining, reading);
    joined.expect("the store is there");
    comes.assert_complete(14);
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_somebody_still_reads_what_they_missed_is_announced_to_them_too() {
    let world = World::new(9, Spoil::default());
    let (mut stays, mut comes) = (world.connect(1), world.connect(2));
    let room = room("tea");
    world.join(&stays, &room).await.expect("the store is there");
    write_more_than_a_mailbox_holds(&world, &room, &mut stays).await;
    let since = Some(Position::ZERO.into());
    let (to, may_create, answer) = (room.clone(), Ok(()), Answer::Native);
    let request = JoinRequest { id: Some(1), room: to, since, limit: 50, may_create, answer };
    let joining = tokio::spawn(world.rooms.join(&comes.mailbox, &user(), request));
    comes.read_until("the first page comes", |client| client.joined == 1).await;
    assert!(comes.last() < 14, "there is no more to read");
    let eve = User { id: UserId::parse("eve").unwrap(), name: UserName::parse("Eve", 64).unwrap() };
    world.other.enter(&room, &eve, 0).await.expect("the other instance has no faults");
    stays.read_until("who comes is announced", |client| client.came == ["eve"]).await;
    comes.read_until("all of it comes", |client| client.last() == 14 && client.came == ["eve"]).await;
    joining.await.expect("the join ends").expect("the store is there");
    comes.assert_complete(14);
}

/// More than the feed holds, fewer than may wait, each with the offset it must get.
const FLOOD: u64 = FEED_CAPACITY as u64 + 500;

/// All in one go: nobody else, the delivery included, has a turn in between.
fn write_at_once(world: &World, in_room: &str, writes: u64) -> Vec<Pending<Stored, AppendError>> {
    (1..=writes).map(|number| world.rooms.write(&room(in_room), draft(&format!("key-{number}")))).collect()
}

#[tokio::test(start_paused = true)]
async fn writes_wait_for_the_delivery_of_those_before_them_and_keep_their_order() {
    // What a full feed drops would be more than the log remembers.
    let (world, feed) = World::standing_still(10, Spoil::default(), 100);
    world.deliver(feed);
    let mut client = world.connect(1);
    world.join(&client, &room("r")).await.unwrap();
    let stored = join_all(write_at_once(&world, "r", FLOOD));
    let reading = client.read_until("all of it arrives live", |client| client.last() == FLOOD);
    // A `reset`, which what was dropped would end in, is an unexpected event for the client.
    let (stored, ()) = tokio::join!(stored, reading);
    let offsets: Vec<_> = stored.into_iter().map(|stored| stored.unwrap().position.offset).collect();
    assert_eq!(offsets, (1..=FLOOD).collect::<Vec<_>>(), "the order of the calls");
    client.assert_complete(FLOOD);
}

/// The longest text that a message may have.
fn long_draft(sender: usize, number: usize) -> Draft {
    let body = Body::Message { text: Text::Kept("x".repeat(Limits::default().text_bytes).into()), reply_to: None };
    Draft { body, ..draft(&format!("key-{sender}-{number}")) }
}

#[tokio::test(start_paused = true)]
async fn many_senders_of_long_texts_do_not_cut_off_a_reader_who_keeps_pace() {
    const SENDERS: usize = 90;
    const EACH: usize = 10;
    // Fourteen times what may wait for the reader, and less than may wait at the gate.
    let world = World::new(13, Spoil::default());
    let mut client = world.connect(1);
    world.join(&client, &room("r")).await.unwrap();
    let sending = (0..SENDERS).map(|sender| {
        let rooms = Arc::clone(&world.rooms);
        tokio::spawn(async move {
            let writes = (0..EACH).map(|number| rooms.write(&room("r"), long_draft(sender, number)));
            join_all(writes).await.into_iter().for_each(|stored| assert!(stored.is_ok(), "{stored:?}"));
        })
    });
    let sending: Vec<_> = sending.collect();
    let all = (SENDERS * EACH) as u64;
    client.read_until("all of it arrives live", |client| client.last() == all).await;
    client.assert_complete(all);
    join_all(sending).await.into_iter().for_each(|sent| sent.unwrap());
}

#[tokio::test(start_paused = true)]
async fn no_more_bytes_wait_than_may() {
    let (world, _feed) = World::standing_still(14, Spoil::default(), 100);
    // Fewer writes than may wait.
    let writes = 2 * WAITING_BYTES / Limits::default().text_bytes;
    assert!(writes < WAITING_WRITES);
    let mut writes: Vec<_> = (0..writes).map(|number| world.rooms.write(&room("r"), long_draft(0, number))).collect();
    let waiting = writes.iter_mut().filter_map(|write| write.now_or_never().is_none().then_some(())).count();
    let most = WAITING_BYTES / Limits::default().text_bytes;
    assert!((most * 9 / 10..=most).contains(&waiting), "{waiting} wait");
}

#[tokio::test(start_paused = true)]
async fn writes_of_which_nothing_comes_back_wait_for_nothing() {
    let world = World::new(11, Spoil { lose: 1.0, ..Spoil::default() });
    let client = world.connect(1);
    world.join(&client, &room("lost")).await.unwrap();
    for in_room in ["lost", "nobody-is-here"] {
        for stored in join_all(write_at_once(&world, in_room, 10_000)).await {
            stored.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn writes_that_would_wait_among_too_many_or_for_too_long_are_refused_and_not_stored() {
    let (world, feed) = World::standing_still(12, Spoil::default(), 100);
    let began = Instant::now();
    let mut waiting = write_at_once(&world, "r", 2 * WAITING_WRITES as u64);
    let stored_at_once: Vec<_> = waiting.iter_mut().map_while(FutureExt::now_or_never).collect();
    assert!(stored_at_once.iter().all(Result::is_ok), "until the first that waits");
    let refusals = |write: &Result<Stored, AppendError>| {
        matches!(write, Err(AppendError::Refused(Refusal::Overloaded { retry_ms: 1.. })))
    };
    let too_many: Vec<_> =
        waiting[stored_at_once.len() + WAITING_WRITES..].iter_mut().map(FutureExt::now_or_never).collect();
    assert!(
        !too_many.is_empty() && too_many.iter().flatten().filter(|write| refusals(write)).count() == too_many.len()
    );

    sleep(Duration::from_millis(WAIT_MS + 1)).await;
    world.deliver(feed);
    let too_long = join_all(waiting.drain(stored_at_once.len()..).take(WAITING_WRITES)).await;
    assert!(too_long.iter().all(refusals));
    assert!(began.elapsed() < Duration::from_millis(2 * WAIT_MS), "answered as soon as delivery goes on");
    let top = world.other.check(vec![room("r")]).await.unwrap()[0].position.offset;
    assert_eq!(top, stored_at_once.len() as u64);
    world.rooms.write(&room("r"), draft("key-afterwards")).await.unwrap();
}
