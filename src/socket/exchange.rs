//! What the HTTP requests of a polling session and its task share: packets that came in, a payload that waits to go out,
//! and a WebSocket that takes over.
//!
//! It knows neither HTTP nor what packets mean. Everything in it is bounded: what came in by the length of two messages,
//! what goes out by one mailbox turn, and polls to one at a time.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::sync::oneshot;

use super::OVER_BUDGET_RETRY_MS;
use super::link::{Broken, Incoming};
use super::wire::Wire;
use crate::bucket::Bucket;
use crate::clock::Clock;
use crate::domain::Millis;
use crate::meter::Budget;
use crate::protocol::engineio::{self, BadRequest, Part, SEPARATOR};
use crate::protocol::{Close, Malformed};

/// The polling sessions of an instance, by their names.
#[derive(Debug, Default)]
pub struct Exchanges {
    sessions: Mutex<HashMap<String, Arc<Exchange>>>,
}

impl Exchanges {
    /// A session's, if it is there.
    #[must_use]
    pub fn find(&self, sid: &str) -> Option<Arc<Exchange>> {
        lock(&self.sessions).get(sid).cloned()
    }

    pub(super) fn insert(&self, sid: &str, exchange: &Arc<Exchange>) {
        lock(&self.sessions).insert(sid.to_owned(), Arc::clone(exchange));
    }

    pub(super) fn remove(&self, sid: &str) {
        lock(&self.sessions).remove(sid);
    }
}

/// The shared part of one session.
#[derive(Debug)]
pub struct Exchange {
    state: Mutex<State>,
    task: AtomicWaker,
    /// Most bytes of a body, and half of what may wait to be read.
    message_bytes: usize,
    clock: Clock,
}

#[derive(Debug)]
struct State {
    incoming: VecDeque<Incoming>,
    incoming_bytes: usize,
    broken: Option<Broken>,
    /// A payload that nobody has fetched.
    outgoing: Option<Bytes>,
    /// A request that waits for one.
    poll: Option<oneshot::Sender<Bytes>>,
    /// The client closed while it did not poll: what its last request, which may be on its way, is answered with.
    last_answer: Option<Bytes>,
    upgrade: Upgrade,
    frames: Bucket,
    bytes: Bucket,
}

/// How far the move to a WebSocket is.
#[derive(Debug)]
enum Upgrade {
    No,
    /// One was opened, and nothing heard on it.
    Claimed,
    /// One is being tried: polls don't wait for long, so that the client can stop polling.
    Probing,
    /// It waits for the session's task.
    Ready(Box<Wire>),
    /// The session has it, or has ended.
    Done,
}

impl Exchange {
    pub(super) fn new(budget: &Budget, message_bytes: usize, clock: Clock) -> Arc<Self> {
        let now = clock.now();
        let state = State {
            incoming: VecDeque::new(),
            incoming_bytes: 0,
            broken: None,
            outgoing: None,
            poll: None,
            last_answer: None,
            upgrade: Upgrade::No,
            frames: Bucket::new(budget.frames_per_second, 1_000, budget.frame_burst, now),
            bytes: Bucket::new(budget.bytes_per_second, 1_000, budget.byte_burst, now),
        };
        Arc::new(Self { state: Mutex::new(state), task: AtomicWaker::new(), message_bytes, clock })
    }

    /// Most bytes that a body may have.
    #[must_use]
    pub const fn message_bytes(&self) -> usize {
        self.message_bytes
    }

    /// A request for the next payload: it comes through the receiver, or never where the session ends.
    ///
    /// # Errors
    /// The session has moved to a WebSocket or is about to end, or another request waits already, which ends the session.
    pub fn poll(&self) -> Result<oneshot::Receiver<Bytes>, BadRequest> {
        let (sender, receiver) = oneshot::channel();
        let mut state = lock(&self.state);
        if let Some(answer) = state.last_answer.take() {
            // The receiver is in this function's hand, here and below.
            let _ = sender.send(answer);
            return Ok(receiver);
        }
        if matches!(state.upgrade, Upgrade::Ready(_) | Upgrade::Done) || state.broken.is_some() {
            return Err(BadRequest::Bad);
        }
        if state.poll.is_some() {
            state.break_off(Broken::Violation(Close::Protocol, None));
            drop(state);
            self.task.wake();
            return Err(BadRequest::Bad);
        }
        if let Some(payload) = state.outgoing.take() {
            let _ = sender.send(payload);
        } else {
            state.poll = Some(sender);
        }
        drop(state);
        // It can send, or has to watch who waits.
        self.task.wake();
        Ok(receiver)
    }

