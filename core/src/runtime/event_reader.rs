//! The reader's side of an [`EventQueue`]: takes whole batches, so that reader and owner task seldom meet.

use super::event::ChangeEvent;
use super::event_queue::{Batch, EventQueue, Lent};
use super::mailbox::Mailbox;
use super::reached::Reached;
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use compact_str::CompactString;

/// What a reader has taken out of the queue and not handed out yet.
pub(crate) struct EventReader {
    id: CompactString,
    batch: Batch,
    reached: Reached,
}

/// The subscription is to be made anew: after this version, or from its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Anew {
    pub(crate) from: Option<Checkpoint>,
}

impl EventReader {
    /// `from`: where the subscription itself begins, if it does not begin with a snapshot.
    pub(crate) fn new(id: CompactString, from: Option<Checkpoint>) -> Self {
        Self { id, batch: Batch::default(), reached: Reached::new(from) }
    }

    /// How far the events are that were handed out.
    pub(crate) fn reached(&self) -> &Reached {
        &self.reached
    }

    /// Whether there is something to hand out without looking into the queue.
    pub(crate) fn is_ready(&self) -> bool {
        !self.batch.is_empty()
    }

    /// The next event, if there is one. May ask, by `anew`, to make the subscription anew.
    pub(crate) fn next(
        &mut self,
        queue: &Mailbox<EventQueue>,
        anew: impl FnOnce(Anew),
    ) -> Option<Result<ChangeEvent>> {
        if self.batch.is_empty() {
            match queue.with(|queue| queue.lend(&mut self.batch)) {
                Lent::Events => {}
                Lent::Lagged { dropped, goes_on } => {
                    let from = self.reached.checkpoint();
                    let resumes_from = from.as_ref().map(Checkpoint::seq);
                    if goes_on {
                        anew(Anew { from });
                    }
                    let subscription_id = self.id.clone();
                    let lagged = ChangeEvent::Lagged { subscription_id, dropped, resumes_from };
                    self.reached.pass(&lagged);
                    return Some(Ok(lagged));
                }
                Lent::Failed(error) if ChangeEvent::is_told_by_server(&error) => {
                    return Some(Ok(ChangeEvent::error(self.id.clone(), &error)));
                }
                Lent::Failed(error) => return Some(Err(error)),
                Lent::Nothing | Lent::Over => return None,
            }
        }
        let event = self.batch.pop()?;
        self.reached.pass(&event);
        Some(Ok(event))
    }
}

#[cfg(test)]
mod tests {
    use super::super::event_queue::QueueLimits;
    use super::*;
    use crate::error::{Error, ErrorCode};
    use crate::row::Row;
    use crate::runtime::mailbox::Content;
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

    fn both(events: usize, bytes: usize) -> (Mailbox<EventQueue>, EventReader) {
        let queue = EventQueue::new(QueueLimits { events, bytes });
        (Mailbox::new(queue), EventReader::new("s".into(), Some("e:0".parse().unwrap())))
    }

    /// Pushes all; how often the queue said that it was too much.
    fn push(queue: &Mailbox<EventQueue>, events: impl IntoIterator<Item = ChangeEvent>) -> usize {
        events.into_iter().filter(|event| append(queue, [event.clone()])).count()
    }

    /// Puts all in at once; whether they were too many.
    fn append(queue: &Mailbox<EventQueue>, events: impl IntoIterator<Item = ChangeEvent>) -> bool {
        let mut batch = Batch::default();
        events.into_iter().for_each(|event| batch.push(event));
        let too_many = queue.with(|queue| queue.append(&mut batch));
        assert!(batch.is_empty());
        too_many
    }

    fn next(
        queue: &Mailbox<EventQueue>,
        reader: &mut EventReader,
    ) -> (Option<Result<ChangeEvent>>, Option<Anew>) {
        let mut asked = None;
        let event = reader.next(queue, |anew| asked = Some(anew));
        (event, asked)
    }

