//! confab: multi-room realtime chat. A room is a log, a client is a position in it.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod bucket;
pub mod config;
pub mod domain;
pub mod meter;
pub mod protocol;
pub mod rooms;
pub mod session;
pub mod store;
