//! Panics as log lines.
//!
//! A panic's message may quote what it stumbled over, which can be a client's text: only one that was written in the code
//! as it stands is logged, otherwise the place and the stack have to do.

use std::backtrace::Backtrace;
use std::panic::PanicHookInfo;

/// The target of these lines.
pub const PANIC: &str = "confab::panic";

/// Stands for a message that was put together when it happened.
const WITHHELD: &str = "(its message was put together at run time and isn't logged)";

/// Has every panic from here on logged instead of printed.
pub fn log_from_now_on() {
    std::panic::set_hook(Box::new(report));
}

/// Logs one.
pub fn report(info: &PanicHookInfo<'_>) {
    let what = info.payload().downcast_ref::<&'static str>().copied().unwrap_or(WITHHELD);
    let (file, line) = info.location().map_or(("", 0), |place| (place.file(), place.line()));
    let stack_trace = Backtrace::force_capture();
    tracing::error!(target: PANIC, file, line, %stack_trace, "a thread has panicked: {what}");
}
