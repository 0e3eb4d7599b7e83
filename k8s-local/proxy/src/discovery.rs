//! Instances that somebody else runs, compose or Kubernetes: every address behind a name is one. They are probed for
//! readiness, and neither started nor stopped.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::sleep;

use crate::pool::{Instance, Pool, State};
use crate::probe::{keep_ready, starts};

/// How often names are resolved again.
const RESOLVE: Duration = Duration::from_secs(1);

/// Keeps the pool as the names are, for ever. A name that can't be resolved has no instances at the moment.
pub async fn follow(names: Vec<String>, pool: Pool) {
    loop {
        let mut found = BTreeSet::new();
        for name in &names {
            if let Ok(addresses) = lookup_host(name).await {
                found.extend(addresses);
            }
        }
        for gone in pool.instances().iter().filter(|one| !found.contains(&one.address)) {
            pool.remove(gone);
        }
        let known: BTreeSet<SocketAddr> = pool.instances().iter().map(|one| one.address).collect();
        for address in found.difference(&known) {
            let instance = Arc::new(Instance::new(address.to_string(), *address, None, 1));
            pool.add(Arc::clone(&instance));
            tokio::spawn(watch(instance, pool.clone()));
        }
        sleep(RESOLVE).await;
    }
}

async fn watch(instance: Arc<Instance>, pool: Pool) {
    // Whoever runs it decides when it has failed to start.
    if starts(&instance, RESOLVE, u32::MAX).await {
        pool.set(&instance, State::Ready);
        keep_ready(&instance, &pool).await;
    }
}
