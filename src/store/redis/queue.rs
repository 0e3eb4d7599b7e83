//! The queue before a lane: bounded in items and in bytes.
//!
//! Bytes are counted before an item is put in and until it is taken out, so what is counted is never less than what waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

/// Where items are put in.
pub struct Entrance<T> {
    items: mpsc::Sender<(T, usize)>,
    bytes: Arc<AtomicUsize>,
    most_bytes: usize,
}

/// Where they are taken out, in their order.
pub struct Exit<T> {
    items: mpsc::Receiver<(T, usize)>,
    bytes: Arc<AtomicUsize>,
}

/// It holds as much as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// A queue of so many items of so many bytes in all, at most.
pub fn queue<T>(most_items: usize, most_bytes: usize) -> (Entrance<T>, Exit<T>) {
    let (sender, receiver) = mpsc::channel(most_items);
    let bytes = Arc::new(AtomicUsize::new(0));
    (Entrance { items: sender, bytes: Arc::clone(&bytes), most_bytes }, Exit { items: receiver, bytes })
}

impl<T> Entrance<T> {
    /// Puts an item of a size in.
    pub fn put(&self, item: T, bytes: usize) -> Result<(), Full> {
        let waiting = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if waiting > self.most_bytes || self.items.try_send((item, bytes)).is_err() {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Full);
        }
        Ok(())
    }

    /// Items that wait, and their bytes. Whoever is about to put something in is counted in the bytes already.
    pub fn depth(&self) -> (usize, usize) {
        (self.items.max_capacity() - self.items.capacity(), self.bytes.load(Ordering::Relaxed))
    }
}

impl<T> Exit<T> {
    /// The next item and its bytes; nothing once nobody can put anything in.
    pub async fn take(&mut self) -> Option<(T, usize)> {
        let item = self.items.recv().await?;
        self.bytes.fetch_sub(item.1, Ordering::Relaxed);
        Some(item)
    }

    /// The next one if there is one.
    pub fn try_take(&mut self) -> Option<(T, usize)> {
        let item = self.items.try_recv().ok()?;
        self.bytes.fetch_sub(item.1, Ordering::Relaxed);
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    const BYTES: usize = 100;

    #[test]
    fn it_is_full_by_items_and_by_bytes_and_empty_again() {
        let (entrance, mut exit) = queue(3, 250);
        assert_eq!([0, 1, 2].map(|item| entrance.put(item, BYTES)), [Ok(()), Ok(()), Err(Full)]);
        assert_eq!(entrance.put(3, 50), Ok(()));
        assert_eq!((entrance.put(4, 0), entrance.depth()), (Err(Full), (3, 250)));
        assert_eq!(std::iter::from_fn(|| exit.try_take()).map(|(item, _)| item).collect::<Vec<_>>(), [0, 1, 3]);
        assert_eq!(entrance.depth(), (0, 0));
    }

    /// Both ends at once, as fast as they can: what was counted too late would be taken off a count that isn't there yet.
    #[test]
    fn what_is_counted_is_never_below_what_waits() {
        const ITEMS: usize = 300_000;
        let (entrance, mut exit) = queue(1_000, usize::MAX / 2);
        let deadline = Instant::now() + Duration::from_secs(20);
        let (mut taken, mut most) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut put = 0;
                while put < ITEMS && Instant::now() < deadline {
                    match entrance.put(put, BYTES) {
                        Ok(()) => put += 1,
                        Err(Full) => std::thread::yield_now(),
                    }
                }
            });
            while taken < ITEMS && Instant::now() < deadline {
                if exit.try_take().is_some() {
                    taken += 1;
                    most = most.max(entrance.depth().1);
                }
            }
        });
        assert_eq!((taken, entrance.depth()), (ITEMS, (0, 0)));
        assert!(most <= ITEMS * BYTES, "{most} bytes were counted");
    }
}
