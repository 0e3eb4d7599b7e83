//! The one place where sockets ask for the time: a monotonic clock in milliseconds, which can be paused in tests, and the
//! time of day.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::domain::Millis;

/// This machine's time of day, in milliseconds since 1970. It may jump.
#[must_use]
pub fn unix_ms() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as Millis
}

/// How long ago something was by the time of day, in microseconds, where another machine's clock may have said when: 0
/// where that seems to be in the future.
#[must_use]
pub const fn micros_between(then: Millis, now: Millis) -> u64 {
    now.saturating_sub(then).saturating_mul(1_000)
}

/// Milliseconds since the server started.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// Starts at 0.
    #[must_use]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// The time.
    #[must_use]
    pub fn now(self) -> Millis {
        self.started.elapsed().as_millis() as Millis
    }

    /// The instant of a time, for waiting. Times without end are a year away.
    #[must_use]
    pub fn instant(self, at: Millis) -> Instant {
        const YEAR: Millis = 365 * 24 * 60 * 60 * 1_000;
        self.started + Duration::from_millis(at.min(YEAR))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_makes_no_negative_time() {
        assert_eq!(micros_between(5, 7), 2_000);
        assert_eq!(micros_between(7, 5), 0);
        assert_eq!(micros_between(0, Millis::MAX), u64::MAX);
    }
}
