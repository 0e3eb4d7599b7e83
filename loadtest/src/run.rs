//! One run: open the sockets, sign in, join, load, and count.
//!
//! Owns the order of things and their deadlines; what happens on the sockets is the client's.

use std::io;
use std::time::Duration;

use crate::client::{Client, Traffic};
use crate::options::{Options, RunError};
use crate::pace::{Nanos, Schedule, nanos};
use crate::process::Process;
use crate::report::{Connect, Latency, Load, Report, Stalled};

/// No bytes for this long is quiet.
const QUIET: Duration = Duration::from_millis(250);
/// Longest wait for quiet after the last join: presence of large rooms comes at intervals.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for deliveries and answers after the last send.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// A drain in which nothing came for this long is over.
const DRAIN_QUIET: Duration = Duration::from_secs(2);

/// What was counted at one moment.
#[derive(Debug, Clone, Copy)]
struct Mark {
    at: Nanos,
    servers: Option<Nanos>,
    own: Duration,
    messages: u64,
    deliveries: u64,
    frames: u64,
    reads: u64,
}

/// Runs, and reports.
///
/// # Errors
/// The run came to no result.
pub fn run(options: &Options) -> Result<Report, RunError> {
    options.check()?;
    let servers = options
        .pids
        .iter()
        .map(|&pid| Process::new(pid).map_err(|error| RunError::Process { pid, error }))
        .collect::<Result<Vec<_>, _>>()?;
    let client = &mut Client::new(options)?;
    let measure = |what: fn(&Process) -> io::Result<u64>| sum(&servers, what);

    let (cpu_before, rss_before) = (measure(cpu)?, measure(Process::rss_bytes)?);
    open_all(client)?;
    let opened = client.now();
    settle(client)?;
    let cpu_after = measure(cpu)?;
    turn_until(client, opened + nanos(options.hold))?;
    let rss_after = measure(Process::rss_bytes)?;
    let sockets = count(options.sockets);
    let connect = Connect {
        seconds: seconds(opened),
        server_cpu_us_per_socket: cpu_before.zip(cpu_after).map(|(before, after)| per(after - before, sockets)),
        server_rss_bytes_per_socket: rss_before
            .zip(rss_after)
            .map(|(before, after)| after.saturating_sub(before) as f64 / options.sockets as f64),
    };

    fill(client)?;
    let load = if options.duration.is_zero() { None } else { Some(load(client, &servers)?) };
    drain(client)?;
    let stalled = release(client)?;
    Ok(Report {
        sockets: options.sockets,
        rooms: options.rooms,
        senders: options.senders,
        window: options.window,
        rate: options.rate,
        text_bytes: options.text_bytes,
        connect,
        fill: options.fill,
        load,
        faults: client.faults(),
        stalled,
    })
}

/// Opens all sockets, until the last one has joined.
fn open_all(client: &mut Client<'_>) -> Result<(), RunError> {
    let options = client.options;
    let until = client.now() + nanos(options.patience);
    while client.live < options.sockets {
        client.open_more()?;
        client.turn(until)?;
        if client.now() > until {
            return Err(impatient(client, format!("{} of {} sockets had joined", client.live, options.sockets)));
        }
    }
    Ok(())
}

fn impatient(client: &Client<'_>, what: String) -> RunError {
    RunError::Patience { seconds: client.options.patience.as_secs_f64(), what }
}

/// Waits until the servers' last words about the joins have come.
fn settle(client: &mut Client<'_>) -> Result<(), RunError> {
    let limit = client.now() + nanos(SETTLE_LIMIT);
    client.last_byte = client.now();
    while client.now() < limit.min(client.last_byte + nanos(QUIET)) {
        client.turn(limit.min(client.last_byte + nanos(QUIET)))?;
    }
    Ok(())
}

fn turn_until(client: &mut Client<'_>, until: Nanos) -> Result<(), RunError> {
    while client.now() < until {
        client.turn(until)?;
    }
    Ok(())
}

/// Sends the messages that fill the rooms, and waits until all have arrived.
fn fill(client: &mut Client<'_>) -> Result<(), RunError> {
    if client.options.fill == 0 {
        return Ok(());
    }
    let until = client.now() + nanos(client.options.patience);
    client.begin(Traffic::Fill { left: vec![client.options.fill; client.options.rooms] });
    while client.to_fill() > 0 || client.unanswered() > 0 || client.missing() > 0 {
        client.turn(until)?;
        if client.now() > until {
            let (left, unanswered, missing) = (client.to_fill(), client.unanswered(), client.missing());
            let faults = serde_json::to_string(&client.faults()).unwrap_or_default();
            return Err(impatient(
                client,
                format!(
                    "{left} messages left to send, {unanswered} unanswered, {missing} deliveries missing; {faults}"
                ),
            ));
        }
    }
    client.begin(Traffic::Silence);
    Ok(())
}

