//! What is logged, and how that is changed while the process runs.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Subscriber;
use tracing_subscriber::{EnvFilter, reload};

use crate::config::is_log_directives;

/// What is logged after the first SIGHUP: everything of this program, and what is worth a word of the libraries.
const VERBOSE: &str = "info,confab=debug";

/// A text that doesn't say what to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be log directives, such as info or warn,confab=debug")]
pub struct BadDirectives;

type Set = dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync;

/// The filter of all log lines.
#[derive(Clone)]
pub struct LogFilter {
    set: Arc<Set>,
    now: Arc<Mutex<String>>,
    /// As the settings have it.
    usual: Arc<str>,
}

impl LogFilter {
    /// The filter for a subscriber, and the way to it.
    ///
    /// # Errors
    /// These are no directives.
    pub fn new<S: Subscriber>(directives: &str) -> Result<(reload::Layer<EnvFilter, S>, Self), BadDirectives> {
        let (layer, handle) = reload::Layer::new(parse(directives)?);
        let set = move |filter| handle.reload(filter);
        Ok((
            layer,
            Self { set: Arc::new(set), now: Arc::new(Mutex::new(directives.to_owned())), usual: directives.into() },
        ))
    }

    /// What is logged now.
    #[must_use]
    pub fn now(&self) -> String {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is logged unless it is changed.
    #[must_use]
    pub fn usual(&self) -> &str {
        &self.usual
    }

    /// Logs something else from now on.
    ///
    /// # Errors
    /// These are no directives: nothing changes.
    pub fn set(&self, directives: &str) -> Result<(), BadDirectives> {
        let filter = parse(directives)?;
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        // Fails only where the subscriber is gone, and then nothing is logged at all.
        let _ = (self.set)(filter);
        directives.clone_into(&mut now);
        Ok(())
    }

    /// Goes back to the usual where something else is logged, and to more than that where it isn't.
    pub fn toggle(&self) {
        let next = if self.now() == *self.usual { VERBOSE } else { &self.usual };
        // The usual was good at the start.
        let _ = self.set(next);
    }
}

impl fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogFilter").field(&self.now()).finish()
    }
}

fn parse(directives: &str) -> Result<EnvFilter, BadDirectives> {
    if !is_log_directives(directives) {
        return Err(BadDirectives);
    }
    EnvFilter::try_new(directives).map_err(|_| BadDirectives)
}
