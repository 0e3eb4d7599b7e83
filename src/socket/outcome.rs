//! What the store's answers mean to a client.

use tokio::time::Instant;

use crate::domain::{Millis, RoomId};
use crate::metrics::Metrics;
use crate::metrics::labels::{self, Attempt, Budget, CommandType, Protocol, WriteOutcome};
use crate::protocol::{Code, CommandId, Event, Refused};
use crate::rooms::Seated;
use crate::store::{AppendError, Durability, Refusal, StoreError, Stored};

/// What a client is told to wait where the store doesn't say.
const RETRY_MS: Millis = 1_000;

/// The answer to a command that had to wait for the store.
pub enum Outcome {
    /// Send this: it answers a command of this type.
    Reply(CommandType, Event),
    /// A join has ended; its reply is in the mailbox already, a refusal isn't.
    Joined {
        /// Which room.
        room: RoomId,
        /// As it was asked for.
        may_create: bool,
        /// How.
        result: Result<Seated, Refused>,
    },
}

/// The reply to a write.
pub fn sent(id: Option<CommandId>, room: RoomId, result: Result<Stored, AppendError>) -> Event {
    match result {
        Ok(Stored { position, at, durability, duplicate }) => {
            Event::Sent { id, room, position, at, durability: durability.as_str(), duplicate }
        }
        Err(error) => Event::Error(write_refused(id, error)),
    }
}

/// Counts how a write has ended, and how long it took.
pub fn count_write(
    metrics: &Metrics,
    protocol: Protocol,
    since: Instant,
    result: Option<&Result<Stored, AppendError>>,
) {
    metrics.acknowledgement_duration.record_time((protocol, outcome_of(result)), since.elapsed());
    match result {
        Some(Ok(Stored { durability, duplicate, .. })) => {
            let means = match durability {
                Durability::Replicated => labels::Durability::Replicated,
                Durability::Stored => labels::Durability::Stored,
                Durability::Memory => labels::Durability::Memory,
            };
            metrics.acknowledgements.inc((means, if *duplicate { Attempt::Duplicate } else { Attempt::First }));
        }
        Some(Err(AppendError::Refused(Refusal::RateLimited { .. }))) => metrics.budgets_exceeded.inc(Budget::Sends),
        Some(Err(_)) | None => {}
    }
}

/// Whose doing it is that a write isn't acknowledged; `None` is one that the store hasn't answered in time.
const fn outcome_of(result: Option<&Result<Stored, AppendError>>) -> WriteOutcome {
    match result {
        Some(Ok(_)) => WriteOutcome::Acknowledged,
        Some(Err(AppendError::Refused(Refusal::Overloaded { .. }) | AppendError::Unknown(_))) | None => {
            WriteOutcome::Failed
        }
        Some(Err(AppendError::Refused(
            Refusal::RateLimited { .. } | Refusal::KeyConflict { .. } | Refusal::NotFound | Refusal::Forbidden,
        ))) => WriteOutcome::Refused,
    }
}

/// Why a write has no position to show.
pub fn write_refused(id: Option<CommandId>, error: AppendError) -> Refused {
    match error {
        AppendError::Refused(refusal) => refused(id, refusal),
        AppendError::Unknown(error) => unknown(id, error),
    }
}

/// Why a write is refused that the store hasn't answered in time.
pub fn unanswered_write(id: Option<CommandId>) -> Refused {
    unknown(id, StoreError::Unconfirmed { retry_ms: RETRY_MS })
}

fn refused(id: Option<CommandId>, refusal: Refusal) -> Refused {
    match refusal {
        Refusal::RateLimited { retry_ms } => {
            Refused::new(id, Code::RateLimited, "too many sends in this room: slow down").retry_in(retry_ms)
        }
        Refusal::KeyConflict { position } => Refused {
            position: Some(position),
            ..Refused::new(id, Code::KeyConflict, "the key was used for other content: take a new key")
        },
        Refusal::NotFound => Refused::new(id, Code::NotFound, "the target is not a kept, undeleted message"),
        Refusal::Forbidden => Refused::new(id, Code::Forbidden, "only the author may do that"),
        Refusal::Overloaded { retry_ms } => overloaded(id, retry_ms),
    }
}

fn unknown(id: Option<CommandId>, error: StoreError) -> Refused {
    match error {
        StoreError::Unavailable { retry_ms } => {
            Refused::new(id, Code::Unavailable, "the store can't be reached: retry with the same key")
                .retry_in(retry_ms)
        }
        StoreError::Unconfirmed { retry_ms } => {
            Refused::new(id, Code::Unconfirmed, "the outcome is unknown: retry with the same key").retry_in(retry_ms)
        }
        StoreError::Overloaded { retry_ms } => overloaded(id, retry_ms),
        StoreError::Corrupt => {
            Refused::new(id, Code::Internal, "the room's data can't be read: retry with the same key")
        }
    }
}

fn overloaded(id: Option<CommandId>, retry_ms: Millis) -> Refused {
    Refused::new(id, Code::Overloaded, "the service is full: back off and retry").retry_in(retry_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Position;

    #[test]
    fn what_the_service_fails_at_is_no_refusal_and_no_acknowledgement() {
        let stored = Stored { position: Position::ZERO, at: 1, durability: Durability::Memory, duplicate: false };
        let refused = |refusal| Some(Err(AppendError::Refused(refusal)));
        let unknown = |error| Some(Err(AppendError::Unknown(error)));
        for (result, outcome) in [
            (Some(Ok(stored)), WriteOutcome::Acknowledged),
            (refused(Refusal::RateLimited { retry_ms: 1 }), WriteOutcome::Refused),
            (refused(Refusal::KeyConflict { position: Position::ZERO }), WriteOutcome::Refused),
            (refused(Refusal::NotFound), WriteOutcome::Refused),
            (refused(Refusal::Forbidden), WriteOutcome::Refused),
            (refused(Refusal::Overloaded { retry_ms: 1 }), WriteOutcome::Failed),
            (unknown(StoreError::Unavailable { retry_ms: 1 }), WriteOutcome::Failed),
            (unknown(StoreError::Unconfirmed { retry_ms: 1 }), WriteOutcome::Failed),
            (unknown(StoreError::Overloaded { retry_ms: 1 }), WriteOutcome::Failed),
            (unknown(StoreError::Corrupt), WriteOutcome::Failed),
            (None, WriteOutcome::Failed),
        ] {
            assert_eq!(outcome_of(result.as_ref()), outcome, "{result:?}");
        }
    }
}
