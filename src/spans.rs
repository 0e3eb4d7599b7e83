//! What is recorded of sampled messages: spans, handed to the exporter when they end.
//!
//! It owns the decision whether a message is sampled and the way of spans to the exporter, with its bound. A message that
//! isn't sampled has no span and costs a branch; a span is a few words until it ends. Whoever records gives names of the
//! list below and numbers: no room, user, name, key or text ever is an attribute.
//!
//! Times are those of the monotonic clock, set against the wall clock when a span ends, so that a clock that jumps makes no
//! negative duration. The socket, the rooms, the store and the server may use it; it knows the domain.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter, SpanLinks, SpanProcessor};
use tokio::time::Instant;

use crate::domain::Trace;

/// Spans that may wait for the exporter, those under way to the collector included; beyond it they are dropped and counted.
/// That is 2 MiB at most.
pub const QUEUE: usize = 2_048;

/// Traces a second that are recorded because their callers say so; anybody may say so. What comes beyond it is delivered
/// like all that isn't sampled.
pub const ASKED: u32 = 100;

/// Attributes of a span, at most.
const ATTRIBUTES: usize = 6;

/// The name of a span: what is done while it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// A request over HTTP that became a WebSocket.
    Handshake,
    /// Any other request over HTTP.
    Request,
    /// A command of a client, from when it was read to its reply.
    Command,
    /// The store appends an entry, to its answer.
    Append,
    /// A call waits for its turn on the connection to Redis.
    LaneWait,
    /// Redis carries the scripts of a pipeline out.
    Script,
    /// Redis waits for a replica.
    ReplicaWait,
    /// A publication was received, to when it is in all mailboxes.
    Publication,
    /// An entry is encoded and put into the mailboxes of a room.
    FanOut,
    /// An entry waits in a mailbox and is written to the socket.
    Write,
}

impl Name {
    /// All of them, in the order in which a message meets them.
    pub const ALL: [Self; 10] = [
        Self::Handshake,
        Self::Request,
        Self::Command,
        Self::Append,
        Self::LaneWait,
        Self::Script,
        Self::ReplicaWait,
        Self::Publication,
        Self::FanOut,
        Self::Write,
    ];

    /// As it stands in a trace.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Request => "request",
            Self::Command => "command",
            Self::Append => "append",
            Self::LaneWait => "lane wait",
            Self::Script => "script",
            Self::ReplicaWait => "replica wait",
            Self::Publication => "publication",
            Self::FanOut => "fan-out",
            Self::Write => "socket write",
        }
    }

    const fn kind(self) -> SpanKind {
        match self {
            Self::Handshake | Self::Request | Self::Command => SpanKind::Server,
            Self::Append => SpanKind::Producer,
            Self::Publication => SpanKind::Consumer,
            Self::LaneWait | Self::FanOut | Self::Write => SpanKind::Internal,
            Self::Script | Self::ReplicaWait => SpanKind::Client,
        }
    }
}

/// A span that has begun. It ends when it is dropped, and is recorded then.
#[derive(Debug)]
pub struct Span {
    name: Name,
    own: Trace,
    /// 0 for the first of a trace.
    parent: u64,
    remote: bool,
    from: Instant,
    to: Option<Instant>,
    attributes: Vec<KeyValue>,
    link: Option<Trace>,
    error: Option<&'static str>,
}

impl Span {
    /// The first span here of what came with a place in a trace, or without: where that is sampled (by [`ASKED`] callers a
    /// second), or nobody has said anything and chance has it. Without an exporter there is none.
    #[must_use]
    pub fn entry(name: Name, from: Option<Trace>) -> Option<Self> {
        let recorder = RECORDER.get()?;
        match from {
            Some(parent) if !parent.is_sampled() || !recorder.heeds(Instant::now()) => None,
            Some(parent) => {
                let mut span = Self::below(name, parent);
                span.remote = true;
                Some(span)
            }
            None if recorder.chance() => Self::root(name),
            None => None,
        }
    }

    fn root(name: Name) -> Option<Self> {
        let own = Trace::new(rand::random(), rand::random(), true)?;
        let mut span = Self::below(name, own);
        span.parent = 0;
        Some(span)
    }

