//! The core's log, kept until it is fetched: the user's code is never called from a background thread.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Metadata, Subscriber, span};

use crate::mailbox::{Content, Mailbox};

/// More unfetched lines than this and the oldest are dropped, which is told.
const MOST_LINES: usize = 4096;

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the usual ones")]
#[repr(u8)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    fn of(level: &tracing::Level) -> Self {
        match *level {
            tracing::Level::ERROR => Self::Error,
            tracing::Level::WARN => Self::Warn,
            tracing::Level::INFO => Self::Info,
            tracing::Level::DEBUG => Self::Debug,
            tracing::Level::TRACE => Self::Trace,
        }
    }
}

/// One line of the log.
#[derive(Debug)]
pub struct Line {
    /// How important it is.
    pub level: Level,
    /// The Rust module that wrote it, such as `kalam_live::runtime::owner`.
    pub target: &'static str,
    /// The message, and ` name=value` for each other field.
    pub text: String,
}

#[derive(Default)]
struct Lines {
    lines: VecDeque<Line>,
    dropped: u64,
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

/// Lines of this [`Level`] and above are kept.
static LEAST_LEVEL: AtomicU8 = AtomicU8::new(Level::Warn as u8);

/// Collects the events of this library. It is the only subscriber there can be: `tracing` is linked into this
/// extension alone, another extension has its own.
struct Collector;

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && metadata.target().starts_with("kalam_")
            && Level::of(metadata.level()) as u8 >= LEAST_LEVEL.load(Ordering::Relaxed)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let levels = [
            LevelFilter::TRACE,
            LevelFilter::DEBUG,
            LevelFilter::INFO,
            LevelFilter::WARN,
            LevelFilter::ERROR,
        ];
        Some(
            levels.get(usize::from(LEAST_LEVEL.load(Ordering::Relaxed))).copied().unwrap_or(LevelFilter::OFF),
        )
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let text = text.message + &text.fields;
        let level = Level::of(event.metadata().level());
        let line = Line { level, target: event.metadata().target(), text };
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
        let shown = format!("{value:?}");
        // For people, to whom an `Option` means nothing.
        let shown = shown.strip_prefix("Some(").and_then(|s| s.strip_suffix(')')).unwrap_or(&shown);
        match field.name() {
            "message" => self.message.push_str(shown),
            _ if shown == "None" => {}
            // Writing to a String can not fail.
            name => drop(write!(self.fields, " {name}={shown}")),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

/// The log of this process. Every `Log` takes of the same lines.
pub struct Log(());

impl Log {
    /// Keeps lines of `least` and above from now on; with `None` no lines.
    pub fn open(least: Option<Level>) -> Self {
        LEAST_LEVEL.store(least.map_or(u8::MAX, |level| level as u8), Ordering::Relaxed);
        // Fails when it is there already, which is as good.
        let _ = tracing::subscriber::set_global_default(Collector);
        tracing::callsite::rebuild_interest_cache();
        Self(())
    }

    /// Ready when there are lines.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        lines().poll_ready(cx)
    }

    /// At most `max` lines, and how many were dropped before them since nobody fetched them.
    pub fn take(&self, max: usize) -> (Vec<Line>, u64) {
        lines().with(|queue| {
            let count = queue.lines.len().min(max);
            (queue.lines.drain(..count).collect(), std::mem::take(&mut queue.dropped))
        })
    }
}
