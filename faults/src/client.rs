//! A client as the protocol's document tells its authors to write one: it keeps a position per room and resumes from it,
//! repeats a write under its key until it is acknowledged, applies entries in the order of their offsets, moves when it
//! is asked to. Everything it does and sees is recorded.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::history::{At, Durability, Seen, What, text_of};
use crate::link::{Ended, Link};
use crate::recorder::Recorder;
use crate::socketio::key_of;

/// How long saying hello, and for one that moves joining, may take.
pub(crate) const GREETING: Duration = Duration::from_secs(5);

/// A send is answered within a second or so. One that isn't after this long is recorded as unanswered, and its connection
/// counts as dead.
pub(crate) const ANSWER: Duration = Duration::from_secs(8);

/// Back-off of a new connection: full jitter, doubling between these. Shorter than clients of real people, so that a
/// run sees more connections.
pub(crate) const BACK_OFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));

/// Wait before a refused command is tried again, where the refusal doesn't say.
pub(crate) const RETRY: Duration = Duration::from_millis(250);

/// Entries of a joined page without a position.
const PAGE: usize = 20;

/// Chains that a client remembers per room, to tell a repeated entry from one of another log.
const REMEMBERED: u64 = 256;

/// What clients do at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// They write now and then.
    Writing,
    /// They write nothing new, but go on with what has no outcome.
    Quiet,
    /// They stop where they are.
    Over,
}

/// How a client behaves.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// The rooms it is in.
    pub rooms: Vec<String>,
    /// Between two writes, in milliseconds at most and at least; `None`: it only reads.
    pub writes_ms: Option<(u64, u64)>,
    /// Bytes that pad a text.
    pub padding: usize,
    /// Moves when it is asked to; else waits until it is closed.
    pub moves: bool,
    /// Now and then it reads nothing for so long.
    pub dozes: Option<Duration>,
    /// Between two heartbeats of the service.
    pub heartbeat: Duration,
}

impl Behaviour {
    /// When the first write is due: sooner than the next one, so that whoever writes seldom begins soon.
    pub(crate) fn first_write(&self, rng: &mut SmallRng) -> Option<Instant> {
        let (_, most) = self.writes_ms?;
        Some(Instant::now() + Duration::from_millis(rng.random_range(0..=most)))
    }

    /// When the next one is.
    pub(crate) fn next_write(&self, rng: &mut SmallRng) -> Option<Instant> {
        let (least, most) = self.writes_ms?;
        Some(Instant::now() + Duration::from_millis(rng.random_range(least..=most)))
    }
}

/// What a client shows at the moment.
#[derive(Debug, Clone, Default)]
pub struct Screen {
    /// Where it is; `None` before the first join.
    pub at: Option<At>,
    /// The room is joined on the connection that is there.
    pub live: bool,
    /// The members' names by their ids, where the client is told them.
    pub members: Option<BTreeMap<String, String>>,
    /// A write without an outcome.
    pub write: Option<Write>,
    chains: BTreeMap<u64, String>,
}

impl Screen {
    /// The members' names, in order, one per member.
    #[must_use]
    pub fn names(&self) -> Option<Vec<String>> {
        let mut names: Vec<_> = self.members.as_ref()?.values().cloned().collect();
        names.sort();
        Some(names)
    }
}

/// A write without an outcome.
#[derive(Debug, Clone)]
pub struct Write {
    pub(crate) key: String,
    /// When it may be tried again; `None` while an attempt is under way.
    pub(crate) due: Option<Instant>,
    pub(crate) since: Instant,
    /// No attempt but refused ones.
    only_refused: bool,
}

impl Write {
    /// One that is due now.
    pub(crate) fn new(key: String) -> Self {
        let now = Instant::now();
        Self { key, due: Some(now), since: now, only_refused: true }
    }
}

/// What others see of a client.
#[derive(Debug, Default)]
pub struct Shown {
    /// By room.
    pub screens: BTreeMap<String, Screen>,
    /// Its name, which nobody else has.
    pub user: String,
    /// Where it is connected, if it is.
    pub door: Option<SocketAddr>,
    /// It speaks Socket.IO.
    pub socketio: bool,
}

