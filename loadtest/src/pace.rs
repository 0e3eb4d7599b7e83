//! When messages are due.
//!
//! In a closed loop the answers say it: each sender has a window of messages in flight. In an open loop the clock says
//! it, whatever the server does, and a message that leaves late is late from the moment it was due: a stalled server
//! can't hide the messages that it kept from being sent (coordinated omission). Pure: `now` is a parameter.

use std::time::Duration;

/// Nanoseconds of the run's own monotonic clock.
pub type Nanos = u64;

/// A duration on that clock.
#[must_use]
pub fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

const NANOS_PER_SECOND: f64 = 1e9;

/// The due times of an open loop: evenly spaced, dealt to the senders in turn.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    start: Nanos,
    end: Nanos,
    interval: f64,
    next: u64,
}

impl Schedule {
    /// A schedule of `rate` messages a second over all senders, from `start` on and before `end`.
    #[must_use]
    pub fn new(rate: f64, start: Nanos, end: Nanos) -> Self {
        Self { start, end, interval: NANOS_PER_SECOND / rate, next: 0 }
    }

    /// When the next message is due; `None` when there is none.
    #[must_use]
    pub fn due(&self) -> Option<Nanos> {
        let due = self.start + (self.next as f64 * self.interval) as Nanos;
        (due < self.end).then_some(due)
    }

    /// Takes the next message if it is due: its number, and when it was due.
    pub fn take(&mut self, now: Nanos) -> Option<(u64, Nanos)> {
        let due = self.due().filter(|&due| due <= now)?;
        self.next += 1;
        Some((self.next - 1, due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_evenly_and_do_not_drift() {
        let mut schedule = Schedule::new(3.0, 1_000, Nanos::MAX);
        let dues: Vec<Nanos> = std::iter::from_fn(|| schedule.take(Nanos::MAX)).take(7).map(|(_, due)| due).collect();
        assert_eq!(dues[0], 1_000);
        assert_eq!(dues[3], 1_000_001_000);
        assert_eq!(dues[6], 2_000_001_000);
    }

    #[test]
    fn what_was_missed_keeps_the_time_it_was_due() {
        let mut schedule = Schedule::new(1_000.0, 0, 7_000_000);
        assert_eq!(schedule.take(0), Some((0, 0)));
        assert_eq!(schedule.take(999_999), None);
        // The run was held up for five milliseconds: five messages are due, each with its own time.
        let late: Vec<_> = std::iter::from_fn(|| schedule.take(5_000_000)).collect();
        assert_eq!(late, [(1, 1_000_000), (2, 2_000_000), (3, 3_000_000), (4, 4_000_000), (5, 5_000_000)]);
        // And what is due before the end is sent, however late it is.
        assert_eq!((schedule.take(9_000_000), schedule.take(9_000_000)), (Some((6, 6_000_000)), None));
    }
}
