//! `confab probe`: the way of a message through a running service, from outside, with a cut in it.
//!
//! Two guests join a room, on two instances where it can be had. One says something, the other has to hear it in time; a
//! repeated send must not make a second message; then the other's connection is dropped without a word, something is said
//! meanwhile, and it has to come when the other is back at its position. What is left behind is two short messages in a
//! room whose log the service trims, and nobody in it. Probes at the same time, in one room, don't mind each other.
//!
//! It behaves as a client should: what is refused for the moment is said again when the service says, and a guest who is
//! asked to move moves. A connection that is lost otherwise is a failure.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};
use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use super::reader::{Reader, Step, is_entry};
use super::service::{ATTEMPTS, Service, Welcome, refused, tell, url_or_own, wait_after};
use super::{Failed, NO, UNAVAILABLE};

/// Connections that are opened in search of a second instance.
const TRIES: u32 = 8;

/// The name of both guests.
const NAME: &str = "probe";

/// What is said in the room.
const TEXT: &str = "probe";

#[derive(Debug, Args)]
pub(super) struct Probe {
    /// Where the service is, instead of this machine: wss://HOST/ws, or ws://HOST:PORT/ws without TLS
    url: Option<String>,
    /// Where the second guest connects, if not there
    #[arg(long, value_name = "URL")]
    second_url: Option<String>,
    /// The room; it is no other than any room, so choose one that nobody chats in
    #[arg(long, default_value = "confab.probe")]
    room: String,
    /// Most seconds that all of it may take
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    within: u64,
    /// Most milliseconds from a send to its delivery
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    delivery_within: u64,
    /// Fail where both guests are on one instance
    #[arg(long)]
    two_instances: bool,
    /// Print one line of JSON, as is done where the output is no terminal
    #[arg(long)]
    json: bool,
}

/// A step of the way.
#[derive(Debug, Clone, Copy)]
struct Stage {
    /// In the output.
    name: &'static str,
    what: &'static str,
    /// The exit code where it isn't done in time: a service that says nothing is away, one that doesn't deliver breaks its
    /// promise.
    unfinished: u8,
}

impl Stage {
    const fn answer(name: &'static str, what: &'static str) -> Self {
        Self { name, what, unfinished: UNAVAILABLE }
    }

    const fn promise(name: &'static str, what: &'static str) -> Self {
        Self { name, what, unfinished: NO }
    }
}

const CONNECT: Stage = Stage::answer("connect", "TCP, TLS and the upgrade to a WebSocket");
const HELLO: Stage = Stage::answer("hello", "hello to welcome");
const JOIN: Stage = Stage::answer("join", "join to joined");
const LISTENER: Stage =
    Stage::answer("listener", "the other guest: connections until another instance answers, and a join");
const ACK: Stage = Stage::answer("ack", "send to sent");
const DELIVERY: Stage = Stage::promise("delivery", "send to the other's message");
const RETRY: Stage = Stage::answer("retry", "the same send again, to sent as a duplicate");
const MISSED: Stage = Stage::answer("missed", "a send after the cut, to sent");
const RECONNECT: Stage = Stage::answer("reconnect", "after the cut, a new connection to its welcome");
const RESUME: Stage = Stage::promise("resume", "join at a position to the missed message");

/// What is known so far.
struct Report {
    stage: Stage,
    took: Vec<(Stage, Duration)>,
    instances: Vec<String>,
    /// What the acknowledgement promised.
    durability: Option<String>,
}

/// One of the two in the room.
struct Member {
    service: Service,
    place: Place,
    /// The service has asked it to come to another instance.
    asked_to_move: bool,
    welcome: Welcome,
    reader: Reader,
    /// What all keys of this probe begin with.
    run: String,
    /// The messages of this probe that were read, by key.
    heard: BTreeMap<String, Stored>,
}

/// Where a guest is, and for how long at most.
#[derive(Debug, Clone)]
struct Place {
    url: String,
    room: String,
    ends_at: Instant,
}

/// Where a message is in the log, as one of its witnesses says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stored {
    offset: Value,
    chain: Value,
}

impl Probe {
    /// Goes the way and prints what it took, also where it failed.
    pub(super) async fn run(&self, own: SocketAddr, out: &mut impl Write) -> Result<(), Failed> {
        let mut report = Report { stage: CONNECT, took: Vec::new(), instances: Vec::new(), durability: None };
        let ends_at = Instant::now() + Duration::from_secs(self.within);
        let mut result = match timeout_at(ends_at, self.go(own, ends_at, &mut report)).await {
            Ok(result) => result,
            Err(_) => Err(Failed::new(report.stage.unfinished, format!("not done within {} s", self.within))),
        };
        if let Err(failed) = &mut result {
            failed.message = format!("{}: {}", report.stage.name, failed.message);
        }
        let failed = result.as_ref().err().map(|failed| failed.message.as_str());
        if self.json || !io::stdout().is_terminal() {
            writeln!(out, "{}", report.line(failed))?;
        } else {
            write!(out, "{}", report.table())?;
        }
        result
    }

