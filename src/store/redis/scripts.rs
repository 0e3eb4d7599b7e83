//! The Lua scripts, and what Redis calls them.

use redis::Cmd;
use sha1::{Digest as _, Sha1};

/// A script in Redis's cache of scripts.
#[derive(Debug)]
pub struct Script {
    text: &'static str,
    sha: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        let sha = Sha1::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        Self { text, sha }
    }

    /// A call with so many keys, which come first among the arguments that the caller adds.
    pub fn call(&self, keys: usize) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(&self.sha).arg(keys);
        call
    }

    /// Puts the script into the cache.
    pub fn load(&self) -> Cmd {
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(self.text);
        load
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
    pub fn new() -> Self {
        Self {
            append: Script::new(include_str!("append.lua")),
            read: Script::new(include_str!("read.lua")),
            mark: Script::new(include_str!("mark.lua")),
            enter: Script::new(include_str!("enter.lua")),
            leave: Script::new(include_str!("leave.lua")),
            members: Script::new(include_str!("members.lua")),
            renew: Script::new(include_str!("renew.lua")),
            claim: Script::new(include_str!("claim.lua")),
        }
    }

    /// Every script, to load all of them.
    pub fn all(&self) -> [&Script; 8] {
        let Self { append, read, mark, enter, leave, members, renew, claim } = self;
        [append, read, mark, enter, leave, members, renew, claim]
    }
}
