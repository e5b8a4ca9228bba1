//! The core's log, kept until Python fetches it: `logging` is never called from a background thread.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use pyo3::prelude::*;
use pyo3::types::PyList;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber, span};

use crate::handle::{Handle, Source, Taken};
use crate::mailbox::{Content, Mailbox};

/// More unfetched lines than this and the oldest are dropped, which is told.
const MOST_LINES: usize = 4096;

#[derive(Default)]
struct Lines {
    lines: VecDeque<Line>,
    dropped: u64,
}

struct Line {
    level: u8,
    target: &'static str,
    text: String,
}

impl Content for Lines {
    fn is_ready(&self) -> bool {
        !self.lines.is_empty()
    }
}

/// The lines of this process.
fn lines() -> &'static Mailbox<Lines> {
    static LINES: OnceLock<Mailbox<Lines>> = OnceLock::new();
    LINES.get_or_init(Mailbox::default)
}

/// Lines of this level of `logging` and above are kept: 10 debug, 20 info, 30 warning, 40 error.
static LEAST_LEVEL: AtomicU8 = AtomicU8::new(30);

/// The level of `logging`.
fn level_of(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        Level::DEBUG => 10,
        Level::TRACE => 5,
    }
}

/// The logger of a module: all are below `kalam_live`.
fn logger_of(target: &str) -> String {
    target.replacen("kalam_embedded", "kalam_live.embedded", 1).replace("::", ".")
}

/// Collects the events of this library. It is the only subscriber there can be: `tracing` is linked into this
/// extension alone, another extension has its own.
struct Collector;

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && metadata.target().starts_with("kalam_")
            && level_of(metadata.level()) >= LEAST_LEVEL.load(Ordering::Relaxed)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match LEAST_LEVEL.load(Ordering::Relaxed) {
            0..=5 => LevelFilter::TRACE,
            6..=10 => LevelFilter::DEBUG,
            11..=20 => LevelFilter::INFO,
            21..=30 => LevelFilter::WARN,
            31..=40 => LevelFilter::ERROR,
            _ => LevelFilter::OFF,
        })
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let text = text.message + &text.fields;
        let line =
            Line { level: level_of(event.metadata().level()), target: event.metadata().target(), text };
        lines().update(|queue| {
            if queue.lines.len() >= MOST_LINES {
                queue.lines.pop_front();
                queue.dropped += 1;
            }
            queue.lines.push_back(line);
        });
    }

    // The core has no spans.
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The message, then `name=value` for the other fields.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String can not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

struct Log;

impl Source for Log {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        lines().poll_ready(cx)
    }

    /// A list of `(level, logger, text)`.
    fn take(&self, py: Python<'_>, max: usize) -> PyResult<Taken> {
        let (taken, dropped) = lines().with(|queue| {
            let count = queue.lines.len().min(max);
            (queue.lines.drain(..count).collect::<Vec<_>>(), std::mem::take(&mut queue.dropped))
        });
        if taken.is_empty() {
            return Ok(Taken::Nothing);
        }
        let list = PyList::empty(py);
        if dropped > 0 {
            list.append((
                30,
                "kalam_live",
                format!("{dropped} lines of the log were dropped: nobody fetched them"),
            ))?;
        }
        for line in taken {
            list.append((line.level, logger_of(line.target), line.text))?;
        }
        Ok(Taken::Item(list.into_any().unbind()))
    }

    fn close(&self) {}
}

/// The log as a handle, from which lines of `least_level` (of `logging`) and above can be taken.
#[pyfunction]
pub(crate) fn log(least_level: u8) -> Handle {
    LEAST_LEVEL.store(least_level, Ordering::Relaxed);
    // Fails when it is there already, which is as good.
    let _ = tracing::subscriber::set_global_default(Collector);
    tracing::callsite::rebuild_interest_cache();
    Handle::new(Log)
}
