//! Faults under load on the in-process multi-instance stub: several instances over one embedded store, whose
//! publications are lost, delayed and repeated, while instances and sockets are killed and logs are trimmed. Clients
//! record what they see; the checker of the campaign with real processes (`faults/`) looks for a loss, a repeat, an
//! inversion, an unannounced gap, a member that is behind.
//!
//! Time is tokio's paused clock, so minutes pass in a moment and a seed repeats its run.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking
#![allow(clippy::print_stdout)] // the campaign's figures, for `--nocapture`

#[path = "../../faults/src/checker.rs"]
mod checker;
mod client;
#[path = "../../faults/src/history.rs"]
mod history;
mod world;

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use checker::check;
use world::{Faults, World};

/// Virtual time of one run.
const RUN: Duration = Duration::from_secs(90);

/// After the faults end: the position check of quiet rooms (10 s), the grace (10 s) and the lease (10 s), with margin.
const SETTLE: Duration = Duration::from_secs(45);

/// Real time of one run, which takes a second or two: with a paused clock, tasks that keep each other busy stop
/// the time, so a run that goes round in circles would never end.
const PATIENCE: Duration = Duration::from_secs(30);

fn run(seed: u64, faults: Faults) {
    let (done, history) = sync_channel(1);
    let running = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        done.send(runtime.block_on(World::run(seed, faults, RUN, SETTLE))).unwrap();
    });
    let history = match history.recv_timeout(PATIENCE) {
        Ok(history) => history,
        Err(RecvTimeoutError::Timeout) => panic!("seed {seed}, {faults:?}: goes round in circles, time stands still"),
        Err(RecvTimeoutError::Disconnected) => std::panic::resume_unwind(running.join().unwrap_err()),
    };
    let report = check(&history);
    assert!(report.is_clean(), "seed {seed}, {faults:?}: {:#?}", report.violations);
    assert!(report.acknowledged > 50, "seed {seed}: only {} acknowledged, the run proves little", report.acknowledged);
    assert!(report.delivered > 500, "seed {seed}: only {} delivered, the run proves little", report.delivered);
    println!("seed {seed} {faults:?}: {report:?}");
}

/// Seeds per scenario; `FAULT_SEEDS` sets another number for long campaigns.
fn seeds() -> u64 {
    std::env::var("FAULT_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

fn campaign(faults: Faults) {
    (0..seeds()).for_each(|seed| run(seed, faults));
}

#[test]
fn without_faults_nothing_is_lost_doubled_or_out_of_order() {
    campaign(Faults::NONE);
}

#[test]
fn killed_sockets_lose_nothing() {
    campaign(Faults { kill_sockets: true, ..Faults::NONE });
}

#[test]
fn killed_instances_lose_nothing_and_their_members_leave_once() {
    campaign(Faults { kill_sockets: true, kill_instances: true, ..Faults::NONE });
}

#[test]
fn lost_delayed_and_repeated_publications_are_healed() {
    campaign(Faults { lose: 0.2, delay: 0.2, repeat: 0.1, ..Faults::NONE });
}

#[test]
fn trimmed_logs_are_announced_as_such() {
    campaign(Faults { kill_sockets: true, short_history: true, lose: 0.1, ..Faults::NONE });
}

#[test]
fn everything_at_once() {
    campaign(Faults {
        kill_sockets: true,
        kill_instances: true,
        lose: 0.15,
        delay: 0.15,
        repeat: 0.05,
        short_history: true,
    });
}
