//! The Socket.IO door, packet by packet: the tutorial's events, resuming, and everything that clients should not send.
#![cfg(not(feature = "conformance"))] // which serves the suites' applications instead
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

mod client;
mod codec;
#[path = "../common/mod.rs"]
mod common;
mod events;
#[path = "../common/faulty.rs"]
mod faulty;
mod misuse;
mod polling;
#[path = "../common/redis.rs"]
mod redis_server;
mod resume;
mod sample;
mod session;
