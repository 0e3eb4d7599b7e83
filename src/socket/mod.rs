//! One task per client: it reads messages, lets the client's protocol carry them out, and writes what waits in the
//! mailbox.
//!
//! It owns the stream, the session and the deadlines of one client, and is the only place where the three meet. It may
//! use the session, the rooms, the words of the protocol and the check of tokens; it knows neither HTTP nor the store
//! behind the rooms. [`Socket`] is the task, the same for every protocol: a [`Link`] carries the messages, and a
//! [`Client`] knows what they mean.
//!
//! A hand-written future instead of an `async fn`: a thousand of these are woken for one message, each has to look at
//! several sources at once, and its size is what an idle client costs.

mod carrier;
mod client;
#[cfg(feature = "conformance")]
mod echo;
mod exchange;
mod followed;
mod in_flight;
mod link;
mod native;
mod outcome;
mod polling;
mod socketio;
#[cfg(feature = "conformance")]
mod suite;
mod wire;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::Auth;
use crate::clock::{Clock, micros_between, unix_ms};
use crate::domain::{Limits, Millis, Trace};
use crate::meter::Budget;
use crate::metrics::Metrics;
use crate::metrics::labels;
use crate::metrics::labels::{DeliveryLoss, Ending, HandshakeOutcome, SocketState};
use crate::protocol::socketio::{Seal, Style};
use crate::protocol::{Close, Goaway};
use crate::rooms::{Dialect, Live, Mailbox, Mark, Note, Rooms, Taken, Undelivered};
use crate::session::Timing;
use carrier::Carrier;
use client::Client;
#[cfg(feature = "conformance")]
pub use echo::echo;
pub use exchange::{Claim, Exchange, Exchanges};
use link::{Broken, Incoming, Link};
use native::Native;
pub use polling::{open as open_polling, upgrade as upgrade_polling};
use socketio::{Socketio, new_sid};
use wire::Wire;

/// Several events go out as one message of about this size at most; a larger one goes alone.
const MESSAGE_BYTES: usize = 16 * 1024;

/// Messages that are read before others get a turn.
const READS_PER_TURN: usize = 32;

/// After this much of a delay, deadlines count though the client has more to read: a flood doesn't hold them up.
const LATE_MS: Millis = 1_000;

/// From our close frame to the end of the connection, at most: what the client has to read it and to answer.
const LINGER_MS: Millis = 5_000;

/// What a client that is over the budgets of the wire is told to wait, at least.
const OVER_BUDGET_RETRY_MS: Millis = 1_000;

/// A write is answered within this time, with `unconfirmed` if the store hasn't.
const ANSWER_WITHIN: Duration = Duration::from_millis(1_000);

/// What all sockets of an instance share.
pub struct Hub {
    /// The rooms.
    pub rooms: Arc<Rooms>,
    /// The signer of guest tokens.
    pub auth: Arc<Auth>,
    /// The clock of sessions.
    pub clock: Clock,
    /// Where is counted.
    pub metrics: Arc<Metrics>,
    /// What holds for every socket.
    pub rules: Rules,
    /// What Socket.IO clients hear.
    style: Arc<Style>,
    /// The polling sessions.
    pub exchanges: Exchanges,
    /// Everything that a drain waits for.
    pub tasks: TaskTracker,
    /// Ends what lives beside the connections, at the end of the instance.
    pub end: CancellationToken,
    draining: AtomicBool,
}

impl Hub {
    /// Of an instance that starts.
    #[must_use]
    pub fn new(rooms: Arc<Rooms>, auth: Auth, clock: Clock, metrics: Arc<Metrics>, rules: Rules) -> Self {
        let auth = Arc::new(auth);
        let seal = rules.socketio.resume.then(|| Arc::clone(&auth) as Arc<dyn Seal>);
        let style = Arc::new(Style { seal, extra_fields: rules.socketio.extra_fields });
        Self {
            rooms,
            auth,
            clock,
            metrics,
            rules,
            style,
            exchanges: Exchanges::default(),
            tasks: TaskTracker::new(),
            end: CancellationToken::new(),
            draining: AtomicBool::new(false),
        }
    }

    /// Asks every client to move, and those that still come too.
    pub fn drain(&self) {
        self.metrics.draining.set((), 1);
        // In this order: whoever connects between the two is told by itself.
        self.draining.store(true, Ordering::SeqCst);
        self.rooms.go_away(Goaway::Drain);
    }

