//! Callbacks for what happens to the connection.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use super::lifecycle::LifecycleEvents;
use crate::error::Error;
use crate::machine::Lifecycle;

type Callback<T> = Arc<dyn Fn(&T) + Send + Sync>;

/// Called, one after the other and in order, on a task of their own: a slow callback delays only other callbacks. One
/// that panics is logged and called again next time.
///
/// ```
/// # use kalam_live::EventHandlers;
/// let handlers = EventHandlers::new()
///     .on_connect(|| println!("connected"))
///     .on_disconnect(|error| println!("lost: {error}"));
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct EventHandlers {
    on_connect: Option<Callback<()>>,
    on_disconnect: Option<Callback<Error>>,
    on_error: Option<Callback<Error>>,
    on_event: Option<Callback<Lifecycle>>,
}

impl EventHandlers {
    /// No callbacks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Connected and authenticated, for the first time or again.
    pub fn on_connect(mut self, callback: impl Fn() + Send + Sync + 'static) -> Self {
        self.on_connect = Some(Arc::new(move |()| callback()));
        self
    }

    /// An established connection was lost.
    pub fn on_disconnect(mut self, callback: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.on_disconnect = Some(Arc::new(callback));
        self
    }

    /// An attempt to connect failed, or the server reported an error that belongs to no subscription.
    pub fn on_error(mut self, callback: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.on_error = Some(Arc::new(callback));
        self
    }

    /// Anything at all.
    pub fn on_event(mut self, callback: impl Fn(&Lifecycle) + Send + Sync + 'static) -> Self {
        self.on_event = Some(Arc::new(callback));
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.on_connect.is_none()
            && self.on_disconnect.is_none()
            && self.on_error.is_none()
            && self.on_event.is_none()
    }

    /// Calls until the client is gone.
    pub(crate) async fn run(self, mut events: LifecycleEvents) {
        while let Some(event) = events.next().await {
            call(self.on_event.as_ref(), &event);
            match &event {
                Lifecycle::Connected { .. } => call(self.on_connect.as_ref(), &()),
                Lifecycle::Disconnected { error, .. } => call(self.on_disconnect.as_ref(), error),
                Lifecycle::ConnectFailed { error, .. } | Lifecycle::ServerError(error) => {
                    call(self.on_error.as_ref(), error);
                }
                Lifecycle::Repaired { .. } | Lifecycle::Closed => {}
            }
        }
    }
}

fn call<T>(callback: Option<&Callback<T>>, value: &T) {
    if let Some(callback) = callback
        && std::panic::catch_unwind(AssertUnwindSafe(|| callback(value))).is_err()
    {
        tracing::error!("an event handler panicked");
    }
}

impl fmt::Debug for EventHandlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventHandlers").finish_non_exhaustive()
    }
}
