//! A Socket.IO client of the tutorial's kind: one room, the tutorial's events, and of what the protocol has beside them
//! only what the client library does by itself. It answers pings, gives acknowledgements numbers, and comes back with
//! the `pid` and the last position that it was given. Everything it does and sees is recorded.
//!
//! It has no keys and repeats no write: one without an answer is given up. What it wrote is known by its text.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::SmallRng;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until, timeout};

use crate::client::{
    ANSWER, BACK_OFF, Behaviour, GREETING, Phase, RETRY, Shared, Shown, Write, chance, name, pad, text,
};
use crate::history::{At, Seen, What};
use crate::wire::{Ended, Wire};

/// Engine.IO 4 over a WebSocket.
const PATH: &str = "/socket.io/?EIO=4&transport=websocket";

/// Close code of a packet that can't be read, which is the service's fault.
const UNREADABLE: Ended = Ended(1002);

/// What the key of a write begins with. The client can't send it: it is in the text alone.
const KEYLESS: &str = "io-";

/// What a text begins with, before its key.
const WORD: &str = "message ";

/// The writer's key of an entry: the one it came with, or, of a writer without keys, that in its text.
#[must_use]
pub fn key_of(key: &str, text: &str) -> String {
    text.strip_prefix(WORD).filter(|own| own.starts_with(KEYLESS)).unwrap_or(key).to_owned()
}

/// One client.
pub struct Socketio {
    shared: Rc<Shared>,
    number: usize,
    behaviour: Behaviour,
    shown: Rc<RefCell<Shown>>,
    rng: SmallRng,
    room: String,
    /// What it was given to come back with.
    pid: Option<String>,
    /// The last argument of the last event, where that is a text: the position, as the client library keeps it.
    offset: Option<String>,
    /// It has signed in once.
    signed_in: bool,
    written: usize,
    asked: u64,
    /// The numbers of what waits for an answer.
    entering: Option<u64>,
    writing: Option<u64>,
    /// When to ask again to be let in.
    enter_at: Option<Instant>,
}

/// A connection that is confirmed.
struct Connected {
    door: SocketAddr,
    wire: Wire,
    pid: Option<String>,
    /// How long it may be silent.
    patience: Duration,
}

impl Socketio {
    /// One that has not connected yet, for the first of its rooms.
    #[must_use]
    pub fn new(shared: Rc<Shared>, number: usize, seed: u64, behaviour: Behaviour) -> Self {
        let shown = Shown { socketio: true, ..Shown::new(number, &behaviour.rooms[..1]) };
        Self {
            shared,
            number,
            room: behaviour.rooms[0].clone(),
            behaviour,
            shown: Rc::new(RefCell::new(shown)),
            rng: chance(seed, number),
            pid: None,
            offset: None,
            signed_in: false,
            written: 0,
            asked: 0,
            entering: None,
            writing: None,
            enter_at: None,
        }
    }

    /// What it shows while it lives.
    #[must_use]
    pub fn shown(&self) -> Rc<RefCell<Shown>> {
        Rc::clone(&self.shown)
    }

    /// Lives until it is over.
    pub async fn live(mut self) {
        let mut back_off = BACK_OFF.0;
        while !self.shared.is(Phase::Over) {
            let started = Instant::now();
            if let Ok(connected) = self.connect().await {
                if let Err(Ended(code)) = self.stay(connected).await {
                    self.record(What::Close { code });
                }
                self.lose_connection();
            }
            if started.elapsed() > BACK_OFF.1 {
                back_off = BACK_OFF.0;
            }
            self.shared.rest(self.rng.random_range(Duration::ZERO..back_off)).await;
            back_off = BACK_OFF.1.min(back_off * 2);
        }
    }

    fn record(&self, what: What) {
        self.shared.recorder.record(Some(self.number), &self.room, what);
    }

