//! The command line: what each command does with the settings, and the exit codes.

mod export;
mod health;
mod probe;
mod reader;
mod service;
mod tail;

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Parser, Subcommand};
use tokio::runtime::{self, Runtime};

use crate::auth::{self, Auth};
use crate::config::{Environment, Loaded, Secret, Settings, as_json, as_markdown};
use crate::log;
use crate::metrics;
use crate::server::{self, RunError};

/// The answer is no: not ready, not verified, not exported, a promise not kept.
const NO: u8 = 1;
/// The command line or a setting is wrong (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;
/// The store, or the service to talk to, can't be reached (`EX_UNAVAILABLE`).
const UNAVAILABLE: u8 = 69;
/// A fault of this program or of the machine (`EX_SOFTWARE`).
const INTERNAL: u8 = 70;

const EXIT_CODES: &str = "\
Exit codes:
  0   done; for serve: ended by a signal, drained
  1   the answer is no: not ready, not verified, not exported, not to be followed; probe: the service answers, but a
      step was refused, wrong or too slow, or what was said didn't come
  64  the command line or a setting is wrong
  69  the store (serve) or the service (export, tail, probe, verify --room) can't be reached, is lost or doesn't answer
  70  a fault of the program or the machine

Settings come from a TOML file and from the environment: confab check --list";

/// Multi-room realtime chat: a room is a log, a client is a position in it.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXIT_CODES)]
struct CommandLine {
    /// A TOML file of settings; without it, the one that CONFAB_CONFIG names
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service until SIGTERM or SIGINT; this is the default
    Serve,
    /// Check the settings and print those in force, secrets hidden
    Check(Check),
    /// Ask the instance on this machine whether it is ready: for the health checks of containers
    Health {
        /// Ask whether it lives instead
        #[arg(long)]
        live: bool,
    },
    /// Make a guest token, signed with the first of auth.keys
    Token {
        /// Make a new key for auth.keys instead
        #[arg(long)]
        new_key: bool,
    },
    /// Write a room's log, one JSON object a line, oldest first
    Export(export::Export),
    /// Write a room's entries as they come, one JSON object a line, across cut connections
    Tail(tail::Tail),
    /// Check a log by recomputing its chain: an exported one offline, or a room's as the service has it
    Verify(Verify),
    /// Go the way of a message through a running service, with a cut in it, and print how long each step took
    Probe(probe::Probe),
}

#[derive(Debug, Args)]
struct Verify {
    /// What export or tail wrote; - reads standard input
    #[arg(required_unless_present = "room")]
    file: Option<PathBuf>,
    /// Read this room's log from a running service instead
    #[arg(long, conflicts_with = "file")]
    room: Option<String>,
    #[command(flatten)]
    guest: service::Guest,
}

#[derive(Debug, Args)]
struct Check {
    /// Print the table of all settings as JSON instead
    #[arg(long)]
    list: bool,
    /// Print that table as the documentation has it instead
    #[arg(long, conflicts_with = "list")]
    markdown: bool,
    /// Print the list of all metrics as the documentation has it instead
    #[arg(long, conflicts_with_all = ["list", "markdown"])]
    metrics: bool,
}

/// Why a command ends early: what to say, and the exit code.
struct Failed {
    code: u8,
    message: String,
}

impl Failed {
    fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The same, with whom it befell.
    fn of(mut self, whom: &str) -> Self {
        self.message = format!("{whom}: {}", self.message);
        self
    }
}

/// Standard output is gone or full.
impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::new(INTERNAL, error.to_string())
    }
}

/// Runs the command that the process was started with.
#[must_use]
pub fn run() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match line.run(&environment()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            let _ = writeln!(io::stderr(), "confab: {}", failed.message);
            ExitCode::from(failed.code)
        }
    }
}

/// The process's environment. What isn't UTF-8 is kept so far that it shows up as a wrong value.
fn environment() -> Environment {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
}