fn load(client: &mut Client<'_>, servers: &[Process]) -> Result<Load, RunError> {
    let own = Process::own().map_err(|error| RunError::Process { pid: 0, error })?;
    client.stalling = true;
    let start = client.now();
    let from = start + nanos(client.options.warmup);
    let to = from + nanos(client.options.duration);
    client.tally.timed = from..to;
    client.begin(client.options.rate.map_or(Traffic::Closed, |rate| Traffic::Open(Schedule::new(rate, start, to))));
    turn_until(client, from)?;
    let before = mark(client, servers, &own)?;
    turn_until(client, to)?;
    let after = mark(client, servers, &own)?;
    // An open loop ends by itself: what was due is sent, however late.
    if client.options.rate.is_none() {
        client.begin(Traffic::Silence);
    }
    drain(client)?;

    let (messages, deliveries) = (after.messages - before.messages, after.deliveries - before.deliveries);
    let elapsed = seconds(after.at - before.at);
    let server_cpu =
        before.servers.zip(after.servers).map(|(before, after)| Duration::from_nanos(after.saturating_sub(before)));
    Ok(Load {
        seconds: elapsed,
        messages,
        deliveries,
        bytes_per_delivery: ratio(client.tally.delivered_bytes, client.tally.deliveries),
        deliveries_per_frame: ratio(deliveries, after.frames - before.frames),
        deliveries_per_read: ratio(deliveries, after.reads - before.reads),
        messages_per_second: messages as f64 / elapsed,
        server_cpu_us_per_delivery: server_cpu.map(|cpu| per(nanos(cpu), deliveries)),
        server_cpu_us_per_message: server_cpu.map(|cpu| per(nanos(cpu), messages)),
        server_busy: server_cpu.map(|cpu| cpu.as_secs_f64() / elapsed),
        client_busy: after.own.saturating_sub(before.own).as_secs_f64() / elapsed,
        latency_us: Latency::of(&client.tally, client.options.rate.is_some()),
    })
}

fn cpu(process: &Process) -> io::Result<u64> {
    Ok(nanos(process.cpu()?))
}

/// Of all servers that are measured.
fn sum(servers: &[Process], what: fn(&Process) -> io::Result<u64>) -> Result<Option<u64>, RunError> {
    let mut sum = None;
    for process in servers {
        let found = what(process).map_err(|error| RunError::Process { pid: process.pid(), error })?;
        sum = Some(sum.unwrap_or(0) + found);
    }
    Ok(sum)
}

fn mark(client: &Client<'_>, servers: &[Process], own: &Process) -> Result<Mark, RunError> {
    Ok(Mark {
        at: client.now(),
        servers: sum(servers, cpu)?,
        own: own.cpu().map_err(|error| RunError::Process { pid: 0, error })?,
        messages: client.tally.messages,
        deliveries: client.tally.deliveries,
        frames: client.tally.frames,
        reads: client.tally.reads,
    })
}

/// Waits for what is under way.
fn drain(client: &mut Client<'_>) -> Result<(), RunError> {
    let limit = client.now() + nanos(DRAIN_LIMIT);
    client.last_byte = client.now();
    while client.is_behind() || client.missing() > 0 || client.unanswered() > 0 {
        let until = limit.min(client.last_byte + nanos(DRAIN_QUIET));
        if client.now() >= until {
            break;
        }
        client.turn(until)?;
    }
    Ok(())
}

/// Lets the stalled members read again, to see how the server has ended them.
fn release(client: &mut Client<'_>) -> Result<Option<Stalled>, RunError> {
    if client.options.stalled == 0 {
        return Ok(None);
    }
    client.release_stalled();
    settle(client)?;
    Ok(Some(Stalled { sockets: client.options.stalled, closed: client.stalled_closed.clone() }))
}

/// A count as wide as it is reported.
fn count(n: usize) -> u64 {
    n as u64
}

fn seconds(nanos: Nanos) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}

/// Microseconds each.
fn per(nanos: Nanos, each: u64) -> f64 {
    if each == 0 { 0.0 } else { seconds(nanos) * 1e6 / each as f64 }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
