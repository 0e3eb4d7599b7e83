//! What a client has read of a room: a position, and the proof that it got everything up to there.

use serde_json::{Value, json};

use crate::domain::{Chain, Position};
use crate::log::Verifier;

/// A reader of one room.
#[derive(Debug, Default)]
pub(super) struct Reader {
    verifier: Verifier,
    /// It has a position. Before that it takes what it is given for the beginning.
    begun: bool,
}

/// What an entry is to a reader.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The next one, which it has now.
    Next,
    /// One that it had.
    Known,
    /// One further on: the reader has to join again from its position.
    Ahead,
}

impl Reader {
    /// One that has read as far as a position.
    pub(super) fn after(position: Position) -> Self {
        Self { verifier: Verifier::after(position), begun: true }
    }

    /// It has joined, if only an empty room: from here on nothing may be left out.
    pub(super) const fn begin(&mut self) {
        self.begun = true;
    }

    pub(super) fn position(&self) -> Position {
        self.verifier.verified().position
    }

    /// Takes an entry as the service sent it.
    ///
    /// # Errors
    /// Where it is no entry, or its chain doesn't follow from the one before.
    pub(super) fn take(&mut self, entry: &Value) -> Result<Step, String> {
        let have = self.position().offset;
        let offset = entry["offset"].as_u64().ok_or("an entry came without an offset")?;
        if offset <= have {
            return Ok(Step::Known);
        }
        if self.begun && offset > have + 1 {
            return Ok(Step::Ahead);
        }
        self.verifier.take(entry.to_string().as_bytes())?;
        self.begun = true;
        Ok(Step::Next)
    }

    /// A command that joins the room where this reader is; `newest` entries at most where it was never there.
    pub(super) fn join(&self, room: &str, newest: u64) -> Value {
        let position = self.position();
        let mut join = json!({"type": "join", "room": room, "limit": newest});
        if self.begun {
            join["since"] = json!({"offset": position.offset, "chain": position.chain_text()});
        }
        join
    }
}

/// Whether the service sent an entry of a room's log.
pub(super) fn is_entry(object: &Value) -> bool {
    matches!(object["type"].as_str(), Some("message" | "edited" | "deleted" | "reacted"))
}

/// Reads `OFFSET:CHAIN`.
pub(super) fn position(text: &str) -> Result<Position, String> {
    let wrong = "must be OFFSET:CHAIN, such as 44:9f3c0000000000aa";
    let (offset, chain) = text.split_once(':').ok_or(wrong)?;
    let offset = offset.parse().ok().filter(|offset| *offset > 0).ok_or(wrong)?;
    Ok(Position { offset, chain: Chain::parse(chain).ok_or(wrong)? })
}
