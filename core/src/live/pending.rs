//! What changed since a reader last looked.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry as Slot;

use crate::live::rows::{Change, Changes};
use crate::live::sort::{Entry, Separator, Sort};
use crate::live::tree::{Order, RankTree};
use crate::row::Row;

/// So many changes may wait even where fewer rows are shown.
pub(super) const FLOOR: usize = if cfg!(test) { 16 } else { 1_000 };

/// A table that grew beyond this in a burst is given back after a take, since emptying it costs its capacity.
const KEPT_CAPACITY: usize = 256;

/// The changes since the last take, at most one a row: by arrival number, what the reader saw and what it will see.
#[derive(Debug)]
pub(crate) struct Pending {
    /// There is no list that the changes could be applied to: nothing is collected until the next take.
    reset: bool,
    deltas: HashMap<u64, Delta, RandomState>,
}

#[derive(Debug)]
struct Delta {
    old: Option<Row>,
    new: Option<Row>,
}

impl Default for Pending {
    fn default() -> Self {
        Self { reset: true, deltas: HashMap::default() }
    }
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        !self.reset && self.deltas.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.deltas.len()
    }

    pub(crate) fn reset(&mut self) {
        self.reset = true;
        self.deltas = HashMap::default();
    }

    /// Notes that the shown row of this arrival number was `old` (`None`: it was not shown) and is now `new`.
    pub(crate) fn record(&mut self, arrival: u64, old: Option<Row>, new: Option<Row>) {
        if self.reset {
            return;
        }
        match self.deltas.entry(arrival) {
            Slot::Vacant(slot) => {
                slot.insert(Delta { old, new });
            }
            Slot::Occupied(mut slot) => {
                let delta = slot.get_mut();
                delta.new = new;
                let undone = match (&delta.old, &delta.new) {
                    (None, None) => true,
                    (Some(old), Some(new)) => old.ptr_eq(new),
                    _ => false,
                };
                if undone {
                    slot.remove();
                }
            }
        }
    }

    /// Notes every difference between two lists of shown rows.
    pub(crate) fn record_difference(
        &mut self,
        old: &RankTree<Entry, Separator>,
        new: &RankTree<Entry, Separator>,
    ) {
        if self.reset {
            return;
        }
        let by_arrival = |tree: &RankTree<Entry, Separator>| {
            let mut entries: Vec<Entry> = tree.iter().cloned().collect();
            entries.sort_unstable_by_key(|entry| entry.arrival);
            entries.into_iter().peekable()
        };
        let (mut old, mut new) = (by_arrival(old), by_arrival(new));
        while let Some(arrival) = [old.peek(), new.peek()].into_iter().flatten().map(|e| e.arrival).min() {
            let was = old.next_if(|entry| entry.arrival == arrival).map(|entry| entry.row);
            let is = new.next_if(|entry| entry.arrival == arrival).map(|entry| entry.row);
            if !matches!((&was, &is), (Some(was), Some(is)) if was.ptr_eq(is)) {
                self.record(arrival, was, is);
            }
        }
    }

    /// The row that the reader saw, if `row` brings its content back: then it is to be the same allocation again.
    pub(crate) fn original(&self, arrival: u64, row: &Row) -> Option<Row> {
        self.deltas.get(&arrival)?.old.as_ref().filter(|old| old.same_content(row)).cloned()
    }

    /// Gives the list of changes up once reading all rows anew is less work than following it.
    pub(crate) fn bound(&mut self, shown: usize) {
        if self.deltas.len() > FLOOR.max(shown) {
            self.reset();
        }
    }

    /// What was collected. The next changes are collected from here.
    pub(crate) fn lift(&mut self) -> Deltas {
        if std::mem::take(&mut self.reset) {
            return Deltas(None);
        }
        let deltas = self.deltas.drain().collect();
        if self.deltas.capacity() > KEPT_CAPACITY {
            self.deltas = HashMap::default();
        }
        Deltas(Some(deltas))
    }
}

/// What was collected between two takes.
#[derive(Debug)]
pub(crate) struct Deltas(Option<Vec<(u64, Delta)>>);

impl Deltas {
    /// The changes that lead from what the reader saw to `shown`, which was shown when this was lifted.
    pub(crate) fn into_changes(self, shown: &RankTree<Entry, Separator>, sort: &Sort) -> Changes {
        let Some(deltas) = self.0 else { return Changes::Reset };
        let (mut removed, mut inserted, mut updated) = (Vec::new(), Vec::new(), Vec::new());
        for (arrival, delta) in deltas {
            match (delta.old, delta.new) {
                (Some(old), Some(new)) if sort.compare_rows(&old, &new).is_eq() => {
                    updated.push((old, sort.entry(arrival, new)));
                }
                (old, new) => {
                    removed.extend(old.map(|row| sort.entry(arrival, row)));
                    inserted.extend(new.map(|row| sort.entry(arrival, row)));
                }
            }
        }
        removed.sort_unstable_by(|a, b| sort.compare(a, b));
        inserted.sort_unstable_by(|a, b| sort.compare(a, b));
        updated.sort_unstable_by(|(_, a), (_, b)| sort.compare(a, b));

        // The list that the reader has = shown - inserted + removed, so an old position follows from the new one.
        let mut before = inserted.iter().peekable();
        let mut inserted_before = 0;
        let mut list = Vec::with_capacity(removed.len() + inserted.len() + updated.len());
        for (removed_before, entry) in removed.into_iter().enumerate() {
            while before.next_if(|i| sort.compare(i, &entry).is_lt()).is_some() {
                inserted_before += 1;
            }
            let index = shown.rank(&entry, sort) + removed_before - inserted_before;
            list.push(Change::Remove { index, row: entry.row });
        }
        list.reverse();
        list.extend(inserted.into_iter().map(|entry| {
            let index = shown.rank(&entry, sort);
            Change::Insert { index, row: entry.row }
        }));
        list.extend(updated.into_iter().map(|(old, entry)| {
            let index = shown.rank(&entry, sort);
            Change::Update { index, old, row: entry.row }
        }));
        Changes::List(list.into())
    }
}
