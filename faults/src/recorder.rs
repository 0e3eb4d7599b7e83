//! Writes a history down as it happens: one line of JSON per event.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use tokio::time::Instant;

use crate::history::{Event, History, What};

/// Holds the history of a run.
pub struct Recorder {
    started: Instant,
    history: RefCell<History>,
}

impl Recorder {
    /// The run begins now.
    #[must_use]
    pub fn new() -> Self {
        Self { started: Instant::now(), history: RefCell::default() }
    }

    /// Records an event that happens now.
    pub fn record(&self, client: Option<usize>, room: &str, what: What) {
        let at = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.history.borrow_mut().push(Event { at, client, room: room.to_owned(), what });
    }

    /// Everything so far.
    #[must_use]
    pub fn history(&self) -> History {
        self.history.borrow().clone()
    }

    /// How many events there are, of those that `counts`.
    pub fn count(&self, counts: impl Fn(&What) -> bool) -> usize {
        self.history.borrow().iter().filter(|event| counts(&event.what)).count()
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes a history into a file.
///
/// # Errors
/// It can't be written.
pub fn save(history: &[Event], path: &Path) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for event in history {
        serde_json::to_writer(&mut file, event)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}
