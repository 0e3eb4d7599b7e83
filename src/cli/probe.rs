//! `confab probe`: the way of a message through a running service, from outside, with a cut in it.
//!
//! Two guests join a room, on two instances where it can be had. One says something, the other has to hear it in time; a
//! repeated send must not make a second message; then the other's connection is dropped without a word, something is said
//! meanwhile, and it has to come when the other is back at its position. What is left behind is two short messages in a
//! room whose log the service trims, and nobody in it. Probes at the same time, in one room, don't mind each other.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};
use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout};

use super::reader::{Reader, Step, is_entry};
use super::service::{Service, Welcome, refused, url_or_own};
use super::{Failed, NO};

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

/// A step of the way: its name in the output, and what it is.
type Stage = (&'static str, &'static str);

const CONNECT: Stage = ("connect", "TCP, TLS and the upgrade to a WebSocket");
const HELLO: Stage = ("hello", "hello to welcome");
const JOIN: Stage = ("join", "join to joined");
const ACK: Stage = ("ack", "send to sent");
const DELIVERY: Stage = ("delivery", "send to the other's message");
const RETRY: Stage = ("retry", "the same send again, to sent as a duplicate");
const MISSED: Stage = ("missed", "a send after the cut, to sent");
const RECONNECT: Stage = ("reconnect", "after the cut, a new connection to its welcome");
const RESUME: Stage = ("resume", "join at a position to the missed message");

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
    welcome: Welcome,
    reader: Reader,
    /// What all keys of this probe begin with.
    run: String,
    /// The messages of this probe that were read, by key.
    heard: BTreeMap<String, Stored>,
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
        let within = Duration::from_secs(self.within);
        let mut result = match timeout(within, self.go(own, &mut report)).await {
            Ok(result) => result,
            Err(_) => Err(Failed::new(NO, format!("not done within {} s", self.within))),
        };
        if let Err(failed) = &mut result {
            failed.message = format!("{}: {}", report.stage.0, failed.message);
        }
        let failed = result.as_ref().err().map(|failed| failed.message.as_str());
        if self.json || !io::stdout().is_terminal() {
            writeln!(out, "{}", report.line(failed))?;
        } else {
            write!(out, "{}", report.table())?;
        }
        result
    }

    async fn go(&self, own: SocketAddr, report: &mut Report) -> Result<(), Failed> {
        let first_url = url_or_own(self.url.as_deref(), own);
        let second_url = self.second_url.as_deref().unwrap_or(&first_url);
        let service = report.time(CONNECT, Service::connect(&first_url)).await?;
        // The service was reached: whatever happens from here on is its answer.
        self.go_on(service, second_url, report).await.map_err(|failed| Failed::new(NO, failed.message))
    }

    async fn go_on(&self, mut service: Service, second_url: &str, report: &mut Report) -> Result<(), Failed> {
        let run = format!("probe-{:016x}", rand::random::<u64>());
        let welcome = report.time(HELLO, service.hello(NAME, None)).await?;
        report.instances.push(welcome.instance.clone());
        let mut speaker = Member::new(service, welcome, &run);
        let mut listener = Member::elsewhere(second_url, &speaker.welcome.instance, &run).await?;
        report.instances.push(listener.welcome.instance.clone());
        if self.two_instances && speaker.welcome.instance == listener.welcome.instance {
            return Err(Failed::new(NO, format!("all of {TRIES} connections reached {}", listener.welcome.instance)));
        }
        report.time(JOIN, speaker.join(&self.room)).await?;
        listener.join(&self.room).await?;

        let key = format!("{run}-1");
        let said_at = Instant::now();
        report.stage = ACK;
        let saying = async {
            let sent = speaker.say(&self.room, &key).await?;
            report.took.push((ACK, said_at.elapsed()));
            report.stage = DELIVERY;
            Ok::<_, Failed>(sent)
        };
        let hearing = async { Ok::<_, Failed>((listener.hear(&key).await?, said_at.elapsed())) };
        let (sent, (heard, took)) = tokio::try_join!(saying, hearing)?;
        report.took.push((DELIVERY, took));
        report.durability = sent["durability"].as_str().map(str::to_owned);
        let stored = Stored::at(&sent["position"]);
        stored.is(&heard)?;
        stored.is(&speaker.hear(&key).await?)?;
        if took > Duration::from_millis(self.delivery_within) {
            return Err(Failed::new(NO, format!("took {} ms, of at most {}", took.as_millis(), self.delivery_within)));
        }

        let again = report.time(RETRY, speaker.say(&self.room, &key)).await?;
        stored.is(&Stored::at(&again["position"]))?;
        if again["duplicate"] != true {
            return Err(Failed::new(NO, "the repeated send isn't answered as a duplicate"));
        }

        let cut = listener.cut();
        let key = format!("{run}-2");
        let missed = report.time(MISSED, speaker.say(&self.room, &key)).await?;
        let mut listener = report.time(RECONNECT, cut.back(second_url)).await?;
        let resuming = async {
            listener.join(&self.room).await?;
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
            self.took.iter().map(|((name, _), took)| ((*name).to_owned(), json!(millis(*took)))).collect();
        let mut line = json!({
            "ok": failed.is_none(), "instances": self.instances, "durability": self.durability, "stages_ms": stages,
        });
        if let Some(problem) = failed {
            line["failed"] = json!(self.stage.0);
            line["problem"] = json!(problem);
        }
        line
    }

    fn table(&self) -> String {
        let mut table = String::new();
        for ((name, what), took) in &self.took {
            let _ = writeln!(table, "{name:<10} {:>10.1} ms  {what}", millis(*took));
        }
        let _ = writeln!(table, "instances  {}", self.instances.join(", "));
        let _ = writeln!(table, "durability {}", self.durability.as_deref().unwrap_or("not known"));
        table
    }
}

