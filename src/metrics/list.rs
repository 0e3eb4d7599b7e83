//! Every metric, once: its names, unit, attributes and meaning.
//!
//! The macro makes of the list the struct that the program counts in and the table that is exported and documented.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::cells::{Cells, Counter, Gauge, Histogram, Info, Kind, Reading};
use super::labels::{
    AppendStage, Attempt, Attempted, Attribute, Budget, CommandOutcome, CommandType, CpuMode, DeliveryLoss, DropReason,
    Durability, Ending, GapSign, GoawayReason, HandshakeOutcome, JoinKind, Labels, PoolState, Protocol,
    PublicationKind, RedisMemory, RedisRole, ResetReason, ResumeOutcome, SocketState, SpanLoss, TokenFault, Version,
    WriteOutcome, values_of,
};
use crate::protocol::Code;

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// The name in OTLP.
    pub name: &'static str,
    /// The unit, in UCUM. Seconds are kept as microseconds.
    pub unit: &'static str,
    /// What kind of numbers it has.
    pub kind: Kind,
    /// Its attributes, with all values.
    pub attributes: &'static [Attribute],
    /// The upper bounds of a histogram's buckets, as they are kept.
    pub bounds: &'static [u64],
    /// What it means: the lines of its documentation.
    pub doc: &'static [&'static str],
}

impl Metric {
    /// How many series it has.
    #[must_use]
    pub fn series(&self) -> usize {
        self.attributes.iter().map(|attribute| attribute.values.len()).product()
    }

    /// The keys and values of a series' attributes.
    #[must_use]
    pub fn labels(&self, series: usize) -> Vec<(&'static str, &'static str)> {
        values_of(self.attributes, series)
    }

    /// What a number as it is kept is in the metric's unit.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "53 bits of microseconds are 285 years")]
    pub fn in_unit(&self, number: u64) -> f64 {
        if self.is_time() { number as f64 / 1e6 } else { number as f64 }
    }

    /// Whether it is a time.
    #[must_use]
    pub fn is_time(&self) -> bool {
        self.unit == "s"
    }

    /// The documentation as one line.
    #[must_use]
    pub fn sentence(&self) -> String {
        self.doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
    }

    /// The name in OpenMetrics without what the kind adds, and the unit that it ends with.
    pub(super) fn family(&self) -> (String, Option<&'static str>) {
        let unit = match self.unit {
            "s" => Some("seconds"),
            "By" => Some("bytes"),
            _ => None,
        };
        (self.name.replace('.', "_"), unit)
    }

    /// The name in OpenMetrics that queries use; of a histogram with `_bucket`, `_count` or `_sum` behind it.
    #[must_use]
    pub fn open_metrics_name(&self) -> String {
        let (mut name, unit) = self.family();
        if let Some(unit) = unit {
            name = format!("{name}_{unit}");
        }
        match self.kind {
            Kind::Counter => name + "_total",
            Kind::Info => name + "_info",
            Kind::Gauge | Kind::Histogram => name,
        }
    }
}

type Source = Box<dyn Fn(&Metrics) + Send + Sync>;

