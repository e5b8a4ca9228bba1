//! The core's log, which the language fetches.

use std::future::poll_fn;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use kalam_bindings::{Level, Line, Log};

/// How important a line is.
#[derive(Clone, Copy, uniffi::Enum)]
pub enum NativeLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl From<NativeLevel> for Level {
    fn from(level: NativeLevel) -> Self {
        match level {
            NativeLevel::Trace => Self::Trace,
            NativeLevel::Debug => Self::Debug,
            NativeLevel::Info => Self::Info,
            NativeLevel::Warn => Self::Warn,
            NativeLevel::Error => Self::Error,
        }
    }
}

impl From<Level> for NativeLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::Trace,
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

/// One line of the log.
#[derive(uniffi::Record)]
pub struct NativeLine {
    pub level: NativeLevel,
    pub target: String,
    pub text: String,
}

/// The log of the process.
#[derive(uniffi::Object)]
pub struct NativeLog {
    log: Log,
    end: Mutex<End>,
}

/// Whether whoever waits is to give up, which Swift can not tell a Rust future.
#[derive(Default)]
struct End {
    come: bool,
    waiting: Option<Waker>,
}

impl NativeLog {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        if end.come {
            return Poll::Ready(());
        }
        end.waiting = Some(cx.waker().clone());
        drop(end);
        self.log.poll_ready(cx)
    }
}

#[uniffi::export]
impl NativeLog {
    /// Keeps lines of `least` and above from now on; without it none.
    #[uniffi::constructor]
    pub fn new(least: Option<NativeLevel>) -> Self {
        Self { log: Log::open(least.map(Level::from)), end: Mutex::default() }
    }

    /// Waits until there are lines, or `end`.
    pub async fn ready(&self) {
        poll_fn(|cx| self.poll_ready(cx)).await;
    }

    /// Wakes whoever waits, now and later.
    pub fn end(&self) {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        end.come = true;
        let waiting = end.waiting.take();
        drop(end);
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }

    /// The lines that are there.
    pub fn take(&self) -> Vec<NativeLine> {
        let (lines, dropped) = self.log.take(1024);
        let note = (dropped > 0).then(|| NativeLine {
            level: NativeLevel::Warn,
            target: "kalam_live".to_owned(),
            text: format!("{dropped} lines of the log were dropped: nobody fetched them"),
        });
        note.into_iter().chain(lines.into_iter().map(line)).collect()
    }
}

fn line(line: Line) -> NativeLine {
    NativeLine { level: line.level.into(), target: line.target.to_owned(), text: line.text }
}