    /// Opens a connection, and connects with what it has to be recognised by.
    async fn connect(&mut self) -> Result<Connected, Ended> {
        let door = self.shared.door(&mut self.rng).ok_or(Ended(0))?;
        let connect = match (&self.pid, &self.offset) {
            (None, _) => "40".to_owned(),
            (Some(pid), None) => format!("40{}", json!({"pid": pid})),
            (Some(pid), Some(offset)) => format!("40{}", json!({"pid": pid, "offset": offset})),
        };
        let connecting = async {
            let mut wire = Wire::open(door, PATH).await?;
            let open = wire.hear().await?;
            let open: Value =
                open.strip_prefix('0').and_then(|open| serde_json::from_str(open).ok()).ok_or(UNREADABLE)?;
            let ms = |field: &str| Duration::from_millis(open[field].as_u64().unwrap_or_default());
            let patience = ms("pingInterval") + ms("pingTimeout");
            wire.say(connect).await?;
            loop {
                let packet = wire.hear().await?;
                if packet == "2" {
                    wire.say("3".to_owned()).await?;
                } else if let Some(confirmed) = packet.strip_prefix("40") {
                    let confirmed: Value = serde_json::from_str(confirmed).map_err(|_| UNREADABLE)?;
                    let pid = confirmed["pid"].as_str().map(str::to_owned);
                    return Ok(Connected { door, wire, pid, patience });
                } else {
                    return Err(UNREADABLE);
                }
            }
        };
        timeout(GREETING, connecting).await.unwrap_or(Err(Ended(0)))
    }

    /// Nobody will answer what was asked; and nobody asks again.
    fn lose_connection(&mut self) {
        (self.entering, self.writing, self.enter_at) = (None, None, None);
        let key = {
            let mut shown = self.shown.borrow_mut();
            shown.door = None;
            let screen = shown.screens.get_mut(&self.room);
            screen.and_then(|screen| {
                screen.live = false;
                screen.write.take().filter(|write| write.due.is_none())
            })
        };
        if let Some(write) = key {
            self.record(What::Info { key: write.key, code: "closed".to_owned() });
        }
    }

