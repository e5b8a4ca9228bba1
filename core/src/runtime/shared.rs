//! One tokio runtime for the whole process, for callers that have none of their own: the language bindings.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::{Error, ErrorCode, Result};

static SHARED: Mutex<Option<Shared>> = Mutex::new(None);

struct Shared {
    /// Threads do not survive a fork: in the child this runtime is a corpse.
    process: u32,
    runtime: Runtime,
}

/// The process-wide runtime: two threads named `kalam-live`, started at the first call. After a fork the child gets a
/// runtime of its own; clients made before the fork do not work there.
///
/// Rust programs need not call this: a client runs on the tokio runtime it is used in.
///
/// # Errors
/// `config` when the system gives no threads.
pub fn shared() -> Result<Handle> {
    let mut slot = lock();
    let process = std::process::id();
    if let Some(shared) = slot.take_if(|shared| shared.process != process) {
        // Dropping it would wait for threads that do not exist here.
        std::mem::forget(shared);
    }
    if let Some(shared) = &*slot {
        return Ok(shared.runtime.handle().clone());
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("kalam-live")
        .enable_io()
        .enable_time()
        .build()
        .map_err(|e| Error::new(ErrorCode::Config, format!("can not start the runtime: {e}")))?;
    let handle = runtime.handle().clone();
    *slot = Some(Shared { process, runtime });
    Ok(handle)
}

/// Stops the process-wide runtime and waits for its threads, at most `deadline`. Everything that runs on it ends. The
/// next [`shared`] starts a new one. Must not be called from a task of that runtime.
pub fn stop_shared(deadline: Duration) {
    let stopped = lock().take();
    if let Some(shared) = stopped {
        if shared.process == std::process::id() {
            shared.runtime.shutdown_timeout(deadline);
        } else {
            std::mem::forget(shared);
        }
    }
}

fn lock() -> MutexGuard<'static, Option<Shared>> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_once_and_again_after_a_stop() {
        let ask = || {
            let (send, receive) = std::sync::mpsc::channel();
            shared()
                .unwrap()
                .spawn(async move { send.send(std::thread::current().name().map(str::to_owned)) });
            receive.recv().unwrap()
        };
        assert_eq!(ask().as_deref(), Some("kalam-live"));
        stop_shared(Duration::from_secs(5));
        assert_eq!(ask().as_deref(), Some("kalam-live"));
    }
}
