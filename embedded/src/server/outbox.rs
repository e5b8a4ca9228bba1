//! What waits to be sent on one WebSocket: bounded in bytes and frames, filled by many, emptied by one writer.

use std::collections::VecDeque;
use std::fmt::Display;
use std::pin::pin;
use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::holes::Holes;
use crate::options::Limits;

/// A WebSocket close code and its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Closing {
    pub(crate) code: u16,
    pub(crate) reason: String,
}

/// One frame. The tail of a change is shared by all subscriptions of the same query.
#[derive(Clone, Debug)]
pub(crate) enum Frame {
    Whole(Utf8Bytes),
    Change { head: Arc<str>, tail: Arc<str> },
}

impl Frame {
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Whole(text) => text.len(),
            Self::Change { head, tail } => head.len() + tail.len(),
        }
    }
}

/// What the writer gets next.
#[derive(Debug)]
pub(crate) enum Next {
    Frames(Vec<Frame>),
    Close(Closing),
}

/// The queue. See [`Outbox::offer`] for what happens to a connection that falls behind.
#[derive(Debug)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    most_bytes: usize,
    most_frames: usize,
    /// Changes are lost instead of queued when many wait: see [`Holes::drop`].
    lossy: bool,
    /// There is something for the writer.
    filled: Notify,
    /// The writer took something, or the connection is closing.
    drained: Notify,
    /// The connection is closing.
    closing: Notify,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Frame>,
    /// Queued, held back by loading subscriptions, and being written.
    bytes: usize,
    count: usize,
    closing: Option<Closing>,
}

/// "Try again later": the connection could not keep up.
const OVERFLOW: u16 = 1013;

/// How much the writer takes at once.
const MOST_AT_ONCE: usize = 256;

/// A controller that has much to send (a snapshot, a replay) waits until less than this is queued, so that its
/// own frames never are the overflow.
const ROOM_BYTES: usize = 256 << 10;

impl Outbox {
    pub(crate) fn new(limits: &Limits, lossy: bool) -> Self {
        Self {
            state: Mutex::default(),
            most_bytes: limits.queue_bytes,
            most_frames: limits.queue_frames,
            lossy,
            filled: Notify::new(),
            drained: Notify::new(),
            closing: Notify::new(),
        }
    }

    /// Queues a frame. A connection that is too far behind is closed with 1013, and what is queued is dropped:
    /// the client resumes from what it got.
    pub(crate) fn offer(&self, frame: Frame) {
        let mut state = self.state.lock();
        if self.count(&mut state, frame.bytes()) {
            state.frames.push_back(frame);
            self.filled.notify_one();
        }
    }

    /// The same with a live change.
    pub(crate) fn offer_change(&self, frame: Frame) {
        let is_lost = self.lossy && self.state.lock().frames.len() >= Holes::QUEUE;
        if !is_lost {
            self.offer(frame);
        }
    }

    /// The same with a frame that goes nowhere else.
    pub(crate) fn offer_text(&self, text: String) {
        self.offer(Frame::Whole(text.into()));
    }

    /// Counts a frame that is held back elsewhere; false if that was too much and the connection is closing.
    pub(crate) fn reserve(&self, bytes: usize) -> bool {
        self.count(&mut self.state.lock(), bytes)
    }

    // One frame may go over the limit of bytes, so that no frame is too long for an empty queue.
    fn count(&self, state: &mut State, bytes: usize) -> bool {
        if state.closing.is_some() {
            return false;
        }
        if state.count >= self.most_frames || state.bytes >= self.most_bytes {
            state.frames = VecDeque::new();
            self.set_closing(state, OVERFLOW, "Too slow: the queue of this connection is full, resume later");
            return false;
        }
        state.count += 1;
        state.bytes += bytes;
        true
    }

    /// Queues frames that were counted by [`Self::reserve`].
    pub(crate) fn push_reserved(&self, frames: Vec<Frame>) {
        let mut state = self.state.lock();
        if state.closing.is_none() {
            state.frames.extend(frames);
            self.filled.notify_one();
        }
    }

    /// Stops to count frames that were written, or were reserved and will not be sent.
    pub(crate) fn release(&self, frames: &[Frame]) {
        let mut state = self.state.lock();
        state.count = state.count.saturating_sub(frames.len());
        state.bytes = state.bytes.saturating_sub(frames.iter().map(Frame::bytes).sum());
        drop(state);
        self.drained.notify_one();
    }

