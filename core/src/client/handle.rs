//! What the handles of live rows and of events share.

use std::sync::Arc;

use crate::machine::SubscriptionKey;
use crate::runtime::command::{Command, Commands};
use crate::runtime::event_queue::EventQueue;
use crate::runtime::live_state::LiveState;
use crate::runtime::mailbox::{Content, Mailbox};
use compact_str::CompactString;

/// Content that can be told that it is over.
pub(crate) trait Closable: Content {
    /// Nothing more will come.
    fn close(&mut self);
}

impl Closable for LiveState {
    fn close(&mut self) {
        Self::close(self);
    }
}

impl Closable for EventQueue {
    fn close(&mut self) {
        self.end();
    }
}

/// A reader's side of one subscription. Dropping it ends the subscription.
pub(crate) struct Handle<T: Closable> {
    id: CompactString,
    key: SubscriptionKey,
    mailbox: Arc<Mailbox<T>>,
    /// Also keeps the owner task alive: a handle outlives the client that made it.
    commands: Commands,
}

impl<T: Closable> Handle<T> {
    pub(super) fn new(
        id: CompactString,
        key: SubscriptionKey,
        mailbox: Arc<Mailbox<T>>,
        commands: Commands,
    ) -> Self {
        Self { id, key, mailbox, commands }
    }

    pub(super) fn id(&self) -> &CompactString {
        &self.id
    }

    pub(super) fn key(&self) -> SubscriptionKey {
        self.key
    }

    pub(super) fn mailbox(&self) -> &Mailbox<T> {
        &self.mailbox
    }

    pub(super) fn send(&self, command: Command) {
        self.commands.send(command);
    }

    /// Ends it here at once, and at the server soon.
    pub(super) fn close(&self) {
        self.mailbox.with(T::close);
        self.mailbox.wake();
        self.send(Command::Unsubscribe { key: self.key });
    }
}

impl<T: Closable> Drop for Handle<T> {
    fn drop(&mut self) {
        self.close();
    }
}
