//! The start: waiting for Redis, and the proof that everything which is needed of it works.

use std::sync::Arc;
use std::time::Duration;

use redis::{Pipeline, PushInfo, PushKind, Value};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::dial::{DialError, Dialer, SharedDialer};
use super::durability::Acknowledging;
use super::fault::Fault;
use super::keys::Names;
use super::options::DurabilitySetting;
use super::pulse::replication;
use super::scripts::Scripts;

/// Between two attempts.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Between two lines that say that Redis isn't there.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// Why an instance can't begin with Redis.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(String);

impl From<DialError> for StartError {
    fn from(error: DialError) -> Self {
        Self(error.to_string())
    }
}

/// The key for guest tokens that all instances share: the proposed one, unless there is one.
pub async fn share_key(dialer: &SharedDialer, names: &Names, proposal: &str) -> Result<String, StartError> {
    let failed = |error: redis::RedisError| StartError(explain(dialer, &DialError::Redis(error)));
    let mut connection = dialer.checkout().await?;
    let mut share = Pipeline::new();
    share.cmd("SET").arg(names.guest_key()).arg(proposal).arg("NX");
    share.cmd("GET").arg(names.guest_key());
    let (created, key): (Option<String>, Option<String>) = share.query_async(&mut *connection).await.map_err(failed)?;
    let created = created.is_some();
    tracing::info!(created, "guest tokens are signed with a key that is kept in Redis: auth.keys is not set");
    key.ok_or_else(|| StartError("the key for guest tokens can't be read back".to_owned()))
}

/// Waits until Redis answers, and proves the path.
pub async fn wait_for(
    dialer: &SharedDialer,
    names: &Names,
    scripts: &Arc<Scripts>,
    acknowledging: &Acknowledging,
    instance: &str,
) -> Result<(), StartError> {
    let deadline = Instant::now() + dialer.options().startup_timeout;
    let mut said: Option<Instant> = None;
    loop {
        let problem = match prove(dialer, names, scripts, acknowledging, instance).await {
            Ok(()) => return Ok(()),
            Err(problem) => problem,
        };
        let now = Instant::now();
        if now + AGAIN_AFTER >= deadline {
            return Err(StartError(format!("{dialer}: {problem}")));
        }
        if said.is_none_or(|said| now - said >= SAY_EVERY) {
            said = Some(now);
            tracing::warn!(redis = %dialer, problem, "waiting for Redis");
        }
        sleep(AGAIN_AFTER).await;
    }
}

/// Says what is wrong, and what to do about it.
fn explain(dialer: &Dialer, error: &DialError) -> String {
    let said = error.to_string().replace(['\r', '\n'], " ");
    let has = |text: &str| said.contains(text);
    let tls = dialer.options().tls.is_some();
    let hint = match error.fault() {
        Fault::Secrets => "check store.password or store.password_file, and the user name in store.url",
        Fault::WrongNode => "this is not the primary: store.url must name the primary's endpoint",
        Fault::Full => "Redis is full",
        _ if has("database") || has("DB index") => "check the number of the database in store.url",
        _ if has("NotValidForName") || has("not valid for name") => {
            "the certificate doesn't name this host: correct store.url, or set store.tls_verify to \"ca\", where a chain to \
             store.ca_file is enough"
        }
        _ if has("UnknownIssuer") || has("BadSignature") => {
            "the certificate comes from another authority: store.ca_file must hold that of Redis"
        }
        _ if has("Expired") || has("expired") => {
            "the certificate of Redis has expired: renew it, or correct the clock here"
        }
        _ if has("NotValidYet") || has("not valid yet") => {
            "the certificate of Redis is not valid yet: correct the clock there or here"
        }
        Fault::Connection if tls => "is the endpoint one for TLS? store.url = \"redis://\u{2026}\" speaks without",
        Fault::Connection => {
            "is Redis there, and is the endpoint one without TLS? store.url = \"rediss://\u{2026}\" speaks with"
        }
        Fault::Busy | Fault::NoScript | Fault::Foreign => "",
    };
    if hint.is_empty() { said } else { format!("{said}: {hint}") }
}

/// Writes with the script, hears of it on the channel, and reads it back.
async fn prove(
    dialer: &SharedDialer,
    names: &Names,
    scripts: &Arc<Scripts>,
    acknowledging: &Acknowledging,
    instance: &str,
) -> Result<(), String> {
    let failed = |error: redis::RedisError| explain(dialer, &DialError::Redis(error));
    let mut connection = dialer.checkout().await.map_err(|error| explain(dialer, &error))?;
    scripts.load(&mut *connection).await.map_err(failed)?;
    let seen = replication(&mut *connection).await.map_err(failed)?;
    if !seen.primary {
        return Err("this is a replica; store.url must name the primary's endpoint".to_owned());
    }
    acknowledging.saw(seen, true, Instant::now());
    let room = names.probe(instance);
    let (heard, mut hearing) = mpsc::channel(1);
    let pushed = move |push: PushInfo| {
        if push.kind == PushKind::Message {
            // One is enough.
            let _ = heard.try_send(());
        }
        Ok(())
    };
    let channel = room.channel();
    let line = match dialer.subscriber(pushed).await {
        Ok(mut line) => {
            line.subscribe(&channel).await.map_err(failed)?;
            Some(line)
        }
        // The subscriber finds another way.
        Err(DialError::Redis(error)) if error.code().is_some() => None,
        Err(error) => return Err(explain(dialer, &error)),
    };
    let mut write = Pipeline::new();
    write.cmd("SET").arg(room.meta()).arg(instance).arg("PX").arg(10_000);
    write.cmd("PUBLISH").arg(&channel).arg("probe");
    write.cmd("GET").arg(room.meta());
    write.cmd("UNLINK").arg(room.meta());
    let answers: Vec<Value> = write.query_async(&mut *connection).await.map_err(failed)?;
    if answers.get(2) != Some(&Value::BulkString(instance.as_bytes().to_vec())) {
        return Err("what was written can't be read back".to_owned());
    }
    if line.is_some() && timeout(dialer.options().response_timeout, hearing.recv()).await.is_err() {
        return Err("what was published doesn't arrive".to_owned());
    }
    let setting = dialer.options().durability;
    if setting != DurabilitySetting::Local {
        let waited: Result<Value, _> = redis::cmd("WAIT").arg(0).arg(1).query_async(&mut *connection).await;
        if let Err(error) = waited
            && setting == DurabilitySetting::Replicated
        {
            return Err(format!("store.durability = \"replicated\" needs WAIT, which Redis refuses: {error}"));
        }
    }
    tracing::info!(
        redis = %dialer,
        replicas = seen.replicas,
        durability = acknowledging.means().as_str(),
        "connected to Redis"
    );
    Ok(())
}
