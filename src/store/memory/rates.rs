//! How fast each user sends to one room.

use std::collections::HashMap;

use crate::domain::{Limits, Millis, UserId};
use crate::store::Refusal;

const NANOS_PER_MILLI: u64 = 1_000_000;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Bytes of memory that a user's rate takes.
const RATE_BYTES: usize = 64;

/// Token buckets in the form of GCRA: when a bucket will be full again, in Unix nanoseconds, is its whole state. A user
/// without one has a full bucket.
#[derive(Debug, Default)]
pub struct Rates {
    full_at: HashMap<UserId, u64>,
}

/// A send that is within the rate and isn't counted yet.
#[derive(Debug, Clone, Copy)]
pub struct Token {
    full_at: u64,
}

impl Rates {
    /// Whether the user may send now; nothing is counted before [`Rates::spend`].
    pub fn check(&self, user: &UserId, now: Millis, limits: &Limits) -> Result<Token, Refusal> {
        let interval = NANOS_PER_SECOND / limits.sends_per_second.max(1);
        let capacity = interval.saturating_mul(limits.send_burst.max(1));
        let now = now.saturating_mul(NANOS_PER_MILLI);
        let emptiest = now.saturating_add(capacity);
        // No bucket can be emptier than empty, except where the clock stepped back: it starts afresh then, lest its
        // owner be silent until the clock is where it was.
        let full_at = self.full_at.get(user).copied().filter(|full_at| *full_at <= emptiest);
        let full_at = full_at.map_or(now, |full_at| full_at.max(now)).saturating_add(interval);
        match full_at.saturating_sub(emptiest) {
            0 => Ok(Token { full_at }),
            wait => Err(Refusal::RateLimited { retry_ms: wait.div_ceil(NANOS_PER_MILLI) }),
        }
    }

    /// Counts a send.
    pub fn spend(&mut self, user: &UserId, token: Token) {
        if let Some(full_at) = self.full_at.get_mut(user) {
            *full_at = token.full_at;
        } else {
            self.full_at.insert(user.clone(), token.full_at);
        }
    }

    /// Forgets a bucket that is full again.
    pub fn forget(&mut self, user: &UserId, now: Millis) {
        if self.full_at.get(user).is_some_and(|full_at| *full_at <= now.saturating_mul(NANOS_PER_MILLI)) {
            self.full_at.remove(user);
            if self.full_at.is_empty() {
                self.full_at = HashMap::new();
            }
        }
    }

    /// Bytes of memory they take.
    pub fn bytes(&self) -> usize {
        self.full_at.len() * RATE_BYTES
    }

    /// Bytes of memory that one more takes.
    pub const fn bytes_of_one() -> usize {
        RATE_BYTES
    }
}