impl CommandLine {
    fn run(self, environment: &Environment) -> Result<(), Failed> {
        // Not locked: `serve` logs there from other threads.
        let out = &mut io::stdout();
        let load = || loaded(self.config.as_deref(), environment);
        match self.command.unwrap_or(Command::Serve) {
            Command::Serve => serve(load()?.settings),
            Command::Check(Check { list: true, .. }) => Ok(writeln!(out, "{:#}", as_json())?),
            Command::Check(Check { markdown: true, .. }) => Ok(write!(out, "{}", as_markdown())?),
            Command::Check(Check { metrics: true, .. }) => Ok(write!(out, "{}", metrics::as_markdown())?),
            Command::Check(_) => check(&load()?, out),
            Command::Health { live } => {
                let path = if live { "/health/live" } else { "/health/ready" };
                let asked = client_runtime()?.block_on(health::ask(own_address(&load()?.settings), path));
                asked.map_err(|problem| Failed::new(NO, problem))
            }
            Command::Token { new_key: true } => Ok(writeln!(out, "{}", auth::new_key())?),
            Command::Token { .. } => token(&load()?.settings, out),
            Command::Export(export) => {
                let lines = client_runtime()?.block_on(export.read(own_address(&load()?.settings)))?;
                Ok(lines.iter().try_for_each(|line| writeln!(out, "{line}"))?)
            }
            Command::Tail(tail) => client_runtime()?.block_on(tail.follow(own_address(&load()?.settings), out)),
            Command::Verify(Verify { room: Some(room), guest, .. }) => {
                let own = own_address(&load()?.settings);
                let read = client_runtime()?.block_on(export::read(&room, &guest, "verify", own));
                verified(&read?.1, out)
            }
            Command::Verify(Verify { file, .. }) => verify(&file.unwrap_or_else(|| "-".into()), out),
            Command::Probe(probe) => client_runtime()?.block_on(probe.run(own_address(&load()?.settings), out)),
        }
    }
}

fn loaded(file: Option<&Path>, environment: &Environment) -> Result<Loaded, Failed> {
    Loaded::read(file, environment).map_err(|faults| Failed::new(USAGE, faults.to_string()))
}

/// One thread is plenty for a client.
fn client_runtime() -> io::Result<Runtime> {
    runtime::Builder::new_current_thread().enable_all().build()
}

/// Where the instance on this machine listens.
fn own_address(settings: &Settings) -> SocketAddr {
    let address = match settings.bind {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        one => one,
    };
    SocketAddr::new(address, settings.port)
}

fn check(loaded: &Loaded, out: &mut impl Write) -> Result<(), Failed> {
    for setting in &loaded.in_force {
        let name = setting.row.name;
        match &setting.value {
            Some(value) => writeln!(out, "{name} = {value}  # {}", setting.origin)?,
            None => writeln!(out, "# {name} is not set")?,
        }
    }
    Ok(())
}

fn token(settings: &Settings, out: &mut impl Write) -> Result<(), Failed> {
    if settings.auth.keys.is_empty() {
        let problem = "auth.keys is empty, so no instance would know the token: set CONFAB__AUTH__KEYS_FILE or \
                       CONFAB__AUTH__KEYS to the keys that the service has";
        return Err(Failed::new(USAGE, problem));
    }
    let auth = Auth::new(settings.auth.keys.iter().map(Secret::expose));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let token = auth.sign(&auth::new_id(), now).map_err(|error| Failed::new(INTERNAL, error.to_string()))?;
    Ok(writeln!(out, "{}", token.expose())?)
}

fn verify(file: &Path, out: &mut impl Write) -> Result<(), Failed> {
    let checked = if file == Path::new("-") {
        log::verify(io::stdin().lock())
    } else {
        File::open(file).map_err(log::Broken::from).and_then(|file| log::verify(BufReader::new(file)))
    };
    verified(&checked.map_err(|broken| Failed::new(NO, format!("{}: {broken}", file.display())))?, out)
}

fn verified(log: &log::Verified, out: &mut impl Write) -> Result<(), Failed> {
    let log::Verified { room, entries, first, position, withdrawn } = log;
    let answer = serde_json::json!({
        "verified": true, "room": room, "entries": entries, "first": first, "withdrawn": withdrawn,
        "position": {"offset": position.offset, "chain": position.chain_text()},
    });
    Ok(writeln!(out, "{answer}")?)
}

fn serve(settings: Settings) -> Result<(), Failed> {
    let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
    // In a task of its own: a worker runs it, and the main thread has nothing to do.
    let served = runtime.block_on(runtime.spawn(server::run(settings)));
    // Nothing is left that anybody waits for.
    runtime.shutdown_background();
    match served {
        Ok(result) => result.map_err(|error| {
            let code = if matches!(error, RunError::Store(_)) { UNAVAILABLE } else { INTERNAL };
            Failed::new(code, chain(&error))
        }),
        Err(error) => Err(Failed::new(INTERNAL, error.to_string())),
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
