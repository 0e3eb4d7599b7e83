//! Redis of one run: a primary and perhaps its replica, and what a run's settings must say of them.

use std::path::Path;

use crate::certificate::Certificate;
use crate::instance::Settings;
use crate::node::{Node, Setup};
use crate::plan::Redis;
use crate::proxy::Proxy;
use crate::world::Broken;

/// A primary and perhaps its replica.
pub struct Pair {
    /// Who takes writes.
    pub primary: Node,
    /// Who has them too.
    pub replica: Option<Node>,
    /// Between the replica and its source.
    pub link: Proxy,
    setup: Setup,
    started: usize,
}

impl Pair {
    /// Starts it, and puts into the settings how it is reached.
    ///
    /// # Errors
    /// It doesn't start.
    pub async fn start(dir: &Path, plan: &Redis, settings: &mut Settings) -> Result<Self, Broken> {
        let setup = if plan.locked { lock(dir, settings)? } else { Setup::default() };
        let scheme = if plan.locked { "rediss" } else { "redis" };
        settings.push(("STORE__URL".to_owned(), format!("{scheme}://{{store}}")));
        let primary = Node::start(dir, "node-1", &setup).await?;
        let link = Proxy::start(primary.addr()).await?;
        let mut pair = Self { primary, replica: None, link, setup, started: 1 };
        if plan.replica {
            pair.start_replica(dir).await?;
        }
        Ok(pair)
    }

    async fn start_node(&mut self, dir: &Path) -> Result<Node, Broken> {
        self.started += 1;
        Ok(Node::start(dir, &format!("node-{}", self.started), &self.setup).await?)
    }

    /// Starts a replica and waits until it has everything.
    ///
    /// # Errors
    /// It doesn't start.
    pub async fn start_replica(&mut self, dir: &Path) -> Result<(), Broken> {
        let replica = self.start_node(dir).await?;
        self.link.retarget(self.primary.addr());
        replica.follow(self.link.addr()).await?;
        self.primary.has_replicas(1).await?;
        self.replica = Some(replica);
        Ok(())
    }

    /// An empty primary in the place of the one that is there, which is killed.
    ///
    /// # Errors
    /// It doesn't start.
    pub async fn empty_primary(&mut self, dir: &Path) -> Result<(), Broken> {
        self.primary.kill().await;
        self.primary = self.start_node(dir).await?;
        Ok(())
    }

    /// The replica becomes the primary. Gives the old one back, in whatever state it is.
    ///
    /// # Errors
    /// There is none, or it refuses.
    pub async fn promote(&mut self) -> Result<Node, Broken> {
        let replica = self.replica.take().ok_or_else(|| Broken::Wrong("there is no replica".to_owned()))?;
        replica.promote().await?;
        Ok(std::mem::replace(&mut self.primary, replica))
    }
}

/// A password and a certificate for Redis, and what the service must know of them.
fn lock(dir: &Path, settings: &mut Settings) -> Result<Setup, Broken> {
    let password = "the password of the fault campaign".replace(' ', "-");
    let certificate = Certificate::new(dir, "first")?;
    let (password_file, authorities) = (dir.join("password"), dir.join("authorities.pem"));
    std::fs::write(&password_file, &password)?;
    std::fs::copy(&certificate.authority, &authorities)?;
    settings.push(("STORE__PASSWORD_FILE".to_owned(), password_file.display().to_string()));
    settings.push(("STORE__CA_FILE".to_owned(), authorities.display().to_string()));
    Ok(Setup { password: Some(password), certificate: Some(certificate) })
}
