//! What a process may not take along through a fork.

use std::mem::ManuallyDrop;

use kalam_live::{Error, ErrorCode, Result};

/// A value that works with threads of the process that made it, and is out of reach in the child of a fork.
///
/// The child has the memory but not the threads: a lock may be held for ever, a wait is never answered. So the child
/// gets a clear error, and never runs the destructor.
pub struct ProcessBound<T> {
    process: u32,
    value: ManuallyDrop<T>,
}

impl<T> ProcessBound<T> {
    /// Bound to this process.
    pub fn new(value: T) -> Self {
        Self { process: std::process::id(), value: ManuallyDrop::new(value) }
    }

    /// The value.
    ///
    /// # Errors
    /// `closed` in the child of a fork.
    pub fn get(&self) -> Result<&T> {
        if self.is_here() {
            return Ok(&self.value);
        }
        Err(Error::new(
            ErrorCode::Closed,
            "this belongs to the parent of a forked process: connect again in the child",
        ))
    }

    /// The value, unless this is the child of a fork.
    pub fn here(&self) -> Option<&T> {
        self.is_here().then_some(&*self.value)
    }

    fn is_here(&self) -> bool {
        std::process::id() == self.process
    }
}

impl<T> Drop for ProcessBound<T> {
    #[expect(unsafe_code, reason = "a conditional drop needs it")]
    fn drop(&mut self) {
        if self.is_here() {
            // SAFETY: dropped here once, and `value` is not reachable afterwards.
            unsafe { ManuallyDrop::drop(&mut self.value) }
        }
    }
}