macro_rules! list {
    ($(
        $(#[doc = $doc:literal])+
        $field:ident: $cells:ident<$labels:ty> = $name:literal $unit:literal $($bounds:ident)?;
    )+) => {
        /// The numbers of one instance.
        pub struct Metrics {
            $( $(#[doc = $doc])+ pub $field: $cells<$labels>, )+
            sources: Mutex<Vec<Source>>,
        }

        impl Default for Metrics {
            fn default() -> Self {
                Self { $( $field: $cells::new(list!(@bounds $($bounds)?)), )+ sources: Mutex::default() }
            }
        }

        /// Every metric, in the order of the documentation.
        pub const LIST: &[Metric] = &[$(
            Metric {
                name: $name,
                unit: $unit,
                kind: $cells::<$labels>::KIND,
                attributes: <$labels as Labels>::ATTRIBUTES,
                bounds: list!(@bounds $($bounds)?),
                doc: &[$($doc),+],
            },
        )+];

        impl Metrics {
            fn cells(&self) -> Vec<&dyn Cells> {
                vec![$( &self.$field, )+]
            }
        }
    };
    (@bounds) => { &[] };
    (@bounds $bounds:ident) => { $bounds };
}

/// From half a millisecond to ten seconds, in microseconds; 1 s is what the promise of delivery is about.
const TIMES: &[u64] = &[
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000,
];

/// Numbers of things that go together.
const SIZES: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

list! {
    /// Clients that are connected: WebSockets and polling sessions.
    sockets: Gauge<(Protocol, SocketState)> = "confab.sockets" "{socket}";
    /// Attempts to open a WebSocket or a polling session, by what became of them. *Refused handshakes* are those that are
    /// `full`.
    handshakes: Counter<HandshakeOutcome> = "confab.handshakes" "{handshake}";
    /// Connections that ended, by close code: 4008 for slow readers, 4013 for budgets of the wire, 4001 and 4002 for
    /// rotation and drain. `client` where the client closed, `gone` where the connection broke.
    closes: Counter<Ending> = "confab.closes" "{socket}";
    /// Clients that were asked to move.
    goaways: Counter<GoawayReason> = "confab.goaways" "{socket}";
    /// 1 from the beginning of this instance's drain, else 0.
    draining: Gauge<()> = "confab.draining" "1";
    /// Tokens that were not accepted.
    token_failures: Counter<TokenFault> = "confab.tokens.refused" "{token}";

    /// Commands of clients, by what became of them. Those whose client goes before the store has answered are not counted.
    commands: Counter<(CommandType, CommandOutcome)> = "confab.commands" "{command}";
    /// Refusals that native clients were told, by their code.
    refusals: Counter<Code> = "confab.refusals" "{refusal}";
    /// Events of Socket.IO clients that had no effect and no answer.
    ignored: Counter<()> = "confab.ignored" "{event}";
    /// Times that a client was over a budget and was refused or closed for it.
    budgets_exceeded: Counter<Budget> = "confab.budgets.exceeded" "{refusal}";

    /// Writes that were acknowledged, by what the acknowledgement means.
    acknowledgements: Counter<(Durability, Attempt)> = "confab.acknowledgements" "{message}";
    /// From a write's arrival to its answer. *Ack latency* is that of `acknowledged` ones, and `failed` ones break that
    /// promise however fast they are told: the service was full or could not reach its store, or the outcome is unknown.
    /// `refused` ones are the client's own doing: too many, a key used twice, a target that isn't there or isn't theirs.
    acknowledgement_duration: Histogram<(Protocol, WriteOutcome)> = "confab.acknowledgement.duration" "s" TIMES;
    /// Where the time of an append to Redis goes, for each call.
    append_duration: Histogram<AppendStage> = "confab.append.duration" "s" TIMES;
    /// Calls that go to Redis in one pipeline.
    append_batch: Histogram<()> = "confab.append.batch" "{call}" SIZES;

    /// Frames that were handed to sockets: entries, answers and everything else. Entries that come together share one.
    deliveries: Counter<Protocol> = "confab.deliveries" "{frame}";
    /// From the time that an entry was stored, by the store's clock, to when the kernel has taken all of it for a client
    /// that was live in its room (or an answer to its poll has), by this machine's clock and to the millisecond.
    /// *Acknowledged but not delivered within 1 s* are those above 1 s, and those of `confab.deliveries.dropped` but the
    /// `closed` ones. Entries that a client asks for by joining or resuming are not counted; healed ones are. Of several
    /// entries in one write all count as the oldest.
    delivery_duration: Histogram<Protocol> = "confab.delivery.duration" "s" TIMES;
    /// Entries that were on their way to a client that was live in their room and never got there, for each client, at
    /// most: what may have got there in part counts whole. `overflow` and `stalled` clients read too slowly and are
    /// closed with 4008; `closed` ones went, or were closed for another reason, while something was on its way; all of
    /// them can resume. `reset` ones were told that their room's log doesn't continue.
    deliveries_dropped: Counter<DeliveryLoss> = "confab.deliveries.dropped" "{entry}";
    /// Frames that go out in one write.
    delivery_batch: Histogram<Protocol> = "confab.delivery.batch" "{frame}" SIZES;
    /// What waits in the queues of all clients.
    outbox: Gauge<()> = "confab.outbox.size" "By";

    /// Publications that reached this instance.
    publications: Counter<PublicationKind> = "confab.publications" "{publication}";
    /// Published entries that a room had already.
    publications_duplicate: Counter<()> = "confab.publications.duplicate" "{publication}";
    /// Publications that were dropped on the way in.
    publications_dropped: Counter<DropReason> = "confab.publications.dropped" "{publication}";
    /// From the time that an entry was stored, by the store's clock, to its arrival at this instance, by this machine's.
    publication_lag: Histogram<()> = "confab.publication.lag" "s" TIMES;
    /// Times that reading a room's log brought entries that should have come by publications.
    gaps_healed: Counter<GapSign> = "confab.gaps.healed" "{gap}";
    /// The entries that came so.
    gap_entries: Counter<()> = "confab.gaps.entries" "{entry}";
    /// Entries that were about to be delivered though they don't follow what their clients had, and no reset was told:
    /// *unannounced gaps*, found by a second look at everything that leaves a room. Always 0, or the service has a fault.
    gaps_unannounced: Counter<()> = "confab.gaps.unannounced" "{gap}";
    /// Rooms whose live clients were told that their log doesn't continue.
    resets: Counter<ResetReason> = "confab.resets" "{room}";
    /// Clients that came back with a position.
    resumes: Counter<ResumeOutcome> = "confab.resumes" "{join}";
    /// From a join's arrival to its answer.
    join_duration: Histogram<JoinKind> = "confab.join.duration" "s" TIMES;
    /// Rooms that this instance has open.
    rooms: Gauge<()> = "confab.rooms" "{room}";

    /// Renewals of this instance's presence lease.
    leases: Counter<Attempted> = "confab.presence.leases" "{renewal}";
    /// Sweeps for instances whose lease has ended.
    sweeps: Counter<Attempted> = "confab.presence.sweeps" "{sweep}";
    /// Instances whose members were taken out by this one.
    swept: Counter<()> = "confab.presence.swept" "{instance}";

    /// 1 while the store answers, else 0.
    store_reachable: Gauge<()> = "confab.store.reachable" "1";
    /// How long the store was away and clients were told `degraded`: *degraded minutes*.
    degraded: Counter<()> = "confab.store.degraded" "s";
    /// Calls that wait in the lanes to Redis.
    lane_calls: Gauge<()> = "confab.redis.lane.calls" "{call}";
    /// Bytes of these calls.
    lane_bytes: Gauge<()> = "confab.redis.lane.size" "By";
    /// Connections of the pool to Redis.
    pool_connections: Gauge<PoolState> = "confab.redis.pool.connections" "{connection}";
    /// Callers that wait for a connection of the pool.
    pool_waiting: Gauge<()> = "confab.redis.pool.waiting" "{call}";
    /// Rooms that are subscribed at Redis.
    subscriptions: Gauge<()> = "confab.redis.subscriptions" "{room}";
    /// Times that all connections to Redis were made again.
    redials: Counter<()> = "confab.redis.redials" "{redial}";
    /// Redis's memory, as it told within the last 10 s.
    redis_memory: Gauge<RedisMemory> = "confab.redis.memory" "By";
    /// Clients of Redis, as it told within the last 10 s.
    redis_clients: Gauge<()> = "confab.redis.clients" "{client}";
    /// Replicas of Redis, as it told within the last 30 s.
    redis_replicas: Gauge<()> = "confab.redis.replicas" "{replica}";
    /// 1 for the role of the Redis that this instance is connected to, as it told within the last 30 s, else 0.
    redis_role: Gauge<RedisRole> = "confab.redis.role" "1";
    /// Keys that Redis has thrown away for lack of memory, since it started. Each may be a log, members or marks.
    redis_evicted: Gauge<()> = "confab.redis.evicted" "{key}";

    /// Spans of sampled messages that didn't reach the collector.
    spans_lost: Counter<SpanLoss> = "confab.spans.lost" "{span}";

    /// Processor time of this process.
    cpu: Counter<CpuMode> = "process.cpu.time" "s";
    /// Memory of this process that is resident.
    memory: Gauge<()> = "process.memory.usage" "By";
    /// Files and sockets that this process has open.
    open_files: Gauge<()> = "process.open_file_descriptor.count" "{file_descriptor}";
    /// Tasks of the runtime.
    tasks: Gauge<()> = "confab.tasks" "{task}";
    /// Since this process began.
    uptime: Gauge<()> = "process.uptime" "s";
    /// The program.
    build: Info<Version> = "confab.build" "1";
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Has a number brought up to date before it is read: what is cheaper to look up than to keep.
    pub fn look_up(&self, source: impl Fn(&Self) + Send + Sync + 'static) {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(source));
    }

    /// Clients that are connected, those that are about to end included.
    #[must_use]
    pub fn open_sockets(&self) -> i64 {
        (0..<(Protocol, SocketState)>::SERIES).map(|series| self.sockets.at(series)).sum()
    }

    /// Every metric with all of its series, brought up to date.
    #[must_use]
    pub fn read(&self) -> Vec<(&'static Metric, Vec<Reading>)> {
        for source in &*self.sources.lock().unwrap_or_else(PoisonError::into_inner) {
            source(self);
        }
        for protocol in [Protocol::Native, Protocol::Socketio] {
            // Counted once, where they go out.
            self.deliveries.set_total(protocol, self.delivery_batch.sum(protocol));
        }
        let series = |(metric, cells): (&'static Metric, &dyn Cells)| {
            (metric, (0..metric.series()).map(|series| cells.read(series)).collect())
        };
        LIST.iter().zip(self.cells()).map(series).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_spelt_as_open_telemetry_spells_them() {
        let mut names = BTreeSet::new();
        for metric in LIST {
            let spelt = |c: char| c.is_ascii_lowercase() || c == '.' || c == '_';
            assert!(metric.name.chars().all(spelt), "{}", metric.name);
            assert!(names.insert(metric.open_metrics_name()), "{} is there twice", metric.name);
            assert_eq!(metric.kind == Kind::Histogram, !metric.bounds.is_empty(), "{}", metric.name);
            assert!(metric.bounds.is_sorted(), "{}", metric.name);
        }
    }

    #[test]
    fn the_number_of_series_is_bounded() {
        let of = |metric: &Metric| metric.series() * (metric.bounds.len() + 2).max(1);
        let all: usize = LIST.iter().map(of).sum();
        assert!(all < 1_000, "{all} numbers are too many for one instance");
    }

    #[test]
    fn what_is_looked_up_is_up_to_date_when_it_is_read() {
        let metrics = Metrics::default();
        metrics.look_up(|metrics| metrics.rooms.set((), 7));
        let read = metrics.read();
        let rooms = read.iter().find(|(metric, _)| metric.name == "confab.rooms").map(|(_, series)| series.clone());
        assert_eq!(rooms, Some(vec![Reading::Level(7)]));
    }
}