    async fn go(&self, own: SocketAddr, ends_at: Instant, report: &mut Report) -> Result<(), Failed> {
        let url = url_or_own(self.url.as_deref(), own);
        let second_url = self.second_url.clone().unwrap_or_else(|| url.clone());
        let here = Place { url, room: self.room.clone(), ends_at };
        let there = Place { url: second_url, ..here.clone() };
        let run = format!("probe-{:016x}", rand::random::<u64>());

        let mut service = report.time(CONNECT, Service::connect(&here.url)).await?;
        let welcome = report.time(HELLO, service.hello(NAME, None)).await?;
        report.instances.push(welcome.instance.clone());
        let mut speaker = Member::new(service, welcome, here, &run);
        report.time(JOIN, speaker.join()).await?;
        let first = speaker.welcome.instance.clone();
        let elsewhere = async {
            let mut listener = Member::elsewhere(there, &first, &run).await?;
            if self.two_instances && listener.welcome.instance == first {
                return Err(Failed::new(NO, format!("all of {TRIES} connections reached {first}")));
            }
            listener.join().await?;
            Ok(listener)
        };
        let mut listener = report.time(LISTENER, elsewhere).await?;
        report.instances.push(listener.welcome.instance.clone());

        let key = format!("{run}-1");
        let said_at = Instant::now();
        report.stage = ACK;
        let saying = async {
            let sent = speaker.say(&key).await?;
            report.took.push((ACK, said_at.elapsed()));
            report.stage = DELIVERY;
            Ok::<_, Failed>(sent)
        };
        let hearing = async {
            let heard = listener.hear(&key).await.map_err(|failed| failed.of("the listener"))?;
            Ok::<_, Failed>((heard, said_at.elapsed()))
        };
        let (sent, (heard, took)) = tokio::try_join!(saying, hearing)?;
        report.took.push((DELIVERY, took));
        report.durability = sent["durability"].as_str().map(str::to_owned);
        let stored = Stored::at(&sent["position"]);
        stored.is(&heard)?;
        stored.is(&speaker.hear(&key).await?)?;
        if took > Duration::from_millis(self.delivery_within) {
            return Err(Failed::new(NO, format!("took {} ms, of at most {}", took.as_millis(), self.delivery_within)));
        }

        let again = report.time(RETRY, speaker.say(&key)).await?;
        stored.is(&Stored::at(&again["position"]))?;
        if again["duplicate"] != true {
            return Err(Failed::new(NO, "the repeated send isn't answered as a duplicate"));
        }

        let cut = listener.cut();
        let key = format!("{run}-2");
        let missed = report.time(MISSED, speaker.say(&key)).await?;
        let mut listener = report.time(RECONNECT, cut.back()).await?;
        let resuming = async {
            listener.join().await?;
            listener.hear(&key).await
        };
        Stored::at(&missed["position"]).is(&report.time(RESUME, resuming).await?)?;

        for mut member in [speaker, listener] {
            member.ask(json!({"type": "leave", "room": self.room})).await?;
            member.service.close().await;
        }
        Ok(())
    }
}

impl Report {
    /// Waits for a step and notes how long it took.
    async fn time<T>(&mut self, stage: Stage, step: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
        self.stage = stage;
        let started_at = Instant::now();
        let done = step.await?;
        self.took.push((stage, started_at.elapsed()));
        Ok(done)
    }

    fn line(&self, failed: Option<&str>) -> Value {
        let stages: Map<String, Value> =
            self.took.iter().map(|(stage, took)| (stage.name.to_owned(), json!(millis(*took)))).collect();
        let mut line = json!({
            "ok": failed.is_none(), "instances": self.instances, "durability": self.durability, "stages_ms": stages,
        });
        if let Some(problem) = failed {
            line["failed"] = json!(self.stage.name);
            line["problem"] = json!(problem);
        }
        line
    }

    fn table(&self) -> String {
        let mut table = String::new();
        for (Stage { name, what, .. }, took) in &self.took {
            let _ = writeln!(table, "{name:<10} {:>10.1} ms  {what}", millis(*took));
        }
        let _ = writeln!(table, "instances  {}", self.instances.join(", "));
        let _ = writeln!(table, "durability {}", self.durability.as_deref().unwrap_or("not known"));
        table
    }
}

impl Member {
    fn new(service: Service, welcome: Welcome, place: Place, run: &str) -> Self {
        let (reader, run, heard) = (Reader::default(), run.to_owned(), BTreeMap::new());
        Self { service, place, asked_to_move: false, welcome, reader, run, heard }
    }