    /// A span below one of a sampled trace that was begun in this process, or, as [`Name::Publication`], in another.
    #[must_use]
    pub fn below(name: Name, parent: Trace) -> Self {
        Self {
            name,
            own: parent.below(rand::random_range(1..=u64::MAX)),
            parent: parent.span(),
            remote: name == Name::Publication,
            from: Instant::now(),
            to: None,
            attributes: Vec::new(),
            link: None,
            error: None,
        }
    }

    /// The place below this span, for what follows from it.
    #[must_use]
    pub const fn trace(&self) -> Trace {
        self.own
    }

    /// Gives it another name: what it is shows at its end.
    pub const fn rename(&mut self, name: Name) {
        self.name = name;
    }

    /// It began and ended at other times than it was made and is dropped.
    #[must_use]
    pub const fn between(mut self, from: Instant, to: Instant) -> Self {
        self.from = from;
        self.to = Some(to);
        self
    }

    /// It began earlier.
    #[must_use]
    pub const fn since(mut self, from: Instant) -> Self {
        self.from = from;
        self
    }

    /// It was done together with another message's, whose span this is.
    #[must_use]
    pub const fn linked(mut self, to: Option<Trace>) -> Self {
        self.link = to;
        self
    }

    /// Adds a number.
    pub fn count(&mut self, name: &'static str, count: usize) {
        self.add(KeyValue::new(name, i64::try_from(count).unwrap_or(i64::MAX)));
    }

    /// Adds a word of the program's own: none that came from outside.
    pub fn word(&mut self, name: &'static str, word: &'static str) {
        self.add(KeyValue::new(name, word));
    }

    /// What was to be done failed, for a reason of the program's own list.
    pub fn fail(&mut self, why: &'static str) {
        self.error = Some(why);
        self.word("error.type", why);
    }

    fn add(&mut self, attribute: KeyValue) {
        if self.attributes.len() < ATTRIBUTES {
            self.attributes.push(attribute);
        }
    }

    fn data(&mut self, recorder: &Recorder) -> SpanData {
        let now = Instant::now();
        let to = self.to.unwrap_or(now);
        let [start_time, end_time] = by_the_wall([self.from, to], now, SystemTime::now());
        let mut links = SpanLinks::default();
        links.links.extend(self.link.map(|link| Link::with_context(context(link, false))));
        SpanData {
            span_context: context(self.own, false),
            parent_span_id: SpanId::from(self.parent),
            parent_span_is_remote: self.remote,
            span_kind: self.name.kind(),
            name: self.name.as_str().into(),
            start_time,
            end_time,
            attributes: std::mem::take(&mut self.attributes),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: self.error.map_or(Status::Unset, Status::error),
            instrumentation_scope: recorder.scope.clone(),
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(recorder) = RECORDER.get()
            && recorder.reserve()
        {
            let data = self.data(recorder);
            recorder.processor.on_end(data);
        }
    }
}

/// Two times of the monotonic clock by the wall clock, given what time it is by both. Whatever the wall clock did meanwhile,
/// they are as far apart as they were, and never the wrong way round.
fn by_the_wall([from, to]: [Instant; 2], now: Instant, wall: SystemTime) -> [SystemTime; 2] {
    let ago = |time: SystemTime, how_long| time.checked_sub(how_long).unwrap_or(SystemTime::UNIX_EPOCH);
    let end = ago(wall, now.saturating_duration_since(to));
    [ago(end, to.saturating_duration_since(from)), end]
}

fn context(trace: Trace, remote: bool) -> SpanContext {
    SpanContext::new(
        TraceId::from(trace.id()),
        SpanId::from(trace.span()),
        TraceFlags::SAMPLED,
        remote,
        TraceState::NONE,
    )
}

static RECORDER: OnceLock<Recorder> = OnceLock::new();

/// Where spans go.
#[derive(Debug)]
struct Recorder {
    processor: Box<dyn SpanProcessor>,
    scope: InstrumentationScope,
    /// Of all numbers of 64 bits, the share that is sampled.
    below: u64,
    asked: Asked,
}

/// How many callers were heeded in this second, which is counted from the first: in the upper and the lower half of a word.
#[derive(Debug)]
struct Asked {
    first: Instant,
    second_and_count: AtomicU64,
}

impl Asked {
    fn may(&self, now: Instant) -> bool {
        let second = now.saturating_duration_since(self.first).as_secs() << 32;
        let one_more = |word: u64| {
            let count = if word >> 32 == second >> 32 { word & u64::from(u32::MAX) } else { 0 };
            (count < u64::from(ASKED)).then_some(second | (count + 1))
        };
        self.second_and_count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }
}

static HELD: AtomicUsize = AtomicUsize::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);
static FAILED: AtomicU64 = AtomicU64::new(0);

