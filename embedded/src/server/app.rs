//! What all requests share.

use std::future::Future;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::http::HeaderMap;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::attempts::Attempts;
use super::connections::Connections;
use super::hub::Hub;
use super::identity::{Identity, Unauthorized};
use super::metrics::Metrics;
use super::rate::Buckets;
use super::shares::Shares;
use super::token::{TokenKey, TokenKind};
use crate::engine::{Engine, UserInfo};
use crate::holes::Holes;
use crate::options::Options;

/// Passwords that are verified at the same time: each takes a core and megabytes of memory for a while.
const VERIFY_AT_ONCE: usize = 2;

pub(crate) struct App {
    pub(crate) engine: Engine,
    pub(crate) hub: Hub,
    pub(crate) options: Options,
    /// What is left out on purpose.
    pub(crate) holes: Holes,
    pub(crate) connections: Arc<Connections>,
    pub(crate) attempts: Mutex<Attempts>,
    pub(crate) requests: Mutex<Buckets<Arc<str>>>,
    /// Work on the engine.
    pub(crate) statements: Lane,
    pub(crate) logins: Lane,
    /// One for each open HTTP connection.
    pub(crate) http_places: Arc<Semaphore>,
    pub(crate) metrics: Metrics,
    pub(crate) started: Instant,
    key: TokenKey,
}

impl App {
    pub(crate) fn new(engine: Engine, hub: Hub, options: Options) -> Self {
        let limits = &options.limits;
        Self {
            hub,
            connections: Arc::new(Connections::new(limits)),
            attempts: Mutex::new(Attempts::new(limits)),
            requests: Mutex::new(Buckets::new(limits.requests_per_second)),
            statements: Lane::new(limits.concurrent_requests, limits.waiting_requests),
            logins: Lane::new(VERIFY_AT_ONCE, limits.waiting_logins),
            http_places: Arc::new(Semaphore::new(http_places(&options))),
            metrics: Metrics::default(),
            started: Instant::now(),
            key: TokenKey::new(engine.secret()),
            engine,
            holes: options.emulate.unwrap_or_default(),
            options,
        }
    }

    pub(crate) fn identity(&self, headers: &HeaderMap) -> Result<Identity, Unauthorized> {
        Identity::of_request(&self.engine, &self.key, headers)
    }

    pub(crate) fn identity_of(&self, token: &str, kind: TokenKind) -> Result<Identity, Unauthorized> {
        Identity::of_token(&self.engine, &self.key, token, kind)
    }

    pub(crate) fn http_places_in_all(&self) -> usize {
        http_places(&self.options)
    }

    /// A new token for this user and when it expires.
    pub(crate) fn issue(&self, user: &UserInfo, kind: TokenKind, now: SystemTime) -> (String, SystemTime) {
        let lifetime = match kind {
            TokenKind::Access => self.options.access_token_lifetime,
            TokenKind::Refresh => self.options.refresh_token_lifetime,
        };
        self.key.issue(&user.id, user.generation, kind, lifetime, now)
    }

    /// Closes the WebSockets of users who no longer are who they were.
    pub(crate) fn close_revoked(&self) {
        self.connections.close_revoked(|identity| identity.is_valid(&self.engine));
    }
}

/// As many as one call can wait for, at most.
fn http_places(options: &Options) -> usize {
    options.limits.http_connections.clamp(1, (u32::MAX as usize).min(Semaphore::MAX_PERMITS))
}

/// So many pieces of blocking work at a time, and so many that wait.
pub(crate) struct Lane {
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
    /// A quarter of what runs is the most for one user.
    shares: Shares,
}

/// The work did not run to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotDone {
    /// Too many are waiting already; it did not begin.
    Busy,
    /// It panicked, which was logged.
    Broken,
}

impl Lane {
    pub(crate) fn new(at_once: usize, waiting: usize) -> Self {
        let semaphore = |places: usize| Arc::new(Semaphore::new(places.clamp(1, Semaphore::MAX_PERMITS)));
        Self {
            running: semaphore(at_once),
            admitted: semaphore(at_once.saturating_add(waiting)),
            shares: Shares::new(at_once / 4),
        }
    }

