//! The core's log as a handle: `logging` is never called from a background thread.

use std::task::{Context, Poll};

use kalam_bindings::{Level, Log, Taken};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::handle::{Handle, Source};

/// The levels of `logging`.
const LEVELS: [(u8, Level); 5] =
    [(5, Level::Trace), (10, Level::Debug), (20, Level::Info), (30, Level::Warn), (40, Level::Error)];

fn number(level: Level) -> u8 {
    LEVELS[level as usize].0
}

/// The logger of a module: all are below `kalam_live`.
fn logger_of(target: &str) -> String {
    target.replacen("kalam_embedded", "kalam_live.embedded", 1).replace("::", ".")
}

struct LogSource(Log);

impl Source for LogSource {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_ready(cx)
    }

    /// A list of `(level, logger, text)`.
    fn take(&self, py: Python<'_>, max: usize) -> PyResult<Taken<Py<PyAny>>> {
        let (lines, dropped) = self.0.take(max);
        if lines.is_empty() {
            return Ok(Taken::Nothing);
        }
        let list = PyList::empty(py);
        if dropped > 0 {
            let text = format!("{dropped} lines of the log were dropped: nobody fetched them");
            list.append((number(Level::Warn), "kalam_live", text))?;
        }
        for line in lines {
            list.append((number(line.level), logger_of(line.target), line.text))?;
        }
        Ok(Taken::Item(list.into_any().unbind()))
    }

    fn close(&self) {}
}

/// The log as a handle, from which lines of `least_level` (of `logging`) and above can be taken.
#[pyfunction]
pub(crate) fn log(least_level: u8) -> Handle {
    let least = LEVELS.iter().find(|(number, _)| *number >= least_level).map(|(_, level)| *level);
    Handle::new(LogSource(Log::open(least)))
}