    #[test]
    fn overflow_is_told_once_and_resumes_after_what_was_held() {
        for turn in 0..4 {
            let (queue, mut reader) = if turn % 2 == 0 { both(3, usize::MAX) } else { both(100, 4000) };
            if turn < 2 {
                assert_eq!(push(&queue, (1..=20).map(insert)), 1);
            } else {
                assert!(append(&queue, (1..=20).map(insert)), "the same in one go");
            }
            for version in 1..=3 {
                assert_eq!(next(&queue, &mut reader), (Some(Ok(insert(version))), None));
            }
            assert!(queue.with(|queue| queue.is_ready()));
            let (event, anew) = next(&queue, &mut reader);
            assert_eq!(anew, Some(Anew { from: Some("e:3".parse().unwrap()) }));
            let Some(Ok(ChangeEvent::Lagged { dropped: 17, resumes_from: Some(from), .. })) = event else {
                panic!("{event:?}")
            };
            assert_eq!(from.get(), 3);
            assert_eq!(push(&queue, [insert(21)]), 0);
            assert!(!queue.with(|queue| queue.is_ready()), "it belongs behind those that were dropped");
            queue.with(EventQueue::begin_anew);
            assert_eq!(push(&queue, [insert(4)]), 0);
            assert_eq!(next(&queue, &mut reader), (Some(Ok(insert(4))), None));
        }
    }

    #[test]
    fn what_the_reader_has_not_finished_counts() {
        let (queue, mut reader) = both(4, usize::MAX);
        assert_eq!(push(&queue, (1..=3).map(insert)), 0);
        assert_eq!(next(&queue, &mut reader).0, Some(Ok(insert(1))));
        assert_eq!(push(&queue, (4..=5).map(insert)), 1, "three lent and one held are four");
        let rest: Vec<_> =
            std::iter::from_fn(|| next(&queue, &mut reader).0).map(|e| e.unwrap().last_seq_id()).collect();
        assert_eq!(rest, [Some(2.into()), Some(3.into()), Some(4.into()), None]);
        assert_eq!(push(&queue, (5..=8).map(insert)), 0);
    }

    #[test]
    fn half_a_snapshot_is_no_point_to_resume_from() {
        let (queue, mut reader) = both(2, usize::MAX);
        assert_eq!(push(&queue, (1..=4).map(|version| batch(version, true))), 1);
        let anew: Vec<_> = (0..3).map(|_| next(&queue, &mut reader).1).collect();
        assert_eq!(anew, [None, None, Some(Anew { from: None })]);
        queue.with(EventQueue::begin_anew);
        assert_eq!(push(&queue, std::iter::once(batch(9, false)).chain((10..=12).map(insert))), 1);
        let anew: Vec<_> = (0..3).map(|_| next(&queue, &mut reader).1).collect();
        assert_eq!(anew, [None, None, Some(Anew { from: Some("e:10".parse().unwrap()) })]);
    }

    #[test]
    fn one_giant_event_still_arrives() {
        let (queue, mut reader) = both(10, 10);
        for version in 1..=2 {
            assert_eq!(push(&queue, [insert(version)]), 0);
            assert_eq!(next(&queue, &mut reader).0, Some(Ok(insert(version))));
        }
    }

    #[test]
    fn what_was_held_comes_before_the_end() {
        let (queue, mut reader) = both(10, usize::MAX);
        push(&queue, [insert(1)]);
        queue.with(|queue| {
            queue.fail(Error::new(ErrorCode::NotFound, "gone").with_server_code("TABLE_NOT_FOUND"));
            queue.end();
            assert!(!queue.is_over());
        });
        push(&queue, [insert(2)]);
        assert_eq!(next(&queue, &mut reader).0, Some(Ok(insert(1))));
        let Some(Ok(ChangeEvent::Error { code: ErrorCode::NotFound, server_code: Some(code), .. })) =
            next(&queue, &mut reader).0
        else {
            panic!()
        };
        assert_eq!(code, "TABLE_NOT_FOUND");
        assert!(queue.with(|queue| queue.is_over() && queue.is_ready()));
        assert_eq!(next(&queue, &mut reader), (None, None));

        let (queue, mut reader) = both(10, usize::MAX);
        queue.with(|queue| queue.fail(Error::new(ErrorCode::AuthFailed, "no")));
        assert!(matches!(next(&queue, &mut reader).0, Some(Err(_))));
    }
}