impl Shown {
    /// Nothing yet, in these rooms.
    pub(crate) fn new(number: usize, rooms: &[String]) -> Self {
        let screens = rooms.iter().map(|room| (room.clone(), Screen::default())).collect();
        Self { screens, user: name(number), ..Self::default() }
    }
}

/// The name of a client.
pub(crate) fn name(number: usize) -> String {
    format!("Client {number}")
}

/// What all clients of a run have in common.
pub struct Shared {
    /// Where everything is recorded.
    pub recorder: Recorder,
    /// Where clients may connect: replaced as instances come and go.
    pub doors: RefCell<Vec<SocketAddr>>,
    /// What they do.
    pub phase: watch::Receiver<Phase>,
}

impl Shared {
    /// One of the places where clients may connect.
    pub(crate) fn door(&self, rng: &mut SmallRng) -> Option<SocketAddr> {
        let doors = self.doors.borrow();
        (!doors.is_empty()).then(|| doors[rng.random_range(0..doors.len())])
    }

    pub(crate) fn is(&self, phase: Phase) -> bool {
        *self.phase.borrow() == phase
    }

    /// Waits, but not longer than anything goes on.
    pub(crate) async fn rest(&self, pause: Duration) {
        let mut phase = self.phase.clone();
        let over = async { phase.wait_for(|phase| *phase == Phase::Over).await.is_ok() };
        let _ = timeout(pause, over).await;
    }
}

/// The chance of one client.
pub(crate) fn chance(seed: u64, number: usize) -> SmallRng {
    SmallRng::seed_from_u64(seed ^ ((number as u64 + 1) << 32))
}

/// One client.
pub struct Client {
    shared: Rc<Shared>,
    number: usize,
    behaviour: Behaviour,
    shown: Rc<RefCell<Shown>>,
    rng: SmallRng,
    token: Option<String>,
    written: usize,
    asked: u64,
    waiting: HashMap<u64, Asked>,
    /// Rooms to join again, and when.
    rejoins: BTreeMap<String, Instant>,
    /// Asks it to go for good.
    quit: Rc<Notify>,
    gone: bool,
}

enum Asked {
    Join(String),
    Write(String),
}

/// A connection on which hello was said, and what came since.
struct Greeted {
    door: SocketAddr,
    link: Link,
    heard: Vec<Value>,
    asked: Vec<(u64, String)>,
}

enum Turn {
    Heard(Result<Value, Ended>),
    Moved(Result<Box<Greeted>, Ended>),
    Phase,
    Quit,
    Due,
}

impl Client {
    /// One that has not connected yet.
    #[must_use]
    pub fn new(shared: Rc<Shared>, number: usize, seed: u64, behaviour: Behaviour) -> Self {
        let shown = Rc::new(RefCell::new(Shown::new(number, &behaviour.rooms)));
        let rng = chance(seed, number);
        Self {
            shared,
            number,
            behaviour,
            shown,
            rng,
            token: None,
            written: 0,
            asked: 0,
            waiting: HashMap::new(),
            rejoins: BTreeMap::new(),
            quit: Rc::default(),
            gone: false,
        }
    }

    /// What it shows while it lives.
    #[must_use]
    pub fn shown(&self) -> Rc<RefCell<Shown>> {
        Rc::clone(&self.shown)
    }

    /// Told, it leaves its rooms and goes for good, once it is connected.
    #[must_use]
    pub fn quit(&self) -> Rc<Notify> {
        Rc::clone(&self.quit)
    }

    /// Lives until it is over.
    pub async fn live(mut self) {
        let mut back_off = BACK_OFF.0;
        while !self.is_over() {
            let started = Instant::now();
            if let Ok(greeted) = self.greet(false).await {
                let ended = self.stay(greeted).await;
                if let Err(Ended(code)) = ended {
                    self.record("", What::Close { code });
                }
                self.lose_connection("closed");
            }
            if started.elapsed() > BACK_OFF.1 {
                back_off = BACK_OFF.0;
            }
            self.shared.rest(self.rng.random_range(Duration::ZERO..back_off)).await;
            back_off = BACK_OFF.1.min(back_off * 2);
        }
    }

