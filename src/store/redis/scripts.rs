//! The Lua scripts, and what Redis calls them.

use redis::aio::ConnectionLike;
use redis::{Cmd, Pipeline, RedisError, Value};
use sha1::{Digest as _, Sha1};

use crate::domain::{Limits, Millis};

const MICROS_PER_SECOND: u64 = 1_000_000;

/// A trim by count takes so many entries, or half of the limit.
const TRIM_ENTRIES: u64 = 64;

/// So long things live beyond the time at which they aren't needed any more.
const LIVES_MORE_MS: Millis = 1_000;

/// Or this part of its bytes too many.
const TRIM_BYTES_SHARE: u64 = 16;

/// How long what is of a room lives when it is refreshed, which is once in a window of keys: past the end of its log.
pub const fn lives_ms(limits: &Limits) -> Millis {
    limits.history_idle_ms.saturating_add(limits.key_window_ms).saturating_add(LIVES_MORE_MS)
}

/// A script in Redis's cache of scripts.
#[derive(Debug)]
pub struct Script {
    text: String,
    sha: String,
}

impl Script {
    fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let sha = Sha1::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        Self { text, sha }
    }

    /// A call with so many keys, which come first among the arguments that the caller adds.
    pub fn call(&self, keys: usize) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(&self.sha).arg(keys);
        call
    }
}

/// All of them.
#[derive(Debug)]
pub struct Scripts {
    pub append: Script,
    pub read: Script,
    pub mark: Script,
    pub enter: Script,
    pub leave: Script,
    pub members: Script,
    pub renew: Script,
    pub claim: Script,
}

impl Scripts {
    /// With the limits in front of the script that is called most: they stay the same, and arguments cost.
    pub fn new(limits: &Limits) -> Self {
        let interval_us = MICROS_PER_SECOND / limits.sends_per_second.max(1);
        let (idle_ms, entries, bytes) = (limits.history_idle_ms, limits.history_entries, limits.history_bytes);
        let lazily = TRIM_ENTRIES.min(entries / 2);
        let append = format!(
            "local WINDOW, IDLE, LIVE = {}, {idle_ms}, {}\n\
             local INTERVAL, BURST = {interval_us}, {}\n\
             local MOST, MOST_BYTES, TRIM_AT, TRIM_AT_BYTES, STEP = {entries}, {bytes}, {}, {}, {}\n{}",
            limits.key_window_ms,
            lives_ms(limits),
            interval_us * limits.send_burst.max(1),
            entries + lazily,
            bytes + bytes / TRIM_BYTES_SHARE,
            lazily.max(1),
            include_str!("append.lua"),
        );
        Self {
            append: Script::new(append),
            read: Script::new(include_str!("read.lua")),
            mark: Script::new(include_str!("mark.lua")),
            enter: Script::new(include_str!("enter.lua")),
            leave: Script::new(include_str!("leave.lua")),
            members: Script::new(include_str!("members.lua")),
            renew: Script::new(include_str!("renew.lua")),
            claim: Script::new(include_str!("claim.lua")),
        }
    }

    /// Puts all of them into the cache.
    pub async fn load(&self, connection: &mut impl ConnectionLike) -> Result<(), RedisError> {
        let Self { append, read, mark, enter, leave, members, renew, claim } = self;
        let mut load = Pipeline::new();
        for script in [append, read, mark, enter, leave, members, renew, claim] {
            load.cmd("SCRIPT").arg("LOAD").arg(&script.text);
        }
        // One by one, because together they would hide which error it was.
        load.ignore_errors();
        let answers: Vec<Result<Value, RedisError>> = load.query_async(connection).await?;
        answers.into_iter().find_map(Result::err).map_or(Ok(()), Err)
    }
}
