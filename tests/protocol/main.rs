//! The wire: what goes out is what the golden files show, what comes in is never a panic, and code, reference and
//! AsyncAPI description agree on every word.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

mod documents;
mod golden;
mod properties;
mod refusals;
mod samples;
mod wire;