    /// Runs `work` on a thread that may block, as soon as there is room.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotDone> {
        let admitted = self.admitted.clone().try_acquire_owned().map_err(|_| NotDone::Busy)?;
        self.run_when_free([Some(admitted), None], work).await
    }

    /// The same with work that may take long, of which no user has all places.
    pub(crate) async fn run_for<T: Send + 'static>(
        &self,
        user: &Arc<str>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotDone> {
        let admitted = self.admitted.clone().try_acquire_owned().map_err(|_| NotDone::Busy)?;
        let share = self.shares.of(user).await;
        self.run_when_free([Some(admitted), share], work).await
    }

    /// The same for callers who are few by themselves: these wait instead of being refused.
    pub(crate) async fn run_in_turn_for<T: Send + 'static>(
        &self,
        user: &Arc<str>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotDone> {
        let share = self.shares.of(user).await;
        self.run_when_free([None, share], work).await
    }

    /// For callers who are few by themselves, with work that is short.
    pub(crate) fn run_in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, NotDone>> {
        self.run_when_free([None, None], work)
    }

    async fn run_when_free<T: Send + 'static>(
        &self,
        places: [Option<OwnedSemaphorePermit>; 2],
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotDone> {
        let running = self.running.clone().acquire_owned().await.map_err(|_| NotDone::Broken)?;
        // The permits go along: a caller who is gone does not make room while the work goes on.
        let done = tokio::task::spawn_blocking(move || {
            let _held = (places, running);
            work()
        });
        done.await.map_err(|error| {
            tracing::error!(%error, "a request failed inside the server");
            NotDone::Broken
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_lane_runs_some_lets_some_wait_and_refuses_the_rest() {
        let lane = Arc::new(Lane::new(1, 1));
        let (go, wait) = mpsc::channel::<()>();
        let (began, has_begun) = tokio::sync::oneshot::channel();
        let first = tokio::spawn({
            let lane = lane.clone();
            async move {
                lane.run(move || {
                    began.send(()).unwrap();
                    wait.recv().unwrap();
                    1
                })
                .await
            }
        });
        has_begun.await.unwrap();
        let mut second = Box::pin(lane.run(|| 2));
        assert!(futures_util::poll!(&mut second).is_pending());
        assert_eq!(lane.run(|| 3).await, Err(NotDone::Busy));
        go.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Ok(1));
        assert_eq!(second.await, Ok(2));
    }

    #[tokio::test]
    async fn no_user_has_all_places() {
        let lane = Arc::new(Lane::new(4, 10));
        let (ann, bob): (Arc<str>, Arc<str>) = ("ann".into(), "bob".into());
        let (go, wait) = mpsc::channel::<()>();
        let (began, has_begun) = tokio::sync::oneshot::channel();
        let first = tokio::spawn({
            let (lane, ann) = (lane.clone(), ann.clone());
            async move {
                lane.run_for(&ann, move || {
                    began.send(()).unwrap();
                    wait.recv().unwrap();
                })
                .await
            }
        });
        has_begun.await.unwrap();
        let mut second = Box::pin(lane.run_for(&ann, || 2));
        let mut third = Box::pin(lane.run_in_turn_for(&ann, || 3));
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(futures_util::poll!(&mut third).is_pending());
        assert_eq!(lane.run_for(&bob, || 4).await, Ok(4));
        go.send(()).unwrap();
        assert_eq!((first.await.unwrap(), second.await, third.await), (Ok(()), Ok(2), Ok(3)));
    }

    #[tokio::test]
    async fn work_that_panics_is_an_error() {
        let lane = Lane::new(1, 0);
        assert_eq!(lane.run(|| panic!("on purpose")).await, Err::<(), _>(NotDone::Broken));
        assert_eq!(lane.run(|| 1).await, Ok(1));
    }
}
