//! Commands of one client that wait for the store.

use std::task::{Context, Poll, Waker};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};

/// Answers to come. Most clients never have one, because the embedded store answers at once: nothing is allocated until
/// the first has to wait. How many there may be is for the caller to say.
pub struct InFlight<T>(Option<Box<Waiting<T>>>);

struct Waiting<T> {
    answers: FuturesUnordered<BoxFuture<'static, T>>,
    /// One of them is newer than the last look: nobody is woken by it.
    unheard: bool,
}

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
        let new = || Box::new(Waiting { answers: FuturesUnordered::new(), unheard: false });
        let waiting = self.0.get_or_insert_with(new);
        waiting.answers.push(answer);
        waiting.unheard = true;
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |waiting| waiting.answers.len())
    }

    /// Whether one waits that nobody would be woken by, until [`InFlight::poll_next`] has found nothing more.
    pub fn is_unheard(&self) -> bool {
        self.0.as_ref().is_some_and(|waiting| waiting.unheard)
    }

    /// The next answer that has come. With none, `cx` is woken by the next one.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Option<T> {
        let waiting = self.0.as_mut()?;
        let next = match waiting.answers.poll_next_unpin(cx) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => None,
        };
        waiting.unheard &= next.is_some();
        next
    }

    /// Waits for nothing any more.
    pub fn clear(&mut self) {
        self.0 = None;
    }
}