    /// Whether clients are asked to move.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// The settings of a socket.
#[derive(Debug)]
pub struct Rules {
    /// The name of this instance.
    pub instance: Arc<str>,
    /// What clients are told.
    pub limits: Arc<Limits>,
    /// The times of a session. Rotation is spread over the last tenth of its time, for each socket anew.
    pub timing: Timing,
    /// Clients are asked to move at random times within this.
    pub spread_ms: Millis,
    /// What one client may send, below the codec.
    pub budget: Budget,
    /// Commands that may wait for the store.
    pub commands_in_flight: usize,
    /// From the first byte of a message to its last.
    pub unfinished_message_ms: Millis,
    /// How long one write may take.
    pub flush_timeout_ms: Millis,
    /// What holds for Socket.IO clients.
    pub socketio: SocketioRules,
}

/// The settings of the Socket.IO door.
#[derive(Debug, Clone, Copy)]
pub struct SocketioRules {
    /// Whether they may use HTTP long-polling.
    pub polling: bool,
    /// Whether a client that comes back gets what it missed.
    pub resume: bool,
    /// Whether messages carry `offset`, `at` and `id`.
    pub extra_fields: bool,
}

impl Rules {
    /// The times of one session: with its own share of the spread.
    fn timing_of_one(&self) -> Timing {
        Timing {
            rotate_after_ms: self.timing.rotate_after_ms.map(|after| after - rand::random_range(0..=after / 10)),
            rotate_in_ms: rand::random_range(0..=self.spread_ms),
            ..self.timing
        }
    }
}

struct Socket<C: Client> {
    hub: Arc<Hub>,
    link: C::Link,
    client: C,
    mailbox: Arc<Mailbox>,
    /// Fires at `wakes_at` or before; moved only when something is due earlier.
    timer: Pin<Box<Sleep>>,
    wakes_at: Millis,
    /// A write has to be with the kernel by then.
    flush_by: Option<Millis>,
    /// What was sent and isn't with the kernel yet.
    unflushed: Option<Box<Sent>>,
    /// The connection ends, at the latest then.
    end_by: Option<Millis>,
    /// Where its handshake stands in a trace.
    trace: Option<Trace>,
    state: SocketState,
}

/// What is counted and recorded of one write once the kernel has all of it.
struct Sent {
    frames: usize,
    live: Option<Live>,
    marks: Vec<Mark>,
}

/// Memory that a turn needs and the next one, of any socket, can use again.
#[derive(Default)]
struct Scratch {
    taken: Taken,
    frame: Vec<u8>,
}

/// Frames longer than this give their memory back.
const SCRATCH_BYTES: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Serves one client of the native protocol until its connection has ended.
pub async fn serve(hub: Arc<Hub>, tcp: TcpStream, behind: Vec<u8>, trace: Option<Trace>) {
    let rules = &hub.rules;
    let wire = Wire::new(tcp, behind, &rules.budget, rules.limits.frame_bytes, hub.clock);
    let native = |hub, mailbox, reachable, now| Native::new(hub, mailbox, trace, reachable, now);
    Socket::new(hub, wire, Dialect::Native, trace, native).await;
}

/// What an Engine.IO session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum App {
    /// The tutorial's events.
    Tutorial,
    /// What the suite of the Engine.IO protocol expects: every message comes back.
    #[cfg(feature = "conformance")]
    Echo,
    /// What the suite of the Socket.IO protocol expects.
    #[cfg(feature = "conformance")]
    Suite,
}

impl App {
    /// Longest message of a client, in bytes.
    fn message_bytes(self, hub: &Hub) -> usize {
        match self {
            Self::Tutorial => hub.rules.limits.frame_bytes,
            #[cfg(feature = "conformance")]
            Self::Echo | Self::Suite => suite::MAX_PAYLOAD,
        }
    }

    /// Whether sessions may poll.
    #[must_use]
    pub fn polls(self, hub: &Hub) -> bool {
        match self {
            Self::Tutorial => hub.rules.socketio.polling,
            #[cfg(feature = "conformance")]
            Self::Echo | Self::Suite => true,
        }
    }
}

