//! How far a reader of events is.

use super::event::ChangeEvent;
use crate::checkpoint::Checkpoint;
use crate::schema::SeqId;

/// Follows the events of one subscription and knows where to go on after them.
///
/// [`LiveEvents::checkpoint`](crate::LiveEvents::checkpoint) is that after everything that was taken; this is for who takes
/// many at a time and wants to know it after each.
#[derive(Debug)]
pub struct Reached {
    /// A snapshot is only partly handed out: then there is no place to go on from.
    inside_snapshot: bool,
    /// Whose number `seq` is.
    origin: Option<Checkpoint>,
    /// Whose numbers come from now on, until the first of them has.
    coming: Option<Checkpoint>,
    /// Greatest version handed out.
    seq: Option<SeqId>,
}

impl Reached {
    /// Nothing was handed out. `from`: where the subscription itself begins, if it does not begin with a snapshot.
    pub fn new(from: Option<Checkpoint>) -> Self {
        Self { inside_snapshot: false, seq: from.as_ref().map(Checkpoint::seq), origin: from, coming: None }
    }

    /// This event was handed out.
    pub fn pass(&mut self, event: &ChangeEvent) {
        match event {
            ChangeEvent::InitialDataBatch { has_more, .. } => self.inside_snapshot = *has_more,
            ChangeEvent::Ack { origin, .. } | ChangeEvent::Resumed { origin, .. } => {
                self.inside_snapshot = false;
                self.coming = Some(origin.clone());
            }
            ChangeEvent::Lagged { .. } => self.inside_snapshot = false,
            _ => {}
        }
        let Some(version) = event.last_seq_id() else { return };
        if let Some(coming) = self.coming.take() {
            // Numbers of another epoch can not be compared.
            let same = self.origin.as_ref().is_some_and(|origin| origin.epoch() == coming.epoch());
            self.seq = self.seq.filter(|_| same);
            self.origin = Some(coming);
        }
        self.seq = self.seq.max(Some(version));
    }

    /// Where to go on. `None` before the first event with rows, and between the pages of a snapshot, which come in the order
    /// of the key: its greatest version says nothing about what is still to come.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        Some(self.origin.as_ref()?.at(self.seq.filter(|_| !self.inside_snapshot)?))
    }

    /// The greatest version handed out.
    pub fn last_seq_id(&self) -> Option<SeqId> {
        self.seq
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Row;
    use crate::schema::{Column, DataType, Schema};

    fn ack(origin: &str) -> ChangeEvent {
        let origin = origin.parse().unwrap();
        ChangeEvent::Ack { subscription_id: "s".into(), schema: Schema::new(vec![]), origin }
    }

    fn rows(version: i64) -> Vec<Row> {
        let schema = Schema::new(vec![Column::new("n", DataType::Int)]);
        vec![Row::new(schema, vec![1.into()], Some(version.into()))]
    }

    fn insert(version: i64) -> ChangeEvent {
        ChangeEvent::Insert { subscription_id: "s".into(), rows: rows(version) }
    }

    fn batch(version: i64, has_more: bool) -> ChangeEvent {
        ChangeEvent::InitialDataBatch { subscription_id: "s".into(), rows: rows(version), has_more }
    }

    fn seen(reached: &mut Reached, event: &ChangeEvent) -> String {
        reached.pass(event);
        reached.checkpoint().map(|checkpoint| checkpoint.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_checkpoint_says_whose_number_it_is() {
        let mut reached = Reached::new(Some("e:0".parse().unwrap()));
        assert_eq!(seen(&mut reached, &ack("e:0")), "e:0");
        assert_eq!(seen(&mut reached, &insert(7)), "e:7");
        assert_eq!(seen(&mut reached, &insert(5)), "e:7");
        assert_eq!(seen(&mut reached, &ack("e:0")), "e:7");
        assert_eq!(seen(&mut reached, &insert(6)), "e:7", "the same numbers go on");
        assert_eq!(seen(&mut reached, &ack("other:0")), "e:7", "nothing of the other was handed out");
        assert_eq!(seen(&mut reached, &insert(3)), "other:3");
    }

    #[test]
    fn half_a_snapshot_is_no_place_to_go_on_from() {
        let mut reached = Reached::new(None);
        assert_eq!(seen(&mut reached, &ack("e:0")), "");
        assert_eq!(seen(&mut reached, &batch(9, true)), "");
        assert_eq!(seen(&mut reached, &insert(11)), "");
        assert_eq!(seen(&mut reached, &batch(4, false)), "e:11");
        let lagged = ChangeEvent::Lagged { subscription_id: "s".into(), dropped: 1, resumes_from: None };
        assert_eq!(seen(&mut reached, &batch(12, true)), "");
        assert_eq!(seen(&mut reached, &lagged), "e:12");
    }
}
