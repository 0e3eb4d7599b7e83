//! `loadtest floor` and `loadtest run`.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use confab_loadtest::options::Options;
use confab_loadtest::wire::Protocol;
use confab_loadtest::{floor, process, run, socketio};

/// Load for a confab server, and the floor that its cost is compared with.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the least possible: the same frames, one write per delivery and socket, no semantics.
    Floor(FloorArgs),
    /// Load a server and print what was found as one line of JSON. Exit status 1 if a delivery was lost, repeated or
    /// refused, or a socket was closed; 2 if the run came to no result.
    Run(RunArgs),
}

#[derive(Debug, Args)]
struct FloorArgs {
    /// Where to listen; the address is printed as the first line.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Leave out every so many deliveries: a fault to test the load generator with.
    #[arg(long)]
    drop_every: Option<u64>,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// The server; several times: instances that share their rooms, whose members are spread over them in turn.
    #[arg(long, required = true)]
    addr: Vec<SocketAddr>,
    /// What the sockets speak. Of Socket.IO's rooms no history may be there, and the server's `socketio.resume` has to be
    /// on: its positions show what is lost.
    #[arg(long, value_enum, default_value_t = Protocol::Native)]
    protocol: Protocol,
    /// Path of its WebSocket [default: /ws, or Socket.IO's].
    #[arg(long)]
    path: Option<String>,
    /// Process number of the server: its processor time and memory are measured; several times: the sum.
    #[arg(long)]
    pid: Vec<i32>,
    /// Sockets, over all rooms.
    #[arg(long, default_value_t = 100)]
    sockets: usize,
    /// Rooms.
    #[arg(long, default_value_t = 1)]
    rooms: usize,
    /// What the names of rooms begin with.
    #[arg(long, default_value = "load-")]
    room_prefix: String,
    /// Senders in each room.
    #[arg(long, default_value_t = 1)]
    senders: usize,
    /// Messages in flight per sender, at most [default: 1 in a closed loop, 1024 in an open one].
    #[arg(long)]
    window: Option<usize>,
    /// A message is in flight until every member has it, not until it is acknowledged: with a window of 1 there is never
    /// anything to batch. For one sender in each room.
    #[arg(long)]
    lockstep: bool,
    /// Open loop: messages a second over all senders, whatever the server does. Without it each answer lets the next
    /// message go (closed loop).
    #[arg(long)]
    rate: Option<f64>,
    /// Bytes of each text.
    #[arg(long, default_value_t = 64)]
    text_bytes: usize,
    /// Seconds of load before the measured part.
    #[arg(long, default_value_t = 0.5)]
    warmup: f64,
    /// Seconds of the measured part; 0: the sockets only sit there.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Seconds that the joined sockets sit idle before their memory is read.
    #[arg(long, default_value_t = 0.0)]
    hold: f64,
    /// Messages to send into each room before the load.
    #[arg(long, default_value_t = 0)]
    fill: u64,
    /// Members of the first room that stop reading when the load begins.
    #[arg(long, default_value_t = 0)]
    stalled: usize,
    /// Sockets that are opened at a time.
    #[arg(long, default_value_t = 64)]
    connecting: usize,
    /// Longest time for opening all sockets, and for filling the rooms, in seconds.
    #[arg(long, default_value_t = 120.0)]
    patience: f64,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Floor(args) => serve(&args),
        Command::Run(args) => load(args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("loadtest: {error}");
        ExitCode::from(2)
    })
}

fn serve(args: &FloorArgs) -> Result<ExitCode, Box<dyn std::error::Error>> {
    process::raise_open_files()?;
    let floor = floor::Floor::bind(&floor::Options { addr: args.listen, drop_every: args.drop_every })?;
    println!("{}", floor.local_addr()?);
    match floor.serve()? {}
}

fn load(args: RunArgs) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let path = match args.protocol {
        Protocol::Native => "/ws",
        Protocol::Socketio => socketio::PATH,
    };
    let report = run::run(&Options {
        addrs: args.addr,
        protocol: args.protocol,
        path: args.path.unwrap_or_else(|| path.to_owned()),
        pids: args.pid,
        sockets: args.sockets,
        rooms: args.rooms,
        room_prefix: args.room_prefix,
        senders: args.senders,
        window: args.window.unwrap_or(if args.rate.is_some() { 1024 } else { 1 }),
        lockstep: args.lockstep,
        rate: args.rate,
        text_bytes: args.text_bytes,
        warmup: Duration::try_from_secs_f64(args.warmup)?,
        duration: Duration::try_from_secs_f64(args.seconds)?,
        hold: Duration::try_from_secs_f64(args.hold)?,
        fill: args.fill,
        stalled: args.stalled,
        connecting: args.connecting,
        patience: Duration::try_from_secs_f64(args.patience)?,
    })?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(if report.faults.none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
