//! How background threads wake Python: they never attach to the interpreter, they only make a list non-empty.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use pyo3::prelude::*;

/// What one event loop sleeps on: a list of tokens that became ready, and a file descriptor that turns readable
/// when the list turns non-empty.
///
/// A burst of wake-ups costs the loop one callback. Made and read by `kalam_live._loop`.
#[pyclass(frozen, module = "kalam_live._native")]
pub(crate) struct Wakeups {
    shared: Arc<Shared>,
    reader: UnixStream,
}

struct Shared {
    ready: Mutex<Ready>,
    /// For the thread that stands in for the loop where the loop can not watch a file descriptor.
    edge: Condvar,
    writer: UnixStream,
}

#[derive(Default)]
struct Ready {
    tokens: Vec<u64>,
    /// How often the list turned non-empty.
    edges: u64,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Ready> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, token: u64) {
        let mut ready = self.lock();
        ready.tokens.push(token);
        if ready.tokens.len() == 1 {
            ready.edges += 1;
            drop(ready);
            // Never more than a few bytes are in flight, so this can not block; a loop that is gone does not care.
            let _ = (&self.writer).write(&[1]);
            self.edge.notify_all();
        }
    }
}

/// Wakes one waiting future of the loop, once.
struct Token {
    shared: Arc<Shared>,
    token: u64,
    fired: AtomicBool,
}

impl Wake for Token {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.fired.swap(true, Ordering::AcqRel) {
            self.shared.push(self.token);
        }
    }
}

impl Wakeups {
    /// A waker that puts `token` on the list.
    pub(crate) fn waker(&self, token: u64) -> Waker {
        Waker::from(Arc::new(Token { shared: self.shared.clone(), token, fired: AtomicBool::new(false) }))
    }
}

#[pymethods]
impl Wakeups {
    #[new]
    fn new() -> PyResult<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        let shared = Shared { ready: Mutex::default(), edge: Condvar::new(), writer };
        Ok(Self { shared: Arc::new(shared), reader })
    }

    /// The descriptor that the loop watches for reading.
    fn fileno(&self) -> i32 {
        self.reader.as_raw_fd()
    }

    /// Takes what became ready. Never blocks.
    fn drain(&self) -> Vec<u64> {
        // Bytes before the list: the other way round a byte of a later edge could be swallowed.
        let mut bytes = [0; 64];
        while matches!((&self.reader).read(&mut bytes), Ok(n) if n == bytes.len()) {}
        std::mem::take(&mut self.shared.lock().tokens)
    }

    /// Blocks until the list has turned non-empty more than `seen` times and tells how often, or `None` when closed.
    fn wait_for_edge(&self, py: Python<'_>, seen: u64) -> Option<u64> {
        py.detach(|| {
            let waits = |ready: &mut Ready| ready.edges <= seen && !ready.closed;
            let ready = self.shared.edge.wait_while(self.shared.lock(), waits);
            let ready = ready.unwrap_or_else(PoisonError::into_inner);
            (!ready.closed).then_some(ready.edges)
        })
    }

    /// Ends `wait_for_edge` for good.
    fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.edge.notify_all();
    }
}
