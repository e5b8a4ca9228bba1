//! What the client asks of the owner task.

use std::time::Duration;

use compact_str::CompactString;
use tokio::sync::{mpsc, oneshot};

use super::subscriber::Sink;
use crate::checkpoint::Checkpoint;
use crate::error::{Error, ErrorCode, Result};
use crate::machine::{SubscribeRequest, SubscriptionInfo, SubscriptionKey};

/// One request to the owner task. Those without a reply can be sent from a destructor.
pub(crate) enum Command {
    Connect {
        reply: oneshot::Sender<Result<()>>,
    },
    Disconnect {
        reply: oneshot::Sender<()>,
    },
    Close {
        reply: oneshot::Sender<()>,
    },
    NetworkChanged,
    Subscribe {
        request: Box<SubscribeRequest>,
        sink: Sink,
        /// For the [`Unclaimed`] of the reply.
        commands: Commands,
        reply: oneshot::Sender<Result<Unclaimed>>,
    },
    Unsubscribe {
        key: SubscriptionKey,
    },
    /// From the version, or from the beginning.
    Restart {
        key: SubscriptionKey,
        from: Option<Checkpoint>,
        /// The reader could not decode what came next.
        because: Option<Error>,
    },
    Cancel {
        id: CompactString,
        reply: oneshot::Sender<bool>,
    },
    Subscriptions {
        reply: oneshot::Sender<Vec<(SubscriptionInfo, Duration)>>,
    },
}

/// A subscription that has no handle yet. A caller that gives up after the reply was sent, and before it was read, has
/// none either: dropping this ends the subscription.
pub(crate) struct Unclaimed {
    key: SubscriptionKey,
    commands: Option<Commands>,
}

impl Unclaimed {
    pub(crate) fn new(key: SubscriptionKey, commands: Commands) -> Self {
        Self { key, commands: Some(commands) }
    }

    /// The key, for a handle that ends the subscription itself.
    pub(crate) fn claim(mut self) -> SubscriptionKey {
        self.commands = None;
        self.key
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(commands) = &self.commands {
            commands.send(Command::Unsubscribe { key: self.key });
        }
    }
}

/// The way to the owner task. When the last one is gone, the owner closes the connection and ends.
#[derive(Clone)]
pub(crate) struct Commands(mpsc::UnboundedSender<Command>);

impl Commands {
    pub(crate) fn channel() -> (Self, mpsc::UnboundedReceiver<Command>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Sends, if the owner task is still there.
    pub(crate) fn send(&self, command: Command) {
        // Without an owner there is nothing left to unsubscribe or close.
        let _ = self.0.send(command);
    }

    /// Sends and waits for the reply.
    ///
    /// # Errors
    /// `closed` when the owner task has ended.
    pub(crate) async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply));
        answer.await.map_err(|_| closed())
    }
}

/// The error of everything that is asked of a closed client.
pub(crate) fn closed() -> Error {
    Error::new(ErrorCode::Closed, "the client is closed")
}
