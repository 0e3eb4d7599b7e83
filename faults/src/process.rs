//! A child process that ends with whoever started it: when it is dropped, and, by the kernel's hand, when this process
//! ends in whatever way.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::process::{ExitStatus, Stdio};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStdout, Command};

/// A running child.
pub struct Process {
    child: Child,
    pid: Pid,
}

impl Process {
    /// Starts a program with nothing in its environment but what is given. Its standard error goes to the file, its
    /// standard output is for [`Process::output`].
    ///
    /// The thread that calls this is the child's parent: the child doesn't outlive it.
    ///
    /// # Errors
    /// `setpriv` (util-linux) isn't there, or no process can be made.
    pub fn spawn<A, E>(program: &OsStr, arguments: &[A], environment: &[(E, E)], errors: File) -> io::Result<Self>
    where
        A: AsRef<OsStr>,
        E: AsRef<OsStr>,
    {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(arguments);
        command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).kill_on_drop(true);
        let child = command.spawn()?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).ok_or_else(|| io::Error::other("no process id"))?;
        Ok(Self { child, pid: Pid::from_raw(pid) })
    }

    /// What it writes; once.
    pub fn output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Sends it a signal. One that has ended gets none.
    pub fn signal(&self, signal: Signal) {
        if self.child.id().is_some() {
            let _ = signal::kill(self.pid, signal);
        }
    }

    /// Kills it and waits until it is gone.
    pub async fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait().await;
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// None that is known.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Its exit status, if it has ended.
    ///
    /// # Errors
    /// None that is known.
    pub fn status(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }
}

/// Raises the limit of open files as far as it may be raised, for this process and its children.
///
/// # Errors
/// The kernel refuses.
pub fn raise_open_files() -> io::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}
