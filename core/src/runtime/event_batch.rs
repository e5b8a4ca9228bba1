//! Events that arrived in one go, for one reader.

use std::collections::VecDeque;
use std::sync::Arc;

use super::event::ChangeEvent;
use crate::protocol::{CHANGE_HEAD, RowPlan};

/// Events and about how many bytes they keep alive.
///
/// Changes may be there as the text that arrived, all of them in one allocation: the reader decodes them, and frees rows
/// where it made them, which is what allocators are good at.
#[derive(Default)]
pub(crate) struct Batch {
    order: VecDeque<Stored>,
    decoded: VecDeque<ChangeEvent>,
    plans: VecDeque<Arc<RowPlan>>,
    /// The unread changes, in order.
    text: String,
    /// How much of the text was taken.
    taken: usize,
    events: usize,
    bytes: usize,
}

/// What comes next, and where it is.
#[derive(Clone, Copy)]
enum Stored {
    Decoded,
    Plan,
    /// So many bytes of text.
    Unread(u32),
}

/// One thing taken out of a batch.
pub(crate) enum Item<'a> {
    /// An event.
    Decoded(ChangeEvent),
    /// Frames from here on are decoded by this.
    Plan(Arc<RowPlan>),
    /// A change, for [`decode_change`](crate::protocol::decode_change).
    Unread(&'a str),
}

impl Batch {
    /// An empty batch with room for as much text as another had.
    pub(crate) fn as_roomy_as(other: &Self) -> Self {
        Self { text: String::with_capacity(other.text.len()), ..Self::default() }
    }

    pub(crate) fn push(&mut self, event: ChangeEvent) {
        self.count(event.weight());
        self.order.push_back(Stored::Decoded);
        self.decoded.push_back(event);
    }

    pub(crate) fn push_plan(&mut self, plan: Arc<RowPlan>) {
        self.order.push_back(Stored::Plan);
        self.plans.push_back(plan);
    }

    /// What a glance left of a change: less than 4 GiB, as any frame.
    pub(crate) fn push_unread(&mut self, rest: &str) {
        let len = CHANGE_HEAD.len() + rest.len();
        self.count(size_of::<Stored>() + len);
        self.order.push_back(Stored::Unread(len as u32));
        self.text.push_str(CHANGE_HEAD);
        self.text.push_str(rest);
    }

    fn count(&mut self, bytes: usize) {
        self.events += 1;
        self.bytes += bytes;
    }

    pub(crate) fn pop(&mut self) -> Option<Item<'_>> {
        match self.order.pop_front()? {
            Stored::Decoded => self.decoded.pop_front().map(Item::Decoded),
            Stored::Plan => self.plans.pop_front().map(Item::Plan),
            Stored::Unread(len) => {
                let from = self.taken;
                self.taken += len as usize;
                Some(Item::Unread(&self.text[from..self.taken]))
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Events that were put in.
    pub(super) fn events(&self) -> usize {
        self.events
    }

    /// About how many bytes those take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds what another batch holds. Nothing was taken out of either yet.
    pub(super) fn append(&mut self, mut other: Self) {
        self.order.append(&mut other.order);
        self.decoded.append(&mut other.decoded);
        self.plans.append(&mut other.plans);
        self.text.push_str(&other.text);
        self.events += other.events;
        self.bytes += other.bytes;
    }

    /// Splits off the beginning, as long as `fits` allows the events and bytes of it. Nothing was taken out yet.
    pub(super) fn split_off_front(&mut self, fits: impl Fn(usize, usize) -> bool) -> Self {
        let (events, bytes) = (self.events, self.bytes);
        let mut front = Self::default();
        while let Some(next) = self.order.front() {
            let weight = match next {
                Stored::Decoded => self.decoded.front().map_or(0, ChangeEvent::weight),
                Stored::Plan => 0,
                Stored::Unread(len) => size_of::<Stored>() + *len as usize,
            };
            let counts = usize::from(!matches!(next, Stored::Plan));
            if !fits(front.events + counts, front.bytes + weight) {
                break;
            }
            match self.pop() {
                Some(Item::Decoded(event)) => front.push(event),
                Some(Item::Plan(plan)) => front.push_plan(plan),
                Some(Item::Unread(change)) => front.push_unread(&change[CHANGE_HEAD.len()..]),
                None => break,
            }
        }
        (self.events, self.bytes) = (events - front.events, bytes - front.bytes);
        front
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> ChangeEvent {
        ChangeEvent::GapPossible { subscription_id: "s".into(), reason: String::new() }
    }

    /// What is in it, in order: the text of unread changes, and `-` for an event.
    fn emptied(mut batch: Batch) -> String {
        let mut all = String::new();
        while let Some(item) = batch.pop() {
            match item {
                Item::Decoded(_) => all.push('-'),
                Item::Plan(_) => unreachable!("none was put in"),
                Item::Unread(change) => all.push_str(&change[CHANGE_HEAD.len()..]),
            }
        }
        all
    }

    #[test]
    fn keeps_the_order_when_put_together_and_split() {
        let batch = |texts: &[&str]| {
            let mut batch = Batch::default();
            for text in texts {
                if *text == "-" { batch.push(event()) } else { batch.push_unread(text) }
            }
            batch
        };
        let mut all = batch(&["a", "-", "bc"]);
        all.append(batch(&["-", "d", "ef", "-"]));
        let (events, bytes) = (all.events(), all.bytes());
        assert_eq!(events, 7);
        let front = all.split_off_front(|events, _| events <= 4);
        assert_eq!((front.events() + all.events(), front.bytes() + all.bytes()), (events, bytes));
        assert_eq!((emptied(front), emptied(all)), ("a-bc-".to_owned(), "def-".to_owned()));
    }
}
