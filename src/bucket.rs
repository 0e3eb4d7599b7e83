//! A rate with a burst, as a pure value: no clock, `now` is any monotonic time in milliseconds.

use crate::domain::Millis;

const NANOS_PER_MILLI: u64 = 1_000_000;

/// A token bucket in the form of GCRA: when it will be full again is its whole state.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    /// Nanoseconds that one token takes to come back.
    interval: u64,
    /// Nanoseconds that a full bucket holds.
    capacity: u64,
    /// When the bucket will be full again, in nanoseconds.
    full_at: u64,
}

impl Bucket {
    /// A full bucket of `burst` tokens, into which `tokens` come back every `per_ms`. Above a thousand million tokens a
    /// second it is without limit.
    #[must_use]
    pub fn new(tokens: u64, per_ms: Millis, burst: u64, now: Millis) -> Self {
        let interval = per_ms.saturating_mul(NANOS_PER_MILLI) / tokens.max(1);
        Self { interval, capacity: interval.saturating_mul(burst.max(1)), full_at: now.saturating_mul(NANOS_PER_MILLI) }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// In how many milliseconds there will be one.
    pub fn take(&mut self, now: Millis) -> Result<(), Millis> {
        self.take_many(1, now)
    }

    /// Takes several tokens at once, or none of them.
    ///
    /// # Errors
    /// In how many milliseconds there will be as many; more than the burst never are.
    pub fn take_many(&mut self, tokens: u64, now: Millis) -> Result<(), Millis> {
        let wait = self.wait_for(tokens, now);
        if wait > 0 {
            return Err(wait);
        }
        self.full_at = self.after(tokens, now);
        Ok(())
    }

    /// How long until there is a token.
    #[must_use]
    pub fn wait(&self, now: Millis) -> Millis {
        self.wait_for(1, now)
    }

    /// Puts a token back that was taken and not needed.
    pub const fn give_back(&mut self) {
        self.full_at = self.full_at.saturating_sub(self.interval);
    }

    fn wait_for(&self, tokens: u64, now: Millis) -> Millis {
        let nanos = now.saturating_mul(NANOS_PER_MILLI);
        self.after(tokens, now).saturating_sub(nanos).saturating_sub(self.capacity).div_ceil(NANOS_PER_MILLI)
    }

    fn after(&self, tokens: u64, now: Millis) -> u64 {
        self.full_at.max(now.saturating_mul(NANOS_PER_MILLI)).saturating_add(self.interval.saturating_mul(tokens))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_then_tokens_come_at_the_rate() {
        let mut bucket = Bucket::new(10, 1_000, 3, 0);
        assert_eq!([bucket.take(0), bucket.take(0), bucket.take(0)], [Ok(()); 3]);
        assert_eq!(bucket.take(0), Err(100));
        assert_eq!(bucket.take(99), Err(1));
        assert_eq!(bucket.take(100), Ok(()));
        assert_eq!(bucket.take(100), Err(100));
    }

    #[test]
    fn a_refusal_costs_nothing() {
        let mut bucket = Bucket::new(10, 1_000, 1, 0);
        assert_eq!(bucket.take(0), Ok(()));
        for _ in 0..100 {
            assert_eq!(bucket.take(0), Err(100));
        }
        assert_eq!(bucket.take(100), Ok(()));
    }

    #[test]
    fn several_are_taken_at_once_or_not_at_all() {
        let mut bucket = Bucket::new(1_000, 1_000, 5, 0);
        assert_eq!(bucket.take_many(5, 0), Ok(()));
        assert_eq!(bucket.take_many(3, 1), Err(2));
        assert_eq!(bucket.take_many(3, 3), Ok(()));
        bucket.give_back();
        assert_eq!(bucket.take_many(1, 3), Ok(()));
        assert_eq!(bucket.wait(3), 1);
    }

    #[test]
    fn the_highest_rate_and_the_largest_numbers_do_not_overflow() {
        let mut bucket = Bucket::new(1_000_000_000, 1_000, u64::MAX, u64::MAX);
        assert_eq!(bucket.take_many(u64::MAX, u64::MAX), Ok(()));
        assert_eq!(bucket.take(0), Ok(()));
    }
}
