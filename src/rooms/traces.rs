//! Sampled entries on their way to the mailboxes of a room: which are expected, and the spans of those that came.
//!
//! Where nothing is sampled it is an empty queue, looked at once per batch.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::mailbox::Mailbox;
use crate::domain::{Entry, Trace};
use crate::spans::{Name, Span};
use crate::store::Traced;

/// Announced entries that a room waits for; beyond it the oldest are forgotten. Some never come: their append was refused.
const EXPECTED: usize = 64;

/// Mailboxes of a room in which a sampled entry is followed to the socket.
const FOLLOWED: usize = 16;

/// What a mailbox says when it is written: whose write it was.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    /// Below which span.
    pub trace: Trace,
    /// Since when it waits.
    pub since: Instant,
}

impl Mark {
    /// It is written, with so many frames.
    pub fn written(self, frames: usize) {
        let mut span = Span::below(Name::Write, self.trace).since(self.since);
        span.count("confab.frames", frames);
    }
}

/// What was announced as sampled and hasn't come.
#[derive(Debug, Default)]
pub struct Expected(VecDeque<Traced>);

impl Expected {
    /// An entry is about to follow.
    pub fn add(&mut self, traced: Traced) {
        if self.0.len() >= EXPECTED {
            self.0.pop_front();
        }
        self.0.push_back(traced);
    }

    /// Entries begin to be delivered, together. `None` where none of them is sampled.
    pub fn begin(&mut self, entries: &[Arc<Entry>]) -> Option<FanOut> {
        if self.0.is_empty() {
            return None;
        }
        let mut spans: Vec<[Span; 2]> = Vec::new();
        for entry in entries {
            let is_it = |traced: &Traced| traced.user == entry.user.id && traced.key == entry.key;
            let Some(traced) = self.0.iter().position(is_it).and_then(|at| self.0.remove(at)) else { continue };
            let publication = Span::below(Name::Publication, traced.trace).since(traced.at);
            // What is delivered together is tied to the first of it.
            let lead = spans.first().map(|[fan_out, _]| fan_out.trace());
            let fan_out = Span::below(Name::FanOut, publication.trace()).linked(lead);
            spans.push([fan_out, publication]);
        }
        (!spans.is_empty()).then_some(FanOut { spans, entries: entries.len() })
    }
}

/// Sampled entries that are being put into mailboxes.
#[derive(Debug)]
pub struct FanOut {
    /// Of each, the fan-out and the publication that it is a part of: they end in this order.
    spans: Vec<[Span; 2]>,
    entries: usize,
}

impl FanOut {
    /// They are in these mailboxes.
    pub fn end(mut self, mailboxes: &[Arc<Mailbox>]) {
        let since = Instant::now();
        for [fan_out, _] in &mut self.spans {
            fan_out.count("confab.sockets", mailboxes.len());
            fan_out.count("confab.entries", self.entries);
            for mailbox in mailboxes.iter().take(FOLLOWED) {
                if let Some(taken) = mailbox.mark(Mark { trace: fan_out.trace(), since }) {
                    taken.written(1);
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking
mod tests {
    use std::task::{Context, Waker};

    use bytes::Bytes;

    use super::*;
    use crate::domain::{Body, Chain, Draft, Key, Text, User, UserId, UserName};
    use crate::rooms::{Dialect, Taken};

    fn mark(span: u64) -> Mark {
        Mark { trace: Trace::new(1, span, true).unwrap(), since: Instant::now() }
    }

    #[test]
    fn a_mark_is_taken_with_its_frame_and_goes_with_a_queue_that_is_dropped() {
        let mailbox = Mailbox::new(1, Dialect::Native, 100);
        let mut cx = Context::from_waker(Waker::noop());
        let mut take = |most| {
            let mut taken = Taken::default();
            let _ = mailbox.poll_take(&mut cx, most, &mut taken);
            (taken.frames.len(), taken.marks.iter().map(|mark| mark.trace.span()).collect::<Vec<_>>())
        };
        let frame = || Bytes::from_static(b"0123456789");
        for span in [None, Some(2), Some(3), None] {
            mailbox.push(frame());
            if let Some(span) = span {
                assert!(mailbox.mark(mark(span)).is_none(), "its frame waits");
            }
        }
        assert_eq!(take(0), (0, vec![]));
        assert_eq!(take(10), (1, vec![]));
        assert_eq!(take(10), (1, vec![2]));
        mailbox.push(frame());
        assert!(mailbox.mark(mark(5)).is_none());
        assert_eq!(take(20), (2, vec![3]));
        assert_eq!(take(100), (1, vec![5]));
        assert!(mailbox.mark(mark(4)).is_some(), "the reader was faster");
        mailbox.push(frame());
        assert!(mailbox.mark(mark(6)).is_none());
        mailbox.push(Bytes::from(vec![0; 100]));
        assert_eq!(take(100), (0, vec![]), "the reader was too slow");
        assert!(mailbox.mark(mark(7)).is_none(), "nothing is written any more");
    }

    #[test]
    fn what_never_comes_is_forgotten_and_what_comes_is_found_by_its_author_and_key() {
        let user = |id: &str| User { id: UserId::parse(id).unwrap(), name: UserName::parse("Ada", 64).unwrap() };
        let draft = |by: &str, key: usize| Draft {
            user: user(by),
            key: Key::parse(&format!("k{key}")).unwrap(),
            body: Body::Message { text: Text::Kept("hi".into()), reply_to: None },
            trace: Trace::new(1, 1, true),
        };
        let entry = |by: &str, key| Arc::new(Entry::number(draft(by, key), 0, Chain::from_bits(1), 1));
        let mut expected = Expected::default();
        for key in 0..=EXPECTED {
            let draft = draft("ada", key);
            expected.add(Traced::now(&draft, draft.trace.unwrap()));
        }
        assert!(expected.begin(&[entry("ada", 0)]).is_none(), "the oldest was forgotten");
        assert!(expected.begin(&[entry("bea", 1)]).is_none(), "somebody else's");
        assert_eq!(expected.begin(&[entry("ada", 1), entry("bea", 9), entry("ada", 2)]).unwrap().spans.len(), 2);
        assert!(expected.begin(&[entry("ada", 1)]).is_none(), "it came");
    }
}
