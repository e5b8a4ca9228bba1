//! How background threads wake JavaScript: they make a list non-empty, and only the first entry makes a call.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use napi::Status;
use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;

/// Weak: it does not keep the process alive. What does is decided in `wait.ts`.
type Callback = ThreadsafeFunction<(), (), (), Status, false, true>;

/// What one JavaScript thread sleeps on: a list of tokens that became ready, and a function that is called when the list
/// turns non-empty.
#[napi]
pub struct Wakeups {
    shared: Arc<Shared>,
}

struct Shared {
    ready: Mutex<Vec<u32>>,
    callback: Callback,
}

impl Shared {
    fn ready(&self) -> MutexGuard<'_, Vec<u32>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes one waiting promise, once.
struct Token {
    shared: Arc<Shared>,
    token: u32,
    fired: AtomicBool,
}

impl Wake for Token {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.fired.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut ready = self.shared.ready();
        ready.push(self.token);
        let first = ready.len() == 1;
        drop(ready);
        if first {
            // A thread of JavaScript that is ending does not care.
            self.shared.callback.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }
}

impl Wakeups {
    /// A waker that puts `token` on the list.
    pub(crate) fn waker(&self, token: u32) -> Waker {
        Waker::from(Arc::new(Token { shared: self.shared.clone(), token, fired: AtomicBool::new(false) }))
    }
}

#[napi]
impl Wakeups {
    /// `callback` is called, on this thread, when `drain` has something.
    #[napi(constructor)]
    pub fn new(callback: Function<'_, (), ()>) -> napi::Result<Self> {
        let callback =
            callback.build_threadsafe_function::<()>().callee_handled::<false>().weak::<true>().build()?;
        Ok(Self { shared: Arc::new(Shared { ready: Mutex::default(), callback }) })
    }

    /// Takes what became ready.
    #[napi]
    pub fn drain(&self) -> Vec<u32> {
        std::mem::take(&mut *self.shared.ready())
    }
}
