//! One process of the service, a proxy in front of it and one between it and its store.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::process::Process;
use crate::proxy::Proxy;

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(30);

/// How long an end may take after SIGTERM: the drain's deadline, with margin for a busy machine.
const END: Duration = Duration::from_secs(20);

/// What every instance is told, each as `SECTION__KEY` without its prefix.
pub type Settings = Vec<(String, String)>;

/// An instance that runs, or ran.
pub struct Instance {
    /// Its name, new with every start.
    pub name: String,
    /// In front of it: where clients connect.
    pub front: Proxy,
    /// Between it and its store, if that is another process.
    pub back: Option<Proxy>,
    process: Process,
    starts: usize,
    base: String,
    log: PathBuf,
}

/// Why an instance doesn't run.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// No process, no file.
    #[error("the service: {0}")]
    Io(#[from] std::io::Error),
    /// It ended or said nothing.
    #[error("the service didn't start; its log is {0}")]
    Silent(PathBuf),
    /// It didn't end.
    #[error("the service didn't end in time; its log is {0}")]
    Endless(PathBuf),
}

impl Instance {
    /// Starts one. It is there once it has said where it listens.
    ///
    /// # Errors
    /// It doesn't start.
    pub async fn start(
        program: &Path,
        dir: &Path,
        number: usize,
        back: Option<Proxy>,
        settings: &Settings,
    ) -> Result<Self, InstanceError> {
        let base = format!("instance-{}", number + 1);
        let (name, log) = (format!("{base}.1"), dir.join(format!("{base}.log")));
        let (process, addr) = launch(program, &name, &log, back.as_ref(), settings).await?;
        let front = Proxy::start(addr).await?;
        Ok(Self { name, front, back, process, starts: 1, base, log })
    }

    /// Starts another process in the place of the one that is there, which goes on: [`Successor::take_over`] or drop it.
    ///
    /// # Errors
    /// It doesn't start.
    pub async fn start_successor(&mut self, program: &Path, settings: &Settings) -> Result<Successor, InstanceError> {
        self.starts += 1;
        let name = format!("{}.{}", self.base, self.starts);
        let (process, addr) = launch(program, &name, &self.log, self.back.as_ref(), settings).await?;
        Ok(Successor { name, process, addr })
    }

    /// New connections go to the successor. Gives back the old process.
    pub fn replace(&mut self, successor: Successor) -> Process {
        self.name = successor.name;
        self.front.retarget(successor.addr);
        std::mem::replace(&mut self.process, successor.process)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Kills it and waits until it is gone.
    pub async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// Whether it has ended by itself, and how.
    ///
    /// # Errors
    /// None that is known.
    pub fn status(&mut self) -> Result<Option<ExitStatus>, InstanceError> {
        Ok(self.process.status()?)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It goes on.
    pub async fn ended(&mut self) -> Result<ExitStatus, InstanceError> {
        ended(&mut self.process, &self.log).await
    }

    /// Where its log is.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }
}

/// A process that is to take an instance's place.
pub struct Successor {
    name: String,
    process: Process,
    addr: SocketAddr,
}

/// Waits for a process to end after SIGTERM.
///
/// # Errors
/// It goes on.
pub async fn ended(process: &mut Process, log: &Path) -> Result<ExitStatus, InstanceError> {
    timeout(END, process.ended()).await.map_err(|_| InstanceError::Endless(log.to_owned()))?.map_err(Into::into)
}

async fn launch(
    program: &Path,
    name: &str,
    log: &Path,
    back: Option<&Proxy>,
    settings: &Settings,
) -> Result<(Process, SocketAddr), InstanceError> {
    let mut environment = vec![
        ("PORT".to_owned(), "0".to_owned()),
        ("CONFAB__INSTANCE".to_owned(), name.to_owned()),
        ("CONFAB__TELEMETRY__LOG_FORMAT".to_owned(), "json".to_owned()),
    ];
    for (key, value) in settings {
        // The store's address is only known here: it is behind a proxy of this instance's own.
        let value = match back {
            Some(back) => value.replace("{store}", &back.addr().to_string()),
            None => value.clone(),
        };
        environment.push((format!("CONFAB__{key}"), value));
    }
    let mut file = File::options().create(true).append(true).open(log)?;
    let mut process = Process::spawn(program.as_os_str(), &["serve"], &environment, file.try_clone()?)?;
    let (said, heard) = oneshot::channel();
    let Some(output) = process.output() else { return Err(InstanceError::Silent(log.to_owned())) };
    tokio::task::spawn(async move {
        let mut said = Some(said);
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let _ = writeln!(file, "{line}");
            let address = || serde_json::from_str::<Value>(&line).ok()?["address"].as_str()?.parse().ok();
            if said.is_some()
                && let Some(address) = address()
                && let Some(said) = said.take()
            {
                let _ = said.send(address);
            }
        }
    });
    match timeout(START, heard).await {
        Ok(Ok(addr)) => Ok((process, addr)),
        _ => Err(InstanceError::Silent(log.to_owned())),
    }
}