    /// Takes the packets of a body.
    ///
    /// # Errors
    /// It is no payload, or the session has moved to a WebSocket. What breaks the protocol or a budget ends the session.
    pub fn post(&self, body: &[u8]) -> Result<(), BadRequest> {
        let mut state = lock(&self.state);
        if matches!(state.upgrade, Upgrade::Ready(_) | Upgrade::Done) || state.broken.is_some() {
            return Err(BadRequest::Bad);
        }
        let taken = state.take_body(body, self.clock.now(), 2 * self.message_bytes);
        if let Err(broken) = taken {
            state.break_off(broken);
        }
        drop(state);
        self.task.wake();
        taken.map_err(|_| BadRequest::Bad)
    }

    /// A WebSocket wants to take over. `None` where another one does, or has.
    #[must_use]
    pub fn claim(self: Arc<Self>) -> Option<Claim> {
        let mut state = lock(&self.state);
        if !matches!(state.upgrade, Upgrade::No) {
            return None;
        }
        state.upgrade = Upgrade::Claimed;
        drop(state);
        Some(Claim { exchange: self })
    }

    /// For the session's task: the next packet; or the WebSocket, once everything before it is read.
    pub(super) fn poll_incoming(&self, cx: &mut Context<'_>) -> Poll<Result<Arrived, Broken>> {
        self.task.register(cx.waker());
        let mut state = lock(&self.state);
        if let Some(message) = state.incoming.pop_front() {
            state.incoming_bytes -= length(&message);
            return Poll::Ready(Ok(Arrived::Message(message)));
        }
        if let Some(broken) = state.broken {
            return Poll::Ready(Err(broken));
        }
        // A client whose poll is cut off knows nothing of what it would have been answered: it begins anew.
        if state.poll.as_mut().is_some_and(|poll| poll.poll_closed(cx).is_ready()) {
            state.poll = None;
            state.break_off(Broken::Gone);
            return Poll::Ready(Err(Broken::Gone));
        }
        match std::mem::replace(&mut state.upgrade, Upgrade::Done) {
            Upgrade::Ready(wire) => Poll::Ready(Ok(Arrived::WebSocket(wire, state.outgoing.take()))),
            before => {
                state.upgrade = before;
                Poll::Pending
            }
        }
    }

    /// For the session's task: ready once the payload before is fetched.
    pub(super) fn poll_fetched(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.task.register(cx.waker());
        if lock(&self.state).outgoing.is_some() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// For the session's task: gives a payload to the request that waits, or keeps it for the next one.
    pub(super) fn send(&self, frames: &[Bytes]) {
        let payload = match frames {
            [one] => one.clone(),
            many => Bytes::from(many.join(&SEPARATOR)),
        };
        let mut state = lock(&self.state);
        state.outgoing = match state.poll.take() {
            Some(poll) => poll.send(payload).err(),
            None => Some(payload),
        };
    }

    /// For the session's task: the session is over. A request that waits is told so.
    pub(super) fn end(&self, farewell: &'static str) {
        let mut state = lock(&self.state);
        state.upgrade = Upgrade::Done;
        state.incoming = VecDeque::new();
        if let Some(poll) = state.poll.take() {
            let _ = poll.send(Bytes::from_static(farewell.as_bytes()));
        }
    }

    /// For the session's task: the client has closed the session. A request that waits ends with nothing to say, or else
    /// the next one does.
    pub(super) fn closed_by_client(&self) {
        let mut state = lock(&self.state);
        state.upgrade = Upgrade::Done;
        state.incoming = VecDeque::new();
        state.last_answer = match state.poll.take() {
            Some(poll) => poll.send(noop()).err(),
            None => Some(noop()),
        };
    }

    /// Whether a request that may be on its way has an answer here.
    pub(super) fn has_last_answer(&self) -> bool {
        lock(&self.state).last_answer.is_some()
    }
}

/// The right of one WebSocket to take a session over. Dropped unused, it leaves the session where it is.
#[derive(Debug)]
pub struct Claim {
    exchange: Arc<Exchange>,
}

impl Claim {
    /// Most bytes that a message may have.
    pub(super) fn message_bytes(&self) -> usize {
        self.exchange.message_bytes
    }

