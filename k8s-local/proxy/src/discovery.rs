//! Instances that somebody else runs, compose or Kubernetes: every address behind a name is one. They are probed for
//! readiness, and neither started nor stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::sleep;

use crate::pool::{Instance, Pool, State};
use crate::probe::{keep_ready, starts};

/// How often names are resolved again.
pub const RESOLVE: Duration = Duration::from_secs(1);

/// The addresses behind a name, `HOST:PORT`, as the machine's resolver knows them.
///
/// # Errors
/// There is no such name, or nobody who knows it answers; the resolver doesn't tell one from the other.
pub async fn resolve(name: &str) -> io::Result<BTreeSet<SocketAddr>> {
    Ok(lookup_host(name).await?.collect())
}

/// Keeps the pool as the names are, for ever. While a name can't be resolved its last answer holds, for whoever answers for
/// names may be away for a moment: an instance that is really gone fails its probes.
pub async fn follow(names: Vec<String>, pool: Pool, resolve: impl AsyncFn(&str) -> io::Result<BTreeSet<SocketAddr>>) {
    let mut behind: BTreeMap<&str, Answer> = names.iter().map(|name| (name.as_str(), Answer::default())).collect();
    loop {
        for (name, answer) in &mut behind {
            answer.hear(name, resolve(name).await);
        }
        let found: BTreeSet<_> = behind.values().flat_map(|answer| &answer.addresses).copied().collect();
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

/// What was last heard of a name.
#[derive(Debug, Default)]
struct Answer {
    addresses: BTreeSet<SocketAddr>,
    failing: bool,
}

impl Answer {
    fn hear(&mut self, name: &str, heard: io::Result<BTreeSet<SocketAddr>>) {
        let failed = match heard {
            Ok(addresses) => {
                self.addresses = addresses;
                None
            }
            Err(error) => Some(error),
        };
        // Once at its begin and once at its end, not every second.
        match &failed {
            Some(error) if !self.failing => {
                eprintln!(
                    "proxy: {name} can't be resolved, its {} known instances stay: {error}",
                    self.addresses.len()
                );
            }
            None if self.failing => eprintln!("proxy: {name} is resolved again"),
            _ => {}
        }
        self.failing = failed.is_some();
    }
}

async fn watch(instance: Arc<Instance>, pool: Pool) {
    // Whoever runs it decides when it has failed to start.
    if starts(&instance, RESOLVE, u32::MAX).await {
        pool.set(&instance, State::Ready);
        keep_ready(&instance, &pool).await;
    }
}
