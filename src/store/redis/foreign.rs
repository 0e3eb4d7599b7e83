//! What an operator is told of data under our keys that can't be read: which keys, because those have to be looked at.
//!
//! Keys hold a room's name, so this is the one line above debug level that does. What isn't plain in a name is
//! percent-encoded in a key, and whatever else a command held is escaped here: a line stays a line.

use redis::{Cmd, RedisError};

use super::seldom::Seldom;

/// Characters of keys in a line.
const KEYS_CHARS: usize = 4 * 1024;

/// What Redis or a script says of a command's keys. A line every few seconds, whatever the number of rooms and calls.
pub fn refused(command: Option<&Cmd>, error: &RedisError) {
    match error.detail().filter(|_| error.code() == Some("CORRUPT")) {
        // The script knows which it was.
        Some(key) => complain(key, error.code()),
        None => complain(&command.map(keys_of).unwrap_or_default(), error.code()),
    }
    tracing::debug!(%error, "Redis says why");
}

/// The answers of these commands aren't what we write.
pub fn unreadable<'a>(commands: impl Iterator<Item = &'a Cmd>) {
    let keys: Vec<_> = commands.map(keys_of).filter(|keys| !keys.is_empty()).collect();
    complain(&keys.join(" "), None);
}

/// What is under one of these keys can't be read: said now and then.
pub fn complain(keys: &str, code: Option<&str>) {
    static LINE: Seldom = Seldom::new();
    if LINE.is_due() {
        tracing::error!(keys = shown(keys), code, "what is under a room's keys can't be read: see these");
    }
}

/// The keys of a command, with a space between.
fn keys_of(command: &Cmd) -> String {
    let mut arguments = command.args_iter().map(|argument| match argument {
        redis::Arg::Simple(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    });
    let keys = match arguments.next().as_deref() {
        Some("EVALSHA") => arguments.nth(1).and_then(|keys| keys.parse().ok()).unwrap_or(0),
        Some("TIME" | "WAIT") | None => 0,
        Some(_) => 1,
    };
    arguments.take(keys).collect::<Vec<_>>().join(" ")
}

fn shown(keys: &str) -> String {
    let mut escaped = keys.escape_debug();
    let mut shown: String = escaped.by_ref().take(KEYS_CHARS).collect();
    if escaped.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_command_are_found() {
        let mut script = redis::cmd("EVALSHA");
        script.arg("0123abcd").arg(2).arg("confab:{r}:meta").arg("confab:{r}:log").arg("a text");
        assert_eq!(keys_of(&script), "confab:{r}:meta confab:{r}:log");
        assert_eq!(keys_of(redis::cmd("GET").arg("confab:{r}:meta")), "confab:{r}:meta");
        assert_eq!(keys_of(&redis::cmd("TIME")), "");
    }

    #[test]
    fn a_line_stays_one_and_is_no_longer_than_it_may_be() {
        assert_eq!(shown("confab:rooms:x\n\u{1b}[31m"), "confab:rooms:x\\n\\u{1b}[31m");
        assert_eq!(shown(&"é".repeat(KEYS_CHARS + 1)).chars().count(), KEYS_CHARS + 1);
    }
}
