//! Live queries and streams of events. Opening one asks the server, so it is a call that is waited for like the rest.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use kalam_live::{ChangeEvent, Checkpoint, Error, LiveEvents, LiveRows, Reached, Result, Rows};

use crate::Taken;
use crate::operation::Operation;

/// A subscription that is being opened, or is open.
struct Opened<S> {
    opening: Operation<S>,
    open: OnceLock<S>,
}

impl<S: Send + Sync + 'static> Opened<S> {
    fn start(open: impl Future<Output = Result<S>> + Send + 'static) -> Result<Self> {
        Ok(Self { opening: Operation::start(open)?, open: OnceLock::new() })
    }

    /// The open subscription; `None` while it is opened and when it never will be.
    fn get(&self) -> Option<&S> {
        self.open.get()
    }

    /// Ready with the open subscription, or without when `take` has to tell why there is none.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<&S>> {
        if self.open.get().is_none() {
            ready!(self.opening.poll_ready(cx));
            self.opening.with_result(|open| self.keep(open));
        }
        Poll::Ready(self.open.get())
    }

    /// The open subscription. Before it is open `Nothing`, and when it never will be `Ended`.
    ///
    /// # Errors
    /// Why opening has failed, once.
    fn take(&self) -> Result<Taken<&S>> {
        if let Some(open) = self.open.get() {
            return Ok(Taken::Item(open));
        }
        Ok(match self.opening.take()? {
            Taken::Item(open) => {
                self.keep(open);
                self.open.get().map_or(Taken::Ended, Taken::Item)
            }
            Taken::Nothing => Taken::Nothing,
            Taken::Ended => Taken::Ended,
        })
    }

    fn keep(&self, open: S) {
        // Nobody else has one.
        let _ = self.open.set(open);
    }

    /// Gives up while it is being opened. Returns what is open.
    fn close(&self) -> Option<&S> {
        if self.open.get().is_none() {
            self.opening.with_result(|open| self.keep(open));
            self.opening.end();
        }
        self.open.get()
    }
}

/// Live rows.
pub struct RowStream {
    opened: Opened<LiveRows>,
    closed: AtomicBool,
}

impl RowStream {
    /// Starts to open a live query.
    ///
    /// # Errors
    /// `config` when the system gives no threads.
    pub fn start(open: impl Future<Output = Result<LiveRows>> + Send + 'static) -> Result<Self> {
        Ok(Self { opened: Opened::start(open)?, closed: AtomicBool::new(false) })
    }

    /// Ready when there are new rows, an error or the end.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        match ready!(self.opened.poll(cx)) {
            Some(live) => live.poll_ready(cx),
            None => Poll::Ready(()),
        }
    }

    /// The newest rows.
    ///
    /// # Errors
    /// What has ended the live query, once.
    pub fn take(&self) -> Result<Taken<Rows>> {
        if self.closed.load(Ordering::Acquire) {
            return Ok(Taken::Ended);
        }
        let live = match self.opened.take()? {
            Taken::Item(live) => live,
            Taken::Nothing => return Ok(Taken::Nothing),
            Taken::Ended => return Ok(Taken::Ended),
        };
        Ok(match live.take_rows() {
            Some(rows) => Taken::Item(rows?),
            None if live.is_over() => Taken::Ended,
            None => Taken::Nothing,
        })
    }

    /// Ends the subscription, or gives up opening it, and wakes who waits. Rows that were not taken are not wanted.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        if let Some(live) = self.opened.close() {
            at_once(live.close());
        }
    }

    /// The subscription's name, once it is known.
    pub fn id(&self) -> Option<&str> {
        self.opened.get().map(LiveRows::id)
    }
}

/// Events, each with where to go on after it.
pub type Events = Vec<(ChangeEvent, Option<Checkpoint>)>;

/// Raw events.
pub struct EventStream {
    opened: Opened<LiveEvents>,
    state: Mutex<EventState>,
}

struct EventState {
    reached: Reached,
    /// Ended the stream; told after the events before it.
    failure: Option<Error>,
}

impl EventStream {
    /// Starts to open a stream of events.
    ///
    /// # Errors
    /// `config` when the system gives no threads.
    pub fn start(open: impl Future<Output = Result<LiveEvents>> + Send + 'static) -> Result<Self> {
        let state = EventState { reached: Reached::new(None), failure: None };
        Ok(Self { opened: Opened::start(open)?, state: Mutex::new(state) })
    }

    /// Ready when there are events, an error or the end.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.state().failure.is_some() {
            return Poll::Ready(());
        }
        match ready!(self.opened.poll(cx)) {
            Some(events) => events.poll_ready(cx),
            None => Poll::Ready(()),
        }
    }

    /// At most `max` events, at least one, each with where to go on after it.
    ///
    /// # Errors
    /// What has ended the stream, be it the server or the client, once.
    pub fn take(&self, max: usize) -> Result<Taken<Events>> {
        let events = match self.opened.take()? {
            Taken::Item(events) => events,
            Taken::Nothing => return Ok(Taken::Nothing),
            Taken::Ended => return Ok(Taken::Ended),
        };
        let mut state = self.state();
        if let Some(failure) = state.failure.take() {
            return Err(failure);
        }
        let mut taken = Vec::new();
        for event in events.take(max) {
            match event.and_then(unless_error) {
                Ok(event) => {
                    state.reached.pass(&event);
                    taken.push((event, state.reached.checkpoint()));
                }
                Err(error) => state.failure = Some(error),
            }
        }
        if !taken.is_empty() {
            return Ok(Taken::Item(taken));
        }
        match state.failure.take() {
            Some(failure) => Err(failure),
            None if events.is_over() => Ok(Taken::Ended),
            None => Ok(Taken::Nothing),
        }
    }

    /// Ends the subscription, or gives up opening it, and wakes who waits.
    pub fn close(&self) {
        if let Some(events) = self.opened.close() {
            at_once(events.close());
        }
    }

    /// The subscription's name, once it is known.
    pub fn id(&self) -> Option<&str> {
        self.opened.get().map(LiveEvents::id)
    }

    fn state(&self) -> MutexGuard<'_, EventState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In the languages an exception says that it is over, not one event more.
fn unless_error(event: ChangeEvent) -> Result<ChangeEvent> {
    let ChangeEvent::Error { code, message, server_code, .. } = event else { return Ok(event) };
    let error = Error::new(code, message);
    Err(match server_code {
        Some(server_code) => error.with_server_code(server_code),
        None => error,
    })
}

/// Closing does its work in the first step, and has nothing to wait for.
fn at_once(close: impl Future<Output = Result<()>>) {
    let _ = pin!(close).poll(&mut Context::from_waker(Waker::noop()));
}
