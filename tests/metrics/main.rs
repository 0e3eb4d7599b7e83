//! The metrics and the operations port of the program itself, read with Prometheus's own strict parser.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

#[path = "../common/redis.rs"]
mod redis;
#[path = "../common/served.rs"]
mod served;

mod failed;
mod lost;
mod moved;
mod port;
mod scrape;
mod socketio;
