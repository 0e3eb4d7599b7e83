//! The native protocol: JSON text frames, as `docs/protocol.md` lays down.

mod decode;
mod encode;
mod unreadable;

pub use decode::{decode, objects};
pub use encode::encode;