/// Serves one Engine.IO session until it has ended.
async fn serve_session(hub: Arc<Hub>, app: App, carrier: Carrier, sid: String, trace: Option<Trace>) {
    let style = Arc::clone(&hub.style);
    let dialect = Dialect::Socketio(Arc::clone(&style));
    let may_upgrade = matches!(carrier, Carrier::Polling(_));
    match app {
        App::Tutorial => {
            Socket::new(hub, carrier, dialect, trace, |hub, mailbox, reachable, now| {
                Socketio::new(hub, mailbox, style, &sid, may_upgrade, reachable, now).in_trace(trace)
            })
            .await;
        }
        #[cfg(feature = "conformance")]
        App::Echo | App::Suite => {
            Socket::new(hub, carrier, dialect, trace, |hub, mailbox, _, now| {
                suite::Suite::new(hub, mailbox, app, &sid, may_upgrade, now)
            })
            .await;
        }
    }
}

/// Serves one Socket.IO client over its WebSocket until its connection has ended.
pub async fn serve_socketio(hub: Arc<Hub>, app: App, tcp: TcpStream, behind: Vec<u8>, trace: Option<Trace>) {
    let wire = Wire::new(tcp, behind, &hub.rules.budget, app.message_bytes(&hub), hub.clock);
    serve_session(hub, app, Carrier::WebSocket(wire), new_sid(), trace).await;
}

impl<C: Client> Future for Socket<C> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let turn = AssertUnwindSafe(|| SCRATCH.with_borrow_mut(|scratch| this.turn(cx, scratch)));
        catch_unwind(turn).unwrap_or_else(|_| {
            // What the turn had taken was this client's: nobody else may get it.
            SCRATCH.take();
            this.end_after_fault(cx)
        })
    }
}

impl<C: Client> Socket<C> {
    fn new(
        hub: Arc<Hub>,
        link: C::Link,
        dialect: Dialect,
        trace: Option<Trace>,
        client: impl FnOnce(Arc<Hub>, Arc<Mailbox>, bool, Millis) -> C,
    ) -> Self {
        let mailbox = Mailbox::new(rand::random(), dialect, hub.rules.limits.outbox_bytes);
        let reachable = hub.rooms.connect(&mailbox);
        if hub.is_draining() {
            mailbox.note(Note::Goaway(Goaway::Drain));
        }
        hub.metrics.handshakes.inc(HandshakeOutcome::Accepted);
        hub.metrics.sockets.add((C::PROTOCOL, SocketState::New), 1);
        let client = client(Arc::clone(&hub), Arc::clone(&mailbox), reachable, hub.clock.now());
        let wakes_at = Millis::MAX;
        let timer = Box::pin(sleep_until(hub.clock.instant(wakes_at)));
        let state = SocketState::New;
        let (flush_by, unflushed, end_by) = (None, None, None);
        Self { hub, link, client, mailbox, timer, wakes_at, flush_by, unflushed, end_by, trace, state }
    }

    fn enter(&mut self, state: SocketState) {
        self.hub.metrics.sockets.add((C::PROTOCOL, self.state), -1);
        self.hub.metrics.sockets.add((C::PROTOCOL, state), 1);
        self.state = state;
    }

