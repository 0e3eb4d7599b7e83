//! The one address of Redis. Like Memorystore's, it stays the same while a failover puts another server behind it: the
//! connections there are end, new ones reach the new primary. Bytes pass as they are, so TLS is between the service and
//! Redis.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Connections at a time; more wait to be accepted.
const CONNECTIONS: usize = 4_096;

/// How long connecting to Redis may take.
const CONNECT: Duration = Duration::from_secs(5);

/// After an error of `accept`, which mostly means that files have run out.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Where the address leads. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Endpoint {
    route: Arc<Mutex<Route>>,
}

#[derive(Debug)]
struct Route {
    target: String,
    /// Cancelled when the connections to the target have to end.
    cut: CancellationToken,
}

impl Endpoint {
    /// Leads to `target`, `HOST:PORT`, resolved for each connection.
    #[must_use]
    pub fn new(target: String) -> Self {
        Self { route: Arc::new(Mutex::new(Route { target, cut: CancellationToken::new() })) }
    }

    /// Ends all connections and leads to `target` from now on.
    pub fn lead_to(&self, target: &str) {
        let mut route = self.route();
        target.clone_into(&mut route.target);
        std::mem::take(&mut route.cut).cancel();
    }

    /// Ends all connections.
    pub fn cut(&self) {
        std::mem::take(&mut self.route().cut).cancel();
    }

    /// Where it leads.
    #[must_use]
    pub fn status(&self) -> Value {
        json!({"target": self.route().target})
    }

    /// Serves for ever.
    pub async fn serve(self, listener: TcpListener) {
        let connections = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&connections).acquire_owned().await else { return };
            let mut tcp = match listener.accept().await {
                Ok((tcp, _)) => tcp,
                Err(error) => {
                    eprintln!("proxy: a connection could not be accepted: {error}");
                    sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            };
            let (target, cut) = {
                let route = self.route();
                (route.target.clone(), route.cut.clone())
            };
            tokio::spawn(async move {
                let copied = async {
                    let mut redis = timeout(CONNECT, TcpStream::connect(target)).await.ok()?.ok()?;
                    // Either fails only on a dead socket.
                    let _ = (tcp.set_nodelay(true), redis.set_nodelay(true));
                    copy_bidirectional(&mut tcp, &mut redis).await.ok()
                };
                tokio::select! {
                    _ = copied => {}
                    () = cut.cancelled() => {}
                }
                drop(place);
            });
        }
    }

    fn route(&self) -> MutexGuard<'_, Route> {
        self.route.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
