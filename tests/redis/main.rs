//! The Redis store beyond the contract: several instances, a primary that fails over, a Redis that is full, away, foreign
//! or guarded by TLS. Everything runs against real servers on loopback.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/redis.rs"]
mod redis_server;
#[path = "../common/served.rs"]
mod served;

mod answers;
mod foreign;
mod instances;
mod limits;
mod presence;
mod replication;
mod start;
mod tls;
mod world;