impl Member {
    fn new(service: Service, welcome: Welcome, run: &str) -> Self {
        Self { service, welcome, reader: Reader::default(), run: run.to_owned(), heard: BTreeMap::new() }
    }

    /// Signs in on another instance than this one, where one can be had.
    async fn elsewhere(url: &str, instance: &str, run: &str) -> Result<Self, Failed> {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut service = Service::connect(url).await?;
            let welcome = service.hello(NAME, None).await?;
            if welcome.instance != instance || tries == TRIES {
                return Ok(Self::new(service, welcome, run));
            }
            service.close().await;
        }
    }

    /// Drops the connection without a word to the service.
    fn cut(self) -> Cut {
        let Self { service, welcome, reader, run, heard } = self;
        drop(service);
        Cut { welcome, reader, run, heard }
    }

    /// Joins where it is and reads what the reply brings.
    async fn join(&mut self, room: &str) -> Result<(), Failed> {
        let joined = self.ask(self.reader.join(room, 1)).await?;
        if joined["recovered"] == false {
            return Err(Failed::new(NO, format!("its position can't be continued: {}", joined["reason"])));
        }
        for entry in joined["entries"].as_array().into_iter().flatten() {
            self.read(entry)?;
        }
        self.reader.begin();
        Ok(())
    }

    /// Sends a message; returns the reply.
    async fn say(&mut self, room: &str, key: &str) -> Result<Value, Failed> {
        self.ask(json!({"type": "send", "room": room, "key": key, "text": TEXT})).await
    }

    /// Waits until it has read the message with this key.
    async fn hear(&mut self, key: &str) -> Result<Stored, Failed> {
        loop {
            if let Some(stored) = self.heard.get(key) {
                return Ok(stored.clone());
            }
            let object = self.service.next().await?;
            self.pass(&object)?;
        }
    }

    /// Sends a command and returns its reply. A refusal is an answer too, and not the one that was hoped for.
    async fn ask(&mut self, mut command: Value) -> Result<Value, Failed> {
        let id = self.service.say(&mut command).await?;
        loop {
            let object = self.service.next().await?;
            if object["id"] != id {
                self.pass(&object)?;
            } else if object["type"] == "error" {
                return Err(refused(&command, &object));
            } else {
                return Ok(object);
            }
        }
    }

    /// Takes a push.
    fn pass(&mut self, push: &Value) -> Result<(), Failed> {
        if push["type"] == "reset" {
            return Err(Failed::new(NO, format!("the log was reset: {}", push["reason"])));
        }
        if is_entry(push) { self.read(push) } else { Ok(()) }
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
    welcome: Welcome,
    reader: Reader,
    run: String,
    heard: BTreeMap<String, Stored>,
}

impl Cut {
    /// Connects again, as the same user.
    async fn back(self, url: &str) -> Result<Member, Failed> {
        let Self { welcome, reader, run, heard } = self;
        let mut service = Service::connect(url).await?;
        let welcome = service.hello(NAME, Some(&welcome.token)).await?;
        Ok(Member { service, welcome, reader, run, heard })
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
