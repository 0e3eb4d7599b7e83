//! The fault campaign: real processes on loopback, what goes wrong between them, and the proof that it did no harm.
//!
//! | module | what it is |
//! |---|---|
//! | [`history`] | what was recorded of a run; shared with the campaign inside one process |
//! | [`checker`] | what must not be found in it; shared likewise |
//! | [`recorder`] | writes it down |
//! | [`wire`], [`link`] | a WebSocket; the native protocol on it |
//! | [`client`], [`socketio`], [`racer`] | who chats |
//! | [`process`], [`node`], [`pair`] | a child process; one Redis; that of a run |
//! | [`instance`], [`certificate`] | the service; what TLS needs |
//! | [`proxy`] | what goes wrong on the way between them |
//! | [`observer`] | who looks at the rooms in the end |
//! | [`plan`], [`world`] | what a run is made of; all of it, running |
//! | [`scenarios`] | what goes wrong, and what must have been seen |
//! | [`table`] | what is printed |
//!
//! It knows the service by its protocol, its settings and the names of its keys only.
#![forbid(unsafe_code)]

pub mod certificate;
pub mod checker;
pub mod client;
pub mod history;
pub mod instance;
pub mod link;
pub mod node;
pub mod observer;
pub mod pair;
pub mod plan;
pub mod process;
pub mod proxy;
pub mod racer;
pub mod recorder;
pub mod scenarios;
pub mod socketio;
pub mod table;
pub mod wire;
pub mod world;
