//! The native protocol: JSON text frames, as `docs/protocol.md` lays down.

use super::{Command, Event, Refused};
use crate::domain::Limits;

/// Reads one object of a frame.
///
/// # Errors
/// The refusal to answer with.
pub fn decode(_object: &str, _limits: &Limits) -> Result<Command, Refused> {
    unimplemented!()
}

/// Writes one event as one JSON object, without a newline.
pub fn encode(_event: &Event, _out: &mut Vec<u8>) {
    unimplemented!()
}
