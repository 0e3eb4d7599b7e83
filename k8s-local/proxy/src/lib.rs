//! What stands in front of the service in the local stack, as Google's front end and Memorystore's address do in the cloud.
//!
//! | module | what it is |
//! |---|---|
//! | [`pool`] | the instances there are, and which of them gets the next request |
//! | [`front`] | HTTP from clients to instances: cap, affinity, `X-Forwarded-*`, and the cut |
//! | [`fleet`] | instances that it starts, probes, scales and stops itself |
//! | [`discovery`] | instances that somebody else runs, found by a name |
//! | [`probe`] | asking an instance for its health |
//! | [`endpoint`] | the one address of Redis, which a failover points elsewhere |
//! | [`control`] | one line in, one line of JSON out, over a socket in the file system |
#![forbid(unsafe_code)]

pub mod control;
pub mod discovery;
pub mod endpoint;
pub mod fleet;
pub mod front;
pub mod pool;
pub mod probe;
