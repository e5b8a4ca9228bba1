//! What the owner task puts in and a reader takes out: waiting carries no data, taking never waits.
//!
//! A reader that stops waiting (a cancelled task, a timeout) therefore loses nothing: the content is still there.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Content that a reader can wait for.
pub(crate) trait Content {
    /// Whether there is something to take, or nothing more will come.
    fn is_ready(&self) -> bool;
}

/// Content behind one lock, together with who waits for it: looking and registering are one step, so that no wake-up
/// falls between them.
pub(crate) struct Mailbox<T>(Mutex<Inner<T>>);

struct Inner<T> {
    content: T,
    waiters: Waiters,
}

#[derive(Default)]
struct Waiters {
    /// The task that called `poll_ready` last.
    polled: Option<Waker>,
    /// One for each [`Ready`] future that was polled, by its number.
    futures: Vec<(u64, Waker)>,
    next_number: u64,
}

impl<T: Content> Mailbox<T> {
    pub(crate) fn new(content: T) -> Self {
        Self(Mutex::new(Inner { content, waiters: Waiters::default() }))
    }

    /// Changes or takes content; wakes nobody. Short: the owner task and the reader share this lock.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.lock().content)
    }

    /// Wakes everybody who waits, when there is something to take.
    pub(crate) fn wake(&self) {
        let mut inner = self.lock();
        if !inner.content.is_ready() {
            return;
        }
        let polled = inner.waiters.polled.take();
        let futures = std::mem::take(&mut inner.waiters.futures);
        // A waker may run the reader at once, which locks again.
        drop(inner);
        polled.into_iter().chain(futures.into_iter().map(|(_, waker)| waker)).for_each(Waker::wake);
    }

    /// Ready when there is something to take. Otherwise the task of the latest call is woken once there is.
    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        if inner.content.is_ready() {
            return Poll::Ready(());
        }
        set(&mut inner.waiters.polled, cx.waker());
        Poll::Pending
    }

    /// Waits until there is something to take. Any number of tasks may; dropping the future leaves nothing behind.
    pub(crate) fn ready(&self) -> Ready<'_, T> {
        Ready { mailbox: self, number: None }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn set(slot: &mut Option<Waker>, waker: &Waker) {
    match slot {
        Some(old) => old.clone_from(waker),
        None => *slot = Some(waker.clone()),
    }
}

/// See [`Mailbox::ready`].
pub(crate) struct Ready<'a, T: Content> {
    mailbox: &'a Mailbox<T>,
    number: Option<u64>,
}

impl<T: Content> Future for Ready<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.mailbox.lock();
        if inner.content.is_ready() {
            return Poll::Ready(());
        }
        let waiters = &mut inner.waiters;
        let number = self.number.unwrap_or_else(|| {
            waiters.next_number += 1;
            waiters.next_number
        });
        match waiters.futures.iter_mut().find(|(n, _)| *n == number) {
            Some((_, waker)) => waker.clone_from(cx.waker()),
            None => waiters.futures.push((number, cx.waker().clone())),
        }
        drop(inner);
        self.number = Some(number);
        Poll::Pending
    }
}

impl<T: Content> Drop for Ready<'_, T> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.mailbox.lock().waiters.futures.retain(|(n, _)| *n != number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Numbers(Vec<u64>, bool);

    impl Content for Numbers {
        fn is_ready(&self) -> bool {
            !self.0.is_empty() || self.1
        }
    }

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn wakes_all_who_wait_once() {
        let mailbox = Mailbox::new(Numbers::default());
        let counts: [Arc<Count>; 3] = Default::default();
        let wakers = counts.clone().map(Waker::from);
        let mut first = mailbox.ready();
        let mut second = mailbox.ready();
        for _ in 0..2 {
            assert!(Pin::new(&mut first).poll(&mut Context::from_waker(&wakers[0])).is_pending());
            assert!(Pin::new(&mut second).poll(&mut Context::from_waker(&wakers[1])).is_pending());
            assert!(mailbox.poll_ready(&mut Context::from_waker(&wakers[2])).is_pending());
        }
        mailbox.wake();
        let woken = || counts.each_ref().map(|c| c.0.load(Ordering::SeqCst));
        assert_eq!(woken(), [0, 0, 0], "nothing is there yet");
        mailbox.with(|n| n.0.push(1));
        mailbox.wake();
        mailbox.wake();
        assert_eq!(woken(), [1, 1, 1]);
        assert!(mailbox.poll_ready(&mut Context::from_waker(&wakers[2])).is_ready());
    }

    #[test]
    fn a_dropped_wait_leaves_nothing() {
        let mailbox = Mailbox::new(Numbers::default());
        for _ in 0..1000 {
            let mut ready = mailbox.ready();
            assert!(Pin::new(&mut ready).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        assert!(mailbox.lock().waiters.futures.is_empty());
    }

    /// Readers that give up and come back, against a writer that wakes as seldom as it may: every number arrives.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_wake_up_is_lost() {
        const NUMBERS: u64 = 20_000;
        let mailbox = Arc::new(Mailbox::new(Numbers::default()));
        let writer = tokio::spawn({
            let mailbox = mailbox.clone();
            async move {
                for n in 0..NUMBERS {
                    mailbox.with(|content| content.0.push(n));
                    mailbox.wake();
                    if n % 3 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                mailbox.with(|content| content.1 = true);
                mailbox.wake();
            }
        });
        let readers: Vec<_> = (0..3)
            .map(|reader| {
                let mailbox = mailbox.clone();
                tokio::spawn(async move {
                    let mut seen = Vec::new();
                    for round in 0u64.. {
                        let (numbers, ended) = mailbox.with(|c| (std::mem::take(&mut c.0), c.1));
                        seen.extend(numbers);
                        if ended && mailbox.with(|c| c.0.is_empty()) {
                            break;
                        }
                        // Every few rounds the wait is begun and given up before the one that counts.
                        if (round + reader).is_multiple_of(5) {
                            let mut given_up = mailbox.ready();
                            let _ = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut given_up).poll(cx)))
                                .await;
                        }
                        mailbox.ready().await;
                    }
                    seen
                })
            })
            .collect();
        writer.await.unwrap();
        let mut all = Vec::new();
        for reader in readers {
            all.extend(reader.await.unwrap());
        }
        all.sort_unstable();
        assert_eq!(all, (0..NUMBERS).collect::<Vec<_>>());
    }
}
