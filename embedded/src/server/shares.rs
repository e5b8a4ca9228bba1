//! What one user may have running at the same time, so that the others keep room.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) struct Shares {
    by_user: Mutex<HashMap<Arc<str>, Arc<Semaphore>>>,
    each: usize,
}

/// Users are forgotten who have nothing running or waiting, when there are more than this.
const KEPT: usize = 1000;

impl Shares {
    pub(crate) fn new(each: usize) -> Self {
        Self { by_user: Mutex::default(), each: each.clamp(1, Semaphore::MAX_PERMITS) }
    }

    /// Waits until the user has less than a share running. `None` never, as no semaphore is closed.
    pub(crate) async fn of(&self, user: &Arc<str>) -> Option<OwnedSemaphorePermit> {
        let share = {
            let mut by_user = self.by_user.lock();
            if by_user.len() > KEPT {
                // Who runs or waits holds the semaphore too.
                by_user.retain(|_, share| Arc::strong_count(share) > 1);
            }
            by_user.entry(user.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.each))).clone()
        };
        share.acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn a_user_waits_for_their_own_only() {
        let shares = Shares::new(2);
        let (ann, bob): (Arc<str>, Arc<str>) = ("ann".into(), "bob".into());
        let first = shares.of(&ann).await.unwrap();
        let _second = shares.of(&ann).await.unwrap();
        let mut third = Box::pin(shares.of(&ann));
        assert!(poll!(&mut third).is_pending());
        assert!(shares.of(&bob).await.is_some());
        drop(first);
        assert!(third.await.is_some());
    }

    #[tokio::test]
    async fn idle_users_are_forgotten() {
        let shares = Shares::new(1);
        let busy: Arc<str> = "busy".into();
        let _held = shares.of(&busy).await.unwrap();
        for n in 0..3 * KEPT {
            drop(shares.of(&format!("user{n}").into()).await);
        }
        assert!(shares.by_user.lock().len() <= KEPT + 2);
        assert!(poll!(Box::pin(shares.of(&busy))).is_pending());
    }
}
