//! `confab tail`: a member that writes a room's entries as they come, one JSON object a line, each once and none left out.
//!
//! A cut connection is dialled again and goes on from the last entry that was written. Where that can't be, because the
//! log was trimmed or is another one, it ends: what it wrote never has a hole.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

use super::reader::{Reader, Step, is_entry, position};
use super::service::{Guest, Service, Welcome, tell, wait_after};
use super::{Failed, NO, UNAVAILABLE};
use crate::domain::Position;

/// The first pause before another try to connect, at most; each is twice as long, and a random part of it is taken.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A connection that lived so long makes the pauses short again.
const HEALTHY: Duration = Duration::from_secs(30);

/// A service that can't be reached for this long is given up.
const AWAY_LIMIT: Duration = Duration::from_secs(10 * 60);

#[derive(Debug, Args)]
pub(super) struct Tail {
    /// The room
    room: String,
    #[command(flatten)]
    guest: Guest,
    /// Go on after this entry, the last one that was read: OFFSET:CHAIN
    #[arg(long, value_name = "POSITION", value_parser = position)]
    since: Option<Position>,
    /// Without --since, begin with so many of the newest entries
    #[arg(long, value_name = "ENTRIES", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=200))]
    last: u64,
}

/// Why a connection is left.
enum Ended {
    /// Nobody reads the output any more: `confab tail R | head -3`.
    Unread,
    /// The service asks to come to another instance.
    Asked,
    /// It is lost.
    Cut(String),
}

impl Tail {
    /// Follows the room until the output is closed.
    pub(super) async fn follow(&self, own: SocketAddr, out: &mut impl Write) -> Result<(), Failed> {
        let mut reader = self.since.map_or_else(Reader::default, Reader::after);
        let (mut service, mut welcome) = self.guest.sign_in("tail", own).await?;
        let mut pause = FIRST_PAUSE;
        loop {
            let connected_at = Instant::now();
            let ended = match self.read(&mut service, &welcome, &mut reader, out).await {
                Ok(ended) => ended,
                Err(failed) if failed.code == UNAVAILABLE => Ended::Cut(failed.message),
                Err(failed) => return Err(failed),
            };
            if connected_at.elapsed() >= HEALTHY {
                pause = FIRST_PAUSE;
            }
            if matches!(ended, Ended::Unread) {
                service.close().await;
                return Ok(());
            }
            let old = service;
            let lost_at = Instant::now();
            if let Ended::Cut(why) = &ended {
                tell(&format!("cut after entry {}: {why}", reader.position().offset));
                sleep(pause.mul_f64(rand::random())).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            (service, welcome) = loop {
                match self.guest.sign_in_again("tail", own, Some(&welcome.token)).await {
                    Ok(connected) => break connected,
                    Err(failed) if failed.code == UNAVAILABLE && lost_at.elapsed() < AWAY_LIMIT => {
                        tell(&failed.message);
                        sleep(pause.mul_f64(rand::random())).await;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                    Err(failed) => return Err(failed),
                }
            };
            if matches!(ended, Ended::Asked) {
                old.close().await;
            }
            tell(&format!("connected again, to {}", welcome.instance));
        }
    }

    /// Joins and writes entries for as long as the connection lasts.
    async fn read(
        &self,
        service: &mut Service,
        welcome: &Welcome,
        reader: &mut Reader,
        out: &mut impl Write,
    ) -> Result<Ended, Failed> {
        let mut join = reader.join(&self.room, self.last);
        let mut join_id = service.say(&mut join).await?;
        let mut join_again_at = None;
        let mut leave_at = None;
        loop {
            let silent_at = service.heard_at() + welcome.silence;
            let wake_at = [Some(silent_at), join_again_at, leave_at].into_iter().flatten().min().unwrap_or(silent_at);
            let Ok(heard) = timeout_at(wake_at, service.next()).await else {
                if leave_at.is_some_and(|at| at <= wake_at) {
                    return Ok(Ended::Asked);
                }
                // It may have been heard meanwhile, by no more than a heartbeat.
                if service.heard_at() + welcome.silence <= wake_at {
                    return Ok(Ended::Cut("nothing was heard for two heartbeats".to_owned()));
                }
                if join_again_at.take_if(|at| *at <= wake_at).is_some() {
                    join = reader.join(&self.room, self.last);
                    join_id = service.say(&mut join).await?;
                }
                continue;
            };
            let heard = heard?;
            match heard["type"].as_str() {
                Some("joined") if heard["id"] == join_id => {
                    if heard["recovered"] == false {
                        return Err(broken_off(reader, &heard));
                    }
                    let Some(entries) = heard["entries"].as_array() else {
                        return Err(Failed::new(NO, "the service sent a page without entries"));
                    };
                    for entry in entries {
                        if write(reader, entry, out)?.is_none() {
                            return Ok(Ended::Unread);
                        }
                    }
                    reader.begin();
                }
                Some("error") if heard["id"] == join_id => {
                    join_again_at = Some(Instant::now() + wait_after(&join, &heard)?);
                }
                Some("reset") => return Err(broken_off(reader, &heard)),
                Some("goaway") => {
                    let within = Duration::from_millis(heard["in_ms"].as_u64().unwrap_or(0));
                    leave_at = Some(Instant::now() + within.mul_f64(rand::random()));
                }
                _ if is_entry(&heard) => match write(reader, &heard, out)? {
                    None => return Ok(Ended::Unread),
                    Some(Step::Ahead) => join_again_at = Some(Instant::now()),
                    Some(Step::Next | Step::Known) => {}
                },
                _ => {}
            }
        }
    }
}

/// Writes an entry, if it is the next. `None`: nobody reads any more.
fn write(reader: &mut Reader, entry: &Value, out: &mut impl Write) -> Result<Option<Step>, Failed> {
    let broken = |problem| Failed::new(NO, format!("the log doesn't hold together: {problem}"));
    let step = reader.take(entry).map_err(broken)?;
    if step == Step::Next {
        match writeln!(out, "{entry}").and_then(|()| out.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Some(step))
}

/// The log doesn't go on from what was written.
fn broken_off(reader: &Reader, heard: &Value) -> Failed {
    let offset = reader.position().offset;
    let reason = heard["reason"].as_str().unwrap_or("no reason given");
    Failed::new(NO, format!("the log doesn't continue after entry {offset} ({reason}): start again without --since"))
}
