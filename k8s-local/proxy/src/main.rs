//! The command line.
#![forbid(unsafe_code)]

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use confab_proxy::control::{self, Control, Target};
use confab_proxy::endpoint::Endpoint;
use confab_proxy::fleet::{Fleet, Plan};
use confab_proxy::pool::Pool;
use confab_proxy::{discovery, front};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Stands in front of confab as Cloud Run's front end does, and in front of Redis as Memorystore's address does.
#[derive(Debug, Parser)]
#[command(version, about)]
struct CommandLine {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// HTTP and WebSockets to instances
    Front(FrontArgs),
    /// One address for whichever Redis is the primary
    Endpoint(EndpointArgs),
    /// Send a command to one of the above and print the answer; a wrong one is answered by those there are
    Tell {
        /// Its control socket
        control: PathBuf,
        /// The command
        #[arg(required = true)]
        words: Vec<String>,
    },
}

#[derive(Debug, Args)]
struct Common {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// A socket in the file system, for `tell`
    #[arg(long)]
    control: PathBuf,
}

#[derive(Debug, Args)]
struct FrontArgs {
    #[command(flatten)]
    common: Common,
    /// Instances that somebody else runs: HOST:PORT, every address of the name is one; may be given more than once
    #[arg(long, required_unless_present = "command")]
    instances: Vec<String>,
    /// When a request, and so a WebSocket, is cut
    #[arg(long, default_value_t = 3_600_000, value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    request_timeout_ms: u64,
    /// Requests at once on one instance, WebSockets included
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    concurrency: u16,
    /// With a command: instances that are there without requests
    #[arg(long, default_value_t = 0)]
    minimum: usize,
    /// With a command: instances at most
    #[arg(long, default_value_t = 2, value_parser = at_least_one)]
    maximum: usize,
    /// With a command: how long an instance beyond the minimum stays without a request
    #[arg(long, default_value_t = 900_000)]
    idle_ms: u64,
    /// With a command: the folder of the instances' logs
    #[arg(long, default_value = ".")]
    logs: PathBuf,
    /// With a command: the service's name
    #[arg(long, default_value = "confab")]
    service: String,
    /// Instances of its own: the program and its arguments, behind `--`
    #[arg(last = true, conflicts_with = "instances")]
    command: Vec<String>,
}

#[derive(Debug, Args)]
struct EndpointArgs {
    #[command(flatten)]
    common: Common,
    /// The primary, HOST:PORT
    #[arg(long)]
    target: String,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&number| number > 0).ok_or_else(|| "allowed are whole numbers from 1".to_owned())
}

/// One thread: it does little but move bytes, and handing sockets from thread to thread costs more than moving them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let done = match CommandLine::parse().role {
        Role::Front(args) => run_front(args).await,
        Role::Endpoint(args) => run_endpoint(args).await,
        Role::Tell { control, words } => run_tell(&control, &words.join(" ")).await,
    };
    match done {
        Ok(code) => code,
        Err(message) => {
            eprintln!("confab-proxy: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn run_front(args: FrontArgs) -> Result<ExitCode, String> {
    let listener = listen(args.common.listen).await?;
    let control = bind_control(&args.common.control).await?;
    println!("listening on {}", listener.local_addr().map_err(said)?);
    let pool = Pool::new(usize::from(args.concurrency));
    let fleet = (!args.command.is_empty()).then(|| {
        let (service, logs, idle) = (args.service, args.logs, Duration::from_millis(args.idle_ms));
        let (minimum, maximum) = (args.minimum.min(args.maximum), args.maximum);
        Fleet::new(Plan { command: args.command, service, minimum, maximum, idle, logs }, pool.clone())
    });
    let request_timeout = Duration::from_millis(args.request_timeout_ms);
    tokio::select! {
        () = front::serve(listener, pool.clone(), request_timeout) => {}
        () = control.serve(Target::Front(pool.clone(), fleet.clone())) => {}
        () = async {
            match &fleet {
                Some(fleet) => fleet.keep().await,
                None => discovery::follow(args.instances, pool.clone(), discovery::resolve).await,
            }
        } => {}
        signalled = ended() => signalled?,
    }
    // Without clients a drain is short.
    pool.close();
    if let Some(fleet) = fleet {
        tokio::select! {
            () = fleet.stop() => {}
            signalled = ended() => signalled?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn run_endpoint(args: EndpointArgs) -> Result<ExitCode, String> {
    let listener = listen(args.common.listen).await?;
    let control = bind_control(&args.common.control).await?;
    println!("listening on {}", listener.local_addr().map_err(said)?);
    let endpoint = Endpoint::new(args.target);
    tokio::select! {
        () = endpoint.clone().serve(listener) => {}
        () = control.serve(Target::Endpoint(endpoint)) => {}
        signalled = ended() => signalled?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn run_tell(path: &Path, command: &str) -> Result<ExitCode, String> {
    let answer = control::tell(path, command).await.map_err(|error| format!("{}: {error}", path.display()))?;
    println!("{answer}");
    Ok(if answer.get("error").is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| format!("can't listen on {address}: {error}"))
}

async fn bind_control(path: &Path) -> Result<Control, String> {
    Control::bind(path).await.map_err(|error| format!("the control socket {}: {error}", path.display()))
}

/// Resolves at SIGTERM or SIGINT.
async fn ended() -> Result<(), String> {
    let receive = |kind| -> io::Result<_> { signal(kind) };
    let mut terminate = receive(SignalKind::terminate()).map_err(said)?;
    let mut interrupt = receive(SignalKind::interrupt()).map_err(said)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn said(error: impl Display) -> String {
    error.to_string()
}
