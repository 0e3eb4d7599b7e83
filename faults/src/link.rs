//! A connection of the native protocol: JSON objects in and out.

use std::collections::VecDeque;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::time::Instant;

pub use crate::wire::Ended;
use crate::wire::Wire;

/// An open connection.
pub struct Link {
    wire: Wire,
    heard: VecDeque<Value>,
}

impl Link {
    /// Opens a connection.
    ///
    /// # Errors
    /// Nobody is there, or who is there refuses.
    pub async fn open(addr: SocketAddr) -> Result<Self, Ended> {
        Ok(Self { wire: Wire::open(addr, "/ws").await?, heard: VecDeque::new() })
    }

    /// When the last frame came.
    #[must_use]
    pub fn heard_at(&self) -> Instant {
        self.wire.heard_at
    }

    /// What came before now doesn't count: the client didn't listen.
    pub fn listens_again(&mut self) {
        self.wire.heard_at = Instant::now();
    }

    /// Says something.
    ///
    /// # Errors
    /// The connection ended.
    pub async fn say(&mut self, command: &Value) -> Result<(), Ended> {
        self.wire.say(command.to_string()).await
    }

    /// The next object. Nothing is lost where this is dropped half-way.
    ///
    /// # Errors
    /// The connection ended.
    pub async fn hear(&mut self) -> Result<Value, Ended> {
        loop {
            if let Some(object) = self.heard.pop_front() {
                return Ok(object);
            }
            for line in self.wire.hear().await?.lines() {
                // What can't be read is the service's fault, and shows as a protocol violation.
                self.heard.push_back(serde_json::from_str(line).map_err(|_| Ended(1002))?);
            }
        }
    }

    /// Closes with 1000 and goes, whatever is under way.
    pub async fn close(self) {
        self.wire.close().await;
    }
}
