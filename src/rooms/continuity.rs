//! A second look at what leaves a room: whether it follows what left before. The tail sees to that; this would notice if
//! it ever didn't.

use std::sync::Arc;

use crate::domain::{Entry, Position};

/// Where a room's live clients are.
#[derive(Debug, Default)]
pub struct Continuity {
    at: Option<Position>,
}

impl Continuity {
    /// Clients begin at a position, or were told that they do now.
    pub const fn restart(&mut self, at: Position) {
        self.at = Some(at);
    }

    /// What was delivered last, or begun at.
    pub const fn at(&self) -> Option<Position> {
        self.at
    }

    /// Notes entries that are delivered; whether each follows the one before.
    pub fn follows(&mut self, entries: &[Arc<Entry>]) -> bool {
        let mut follows = true;
        for entry in entries {
            // Entry 1 follows the position before any log, whatever its start chain.
            follows &=
                self.at.is_none_or(|at| entry.offset == at.offset + 1 && (at.offset == 0 || entry.prev == at.chain));
            self.at = Some(entry.position());
        }
        follows
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::domain::{Body, Chain, Draft, Key, Text, User, UserId, UserName};

    /// The first entries of a log; one that starts otherwise is another log.
    pub fn log(start: u64, entries: u64) -> Vec<Arc<Entry>> {
        let user = User { id: UserId::parse("u").unwrap(), name: UserName::parse("Ada", 64).unwrap() };
        let mut chain = Chain::from_bits(start);
        let mut log = Vec::new();
        for last in 0..entries {
            let body = Body::Message { text: Text::Kept("hi".into()), reply_to: None };
            let draft = Draft { user: user.clone(), key: Key::parse("k").unwrap(), body, trace: None };
            let entry = Entry::number(draft, last, chain, 1);
            chain = entry.chain;
            log.push(Arc::new(entry));
        }
        log
    }

    #[test]
    fn a_hole_a_repeat_and_another_log_are_noticed_and_a_new_start_is_not() {
        let (log, other) = (log(1, 5), log(2, 5));
        let mut continuity = Continuity::default();
        continuity.restart(Position::ZERO);
        assert!(continuity.follows(&log[..2]));
        assert!(!continuity.follows(&log[3..4]), "the third is missing");
        assert!(continuity.follows(&log[4..]));
        assert!(!continuity.follows(&log[4..]), "the last comes twice");
        continuity.restart(other[1].position());
        assert!(continuity.follows(&other[2..3]));
        assert!(!continuity.follows(&log[3..4]), "it is of another log");
        assert!(continuity.follows(&[]));
    }
}