    fn is_over(&self) -> bool {
        self.gone || self.shared.is(Phase::Over)
    }

    fn record(&self, room: &str, what: What) {
        self.shared.recorder.record(Some(self.number), room, what);
    }

    fn next_id(&mut self) -> u64 {
        self.asked += 1;
        self.asked
    }

    /// Opens a connection, says hello and asks to join every room from where the client is.
    ///
    /// One that moves waits until all are joined: until then its old connection is the better one.
    fn greet(&mut self, moves: bool) -> LocalBoxFuture<'static, Result<Box<Greeted>, Ended>> {
        let Some(door) = self.shared.door(&mut self.rng) else {
            return futures_util::future::err(Ended(0)).boxed_local();
        };
        let mut hello = json!({"type": "hello", "id": 0, "name": name(self.number)});
        if let Some(token) = &self.token {
            hello["token"] = json!(token);
        }
        let rooms = self.behaviour.rooms.clone();
        let joins: Vec<_> = rooms.into_iter().map(|room| (self.next_id(), room)).collect();
        let commands: Vec<_> = joins.iter().map(|(id, room)| self.join_command(*id, room)).collect();
        let greeting = async move {
            let mut link = Link::open(door).await?;
            link.say(&hello).await?;
            let welcome = link.hear().await?;
            if welcome["type"] != "welcome" {
                return Err(Ended(0));
            }
            for command in &commands {
                link.say(command).await?;
            }
            let mut greeted = Greeted { door, link, heard: vec![welcome], asked: joins };
            let mut missing = if moves { greeted.asked.len() } else { 0 };
            while missing > 0 {
                let heard = greeted.link.hear().await?;
                match heard["type"].as_str() {
                    Some("error") => return Err(Ended(0)),
                    Some("joined") => missing -= 1,
                    _ => {}
                }
                greeted.heard.push(heard);
            }
            Ok(Box::new(greeted))
        };
        async { timeout(GREETING, greeting).await.unwrap_or(Err(Ended(0))) }.boxed_local()
    }

    fn join_command(&self, id: u64, room: &str) -> Value {
        let mut join = json!({"type": "join", "id": id, "room": room, "limit": PAGE});
        if let Some(at) = &self.shown.borrow().screens[room].at {
            join["since"] = json!({"offset": at.offset, "chain": at.chain});
        }
        join
    }

    /// Whatever was asked on the old connection has no answer any more.
    fn lose_connection(&mut self, code: &str) {
        self.rejoins.clear();
        let waiting: Vec<_> = self.waiting.drain().collect();
        for (_, asked) in waiting {
            if let Asked::Write(room) = asked {
                self.unknown(&room, code, Duration::ZERO);
            }
        }
        let mut shown = self.shown.borrow_mut();
        shown.door = None;
        shown.screens.values_mut().for_each(|screen| screen.live = false);
    }

    fn unknown(&mut self, room: &str, code: &str, pause: Duration) {
        let mut shown = self.shown.borrow_mut();
        let Some(write) = shown.screens.get_mut(room).and_then(|screen| screen.write.as_mut()) else { return };
        write.due = Some(Instant::now() + pause);
        write.only_refused = false;
        let what = What::Info { key: write.key.clone(), code: code.to_owned() };
        drop(shown);
        self.record(room, what);
    }

    /// Stays on a connection until it ends or everything is over.
    async fn stay(&mut self, greeted: Box<Greeted>) -> Result<(), Ended> {
        let mut link = self.take_over(greeted).await?;
        let mut moving: Option<LocalBoxFuture<'static, Result<Box<Greeted>, Ended>>> = None;
        let (mut phase, quit) = (self.shared.phase.clone(), self.quit());
        let mut write_at = self.behaviour.first_write(&mut self.rng);
        let mut doze_at = self.next_doze();
        loop {
            if *phase.borrow_and_update() == Phase::Over {
                return Ok(());
            }
            let silent_at = link.heard_at() + 2 * self.behaviour.heartbeat + Duration::from_secs(1);
            let due = self.due().into_iter().chain(write_at).chain(doze_at).fold(silent_at, Instant::min);
            let turn = tokio::select! {
                biased;
                _ = phase.changed() => Turn::Phase,
                () = quit.notified() => Turn::Quit,
                moved = async { match moving.as_mut() { Some(moving) => moving.await, None => std::future::pending().await } }, if moving.is_some() => Turn::Moved(moved),
                heard = link.hear() => Turn::Heard(heard),
                () = sleep_until(due) => Turn::Due,
            };
            let now = Instant::now();
            match turn {
                Turn::Phase => {}
                Turn::Quit => {
                    self.gone = true;
                    for room in &self.behaviour.rooms {
                        link.say(&json!({"type": "leave", "id": 0, "room": room})).await?;
                    }
                    link.close().await;
                    return Ok(());
                }
                Turn::Moved(Ok(greeted)) => {
                    moving = None;
                    let old = std::mem::replace(&mut link, self.take_over(greeted).await?);
                    old.close().await;
                }
                // The old connection is kept as long as it lasts, and the next try comes a little later.
                Turn::Moved(Err(_)) => {
                    let (pause, next) = (self.rng.random_range(Duration::ZERO..BACK_OFF.1), self.greet(true));
                    moving = Some(
                        async move {
                            sleep(pause).await;
                            next.await
                        }
                        .boxed_local(),
                    );
                }
                Turn::Heard(heard) => {
                    let heard = heard?;
                    if let Some(within) = self.hear(&mut link, &heard).await?
                        && moving.is_none()
                    {
                        let (pause, next) = (self.rng.random_range(Duration::ZERO..=within), self.greet(true));
                        moving = Some(
                            async move {
                                sleep(pause).await;
                                next.await
                            }
                            .boxed_local(),
                        );
                    }
                }
                Turn::Due if now >= silent_at => return Err(Ended(0)),
                Turn::Due => {
                    if doze_at.is_some_and(|at| now >= at) {
                        sleep(self.behaviour.dozes.unwrap_or_default()).await;
                        link.listens_again();
                        doze_at = self.next_doze();
                    }
                    if write_at.is_some_and(|at| now >= at) {
                        self.begin_write();
                        write_at = self.behaviour.next_write(&mut self.rng);
                    }
                    self.act(&mut link).await?;
                }
            }
        }
    }

    /// Goes on with a new connection.
    async fn take_over(&mut self, greeted: Box<Greeted>) -> Result<Link, Ended> {
        self.lose_connection("moved");
        let Greeted { door, mut link, heard, asked } = *greeted;
        self.shown.borrow_mut().door = Some(door);
        self.waiting.extend(asked.into_iter().map(|(id, room)| (id, Asked::Join(room))));
        for object in heard {
            self.hear(&mut link, &object).await?;
        }
        Ok(link)
    }

    fn next_doze(&mut self) -> Option<Instant> {
        self.behaviour.dozes?;
        Some(Instant::now() + Duration::from_millis(self.rng.random_range(500..3_000)))
    }

    /// When something of what waits has to be done.
    fn due(&self) -> Option<Instant> {
        let shown = self.shown.borrow();
        let writes = shown.screens.values().filter(|screen| screen.live).filter_map(|screen| screen.write.as_ref());
        let writes = writes.map(|write| write.due.unwrap_or(write.since + ANSWER));
        writes.chain(self.rejoins.values().copied()).min()
    }

    /// Begins something new in a room where nothing waits for its outcome.
    fn begin_write(&mut self) {
        if *self.shared.phase.borrow() != Phase::Writing {
            return;
        }
        let room = self.behaviour.rooms[self.rng.random_range(0..self.behaviour.rooms.len())].clone();
        let mut shown = self.shown.borrow_mut();
        let Some(screen) = shown.screens.get_mut(&room).filter(|screen| screen.write.is_none()) else { return };
        self.written += 1;
        screen.write = Some(Write::new(format!("{}-{}", self.number, self.written)));
    }

    /// Says what is due.
    async fn act(&mut self, link: &mut Link) -> Result<(), Ended> {
        let now = Instant::now();
        let rejoins: Vec<_> =
            self.rejoins.iter().filter(|(_, due)| now >= **due).map(|(room, _)| room.clone()).collect();
        for room in rejoins {
            self.rejoins.remove(&room);
            let id = self.next_id();
            self.waiting.insert(id, Asked::Join(room.clone()));
            link.say(&self.join_command(id, &room)).await?;
        }
        for room in self.behaviour.rooms.clone() {
            let key = {
                let mut shown = self.shown.borrow_mut();
                let Some(screen) = shown.screens.get_mut(&room).filter(|screen| screen.live) else { continue };
                let Some(write) = &mut screen.write else { continue };
                match write.due {
                    Some(due) if now >= due => {
                        (write.due, write.since) = (None, now);
                        write.key.clone()
                    }
                    None if now >= write.since + ANSWER => return Err(Ended(0)),
                    _ => continue,
                }
            };
            self.record(&room, What::Invoke { key: key.clone() });
            let id = self.next_id();
            self.waiting.insert(id, Asked::Write(room.clone()));
            let text = pad(&key, self.behaviour.padding);
            link.say(&json!({"type": "send", "id": id, "room": room, "key": key, "text": text})).await?;
        }
        Ok(())
    }

    /// Takes an object in. Gives a time where the client is to move within it.
    async fn hear(&mut self, link: &mut Link, object: &Value) -> Result<Option<Duration>, Ended> {
        let room = object["room"].as_str().unwrap_or_default();
        let asked = object["id"].as_u64().and_then(|id| self.waiting.remove(&id));
        match object["type"].as_str().unwrap_or_default() {
            "welcome" => {
                self.token = object["token"].as_str().map(str::to_owned);
                let user = text(&object["user"]["id"]);
                let instance = text(&object["instance"]);
                self.record("", What::Open { instance, user });
            }
            "ping" => link.say(&json!({"type": "pong"})).await?,
            "goaway" => {
                self.record("", What::Goaway { reason: text(&object["reason"]) });
                let within = Duration::from_millis(object["in_ms"].as_u64().unwrap_or(0));
                return Ok(self.behaviour.moves.then_some(within));
            }
            "degraded" => self.record("", What::Degraded { on: object["on"] == true }),
            "durability" => {
                if let Some(durability) = durability(&object["mode"]) {
                    self.record("", What::Mode { durability });
                }
            }
            "joined" => {
                self.on_joined(room, object);
                self.act(link).await?;
            }
            "reset" => self.restart(room, object),
            "message" => self.show(room, std::slice::from_ref(object)),
            "presence" => self.on_presence(room, object),
            "sent" => self.on_sent(room, object),
            "error" => self.on_error(asked, object),
            _ => {}
        }
        Ok(None)
    }

    fn on_joined(&mut self, room: &str, object: &Value) {
        if object["recovered"] == true {
            self.record(room, What::Resume);
            self.show(room, entries(object));
        } else {
            self.restart(room, object);
        }
        let users = users(&object["members"]);
        let ids = users.iter().map(|(id, _)| id.clone()).collect();
        self.with(room, |screen| {
            screen.live = true;
            screen.members = Some(users.into_iter().collect());
        });
        self.record(room, What::Members { users: ids });
    }

    fn on_presence(&mut self, room: &str, object: &Value) {
        for (user, name) in users(&object["joined"]) {
            self.with(room, |screen| screen.members.get_or_insert_default().insert(user.clone(), name));
            self.record(room, What::Joined { user });
        }
        for (user, _) in users(&object["left"]) {
            self.with(room, |screen| screen.members.get_or_insert_default().remove(&user));
            self.record(room, What::Left { user });
        }
    }

    fn on_sent(&mut self, room: &str, object: &Value) {
        let write = self.with(room, |screen| screen.write.take()).flatten();
        if let (Some(write), Some(durability)) = (write, durability(&object["durability"])) {
            self.record(room, What::Ok { key: write.key, at: at(&object["position"]), durability });
        }
    }

    fn on_error(&mut self, asked: Option<Asked>, object: &Value) {
        let code = text(&object["code"]);
        let pause = object["retry_ms"].as_u64().map_or(RETRY, Duration::from_millis);
        match asked {
            Some(Asked::Join(room)) => {
                self.rejoins.insert(room, Instant::now() + pause);
            }
            Some(Asked::Write(room)) => match code.as_str() {
                "unconfirmed" | "unavailable" | "internal" => self.unknown(&room, &code, pause),
                _ => self.refused(&room, &code, pause),
            },
            None => {}
        }
    }

    /// The attempt stored nothing. Where no other attempt may have, the client gives up now and then.
    fn refused(&mut self, room: &str, code: &str, pause: Duration) {
        let gives_up = self.rng.random_bool(0.5);
        let key = self.with(room, |screen| {
            let write = screen.write.as_mut()?;
            let key = write.key.clone();
            if write.only_refused && gives_up {
                screen.write = None;
            } else {
                write.due = Some(Instant::now() + pause);
            }
            Some(key)
        });
        if let Some(key) = key.flatten() {
            self.record(room, What::Fail { key, code: code.to_owned() });
        }
    }

    /// A page that doesn't continue what the client has.
    fn restart(&mut self, room: &str, object: &Value) {
        let fresh = object["type"] == "joined" && object["recovered"].is_null();
        let from = match entries(object).first() {
            // The chain before the first entry isn't on the wire, and the next entry brings its own.
            Some(first) => At { offset: at(first).offset.saturating_sub(1), chain: String::new() },
            None => at(&object["position"]),
        };
        let reason = text(&object["reason"]);
        let offset = from.offset;
        self.with(room, |screen| {
            screen.chains.clear();
            screen.at = Some(from);
        });
        self.record(room, if fresh { What::Join { from: offset } } else { What::Reset { reason, from: offset } });
        self.show(room, entries(object));
    }

    fn show(&mut self, room: &str, entries: &[Value]) {
        for entry in entries {
            let at = at(entry);
            let words = text(&entry["text"]);
            let words = words.trim_end_matches('x').trim_end().to_owned();
            let seen = Seen { at: at.clone(), key: key_of(&text(&entry["key"]), &words), text: words };
            let had = self.with(room, |screen| {
                let had = screen.at.as_ref().is_some_and(|top| at.offset <= top.offset);
                if had {
                    return Some(screen.chains.get(&at.offset).is_none_or(|chain| *chain == at.chain));
                }
                screen.chains.insert(at.offset, at.chain.clone());
                screen.chains.remove(&at.offset.saturating_sub(REMEMBERED));
                screen.at = Some(at);
                None
            });
            match had.flatten() {
                None => self.record(room, What::Receive(seen)),
                Some(same) => {
                    self.record(room, What::Repeat(seen));
                    if !same {
                        // Another log: the position says so to whoever is asked to continue from it.
                        self.rejoins.entry(room.to_owned()).or_insert_with(Instant::now);
                    }
                }
            }
        }
    }

    fn with<T>(&self, room: &str, change: impl FnOnce(&mut Screen) -> T) -> Option<T> {
        self.shown.borrow_mut().screens.get_mut(room).map(change)
    }
}

/// A text of a size. What pads it is not part of what is recorded.
pub(crate) fn pad(key: &str, bytes: usize) -> String {
    let text = text_of(key);
    if bytes == 0 { text } else { format!("{text} {}", "x".repeat(bytes)) }
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn entries(object: &Value) -> &[Value] {
    object["entries"].as_array().map_or(&[], Vec::as_slice)
}

/// Ids and names.
fn users(list: &Value) -> Vec<(String, String)> {
    let users = list.as_array().map_or(&[][..], Vec::as_slice).iter();
    users.map(|user| (text(&user["id"]), text(&user["name"]))).collect()
}

/// Of an entry, or of a position.
pub(crate) fn at(value: &Value) -> At {
    At { offset: value["offset"].as_u64().unwrap_or_default(), chain: text(&value["chain"]) }
}

pub(crate) fn durability(value: &Value) -> Option<Durability> {
    match value.as_str()? {
        "memory" => Some(Durability::Memory),
        "stored" => Some(Durability::Stored),
        "replicated" => Some(Durability::Replicated),
        _ => None,
    }
}
