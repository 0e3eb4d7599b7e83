//! Load for a confab server, and the floor that its cost is compared with.
//!
//! `floor` is the server that does the least possible; `run` is the client that loads either server and measures it.
//! Both stand on the same frames and handshake, and on nothing of the product: what they know of the protocol is in
//! [`wire`], [`socketio`] and [`floor`].
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod client;
pub mod floor;
pub mod frame;
pub mod handshake;
pub mod options;
pub mod pace;
pub mod process;
pub mod report;
pub mod run;
pub mod socket;
pub mod socketio;
pub mod tally;
pub mod wire;