    /// Stays on a connection until it ends or everything is over.
    async fn stay(&mut self, connected: Connected) -> Result<(), Ended> {
        let Connected { door, mut wire, pid, patience } = connected;
        self.shown.borrow_mut().door = Some(door);
        self.record(What::Connected);
        let recovered = self.pid.is_some() && self.pid == pid;
        self.pid = pid;
        if recovered && self.signed_in {
            self.record(What::Recovered);
            self.shown.borrow_mut().screens.entry(self.room.clone()).or_default().live = true;
        } else if self.signed_in {
            self.record(What::Unrecovered);
        }
        self.enter(&mut wire).await?;
        let mut phase = self.shared.phase.clone();
        let mut write_at = self.behaviour.first_write(&mut self.rng);
        loop {
            if *phase.borrow_and_update() == Phase::Over {
                return Ok(());
            }
            let silent_at = wire.heard_at + patience;
            let due = self.due().into_iter().chain(write_at).fold(silent_at, Instant::min);
            tokio::select! {
                biased;
                _ = phase.changed() => {}
                heard = wire.hear() => {
                    let heard = heard?;
                    self.hear(&mut wire, &heard).await?;
                }
                () = sleep_until(due) => {
                    let now = Instant::now();
                    if now >= silent_at {
                        return Err(Ended(0));
                    }
                    if write_at.is_some_and(|at| now >= at) {
                        self.begin_write();
                        write_at = self.behaviour.next_write(&mut self.rng);
                    }
                    self.act(&mut wire).await?;
                }
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        let shown = self.shown.borrow();
        let screen = &shown.screens[&self.room];
        let write = screen.write.as_ref().filter(|_| screen.live);
        write.map(|write| write.due.unwrap_or(write.since + ANSWER)).into_iter().chain(self.enter_at).min()
    }

    fn begin_write(&mut self) {
        let mut shown = self.shown.borrow_mut();
        let Some(screen) = shown.screens.get_mut(&self.room) else { return };
        if screen.live && screen.write.is_none() && self.shared.is(Phase::Writing) {
            self.written += 1;
            screen.write = Some(Write::new(format!("{KEYLESS}{}-{}", self.number, self.written)));
        }
    }

    async fn act(&mut self, wire: &mut Wire) -> Result<(), Ended> {
        let now = Instant::now();
        if self.enter_at.take_if(|at| now >= *at).is_some() {
            self.enter(wire).await?;
        }
        let key = {
            let mut shown = self.shown.borrow_mut();
            let screen = shown.screens.get_mut(&self.room).filter(|screen| screen.live);
            let Some(write) = screen.and_then(|screen| screen.write.as_mut()) else { return Ok(()) };
            match write.due {
                Some(due) if now >= due => {
                    (write.due, write.since) = (None, now);
                    write.key.clone()
                }
                None if now >= write.since + ANSWER => return Err(Ended(0)),
                _ => return Ok(()),
            }
        };
        self.record(What::Invoke { key: key.clone() });
        let text = pad(&key, self.behaviour.padding);
        self.writing = Some(self.emit(wire, json!(["sendMessage", text])).await?);
        Ok(())
    }

    /// Signs in; later, as the tutorial's page does on every connection, says who it is and where.
    async fn enter(&mut self, wire: &mut Wire) -> Result<(), Ended> {
        let event = if self.signed_in { "updateSocketId" } else { "signin" };
        let seat = json!([event, {"user": name(self.number), "room": self.room}]);
        self.entering = Some(self.emit(wire, seat).await?);
        Ok(())
    }

    /// Sends an event that wants an answer, and gives the answer's number.
    async fn emit(&mut self, wire: &mut Wire, event: Value) -> Result<u64, Ended> {
        self.asked += 1;
        wire.say(format!("42{}{event}", self.asked)).await?;
        Ok(self.asked)
    }

    async fn hear(&mut self, wire: &mut Wire, packet: &str) -> Result<(), Ended> {
        if packet == "2" {
            return wire.say("3".to_owned()).await;
        }
        let (kind, rest) = packet.split_at_checked(2).ok_or(UNREADABLE)?;
        let json = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
        let number = rest[..rest.len() - json.len()].parse::<u64>();
        match (kind, serde_json::from_str::<Value>(json)) {
            ("42", Ok(Value::Array(event))) => self.on_event(&event),
            ("43", Ok(Value::Array(answer))) => self.on_answer(number.map_err(|_| UNREADABLE)?, &answer),
            _ => return Err(UNREADABLE),
        }
        Ok(())
    }

    fn on_event(&mut self, event: &[Value]) {
        if let Some(Value::String(last)) = event.last().filter(|_| event.len() > 1) {
            self.offset = Some(last.clone());
        }
        let [Value::String(name), message, ..] = event else { return };
        if name != "message" {
            return;
        }
        let words = text(&message["text"]).trim_end_matches('x').trim_end().to_owned();
        let key = words.strip_prefix(WORD).unwrap_or_default().to_owned();
        // The place begins with the offset and the chain.
        let place = self.offset.as_deref().unwrap_or_default();
        let mut fields = place.split('.');
        let offset = fields.next().and_then(|offset| offset.parse().ok()).unwrap_or_default();
        let at = At { offset, chain: fields.next().unwrap_or_default().to_owned() };
        if let Some(screen) = self.shown.borrow_mut().screens.get_mut(&self.room) {
            screen.at = Some(at.clone());
        }
        self.record(What::Receive(Seen { at, key, text: words }));
    }

    fn on_answer(&mut self, number: u64, answer: &[Value]) {
        if self.entering.take_if(|asked| *asked == number).is_some() {
            self.on_entered(answer);
        } else if self.writing.take_if(|asked| *asked == number).is_some() {
            let write = self.shown.borrow_mut().screens.get_mut(&self.room).and_then(|screen| screen.write.take());
            let Some(write) = write else { return };
            self.record(match answer {
                [] => What::Confirmed { key: write.key },
                // Words for a person. That surely nothing was stored can't be read from them.
                _ => What::Info { key: write.key, code: "refused".to_owned() },
            });
        }
    }

    /// `(null, {room, messages})` or `(null, null)` of a sign-in, `()` of the other one, or an error.
    fn on_entered(&mut self, answer: &[Value]) {
        let history = match answer {
            [] => None,
            [Value::Null, history] => Some(history),
            _ => {
                self.enter_at = Some(Instant::now() + RETRY);
                return;
            }
        };
        if let Some(history) = history.filter(|_| !self.signed_in) {
            self.signed_in = true;
            let last = history["messages"].as_array().and_then(|messages| messages.last());
            let from = last.and_then(|last| last["offset"].as_u64()).unwrap_or_default();
            self.record(What::Join { from });
            if let Some(screen) = self.shown.borrow_mut().screens.get_mut(&self.room) {
                screen.at = Some(At { offset: from, chain: String::new() });
            }
        }
        if let Some(screen) = self.shown.borrow_mut().screens.get_mut(&self.room) {
            screen.live = true;
        }
    }
}
