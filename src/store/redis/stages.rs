//! Where the time of a sampled call goes: its wait for the lane, the script, the wait for a replica.
//!
//! A pipeline is answered as a whole, so Redis's own clock says what took how long inside: `TIME` stands before the calls,
//! behind them, and behind the `WAIT`, where a call of the pipeline is sampled and nowhere else.

use std::time::Duration;

use redis::{Pipeline, RedisError, Value};
use tokio::time::Instant;

use crate::domain::Trace;
use crate::spans::{Name, Span};

/// A sampled call that waits for its turn.
#[derive(Debug, Clone, Copy)]
pub struct Waiting {
    trace: Trace,
    since: Instant,
}

impl Waiting {
    /// From now on.
    pub fn now(trace: Trace) -> Self {
        Self { trace, since: Instant::now() }
    }
}

/// The sampled calls of a pipeline that is being sent.
#[derive(Debug)]
pub struct Stages {
    calls: Vec<Waiting>,
    sent: Instant,
    /// Where in the pipeline the marks are.
    marks: Vec<usize>,
}

impl Stages {
    /// `None` where no call is sampled.
    pub fn begin(calls: impl Iterator<Item = Waiting>) -> Option<Self> {
        let calls: Vec<_> = calls.collect();
        (!calls.is_empty()).then(|| Self { calls, sent: Instant::now(), marks: Vec::new() })
    }

    /// Lets Redis tell the time here.
    pub fn mark(&mut self, pipeline: &mut Pipeline) {
        self.marks.push(pipeline.len());
        pipeline.cmd("TIME");
    }

    /// The pipeline of so many calls is answered: takes the times out of the answers, and records the spans.
    pub fn end(self, answers: &mut Vec<Result<Value, RedisError>>, calls: usize) {
        let answered = Instant::now();
        let mut times = Vec::with_capacity(self.marks.len());
        for at in self.marks.into_iter().rev().filter(|at| *at < answers.len()).collect::<Vec<_>>() {
            times.extend(answers.remove(at).ok().as_ref().and_then(micros));
        }
        times.reverse();
        let inside: Duration = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).sum();
        // The way there is taken to be as long as the way back.
        let arrived = self.sent + answered.duration_since(self.sent).saturating_sub(inside) / 2;
        let mut lead = None;
        for Waiting { trace, since } in self.calls {
            drop(Span::below(Name::LaneWait, trace).between(since, self.sent));
            let mut from = arrived;
            for (name, pair) in [Name::Script, Name::ReplicaWait].into_iter().zip(times.windows(2)) {
                let to = (from + pair[1].saturating_sub(pair[0])).min(answered);
                let mut span = Span::below(name, trace).between(from, to);
                span.count("confab.calls", calls);
                if name == Name::Script {
                    // What was sent together is tied to the first of it.
                    span = span.linked(lead);
                    lead = lead.or(Some(span.trace()));
                }
                from = to;
            }
        }
    }
}

/// What `TIME` answers.
fn micros(answer: &Value) -> Option<Duration> {
    let Value::Array(parts) = answer else { return None };
    let number = |part: &Value| match part {
        Value::BulkString(digits) => std::str::from_utf8(digits).ok()?.parse().ok(),
        _ => None,
    };
    let [seconds, micros] = &parts[..] else { return None };
    Some(Duration::from_secs(number(seconds)?) + Duration::from_micros(number(micros)?))
}