impl Recorder {
    fn heeds(&self, now: Instant) -> bool {
        self.asked.may(now)
    }

    fn chance(&self) -> bool {
        self.below > 0 && rand::random::<u64>() <= self.below
    }

    /// Takes a place in the queue, or counts a span that finds none.
    fn reserve(&self) -> bool {
        let took = HELD.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| (held < QUEUE).then_some(held + 1));
        if took.is_err() {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        took.is_ok()
    }
}

/// Spans that never got to a collector, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// The queue was full.
    pub dropped: u64,
    /// The collector didn't take them.
    pub failed: u64,
}

/// What was lost so far.
#[must_use]
pub fn lost() -> Lost {
    Lost { dropped: DROPPED.load(Ordering::Relaxed), failed: FAILED.load(Ordering::Relaxed) }
}

/// Begins to record, once per process: `ratio` of what comes without a place in a trace is sampled, a number from 0 to 1.
/// `processor` gets the spans; its exporter is [`Counted`] and its queue holds [`QUEUE`].
pub fn record(processor: Box<dyn SpanProcessor>, service: &'static str, ratio: f64) {
    let scope = InstrumentationScope::builder(service).with_version(env!("CARGO_PKG_VERSION")).build();
    // From 0 to all: the conversion saturates.
    let below = (ratio * u64::MAX as f64) as u64;
    // A second one would be another process's.
    let asked = Asked { first: Instant::now(), second_and_count: AtomicU64::new(0) };
    let _ = RECORDER.set(Recorder { processor, scope, below, asked });
}

/// Sends what is left, within a time. What comes later is dropped.
pub fn stop(within: Duration) -> OTelSdkResult {
    RECORDER.get().map_or(Ok(()), |recorder| recorder.processor.shutdown_with_timeout(within))
}

/// An exporter whose spans give their places in the queue back when it is done with them.
#[derive(Debug)]
pub struct Counted<E>(pub E);

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let sent = self.0.export(batch).await;
        HELD.fetch_sub(spans, Ordering::Relaxed);
        if sent.is_err() {
            FAILED.fetch_add(spans as u64, Ordering::Relaxed);
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use std::mem::size_of;

    use super::*;

    #[test]
    fn a_full_queue_takes_no_more_than_the_reference_says() {
        // Names and words are the program's own and borrowed, so nothing else is on the heap.
        let span = size_of::<SpanData>() + ATTRIBUTES * size_of::<KeyValue>() + size_of::<Link>();
        assert!(QUEUE * span <= 2 * 1024 * 1024, "{span} bytes a span");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_jumps_makes_no_negative_duration() {
        let second = Duration::from_secs(1);
        let from = Instant::now();
        let (to, now) = (from + second, from + second * 3);
        let wall = SystemTime::UNIX_EPOCH + second * 1_000_000;
        for jumped in [wall, wall - second * 999_000, wall + second * 999_000] {
            let [start, end] = by_the_wall([from, to], now, jumped);
            assert_eq!((end - second, jumped - second * 2), (start, end));
        }
        let [start, end] = by_the_wall([to, from], now, wall);
        assert_eq!(start, end, "the wrong way round is no time at all");
        let [start, end] = by_the_wall([from, to], now, SystemTime::UNIX_EPOCH);
        assert!(start <= end);
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_callers_are_heeded_in_a_second_and_no_more() {
        let first = Instant::now();
        let asked = Asked { first, second_and_count: AtomicU64::new(0) };
        for second in [0, 1, 7] {
            let now = first + Duration::from_secs(second);
            assert_eq!((0..1_000).filter(|_| asked.may(now)).count(), ASKED as usize);
        }
    }
}
