//! What a socket's task needs of the protocol that its client speaks.

use std::task::Context;

use super::link::{Incoming, Link};
use crate::domain::Millis;
use crate::metrics::labels::Protocol;
use crate::protocol::Close;
use crate::rooms::Note;

/// One client in the terms of its protocol: it reads messages, carries them out, and puts what the client is to hear
/// into the mailbox. Once it wants to close it does nothing more.
pub trait Client: Unpin {
    /// What carries it.
    type Link: Link;

    /// What it speaks, for whoever counts.
    const PROTOCOL: Protocol;

    /// Whether somebody has signed in.
    fn is_signed_in(&self) -> bool;

    /// Takes one message, a text or bytes.
    fn receive(&mut self, message: &Incoming, now: Millis);

    /// Whether as many commands wait for the store as may: then nothing more is read.
    fn is_full(&self) -> bool;

    /// Takes what the store has answered. Returns whether there was something.
    fn take_outcomes(&mut self, cx: &mut Context<'_>) -> bool;

    /// Whether something waits for the store that was started since [`Client::take_outcomes`]: nothing wakes the task for
    /// it before that is called again.
    fn is_unheard(&self) -> bool;

    /// Takes a note of the rooms.
    fn take_note(&mut self, note: Note, now: Millis);

    /// When [`Client::tick`] has something to do next.
    fn due(&self) -> Millis;

    /// Does what is due. Whatever the client has sent was received before.
    fn tick(&mut self, now: Millis);

    /// Whether the connection is to be closed: why, and what the client is told to wait.
    fn closing(&self) -> Option<(Close, Option<Millis>)>;

    /// The connection has ended or is about to: leaves the rooms. Called once.
    fn depart(&mut self);
}
