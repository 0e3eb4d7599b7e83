//! The start: waiting for Redis, and the proof that everything which is needed of it works.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::{Pipeline, PushInfo, PushKind, RedisError, Value};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::dial::{DialError, Dialer, SharedDialer};
use super::durability::Acknowledging;
use super::fault::Fault;
use super::keys::{Names, RoomNames};
use super::options::DurabilitySetting;
use super::pulse::replication;
use super::record;
use super::scripts::Scripts;
use super::{append_call, appended, read, read_call};
use crate::domain::{Body, Draft, Entry, Key, Limits, Text, User, UserId, UserName};
use crate::store::Durability;

/// Between two attempts.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// How long what a proof wrote may stay, where it ended half-way.
const PROBE_LIVES: Duration = Duration::from_secs(10);

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

/// Waits until Redis answers, and proves the path in a room that no user has.
pub async fn wait_for(
    dialer: &SharedDialer,
    room: &RoomNames,
    scripts: &Arc<Scripts>,
    limits: &Limits,
    acknowledging: &Acknowledging,
) -> Result<(), StartError> {
    let deadline = Instant::now() + dialer.options().startup_timeout;
    let mut said: Option<Instant> = None;
    loop {
        let problem = match prove(dialer, room, scripts, limits, acknowledging).await {
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

/// A message that nobody sees.
fn probe() -> Option<Draft> {
    let user = User { id: UserId::parse("probe").ok()?, name: UserName::parse("probe", record::LONGEST_NAME).ok()? };
    let body = Body::Message { text: Text::Kept("probe".into()), reply_to: None };
    Some(Draft { user, key: Key::parse("probe").ok()?, body, trace: None })
}

/// Appends a message with the script, hears it on the channel, and reads it with the script, as for any room.
async fn prove(
    dialer: &SharedDialer,
    room: &RoomNames,
    scripts: &Arc<Scripts>,
    limits: &Limits,
    acknowledging: &Acknowledging,
) -> Result<(), String> {
    let failed = |error: redis::RedisError| explain(dialer, &DialError::Redis(error));
    let mut connection = dialer.checkout().await.map_err(|error| explain(dialer, &error))?;
    scripts.load(&mut *connection).await.map_err(failed)?;
    let seen = replication(&mut *connection).await.map_err(failed)?;
    if !seen.primary {
        return Err("this is a replica; store.url must name the primary's endpoint".to_owned());
    }
    acknowledging.saw(seen, true, Instant::now());
    let (heard, mut hearing) = mpsc::channel(1);
    let pushed = move |push: PushInfo| {
        if let (PushKind::Message, Some(Value::BulkString(published))) = (push.kind, push.data.last()) {
            // One is enough.
            let _ = heard.try_send(record::entry(published));
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
    let written = write(&mut *connection, room, scripts, limits).await.map_err(failed)?;
    let written = written.ok_or("what was written can't be read back")?;
    if line.is_some() {
        match timeout(dialer.options().response_timeout, hearing.recv()).await {
            Ok(Some(Some(published))) if published == written => {}
            Ok(Some(_)) => return Err("something else is published on the channel".to_owned()),
            Ok(None) | Err(_) => return Err("what was published doesn't arrive".to_owned()),
        }
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

/// Appends the probe to an empty room, and gives it as it was read; `None` where that isn't the same.
async fn write(
    connection: &mut impl ConnectionLike,
    room: &RoomNames,
    scripts: &Scripts,
    limits: &Limits,
) -> Result<Option<Entry>, RedisError> {
    let Some(draft) = probe() else { return Ok(None) };
    let keys = [room.meta(), room.log(), room.keys()];
    let mut newest = read_call(scripts, room, limits);
    newest.arg("before").arg("").arg("").arg(1).arg(limits.history_bytes).arg(0).arg(0);
    let mut pipeline = Pipeline::new();
    // What an attempt left that ended half-way, its key above all.
    pipeline.cmd("UNLINK").arg(&keys).ignore();
    pipeline.add_command(append_call(scripts, room, &draft));
    for key in &keys {
        pipeline.cmd("PEXPIRE").arg(key).arg(PROBE_LIVES.as_millis() as u64).ignore();
    }
    pipeline.add_command(newest);
    // As the script does at the end of a window.
    pipeline.cmd("RENAME").arg(room.meta()).arg(room.keys()).ignore();
    pipeline.cmd("UNLINK").arg(&keys).ignore();
    let (stored, page): (Value, Value) = pipeline.query_async(connection).await?;
    let Ok(stored) = appended(&stored, Durability::Stored) else { return Ok(None) };
    let Some((_, mut page)) = read(vec![page]) else { return Ok(None) };
    let entry = page.entries.pop().map(|entry| Entry::clone(&entry));
    Ok(entry.filter(|entry| entry.chain == stored.position.chain && entry.body == draft.body))
}
