//! How often a kind of log line comes: the same place in the code writes a few lines in a while, the rest is counted.
//!
//! A kind is a place in the code, so there are as many as the program has, and no client makes one.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::callsite::Identifier;
use tracing::{Level, Metadata};

use super::meter::EXPORT;

/// Lines of a kind in [`WINDOW`].
const LINES: u32 = 10;

/// As long as [`LINES`] hold for.
pub const WINDOW: Duration = Duration::from_secs(10);

/// Lines of a kind in [`EXPORTERS_WINDOW`] about exporters of traces and metrics, which try again all the time.
const EXPORTERS_LINES: u32 = 1;

/// As long as [`EXPORTERS_LINES`] hold for.
const EXPORTERS_WINDOW: Duration = Duration::from_secs(60);

/// All kinds that have come up.
#[derive(Debug, Default)]
pub struct Kinds(Mutex<HashMap<Identifier, Kind>>);

#[derive(Debug)]
struct Kind {
    target: &'static str,
    place: &'static str,
    row: u32,
    window: Duration,
    since: Instant,
    written: u32,
    left_out: u64,
}

/// Lines that were left out and that no later line of their kind has told of.
#[derive(Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Who wrote them.
    pub target: &'static str,
    /// The place in the code.
    pub file: &'static str,
    /// The line there.
    pub row: u32,
    /// How many.
    pub lines: u64,
}

impl Kinds {
    /// Whether a line may be written now; then how many like it were left out before. What is below `info` was asked for
    /// by whoever set the level, and always may.
    pub fn pass(&self, metadata: &'static Metadata<'static>, now: Instant) -> Option<u64> {
        if *metadata.level() > Level::INFO {
            return Some(0);
        }
        let target = metadata.target();
        let exports = target.starts_with("opentelemetry") || target == EXPORT;
        let (most, window) = if exports { (EXPORTERS_LINES, EXPORTERS_WINDOW) } else { (LINES, WINDOW) };
        let mut kinds = self.lock();
        let kind = kinds.entry(metadata.callsite()).or_insert_with(|| Kind {
            target: metadata.target(),
            place: metadata.file().unwrap_or_default(),
            row: metadata.line().unwrap_or_default(),
            window,
            since: now,
            written: 0,
            left_out: 0,
        });
        if now.saturating_duration_since(kind.since) >= window {
            (kind.since, kind.written) = (now, 0);
        }
        if kind.written < most {
            kind.written += 1;
            Some(std::mem::take(&mut kind.left_out))
        } else {
            kind.left_out += 1;
            None
        }
    }

    /// Takes what was left out where the time is over and nothing of the kind came since.
    pub fn take_left_out(&self, now: Instant) -> Vec<LeftOut> {
        let over = |kind: &Kind| now.saturating_duration_since(kind.since) >= kind.window;
        let mut kinds = self.lock();
        let silent = kinds.values_mut().filter(|kind| kind.left_out > 0 && over(kind));
        silent
            .map(|kind| LeftOut {
                target: kind.target,
                file: kind.place,
                row: kind.row,
                lines: std::mem::take(&mut kind.left_out),
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Identifier, Kind>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test fails by panicking
mod tests {
    use tracing::Callsite as _;
    use tracing::callsite::DefaultCallsite;
    use tracing::metadata::Kind as Sort;

    use super::*;

    static LOUD: DefaultCallsite = DefaultCallsite::new(&LOUD_IS);
    static LOUD_IS: Metadata<'static> = tracing::metadata! {
        name: "loud", target: "confab", level: Level::WARN, fields: &["message"], callsite: &LOUD, kind: Sort::EVENT
    };
    static EXPORTER: DefaultCallsite = DefaultCallsite::new(&EXPORTER_IS);
    static EXPORTER_IS: Metadata<'static> = tracing::metadata! {
        name: "export", target: "opentelemetry_sdk", level: Level::ERROR, fields: &["message"], callsite: &EXPORTER,
        kind: Sort::EVENT
    };
    static ASKED: DefaultCallsite = DefaultCallsite::new(&ASKED_IS);
    static ASKED_IS: Metadata<'static> = tracing::metadata! {
        name: "asked", target: "confab", level: Level::DEBUG, fields: &["message"], callsite: &ASKED, kind: Sort::EVENT
    };

    #[tokio::test(start_paused = true)]
    async fn a_kind_writes_a_few_lines_and_the_next_says_how_many_were_left_out() {
        let kinds = Kinds::default();
        let start = Instant::now();
        let passed = (0..1_000).filter(|_| kinds.pass(LOUD.metadata(), start).is_some()).count();
        assert_eq!(passed, LINES as usize);
        assert_eq!(kinds.pass(EXPORTER.metadata(), start), Some(0), "another kind isn't held up");
        assert_eq!(kinds.pass(LOUD.metadata(), start + WINDOW), Some(1_000 - u64::from(LINES)));
        assert_eq!(kinds.pass(LOUD.metadata(), start + WINDOW), Some(0), "told once");
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_later_line_tells_of_is_told_when_the_time_is_over() {
        let kinds = Kinds::default();
        let start = Instant::now();
        assert_eq!(kinds.pass(EXPORTER.metadata(), start), Some(0));
        assert_eq!(kinds.pass(EXPORTER.metadata(), start + WINDOW), None, "exporters write a line a minute");
        assert_eq!(kinds.take_left_out(start + WINDOW), []);
        let left_out = kinds.take_left_out(start + EXPORTERS_WINDOW);
        assert_eq!(left_out.iter().map(|out| (out.target, out.lines)).collect::<Vec<_>>(), [("opentelemetry_sdk", 1)]);
        assert_eq!(kinds.take_left_out(start + EXPORTERS_WINDOW), [], "told once");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_for_by_a_low_level_is_never_left_out() {
        let kinds = Kinds::default();
        assert!((0..1_000).all(|_| kinds.pass(ASKED.metadata(), Instant::now()) == Some(0)));
    }
}