    fn turn(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<()> {
        if self.end_by.is_none() {
            let drained = self.take_in(cx);
            self.meet_deadlines(drained);
            self.write(cx, scratch);
            if self.state == SocketState::New && self.client.is_signed_in() {
                self.enter(SocketState::SignedIn);
            }
            // A deadline or a note has started something after the answers were taken. Without another turn it would lie
            // there, with whatever it holds of the store, until the client says something.
            if self.client.is_unheard() {
                cx.waker().wake_by_ref();
            }
        }
        if let Some(by) = self.end_by {
            if self.link.poll_end(cx).is_ready() {
                return Poll::Ready(());
            }
            if self.hub.clock.now() >= by {
                self.link.abort();
                return Poll::Ready(());
            }
        }
        self.set_timer(cx);
        Poll::Pending
    }

    /// The turn has panicked: the client is told that it is no fault of its own. A second time there is nothing more to
    /// say, and the connection ends without a word.
    fn end_after_fault(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.end_by.is_some() {
            return Poll::Ready(());
        }
        tracing::error!(
            trace_id = self.trace.map(followed::trace_id),
            span_id = self.trace.map(followed::span_id),
            trace_sampled = self.trace.map(Trace::is_sampled),
            "a client's task has panicked; its socket is closed with 1011"
        );
        self.close(Close::Internal, None);
        self.set_timer(cx);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads commands and takes the answers of the store. Returns whether everything that had arrived was read.
    fn take_in(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            let read = self.read(cx);
            let answered = self.end_by.is_none() && self.client.take_outcomes(cx);
            self.heed();
            match read {
                // An answer has made room for the next command.
                Reading::Full if answered => {}
                Reading::Full | Reading::Drained => return true,
                Reading::OutOfTurn => {
                    cx.waker().wake_by_ref();
                    return false;
                }
            }
        }
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Reading {
        for _ in 0..READS_PER_TURN {
            if self.client.is_full() {
                return Reading::Full;
            }
            match self.link.poll_message(cx) {
                Poll::Pending => return Reading::Drained,
                Poll::Ready(Ok(message @ (Incoming::Text(_) | Incoming::Binary(_)))) => {
                    self.client.receive(&message, self.hub.clock.now());
                    self.heed();
                }
                Poll::Ready(Ok(Incoming::Control)) => {}
                Poll::Ready(Ok(Incoming::Close)) => self.end(Ending::Client),
                Poll::Ready(Err(Broken::Gone)) => self.end(Ending::Gone),
                Poll::Ready(Err(Broken::Violation(close, retry_ms))) => {
                    if close == Close::Budget {
                        self.hub.metrics.budgets_exceeded.inc(labels::Budget::Wire);
                    }
                    self.link.fail(close, retry_ms.map(|ms| ms.max(OVER_BUDGET_RETRY_MS)));
                    self.end(Ending::By(close));
                }
            }
            if self.end_by.is_some() {
                return Reading::Drained;
            }
        }
        Reading::OutOfTurn
    }

    /// Does what is due, once everything that the client has sent is read: after a pause of the whole process its
    /// `pong` may be waiting.
    fn meet_deadlines(&mut self, drained: bool) {
        if !self.timer.is_elapsed() || self.end_by.is_some() {
            return;
        }
        let now = self.hub.clock.now();
        if !drained && now < self.wakes_at.saturating_add(LATE_MS) {
            return;
        }
        if self.flush_by.is_some_and(|by| by <= now) {
            // A close frame couldn't get past what the kernel doesn't take.
            self.link.abort();
            return self.end(Ending::By(Close::Slow));
        }
        if self.message_due() <= now {
            self.hub.metrics.budgets_exceeded.inc(labels::Budget::Unfinished);
            self.link.fail(Close::Budget, Some(OVER_BUDGET_RETRY_MS));
            return self.end(Ending::By(Close::Budget));
        }
        self.client.tick(now);
        self.heed();
    }

    fn message_due(&self) -> Millis {
        self.link.unfinished_since().map_or(Millis::MAX, |since| since + self.hub.rules.unfinished_message_ms)
    }

    fn set_timer(&mut self, cx: &mut Context<'_>) {
        let due = match self.end_by {
            Some(by) => by,
            None => self.client.due().min(self.flush_by.unwrap_or(Millis::MAX)).min(self.message_due()),
        };
        // A timer that fires too early is moved then; moving it at every turn would cost more than the turn.
        if due < self.wakes_at || self.timer.is_elapsed() {
            self.wakes_at = due;
            self.timer.as_mut().reset(self.hub.clock.instant(due));
            if self.timer.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
    }

    /// Writes what waits in the mailbox, as far as the kernel takes it.
    fn write(&mut self, cx: &mut Context<'_>, Scratch { taken, frame }: &mut Scratch) {
        while self.end_by.is_none() {
            let most = match self.link.poll_flush(cx) {
                Poll::Ready(Ok(())) => {
                    self.flush_by = None;
                    if let Some(sent) = self.unflushed.take() {
                        self.delivered(sent.frames, sent.live, &sent.marks);
                    }
                    MESSAGE_BYTES
                }
                Poll::Ready(Err(_)) => return self.end(Ending::Gone),
                Poll::Pending => {
                    if self.flush_by.is_none() {
                        self.flush_by = Some(self.hub.clock.now() + self.hub.rules.flush_timeout_ms);
                    }
                    // Notes, and whether the queue has overflowed, count all the same.
                    0
                }
            };
            if self.mailbox.poll_take(cx, most, taken).is_pending() {
                return;
            }
            if taken.overflowed {
                self.close(Close::Slow, None);
            }
            for note in taken.notes.drain(..) {
                if self.end_by.is_none() {
                    self.client.take_note(note, self.hub.clock.now());
                    self.heed();
                }
            }
            if !taken.frames.is_empty() {
                self.send(cx, taken, frame);
                taken.frames.clear();
                taken.marks.clear();
                taken.live = None;
                frame.shrink_to(SCRATCH_BYTES);
            }
        }
    }

    fn send(&mut self, cx: &mut Context<'_>, taken: &mut Taken, frame: &mut Vec<u8>) {
        let frames = taken.frames.len();
        if self.end_by.is_some() || self.link.send(&taken.frames, frame).is_err() {
            if let Some(live) = taken.live {
                self.hub.metrics.deliveries_dropped.add(DeliveryLoss::Closed, u64::from(live.entries));
            }
            return self.end(Ending::Gone);
        }
        self.hub.metrics.delivery_batch.record(C::PROTOCOL, frames as u64);
        if self.link.poll_flush(cx) == Poll::Ready(Ok(())) {
            self.delivered(frames, taken.live, &taken.marks);
        } else if taken.live.is_some() || !taken.marks.is_empty() {
            let marks = std::mem::take(&mut taken.marks);
            self.unflushed = Some(Box::new(Sent { frames, live: taken.live, marks }));
        }
    }

    /// Once a write, whatever is in it.
    fn delivered(&self, frames: usize, live: Option<Live>, marks: &[Mark]) {
        marks.iter().for_each(|mark| mark.written(frames));
        if let Some(live) = live {
            let late = micros_between(live.stored_at, unix_ms());
            self.hub.metrics.delivery_duration.record_many(C::PROTOCOL, late, u64::from(live.entries));
        }
    }

    /// Nobody pushes any more. Returns how many entries never got there, and the bytes that waited.
    fn count_undelivered(&mut self, ending: Ending) -> (u64, usize) {
        let Undelivered { overflow, waiting, bytes } = self.mailbox.take_undelivered();
        let unflushed = self.unflushed.take().and_then(|sent| sent.live).map_or(0, |live| u64::from(live.entries));
        let reason = match ending {
            _ if overflow > 0 => DeliveryLoss::Overflow,
            Ending::By(Close::Slow) => DeliveryLoss::Stalled,
            _ => DeliveryLoss::Closed,
        };
        let dropped = overflow + waiting + unflushed;
        self.hub.metrics.deliveries_dropped.add(reason, dropped);
        (dropped, bytes)
    }

    /// Closes where the client wants to.
    fn heed(&mut self) {
        if self.end_by.is_none()
            && let Some((close, retry_ms)) = self.client.closing()
        {
            self.close(close, retry_ms);
        }
    }

    fn close(&mut self, close: Close, retry_ms: Option<Millis>) {
        self.link.close(close, retry_ms);
        // A Socket.IO client says goodbye by a packet.
        self.end(if close == Close::Normal { Ending::Client } else { Ending::By(close) });
    }

    /// Nothing is received or delivered from here on: what is left is to say goodbye.
    fn end(&mut self, ending: Ending) {
        if self.end_by.is_none() {
            self.hub.metrics.closes.inc(ending);
            self.enter(SocketState::Closing);
            self.end_by = Some(self.hub.clock.now() + LINGER_MS);
            self.client.depart();
            let (dropped, waiting_bytes) = self.count_undelivered(ending);
            if let Ending::By(close @ (Close::Slow | Close::Budget)) = ending {
                tracing::warn!(
                    code = close.code(),
                    reason = close.reason(),
                    protocol = C::PROTOCOL.as_str(),
                    dropped,
                    waiting_bytes,
                    trace_id = self.trace.map(followed::trace_id),
                    span_id = self.trace.map(followed::span_id),
                    trace_sampled = self.trace.map(Trace::is_sampled),
                    "a client that does too much or reads too slowly is closed"
                );
            }
        }
    }
}

impl<C: Client> Drop for Socket<C> {
    fn drop(&mut self) {
        // The task was ended from outside, at the end of a drain.
        if self.end_by.is_none() {
            self.hub.metrics.closes.inc(Ending::Gone);
            self.client.depart();
            self.count_undelivered(Ending::Gone);
        }
        self.hub.metrics.sockets.add((C::PROTOCOL, self.state), -1);
    }
}

/// How far reading got.
enum Reading {
    /// Everything that has arrived.
    Drained,
    /// No more until the store has answered something.
    Full,
    /// Others have a turn; there may be more.
    OutOfTurn,
}
