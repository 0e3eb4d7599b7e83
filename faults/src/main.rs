//! `faults`: runs the campaign, prints its table.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use clap::Parser;
use confab_faults::checker::check;
use confab_faults::scenarios::{self, Scenario};
use confab_faults::table::{Row, render};
use confab_faults::world::{Options, World};
use confab_faults::{process, recorder};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

/// Breaks real processes of the service and of Redis on loopback while recorded clients chat, and looks for what must not
/// happen. Exit status 0: nothing was found and every scenario proved something.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// Print the scenarios and end.
    #[arg(long)]
    list: bool,
    /// Run only this scenario; again for more.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Seconds that things go wrong for, per scenario [default: 30, with --quick 6].
    #[arg(long)]
    seconds: Option<f64>,
    /// What chance begins with. Processes and networks have a chance of their own: a seed repeats a course, not a run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Shorter intervals in the service, several scenarios at a time.
    #[arg(long)]
    quick: bool,
    /// Scenarios at a time [default: 1, with --quick 3].
    #[arg(long)]
    jobs: Option<usize>,
    /// The service's program.
    #[arg(long, default_value = "target/release/confab")]
    program: PathBuf,
    /// Where histories and logs go; they stay there. Without it they stay only where something is wrong.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// How much longer the service may take in a quick campaign, whose scenarios share the machine with each other and with
/// whatever else is tested.
const QUICK_SLACK: u64 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match campaign(&cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("faults: {error}");
            ExitCode::from(2)
        }
    }
}

fn campaign(cli: &Cli) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut wanted = scenarios::all();
    if cli.list {
        wanted.iter().for_each(|scenario| println!("{:<20} {}", scenario.name, scenario.about));
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(name) = cli.only.iter().find(|name| !wanted.iter().any(|scenario| scenario.name == **name)) {
        return Err(format!("no scenario is called {name}; --list tells them").into());
    }
    wanted.retain(|scenario| cli.only.is_empty() || cli.only.iter().any(|name| name == scenario.name));
    let program = cli.program.canonicalize().map_err(|error| format!("{}: {error}", cli.program.display()))?;
    process::raise_open_files()?;
    // Short: the path of a socket in it must not exceed 107 bytes.
    let kept = tempfile::Builder::new().prefix("faults-").tempdir()?;
    let root = match &cli.keep {
        Some(dir) => {
            std::fs::create_dir_all(dir)?;
            dir.canonicalize()?
        }
        None => kept.path().to_owned(),
    };
    let jobs = cli.jobs.unwrap_or(if cli.quick { 3 } else { 1 }).clamp(1, wanted.len().max(1));
    let seconds = cli.seconds.unwrap_or(if cli.quick { 6.0 } else { 30.0 });
    let options = Options { program, dir: root, seconds, seed: cli.seed, quick: cli.quick };
    let rows = run_all(&wanted, &options, jobs)?;
    println!("{}", render(&rows));
    let failed = rows.iter().filter(|row| !row.is_clean()).count();
    println!("faults: {} passed, {failed} failed (seed {}, {seconds} s each)", rows.len() - failed, cli.seed);
    if failed > 0 && cli.keep.is_none() {
        println!("faults: histories and logs are in {}", kept.keep().display());
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the scenarios, so many at a time. An interrupt ends everything: the children end with the threads that are their
/// parents, and the directory is removed.
fn run_all(wanted: &[Scenario], options: &Options, jobs: usize) -> std::io::Result<Vec<Row>> {
    let queue = Mutex::new(wanted.iter().copied().enumerate());
    let rows = Mutex::new(Vec::new());
    let interrupted = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ended, all_ended) = tokio::sync::oneshot::channel::<()>();
    std::thread::scope(|scope| {
        let dir = options.dir.clone();
        scope.spawn(move || {
            interrupted.block_on(async {
                let (Ok(mut int), Ok(mut term)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
                else {
                    return;
                };
                tokio::select! {
                    _ = all_ended => return,
                    _ = int.recv() => {}
                    _ = term.recv() => {}
                }
                let _ = std::fs::remove_dir_all(&dir);
                std::process::exit(130);
            });
        });
        std::thread::scope(|workers| {
            for _ in 0..jobs {
                workers.spawn(|| {
                    loop {
                        let next = queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
                        let Some((number, scenario)) = next else { return };
                        let row = run(scenario, options);
                        let verdict = if row.is_clean() { "ok" } else { "FAILED" };
                        eprintln!("{} {verdict} ({} s)", row.name, row.seconds);
                        row.problems.iter().for_each(|problem| eprintln!("    {problem}"));
                        rows.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((number, row));
                    }
                });
            }
        });
        drop(ended);
    });
    let mut rows = rows.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    rows.sort_by_key(|(number, _)| *number);
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

/// One scenario, from its processes' start to its row.
fn run(scenario: Scenario, options: &Options) -> Row {
    let started = Instant::now();
    let mut row = Row { name: scenario.name, report: None, problems: Vec::new(), seconds: 0 };
    let dir = options.dir.join(scenario.name);
    let result = std::fs::create_dir_all(&dir).map_err(|error| error.to_string()).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let options = Options { dir: dir.clone(), ..options.clone() };
        let local = LocalSet::new();
        runtime.block_on(local.run_until(live(scenario, options)))
    });
    match result {
        Err(error) => row.problems.push(error),
        Ok(history) => {
            let report = check(&history.events);
            row.problems.extend(history.broken);
            row.problems.extend(report.violations.iter().cloned());
            let slack = if options.quick { QUICK_SLACK } else { 1 };
            row.problems.extend(scenario.proof.iter().filter_map(|proof| proof.missing(&report, slack)));
            row.report = Some(report);
            if let Err(error) = save(&history.events, &dir) {
                row.problems.push(error.to_string());
            }
        }
    }
    row.seconds = started.elapsed().as_secs();
    row
}

struct Lived {
    events: confab_faults::history::History,
    broken: Option<String>,
}

async fn live(scenario: Scenario, options: Options) -> Result<Lived, String> {
    let mut world = World::start(&(scenario.plan)(), options).await.map_err(|error| error.to_string())?;
    let course = (scenario.course)(&mut world).await;
    let broken = course.err().map(|error| error.to_string());
    match world.end().await {
        Ok(events) => Ok(Lived { events, broken }),
        Err(error) => Err(broken.unwrap_or_else(|| error.to_string())),
    }
}

fn save(events: &[confab_faults::history::Event], dir: &Path) -> std::io::Result<()> {
    recorder::save(events, &dir.join("history.ndjson"))
}