    /// Frames and bytes that are not written yet.
    pub(crate) fn queued(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.count, state.bytes)
    }

    /// Whether the connection is closing since it could not keep up.
    pub(crate) fn has_overflowed(&self) -> bool {
        self.state.lock().closing.as_ref().is_some_and(|closing| closing.code == OVERFLOW)
    }

    /// Closes the connection after what is queued already. The first reason wins.
    pub(crate) fn close(&self, code: u16, reason: impl Into<String>) {
        let mut state = self.state.lock();
        if state.closing.is_none() {
            self.set_closing(&mut state, code, reason);
        }
    }

    /// Closes it since a message could not be understood; the words are serde's, as recorded.
    pub(crate) fn close_invalid(&self, error: impl Display) {
        self.close(1011, format!("Invalid message: {error}"));
    }

    fn set_closing(&self, state: &mut State, code: u16, reason: impl Into<String>) {
        state.closing = Some(Closing { code, reason: reason.into() });
        self.filled.notify_one();
        self.drained.notify_one();
        self.closing.notify_waiters();
    }

    /// Waits until there is room for much; false if the connection is closing. For one waiter, the controller.
    pub(crate) async fn room(&self) -> bool {
        loop {
            {
                let state = self.state.lock();
                if state.closing.is_some() {
                    return false;
                }
                let queued = state.frames.iter().map(Frame::bytes).take(MOST_AT_ONCE).sum::<usize>();
                if state.frames.len() < MOST_AT_ONCE && queued < ROOM_BYTES {
                    return true;
                }
            }
            self.drained.notified().await;
        }
    }

    /// Waits until the connection is closing, and says why.
    pub(crate) async fn closing(&self) -> Closing {
        loop {
            let mut notified = pin!(self.closing.notified());
            notified.as_mut().enable();
            if let Some(closing) = self.why_closing() {
                return closing;
            }
            notified.await;
        }
    }

    /// Waits until the connection is closing since it overflowed: what is being written is given up then.
    pub(crate) async fn overflow(&self) {
        if self.closing().await.code != OVERFLOW {
            std::future::pending::<()>().await;
        }
    }

    /// Why the connection is closing, if it is.
    pub(crate) fn why_closing(&self) -> Option<Closing> {
        self.state.lock().closing.clone()
    }

    /// What to write next. For one waiter, the writer, which calls [`Self::release`] when it is written.
    pub(crate) async fn next(&self) -> Next {
        loop {
            {
                let mut state = self.state.lock();
                if !state.frames.is_empty() {
                    let many = state.frames.len().min(MOST_AT_ONCE);
                    return Next::Frames(state.frames.drain(..many).collect());
                }
                if let Some(closing) = &state.closing {
                    return Next::Close(closing.clone());
                }
            }
            self.filled.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(queue_bytes: usize, queue_frames: usize) -> Outbox {
        Outbox::new(&Limits { queue_bytes, queue_frames, ..Limits::default() }, false)
    }

    fn change(tail: &str) -> Frame {
        Frame::Change { head: "head".into(), tail: tail.into() }
    }

    async fn texts(outbox: &Outbox) -> Vec<String> {
        let Next::Frames(frames) = outbox.next().await else { panic!("closing") };
        outbox.release(&frames);
        let text = |frame| match frame {
            Frame::Whole(text) => text.to_string(),
            Frame::Change { head, tail } => format!("{head}{tail}"),
        };
        frames.into_iter().map(text).collect()
    }

    #[tokio::test]
    async fn frames_come_in_order_and_then_the_close() {
        let outbox = outbox(1000, 1000);
        outbox.offer_text("first".into());
        outbox.offer(change("second"));
        outbox.close(1000, "done");
        outbox.close(1001, "too late");
        outbox.offer(change("third"));
        assert_eq!(texts(&outbox).await, ["first", "headsecond"]);
        let Next::Close(closing) = outbox.next().await else { panic!("frames after the close") };
        assert_eq!(closing, Closing { code: 1000, reason: "done".into() });
    }

    #[tokio::test]
    async fn overflow_closes_with_1013() {
        for outbox in [outbox(25, 1000), outbox(1000, 3)] {
            for n in 0..10 {
                outbox.offer(change(&format!("tail{n}")));
            }
            outbox.closing().await;
            assert!(!outbox.room().await);
            let Next::Close(closing) = outbox.next().await else { panic!("frames after the close") };
            assert_eq!(closing.code, 1013);
        }
    }

    #[tokio::test]
    async fn what_was_written_or_released_makes_room() {
        let outbox = outbox(20, 1000);
        for n in 0..100 {
            outbox.offer(change(&format!("tail{}", n % 10)));
            assert_eq!(texts(&outbox).await, [format!("headtail{}", n % 10)]);
            let long = change(&"x".repeat(25));
            assert!(outbox.reserve(long.bytes()), "one frame may be longer than the queue");
            outbox.release(&[long]);
        }
        assert!(outbox.reserve(25));
        assert!(!outbox.reserve(1));
        assert_eq!(outbox.why_closing().map(|closing| closing.code), Some(1013));
    }

    #[tokio::test]
    async fn a_lossy_queue_loses_changes_and_nothing_else() {
        let outbox = Outbox::new(&Limits::default(), true);
        for n in 0..200 {
            outbox.offer_change(change(&format!("{n}")));
        }
        outbox.offer_text("error".into());
        let mut expected: Vec<String> = (0..Holes::QUEUE).map(|n| format!("head{n}")).collect();
        expected.push("error".into());
        assert_eq!(texts(&outbox).await, expected);
        outbox.offer_change(change("later"));
        assert_eq!(texts(&outbox).await, ["headlater"]);
    }

    #[tokio::test]
    async fn a_controller_waits_for_room() {
        let outbox = Arc::new(outbox(1 << 30, 1 << 20));
        outbox.offer_text("x".repeat(ROOM_BYTES));
        let waiting = tokio::spawn({
            let outbox = outbox.clone();
            async move { outbox.room().await }
        });
        assert_eq!(texts(&outbox).await.len(), 1);
        assert!(waiting.await.unwrap());
    }
}
