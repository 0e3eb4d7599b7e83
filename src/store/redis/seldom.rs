//! Log lines that a failure would repeat with every call.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Between two lines of a kind.
const EVERY: Duration = Duration::from_secs(5);

/// Says when a line of its kind is due.
#[derive(Debug)]
pub struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    /// Due at once.
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Whether the last one was long enough ago; then this is one.
    pub fn is_due(&self) -> bool {
        let now = Instant::now();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| now - last >= EVERY);
        if due {
            *last = Some(now);
        }
        due
    }
}
