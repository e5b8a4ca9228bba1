//! The core's log, which JavaScript fetches.

use std::task::Context;

use kalam_bindings::{Level, Line, Log};
use napi_derive::napi;

use crate::wake::Wakeups;

/// The names of levels, from the least important on.
const LEVELS: [(&str, Level); 5] = [
    ("trace", Level::Trace),
    ("debug", Level::Debug),
    ("info", Level::Info),
    ("warn", Level::Warn),
    ("error", Level::Error),
];

/// One line of the log.
#[napi(object, object_from_js = false)]
pub struct LogLine {
    pub level: &'static str,
    pub target: &'static str,
    pub message: String,
}

/// The log of the process.
#[napi]
pub struct LogHandle {
    log: Log,
}

#[napi]
impl LogHandle {
    /// Keeps lines of `least` and above from now on; with another word than those of `LEVELS` none.
    #[napi(constructor)]
    pub fn new(least: String) -> Self {
        let level = LEVELS.iter().find(|(name, _)| *name == least).map(|(_, level)| *level);
        Self { log: Log::open(level) }
    }

    /// As `Handle.poll`.
    #[napi]
    pub fn poll(&self, wakeups: &Wakeups, token: u32) -> bool {
        let waker = wakeups.waker(token);
        self.log.poll_ready(&mut Context::from_waker(&waker)).is_ready()
    }

    /// The lines that are there.
    #[napi]
    pub fn take(&self) -> Vec<LogLine> {
        let (lines, dropped) = self.log.take(1024);
        let note = (dropped > 0).then(|| LogLine {
            level: "warn",
            target: "kalam_live",
            message: format!("{dropped} lines of the log were dropped: nobody fetched them"),
        });
        note.into_iter().chain(lines.into_iter().map(line)).collect()
    }
}

fn line(line: Line) -> LogLine {
    LogLine { level: LEVELS[line.level as usize].0, target: line.target, message: line.text }
}
