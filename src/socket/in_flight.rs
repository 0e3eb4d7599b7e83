//! Commands of one client that wait for the store.

use std::task::{Context, Poll, Waker};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};

/// Answers to come. Most clients never have one, because the embedded store answers at once: nothing is allocated until
/// the first has to wait. How many there may be is for the caller to say.
pub struct InFlight<T>(Option<Box<FuturesUnordered<BoxFuture<'static, T>>>>);

impl<T> InFlight<T> {
    /// Nothing waits.
    pub const fn new() -> Self {
        Self(None)
    }

    /// Takes the answer if it is there already, or waits for it.
    pub fn start(&mut self, mut answer: BoxFuture<'static, T>) -> Option<T> {
        match answer.poll_unpin(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => {
                self.wait_for(answer);
                None
            }
        }
    }

    /// Waits for an answer that can't be there yet.
    pub fn wait_for(&mut self, answer: BoxFuture<'static, T>) {
        self.0.get_or_insert_default().push(answer);
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |waiting| waiting.len())
    }

    /// The next answer that has come. With none, `cx` is woken by the next one.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Option<T> {
        match self.0.as_mut()?.poll_next_unpin(cx) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => None,
        }
    }

    /// Waits for nothing any more.
    pub fn clear(&mut self) {
        self.0 = None;
    }
}
