//! A room's log as lines of JSON: what `confab export` writes and `confab verify` checks, offline.
//!
//! A line is an entry as the protocol's pushes have it. The chain is recomputed from it, also where a text was withdrawn
//! and only its hash is left. This module knows no network and no settings.

use std::io::{self, BufRead, Read as _};

use serde::Deserialize;

use crate::domain::{Body, Emoji, Entry, Key, Kind, Position, Text, TextSha, User, UserId, UserName, Withdrawal};

/// Longest line that is read, in bytes.
pub const LINE_BYTES: usize = 128 * 1024 * 1024;

/// Names and emoji in a log passed the limits of their time: here they only must be spelt canonically.
const LONGEST_NAME: usize = 1024 * 1024;

/// What a good log says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The room; `None` where there is no line.
    pub room: Option<String>,
    /// Number of entries.
    pub entries: u64,
    /// Offset of the first, 0 where there is none. What was before it can't be told from the log.
    pub first: u64,
    /// Position after the last: whoever knows this position knows that the log is the one they saw.
    pub position: Position,
    /// Entries whose text was withdrawn.
    pub withdrawn: u64,
}

/// Why a log is no good.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The lines can't be read.
    #[error("can't be read: {0}")]
    Unreadable(#[from] io::Error),
    /// A line is wrong.
    #[error("line {line}: {problem}")]
    Line {
        /// Which, from 1.
        line: u64,
        /// What is wrong.
        problem: String,
    },
}

/// Reads a log and recomputes its chain.
///
/// # Errors
/// The first thing that is wrong: a line that is no entry, a missing or repeated offset, a time that goes back, a chain
/// that doesn't follow.
pub fn verify(mut lines: impl BufRead) -> Result<Verified, Broken> {
    let mut verifier = Verifier::default();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = lines.by_ref().take(LINE_BYTES as u64 + 1).read_until(b'\n', &mut line)?;
        let broken = |problem: String| Broken::Line { line: number, problem };
        if read == 0 {
            break;
        }
        if read > LINE_BYTES {
            return Err(broken(format!("is longer than {LINE_BYTES} bytes")));
        }
        verifier.take(&line).map_err(broken)?;
    }
    Ok(verifier.verified)
}

/// The chain so far.
#[derive(Debug)]
pub struct Verifier {
    verified: Verified,
    last_at: u64,
}

impl Default for Verifier {
    fn default() -> Self {
        Self::after(Position::ZERO)
    }
}

impl Verifier {
    /// For a log of which everything up to a position is known.
    #[must_use]
    pub const fn after(position: Position) -> Self {
        Self { verified: Verified { room: None, entries: 0, first: 0, position, withdrawn: 0 }, last_at: 0 }
    }

    /// Takes the next line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn take(&mut self, line: &[u8]) -> Result<(), String> {
        let line: Line = serde_json::from_slice(line).map_err(|error| format!("is no entry: {error}"))?;
        let (room, entry) = line.entry(self.verified.position)?;
        let known = &mut self.verified;
        if known.entries == 0 {
            known.first = entry.offset;
            known.room = Some(room);
        } else if known.room.as_ref() != Some(&room) {
            return Err("is of another room".to_owned());
        }
        if known.position.offset > 0 {
            if entry.offset != known.position.offset + 1 {
                return Err(format!("offset {} doesn't follow {}", entry.offset, known.position.offset));
            }
            if entry.at < self.last_at {
                return Err(format!("offset {}: the time goes back", entry.offset));
            }
            if !entry.follows_chain(known.position.chain) {
                return Err(format!("offset {}: the chain doesn't follow from the entry before", entry.offset));
            }
        }
        known.entries += 1;
        known.withdrawn += u64::from(matches!(entry.body.text(), Some(Text::Withdrawn(..))));
        known.position = entry.position();
        self.last_at = entry.at;
        Ok(())
    }

    /// What is known after the last line.
    #[must_use]
    pub const fn verified(&self) -> &Verified {
        &self.verified
    }
}

#[derive(Deserialize)]
struct Line {
    r#type: String,
    room: String,
    offset: u64,
    chain: String,
    at: u64,
    user: Author,
    key: String,
    text: Option<String>,
    text_sha: Option<String>,
    #[serde(default)]
    deleted: bool,
    target: Option<u64>,
    emoji: Option<String>,
    on: Option<bool>,
    reply_to: Option<u64>,
}

