//! What a run is made of: how many of what, set up how.

use std::time::Duration;

/// What a run is made of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where the rooms are.
    pub store: Store,
    /// Processes of the service.
    pub instances: usize,
    /// Clients, each with a user of its own.
    pub clients: usize,
    /// Clients that write; the first ones.
    pub writers: usize,
    /// Between two writes of a writer, in milliseconds: least and most.
    pub writes_ms: (u64, u64),
    /// Bytes that pad a text.
    pub padding: usize,
    /// Socket.IO clients beside the others, and how many of them write; each is in one room.
    pub socketio: (usize, usize),
    /// Rooms.
    pub rooms: usize,
    /// Rooms that each client is in.
    pub rooms_each: usize,
    /// Clients that now and then read nothing for so long; the last ones.
    pub dozers: (usize, Duration),
    /// Clients move when they are asked to; else they wait until they are closed.
    pub moves: bool,
    /// Settings of the service that differ from those of every run, without their prefix.
    pub settings: Vec<(&'static str, &'static str)>,
}

/// Where the rooms are.
#[derive(Debug, Clone)]
pub enum Store {
    /// In the one process.
    Memory,
    /// In Redis.
    Redis(Redis),
}

/// How Redis is set up.
#[derive(Debug, Clone, Default)]
pub struct Redis {
    /// Another process has what the primary has.
    pub replica: bool,
    /// TLS, with a certificate of the campaign's own, and a password.
    pub locked: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            store: Store::Redis(Redis { replica: true, locked: false }),
            instances: 3,
            clients: 9,
            writers: 6,
            writes_ms: (20, 250),
            padding: 0,
            socketio: (4, 2),
            rooms: 3,
            rooms_each: 2,
            dozers: (0, Duration::ZERO),
            moves: true,
            settings: Vec::new(),
        }
    }
}

impl Plan {
    /// The same with Redis set up another way.
    #[must_use]
    pub fn with_redis(redis: Redis) -> Self {
        Self { store: Store::Redis(redis), ..Self::default() }
    }

    /// One primary, no replica: Memorystore's Basic tier.
    #[must_use]
    pub fn basic() -> Self {
        Self::with_redis(Redis::default())
    }

    /// One process that has its rooms itself.
    #[must_use]
    pub fn embedded() -> Self {
        Self { store: Store::Memory, instances: 1, ..Self::default() }
    }
}
