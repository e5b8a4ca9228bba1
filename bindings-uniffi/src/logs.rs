//! The core's log, which the language fetches.

use std::future::poll_fn;
use std::task::Poll;

use kalam_bindings::{Level, Line, Log};

use crate::ending::Ending;

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
    ending: Ending,
}

#[uniffi::export]
impl NativeLog {
    /// Keeps lines of `least` and above from now on; without it none.
    #[uniffi::constructor]
    pub fn new(least: Option<NativeLevel>) -> Self {
        Self { log: Log::open(least.map(Level::from)), ending: Ending::default() }
    }

    /// Waits until there are lines, or `end`.
    pub async fn ready(&self) {
        poll_fn(|cx| if self.ending.poll(cx).is_ready() { Poll::Ready(()) } else { self.log.poll_ready(cx) })
            .await;
    }

    /// Wakes whoever waits, now and later.
    pub fn end(&self) {
        self.ending.come();
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
