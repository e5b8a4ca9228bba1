//! The events of one `live_events` handle that were not taken yet: bounded, and never silent about it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::event::ChangeEvent;
use super::mailbox::Content;
use crate::error::{Error, Result};
use crate::schema::SeqId;

/// How much an event handle holds for a reader that is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueLimits {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { events: 65_536, bytes: 64 << 20 }
    }
}

/// Events of one subscription.
///
/// When it is full, further events are dropped until the reader has taken what is held and the one `Lagged` behind it:
/// only then the subscription is to be made anew, after the last event that was held. So a reader that never comes back
/// costs no more than the bound, and one that is merely slow gets on by a whole queue each time.
pub(crate) struct EventQueue {
    id: Arc<str>,
    limits: QueueLimits,
    events: VecDeque<ChangeEvent>,
    bytes: usize,
    /// Dropped since the queue was full; `Some` until `Lagged` is taken.
    lagged: Option<u64>,
    /// Whether a snapshot is only partly handed out: then there is no point to resume from.
    inside_snapshot: bool,
    /// Greatest version handed out.
    handed_out: Option<SeqId>,
    failure: Option<Error>,
    ended: bool,
}

impl EventQueue {
    /// `from`: where the subscription itself begins, if it does not begin with a snapshot.
    pub(crate) fn new(id: Arc<str>, limits: QueueLimits, from: Option<SeqId>) -> Self {
        Self {
            id,
            limits,
            events: VecDeque::new(),
            bytes: 0,
            lagged: None,
            inside_snapshot: false,
            handed_out: from,
            failure: None,
            ended: false,
        }
    }

    pub(crate) fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Puts one event in. Returns whether this one was too much.
    pub(crate) fn push(&mut self, event: ChangeEvent) -> bool {
        if self.ended {
            return false;
        }
        if let Some(dropped) = &mut self.lagged {
            *dropped += 1;
            return false;
        }
        let weight = event.weight();
        // A single event is always let in, however large: otherwise it would never arrive.
        let full = !self.events.is_empty()
            && (self.events.len() >= self.limits.events || self.bytes + weight > self.limits.bytes);
        if full {
            self.lagged = Some(1);
        } else {
            self.bytes += weight;
            self.events.push_back(event);
        }
        full
    }

    /// The subscription has failed for good.
    pub(crate) fn fail(&mut self, error: Error) {
        self.failure.get_or_insert(error);
    }

    /// Nothing more will come. What is there can still be taken.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// Whether nothing is left and nothing more will come.
    pub(crate) fn is_over(&self) -> bool {
        self.ended && self.events.is_empty() && self.failure.is_none()
    }

    /// Greatest version handed out.
    pub(crate) fn handed_out(&self) -> Option<SeqId> {
        self.handed_out
    }

    /// The next event, if there is one; the second value asks to make the subscription anew from there.
    pub(crate) fn pop(&mut self) -> (Option<Result<ChangeEvent>>, Option<Restart>) {
        if let Some(event) = self.events.pop_front() {
            self.bytes -= event.weight();
            match &event {
                ChangeEvent::InitialDataBatch { has_more, .. } => self.inside_snapshot = *has_more,
                ChangeEvent::Ack { .. } => self.inside_snapshot = false,
                _ => {}
            }
            self.handed_out = self.handed_out.max(event.last_seq_id());
            return (Some(Ok(event)), None);
        }
        if let Some(dropped) = self.lagged.take() {
            let resumes_from = if self.inside_snapshot { None } else { self.handed_out };
            self.inside_snapshot = false;
            let event = ChangeEvent::Lagged { subscription_id: self.id.clone(), dropped, resumes_from };
            let restart = (!self.ended && self.failure.is_none()).then_some(Restart { from: resumes_from });
            return (Some(Ok(event)), restart);
        }
        let Some(error) = self.failure.take() else { return (None, None) };
        self.ended = true;
        let told = ChangeEvent::is_told_by_server(&error);
        (Some(if told { Ok(ChangeEvent::error(self.id.clone(), &error)) } else { Err(error) }), None)
    }
}