#[derive(Deserialize)]
struct Author {
    id: String,
    name: String,
}

impl Line {
    /// The entry and its room. `before` is where the log stands: for the first line, what is claimed stands for it.
    fn entry(self, before: Position) -> Result<(String, Entry), String> {
        let chain = crate::domain::Chain::parse(&self.chain).ok_or("chain is not 16 hex digits")?;
        if self.offset == 0 {
            return Err("offset is 0".to_owned());
        }
        let name = UserName::parse(&self.user.name, LONGEST_NAME).map_err(|invalid| format!("user.name {invalid}"))?;
        if name.as_str() != self.user.name {
            return Err("user.name is not in its canonical spelling".to_owned());
        }
        let id = UserId::parse(&self.user.id).map_err(|invalid| format!("user.id {invalid}"))?;
        let key = Key::parse(&self.key).map_err(|invalid| format!("key {invalid}"))?;
        let target = || self.target.ok_or("target is missing");
        let body = if self.r#type == Kind::Message.as_str() {
            Body::Message { text: self.text()?, reply_to: self.reply_to }
        } else if self.r#type == Kind::Edited.as_str() {
            Body::Edited { target: target()?, text: self.text()? }
        } else if self.r#type == Kind::Deleted.as_str() {
            Body::Deleted { target: target()? }
        } else if self.r#type == Kind::Reacted.as_str() {
            let emoji = self.emoji.as_deref().ok_or("emoji is missing")?;
            let emoji = Emoji::parse(emoji, LONGEST_NAME).map_err(|invalid| format!("emoji {invalid}"))?;
            Body::Reacted { target: target()?, emoji, on: self.on.ok_or("on is missing")? }
        } else {
            return Err("type is none of message, edited, deleted, reacted".to_owned());
        };
        let (offset, at, prev) = (self.offset, self.at, before.chain);
        Ok((self.room, Entry { offset, prev, chain, at, user: User { id, name }, key, body }))
    }

    fn text(&self) -> Result<Text, String> {
        let sha = match &self.text_sha {
            Some(sha) => Some(TextSha::parse(sha).ok_or("text_sha is not 40 hex digits")?),
            None => None,
        };
        match (&self.text, sha) {
            (Some(text), sha) if sha.is_none_or(|sha| sha == TextSha::of(text)) => Ok(Text::Kept(text.as_str().into())),
            (Some(_), _) => Err("text_sha is not that of the text".to_owned()),
            (None, Some(sha)) => {
                let why = if self.deleted { Withdrawal::Deleted } else { Withdrawal::Edited };
                Ok(Text::Withdrawn(sha, why))
            }
            (None, None) => Err("text and text_sha are missing".to_owned()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test fails by panicking
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::{Chain, Draft};

    /// A log of one entry of each kind, as lines.
    fn log() -> Vec<Value> {
        let user = User { id: UserId::parse("u1").unwrap(), name: UserName::parse("Ada", 64).unwrap() };
        let text = |text: &str| Text::Kept(text.into());
        let bodies = [
            Body::Message { text: text("hi"), reply_to: None },
            Body::Message { text: text("so?\n\"x\""), reply_to: Some(1) },
            Body::Edited { target: 1, text: text("hello") },
            Body::Reacted { target: 2, emoji: Emoji::parse("👍", 64).unwrap(), on: true },
            Body::Deleted { target: 2 },
        ];
        let mut chain = Chain::from_bits(7);
        let mut lines = Vec::new();
        for (last, body) in (0..).zip(bodies) {
            let key = Key::parse(&format!("key {last}")).unwrap();
            let entry = Entry::number(Draft { user: user.clone(), key, body, trace: None }, last, chain, 1_000 + last);
            chain = entry.chain;
            let mut line = json!({
                "type": entry.body.kind().as_str(), "room": "R", "offset": entry.offset, "at": entry.at,
                "chain": entry.chain.to_string(), "key": entry.key.as_str(), "user": {"id": "u1", "name": "Ada"},
            });
            match &entry.body {
                Body::Message { text: Text::Kept(text), reply_to } => {
                    line["text"] = json!(**text);
                    if let Some(offset) = reply_to {
                        line["reply_to"] = json!(offset);
                    }
                }
                Body::Edited { target, text: Text::Kept(text) } => {
                    line["text"] = json!(**text);
                    line["target"] = json!(target);
                }
                Body::Reacted { target, emoji, on } => {
                    line["target"] = json!(target);
                    line["emoji"] = json!(emoji.as_str());
                    line["on"] = json!(on);
                }
                Body::Deleted { target } => line["target"] = json!(target),
                withdrawn => unreachable!("{withdrawn:?}"),
            }
            lines.push(line);
        }
        lines
    }

    fn check(lines: &[Value]) -> Result<Verified, String> {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        verify(text.as_bytes()).map_err(|broken| broken.to_string())
    }

    fn withdraw(line: &mut Value, why: &str) {
        let text = line["text"].as_str().unwrap().to_owned();
        line.as_object_mut().unwrap().remove("text");
        line["text_sha"] = json!(TextSha::of(&text).as_str());
        line[why] = json!(true);
    }

    #[test]
    fn a_log_proves_itself_also_where_texts_were_withdrawn() {
        let whole = check(&log()).unwrap();
        assert_eq!((whole.entries, whole.first, whole.position.offset, whole.withdrawn), (5, 1, 5, 0));
        let mut withdrawn = log();
        withdraw(&mut withdrawn[0], "edited");
        withdraw(&mut withdrawn[1], "deleted");
        let verified = check(&withdrawn).unwrap();
        assert_eq!((verified.position, verified.withdrawn), (whole.position, 2));
        let tail = check(&log()[2..]).unwrap();
        assert_eq!((tail.first, tail.position), (3, whole.position));
        assert_eq!(check(&[]).unwrap().entries, 0);
    }

    #[test]
    fn every_change_breaks_the_chain() {
        for (field, value) in [
            ("text", json!("hI")),
            ("at", json!(2_000)),
            ("key", json!("another")),
            ("reply_to", json!(9)),
            ("chain", json!("0123456789abcdef")),
        ] {
            let mut changed = log();
            changed[1][field] = value;
            let broken = check(&changed).unwrap_err();
            assert!(broken.contains("chain doesn't follow") || broken.contains("time goes back"), "{field}: {broken}");
        }
        for (pointer, value) in [("/user/name", "Bea"), ("/user/id", "u2"), ("/type", "edited")] {
            let mut changed = log();
            *changed[1].pointer_mut(pointer).unwrap() = json!(value);
            changed[1]["target"] = json!(1);
            assert!(check(&changed).unwrap_err().contains("line 2: offset 2: the chain"), "{pointer}");
        }
        let mut changed = log();
        changed[3]["on"] = json!(false);
        assert!(check(&changed).unwrap_err().contains("offset 4: the chain"));
    }

    #[test]
    fn a_missing_a_repeated_and_a_foreign_line_are_found() {
        let lines = log();
        let without = [&lines[..1], &lines[2..]].concat();
        assert!(check(&without).unwrap_err().contains("offset 3 doesn't follow 1"));
        let twice = [&lines[..2], &lines[1..]].concat();
        assert!(check(&twice).unwrap_err().contains("offset 2 doesn't follow 2"));
        let mut foreign = log();
        foreign[2]["room"] = json!("Q");
        assert!(check(&foreign).unwrap_err().contains("another room"));
    }

    #[test]
    fn what_is_no_entry_is_told_by_its_line() {
        for field in ["type", "room", "offset", "chain", "at", "user", "key", "text"] {
            let mut lines = log();
            lines[1].as_object_mut().unwrap().remove(field);
            let broken = check(&lines).unwrap_err();
            assert!(broken.starts_with("line 2: ") && broken.contains(field), "{field}: {broken}");
        }
        for wrong in ["x", "{}", "[]", "", "null"] {
            assert!(verify(format!("{wrong}\n").as_bytes()).is_err(), "{wrong}");
        }
        let mut lines = log();
        lines[0]["text_sha"] = json!(TextSha::of("ho").as_str());
        assert!(check(&lines).unwrap_err().contains("not that of the text"));
    }
}
