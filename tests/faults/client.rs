//! A client as the protocol's document tells its authors to write one: it keeps a position per room, resumes from it,
//! retries a write with its key, and applies entries in the order of their offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use confab::domain::{Body, Chain, Draft, Key, Position, RoomId, Text, User, UserId, UserName};
use confab::protocol::Refused;
use confab::rooms::{Answer, Departure, Dialect, JoinRequest, Mailbox, Seated, Taken};
use confab::store::{AppendError, Stored};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use rand::RngExt as _;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use crate::history::{Durability, Seen, What, text_of};
use crate::world::{Instance, ROOMS, Shared, at};

struct Client {
    world: Shared,
    number: usize,
    user: User,
    rooms: BTreeMap<&'static str, Screen>,
    /// Writes without an outcome, oldest first: room, key, text.
    outbox: Vec<(&'static str, String, String)>,
    written: usize,
}

#[derive(Default)]
struct Screen {
    position: Option<Position>,
    members: BTreeSet<String>,
}

/// Client 0 never comes back from an instance that is killed: somebody has to leave the rooms by the end of a lease alone.
const GONE_WITH_ITS_INSTANCE: usize = 0;

/// How a connection ended.
#[derive(PartialEq, Eq)]
enum Ended {
    WithItsInstance,
    Alone,
}

enum Done {
    Joined(&'static str, Result<Seated, Refused>),
    Written(&'static str, String, Result<Stored, AppendError>),
}

/// Lives until `end` with whatever happens, then stays connected and quiet until `over`.
pub async fn live(world: Shared, number: usize, end: Instant, over: Instant) {
    let user = User {
        id: UserId::parse(&format!("user-{number}")).unwrap(),
        name: UserName::parse(&format!("User {number}"), 64).unwrap(),
    };
    let mut client = Client { world, number, user, rooms: BTreeMap::new(), outbox: Vec::new(), written: 0 };
    for room in ROOMS {
        client.rooms.insert(room, Screen::default());
    }
    while Instant::now() < over {
        let ended = client.connect(end, over).await;
        if ended == Ended::WithItsInstance && number == GONE_WITH_ITS_INSTANCE {
            client.record("", What::Close { code: 1006 });
            return;
        }
        client.stay_away(end).await;
    }
    for (room, screen) in std::mem::take(&mut client.rooms) {
        let (user, members) = (format!("user-{number}"), Some(screen.members.into_iter().collect()));
        let at = at(screen.position.unwrap_or(Position::ZERO));
        client.record(room, What::Final { user, at, members });
    }
}

impl Client {
    /// One connection, from its joins to its end.
    async fn connect(&mut self, end: Instant, over: Instant) -> Ended {
        let (instance, id, lifetime_ms) = {
            let mut world = self.world.borrow_mut();
            let instances = world.instances.len();
            let which = world.rng.random_range(0..instances);
            (world.instances[which].clone(), world.rng.random(), world.rng.random_range(500..20_000))
        };
        let kills = self.world.borrow().faults.kill_sockets;
        let dies = if kills { Instant::now() + Duration::from_millis(lifetime_ms) } else { over };
        // Whoever connects last stays until the end.
        let dies = if dies >= end { over } else { dies };
        let mailbox = Mailbox::new(id, Dialect::Native, 1024 * 1024);
        instance.rooms.connect(&mailbox);
        instance.rooms.signed_in(&mailbox, &self.user, 0);
        self.record("", What::Open { instance: String::new(), user: self.user.id.as_str().to_owned() });
        let mut connection = Connection { instance, mailbox, under_way: FuturesUnordered::new() };
        for room in ROOMS {
            self.join(&connection, room);
        }
        for (room, key, text) in self.outbox.clone() {
            self.write(&connection, room, key, text);
        }
        let mut next = self.pause();
        loop {
            let mut taken = Taken::default();
            let mailbox = Arc::clone(&connection.mailbox);
            tokio::select! {
                biased;
                () = connection.instance.killed.cancelled() => return Ended::WithItsInstance,
                () = poll_fn(|cx| mailbox.poll_take(cx, 64 * 1024, &mut taken)) => self.read(taken),
                Some(done) = connection.under_way.next() => self.done(&connection, done),
                () = sleep_until(next), if Instant::now() < end => {
                    self.act(&connection);
                    next = self.pause();
                }
                () = sleep_until(dies) => break,
            }
        }
        // A reader may be behind its mailbox when the socket ends; what it didn't read it will get again.
        for room in ROOMS {
            let room = RoomId::parse(room, 128).unwrap();
            connection.instance.rooms.leave(&connection.mailbox, &self.user.id, &room, Departure::AfterGrace);
        }
        connection.instance.rooms.disconnect(&connection.mailbox, Some(&self.user.id));
        Ended::Alone
    }

    /// Somebody is away for long now and then: where histories are short they miss more than is kept, elsewhere more
    /// than fits into a reply.
    async fn stay_away(&self, end: Instant) {
        let away_ms = {
            let mut world = self.world.borrow_mut();
            let often = if world.faults.short_history { 0.3 } else { 0.1 };
            let long = world.rng.random_bool(often);
            if long { world.rng.random_range(15_000..30_000) } else { 0 }
        };
        tokio::time::sleep_until(end.min(Instant::now() + Duration::from_millis(away_ms))).await;
    }

    fn pause(&self) -> Instant {
        Instant::now() + Duration::from_millis(self.world.borrow_mut().rng.random_range(5..800))
    }

    fn act(&mut self, connection: &Connection) {
        let (room, again) = {
            let mut world = self.world.borrow_mut();
            (ROOMS[world.rng.random_range(0..ROOMS.len())], world.rng.random_bool(0.05))
        };
        if again {
            // A resync of a joined room.
            self.join(connection, room);
            return;
        }
        self.written += 1;
        let key = format!("{}-{}", self.number, self.written);
        let text = text_of(&key);
        self.outbox.push((room, key.clone(), text.clone()));
        self.write(connection, room, key, text);
    }

    fn join(&self, connection: &Connection, room: &'static str) {
        let since = self.rooms[room].position.map(Into::into);
        let request = JoinRequest {
            id: Some(1),
            room: RoomId::parse(room, 128).unwrap(),
            since,
            limit: 10,
            may_create: Ok(()),
            answer: Answer::Native,
        };
        let joining = connection.instance.rooms.join(&connection.mailbox, &self.user, request);
        connection.under_way.push(joining.map(move |result| Done::Joined(room, result)).boxed());
    }

    fn write(&self, connection: &Connection, room: &'static str, key: String, text: String) {
        self.record(room, What::Invoke { key: key.clone() });
        let draft = Draft {
            user: self.user.clone(),
            key: Key::parse(&key).unwrap(),
            body: Body::Message { text: Text::Kept(text.into()), reply_to: None },
            trace: None,
        };
        let writing = connection.instance.rooms.write(&RoomId::parse(room, 128).unwrap(), draft);
        // An answer takes a while, so some sockets die between the append and its acknowledgement.
        let slow = self.world.borrow_mut().rng.random_range(0..50);
        connection.under_way.push(
            async move {
                let result = writing.await;
                tokio::time::sleep(Duration::from_millis(slow)).await;
                Done::Written(room, key, result)
            }
            .boxed(),
        );
    }

    fn done(&mut self, connection: &Connection, done: Done) {
        match done {
            // A write that failed stays in the outbox and is tried again on the next connection.
            Done::Joined(_, Ok(_)) | Done::Written(_, _, Err(_)) => {}
            Done::Joined(room, Err(_)) => self.join(connection, room),
            Done::Written(room, key, Ok(Stored { position, .. })) => {
                self.outbox.retain(|(_, waiting, _)| *waiting != key);
                self.record(room, What::Ok { key, at: at(position), durability: Durability::Memory });
            }
        }
    }

    fn read(&mut self, taken: Taken) {
        for frame in taken.frames {
            let frame = std::str::from_utf8(&frame).expect("frames are text").to_owned();
            for object in frame.split('\n') {
                self.hear(&serde_json::from_str(object).expect("objects are JSON"));
            }
        }
    }

    fn hear(&mut self, event: &Value) {
        let Some(room) = ROOMS.into_iter().find(|room| event["room"] == **room) else { return };
        match event["type"].as_str().expect("an event has a type") {
            "joined" => {
                if event["recovered"] == true {
                    self.record(room, What::Resume);
                    self.show(room, entries(event));
                } else {
                    self.restart(room, event);
                }
                let users = users(&event["members"]);
                self.rooms.get_mut(room).unwrap().members = users.iter().cloned().collect();
                self.record(room, What::Members { users });
            }
            "reset" => self.restart(room, event),
            "message" => self.show(room, std::slice::from_ref(event)),
            "presence" => {
                for user in users(&event["joined"]) {
                    self.rooms.get_mut(room).unwrap().members.insert(user.clone());
                    self.record(room, What::Joined { user });
                }
                for user in users(&event["left"]) {
                    self.rooms.get_mut(room).unwrap().members.remove(&user);
                    self.record(room, What::Left { user });
                }
            }
            other => panic!("an unexpected event: {other}"),
        }
    }

    /// A page that doesn't continue what the client has.
    fn restart(&mut self, room: &'static str, event: &Value) {
        let from = match entries(event).first() {
            // The chain before the first entry isn't on the wire; the checker compares from the first entry on.
            Some(first) => Position { offset: first["offset"].as_u64().unwrap() - 1, chain: Chain::from_bits(0) },
            None => position(&event["position"]),
        };
        self.rooms.get_mut(room).unwrap().position = Some(from);
        let fresh = event["type"] == "joined" && event["recovered"].is_null();
        let reason = event["reason"].as_str().unwrap_or_default().to_owned();
        let from = from.offset;
        self.record(room, if fresh { What::Join { from } } else { What::Reset { reason, from } });
        self.show(room, entries(event));
    }

    fn show(&mut self, room: &'static str, entries: &[Value]) {
        for entry in entries {
            let position = position(entry);
            let seen = Seen {
                at: at(position),
                key: entry["key"].as_str().expect("a key").to_owned(),
                text: entry["text"].as_str().expect("a text").to_owned(),
            };
            let screen = self.rooms.get_mut(room).unwrap();
            if screen.position.is_some_and(|at| position.offset <= at.offset) {
                self.record(room, What::Repeat(seen));
            } else {
                screen.position = Some(position);
                self.record(room, What::Receive(seen));
            }
        }
    }

    fn record(&self, room: &str, what: What) {
        self.world.borrow_mut().record(self.number, room, what);
    }
}

struct Connection {
    instance: Instance,
    mailbox: Arc<Mailbox>,
    under_way: FuturesUnordered<BoxFuture<'static, Done>>,
}

fn entries(event: &Value) -> &[Value] {
    event["entries"].as_array().expect("entries")
}

fn users(list: &Value) -> Vec<String> {
    let users = list.as_array().map(Vec::as_slice).unwrap_or_default();
    users.iter().map(|user| user["id"].as_str().expect("an id").to_owned()).collect()
}

/// Of an entry, or of a position.
fn position(value: &Value) -> Position {
    let chain = value["chain"].as_str().and_then(Chain::parse).unwrap_or(Chain::from_bits(0));
    Position { offset: value["offset"].as_u64().expect("an offset"), chain }
}
