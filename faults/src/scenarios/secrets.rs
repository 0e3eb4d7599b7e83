//! Redis's certificate and password change under load.

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;

use super::{Proof, Scenario};
use crate::certificate::Certificate;
use crate::plan::{Plan, Redis};
use crate::proxy::Which;
use crate::world::{Broken, World};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "ca-rotation",
        about: "a new authority is published, then signs Redis's new certificate; connections drop",
        plan: locked,
        course: authority,
        proof: &[Proof::Seen("ok replicated", 50), Proof::RecoversWithin(3_000)],
    },
    Scenario {
        name: "password-rotation",
        about: "Redis gets a new password, the file follows; connections drop",
        plan: locked,
        course: password,
        proof: &[Proof::Seen("ok replicated", 50), Proof::RecoversWithin(3_000)],
    },
];

fn locked() -> Plan {
    Plan::with_redis(Redis { replica: true, locked: true })
}

fn authority(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        let dir = world.dir().to_owned();
        let mut known = std::fs::read_to_string(dir.join("authorities.pem"))?;
        for turn in 1.. {
            if !world.goes_on() {
                break;
            }
            world.pause(500, 1_000).await;
            let next = Certificate::new(&dir, &format!("turn-{turn}"))?;
            // Published ahead: whoever dials from now on trusts both.
            known = format!("{known}{}", std::fs::read_to_string(&next.authority)?);
            world.replace_file("authorities.pem", &known)?;
            world.fault("certificate changed");
            let pair = world.pair()?;
            for node in [Some(&mut pair.primary), pair.replica.as_mut()].into_iter().flatten() {
                let (key, chain) = (next.key.display().to_string(), next.chain.display().to_string());
                let authorities = dir.join("authorities.pem").display().to_string();
                node.set(&[("tls-key-file", &key), ("tls-cert-file", &chain), ("tls-ca-cert-file", &authorities)])
                    .await?;
            }
            world.backs().for_each(|back| back.cut(Which::All));
            world.accepting();
            world.heal();
            world.pause(1_500, 2_500).await;
        }
        Ok(())
    }
    .boxed_local()
}

fn password(world: &mut World) -> LocalBoxFuture<'_, Result<(), Broken>> {
    async {
        for turn in 1.. {
            if !world.goes_on() {
                break;
            }
            world.pause(500, 1_000).await;
            let next = format!("password-{turn}-of-the-fault-campaign");
            world.fault("password changed");
            let pair = world.pair()?;
            for node in [Some(&mut pair.primary), pair.replica.as_mut()].into_iter().flatten() {
                node.set(&[("masterauth", &next), ("requirepass", &next)]).await?;
            }
            world.backs().for_each(|back| back.cut(Which::All));
            // The file is late: until it is there, Redis refuses the instances.
            world.pause(500, 1_500).await;
            world.replace_file("password", &next)?;
            world.accepting();
            world.heal();
            world.pause(1_500, 2_500).await;
        }
        Ok(())
    }
    .boxed_local()
}
