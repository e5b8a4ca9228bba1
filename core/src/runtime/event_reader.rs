//! The reader's side of an [`EventQueue`]: takes whole batches, so that reader and owner task seldom meet, and decodes
//! what the owner task left to it.

use std::collections::VecDeque;
use std::sync::Arc;

use compact_str::CompactString;

use super::event::ChangeEvent;
use super::event_batch::{Batch, Item};
use super::event_queue::{EventQueue, Lent};
use super::mailbox::Mailbox;
use super::reached::Reached;
use crate::checkpoint::Checkpoint;
use crate::error::{Error, ErrorCode, Result};
use crate::protocol::{Limits, RowPlan, decode_change};

/// What a reader has taken out of the queue and not handed out yet.
pub(crate) struct EventReader {
    id: CompactString,
    batches: VecDeque<Batch>,
    plan: Option<Arc<RowPlan>>,
    reached: Reached,
}

/// The subscription is to be made anew: after this version, or from its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Anew {
    pub(crate) from: Option<Checkpoint>,
    /// What came next could not be decoded.
    pub(crate) because: Option<Error>,
}

impl EventReader {
    /// `from`: where the subscription itself begins, if it does not begin with a snapshot.
    pub(crate) fn new(id: CompactString, from: Option<Checkpoint>) -> Self {
        Self { id, batches: VecDeque::new(), plan: None, reached: Reached::new(from) }
    }

    /// How far the events are that were handed out.
    pub(crate) fn reached(&self) -> &Reached {
        &self.reached
    }

    /// Whether there is something to hand out without looking into the queue.
    pub(crate) fn is_ready(&self) -> bool {
        self.batches.iter().any(|batch| !batch.is_empty())
    }

    /// The next event, if there is one. May ask, by `anew`, to make the subscription anew.
    pub(crate) fn next(
        &mut self,
        queue: &Mailbox<EventQueue>,
        anew: impl FnOnce(Anew),
    ) -> Option<Result<ChangeEvent>> {
        let event = loop {
            let Some(batch) = self.batches.front_mut() else {
                match queue.with(|queue| queue.lend(&mut self.batches)) {
                    Lent::Events => continue,
                    other => return self.beyond_events(other, anew),
                }
            };
            match batch.pop() {
                Some(Item::Decoded(event)) => break event,
                Some(Item::Plan(plan)) => self.plan = Some(plan),
                Some(Item::Unread(change)) => match read(change, self.plan.as_deref(), &self.id) {
                    Ok(event) => break event,
                    Err(error) => return self.unreadable(error, queue, anew),
                },
                None => drop(self.batches.pop_front()),
            }
        };
        self.reached.pass(&event);
        Some(Ok(event))
    }

    fn beyond_events(&mut self, lent: Lent, anew: impl FnOnce(Anew)) -> Option<Result<ChangeEvent>> {
        match lent {
            Lent::Lagged { dropped, goes_on } => {
                let from = self.reached.checkpoint();
                let resumes_from = from.as_ref().map(Checkpoint::seq);
                if goes_on {
                    anew(Anew { from, because: None });
                }
                let subscription_id = self.id.clone();
                let lagged = ChangeEvent::Lagged { subscription_id, dropped, resumes_from };
                self.reached.pass(&lagged);
                Some(Ok(lagged))
            }
            Lent::Failed(error) if ChangeEvent::is_told_by_server(&error) => {
                Some(Ok(ChangeEvent::error(self.id.clone(), &error)))
            }
            Lent::Failed(error) => Some(Err(error)),
            Lent::Events | Lent::Nothing | Lent::Over => None,
        }
    }

    /// The subscription comes again from where the reader is, unless it is over.
    fn unreadable(
        &mut self,
        error: Error,
        queue: &Mailbox<EventQueue>,
        anew: impl FnOnce(Anew),
    ) -> Option<Result<ChangeEvent>> {
        self.batches.clear();
        if !queue.with(EventQueue::give_up) {
            return Some(Err(error));
        }
        anew(Anew { from: self.reached.checkpoint(), because: Some(error) });
        None
    }
}

