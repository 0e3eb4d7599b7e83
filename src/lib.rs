//! confab: multi-room realtime chat. **A room is a log, a client is a position in it.**
//!
//! Messages take two paths, which cross in one place only, the merge of a join ([`rooms::tail::Tail::splice`]):
//!
//! ```text
//! in :  socket -> protocol::native::decode -> session -> store.append
//! out:  store feed -> rooms -> protocol::native::encode (once per room) -> mailbox -> socket
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | [`domain`] | names, positions, entries, limits: checked once, then always valid |
//! | [`protocol`] | the words on the wire: their JSON, and the packets of Socket.IO |
//! | [`store`] | the contract of a store; the embedded one |
//! | [`session`] | one client's state machine, without I/O, clock or runtime; one for each protocol |
//! | [`rooms`] | who is where on this instance; fan-out, healing, presence |
//! | [`spans`] | what is recorded of sampled messages |
//! | [`auth`] | guest tokens |
//! | [`config`] | every setting: default, bound, sources, errors, documentation |
//! | [`log`] | a room's log as lines of JSON, verifiable offline |
//! | [`ops`] | the operations port |
//! | [`metrics`] | what an instance counts: the list, the numbers, their text |
//! | [`cli`] | the commands and their exit codes |
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod auth;
pub mod bucket;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod forwarded;
pub mod handshake;
pub mod log;
pub mod meter;
pub mod metrics;
pub mod ops;
pub mod page;
mod process;
pub mod protocol;
pub mod rooms;
pub mod routes;
pub mod server;
pub mod session;
pub mod socket;
pub mod spans;
pub mod store;
pub mod telemetry;
