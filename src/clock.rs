//! The one place where sockets ask for the time: a monotonic clock in milliseconds, which can be paused in tests.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::Millis;

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