/// The subscription is to be made anew: after this version, or from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Restart {
    pub(crate) from: Option<SeqId>,
}

impl Content for EventQueue {
    fn is_ready(&self) -> bool {
        self.ended || !self.events.is_empty() || self.lagged.is_some() || self.failure.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;
    use crate::row::Row;
    use crate::schema::{Column, DataType, Schema};
    use crate::value::Value;

    fn insert(version: i64) -> ChangeEvent {
        let schema = Schema::new(vec![Column::new("body", DataType::Text)]);
        let text = "x".repeat(1000);
        ChangeEvent::Insert {
            subscription_id: "s".into(),
            rows: vec![Row::new(schema, vec![Value::from(&*text)], Some(version.into()))],
        }
    }

    fn batch(version: i64, has_more: bool) -> ChangeEvent {
        let ChangeEvent::Insert { subscription_id, rows } = insert(version) else { unreachable!() };
        ChangeEvent::InitialDataBatch { subscription_id, rows, has_more }
    }

    fn queue(events: usize, bytes: usize) -> EventQueue {
        EventQueue::new("s".into(), QueueLimits { events, bytes }, None)
    }

    #[test]
    fn overflow_is_told_once_and_resumes_after_what_was_held() {
        for mut queue in [queue(3, usize::MAX), queue(100, 4000)] {
            let overflows = (1..=20).filter(|version| queue.push(insert(*version))).count();
            assert_eq!(overflows, 1);
            for version in 1..=3 {
                assert_eq!(queue.pop(), (Some(Ok(insert(version))), None));
            }
            assert!(queue.is_ready());
            let (event, restart) = queue.pop();
            assert_eq!(restart, Some(Restart { from: Some(3.into()) }));
            let Some(Ok(ChangeEvent::Lagged { dropped: 17, resumes_from: Some(from), .. })) = event else {
                panic!("{event:?}")
            };
            assert_eq!(from.get(), 3);
            assert!(!queue.is_ready());
            assert!(!queue.push(insert(4)));
        }
    }

    #[test]
    fn half_a_snapshot_is_no_point_to_resume_from() {
        let mut queue = queue(2, usize::MAX);
        let overflows = (1..=4).filter(|version| queue.push(batch(*version, true))).count();
        assert_eq!(overflows, 1);
        let restarts: Vec<_> = (0..3).map(|_| queue.pop().1).collect();
        assert_eq!(restarts, [None, None, Some(Restart { from: None })]);
        queue.push(batch(9, false));
        let overflows = (10..=12).filter(|version| queue.push(insert(*version))).count();
        assert_eq!(overflows, 1);
        let restarts: Vec<_> = (0..3).map(|_| queue.pop().1).collect();
        assert_eq!(restarts, [None, None, Some(Restart { from: Some(10.into()) })]);
    }

    #[test]
    fn one_giant_event_still_arrives() {
        let mut queue = queue(10, 10);
        assert!(!queue.push(insert(1)));
        assert_eq!(queue.pop().0, Some(Ok(insert(1))));
        assert_eq!(queue.bytes, 0);
    }

    #[test]
    fn what_was_held_comes_before_the_end() {
        let mut queue = queue(10, usize::MAX);
        queue.push(insert(1));
        queue.fail(Error::new(ErrorCode::NotFound, "gone").with_server_code("TABLE_NOT_FOUND"));
        queue.end();
        assert!(!queue.is_over());
        assert_eq!(queue.pop().0, Some(Ok(insert(1))));
        let Some(Ok(ChangeEvent::Error { code: ErrorCode::NotFound, server_code: Some(code), .. })) =
            queue.pop().0
        else {
            panic!()
        };
        assert_eq!(code, "TABLE_NOT_FOUND");
        assert!(queue.is_over() && queue.is_ready());
        assert_eq!(queue.pop(), (None, None));
        let mut queue = self::queue(10, usize::MAX);
        queue.fail(Error::new(ErrorCode::AuthFailed, "no"));
        assert!(matches!(queue.pop().0, Some(Err(_))));
    }
}
