//! What an acknowledgement means: whether it waits for a replica, and when that changes.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::options::DurabilitySetting;
use crate::store::Durability;

/// So many unanswered `WAIT`s in a row mean that the connections may be to the wrong node.
const UNCONFIRMED_IN_A_ROW: u32 = 3;

/// For so long Redis must have said, on fresh connections, that it is a primary without replicas before `auto` stops
/// waiting for one. A primary that froze and wakes has none either, for a moment.
const ALONE_FOR: Duration = Duration::from_secs(30);

/// What Redis says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replication {
    /// It is a primary.
    pub primary: bool,
    /// Replicas that are connected.
    pub replicas: u32,
}

/// Whether acknowledgements wait for a replica, by the setting and by what was seen.
#[derive(Debug)]
pub struct Acknowledging {
    setting: DurabilitySetting,
    waits: AtomicBool,
    in_a_row: AtomicU32,
    alone_since: Mutex<Option<Instant>>,
}

impl Acknowledging {
    /// Before anything was seen.
    pub fn new(setting: DurabilitySetting) -> Self {
        let waits = setting == DurabilitySetting::Replicated;
        Self { setting, waits: AtomicBool::new(waits), in_a_row: AtomicU32::new(0), alone_since: Mutex::new(None) }
    }

    /// Whether acknowledgements wait for a replica now.
    pub fn waits(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    /// What an acknowledgement means now.
    pub fn means(&self) -> Durability {
        if self.waits() { Durability::Replicated } else { Durability::Stored }
    }

    /// A replica has it.
    pub fn confirmed(&self) {
        self.in_a_row.store(0, Ordering::Relaxed);
    }

    /// No replica said so in time. Returns whether the connections should be made again.
    pub fn unconfirmed(&self) -> bool {
        let again = self.in_a_row.fetch_add(1, Ordering::Relaxed) + 1 >= UNCONFIRMED_IN_A_ROW;
        if again {
            self.in_a_row.store(0, Ordering::Relaxed);
        }
        again
    }

    /// Redis was asked, on a fresh connection where `fresh`. Returns the new meaning where it changed.
    pub fn saw(&self, replication: Replication, fresh: bool, now: Instant) -> Option<Durability> {
        if self.setting != DurabilitySetting::Auto {
            return None;
        }
        let mut alone_since = self.alone_since.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = if replication.replicas > 0 {
            *alone_since = None;
            true
        } else if !self.waits() {
            false
        } else if replication.primary && fresh {
            now - *alone_since.get_or_insert(now) < ALONE_FOR
        } else {
            if !replication.primary {
                *alone_since = None;
            }
            true
        };
        (self.waits.swap(waits, Ordering::Relaxed) != waits).then(|| self.means())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: Replication = Replication { primary: true, replicas: 0 };
    const FOLLOWED: Replication = Replication { primary: true, replicas: 1 };

    #[test]
    fn auto_waits_once_a_replica_was_seen_and_gives_up_late() {
        let auto = Acknowledging::new(DurabilitySetting::Auto);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!((auto.saw(ALONE, true, at(0)), auto.means()), (None, Durability::Stored));
        assert_eq!(auto.saw(FOLLOWED, false, at(1)), Some(Durability::Replicated));
        // Unanswered WAITs alone change nothing, nor does an old connection's word.
        for second in 0..10 {
            auto.unconfirmed();
            assert_eq!((auto.saw(ALONE, false, at(second * 10)), auto.waits()), (None, true));
        }
        assert_eq!(auto.saw(ALONE, true, at(100)), None);
        assert_eq!(auto.saw(ALONE, true, at(129)), None);
        assert_eq!(auto.saw(ALONE, true, at(130)), Some(Durability::Stored));
        assert_eq!(auto.saw(FOLLOWED, true, at(140)), Some(Durability::Replicated));
        // A replica in between starts the time again, and so does a node that isn't a primary.
        assert_eq!(auto.saw(ALONE, true, at(150)), None);
        assert_eq!(auto.saw(FOLLOWED, true, at(170)), None);
        assert_eq!(auto.saw(ALONE, true, at(185)), None);
        assert_eq!(auto.saw(Replication { primary: false, replicas: 0 }, true, at(200)), None);
        assert_eq!(auto.saw(ALONE, true, at(216)), None);
        assert_eq!(auto.saw(ALONE, true, at(245)), None);
        assert_eq!(auto.saw(ALONE, true, at(246)), Some(Durability::Stored));
    }

    #[test]
    fn the_other_settings_never_change() {
        for (setting, waits) in [
            (DurabilitySetting::Replicated, true),
            (DurabilitySetting::Relaxed, false),
            (DurabilitySetting::Local, false),
        ] {
            let fixed = Acknowledging::new(setting);
            let start = Instant::now();
            for (seconds, seen) in [(0, ALONE), (10, FOLLOWED), (20, ALONE), (90, ALONE), (200, ALONE)] {
                assert_eq!(fixed.saw(seen, true, start + Duration::from_secs(seconds)), None);
                assert_eq!(fixed.waits(), waits, "{setting:?}");
            }
        }
    }

    #[test]
    fn three_unconfirmed_in_a_row_ask_for_new_connections() {
        let auto = Acknowledging::new(DurabilitySetting::Auto);
        assert_eq!([auto.unconfirmed(), auto.unconfirmed()], [false, false]);
        auto.confirmed();
        assert_eq!(
            [auto.unconfirmed(), auto.unconfirmed(), auto.unconfirmed(), auto.unconfirmed()],
            [false, false, true, false]
        );
    }
}
