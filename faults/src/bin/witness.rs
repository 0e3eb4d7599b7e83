//! `witness`: recorded clients of a service that somebody else runs and breaks, and the checker's judgement in the end.
//!
//! It prints `ready` once its clients chat, reads what was done to the service from its standard input, a line each, and
//! at the end of the input waits until everybody has settled and prints what was found as one line of JSON.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use confab_faults::checker::check;
use confab_faults::plan::{Plan, Store};
use confab_faults::recorder;
use confab_faults::world::{Broken, Options, World};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};
use tokio::task::LocalSet;

/// Clients that chat, and the checker. Exit status 0: nothing was found, 1: something was, 2: no result.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// Where the service is reached.
    #[arg(long)]
    door: SocketAddr,
    /// Clients; every second one writes.
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Rooms; every client is in two.
    #[arg(long, default_value_t = 4)]
    rooms: usize,
    /// Between two heartbeats of the service, in milliseconds.
    #[arg(long, default_value_t = 25_000)]
    heartbeat_ms: u64,
    /// Where the history goes.
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match LocalSet::new().run_until(watch(Cli::parse())).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("{}", json!({"error": error.to_string()}));
            ExitCode::from(2)
        }
    }
}

async fn watch(cli: Cli) -> Result<bool, Broken> {
    let rooms = cli.rooms.max(2);
    let plan = Plan {
        store: Store::Memory,
        instances: 0,
        clients: cli.clients,
        writers: cli.clients.div_ceil(2),
        writes_ms: (300, 900),
        padding: 0,
        socketio: (0, 0),
        rooms,
        rooms_each: 2,
        dozers: (0, Duration::ZERO),
        moves: true,
        settings: Vec::new(),
    };
    // Chance begins somewhere else in every run, so its rooms are new.
    let options =
        Options { program: PathBuf::new(), dir: PathBuf::new(), seconds: 0.0, seed: rand::random(), quick: false };
    let world = World::around(&plan, options, cli.door, Duration::from_millis(cli.heartbeat_ms)).await?;
    println!("ready");
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        match line.as_str() {
            "heal" => world.heal(),
            what => world.fault(what),
        }
    }
    let history = world.end().await?;
    if let Some(file) = &cli.keep {
        recorder::save(&history, file)?;
    }
    let report = check(&history);
    println!(
        "{}",
        json!({
            "clean": report.is_clean(), "acknowledged": report.acknowledged, "delivered": report.delivered,
            "lost": report.lost, "duplicates": report.duplicates, "inversions": report.inversions, "gaps": report.gaps,
            "other": report.other, "longest_pause_ms": report.longest_pause_ms, "longest_lag_ms": report.longest_lag_ms,
            "seen": report.seen, "violations": report.violations,
        })
    );
    Ok(report.is_clean())
}
