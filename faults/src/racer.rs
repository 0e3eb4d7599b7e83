//! A client that can't wait: it sends each write to two instances at once, under one key. Nor does it trust an answer: a
//! while later it sends the write once more.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::client::{Shared, at, durability};
use crate::history::{What, text_of};
use crate::link::Link;

/// Number that a racer records itself under: it has no screen, so nothing of it is checked but its writes.
const RACER: usize = 1_000_000;

/// How long one step may take.
const STEP: Duration = Duration::from_secs(10);

/// How long after it began a write is sent once more. With a step behind it, not later than a key answers.
const LATE: Duration = Duration::from_secs(4);

/// One user's connections to two instances.
pub struct Racer {
    links: [Link; 2],
    room: String,
    id: u64,
    /// Writes that weren't sent once more yet, oldest first.
    written: VecDeque<(Instant, String)>,
}

impl Racer {
    /// Signs the same user in twice and joins the room.
    ///
    /// # Errors
    /// An instance refuses.
    pub async fn start(doors: &[SocketAddr], room: &str) -> Result<Self, &'static str> {
        let [first, second, ..] = doors else { return Err("a race takes two instances") };
        let mut one = Link::open(*first).await.map_err(|_| "a racer can't connect")?;
        let welcome = ask(&mut one, json!({"type": "hello", "id": 1, "name": "Racer"})).await?;
        let mut two = Link::open(*second).await.map_err(|_| "a racer can't connect")?;
        let hello = json!({"type": "hello", "id": 1, "name": "Racer", "token": welcome["token"]});
        ask(&mut two, hello).await?;
        for link in [&mut one, &mut two] {
            ask(link, json!({"type": "join", "id": 2, "room": room, "limit": 1})).await?;
        }
        Ok(Self { links: [one, two], room: room.to_owned(), id: 2, written: VecDeque::new() })
    }

    /// One write, twice at once.
    ///
    /// # Errors
    /// It is refused.
    pub async fn race(&mut self, shared: &Shared) -> Result<(), &'static str> {
        self.id += 1;
        let key = format!("race-{}", self.id);
        let send = self.command(&key);
        self.written.push_back((Instant::now(), key.clone()));
        let record = |what| shared.recorder.record(Some(RACER), &self.room, what);
        record(What::Invoke { key: key.clone() });
        record(What::Invoke { key: key.clone() });
        let [one, two] = &mut self.links;
        let (first, second) = join(ask(one, send.clone()), ask(two, send)).await;
        let (first, second) = (first?, second?);
        for sent in [&first, &second] {
            record(acknowledged(&key, sent)?);
        }
        if (first["duplicate"] == true) == (second["duplicate"] == true) {
            return Err("of two racing writes, not exactly one was the first");
        }
        Ok(())
    }

    /// Every write that is old enough, once more.
    ///
    /// # Errors
    /// It is refused.
    pub async fn repeat(&mut self, shared: &Shared) -> Result<(), &'static str> {
        self.repeat_older(shared, LATE).await
    }

    /// Every write that wasn't sent once more yet.
    ///
    /// # Errors
    /// It is refused.
    pub async fn repeat_all(&mut self, shared: &Shared) -> Result<(), &'static str> {
        self.repeat_older(shared, Duration::ZERO).await
    }

    async fn repeat_older(&mut self, shared: &Shared, least: Duration) -> Result<(), &'static str> {
        while self.written.front().is_some_and(|(began, _)| began.elapsed() >= least)
            && let Some((_, key)) = self.written.pop_front()
        {
            self.id += 1;
            let send = self.command(&key);
            shared.recorder.record(Some(RACER), &self.room, What::Invoke { key: key.clone() });
            let sent = ask(&mut self.links[0], send).await?;
            shared.recorder.record(Some(RACER), &self.room, acknowledged(&key, &sent)?);
        }
        Ok(())
    }

    fn command(&self, key: &str) -> Value {
        json!({"type": "send", "id": self.id, "room": self.room, "key": key, "text": text_of(key)})
    }

    /// Leaves the room, so that nobody waits for it.
    ///
    /// # Errors
    /// An instance refuses.
    pub async fn leave(mut self) -> Result<(), &'static str> {
        for link in &mut self.links {
            ask(link, json!({"type": "leave", "id": 0, "room": self.room})).await?;
        }
        Ok(())
    }
}

/// What an answer acknowledges.
fn acknowledged(key: &str, sent: &Value) -> Result<What, &'static str> {
    let durability = durability(&sent["durability"]).ok_or("a racer's answer says no durability")?;
    Ok(What::Ok { key: key.to_owned(), at: at(&sent["position"]), durability })
}

/// The reply to a command; whatever is pushed meanwhile is heard and dropped.
async fn ask(link: &mut Link, command: Value) -> Result<Value, &'static str> {
    link.say(&command).await.map_err(|_| "a racer's connection ended")?;
    let answer = async {
        loop {
            let object = link.hear().await.map_err(|_| "a racer's connection ended")?;
            if object["type"] == "ping" {
                link.say(&json!({"type": "pong"})).await.map_err(|_| "a racer's connection ended")?;
            }
            if object["id"] == command["id"] {
                return if object["type"] == "error" { Err("a racer was refused") } else { Ok(object) };
            }
        }
    };
    timeout(STEP, answer).await.unwrap_or(Err("a racer got no answer"))
}
