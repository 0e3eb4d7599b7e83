//! The harness of the Redis store: a server of its own for every test, and its real clock.

use std::sync::Arc;
use std::time::Duration;

use confab::domain::{Limits, Millis};
use confab::store::redis::{DurabilitySetting, Options, Password, Redis};
use confab::store::{Feed, Store};

use crate::harness::Harness;
use crate::redis_server::RedisServer;

pub struct OnRedis {
    server: RedisServer,
    limits: Arc<Limits>,
}

impl OnRedis {
    fn options(&self) -> Options {
        Options {
            host: "127.0.0.1".to_owned(),
            port: self.server.port(),
            tls: None,
            user: None,
            password: Password::None,
            database: 0,
            prefix: "confab".to_owned(),
            durability: DurabilitySetting::Auto,
            wait_timeout: Duration::from_millis(300),
            // Answers are late on a machine that runs all tests at once.
            response_timeout: Duration::from_secs(20),
            startup_timeout: Duration::from_secs(20),
            metrics: Arc::default(),
        }
    }
}

impl Harness for OnRedis {
    async fn start(limits: Limits) -> Self {
        Self { server: RedisServer::start().await, limits: Arc::new(limits) }
    }

    async fn attach(&self) -> (Arc<dyn Store>, Feed) {
        let connected = Redis::connect(self.options(), Arc::clone(&self.limits), None).await.unwrap();
        (connected.store, connected.feed)
    }

    async fn advance(&self, by: Millis) {
        tokio::time::sleep(Duration::from_millis(by)).await;
    }
}
