//! What arrived: counts, the order of offsets, and how long it took.
//!
//! Pure: fed by the run, read by the report. Offsets of a room are dense, so the one a member saw last tells at any
//! time what it has missed.

use std::collections::BTreeMap;
use std::ops::Range;

use hdrhistogram::Histogram;

use crate::pace::Nanos;

const LONGEST: Nanos = 600_000_000_000;

/// What arrived at all sockets together.
#[derive(Debug)]
pub struct Tally {
    /// Messages delivered, one per message and member.
    pub deliveries: u64,
    /// Bytes of their objects.
    pub delivered_bytes: u64,
    /// Frames that carried messages.
    pub frames: u64,
    /// Reads that gave bytes.
    pub reads: u64,
    /// Messages sent.
    pub messages: u64,
    /// Messages acknowledged.
    pub acknowledged: u64,
    /// Offsets that were skipped and not delivered.
    pub lost: u64,
    /// Offsets that were delivered again or out of order.
    pub repeated: u64,
    /// Rooms that a server started anew.
    pub resets: u64,
    /// Refusals by code.
    pub refused: BTreeMap<String, u64>,
    /// Sockets that ended, by close code (1006 without one).
    pub closed: BTreeMap<u16, u64>,
    /// Messages that were due in this time are timed.
    pub timed: Range<Nanos>,
    latency: Histogram<u64>,
}

impl Tally {
    /// Nothing yet.
    ///
    /// # Panics
    /// Never: the bounds of the histogram are constants that it takes.
    #[must_use]
    pub fn new() -> Self {
        Self {
            deliveries: 0,
            delivered_bytes: 0,
            frames: 0,
            reads: 0,
            messages: 0,
            acknowledged: 0,
            lost: 0,
            repeated: 0,
            resets: 0,
            refused: BTreeMap::new(),
            closed: BTreeMap::new(),
            timed: 0..0,
            latency: Histogram::new_with_bounds(1_000, LONGEST, 3).expect("bounds of a histogram"),
        }
    }

    /// Counts a delivery of the message due at `due`, to a member who has seen `last` as yet.
    pub fn deliver(&mut self, last: &mut u64, offset: u64, due: Nanos, now: Nanos) {
        self.deliveries += 1;
        if offset <= *last {
            self.repeated += 1;
            return;
        }
        self.lost += offset - *last - 1;
        *last = offset;
        if self.timed.contains(&due) {
            self.latency.saturating_record(now.saturating_sub(due));
        }
    }

    /// Messages that were timed.
    #[must_use]
    pub fn timed_deliveries(&self) -> u64 {
        self.latency.len()
    }

    /// The latency, in nanoseconds, that this share of the timed deliveries doesn't exceed.
    #[must_use]
    pub fn latency_at(&self, quantile: f64) -> Nanos {
        self.latency.value_at_quantile(quantile)
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_a_loss_and_a_step_back_a_repetition() {
        let mut tally = Tally::new();
        let mut last = 10;
        for offset in [11, 12, 15, 15, 13, 16] {
            tally.deliver(&mut last, offset, 0, 0);
        }
        assert_eq!((tally.deliveries, tally.lost, tally.repeated, last), (6, 2, 2, 16));
    }

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut tally = Tally::new();
        tally.timed = 0..u64::MAX;
        let mut last = 0;
        for n in 1..=1000 {
            tally.deliver(&mut last, n, 0, n * 1_000_000);
        }
        for (quantile, millis) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1000.0)] {
            let got = tally.latency_at(quantile) as f64 / 1e6;
            assert!((got / millis - 1.0).abs() < 0.002, "{quantile}: {got} ms");
        }
    }

    #[test]
    fn only_what_was_due_in_the_timed_part_is_timed() {
        let mut tally = Tally::new();
        tally.timed = 100..200;
        let mut last = 0;
        for (offset, due) in [(1, 99), (2, 100), (3, 199), (4, 200)] {
            tally.deliver(&mut last, offset, due, 10_000);
        }
        assert_eq!((tally.deliveries, tally.timed_deliveries()), (4, 2));
    }
}
