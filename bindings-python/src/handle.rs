//! The one mechanism for everything that waits: ready, take, close.

use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread, ThreadId};
use std::time::{Duration, Instant};

use kalam_bindings::{ProcessBound, Taken};
use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::error::raise;
use crate::wake::Wakeups;

/// How long a blocking wait stays away from the interpreter; Ctrl-C is seen between two slices.
const SLICE: Duration = Duration::from_millis(50);

/// The thread that ends the interpreter, once one does.
static EXITING: OnceLock<ThreadId> = OnceLock::new();

/// From now on the waits of other threads do not end. A daemon thread has nothing to do with an error that the end of
/// the process makes; it would only print it.
pub(crate) fn leave_waiting() {
    EXITING.get_or_init(|| thread::current().id());
}

fn is_left_waiting() -> bool {
    EXITING.get().is_some_and(|exiting| *exiting != thread::current().id())
}

/// Something that can be waited for.
pub(crate) trait Source: Send + Sync {
    /// Ready when `take` has something to give: a result, rows, events, an error or the end. Carries no data, so a
    /// wait that is given up loses nothing.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// What is there now. Never blocks.
    fn take(&self, py: Python<'_>, max: usize) -> PyResult<Taken<Py<PyAny>>>;

    /// Ends it and wakes whoever waits. May be called often.
    fn close(&self);

    /// The subscription's id, where it has one.
    fn id(&self) -> Option<String> {
        None
    }

    /// The Python objects that it owns, for the garbage collector.
    fn traverse(&self, _visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        Ok(())
    }
}

/// A running operation, a live query, a stream of events.
#[pyclass(frozen, generic, weakref, module = "kalam_live._native")]
pub(crate) struct Handle(ProcessBound<Box<dyn Source>>);

impl Handle {
    pub(crate) fn new(source: impl Source + 'static) -> Self {
        Self(ProcessBound::new(Box::new(source)))
    }
}

#[pymethods]
impl Handle {
    /// Whether `take` has something. If not, `token` is put on the list of `wakeups` as soon as it has.
    fn poll(&self, wakeups: &Wakeups, token: u64) -> PyResult<bool> {
        let source = self.0.get().map_err(raise)?;
        let waker = wakeups.waker(token);
        Ok(source.poll_ready(&mut Context::from_waker(&waker)).is_ready())
    }

    /// Blocks until `take` has something, or for `timeout` seconds. Returns whether it has.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let source = self.0.get().map_err(raise)?;
        let deadline = timeout
            .map(|s| Duration::try_from_secs_f64(s.max(0.0)).unwrap_or(Duration::MAX))
            .and_then(|t| Instant::now().checked_add(t));
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        loop {
            if is_left_waiting() {
                py.detach(|| {
                    loop {
                        thread::park();
                    }
                });
            }
            if source.poll_ready(&mut Context::from_waker(&waker)).is_ready() {
                return Ok(true);
            }
            let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(false);
            }
            py.detach(|| thread::park_timeout(left.map_or(SLICE, |left| left.min(SLICE))));
            py.check_signals()?;
        }
    }

    /// What is there now, or `None` when there is nothing yet. Raises what went wrong, and `StopIteration` at the
    /// end. Of events at most `max`.
    #[pyo3(signature = (max=1024))]
    fn take(&self, py: Python<'_>, max: usize) -> PyResult<Option<Py<PyAny>>> {
        match self.0.get().map_err(raise)?.take(py, max)? {
            Taken::Nothing => Ok(None),
            Taken::Item(item) => Ok(Some(item)),
            Taken::Ended => Err(PyStopIteration::new_err(())),
        }
    }

    /// Ends it and wakes whoever waits.
    fn close(&self) {
        if let Some(source) = self.0.here() {
            source.close();
        }
    }

    /// The subscription's id, once it is known.
    #[getter]
    fn id(&self) -> PyResult<Option<String>> {
        Ok(self.0.get().map_err(raise)?.id())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.here().map_or(Ok(()), |source| source.traverse(&visit))
    }
}

/// Wakes a thread that waits in [`Handle::wait`].
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
