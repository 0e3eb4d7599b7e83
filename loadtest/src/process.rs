//! What a process costs, as its kernel counts it.
//!
//! Processor time is read from the process's own clock (`clock_getcpuclockid`): nanoseconds, all threads, ended ones
//! too. The kernel counts the receiving half of loopback traffic as time of the sender, whose system call carries it.

use std::io;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

/// A process that is measured.
#[derive(Debug, Clone, Copy)]
pub struct Process {
    pid: i32,
    clock: ClockId,
}

impl Process {
    /// The process with this number.
    ///
    /// # Errors
    /// There is none, or it may not be looked at.
    pub fn new(pid: i32) -> io::Result<Self> {
        let process = Self { pid, clock: clock_getcpuclockid(Pid::from_raw(pid))? };
        process.rss_bytes()?;
        Ok(process)
    }

    /// This process.
    ///
    /// # Errors
    /// None that is known.
    pub fn own() -> io::Result<Self> {
        Self::new(Pid::this().as_raw())
    }

    /// Its number.
    #[must_use]
    pub const fn pid(&self) -> i32 {
        self.pid
    }

    /// Processor time so far, user and system.
    ///
    /// # Errors
    /// The process is gone.
    pub fn cpu(&self) -> io::Result<Duration> {
        Ok(self.clock.now()?.into())
    }

    /// Resident memory, in bytes (`VmRSS`).
    ///
    /// # Errors
    /// The process is gone.
    pub fn rss_bytes(&self) -> io::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok())
            .map(|kib| kib * 1024)
            .ok_or_else(|| io::Error::other(format!("no VmRSS of process {}", self.pid)))
    }
}

/// Raises the limit of open files as far as it may be raised, and tells how far that is.
///
/// # Errors
/// The kernel refuses.
pub fn raise_open_files() -> io::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_shows_as_time_and_memory_shows_as_memory() {
        let own = Process::own().unwrap();
        let (cpu, rss) = (own.cpu().unwrap(), own.rss_bytes().unwrap());
        let block = vec![1u8; 64 * 1024 * 1024];
        let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
        assert_eq!(sum, 64 * 1024 * 1024);
        assert!(own.cpu().unwrap() > cpu);
        assert!(own.rss_bytes().unwrap() >= rss + 60 * 1024 * 1024);
        drop(block);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(Process::new(i32::MAX).is_err());
    }
}