    /// The WebSocket was found to work. Returns whether the session still wants it.
    pub(super) fn probed(&self) -> bool {
        let mut state = lock(&self.exchange.state);
        let wanted = matches!(state.upgrade, Upgrade::Claimed);
        if wanted {
            state.upgrade = Upgrade::Probing;
        }
        wanted
    }

    /// Answers a request that waits, so that the client can stop polling.
    pub(super) fn let_poll_go(&self) {
        if let Some(poll) = lock(&self.exchange.state).poll.take() {
            // Whoever doesn't wait any more needs no answer.
            let _ = poll.send(noop());
        }
    }

    /// The client has moved. A request that waits all the same is refused.
    pub(super) fn hand_over(self, wire: Wire) {
        let mut state = lock(&self.exchange.state);
        if matches!(state.upgrade, Upgrade::Probing) {
            state.upgrade = Upgrade::Ready(Box::new(wire));
            state.poll = None;
        }
        drop(state);
        self.exchange.task.wake();
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut state = lock(&self.exchange.state);
        if matches!(state.upgrade, Upgrade::Claimed | Upgrade::Probing) {
            state.upgrade = Upgrade::No;
        }
    }
}

/// What a session's task gets.
#[derive(Debug)]
pub enum Arrived {
    /// A packet.
    Message(Incoming),
    /// The WebSocket that it goes on with, and what has to go out first.
    WebSocket(Box<Wire>, Option<Bytes>),
}

impl State {
    fn break_off(&mut self, broken: Broken) {
        self.broken.get_or_insert(broken);
    }

    fn take_body(&mut self, body: &[u8], now: Millis, most_bytes: usize) -> Result<(), Broken> {
        const MALFORMED: Broken = Broken::Violation(Close::Protocol, None);
        let over = |retry_ms: Millis| Broken::Violation(Close::Budget, Some(retry_ms.max(OVER_BUDGET_RETRY_MS)));
        self.bytes.take_many(body.len() as u64, now).map_err(over)?;
        let text = std::str::from_utf8(body).map_err(|_| MALFORMED)?;
        let mut messages = Vec::new();
        for part in engineio::parts(text) {
            self.frames.take(now).map_err(over)?;
            messages.push(message(part).map_err(|_| MALFORMED)?);
        }
        let bytes: usize = messages.iter().map(length).sum();
        if self.incoming_bytes + bytes > most_bytes {
            return Err(over(0));
        }
        self.incoming_bytes += bytes;
        self.incoming.extend(messages);
        Ok(())
    }
}

fn message(part: Result<Part<'_>, Malformed>) -> Result<Incoming, Malformed> {
    match part? {
        Part::Text(text) => {
            // Known here, so that the request itself is answered.
            engineio::decode(text)?;
            Ok(Incoming::Text(text.into()))
        }
        Part::Binary(bytes) => Ok(Incoming::Binary(bytes.into())),
    }
}

/// What a packet counts for, a little more than its bytes, so that empty ones are bounded too.
fn length(message: &Incoming) -> usize {
    const FLAT: usize = 16;
    FLAT + match message {
        Incoming::Text(text) => text.len(),
        Incoming::Binary(bytes) => bytes.len(),
        Incoming::Control | Incoming::Close => 0,
    }
}

const fn noop() -> Bytes {
    Bytes::from_static(engineio::NOOP.as_bytes())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
