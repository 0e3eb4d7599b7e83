//! `confab export`: a guest like any other that joins a room and reads its log back to the oldest entry.
//!
//! What it writes was verified on the way, so a log that changed while it was read is an error, never a wrong file.

use std::net::SocketAddr;

use clap::Args;
use serde_json::{Value, json};

use super::service::{Guest, tell};
use super::{Failed, NO};
use crate::log::{Verified, Verifier};

/// Entries asked for at a time: what the service gives at most unless it was set up otherwise.
const PAGE_ENTRIES: u64 = 200;

#[derive(Debug, Args)]
pub(super) struct Export {
    /// The room
    room: String,
    #[command(flatten)]
    guest: Guest,
}

impl Export {
    /// The whole log, oldest entry first.
    pub(super) async fn read(&self, own: SocketAddr) -> Result<Vec<String>, Failed> {
        Ok(read(&self.room, &self.guest, "export", own).await?.0)
    }
}

/// A room's log as lines, verified.
pub(super) async fn read(
    room: &str,
    guest: &Guest,
    command: &str,
    own: SocketAddr,
) -> Result<(Vec<String>, Verified), Failed> {
    let mut verifier = Verifier::default();
    let mut lines = Vec::new();
    for entry in entries(room, guest, command, own).await? {
        let line = entry.to_string();
        let broken = |problem| Failed::new(NO, format!("the log doesn't hold together, try again: {problem}"));
        verifier.take(line.as_bytes()).map_err(broken)?;
        lines.push(line);
    }
    let mut verified = verifier.verified().clone();
    if lines.is_empty() {
        tell(&format!("{room} has no entries: nobody has written there, or not for so long that its log has ended"));
        verified.room = Some(room.to_owned());
    }
    Ok((lines, verified))
}

async fn entries(room: &str, guest: &Guest, command: &str, own: SocketAddr) -> Result<Vec<Value>, Failed> {
    let (mut service, _) = guest.sign_in(command, own).await?;
    let joined = service.ask(json!({"type": "join", "room": room, "limit": PAGE_ENTRIES})).await?;
    // Pages come newest first, and so they wait here.
    let mut pages = Vec::new();
    let mut page = joined;
    loop {
        let Value::Array(entries) = page["entries"].take() else {
            return Err(Failed::new(NO, "the service sent a page without entries"));
        };
        let first = entries.first().and_then(|entry| entry["offset"].as_u64());
        let oldest = page["oldest"].as_u64().unwrap_or(0);
        pages.push(entries);
        let Some(first) = first.filter(|first| *first > oldest) else { break };
        let command = json!({"type": "history", "room": room, "before": first, "limit": PAGE_ENTRIES});
        page = service.ask(command).await?;
    }
    service.close().await;
    Ok(pages.into_iter().rev().flatten().collect())
}
