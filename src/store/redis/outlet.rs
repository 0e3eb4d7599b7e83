//! The store's end of an instance's feed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::mpsc;

use crate::store::{FEED_CAPACITY, Feed, Publication};

/// Puts publications into the feed without ever waiting, and remembers what it owes.
#[derive(Debug)]
pub struct Outlet {
    feed: mpsc::Sender<Publication>,
    /// Publications were dropped, and the instance doesn't know yet.
    interrupted: AtomicBool,
    dropped: AtomicU64,
}

impl Outlet {
    /// The two ends of a feed.
    pub fn new() -> (Self, Feed) {
        let (sender, feed) = mpsc::channel(FEED_CAPACITY);
        (Self { feed: sender, interrupted: AtomicBool::new(false), dropped: AtomicU64::new(0) }, feed)
    }

    /// Puts a publication in, or drops it and owes the instance an [`Publication::Interrupted`].
    pub fn publish(&self, publication: Publication) {
        if !self.tell_interrupted() || self.feed.try_send(publication).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            self.interrupted.store(true, Ordering::Release);
        }
    }

    /// The instance may have missed publications.
    pub fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Release);
        self.tell_interrupted();
    }

    /// Whether the instance knows of everything that was dropped.
    pub fn tell_interrupted(&self) -> bool {
        if !self.interrupted.swap(false, Ordering::AcqRel) {
            return true;
        }
        let told = self.feed.try_send(Publication::Interrupted).is_ok();
        if !told {
            self.interrupted.store(true, Ordering::Release);
        }
        told
    }

    /// Publications that a full feed dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}
