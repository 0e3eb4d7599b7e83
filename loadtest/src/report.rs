//! What a run found, as one JSON object.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::pace::Nanos;
use crate::tally::Tally;

/// What a run found. Server figures are absent without its process number.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Sockets opened.
    pub sockets: usize,
    /// Rooms they were spread over.
    pub rooms: usize,
    /// Senders in each room.
    pub senders: usize,
    /// Messages in flight per sender, at most.
    pub window: usize,
    /// Messages a second over all senders that were due; absent in a closed loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Bytes of each text.
    pub text_bytes: usize,
    /// Opening, signing in and joining.
    pub connect: Connect,
    /// Messages sent into each room before the measured part.
    pub fill: u64,
    /// The measured part; absent where none was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
    /// What went wrong over the whole run.
    pub faults: Faults,
    /// Members that stopped reading, and how that ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stalled: Option<Stalled>,
}

/// Opening, signing in and joining.
#[derive(Debug, Serialize)]
pub struct Connect {
    /// Until the last socket had joined.
    pub seconds: f64,
    /// Processor time of the server for one socket, until it was quiet again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_cpu_us_per_socket: Option<f64>,
    /// Resident memory that each idle socket added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_rss_bytes_per_socket: Option<f64>,
}

/// The measured part.
#[derive(Debug, Serialize)]
pub struct Load {
    /// How long it was.
    pub seconds: f64,
    /// Messages sent.
    pub messages: u64,
    /// Messages delivered, one per message and member.
    pub deliveries: u64,
    /// Bytes of the object that a message is delivered as, on average over the whole run.
    pub bytes_per_delivery: f64,
    /// Messages delivered in one frame, on average.
    pub deliveries_per_frame: f64,
    /// Messages delivered in one read of the client, on average.
    pub deliveries_per_read: f64,
    /// Messages a second.
    pub messages_per_second: f64,
    /// Processor time of the server per delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_cpu_us_per_delivery: Option<f64>,
    /// Processor time of the server per message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_cpu_us_per_message: Option<f64>,
    /// Processors that the server kept busy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_busy: Option<f64>,
    /// Processors that this client kept busy: near 1, it is what was measured.
    pub client_busy: f64,
    /// From when a message was due to its arrival at each member.
    pub latency_us: Latency,
}

/// Percentiles of the delivery latency, in microseconds.
#[derive(Debug, Serialize)]
pub struct Latency {
    /// Corrected for coordinated omission: counted from when the message was due, not from when it left. In a closed
    /// loop there is no such time, and a slow server is asked less often.
    pub corrected: bool,
    /// Deliveries that were timed.
    pub count: u64,
    /// Median.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %.
    #[serde(rename = "p99.9")]
    pub p99_9: f64,
    /// Longest.
    pub max: f64,
}

/// What went wrong; all of it is 0 or empty in a good run.
#[derive(Debug, Serialize)]
pub struct Faults {
    /// Deliveries that never came: messages in a room that a member didn't get.
    pub lost: u64,
    /// Deliveries that came again or out of order.
    pub repeated: u64,
    /// Rooms that the server started anew.
    pub resets: u64,
    /// Messages that were never acknowledged.
    pub unacknowledged: u64,
    /// Refusals by code.
    pub refused: BTreeMap<String, u64>,
    /// Sockets that ended, by close code (1006: without one).
    pub closed: BTreeMap<u16, u64>,
}

/// Members that stopped reading.
#[derive(Debug, Serialize)]
pub struct Stalled {
    /// How many.
    pub sockets: usize,
    /// How many of them the server had closed by the end, by close code (1006: without one).
    pub closed: BTreeMap<u16, u64>,
}

impl Latency {
    /// The percentiles of a tally.
    #[must_use]
    pub fn of(tally: &Tally, corrected: bool) -> Self {
        let at = |quantile| micros(tally.latency_at(quantile));
        Self {
            corrected,
            count: tally.timed_deliveries(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: at(1.0),
        }
    }
}

impl Faults {
    /// Whether every message reached every member once and in order.
    #[must_use]
    pub fn none(&self) -> bool {
        self.lost == 0
            && self.repeated == 0
            && self.resets == 0
            && self.unacknowledged == 0
            && self.refused.is_empty()
            && self.closed.is_empty()
    }
}

/// Microseconds, with a tenth.
fn micros(nanos: Nanos) -> f64 {
    (nanos as f64 / 100.0).round() / 10.0
}
