//! What the kernel and the runtime know of this process, for the metrics.

use procfs::Current as _;
use procfs::process::Process;
use tokio::runtime::Handle;

use crate::metrics::Metrics;
use crate::metrics::labels::CpuMode;

/// Brings the numbers of the process up to date. Those that the kernel doesn't tell stay as they are.
pub fn look_up(metrics: &Metrics) {
    if let Ok(runtime) = Handle::try_current() {
        metrics.tasks.set((), runtime.metrics().num_alive_tasks() as u64);
    }
    let Ok(process) = Process::myself() else { return };
    if let Ok(files) = process.fd_count() {
        metrics.open_files.set((), files as u64);
    }
    let Ok(stat) = process.stat() else { return };
    let micros = |ticks: u64| ticks.saturating_mul(1_000_000) / procfs::ticks_per_second().max(1);
    metrics.cpu.set_total(CpuMode::User, micros(stat.utime));
    metrics.cpu.set_total(CpuMode::System, micros(stat.stime));
    metrics.memory.set((), stat.rss.saturating_mul(procfs::page_size()));
    if let Ok(uptime) = procfs::Uptime::current() {
        let since_boot = std::time::Duration::from_secs_f64(uptime.uptime.max(0.0));
        let began = std::time::Duration::from_micros(micros(stat.starttime));
        metrics.uptime.set((), crate::metrics::micros(since_boot.saturating_sub(began)));
    }
}
