//! How fast a client may send commands, and when it has been too fast for too long.

use crate::bucket::Bucket;
use crate::domain::{Limits, Millis};

/// A client that is over its command budget for this long is closed with [`Close::Budget`](crate::protocol::Close::Budget).
pub const OVER_BUDGET_LIMIT_MS: Millis = 10_000;

/// Within this time without a refusal a client counts as within its budget again.
const WITHIN_BUDGET_AFTER_MS: Millis = 1_000;

/// The command budget of one client.
#[derive(Debug)]
pub struct Pace {
    commands: Bucket,
    over_budget: Option<OverBudget>,
}

#[derive(Debug, Clone, Copy)]
struct OverBudget {
    since: Millis,
    last: Millis,
}

/// A command that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooFast {
    /// When the next one is free.
    pub retry_ms: Millis,
    /// It has gone on for [`OVER_BUDGET_LIMIT_MS`].
    pub too_long: bool,
}

impl Pace {
    /// A client that has sent nothing.
    pub fn new(limits: &Limits, now: Millis) -> Self {
        let commands = Bucket::new(limits.commands_per_second, 1_000, limits.command_burst, now);
        Self { commands, over_budget: None }
    }

    /// Takes one command.
    pub fn take(&mut self, now: Millis) -> Result<(), TooFast> {
        let Err(retry_ms) = self.commands.take(now) else { return Ok(()) };
        let over = self.over_budget.get_or_insert(OverBudget { since: now, last: now });
        if now.saturating_sub(over.last) > WITHIN_BUDGET_AFTER_MS {
            over.since = now;
        }
        over.last = now;
        Err(TooFast { retry_ms, too_long: now.saturating_sub(over.since) >= OVER_BUDGET_LIMIT_MS })
    }
}