fn read(change: &str, plan: Option<&RowPlan>, id: &CompactString) -> Result<ChangeEvent> {
    // A plan comes before the first change.
    let plan = plan.ok_or_else(|| Error::new(ErrorCode::Protocol, "a change came before its columns"))?;
    Ok(ChangeEvent::change(id.clone(), decode_change(change, plan, &Limits::default())?))
}

#[cfg(test)]
mod tests {
    use super::super::event_queue::QueueLimits;
    use super::*;
    use crate::protocol::OldValues;
    use crate::row::Row;
    use crate::runtime::mailbox::Content;
    use crate::schema::{Column, DataType, Schema};
    use crate::sql::LiveSql;
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
        queue.with(|queue| queue.append(batch))
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
            assert_eq!(anew, Some(Anew { from: Some("e:3".parse().unwrap()), because: None }));
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
        assert_eq!(anew, [None, None, Some(Anew { from: None, because: None })]);
        queue.with(EventQueue::begin_anew);
        assert_eq!(push(&queue, std::iter::once(batch(9, false)).chain((10..=12).map(insert))), 1);
        let anew: Vec<_> = (0..3).map(|_| next(&queue, &mut reader).1).collect();
        assert_eq!(anew, [None, None, Some(Anew { from: Some("e:10".parse().unwrap()), because: None })]);
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

    /// A plan for rows of one INT, and an unread insert of `n` at a version.
    fn unread(batch: &mut Batch, n: &str, version: i64) {
        batch.push_unread(&format!(r#""insert","rows":[{{"n":{n},"_seq":"{version}"}}]}}"#));
    }

    fn planned() -> Batch {
        let sql = LiveSql::table("app", "t");
        let columns = [Column::new("n", DataType::Int).primary_key()];
        let mut batch = Batch::default();
        batch.push_plan(Arc::new(RowPlan::new(&columns, &sql, OldValues::Keep).unwrap()));
        batch
    }

    #[test]
    fn what_was_left_to_it_is_decoded_in_order() {
        let (queue, mut reader) = both(100, usize::MAX);
        let mut batch = planned();
        unread(&mut batch, "5", 1);
        batch.push(insert(2));
        unread(&mut batch, "6", 3);
        queue.with(|queue| queue.append(batch));
        let seen: Vec<_> = std::iter::from_fn(|| next(&queue, &mut reader).0).map(Result::unwrap).collect();
        assert_eq!(seen.iter().map(|e| e.last_seq_id().unwrap().get()).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(seen[2].rows()[0]["n"].as_int(), Some(6));
        assert_eq!(seen[2].subscription_id(), "s");
    }

    #[test]
    fn what_can_not_be_decoded_begins_the_subscription_anew() {
        let (queue, mut reader) = both(100, usize::MAX);
        let mut batch = planned();
        unread(&mut batch, "5", 1);
        unread(&mut batch, "true", 2);
        unread(&mut batch, "6", 3);
        queue.with(|queue| queue.append(batch));
        assert!(next(&queue, &mut reader).0.unwrap().is_ok());
        let (event, anew) = next(&queue, &mut reader);
        assert_eq!(event, None);
        let anew = anew.expect("asks for it again");
        assert_eq!(anew.from.unwrap().seq().get(), 1);
        assert_eq!(anew.because.unwrap().code(), ErrorCode::Protocol);
        // What was on its way comes again, too.
        push(&queue, [insert(3)]);
        assert_eq!(next(&queue, &mut reader), (None, None));
        queue.with(EventQueue::begin_anew);
        push(&queue, [insert(2)]);
        assert_eq!(next(&queue, &mut reader).0, Some(Ok(insert(2))));
    }

    #[test]
    fn what_can_not_be_decoded_at_the_end_is_told() {
        let (queue, mut reader) = both(100, usize::MAX);
        let mut batch = planned();
        unread(&mut batch, "true", 2);
        queue.with(|queue| {
            queue.append(batch);
            queue.end();
        });
        let (event, anew) = next(&queue, &mut reader);
        assert_eq!((event.unwrap().unwrap_err().code(), anew), (ErrorCode::Protocol, None));
        assert_eq!(next(&queue, &mut reader), (None, None));
    }
}
