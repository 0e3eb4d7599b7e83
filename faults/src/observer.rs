//! Somebody who comes into a room from outside in the end, has the last word in it and reads its log.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::client::{Shared, at, durability, text};
use crate::history::{At, Seen, What, text_of};
use crate::link::{Ended, Link};
use crate::socketio::key_of;

/// Number that an observer records itself under: it has no screen, so nothing of it is checked but its write.
const OBSERVER: usize = 1_000_001;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// One room's.
pub struct Observer<'a> {
    shared: &'a Shared,
    room: &'a str,
    /// A key counts for one user, so whoever tries again must be the same.
    token: Option<Value>,
}

impl<'a> Observer<'a> {
    /// Who has done nothing yet.
    #[must_use]
    pub const fn new(shared: &'a Shared, room: &'a str) -> Self {
        Self { shared, room, token: None }
    }

    /// Writes the room's last entry, or tries to; again under the same key.
    pub async fn say_last(&mut self, door: SocketAddr) -> bool {
        let record = |what| self.shared.recorder.record(Some(OBSERVER), self.room, what);
        let key = format!("last-{}", self.room.replace(' ', "-"));
        let Ok(mut link) = enter(door, self.room, &mut self.token).await else { return false };
        record(What::Invoke { key: key.clone() });
        let send = json!({"type": "send", "id": 3, "room": self.room, "key": key, "text": text_of(&key)});
        let sent = ask(&mut link, send).await;
        leave(link, self.room).await;
        match sent.map(|sent| (at(&sent["position"]), durability(&sent["durability"]))) {
            Ok((at, Some(durability))) => {
                record(What::Ok { key, at, durability });
                true
            }
            _ => {
                record(What::Info { key, code: "closed".to_owned() });
                false
            }
        }
    }
}

/// All of a room's log, page by page from its top, and where it stands.
///
/// # Errors
/// It can't be read now.
pub async fn log_of(door: SocketAddr, room: &str) -> Result<(At, Vec<Seen>), Ended> {
    let mut link = enter(door, room, &mut None).await?;
    let mut newest_first: Vec<Seen> = Vec::new();
    let mut top = None;
    for id in 3.. {
        let mut command = json!({"type": "history", "id": id, "room": room, "limit": 200});
        if let Some(oldest) = newest_first.last() {
            command["before"] = json!(oldest.at.offset);
        }
        let page = ask(&mut link, command).await?;
        top.get_or_insert_with(|| at(&page["position"]));
        let entries = page["entries"].as_array().ok_or(Ended(0))?;
        newest_first.extend(entries.iter().rev().map(seen));
        if page["more"] != true || entries.is_empty() {
            break;
        }
    }
    leave(link, room).await;
    newest_first.reverse();
    Ok((top.unwrap_or_default(), newest_first))
}

async fn enter(door: SocketAddr, room: &str, token: &mut Option<Value>) -> Result<Link, Ended> {
    let mut link = Link::open(door).await?;
    let mut hello = json!({"type": "hello", "id": 1, "name": "Observer"});
    if let Some(token) = token {
        hello["token"] = token.clone();
    }
    *token = Some(ask(&mut link, hello).await?["token"].take());
    ask(&mut link, json!({"type": "join", "id": 2, "room": room, "limit": 1})).await?;
    Ok(link)
}

/// At once, so that nobody waits for it. One that fails is as any lost connection.
async fn leave(mut link: Link, room: &str) {
    let _ = ask(&mut link, json!({"type": "leave", "id": 1, "room": room})).await;
    link.close().await;
}

/// Sends a command and waits for its reply; a refusal is an end.
async fn ask(link: &mut Link, command: Value) -> Result<Value, Ended> {
    link.say(&command).await?;
    let answer = async {
        loop {
            let object = link.hear().await?;
            if object["id"] == command["id"] {
                return if object["type"] == "error" { Err(Ended(0)) } else { Ok(object) };
            }
        }
    };
    timeout(ANSWER, answer).await.unwrap_or(Err(Ended(0)))
}

fn seen(entry: &Value) -> Seen {
    let words = text(&entry["text"]).trim_end_matches('x').trim_end().to_owned();
    Seen { at: at(entry), key: key_of(&text(&entry["key"]), &words), text: words }
}