    /// Signs in on another instance than this one, where one can be had.
    async fn elsewhere(place: Place, instance: &str, run: &str) -> Result<Self, Failed> {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut service = Service::connect(&place.url).await?;
            let welcome = service.hello(NAME, None).await?;
            if welcome.instance != instance || tries == TRIES {
                return Ok(Self::new(service, welcome, place, run));
            }
            service.close().await;
        }
    }

    /// Drops the connection without a word to the service.
    fn cut(self) -> Cut {
        let Self { service, place, asked_to_move: _, welcome, reader, run, heard } = self;
        drop(service);
        Cut { place, welcome, reader, run, heard }
    }

    /// Joins where it is and reads what the reply brings.
    async fn join(&mut self) -> Result<(), Failed> {
        let joined = self.ask(self.reader.join(&self.place.room, 1)).await?;
        if joined["recovered"] == false {
            return Err(Failed::new(
                NO,
                format!("its position can't be continued: {}", joined["reason"].as_str().unwrap_or("no reason given")),
            ));
        }
        for entry in joined["entries"].as_array().into_iter().flatten() {
            self.read(entry)?;
        }
        self.reader.begin();
        Ok(())
    }

    /// Where it was asked to: takes a new connection, goes on there from its position, and leaves the old one.
    async fn move_if_asked(&mut self) -> Result<(), Failed> {
        if !self.asked_to_move {
            return Ok(());
        }
        let mut service = Service::connect(&self.place.url).await?;
        self.welcome = service.hello(NAME, Some(&self.welcome.token)).await?;
        let old = std::mem::replace(&mut self.service, service);
        self.asked_to_move = false;
        self.join().await?;
        old.close().await;
        tell(&format!("asked to move, went to {}", self.welcome.instance));
        Ok(())
    }

    /// Sends a message; returns the reply.
    async fn say(&mut self, key: &str) -> Result<Value, Failed> {
        self.move_if_asked().await?;
        self.ask(json!({"type": "send", "room": self.place.room, "key": key, "text": TEXT})).await
    }

    /// Waits until it has read the message with this key.
    async fn hear(&mut self, key: &str) -> Result<Stored, Failed> {
        loop {
            if let Some(stored) = self.heard.get(key) {
                return Ok(stored.clone());
            }
            self.move_if_asked().await?;
            let object = self.service.next().await?;
            self.pass(&object)?;
        }
    }

    /// Sends a command until it isn't refused for the moment only, and returns its reply.
    ///
    /// # Errors
    /// A refusal that stays, or that asks for more time than there is.
    async fn ask(&mut self, mut command: Value) -> Result<Value, Failed> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let reply = self.reply(&mut command).await?;
            if reply["type"] != "error" {
                return Ok(reply);
            }
            let wait = wait_after(&command, &reply)?;
            if attempts == ATTEMPTS || Instant::now() + wait >= self.place.ends_at {
                return Err(refused(&command, &reply));
            }
            tell(&format!("{}; again in {} ms", refused(&command, &reply).message, wait.as_millis()));
            sleep(wait).await;
        }
    }

    async fn reply(&mut self, command: &mut Value) -> Result<Value, Failed> {
        let id = self.service.say(command).await?;
        loop {
            let object = self.service.next().await?;
            if object["id"] == id {
                return Ok(object);
            }
            self.pass(&object)?;
        }
    }

    /// Takes a push.
    fn pass(&mut self, push: &Value) -> Result<(), Failed> {
        match push["type"].as_str() {
            Some("reset") => Err(Failed::new(
                NO,
                format!("the log was reset: {}", push["reason"].as_str().unwrap_or("no reason given")),
            )),
            Some("goaway") => {
                self.asked_to_move = true;
                Ok(())
            }
            _ if is_entry(push) => self.read(push),
            _ => Ok(()),
        }
    }

    fn read(&mut self, entry: &Value) -> Result<(), Failed> {
        let step = self.reader.take(entry).map_err(|problem| Failed::new(NO, problem))?;
        if step == Step::Ahead {
            let have = self.reader.position().offset;
            return Err(Failed::new(NO, format!("entry {} came after {have}: a hole", entry["offset"])));
        }
        if let Some(key) = entry["key"].as_str().filter(|key| key.starts_with(&self.run)) {
            self.heard.insert(key.to_owned(), Stored::at(entry));
        }
        Ok(())
    }
}

/// A member without a connection.
struct Cut {
    place: Place,
    welcome: Welcome,
    reader: Reader,
    run: String,
    heard: BTreeMap<String, Stored>,
}

impl Cut {
    /// Connects again, as the same user.
    async fn back(self) -> Result<Member, Failed> {
        let Self { place, welcome, reader, run, heard } = self;
        let mut service = Service::connect(&place.url).await?;
        let welcome = service.hello(NAME, Some(&welcome.token)).await?;
        Ok(Member { service, place, asked_to_move: false, welcome, reader, run, heard })
    }
}

impl Stored {
    /// By a position or an entry.
    fn at(place: &Value) -> Self {
        Self { offset: place["offset"].clone(), chain: place["chain"].clone() }
    }

    fn is(&self, other: &Self) -> Result<(), Failed> {
        if self == other {
            return Ok(());
        }
        let place = |Self { offset, chain }: &Self| format!("{offset} {chain}");
        Err(Failed::new(NO, format!("one message in two places: {} and {}", place(self), place(other))))
    }
}

/// With microseconds behind the point: more is noise.
fn millis(took: Duration) -> f64 {
    (took.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}
